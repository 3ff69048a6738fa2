"""One layer of each kind: its matrices, and what a token costs in it.

Attention with all heads, groups or a latent; feed-forward layers dense and of experts; recurrences in chunks.
Validity: counts of matrices are exact; chunks of recurrences are those of the reference kernels, others differ.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats
from estimator.records import Architecture, Attention, Block, LatentAttention, Matrix, Scan

# --- attention -------------------------------------------------------------------------------------------------------


def attention_matrices(hidden: int, attention: Attention, latent: LatentAttention | None = None) -> tuple[Matrix, ...]:
    """Projections of one attention layer; one that reads another's cache has no keys and values of its own.

    Source: arXiv:1706.03762 section 3.2.2; arXiv:2305.13245 section 2 (GQA); arXiv:2405.04434 section 2.1 (MLA).

    >>> [f"{each.name} {each.rows}x{each.columns}" for each in attention_matrices(64, Attention(4, 2, 16, 16, 64))]
    ['q 64x64', 'k 32x64', 'v 32x64', 'o 64x64']
    """
    query, out = attention.heads * attention.key_dim, attention.heads * attention.value_dim
    if latent:
        return _latent_matrices(hidden, attention.heads, latent)
    own: tuple[Matrix, ...] = ()
    if not attention.reads:
        key, value = attention.kv_heads * attention.key_dim, attention.kv_heads * attention.value_dim
        own = Matrix("k", key, hidden), Matrix("v", value, hidden)
    return Matrix("q", query, hidden), *own, Matrix("o", hidden, out)


def _latent_matrices(hidden: int, heads: int, latent: LatentAttention) -> tuple[Matrix, ...]:
    q_rank, kv_rank = latent.q_lora_rank, latent.kv_lora_rank
    query = heads * (latent.qk_nope_head_dim + latent.qk_rope_head_dim)
    queries = (Matrix("q_a", q_rank, hidden), Matrix("q_b", query, q_rank)) if q_rank else (Matrix("q", query, hidden),)
    return (
        *queries,
        Matrix("kv_a", kv_rank + latent.qk_rope_head_dim, hidden),
        Matrix("kv_b", heads * (latent.qk_nope_head_dim + latent.v_head_dim), kv_rank),
        Matrix("o", hidden, heads * latent.v_head_dim),
    )


def pair_flop(attention: Attention) -> float:
    """Work of a score and a value for one query-key pair, all heads [FLOP]."""
    return 2.0 * attention.heads * (attention.key_dim + attention.value_dim)


def kept_width(attention: Attention) -> int:
    """Width of keys and values as scores see them, before a latent makes them small [1]."""
    if attention.cached < attention.heads * attention.value_dim and attention.heads == attention.kv_heads:
        return attention.heads * (attention.key_dim + attention.value_dim)
    return attention.cached


def is_feed_forward(matrix: Matrix) -> bool:
    """Whether a matrix belongs to a feed-forward layer; else it mixes tokens."""
    return matrix.name.removeprefix("shared_") in ("gate", "up", "down", "router")


def windowed_pairs(new: Floats, cached: Floats, window: float) -> Floats:
    """Sum over i = cached+1 ... cached+new of min(i, window) [1]."""

    def up_to(last: Floats) -> Floats:
        inside = np.minimum(last, window)
        return inside * (inside + 1) / 2 + np.maximum(last - window, 0) * window

    return up_to(cached + new) - up_to(cached)


def chunked_pairs(new: Floats, cached: Floats, chunk: float) -> Floats:
    """Sum over i = cached+1 ... cached+new of the place of i in its chunk [1].

    >>> float(chunked_pairs(np.array(5.0), np.array(0.0), 3.0))  # 1 + 2 + 3, 1 + 2
    9.0
    """

    def up_to(last: Floats) -> Floats:
        whole, rest = np.floor(last / chunk), last % chunk
        return np.asarray(whole * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2)

    return up_to(cached + new) - up_to(cached)


def mutual_pairs(new: Floats, cached: Floats, window: int | None) -> Floats:
    """Pairs of a sequence read both ways [1]: all of them, or those at most half a window apart.

    >>> float(mutual_pairs(np.array(4.0), np.array(0.0), 2))  # 2 + 3 + 3 + 2
    10.0
    """
    if window is None:
        return new * (new + cached)
    reach = np.minimum(float(window // 2), np.maximum(new - 1, 0))
    return np.asarray(new * (2 * reach + 1) - reach * (reach + 1))


# --- feed-forward ----------------------------------------------------------------------------------------------------


def feed_forward_matrices(hidden: int, width: int, gated: bool = True, prefix: str = "") -> tuple[Matrix, ...]:
    """Projections of one dense (or shared) feed-forward layer.

    Source: arXiv:2002.05202 section 2 (gated).
    """
    ends = Matrix(prefix + "up", width, hidden), Matrix(prefix + "down", hidden, width)
    return (Matrix(prefix + "gate", width, hidden), *ends) if gated else ends


def expert_matrices(hidden: int, width: int, experts: int, gated: bool = True) -> tuple[Matrix, ...]:
    """Projections of all routed experts of one layer, and its router.

    Source: arXiv:2101.03961 section 2.1.
    """
    one = feed_forward_matrices(hidden, width, gated)
    return *(each._replace(count=experts, per="routed") for each in one), Matrix("router", experts, hidden)


def expert_weights(block: Block) -> int:
    """Weights of one routed expert [1]."""
    routed = sum(each.size * each.count for each in block.matrices if each.per == "routed")
    return int(routed // block.experts) if block.experts else 0


def expert_params(block: Block) -> int:
    """Parameters of one routed expert [1]."""
    return expert_weights(block) + block.expert_vectors


def block_params(block: Block) -> int:
    """Parameters of one layer [1]."""
    weights = int(sum(each.size * each.count for each in block.matrices))
    return weights + block.vectors + block.experts * block.expert_vectors


# --- recurrences -----------------------------------------------------------------------------------------------------


def scan_flop(scan: Scan, tokens: Floats) -> Floats:
    """Work of one layer's recurrence over `tokens` new tokens, forward [FLOP].

    A prompt runs in chunks of C: products inside a chunk as in attention, full squares, and with the state between
    chunks. Per head and token: 2 C (3 k + 2 v) + 6 k v for the gated delta rule, 2 C (k + v) + 4 k v for decaying
    linear attention and Mamba 2, 7 k v for elementwise recurrences. One token alone needs no square: C = 0.
    Source: arXiv:2412.06464 section 3.2 (gated delta rule), arXiv:2405.21060 section 6 (Mamba 2), arXiv:2401.04658
    section 3 (lightning attention), arXiv:2312.00752 section 3.2 (Mamba), arXiv:2402.19427 section 2.4 (RG-LRU).

    >>> float(scan_flop(Scan("linear", 1, 2, 3, chunk=4), np.array(8.0)))  # 8 (2 x 4 x 5 + 4 x 6)
    512.0
    """
    square, state = scan.key_dim + scan.value_dim, scan.key_dim * scan.value_dim
    chunk = np.where(tokens > 1, np.minimum(tokens, scan.chunk), 0.0)
    kinds: dict[str, ArrayLike] = {
        "delta": 2.0 * chunk * (square + 2 * scan.key_dim + scan.value_dim) + 6.0 * state,
        "linear": 2.0 * chunk * square + 4.0 * state,
        "ssd": 2.0 * chunk * square + 4.0 * state,
        "selective": 7.0 * state,
        "gated": 7.0 * state,
        "conv": 0.0,
    }
    per_token = np.asarray(kinds[scan.kind], float)
    return np.asarray(tokens * (scan.heads * per_token + 2.0 * scan.conv_values))


def state_bytes(scan: Scan, bytes_per_value: ArrayLike = 2.0) -> Floats:
    """State of one sequence in one layer [B]."""
    state = scan.heads * scan.key_dim * scan.value_dim * scan.state_bytes
    return np.asarray(state + scan.conv_values * np.asarray(bytes_per_value, float))


# --- the usual decoder and encoder -----------------------------------------------------------------------------------


def usual_attention(arch: Architecture, window: int | None = None) -> Attention:
    """Attention as the plain fields of an architecture say it."""
    latent = arch.latent
    if latent:
        key = latent.qk_nope_head_dim + latent.qk_rope_head_dim
        cached = latent.kv_lora_rank + latent.qk_rope_head_dim
        return Attention(arch.heads, arch.heads, key, latent.v_head_dim, cached, window)
    cached = 2 * arch.kv_heads * arch.head_dim
    return Attention(arch.heads, arch.kv_heads, arch.head_dim, arch.head_dim, cached, window)


def usual_blocks(arch: Architecture) -> tuple[Block, ...]:
    """Layers as the plain fields say: with and without a window, dense and of experts, as many of each as there are.

    Which dense layers have a window is not said by those fields; no count depends on it.
    """
    dense = arch.layers - arch.moe_layers
    full = arch.layers if arch.kind == "encoder" else arch.full_attention_layers
    cuts = sorted({0, dense, full, arch.layers})
    return tuple(
        _usual_block(arch, last - first, None if last <= full else arch.sliding_window, moe=first >= dense)
        for first, last in pairwise(cuts)
    )


def _usual_block(arch: Architecture, count: int, window: int | None, moe: bool) -> Block:
    attention = usual_attention(arch, window)
    projections = attention_matrices(arch.hidden, attention, arch.latent)
    vectors = _usual_vectors(arch)
    if not (moe and arch.experts):
        dense = feed_forward_matrices(arch.hidden, arch.ffn, arch.gated_mlp)
        return Block(count, projections + dense, vectors + _biases(arch, arch.ffn), (attention,))
    experts = arch.experts
    shared = feed_forward_matrices(arch.hidden, experts.ffn, arch.gated_mlp, "shared_") if experts.shared else ()
    return Block(
        layers=count,
        matrices=(
            *projections,
            *expert_matrices(arch.hidden, experts.ffn, experts.experts, arch.gated_mlp),
            *(each._replace(count=experts.shared) for each in shared),
        ),
        vectors=vectors + experts.shared * _biases(arch, experts.ffn),
        attention=(attention,),
        experts=experts.experts,
        per_token=experts.per_token,
        expert_vectors=_biases(arch, experts.ffn),
    )


def _usual_vectors(arch: Architecture) -> int:
    """Norm scales and biases of one layer's attention."""
    norms = arch.norms_per_layer * arch.hidden * (2 if arch.norm_bias else 1)
    query, key_value = arch.heads * arch.head_dim, 2 * arch.kv_heads * arch.head_dim
    if arch.latent:
        return norms + arch.latent.q_lora_rank + arch.latent.kv_lora_rank
    biases = arch.qkv_bias * (query + key_value) + arch.out_bias * arch.hidden
    qk = {"": 0, "head": 2 * arch.head_dim, "full": query + key_value // 2}[arch.qk_norm]
    return norms + biases + qk


def _biases(arch: Architecture, width: int) -> int:
    """Biases of a feed-forward layer."""
    return arch.mlp_bias * ((2 if arch.gated_mlp else 1) * width + arch.hidden)
