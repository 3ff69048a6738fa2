"""Robust least squares on log errors with priors, weighted by source, and the same with each source left out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.errors import MissingExtra
from estimator.formulas import Floats

Model = Callable[[Mapping[str, float]], Floats]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a positive parameter before fitting: its value, and the spread of its logarithm [1]."""

    name: str
    value: float
    sigma_ln: float


def shrunk_sd(own_sd: float, count: float, believed_sd: float, weight: float) -> float:
    """Standard deviation of `count` errors and of `weight` more that are believed to spread so far.

    >>> shrunk_sd(0.0, 3, 0.2, 1)
    0.1
    """
    return math.sqrt((count * own_sd**2 + weight * believed_sd**2) / (count + weight))


def fit(
    log_errors: Model,
    priors: Sequence[Prior],
    weights: Floats,
    noise: float = 0.15,
    start: Mapping[str, float] | None = None,
    rounds: int = 60,
) -> dict[str, float]:
    """Parameters that make log errors small without straying far from what was believed.

    log_errors: from parameters to ln(predicted / measured), one element per run; weights: of each run's square [1]
    noise: log error of an ordinary run; larger ones count ever less (soft L1)
    start: where to begin, by default at the priors; rounds: most steps
    """
    try:
        from scipy.optimize import least_squares
    except ImportError as error:
        raise MissingExtra("scipy", "measure") from error
    centre = np.log([prior.value for prior in priors])
    spread = np.array([prior.sigma_ln for prior in priors])
    root = np.sqrt(weights)
    begin = np.zeros(len(priors)) if start is None else (np.log([start[p.name] for p in priors]) - centre) / spread

    def named(x: Floats) -> dict[str, float]:
        return {prior.name: float(v) for prior, v in zip(priors, np.exp(centre + spread * x), strict=True)}

    def residuals(x: Floats) -> Floats:
        scaled = log_errors(named(x)) / noise
        soft = np.sign(scaled) * np.sqrt(2.0 * (np.sqrt(1.0 + scaled**2) - 1.0))
        return np.concatenate([root * soft, x])

    found = least_squares(residuals, begin, method="trf", x_scale=1.0, diff_step=[1e-4] * len(priors), max_nfev=rounds)
    return named(found.x)


def source_weights(sources: Sequence[str], qualities: Sequence[float], power: float = 0.5) -> Floats:
    """Weight of each run: a source of n runs counts as n^power runs [1]; multiplied by the run's quality.

    >>> source_weights(["a", "b", "b", "b", "b"], [1.0] * 5).tolist()
    [1.0, 0.5, 0.5, 0.5, 0.5]
    """
    size = {source: sources.count(source) for source in set(sources)}
    return np.array([q * size[s] ** (power - 1.0) for s, q in zip(sources, qualities, strict=True)])


def folds(sources: Sequence[str], pairs: Sequence[str], fewest: int = 5) -> list[str]:
    """The fold each run is left out with.

    Its source; `small` for sources with fewer than `fewest` runs, which count together; `source/pair` where a source
    holds over half of all runs, one pair (LLM, accelerator) at a time.

    >>> folds(["a"] * 6 + ["b"], ["x", "x", "x", "y", "y", "y", "z"])
    ['a/x', 'a/x', 'a/x', 'a/y', 'a/y', 'a/y', 'small']
    """
    size = {source: list(sources).count(source) for source in set(sources)}

    def fold(source: str, pair: str) -> str:
        if size[source] < fewest:
            return "small"
        return f"{source}/{pair}" if size[source] > len(sources) / 2 else source

    return [fold(source, pair) for source, pair in zip(sources, pairs, strict=True)]
