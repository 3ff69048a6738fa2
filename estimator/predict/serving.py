"""Serving: latency, throughput and memory of inference, from an architecture, accelerators, a plan and a traffic.

Lengths, batches and rates may be arrays, which broadcast; the answer for an array is that for its elements.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.efficiency import carried_over
from estimator.catalog.energy import power_fraction
from estimator.catalog.engines import engine, serving_fit
from estimator.catalog.formats import shown
from estimator.catalog.formats import weights as stored_weights
from estimator.errors import DoesNotFit, InvalidInput
from estimator.fitting.ranges import half_widths, novelties
from estimator.formulas import Floats, queueing
from estimator.formulas.serving import Pass, adapter_params, held_tokens, kv_slots
from estimator.formulas.transformer import tensor_parts, unwindowed
from estimator.predict import serving_memory as memory
from estimator.predict.serving_load import MOST_USE, STARTS, Load, Times, batch_prefill_s
from estimator.predict.serving_machine import ServingPlan, machine
from estimator.predict.serving_time import Constants, Machine, added_s, alone_s, device_s, pass_s
from estimator.records import Accelerator, Architecture, Cluster

HALVINGS = 20  # of the range in which the number of active sequences is looked for
SMALL_BATCH, LARGE_BATCH = 8.0, 128.0  # what the shares of the rated power were measured at [1]
MEMORY_DOUBT = 0.03  # of an accelerator's memory: engines' settings (0.9 to 0.95 of it), logs of vLLM within 0.008
P90_NORMAL = 1.2816  # standard deviations above the mean of which a tenth lies


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of a replica. One of requests_per_s, concurrency and batch at most; none is one at a time.

    prompt_tokens, output_tokens: of one request; cached_tokens: of the prompt, found in a prefix cache [token]
    requests_per_s: open loop, Poisson [1/s]; concurrency: closed loop, so many always in flight [1]
    batch: a static batch, started and finished together [1]
    """

    prompt_tokens: ArrayLike
    output_tokens: ArrayLike
    cached_tokens: ArrayLike = 0.0
    requests_per_s: ArrayLike | None = None
    concurrency: ArrayLike | None = None
    batch: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Refuse more than one kind of load, and lengths that make no sense."""
        if sum(load is not None for load in (self.requests_per_s, self.concurrency, self.batch)) > 1:
            raise InvalidInput("give one of requests_per_s, concurrency and batch")
        if np.any(np.asarray(self.prompt_tokens) < 0) or np.any(np.asarray(self.output_tokens) < 0):
            raise InvalidInput("prompt_tokens and output_tokens must not be negative")


class Serving(NamedTuple):
    """What a replica does under a traffic. Times [s], rates [1/s], memory [B per accelerator].

    capacity_requests_per_s: of one replica when saturated; utilisation: of one replica [1]
    replicas: for the requests per second asked, at the target utilisation [1]
    max_concurrency: sequences of this traffic served at once [1]; max_context: tokens of a lone sequence [token]
    """

    ttft_s: Floats
    tpot_s: Floats
    tpot_p90_s: Floats
    latency_s: Floats
    output_tokens_per_s: Floats
    total_tokens_per_s: Floats
    requests_per_s: Floats
    capacity_requests_per_s: Floats
    concurrency: Floats
    max_concurrency: Floats
    max_context: float
    weights_bytes: float
    kv_bytes_per_token: float
    kv_bytes_available: float
    activations_bytes: float
    reserve_bytes: float
    fits: bool
    accelerators: int
    replicas: Floats
    utilisation: Floats
    energy_j_per_token: Floats


@cache
def constants(fold: str | None = None) -> Constants:
    """Fitted constants by name, engines' factors among them as `phase@engine`; `fold` names what is left out."""
    fit = serving_fit()
    found: dict[str, float] = {name: entry["value"] for name, entry in fit["parameters"].items()} | fit["engines"]
    return found if fold is None else fit["folds"][fold]


