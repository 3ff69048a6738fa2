"""Break-even: the volumes at which two costs are equal, exactly.

Arithmetic: costs are affine in volume, plus whole replicas.

volume: requests of the first month [1/month]; the cost of all months of the horizon [USD] is
fixed + slope * volume + usd_per_replica * sum over months m of max(ceil(volume (1 + growth)^m / carried), least).
"""

from dataclasses import dataclass

import numpy as np

from estimator.formulas import Floats, Real
from estimator.formulas.units import HOURS_PER_YEAR

EQUAL = 1e-12  # of their size: costs closer than that touch, they do not cross
MOST_VOLUME = 1e18  # nobody asks more a month; crossings beyond it are none
MOST_STEPS = 100_000  # with more whole replicas than this a step is below a 100,000th: the staircase is a line


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost over the horizon as a function of volume.

    fixed [USD]; slope [USD month]; usd_per_replica: one replica for one month [USD], 0 when there are none
    carried: requests one replica carries in a month [1/month]; growth: of the volume a month; months: of the horizon
    least: replicas that stay on whatever is asked [1]
    """

    fixed: float
    slope: float
    usd_per_replica: float = 0.0
    carried: float = np.inf
    growth: float = 0.0
    months: int = 12
    least: float = 1.0

    @property
    def growths(self) -> Floats:
        """Volume of each month over the first month's."""
        return np.asarray((1 + self.growth) ** np.arange(self.months), float)

    @property
    def mean_slope(self) -> float:
        """Slope of the line the staircase runs along for large volumes [USD month]."""
        return self.slope + self.usd_per_replica * float(self.growths.sum()) / self.carried

    def at(self, volume: Real) -> Floats:
        """Cost at `volume` [USD].

        >>> float(Cost(100, 0.5, 10, carried=40, months=1).at(90))  # three replicas
        175.0
        """
        volumes = np.asarray(volume, float)
        needed = np.maximum(np.ceil(volumes[..., None] * self.growths / self.carried), self.least).sum(axis=-1)
        return np.asarray(self.fixed + self.slope * volumes + self.usd_per_replica * needed, float)

    def jumps(self, most: float) -> Floats:
        """Volumes up to `most` above which one more replica is needed [1/month]."""
        if self.usd_per_replica == 0:
            return np.empty(0)
        return np.concatenate([np.arange(1, most * g / self.carried + 1) * self.carried / g for g in self.growths])

    def steps(self, most: float) -> float:
        """How many jumps there are up to `most`."""
        return float((most * self.growths / self.carried).sum()) if self.usd_per_replica else 0.0

    def smooth(self) -> "Cost":
        """Its staircase as a line through the middle of the steps."""
        half = self.usd_per_replica * self.months / 2
        return Cost(self.fixed + half, self.mean_slope, months=self.months)


def affine_crossing(fixed_a: Real, slope_a: Real, fixed_b: Real, slope_b: Real) -> Real:
    """Volume at which two straight costs are equal [1/month]; NaN where they are parallel or equal only below zero.

    >>> float(affine_crossing(0, 3, 100, 1))
    50.0
    >>> float(affine_crossing(0, 1, 100, 3))
    nan
    """
    rise, start = np.subtract(slope_a, slope_b, dtype=float), np.subtract(fixed_b, fixed_a, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.where(rise == 0, np.nan, start / rise)
    return np.where(volume > 0, volume, np.nan)


def crossings(a: Cost, b: Cost) -> list[float]:
    """All volumes above zero at which the cheaper of two costs changes, ascending [1/month].

    Between jumps both costs are straight, so a crossing is one division; at a jump it is the jump itself.

    >>> [round(v) for v in crossings(Cost(0, 0.004, months=1), Cost(0, 0, 1000, carried=400_000, months=1))]
    [250000, 400000, 500000]
    """
    most = last_possible(a, b)
    if a.steps(most) + b.steps(most) > MOST_STEPS:
        a, b = a.smooth(), b.smooth()
    ends = np.unique(np.concatenate([[0.0], a.jumps(most), b.jumps(most), [most]]))
    ends = ends[ends <= most]
    low, high = ends[:-1], ends[1:]
    middle = (low + high) / 2
    slope = a.slope - b.slope
    of_a, of_b = a.at(middle), b.at(middle)
    ahead = of_a - of_b  # how much b is cheaper, at the middle of each straight piece
    ends_ahead = np.stack([ahead - slope * (middle - low), ahead + slope * (high - middle)], axis=1).ravel()
    scale = np.repeat(np.abs(of_a) + np.abs(of_b), 2)
    sign = np.where(np.abs(ends_ahead) > EQUAL * scale, np.sign(ends_ahead), 0)
    apart = np.flatnonzero(sign)
    changed = np.flatnonzero(sign[apart][:-1] * sign[apart][1:] < 0)
    before, after = apart[changed], apart[changed + 1]
    first, second = before // 2, after // 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inside = middle[first] - ahead[first] / slope
    between = np.where(before % 2 == 0, high[first], low[second])
    return [float(volume) for volume in np.where(first == second, inside, between)]


def last_possible(a: Cost, b: Cost) -> float:
    """A volume beyond which no crossing can lie [1/month]: whole replicas cost at most one, or `least`, over a line."""
    rise = abs(a.mean_slope - b.mean_slope)
    apart = abs(a.fixed - b.fixed) + sum(cost.months * max(cost.least, 1) * cost.usd_per_replica for cost in (a, b))
    if rise > 1e-12 * max(abs(a.mean_slope), abs(b.mean_slope)):
        with np.errstate(over="ignore"):
            return float(min(np.divide(apart, rise) * (1 + 1e-9) + 1.0, MOST_VOLUME))
    return 100 * max((cost.carried for cost in (a, b) if cost.usd_per_replica), default=1.0)


def cheaper_from(a: Cost, b: Cost) -> float:
    """Volume from which b stays cheaper than a [1/month]: 0 when it always is, infinite when it never stays so.

    >>> low, high = Cost(0, 3), Cost(100, 1)
    >>> cheaper_from(low, high), cheaper_from(high, low), cheaper_from(Cost(9, 3), Cost(0, 1))
    (50.0, inf, 0.0)
    """
    found = crossings(a, b)
    beyond = 2 * max(last_possible(a, b), 1.0)
    if not float(a.at(beyond) - b.at(beyond)) > 0:
        return np.inf
    return found[-1] if found else 0.0


def owning_hours(purchase_usd: Real, rent_usd_per_hour: Real, running_usd_per_hour: Real) -> Real:
    """Hours of use after which an accelerator one owns has cost less than a rented one [h]; NaN where it never does.

    running_usd_per_hour: what an hour of the owned one still costs (electricity, hosting) [USD/h]

    >>> float(owning_hours(30_000, 2.5, 0.1))
    12500.0
    >>> float(owning_hours(30_000, 0.1, 0.2))
    nan
    """
    saved = np.subtract(rent_usd_per_hour, running_usd_per_hour, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(saved > 0, purchase_usd / saved, np.nan)


def owning_use(hours: Real, years: Real) -> Real:
    """Hours of use as a share of all hours of some years [1].

    >>> owning_use(17_520, 4)
    0.5
    """
    return hours / (years * HOURS_PER_YEAR)
