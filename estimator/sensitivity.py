"""What an answer turns on: one input at a time at the ends of its range (a tornado), and grids of inputs as rows.

Both go through `sweep`, so they say what `estimate` says for the same inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from estimator.api import estimate
from estimator.catalog.plan_fields import unknown_field
from estimator.errors import InvalidInput, UnknownName
from estimator.pricing import PRICE
from estimator.quantities import FACTORS, Quantity
from estimator.results import Estimate
from estimator.scenario import Scenario, scenario
from estimator.shown import SCHEMA_VERSION, Shown
from estimator.sweeping import QUESTION, Sweep, columns_of

MOST_ROWS = 1_000_000
Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Swing:
    """What one input does alone. low, high: ends of its 80 % range, None for what has no number of its own.

    at_low, at_high: the figure there; None where the approach cannot be done then, and `note` says why
    """

    name: str
    unit: str
    low: float | None
    high: float | None
    at_low: float | None
    at_high: float | None
    note: str = ""

    @property
    def width(self) -> float:
        """How far the figure goes from one end to the other; an end that cannot be done counts as without bound."""
        return float("inf") if self.at_low is None or self.at_high is None else abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Sensitivity(Shown):
    """A figure of one approach, as expected and with one input at a time elsewhere; what moves it most comes first."""

    stage: str
    title: str
    figure: str
    unit: str
    expected: float
    swings: tuple[Swing, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row an input."""
        names = ("name", "unit", "low", "high", "at_low", "at_high", "note")
        return [{name: getattr(swing, name) for name in names} for swing in self.swings]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        about = {name: getattr(self, name) for name in ("stage", "figure", "unit", "expected")}
        return {"schema_version": SCHEMA_VERSION, **about, "level": 0.8, "inputs": self.rows()}


@dataclass(frozen=True, slots=True)
class Grid(Shown):
    """Answers to every combination of some inputs' values. rows: as `sweep` has them, unknown is None.

    currency: of money in text, `USD` or one whose columns stand beside those in USD
    """

    answered: tuple[Mapping[str, object], ...]
    varied: tuple[str, ...]
    stages: tuple[str, ...]
    figures: tuple[str, ...]
    currency: str = "USD"

    def rows(self) -> list[dict[str, object]]:
        """One row a combination; what is not known is None."""
        return [{name: None if value != value else value for name, value in row.items()} for row in self.answered]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"schema_version": SCHEMA_VERSION, "level": 0.8, "rows": self.rows()}


def sensitivity(stage: str, *, figure: str = "total_usd", vary: Sequence[str] = (), **question: Any) -> Sensitivity:
    """How a figure answers to each input alone, at the low and the high end of the input's 80 % range.

    vary: inputs by name, `price_per_hour` among them; all that have a range unless given. Beside all of them stand
    what the range of the figure holds apart from inputs: errors of predictions, prices of services.
    question: as for `estimate`; NAME=(low, value, high) gives an input another range
    Raises EstimatorError in one line.

    >>> found = sensitivity("finetune", model="7b", gpu="a100", vary=("samples", "attempts"), samples=(1e3, 5e3, 2e4))
    >>> [swing.name for swing in found.swings], found.swings[0].at_high > found.expected
    (['samples', 'attempts'], True)
    """
    answer = estimate(stage, **question)
    known = [name for name, _ in answer.quantities() if isinstance(getattr(answer, name, None), Quantity)]
    if figure not in known:
        raise UnknownName("figure", figure, known, f"Figures are {', '.join(known)}.")
    target: Quantity = getattr(answer, figure)
    if not target.known:
        raise InvalidInput(f"{figure} is unknown here: {target.note or 'give --price-per-hour'}")
    ranges = _ranges(answer, question, vary)
    swings = [*_inputs(stage, figure, ranges, question), *(() if vary else _other(target, ranges))]
    swings.sort(key=lambda swing: -swing.width)
    return Sensitivity(stage, answer.title, figure, target.unit, target.value, tuple(swings))


