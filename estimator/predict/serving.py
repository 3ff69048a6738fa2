"""Serving: latency, throughput and memory of inference, from an architecture, accelerators, a plan and a traffic.

Lengths, batches and rates may be arrays, which broadcast; the answer for an array is that for its elements.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.efficiency import carried_over
from estimator.catalog.energy import power_fraction
from estimator.catalog.engines import engine, serving_fit
from estimator.catalog.facts import fact
from estimator.catalog.files import recent
from estimator.catalog.formats import stored_bytes
from estimator.catalog.precisions import sixteen_bits
from estimator.errors import DoesNotFit, InvalidInput
from estimator.fitting.ranges import half_widths, novelties
from estimator.formulas import Floats
from estimator.formulas.serving import held_tokens, kv_slots
from estimator.formulas.transformer import active_params, tensor_parts, unwindowed
from estimator.predict import served_times
from estimator.predict import serving_memory as memory
from estimator.predict.serving_costs import around_s, constants, drafting_s, load_of, measured, timed, times
from estimator.predict.serving_load import (
    STARTS,
    Answer,
    Load,
    Spread,
    Times,
    at_rest,
    batch_prefill_s,
    burst,
    closed,
    later,
)
from estimator.predict.serving_machine import ServingPlan, path, suited
from estimator.predict.serving_time import taking_in_s
from estimator.records import Accelerator, Architecture, Cluster

SMALL_BATCH, LARGE_BATCH = 8.0, 128.0  # what the shares of the rated power were measured at [1]
MEMORY_DOUBT = 0.03  # of an accelerator's memory: engines' settings (0.9 to 0.95 of it), logs of vLLM within 0.008


FROM_PYTHON = ("eager", "fused", "script")  # launches of engines that start every kernel of a step themselves
SMALL = 2e9  # parameters of an LLM up to which the way around the engine is much of a step
APART = ("prefill", "embedding", "ttft")  # groups whose traits are learnt apart; in all others decode steps are most
LOADS = ("requests_per_s", "concurrency", "burst", "batch")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of a replica. One of `LOADS` at most; none is one at a time.

    prompt_tokens, output_tokens: of one request; cached_tokens: of the prompt, found in a prefix cache [token]
    thinking_tokens: written before the answer, which is output_tokens long [token]
    requests_per_s: open loop, Poisson [1/s]; concurrency: closed loop, so many always in flight [1]
    burst: so many sent at once to an idle server [1]; batch: a static batch, started and finished together [1]
    start: whether a closed loop's clients began at once (`together`, and with equal lengths stay so) or `spread`; by
        default as in published runs, of which a share began at once
    """

    prompt_tokens: ArrayLike
    output_tokens: ArrayLike
    cached_tokens: ArrayLike = 0.0
    requests_per_s: ArrayLike | None = None
    concurrency: ArrayLike | None = None
    burst: ArrayLike | None = None
    batch: ArrayLike | None = None
    start: str | None = None
    thinking_tokens: ArrayLike = 0.0

    @property
    def written_tokens(self) -> Floats:
        """What is written for a request, at least a token [token]."""
        return np.maximum(np.asarray(self.output_tokens, float) + self.thinking_tokens, 1.0)

    def __post_init__(self) -> None:
        """Refuse more than one kind of load, and lengths that make no sense."""
        if sum(getattr(self, load) is not None for load in LOADS) > 1:
            raise InvalidInput(f"give one of {', '.join(LOADS)}")
        if np.any(np.asarray(self.prompt_tokens) < 0) or np.any(np.asarray(self.output_tokens) < 0):
            raise InvalidInput("prompt_tokens and output_tokens must not be negative")


class Serving(NamedTuple):
    """What a replica does under a traffic. Times [s], rates [1/s], memory [B per accelerator].

    ttft, tpot, latency: mean and quantiles over requests; infinite where more come than a replica can end
    capacity_requests_per_s: of one replica when saturated; utilisation: of one replica [1]
    max_concurrency: sequences of this traffic served at once, 0 where not one fits [1]
    max_context: tokens of a lone sequence [token]
    """

    ttft: Spread
    tpot: Spread
    latency: Spread
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
    utilisation: Floats
    energy_j_per_token: Floats

    @property
    def ttft_s(self) -> Floats:
        """Mean time to the first token [s]."""
        return self.ttft.mean

    @property
    def tpot_s(self) -> Floats:
        """Mean time per output token after it [s]."""
        return self.tpot.mean

    @property
    def latency_s(self) -> Floats:
        """Mean time from a request to its last token [s]."""
        return self.latency.mean


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
    load = load_of(arch, suited(plan, cluster.accelerator), prompt_tokens, 1.0, cached_tokens)
    if server := measured(plan):
        prompts = served_times.added_s(server, load.new) * np.asarray(batch, float)
        return np.asarray(prompts + served_times.step_s(server, batch, load.prompt))
    together = timed(load.batch_pass(batch), load, cluster, "prefill")
    return batch_prefill_s(together, load.stages(batch))


