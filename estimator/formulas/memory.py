"""What training keeps in memory: states of the optimizer, activations for the backward pass, logits.

Bytes per accelerator; everything broadcasts. Symbols of arXiv:2205.05198: s sequence, b micro-batch, h hidden, a heads,
t tensor-parallel size.
Validity: what must be held; what allocators keep besides is fitted (predict.training_memory).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real


class StateBytes(NamedTuple):
    """Bytes one parameter costs in each of its copies [B]."""

    weights: Real
    gradients: Real
    master: Real
    moments: Real

    @property
    def total(self) -> Real:
        """All copies together [B]."""
        return self.weights + self.gradients + self.master + self.moments


# Copies a trainable parameter has, by habit of the framework (catalog.frameworks.States):
#   megatron     16-bit weights, fp32 gradients, masters and two moments: 18 B      arXiv:2205.05198, Megatron core
#   megatron-bf16  the same with gradients reduced in 16 bits (its performance recipes): 16 B
#   deepspeed    16-bit weights and gradients, fp32 masters and moments: 16 B       arXiv:1910.02054 section 3.1
#   mixed, amp   fp32 weights (their own masters), fp32 gradients and moments: 16 B PyTorch FSDP, autocast
#   pure-master  16-bit weights and gradients, fp32 masters and moments: 16 B
#   pure(-lora)  everything 16-bit: 8 B
MIXED_PRECISION = {
    "megatron": StateBytes(2, 4, 4, 8),
    "megatron-bf16": StateBytes(2, 2, 4, 8),
    "deepspeed": StateBytes(2, 2, 4, 8),
    "mixed": StateBytes(4, 4, 0, 8),
    "amp": StateBytes(4, 4, 0, 8),
    "pure-master": StateBytes(2, 2, 4, 8),
    "pure": StateBytes(2, 2, 0, 4),
    "pure-lora": StateBytes(2, 2, 0, 4),
}
FULL_PRECISION = StateBytes(4, 4, 0, 8)


def zero_bytes(
    params: ArrayLike, per_param: StateBytes, stage: ArrayLike = 0, shards: ArrayLike = 1
) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, gradients, masters and moments of `params` parameters under ZeRO [B each].

    stage: 0 nothing is sharded, 1 optimizer states, 2 also gradients, 3 also weights
    Source: arXiv:1910.02054 section 5 and figure 1 (7.5 B parameters on 64 GPUs: 120, 31.4, 16.6, 1.9 GB).

    >>> from estimator.formulas.memory import MIXED_PRECISION
    >>> [round(float(sum(zero_bytes(7.5e9, MIXED_PRECISION["deepspeed"], s, 64))) / 1e9, 1) for s in range(4)]
    [120.0, 31.4, 16.6, 1.9]
    """
    params, stage = np.asarray(params, float), np.asarray(stage)
    share = 1.0 / np.asarray(shards, float)
    weights, gradients, optimizer = (np.where(stage >= first, share, 1.0) for first in (3, 2, 1))
    return (
        params * per_param.weights * weights,
        params * per_param.gradients * gradients,
        params * per_param.master * optimizer,
        params * per_param.moments * optimizer,
    )


def gpt_activation_bytes(
    s: ArrayLike,
    b: ArrayLike,
    h: ArrayLike,
    a: ArrayLike,
    t: ArrayLike = 1,
    *,
    sequence_parallel: bool = False,
    selective: bool = False,
) -> Floats:
    """Activations one layer of a GPT with dropout and unfused attention keeps for the backward pass [B].

    s b h (10 + 24/t + 5 a s / (h t)); sequence parallelism divides the 10 too; selective recomputation drops the last.
    Source: arXiv:2205.05198 equations 1, 2, 4 and table 2.

    >>> float(gpt_activation_bytes(2048, 1, 12288, 96)) / (2048 * 12288)
    114.0
    """
    s, b, h, t = np.asarray(s, float), np.asarray(b, float), np.asarray(h, float), np.asarray(t, float)
    scores = 0.0 if selective else 5 * np.asarray(a, float) * s / (h * t)
    replicated = 10 / t if sequence_parallel else 10.0
    total: Floats = s * b * h * (replicated + 24 / t + scores)
    return total


def saved_values(
    hidden: ArrayLike,
    q: ArrayLike,
    kv: ArrayLike,
    ffn: ArrayLike,
    gated: ArrayLike,
    *,
    weight_gradients: ArrayLike = 1.0,
) -> tuple[Floats, Floats]:
    """Values a layer with fused attention keeps per token [1]: (norms and residuals, what tensor parallelism splits).

    q, kv: width of all query heads; of keys and values together. ffn: width of the feed-forward, times experts visited.
    weight_gradients: share of the linear layers that are trained; the inputs of frozen ones are not kept
    Kept are the inputs of both norms, of the linear layers (norm outputs, attention output, activation output),
    queries, keys, values, and the inputs of the activation function (one; two and a factor of their product if gated).
    Source: arXiv:2205.05198 section 4.1, its dropout masks and attention scores left out: fused attention keeps none.
    """
    hidden, q, kv = np.asarray(hidden, float), np.asarray(q, float), np.asarray(kv, float)
    ffn, gated = np.asarray(ffn, float), np.asarray(gated, float)
    whole = hidden * (2 + 2 * np.asarray(weight_gradients, float))
    split = 2 * q + kv + ffn * (1 + 2 * gated + np.asarray(weight_gradients, float))
    return whole, split
