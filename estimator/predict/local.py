"""Time on a measured machine, operator by operator, in ordinary PyTorch: on a CPU nothing overlaps, so parts add up.

A pass is a list of products, attention, passes over vectors, and what calling them costs. Each is timed with constants
measured on the machine, and each kind of part is scaled by a factor learnt from small LLMs doing the same phase there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.files import Content
from estimator.catalog.local import Job, LocalMachine, machine
from estimator.catalog.precisions import precision
from estimator.formulas import Floats, Real, transformer
from estimator.formulas.roofline import attention_s, decode_attention_s, experts_visited, gemm_s, set_crowding
from estimator.formulas.serving import Pass
from estimator.formulas.training import adapted, adapter_params
from estimator.predict.training_plan import Run, TrainingPlan
from estimator.predict.training_time import StepTime
from estimator.quantities import Z80
from estimator.records import Architecture, Matrix

Parts = dict[str, Real]

FEW_ROWS = 12.0  # rows up to which a product is a handful of matrix-vector products
LARGE_ELEMENTS = 2**23  # of a 4-byte tensor that an allocator gives back when it is freed: 32 MiB in the GNU C library
UNSURE_OCTAVES = 3.0  # of sizes below, of which some are kept
KEPT_BYTES = 64e6  # memory that an allocator keeps for reuse instead of giving it back
CALLS_PER_LAYER, CALLS_PER_PASS = 10.0, 20.0  # views, slices and modules around the operators of a layer, of a pass
OCTAVES, LONE = 1.0, 0.5  # how far a measured product speaks for others; the weight of not knowing
BETWEEN_SESSIONS = 0.15  # spread of a machine's own speed from one session to the next, in ln; seen on virtual machines
PHASES_OF = {"embedding": ("embed",), "offline": ("prefill", "decode")}
UNMEASURED = {"log_sd": 0.25}  # of a phase without blocks
PARTS = ("products", "attention", "vectors", "calls", "touch", "optimizer")
BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int4": 0.5}


class Work(NamedTuple):
    """One pass or training step: `tokens` new ones of each of `sequences`, after `cached`. Numbers or arrays.

    phase: train | lora | prefill | decode | embed; optimizer: loop | foreach | fused, as PyTorch calls them
    passes: forward and backward passes to one optimizer step (gradient accumulation) [1]
    """

    phase: str
    arch: Architecture
    sequences: ArrayLike
    tokens: ArrayLike
    cached: ArrayLike = 0.0
    dtype: str = "fp32"
    rank: Real = 0
    optimizer: str = "loop"
    passes: ArrayLike = 1.0
    recompute: ArrayLike = 0.0

    @property
    def rows(self) -> Floats:
        """Tokens that go through the weights together [token]."""
        return np.multiply(self.sequences, self.tokens, dtype=float)

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self.phase in ("train", "lora")


def of_job(job: Job) -> Work:
    """A job as the work of one step."""
    new, cached = (1, job.tokens) if job.phase == "decode" else (job.tokens, 0)
    rank = job.rank if job.phase == "lora" else 0
    return Work(job.phase, job.arch, job.batch, new, cached=cached, dtype=job.dtype, rank=rank)


def time_s(work: Work, on: LocalMachine) -> Floats:
    """Time of a pass or step [s]."""
    return np.asarray(sum(scaled_parts_s(work, on).values()), float)


def scaled_parts_s(work: Work, on: LocalMachine) -> Parts:
    """Parts of the time, which add up [s]: products, attention, vectors, calls, touch, optimizer."""
    factors = _phase(work, on).get("factors", {})
    return {name: factors.get(name, 1.0) * seconds for name, seconds in parts_s(work, on).items()}


def interval(phase: str, dtype: str, on: LocalMachine, since: float = 0.0) -> tuple[float, float]:
    """80 % half widths of ln(measured / predicted), down and up [1].

    They hold the errors of small LLMs left out of the fit, and the drift of the machine: while it was measured, and
    at least what even a steady machine shows between two sessions.
    since: drift from then to now, where it is known, as ln of times [1]; it moves one end only
    """
    spread = on.constants["phases"].get(f"{on.format(dtype)} {phase}", UNMEASURED)["log_sd"]
    return ends(spread, on.drift, since)


def answer_interval(group: str, arch: Architecture, name: str, dtype: str = "") -> tuple[float, float]:
    """80 % half widths of ln(true / predicted) of an answer, down and up [1]: the widest of the phases it rests on.

    group: train | lora | prefill | decode | embedding | offline; name: of the measured machine
    dtype: format of products, every measured one when not given. No block has experts: with them, twice as wide
    """
    on = machine(name)
    formats = [dtype] if dtype else sorted({key.split()[0] for key in on.constants["phases"]}) or ["fp32"]
    every = [interval(phase, each, on) for phase in PHASES_OF.get(group, (group,)) for each in formats]
    down, up = (max(ends) for ends in zip(*every, strict=True))
    return (2.0 * down, 2.0 * up) if arch.experts else (down, up)


def ends(spread: float, drift: tuple[float, float], since: float = 0.0) -> tuple[float, float]:
    """80 % half widths, down and up, of errors of a standard deviation beside a drift whose own half widths are known.

    >>> [round(end, 2) for end in ends(0.1, (0.0, 0.5))]
    [0.23, 0.52]
    """
    own, steady = Z80 * spread, Z80 * BETWEEN_SESSIONS
    down, up = (math.hypot(own, max(end, steady)) for end in drift)
    return max(down, own - since), max(up, own + since)


def _phase(work: Work, on: LocalMachine) -> Content:
    found: Content = on.constants.get("phases", {}).get(f"{on.format(work.dtype)} {work.phase}", {})
    return found


def parts_s(work: Work, on: LocalMachine) -> Parts:
    """The same as kernels alone would have it, without factors [s]."""
    passes = np.asarray(work.passes, float)
    forward, backward = products_s(work, on)
    again = np.asarray(work.recompute, float)
    return {
        "products": passes * ((1.0 + again) * forward + backward),
        "attention": passes * _attention_s(work, on),
        "vectors": passes * vectors_s(work, on),
        "calls": passes * _calls_s(work, on),
        "touch": _touch_s(work, on),
        "optimizer": _optimizer_s(work, on),
    }


# --- products --------------------------------------------------------------------------------------------------------


def products_s(work: Work, on: LocalMachine) -> tuple[Floats, Floats]:
    """Linear layers, adapters and the output projection: (forward, backward) [s]."""
    arch = work.arch
    forward, backward = np.zeros(np.shape(work.rows)), np.zeros(np.shape(work.rows))
    for each in transformer.matrices(arch):
        if each.per not in ("token", "routed"):
            continue
        copies, rows = _spread_over_experts(work, each)
        ahead, back = _linear_s(work, on, rows, each.rows, each.columns, work.rank == 0)
        forward, backward = forward + copies * ahead, backward + copies * back
        if np.any(np.asarray(work.rank) > 0) and each in adapted(arch):
            ahead, back = _adapter_s(work, on, rows, each.rows, each.columns)
            forward, backward = forward + copies * ahead, backward + copies * back
    if arch.kind == "decoder":
        rows = work.rows if work.trains else np.asarray(work.sequences, float)
        ahead, back = _linear_s(work, on, rows, arch.vocab, arch.hidden, work.phase == "train")
        forward, backward = forward + ahead, backward + back
    return forward, backward


def _spread_over_experts(work: Work, matrix: Matrix) -> tuple[Real, Real]:
    """How many of these matrices are multiplied in all layers, and with how many rows each."""
    experts = work.arch.experts
    if experts is None or matrix.per != "routed":
        return float(matrix.count), work.rows
    visited = experts_visited(work.rows, experts.experts, experts.per_token)
    return matrix.count * visited / experts.experts, work.rows * experts.per_token / visited


def _linear_s(work: Work, on: LocalMachine, rows: Real, out: Real, wide: Real, trained: bool) -> tuple[Floats, Floats]:
    """One linear layer: (forward, backward) [s]; frozen weights have no gradient of their own."""
    forward = _product_s(work.dtype, on, rows, out, wide)
    if not work.trains:
        return forward, np.zeros(np.shape(forward))
    back = _gemm(work.dtype, on, "nn", rows, wide, out)
    own = _gemm(work.dtype, on, "tn", out, wide, rows) if trained else 0.0
    return forward, back + own


def _adapter_s(work: Work, on: LocalMachine, rows: Real, out: Real, wide: Real) -> tuple[Floats, Floats]:
    down, down_back = _linear_s(work, on, rows, work.rank, wide, True)
    up, up_back = _linear_s(work, on, rows, out, work.rank, True)
    return down + up, down_back + up_back


def _product_s(dtype: str, on: LocalMachine, rows: Real, n: Real, k: Real) -> Floats:
    few, many = _gemm(dtype, on, "few", rows, n, k), _gemm(dtype, on, "nt", rows, n, k)
    return np.where(np.asarray(rows) <= FEW_ROWS, few, many)


def _gemm(dtype: str, on: LocalMachine, variant: str, m: Real, n: Real, k: Real) -> Floats:
    size = BYTES[on.format(dtype)]
    ideal = gemm_s(m, n, k, on.gemm(dtype, variant), weight_bytes=size, input_bytes=size, output_bytes=size)
    if variant == "nn":  # goes down the columns of the weights
        ideal = ideal * set_crowding(k, n, size) ** on.crowding_power(dtype)
    return np.asarray(ideal * _like_its_neighbours(m, n, k, *on.gemm_residuals(dtype, variant)))


def _like_its_neighbours(m: Real, n: Real, k: Real, shapes: Sequence[Sequence[float]], errors: Sequence[float]) -> Real:
    """Correction of a product by what measured shapes near it (in octaves) were off, none far from all of them [1]."""
    if not len(shapes):
        return 1.0
    shape = np.log2(np.maximum(np.stack(np.broadcast_arrays(m, n, k), axis=-1).astype(float), 1.0))
    away = np.sum((shape[..., None, :] - np.log2(shapes)) ** 2, axis=-1)
    weight = np.exp(-0.5 * away / OCTAVES**2)
    return np.exp(-np.sum(weight * np.asarray(errors), axis=-1) / (np.sum(weight, axis=-1) + LONE))


# --- attention -------------------------------------------------------------------------------------------------------


def _attention_s(work: Work, on: LocalMachine) -> Floats:
    arch, size = work.arch, BYTES[on.format(work.dtype)]
    # Kernels on CPUs take as long for grouped queries as if each head had keys of its own.
    shape = (arch.heads, arch.heads, transformer.q_width(arch) / arch.heads)
    window = np.inf if arch.sliding_window is None or arch.full_attention_layers else arch.sliding_window
    if work.phase == "decode":
        reached, half = on.decode_attention(work.dtype)
        wide = (arch.heads, arch.heads, shape[2] + half)
        decoded = decode_attention_s(work.sequences, work.cached, *wide, reached, window=window, value_bytes=size)
        return arch.layers * decoded
    causal = arch.kind == "decoder"
    variant = "train" if work.trains else "causal" if causal else "full"
    one_layer = attention_s(
        work.sequences,
        work.tokens,
        *shape,
        on.attention(work.dtype, variant),
        cached_tokens=work.cached,
        window=window,
        causal=causal,
        value_bytes=size,
    )
    return arch.layers * one_layer


# --- passes over vectors, calls, memory, optimizer -------------------------------------------------------------------


def vectors_s(work: Work, on: LocalMachine) -> Floats:
    """Norms, rotary embedding, activation, residuals, copies, embedding and loss [s]."""
    arch, rows = work.arch, work.rows
    q, kv = transformer.q_width(arch), arch.kv_heads * arch.head_dim
    norm = "layernorm" if arch.norm_bias else "rmsnorm"
    ffn = arch.experts.ffn * arch.experts.per_token if arch.experts else arch.ffn
    layer = [(norm, arch.hidden, 1.0)] * 2 + [("add", arch.hidden, 1.0)] * 2 + [("copy", q, 1.0)]
    layer += [("swiglu" if arch.gated_mlp else "gelu", ffn, 1.0)]
    layer += [] if arch.learned_positions else [("rotary", q, 1.0), ("rotary", kv, 1.0)]
    layer += [("copy", kv, 1.0)] * 2 if work.phase == "decode" else []
    if np.any(np.asarray(work.rank) > 0):
        layer += [("add", each.rows, _each_layer(arch, each)) for each in adapted(arch)] * 2
    outside = [("embedding", arch.hidden, 1.0), (norm, arch.hidden, 1.0)]
    outside += [("embedding", arch.hidden, 1.0), ("add", arch.hidden, 1.0)] if arch.learned_positions else []
    mode = "train" if work.trains else "infer"

    def total(operators: list[tuple[str, int, float]]) -> Real:
        return sum(count * _curve(work.dtype, on, f"{name}-{mode}", rows * width) for name, width, count in operators)

    loss = _curve(work.dtype, on, "loss-train", rows * arch.vocab) if work.trains else 0.0
    return np.asarray(arch.layers * total(layer) + total(outside) + loss, float)


def _each_layer(arch: Architecture, matrix: Matrix) -> float:
    """Tensors that hold these matrices, to a layer [1]; all experts are one."""
    experts = arch.experts.experts if arch.experts and matrix.per == "routed" else 1
    return matrix.count / experts / arch.layers


def _curve(dtype: str, on: LocalMachine, name: str, elements: Real) -> Floats:
    """Time of an operator on so many elements: measured sizes, interpolated in logarithms; in proportion beyond [s]."""
    curves = on.constants["vectors"]
    found = curves.get(f"{on.format(dtype)} {name}") or curves.get(f"fp32 {name}")
    if found is None:
        return np.zeros(np.shape(elements))
    x, y = np.log(found["elements"]), np.log(found["seconds"])
    at = np.log(np.maximum(np.asarray(elements, float), 1.0))
    return np.asarray(np.exp(np.interp(at, x, y) + np.maximum(at - x[-1], 0.0)))


def _calls_s(work: Work, on: LocalMachine) -> Floats:
    """What calling costs beside the operators' own time: views and modules; going back, the nodes of the graph [s]."""
    calls = on.constants["calls"]
    own = calls.get(f"{on.format(work.dtype)} {'train' if work.trains else 'infer'}", 0.0)
    adapted = 2.0 if work.phase == "lora" else 1.0
    return np.asarray((work.arch.layers * CALLS_PER_LAYER * adapted + CALLS_PER_PASS) * own, float)