def prefill_s(
    arch: Architecture,
    cluster: Cluster,
    plan: ServingPlan,
    prompt_tokens: ArrayLike,
    cached_tokens: ArrayLike = 0.0,
    batch: ArrayLike = 1.0,
) -> Floats:
    """Time to read `batch` prompts of which `cached_tokens` each are in a prefix cache, first token included [s].

    Arrays broadcast. Accuracy of what follows: benchmarks/accuracy_serving.md.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> llm, one = architecture("8b"), cluster_of(accelerator("h100"), 1)
    >>> cold, warm = prefill_s(llm, one, ServingPlan(), 4000, [0, 3500])
    >>> bool(0.0 < warm < cold / 4 < 0.1)
    True
    """
    load = _load(arch, plan, prompt_tokens, 1.0, cached_tokens)
    together = _timed(load.batch_pass(batch), load, cluster, "prefill")
    return batch_prefill_s(together, load.stages(batch))


def decode_step_s(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, context_tokens: ArrayLike, batch: ArrayLike = 1.0
) -> Floats:
    """Time of one step that adds a token to each of `batch` sequences with `context_tokens` cached [s].

    With speculative decoding it is a token's share of a step that verifies several.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> step = decode_step_s(architecture("8b"), cluster_of(accelerator("h100"), 1), ServingPlan(), 1000, [1, 64])
    >>> bool(16e9 / 3.35e12 < step[0] < step[1] < 64 * step[0])  # never under the time to read the weights once
    True
    """
    load = _load(arch, plan, context_tokens, 0.0, 0.0)
    return _timed(load.step_pass(batch), load, cluster, "decode") / plan.draft_accepted_tokens


def _load(arch: Architecture, plan: ServingPlan, prompt: ArrayLike, output: ArrayLike, cached: ArrayLike) -> Load:
    return Load(arch, plan, *(np.asarray(value, float) for value in (prompt, output, cached)))


def _timed(work: Pass, load: Load, cluster: Cluster, phase: str) -> Floats:
    if cluster.accelerator.measured_cpu:
        from estimator.catalog.local import machine as local_machine  # loaded for these alone
        from estimator.predict import local

        dtype = load.plan.layers(load.arch).compute
        return local.pass_s(load.arch, work, dtype, phase, local_machine(cluster.accelerator.name))
    found = constants()
    on = machine(load.arch, cluster, load.plan)
    return _own(load.plan, phase) * pass_s(work, on, found) + _adapters_s(load.arch, load.plan, work, on, found)


def _own(plan: ServingPlan, phase: str) -> float:
    """Factor of the plan's engine in a phase [1]."""
    return constants().get(f"{phase}@{plan.facts.family}", 1.0)


