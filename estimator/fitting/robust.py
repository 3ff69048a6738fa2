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
    root = np.sqrt(weights)
    begin = np.zeros(len(priors)) if start is None else _moves(start, priors)

    def residuals(x: Floats) -> Floats:
        return np.concatenate([root * _soft(log_errors(_named(x, priors)) / noise), x])

    found = least_squares(residuals, begin, method="trf", x_scale=1.0, diff_step=[1e-4] * len(priors), max_nfev=rounds)
    return _named(found.x, priors)


def slopes(log_errors: Model, priors: Sequence[Prior], at: Mapping[str, float]) -> Floats:
    """How the log errors grow with each parameter, in standard deviations of its prior [run, parameter]."""
    x, here = _moves(at, priors), log_errors(at)
    steps = 1e-4 * np.eye(len(priors))
    return np.stack([(log_errors(_named(x + step, priors)) - here) / 1e-4 for step in steps], axis=1)


def refit(
    log_errors: Model,
    priors: Sequence[Prior],
    weights: Floats,
    noise: float,
    start: Mapping[str, float],
    grown: Floats,
    rounds: int = 3,
) -> dict[str, float]:
    """The parameters of other weights, from those of all runs and the slopes there: Gauss-Newton with one Jacobian.

    grown: `slopes` at `start`. A few runs left out move parameters little, so that the slopes hold.
    Source: Nocedal and Wright, Numerical Optimization (2006) section 10.3; Huber, Robust Statistics (1981) section 7.8.
    """
    x, root = _moves(start, priors), np.sqrt(weights)
    for _ in range(rounds):
        scaled = log_errors(_named(x, priors)) / noise
        soft = _soft(scaled)
        steep = np.where(np.abs(scaled) > 1e-6, scaled / np.where(soft == 0, 1.0, soft) / np.sqrt(1.0 + scaled**2), 1.0)
        jacobian = (root * steep / noise)[:, None] * grown
        slope = jacobian.T @ (root * soft) + x
        x = x - np.clip(np.linalg.solve(jacobian.T @ jacobian + np.eye(len(x)), slope), -1.0, 1.0)
    return _named(x, priors)


def _moves(at: Mapping[str, float], priors: Sequence[Prior]) -> Floats:
    """Parameters in standard deviations from their priors."""
    return np.array([math.log(at[prior.name] / prior.value) / prior.sigma_ln for prior in priors])


def _named(x: Floats, priors: Sequence[Prior]) -> dict[str, float]:
    return {prior.name: prior.value * math.exp(prior.sigma_ln * move) for prior, move in zip(priors, x, strict=True)}


def _soft(scaled: Floats) -> Floats:
    """Errors of which large ones count ever less."""
    return np.asarray(np.sign(scaled) * np.sqrt(2.0 * (np.sqrt(1.0 + scaled**2) - 1.0)))


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