def _touch_s(work: Work, on: LocalMachine) -> Floats:
    """First touch of memory that the system hands out anew in every step: saved activations and gradients [s].

    Allocators keep what is small for reuse; every gradient of a large matrix is fresh.
    """
    if not work.trains:
        return np.zeros(np.shape(work.rows))
    arch, size = work.arch, BYTES[on.format(work.dtype)]
    q, kv = transformer.q_width(arch), transformer.kv_width(arch)
    per_token = arch.layers * (6.0 * arch.hidden + 3.0 * (q + kv) + 4.0 * arch.ffn) + 2.0 * arch.vocab
    large = large_params(work)
    saved = per_token * work.rows * np.where(np.asarray(work.recompute) > 0, 0.3, 1.0)
    fresh = size * (saved + trained_params(work) - large)
    gradients = 3.0 if arch.tied_embeddings else 1.0  # of the embedding, of the projection, and their sum
    bytes_touched = fresh * fresh / (fresh + KEPT_BYTES) + size * large * gradients
    return np.asarray(bytes_touched * on.constants["memory"]["touch_s_per_byte"], float)


def trained_params(work: Work) -> Floats:
    """Parameters that get gradients [1]."""
    everything = float(transformer.params(work.arch))
    return np.where(np.asarray(work.rank) > 0, adapter_params(work.arch, work.rank), everything)


