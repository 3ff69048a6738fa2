"""A number that knows its range and its reasons.

Every figure is computed not once but in a handful of *scenarios* side by side: as expected, and with one uncertain
*factor* at a time (the price, the traffic, the error of the training-time model, ...) at its low and at its high end.
A formula is called once, on the whole column of scenarios, so that a factor entering twice (the same price in every
stage) moves everything it touches together. Three things follow from the column without further work:

* the 80 % interval: the factors' moves combined in log space, sqrt of the sum of squares, down and up apart;
* the drivers: each factor's share of that sum;
* Monte Carlo: the same calculation with a design of random draws instead of one-at-a-time moves.

Source of the combination: JCGM 100:2008 (GUM) section 5.1.2 equation 10, in ln(value), by moves instead of derivatives.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats
from estimator.formulas.arithmetic import sum_of
from estimator.records import Basis, Source

Z80 = 1.2815515655446004  # standard normal quantile of 90 %: an 80 % interval reaches from -Z80 to +Z80

# What can be off, independently of the others. Everything uncertain names one of these.
FACTORS = (
    "traffic",
    "prompt length",
    "cache hits",
    "output length",
    "data volume",
    "people's effort",
    "people's rate",
    "attempts",
    "accelerator price",
    "service price",
    "training time",
    "training memory",
    "prefill time",
    "decode time",
    "serving throughput",
    "embedding time",
    "retrieval time",
    "power",
    "carbon intensity",
    "scaling law",
    "reliability",
)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The scenarios: one row each, one column a factor; 0 is as expected, -1 and +1 the ends of its 80 % interval."""

    moves: Floats

    @classmethod
    def one_at_a_time(cls) -> "Design":
        """As expected, then every factor low and high [1 + 2 factors, factors]."""
        up = np.eye(len(FACTORS))
        return cls(np.vstack([np.zeros((1, len(FACTORS))), -up, up]))

    @classmethod
    def monte_carlo(cls, samples: int, seed: int = 0) -> "Design":
        """Independent normal draws of all factors, the expected scenario first [samples + 1, factors]."""
        draws = np.random.default_rng(seed).standard_normal((samples, len(FACTORS))) / Z80
        return cls(np.vstack([np.zeros((1, len(FACTORS))), draws]))

    @property
    def sampled(self) -> bool:
        """Whether the scenarios are random draws."""
        return len(self.moves) != 1 + 2 * len(FACTORS)


