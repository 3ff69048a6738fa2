"""Where a yes turns into a no: the boundary of a question asked of whole numbers or of round figures."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")
FIGURES = 900  # round figures of three digits in a power of ten: 100 to 999


def last_that(ok: Callable[[int], bool], most: int, least: int = 1) -> int | None:
    """The last whole number from `least` for which `ok`, and not for the next; None when not even for `least`.

    >>> last_that(lambda n: n * n <= 50, most=1000)
    7
    """
    if not ok(least):
        return None
    good, step = least, 1
    while good + step <= most and ok(good + step):
        good, step = good + step, step * 2
    bad = min(good + step, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if ok(middle) else (good, middle)
    return good


def first_that(ok: Callable[[Thing], bool], things: Sequence[Thing]) -> Thing | None:
    """The first of an ordered sequence for which `ok`, and not for the one before; None when for none.

    >>> first_that(lambda n: n * n > 50, [1, 2, 4, 8, 16])
    8
    """
    before = last_that(lambda index: index == 0 or not ok(things[index - 1]), most=len(things), least=0)
    return things[before] if before is not None and before < len(things) else None


def round_figure(index: int) -> float:
    """The `index`-th number of three digits: 100, 101, ..., 999, 1000, 1010, ...

    >>> round_figure(0), round_figure(899), round_figure(900), round_figure(901)
    (100.0, 999.0, 1000.0, 1010.0)
    """
    power, digits = divmod(index, FIGURES)
    return float((100 + digits) * 10**power)


def last_figure(most: float) -> int:
    """The index of the last round figure that is no more than `most`.

    >>> last_figure(1000), last_figure(1009), last_figure(1010), round_figure(last_figure(1e12))
    (900, 900, 901, 1000000000000.0)
    """
    power = math.floor(math.log10(most)) - 2
    return FIGURES * power + int(most // 10**power) - 100