def decode_step_s(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, context_tokens: ArrayLike, batch: ArrayLike = 1.0
) -> Floats:
    """Time of one step that adds a token to each of `batch` sequences with `context_tokens` cached [s].

    With speculative decoding it is a token's share of drafting several and of the step that verifies them.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> step = decode_step_s(architecture("8b"), cluster_of(accelerator("h100"), 1), ServingPlan(), 1000, [1, 64])
    >>> bool(16e9 / 3.35e12 < step[0] < step[1] < 64 * step[0])  # never under the time to read the weights once
    True
    """
    load = load_of(arch, suited(plan, cluster.accelerator), context_tokens, 0.0, 0.0)
    if server := measured(plan):
        return served_times.step_s(server, batch, context_tokens)
    step = timed(load.step_pass(batch), load, cluster, "decode")
    return (step + drafting_s(arch, plan, step)) / plan.draft_accepted_tokens


def serving(arch: Architecture, cluster: Cluster, plan: ServingPlan, traffic: Traffic) -> Serving:
    """Latency, throughput and memory of a replica of `plan` under `traffic`.

    Source: continuous batching, Orca (OSDI 2022) section 3; KV limits, arXiv:2309.06180; load, `formulas.batching`.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> llm, one = architecture("8b"), cluster_of(accelerator("h100"), 1)
    >>> found = serving(llm, one, ServingPlan("fp8"), Traffic(1000, 200, requests_per_s=[1.0, 10.0, 1000.0]))
    >>> bool(found.ttft_s[0] < found.ttft_s[1] < found.ttft_s[2] == np.inf)
    True
    """
    prompt, output = np.asarray(traffic.prompt_tokens, float), traffic.written_tokens
    plan = suited(plan, cluster.accelerator)
    held = memory_split(arch, cluster, plan)
    slots = slots_of(arch, plan, held, prompt, output)
    load = load_of(arch, plan, prompt, output, traffic.cached_tokens)
    asked = active_of(load, traffic, slots)
    full, cost = _full_and_active(load, cluster, traffic, slots, asked)
    capacity = full.at_rate(full.requests_per_s(slots), slots).requests_per_s(slots)
    ttft, tpot, rate, active = _answer(load, cluster, traffic, slots, asked, cost, capacity)
    power = _power_w(cluster.accelerator, active) * plan.layout.accelerators
    return Serving(
        ttft=ttft,
        tpot=tpot,
        latency=Spread(*(first + (output - 1.0) * each for first, each in zip(ttft, tpot, strict=True))),
        output_tokens_per_s=rate * output,
        total_tokens_per_s=rate * (prompt + output),
        requests_per_s=rate,
        capacity_requests_per_s=capacity,
        concurrency=active,
        max_concurrency=np.where(sequence_bytes(arch, plan, prompt + output) <= held.kv_available, slots, 0.0),
        max_context=held.max_context,
        weights_bytes=held.weights,
        kv_bytes_per_token=float(memory.kv_sequence_bytes(arch, 1.0, load.cut)) / plan.layout.attention_replicas,
        kv_bytes_available=held.kv_available,
        activations_bytes=held.activations,
        reserve_bytes=held.reserve,
        fits=held.kv_available >= float(np.max(sequence_bytes(arch, plan, prompt + output))),
        accelerators=plan.layout.accelerators,
        utilisation=np.minimum(rate / capacity, 1.0),
        energy_j_per_token=power / np.maximum(rate * output, 1e-12),
    )


def active_of(load: Load, traffic: Traffic, slots: Floats) -> Floats:
    """Slots in use: the batch; as many as there are clients; all of them until the arrivals are known to need fewer."""
    if traffic.batch is not None:
        return np.asarray(traffic.batch, float)
    if traffic.requests_per_s is not None:
        return slots
    return np.minimum(_clients(traffic), slots if load.plan.facts.batching == "continuous" else 1.0)


