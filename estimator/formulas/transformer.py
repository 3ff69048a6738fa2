"""What a language model is made of: parameters, work, cache and state, counted from its kinds of layer.

Validity: counts are exact for the shapes in the catalogue (checked against the makers' own configurations). What cites
nothing is arithmetic over shapes.
Work counts two FLOP per multiply-add. Attention scores are counted for the pairs a causal or windowed mask leaves.
"""

from collections.abc import Callable
from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real, layers
from estimator.records import Architecture, Attention, Block, Matrix, Scan


def q_width(arch: Architecture) -> int:
    """Width of all query heads together [1]."""
    latent = arch.latent
    return arch.heads * (latent.qk_nope_head_dim + latent.qk_rope_head_dim if latent else arch.head_dim)


def kv_width(arch: Architecture) -> int:
    """Values cached per token and layer [1]: keys and values of the kv heads, or the MLA latent with its rotary key.

    Of the usual layer, where layers differ. Source: arXiv:2305.13245 section 2 (GQA); arXiv:2405.04434 section 2.1.2
    and table 1 (MLA).

    >>> from estimator.records import Architecture
    >>> kv_width(Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256))
    2048
    """
    if arch.blocks:
        return max((each.cached for _, each in attentions(arch)), default=0)
    return layers.usual_attention(arch).cached


@lru_cache(maxsize=1024)
def blocks(arch: Architecture) -> tuple[Block, ...]:
    """The kinds of layer: as they are listed, or those that the plain fields say."""
    return arch.blocks or layers.usual_blocks(arch)


@lru_cache(maxsize=1024)
def matrices(arch: Architecture) -> tuple[Matrix, ...]:
    """All matrices of an LLM: of its layers, its embeddings, its output projection, and what else is multiplied.

    Those that are shared are listed as often as tokens are multiplied by them; `params` counts them once.

    >>> from estimator.records import Architecture
    >>> for each in matrices(Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256))[:3]: print(*each)
    q 4096 4096 32 token
    k 1024 4096 32 token
    v 1024 4096 32 token
    """
    found: dict[tuple[object, ...], float] = {}
    for block in blocks(arch):
        for name, rows, columns, count, per in block.matrices:
            key = (name, rows, columns, per)
            found[key] = found.get(key, 0) + block.layers * count
    inside = [Matrix(name, rows, columns, count, per) for (name, rows, columns, per), count in found.items()]  # type: ignore[arg-type]
    ends = [Matrix("embedding", arch.vocab, arch.embedding or arch.hidden, 1, "lookup")]
    if arch.learned_positions:
        ends.append(Matrix("positions", arch.learned_positions, arch.embedding or arch.hidden, 1, "lookup"))
    if arch.kind == "decoder":
        ends.append(Matrix("head", arch.vocab, arch.hidden, 1, "output"))
    return (*inside, *arch.matrices, *ends)


@lru_cache(maxsize=1024)
def attentions(arch: Architecture) -> tuple[tuple[int, Attention], ...]:
    """Kinds of attention, and how many layers have each; those without a window first."""
    found: dict[Attention, int] = {}
    for block in blocks(arch):
        for each in block.attention:
            found[each] = found.get(each, 0) + block.layers
    return tuple(sorted(((count, each) for each, count in found.items()), key=lambda pair: pair[1].window is not None))


@lru_cache(maxsize=1024)
def scans(arch: Architecture) -> tuple[tuple[int, Scan], ...]:
    """Kinds of recurrence, and how many layers have each."""
    return tuple((block.layers, each) for block in blocks(arch) for each in block.scans)


@lru_cache(maxsize=1024)
def tensor_parts(arch: Architecture) -> int:
    """Parts that layers can be cut into by tensor parallelism [1]: a group must divide this.

    Heads are cut, of attention and of recurrences; elementwise recurrences are cut by no framework.

    >>> from estimator.records import Architecture
    >>> tensor_parts(Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256))
    32
    """
    heads = [each.heads for _, each in attentions(arch)]
    return gcd(*heads, *(1 if each.kind == "gated" else each.heads or arch.hidden for _, each in scans(arch)))


def context_parts(arch: Architecture) -> bool:
    """Whether a sequence may be cut among accelerators: not where a recurrence runs through it."""
    return not scans(arch)


