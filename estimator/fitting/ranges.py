"""Ranges that are earned: what errors of runs whose source was left out of the fit say about a run nobody has seen.

1. Scale. Some runs are harder to foretell than others: each trait a run may have (a generation or engine that no other
   source has, a mixture of experts ...) widens the errors by a factor, the same in every group. Groups' scales and
   traits' factors are the most likely ones under Laplace errors; no factor is below 1, and a prior holds it near 1.
2. Ends. Quantiles of the errors over their scale, per group. Every source weighs as the square root of its runs, and
   in it every unit (what is left out together) likewise.
3. Few units. A group of n units is a sample: its ends are stretched by sqrt(1 + 1/n), as the prediction interval of one
   more draw is. With fewer than five it is chance which side errs, and both sides get the same.
4. Between sources. Of groups that `between` names, few sources hold many runs each: their range is the prediction
   interval of one run of one more source, Student's t(n - 1) sqrt(tau^2 (1 + 1/n) + sigma^2) about the median of the n
   sources' medians, tau the spread between and sigma that within sources, both by absolute deviations, so that no
   source decides alone.

Source: arXiv:2107.07511 sections 1 and 2.3 (split conformal prediction, of errors over a learned scale).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.quantities import reach
from estimator.records import Accelerator, Architecture

Mask = NDArray[np.bool_]
Words = NDArray[np.str_]

FEWEST_RUNS = 5  # of a source that counts alone
FEWEST_UNITS = 5.0  # that can say which side errs
TRAIT_SD = 0.5  # of ln(factor) of a trait, before the data
LEAST = 0.05  # half width below which no range goes, in ln
STEPS = 50
LEVELS = (0.5, 0.8, 0.9)  # at which ranges are judged
SD = (np.pi / 2) ** 0.5  # standard deviation over the mean absolute deviation, of normal errors


@dataclass(frozen=True, slots=True)
class LeftOut:
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
        return LeftOut(self.names, *(getattr(self, field.name)[mask] for field in fields(self)[1:]))

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
    scaled = runs.errors / np.exp(runs.traits @ np.log(factors))
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
    """Half widths down and up of one run of one more unit."""
    members = [units == unit for unit in sorted(set(units.tolist()))]
    middles = np.array([float(_quantiles(errors[mine], weight[mine], [0.5])[0]) for mine in members])
    spreads = [
        float(np.average(np.abs(errors[mine] - middle), weights=weight[mine]))
        for mine, middle in zip(members, middles, strict=True)
    ]
    many, centre = len(middles), float(np.median(middles))
    tau, sigma = SD * float(np.mean(np.abs(middles - centre))), SD * float(np.mean(spreads))
    half = student(many - 1, (1 + level) / 2) * (tau**2 * (1 + 1 / many) + sigma**2) ** 0.5
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
    """By how much each trait widens: Newton steps down the convex loss sum w (s + |error| e^-s), s the log scale."""
    names, member = np.unique(runs.groups, return_inverse=True)
    many, size = len(names), np.abs(runs.errors)
    design = np.hstack([np.eye(many)[member], runs.traits])
    prior = np.r_[np.zeros(many), np.full(len(runs.names), TRAIT_SD**-2)]
    start = np.log(np.bincount(member, weight * size) / np.bincount(member, weight) + LEAST / 10)
    values = np.r_[start, np.zeros(len(runs.names))]
    for _ in range(STEPS):
        over = weight * size * np.exp(-design @ values)
        slope = design.T @ (weight - over) + prior * values
        free = np.flatnonzero((values > 0) | (slope < 0) | (prior == 0))  # a factor at its bound stays there
        curve = (design * over[:, None]).T @ design + np.diag(prior + 1e-9)
        step = np.zeros(len(values))
        step[free] = np.clip(np.linalg.solve(curve[np.ix_(free, free)], slope[free]), -1, 1)
        step[many:] = np.minimum(step[many:], values[many:])
        values = values - step
        if np.abs(step).max() < 1e-7:
            break
    return np.asarray(np.exp(values[many:]))


def half_widths(ranges: Mapping[str, Any], group: str, traits: Collection[str] = ()) -> tuple[float, float]:
    """Half widths of a run's range in ln, down and up.

    >>> table = {"groups": {"decode": {"down": 0.2, "up": 0.3}}, "wider": {"mixture of experts": 1.5}}
    >>> [round(end, 2) for end in half_widths(table, "decode", ["mixture of experts"])]
    [0.3, 0.45]
    """
    ends, wider = ranges["groups"][group], 1.0
    for trait in traits:
        wider *= ranges["wider"].get(trait, 1.0)
    return ends["down"] * wider, ends["up"] * wider


@dataclass(frozen=True, slots=True)
class Judged:
    """Runs against the ranges that all other units teach, by level, one element a run. width: high / low [1]"""

    inside: Mapping[float, Mask]
    width: Mapping[float, Floats]


def judged(runs: LeftOut, level: float = 0.8, between: Collection[str] = ()) -> Judged:
    """Whether runs lie in ranges whose factors and quantiles were found without their unit; nan where none is left."""
    ends = np.full((2, len(runs.errors)), np.nan)
    for unit in sorted(set(runs.units.tolist())):
        out = runs.units == unit
        ranges = fit_ranges(runs.where(~out), level, between)
        factor = np.exp(runs.traits[out] @ np.log([ranges["wider"][name] for name in runs.names]))
        found = [ranges["groups"].get(group, {"down": np.nan, "up": np.nan}) for group in runs.groups[out]]
        ends[:, out] = factor * np.array([[end["down"], end["up"]] for end in found]).T
    inside, width = {}, {}
    for other in LEVELS:  # a range is carried to other levels as quantities do it
        down, up = ends * reach(other) / reach(level)
        inside[other], width[other] = (-down <= runs.errors) & (runs.errors <= up), np.exp(down + up)
    return Judged(inside, width)


def one_more_unit(errors: Floats, units: Words, weight: Floats, level: float) -> tuple[float, float]:
    """Half widths down and up of one run of one more unit, where few units hold many runs each.

    Variance tau^2 (1 + 1/n) between n units and sigma^2 within them add; Student's t has the freedom of their sum, as
    only the first is known from few. Both are absolute deviations, so that no unit decides alone, over n - 1 as the
    medians of so few lie nearer to each other's than to the truth.
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
    tau2 = float(np.mean(np.abs(middles - centre))) ** 2 * many / max(many - 1, 1)
    between, within = SD**2 * tau2 * (1 + 1 / many), SD**2 * float(np.mean(spreads)) ** 2
    freedom = (between + within) ** 2 / (
        between**2 / max(many - 1, 1) + within**2 / max(len(errors) - many, 1) + 1e-300
    )
    half = student(freedom, (1 + level) / 2) * (between + within) ** 0.5
    return max(half - centre, LEAST), max(half + centre, LEAST)


