"""Ranges that are earned: what errors of runs whose source was left out of the fit say about a run nobody has seen.

1. Scale. Some runs are harder to foretell than others: each trait a run may have (a generation or engine that no other
   source has, a mixture of experts ...) widens the errors by a factor, the same in every group; several traits are
   doubts of their own, whose variances add. Groups' scales and traits' factors are the most likely ones under Laplace
   errors; no factor is below 1, and a prior holds it near 1.
2. Ends. Quantiles of the errors over their scale, per group. Every source weighs as the square root of its runs, and
   in it every unit (what is left out together) likewise.
3. Few units. A group of n units is a sample: its ends are stretched by sqrt(1 + 1/n), as the prediction interval of one
   more draw is. With fewer than five it is chance which side errs, and both sides get the same.
4. Between sources. Of groups that `between` names, few sources hold many runs each: their range is the prediction
   interval of one run of one more source, Student's t sqrt(tau^2 (1 + 1/n) + sigma^2) about the median of the n
   sources' medians, tau the spread between and sigma that within sources, both by absolute deviations, so that no
   source decides alone; over n - 1, as the medians of few lie nearer to each other's than to the truth. Student's t has
   the freedom of the sum, as only tau is known from few.

Source: arXiv:2107.07511 sections 1 and 2.3 (split conformal prediction, of errors over a learned scale).
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.quantities import reach
from estimator.records import Accelerator, Architecture

Mask = NDArray[np.bool_]
Words = NDArray[np.str_]

FEWEST_RUNS = 5  # of a source that counts alone
FEWEST_UNITS = 5.0  # that can say which side errs
TRAIT_SD = 0.8  # of ln(factor) of a trait, before the data: of 0.25 to 2, runs left out score best near it
LEAST = 0.05  # half width below which no range goes, in ln
MOST_WIDER = 3.0  # ln(factor) of a trait, and of a scale
LEVELS = (0.5, 0.8, 0.9)  # at which ranges are judged
SD = (np.pi / 2) ** 0.5  # standard deviation over the mean absolute deviation, of normal errors


class LeftOut(NamedTuple):
    """Errors of runs whose source was left out of the fit, one element a run.

    errors: ln(measured / predicted), of times or bytes; units: what is left out together
    traits: 1 where a run has the trait, runs x names; trust: weight of a run against others of its unit [1]
    """

    names: tuple[str, ...]
    errors: Floats
    groups: Words
    sources: Words
    units: Words
    traits: Floats
    trust: Floats

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "LeftOut":
        """From rows of group, source, cell (LLM and accelerator), error, trust and traits (joined by `; `)."""
        groups, sources, units = (np.array([row["group"] for row in rows]) for _ in range(3))
        sources, units = sources.astype("U200"), units.astype("U200")
        for group in sorted(set(groups.tolist())):
            mine = np.flatnonzero(groups == group)
            of_group = pooled([str(rows[index]["source"]) for index in mine.tolist()])
            sources[mine] = of_group
            units[mine] = exchangeable(of_group, [str(rows[index]["cell"]) for index in mine.tolist()])
        held = [str(row["traits"]).split("; ") for row in rows]
        traits = np.array([[float(name in of_run) for name in names] for of_run in held]).reshape(len(rows), len(names))
        errors, trust = (np.array([float(row[name]) for row in rows]) for name in ("error", "trust"))
        return cls(tuple(names), errors, groups, sources, units, traits, trust)

    def where(self, mask: Mask) -> "LeftOut":
        """The runs a mask selects."""
        return self._replace(**{name: getattr(self, name)[mask] for name in self._fields[1:]})

    @property
    def weights(self) -> Floats:
        """Of every run: a source's in a group the root of its runs, in it a unit's likewise [1]."""
        source = [f"{group}|{source}" for group, source in zip(self.groups, self.sources, strict=True)]
        unit = [f"{of}|{unit}" for of, unit in zip(source, self.units, strict=True)]
        trusted, runs = _sums(unit, self.trust), Counter(unit)
        mass = np.array([t / trusted[u] * runs[u] ** 0.5 for u, t in zip(unit, self.trust, strict=True)])
        total, runs = _sums(source, mass), Counter(source)
        return np.array([m / total[s] * runs[s] ** 0.5 for s, m in zip(source, mass, strict=True)])


def pooled(sources: Sequence[str]) -> list[str]:
    """Sources of a group, those under five runs together.

    >>> pooled(["a"] * 5 + ["b"])[4:]
    ['a', 'small sources']
    """
    count = Counter(sources)
    return [source if count[source] >= FEWEST_RUNS else "small sources" for source in sources]


def exchangeable(sources: Sequence[str], cells: Sequence[str]) -> list[str]:
    """What is left out together: a group's sources, and the cells (LLM, accelerator) of one that holds more than half.

    >>> exchangeable(["a", "a", "a", "b"], ["7b/a100", "7b/h100", "7b/a100", "7b/a100"])
    ['a 7b/a100', 'a 7b/h100', 'a 7b/a100', 'b']
    """
    count = Counter(sources)
    large = {source for source, runs in count.items() if runs * 2 > len(sources)}
    return [f"{source} {cell}" if source in large else source for source, cell in zip(sources, cells, strict=True)]


def new_to_others(values: Sequence[str], folds: Sequence[str]) -> Mask:
    """Whether a run's value occurs in no other fold: to the fit that left this one out, it is unseen.

    >>> new_to_others(["h100", "h100", "l4"], ["a", "b", "b"]).tolist()
    [False, False, True]
    """
    where: dict[str, set[str]] = {}
    for value, fold in zip(values, folds, strict=True):
        where.setdefault(value, set()).add(fold)
    return np.array([len(where[value]) == 1 for value in values])


def new(seen: Mapping[str, Collection[str]], **names: str) -> tuple[str, ...]:
    """Traits of a run by what the fit has not seen: `new engine` where the name is not among seen["engines"].

    >>> new({"engines": ["vllm"], "accelerators": ["l4"]}, engine="my-own", accelerator="l4")
    ('new engine',)
    """
    return tuple(f"new {kind}" for kind, name in names.items() if name not in seen.get(f"{kind}s", ()))


def novelties(
    seen: Mapping[str, Collection[str]], arch: Architecture, device: Accelerator, **names: str
) -> tuple[str, ...]:
    """Traits of a run by what no measured run had: names, LLM and accelerator; and of an LLM whose shape is assumed.

    An accelerator that was measured itself is not new, whatever the fit has seen.
    """
    chip = {} if device.basis == "measured" else {"accelerator": device.name, "generation": device.generation}
    return new(seen, **names, architecture=arch.name, **chip) + ("assumed shape",) * (arch.basis == "assumed")


def fit_ranges(runs: LeftOut, level: float = 0.8, between: Collection[str] = ()) -> dict[str, Any]:
    """`groups`: half widths in ln of a run without traits, and in how many units they rest; `wider`: traits' factors.

    level: share of the runs of an unseen source that should lie inside [1]
    between: groups whose ranges come from the spread between sources
    """
    weight = runs.weights
    factors = _factors(runs, weight)
    scaled = runs.errors / widening(runs.traits, factors)
    groups = {}
    for name in sorted(set(runs.groups.tolist())):
        mine = runs.groups == name
        many = _effective(runs.units[mine], weight[mine])
        if name in between:
            down, up = _between(scaled[mine], runs.units[mine], weight[mine], level)
        else:
            down, up = _ends(scaled[mine], weight[mine], level, many)
        groups[name] = {"down": round(down, 4), "up": round(up, 4), "units": round(many, 1)}
    return {"groups": groups, "wider": {n: round(float(f), 3) for n, f in zip(runs.names, factors, strict=True)}}


def _ends(errors: Floats, weight: Floats, level: float, many: float) -> tuple[float, float]:
    """Half widths down and up, stretched for the size of the sample."""
    stretch = (1 + 1 / many) ** 0.5
    if many < FEWEST_UNITS:
        down = up = float(_quantiles(np.abs(errors), weight, [level])[0])
    else:
        low, high = _quantiles(errors, weight, [(1 - level) / 2, (1 + level) / 2])
        down, up = -float(low), float(high)
    return max(down * stretch, LEAST), max(up * stretch, LEAST)


def _between(errors: Floats, units: Words, weight: Floats, level: float) -> tuple[float, float]:
    """Half widths down and up of one run of one more unit.

    Source: Satterthwaite 1946, doi:10.2307/3002019; a prediction interval of random effects, Higgins et al. 2009,
    doi:10.1111/j.1467-985X.2008.00552.x.
    """
    members = [units == unit for unit in sorted(set(units.tolist()))]
    middles = np.array([float(_quantiles(errors[mine], weight[mine], [0.5])[0]) for mine in members])
    spreads = [
        float(np.average(np.abs(errors[mine] - middle), weights=weight[mine]))
        for mine, middle in zip(members, middles, strict=True)
    ]
    many, centre = len(middles), float(np.median(middles))
    tau2 = (SD * float(np.mean(np.abs(middles - centre)))) ** 2 * many / max(many - 1, 1)
    apart, inside = tau2 * (1 + 1 / many), (SD * float(np.mean(spreads))) ** 2
    freedom = (apart + inside) ** 2 / (apart**2 / max(many - 1, 1) + inside**2 / max(len(errors) - many, 1) + 1e-300)
    half = student(freedom, (1 + level) / 2) * (apart + inside) ** 0.5
    return max(half - centre, LEAST), max(half + centre, LEAST)


def student(freedom: float, share: float) -> float:
    """Quantile of Student's t with `freedom` degrees of freedom, at least 1 [1].

    Source: Cornish-Fisher expansion, Abramowitz and Stegun 26.7.5; 12 % low at 1, 1 % at 3.

    >>> [round(student(freedom, 0.9), 2) for freedom in (3, 9, 1000)]
    [1.63, 1.38, 1.28]
    """
    from statistics import NormalDist  # slow to import, and most ranges are of quantiles

    z, v = NormalDist().inv_cdf(share), max(freedom, 1.0)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)


def _quantiles(values: Floats, weight: Floats, shares: Sequence[float]) -> Floats:
    order = np.argsort(values, kind="stable")
    place = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    found: Floats = np.interp(shares, place, values[order])
    return found


def _effective(labels: Words, weight: Floats) -> float:
    """How many units of one weight would count as much [1] (Kish's effective sample size)."""
    mass = np.array(list(_sums(labels.tolist(), weight).values()))
    return float(mass.sum() ** 2 / (mass**2).sum())


def _sums(keys: Iterable[str], values: Floats) -> dict[str, float]:
    total: dict[str, float] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        total[key] = total.get(key, 0.0) + value
    return total


def _factors(runs: LeftOut, weight: Floats) -> Floats:
    """By how much each trait widens: the least of sum w (s + |error| e^-s) and the prior, s the log scale of a run."""
    from scipy.optimize import Bounds, minimize  # loaded where ranges are learnt

    names, member = np.unique(runs.groups, return_inverse=True)
    many, size, has = len(names), np.abs(runs.errors), runs.traits

    def loss(values: Floats) -> tuple[float, Floats]:
        scale, trait = values[:many][member], values[many:]
        squared = 1.0 + has @ np.expm1(2.0 * trait)
        over = size * np.exp(-scale) / np.sqrt(squared)
        slope, pull = weight * (1.0 - over), trait / TRAIT_SD**2
        total = np.sum(weight * (scale + 0.5 * np.log(squared) + over)) + 0.5 * np.sum(trait * pull)
        traits = (has.T @ (slope / squared)) * np.exp(2.0 * trait) + pull
        return float(total), np.r_[np.bincount(member, slope, minlength=many), traits]

    start = np.log(np.bincount(member, weight * size) / np.bincount(member, weight) + LEAST / 10)
    least = np.r_[np.full(many, -np.inf), np.zeros(len(runs.names))]  # no factor below 1
    found = minimize(loss, np.r_[start, np.full(len(runs.names), 0.1)], jac=True, bounds=Bounds(least, MOST_WIDER))
    return np.asarray(np.exp(found.x[many:]))


def widening(traits: Floats, factors: Floats) -> Floats:
    """By how much runs' scales are larger for their traits [1]: variances of doubts add.

    >>> round(float(widening(np.array([1.0, 1.0]), np.array([1.5, 2.0]))), 3)
    2.291
    """
    return np.asarray(np.sqrt(1.0 + traits @ (np.square(factors) - 1.0)))


def half_widths(ranges: Mapping[str, Any], group: str, traits: Collection[str] = ()) -> tuple[float, float]:
    """Half widths of a run's range in ln, down and up.

    >>> table = {"groups": {"decode": {"down": 0.2, "up": 0.3}}, "wider": {"mixture of experts": 1.5}}
    >>> [round(end, 2) for end in half_widths(table, "decode", ["mixture of experts"])]
    [0.3, 0.45]
    """
    ends = ranges["groups"][group]
    wider = math.sqrt(1.0 + sum(ranges["wider"].get(trait, 1.0) ** 2 - 1.0 for trait in traits))
    return ends["down"] * wider, ends["up"] * wider


class Judged(NamedTuple):
    """Runs against the ranges that all other units teach, by level, one element a run. width: high / low [1]"""

    inside: Mapping[float, Mask]
    width: Mapping[float, Floats]


def judged(runs: LeftOut, level: float = 0.8, between: Collection[str] = ()) -> Judged:
    """Whether runs lie in ranges whose factors and quantiles were found without their unit; nan where none is left."""
    ends = np.full((2, len(runs.errors)), np.nan)
    for unit in sorted(set(runs.units.tolist())):
        out = runs.units == unit
        ranges = fit_ranges(runs.where(~out), level, between)
        factor = widening(runs.traits[out], np.array([ranges["wider"][name] for name in runs.names]))
        found = [ranges["groups"].get(group, {"down": np.nan, "up": np.nan}) for group in runs.groups[out]]
        ends[:, out] = factor * np.array([[end["down"], end["up"]] for end in found]).T
    inside, width = {}, {}
    for other in LEVELS:  # a range is carried to other levels as quantities do it
        down, up = ends * reach(other) / reach(level)
        inside[other], width[other] = (-down <= runs.errors) & (runs.errors <= up), np.exp(down + up)
    return Judged(inside, width)
