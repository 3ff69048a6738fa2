"""What one training step holds on one device, moment by moment: the exact terms of its peak.

Bytes of live tensors; everything broadcasts. h hidden, q and kv widths of queries and of keys with values, f of the
feed-forward, a heads. Weights of `w` bytes give residuals of as many, products are done in `c` bytes: (2, 2) all in 16
bits, (4, 4) fp32, (4, 2) autocast over fp32 weights.
Validity: RMS norms and gates written in PyTorch, as `transformers` 5 and `peft` 0.21 run them, one kernel after
another. Not counted: rounding of the allocator's blocks, fragmentation, the context, and what lives inside one kernel.
Source: counted from the tensors that autograd saves, and compared with PyTorch's memory tracker part by part
(calibration/measured/step_memory.csv, made by benchmarks/memory_oracle.py).
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real, transformer
from estimator.formulas.training import adapter_params, targeted_linears
from estimator.records import Architecture

Loss = Literal["whole", "chunked", "chunked head", "fused", "shifted", "in place", "16-bit", "one kernel", "unlearnt"]


class Step(NamedTuple):
    """A training step on one device, by what it does.

    seq [token], micro_batch [1]; micro_batches: passes before the optimizer steps [1]
    weight_bytes, compute_bytes: of a stored weight, of what products are done in [B]
    rank, targets, adapter_bytes, dropout: of low-rank adapters on frozen weights; rank 0 trains everything
    recompute, eager: whether each layer keeps its input alone; whether attention keeps its scores
    loss, chunks: see `logit_bytes`
    state_bytes, temporary_bytes: of a trained parameter, kept by the optimizer and while it steps; largest_bytes: the
    same of an optimizer that steps over one tensor at a time, of the largest [B]
    wide_norms: norms that scale in fp32 (Gemma's); frozen_ends: embeddings and output projection are not trained
    """

    seq: float
    micro_batch: float = 1.0
    micro_batches: float = 1.0
    weight_bytes: float = 2.0
    compute_bytes: float = 2.0
    rank: float = 0.0
    targets: str = "all"
    adapter_bytes: float = 4.0
    dropout: float = 0.0
    recompute: bool = False
    eager: bool = False
    loss: Loss = "whole"
    chunks: float = 8.0
    state_bytes: float = 4.0
    temporary_bytes: float = 0.0
    largest_bytes: float = 0.0
    wide_norms: bool = False
    frozen_ends: bool = False

    @property
    def tokens(self) -> float:
        """Of a micro-batch [token]."""
        return self.seq * self.micro_batch

    @property
    def autocast(self) -> bool:
        """Whether products are done in fewer bytes than weights are stored in."""
        return self.weight_bytes > self.compute_bytes


class AdapterInputs(NamedTuple):
    """Inputs of a layer's adapters: widths of every target's, of those kept for adapters alone [1], targets [1]."""

    every: float
    own: float
    targets: int


class LogitBytes(NamedTuple):
    """Bytes per logit at the end of the forward pass, and at the most in the backward pass."""

    forward: Real
    backward: Real


class Held(NamedTuple):
    """What outlives the passes [B].

    earlier: gradients of earlier micro-batches of the step; of_layer, of_head: gradients of one layer, of the output
    projection (0 where frozen); temporaries: of the optimizer while it steps
    """

    weights: Real
    states: Real
    gradients: Real
    earlier: Real = 0.0
    of_layer: Real = 0.0
    of_head: Real = 0.0
    temporaries: Real = 0.0


class Passing(NamedTuple):
    """What the passes hold [B].

    layer, inputs: kept by one layer for its backward pass, and its input alone; alive: held while one layer is redone
    final: kept by the last norm; logits: of the loss
    casts, cast_layer, cast_head: 16-bit copies of fp32 weights under autocast: all, a layer's, the output projection's
    """

    layer: Real
    inputs: Real
    alive: Real
    final: Real
    logits_forward: Real
    logits_backward: Real
    casts: Real = 0.0
    cast_layer: Real = 0.0
    cast_head: Real = 0.0


class Moments(NamedTuple):
    """Bytes alive at each moment of a step that may be the fullest."""

    loss_forward: Real
    loss_backward: Real
    first_recomputed: Real
    middle: Real
    end: Real
    step: Real

    @property
    def peak(self) -> Real:
        """The fullest [B]."""
        return np.maximum.reduce(np.broadcast_arrays(*self))


def layer_bytes(
    hidden: ArrayLike,
    q: ArrayLike,
    kv: ArrayLike,
    ffn: ArrayLike,
    heads: ArrayLike,
    *,
    weight_bytes: ArrayLike = 2.0,
    compute_bytes: ArrayLike = 2.0,
    gated: ArrayLike = 1.0,
    frozen: ArrayLike = 0.0,
    wide_norms: ArrayLike = 0.0,
    qk_norms: ArrayLike = 0.0,
    visited: ArrayLike = 0.0,
) -> Floats:
    """What a layer with fused attention keeps for its backward pass [B/token].

    ffn: width of the feed-forward, times the experts visited; frozen: weights that are not trained need no inputs
    wide_norms: norms that scale in fp32 (Gemma's); qk_norms: norms of queries and keys; visited: experts of a token
    A norm keeps its input in fp32, the normalised value and its output, under autocast a copy of that for each
    projection (three after the first norm, two or one after the second); attention its inputs, output and 4 B a head.

    >>> float(layer_bytes(4096, 4096, 2048, 14336, 32)) == 16 * 4096 + 4 * 4096 + 2 * 2048 + 8 * 14336 + 4 * 32
    True
    """
    h, q, kv, f, a = (np.asarray(width, float) for width in (hidden, q, kv, ffn, heads))
    w, c, gated = (np.asarray(value, float) for value in (weight_bytes, compute_bytes, gated))
    trained = 1.0 - np.asarray(frozen, float)
    readers = np.where(w > c, 4.0 + gated, 2.0)
    normalised = np.where(np.asarray(wide_norms) > 0, 4.0, w)
    norms = h * (2 * (4.0 + trained * normalised) + trained * c * readers)
    of_heads = np.asarray(qk_norms, float) * (4.0 + trained * c) * (q + kv / 2)
    routed = 2 * c * h * np.asarray(visited, float)
    return np.asarray(norms + of_heads + c * (2 * q + kv) + c * f * (1 + 2 * gated + trained) + routed + 4 * a)


def eager_bytes(
    q: ArrayLike,
    kv: ArrayLike,
    heads: ArrayLike,
    seq: ArrayLike,
    *,
    compute_bytes: ArrayLike = 2.0,
    frozen: ArrayLike = 0.0,
) -> Floats:
    """What eager attention keeps beyond fused attention [B/token].

    The softmax in fp32 and its 16-bit copy, keys and values repeated for every head; no output of its own where the
    projection after it is frozen.

    >>> float(eager_bytes(4096, 8192, 32, 2048)) == 6 * 32 * 2048 - 4 * 32
    True
    """
    q, kv, a, s, c = (np.asarray(value, float) for value in (q, kv, heads, seq, compute_bytes))
    of_scores = np.where(c < 4, 4.0 + c, 4.0) * a * s
    return np.asarray(of_scores + c * (2 * q - kv) - np.asarray(frozen, float) * c * q - 4 * a)


def adapter_inputs(targets: Iterable[str], hidden: float, q: float, ffn: float) -> AdapterInputs:
    """Inputs of a layer's adapters; targets: q, k, v, o, gate, up, down.

    Projections after the same norm share its output; attention keeps its output, the input of o, anyway.

    >>> adapter_inputs(("q", "v"), 4096, 4096, 14336)
    AdapterInputs(every=8192, own=4096, targets=2)
    """
    widths = {"q": hidden, "k": hidden, "v": hidden, "o": q, "gate": hidden, "up": hidden, "down": ffn}
    chosen = set(targets)
    shared = hidden * (bool(chosen & {"q", "k", "v"}) + bool(chosen & {"gate", "up"})) + ffn * ("down" in chosen)
    return AdapterInputs(sum(widths[name] for name in chosen), shared, len(chosen))


def adapters_bytes(
    every: ArrayLike,
    own: ArrayLike,
    targets: ArrayLike,
    rank: ArrayLike,
    *,
    adapter_bytes: ArrayLike = 4.0,
    weight_bytes: ArrayLike = 2.0,
    compute_bytes: ArrayLike = 2.0,
    dropout: ArrayLike = 0.0,
) -> Floats:
    """What adapters in the linear layers of a frozen layer keep [B/token].

    every, own, targets: as `adapter_inputs` has them; rank: of each adapter
    Each target casts its input to the adapters' width where that is another; adapters as wide as the weights share it.
    Dropout keeps a mask of one byte, and a dropped copy instead of an input that was shared.

    >>> float(adapters_bytes(*adapter_inputs(("q", "v"), 4096, 4096, 14336), 16)) == 4 * 2 * 4096 + 2 * 4 * 16
    True
    """
    every, own, targets, rank = (np.asarray(value, float) for value in (every, own, targets, rank))
    wide, w, c = (np.asarray(value, float) for value in (adapter_bytes, weight_bytes, compute_bytes))
    autocast, cast = w > c, wide != w
    value = np.where(autocast, c, wide)
    inputs = np.where(autocast | cast, every, np.where(np.asarray(dropout) > 0, 0.0, own))
    dropped = (np.asarray(dropout) > 0) * every * (1 + np.where(autocast | cast, 0.0, value))
    return np.asarray(value * (inputs + rank * targets) + dropped)


def logit_bytes(loss: Loss, chunks: float = 8, compute_bytes: ArrayLike = 2.0) -> LogitBytes:
    """Bytes a logit costs, by how the loss is taken.

    whole: 16-bit logits, their fp32 copy, log-softmax; backward three values of fp32
    chunked: 16-bit logits are whole, the rest is of one of `chunks`; chunked head: all of it is
    fused: never whole, in one kernel with the output projection (arXiv:2410.10989 section 3.2)
    in place: an fp32 copy that its gradient replaces, and the 16-bit gradient
    16-bit: no fp32 copy; logits, log-softmax and gradient as wide as the products
    one kernel: softmax and loss in one pass over the logits, of which nothing is kept; their gradient
    unlearnt: logits and their fp32 copy, gone before the backward pass, where a head beside them is learnt from (the
    value head of TRL, modeling_value_head.py)
    shifted: a contiguous fp32 copy of all but the last besides, as `transformers` did until the end of 2024

    >>> [[float(value) for value in logit_bytes(loss, chunks=10)] for loss in ("whole", "chunked", "fused")]
    [[10.0, 12.0], [2.8, 3.0], [0.0, 0.0]]
    """
    stored = np.asarray(compute_bytes, float)
    whole = np.where(stored < 4, stored + 8.0, 8.0)  # in fp32 the logits are their own copy
    kinds: dict[Loss, tuple[Real, Real]] = {
        "whole": (whole, 12.0),
        "chunked": (stored + 8.0 / chunks, stored + 10.0 / chunks),
        "chunked head": (8.0 / chunks, 12.0 / chunks),
        "fused": (0.0, 0.0),
        "shifted": (whole + 4.0, 18.0),
        "in place": (stored + 4.0, 8.0),
        "16-bit": (2 * stored, 3 * stored),
        "one kernel": (stored, 2 * stored),
        "unlearnt": (stored + 4.0, 0.0),
    }
    return LogitBytes(*kinds[loss])


def moments(
    held: Held,
    passing: Passing,
    layers: ArrayLike,
    *,
    recompute: ArrayLike = 0.0,
    tied: ArrayLike = 0.0,
    chunked_head: ArrayLike = 0.0,
) -> Moments:
    """Bytes alive at each moment of a step on one device; the peak is the fullest moment, not a sum.

    recompute: whether every layer keeps its input alone; tied: the output projection is the input embedding, whose two
    gradients are added at the end of the backward pass; chunked_head: the loss is taken in pieces, the output
    projection in them, so that a sum of its gradient and the gradient of a piece are alive at once
    Gradients grow as activations go: the loss sees none of this pass, the middle of the backward pass nearly all.
    Validity: gradients are allocated as they come; where buffers of them persist (DDP, Megatron), `earlier` is all.

    >>> held = Held(weights=2e9, states=4e9, gradients=2e9, of_layer=1e8)
    >>> passing = Passing(layer=1e9, inputs=1e8, alive=1.1e9, final=1e8, logits_forward=1e9, logits_backward=1.2e9)
    >>> [float(moments(held, passing, 20, recompute=redone).peak) / 1e9 for redone in (0, 1)]
    [27.3, 9.3]
    """
    redone, rest = np.asarray(recompute) > 0, held.weights + held.states
    kept = np.asarray(layers, float) * np.where(redone, passing.inputs, passing.layer)
    at_loss = rest + held.earlier + kept + passing.final
    copies = np.where(redone, passing.cast_head + passing.cast_layer, passing.casts)
    # The sum beside all of a piece, or besides the gradient of the piece when two thirds of it are left.
    pieces = np.maximum(held.of_head, 2 * held.of_head - passing.logits_backward / 3) * np.asarray(chunked_head, float)
    first = rest + np.maximum(held.earlier, held.of_head) + kept + passing.alive + passing.cast_layer
    # Of the layer that is gone back through, the last projection's gradient is there: a quarter of it.
    most = np.maximum(held.gradients - 0.75 * held.of_layer - held.of_head, 0.0)
    within = np.where(redone, passing.alive, passing.layer) + passing.inputs + passing.cast_layer * redone
    both_ends = np.maximum(passing.inputs, 2 * held.of_head * np.asarray(tied, float))
    return Moments(
        loss_forward=at_loss + passing.logits_forward + passing.casts,
        loss_backward=at_loss + passing.logits_backward + copies + pieces,
        first_recomputed=np.where(redone, first, 0.0),
        middle=rest + most + within,
        end=rest + held.gradients + both_ends,
        step=rest + held.gradients + held.temporaries,
    )


def held_bytes(arch: Architecture, step: Step) -> Held:
    """What outlives the passes of `step` on one device [B].

    >>> llm = Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000)
    >>> [round(float(value) / 1e9, 2) for value in held_bytes(llm, Step(seq=2048))[:3]]
    [13.48, 26.95, 13.48]
    """
    params, ends = transformer.params(arch), transformer.end_params(arch)
    adapters = float(adapter_params(arch, step.rank, step.targets))
    frozen = step.rank > 0
    trained = adapters if frozen else params - ends * step.frozen_ends
    value = step.adapter_bytes if frozen else step.weight_bytes
    head = 0.0 if frozen or step.frozen_ends else value * arch.vocab * arch.hidden
    return Held(
        weights=step.weight_bytes * params + step.adapter_bytes * adapters,
        states=step.state_bytes * trained,
        gradients=value * trained,
        earlier=value * trained if step.micro_batches > 1 else 0.0,
        of_layer=0.0 if frozen else value * (params - ends) / arch.layers,
        of_head=head,
        temporaries=step.temporary_bytes * trained + step.largest_bytes * arch.vocab * arch.hidden,
    )


def kept_bytes(arch: Architecture, step: Step) -> float:
    """What one layer keeps for its backward pass, averaged over layers [B/token]."""
    mixing, frozen = transformer.mixing(arch), float(step.rank > 0)
    visited = (arch.experts.per_token if arch.experts else 0) * arch.moe_layers / arch.layers
    ffn = feed_forward(arch)
    kept = layer_bytes(
        arch.hidden,
        mixing.query,
        mixing.key_value,
        ffn,
        arch.heads,
        weight_bytes=step.weight_bytes,
        compute_bytes=step.compute_bytes,
        gated=arch.gated_mlp,
        frozen=frozen,
        wide_norms=step.wide_norms,
        qk_norms=bool(arch.qk_norm),
        visited=visited,
    )
    if step.eager:
        scores = eager_bytes(
            mixing.query, mixing.key_value, arch.heads, step.seq, compute_bytes=step.compute_bytes, frozen=frozen
        )
        kept = kept + scores
    if step.rank:
        inputs = adapter_inputs(targeted_linears(step.targets), arch.hidden, mixing.query, ffn)
        kept = kept + adapters_bytes(
            *inputs,
            step.rank,
            adapter_bytes=step.adapter_bytes,
            weight_bytes=step.weight_bytes,
            compute_bytes=step.compute_bytes,
            dropout=step.dropout,
        )
    return float(kept)


def feed_forward(arch: Architecture) -> float:
    """Width of the feed-forward that a token passes, averaged over layers [1]."""
    share = arch.moe_layers / arch.layers
    visited = arch.experts.ffn * (arch.experts.per_token + transformer.shared_experts(arch)) if arch.experts else 0.0
    return (1 - share) * transformer.dense_width(arch) + share * visited


def passing_bytes(arch: Architecture, step: Step) -> Passing:
    """What the passes of `step` hold on one device [B]."""
    tokens, hidden, w, c = step.tokens, arch.hidden, step.weight_bytes, step.compute_bytes
    layer = kept_bytes(arch, step) * tokens
    # Back through a gated feed-forward, both factors' gradients are there, and those that fp32 adapters add in fp32; in
    # attention without a fused kernel those of scores.
    wide_adapters = step.rank > 0 and step.adapter_bytes > w
    ffn = feed_forward(arch) * (6.0 if wide_adapters else 2.0 * c)
    alive = max(ffn + 4.0 * hidden * wide_adapters, 4.0 * hidden, 5.5 * arch.heads * step.seq * step.eager)
    logits, values = logit_bytes(step.loss, step.chunks, c), tokens * arch.vocab
    params, head = transformer.params(arch), transformer.head_params(arch)
    inside = params - transformer.end_params(arch)
    return Passing(
        layer=layer,
        inputs=w * hidden * tokens,
        alive=layer + alive * tokens,
        final=(4.0 if step.rank else 4.0 + w + c) * hidden * tokens,
        logits_forward=logits.forward * values,
        logits_backward=logits.backward * values,
        casts=c * (inside + head) * step.autocast,
        cast_layer=c * inside / arch.layers * step.autocast,
        cast_head=c * head * step.autocast,
    )


def step_moments(arch: Architecture, step: Step) -> Moments:
    """Bytes alive at each moment of `step` on one device.

    >>> llm = Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000)
    >>> round(float(step_moments(llm, Step(seq=2048, recompute=True)).peak) / 1e9, 1)  # pure 16-bit: 8 B a parameter
    53.9
    """
    return moments(
        held_bytes(arch, step),
        passing_bytes(arch, step),
        arch.layers,
        recompute=step.recompute,
        tied=arch.tied_embeddings,
        chunked_head=step.loss == "chunked head",
    )
