"""What the user asks: every input by name, checked. Names, units, bounds and defaults are data: presets/scenario.toml.

A number may be given alone, or with its 80 % range as (low, value, high).
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from estimator.errors import InvalidInput, clipped, nearest
from estimator.files import read_toml
from estimator.numerals import SPACES, numeral, rewritten
from estimator.paths import presets, toml

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

SMALLEST = 1e-30  # of an amount that is not 0: what is divided by less is no number any more


class Amount(NamedTuple):
    """A numeric input: value, the ends of its 80 % range, what it may be, and why it is what it is.

    factor: what moves it between low and high; without one its range is in no figure
    whole: whether it comes in whole numbers alone; aliases: what others call it
    """

    value: float
    unit: str
    least: float
    most: float
    why: str
    low: float | None = None
    high: float | None = None
    factor: str = ""
    given: bool = False
    whole: bool = False
    aliases: tuple[str, ...] = ()


class Word(NamedTuple):
    """An input that is a word or a yes or no: one of `choices`, a name that holds one of `families`, or any name.

    means: what else people write for a word, such as "true=on"
    """

    value: str | bool
    why: str
    choices: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    given: bool = False
    aliases: tuple[str, ...] = ()
    means: tuple[str, ...] = ()

    def meant(self, raw: object) -> object:
        """The word that is meant by true, false or a number; anything else as it is."""
        said = str(raw).lower() if isinstance(raw, bool | int | float | str) else ""
        return next((pair.partition("=")[2] for pair in self.means if pair.partition("=")[0] == said), raw)


class Scenario(NamedTuple):
    """Everything a comparison assumes beside the LLM and the hardware, by name; sections only order the names."""

    amounts: Mapping[str, Amount]
    choices: Mapping[str, Word]
    sections: Mapping[str, str]

    def amount(self, name: str) -> Amount:
        """A numeric input."""
        return self.amounts[name]

    def word(self, name: str) -> str:
        """An input that is a word, such as an index type."""
        return str(self.choices[name].value)

    def flag(self, name: str) -> bool:
        """An input that is on or off."""
        return bool(self.choices[name].value)

    def names(self) -> tuple[str, ...]:
        """All inputs, in the order of the file."""
        return tuple(self.sections)


def scenario(file: str | None = None, **changes: object) -> Scenario:
    """The default scenario with some inputs changed, first those of a TOML file, then those by name.

    Raises InvalidInput in one line; names need no section (`samples`), but may have it (`finetune.samples`).

    >>> scenario(samples=(1000, 2000, 5000)).amount("samples").high
    5000.0
    """
    found = default_scenario()
    asked = {**(file_inputs(file) if file else {}), **changes}
    if not asked:
        return found
    amounts, choices = dict(found.amounts), dict(found.choices)
    for raw_name, raw in asked.items():
        name = known_input(raw_name)
        if name in amounts:
            amounts[name] = _changed_amount(name, amounts[name], raw)
        else:
            choices[name] = chosen(name, choices[name], raw)
    return Scenario(amounts, choices, found.sections)


@cache
def default_scenario() -> Scenario:
    """The inputs as the presets have them."""
    content = toml((presets() / "scenario.toml").read_text(encoding="utf-8"))
    entries = {name: entry for fields in content.values() for name, entry in fields.items()}
    for entry in entries.values():
        entry |= {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    amounts = {name: Amount(**entry) for name, entry in entries.items() if "unit" in entry}
    choices = {name: Word(**entry) for name, entry in entries.items() if "unit" not in entry}
    return Scenario(amounts, choices, {name: section for section, fields in content.items() for name in fields})


def known_input(name: str, criteria: tuple[str, ...] = ()) -> str:
    """The input that a name stands for: its own, with or without its section, or what a trainer or an engine calls it.

    criteria: what else could have been meant. Raises UnknownName, saying what the name means where that is no input.

    >>> known_input("finetune.samples"), known_input("num_train_epochs")
    ('samples', 'epochs')
    """
    found = default_scenario()
    section, _, bare = name.replace("-", "_").rpartition(".")
    if bare in found.sections and section in ("", found.sections[bare]):
        return bare
    from estimator.catalog import plan_fields  # only for names that are none of the scenario's

    entries: Mapping[str, Amount | Word] = {**found.amounts, **found.choices}
    alias = next((key for key, entry in entries.items() if plan_fields.plain(name) in entry.aliases), None)
    if meant := alias or plan_fields.input_meant(name):
        return meant
    known, what = (*found.names(), *criteria), "criterion or input" if criteria else "input"
    raise plan_fields.unknown_field(what, name, known, "`estimator catalog inputs` lists them all.")


def _changed_amount(name: str, default: Amount, raw: object) -> Amount:
    if isinstance(raw, Mapping):
        ends = [raw[key] for key in ("low", "value", "high") if key in raw]
        if "value" not in raw or len(ends) == 2:
            raise InvalidInput(f"{name}: give value, or low, value and high; not only {clipped(', '.join(raw))}")
        raw = ends if len(ends) == 3 else raw["value"]
    if isinstance(raw, tuple | list) and len(raw) == 3:
        low, value, high = (bounded(name, default, end) for end in raw)
        if not low <= value <= high:
            raise InvalidInput(f"{name}: the range {low:g} to {high:g} does not hold the value {value:g}")
        return default._replace(value=value, low=low, high=high, given=True)
    return default._replace(value=bounded(name, default, raw), low=None, high=None, given=True)


def scaled(text: str) -> float | str:
    """A number of thousands to trillions, or with separators, as a number; any other text as it is.

    >>> scaled("2k"), scaled("1,000"), scaled("1.5M"), scaled("2,5"), scaled("qlora")
    (2000.0, 1000.0, 1500000.0, '2,5', 'qlora')
    """
    plain = text.strip(SPACES)
    value = None if plain.isdigit() else numeral(text)
    return plain if value is None else value


def bounded(name: str, bounds: Amount, raw: object) -> float:
    """A number within its bounds: text as `numeral` has it, anything else as pydantic reads numbers."""
    try:
        value = numeral(raw) if isinstance(raw, str) else float(_reader(float).validate_python(raw))
        if value is None:
            raise ValueError
    except (ValueError, OverflowError):
        ends = "; a range has three ends: LOW..VALUE..HIGH" if ".." in str(raw) else rewritten(str(raw))
        raise InvalidInput(f"{name} must be a number, not {clipped(raw)}{ends}") from None
    if not bounds.least <= value <= bounds.most:
        unit = "" if bounds.unit == "1" else f" {bounds.unit}"
        raise InvalidInput(f"{name} must be between {bounds.least:g} and {bounds.most:g}{unit}, not {value:g}")
    if 0 < abs(value) < SMALLEST:
        raise InvalidInput(f"{name} must be 0 or {SMALLEST:g} at least, not {value:g}")
    if bounds.whole and value % 1:
        raise InvalidInput(f"{name} must be a whole number, not {value:g}")
    return value


@cache
def _reader(kind: type[T]) -> "TypeAdapter[T]":
    """What reads a value of that kind, with pydantic's ValueError for what is none; loaded when one is given."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def chosen(name: str, default: Word, raw: Any) -> Word:
    """A choice of another word; InvalidInput for one that is not to be had."""
    if isinstance(raw, Mapping):
        raw = raw.get("value")
    if isinstance(default.value, bool):
        return default._replace(value=yes_or_no(name, raw), given=True)
    raw = default.meant(raw)
    if not isinstance(raw, str):
        raise InvalidInput(f"{name} must be a name, not {clipped(raw)}")
    if default.choices and raw not in default.choices:
        guess = nearest(raw, default.choices)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        raise InvalidInput(f"{name} must be one of {', '.join(default.choices)}, not {clipped(raw)}.{hint}")
    if default.families and not any(family in raw.lower() for family in default.families):
        raise InvalidInput(
            f"{name} must name one of {', '.join(default.families)}, such as {default.value}, not {clipped(raw)}"
        )
    return default._replace(value=raw, given=True)


def yes_or_no(name: str, raw: object) -> bool:
    """True or false, as pydantic reads them."""
    try:
        return bool(_reader(bool).validate_python(raw))
    except ValueError:
        raise InvalidInput(f"{name} must be true or false, not {clipped(raw)}") from None


def file_inputs(file: str) -> dict[str, Any]:
    """Inputs of a TOML file, in sections or not."""
    content = read_toml(file, "scenario")
    flat: dict[str, Any] = {}
    sections = set(default_scenario().sections.values())
    for name, value in content.items():
        nested = isinstance(value, dict) and name in sections
        flat.update({f"{name}.{key}": inner for key, inner in value.items()} if nested else {name: value})
    return flat