def large_params(work: Work) -> Floats:
    """Those of them in matrices that an allocator does not keep: embeddings and output projection [1].

    Between sizes always kept and never kept it depends on what else was freed: the share grows with the octave.
    """
    arch = work.arch
    table = arch.vocab * arch.hidden
    tables = 2.0 if arch.kind == "decoder" and not arch.tied_embeddings else 1.0
    fresh = np.clip(1.0 + np.log2(table / LARGE_ELEMENTS) / UNSURE_OCTAVES, 0.0, 1.0)
    return np.where(np.asarray(work.rank) > 0, 0.0, tables * table * fresh)


def _optimizer_s(work: Work, on: LocalMachine) -> Floats:
    if not work.trains:
        return np.zeros(np.shape(work.rows))
    table = on.constants["optimizer"]
    cost = table.get(work.optimizer) or next(iter(table.values()))
    linears = sum(_each_layer(work.arch, each) for each in adapted(work.arch))
    tensors = work.arch.layers * np.where(np.asarray(work.rank) > 0, 2.0 * linears, linears + 2.0) + 3.0
    large = large_params(work)
    small = trained_params(work) - large
    return np.asarray(tensors * cost["tensor_s"] + small * cost["param_s"] + large * cost["large_param_s"], float)


# --- in place of the general predictors ------------------------------------------------------------------------------