def _clients(traffic: Traffic) -> Floats:
    """Who is there at once [1]: the clients of a closed loop, the requests of a burst; else one."""
    return np.asarray(next((n for n in (traffic.concurrency, traffic.burst) if n is not None), 1.0), float)


def _full_and_active(
    load: Load, cluster: Cluster, traffic: Traffic, slots: Floats, active: Floats
) -> tuple[Times, Times]:
    """What prompts and steps cost with all slots full and requests waiting, and with those in use; in one call."""
    memory_bound = slots < load.cut.most_sequences
    waiting = memory_bound & (_clients(traffic) > slots)
    told = slots, active, memory_bound, waiting
    fields = np.broadcast_arrays(*told, load.prompt, load.output, load.cached)
    both, short = np.stack(fields[:2]), np.stack(fields[2:4])
    found = [np.broadcast_to(field, both.shape) for field in times(load, cluster, both, short)]
    return Times(*(field[0] for field in found)), Times(*(field[1] for field in found))


def _answer(
    load: Load,
    cluster: Cluster,
    traffic: Traffic,
    slots: Floats,
    active: Floats,
    cost: Times,
    capacity: Floats,
) -> Answer:
    """What requests meet under the kind of load that is asked."""
    around = around_s(load.plan, cluster, active)
    if traffic.requests_per_s is not None:
        return _open(load, cluster, np.asarray(traffic.requests_per_s, float), slots, capacity)
    if traffic.batch is not None:
        return _static(load, cluster, active, cost, around)
    if traffic.burst is not None:
        lone_s, device = times(load, cluster, 1.0).step_s, path(cluster.accelerator, load.plan)
        taking_in = 0.0 if load.plan.measured else taking_in_s(device, constants())
        return burst(cost, _clients(traffic), active, around, lone_s, taking_in_s=taking_in)
    return closed(cost, _clients(traffic), active, around, together(load.plan, traffic.start))


def together(plan: ServingPlan, start: str | None) -> float:
    """Share of a closed loop that starts at once [1]; where nobody says how it began, that of published runs."""
    said = {"together": 1.0, "spread": 0.0}
    return said[start] if start else min(constants()[STARTS[plan.facts.scheduling]], 1.0)


def _static(load: Load, cluster: Cluster, batch: Floats, cost: Times, around: Floats) -> Answer:
    ttft = prefill_s(load.arch, cluster, load.plan, load.prompt, load.cached, batch) + around
    rate = batch / (ttft + (load.output - 1.0) * cost.step_s)
    return Answer(Spread.even(ttft), Spread.even(cost.step_s), rate, batch)


def _open(load: Load, cluster: Cluster, rate: Floats, slots: Floats, capacity: Floats) -> Answer:
    """Steps are timed at a few numbers of sequences, and evenly in between."""
    rate, slots, capacity, *_ = np.broadcast_arrays(rate, slots, capacity, load.prompt, load.output, load.cached)
    most = max(float(np.floor(slots.max(initial=1.0))), 1.0)
    points = 2.0 ** np.arange(max(np.ceil(np.log2(most)), 1.0) + 1.0)  # in between steps grow evenly
    few = times(load, cluster, points.reshape(-1, *(1,) * rate.ndim))
    count = np.arange(1.0, most + 1.0)
    spread = np.stack([np.interp(count, points, one) for one in np.eye(len(points))], axis=1)
    shape = (len(points), *rate.shape)
    cost = Times(*(np.tensordot(spread, np.broadcast_to(field, shape), 1) for field in few))
    found = at_rest(cost, rate, slots, capacity)
    return found._replace(ttft=later(found.ttft, around_s(load.plan, cluster, found.active)))


class Memory(NamedTuple):
    """Memory of one accelerator of a replica [B]; max_context: tokens of a lone sequence [token]."""

    weights: float
    activations: float
    reserve: float
    kv_available: float
    max_context: float


@recent(4096)
def memory_split(arch: Architecture, cluster: Cluster, plan: ServingPlan) -> Memory:
    """Where the memory of each accelerator goes; the cache may have what the rest leaves.

    Source: vLLM, Worker.determine_available_memory (a profiled pass, sampling after it); SGLang, mem_fraction_static;
    TensorRT-LLM, kv_cache_free_gpu_mem_fraction.
    """
    facts, layout, device = plan.facts, plan.layout, cluster.accelerator
    plan = suited(plan, device)
    fraction = facts.memory_fraction if plan.memory_fraction is None else plan.memory_fraction
    weights = memory.weights_bytes(arch, plan.held(arch), layout)
    weights -= in_host_bytes(arch, plan)
    weights *= 1.0 + plan.draft_share(arch) * (plan.draft_accepted_tokens > 1)
    weights += memory.adapters_bytes(arch, plan.adapters, plan.adapter_rank, layout)
    activations = working_bytes(arch, plan)
    beside = memory.beside_bytes(device, layout)
    allowed, rest = memory.allowed_bytes(device, fraction), device.usable_bytes - weights - activations - beside
    left = {
        "all": allowed - weights - activations - beside,
        "static": min(allowed - weights, rest),
        "free": min(fraction * rest, rest),
    }[facts.fraction_of]
    reserve, available = device.memory_bytes - weights - activations - left, max(left, 0.0)
    return Memory(weights, activations, reserve, available, _longest(arch, plan, available))


