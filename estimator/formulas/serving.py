"""Inference, counted: what one forward pass reads, multiplies and sends, and what a batch of requests holds.

Nothing here is timed or measured. Symbols: `tokens` are new tokens of one sequence, `context` those already cached,
`sequences` how many sequences share the pass. All counts are of the whole LLM; who shares them divides them.
Validity: counts are exact but where a docstring says what is expected or assumed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real, transformer
from estimator.records import Architecture

LOGIT_BYTES = 4.0  # logits are kept in 32 bits


class Pass(NamedTuple):
    """One forward pass, counted; fields are floats or arrays that broadcast."""

    rows: Real  # tokens that go through the weights together [token]
    sequences: Real  # [1]
    layers: Real  # [1]
    dense_weights: Real  # layer weights read that every token visits [1]
    dense_flop: Real  # work on them [FLOP]
    expert_weights: Real  # expected number of experts' weights read [1]
    expert_flop: Real  # work on them [FLOP]
    expert_rows: Real  # tokens of the average visited expert [token]
    head_weights: Real  # of the output projection [1]
    head_flop: Real  # [FLOP]
    logit_bytes: Real  # [B]
    attention_flop: Real  # scores and values [FLOP]
    kv_bytes: Real  # cache read and written [B]
    scores: Real  # query-key products of all heads [1]
    mean_span: Real  # cached or earlier tokens the average query attends to, layers averaged [token]
    scan_flop: Real  # of recurrences [FLOP]
    state_bytes: Real  # their state, read and written [B]
    stream_bytes: Real  # the residual stream, once per layer [B]


def expert_coverage(experts: ArrayLike, per_token: ArrayLike, tokens: ArrayLike) -> Floats:
    """Share of the experts that at least one of `tokens` visits, if each chooses evenly [1].

    1 - (1 - k/E)^T. Real routers are uneven, so fewer are visited.
    Source: expected coverage of T independent draws (Feller, An Introduction to Probability Theory I, IV.2).

    >>> round(float(expert_coverage(8, 2, 1)), 3), round(float(expert_coverage(8, 2, 8)), 3)
    (0.25, 0.9)
    """
    share = np.asarray(per_token, float) / np.asarray(experts, float)
    return np.asarray(1.0 - (1.0 - share) ** np.asarray(tokens, float))


def forward_pass(
    arch: Architecture,
    tokens: ArrayLike,
    context: ArrayLike = 0.0,
    sequences: ArrayLike = 1.0,
    kv_value_bytes: ArrayLike = 2.0,
    replicas: ArrayLike = 1.0,
) -> Pass:
    """Count a pass of `sequences` sequences, `tokens` new ones each after `context` cached ones.

    replicas: copies of the attention layers, each with as many sequences, that share out the experts [1]
    Encoders have no output projection and no cache; decoders compute the logits of each sequence's last token.
    Source: arXiv:2001.08361 section 2.1 (2 FLOP per weight and token); arXiv:2309.06180 section 1 (KV cache).

    >>> from estimator.records import Architecture
    >>> step = forward_pass(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 1, context=1023)
    >>> float(step.dense_weights), float(step.kv_bytes) / 2**20
    (6476005376.0, 512.0)
    """
    new, cached, count = (np.asarray(value, float) for value in (tokens, context, sequences))
    rows = new * count
    dense, head = float(transformer.dense_weights(arch)), float(transformer.head_params(arch))
    attending = float(sum(layers for layers, _ in transformer.attentions(arch)))
    pairs = transformer.attended_pairs(arch, new, cached)
    return Pass(
        rows=rows,
        sequences=count,
        layers=float(arch.layers),
        dense_weights=dense,
        dense_flop=2.0 * dense * rows,
        **_visits(arch, rows, np.asarray(replicas, float)),
        head_weights=head,
        head_flop=2.0 * head * count,
        logit_bytes=LOGIT_BYTES * arch.vocab * count * (head > 0),
        attention_flop=count * transformer.attention_flop(arch, new, cached),
        kv_bytes=count * transformer.read_bytes(arch, new + cached, kv_value_bytes),
        scores=count * transformer.scores(arch, new, cached),
        mean_span=pairs / (max(attending, 1.0) * np.maximum(new, 1e-9)),
        scan_flop=count * transformer.scan_flop(arch, new),
        state_bytes=2.0 * count * transformer.state_bytes(arch),
        stream_bytes=2.0 * arch.hidden * rows * arch.layers,
    )


def _visits(arch: Architecture, rows: Floats, copies: Floats) -> dict[str, Real]:
    """What `rows` tokens on each of `copies` attention replicas ask of the routed experts they share."""
    if arch.experts is None:
        return {"expert_weights": 0.0, "expert_flop": 0.0, "expert_rows": 0.0}
    held, moe = float(transformer.expert_weights(arch)), arch.experts
    visited = moe.per_token / moe.experts
    coverage = expert_coverage(moe.experts, moe.per_token, rows * copies)
    return {
        "expert_weights": held * coverage / copies,
        "expert_flop": 2.0 * held * visited * rows,
        "expert_rows": rows * copies * visited / np.maximum(coverage, 1e-12),
    }


def stacked(passes: list[Pass]) -> Pass:
    """Passes of different LLMs as one, each count an array of one entry per pass."""
    return Pass(**{name: np.array([float(getattr(one, name)) for one in passes]) for name in Pass._fields})


def kv_slots(free_bytes: ArrayLike, bytes_per_sequence: ArrayLike) -> Floats:
    """Sequences whose cache fits, not rounded [1]; without a cache, no bound.

    Source: arXiv:2309.06180 section 4.2 (a cache of blocks without fragmentation).

    >>> float(kv_slots(64e9, 0.5e9))
    128.0
    """
    held = np.asarray(bytes_per_sequence, float)
    free = np.maximum(np.asarray(free_bytes, float), 0.0)
    return np.where(held > 0, free / np.maximum(held, 1e-9), np.inf)


def held_tokens(prompt_tokens: ArrayLike, output_tokens: ArrayLike, preempts: ArrayLike) -> Floats:
    """Cache that a running request holds on average [token], requests being in all phases of their output.

    preempts: whether the engine admits by cache in use, prompt + output / 2 on average, and preempts when there is no
        more; else whole lengths are reserved at the start
    Source: vLLM, arXiv:2309.06180 sections 4.3 and 4.5 (blocks on demand, recomputation); TensorRT-LLM,
    GUARANTEED_NO_EVICT. A scheduler stepped token by token agrees within 6 %.

    >>> float(held_tokens(1024, 8192, True)), float(held_tokens(1024, 8192, False))
    (5120.0, 9216.0)
    """
    return np.asarray(prompt_tokens, float) + np.asarray(output_tokens, float) * np.where(preempts, 0.5, 1.0)


def continuous_requests_per_s(
    batch: ArrayLike, output_tokens: ArrayLike, prefill_s: ArrayLike, step_s: ArrayLike
) -> Floats:
    """Requests finished per second when `batch` slots are kept full and every prompt interrupts all of them [1/s].

    A slot's cycle is its own tokens, output_tokens x step_s, and the prompts of the whole batch, batch x prefill_s.
    Source: iteration-level scheduling, Orca (OSDI 2022) section 3.1.

    >>> round(float(continuous_requests_per_s(64, 100, 0.02, 0.03)), 2)
    14.95
    """
    batch = np.asarray(batch, float)
    return np.asarray(batch / (np.asarray(output_tokens, float) * step_s + batch * np.asarray(prefill_s, float)))


def speculative_tokens(acceptance: ArrayLike, drafted: ArrayLike) -> Floats:
    """Expected tokens per step of the large LLM when `drafted` are proposed and each is accepted with `acceptance` [1].

    Source: arXiv:2211.17192 equation (1): (1 - a^(g+1)) / (1 - a).

    >>> round(float(speculative_tokens(0.8, 4)), 3)
    3.362
    """
    rate, count = np.asarray(acceptance, float), np.asarray(drafted, float)
    return np.where(rate >= 1, count + 1, (1 - rate ** (count + 1)) / np.maximum(1 - rate, 1e-12))


def adapter_params(arch: Architecture, rank: ArrayLike) -> Floats:
    """Parameters of one LoRA adapter on every linear layer [1]: rank x (inputs + outputs) of each matrix.

    Source: arXiv:2106.09685 section 4.1. Experts are left out, as serving engines do.

    >>> from estimator.records import Architecture
    >>> float(adapter_params(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 16))
    39976960.0
    """
    width = sum(
        (each.rows + each.columns) * each.count
        for each in transformer.matrices(arch)
        if each.per == "token" and each.name != "router" and not each.name.startswith("shared_")
    )
    return np.asarray(np.asarray(rank, float) * width)