ONE_AT_A_TIME = Design.one_at_a_time()


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """One figure in every scenario of a design, with unit, basis, sources, and the formula and inputs it came from.

    name: words to show; key: of an input, by which everything finds it; predicted: found by a predictor, whose inputs
    say why, but which no formula gives
    """

    name: str
    unit: str
    column: Floats
    design: Design = field(repr=False)
    basis: Basis = "analytic"
    sources: tuple[Source, ...] = ()
    formula: Callable[..., Any] | None = field(default=None, repr=False)
    inputs: Mapping[str, "Quantity"] = field(default_factory=dict, repr=False)
    note: str = ""
    level: float = 0.8  # of outcomes, that low and high hold
    key: str = ""
    predicted: bool = False

    @property
    def value(self) -> float:
        """As expected."""
        return float(self.column[0])

    @property
    def known(self) -> bool:
        """False for a figure that rests on something unknown, such as a missing price."""
        return bool(np.isfinite(self.column[0]))

    @property
    def low(self) -> float:
        """Lower end of the interval that holds `level` of the outcomes."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of that interval."""
        return self.interval()[1]

    def interval(self, level: float | None = None) -> tuple[float, float]:
        """Ends of the central interval that holds `level` of the outcomes, its own level unless given.

        >>> price = given("price", 2.0, "USD/h", low=1.0, high=4.0, factor="accelerator price")
        >>> hours = given("time", 100.0, "h", low=50.0, high=200.0, factor="training time")
        >>> cost = derive("cost", "USD", lambda price, hours: price * hours, price=price, hours=hours)
        >>> [round(end) for end in cost.interval()]  # 200 times or divided by 2 to the power sqrt(2)
        [75, 533]
        """
        level = self.level if level is None else level
        if self.design.sampled:
            tail = (1 - level) / 2
            low, high = np.quantile(self.column[1:], [tail, 1 - tail])
            return float(low), float(high)
        return _interval(self, level)

    def drivers(self) -> dict[str, float]:
        """Share of the interval's (squared) width that each factor makes, largest first; the shares sum to 1."""
        squares = _factor_widths(self.column) ** 2
        total = squares.sum()
        if not np.isfinite(total) or total == 0:
            return {}
        shares = {name: float(share) for name, share in zip(FACTORS, squares / total, strict=True) if share > 0}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def walk(self) -> Iterator["Quantity"]:
        """This quantity and everything it rests on, each once, inputs after what uses them."""
        seen: set[int] = set()
        pending = [self]
        while pending:
            node = pending.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                pending.extend(reversed(list(node.inputs.values())))

    def keys(self) -> set[str]:
        """The inputs that this figure rests on, by key."""
        nodes = self.walk() if self.inputs else (self,)
        return {node.key for node in nodes if node.key}

    def citations(self) -> tuple[Source, ...]:
        """Every source this figure rests on, each once."""
        return _citations(self) if self.design is ONE_AT_A_TIME else _cited(self)

    def explain(self) -> str:
        """Where this figure comes from: formulas with their numbers, down to sourced facts."""
        from estimator.shown import renderer

        return str(renderer("Quantity", "reasons")(self))

    def to_dict(self, level: float | None = None) -> dict[str, Any]:
        """Value, unit, range and basis as plain data; unknown is None. level: of the range, its own unless given."""
        low, high = self.interval(level)
        known = self.known
        return {
            "value": self.value if known else None,
            "unit": self.unit,
            "low": low if known else None,
            "high": high if known else None,
            "basis": self.basis,
            "sources": [*_titles(self.citations())],
            **({"note": self.note} if self.note else {}),
        }

    def __str__(self) -> str:
        if not self.known:
            return "unknown"
        low, high = self.interval()
        spread = "" if np.isclose(low, high) else f" ({low:.3g}-{high:.3g})"
        return f"{self.value:.3g} {self.unit}{spread}"


def given(
    name: str,
    value: float,
    unit: str,
    *,
    low: float | None = None,
    high: float | None = None,
    factor: str | None = None,
    design: Design = ONE_AT_A_TIME,
    basis: Basis = "assumed",
    sources: tuple[Source, ...] = (),
    note: str = "",
    key: str = "",
) -> Quantity:
    """A fact, a choice or an assumption; `factor` moves it between `low` and `high`, its 80 % interval.

    key: of an input that a reader may change, by which it is found, whatever its name

    >>> given("requests per month", 1e5, "1", low=5e4, high=2e5, factor="traffic").drivers()
    {'traffic': 1.0}
    """
    of = _given_once if design is ONE_AT_A_TIME else _given
    return of(name, float(value), unit, low, high, factor, design, basis, sources, note, key)


def _given(
    name: str,
    value: float,
    unit: str,
    low: float | None,
    high: float | None,
    factor: str | None,
    design: Design,
    basis: Basis,
    sources: tuple[Source, ...],
    note: str,
    key: str,
) -> Quantity:
    column = np.full(len(design.moves), value)
    if factor is not None and low is not None and high is not None and value > 0:
        column = column * _displacement(design, factor, np.log(value / low) if low > 0 else 0.0, np.log(high / value))
    return Quantity(name, unit, column, design, basis, sources, note=note, key=key)


def uncertain(quantity: Quantity, factor: str, down: float, up: float) -> Quantity:
    """The same quantity, uncertain by exp(-down) to exp(+up) through `factor`: the error of a model, say."""
    of = _uncertain_once if quantity.design is ONE_AT_A_TIME else _uncertain
    return of(quantity, factor, down, up)


def _uncertain(quantity: Quantity, factor: str, down: float, up: float) -> Quantity:
    return replace(quantity, column=quantity.column * _displacement(quantity.design, factor, down, up))


