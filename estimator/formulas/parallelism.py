"""How a model and a batch are divided among accelerators: data-parallel size, pipeline stages, bubbles, messages.

Counts in, counts or bytes out; everything broadcasts. Symbols of arXiv:2104.04473: p stages, v chunks, m micro-batches.
Validity: stages of equal work; what makes them unequal is counted by `stage_layers`. The rest is arithmetic.
"""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats


def data_parallel(accelerators: ArrayLike, tp: ArrayLike = 1, pp: ArrayLike = 1, cp: ArrayLike = 1) -> Floats:
    """Replicas of the model that see different sequences [1]; whole when the layout divides the accelerators.

    >>> float(data_parallel(1024, tp=8, pp=16))
    8.0
    """
    ranks: Floats = np.asarray(tp, float) * np.asarray(pp, float) * np.asarray(cp, float)
    replicas: Floats = np.asarray(accelerators, float) / ranks
    return replicas


def micro_batches(global_batch: ArrayLike, micro_batch: ArrayLike, dp: ArrayLike) -> Floats:
    """Micro-batches each replica runs per step, m [1]; a last one that is not full counts as whole.

    >>> float(micro_batches(1536, 1, 64))
    24.0
    """
    at_once = np.asarray(micro_batch, float) * np.asarray(dp, float)
    whole: Floats = np.maximum(1.0, np.ceil(np.asarray(global_batch, float) / at_once - 1e-9))
    return whole


def bubble_fraction(pp: ArrayLike, micro_batches: ArrayLike, vpp: ArrayLike = 1) -> Floats:
    """Idle time of a pipeline over its busy time [1]: (p - 1) / (v m).

    Source: arXiv:2104.04473 section 2.2.2.

    >>> float(bubble_fraction(pp=8, micro_batches=64, vpp=3))
    0.036458333333333336
    """
    fraction: Floats = (np.asarray(pp, float) - 1) / (np.asarray(vpp, float) * np.asarray(micro_batches, float))
    return fraction


def stage_layers(layers: ArrayLike, pp: ArrayLike, vpp: ArrayLike = 1) -> Floats:
    """Layers of the fullest pipeline stage [1]: the others wait for it when the layers do not divide evenly.

    >>> float(stage_layers(126, pp=8, vpp=4)), float(stage_layers(61, pp=16))
    (16.0, 4.0)
    """
    pp, vpp = np.asarray(pp, float), np.asarray(vpp, float)
    fullest: Floats = np.ceil(np.asarray(layers, float) / (pp * vpp) - 1e-9) * vpp
    return fullest


def layers_in_flight(layers: ArrayLike, pp: ArrayLike, vpp: ArrayLike = 1, micro_batches: ArrayLike = np.inf) -> Floats:
    """Layers whose activations the first stage holds at its peak under 1F1B [1].

    One micro-batch per later stage, so about all layers whatever pp is; an interleaved schedule holds
    1 + (p - 1) / (p v) times as many; never more than the micro-batches there are.
    Source: arXiv:2205.05198 section 4.2.3.

    >>> float(layers_in_flight(96, pp=8)), float(layers_in_flight(96, pp=8, vpp=3))
    (96.0, 124.0)
    """
    pp, vpp = np.asarray(pp, float), np.asarray(vpp, float)
    interleaved = np.where(vpp > 1, 1 + (pp - 1) / (pp * vpp), 1.0)
    held = np.minimum(pp * interleaved, np.asarray(micro_batches, float))
    layers_held: Floats = stage_layers(layers, pp, vpp) * held
    return layers_held


def group_bytes_per_s(
    group: ArrayLike,
    stride: ArrayLike,
    fast_domain: ArrayLike,
    link_bytes_per_s: ArrayLike,
    network_bytes_per_s: ArrayLike,
) -> Floats:
    """What each rank of a ring can send [B/s]: the link inside a fast domain, else its share of the domain's network.

    group: ranks of the ring, `stride` apart; the stride's neighbours run rings of their own at the same time
    fast_domain: accelerators joined by the link [1]
    """
    group, stride, domain = np.asarray(group, float), np.asarray(stride, float), np.asarray(fast_domain, float)
    link = np.asarray(link_bytes_per_s, float)
    ranks_inside = np.maximum(1.0, np.minimum(group, domain / stride))
    across = np.minimum(link, ranks_inside * np.asarray(network_bytes_per_s, float))
    return np.where(group * stride <= domain, link, across)


def ring_share(group: ArrayLike) -> Floats:
    """Part of a buffer that every rank sends in an all-gather or reduce-scatter [1]: (n - 1) / n.

    Source: doi:10.1016/j.jpdc.2008.09.002 (bandwidth-optimal ring).
    """
    group = np.asarray(group, float)
    share: Floats = (group - 1) / group
    return share
