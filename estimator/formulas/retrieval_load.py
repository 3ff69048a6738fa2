"""Searches under load: how latency and queries per second follow from the core time of one query. Seconds, arrays.

In a closed loop each of n clients sends its next query when the last one is answered; at an open rate queries come
whether or not the last are answered. A core here is what a processor counts as one, hyper-threads included.
Validity: queries alike, in steady state, bound by cores; a disk or a network that is full is not seen.
"""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.formulas.queueing import erlang_c, mmc_wait_s


def alone_s(
    fixed_s: ArrayLike,
    piece_s: ArrayLike,
    segments: ArrayLike,
    at_once: ArrayLike,
    idle_speed: ArrayLike = 1.0,
    round_trip_s: ArrayLike = 0.0,
) -> Floats:
    """One query on an idle server [s]: segments are searched `at_once`, each on an idle core, then the way back.

    fixed_s, piece_s: core time on a busy core, of a query and of the search of one segment [s]
    idle_speed: of a core whose sibling is free, against a busy one [1]; round_trip_s: of the network, nobody's core
    Source: Little's law and the longest path of a fork-join, Kleinrock, Queueing Systems I (1975) section 2.1.

    >>> round(float(alone_s(0.5e-3, 1e-3, 4, 2, idle_speed=2.0, round_trip_s=1e-3)), 6)
    0.00225
    """
    rounds = np.ceil(np.asarray(segments, float) / np.maximum(at_once, 1))
    path = np.asarray(fixed_s, float) + rounds * np.asarray(piece_s, float)
    return path / np.asarray(idle_speed, float) + np.asarray(round_trip_s, float)


def closed_loop_s(alone_s: ArrayLike, clients: ArrayLike, capacity_per_s: ArrayLike) -> Floats:
    """Mean latency of n clients in a closed loop [s]: max(service, n / capacity).

    Validity: the asymptotic bounds of a closed queue; the truth lies a little above them where they meet.
    Source: Denning and Buzen 1978, doi:10.1145/356733.356735, section "asymptotic analysis".

    >>> float(closed_loop_s(0.002, 1, 1000.0)), float(closed_loop_s(0.002, 500, 1000.0))
    (0.002, 0.5)
    """
    waiting = np.asarray(clients, float) / np.asarray(capacity_per_s, float)
    return np.maximum(np.asarray(alone_s, float), waiting)


def at_rate_s(alone_s: ArrayLike, cores: ArrayLike, core_s: ArrayLike, queries_per_s: ArrayLike) -> Floats:
    """Mean latency at an open rate of queries [s]: service, slower as its core's neighbours fill, and the queue.

    core_s: of a query on a busy core [s]; infinite where the rate is more than all cores answer
    Source: M/M/c, `queueing.mmc_wait_s`.

    >>> float(at_rate_s(0.002, 8, 0.004, 1.0)), float(at_rate_s(0.002, 8, 0.004, 3000.0))
    (0.002..., inf)
    """
    alone, busy, rate = (np.asarray(value, float) for value in (alone_s, core_s, queries_per_s))
    use = np.minimum(rate * busy / np.asarray(cores, float), 1.0)
    service = alone + use * np.maximum(busy - alone, 0.0)
    return service + mmc_wait_s(cores, rate, busy)


def wait_share_s(share: ArrayLike, cores: ArrayLike, core_s: ArrayLike, queries_per_s: ArrayLike) -> Floats:
    """Time in the queue that `share` of the queries do not exceed, at an open rate [s].

    P(W > t) = C(c, a) e^(-(c - a) t / s), C Erlang's, of c cores under a load of a.
    Source: M/M/c, Kleinrock, Queueing Systems I (1975) section 3.5.

    >>> float(wait_share_s(0.5, 8, 0.004, 1.0))
    0.0
    """
    core_s, load = np.asarray(core_s, float), np.asarray(queries_per_s, float) * np.asarray(core_s, float)
    spare = np.asarray(cores, float) - load
    late = np.maximum(erlang_c(cores, load) / (1 - np.asarray(share, float)), 1.0)
    return np.where(spare > 0, np.log(late) * core_s / np.maximum(spare, 1e-12), np.inf)


def sent_per_s(clients: Real, batch: Real, dimensions: Real, value_s: Real, round_trip_s: Real) -> Real:
    """Vectors that clients send a second [1/s]: each writes a batch, then waits for the answer.

    value_s: a client's time for one dimension [s]; round_trip_s: of a request and its answer [s]
    Validity: clients have cores of their own, and the network is not full.
    Source: one client alternates work and waiting, Denning and Buzen 1978, doi:10.1145/356733.356735.

    >>> round(sent_per_s(1, 100, 1024, 2.3e-7, 1e-3)), round(sent_per_s(4, 1, 1024, 2.3e-7, 1e-3))
    (4073, 3238)
    """
    return clients * batch / (batch * dimensions * value_s + round_trip_s)


def load_s(sent_s: ArrayLike, indexed_s: ArrayLike, overlap: ArrayLike = 1.0) -> Floats:
    """Loading until the index is ready [s]: the slower of sending and indexing where they overlap, else their sum.

    sent_s: what clients take to send all vectors; indexed_s: what cores take to index them
    overlap: 1 where vectors are indexed as they come, 0 where the index is built when all are there [1]
    Source: a pipeline of two stages.

    >>> float(load_s(100.0, 300.0)), float(load_s(100.0, 300.0, overlap=0.0))
    (300.0, 400.0)
    """
    sent, indexed, share = (np.asarray(value, float) for value in (sent_s, indexed_s, overlap))
    return np.maximum(sent, indexed) + (1 - share) * np.minimum(sent, indexed)