def unwindowed(arch: Architecture) -> Architecture:
    """The same LLM in an engine that keeps all tokens of layers with a window."""
    if arch.sliding_window is None:
        return arch
    whole = tuple(
        block._replace(attention=tuple(each._replace(window=None) for each in block.attention)) for block in arch.blocks
    )
    return arch._replace(sliding_window=None, blocks=whole)


def embedding_params(arch: Architecture) -> int:
    """Token and learned position embeddings [1]."""
    return (arch.vocab + arch.learned_positions) * (arch.embedding or arch.hidden)


def head_params(arch: Architecture) -> int:
    """Weights of the output projection, whether or not they are shared with the input embedding [1]."""
    return arch.vocab * arch.hidden if arch.kind == "decoder" else 0


def routed_params(arch: Architecture) -> int:
    """Parameters of all routed experts [1]; zero for a dense LLM."""
    return sum(block.held * block.experts * layers.expert_params(block) for block in blocks(arch))


def end_params(arch: Architecture) -> int:
    """Parameters of embeddings and of an output projection of its own [1]."""
    return embedding_params(arch) + (0 if arch.tied_embeddings else head_params(arch))


@lru_cache(maxsize=1024)
def params(arch: Architecture) -> int:
    """All parameters, N [1].

    >>> from estimator.records import Architecture
    >>> params(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000))
    6738415616
    """
    inside = sum(block.held * layers.block_params(block) for block in blocks(arch))
    return inside + end_params(arch) + _outside_layers(arch)


def active_params(arch: Architecture) -> int:
    """Parameters one token passes through [1]: all of a dense model, the routed share of a mixture of experts."""
    unvisited = sum(
        block.held * (block.experts - block.per_token) * layers.expert_params(block) for block in blocks(arch)
    )
    return params(arch) - unvisited


def _outside_layers(arch: Architecture) -> int:
    if arch.blocks:
        return arch.outside + int(sum(each.size * each.count for each in arch.matrices))
    norm = arch.hidden * (2 if arch.norm_bias else 1)
    if arch.kind == "encoder":  # embedding norm, two token types, and BERT's pooler (arXiv:1810.04805)
        return norm + 2 * arch.hidden + (arch.hidden * (arch.hidden + 1) if arch.learned_positions else 0)
    return norm


@lru_cache(maxsize=1024)
def _multiplied(arch: Architecture) -> tuple[int, int]:
    """Weights that every token is multiplied by, and those of all routed experts [1]."""
    every = routed = 0.0
    for _, rows, columns, count, per in matrices(arch):
        every += rows * columns * count * (per == "token")
        routed += rows * columns * count * (per == "routed")
    return int(every), int(routed)


def dense_weights(arch: Architecture) -> int:
    """Weights outside embeddings and output projection that every token is multiplied by [1]."""
    return _multiplied(arch)[0]


def expert_weights(arch: Architecture) -> int:
    """Weights of all routed experts [1]."""
    return _multiplied(arch)[1]


@lru_cache(maxsize=1024)
def matmul_params(arch: Architecture, with_head: bool = True) -> int:
    """Weights one token is multiplied by [1]: no input embedding, norms or biases, and only the experts it visits."""
    visited = sum(
        block.layers * block.per_token * layers.expert_weights(block) for block in blocks(arch) if block.experts
    )
    return dense_weights(arch) + visited + (head_params(arch) if with_head else 0)


class Mixing(NamedTuple):
    """Widths of what mixes tokens, attention or recurrence, averaged over layers [1].

    projected: of all projections into it, as rows of `hidden` inputs; query, key_value: of queries, of keys and values
    out: inputs of its output projection; pair_flop: work of a query-key pair in all layers [FLOP]
    """

    projected: float
    query: float
    key_value: float
    out: float
    pair_flop: float


