"""Time of one kernel on one accelerator: matrix products, attention, element-wise passes.

Every formula is a roofline (Williams et al., doi:10.1145/1498765.1498785) whose roofs only large shapes reach.
Constants are measured and come from the catalogue; here is only how they act. Floats or arrays in, seconds out.
All times are device times of kernels launched from a graph; what a host needs to launch them is not in them.
Validity: shapes like those the constants were fitted on, 64 tokens and widths of 512 or more unless said otherwise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.records import Basis


class Evidence(NamedTuple):
    """How well constants are known: in words, and as the spread of log(time) of a single shape they leave [1]."""

    basis: Basis = "assumed"
    log_sd: float = 0.0
    transfer: str = ""


UNKNOWN = Evidence()


class GemmEfficiency(NamedTuple):
    """What a matrix product reaches on one accelerator in one number format.

    flop_per_s: rate of an unboundedly large product [FLOP/s]
    bytes_per_s: rate of reading operands and writing the result [B/s]
    m_half, n_half, k_half: extent at which a dimension halves the rate [1]
    launch_s: time of an empty kernel [s]
    depth_s: time one unit of k adds, however small the product: a tile runs along k in sequence [s]
    sharpness: how abruptly compute-bound becomes memory-bound (power of the mean) [1]
    """

    flop_per_s: float
    bytes_per_s: float
    m_half: float = 0.0
    n_half: float = 0.0
    k_half: float = 0.0
    launch_s: float = 0.0
    depth_s: float = 0.0
    sharpness: float = 4.0
    evidence: Evidence = UNKNOWN


class AttentionEfficiency(NamedTuple):
    """What fused attention of many new tokens reaches, forward (prefill and training).

    flop_per_s: rate of unboundedly many long sequences [FLOP/s]
    bytes_per_s: rate of reading queries, keys, values and writing the result [B/s]
    new_half: query rows by which a sequence is padded [token]
    rows_half: query rows (batch x heads x tokens) at which the rate halves [1]
    span_half: keys seen per query at which the rate halves [token]
    head_dim_half: head width at which the rate halves: the exponentials, which no wider head makes more of [1]
    cache_passes: times keys and values move over memory [1]
    """

    flop_per_s: float
    bytes_per_s: float
    new_half: float = 0.0
    rows_half: float = 0.0
    span_half: float = 0.0
    head_dim_half: float = 0.0
    cache_passes: float = 1.0
    launch_s: float = 0.0
    sharpness: float = 4.0
    evidence: Evidence = UNKNOWN


class DecodeAttentionEfficiency(NamedTuple):
    """What attention of one new token per sequence reaches: it reads the KV cache.

    bytes_per_s: rate of reading a long cache of many sequences [B/s]
    flop_per_s: rate of its arithmetic [FLOP/s]
    bytes_half: cache at which the reading rate halves [B]
    sequence_s: time each query head of each sequence adds [s]
    """

    bytes_per_s: float
    flop_per_s: float
    bytes_half: float = 0.0
    sequence_s: float = 0.0
    launch_s: float = 0.0
    sharpness: float = 4.0
    evidence: Evidence = UNKNOWN


class MemoryEfficiency(NamedTuple):
    """Element-wise passes: `bytes_per_s` achieved [B/s], `launch_s` of an empty kernel [s]."""

    bytes_per_s: float
    launch_s: float = 0.0
    evidence: Evidence = UNKNOWN


def soft_max(a: ArrayLike, b: ArrayLike, sharpness: Real) -> Floats:
    """Power mean that tends to max(a, b), never below it [unit of a].

    >>> float(soft_max(3.0, 4.0, 2.0))
    5.0
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    larger = np.maximum(np.maximum(a, b), 1e-300)
    ratio = np.minimum(a, b) / larger
    return np.asarray(larger * (1.0 + ratio**sharpness) ** (1.0 / sharpness))


