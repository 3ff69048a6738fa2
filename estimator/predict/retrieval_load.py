"""A vector index under load: latency, percentiles, queries per second, copies for a rate, recall."""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.retrieval import Host, latency_over_mean, retrieval_fit, segments_of
from estimator.errors import InvalidInput, clipped
from estimator.formulas import Floats, queueing
from estimator.formulas import retrieval_load as formulas
from estimator.predict.retrieval import IndexPlan, group, queries_per_s, recall_at, search, structure_and_code
from estimator.quantities import Z80

LOADS = "`alone`, `16 clients`, `50 queries/s` or `one client per core`"
STEPS = 60  # of halving


class Load(NamedTuple):
    """Who searches: so many clients in a closed loop, or queries at a rate [1/s]; neither: one client per core."""

    clients: float | None = None
    queries_per_s: float | None = None


def load_of(words: str) -> Load:
    """A load in words: `alone`, `16 clients`, `50 queries/s`, or `one client per core`. Raises InvalidInput.

    >>> load_of("16 clients"), load_of("alone").clients, load_of("50 qps").queries_per_s
    (Load(clients=16.0, queries_per_s=None), 1.0, 50.0)
    """
    text = words.strip().lower()
    if text in ("", "one client per core"):
        return Load()
    if text in ("alone", "idle"):
        return Load(clients=1.0)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(clients?|queries/s|qps|per second|/s)", text)
    if found is None or float(found[1]) <= 0 or (found[2].startswith("client") and float(found[1]) < 1):
        raise InvalidInput(f"a load of searches is {LOADS}, not {clipped(words)}")
    number = float(found[1])
    return Load(clients=number) if found[2].startswith("client") else Load(queries_per_s=number)


def alone_s(plan: IndexPlan, machine: Host) -> Floats:
    """One query on an idle server [s], from another machine where a server is asked."""
    parts = search(plan, machine)
    at_once = machine.cores if segments_of(plan.engine).at_once else 1.0
    way = machine.round_trip_s if group(plan) == "server" else 0.0
    return formulas.alone_s(parts.fixed_s, parts.piece_s, parts.pieces, at_once, machine.idle_speed, way)


def latency_s(plan: IndexPlan, machine: Host, load: Load | None = None) -> Floats:
    """Mean latency of a query [s]; infinite at a rate that all copies together do not answer.

    >>> from estimator.catalog.retrieval import host
    >>> plan, machine = IndexPlan(1e6, 768, engine="weaviate"), host("GCP n4-highmem-16, 16 vCPU, 128 GB")
    >>> slow = latency_s(plan, machine, Load(clients=1000)) / latency_s(plan, machine, Load(clients=100))
    >>> round(float(slow), 6)
    10.0
    """
    load = load or Load()
    alone, capacity = alone_s(plan, machine), queries_per_s(plan, machine)
    if load.queries_per_s is not None:
        cores = machine.cores * np.asarray(plan.replicas, float)
        return formulas.at_rate_s(alone, cores, cores / capacity, load.queries_per_s)
    return formulas.closed_loop_s(alone, _clients(plan, machine, load), capacity)


def answered_per_s(plan: IndexPlan, machine: Host, load: Load | None = None) -> Floats:
    """Queries answered a second under a load [1/s]: no more than all cores can, nor than the clients send."""
    load = load or Load()
    if load.queries_per_s is not None:
        return np.minimum(load.queries_per_s, queries_per_s(plan, machine))
    return _clients(plan, machine, load) / latency_s(plan, machine, load)


def _clients(plan: IndexPlan, machine: Host, load: Load) -> Floats:
    """One client per core where nobody says [1]; a network in between leaves cores idle, so its share more."""
    if load.clients is not None:
        return np.asarray(load.clients, float)
    return machine.cores * np.asarray(plan.replicas, float)


def latency_share_s(share: float, plan: IndexPlan, machine: Host, load: Load | None = None) -> Floats:
    """Latency that a share of the queries do not exceed [s]: 0.5, 0.9 or 0.99, such as p99.

    Between an idle and a fully busy server the published ratios to the mean are interpolated by the use of its cores.
    """
    load = load or Load()
    alone, full = latency_over_mean("alone"), latency_over_mean("full")
    if share not in full:
        raise InvalidInput(f"latencies are known of {', '.join(map(str, full))} of the queries, not {share}")
    mean, capacity = latency_s(plan, machine, load), queries_per_s(plan, machine)
    use = np.clip(answered_per_s(plan, machine, load) / capacity, 0.0, 1.0)
    ratio = alone[share] + use * (full[share] - alone[share])
    if load.queries_per_s is None:
        return ratio * mean
    cores = machine.cores * np.asarray(plan.replicas, float)
    core_s = cores / capacity
    waited = queueing.mmc_wait_s(cores, load.queries_per_s, core_s)
    service = mean - np.where(np.isfinite(waited), waited, 0.0)
    return ratio * service + formulas.wait_share_s(share, cores, core_s, load.queries_per_s)


def rate_within(latency_s: float, plan: IndexPlan, machine: Host, share: float = 0.99) -> float:
    """Most queries a second that keep the latency of a share of them within a target [1/s]; 0 where none does.

    >>> from estimator.catalog.retrieval import host
    >>> plan, machine = IndexPlan(1e6, 768), host("8 vCPU")
    >>> 0 < rate_within(0.02, plan, machine) < float(queries_per_s(plan, machine))
    True
    """
    low, high = 0.0, float(queries_per_s(plan, machine))
    for _ in range(STEPS):
        middle = (low + high) / 2
        late = float(latency_share_s(share, plan, machine, Load(queries_per_s=middle))) > latency_s
        low, high = (low, middle) if late else (middle, high)
    return low if low > high * 1e-6 else 0.0


def replicas_for(queries: ArrayLike, plan: IndexPlan, machine: Host, target_use: float = 0.7) -> Floats:
    """Copies of the index that answer so many queries a second with their cores busy at most that share [1]."""
    one = queries_per_s(plan, machine) / np.asarray(plan.replicas, float)
    return queueing.servers_for(queries, one, target_use)


class Recall(NamedTuple):
    """Share of the true neighbours found, and its 80 % range [1]; log_width: of what is missed, in ln."""

    value: Floats
    low: Floats
    high: Floats
    log_width: float


def recall(plan: IndexPlan) -> Recall | None:
    """Recall at k of a search, with its range; None for an index whose published curves say nothing of it.

    The law of the published graphs, and what codes lose without refining; a scan of originals finds all, and so does a
    graph of no more vectors than candidates.

    >>> found = recall(IndexPlan(1e6, 768, ef=128))
    >>> bool(found.low < found.value < found.high < 1)
    True
    """
    structure, code = structure_and_code(plan)
    if structure not in ("flat", "hnsw", "vamana"):
        return None
    law, lost = retrieval_fit()["operating_point"], retrieval_fit()["codes"].get(code, {}).get("missed", 0.0)
    if code and "missed" not in retrieval_fit()["codes"].get(code, {}) and not np.any(plan.refine):
        return None
    kept = np.maximum(plan.value("search_list") if structure == "vamana" else plan.value("ef"), plan.k)
    graph = np.where((structure == "flat") | (plan.n <= kept), 0.0, 1 - recall_at(kept, plan.k))
    missed = graph + np.where(np.asarray(plan.refine, float) > 0, 0.0, lost)
    width = Z80 * float(law["log_sd"]) if structure != "flat" else float(np.log(2.0))
    value, low, high = (np.clip(1 - missed * np.exp(off), 0.0, 1.0) for off in (0.0, width, -width))
    return Recall(value, low, high, width)