def step_time(arch: Architecture, plan: TrainingPlan, run: Run, on: LocalMachine) -> StepTime:
    """One optimizer step of a plan [s]; several machines share the batch and exchange gradients."""
    method = "train" if plan.method == "full" else "lora"
    work = Work(
        method,
        arch,
        run.mb * run.seq / run.span,
        run.span,
        dtype=compute_format(plan),
        rank=run.rank if method == "lora" else 0,
        optimizer=next((kind for kind in ("fused", "foreach") if kind in plan.optimizer), "loop"),
        passes=run.ga,
        recompute=run.full_recompute,
    )
    parts = scaled_parts_s(work, on)
    sent = 2.0 * 4.0 * trained_params(work) * (run.dp - 1.0) / np.maximum(run.dp, 1.0)
    nothing = np.zeros(np.shape(parts["products"]))
    return StepTime(
        compute=parts["products"] + parts["attention"] + parts["vectors"],
        communication=sent / run.rates.network + nothing,
        bubble=nothing,
        optimizer=parts["optimizer"] + nothing,
        host=parts["calls"] + parts["touch"],
    )


def compute_format(plan: TrainingPlan) -> str:
    """The format in which a plan multiplies."""
    return precision(plan.precision.lower().removeprefix("amp_")).compute


def pass_s(arch: Architecture, counted: Pass, compute: str, phase: str, on: LocalMachine) -> Floats:
    """Time of a forward pass that a serving plan makes [s]; compute: format of its weights."""
    tokens = counted.rows / counted.sequences
    if arch.kind == "encoder":
        return time_s(Work("embed", arch, counted.sequences, tokens, dtype=compute), on)
    if phase == "decode":
        return time_s(Work("decode", arch, counted.sequences, tokens, cached=counted.mean_span, dtype=compute), on)
    cached = np.maximum(counted.mean_span - (tokens + 1.0) / 2.0, 0.0)
    return time_s(Work("prefill", arch, counted.sequences, tokens, cached=cached, dtype=compute), on)
