"""Peak memory of one rank in training: states, activations, logits, gathered weights, reserve.

The peak is the larger of two moments: the backward pass (states, activations, logits, gathers) and the optimizer's step
(states and its temporaries).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from estimator.formulas import Real, Truth, memory, parallelism
from estimator.formulas.roofline import soft_max
from estimator.predict.flags import anywhere, either
from estimator.predict.training_plan import Run

Parameters = Mapping[str, float]
SHARPNESS = 4.0  # the two moments overlap a little: allocator blocks of one cannot all serve the other


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


def peak_memory(run: Run, p: Parameters) -> MemorySplit:
    """Peak of the fullest rank [B]: the first pipeline stage, which holds most micro-batches."""
    weights, gradients, master, moments, shard_params = _states(run)
    flight = parallelism.layers_in_flight(run.layers, run.pp, run.vpp, run.ga)
    activations, gathers = _activations(run, p, flight), _gathers(run, p)
    logits = _logits(run, p, flight, activations)
    # fp32 masters need fp32 gradients, which 16-bit ones become at the step.
    copied = either((run.master_bytes > 0) & (run.gradient_bytes < 4), 4.0, 0.0)
    moment = either(run.master_bytes > 0, 4.0, run.weight_bytes)
    step = run.temporaries * (p["step_temporaries"] * moment + copied) * shard_params * (1 - run.offload_optimizer)
    # Gradients come as activations go, unless they have buffers or those of earlier micro-batches are there.
    buffered = (run.buffers > 0) | (run.ga > 1) | ((run.zero < 2) & (run.dp > 1))
    at_loss = activations + logits + gathers + either(buffered, gradients, 0.0)
    last = gradients + gathers + activations / np.maximum(flight, 1.0)
    passing = np.maximum(at_loss, last) - gradients
    larger_step = soft_max(step, passing + gradients, SHARPNESS) - passing - gradients
    early = passing - activations - logits - gathers  # gradients that are not there at the peak
    gradients = gradients + early
    used = weights + gradients + master + moments + activations + logits + gathers + larger_step
    reserve = (p["reserve"] - 1) * used + p["reserve_bytes"]
    return MemorySplit(
        weights=weights,
        gradients=gradients,
        optimizer=moments + larger_step,
        master=master,
        activations=activations,
        logits=logits,
        gathers=gathers,
        reserve=reserve,
    )


def fits(split: MemorySplit, capacity: Real, p: Parameters) -> Truth:
    """Whether a rank's capacity [B] suffices: the allocator gives back what it keeps before it gives up."""
    kept = split.reserve - p["reserve_bytes"]
    return split.total - kept <= capacity


def _stage_params(run: Run) -> tuple[Real, Real, Real]:
    """Parameters of the first stage: (blocks, experts, embeddings) [1]."""
    share = run.stage_layers / run.layers
    embeddings = either(run.pp > 1, run.vocab * run.hidden, run.embed_params)
    return run.layer_params * share / run.tp, run.expert_params * share / run.expert_split, embeddings / run.tp


def _kept_whole(run: Run) -> Truth:
    """Whether FSDP keeps whole weights and gradients from the first micro-batch to the last, as under pipelines."""
    return (run.zero >= 3) & (run.pp > 1) & (run.ga > 1)


def _states(run: Run) -> tuple[Real, Real, Real, Real, Real]:
    """Weights, gradients, masters, moments [B], and parameters the optimizer steps over at once [1]."""
    blocks, experts, embeddings = _stage_params(run)
    frozen = run.adapters > 0
    adapters = run.rank * run.adapter_width * run.layers / (run.pp * run.tp)
    whole = _kept_whole(run)
    base_bytes = memory.StateBytes(run.weight_bytes, run.gradient_bytes, run.master_bytes, run.moment_bytes)

    def split(params: Real, shards: Real) -> tuple[Real, ...]:
        weights, gradients, master, moments = memory.zero_bytes(params, base_bytes, run.zero, shards)
        if anywhere(whole):
            weights = weights + np.where(whole, params * run.compute_bytes, 0.0)
            gradients = gradients + np.where(whole, params * run.gradient_bytes * (1 - 1 / shards), 0.0)
        return weights, gradients, master, moments

    states = split(either(frozen, adapters, blocks + embeddings), run.shard)
    trained_experts = either(frozen, 0.0, experts)
    if anywhere(trained_experts):
        apart = split(trained_experts, run.expert_shards)
        states = tuple(a + b for a, b in zip(states, apart, strict=True))
    gathered = (run.zero >= 3) & np.logical_not(whole)
    of_experts = run.stored_bytes * experts / np.where(gathered, run.expert_shards, 1.0)
    frozen_bytes = (run.stored_bytes * blocks + 2.0 * embeddings) / np.where(gathered, run.shard, 1.0) + of_experts
    resident = 1 - run.offload_params
    weights = either(frozen, frozen_bytes * resident + states[0], states[0] * resident)
    # An optimizer in host memory takes the gradients there as they come (arXiv:2101.06840 section 4).
    gradients, master, moments = (held * (1 - run.offload_optimizer) for held in states[1:])
    stepped = either(frozen, adapters, blocks + embeddings) / np.where(run.zero >= 1, run.shard, 1.0)
    stepped = stepped + trained_experts / np.where(run.zero >= 1, run.expert_shards, 1.0)
    return weights, gradients, master, moments, stepped