def fit_ranges_of_few(runs: LeftOut, level: float = 0.8, few: Collection[str] = ()) -> dict[str, Any]:
    """`fit_ranges`, those of the groups named by `one_more_unit`."""
    found = fit_ranges(runs, level)
    wider = np.exp(runs.traits @ np.log([found["wider"][name] for name in runs.names]))
    weight = runs.weights
    for name in sorted(found["groups"].keys() & set(few)):
        mine = runs.groups == name
        down, up = one_more_unit((runs.errors / wider)[mine], runs.units[mine], weight[mine], level)
        found["groups"][name] |= {"down": round(down, 4), "up": round(up, 4)}
    return found


def judged_by(runs: LeftOut, taught: Callable[[LeftOut], Mapping[str, Any]], level: float = 0.8) -> Judged:
    """Whether runs lie in the ranges of that level which all other units teach; nan where none is left."""
    ends = np.full((2, len(runs.errors)), np.nan)
    for unit in sorted(set(runs.units.tolist())):
        out = runs.units == unit
        ranges = taught(runs.where(~out))
        factor = np.exp(runs.traits[out] @ np.log([ranges["wider"][name] for name in runs.names]))
        found = [ranges["groups"].get(group, {"down": np.nan, "up": np.nan}) for group in runs.groups[out]]
        ends[:, out] = factor * np.array([[end["down"], end["up"]] for end in found]).T
    reached = {other: ends * reach(other) / reach(level) for other in LEVELS}
    inside = {other: (-down <= runs.errors) & (runs.errors <= up) for other, (down, up) in reached.items()}
    return Judged(inside, {other: np.exp(down + up) for other, (down, up) in reached.items()})
