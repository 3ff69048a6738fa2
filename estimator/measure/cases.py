"""What is measured: small cases spread evenly over the shapes that matter, the most telling first.

Shapes are quasi-random (Halton points, log-uniform), so that a short run covers the same range more thinly, and nothing
is placed where some workload happens to be. Source: J. H. Halton, doi:10.1007/BF01386213.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from estimator.catalog.files import Content
from estimator.catalog.local import Job
from estimator.formulas.transformer import forward_flop
from estimator.records import Architecture

GLUE = ("rmsnorm", "layernorm", "rotary", "swiglu", "gelu", "add", "copy", "embedding")
GLUE_SHAPES = ((1, 256), (16, 256), (64, 640), (256, 768), (512, 1536), (1024, 4096))  # rows, width
LOSS_SHAPES = ((8, 1000), (64, 4000), (256, 8000), (512, 16000), (512, 32000))  # tokens, vocabulary
OPTIMIZERS = ("loop", "foreach", "fused")
OPTIMIZER_SHAPES = (
    (8, 10_000),
    (32, 100_000),
    (8, 1_000_000),
    (1, 16_000_000),
    (2, 4_000_000),
)  # tensors, parameters each
MEMORY_BYTES = (4_000, 64_000, 1_000_000, 8_000_000, 64_000_000)
PHASES = ("train", "lora", "prefill", "decode", "embed")
EDGES = ((32, 32), (16, 512), (512, 16), (4096, 256), (256, 4096))  # widths: tiny ones, adapters, heads
SECONDS_PER_GEMM, SECONDS_PER_BLOCK = 0.06, 0.35  # most that one call may take


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to time. `str` names it in profiles, `Case.of` reads that name."""

    kind: str
    variant: str
    dtype: str
    sizes: tuple[tuple[str, int], ...]
    threads: int = 1

    @property
    def group(self) -> tuple[str, str, str, int]:
        """Cases whose rates are alike."""
        return self.kind, self.variant, self.dtype, self.threads

    def __getitem__(self, name: str) -> int:
        return dict(self.sizes)[name]

    def __str__(self) -> str:
        sizes = " ".join(f"{name}={value}" for name, value in self.sizes)
        return f"{self.kind} {self.variant} {self.dtype} threads={self.threads} {sizes}"

    @staticmethod
    def of(text: str) -> "Case":
        """The case that a name in a profile stands for.

        >>> str(Case.of("gemm nt fp32 threads=2 m=16 n=64 k=64"))
        'gemm nt fp32 threads=2 m=16 n=64 k=64'
        """
        kind, variant, dtype, threads, *sizes = text.split()
        pairs = (size.split("=") for size in sizes)
        return Case(kind, variant, dtype, tuple((n, int(v)) for n, v in pairs), int(threads.split("=")[1]))


@dataclass(frozen=True, slots=True)
class Reach:
    """How large cases may be on a device: rows and widths of products [1], heads, keys; counts of cases."""

    rows: tuple[int, int] = (16, 4096)
    width: tuple[int, int] = (64, 8192)
    span: tuple[int, int] = (32, 1024)
    cache: tuple[int, int] = (32, 4096)
    hidden: tuple[int, int] = (64, 1024)


REACH = {"cpu": Reach(), "cuda": Reach((16, 16384), (512, 16384), (256, 8192), (256, 32768), (1024, 4096))}


def halton(index: int, base: int) -> float:
    """The index-th point of the Halton sequence in (0, 1).

    >>> [halton(i, 2) for i in range(3)]
    [0.5, 0.25, 0.75]
    """
    value, scale, index = 0.0, 1.0, index + 1
    while index:
        scale /= base
        value += scale * (index % base)
        index //= base
    return value


def spread(index: int, base: int, ends: tuple[int, int], step: int = 1) -> int:
    """A log-uniform point between two ends, a multiple of `step`."""
    value: float = ends[0] * (ends[1] / ends[0]) ** halton(index, base)
    return max(round(value / step) * step, step)


def suite(device: str, rates: Mapping[str, float], threads: int) -> list[Case]:
    """All cases of a device, most telling first. rates: rough speed of products by format [FLOP/s], widest first."""
    main = next(iter(rates))
    groups = [group for dtype in rates for group in _of_format(device, dtype, rates[dtype], threads, dtype == main)]
    if device == "cpu" and threads > 1:
        groups += _of_format(device, main, rates[main] / 2, 1, False)
        groups += _memory(1, MEMORY_BYTES)
    sizes = MEMORY_BYTES if device == "cpu" else (*MEMORY_BYTES, 1_000_000_000)
    return interleaved([*groups, *_memory(threads, sizes), *_optimizers(threads)])


