"""Every valid training layout, evaluated by the same formulas in a few vectorised calls: nothing is guessed away."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from estimator.errors import DoesNotFit
from estimator.formulas import Floats
from estimator.predict.training import TrainingPlan, training_step
from estimator.predict.training_layout import CHUNKS, divisors, interleaves
from estimator.records import Architecture, Cluster
from estimator.search.result import Choice, Search, front

CHUNK = 20_000  # layouts evaluated at once: large enough to be fast, small enough for the cache
AXES = ("tp", "pp", "vpp", "cp", "ep", "zero", "micro_batch", "recompute")
RECOMPUTE = np.array(["none", "selective", "full"])
OFFLOAD = ("", "optimizer", "activations")
DAY = 86_400.0


class Offer(NamedTuple):
    """Accelerators that could be used, and what an hour of one costs (NaN when unknown) [USD/h]."""

    cluster: Cluster
    usd_per_hour: float = float("nan")


class Found(NamedTuple):
    """Layouts of one offer that fit, as arrays."""

    offer: Offer
    layout: dict[str, Any]
    figures: dict[str, Floats]
    parts: dict[str, Floats]
    evaluated: int


def best_training(
    llm: Architecture,
    offers: Sequence[Offer],
    plan: TrainingPlan,
    tokens: float,
    deadline_days: float | None = None,
    offloads: Sequence[str] = OFFLOAD,
) -> Search:
    """The fastest layout, or with a deadline the cheapest that meets it, over all offers.

    Fields of the plan that are not None stay as they are. tokens: of the whole run [token]
    Raises DoesNotFit when nothing fits or nothing meets the deadline, saying how close it came.
    """
    found = [_evaluated(llm, offer, plan, tokens, offload) for offer in offers for offload in offloads]
    evaluated = sum(part.evaluated for part in found)
    found = [part for part in found if len(part.figures["run_s"])]
    if not found:
        raise DoesNotFit(f"none of {evaluated:,} layouts of {llm.name} fits: more or larger accelerators are needed")
    time, usd, memory = (
        np.concatenate([part.figures[name] for part in found]) for name in ("run_s", "usd", "memory_bytes")
    )
    allowed = np.ones(len(time), bool) if deadline_days is None else time <= deadline_days * DAY
    if not allowed.any():
        raise DoesNotFit(f"no layout finishes in {deadline_days:g} days; the fastest takes {time.min() / DAY:.3g} days")
    first = "run_s" if deadline_days is None or not np.isfinite(usd).any() else "usd"
    goal = np.where(allowed, np.nan_to_num(usd if first == "usd" else time, nan=np.inf), np.inf)
    order = np.lexsort((memory, time, goal))
    kept = np.flatnonzero(allowed)
    criteria = [usd[kept], time[kept]] if first == "usd" else [time[kept], usd[kept]]
    shown = kept[front([*criteria, memory[kept]])]
    return Search(
        best=_choice(found, int(order[0])),
        front=tuple(_choice(found, int(index)) for index in shown[:20]),
        runner_up=_choice(found, int(order[1])) if len(order) > 1 and np.isfinite(goal[order[1]]) else None,
        evaluated=evaluated,
        fitting=len(time),
        criteria=(first, "usd" if first == "run_s" else "run_s", "memory_bytes"),
        asked=_asked(plan, tokens, deadline_days),
    )


def _asked(plan: TrainingPlan, tokens: float, deadline_days: float | None) -> dict[str, Any]:
    named = ("seq_len", "global_batch", "method", "precision", "optimizer")
    deadline = {} if deadline_days is None else {"deadline_days": deadline_days}
    return {"tokens": tokens, **deadline, **{name: getattr(plan, name) for name in named}}


def _choice(found: Sequence[Found], index: int) -> Choice:
    for part in found:
        size = len(part.figures["run_s"])
        if index < size:
            layout = {name: _scalar(values[index]) for name, values in part.layout.items()}
            figures = {name: float(values[index]) for name, values in part.figures.items()}
            parts = {name: float(values[index]) for name, values in part.parts.items()}
            cluster = part.offer.cluster
            return Choice(cluster.accelerator.name, cluster.count, layout, figures, parts)
        index -= size
    raise IndexError(index)


def _scalar(value: Any) -> Any:
    return str(value) if isinstance(value, str) else int(value)


def _evaluated(llm: Architecture, offer: Offer, plan: TrainingPlan, tokens: float, offload: str) -> Found:
    layouts = valid_layouts(llm, offer.cluster, plan)
    chunks = [_step(llm, offer, replace(plan, cpu_offload=offload), part, tokens) for part in _chunked(layouts)]
    count = len(layouts["tp"])
    joined = [_joined([chunk[place] for chunk in chunks]) for place in range(3)]
    joined[0]["offload"] = np.full(len(joined[1]["run_s"]), offload, dtype=object)
    return Found(offer, joined[0], joined[1], joined[2], count)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunked(layouts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    count = len(layouts["tp"])
    for start in range(0, max(count, 1), CHUNK):
        yield {name: values[start : start + CHUNK] for name, values in layouts.items()}


def _step(
    llm: Architecture, offer: Offer, plan: TrainingPlan, layouts: Mapping[str, Any], tokens: float
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Layout, figures and time parts of those that fit."""
    cluster = offer.cluster
    step = training_step(llm, cluster, replace(plan, **layouts))
    shape = np.shape(layouts["tp"])
    fits = np.broadcast_to(step.fits, shape)
    rate = np.broadcast_to(step.tokens_per_s_per_accelerator, shape) * cluster.count
    run_s = tokens / rate
    figures = {
        "run_s": run_s,
        "usd": run_s / 3600 * cluster.count * offer.usd_per_hour,
        "memory_bytes": np.broadcast_to(step.memory.total, shape),
        "step_s": np.broadcast_to(step.step_s, shape),
        "mfu": np.broadcast_to(step.mfu, shape),
    }
    names = ("compute_s", "exposed_communication_s", "bubble_s", "optimizer_s", "host_s")
    parts = {name: np.broadcast_to(getattr(step, name), shape) for name in names}
    return (
        {name: values[fits] for name, values in layouts.items()},
        {name: values[fits] for name, values in figures.items()},
        {name: values[fits] for name, values in parts.items()},
    )