@lru_cache(maxsize=1024)
def mixing(arch: Architecture) -> Mixing:
    """What mixes tokens, averaged over layers."""
    projected = query = key_value = out = 0.0
    for block in blocks(arch):
        mixers = [each for each in block.matrices if not layers.is_feed_forward(each)]
        last = sum(each.columns * each.count for each in mixers if each.name in ("o", "out"))
        rows = sum(each.size * each.count for each in mixers) / arch.hidden - last
        asked = last + sum(each.heads * (each.key_dim - each.value_dim) for each in block.attention)
        projected, query, out = projected + block.layers * rows, query + block.layers * asked, out + block.layers * last
        key_value += block.layers * sum(layers.kept_width(each) for each in block.attention)
        key_value += block.layers * (rows - last) * bool(block.scans)
    pairs = sum(count * layers.pair_flop(each) for count, each in attentions(arch))
    return Mixing(
        projected=projected / arch.layers,
        query=query / arch.layers,
        key_value=key_value / arch.layers,
        out=out / arch.layers,
        pair_flop=pairs,
    )


@lru_cache(maxsize=1024)
def dense_width(arch: Architecture) -> float:
    """Width of the feed-forward of layers without experts, averaged over them [1]."""
    plain = [block for block in blocks(arch) if not block.experts]
    width = sum(
        block.layers * each.columns * each.count for block in plain for each in block.matrices if each.name == "down"
    )
    return width / sum(block.layers for block in plain) if plain else float(arch.ffn)


@lru_cache(maxsize=1024)
def shared_experts(arch: Architecture) -> float:
    """Feed-forward work that all tokens share in layers with experts, in widths of a routed expert [1]."""
    if not arch.experts:
        return 0.0
    moe = [block for block in blocks(arch) if block.experts]
    width = sum(
        block.layers * each.columns * each.count
        for block in moe
        for each in block.matrices
        if each.name in ("shared_down", "down") and each.per == "token"
    )
    return width / arch.experts.ffn / sum(block.layers for block in moe)


def attended_pairs(arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0) -> Floats:
    """Query-key pairs of one sequence, summed over layers [1]: `new_tokens` after `cached_tokens`, masks respected."""
    new, cached = np.asarray(new_tokens, float), np.asarray(cached_tokens, float)
    return np.asarray(sum(count * _pairs(arch, each, new, cached) for count, each in attentions(arch)) + 0.0 * new)


def _pairs(arch: Architecture, attention: Attention, new: Floats, cached: Floats) -> Floats:
    """Pairs of one layer [1]."""
    if arch.kind == "encoder":
        return layers.mutual_pairs(new, cached, attention.window)
    if attention.stride > 1:
        one = attention._replace(stride=1)
        return attention.stride * _pairs(arch, one, new / attention.stride, cached / attention.stride)
    if attention.top_k:
        return layers.windowed_pairs(new, cached, float(attention.top_k))
    if attention.window is None:
        return new * cached + new * (new + 1) / 2
    counted = layers.chunked_pairs if attention.chunked else layers.windowed_pairs
    return counted(new, cached, float(attention.window))


def attention_flop(arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0) -> Floats:
    """Work of the score and value products of one sequence, and of indexers, forward [FLOP].

    Source: arXiv:2307.08691 section 4.1 (4 s^2 d heads, halved when causal).
    """
    new, cached = np.asarray(new_tokens, float), np.asarray(cached_tokens, float)
    total = 0.0 * new
    for width, group in _by(arch, layers.pair_flop):
        total = total + width * sum(count * _pairs(arch, each, new, cached) for count, each in group)
    for count, each in attentions(arch):
        if each.top_k:
            whole = (new * cached + new * (new + 1) / 2) / each.stride
            total = total + count * 2.0 * each.index_heads * each.index_dim * whole
    return np.asarray(total)


@lru_cache(maxsize=4096)
def _by(arch: Architecture, key: Callable[[Attention], float]) -> list[tuple[float, list[tuple[int, Attention]]]]:
    """Kinds of attention that have a number in common, under it. key: of this module, to be known again."""
    found: dict[float, list[tuple[int, Attention]]] = {}
    for count, each in attentions(arch):
        found.setdefault(key(each), []).append((count, each))
    return list(found.items())


def _heads(attention: Attention) -> int:
    return attention.heads


def _cached(attention: Attention) -> int:
    return attention.cached


def _cached_of_its_own(attention: Attention) -> int:
    """Values a token adds to the cache, its index included [1]; none where a layer reads another's."""
    return 0 if attention.reads else attention.cached + attention.index_dim


