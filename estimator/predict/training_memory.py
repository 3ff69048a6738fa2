"""Peak memory of one rank in training: states, activations, logits, gathered weights, reserve.

The peak is the fullest of three moments: the loss (all activations and logits; no gradients of this pass yet), the end
of the backward pass (gradients, one layer's activations) and the optimizer's step (gradients and its temporaries).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from estimator.formulas import Real, Truth, memory, parallelism
from estimator.predict.flags import anywhere, either
from estimator.predict.training_plan import Run

Parameters = Mapping[str, float]
BUCKET = 5e8  # elements that DeepSpeed reduces at a time, twice as one is filled meanwhile (its reduce_bucket_size)
LIVE = 1e9  # parameters that it keeps gathered (its stage3_max_live_parameters)
SUB_GROUP = 1e9  # parameters that DeepSpeed's ZeRO-3 steps over at a time (its sub_group_size)
HOST_STATES = 16.0  # of a parameter in host memory [B]: fp32 gradient, master and two moments
PINNED = 1.5  # host memory over its content (DeepSpeed's stage3.py: additional_buffer_factor)


class MemorySplit(NamedTuple):
    """Bytes per accelerator at the peak [B]."""

    weights: Real
    gradients: Real
    optimizer: Real
    master: Real
    activations: Real
    logits: Real
    gathers: Real
    reserve: Real

    @property
    def total(self) -> Real:
        """All of it [B]."""
        held = self.weights + self.gradients + self.optimizer + self.master
        return held + self.activations + self.logits + self.gathers + self.reserve


class Moment(NamedTuple):
    """What is there besides weights, masters and moments [B]."""

    gradients: Real = 0.0
    activations: Real = 0.0
    logits: Real = 0.0
    gathers: Real = 0.0
    temporaries: Real = 0.0

    @property
    def total(self) -> Real:
        """All of it [B]."""
        return self.gradients + self.activations + self.logits + self.gathers + self.temporaries


def peak_memory(run: Run, p: Parameters) -> MemorySplit:
    """Peak of the fullest rank [B]: the first pipeline stage, which holds most micro-batches."""
    stage = _stage(run)
    weights, gradients, master, moments = _states(run, stage)
    flight = parallelism.layers_in_flight(run.layers, run.pp, run.vpp, run.ga)
    layer, kept, redone = _activations(run, p, flight)
    logits, earlier = _logits(run, p, flight, kept), _earlier(run, gradients)
    gathers = _gathers(run, p) + _buckets(run, stage)
    # Logits are gone when the last layer is redone, of which gradients are alive besides.
    loss = Moment(earlier, kept, logits, gathers)
    first = Moment(earlier, kept + redone, 0.0, gathers)
    end = Moment(np.maximum(gradients, earlier), layer, 0.0, gathers)
    step = Moment(np.maximum(gradients, earlier), temporaries=_temporaries(run, p, gradients, stage.stepped))
    fullest, most = _fullest(loss, first, end, step)
    used = weights + master + moments + most
    # Blocks of one moment serve another only in part, and those of logits have odd sizes.
    passing, stepping = kept + logits, step.total - earlier
    odd = p["reserve_blocks"] * np.minimum(passing, stepping) + p["reserve_logits"] * logits
    reserve = (p["reserve"] - 1) * used + odd * (1 - run.expandable)
    reserve = reserve + run.uneven * p["reserve_uneven"] * (passing + redone)
    return MemorySplit(
        weights=weights,
        gradients=fullest.gradients,
        optimizer=moments + fullest.temporaries,
        master=master,
        activations=fullest.activations,
        logits=fullest.logits,
        gathers=fullest.gathers,
        reserve=reserve + context_bytes(run, p),
    )


def _fullest(*moments: Moment) -> tuple[Moment, Real]:
    """The moment with the most, for each layout, and all that there is then [B]."""
    best, most = moments[0], moments[0].total
    for other in moments[1:]:
        total = other.total
        more = total > most
        best = Moment(*(np.where(more, ours, theirs) for ours, theirs in zip(other, best, strict=True)))
        most = np.where(more, total, most)
    return best, most


def _earlier(run: Run, gradients: Real) -> Real:
    """Gradients that are there when the loss is taken: in buffers, or of earlier micro-batches, these perhaps whole."""
    buffered = (run.buffers > 0) | (run.ga > 1) | ((run.zero < 2) & (run.dp > 1))
    earlier = either(buffered, gradients, 0.0)
    whole = run.accumulates_whole * (run.zero >= 2) * (run.ga > 1) * (run.pp == 1)
    if not anywhere(whole):
        return earlier
    return np.where(whole, gradients * run.shard, earlier)


def _temporaries(run: Run, p: Parameters, gradients: Real, shard_params: Real) -> Real:
    """Of the optimizer while it steps [B]: a moment of each parameter, and fp32 copies of 16-bit gradients."""
    moment = either(run.master_bytes > 0, 4.0, run.weight_bytes)
    foreach = run.temporaries * p["step_temporaries"] * moment * shard_params
    copied = run.copied_bytes * either(run.zero >= 3, np.minimum(shard_params, SUB_GROUP), shard_params)
    return (foreach + copied * (gradients > 0)) * (1 - run.offload_optimizer)


def context_bytes(run: Run, p: Parameters) -> Real:
    """Of the context, its libraries, and the buffers of messages in each kind of group a rank is in [B].

    Not the allocator's, so no framework reads them; nvidia-smi does.
    """
    groups: Real = 0.0
    for size in (run.tp, run.pp, run.cp, run.dp, run.ep):
        groups = groups + (np.asarray(size) > 1)
    return p["reserve_bytes"] + p["group_bytes"] * groups


def needed(split: MemorySplit, run: Run, p: Parameters) -> Real:
    """What a rank cannot do without [B]: the allocator gives back what it keeps before it gives up."""
    return split.total - split.reserve + context_bytes(run, p)


def host_bytes(run: Run, p: Parameters) -> Real:
    """What waits in host memory for each accelerator [B]: states, weights, activations, in pinned buffers.

    >>> from estimator.catalog.accelerators import cluster
    >>> from estimator.catalog.models import architecture
    >>> from estimator.predict.training_plan import TrainingPlan, run
    >>> plan = TrainingPlan(zero=3, cpu_offload="optimizer", framework="deepspeed")  # 24 B a parameter
    >>> round(float(host_bytes(run(architecture("llama-30b"), cluster("8xa100-40gb"), plan), {})) * 8 / 1e9)
    781
    """
    blocks, experts, embeddings, stepped = _stage(run)
    shards = np.where(run.zero >= 1, run.shard, 1.0), np.where(run.zero >= 1, run.expert_shards, 1.0)
    frozen = (run.stored_bytes * blocks + run.end_bytes * embeddings) / shards[0]
    stored = either(run.adapters > 0, frozen + run.stored_bytes * experts / shards[1], run.compute_bytes * stepped)
    held = run.offload_optimizer * HOST_STATES * stepped + run.offload_params * stored
    away = np.maximum(run.offload_activations, run.inputs_in_host * run.full_recompute)
    if not anywhere(away > 0):
        return PINNED * held
    flight = parallelism.layers_in_flight(run.layers, run.pp, run.vpp, run.ga)
    kept = _activations(run._replace(offload_activations=0.0, inputs_in_host=0.0), p, flight)[1]
    return PINNED * (held + away * kept)


class Stage(NamedTuple):
    """Parameters of the first stage on one rank, and those that its optimizer steps over [1]."""

    blocks: Real
    experts: Real
    embeddings: Real
    stepped: Real


def _stage(run: Run) -> Stage:
    share = run.stage_layers / run.layers
    embeddings = either(run.pp > 1, run.vocab * run.hidden, run.embed_params) / run.tp
    blocks, experts = run.layer_params * share / run.tp, run.expert_params * share / run.expert_split
    trained = (
        either(run.adapters > 0, _adapter_params(run), blocks + embeddings),
        either(run.adapters > 0, 0.0, experts),
    )
    dense = trained[0] / np.where(run.zero >= 1, run.shard, 1.0)
    return Stage(blocks, experts, embeddings, dense + trained[1] / np.where(run.zero >= 1, run.expert_shards, 1.0))


def _adapter_params(run: Run) -> Real:
    """Parameters of a rank's adapters, where it trains some [1]."""
    if not anywhere(run.adapters):
        return 0.0
    return run.rank * run.adapter_width * run.layers / (run.pp * run.tp)


