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
