"""Real work in ordinary PyTorch: a decoder and an encoder, and what is done with them.

Nothing here knows of micro-benchmarks: plain modules, autograd, torch.optim.AdamW, as a user would write them.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from estimator.catalog.local import Job
from estimator.measure.clock import torch_module
from estimator.measure.cuda import QUANTISED, quantise
from estimator.records import Architecture

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear

    from estimator.measure.network import Network

Step = Callable[[], object]


def step_of(job: Job, device: str = "cpu") -> Step:
    """A function that does the job once; everything it needs is set up here.

    Raises MissingExtra without torch.
    """
    torch = torch_module()
    torch.manual_seed(0)
    return {"train": _train, "lora": _train, "prefill": _prefill, "decode": _decode, "embed": _embed}[job.phase](
        torch, job, device
    )


def torch_dtype(name: str) -> "Tensor":
    """The torch type a number format is called."""
    torch = torch_module()
    formats = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return formats.get(name, torch.bfloat16)  # beside weights in 8 or 4 bits


def network(arch: Architecture) -> "Network":
    """The LLM as a module that maps token ids [batch, tokens] to logits, or to states for an encoder."""
    torch_module()
    from estimator.measure.network import Network

    return Network(arch)


class _Cache:
    """Keys and values of one layer in one allocation; `position` is where the next token goes."""

    def __init__(self, torch: ModuleType, job: Job, device: str) -> None:
        arch = job.arch
        shape = (job.batch, arch.kv_heads, job.tokens + 1, arch.head_dim)
        self.keys = torch.randn(shape, device=device, dtype=torch_dtype(job.dtype))
        self.values = torch.randn_like(self.keys)
        self.position = job.tokens

    def __call__(self, k: "Tensor", v: "Tensor") -> tuple["Tensor", "Tensor"]:
        end = self.position + k.shape[2]
        self.keys[:, :, self.position : end] = k
        self.values[:, :, self.position : end] = v
        return self.keys[:, :, :end], self.values[:, :, :end]


def _network(torch: ModuleType, job: Job, device: str) -> "Network":
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


def _ids(torch: ModuleType, job: Job, device: str, tokens: int) -> "Tensor":
    return torch.randint(job.arch.vocab, (job.batch, tokens), device=device)


def _train(torch: ModuleType, job: Job, device: str) -> Step:
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


def _add_adapters(torch: ModuleType, module: Any, rank: int, device: str) -> None:
    """Freeze everything; put low-rank adapters beside the linear layers of every block."""
    nn = torch.nn

    class Adapted(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, base: "Linear") -> None:
            super().__init__()
            made = {"device": device, "dtype": base.weight.dtype}
            self.base = base
            self.down = nn.Linear(base.in_features, rank, bias=False, **made)
            self.up = nn.Linear(rank, base.out_features, bias=False, **made)

        def forward(self, x: "Tensor") -> "Tensor":
            return self.base(x) + self.up(self.down(x)) * 2.0

    module.requires_grad_(False)
    for layer in module.layers:
        for part in (layer.attention, layer.feed_forward):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, Adapted(child))


def _prefill(torch: ModuleType, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, job.tokens)

    def step() -> "Tensor":
        with torch.inference_mode():
            return module(ids, last_only=True)

    return step


def _decode(torch: ModuleType, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, 1)
    caches = [_Cache(torch, job, device) for _ in range(job.arch.layers)]

    def step() -> "Tensor":
        with torch.inference_mode():
            return module(ids, caches, start=job.tokens).argmax(-1)

    return step


def _embed(torch: ModuleType, job: Job, device: str) -> Step:
    module, ids = _network(torch, job, device).eval(), _ids(torch, job, device, job.tokens)

    def step() -> "Tensor":
        with torch.inference_mode():
            return torch.nn.functional.normalize(module(ids).mean(dim=1), dim=-1)

    return step
