"""Peak memory of one rank in training: states, activations, logits, gathered weights, reserve.

The peak is the larger of two moments: the backward pass (states, activations, logits, gathers) and the optimizer's step
(states and its temporaries).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimator.formulas import memory, parallelism
from estimator.predict.training_plan import Run

Parameters = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MemorySplit:
    """Bytes per accelerator at the peak [B]."""

    weights: Any
    gradients: Any
    optimizer: Any
    master: Any
    activations: Any
    logits: Any
    gathers: Any
    reserve: Any

    @property
    def total(self) -> Any:
        """All of it [B]."""
        held = self.weights + self.gradients + self.optimizer + self.master
        return held + self.activations + self.logits + self.gathers + self.reserve


def peak_memory(run: Run, p: Parameters) -> MemorySplit:
    """Peak of the fullest rank [B]: the first pipeline stage, which holds most micro-batches."""
    weights, gradients, master, moments, shard_params = _states(run)
    activations, logits, gathers = _activations(run, p), _logits(run, p), _gathers(run, p)
    step = run.temporaries * p["step_temporaries"] * shard_params
    larger_step = np.maximum(step - (activations + logits + gathers), 0.0)
    used = weights + gradients + master + moments + activations + logits + gathers + larger_step
    reserve = (p["reserve"] - 1) * used + p["reserve_bytes"]
    return MemorySplit(weights, gradients, moments + larger_step, master, activations, logits, gathers, reserve)


def fits(split: MemorySplit, capacity: Any, p: Parameters) -> Any:
    """Whether a rank's capacity [B] suffices: the allocator gives back what it keeps before it gives up."""
    kept = split.reserve - p["reserve_bytes"]
    return split.total - kept <= capacity


def _stage_params(run: Run) -> tuple[Any, Any, Any]:
    """Parameters of the first stage: (blocks, experts, embeddings) [1]."""
    share = parallelism.stage_layers(run.layers, run.pp, run.vpp) / run.layers
    embeddings = np.where(run.pp > 1, run.vocab * run.hidden, run.embed_params)
    return run.layer_params * share / run.tp, run.expert_params * share / run.ep, embeddings / run.tp


def _states(run: Run) -> tuple[Any, Any, Any, Any, Any]:
    """Weights, gradients, masters, moments [B], and parameters the optimizer steps over at once [1]."""
    blocks, experts, embeddings = _stage_params(run)
    frozen = run.adapters > 0
    adapters = run.rank * run.adapter_width * run.layers / (run.pp * run.tp)
    base_bytes = memory.StateBytes(run.weight_bytes, run.gradient_bytes, run.master_bytes, run.moment_bytes)
    # Under pipelines FSDP keeps whole weights and gradients from the first micro-batch to the last.
    whole = (run.zero >= 3) & (run.pp > 1) & (run.ga > 1)

    def split(params: Any, shards: Any) -> tuple[Any, Any, Any, Any]:
        weights, gradients, master, moments = memory.zero_bytes(params, base_bytes, run.zero, shards)
        extra = np.where(whole, params * run.compute_bytes, 0.0)
        extra_gradients = np.where(whole, params * run.gradient_bytes * (1 - 1 / shards), 0.0)
        return weights + extra, gradients + extra_gradients, master, moments

    full = [
        a + b for a, b in zip(split(blocks + embeddings, run.shard), split(experts, run.shard / run.ep), strict=True)
    ]
    kept = np.where(run.zero >= 3, run.shard, 1.0)
    frozen_bytes = (run.stored_bytes * (blocks + experts) + 2.0 * embeddings) / kept
    trained = split(adapters, run.shard)
    off = 1 - run.offload_optimizer
    weights = np.where(frozen, frozen_bytes * (1 - run.offload_params) + trained[0], full[0] * (1 - run.offload_params))
    gradients = np.where(frozen, trained[1], full[1])
    master, moments = np.where(frozen, trained[2], full[2]) * off, np.where(frozen, trained[3], full[3]) * off
    stepped = np.where(frozen, adapters, blocks + experts + embeddings)
    stepped = stepped / np.where(run.zero >= 1, run.shard, 1.0)
    return weights, gradients, master, moments, stepped


def _activations(run: Run, p: Parameters) -> Any:
    """Saved for the backward pass by all layers the first stage has in flight [B]."""
    moe = run.moe_layers / run.layers
    ffn = (1 - moe) * run.ffn + moe * (run.per_token + run.shared) * run.moe_ffn
    trained = np.where(run.adapters > 0, run.trained_inputs, 1.0)
    whole, split = memory.saved_values(run.hidden, run.q, run.kv, ffn, run.gated, weight_gradients=trained)
    routed = moe * run.per_token * run.hidden * 2.0
    whole = whole / np.where(run.sequence_parallel > 0, run.tp, 1.0)
    scores = np.where(run.fused_attention > 0, 0.0, 2.5 * run.heads * run.seq / run.cp)
    kind = np.where(run.eager > 0, p["saved_eager"], p["saved"])
    dropout = run.adapters * p["adapter_saved"] * run.adapter_width * 0.5
    per_layer = run.tokens * 2.0 * (kind * (whole + (split + routed) / run.tp) + (scores + dropout) / run.tp)
    inputs = run.tokens * 2.0 * run.hidden / np.where(run.sequence_parallel > 0, run.tp, 1.0)
    flight = parallelism.layers_in_flight(run.layers, run.pp, run.vpp, run.ga)
    selective = np.where(
        run.fused_attention > 0,
        np.where(run.light_selective > 0, p["selective_kept_light"], p["selective_kept"]) * per_layer,
        per_layer - run.tokens * 2.0 * scores / run.tp,
    )
    inputs = inputs * (1 - run.offload_activations)
    per_layer_kept = per_layer * (1 - run.offload_activations)
    return np.where(
        run.full_recompute > 0,
        flight * inputs + p["live_layers"] * per_layer,
        np.where(run.selective > 0, flight * selective, flight * per_layer_kept) + (p["live_layers"] - 1) * per_layer,
    )


def _logits(run: Run, p: Parameters) -> Any:
    """Logits, their fp32 copy and gradient on the stage that has them [B]; the first stage has none of a pipeline's."""
    here = np.where(run.pp > 1, 0.0, 1.0)
    return run.head * here * run.tokens * run.vocab / run.tp * p["logit_bytes"]


def _gathers(run: Run, p: Parameters) -> Any:
    """Weights of the layers being computed, gathered in 16 bits, and their gradients; unpacked 4-bit weights [B]."""
    layer = (run.layer_params + run.expert_params / run.ep) / run.layers / run.tp
    largest = np.maximum(layer, run.embed_params / run.tp * 0.5)
    trained = 1 - run.adapters
    whole = largest * (2.0 * run.compute_bytes + trained * run.gradient_bytes)
    sharded = (run.zero >= 3) & ((run.pp == 1) | (run.ga == 1))
    unpacked = run.quantised * layer * run.compute_bytes * 0.5
    return np.where(sharded, whole * p["gathered"], 0.0) + unpacked