def scores(arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0) -> Floats:
    """Query-key products of all heads and layers of one sequence [1]."""
    new, cached = np.asarray(new_tokens, float), np.asarray(cached_tokens, float)
    total = 0.0 * new
    for heads, group in _by(arch, _heads):
        total = total + heads * sum(count * _pairs(arch, each, new, cached) for count, each in group)
    return np.asarray(total)


def scan_flop(arch: Architecture, tokens: ArrayLike) -> Floats:
    """Work of the recurrences of one sequence's `tokens` new tokens, in chunks as kernels run them, forward [FLOP]."""
    new = np.asarray(tokens, float)
    return np.asarray(sum(count * layers.scan_flop(each, new) for count, each in scans(arch)) + 0.0 * new)


def state_bytes(arch: Architecture, bytes_per_value: ArrayLike = 2.0) -> Floats:
    """State of one sequence, however long it is [B]: of recurrences and short convolutions.

    bytes_per_value: of the inputs that convolutions keep; recurrences say their own
    """
    return np.asarray(sum(count * layers.state_bytes(each, bytes_per_value) for count, each in scans(arch)), float)


def forward_flop(
    arch: Architecture, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0.0, head_tokens: ArrayLike | None = None
) -> Floats:
    """Work of one sequence's forward pass [FLOP]: 2 per weight and token, plus attention and recurrences.

    head_tokens: tokens whose logits are computed (1 in a prefill, all when not given) [token]
    Source: arXiv:2001.08361 section 2.1 (2N + 2 n_layer n_ctx d_attn, without the causal halving).

    >>> from estimator.records import Architecture
    >>> float(forward_flop(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 1))
    13214679040.0
    """
    new = np.asarray(new_tokens, float)
    body = 2.0 * matmul_params(arch, with_head=False) * new
    logits = 2.0 * head_params(arch) * (new if head_tokens is None else np.asarray(head_tokens, float))
    return body + logits + attention_flop(arch, new, cached_tokens) + scan_flop(arch, new)


def request_flop(weights: Real, prompt: Real, output: Real, requests: Real) -> Real:
    """Forward work of requests, attention scores left out [FLOP]: 2 per weight and token.

    Source: arXiv:2001.08361 section 2.1.

    >>> request_flop(7e9, 100, 50, 2)
    4200000000000.0
    """
    return 2 * weights * (prompt + output) * requests


def kv_bytes(arch: Architecture, tokens: ArrayLike, bytes_per_value: ArrayLike = 2.0) -> Floats:
    """KV cache of one sequence of `tokens` [B]; layers with a window keep only that.

    A window of w holds w tokens; `transformers` keeps the last w - 1 of them between steps.
    Source: arXiv:2309.06180 section 1 (2 x layers x kv width x bytes: 800 KB a token for OPT-13B).

    >>> from estimator.records import Architecture
    >>> float(kv_bytes(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 1)) / 2**20
    0.5
    """
    held = np.asarray(tokens, float)
    total = 0.0 * held
    if arch.kind == "encoder":
        return total
    for width, group in _by(arch, _cached_of_its_own):
        total = total + width * sum(count * _kept(each, held) for count, each in group)
    return np.asarray(total * np.asarray(bytes_per_value, float))


def _kept(attention: Attention, tokens: Floats) -> Floats:
    """Entries that a layer keeps of so many tokens [1]."""
    kept = tokens if attention.window is None else np.minimum(tokens, float(attention.window))
    return kept if attention.stride == 1 else kept / attention.stride


def read_bytes(arch: Architecture, tokens: ArrayLike, bytes_per_value: ArrayLike = 2.0) -> Floats:
    """KV cache that one step of a sequence of `tokens` reads [B]; of indexed layers, the index and what it chose."""
    held = np.asarray(tokens, float)
    total = 0.0 * held
    if arch.kind == "encoder":
        return total
    for width, group in _by(arch, _cached):
        total = total + width * sum(count * _seen(each, held) for count, each in group)
    indexed = sum(count * each.index_dim / each.stride for count, each in attentions(arch))
    return np.asarray((total + indexed * held) * np.asarray(bytes_per_value, float))


def _seen(attention: Attention, tokens: Floats) -> Floats:
    kept = _kept(attention, tokens)
    return np.minimum(kept, float(attention.top_k)) if attention.top_k else kept