def gemm_s(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    efficiency: GemmEfficiency,
    *,
    weight_bytes: ArrayLike = 2.0,
    input_bytes: ArrayLike = 2.0,
    output_bytes: ArrayLike = 2.0,
    groups: ArrayLike = 1.0,
) -> Floats:
    """Time of C[m,n] = A[m,k] B[k,n] [s].

    m: rows (tokens); n, k: widths of output and input [1]
    weight_bytes, input_bytes, output_bytes: storage of one value of B, A and C [B]
    groups: the m rows are spread over so many different B, in one kernel (experts that are visited) [1]
    Rate flop_per_s m/(m+m_half) n/(n+n_half) k/(k+k_half), soft maximum with the time of the bytes, plus latency.
    Constants were fitted on widths of 512 and more; those of 8- and 4-bit formats with the conversion of A in the time
    (that is most of their n_half), so it must not be counted again.
    Source: roofline, doi:10.1145/1498765.1498785; extents that halve the rate are R. W. Hockney's n_1/2 (Hockney &
    Jesshope, Parallel Computers, 1981).

    >>> ideal = GemmEfficiency(flop_per_s=1e15, bytes_per_s=3e12, sharpness=100.0)
    >>> float(gemm_s(8192, 8192, 8192, ideal))  # 2 m n k / 1e15
    0.001099511627776
    """
    m, n, k = np.asarray(m, float), np.asarray(n, float), np.asarray(k, float)
    rows = m + np.multiply(groups, efficiency.m_half)
    work = (2.0 / efficiency.flop_per_s) * rows * (n + efficiency.n_half) * (k + efficiency.k_half)
    moved = (m * (k * input_bytes + n * output_bytes) + n * k * np.multiply(groups, weight_bytes)) / (
        efficiency.bytes_per_s
    )
    return efficiency.launch_s + efficiency.depth_s * k + soft_max(work, moved, efficiency.sharpness)


# Of a first-level cache: a way is no larger than a page, so that lookup needs no address.
WAY_BYTES, LINE_BYTES = 4096, 64


def set_crowding(depth: ArrayLike, width: ArrayLike, value_bytes: float) -> Floats:
    """How a column of a row-major matrix crowds a processor's cache [1]: 1 + depth / sets^2.

    depth, width: rows and columns of the matrix [1]. Values of a column lie a row apart; where that is a multiple of a
    large power of two, they fall into few of the cache's sets and push each other out, however empty the rest is.
    Matters to kernels that read such columns in place, without packing. Source: for the sets, M. D. Hill and
    A. J. Smith, doi:10.1109/12.40842; the square is empirical (16-bit products on a processor without units for them).

    >>> set_crowding(1024, [320, 256, 2048], 2.0).round(1).tolist()  # sets: 32, 8, 1
    [2.0, 17.0, 1025.0]
    """
    row_bytes = np.maximum(np.rint(np.asarray(width, float) * value_bytes), 1.0).astype(np.int64)
    sets = WAY_BYTES / np.maximum(np.gcd(row_bytes, WAY_BYTES), LINE_BYTES)
    return np.asarray(1.0 + np.asarray(depth, float) / sets**2)


def experts_visited(tokens: ArrayLike, experts: ArrayLike, per_token: ArrayLike) -> Floats:
    """Experts that at least one of `tokens` visits, when each picks `per_token` of `experts` at random [1].

    Source: as `serving.expert_coverage`.

    >>> float(experts_visited(1, 8, 2)), round(float(experts_visited(8, 8, 2)), 3)
    (2.0, 7.199)
    """
    experts, tokens = np.asarray(experts, float), np.asarray(tokens, float)
    return np.asarray(experts * (1.0 - (1.0 - np.asarray(per_token, float) / experts) ** tokens))


def moe_s(
    tokens: ArrayLike,
    hidden: ArrayLike,
    ffn: ArrayLike,
    experts: ArrayLike,
    per_token: ArrayLike,
    efficiency: GemmEfficiency,
    *,
    visited: ArrayLike | None = None,
    gated: bool = True,
    weight_bytes: ArrayLike = 2.0,
    input_bytes: ArrayLike = 2.0,
) -> Floats:
    """Time of the expert layers of `tokens`: two grouped products, routing and permutation [s].

    ffn: width of one expert; experts: experts held here; per_token: of them, visited by one token on average [1]
    visited: experts that get any token; expected under random routing when not given [1]
    efficiency: constants of the fused expert kernels, not of single products
    Source: two `gemm_s` over `experts_visited`.

    >>> ideal = GemmEfficiency(flop_per_s=1e15, bytes_per_s=3e12, sharpness=100.0)
    >>> one_token = moe_s(1, 4096, 14336, 8, 2, ideal)  # the weights of two experts, 3 x 4096 x 14336 each
    >>> round(float(one_token) / (2 * 3 * 4096 * 14336 * 2 / 3e12), 3)
    1.0
    """
    rows = np.multiply(tokens, per_token)
    groups = experts_visited(tokens, experts, per_token) if visited is None else visited
    up_width = np.multiply(2.0 if gated else 1.0, ffn)
    up, down = (
        gemm_s(rows, n, k, efficiency, weight_bytes=weight_bytes, input_bytes=input_bytes, groups=groups)
        for n, k in ((up_width, hidden), (hidden, ffn))
    )
    return up + down


