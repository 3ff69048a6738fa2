"""Which inputs a finished answer can be computed anew from: those that no prediction and no choice of layout rests on.

The tree behind a figure holds its formulas and inputs. A *live* input enters only through formulas, so another value
for it needs no new prediction: a workbook or a sweep recomputes the formulas and has what a new estimate would say.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import or_
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.quantities import FACTORS, Quantity
from estimator.scenario import Amount, default_scenario

HIGHEST_PRICE = 1e8


def bounds_of(figure: Quantity) -> Amount:
    """What an input may be, and the factor that moves it."""
    known = default_scenario().amounts.get(figure.key)
    if known is not None:
        return known
    usual = "accelerator price" if figure.unit == "USD/h" else "service price"
    factor = moved_by(figure.column) or usual
    return Amount(figure.value, figure.unit, 0.0, HIGHEST_PRICE, figure.note, factor=factor)


def moved_by(column: Floats) -> str:
    """The one factor that moves a column; empty when none does."""
    ends = np.abs(column[1:] - column[0]).reshape(2, len(FACTORS)).max(axis=0)
    return FACTORS[int(ends.argmax())] if ends.max() > 0 else ""


def model_error(figure: Quantity, result: Floats) -> Floats | None:
    """The figure over what its formula gives, in every scenario; None when the formula is not how it came about."""
    with np.errstate(all="ignore"):
        ratio = np.asarray(figure.column / result)
    ratio = np.where(np.isfinite(ratio), ratio, 1.0)
    as_given = np.abs(ratio - 1.0) <= 1e-12
    return np.where(as_given, 1.0, ratio) if as_given[0] else None


class Moved(NamedTuple):
    """A figure of one or many rows, in no more scenarios than those that move it.

    factors: those that do, a bit for each by its place in FACTORS
    column: as expected, then with each of them low, then with each of them high [1 + 2 factors, rows]
    """

    factors: int
    column: Floats

    def beside(self, factors: int) -> Floats:
        """The column with further factors, which do not move it; one that nothing moves stays [1, rows]."""
        if factors == self.factors or not self.factors:
            return self.column
        found: Floats = self.column[_places(self.factors, factors)]
        return found


@lru_cache(maxsize=4096)
def _places(own: int, factors: int) -> NDArray[np.intp]:
    """Where in a column moved by its own factors each scenario of more factors is found."""
    bits = [bit for bit in range(len(FACTORS)) if factors >> bit & 1]
    places = {bit: 1 + place for place, bit in enumerate(bit for bit in bits if own >> bit & 1)}
    highs = [places[bit] + len(places) if bit in places else 0 for bit in bits]
    return np.array([0, *(places.get(bit, 0) for bit in bits), *highs])


def moved(column: Floats) -> Moved:
    """The column of a Quantity, less the scenarios that do not move it [1 + 2 factors, 1]."""
    if (column == column[0]).all():
        return Moved(0, column[:1, None])
    differ = (column[1:] != column[0]).reshape(2, len(FACTORS)).any(axis=0) & ~np.isnan(column[0])
    bits = np.flatnonzero(differ)
    kept = np.concatenate([[0], 1 + bits, 1 + len(FACTORS) + bits])
    return Moved(sum(1 << int(bit) for bit in bits), column[kept, None])


class Origin(NamedTuple):
    """How a figure came about: as it was; by its formula alone, with an error of a model on top; or in another way."""

    was: Moved
    by_formula: bool = False
    error: Moved | None = None


@lru_cache(maxsize=16_384)
def origin(figure: Quantity) -> Origin:
    """How a figure came about, worked out once for all trees it is in."""
    was = moved(figure.column)
    if figure.formula is None or not figure.inputs or figure.predicted:
        return Origin(was)
    with np.errstate(all="ignore"):
        error = model_error(figure, figure.formula(**{key: part.column for key, part in figure.inputs.items()}))
    if error is None:
        return Origin(was)
    return Origin(was, True, moved(error) if (error != 1).any() else None)


@dataclass(slots=True, eq=False)
class Node:
    """One figure of a tree. key: of an input; parts: places of a formula's arguments; error: of a model, on top.

    was: the figure before any input changed
    """

    figure: Quantity
    was: Moved
    key: str = ""
    bounds: Amount | None = None
    parts: dict[str, int] = field(default_factory=dict)
    error: Moved | None = None

    def anew(self, columns: Mapping[int, Moved]) -> Moved:
        """What the formula makes of its parts where they are among `columns`."""
        if self.figure.formula is None:
            return self.was
        parts = {key: columns[part] for key, part in self.parts.items()}
        factors = reduce(or_, (part.factors for part in parts.values()), self.error.factors if self.error else 0)
        found = self.figure.formula(**{key: part.beside(factors) for key, part in parts.items()})
        found = found * self.error.beside(factors) if self.error else found
        scenarios = 1 + 2 * factors.bit_count()
        if len(found) != scenarios:  # the formula has no use for what moves some of its parts
            found = np.broadcast_to(found, (scenarios, found.shape[1]))
        return Moved(factors, found)


class Tree:
    """What some figures rest on, each once and its parts before it; recomputed for other values of live inputs."""

    def __init__(self, figures: Iterable[Quantity], chosen_by: Collection[str]) -> None:
        """chosen_by: inputs by whose value something was chosen before any formula: none of these is live."""
        self.nodes: list[Node] = []
        self._places: dict[int, int] = {}
        self._fixed: set[int] = set()
        self.fixed: set[str] = set()  # inputs by key that a prediction in this tree rests on
        self.roots = [self._place(figure) for figure in figures]
        self.live = {
            node.key: place
            for place, node in enumerate(self.nodes)
            if node.key and id(node.figure) not in self._fixed and node.key not in chosen_by
        }
        self._steps: dict[frozenset[str], list[tuple[int, list[int]]]] = {}

    def recomputed(self, values: Mapping[str, Moved]) -> list[Moved]:
        """The figures of the tree with other values of live inputs by key, many rows at once."""
        columns = {place: node.was for place, node in enumerate(self.nodes)}
        columns |= {self.live[name]: column for name, column in values.items()}
        with np.errstate(all="ignore"):
            for place, spent in self._changed(frozenset(values)):
                columns[place] = self.nodes[place].anew(columns)
                for part in spent:
                    del columns[part]
        return [columns[root] for root in self.roots]

    def _changed(self, names: frozenset[str]) -> list[tuple[int, list[int]]]:
        """Figures that change with these inputs, in order, each with those that nothing needs after it."""
        if names not in self._steps:
            changed = {self.live[name] for name in names}
            steps = []
            for place, node in enumerate(self.nodes):
                if place not in changed and not changed.isdisjoint(node.parts.values()):
                    changed.add(place)
                    steps.append(place)
            last = {part: place for place in steps for part in self.nodes[place].parts.values() if part in changed}
            kept = set(self.roots)
            self._steps[names] = [
                (at, [part for part in last if last[part] == at and part not in kept]) for at in steps
            ]
        return self._steps[names]

    def _place(self, figure: Quantity) -> int:
        if id(figure) not in self._places:
            node = self._node(figure)
            self._places[id(figure)] = len(self.nodes)
            self.nodes.append(node)
        return self._places[id(figure)]

    def _node(self, figure: Quantity) -> Node:
        was, by_formula, error = origin(figure)
        if figure.key:
            return Node(figure, was, figure.key, bounds_of(figure))
        if by_formula:
            return Node(figure, was, parts={key: self._place(part) for key, part in figure.inputs.items()}, error=error)
        beneath = list(figure.walk())[1:]
        self._fixed |= {id(node) for node in beneath}
        self.fixed |= {node.key for node in beneath if node.key}
        return Node(figure, was)