def _kept_whole(run: Run) -> Truth:
    """Whether FSDP keeps whole weights and gradients from the first micro-batch to the last, as under pipelines."""
    return (run.zero >= 3) & (run.pp > 1) & (run.ga > 1)


def _states(run: Run, stage: Stage) -> tuple[Real, Real, Real, Real]:
    """Weights, gradients, masters, moments [B]."""
    blocks, experts, embeddings, _ = stage
    frozen = run.adapters > 0
    whole = _kept_whole(run)
    base_bytes = memory.StateBytes(run.weight_bytes, run.gradient_bytes, run.master_bytes, run.moment_bytes)

    def split(params: Real, shards: Real) -> tuple[Real, ...]:
        weights, gradients, master, moments = memory.zero_bytes(params, base_bytes, run.zero, shards)
        if anywhere(whole):
            weights = weights + np.where(whole, params * run.compute_bytes, 0.0)
            gradients = gradients + np.where(whole, params * run.gradient_bytes * (1 - 1 / shards), 0.0)
        return weights, gradients, master, moments

    states = split(either(frozen, _adapter_params(run), blocks + embeddings), run.shard)
    trained_experts = either(frozen, 0.0, experts)
    if anywhere(trained_experts):
        apart = split(trained_experts, run.expert_shards)
        states = tuple(a + b for a, b in zip(states, apart, strict=True))
    gathered = (run.zero >= 3) & np.logical_not(whole)
    of_experts = run.stored_bytes * experts / np.where(gathered, run.expert_shards, 1.0)
    dense = run.stored_bytes * blocks + run.end_bytes * embeddings
    frozen_bytes = dense / np.where(gathered, run.shard, 1.0) + of_experts
    resident = 1 - run.offload_params
    weights = either(frozen, frozen_bytes * resident + states[0], states[0] * resident)
    # An optimizer in host memory takes the gradients there as they come (arXiv:2101.06840 section 4).
    gradients, master, moments = (held * (1 - run.offload_optimizer) for held in states[1:])
    return weights, gradients, master, moments


