"""How a figure follows what it rests on: in proportion (1), half as fast in ln (0.5), not at all (0)."""

import math

import numpy as np

from estimator.formulas.arithmetic import product, sum_of
from estimator.quantities import Quantity


@np.errstate(all="ignore")
def follows(figure: Quantity, name: str) -> float:
    """How a figure follows one of its inputs when that is half or twice as large [1].

    >>> from estimator.quantities import derive, given
    >>> large, small = given("large", 90.0, "USD"), given("small", 10.0, "USD")
    >>> whole = derive("whole", "USD", sum_of, large=large, small=small)
    >>> follows(whole, "large"), follows(whole, "small")
    (0.9, 0.1)
    """
    return _follows(figure, name)


def _follows(figure: Quantity, name: str) -> float:
    if figure.predicted:
        return _moved_with(figure, figure.inputs[name])
    if figure.formula is sum_of:
        whole = sum(abs(part.value) for part in figure.inputs.values())
        return abs(figure.inputs[name].value) / whole if whole else 1.0
    if figure.formula is product:
        return 1.0
    return min(max(_followed(figure, {name: figure.inputs[name].value * factor}) for factor in (0.5, 2.0)), 1.0)


def _followed(figure: Quantity, changed: dict[str, float]) -> float:
    found = _computed(figure, {key: part.value for key, part in figure.inputs.items()} | changed)
    found = found / figure.value if figure.value else math.nan
    return abs(math.log(found)) / math.log(2) if 0 < found < math.inf else 1.0


def _computed(figure: Quantity, values: dict[str, float]) -> float:
    """What the formula gives for other inputs; unknown where it takes no single numbers."""
    try:
        return float(figure.formula(**values)) if figure.formula and figure.value else math.nan
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan


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
        for name, part in node.inputs.items():
            own[id(part)] = own.get(id(part), 0.0) + weight * _follows(node, name)
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