def in_host_bytes(arch: Architecture, plan: ServingPlan) -> float:
    """Of each accelerator's weights, those that stay in the host's memory [B]."""
    layers, experts = plan.in_host(arch)
    held = stored_bytes(arch, plan.held(arch))
    return (layers * (held.attention + held.feed_forward) + experts * held.experts) / plan.layout.accelerators


def host_notes(arch: Architecture, plan: ServingPlan) -> tuple[str, ...]:
    """What is in the host's memory, and how fast that is taken to be; nothing where all is on the accelerators."""
    held = in_host_bytes(arch, plan) * plan.layout.accelerators
    if not held:
        return ()
    rate = plan.host_gb_per_s or fact("host_memory/bytes_per_s").value / 1e9
    said = ": say yours (host_gb_per_s), and ranges narrow" * (plan.host_gb_per_s is None)
    return (f"{held / 1e9:.3g} GB of weights are in the host's memory, read at {rate:g} GB/s{said}.",)


def format_notes(arch: Architecture, plan: ServingPlan, device: Accelerator) -> tuple[str, ...]:
    """That bf16 is fp16 on an accelerator made before it, where the engine has to be told."""
    told = plan.facts.family in ("vllm", "sglang") and plan.layers(arch).compute == "bf16"
    if not told or sixteen_bits(device) == "bf16":
        return ()
    return (
        f"{device.name} has no units for bf16, products are fp16: say dtype half, as older engines do not start else.",
    )


def working_bytes(arch: Architecture, plan: ServingPlan) -> float:
    """Room for the largest step [B]: its widest layer, or sampling after it."""
    facts = plan.facts
    longest = plan.max_context or arch.max_context or facts.prefill_chunk
    passing = memory.activation_bytes(arch, plan.layout, min(plan.step_tokens, longest))
    sequences = min(plan.max_sequences or facts.max_sequences, plan.step_tokens)
    return max(passing, memory.sampling_bytes(arch, sequences, facts.sampling_bytes))


def _longest(arch: Architecture, plan: ServingPlan, available: float) -> float:
    """Tokens of a lone sequence whose cache fits, by bisection: windows make it uneven [token]."""
    limit = float(plan.max_context or arch.max_context or 1_000_000)
    low, high = 0.0, limit
    if arch.kind == "encoder" or float(sequence_bytes(arch, plan, limit)) <= available:
        return limit
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if float(sequence_bytes(arch, plan, middle)) <= available else (low, middle)
    return float(np.floor(low))


def slots_of(arch: Architecture, plan: ServingPlan, held: Memory, prompt: ArrayLike, output: ArrayLike = 0.0) -> Floats:
    """Sequences served at once [1]: those whose cache fits, as many as the engine admits, one at least."""
    return admitted(arch, plan, plan.cut(arch), held.kv_available, prompt, output)


def admitted(
    arch: Architecture,
    plan: ServingPlan,
    cut: memory.Cut,
    available_bytes: ArrayLike,
    prompt: ArrayLike,
    output: ArrayLike,
) -> Floats:
    """The same of a cut with so much memory for its cache, or of many that the plan is cut into."""
    tokens = held_tokens(prompt, output, plan.facts.preempts)
    fitting = kv_slots(available_bytes, cached_bytes(arch, plan, cut, tokens))
    return np.clip(fitting, 1.0, cut.most_sequences)


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
    plan = suited(plan, cluster.accelerator)
    held = memory_split(arch, cluster, plan)
    splits = held, *doubted(held, cluster.accelerator)
    available = np.array([split.kv_available for split in splits])
    here, least, most = admitted(arch, plan, plan.cut(arch), available, prompt, output).tolist()
    return here, least, most


