"""How a figure follows what it rests on: in proportion (1), half as fast in ln (0.5), not at all (0)."""

import math
from functools import cache

import numpy as np

from estimator.formulas import Floats
from estimator.formulas.arithmetic import product, sum_of
from estimator.quantities import Quantity


@np.errstate(all="ignore")
def follows(figure: Quantity) -> dict[str, float]:
    """How a figure follows each of its inputs when that is half or twice as large [1].

    >>> from estimator.quantities import derive, given
    >>> large, small = given("large", 90.0, "USD"), given("small", 10.0, "USD")
    >>> follows(derive("whole", "USD", sum_of, large=large, small=small))
    {'large': 0.9, 'small': 0.1}
    >>> round(follows(derive("side", "m", lambda area: area**0.5, area=large))["area"], 9)
    0.5
    """
    return _follows(figure)


def _follows(figure: Quantity) -> dict[str, float]:
    inputs = figure.inputs
    if figure.predicted:
        return {name: _moved_with(figure, part) for name, part in inputs.items()}
    if figure.formula is sum_of:
        whole = sum(abs(part.value) for part in inputs.values())
        return {name: abs(part.value) / whole if whole else 1.0 for name, part in inputs.items()}
    if figure.formula is product:
        return dict.fromkeys(inputs, 1.0)
    moved = np.abs(np.log2(_changed(figure) / figure.value))
    most = np.where(np.isfinite(moved), moved, 1.0).max(axis=0)
    return dict(zip(inputs, np.minimum(most, 1.0).tolist(), strict=True))


def _changed(figure: Quantity) -> Floats:
    """The figure with each input by itself halved, then doubled [2, inputs]; NaN where no formula gives it."""
    values, shape = np.array([[part.value] for part in figure.inputs.values()]), (2, len(figure.inputs))
    columns = dict(zip(figure.inputs, values * _by_turns(len(values)), strict=True))
    try:
        found = np.asarray(figure.formula(**columns) if figure.formula else math.nan, float)
        return np.broadcast_to(found, 2 * len(values)).reshape(shape)
    except (TypeError, ValueError):
        return np.full(shape, math.nan)


@cache
def _by_turns(count: int) -> Floats:
    """What each of so many inputs is multiplied by when one after the other is halved, then doubled."""
    each = np.eye(count)
    return np.asarray(2.0 ** np.hstack([-each, each]))


def _moved_with(figure: Quantity, part: Quantity) -> float:
    """The same of a prediction: how far it moves in ln where the input moves most, over how far that does."""
    if part.value <= 0 or figure.value <= 0 or (part.column <= 0).any() or (figure.column <= 0).any():
        return 1.0
    moves = np.abs(np.log(part.column / part.value))
    most = int(moves.argmax())
    return float(min(abs(math.log(figure.column[most] / figure.value)) / moves[most], 1.0)) if moves[most] else 0.0


@np.errstate(all="ignore")
def weights(figure: Quantity, least: float = 0.01) -> dict[int, tuple[Quantity, float]]:
    """How a figure follows each thing it rests on without being computed, by all ways together [1].

    least: what is followed less than this along a way is left out of it
    """
    own: dict[int, float] = {id(figure): 1.0}
    found: dict[int, tuple[Quantity, float]] = {}
    for node in reversed(_parts_first(figure)):
        weight = own.get(id(node), 0.0)
        if weight < least or not node.known:
            continue
        if not (node.formula and node.inputs):
            found[id(node)] = node, weight
        for name, share in (_follows(node) if node.inputs else {}).items():
            part = id(node.inputs[name])
            own[part] = own.get(part, 0.0) + weight * share
    return found


def _parts_first(figure: Quantity) -> list[Quantity]:
    """Everything beneath a figure and itself, each once, inputs before what uses them."""
    order: dict[int, Quantity] = {}
    pending = [(figure, False)]
    while pending:
        node, ready = pending.pop()
        if ready:
            order.setdefault(id(node), node)
        elif id(node) not in order:
            pending.append((node, True))
            pending += [(part, False) for part in node.inputs.values()]
    return list(order.values())
