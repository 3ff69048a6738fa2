"""The rules of presets/rules.toml, and the few lines that try them: nothing about any approach stands in code."""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from estimator.catalog.facts import fact
from estimator.catalog.files import Content, cached, rows, table
from estimator.errors import InvalidInput, UnknownName, clipped, nearest
from estimator.numerals import numeral
from estimator.paths import presets
from estimator.stages import COMBINATIONS, STAGES

Value = float | str | bool
ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something `recommend` asks. value: what it is unless said otherwise, which decides nothing."""

    name: str
    value: Value
    ask: str
    choices: tuple[str, ...] = ()
    unit: str = ""

    def read(self, raw: object) -> Value:
        """A given answer, checked; InvalidInput in one line."""
        if isinstance(self.value, bool):
            return _yes_or_no(self.name, raw)
        if self.choices:
            return self._choice(raw)
        number = numeral(str(raw))
        if number is None or not number >= 0:
            raise InvalidInput(f"{self.name} must be a number of at least 0, not {clipped(raw)}")
        return number

    def _choice(self, raw: object) -> str:
        if isinstance(raw, str) and raw in self.choices:
            return raw
        guess = nearest(str(raw), self.choices)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        raise InvalidInput(f"{self.name} must be one of {', '.join(self.choices)}, not {clipped(raw)}.{hint}")


def _yes_or_no(name: str, raw: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = words.get(str(raw).lower())
    if found is None:
        raise InvalidInput(f"{name} must be yes or no, not {clipped(raw)}")
    return found


@dataclass(frozen=True, slots=True)
class Condition:
    """NAME OP VALUE of a rule."""

    name: str
    op: str
    value: str

    def holds(self, context: Mapping[str, Value]) -> bool | None:
        """Whether it holds; None when a figure in it is unknown."""
        left = _resolved(self.name, context)
        if self.op == "is":
            return _word(left) == self.value
        if self.op == "in":
            return _word(left) in self.value.split()
        right = _resolved(self.value, context)
        if isinstance(left, str) or isinstance(right, str):
            raise InvalidInput(f"rules.toml: {self.name} {self.op} {self.value} compares words")
        unknown = math.isnan(left) or math.isnan(right)
        if unknown and (math.isinf(left) or math.isinf(right)):
            return False  # no limit was given, so nothing can be beyond it
        return None if unknown else ORDER[self.op](left, right)

    def compared(self, context: Mapping[str, Value]) -> str:
        """Both sides of a comparison in the criterion's unit; nothing where words are compared."""
        if self.op not in ORDER:
            return ""
        units = [criteria()[name].unit for name in (self.name, self.value) if name in criteria()]
        left, right = (_figure(_resolved(name, context)) for name in (self.name, self.value))
        return f"{left} against {right} {''.join(units).removeprefix('1')}".strip()


def _figure(value: Value) -> str:
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _resolved(name: str, context: Mapping[str, Value]) -> Value:
    """A criterion or figure by name, a number, or a fact by its key."""
    if name in context:
        return context[name]
    try:
        return float(name)
    except ValueError:
        return fact(name).value


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. effect: needs, out, notes or last; candidates: those that meet the need or that the effect falls on.

    asks: the criterion, or input, whose change would undo the rule; nothing when only figures decide
    """

    id: str
    criterion: str
    when: tuple[Condition, ...]
    effect: str
    candidates: tuple[str, ...]
    need: str
    because: str
    instead: str
    publishers: tuple[str, ...]
    asks: str

    def holds(self, context: Mapping[str, Value]) -> bool | None:
        """Whether all conditions hold; None when that hangs on an unknown figure."""
        found = [condition.holds(context) for condition in self.when]
        if False in found:
            return False
        return None if None in found else True

    def compared(self, context: Mapping[str, Value]) -> str:
        """The figures that decide, such as `3,767 against 500 USD`; nothing where words do."""
        return ", ".join(filter(None, (condition.compared(context) for condition in self.when)))

    def sources(self) -> tuple[str, ...]:
        """Who says so: what was read where."""
        return tuple(_source(self.criterion, publisher) for publisher in self.publishers)


@cached
def _source(criterion: str, publisher: str) -> str:
    if publisher.startswith("fact:"):
        found = fact(publisher.removeprefix("fact:"))
        return f"{found.value:g} {found.unit}: {found.source}"
    if publisher == "by design":
        return "by design of this tool"
    name, _, other = publisher.partition("/")
    for row in rows(presets() / "decision_criteria.csv"):
        if (row["criterion"], row["publisher"]) == (other or criterion, name):
            return f"{row['source']} ({row['kind']}, {row['date']}): {row['says']}"
    raise UnknownName("source of a rule", f"{criterion}/{publisher}", (), "See presets/decision_criteria.csv.")


@cache
def _file() -> Content:
    return table(presets() / "rules.toml")


@cached
def criteria() -> dict[str, Criterion]:
    """What is asked, by name.

    >>> criteria()["citations"].value
    False
    """
    entries = _file()["criteria"].items()
    return {
        name: Criterion(name, entry["value"], entry["ask"], tuple(entry.get("choices", ())), entry.get("unit", ""))
        for name, entry in entries
    }


@cached
def candidates() -> tuple[str, ...]:
    """What may be recommended, from simple to demanding.

    >>> candidates()[:2], candidates()[-1]
    (('prompt', 'corpus-in-prompt'), 'pretrain')
    """
    return tuple(name for name in table(presets() / "approaches.toml") if name in (*STAGES, *COMBINATIONS))


@cached
def rules() -> tuple[Rule, ...]:
    """All rules, in the order of the file.

    >>> {rule.effect for rule in rules()} == {"needs", "out", "notes", "last"}
    True
    """
    return tuple(_rule(entry) for entry in _file()["rule"])


def _rule(entry: Content) -> Rule:
    effect = next(name for name in ("needs", "out", "notes", "last") if name in entry)
    when = tuple(Condition(*text.split(maxsplit=2)) for text in entry["when"])
    listed = entry["met_by"] if effect == "needs" else entry[effect]
    named = [word for condition in when for word in (condition.name, condition.value) if word in criteria()]
    return Rule(
        id=entry["id"],
        criterion=entry["criterion"],
        when=when,
        effect=effect,
        candidates=candidates() if listed == "all" else tuple(listed),
        need=entry["needs"] if effect == "needs" else "",
        because=entry["because"],
        instead=entry["instead"],
        publishers=tuple(entry["from"]),
        asks=entry.get("asks", named[0] if named else ""),
    )