def valid_layouts(llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> dict[str, Any]:
    """All layouts of the grid that divide the accelerators, the layers, the sequence and the batch, as equal arrays."""
    axes = {name: _axis(name, llm, cluster, plan) for name in AXES}
    grid = np.meshgrid(*axes.values(), indexing="ij")
    flat = dict(zip(AXES, (np.ravel(values) for values in grid), strict=True))
    keep = _valid(llm, cluster, plan, flat)
    return {name: values[keep] for name, values in flat.items()}


def _axis(name: str, llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> Any:
    """Values of one axis: as given, else all that could be valid."""
    given = getattr(plan, name)
    return np.atleast_1d(given) if given is not None else CHOICES[name](llm, cluster, plan)


def _tensor(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> Any:
    width = max(cluster.per_node, 1)
    return np.array([size for size in divisors(cluster.count) if size <= width and llm.heads % size == 0])


def _pipeline(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> Any:
    return np.array([size for size in divisors(cluster.count) if size <= llm.layers])


def _chunks(llm: Architecture, *_: Any) -> Any:
    return np.array([size for size in CHUNKS if size <= llm.layers])


def _context(_: Architecture, cluster: Cluster, plan: TrainingPlan) -> Any:
    longest = int(np.max(plan.seq_len)) // 2048
    return np.array([size for size in (1, 2, 4, 8, 16) if size <= max(longest, 1) and cluster.count % size == 0])


def _expert(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> Any:
    if llm.experts is None:
        return np.array([1])
    return np.array([size for size in divisors(cluster.count) if llm.experts.experts % size == 0])


def _micro_batch(_: Architecture, __: Cluster, plan: TrainingPlan) -> Any:
    return 2 ** np.arange(max(int(np.log2(max(int(np.max(plan.global_batch)), 1))) + 1, 1))[:8]


CHOICES: Mapping[str, Callable[[Architecture, Cluster, TrainingPlan], Any]] = {
    "tp": _tensor,
    "pp": _pipeline,
    "vpp": _chunks,
    "cp": _context,
    "ep": _expert,
    "zero": lambda *_: np.array([0, 1, 2, 3]),
    "micro_batch": _micro_batch,
    "recompute": lambda *_: RECOMPUTE,
}


def _valid(llm: Architecture, cluster: Cluster, plan: TrainingPlan, at: Mapping[str, Any]) -> Any:
    per_replica = at["tp"] * at["pp"] * at["cp"]
    keep = cluster.count % per_replica == 0
    dp = np.maximum(cluster.count // per_replica, 1)
    keep &= int(np.max(plan.global_batch)) % (dp * at["micro_batch"]) == 0
    keep &= interleaves(llm, at["pp"], at["vpp"])
    keep &= (at["zero"] < 2) | (at["pp"] == 1)  # sharded gradients and weights are gathered anew for every micro-batch
    keep &= (at["zero"] == 0) | (dp * at["cp"] > 1)
    if llm.experts is not None:
        keep &= (dp * at["cp"] * at["tp"]) % at["ep"] == 0
    return keep


def counts_for(device_per_node: int, most: int) -> list[int]:
    """Numbers of accelerators worth trying: within a node by doubling, then whole nodes by factors of 2 and 3.

    >>> counts_for(8, 64)
    [1, 2, 4, 8, 16, 24, 32, 48, 64]
    """
    inside = [2**power for power in range(device_per_node.bit_length()) if 2**power <= device_per_node]
    nodes = {2**two * 3**three for two, three in itertools.product(range(20), range(2))}
    return sorted({*inside, *(device_per_node * number for number in nodes)} & set(range(1, most + 1)))
