"""An LLM as an ordinary PyTorch module, from its shape. Imported only where torch is known to be there."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from estimator.records import Architecture

Rotary = tuple[Tensor, Tensor]  # cosines and sines of the angles
Cache = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # keys and values of a layer, with those before them


class Network(nn.Module):
    """Maps token ids [batch, tokens] to logits, or to states for an encoder."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.head_dim = arch.head_dim
        self.embedding = nn.Embedding(arch.vocab, arch.hidden)
        self.positions = nn.Embedding(arch.learned_positions, arch.hidden) if arch.learned_positions else None
        self.layers = nn.ModuleList(Layer(arch) for _ in range(arch.layers))
        self.norm = _norm(arch)
        self.head = nn.Linear(arch.hidden, arch.vocab, bias=False) if arch.kind == "decoder" else None
        if self.head is not None and arch.tied_embeddings:
            self.head.weight = self.embedding.weight

    def forward(
        self, ids: Tensor, caches: Sequence[Cache] | None = None, start: int = 0, last_only: bool = False
    ) -> Tensor:
        x = self.embedding(ids)
        places = torch.arange(start, start + ids.shape[1], device=ids.device)
        rotary = None
        if self.positions is not None:
            x = x + self.positions(places)
        else:
            rotary = _angles(places, self.head_dim, x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, None if caches is None else caches[index])
        x = self.norm(x[:, -1:] if last_only else x)
        return x if self.head is None else self.head(x)


class Layer(nn.Module):
    """Attention and the feed-forward network, each after a norm and beside a residual."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(arch), FeedForward(arch)
        self.before, self.between = _norm(arch), _norm(arch)

    def forward(self, x: Tensor, rotary: Rotary | None, cache: Cache | None) -> Tensor:
        x = x + self.attention(self.before(x), rotary, cache)
        return x + self.feed_forward(self.between(x))


class Attention(nn.Module):
    """Grouped-query attention with fused kernels; causal where several tokens of a decoder come at once."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        wide, narrow = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
        self.head_dim, self.decoder, self.grouped = arch.head_dim, arch.kind == "decoder", narrow != wide
        self.q = nn.Linear(arch.hidden, wide, bias=arch.qkv_bias)
        self.k = nn.Linear(arch.hidden, narrow, bias=arch.qkv_bias)
        self.v = nn.Linear(arch.hidden, narrow, bias=arch.qkv_bias)
        self.o = nn.Linear(wide, arch.hidden, bias=arch.out_bias)

    def forward(self, x: Tensor, rotary: Rotary | None, cache: Cache | None) -> Tensor:
        batch, tokens, _ = x.shape
        heads = (batch, tokens, -1, self.head_dim)
        q, k, v = (layer(x).view(heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if rotary is not None:
            q, k = _rotated(q, *rotary), _rotated(k, *rotary)
        if cache is not None:
            k, v = cache(k, v)
        causal = self.decoder and tokens > 1
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=self.grouped)
        return self.o(y.transpose(1, 2).reshape(batch, tokens, -1))


class FeedForward(nn.Module):
    """Two products around a GELU, or three with a gate."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.gate = nn.Linear(arch.hidden, arch.ffn, bias=arch.mlp_bias) if arch.gated_mlp else None
        self.up = nn.Linear(arch.hidden, arch.ffn, bias=arch.mlp_bias)
        self.down = nn.Linear(arch.ffn, arch.hidden, bias=arch.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(functional.gelu(self.up(x)))
        return self.down(functional.silu(self.gate(x)) * self.up(x))


def _norm(arch: Architecture) -> nn.Module:
    return nn.LayerNorm(arch.hidden) if arch.norm_bias else nn.RMSNorm(arch.hidden, eps=1e-5)


def _angles(places: Tensor, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    inverse = 10000.0 ** (-torch.arange(0, width, 2, device=places.device).float() / width)
    angle = torch.outer(places.float(), inverse).repeat(1, 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