def capacity_doubt(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, prompt: float, output: float
) -> tuple[float, float]:
    """80 % half widths, down and up, of ln(time between requests) at capacity from what the cache may hold [1].

    Capacity grows with the sequences served at once, at most in proportion to them: 3 % of an H100 is much beside what
    69 GB of weights leave, nothing beside what 16 GB do.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> one, plan = cluster_of(accelerator("h100"), 1), ServingPlan("bf16")
    >>> [round(capacity_doubt(architecture(llm), one, plan, 1000, 1000)[1], 2) for llm in ("8b", "yi-34b")]
    [0.05, 0.79]
    """
    here, least, most = slots_and_ends(arch, cluster, plan, prompt, output)
    return float(np.log(most / here)), float(np.log(here / least))


def host_doubt(
    arch: Architecture, cluster: Cluster, plan: ServingPlan, context_tokens: ArrayLike
) -> tuple[float, float]:
    """80 % half widths of the log of a step's time [1] where nobody says how fast the host's memory is read; else none.

    >>> from estimator.catalog.accelerators import accelerator, cluster_of
    >>> from estimator.catalog.models import architecture
    >>> llm, one = architecture("70b"), cluster_of(accelerator("rtx-4090"), 1)
    >>> plan = ServingPlan("q4_k_m", engine="llama.cpp", gpu_layers=40)
    >>> down, up = host_doubt(llm, one, plan, 1000)
    >>> bool(0.4 < up < down), host_doubt(llm, one, replace(plan, host_gb_per_s=80.0), 1000)
    (True, (0.0, 0.0))
    """
    if plan.host_gb_per_s is not None or not max(plan.in_host(arch)):
        return 0.0, 0.0
    usual = fact("host_memory/bytes_per_s")
    slow, here, fast = (
        float(np.max(decode_step_s(arch, cluster, replace(plan, host_gb_per_s=rate / 1e9), context_tokens)))
        for rate in (usual.low, usual.value, usual.high)
    )
    return float(np.log(here / fast)), float(np.log(slow / here))


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
    return cached_bytes(arch, plan, plan.cut(arch), tokens)


def cached_bytes(arch: Architecture, plan: ServingPlan, cut: memory.Cut, tokens: ArrayLike) -> Floats:
    """The same of a cut, or of many that the plan is cut into."""
    kept = arch if plan.facts.windowed else unwindowed(arch)
    held = memory.kv_sequence_bytes(kept, tokens, cut) + memory.state_sequence_bytes(arch, cut)
    return np.asarray(held * (1.0 - plan.in_host(arch)[0]) / cut.replicas)


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
        f"{arch.name} in {plan.shown(arch)} with {context:,.0f} tokens of context does not fit "
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
    return half_widths(ranges, group, of_group(group, traits))


def of_group(group: str, traits: Collection[str]) -> tuple[str, ...]:
    """Traits as they are learnt: what makes first tokens hard to foretell may leave those that follow alone.

    >>> of_group("ttft", ("mixture of experts",)), of_group("offline", ("mixture of experts",))
    (('mixture of experts, ttft',), ('mixture of experts, decoding',))
    """
    work = group if group in APART else "decoding"
    return tuple(f"{trait}, {work}" for trait in traits)


def traits(arch: Architecture, device: Accelerator, engine_name: str) -> tuple[str, ...]:
    """What makes an answer less sure: what no measured run had, and what was hard wherever it was measured."""
    family = engine(engine_name).family
    return novelties(serving_fit()["seen"], arch, device, engine=family) + difficulties(arch, device, family)


def difficulties(arch: Architecture, device: Accelerator, engine_name: str) -> tuple[str, ...]:
    """Traits that made errors of measured runs larger, whatever else had been measured."""
    found = {
        "mixture of experts": bool(arch.experts),
        "kernels carried over": carried_over(device),
        "launched from Python": engine(engine_name).launch in FROM_PYTHON,
        "small LLM": active_params(arch) < SMALL,
    }
    return tuple(trait for trait, holds in found.items() if holds)


def _power_w(device: Accelerator, active: ArrayLike) -> Floats:
    """Power drawn while serving [W]: between the published shares of the rated power at small and at large batches."""
    small, large = (power_fraction(activity).value for activity in ("serving_small_batch", "serving_large_batch"))
    batch = np.clip(np.asarray(active, float), SMALL_BATCH, LARGE_BATCH)
    grown = np.log(batch / SMALL_BATCH) / np.log(LARGE_BATCH / SMALL_BATCH)
    return np.asarray((small + (large - small) * grown) * (device.tdp_w or np.nan))
