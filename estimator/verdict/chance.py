"""The chance that memory suffices: where what is usable lies in the range of what is needed.

Everything that decides it stands here, so that a better rule is one change.
"""

import math
from collections.abc import Mapping

from estimator.predict.serving_memory import usable_bytes
from estimator.predict.training import MemorySplit
from estimator.records import Accelerator

NORMAL_80 = 1.2816  # standard deviations that hold 80 % of a normal distribution, to each side


def fit_chance(need: float, usable: float, spread: tuple[float, float]) -> float:
    """Chance that memory suffices [1].

    need: expected peak [B]; usable: of the accelerator [B]
    spread: 80 % half widths of ln(true / expected need), down and up; each side is half a normal distribution

    >>> [round(fit_chance(20e9, usable, (0.1, 0.2)), 2) for usable in (18e9, 20e9, 24.4e9)]
    [0.09, 0.5, 0.9]
    """
    if need <= 0 or usable <= 0:
        return float(need <= 0)
    room = math.log(usable / need)
    return normal(NORMAL_80 * room / max(spread[1] if room > 0 else spread[0], 1e-9))


def normal(deviations: float) -> float:
    """Share of normal errors below so many standard deviations [1].

    >>> round(normal(1.2816), 3)
    0.9
    """
    return 0.5 * (1.0 + math.erf(deviations / math.sqrt(2.0)))


def usable(device: Accelerator) -> float:
    """What programs can have of an accelerator's memory [B]."""
    return float(getattr(device, "usable_bytes", 0.0)) or usable_bytes(device, 1.0)


def needed(split: MemorySplit, values: Mapping[str, float]) -> float:
    """What training cannot do without [B]: an allocator gives back what it keeps before it gives up."""
    return float(split.total) - (float(split.reserve) - values["reserve_bytes"])
