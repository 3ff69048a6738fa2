"""Real work in ordinary PyTorch: a decoder and an encoder, and what is done with them.

Nothing here knows of micro-benchmarks: plain modules, autograd, torch.optim.AdamW, as a user would write them.
"""

from collections.abc import Callable
from typing import Any

from estimator.catalog.local import Job
from estimator.measure.clock import torch_module
from estimator.measure.cuda import QUANTISED, quantise
from estimator.records import Architecture

Step = Callable[[], Any]


def step_of(job: Job, device: str = "cpu") -> Step:
    """A function that does the job once; everything it needs is set up here.

    Raises MissingExtra without torch.
    """
    torch = torch_module()
    torch.manual_seed(0)
    return {"train": _train, "lora": _train, "prefill": _prefill, "decode": _decode, "embed": _embed}[job.phase](
        torch, job, device
    )


def torch_dtype(name: str) -> Any:
    """The torch type a number format is called."""
    torch = torch_module()
    formats = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return formats.get(name, torch.bfloat16)  # beside weights in 8 or 4 bits


def network(arch: Architecture) -> Any:
    """The LLM as a module that maps token ids [batch, tokens] to logits, or to states for an encoder."""
    torch = torch_module()
    nn, functional = torch.nn, torch.nn.functional
    wide, narrow = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    decoder = arch.kind == "decoder"

    def norm() -> Any:
        return nn.LayerNorm(arch.hidden) if arch.norm_bias else nn.RMSNorm(arch.hidden, eps=1e-5)

    class Attention(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(arch.hidden, wide, bias=arch.qkv_bias)
            self.k = nn.Linear(arch.hidden, narrow, bias=arch.qkv_bias)
            self.v = nn.Linear(arch.hidden, narrow, bias=arch.qkv_bias)
            self.o = nn.Linear(wide, arch.hidden, bias=arch.out_bias)

        def forward(self, x: Any, rotary: Any, cache: Any) -> Any:
            batch, tokens, _ = x.shape
            q, k, v = (
                layer(x).view(batch, tokens, -1, arch.head_dim).transpose(1, 2) for layer in (self.q, self.k, self.v)
            )
            if rotary is not None:
                q, k = _rotated(torch, q, *rotary), _rotated(torch, k, *rotary)
            if cache is not None:
                k, v = cache(k, v)
            causal = decoder and tokens > 1
            gqa = arch.kv_heads != arch.heads
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=gqa)
            return self.o(y.transpose(1, 2).reshape(batch, tokens, wide))

    class FeedForward(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(arch.hidden, arch.ffn, bias=arch.mlp_bias) if arch.gated_mlp else None
            self.up = nn.Linear(arch.hidden, arch.ffn, bias=arch.mlp_bias)
            self.down = nn.Linear(arch.ffn, arch.hidden, bias=arch.mlp_bias)

        def forward(self, x: Any) -> Any:
            if self.gate is None:
                return self.down(functional.gelu(self.up(x)))
            return self.down(functional.silu(self.gate(x)) * self.up(x))

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.feed_forward = Attention(), FeedForward()
            self.before, self.between = norm(), norm()

        def forward(self, x: Any, rotary: Any, cache: Any) -> Any:
            x = x + self.attention(self.before(x), rotary, cache)
            return x + self.feed_forward(self.between(x))

    class Network(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(arch.vocab, arch.hidden)
            self.positions = nn.Embedding(arch.learned_positions, arch.hidden) if arch.learned_positions else None
            self.layers = nn.ModuleList(Layer() for _ in range(arch.layers))
            self.norm = norm()
            self.head = nn.Linear(arch.hidden, arch.vocab, bias=False) if decoder else None
            if self.head is not None and arch.tied_embeddings:
                self.head.weight = self.embedding.weight

        def forward(self, ids: Any, caches: Any = None, start: int = 0, last_only: bool = False) -> Any:
            x = self.embedding(ids)
            places = torch.arange(start, start + ids.shape[1], device=ids.device)
            rotary = None
            if self.positions is not None:
                x = x + self.positions(places)
            else:
                rotary = _angles(torch, places, arch.head_dim, x.dtype)
            for index, layer in enumerate(self.layers):
                x = layer(x, rotary, None if caches is None else caches[index])
            x = self.norm(x[:, -1:] if last_only else x)
            return x if self.head is None else self.head(x)

    return Network()


def _angles(torch: Any, places: Any, width: int, dtype: Any) -> tuple[Any, Any]:
    inverse = 10000.0 ** (-torch.arange(0, width, 2, device=places.device).float() / width)
    angle = torch.outer(places.float(), inverse).repeat(1, 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotated(torch: Any, x: Any, cos: Any, sin: Any) -> Any:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class _Cache:
    """Keys and values of one layer in one allocation; `position` is where the next token goes."""

    def __init__(self, torch: Any, job: Job, device: str) -> None:
        arch = job.arch
        shape = (job.batch, arch.kv_heads, job.tokens + 1, arch.head_dim)
        self.keys = torch.randn(shape, device=device, dtype=torch_dtype(job.dtype))
        self.values = torch.randn_like(self.keys)
        self.position = job.tokens

    def __call__(self, k: Any, v: Any) -> tuple[Any, Any]:
        end = self.position + k.shape[2]
        self.keys[:, :, self.position : end] = k
        self.values[:, :, self.position : end] = v
        return self.keys[:, :, :end], self.values[:, :, :end]


def _network(torch: Any, job: Job, device: str) -> Any:
    """The module of a job, made in its own format: a wider one may not fit."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch_dtype(job.dtype))
    try:
        with torch.device(device):
            made = network(job.arch)
    finally:
        torch.set_default_dtype(usual)
    if job.dtype in QUANTISED:
        quantise(torch, made.layers, job.dtype)
    return made


def _ids(torch: Any, job: Job, device: str, tokens: int) -> Any:
    return torch.randint(job.arch.vocab, (job.batch, tokens), device=device)


def _train(torch: Any, job: Job, device: str) -> Step:
    module = _network(torch, job, device)
    if job.phase == "lora":
        _add_adapters(torch, module, job.rank, device)
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    ids, targets = _ids(torch, job, device, job.tokens), _ids(torch, job, device, job.tokens)

    def step() -> None:
        optimizer.zero_grad()
        logits = module(ids)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, job.arch.vocab), targets.view(-1))
        loss.backward()
        optimizer.step()

    return step


def _add_adapters(torch: Any, module: Any, rank: int, device: str) -> None:
    """Freeze everything; put low-rank adapters beside the linear layers of every block."""
    nn = torch.nn

    class Adapted(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, base: Any) -> None:
            super().__init__()
            made = {"device": device, "dtype": base.weight.dtype}
            self.base = base
            self.down = nn.Linear(base.in_features, rank, bias=False, **made)
            self.up = nn.Linear(rank, base.out_features, bias=False, **made)

        def forward(self, x: Any) -> Any:
            return self.base(x) + self.up(self.down(x)) * 2.0

    module.requires_grad_(False)
    for layer in module.layers:
        for part in (layer.attention, layer.feed_forward):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, Adapted(child))


def _prefill(torch: Any, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, job.tokens)

    def step() -> Any:
        with torch.inference_mode():
            return module(ids, last_only=True)

    return step


def _decode(torch: Any, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, 1)
    caches = [_Cache(torch, job, device) for _ in range(job.arch.layers)]

    def step() -> Any:
        with torch.inference_mode():
            return module(ids, caches, start=job.tokens).argmax(-1)

    return step


def _embed(torch: Any, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, job.tokens)

    def step() -> Any:
        with torch.inference_mode():
            return torch.nn.functional.normalize(module(ids).mean(dim=1), dim=-1)

    return step