def _activations(run: Run, p: Parameters, flight: Real) -> Real:
    """Saved for the backward pass by all layers the first stage has in flight [B]."""
    moe = run.moe_layers / run.layers
    ffn = (1 - moe) * run.ffn + moe * (run.per_token + run.shared) * run.moe_ffn
    trained = either(run.adapters > 0, run.trained_inputs, 1.0)
    whole, split = memory.saved_values(run.hidden, run.q, run.kv, ffn, run.gated, weight_gradients=trained)
    routed = moe * run.per_token * run.hidden * 2.0
    value = run.compute_bytes
    replicated = either(run.sequence_parallel > 0, run.tp, 1.0)
    whole = whole / replicated
    scores = either(run.fused_attention > 0, 0.0, 2.5 * run.heads * run.seq / run.cp)
    # Written out in PyTorch, RMS norms, rotations and gates keep intermediate steps; LayerNorm and GELU are one kernel.
    kind = either(run.eager * run.gated > 0, p["saved_eager"], p["saved"])
    dropout = run.adapters * p["adapter_saved"] * run.adapter_width * 0.5
    per_layer = run.tokens * value * (kind * (whole + (split + routed) / run.tp) + (scores + dropout) / run.tp)
    inputs = run.tokens * value * run.hidden / replicated
    selective = either(
        run.fused_attention > 0,
        either(run.light_selective > 0, p["selective_kept_light"], p["selective_kept"]) * per_layer,
        per_layer - run.tokens * value * scores / run.tp,
    )
    inputs = inputs * (1 - run.offload_activations)
    waiting = np.where(run.selective > 0, selective, per_layer * (1 - run.offload_activations))
    live = p["live_layers"] - 1 + run.offload_activations
    return np.where(
        run.full_recompute > 0, flight * inputs + p["live_layers"] * per_layer, flight * waiting + live * per_layer
    )


def _logits(run: Run, p: Parameters, flight: Real, activations: Real) -> Real:
    """Logits, their fp32 copy and gradient on the stage that has them [B].

    Of a pipeline, what the last stage has of them beyond the activations that only the first still holds.
    """
    # In chunks only their 16-bit values and gradients stay; in fp32 there is no second copy but all is wider.
    per_logit = either(run.chunked_loss > 0, 4.0, p["logit_bytes"] * either(run.compute_bytes > 2, 1.2, 1.0))
    logits = run.head * run.tokens * run.vocab / run.tp * per_logit * (1 - run.fused_loss)
    several = run.pp > 1
    if not anywhere(several):
        return logits
    last = np.minimum(run.stage_layers / flight, 1.0)
    return either(several, np.maximum(logits - activations * (1 - last), 0.0), logits)


def _gathers(run: Run, p: Parameters) -> Real:
    """Two gathered layers, their gradients, an unpacked 4-bit layer; or the embeddings if they are more [B]."""
    layer = (run.layer_params / run.tp + run.expert_params / run.expert_split) / run.layers
    packed = either(run.quantised > 0, run.stored_bytes, run.compute_bytes)
    unpacked = run.quantised * layer * (run.compute_bytes - packed)
    sharded = (run.zero >= 3) & (np.logical_not(_kept_whole(run)) | (run.offload_params > 0))
    if not anywhere(sharded):
        return unpacked
    gradients = (1 - run.adapters) * run.gradient_bytes
    embeddings = run.embed_params / run.tp * (run.compute_bytes + 0.5 * gradients)
    gathered = np.maximum(layer * (2.0 * packed + gradients) * p["gathered"] + unpacked, embeddings * p["gathered"])
    return either(sharded, gathered, unpacked)