def _activations(run: Run, p: Parameters, flight: Real) -> tuple[Real, Real, Real]:
    """One layer's, with what is alive while it is gone back through; kept by all in flight; by the one redone [B]."""
    replicated = either(run.sequence_parallel > 0, run.tp, 1.0)
    scores = either(run.fused_attention > 0, 0.0, run.kept_scores * run.span / run.cp)
    kind = either(run.written_out > 0, p["saved_eager"], p["saved"])
    fused = run.tokens * kind * (run.kept_whole / replicated + run.kept_split / run.tp)
    per_layer = fused + run.tokens * scores / run.tp
    alive = run.tokens * run.alive / run.tp
    here = 1 - run.offload_activations
    inputs = run.tokens * run.residual_bytes * run.hidden / replicated * here * (1 - run.inputs_in_host)
    share = either(run.light_selective > 0, p["selective_kept_light"], p["selective_kept"])
    selective = either(run.fused_attention > 0, share * per_layer, fused)
    projected = run.tokens * run.compute_bytes * (run.hidden / replicated + (run.q + run.kv) / run.tp)
    selective = either(run.keeps_projections > 0, projected, selective)
    each = np.where(run.full_recompute > 0, inputs, here * np.where(run.selective > 0, selective, per_layer))
    # A layer that is redone is there whole, but for what was kept of it.
    redone = per_layer - np.where(run.full_recompute > 0, 0.0, each)
    return per_layer + alive, flight * each, redone + alive


def _logits(run: Run, p: Parameters, flight: Real, activations: Real) -> Real:
    """Logits, their copies and gradients on the stage that has them [B].

    Of a pipeline, what the last stage has of them beyond the activations that only the first still holds.
    """
    parts = either(run.splits_vocabulary > 0, run.tp, 1.0)
    fused = either(run.compiled_loss > 0, p["logits_compiled"], 1.0)
    logits = run.head * run.tokens * run.vocab / parts * run.logit_bytes * fused
    several = run.pp > 1
    if not anywhere(several):
        return logits
    last = np.minimum(run.stage_layers / flight, 1.0)
    return either(several, np.maximum(logits - activations * (1 - last), 0.0), logits)


def _buckets(run: Run, stage: Stage) -> Real:
    """Of gradients on their way to the ranks that keep them [B]; those of adapters are small."""
    sharded = (run.zero >= 1) * (1 - run.adapters)
    trained = stage.stepped * np.where(run.zero >= 1, run.shard, 1.0)
    return run.buckets * sharded * 2 * run.gradient_bytes * np.minimum(BUCKET, trained)


def _gathers(run: Run, p: Parameters) -> Real:
    """Gathered embeddings and two layers, or what DeepSpeed keeps; gradients, and an unpacked 4-bit layer [B].

    FSDP gathers what is in no layer once, and keeps it until the backward pass ends.
    """
    layer = (run.layer_params / run.tp + run.expert_params / run.expert_split) / run.layers
    packed = either(run.quantised > 0, run.stored_bytes, run.compute_bytes)
    unpacked = run.quantised * layer * (run.compute_bytes - packed)
    # Alone, FSDP shards nothing; DeepSpeed gathers even then.
    parted = np.logical_not(_kept_whole(run)) & ((run.dp > 1) | (run.tensor_gathers > 0))
    sharded = (run.zero >= 3) & (parted | (run.offload_params > 0))
    if not anywhere(sharded):
        return unpacked
    gradients = (1 - run.adapters) * run.gradient_bytes
    embeddings = run.root * run.embed_params / run.tp * (run.compute_bytes + 0.5 * gradients)
    live = np.maximum(2.0 * layer, run.tensor_gathers * np.minimum(LIVE, layer * run.layers))
    gathered = (live * packed + layer * gradients + embeddings) * p["gathered"] + unpacked
    return either(sharded, gathered, unpacked)
