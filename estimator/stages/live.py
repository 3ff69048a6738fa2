"""Which inputs a finished answer can be computed anew from: those that no prediction and no choice of layout rests on.

The tree behind a figure holds its formulas and inputs. A *live* input enters only through formulas, so another value
for it needs no new prediction: a workbook or a sweep recomputes the formulas and has what a new estimate would say.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from estimator.formulas import Floats
from estimator.quantities import FACTORS, Quantity
from estimator.scenario import Amount, default_scenario
from estimator.stages.steps import Moved, Node, Steps, moved

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
        self._steps: dict[tuple[int, ...], Steps] = {}  # by what changes

    def recomputed(self, values: Mapping[str, Moved]) -> Iterator[tuple[int, Moved]]:
        """The figures of the tree with other values of live inputs by key, many rows at once, each by its number.

        They come as soon as they are there, to be read before the next: its column may take their place. Where one has
        to be worked out anew, all of them come again.
        """
        changed = {self.live[name]: column for name, column in values.items()}
        try:
            yield from self._taken(changed, exact=False)
        except FloatingPointError:
            yield from self._taken(changed, exact=True)

    def _taken(self, changed: Mapping[int, Moved], *, exact: bool) -> Iterator[tuple[int, Moved]]:
        key = (*sorted(changed), exact)
        if key not in self._steps:
            self._steps[key] = Steps(self.nodes, changed, self.roots, exact=exact)
        return self._steps[key].taken(changed)

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