def _passes_s(load: Load, cluster: Cluster, active: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """A pass of the prompts that a step admits; a prompt's share of it, or of what it adds to the step; a step [s]."""
    if cluster.accelerator.measured_cpu:
        work = load.shared_pass(active)
        together = _timed(work, load, cluster, "prefill")
        return together, together / work.sequences, _timed(load.step_pass(active), load, cluster, "decode")
    found, on, work = constants(), machine(load.arch, cluster, load.plan), load.shared_and_step_pass(active)
    device, adapters = device_s(work, on, found), _adapters_s(load.arch, load.plan, work, on, found)
    prefill, decode = _own(load.plan, "prefill"), _own(load.plan, "decode")
    alone, sequences = np.asarray(alone_s(device, work, on, found)), np.asarray(work.sequences)
    together, step = prefill * alone[0] + adapters[0], decode * alone[1] + adapters[1]
    if load.plan.facts.scheduling != "mixed":
        return together, together / sequences[0], step
    added = prefill * np.asarray(added_s(device, work, on, found))[0] + adapters[0]
    return together, added / sequences[0], step


def _adapters_s(arch: Architecture, plan: ServingPlan, work: Pass, on: Machine, found: Constants) -> Floats:
    """Unmerged adapters: their weights and two more small products per matrix [s]; merged ones cost nothing.

    Source: S-LoRA, arXiv:2311.03285 section 4 (batched computation beside the base weights); Punica, arXiv:2310.18547.
    """
    if not plan.adapters:
        return np.zeros(np.shape(work.rows))
    used = np.minimum(float(plan.adapters), work.sequences)
    read = used * 2.0 * adapter_params(arch, plan.adapter_rank) / plan.tp
    return read / (found["stream"] * on.bytes_per_s) + work.layers * found["launch"] * on.layer_launch_s


def serving(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, traffic: Traffic, target_utilisation: float = 0.7
) -> Serving:
    """Latency, throughput and memory of replicas of `plan` under `traffic`.

    target_utilisation: share of a replica's capacity that is planned for, where requests per second are asked [1]
    Source: continuous batching, Orca (OSDI 2022) section 3; KV limits, arXiv:2309.06180; queues, Kleinrock 1975.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> llm, one = architecture("8b"), cluster_of(accelerator("h100"), 1)
    >>> found = serving(llm, one, ServingPlan("fp8"), Traffic(1000, 200, requests_per_s=[1.0, 100.0]))
    >>> bool(found.replicas[0] == 1 and found.replicas[1] > 1 and (found.utilisation <= 0.7).all())
    True
    """
    prompt, output = np.asarray(traffic.prompt_tokens, float), np.maximum(np.asarray(traffic.output_tokens, float), 1.0)
    held = memory_split(arch, cluster, plan)
    slots = slots_of(arch, plan, held, prompt, output)
    load = _load(arch, plan, prompt, output, traffic.cached_tokens)
    active = _active(load, traffic, slots)
    full, cost = _full_and_active(load, cluster, traffic, slots, active)
    capacity = full.requests_per_s(slots)
    replicas = np.ones(np.shape(capacity))
    if traffic.requests_per_s is not None:
        replicas = queueing.servers_for(traffic.requests_per_s, capacity, target_utilisation)
        active, *answer = _open(load, cluster, np.asarray(traffic.requests_per_s, float) / replicas, slots, capacity)
    elif traffic.batch is not None:
        answer = _static(load, cluster, active, cost)
    else:
        answer = _closed(traffic, active, cost)
    ttft, tpot, p90, rate = answer
    power = _power_w(cluster.accelerator, active) * plan.layout.accelerators
    return Serving(
        ttft_s=ttft,
        tpot_s=tpot,
        tpot_p90_s=p90,
        latency_s=ttft + (output - 1.0) * tpot,
        output_tokens_per_s=rate * output,
        total_tokens_per_s=rate * (prompt + output),
        requests_per_s=rate,
        capacity_requests_per_s=capacity,
        concurrency=active,
        max_concurrency=slots,
        max_context=held.max_context,
        weights_bytes=held.weights,
        kv_bytes_per_token=float(memory.kv_sequence_bytes(arch, 1.0, plan.cache(arch), plan.layout))
        / plan.layout.attention_replicas,
        kv_bytes_available=held.kv_available,
        activations_bytes=held.activations,
        reserve_bytes=held.reserve,
        fits=held.kv_available >= float(np.max(sequence_bytes(arch, plan, prompt + output))),
        accelerators=plan.layout.accelerators,
        replicas=replicas,
        utilisation=np.minimum(rate / capacity, 1.0),
        energy_j_per_token=power / np.maximum(rate * output, 1e-12),
    )


Answer = list[Floats]  # TTFT, TPOT, its 90th percentile, requests per second


def _active(load: Load, traffic: Traffic, slots: Floats) -> Floats:
    """Slots in use: the batch; as many as there are clients; all of them until the arrivals are known to need fewer."""
    if traffic.batch is not None:
        return np.asarray(traffic.batch, float)
    if traffic.requests_per_s is not None:
        return slots
    return np.minimum(_clients(traffic), slots if load.plan.facts.batching == "continuous" else 1.0)


def _clients(traffic: Traffic) -> Floats:
    return np.asarray(1.0 if traffic.concurrency is None else traffic.concurrency, float)


def _full_and_active(
    load: Load, cluster: Cluster, traffic: Traffic, slots: Floats, active: Floats
) -> tuple[Times, Times]:
    """What prompts and steps cost with all slots full and requests waiting, and with those in use; in one call."""
    memory_bound = slots < load.plan.max_sequences
    waiting = memory_bound & (_clients(traffic) > slots)
    both, short = (
        np.stack(np.broadcast_arrays(*pair, load.prompt, load.output, load.cached)[:2])
        for pair in ((slots, active), (memory_bound, waiting))
    )
    found = [np.broadcast_to(field, both.shape) for field in times(load, cluster, both, short)]
    return Times(*(field[0] for field in found)), Times(*(field[1] for field in found))


def times(load: Load, cluster: Cluster, active: ArrayLike, short: ArrayLike = False) -> Times:
    """What prompts and steps cost with `active` slots kept full; short: where others wait for want of cache."""
    together, prompt, step = _passes_s(load, cluster, active)
    prompt, step = prompt * load.passes(short), step / load.plan.draft_accepted_tokens
    start = np.minimum(constants()[STARTS[load.plan.facts.scheduling]], 1.0)
    return Times(together, prompt, step, load.output, load.stages(active), start)


def _static(load: Load, cluster: Cluster, batch: Floats, cost: Times) -> Answer:
    ttft = prefill_s(load.arch, cluster, load.plan, load.prompt, load.cached, batch)
    return [ttft, cost.step_s, cost.step_s, batch / (ttft + (load.output - 1.0) * cost.step_s)]


def _closed(traffic: Traffic, active: Floats, cost: Times) -> Answer:
    ttft = cost.closed_ttft_s(_clients(traffic), active, constants())
    return [ttft, cost.tpot_s(active), cost.tpot_s(active, P90_NORMAL), cost.requests_per_s(active)]


def _open(load: Load, cluster: Cluster, rate: Floats, slots: Floats, capacity: Floats) -> Answer:
    """Little's law closes the loop: as many are active as arrive while one is served. Bisection on how many."""
    rate = np.minimum(rate, 0.999 * capacity)
    low, high = np.ones(np.shape(rate * slots)), np.broadcast_to(slots, np.shape(rate * slots))
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        enough = times(load, cluster, middle).requests_per_s(middle) >= rate
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found, cost = constants(), times(load, cluster, high)
    prompt = cost.prompt_s / cost.stages
    wait = queueing.mg1_wait_s(np.minimum(rate, MOST_USE / prompt), prompt)
    wait = wait + queueing.mmc_wait_s(slots, rate, slots / capacity)
    ttft = cost.pass_s + found["first_token"] + wait
    return [high, ttft, cost.tpot_s(high), cost.tpot_s(high, P90_NORMAL), rate]


class Memory(NamedTuple):
    """Memory of one accelerator of a replica [B]; max_context: tokens of a lone sequence [token]."""

    weights: float
    activations: float
    reserve: float
    kv_available: float
    max_context: float


def memory_split(arch: Architecture, cluster: Cluster, plan: ServingPlan) -> Memory:
    """Where the memory of each accelerator goes; the cache may have what the rest leaves."""
    facts, layout = plan.facts, plan.layout
    fraction = facts.memory_fraction if plan.memory_fraction is None else plan.memory_fraction
    usable = memory.usable_bytes(cluster.accelerator, fraction)
    weights = memory.weights_bytes(arch, stored_weights(arch, plan.weight_precision), layout)
    weights += memory.adapters_bytes(arch, plan.adapters, plan.adapter_rank, layout)
    activations = memory.activation_bytes(arch, facts, layout, plan.chunked_prefill)
    context = memory.CONTEXT_BYTES if cluster.accelerator.kind == "gpu" else 0.0
    available = max(usable - weights - activations - context, 0.0)
    reserve = cluster.accelerator.memory_bytes - usable + context
    return Memory(weights, activations, reserve, available, _longest(arch, plan, available))


def _longest(arch: Architecture, plan: ServingPlan, available: float) -> float:
    """Tokens of a lone sequence whose cache fits, by bisection: windows make it uneven [token]."""
    limit = float(arch.max_context or 1_000_000)
    low, high = 0.0, limit
    if arch.kind == "encoder" or float(sequence_bytes(arch, plan, limit)) <= available:
        return limit
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if float(sequence_bytes(arch, plan, middle)) <= available else (low, middle)
    return float(np.floor(low))


def slots_of(arch: Architecture, plan: ServingPlan, held: Memory, prompt: ArrayLike, output: ArrayLike = 0.0) -> Floats:
    """Sequences served at once [1]: those whose cache fits, as many as the engine admits, one at least."""
    tokens = held_tokens(prompt, output, plan.facts.preempts)
    fitting = kv_slots(held.kv_available, sequence_bytes(arch, plan, tokens))
    return np.clip(fitting, 1.0, float(plan.max_sequences))


def doubted(held: Memory, device: Accelerator) -> tuple[Memory, Memory]:
    """The split with the least and the most memory that the cache may have (80 %).

    Where little is left for the cache, the number of sequences is far from certain, and so is all that follows from it.
    """
    doubt = MEMORY_DOUBT * device.memory_bytes
    least, most = max(held.kv_available - doubt, 0.0), held.kv_available + doubt
    return held._replace(kv_available=least), held._replace(kv_available=most)


def slots_and_ends(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, prompt: float, output: float
) -> tuple[float, float, float]:
    """Sequences served at once [1], and with the least and the most memory that the cache may have."""
    held = memory_split(arch, cluster, plan)
    splits = (held, *doubted(held, cluster.accelerator))
    here, least, most = (float(slots_of(arch, plan, split, prompt, output)) for split in splits)
    return here, least, most


def capacity_doubt(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, prompt: float, output: float
) -> tuple[float, float]:
    """80 % half widths, down and up, of ln(time between requests) at capacity from what the cache may hold [1].

    Capacity grows with the sequences served at once, at most in proportion to them: 3 % of an H100 is much beside what
    70 GB of weights leave, nothing beside what 16 GB do.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> one, plan = cluster_of(accelerator("h100"), 1), ServingPlan("fp8")
    >>> [round(capacity_doubt(architecture(llm), one, plan, 1000, 1000)[1], 2) for llm in ("8b", "70b")]
    [0.04, 1.59]
    """
    here, least, most = slots_and_ends(arch, cluster, plan, prompt, output)
    return float(np.log(most / here)), float(np.log(here / least))


def check_context(arch: Architecture, prompt_tokens: ArrayLike, output_tokens: ArrayLike) -> None:
    """DoesNotFit where a prompt and its answer are longer than the LLM's context; InvalidInput where it writes none."""
    check_writes(arch)
    longest = float(np.max(np.asarray(prompt_tokens, float) + np.asarray(output_tokens, float)))
    if arch.max_context is not None and longest > arch.max_context:
        raise DoesNotFit(
            f"a request of {longest:,.0f} tokens exceeds the {arch.max_context:,} that {arch.name} holds. Shorten it, "
            "or take an LLM with a longer context."
        )


def check_writes(arch: Architecture) -> None:
    """InvalidInput where a model only encodes, so that there is nothing to decode."""
    if arch.kind == "encoder":
        raise InvalidInput(
            f"{arch.name} embeds texts and answers no questions. Name an LLM that writes, such as llama-3.1-8b; "
            f"texts are embedded by it with --set embedding_model={arch.name}; it is fine-tuned on pairs or triplets "
            f"with estimator estimate finetune --model {arch.name} --gpu h100."
        )


def sequence_bytes(arch: Architecture, plan: ServingPlan, tokens: ArrayLike) -> Floats:
    """Cache of one sequence on the accelerators that hold it [B]; attention replicas share out the sequences."""
    kept = arch if plan.facts.windowed else unwindowed(arch)
    held = memory.kv_sequence_bytes(kept, tokens, plan.cache(arch), plan.layout)
    held = held + memory.state_sequence_bytes(arch, plan.layout)
    return np.asarray(held / plan.layout.attention_replicas)


def smallest_fit(
    arch: Architecture,
    accelerator: Accelerator,
    plan: ServingPlan,
    most: int = 64,
    context_tokens: float | None = None,
) -> int:
    """Fewest accelerators, a power of two as tensor-parallel group, that hold weights and one long sequence.

    context_tokens: that sequence's length, the LLM's whole context when not given [token]
    Raises DoesNotFit when `most` are not enough.

    >>> from estimator.catalog.accelerators import accelerator
    >>> from estimator.catalog.models import architecture
    >>> smallest_fit(architecture("8b"), accelerator("a100"), ServingPlan())
    1
    """
    check_writes(arch)
    context = context_tokens or float(arch.max_context or 4096)
    tp = 1
    while tp <= most:
        if arch.blocks and tensor_parts(arch) % tp:
            break
        cut = replace(plan, tp=tp)
        held = memory_split(arch, Cluster(accelerator, tp * plan.pp, max(tp, accelerator.per_node or 8)), cut)
        if held.kv_available > 0 and held.max_context >= context:
            return tp
        tp *= 2
    raise DoesNotFit(
        f"{arch.name} in {shown(arch, plan.weight_precision)} with {context:,.0f} tokens of context does not fit "
        f"{most} x {accelerator.title}. Use fewer bits, a shorter context or a larger accelerator."
    )


def embedding_sequences_per_s(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, tokens: ArrayLike, batch: ArrayLike = 32.0
) -> Floats:
    """Sequences of `tokens` embedded per second in batches of `batch` [1/s]."""
    return np.asarray(batch, float) / prefill_s(arch, cluster, plan, tokens, 0.0, batch)


def rerank_s(
    arch: Architecture,
    cluster: Cluster,
    plan: ServingPlan,
    query_tokens: ArrayLike,
    passage_tokens: ArrayLike,
    passages: ArrayLike,
) -> Floats:
    """Time to score `passages` query-passage pairs in one batch [s]."""
    return prefill_s(arch, cluster, plan, np.asarray(query_tokens, float) + passage_tokens, 0.0, passages)


def interval(group: str, traits: Collection[str] = ()) -> tuple[float, float]:
    """80 % half widths of log(time) below and above a prediction [1], from runs whose source was left out.

    group: decode | prefill | batch (latency of one batch) | offline | tpot | ttft | online | embedding
    traits: see `traits`
    """
    ranges = serving_fit()["ranges"]
    if group not in ranges["groups"]:
        raise InvalidInput(f"group must be one of {', '.join(ranges['groups'])}, not {group!r}")
    return half_widths(ranges, group, traits)


def traits(arch: Architecture, device: Accelerator, engine_name: str) -> tuple[str, ...]:
    """What makes an answer less sure: what no measured run had, and what was hard wherever it was measured."""
    family = engine(engine_name).family
    return novelties(serving_fit()["seen"], arch, device, engine=family) + difficulties(arch, device)


def difficulties(arch: Architecture, device: Accelerator) -> tuple[str, ...]:
    """Traits that made errors of measured runs larger, whatever else had been measured."""
    found = {
        "mixture of experts": bool(arch.experts),
        "kernels carried over": carried_over(device),
    }
    return tuple(trait for trait, holds in found.items() if holds)


def _power_w(device: Accelerator, active: ArrayLike) -> Floats:
    """Power drawn while serving [W]: between the published shares of the rated power at small and at large batches."""
    small, large = (power_fraction(activity).value for activity in ("serving_small_batch", "serving_large_batch"))
    batch = np.clip(np.asarray(active, float), SMALL_BATCH, LARGE_BATCH)
    grown = np.log(batch / SMALL_BATCH) / np.log(LARGE_BATCH / SMALL_BATCH)
    return np.asarray((small + (large - small) * grown) * (device.tdp_w or np.nan))
