"""What a transformer is made of: parameters, work and cache, counted from its shape.

Validity: counts are exact for the shapes in the catalogue (checked against the makers' own configurations). What cites
nothing is arithmetic over shapes.
Work counts two FLOP per multiply-add. Attention scores are counted for the pairs a causal or windowed mask leaves.
"""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.records import Architecture


def q_width(arch: Architecture) -> int:
    """Width of all query heads together [1]."""
    latent = arch.latent
    return arch.heads * (latent.qk_nope_head_dim + latent.qk_rope_head_dim if latent else arch.head_dim)


def kv_width(arch: Architecture) -> int:
    """Values cached per token and layer [1]: keys and values of the kv heads, or the MLA latent with its rotary key.

    Source: arXiv:2305.13245 section 2 (GQA); arXiv:2405.04434 section 2.1.2 and table 1 (MLA).

    >>> from estimator.records import Architecture
    >>> kv_width(Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256))
    2048
    """
    if arch.latent:
        return arch.latent.kv_lora_rank + arch.latent.qk_rope_head_dim
    return 2 * arch.kv_heads * arch.head_dim


def attention_weights(arch: Architecture) -> int:
    """Matrix weights of one attention block [1]."""
    if arch.latent:
        return _latent_attention_weights(arch)
    return arch.hidden * (2 * arch.heads + 2 * arch.kv_heads) * arch.head_dim


def _latent_attention_weights(arch: Architecture) -> int:
    latent = arch.latent
    if latent is None:
        return 0
    query = q_width(arch)
    down_up = latent.q_lora_rank * (arch.hidden + query) if latent.q_lora_rank else arch.hidden * query
    compressed = arch.hidden * (latent.kv_lora_rank + latent.qk_rope_head_dim)
    expanded = latent.kv_lora_rank * arch.heads * (latent.qk_nope_head_dim + latent.v_head_dim)
    return down_up + compressed + expanded + arch.heads * latent.v_head_dim * arch.hidden


def mlp_weights(arch: Architecture, ffn: int | None = None) -> int:
    """Matrix weights of one feed-forward block of width `ffn` (the dense one when not given) [1]."""
    return (3 if arch.gated_mlp else 2) * arch.hidden * (arch.ffn if ffn is None else ffn)


