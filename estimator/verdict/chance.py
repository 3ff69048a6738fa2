"""The chance that memory suffices, from what is foretold to be needed and how far off such answers are."""

import math

NORMAL_80 = 1.2816  # standard deviations that hold 80 % of a normal distribution, to each side


def fit_chance(need_bytes: float, usable_bytes: float, half_widths: tuple[float, float]) -> float:
    """Chance that a need does not exceed what is usable [1].

    half_widths: 80 % half widths of ln(measured / predicted), down and up [1]; each side is taken to be half a normal
    distribution, so that half of all needs lie below the prediction

    >>> [round(fit_chance(20e9, usable, (0.1, 0.2)), 2) for usable in (18e9, 20e9, 24.4e9)]
    [0.09, 0.5, 0.9]
    """
    if need_bytes <= 0:
        return 1.0
    room = math.log(usable_bytes / need_bytes) if usable_bytes > 0 else -math.inf
    width = half_widths[1] if room > 0 else half_widths[0]
    if width <= 0 or math.isinf(room):
        return float(room >= 0)
    return 0.5 * (1.0 + math.erf(NORMAL_80 * room / width / math.sqrt(2.0)))
