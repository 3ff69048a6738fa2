"""Which inputs a finished answer can be computed anew from: those that no prediction and no choice of layout rests on.

The tree behind a figure holds its formulas and inputs. A *live* input enters only through formulas, so another value
for it needs no new prediction: a workbook or a sweep recomputes the formulas and has what a new estimate would say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from estimator.plans import Amount, default_scenario
from estimator.pricing import USER_SOURCE
from estimator.quantities import FACTORS, Floats, Quantity
from estimator.stages.question import SCENARIO_SOURCE

HIGHEST_PRICE = 1e8
# Inputs by whose value a cluster, a layout or another way of working is chosen, before any formula of the tree.
CHOOSING = (
    "training_tokens",
    "unique_tokens",
    "continued_tokens",
    "deadline_days",
    "failures_per_1000_node_days",
    "restart_minutes",
    "checkpoint_write_s",
    "pretrain_seq_len",
    "batch_tokens",
    "corpus_tokens",
    "corpus_words",
    "managed_usd_per_mtok",
)


def is_predicted(figure: Quantity) -> bool:
    """Whether a predictor found the figure: its inputs say why, but no formula gives it."""
    return figure.formula is not None and figure.formula.__module__.startswith("estimator.predict")


def is_input(figure: Quantity) -> bool:
    """Whether the figure is a number of the scenario or a price."""
    if figure.formula is not None and figure.inputs:
        return False
    scenario = figure.name.replace(" ", "_") in default_scenario().amounts
    price = figure.unit.startswith("USD") and (figure.value != 0 or not figure.known)
    return price or (scenario and figure.sources[:1] in ((SCENARIO_SOURCE,), (USER_SOURCE,)))


def described(figure: Quantity) -> tuple[str, Amount]:
    """Name of an input, `price_` before it where it is a price by itself, and its bounds and factor."""
    name = figure.name.replace(" ", "_")
    known = default_scenario().amounts.get(name)
    if known is not None:
        return name, known
    usual = "accelerator price" if figure.unit == "USD/h" else "service price"
    factor = moved_by(figure.column) or usual
    return "price_" + name, Amount(figure.value, figure.unit, 0.0, HIGHEST_PRICE, figure.note, factor=factor)


def moved_by(column: Floats) -> str:
    """The one factor that moves a column; empty when none does."""
    ends = np.abs(column[1:] - column[0]).reshape(2, len(FACTORS)).max(axis=0)
    return FACTORS[int(ends.argmax())] if ends.max() > 0 else ""


def model_error(figure: Quantity, result: Any) -> Floats | None:
    """The figure over what its formula gives, in every scenario; None when the formula is not how it came about."""
    with np.errstate(all="ignore"):
        ratio = np.asarray(figure.column / result)
    ratio = np.where(np.isfinite(ratio), ratio, 1.0)
    if not np.isclose(ratio[0], 1.0, rtol=1e-12, atol=0):
        return None
    return np.where(np.isclose(ratio, 1.0, rtol=1e-12, atol=0), 1.0, ratio)


@dataclass(slots=True, eq=False)
class Node:
    """One figure of a tree. name: of an input; parts: places of a formula's arguments; error: of a model, on top."""

    figure: Quantity
    name: str = ""
    bounds: Amount | None = None
    parts: dict[str, int] = field(default_factory=dict)
    error: Floats | None = None


class Tree:
    """What some figures rest on, each once and its parts before it; recomputed for other values of live inputs."""

    def __init__(self, figures: Iterable[Quantity]) -> None:
        self.nodes: list[Node] = []
        self._places: dict[int, int] = {}
        self._fixed: set[int] = set()
        self.fixed: set[str] = set()  # inputs by name that a prediction in this tree rests on
        self.roots = [self._place(figure) for figure in figures]
        self.live = {
            node.name: place
            for place, node in enumerate(self.nodes)
            if node.name and id(node.figure) not in self._fixed and node.name not in CHOOSING
        }
        self.factors = self._moving()
        places = np.array([FACTORS.index(name) for name in self.factors], dtype=int)
        self.scenarios = np.concatenate([[0], 1 + places, 1 + len(FACTORS) + places])
        self._released = self._last_uses()

    def column(self, place: int) -> Floats:
        """A figure as it was, in the scenarios that matter [scenarios, 1]."""
        return self.nodes[place].figure.column[self.scenarios, None]

    def recomputed(self, values: Mapping[str, Floats]) -> list[Any]:
        """The figures of the tree with other inputs [scenarios, rows]; what does not change stays [scenarios, 1].

        The scenarios are those of `scenarios`: as expected, each of `factors` low, each of them high.
        """
        columns: list[Any] = []
        changed = [False] * len(self.nodes)
        with np.errstate(all="ignore"):
            for place, node in enumerate(self.nodes):
                changed[place] = node.name in values or any(changed[part] for part in node.parts.values())
                if node.name in values:
                    columns.append(values[node.name])
                elif changed[place] and node.figure.formula is not None:
                    found = node.figure.formula(**{key: columns[part] for key, part in node.parts.items()})
                    columns.append(found if node.error is None else found * node.error[self.scenarios, None])
                else:
                    columns.append(self.column(place))
                for spent in self._released[place]:
                    columns[spent] = None
        return [columns[root] for root in self.roots]

    def _moving(self) -> list[str]:
        """The factors that move any figure, or would if a live input had a range."""
        moved = np.zeros(2 * len(FACTORS), bool)
        for node in self.nodes:
            moved |= np.abs(node.figure.column[1:] - node.figure.column[0]) > 0
        either = moved[: len(FACTORS)] | moved[len(FACTORS) :]
        offered = {bounds.factor for place in self.live.values() if (bounds := self.nodes[place].bounds)}
        return [name for name, moves in zip(FACTORS, either, strict=True) if moves or name in offered]

    def _last_uses(self) -> list[list[int]]:
        """For each figure those that nothing needs after it: their memory serves the next."""
        last = {part: place for place, node in enumerate(self.nodes) for part in node.parts.values()}
        released: list[list[int]] = [[] for _ in self.nodes]
        for part, place in last.items():
            if part not in self.roots:
                released[place].append(part)
        return released

    def _place(self, figure: Quantity) -> int:
        if id(figure) not in self._places:
            node = self._node(figure)
            self._places[id(figure)] = len(self.nodes)
            self.nodes.append(node)
        return self._places[id(figure)]

    def _node(self, figure: Quantity) -> Node:
        if is_input(figure):
            return Node(figure, *described(figure))
        if figure.formula is None or not figure.inputs:
            return Node(figure)
        if is_predicted(figure):
            return self._physical(figure)
        parts = {key: self._place(part) for key, part in figure.inputs.items()}
        with np.errstate(all="ignore"):
            error = model_error(figure, figure.formula(**{key: part.column for key, part in figure.inputs.items()}))
        if error is None:
            return self._physical(figure)
        return Node(figure, parts=parts, error=error if (error != 1).any() else None)

    def _physical(self, figure: Quantity) -> Node:
        beneath = list(figure.walk())
        self._fixed |= {id(node) for node in beneath}
        self.fixed |= {described(node)[0] for node in beneath if is_input(node)}
        return Node(figure)
