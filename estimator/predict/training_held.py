"""What of a training plan decides its memory: bytes a layer keeps of each token, of each logit, by the run's kernels.

Written out in PyTorch, RMS norms and gates keep what `formulas.step_memory` counts; LayerNorm and GELU are one kernel
each, and compilers and hand-written kernels keep no more than the backward pass needs (`formulas.memory.saved_values`).
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from estimator.catalog.frameworks import Framework
from estimator.formulas import Real, memory, step_memory, transformer
from estimator.formulas.training import targeted_linears
from estimator.records import Architecture, OwnCode

Numbers = Mapping[str, Real]
BUFFERED = ("megatron", "megatron-bf16", "deepspeed", "pure-master")  # states whose gradients have buffers of their own


def held(
    arch: Architecture,
    habits: Framework,
    numbers: Numbers,
    lora_targets: str,
    zero: Real,
    stored: str,
    own: OwnCode | None = None,
) -> dict[str, Real]:
    """Fields of `Run` that only memory asks for. stored: format of frozen weights; own: code that the LLM brings"""
    quantised = bool(numbers["quantised"])
    widens = quantised and habits.widens_frozen and "gptq" not in stored
    sharded = np.asarray(zero) >= 3
    widened = np.logical_not(sharded) if widens else False  # what is sharded together is of one width
    # FSDP gathers adapters in fp32, and what they add to is as wide (inputs of layers of fms-acceleration's runs).
    adapted = sharded & (numbers["adapters"] > 0) & habits.widens_frozen
    residual = np.where(widened | adapted, 4.0, _residual_bytes(numbers, zero))
    whole, split = _kept(arch, habits, numbers, residual)
    if numbers["adapters"]:
        split = split + _adapters(arch, habits, numbers, residual, lora_targets)
    return {
        "buffers": float(habits.states in BUFFERED),
        "inputs_in_host": float(habits.inputs_in_host),
        "buckets": float(habits.buckets),
        "accumulates_whole": float(habits.accumulates_whole),
        "copied_bytes": habits.step_copies_bytes,
        "residual_bytes": residual,
        "written_out": float(habits.kernels == "eager" and arch.gated_mlp),
        "kept_whole": whole + (own.kept_bytes * arch.hidden if own else 0.0),
        "kept_split": split,
        "kept_scores": _scores(arch, habits, numbers),
        "alive": _alive(arch, habits, numbers),
        "logit_bytes": np.maximum(*step_memory.logit_bytes(habits.loss, compute_bytes=numbers["compute_bytes"])),
        "splits_vocabulary": float(habits.splits_vocabulary),
        "end_bytes": np.where(widened, 4.0, 2.0),
        "compiled_loss": float(habits.kernels == "compiled"),
        "loss_in_kernel": float(habits.loss in ("fused", "one kernel")),
        "uneven": 0.0,
        "expandable": float(habits.expandable),
        "root": 0.5 if habits.splits_root else 1.0,
    }


def _residual_bytes(numbers: Numbers, zero: Real) -> Real:
    """Of a value between layers: as wide as embeddings are, unless weights are gathered in 16 bits."""
    compute = numbers["compute_bytes"]
    if numbers["quantised"]:
        return compute
    width = np.maximum(numbers["stored_bytes"] if numbers["adapters"] else numbers["weight_bytes"], compute)
    return np.where(np.asarray(zero) >= 3, compute, width)


def _kept(arch: Architecture, habits: Framework, numbers: Numbers, residual: Real) -> tuple[Real, Real]:
    """By a layer with fused attention [B/token]: whole on each tensor-parallel rank, and split over them."""
    mixing, compute, frozen = transformer.mixing(arch), numbers["compute_bytes"], numbers["adapters"]
    moe = arch.moe_layers / arch.layers
    visited = moe * (arch.experts.per_token if arch.experts else 0)
    ffn, q, kv, h = step_memory.feed_forward(arch), mixing.query, mixing.key_value, arch.hidden
    routed = 2 * compute * h * visited
    whole: Real
    split: Real
    if habits.kernels == "eager" and arch.gated_mlp:
        layer = partial(step_memory.layer_bytes, weight_bytes=residual, compute_bytes=compute, frozen=frozen)
        whole, split = layer(h, 0, 0, 0, 0), layer(0, q, kv, ffn, arch.heads, qk_norms=bool(arch.qk_norm))
    else:
        trained = 1.0 - frozen
        values = memory.saved_values(0, q, kv, ffn, arch.gated_mlp, weight_gradients=trained)[1]
        whole, split = h * (2 * residual + 2 * compute * trained), compute * values
    if frozen and habits.keeps_frozen_inputs:
        whole, split = whole + compute * 2 * h, split + compute * ffn
    return whole, split + routed


def _scores(arch: Architecture, habits: Framework, numbers: Numbers) -> Real:
    """By attention without a fused kernel, for each key a query sees [B/token]."""
    eager = habits.kernels == "eager" and arch.gated_mlp
    return (6.0 if eager else 2.5 * numbers["compute_bytes"]) * arch.heads


def _adapters(arch: Architecture, habits: Framework, numbers: Numbers, residual: Real, lora_targets: str) -> Real:
    """By a layer's adapters [B/token]."""
    mixing = transformer.mixing(arch)
    ffn = step_memory.feed_forward(arch)
    inputs = step_memory.adapter_inputs(targeted_linears(lora_targets), arch.hidden, mixing.query, ffn)
    wide = 4.0 if habits.widens_frozen else numbers["compute_bytes"]
    compute = numbers["compute_bytes"]
    return step_memory.adapters_bytes(
        *inputs, numbers["rank"], adapter_bytes=wide, weight_bytes=residual, compute_bytes=compute
    )


def _alive(arch: Architecture, habits: Framework, numbers: Numbers) -> Real:
    """While one layer is gone back through [B/token]: gradients of both factors of a gate, or of attention."""
    wide = bool(numbers["adapters"]) and habits.widens_frozen
    compute = numbers["compute_bytes"]
    ffn = step_memory.feed_forward(arch) * (6.0 if wide else 2.0 * compute)
    return max(ffn + 4.0 * arch.hidden * wide, 4.0 * arch.hidden)
