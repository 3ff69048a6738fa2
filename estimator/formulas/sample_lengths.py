"""Samples of many lengths: how long the longest of a batch is, what is cut, and how much of a padded batch is padding.

Lengths are log-normal: mean [token], and the standard deviation of their logarithm, `spread` [1]. Validity: one kind of
text; a mixture of kinds is wider than its parts, and a sample counted from a file is better than any of this.
"""

import math

import numpy as np

from estimator.formulas import Floats, Real

_Z = np.linspace(-5.0, 7.0, 121)  # standard normal, as far as batches of a million reach
_BELOW = np.array([0.5 * (1.0 + math.erf(z / math.sqrt(2.0))) for z in (_Z[1:] + _Z[:-1]) / 2])
CHUNK = 50.0  # batches whose samples are sorted by length together before they are drawn


def longest(mean: Real, spread: Real, samples: Real, most: Real = math.inf) -> Floats:
    """Expected length of the longest of so many samples, none longer than `most` [token].

    The longest of n is below x with probability F(x)^n; its mean is the area above that.
    Source: H. A. David, H. N. Nagaraja, "Order Statistics", 3rd edition, 2003, equation 2.1.1 and section 3.1.

    >>> round(float(longest(120, 0.7, 1))), round(float(longest(120, 0.7, 8))), round(float(longest(120, 0.7, 8, 200)))
    (120, 280, 188)
    """
    mean, spread, samples, most = (np.asarray(each, float)[..., None] for each in (mean, spread, samples, most))
    lengths = np.minimum(mean * np.exp(spread * _Z - spread**2 / 2), most)
    above = 1.0 - _BELOW**samples
    return np.asarray(lengths[..., 0] + (above * np.diff(lengths)).sum(axis=-1))


def share_above(mean: Real, spread: Real, most: float) -> float:
    """Share of samples longer than `most`, which are cut or dropped [1].

    >>> round(share_above(120, 0.43, 256), 3)  # Alpaca: 256 tokens hold about 98 %
    0.024
    """
    if spread <= 0:
        return float(mean > most)
    place = (math.log(most / float(mean)) + float(spread) ** 2 / 2) / float(spread)
    return 0.5 * math.erfc(place / math.sqrt(2.0))


def padded(mean: Real, spread: Real, micro_batch: Real, most: Real = math.inf) -> Floats:
    """Length that every sample of a micro-batch is padded to, that of its longest [token].

    >>> round(float(padded(120, 0.7, 8)) / 120, 2)
    2.34
    """
    return longest(mean, spread, micro_batch, most)


def grouped(mean: Real, spread: Real, micro_batch: Real, most: Real = math.inf) -> Floats:
    """The same where samples of like length are put together: they are sorted in chunks of fifty batches [token].

    In a sorted chunk the padding of all batches telescopes to half the way to the longest, shared by all of them.
    Source: huggingface/transformers src/transformers/trainer_pt_utils.py, get_length_grouped_indices (at most 50
    batches); the sum is arithmetic.

    >>> round(float(grouped(120, 0.7, 8)) / 120, 2)
    1.06
    """
    return mean + longest(mean, spread, CHUNK * np.asarray(micro_batch, float), most) / (2.0 * CHUNK)


def waited_for(own: Real, slowest: Real, passes: Real) -> Floats:
    """Length of a micro-batch that a step takes, when ranks wait for each other after so many of them [token].

    The excess of the slowest rank over the mean shrinks with the root of what it is summed over.

    >>> float(waited_for(200.0, 300.0, 4))
    250.0
    """
    return np.asarray(own + (slowest - own) / np.sqrt(passes))
