"""The words of pages, by key: one file of presets for a language."""

from functools import cache

from estimator.errors import UnknownName
from estimator.paths import presets, toml


@cache
def words(language: str = "en") -> dict[str, str]:
    """All words of a language."""
    known = {path.stem.partition("_")[2]: path for path in presets().glob("words_*.toml")}
    if language not in known:
        raise UnknownName("language", language, known)
    return toml(known[language].read_text(encoding="utf-8"))


def say(key: str, **values: object) -> str:
    """A phrase with its values put in.

    >>> say("total", horizon="12 months")
    'Total over 12 months'
    """
    return words()[key].format(**values)


def field_label(name: str) -> str:
    """What a field is called: by words of its own, if it has any, or by its name."""
    return words().get(f"field_{name}") or label(name)


def label(name: str) -> str:
    """An input's name as people write it.

    >>> label("rate_usd_per_hour"), label("field_nobody_named")
    ('rate USD per hour', 'field nobody named')
    """
    short = {word.lower(): word for word in words()["abbreviations"].split()}
    return " ".join(short.get(word, word) for word in name.split("_"))
