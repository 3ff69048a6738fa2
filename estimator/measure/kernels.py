"""Micro-benchmarks: for each case a function that does its work once, on random operands, on a CPU or a GPU.

Weights come from a pool larger than the cache, a different part on every call; results are newly allocated, as they are
in real work.
"""

import mmap
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from estimator.measure.cases import Case, job_of
from estimator.measure.clock import torch_module
from estimator.measure.index import last_level_cache_bytes
from estimator.measure.work import step_of, torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

Task = Callable[[], object]
Pass = tuple[Task, tuple["Tensor", ...]]  # a pass over vectors, and what it reads
POOL_CACHES = 3  # the pool is so many times the cache


def task_of(case: Case, device: str) -> Task:
    """What to time for a case."""
    return BUILDERS[case.kind](torch_module(), case, device)


class Pool:
    """Random numbers in one allocation, handed out in turn as matrices."""

    def __init__(self, torch: ModuleType, dtype: str, device: str) -> None:
        least = max(96_000_000, POOL_CACHES * int(min(last_level_cache_bytes(), 100_000_000)))
        numbers = least // (2 if dtype in ("bf16", "fp16") else 4)
        self.values = (torch.randn(numbers, device=device) * 0.02).to(torch_dtype(dtype))
        self.next = 0

    def matrix(self, rows: int, columns: int) -> "Tensor":
        """The next rows x columns of the pool."""
        count = rows * columns
        if self.next + count > self.values.numel():
            self.next = 0
        part = self.values[self.next : self.next + count]
        self.next += -(-count // 64) * 64
        return part.view(rows, columns)


@cache
def pool(dtype: str, device: str) -> Pool:
    """The pool of a number format, made once."""
    return Pool(torch_module(), dtype, device)


def _random(torch: ModuleType, case: Case, device: str, *shape: int, grad: bool = False) -> "Tensor":
    return torch.randn(*shape, device=device).to(torch_dtype(case.dtype)).requires_grad_(grad)


def _gemm(torch: ModuleType, case: Case, device: str) -> Task:
    m, n, k = case["m"], case["n"], case["k"]
    if case.dtype == "fp8":
        return _scaled(torch, case, device)
    weights = pool(case.dtype, device)
    if case.variant == "tn":
        gradient = _random(torch, case, device, m, n)
        return lambda: gradient.t() @ weights.matrix(m, k)  # the order in which autograd has them
    if case.variant == "nn":
        gradient = _random(torch, case, device, m, n)
        return lambda: gradient @ weights.matrix(n, k)
    rows = _random(torch, case, device, m, k)
    return lambda: torch.nn.functional.linear(rows, weights.matrix(n, k))


def _scaled(torch: ModuleType, case: Case, device: str) -> Task:
    """Products in 8 bits, where torch has them."""
    one = torch.ones((), device=device)
    a = torch.randn(case["m"], case["k"], device=device).to(torch.float8_e4m3fn)
    b = torch.randn(case["n"], case["k"], device=device).to(torch.float8_e4m3fn).t()
    return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def _attention(torch: ModuleType, case: Case, device: str) -> Task:
    batch, heads, tokens, width = (case[name] for name in ("batch", "heads", "tokens", "width"))
    train = case.variant == "train"
    attend = torch.nn.functional.scaled_dot_product_attention
    if case.variant == "decode":
        return _cached_attention(torch, case, device)

    def values() -> "Tensor":  # as a linear layer leaves them: heads beside each other
        return _random(torch, case, device, batch, tokens, heads, width, grad=train).transpose(1, 2)

    q, k, v = (values() for _ in range(3))
    if not train:
        return lambda: attend(q, k, v, is_causal=case.variant == "causal")
    gradient = torch.randn_like(q)
    return lambda: torch.autograd.grad(attend(q, k, v, is_causal=True), (q, k, v), gradient)


def _cached_attention(torch: ModuleType, case: Case, device: str) -> Task:
    """One new token; another cache every time, so that keys and values are as cold as those of a layer."""
    batch, heads, tokens, width = (case[name] for name in ("batch", "heads", "tokens", "width"))
    query = _random(torch, case, device, batch, heads, 1, width)
    numbers = pool(case.dtype, device)

    def attend() -> "Tensor":
        k, v = (numbers.matrix(batch * heads * tokens, width).view(batch, heads, tokens, width) for _ in "kv")
        return torch.nn.functional.scaled_dot_product_attention(query, k, v)

    return attend


def _glue(torch: ModuleType, case: Case, device: str) -> Task:
    operation, _, mode = case.variant.partition("-")
    rows, width, train = case["rows"], case["width"], mode == "train"
    run, inputs = OPERATIONS[operation](torch, case, device, rows, width, train)
    if not train:

        def infer() -> object:
            with torch.inference_mode():
                return run()

        return infer
    with torch.no_grad():
        gradient = torch.randn_like(run())
    return lambda: torch.autograd.grad(run(), inputs, gradient)


def _norm(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    kind = torch.nn.RMSNorm if case.variant.startswith("rms") else torch.nn.LayerNorm
    module = kind(width, eps=1e-5, device=device, dtype=torch_dtype(case.dtype))
    x = _random(torch, case, device, rows, width, grad=train)
    return lambda: module(x), (x, *module.parameters())


def _rotary(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    x = _random(torch, case, device, 1, rows, width // 64, 64, grad=train)
    cos, sin = (_random(torch, case, device, rows, 64) for _ in range(2))

    def rotate() -> "Tensor":
        y = x.transpose(1, 2)
        first, second = y.chunk(2, dim=-1)
        return y * cos + torch.cat((-second, first), dim=-1) * sin

    return rotate, (x,)


def _binary(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    x, y = (_random(torch, case, device, rows, width, grad=train) for _ in range(2))
    if case.variant.startswith("swiglu"):
        return lambda: torch.nn.functional.silu(x) * y, (x, y)
    return lambda: x + y, (x, y)


def _gelu(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    x = _random(torch, case, device, rows, width, grad=train)
    return lambda: torch.nn.functional.gelu(x), (x,)


def _copy(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    x = _random(torch, case, device, 1, width // 64, rows, 64, grad=train)
    return lambda: x.transpose(1, 2).reshape(1, rows, width), (x,)


def _embedding(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    table = _random(torch, case, device, 1024, width, grad=train)
    ids = torch.randint(1024, (rows,), device=device)
    return lambda: torch.nn.functional.embedding(ids, table), (table,)


def _loss(torch: ModuleType, case: Case, device: str, rows: int, width: int, train: bool) -> Pass:
    logits = _random(torch, case, device, rows, width, grad=train)
    targets = torch.randint(width, (rows,), device=device)
    return lambda: torch.nn.functional.cross_entropy(logits, targets), (logits,)


OPERATIONS: dict[str, Callable[..., Pass]] = {
    "rmsnorm": _norm,
    "layernorm": _norm,
    "rotary": _rotary,
    "swiglu": _binary,
    "add": _binary,
    "gelu": _gelu,
    "copy": _copy,
    "embedding": _embedding,
    "loss": _loss,
}


def _dispatch(torch: ModuleType, case: Case, device: str) -> Task:
    """A linear layer too small to take time: what calling it costs."""
    train = case.variant == "train"
    module = torch.nn.Linear(8, 8, bias=False, device=device, dtype=torch_dtype(case.dtype))
    x, gradient = (_random(torch, case, device, 1, 8, grad=train) for _ in range(2))
    if train:
        return lambda: torch.autograd.grad(module(x), (x, module.weight), gradient)

    def infer() -> object:
        with torch.inference_mode():
            return module(x)

    return infer


def _optimizer(torch: ModuleType, case: Case, device: str) -> Task:
    params = [torch.nn.Parameter(torch.randn(case["params"], device=device)) for _ in range(case["tensors"])]
    for parameter in params:
        parameter.grad = torch.randn_like(parameter)
    chosen = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[case.variant]
    step: Task = torch.optim.AdamW(params, lr=1e-4, **chosen).step
    return step


def _fresh(torch: ModuleType, count: int, device: str) -> "Tensor":
    """Memory that the system hands out now and takes back afterwards; what an allocator has kept says nothing."""
    if device == "cuda":
        return torch.empty(count, device=device)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return torch.frombuffer(mmap.mmap(-1, 4 * count, **private), dtype=torch.float32)


def _memory(torch: ModuleType, case: Case, device: str) -> Task:
    count = max(case["bytes"] // 4, 1)
    if case.variant == "touch":
        return lambda: _fresh(torch, count, device).fill_(1.0)
    a, b, c = (torch.ones(count, device=device) for _ in range(3))
    if case.variant == "copy":
        return lambda: a.copy_(b)
    return lambda: torch.add(b, c, alpha=2.0, out=a)


BUILDERS: dict[str, Callable[..., Task]] = {
    "gemm": _gemm,
    "attention": _attention,
    "glue": _glue,
    "dispatch": _dispatch,
    "optimizer": _optimizer,
    "memory": _memory,
    "block": lambda _, case, device: step_of(job_of(case), device),
}
