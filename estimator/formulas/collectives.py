"""Time of collective operations among accelerators: latency per hop plus traffic over the narrowest link.

Traffic per rank is NCCL's (nccl-tests doc/PERFORMANCE.md, "bus bandwidth"): 2(n-1)/n of the message for an all-reduce,
(n-1)/n for all-gather, reduce-scatter and all-to-all. Floats or arrays in, seconds out.
Validity: one group at a time; groups that share a link or switch slow each other, which is not counted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.formulas.roofline import UNKNOWN, Evidence


class CollectiveRate(NamedTuple):
    """One operation inside a node.

    launch_s: time of an empty one [s]; hop_s: what each further rank adds [s]
    bytes_per_s: rate of a very long message, one way [B/s]
    ramp: how much latency and traffic fail to overlap in middling messages [1] (see `collective_s`)
    local: a rank's own share that passes through its memory, in units of one share [1]
    """

    launch_s: float
    hop_s: float
    bytes_per_s: float
    ramp: float = 0.0
    local: float = 0.0


class CollectiveEfficiency(NamedTuple):
    """All operations of one accelerator: in its node (or link domain), and over the network.

    domain: ranks joined by the link [1]
    network_bytes_per_s: achieved per accelerator, one way [B/s]; network_hop_s: latency of a step between nodes [s]
    """

    all_reduce: CollectiveRate
    all_gather: CollectiveRate
    reduce_scatter: CollectiveRate
    all_to_all: CollectiveRate
    custom_all_reduce: CollectiveRate
    domain: int
    network_bytes_per_s: float
    network_hop_s: float
    evidence: Evidence = UNKNOWN


def all_reduce_traffic(message_bytes: ArrayLike, ranks: ArrayLike, local: ArrayLike = 0.0) -> Floats:
    """Bytes each rank sends in an all-reduce [B]: 2(n-1)/n of the message, plus its own share `local` times.

    Source: nccl-tests doc/PERFORMANCE.md, "AllReduce"; the share is fitted.

    >>> float(all_reduce_traffic(8e9, 8))
    14000000000.0
    """
    return 2.0 * one_way_traffic(message_bytes, ranks, local)


def one_way_traffic(message_bytes: ArrayLike, ranks: ArrayLike, local: ArrayLike = 0.0) -> Floats:
    """Bytes each rank sends in an all-gather, reduce-scatter or all-to-all of a whole message [B]: (n-1)/n of it.

    Source: nccl-tests doc/PERFORMANCE.md, "AllGather", "ReduceScatter" and "AlltoAll"; the share is fitted.

    >>> float(one_way_traffic(8e9, 8))
    7000000000.0
    """
    ranks = np.asarray(ranks, float)
    return np.asarray(np.asarray(message_bytes, float) * (ranks - 1.0 + np.asarray(local, float)) / ranks)


def collective_s(traffic_bytes: ArrayLike, ranks: ArrayLike, rate: CollectiveRate) -> Floats:
    """Time of one operation inside a node [s]: a + w + ramp sqrt(a w), of latency a and w = traffic / rate.

    A message cut into the best number of pieces takes (sqrt(a) + sqrt(w))^2, which is ramp = 2; protocols that switch
    with the message size do better (ramp below 2, fitted).
    Source: for latency plus bytes over rate, Thakur, Rabenseifner & Gropp, doi:10.1177/1094342005051521 (cost model).

    >>> rate = CollectiveRate(launch_s=4e-6, hop_s=0.0, bytes_per_s=1e11)
    >>> round(float(collective_s(6e5, 8, rate)) * 1e6, 3)  # 4 us + 6 us
    10.0
    """
    latency = rate.launch_s + rate.hop_s * (np.asarray(ranks, float) - 1.0)
    return in_pieces_s(latency, np.asarray(traffic_bytes, float) / rate.bytes_per_s, rate.ramp)


def in_pieces_s(latency_s: Real, moving_s: Real, ramp: Real) -> Floats:
    """Latency and traffic of a message that is cut into pieces, which overlap as far as `ramp` lets them [s].

    Source: as `collective_s`.

    >>> float(in_pieces_s(1.0, np.array(4.0), 2.0))
    9.0
    """
    return np.asarray(latency_s + moving_s + ramp * np.sqrt(latency_s * moving_s))


def all_reduce_s(
    message_bytes: ArrayLike,
    ranks: ArrayLike,
    efficiency: CollectiveEfficiency,
    *,
    ranks_in_node: ArrayLike | None = None,
    custom: bool = False,
) -> Floats:
    """Time of summing `message_bytes` over `ranks` [s]; nothing for one rank.

    ranks_in_node: members of the group that share a node (as many as the link domain holds when not given) [1]
    custom: an inference engine's own kernel may be used for messages that stay in the node
    Between nodes the steps are those of a tree: 2 log2(nodes).
    Source: developer.nvidia.com, "Massively Scale Your Deep Learning Training with NCCL 2.4"; inside, `collective_s`.

    >>> link = CollectiveRate(launch_s=0.0, hop_s=0.0, bytes_per_s=4e11)
    >>> machine = CollectiveEfficiency(link, link, link, link, link, 8, 5e10, 0.0)
    >>> float(all_reduce_s(8e9, 8, machine)), float(all_reduce_s(8e9, 16, machine))
    (0.035, 0.0375)
    """
    ranks, inside = _group(ranks, ranks_in_node, efficiency)
    rate = efficiency.all_reduce
    time = collective_s(all_reduce_traffic(message_bytes, inside, rate.local), inside, rate)
    if custom:
        own = efficiency.custom_all_reduce
        time = np.minimum(time, collective_s(all_reduce_traffic(message_bytes, inside, own.local), inside, own))
    traffic = all_reduce_traffic(message_bytes, ranks)
    return _over_network(time, traffic, ranks, inside, efficiency, 2.0 * np.log2(np.maximum(ranks / inside, 1.0)))


def all_gather_s(
    message_bytes: ArrayLike,
    ranks: ArrayLike,
    efficiency: CollectiveEfficiency,
    *,
    ranks_in_node: ArrayLike | None = None,
) -> Floats:
    """Time until each of `ranks` holds all `message_bytes`, of which it held one part [s]. Ring between nodes.

    Source: Thakur, Rabenseifner & Gropp, doi:10.1177/1094342005051521 (ring all-gather: n - 1 steps).
    """
    return _one_way_s(message_bytes, ranks, efficiency, efficiency.all_gather, ranks_in_node)


def reduce_scatter_s(
    message_bytes: ArrayLike,
    ranks: ArrayLike,
    efficiency: CollectiveEfficiency,
    *,
    ranks_in_node: ArrayLike | None = None,
) -> Floats:
    """Time until each of `ranks` holds its part of the sum of all their `message_bytes` [s]. Ring between nodes.

    Source: Thakur, Rabenseifner & Gropp, doi:10.1177/1094342005051521 (the same ring, the other way).
    """
    return _one_way_s(message_bytes, ranks, efficiency, efficiency.reduce_scatter, ranks_in_node)


def all_to_all_s(
    message_bytes: ArrayLike,
    ranks: ArrayLike,
    efficiency: CollectiveEfficiency,
    *,
    ranks_in_node: ArrayLike | None = None,
) -> Floats:
    """Time until each of `ranks` has sent an equal part of its `message_bytes` to every other [s].

    Source: as `collective_s`; what leaves a node goes over its members' networks at the same time.
    """
    ranks, inside = _group(ranks, ranks_in_node, efficiency)
    rate, message = efficiency.all_to_all, np.asarray(message_bytes, float)
    time = collective_s(message * (inside - 1.0 + rate.local) / ranks, inside, rate)
    leaving = message * (ranks - inside) / ranks
    network = leaving / efficiency.network_bytes_per_s + efficiency.network_hop_s * (ranks > inside)
    return np.where(ranks > 1.0, np.maximum(time, network), 0.0)


def point_to_point_s(
    message_bytes: ArrayLike, efficiency: CollectiveEfficiency, *, across_nodes: ArrayLike = False
) -> Floats:
    """Time of sending `message_bytes` to one other accelerator [s], as an all-gather of two would send it.

    Source: as `collective_s`.
    """
    message = np.asarray(message_bytes, float)
    near = collective_s(message, 2.0, efficiency.all_gather)
    far = message / efficiency.network_bytes_per_s + efficiency.network_hop_s
    return np.where(across_nodes, far, near)


def _group(
    ranks: ArrayLike, ranks_in_node: ArrayLike | None, efficiency: CollectiveEfficiency
) -> tuple[Floats, Floats]:
    """Ranks of a group, and how many of them share a node [1]."""
    ranks = np.asarray(ranks, float)
    return ranks, np.minimum(ranks, efficiency.domain if ranks_in_node is None else np.asarray(ranks_in_node, float))


def _one_way_s(
    message_bytes: ArrayLike,
    ranks: ArrayLike,
    efficiency: CollectiveEfficiency,
    rate: CollectiveRate,
    ranks_in_node: ArrayLike | None,
) -> Floats:
    ranks, inside = _group(ranks, ranks_in_node, efficiency)
    time = collective_s(one_way_traffic(message_bytes, inside, rate.local), inside, rate)
    return _over_network(time, one_way_traffic(message_bytes, ranks), ranks, inside, efficiency, ranks / inside - 1.0)


def _over_network(
    time: Floats, traffic: Floats, ranks: Floats, inside: Floats, efficiency: CollectiveEfficiency, steps: Floats
) -> Floats:
    """The slower of link and network, plus the latency of the steps between nodes [s].

    One ring per member and node: each member's network carries its share of what leaves the node.
    """
    network = np.where(ranks > inside, traffic / (inside * efficiency.network_bytes_per_s), 0.0)
    return np.where(ranks > 1.0, np.maximum(time, network) + steps * efficiency.network_hop_s, 0.0)
