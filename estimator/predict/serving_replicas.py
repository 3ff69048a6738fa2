"""Many replicas that one plan can be cut into, under the same closed loops at once: what a search tries."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.predict.serving import Traffic, active_of, admitted, cached_bytes, memory_split, serving, together
from estimator.predict.serving_costs import around_s, load_of, times_on
from estimator.predict.serving_load import Load, closed
from estimator.predict.serving_machine import ServingPlan, machine, path, suited
from estimator.predict.serving_memory import Cut
from estimator.predict.serving_time import Machine
from estimator.records import Architecture, Cluster

Replica = tuple[Cluster, ServingPlan]
# Powers are taken of these. A vector's may differ from a number's in the last bit, so they stay numbers.
ALIKE = ("bytes_per_s", "core_cycles_per_s", "simple", "age")


class Loops(NamedTuple):
    """What those replicas that hold the traffic (first axis) do with so many clients (second).

    which: of the replicas; ttft_s, tpot_s: means [s]; requests_per_s: that end [1/s]
    places: sequences served at once [1]; held_bytes: beside the cache, cache_bytes: what it may have [B/accelerator]
    """

    which: NDArray[np.intp]
    ttft_s: Floats
    tpot_s: Floats
    requests_per_s: Floats
    places: Floats
    held_bytes: Floats
    cache_bytes: Floats


def closed_loops(arch: Architecture, replicas: Sequence[Replica], traffic: Traffic) -> Loops:
    """What `serving` says of each of the replicas, to the last bit; `traffic` in numbers, but for its clients.

    replicas: of one plan, cut and stored in any way, on any accelerators

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> plans = [(cluster_of(accelerator("h100"), tp), ServingPlan(tp=tp)) for tp in (1, 4)]
    >>> found = closed_loops(architecture("70b"), plans, Traffic(1000, 200, concurrency=[1, 16]))
    >>> found.which.tolist(), found.tpot_s.shape  # one accelerator does not hold it
    ([1], (1, 2))
    """
    replicas = [(cluster, suited(plan, cluster.accelerator)) for cluster, plan in replicas]
    splits = [memory_split(arch, *replica) for replica in replicas]
    held = _column(one.weights + one.activations + one.reserve for one in splits)
    available = _column(one.kv_available for one in splits)
    cut, plan = Cut(*np.array([plan.cut(arch) for _, plan in replicas], float).T[:, :, None]), replicas[0][1]
    load = load_of(arch, plan, traffic.prompt_tokens, traffic.written_tokens, traffic.cached_tokens)
    slots = admitted(arch, plan, cut, available, load.prompt, load.output)
    fits = cached_bytes(arch, plan, cut, load.prompt + load.output) <= available
    clients = np.asarray(traffic.concurrency, float)
    met = np.empty((3, len(replicas), clients.size))
    for rows in _alike(arch, replicas, np.flatnonzero(fits)):
        met[:, rows] = _met(load, [replicas[row] for row in rows], _rows(cut, rows), slots[rows], traffic)
    which = np.flatnonzero(fits)
    ttft_s, tpot_s, requests_per_s = met[:, which]
    return Loops(which, ttft_s, tpot_s, requests_per_s, slots[which], held[which], available[which])


def _column(numbers: Iterable[float]) -> Floats:
    return np.array([*numbers], float)[:, None]


def _rows(cut: Cut, rows: Sequence[int]) -> Cut:
    return Cut(*(np.asarray(field)[rows] for field in cut))


def _alike(arch: Architecture, replicas: Sequence[Replica], which: Iterable[int]) -> Iterable[list[int]]:
    """Replicas that can be timed in one call; what was measured, not predicted, alone."""
    found: dict[object, list[int]] = {}
    for row in which:
        cluster, plan = replicas[row]
        on = None if _measured(cluster, plan) else machine(arch, cluster, plan)
        key = int(row) if on is None else tuple(getattr(on, name) for name in ALIKE)
        found.setdefault(key, []).append(int(row))
    return found.values()


def _measured(cluster: Cluster, plan: ServingPlan) -> bool:
    return bool(plan.measured) or cluster.accelerator.measured_cpu


def _met(load: Load, replicas: Sequence[Replica], cut: Cut, slots: Floats, traffic: Traffic) -> Sequence[Floats]:
    """Mean time to the first token, per further token, and requests per second."""
    (cluster, plan), clients = replicas[0], np.asarray(traffic.concurrency, float)
    if _measured(cluster, plan):
        alone = serving(load.arch, cluster, plan, traffic)
        found = alone.ttft_s, alone.tpot_s, alone.requests_per_s
    else:
        load, short = load._replace(plan=plan, cut=cut), (slots < cut.most_sequences) & (clients > slots)
        active = np.broadcast_to(active_of(load, traffic, slots), short.shape)
        on = _stacked([machine(load.arch, *replica) for replica in replicas])
        cost = times_on(load, on, path(cluster.accelerator, plan), active, short)
        answer = closed(cost, clients, active, around_s(plan, cluster, active), together(plan, traffic.start))
        found = answer.ttft.mean, answer.tpot.mean, answer.requests_per_s
    return [np.broadcast_to(each, (len(replicas), clients.size)) for each in found]


def _stacked(machines: Sequence[Machine]) -> Machine:
    """Machines as one, whose fields are columns; what all of them share stays a number."""
    numbers = np.array(machines, float).T
    shared = (numbers == numbers[:, :1]).all(axis=1)
    fields = (float(one[0]) if same else one[:, None] for one, same in zip(numbers, shared, strict=True))
    return Machine(*fields)
