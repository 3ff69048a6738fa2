"""What runs of one's own say about the next one: errors of predictions are shared between runs that are alike.

Errors are ln(measured / predicted). An error has parts that runs of one site share (all of them, those on one
accelerator, with one stack, of one kind of work, of one LLM), each normal with a variance that published runs show, and
noise of its own with long tails. The expected error of a new run is a mean of known ones, drawn to zero where few are.
Own runs that scatter less than published ones narrow the range of the next; it is never wider than without them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats

FREEDOM = 1.0  # degrees of it of the noise: a run that is far off counts less
STEPS = 12  # until the weights of runs stand still
CORE = 2.67  # variance of normal errors over the squared scale that the long tails find in them, by FREEDOM of 1
PUBLISHED = 3.0  # runs, which the published noise is worth: so far the scatters of published sources differ


class Learned(NamedTuple):
    """Expected ln(true / predicted) of new runs, and its standard deviation over that without any own run [1]."""

    log_factor: Floats
    narrower: Floats


def learned(errors: ArrayLike, alike: ArrayLike, asked: ArrayLike, shared: ArrayLike, noise: float) -> Learned:
    """What is to be expected of m more runs.

    errors: ln(measured / predicted) of the own runs [n]; alike: parts x n x n, 1 where two runs share a part
    asked: parts x n x m, 1 where a new run shares it with an own one; shared: variance of each part; noise: of a run

    Source: best linear unbiased prediction, Henderson, Biometrics 31 (1975) 423 (the same as Rasmussen and Williams,
    Gaussian Processes for Machine Learning (2006) equations 2.25 and 2.26), under noise with Student's t, reweighted as
    in Lange, Little and Taylor, JASA 84 (1989) 881 section 3; how far own runs scatter, as the mean of a scaled inverse
    chi-squared distribution (Gelman et al., Bayesian Data Analysis (2013) section 2.6). Validity: variances known.

    >>> found = learned([0.1], [[[1.0]]], [[[1.0]]], [0.04], 0.04)
    >>> found.log_factor.round(3).tolist(), found.narrower.round(3).tolist()  # most of it is believed
    ([0.066], [0.8])
    >>> round(float(learned([2.0], [[[1.0]]], [[[1.0]]], [0.04], 0.04).log_factor[0]), 3)  # and little of a wild one
    0.04
    """
    parts, seen_errors = np.asarray(shared, float), np.asarray(errors, float)
    between = np.tensordot(parts, np.asarray(asked, float), axes=1)
    common = np.tensordot(parts, np.asarray(alike, float), axes=1)
    seen = _reweighted(common, seen_errors, noise)
    weight = np.linalg.solve(seen, between)
    before = float(parts.sum()) + noise
    unknown = np.maximum(float(parts.sum()) - np.sum(weight * between, axis=0), 0.0)
    after = unknown + _scatter(common, seen, seen_errors, noise)
    return Learned(seen_errors @ weight, np.sqrt(after / before))


def _reweighted(common: Floats, errors: Floats, noise: float) -> Floats:
    """Covariance of the errors, each with the noise that its distance from the others makes likely."""
    seen = common + noise * np.eye(len(errors))
    for _ in range(STEPS):
        left = errors - common @ np.linalg.solve(seen, errors)
        own = (FREEDOM + left**2 / noise) / (FREEDOM + 1) * noise
        seen = common + np.diag(own)
    return seen


def _scatter(common: Floats, seen: Floats, errors: Floats, noise: float) -> float:
    """Noise of one more run: what is left of own errors beside the published noise, and at most that."""
    hat = np.linalg.solve(seen, common).T
    squares, free, own = (errors - hat @ errors) ** 2, len(errors) - float(np.trace(hat)), noise
    for _ in range(STEPS):
        cores = CORE * (FREEDOM + 1) * squares / (FREEDOM + CORE * squares / own)
        own = (PUBLISHED * noise + float(cores.sum())) / (PUBLISHED + free)
    return min(own, noise)


def shares(left: ArrayLike, right: ArrayLike) -> Floats:
    """1 where keys of two sets of runs agree: keys x n, keys x m to parts x n x m; the first part is the site itself.

    >>> shares([["h100", "a100"]], [["a100"]]).tolist()
    [[[1.0], [1.0]], [[0.0], [1.0]]]
    """
    one, other = np.asarray(left), np.asarray(right)
    same = (one[:, :, None] == other[:, None, :]).astype(float)
    return np.concatenate([np.ones((1, *same.shape[1:])), same])