def _vectors_per_layer(arch: Architecture) -> int:
    """Norm scales and biases of one layer's attention and dense feed-forward [1]."""
    norms = arch.norms_per_layer * arch.hidden * (2 if arch.norm_bias else 1)
    query, key_value = arch.heads * arch.head_dim, 2 * arch.kv_heads * arch.head_dim
    biases = arch.qkv_bias * (query + key_value) + arch.out_bias * arch.hidden
    if arch.latent:
        norms += arch.latent.q_lora_rank + arch.latent.kv_lora_rank
        return norms
    qk = {"": 0, "head": 2 * arch.head_dim, "full": query + key_value // 2}[arch.qk_norm]
    return norms + biases + qk


def _mlp_bias(arch: Architecture, ffn: int) -> int:
    return arch.mlp_bias * ((2 if arch.gated_mlp else 1) * ffn + arch.hidden)


def dense_ffn_params(arch: Architecture) -> int:
    """Parameters of one dense feed-forward block [1]."""
    return mlp_weights(arch) + _mlp_bias(arch, arch.ffn)


def expert_params(arch: Architecture) -> int:
    """Parameters of one expert [1]; zero for a dense model."""
    if arch.experts is None:
        return 0
    return mlp_weights(arch, arch.experts.ffn) + _mlp_bias(arch, arch.experts.ffn)


def embedding_params(arch: Architecture) -> int:
    """Token and learned position embeddings [1]."""
    return (arch.vocab + arch.learned_positions) * arch.hidden


def head_params(arch: Architecture) -> int:
    """Weights of the output projection, whether or not they are shared with the input embedding [1]."""
    return arch.vocab * arch.hidden if arch.kind == "decoder" else 0


def params(arch: Architecture) -> int:
    """All parameters, N [1].

    >>> from estimator.records import Architecture
    >>> params(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000))
    6738415616
    """
    return _params(arch, experts_counted=arch.experts.experts if arch.experts else 0)


def active_params(arch: Architecture) -> int:
    """Parameters one token passes through [1]: all of a dense model, the routed share of a mixture of experts."""
    return _params(arch, experts_counted=arch.experts.per_token if arch.experts else 0)


def _params(arch: Architecture, experts_counted: int) -> int:
    attention = arch.layers * (attention_weights(arch) + _vectors_per_layer(arch))
    feed_forward = (arch.layers - arch.moe_layers) * dense_ffn_params(arch)
    if arch.experts:
        router = arch.hidden * arch.experts.experts
        feed_forward += arch.moe_layers * ((experts_counted + arch.experts.shared) * expert_params(arch) + router)
    return attention + feed_forward + embedding_params(arch) + _outside_layers(arch)


def _outside_layers(arch: Architecture) -> int:
    norm = arch.hidden * (2 if arch.norm_bias else 1)
    if arch.kind == "encoder":  # embedding norm, two token types, and BERT's pooler (arXiv:1810.04805)
        return norm + 2 * arch.hidden + (arch.hidden * (arch.hidden + 1) if arch.learned_positions else 0)
    return norm + (0 if arch.tied_embeddings else head_params(arch))


def matmul_params(arch: Architecture, with_head: bool = True) -> int:
    """Weights one token is multiplied by [1]: no input embedding, norms or biases, and only the experts it visits."""
    layer_weights = arch.layers * attention_weights(arch) + (arch.layers - arch.moe_layers) * mlp_weights(arch)
    if arch.experts:
        visited = arch.experts.per_token + arch.experts.shared
        layer_weights += arch.moe_layers * (
            visited * mlp_weights(arch, arch.experts.ffn) + arch.hidden * arch.experts.experts
        )
    return layer_weights + (head_params(arch) if with_head else 0)


def attended_pairs(arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0) -> Floats:
    """Query-key pairs of one sequence, summed over layers [1]: `new_tokens` after `cached_tokens`, masks respected."""
    new, cached = np.asarray(new_tokens, float), np.asarray(cached_tokens, float)
    if arch.kind == "encoder":
        return arch.layers * new * (new + cached)
    full = new * cached + new * (new + 1) / 2
    if arch.sliding_window is None:
        return arch.layers * full
    windowed = _windowed_pairs(new, cached, float(arch.sliding_window))
    return arch.full_attention_layers * full + (arch.layers - arch.full_attention_layers) * windowed


def _windowed_pairs(new: Floats, cached: Floats, window: float) -> Floats:
    """Sum over i = cached+1 ... cached+new of min(i, window)."""

    def up_to(last: Floats) -> Floats:
        inside = np.minimum(last, window)
        return inside * (inside + 1) / 2 + np.maximum(last - window, 0) * window

    return up_to(cached + new) - up_to(cached)


def attention_flop(arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0) -> Floats:
    """Work of the score and value products of one sequence, forward [FLOP].

    Source: arXiv:2307.08691 section 4.1 (4 s^2 d heads, halved when causal).
    """
    return pair_flop(arch) * attended_pairs(arch, new_tokens, cached_tokens)


def pair_flop(arch: Architecture) -> float:
    """Work of a score and a value for one query-key pair, all heads [FLOP]: 4 per unit of head width."""
    if arch.latent:
        width = arch.latent.qk_nope_head_dim + arch.latent.qk_rope_head_dim + arch.latent.v_head_dim
        return 2.0 * arch.heads * width
    return 4.0 * arch.heads * arch.head_dim


def forward_flop(
    arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0, head_tokens: ArrayLike | None = None
) -> Floats:
    """Work of one sequence's forward pass [FLOP]: 2 per weight and token, plus attention.

    head_tokens: tokens whose logits are computed (1 in a prefill, all when not given) [token]
    Source: arXiv:2001.08361 section 2.1 (2N + 2 n_layer n_ctx d_attn, without the causal halving).

    >>> from estimator.records import Architecture
    >>> float(forward_flop(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 1))
    13214679040.0
    """
    new = np.asarray(new_tokens, float)
    body = 2.0 * matmul_params(arch, with_head=False) * new
    logits = 2.0 * head_params(arch) * (new if head_tokens is None else np.asarray(head_tokens, float))
    return body + logits + attention_flop(arch, new, cached_tokens)


def request_flop(weights: Real, prompt: Real, output: Real, requests: Real) -> Real:
    """Forward work of requests, attention scores left out [FLOP]: 2 per weight and token.

    Source: arXiv:2001.08361 section 2.1.

    >>> request_flop(7e9, 100, 50, 2)
    4200000000000.0
    """
    return 2 * weights * (prompt + output) * requests


def kv_bytes(arch: Architecture, tokens: ArrayLike, bytes_per_value: ArrayLike = 2.0) -> Floats:
    """KV cache of one sequence of `tokens` [B]; sliding-window layers keep only their window.

    Source: arXiv:2309.06180 section 1 (2 x layers x kv width x bytes: 800 KB a token for OPT-13B).

    >>> from estimator.records import Architecture
    >>> float(kv_bytes(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 1)) / 2**20
    0.5
    """
    if arch.kind == "encoder":
        return np.zeros(np.shape(tokens))
    held = np.asarray(tokens, float)
    full_layers = arch.full_attention_layers
    seen = full_layers * held
    if arch.sliding_window is not None:
        seen = seen + (arch.layers - full_layers) * np.minimum(held, float(arch.sliding_window))
    return kv_width(arch) * seen * np.asarray(bytes_per_value, float)
