"""Columns of figures in the scenarios that move them, and the steps that make some of them from others.

A sweep's block of rows is a few hundred such steps. What is the same is taken once, whichever figures need it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import or_
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.formulas.arithmetic import product, sum_of
from estimator.quantities import FACTORS, Quantity
from estimator.scenario import Amount


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

    def joined(self, fold: np.ufunc, other: "Moved", here: bool = False) -> "Moved":
        """Both, added or multiplied, in the scenarios of either. here: the result may take this column's place."""
        factors, runs = _runs(self.factors, other.factors)
        if len(runs) == 1 and not here:
            return Moved(factors, fold(self.column, other.column))
        shape = (1 + 2 * factors.bit_count(), max(self.column.shape[1], other.column.shape[1]))
        found = self.column if here and shape == self.column.shape else np.empty(shape)
        for rows, own, its in runs:
            fold(self.column[own], other.column[its], out=found[rows])
        return Moved(factors, found)


@lru_cache(maxsize=4096)
def _places(own: int, factors: int) -> NDArray[np.intp]:
    """Where in a column moved by its own factors each scenario of more factors is found."""
    bits = [bit for bit in range(len(FACTORS)) if factors >> bit & 1]
    places = {bit: 1 + place for place, bit in enumerate(bit for bit in bits if own >> bit & 1)}
    highs = [places[bit] + len(places) if bit in places else 0 for bit in bits]
    return np.array([0, *(places.get(bit, 0) for bit in bits), *highs])


Run: TypeAlias = tuple[slice, slice, slice]


@lru_cache(maxsize=4096)
def _runs(own: int, other: int) -> tuple[int, list[Run]]:
    """Of two columns' factors all, and where what they are joined to comes from: scenarios of all, of each of the two.

    Scenarios are taken together as long as each column goes on from one to the next, or keeps the same for all of them.
    """
    factors = own | other
    places = [_places(one, factors) if one else np.zeros(1 + 2 * factors.bit_count(), int) for one in (own, other)]
    steps = [np.diff(place) for place in places]
    runs: list[Run] = []
    start = 0
    for end in range(1, len(places[0]) + 1):
        inside = [step[start:end] for step in steps]
        if end < len(places[0]) and all((step == step[0]).all() and step[0] in (0, 1) for step in inside):
            continue
        own_rows, its_rows = (slice(int(place[start]), int(place[end - 1]) + 1) for place in places)
        runs.append((slice(start, end), own_rows, its_rows))
        start = end
    return factors, runs


def moved(column: Floats) -> Moved:
    """The column of a Quantity, less the scenarios that do not move it [1 + 2 factors, 1]."""
    if (column == column[0]).all():
        return Moved(0, column[:1, None])
    differ = (column[1:] != column[0]).reshape(2, len(FACTORS)).any(axis=0) & ~np.isnan(column[0])
    bits = np.flatnonzero(differ)
    kept = np.concatenate([[0], 1 + bits, 1 + len(FACTORS) + bits])
    return Moved(sum(1 << int(bit) for bit in bits), column[kept, None])


NOTHING = Moved(0, np.empty((1, 1)))  # a column that is not there yet, or not any more


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


Formula: TypeAlias = Callable[..., Floats]


class Step(NamedTuple):
    """One column from others: two of them added or multiplied, or a formula of several by its arguments' names.

    spent: columns that nothing needs after it; here: the first is one of them, and the result may take its place
    """

    place: int
    how: np.ufunc | Formula
    parts: tuple[int, ...]
    names: tuple[str, ...] = ()
    spent: tuple[int, ...] = ()
    here: bool = False

    def taken(self, columns: Sequence[Moved]) -> Moved:
        """Its column."""
        parts = [columns[part] for part in self.parts]
        if isinstance(self.how, np.ufunc):
            return parts[0].joined(self.how, parts[1], self.here)
        factors = reduce(or_, (part.factors for part in parts))
        found = self.how(**{name: part.beside(factors) for name, part in zip(self.names, parts, strict=True)})
        scenarios = 1 + 2 * factors.bit_count()
        if len(found) != scenarios:  # the formula has no use for what moves some of its parts
            found = np.broadcast_to(found, (scenarios, found.shape[1]))
        return Moved(factors, found)


def _is_infinite(column: Floats) -> bool:
    """Whether any of it is; unknown is not."""
    return not np.isfinite(column.sum()) and bool(np.isinf(column).any())


