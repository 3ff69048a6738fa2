"""What replicas of one plan do under loads that are given: figures with ranges, memory, and what they cost."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from estimator.catalog.models import thinks
from estimator.errors import DoesNotFit
from estimator.formulas import Floats, transformer
from estimator.formulas.money import SECONDS_PER_HOUR
from estimator.predict.chance import normal
from estimator.predict.served_times import DOUBT
from estimator.predict.serving import (
    LOADS,
    MEMORY_DOUBT,
    Serving,
    Traffic,
    capacity_doubt,
    format_notes,
    host_doubt,
    host_notes,
    sequence_bytes,
    serving,
)
from estimator.predict.serving_costs import measured
from estimator.predict.serving_machine import ServingPlan
from estimator.quantities import Z80, Quantity, derive, given, predicted, predictions, uncertain
from estimator.records import Architecture, Cluster
from estimator.results import ServedLoad, ServingAnswer
from estimator.stages.parts import noted, replica_parts
from estimator.stages.service import FACTOR_OF, half_widths

ALONE = "alone"
LATENCIES = {"ttft": "time to first token", "tpot": "time per output token", "latency": "time to last token"}
ANSWER = "answer"  # begins where thinking ends
TITLE_OF = LATENCIES | {ANSWER: "time to the answer's first token"}
QUANTILES = {"mean": "", "p50": "_p50", "p90": "_p90", "p99": "_p99"}
MEMORY = {
    "weights_bytes": "weights",
    "kv_bytes_available": "KV cache",
    "activations_bytes": "activations",
    "reserve_bytes": "reserve of the engine",
}
OPPOSITE = {"together": "spread", "spread": "together"}


def served(
    llm: Architecture, cluster: Cluster, plan: ServingPlan, traffic: Traffic, usd_per_hour: Quantity, replicas: int = 1
) -> ServingAnswer:
    """Loads of all replicas, which share them evenly. Raises DoesNotFit where none of them can be carried."""
    kind = next((name for name in LOADS if getattr(traffic, name) is not None), ALONE)
    amount = np.asarray(1.0 if kind == ALONE else getattr(traffic, kind), float)
    shared: dict[str, Any] = {} if kind in (ALONE, "batch") else {kind: amount / replicas}
    each = replace(traffic, **shared)
    found = serving(llm, cluster, plan, each)
    chance = fit_chance(llm, cluster, plan, found, traffic)
    if not found.fits and chance < LEAST_CHANCE:
        raise DoesNotFit(_too_large(llm, cluster, plan, found))
    beyond = ~np.isfinite(found.ttft_s)
    if beyond.all():
        raise DoesNotFit(_too_many(found, amount, replicas))
    widths = _widths(llm, cluster, plan, traffic, kind)
    inputs = _inputs(llm, cluster)
    loads = tuple(_loads(llm, cluster, plan, each, found, kind, amount, widths, inputs, usd_per_hour, replicas))
    return ServingAnswer(
        llm=f"{llm.name} in {plan.shown(llm)}",
        hardware=f"{cluster.count} x {cluster.accelerator.title}, {plan.engine}",
        plan={name: value for name, value in asdict(plan).items() if value is not None},
        replicas=replicas,
        loads=loads,
        memory=_memory(found, inputs),
        limits=_limits(found, widths, inputs, replicas),
        fit_chance=chance,
        arrays=found,
        notes=(
            *_notes(llm, cluster, plan, kind, traffic, beyond, found, replicas),
            *_thinking(llm, traffic),
            *([] if usd_per_hour.known else [UNPRICED]),
        ),
    )


LEAST_CHANCE = 0.1
UNPRICED = "What it costs is unknown, not zero: give --price-per-hour (or --purchase-price)."


def fit_chance(llm: Architecture, cluster: Cluster, plan: ServingPlan, found: Serving, traffic: Traffic) -> float:
    """Chance that the cache holds one request of this length beside weights, activations and reserve [1].

    What is left is normal around what is predicted, with the spread that engines' settings and logs show.
    """
    left = cluster.accelerator.memory_bytes - found.weights_bytes - found.activations_bytes - found.reserve_bytes
    longest = float(np.max(np.asarray(traffic.prompt_tokens, float) + traffic.written_tokens))
    spare = left - float(sequence_bytes(llm, plan, plan.max_context or longest))
    spread = MEMORY_DOUBT * cluster.accelerator.memory_bytes / Z80
    return round(float(normal(spare / spread)), 4)


def _too_large(llm: Architecture, cluster: Cluster, plan: ServingPlan, found: Serving) -> str:
    layers = ", layers in the host's memory (gpu_layers, cpu_moe_layers)" * plan.facts.host_layers
    return (
        f"{llm.name} in {plan.shown(llm)} does not fit {cluster.count} x {cluster.accelerator.name}: "
        f"{found.weights_bytes / 1e9:.3g} GB of weights on each of {cluster.accelerator.memory_bytes / 1e9:.3g} GB "
        f"leave {found.kv_bytes_available / 1e9:.3g} GB of cache. Use more accelerators, fewer bits (--set "
        f"weight_precision=int4){layers} or a shorter request"
    )


def _too_many(found: Serving, amount: Floats, replicas: int) -> str:
    capacity = float(np.max(found.capacity_requests_per_s)) * replicas
    words = "this replica ends" if replicas == 1 else f"these {replicas} replicas end"
    return (
        f"{float(np.min(amount)):.3g} requests/s are more than {words}: {capacity:.3g} a second at most. Ask for "
        "fewer, give --replicas, or let `estimator layout serve` choose how many"
    )


Widths = Mapping[str, tuple[float, float]]
GROUP_OF = {  # whose errors are whose: alone, in a batch, under load
    ALONE: {"ttft": "prefill", "tpot": "decode", "latency": "decode", "rate": "decode"},
    "batch": {"ttft": "prefill", "tpot": "decode", "latency": "batch", "rate": "batch"},
}
LOADED = {"ttft": "ttft", "tpot": "tpot", "latency": "tpot", "rate": "online"}


def _widths(llm: Architecture, cluster: Cluster, plan: ServingPlan, traffic: Traffic, kind: str) -> Widths:
    """80 % half widths of the figures in ln, and of capacity with what the cache may hold."""
    if server := measured(plan):
        return _measured_widths(server.noise, kind)
    groups = GROUP_OF.get(kind, LOADED)
    host = host_doubt(llm, cluster, plan, traffic.prompt_tokens)
    found = {
        name: wider(half_widths(group, llm, cluster.accelerator, plan.engine), EXACT if name == "ttft" else host)
        for name, group in groups.items()
    }
    found |= {"rate": EXACT} if kind == "requests_per_s" else {}  # what comes is what is answered
    found["in_flight"] = found["latency"] if kind == "requests_per_s" else EXACT
    capacity = half_widths("offline", llm, cluster.accelerator, plan.engine)
    lengths = (float(np.max(np.asarray(each, float))) for each in (traffic.prompt_tokens, traffic.written_tokens))
    return found | {"capacity": wider(wider(capacity, host), capacity_doubt(llm, cluster, plan, *lengths))}


def wider(ends: tuple[float, float], doubt: tuple[float, float]) -> tuple[float, float]:
    """Half widths with another doubt [1]."""
    return math.hypot(ends[0], doubt[0]), math.hypot(ends[1], doubt[1])


def _measured_widths(noise: float, kind: str) -> Widths:
    """The same of a server whose own times are known: what its measurements leave open, and the laws of load."""
    found = {name: (width, width) for name, one in DOUBT.items() for width in [math.hypot(one, Z80 * noise)]}
    answered = EXACT if kind == "requests_per_s" else found["rate"]
    in_flight = found["latency"] if kind == "requests_per_s" else EXACT
    return found | {"rate": answered, "capacity": found["rate"], "in_flight": in_flight}


EXACT = (0.0, 0.0)


def _inputs(llm: Architecture, cluster: Cluster) -> dict[str, Quantity]:
    device = cluster.accelerator
    basis: Any = {"basis": device.basis, "sources": device.sources}
    return {
        "params": given("parameters", float(transformer.params(llm)), "1", basis="analytic"),
        "memory_bandwidth": given("memory bandwidth", device.memory_bandwidth_bytes_per_s, "B/s", **basis),
        "peak": given("dense bf16 peak", device.peak("bf16"), "FLOP/s", **basis),
    }


def _loads(
    llm: Architecture,
    cluster: Cluster,
    plan: ServingPlan,
    each: Traffic,
    found: Serving,
    kind: str,
    amount: Floats,
    widths: Widths,
    inputs: Mapping[str, Quantity],
    usd_per_hour: Quantity,
    replicas: int,
) -> Iterator[ServedLoad]:
    """A load a row, in the order they were given."""
    columns = _columns(found, replicas, np.asarray(each.thinking_tokens, float))
    ends = _either_start(llm, cluster, plan, each, kind)
    shape = np.broadcast_shapes(*(np.shape(column) for column in columns.values()), np.shape(amount))
    lengths = (each.prompt_tokens, each.output_tokens, amount, *columns.values(), *ends.values())
    rows = np.stack([np.broadcast_to(np.asarray(column, float), shape).ravel() for column in lengths], axis=1)
    named = dict(zip((*LENGTHS, *columns, *ends), rows.T, strict=True))
    finite = np.isfinite(named["ttft_s"])
    carried = {name: column[finite] for name, column in named.items()}
    each_figures = _figures(
        {name: carried[name] for name in columns}, {name: carried[name] for name in ends}, widths, inputs
    )
    for is_finite, (prompt, output, number, *_) in zip(finite.tolist(), rows.tolist(), strict=True):
        figures = next(each_figures) if is_finite else {}
        if figures:
            figures |= _money(figures, usd_per_hour, cluster.count * replicas)
        yield ServedLoad(kind, number, prompt, output, figures, not is_finite)


LENGTHS = ("prompt", "output", "amount")


def _columns(found: Serving, replicas: int, thinking: Floats) -> dict[str, Floats]:
    """Figures by name, of all replicas."""
    latencies = {
        f"{name}{suffix}_s": getattr(getattr(found, name), part)
        for name in LATENCIES
        for part, suffix in QUANTILES.items()
    }
    if thinking.any():
        latencies |= {
            f"{ANSWER}{suffix}_s": getattr(found.ttft, part) + thinking * getattr(found.tpot, part)
            for part, suffix in QUANTILES.items()
        }
    active = np.maximum(np.asarray(found.concurrency, float), 1.0)
    rates = {
        "requests_per_s": found.requests_per_s * replicas,
        "output_tokens_per_s": found.output_tokens_per_s * replicas,
        "total_tokens_per_s": found.total_tokens_per_s * replicas,
        "output_tokens_per_s_per_user": found.output_tokens_per_s / active,
    }
    return latencies | rates | {"in_flight": found.concurrency * replicas, "utilisation": found.utilisation}


def _either_start(
    llm: Architecture, cluster: Cluster, plan: ServingPlan, traffic: Traffic, kind: str
) -> dict[str, Floats]:
    """Means of a closed loop that began at once and of one that began spread, where nobody says which it is."""
    if kind != "concurrency" or traffic.start is not None:
        return {}
    both = {start: serving(llm, cluster, plan, replace(traffic, start=start)) for start in OPPOSITE}
    return {
        f"{name}_s {start}": getattr(found, f"{name}_s") for start, found in both.items() for name in ("ttft", "tpot")
    }


UNITS = {"requests_per_s": "1/s", "in_flight": "1", "utilisation": "1"}
TITLES = {
    "requests_per_s": "requests answered",
    "output_tokens_per_s": "output tokens in all",
    "total_tokens_per_s": "tokens read and written",
    "output_tokens_per_s_per_user": "output tokens of one user",
    "in_flight": "requests in flight",
    "utilisation": "share of capacity",
}


def _figures(
    columns: Mapping[str, Floats], others: Mapping[str, Floats], widths: Widths, inputs: Mapping[str, Quantity]
) -> Iterator[dict[str, Quantity]]:
    """All figures of each load."""
    found = {name: _figure(name, columns, others, widths, inputs) for name in columns}
    return (dict(zip(found, figures, strict=True)) for figures in zip(*found.values(), strict=True))


def _figure(
    name: str,
    columns: Mapping[str, Floats],
    others: Mapping[str, Floats],
    widths: Widths,
    inputs: Mapping[str, Quantity],
) -> list[Quantity]:
    """One of them under every load."""
    latency = name.partition("_")[0] if name.partition("_")[0] in TITLE_OF else ""
    title = TITLES.get(name) or f"{TITLE_OF[latency]}, {_quantile(name)}"
    of = (title, "s" if latency else UNITS.get(name, "token/s"), columns[name], serving)
    if name == "utilisation":
        return predictions(*of, None, **inputs)
    down, up = widths[name if name in widths else WIDTH_OF.get(latency, latency) or "rate"]
    down, up = (down, up) if latency or name in widths else (up, down)  # a longer time is a lower rate
    means = [other / columns[f"{latency}_s"] for key, other in others.items() if key.startswith(f"{latency}_s")]
    apart = [[0.0, *map(math.log, ratios)] for ratios in zip(*(one.tolist() for one in means), strict=True)]
    apart = apart or [[0.0]] * len(columns[name])
    downs, ups = ([math.hypot(width, end(each)) for each in apart] for width, end in ((down, min), (up, max)))
    return predictions(*of, (FACTOR_OF_FIGURE[latency or "rate"], np.array(downs), np.array(ups)), **inputs)


WIDTH_OF = {ANSWER: "latency"}
FACTOR_OF_FIGURE = {"ttft": FACTOR_OF["prefill"], "tpot": FACTOR_OF["decode"], "latency": FACTOR_OF["decode"]}
FACTOR_OF_FIGURE[ANSWER] = FACTOR_OF["decode"]
FACTOR_OF_FIGURE["rate"] = FACTOR_OF["offline"]


def _quantile(name: str) -> str:
    word = name.split("_")[1]
    return {"p50": "median", "p90": "90 % are faster", "p99": "99 % are faster"}.get(word, "mean")


def _money(figures: Mapping[str, Quantity], usd_per_hour: Quantity, accelerators: int) -> dict[str, Quantity]:
    """What a million output tokens cost while the load lasts, all accelerators paid [USD]."""
    count = given("accelerators", float(accelerators), "1", basis="analytic")
    rate = figures["output_tokens_per_s"]
    cost = derive(
        "cost of a million output tokens",
        "USD",
        usd_per_million,
        usd_per_hour=usd_per_hour,
        accelerators=count,
        rate=rate,
    )
    return {"usd_per_million_output_tokens": cost}


def usd_per_million(usd_per_hour: Floats, accelerators: Floats, rate: Floats) -> Floats:
    """Accelerators over the tokens they put out."""
    return usd_per_hour * accelerators / SECONDS_PER_HOUR / rate * 1e6


def _memory(found: Serving, inputs: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """What fills each accelerator [B]."""
    parts = replica_parts(found)
    return {
        name: noted(predicted(words, "B", np.asarray(getattr(found, name)), serving, **inputs), parts)
        for name, words in MEMORY.items()
    }


def _limits(found: Serving, widths: Widths, inputs: Mapping[str, Quantity], replicas: int) -> dict[str, Quantity]:
    """What the replicas can do at most, with the longest of the lengths that were asked."""
    down, up = widths["capacity"]
    rate = float(np.min(found.capacity_requests_per_s)) * replicas
    most = float(np.floor(np.min(found.max_concurrency))) * replicas
    capacity = predicted("requests answered at most", "1/s", np.asarray(rate), serving, **inputs)
    return {
        "capacity_requests_per_s": uncertain(capacity, FACTOR_OF["offline"], up, down),
        "max_concurrency": predicted("requests served at once at most", "1", np.asarray(most), serving, **inputs),
        "max_context": predicted("longest request alone", "token", np.asarray(found.max_context), serving, **inputs),
    }


def _thinking(llm: Architecture, traffic: Traffic) -> Iterator[str]:
    """That thinking is counted; or that this LLM thinks, and none is."""
    if np.any(np.asarray(traffic.thinking_tokens) > 0):
        yield "What is thought before an answer is written like it: tokens per second and their cost count it."
    elif when := thinks(llm.name):
        yield f"{llm.name} thinks before it answers, {when}: none of it is counted. Set thinking_tokens."


def _notes(
    llm: Architecture,
    cluster: Cluster,
    plan: ServingPlan,
    kind: str,
    traffic: Traffic,
    beyond: Floats,
    found: Serving,
    replicas: int,
) -> Iterator[str]:
    """What is assumed, and what is beyond the replicas."""
    if kind == "concurrency" and traffic.start is None:
        yield (
            "Clients may begin at once or spread: ranges hold both. Loops of equal lengths that begin at once stay so; "
            "say start=together or start=spread."
        )
    if beyond.any():
        capacity = float(np.min(found.capacity_requests_per_s)) * replicas
        yield f"Loads beyond {capacity:.3g} requests/s are more than {replicas} such replicas end: waits only grow."
    yield from host_notes(llm, plan)
    yield from format_notes(llm, plan, cluster.accelerator)
    if server := measured(plan):
        yield f"Times are those of the server that was measured ({server.llm}); memory is predicted."
    if not plan.facts.known:
        yield f"Engine {plan.engine} is not known: usual facts, and a wider range."