def attention_s(
    batch: ArrayLike,
    new_tokens: ArrayLike,
    heads: ArrayLike,
    kv_heads: ArrayLike,
    head_dim: ArrayLike,
    efficiency: AttentionEfficiency,
    *,
    cached_tokens: ArrayLike = 0.0,
    window: ArrayLike = np.inf,
    causal: bool = True,
    value_bytes: ArrayLike = 2.0,
) -> Floats:
    """Time of fused attention, forward, of `batch` sequences of `new_tokens` after `cached_tokens` [s].

    window: keys a query sees at most [token]; causal: a query sees no later key
    value_bytes: storage of one value of q, k, v [B]
    Constants were fitted on whole prompts of 64 tokens and more, head widths 64 and 128, without windows.
    Source: arXiv:2307.08691 section 4.1 (4 s^2 d heads FLOP, halved when causal).

    >>> ideal = AttentionEfficiency(flop_per_s=1e15, bytes_per_s=3e12, sharpness=100.0)
    >>> float(attention_s(1, 8192, 32, 8, 128, ideal, causal=False))  # 4 x 8192^2 x 128 x 32 / 1e15
    0.001099511627776
    """
    batch, new = np.asarray(batch, float), np.asarray(new_tokens, float)
    head_dim, cached = np.asarray(head_dim, float), np.asarray(cached_tokens, float)
    span = mean_span(new, cached, window, causal)
    queries = batch * heads * (new + efficiency.new_half) + efficiency.rows_half
    per_pair = (4.0 / efficiency.flop_per_s) * (head_dim + efficiency.head_dim_half)
    work = per_pair * queries * (span + efficiency.span_half)
    values = new * heads + efficiency.cache_passes * np.minimum(cached + new, new + window) * kv_heads
    moved = 2.0 * batch * head_dim * values * value_bytes / efficiency.bytes_per_s
    return efficiency.launch_s + soft_max(work, moved, efficiency.sharpness)


def mean_span(
    new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0, window: ArrayLike = np.inf, causal: bool = True
) -> Floats:
    """Keys a query sees on average [token]: (n + 1)/2 under a causal mask.

    >>> float(mean_span(1023)), float(mean_span(1023, causal=False)), float(mean_span(4, 0, 2))
    (512.0, 1023.0, 1.75)
    """
    new, cached = np.asarray(new_tokens, float), np.asarray(cached_tokens, float)
    if not causal:
        return np.asarray(np.minimum(new + cached, window))
    last = new + cached
    before, inside = np.minimum(cached, window), np.minimum(last, window)
    # Queries within the window see one key more each; all later ones see the whole window.
    growing = (inside * (inside + 1.0) - before * (before + 1.0)) / 2.0
    flat = np.maximum(last - np.maximum(cached, window), 0.0) * inside
    return np.asarray((growing + flat) / np.maximum(new, 1e-300))


def decode_attention_s(
    batch: ArrayLike,
    context: ArrayLike,
    heads: ArrayLike,
    kv_heads: ArrayLike,
    head_dim: ArrayLike,
    efficiency: DecodeAttentionEfficiency,
    *,
    window: ArrayLike = np.inf,
    value_bytes: ArrayLike = 2.0,
) -> Floats:
    """Time of attention of one new token for each of `batch` sequences with `context` cached tokens [s].

    value_bytes: storage of one cached value [B]
    Constants were fitted up to 32 query heads to a kv head; with more, kernels take up to twice as long.
    Source: roofline, doi:10.1145/1498765.1498785; that it is bound by reading keys and values: arXiv:1911.02150.

    >>> ideal = DecodeAttentionEfficiency(bytes_per_s=2e12, flop_per_s=1e15, sharpness=100.0)
    >>> float(decode_attention_s(8, 4096, 32, 8, 128, ideal))  # 2 x 8 x 4096 x 8 x 128 x 2 B / 2e12
    6.7108864e-05
    """
    batch, heads = np.asarray(batch, float), np.asarray(heads, float)
    read = batch * np.minimum(context, window) * np.asarray(head_dim, float)
    stored = 2.0 * np.multiply(kv_heads, value_bytes)
    moved = (read * stored + efficiency.bytes_half) / efficiency.bytes_per_s
    work = (4.0 / efficiency.flop_per_s) * heads * read
    fixed = efficiency.launch_s + efficiency.sequence_s * batch * heads
    return np.asarray(fixed + soft_max(work, moved, efficiency.sharpness))


def elementwise_s(moved_bytes: ArrayLike, efficiency: MemoryEfficiency) -> Floats:
    """Time of a pass that reads and writes `moved_bytes` [s].

    Source: the memory roof of a roofline, doi:10.1145/1498765.1498785.

    >>> float(elementwise_s(3e9, MemoryEfficiency(bytes_per_s=3e12)))
    0.001
    """
    return efficiency.launch_s + np.asarray(moved_bytes, float) / efficiency.bytes_per_s