def grid(values: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    """Every combination of some inputs' values, as rows for `sweep`; the last input changes fastest.

    >>> grid({"gpu": ["a100", "h100"], "samples": [1000, 5000]})[1]
    {'gpu': 'a100', 'samples': 5000}
    """
    count = prod(len(column) for column in values.values())
    if not 1 <= count <= MOST_ROWS or not values:
        raise InvalidInput(f"a grid needs 1 to {MOST_ROWS:,} combinations, these are {count if values else 0:,}")
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


def _ranges(
    answer: Estimate, question: Mapping[str, object], vary: Sequence[str]
) -> dict[str, tuple[str, float, float]]:
    """Unit, low and high of the inputs to vary."""
    chosen = _scenario(question)
    used = [item.name for item in answer.assumptions if item.name in chosen.amounts]
    found: dict[str, tuple[str, float, float]] = {}
    for name in vary or used:
        if name == PRICE:
            continue
        if name not in chosen.sections:
            listed = "`estimator catalog inputs` lists them all."
            raise unknown_field("input", name, (*chosen.names(), PRICE), listed)
        found |= _range(name, chosen, bool(vary))
    price = _price_ends(answer)
    if PRICE in vary and price is None:
        raise InvalidInput("the price of an accelerator-hour has no range here: sweep it instead (--vary)")
    return found | ({PRICE: ("USD/h", *price)} if price and (not vary or PRICE in vary) else {})


def _range(name: str, chosen: Scenario, needed: bool) -> dict[str, tuple[str, float, float]]:
    if name in chosen.choices:
        raise InvalidInput(f"{name} is a word, without low and high: sweep it instead (--vary {name}=...)")
    amount = chosen.amounts[name]
    if amount.low is not None and amount.high is not None and amount.low < amount.high:
        return {name: (amount.unit, amount.low, amount.high)}
    if needed:
        raise InvalidInput(f"{name} has no range: give one, such as --set {name}=LOW..VALUE..HIGH")
    return {}


def _scenario(question: Mapping[str, Any]) -> Scenario:
    """The scenario as `estimate` has it."""
    apart = (*QUESTION, "price", "scenario_file", "design")
    return scenario(
        question.get("scenario_file"), **{name: value for name, value in question.items() if name not in apart}
    )


def _price_ends(answer: Estimate) -> Ends | None:
    """The range of list prices of an accelerator-hour; None where the price is no range."""
    place = 1 + FACTORS.index("accelerator price")
    for node in answer.total_usd.walk():
        if node.key == PRICE:
            low, high = float(node.column[place]), float(node.column[place + len(FACTORS)])
            return (low, high) if low < high else None
    return None


def _inputs(
    stage: str, figure: str, ranges: Mapping[str, tuple[str, float, float]], question: Mapping[str, object]
) -> Iterator[Swing]:
    """The figure with each input at both ends of its range."""
    rows = [{name: end} for name, (_, *ends) in ranges.items() for end in ends]
    if not rows:
        return
    given = {name: value for name, value in question.items() if value is not None}
    found = Sweep((stage,), (figure,), given).answers(*columns_of(rows))
    values, errors = found[f"{stage}_{figure}"].tolist(), found["error"].tolist()
    for place, (name, (unit, low, high)) in enumerate(ranges.items()):
        at_low, at_high = (None if value != value else value for value in values[2 * place : 2 * place + 2])
        note = next((error for error in errors[2 * place : 2 * place + 2] if error), "")
        yield Swing(name, unit, low, high, at_low, at_high, note)


def _other(target: Quantity, ranges: Mapping[str, object]) -> Iterator[Swing]:
    """What moves the figure and is no input: errors of predictions, prices of services, grids."""
    covered = {"accelerator price"} if PRICE in ranges else set()
    covered |= {amount.factor for name, amount in scenario().amounts.items() if name in ranges}
    moves = target.column[1:].reshape(2, len(FACTORS))
    for factor, low, high in zip(FACTORS, *moves.tolist(), strict=True):
        if factor not in covered and (low, high) != (target.value, target.value):
            yield Swing(f"({factor})", "", None, None, low, high)