def scenarios(values: Floats, factor: str, down: Floats, up: Floats) -> Floats:
    """Columns of many figures, each uncertain by exp(-down) to exp(+up) through `factor` [1 + 2 factors, figures].

    >>> low, high = intervals(scenarios(np.array([1.0, 5.0]), "power", np.log([2.0, 1.0]), np.log([4.0, 2.0])))
    >>> low.round(9).tolist(), high.round(9).tolist()
    ([0.5, 5.0], [4.0, 10.0])
    """
    return values * _displacement(ONE_AT_A_TIME, factor, down[:, None], up[:, None]).T


def _displacement(design: Design, factor: str, down: ArrayLike, up: ArrayLike) -> Floats:
    move = design.moves[:, FACTORS.index(factor)]
    return np.exp(np.where(move < 0, down, up) * move)


# From the best known to the least: a figure is as well known as the weakest of its inputs, at best analytic.
BASES: tuple[Basis, ...] = ("measured", "published", "list price", "analytic", "assumed")
WEAKNESS = {basis: max(place, BASES.index("analytic")) for place, basis in enumerate(BASES)}


def derive(
    name: str,
    unit: str,
    formula: Callable[..., ArrayLike],
    /,
    **inputs: Quantity,
) -> Quantity:
    """A figure computed by `formula` from other quantities, in every scenario at once.

    Its basis is the weakest of its inputs', at best analytic.

    >>> hours = given("time", 10.0, "h")
    >>> str(derive("cost", "USD", lambda hours, rate: hours * rate, hours=hours, rate=given("rate", 3.0, "USD/h")))
    '30 USD'
    """
    of = _derived_once if next(iter(inputs.values())).design is ONE_AT_A_TIME else _derived
    return of(name, unit, formula, **inputs)


def computed(
    name: str, unit: str, result: ArrayLike, formula: Callable[..., ArrayLike] | None, /, **inputs: Quantity
) -> Quantity:
    """A figure whose column is known already: one of several that `formula` gives at once from `inputs`."""
    return _result(name, unit, result, formula, inputs)


def predicted(
    name: str, unit: str, result: ArrayLike, predictor: Callable[..., object], /, **inputs: Quantity
) -> Quantity:
    """A figure that a predictor found; `inputs` say what it rests on, but no formula gives it from them."""
    if next(iter(inputs.values())).design is ONE_AT_A_TIME:
        return _predicted_once(name, unit, np.asarray(result, float).tobytes(), predictor, **inputs)
    return _result(name, unit, result, predictor, inputs, predicted=True)


def predictions(
    name: str,
    unit: str,
    results: Floats,
    predictor: Callable[..., object],
    moved: tuple[str, Floats, Floats] | None,
    /,
    **inputs: Quantity,
) -> list[Quantity]:
    """Figures that a predictor found at once, one a row; moved: `uncertain` by this factor, down and up of each."""
    design = next(iter(inputs.values())).design
    columns = np.repeat(results[:, None], len(design.moves), axis=1)
    if moved is not None:
        factor, down, up = moved
        columns = columns * _displacement(design, factor, down[:, None], up[:, None])
    return [_result(name, unit, column, predictor, inputs, predicted=True) for column in columns]


def _predicted(
    name: str, unit: str, result: bytes, predictor: Callable[..., object], /, **inputs: Quantity
) -> Quantity:
    return _result(name, unit, np.frombuffer(result), predictor, inputs, predicted=True)


def _derived(name: str, unit: str, formula: Callable[..., ArrayLike], /, **inputs: Quantity) -> Quantity:
    result = formula(**{key: quantity.column for key, quantity in inputs.items()})
    return _result(name, unit, result, formula, inputs)


def _result(
    name: str,
    unit: str,
    result: ArrayLike,
    formula: Callable[..., object] | None,
    inputs: Mapping[str, Quantity],
    predicted: bool = False,
) -> Quantity:
    design = next(iter(inputs.values())).design
    column = np.asarray(result, float)
    if column.size == 1:  # the same in every scenario
        column = np.full(len(design.moves), column)
    basis = BASES[max([WEAKNESS[quantity.basis] for quantity in inputs.values()])]
    return Quantity(name, unit, column, design, basis, (), formula, inputs, predicted=predicted)