class Steps:
    """What is computed anew where some inputs change, in order, each step once however many figures take it.

    Sums are taken part by part, from left to right as their formula does, so that those that begin alike share it.
    """

    def __init__(self, nodes: Sequence[Node], inputs: Collection[int], roots: Sequence[int], *, exact: bool) -> None:
        """exact: with all parts of sums; else none that is nothing times others, which are finite where the sum is."""
        self.columns = [node.was for node in nodes]
        self._exact, self._changed = exact, set(inputs)
        self._steps: dict[tuple[object, ...], Step] = {}
        self._sums: dict[int, set[int]] = {}  # the parts of each
        self._nothing: dict[int, set[int]] = {}  # products with nothing, of the parts of which sum
        self._shortened: set[int] = set()  # sums that such products were left out of
        same = list(range(len(nodes)))  # where each node's column is found
        for place, node in enumerate(nodes):
            parts = [same[part] for part in node.parts.values()]
            if place not in self._changed and not self._changed.isdisjoint(parts):
                same[place] = self._node(node, parts)
        self.roots = [same[root] for root in roots]
        self._numbers: dict[int, list[int]] = {}  # of the roots at a place
        for number, root in enumerate(self.roots):
            self._numbers.setdefault(root, []).append(number)
        self.steps = [*self._needed()]

    def taken(self, values: Mapping[int, Moved]) -> Iterator[tuple[int, Moved]]:
        """Each root's column with other values of the inputs by their places, as soon as it is there, by its number.

        Raises FloatingPointError where that takes exact steps.
        """
        columns = self.columns.copy()
        for place, column in values.items():
            columns[place] = column
        made = {step.place for step in self.steps}
        yield from ((number, columns[root]) for number, root in enumerate(self.roots) if root not in made)
        with np.errstate(all="ignore"):
            for step in self.steps:
                found = columns[step.place] = step.taken(columns)
                if step.place in self._shortened and _is_infinite(found.column):
                    raise FloatingPointError
                yield from ((number, found) for number in self._numbers.get(step.place, ()))
                for place in step.spent:
                    columns[place] = NOTHING

    def _node(self, node: Node, parts: list[int]) -> int:
        """The place of a node's column, its steps added where they are new."""
        formula = node.figure.formula
        if formula is None:
            raise ValueError(f"{node.figure.name} has parts and no formula")
        if formula is sum_of:
            kept = [part for part in parts if not self._is_nothing(part, parts)]
            place = self._fold(np.add, kept)
            self._sums[place] = set(parts)
            if kept != parts:
                self._shortened.add(place)
        elif formula is product:
            place = self._fold(np.multiply, parts)
            some = [part for part in parts if part in self._changed or self.columns[part].column.any()]
            if len(some) == 1 < len(parts):
                self._nothing[place] = self._sums.get(some[0], set(some))
        else:
            place = self._step(formula, tuple(parts), tuple(node.parts))
        if node.error is None:
            return place
        self.columns.append(node.error)
        return self._step(np.multiply, (place, len(self.columns) - 1))

    def _is_nothing(self, part: int, parts: Collection[int]) -> bool:
        return not self._exact and part in self._nothing and self._nothing[part].issubset(parts)

    def _fold(self, how: np.ufunc, parts: Sequence[int]) -> int:
        return reduce(lambda place, part: self._step(how, (place, part)), parts)

    def _step(self, how: np.ufunc | Formula, parts: tuple[int, ...], names: tuple[str, ...] = ()) -> int:
        key = (how, parts, names)
        if key not in self._steps:
            step = self._steps[key] = Step(len(self.columns), how, parts, names)
            self.columns.append(NOTHING)
            if self._changed.isdisjoint(parts):  # of what stays: once for all
                with np.errstate(all="ignore"):
                    self.columns[step.place] = step.taken(self.columns)
            else:
                self._changed.add(step.place)
        return self._steps[key].place

    def _needed(self) -> Iterator[Step]:
        """The steps that the roots rest on, in order, with what nothing needs any more after each."""
        needed, kept = set(self.roots), dict[int, Step]()
        for step in reversed(self._steps.values()):
            if step.place in needed and step.place in self._changed:
                kept[step.place] = step
                needed.update(step.parts)
        spent_before: set[int] = set()
        done = []
        for step in kept.values():  # the last first
            spent = tuple(part for part in dict.fromkeys(step.parts) if part in kept and part not in spent_before)
            spent_before.update(spent)
            first, *others = step.parts
            fresh = first in spent and first not in others and isinstance(kept[first].how, np.ufunc)
            done.append(step._replace(spent=spent, here=fresh))
        yield from reversed(done)