def interleaved(groups: Iterable[Sequence[Case]]) -> list[Case]:
    """Groups merged evenly: the first of each come before the seconds of any."""
    placed = [(i > 0, (i + 0.5) / len(group), case) for group in groups for i, case in enumerate(group)]
    return [case for *_, case in sorted(placed, key=lambda entry: entry[:2])]


def _of_format(device: str, dtype: str, rate: float, threads: int, whole: bool) -> Iterator[list[Case]]:
    reach, share = REACH[device], 1.0 if whole else 0.4
    if dtype == "fp8":  # only products, and only of weights as a linear layer has them
        yield _products("nt", dtype, threads, 40, reach, rate * SECONDS_PER_GEMM)
        return
    for variant, count in (("nt", 40), ("nn", 24), ("tn", 24), ("few", 18)):
        yield _products(variant, dtype, threads, int(count * share), reach, rate * SECONDS_PER_GEMM)
    for variant, count in (("causal", 12), ("full", 8), ("train", 10)):
        yield _attention(variant, dtype, threads, int(count * share), reach, rate * SECONDS_PER_GEMM)
    yield _decode_attention(dtype, threads, int(14 * share), reach)
    shapes = GLUE_SHAPES if whole else GLUE_SHAPES[::2]
    for mode in ("infer", "train"):
        yield [Case("dispatch", mode, dtype, (("calls", 1),), threads)]
        for operation in GLUE:
            yield [Case("glue", f"{operation}-{mode}", dtype, (("rows", r), ("width", w)), threads) for r, w in shapes]
    losses = LOSS_SHAPES if whole else LOSS_SHAPES[::2]
    yield [Case("glue", "loss-train", dtype, (("rows", r), ("width", w)), threads) for r, w in losses]
    if device == "cpu":
        for phase in PHASES:
            yield blocks(phase, dtype, threads, 8 if whole else 3, rate)


