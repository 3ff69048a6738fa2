"""Waiting for a server: the classic queues, in steady state. Rates [1/s], times [s]; arrays broadcast.

Validity: arrivals are Poisson, servers alike, nobody gives up waiting. A load of one or more has no steady
state: waits are infinite.
"""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats


def erlang_c(servers: ArrayLike, offered_load: ArrayLike) -> Floats:
    """Probability that an arrival waits, M/M/c [1]; offered_load = arrival rate x service time [erlang].

    Through the recursion of Erlang's B, which does not overflow. Many-server loads are exact up to 4,096 servers.
    Source: Erlang 1917; Kleinrock, Queueing Systems I (1975) equation 3.40.

    >>> round(float(erlang_c(2, 1.0)), 4), round(float(erlang_c(10, 8.0)), 4)
    (0.3333, 0.4092)
    """
    count, load = np.broadcast_arrays(np.minimum(np.asarray(servers, float), 4096), np.asarray(offered_load, float))
    count = np.maximum(np.floor(count), 1.0)
    blocked = np.ones(count.shape)
    for server in range(1, int(count.max(initial=1.0)) + 1):
        grown = load * blocked / (server + load * blocked)
        blocked = np.where(server <= count, grown, blocked)
    use = load / count
    return np.where(use < 1, blocked / np.maximum(1 - use * (1 - blocked), 1e-12), 1.0)


def mmc_wait_s(servers: ArrayLike, arrivals_per_s: ArrayLike, service_s: ArrayLike) -> Floats:
    """Mean time in the queue, M/M/c [s].

    Source: Kleinrock, Queueing Systems I (1975) section 3.5: C(c, a) s / (c - a).

    >>> round(float(mmc_wait_s(2, 1.0, 1.0)), 4)
    0.3333
    """
    service = np.asarray(service_s, float)
    load = np.asarray(arrivals_per_s, float) * service
    spare = np.asarray(servers, float) - load
    return np.where(spare > 0, erlang_c(servers, load) * service / np.maximum(spare, 1e-12), np.inf)


def mg1_wait_s(arrivals_per_s: ArrayLike, service_s: ArrayLike, variation: ArrayLike = 0.0) -> Floats:
    """Mean time in the queue of one server, M/G/1 [s]; variation: squared coefficient of variation of service [1].

    Source: Pollaczek-Khinchine, Kleinrock, Queueing Systems I (1975) equation 5.64.

    >>> round(float(mg1_wait_s(0.5, 1.0)), 3), round(float(mg1_wait_s(0.5, 1.0, 1.0)), 3)
    (0.5, 1.0)
    """
    service = np.asarray(service_s, float)
    use = np.asarray(arrivals_per_s, float) * service
    mean = use * service * (1 + np.asarray(variation, float)) / (2 * np.maximum(1 - use, 1e-12))
    return np.where(use < 1, mean, np.inf)


def servers_for(arrivals_per_s: ArrayLike, capacity_per_s: ArrayLike, target_use: ArrayLike = 0.7) -> Floats:
    """Fewest servers of `capacity_per_s` each that keep their use at or below the target; at least one [1].

    >>> float(servers_for(25.0, 10.0, 0.7))
    4.0
    """
    needed = np.asarray(arrivals_per_s, float) / (np.asarray(capacity_per_s, float) * target_use)
    return np.maximum(np.ceil(needed - 1e-9), 1.0)
