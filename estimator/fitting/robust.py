"""Robust maximum-a-posteriori fit of positive constants: log residuals with heavy tails, log-normal priors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Residuals = Callable[[Floats], Floats]

TAIL = 4.0  # degrees of freedom of the Student distribution residuals are taken from
STEP = 1e-4  # of the finite differences, in log
LONGEST_STEP = 0.7


@dataclass(frozen=True, slots=True)
class Prior:
    """Centre and standard deviation of the log of each constant."""

    centre: Floats
    deviation: Floats


def fit(residuals: Residuals, weights: Floats, prior: Prior, start: Floats, noise: float, rounds: int = 25) -> Floats:
    """Logs of the most likely constants, by damped, re-weighted Gauss-Newton steps.

    residuals: log(predicted / measured) of every row at given logs of the constants
    weights: how much a row counts [1]; zero leaves it out; noise: spread of a residual [1]
    Source: Lange, Little and Taylor, J. Am. Stat. Assoc. 84 (1989) section 2 (t-distributed errors by re-weighting).

    >>> rows = np.log(np.array([2.0, 2.1, 1.9, 40.0]))
    >>> flat = Prior(np.zeros(1), np.full(1, 10.0))
    >>> round(float(np.exp(fit(lambda x: x[0] - rows, np.ones(4), flat, np.zeros(1), 0.1)[0])), 1)
    2.0
    """
    values, damping = start.copy(), 1e-3
    errors = residuals(values)
    cost = _cost(errors, values, weights, prior, noise)
    for _ in range(rounds):
        slope = _slope(residuals, values, errors)
        moved = None
        for _ in range(6):
            trial = values + _step(slope, errors, values, weights, prior, noise, damping)
            trial_errors = residuals(trial)
            trial_cost = _cost(trial_errors, trial, weights, prior, noise)
            if trial_cost < cost:
                moved = cost - trial_cost
                values, errors, cost, damping = trial, trial_errors, trial_cost, max(damping / 5, 1e-6)
                break
            damping *= 5
        if moved is None or moved < 1e-3:
            break
    return values


def _cost(errors: Floats, values: Floats, weights: Floats, prior: Prior, noise: float) -> float:
    """Minus the log of the posterior, up to a constant."""
    data = weights * 0.5 * (TAIL + 1) * np.log1p((errors / noise) ** 2 / TAIL)
    return float(data.sum() + 0.5 * (((values - prior.centre) / prior.deviation) ** 2).sum())


def _slope(residuals: Residuals, values: Floats, errors: Floats) -> Floats:
    columns = []
    for index in range(len(values)):
        shifted = values.copy()
        shifted[index] += STEP
        columns.append((residuals(shifted) - errors) / STEP)
    return np.stack(columns, axis=1)


def _step(
    slope: Floats, errors: Floats, values: Floats, weights: Floats, prior: Prior, noise: float, damping: float
) -> Floats:
    trust = weights * (TAIL + 1) / (TAIL + (errors / noise) ** 2) / noise**2
    normal = (slope * trust[:, None]).T @ slope + np.diag(prior.deviation**-2.0)
    gradient = slope.T @ (trust * errors) + (values - prior.centre) / prior.deviation**2
    step: Floats = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
    return np.clip(step, -LONGEST_STEP, LONGEST_STEP)