def _products(variant: str, dtype: str, threads: int, count: int, reach: Reach, most_flop: float) -> list[Case]:
    """C[m,n] = A[m,k] B[k,n] for `nt`, `nn` and `few`; the same m rows are summed over in `tn`."""
    cases = []
    for i in range(count):
        n, k = (_width(spread(i, base, reach.width)) for base in (3, 5))
        m = 2 ** (i % 4) if variant == "few" else spread(i, 2, reach.rows, 16)
        while 2.0 * m * n * k > most_flop and max(m, n, k) > 32:
            m, n, k = (max(m // 2, 16), n, k) if m >= max(n, k) and m > 16 else (m, max(n // 2, 32), max(k // 2, 32))
        cases.append(Case("gemm", variant, dtype, (("m", m), ("n", n), ("k", k)), threads))
    rows = 1 if variant == "few" else 32
    for place, (n, k) in enumerate(EDGES):
        if 2.0 * rows * n * k <= most_flop:
            cases.insert(2 * place, Case("gemm", variant, dtype, (("m", rows), ("n", n), ("k", k)), threads))
    return _smallest_first(cases)


def _width(value: int) -> int:
    """As LLMs have them: large ones are multiples of 128."""
    step = 128 if value >= 512 else 32
    return max(round(value / step) * step, step)


def _smallest_first(cases: list[Case]) -> list[Case]:
    first = min(cases, key=work, default=None)
    return list(dict.fromkeys(([first] if first else []) + cases))


def _attention(variant: str, dtype: str, threads: int, count: int, reach: Reach, most: float) -> list[Case]:
    cases = []
    for i in range(count):
        batch, heads, width = spread(i, 3, (1, 8)), spread(i, 5, (2, 16)), (32, 64, 128)[i % 3]
        tokens = spread(i, 2, reach.span, 16)
        while 12.0 * batch * heads * tokens**2 * width > most and tokens > 16:
            tokens = max(tokens // 2 // 16 * 16, 16)
        sizes = (("batch", batch), ("heads", heads), ("tokens", tokens), ("width", width))
        cases.append(Case("attention", variant, dtype, sizes, threads))
    return _smallest_first(cases)


def _decode_attention(dtype: str, threads: int, count: int, reach: Reach) -> list[Case]:
    def case(i: int) -> Case:
        batch, heads, context = spread(i, 3, (1, 16)), spread(i, 5, (2, 16)), spread(i, 2, reach.cache, 16)
        sizes = (("batch", batch), ("heads", heads), ("tokens", context), ("width", (32, 64, 128)[i % 3]))
        return Case("attention", "decode", dtype, sizes, threads)

    return [case(i) for i in range(count)]


def _optimizers(threads: int) -> Iterator[list[Case]]:
    for kind in OPTIMIZERS:
        sizes = [(("tensors", tensors), ("params", params)) for tensors, params in OPTIMIZER_SHAPES]
        yield [Case("optimizer", kind, "fp32", size, threads) for size in sizes]


def _memory(threads: int, sizes: Sequence[int]) -> Iterator[list[Case]]:
    for kind in ("copy", "triad"):
        yield [Case("memory", kind, "fp32", (("bytes", size),), threads) for size in reversed(sizes)]
    yield [Case("memory", "touch", "fp32", (("bytes", 64_000_000),), threads)]


def blocks(phase: str, dtype: str, threads: int, count: int, rate: float) -> list[Case]:
    """Small LLMs of two to four layers doing the real thing: what the kernels leave out is learnt from them."""
    made = [_block(phase, dtype, threads, i, rate * SECONDS_PER_BLOCK) for i in range(count)]
    return _smallest_first(made)


def _block(phase: str, dtype: str, threads: int, i: int, most_flop: float) -> Case:
    width, reach = (32, 64)[i % 2], REACH["cpu"]
    hidden = spread(i, 2, reach.hidden, 64)
    sizes = {
        "layers": 2 + i % 3,
        "hidden": hidden,
        "heads": hidden // width,
        "kv_heads": hidden // width // (1 + (i // 2) % 2 * (hidden // width % 2 == 0)),
        "ffn": spread(i, 3, (2 * hidden, 4 * hidden), 64),
        "vocab": spread(i, 5, (1000, 64000 if phase in ("train", "lora") else 16000), 8),
        "batch": spread(i, 3, (1, 16 if phase == "decode" else 6)),
        "tokens": spread(i, 7, (32, 1024 if phase == "decode" else 512), 8),
    }
    made = Case("block", phase, dtype, tuple(sizes.items()), threads)
    while work(made) > most_flop and (sizes["tokens"] > 32 or sizes["hidden"] > 64):
        sizes |= _smaller(sizes)
        made = Case("block", phase, dtype, tuple(sizes.items()), threads)
    return made


def _smaller(sizes: Mapping[str, int]) -> dict[str, int]:
    """Half the tokens while there are many, then half the width, so that the heads stay whole."""
    if sizes["tokens"] > 64 or sizes["hidden"] <= 64:
        return {"tokens": max(sizes["tokens"] // 16 * 8, 8)}
    if sizes["batch"] > 1:
        return {"batch": sizes["batch"] // 2}
    hidden = max(sizes["hidden"] // 128 * 64, 64)
    return {
        "hidden": hidden,
        "heads": hidden // 32,
        "kv_heads": hidden // 32,
        "ffn": max(sizes["ffn"] // 128 * 64, 64),
        "vocab": max(sizes["vocab"] // 2, 256),
    }


def job_of(case: Case) -> Job:
    """The work of a block."""
    encoder = case.variant == "embed"
    arch = Architecture(
        name="block",
        layers=case["layers"],
        hidden=case["hidden"],
        heads=case["heads"],
        kv_heads=case["heads"] if encoder else case["kv_heads"],
        head_dim=case["hidden"] // case["heads"],
        ffn=case["ffn"],
        vocab=case["vocab"],
        **(ENCODER if encoder else {}),
    )
    return Job(case.variant, arch, case["batch"], case["tokens"], case.dtype)


ENCODER: Content = {
    "kind": "encoder",
    "gated_mlp": False,
    "norm_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "mlp_bias": True,
    "learned_positions": 1024,
}


def _product_work(case: Case) -> float:
    return 2.0 * case["m"] * case["n"] * case["k"]


def _attention_work(case: Case) -> float:
    pairs = case["tokens"] ** (1 if case.variant == "decode" else 2)
    return 4.0 * case["batch"] * case["heads"] * case["width"] * pairs


def job_flop(job: Job) -> float:
    """Work of a job, roughly: what 2, 4 or 6 FLOP per weight and token make [FLOP]."""
    passes = {"train": 3.0, "lora": 2.0}.get(job.phase, 1.0)
    new, cached = (1, job.tokens) if job.phase == "decode" else (job.tokens, 0)
    head = None if job.phase in ("train", "lora") else 1
    return passes * job.batch * float(forward_flop(job.arch, new, cached, head))


WORK: dict[str, Callable[[Case], float]] = {
    "gemm": _product_work,
    "attention": _attention_work,
    "block": lambda case: job_flop(job_of(case)),
    "glue": lambda case: float(case["rows"] * case["width"]),
    "optimizer": lambda case: float(case["tensors"] * case["params"]),
    "memory": lambda case: float(case["bytes"]),
    "dispatch": lambda _: 1.0,
}


def work(case: Case) -> float:
    """How much a case does, comparable within its group [1]."""
    return WORK[case.kind](case)
