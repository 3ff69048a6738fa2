"""The chance that a plan fits: where what programs can have of an accelerator lies in the range of what is needed."""

import numpy as np

from estimator.formulas import Floats, Real
from estimator.quantities import Z80

SURELY = 0.9  # chance of fitting that a plan has to have unless asked otherwise
FARTHEST = 8.0  # standard deviations, beyond which a chance is 0 or 1


def fit_chance(need: Real, usable: Real, spread: tuple[Real, Real]) -> Floats:
    """Chance that memory suffices [1].

    need: expected peak, without what an allocator gives back when it has to [B]; usable: of the accelerator [B]
    spread: 80 % half widths of ln(true / expected need), down and up
    ln(true / expected) is taken as normal on either side, so that the chance is 90 % where the upper end just fits.

    >>> [round(float(fit_chance(60e9, usable, (0.2, 0.2))), 2) for usable in (60e9, 60e9 * np.exp(0.2), 40e9)]
    [0.5, 0.9, 0.0]
    """
    down, up = spread
    room = np.log(np.asarray(usable) / need)
    return normal(Z80 * room / np.where(room > 0, up, down))


def normal(deviations: Real) -> Floats:
    """Share of normal errors below so many standard deviations [1].

    Source: doi:10.3926/jiem.2009.v2n1.p114-127 equation 10, off by 0.00014 at most.

    >>> [round(float(normal(x)), 3) for x in (-1.2816, 0.0, 1.2816)]
    [0.1, 0.5, 0.9]
    """
    x = np.clip(deviations, -FARTHEST, FARTHEST)
    return np.asarray(1 / (1 + np.exp(-1.5976 * x - 0.07056 * x**3)))