def total(name: str, unit: str, parts: Sequence[Quantity], design: Design = ONE_AT_A_TIME) -> Quantity:
    """The sum of parts, which stay visible as its inputs; zero when there are none."""
    if not parts:
        return given(name, 0.0, unit, design=design, basis="analytic")
    return derive(name, unit, sum_of, **dict(zip(_places(len(parts)), parts, strict=True)))


@lru_cache(1024)
def _places(count: int) -> tuple[str, ...]:
    return tuple(f"part_{place}" for place in range(count))


# The same input is one Quantity, and so is what a formula makes of the same inputs: asked again with another price,
# most of an answer is there already. Formulas are pure, so nothing here rests on facts that change. Random draws are
# too large to keep.
REMEMBERED = 8192
_given_once, _uncertain_once = lru_cache(REMEMBERED)(_given), lru_cache(REMEMBERED)(_uncertain)
_derived_once, _predicted_once = lru_cache(REMEMBERED)(_derived), lru_cache(REMEMBERED)(_predicted)


def _cited(figure: Quantity) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for node in figure.walk() for source in node.sources))


_citations = lru_cache(REMEMBERED)(_cited)


@lru_cache(REMEMBERED)
def _titles(sources: tuple[Source, ...]) -> tuple[str, ...]:
    return tuple(map(str, sources))


@lru_cache(REMEMBERED)
def _interval(figure: Quantity, level: float) -> tuple[float, float]:
    low, high = intervals(figure.column, level)
    return float(low), float(high)


def intervals(column: Floats, level: float = 0.8) -> tuple[Floats, Floats]:
    """Ends of the central interval that holds `level` of the outcomes, of one figure or of one in every row.

    column: as expected, every factor low, every factor high [1 + 2 factors] or [1 + 2 factors, rows]

    >>> low, high = intervals(np.array([[4.0, 0.0], [2.0, -1.0], [8.0, 1.0]]))  # two rows that one factor moves
    >>> low.round(9).tolist(), high.round(9).tolist()
    ([2.0, -1.0], [8.0, 1.0])
    """
    expected, stretch = column[0], reach(level)
    if len(column) == 1:
        return expected, expected
    with np.errstate(all="ignore"):
        least = column.min(axis=0)
        below, above = _factor_moves(column, least)
        down, up = np.minimum(below, above), np.maximum(below, above, out=above)
        down = stretch * _root_of_squares(np.minimum(down, 0.0, out=down))
        up = stretch * _root_of_squares(np.maximum(up, 0.0, out=up))
        if (least > 0).all():
            return expected * np.exp(-down), expected * np.exp(up)
        floor = np.where(least >= 0, 0.0, -np.inf)  # never below zero, such as a cost: neither is its range
        low = np.where(least > 0, expected * np.exp(-down), np.maximum(expected - down, floor))
        return low, np.where(least > 0, expected * np.exp(up), expected + up)


def _root_of_squares(moves: Floats) -> Floats:
    """Of all factors' moves; many rows in one pass, without an array of their squares."""
    squares = np.einsum("fr,fr->r", moves, moves) if moves.ndim == 2 else (moves**2).sum()
    return np.asarray(np.sqrt(squares))


def _factor_moves(column: Floats, least: Floats) -> Floats:
    """How far each factor's low and high end move a figure [2, factors, ...]: in ln, around zero in the unit itself.

    least: of all its scenarios
    """
    in_log, ends = least > 0, column[1:]
    moves: Floats = ends / column[0]
    moves = np.log(moves, out=moves)
    if not in_log.all():
        moves = np.where(in_log, moves, ends - column[0])
    return moves.reshape(2, len(ends) // 2, *column.shape[1:])


def _factor_widths(column: Floats) -> Floats:
    with np.errstate(all="ignore"):
        moves = _factor_moves(column, column.min(axis=0))
    widths: Floats = (moves.max(axis=0, initial=0.0) - moves.min(axis=0, initial=0.0)) / 2
    return widths


def reach(level: float) -> float:
    """How far a range that holds `level` of normal errors reaches, over one that holds 80 % [1].

    >>> reach(0.8), round(reach(0.9), 3)
    (1.0, 1.283)
    """
    if level == 0.8:
        return 1.0
    from statistics import NormalDist  # slow to import, and 80 % is what is nearly always asked

    return NormalDist().inv_cdf(0.5 + level / 2) / Z80
