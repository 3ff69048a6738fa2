"""Training cases: from a row's configuration to a prediction in the row's own metric and convention.

Only configuration columns are read; any but id, source and metric may be missing. What a run certainly had but its row
does not say (recomputation, micro-batch, layout) takes the best feasible choice, or the default below, and is marked.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.catalog.accelerators import accelerator
from estimator.catalog.cases import fitted
from estimator.catalog.frameworks import Framework, framework
from estimator.catalog.models import architecture, architecture_names, preset
from estimator.catalog.plan_fields import field_named, plan_fields
from estimator.catalog.precisions import precision
from estimator.errors import EstimatorError, InvalidInput, UnknownName, clipped
from estimator.formulas import Floats, Real, Truths, transformer
from estimator.formulas.step_memory import Loss
from estimator.formulas.training import model_flop
from estimator.formulas.units import DAY_S, HOUR_S
from estimator.numerals import MOST, numeral
from estimator.predict.checked import checked_value
from estimator.predict.reliability import usual_goodput
from estimator.predict.training import (
    Layouts,
    interval,
    layouts_of,
    parameters,
    time_interval,
    training_step,
    traits,
)
from estimator.predict.training_memory import MemorySplit, context_bytes, needed, peak_memory
from estimator.predict.training_plan import PLAINEST, Run, TrainingPlan, run, stack
from estimator.predict.training_time import step_time
from estimator.records import Architecture, Cluster, Experts, Precision
from estimator.validation.report import CasePrediction, quantity

Row = Mapping[str, str]

UNITS = {
    "tokens_per_s_per_gpu": "token/s",
    "step_time_s": "s",
    "tflops_per_gpu": "TFLOP/s",
    "mfu": "1",
    "gpu_hours": "h",
    "days": "day",
    "peak_mem_gb": "GB",
}
RATES = ("tokens_per_s_per_gpu", "tflops_per_gpu", "mfu")
SIZE = re.compile(r"(?<![\d.])\d+(?:\.\d+)?[bm](?![a-z0-9])")
DEFAULT_SEQ_LEN = 2048
ROOM = 1.1  # memory over that of the most frugal layout, which a run took that seems not to fit
MICRO_BATCHES = 4  # per replica and pipeline stage, where the global batch is not stated
REPLICA_TOKENS = 32_768  # per replica and pipeline stage, where the micro-batch is not stated either


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One row's configuration, ready to predict. assumed: what the row does not say, in words."""

    id: str
    source: str
    metric: str
    arch: Architecture
    cluster: Cluster
    plan: TrainingPlan
    numbers: Run
    whole_run: bool
    total_tokens: float
    assumed: tuple[str, ...]
    reading: str = ""


def predict_cases(rows: Sequence[Row]) -> list[CasePrediction]:
    """Predict every row, in order; one that cannot be is `unsupported`, with what it lacks."""
    read = [_read(row) for row in rows]
    runs = [found for found in read if isinstance(found, CaseRun)]
    values, enough = predicted(runs, parameters())
    left_out = _left_out(runs)
    answers = iter(zip(values, enough, left_out, strict=True))
    return [
        _prediction(found, *next(answers)) if isinstance(found, CaseRun) else _refusal(row, found)
        for row, found in zip(rows, read, strict=True)
    ]


def _read(row: Row) -> CaseRun | str:
    try:
        return case_run(row)
    except EstimatorError as error:
        return str(error)


def case_run(row: Row, values: Mapping[str, float] | None = None) -> CaseRun:
    """The configuration of a row; `values`: parameters by which open choices are made, the fitted ones by default.

    Raises EstimatorError, saying what is missing or unknown.
    """
    metric = row.get("metric", "")
    if metric not in UNITS:
        raise UnknownName("training metric", metric, UNITS, f"Known are {', '.join(UNITS)}.")
    total_tokens = _number(row, "total_tokens_b", 0.0) * 1e9
    if metric in ("gpu_hours", "days") and not total_tokens:
        raise InvalidInput("total_tokens_b is missing: the length of a whole run needs its tokens.")
    arch, cluster = _architecture(row), _cluster(row)
    plan, assumed = _settled(arch, cluster, _plan(row, cluster), values)
    return CaseRun(
        id=row.get("id", ""),
        source=row.get("source", ""),
        metric=metric,
        arch=arch,
        cluster=cluster,
        plan=plan,
        numbers=run(arch, cluster, plan, _told(row))._replace(uneven=float(row.get("packing") == "padded")),
        reading=row.get("memory_reading", ""),
        whole_run=row.get("family", "") == "total_run",
        total_tokens=total_tokens,
        assumed=assumed + (("a usual shape of its size",) if arch.basis == "assumed" else ()),
    )


def _told(row: Row) -> Framework:
    """The habits of a row's framework, and what the row says of its own kernels and loss instead."""
    habits, loss, compiled = framework(row.get("framework", "")), row.get("loss", ""), row.get("compiled", "")
    if compiled == "1":
        habits = habits._replace(kernels="compiled")
    elif compiled and habits.kernels == "compiled":
        habits = habits._replace(kernels="eager")
    if loss in TOLD_LOSS and habits.loss not in TOLD_LOSS[loss]:
        habits = habits._replace(loss=TOLD_LOSS[loss][0])
    if not habits.known:  # a loop of one's own: cross entropy of logits as they are
        habits = habits._replace(loss="16-bit" if loss in ("", "plain") else habits.loss)
    return habits._replace(splits_vocabulary=loss == "vocab_parallel") if loss else habits


TOLD_LOSS: Mapping[str, tuple[Loss, ...]] = {
    "plain": ("whole", "shifted", "16-bit", "in place", "one kernel"),
    "fused": ("fused",),
    "chunked": ("chunked", "chunked head", "16-bit"),
}


# --- from columns to records -----------------------------------------------------------------------------------------


def _number(row: Row, column: str, missing: float) -> float:
    text = row.get(column, "")
    if not text:
        return missing
    value = numeral(text)
    if value is None or not 0 <= value < MOST:
        raise InvalidInput(f"{column} must be a number, not {clipped(text)}.")
    return value


def _whole(row: Row, column: str) -> int | None:
    value = _number(row, column, 0)
    if value % 1:
        raise InvalidInput(f"{column} must be a whole number, not {value:g}.")
    return int(value) or None


def _field(row: Row, column: str) -> int | None:
    """A number of the plan, within what its field may hold; 0 is none."""
    text, fields = row.get(column, ""), plan_fields("training")
    if text and numeral(text):
        checked_value(fields[field_named(column, fields) or column], text)
    return int(_number(row, column, 0)) or None


def _cluster(row: Row) -> Cluster:
    name = row.get("gpu", "")
    if not name:
        raise InvalidInput("gpu is missing: say on which accelerator the run was.")
    device = accelerator(name)
    layout = math.prod(_whole(row, column) or 1 for column in ("tp", "pp", "cp", "dp"))
    model_parallel = math.prod(_whole(row, column) or 1 for column in ("tp", "pp", "cp"))
    count = max(_whole(row, "n_gpus") or layout, model_parallel)
    one_machine = count if count <= 8 else 8
    per_node = _whole(row, "gpus_per_node") or max(device.per_node or 8, one_machine)
    return Cluster(device, count, min(per_node, count))


def _architecture(row: Row) -> Architecture:
    """The catalogue's LLM of that name if its shape agrees with the columns; else the columns; else name or size."""
    columns = _from_columns(row)
    name = row.get("model", "")
    known = _known(name, columns)
    if columns is None:
        return known or _from_size(row)
    if known is None or not _same(known, columns):
        return columns
    return known._replace(basis=columns.basis)  # a shape that was recalled is read here


def _same(known: Architecture, columns: Architecture) -> bool:
    return (known.layers, known.hidden, known.vocab) == (columns.layers, columns.hidden, columns.vocab)


def _known(name: str, columns: Architecture | None) -> Architecture | None:
    """The catalogue's LLM of that name; of several versions the one whose shape is that of the columns."""
    try:
        known = architecture(name) if name else None
    except UnknownName:
        known = None
    if known is None or columns is None or _same(known, columns):
        return known
    versions = (preset(other) for other in architecture_names() if other.startswith(name))
    return next((other for other in versions if _same(other, columns)), known)


def _from_size(row: Row) -> Architecture:
    """A usual shape of the size in `params_b`, else in the name, marked assumed."""
    name = row.get("model", "")
    billions = _number(row, "params_b", 0.0)
    in_name = SIZE.search(name.lower())
    if not billions and not in_name:
        raise InvalidInput(f"the LLM {name!r} is not known: give layers, hidden, heads and vocab, or params_b.")
    size = f"{billions:g}b" if billions else in_name[0]  # type: ignore[index]
    return architecture(size)._replace(name=name or size, basis="assumed")


def _from_columns(row: Row) -> Architecture | None:
    layers, hidden, heads = (_whole(row, name) for name in ("layers", "hidden", "heads"))
    if not (layers and hidden):
        return None
    heads = heads or max(hidden // 128, 1)
    gated = row.get("gated_mlp", "0") not in ("0", "")
    experts = _whole(row, "n_experts")
    ffn = _whole(row, "ffn") or (int(hidden * 8 / 3) if gated else 4 * hidden)
    arch = Architecture(
        name=row.get("model", "") or "unnamed",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_whole(row, "kv_heads") or heads,
        head_dim=_whole(row, "head_dim") or max(hidden // heads, 1),
        ffn=ffn,
        vocab=_whole(row, "vocab") or 32_000,
        gated_mlp=gated,
        tied_embeddings=row.get("tied_embeddings", "0") not in ("0", ""),
    )
    if not experts:
        return arch
    mixture = Experts(experts, _whole(row, "experts_per_token") or 1, _whole(row, "moe_ffn") or ffn)
    return arch._replace(experts=mixture)


RECOMPUTE = {"": None, "none": "none", "0": "none", "no": "none", "false": "none", "full": "full", "1": "full"}
ZERO = re.compile(r"zero[\s_-]*(?:stage)?[\s_-]*([0-3])")
SHARDED = {"shard_grad_op": 2, "full_shard": 3, "fsdp": 3, "hsdp": 3, "distributed optimizer": 1, "distopt": 1}
PLAIN = ("none", "ddp", "dp", "no", "replicated", "0")


def _zero(text: str) -> int | None:
    """ZeRO stage that a sharding means; None when nothing, or nothing known, is said.

    >>> _zero("zero3/fsdp"), _zero("ZeRO stage 2".lower()), _zero("ddp"), _zero("")
    (3, 2, 0, None)
    """
    found = ZERO.search(text)
    if found:
        return int(found[1])
    return next((stage for word, stage in SHARDED.items() if word in text), 0 if text in PLAIN else None)


def _plan(row: Row, cluster: Cluster) -> TrainingPlan:
    """The plan with None for what the row does not say."""
    sharding = row.get("sharding", "").lower()
    zero, habits = _zero(sharding), framework(row.get("framework", ""))
    tp, pp = _field(row, "tp"), _field(row, "pp")
    if zero == 3 or pp or tp:
        tp, pp = tp or 1, pp or 1
    method, stored, compute = _method(row)
    if compute == "bf16" and not habits.known:  # a loop of one's own does what its precision says
        compute = "pure bf16"
    return TrainingPlan(
        seq_len=_field(row, "seq_len") or DEFAULT_SEQ_LEN,
        micro_batch=_field(row, "micro_batch"),
        global_batch=_field(row, "global_batch_seqs"),
        tp=tp,
        pp=pp,
        vpp=_field(row, "vpp") or (None if pp is None or (pp > 1 and habits.interleaves) else 1),
        cp=_field(row, "cp") or 1,
        ep=_field(row, "ep") or (None if row.get("n_experts") else 1),
        zero=zero,
        shard=min(cluster.per_node, cluster.count) if "hsdp" in sharding or "hybrid" in sharding else None,
        recompute=RECOMPUTE.get(row.get("recompute", "").lower(), "selective"),
        precision=compute,
        method=method,
        lora_rank=_field(row, "lora_rank") or 16,
        lora_targets=row.get("lora_targets", "") or "all",
        weight_precision=stored,
        optimizer=row.get("optimizer", "").lower() or "adamw",
        cpu_offload="" if row.get("cpu_offload", "0") in ("", "0", "none") else row["cpu_offload"],
        fused_attention=row.get("fused_attention", "1") not in ("0", "false"),
        framework=row.get("framework", ""),
    )


def _method(row: Row) -> tuple[str, str | None, str]:
    """(method, storage of frozen weights, format of products)."""
    family = row.get("family", "").lower()
    name, stored = _format(row.get("precision", "").lower())
    packed = stored.bits < 8.6 and stored.compute not in ("fp8", "fp4")
    if family == "qlora" or (packed and family not in ("pretrain", "full_ft", "total_run")):
        return "qlora", name if stored.bits < 16 else "nf4", "bf16"
    lora = family in ("lora", "dora") or (not family and bool(row.get("lora_rank")))
    return ("lora" if lora else "full"), None, name


def _format(name: str) -> tuple[str, Precision]:
    """A precision as it is called, and its format; bf16 where the name says nothing about bits."""
    try:
        return name or "bf16", precision(name.removeprefix("amp_").removeprefix("amp-") or "bf16")
    except UnknownName:
        return "bf16", precision("bf16")


def _settled(
    arch: Architecture, cluster: Cluster, plan: TrainingPlan, values: Mapping[str, float] | None
) -> tuple[TrainingPlan, tuple[str, ...]]:
    """The plan with choices for what is open, and those choices in words."""
    open_names = [name for name in (*PLAINEST, "global_batch") if getattr(plan, name) is None]
    if not open_names:
        return plan, ()
    chosen = _chosen(arch, cluster, plan, values)
    return chosen, tuple(f"{name} {getattr(chosen, name)}" for name in open_names)


def _chosen(
    arch: Architecture, cluster: Cluster, plan: TrainingPlan, values: Mapping[str, float] | None
) -> TrainingPlan:
    stages = plan.pp or 1
    replicas = max(cluster.count // ((plan.tp or 1) * stages * plan.cp), 1)
    several = max(MICRO_BATCHES, REPLICA_TOKENS // plan.seq_len)
    per_replica = stages * (plan.micro_batch * MICRO_BATCHES if plan.micro_batch else several)
    plan = replace(plan, global_batch=plan.global_batch or replicas * per_replica)
    habits = framework(plan.framework)
    light = habits.light_selective or habits.keeps_projections
    choice = plan
    if plan.recompute is None and light:  # recipes of these frameworks redo what little they must
        choice = replace(plan, recompute=np.array(["none", "selective"]))
    try:
        layouts = layouts_of(arch, cluster, choice, values, grouped=False)  # its batch may be a guess
    except EstimatorError:  # it ran, whatever divides what
        frugal = PLAINEST | {"zero": 3, "recompute": "full"}
        return replace(plan, **{k: v for k, v in frugal.items() if getattr(plan, k) is None})  # type: ignore[arg-type]
    return layouts.fastest(_ran(layouts))[0]


def _ran(layouts: Layouts) -> Truths:
    """Those that a run may have had: with room for what an allocator keeps, or that just fit, or the most frugal."""
    used, capacity = np.asarray(layouts.memory.total), layouts.cluster.accelerator.memory_bytes
    tried = (used <= capacity, layouts.need <= capacity, used <= ROOM * np.min(used))
    return next(allowed for allowed in tried if np.any(allowed))


# --- from times to metrics -------------------------------------------------------------------------------------------


def predicted(runs: Sequence[CaseRun], values: Mapping[str, float]) -> tuple[list[float], list[bool]]:
    """Predictions in the runs' own metrics, and whether memory suffices."""
    if not runs:
        return [], []
    numbers, yardstick = stack([each.numbers for each in runs]), Yardstick.of(runs)
    seconds, memory = _step_s(runs, numbers, values), peak_memory(numbers, values)
    read = yardstick.reading(memory, context_bytes(numbers, values)) / 1e9
    answers = np.where(yardstick.memory, read, yardstick.shown(seconds))
    # A run that does not say what it recomputed may have recomputed all it had to.
    unsaid = np.array([any(text.startswith("recompute") for text in each.assumed) for each in runs])
    frugal = numbers._replace(full_recompute=np.where(unsaid, 1.0, numbers.full_recompute))
    need = np.asarray(needed(peak_memory(frugal, values), numbers, values))
    return answers.tolist(), (need <= [each.cluster.accelerator.usable_bytes for each in runs]).tolist()


def _step_s(runs: Sequence[CaseRun], numbers: Run, values: Mapping[str, float]) -> Floats:
    """Time of each run's step [s]; on a measured CPU operator by operator."""
    seconds = np.array(step_time(numbers, values).total, float)
    for place, each in enumerate(runs):
        if each.cluster.accelerator.measured_cpu:
            seconds[place] = float(training_step(each.arch, each.cluster, each.plan).step_s)
    return seconds


@dataclass(frozen=True, slots=True)
class Yardstick:
    """From a step's time to each run's metric: a multiple of it, or `scale` over it where it is a rate."""

    scale: Floats
    rate: Truths
    goodput: Floats
    memory: Truths
    allocated: Truths
    reserved: Truths
    card: Floats

    @classmethod
    def of(cls, runs: Sequence[CaseRun]) -> "Yardstick":
        """The yardstick of many runs, arrays of one element each."""
        metric = np.array([each.metric for each in runs])
        return cls(
            scale=np.array([metric_scale(each) for each in runs]),
            rate=np.isin(metric, RATES),
            goodput=np.array([usual_goodput(each.cluster) if each.whole_run else 1.0 for each in runs]),
            memory=metric == "peak_mem_gb",
            allocated=np.array([_reads_allocated(each) for each in runs]),
            reserved=np.array([each.reading == "reserved" for each in runs]),
            card=np.array([each.cluster.accelerator.memory_bytes for each in runs]),
        )

    def reading(self, memory: MemorySplit, context: Real) -> Real:
        """Peak memory as each run's framework reads it [B]; context: of libraries, which the allocator does not see.

        What the allocator keeps for itself it gives back before the card is full.
        """
        live = memory.total - memory.reserve
        seen = live + memory.reserve - np.where(self.reserved, context, 0.0)
        return np.where(self.allocated, live, np.minimum(seen, np.maximum(live + context, self.card)))

    def shown(self, seconds: Real) -> Floats:
        """Step times [s] in each run's metric; a whole run takes longer than its steps, as it is interrupted."""
        seconds = seconds / self.goodput
        return np.where(self.rate, self.scale / seconds, self.scale * seconds)


def _reads_allocated(case: CaseRun) -> bool:
    said = case.reading == "allocated"
    return said or (not case.reading and framework(case.plan.framework).reads_allocated)


def metric_scale(case: CaseRun) -> float:
    """What a step's time is multiplied by (times), or divides (rates), to give the metric."""
    tokens = float(case.numbers.tokens_per_step)
    count, sequences = case.cluster.count, tokens / float(case.numbers.seq)
    steps = case.total_tokens / tokens
    scales = {
        "tokens_per_s_per_gpu": lambda: tokens / count,
        "step_time_s": lambda: 1.0,
        "tflops_per_gpu": lambda: reported_flop(case, sequences) / count / 1e12,
        "mfu": lambda: reported_flop(case, sequences, utilisation=True) / count / _peak(case),
        "gpu_hours": lambda: steps * count / HOUR_S,
        "days": lambda: steps / DAY_S,
        "peak_mem_gb": lambda: 1.0,
    }
    return float(scales[case.metric]())


def _peak(case: CaseRun) -> float:
    return float(case.numbers.rates.low_peak if case.numbers.low else case.numbers.rates.peak)


def reported_flop(case: CaseRun, sequences: float, utilisation: bool = False) -> float:
    """FLOP of a step as the run's framework counts them; MFU never counts recomputation."""
    habits = framework(case.plan.framework)
    flop = float(model_flop(case.arch, case.plan.seq_len, sequences, causal=habits.counts_causal))
    if not habits.counts_recompute or utilisation or case.plan.recompute != "full":
        return flop
    head = 6.0 * transformer.head_params(case.arch) * float(case.plan.seq_len) * sequences
    return (flop - head) * 4 / 3 + head


# --- ranges and folds ------------------------------------------------------------------------------------------------


def _left_out(runs: Sequence[CaseRun]) -> list[float | None]:
    """For runs of fitted sources, the prediction of the fold that left them out."""
    names = [fold_of(each) for each in runs]
    answers: list[float | None] = [None] * len(runs)
    for name in sorted({name for name in names if name}):
        members = [index for index, other in enumerate(names) if other == name]
        values, _ = predicted([runs[index] for index in members], parameters(name))
        for index, value in zip(members, values, strict=True):
            answers[index] = value
    return answers


def fold_of(case: CaseRun) -> str:
    """The fold that left a run out: its source's, or its LLM's and accelerator's where one source holds most runs."""
    folds = fitted("training")["folds"]
    pair = f"{case.source}/{case.arch.name}/{case.cluster.accelerator.name}"
    return pair if pair in folds else case.source if case.source in folds else ""


def _prediction(case: CaseRun, value: float, fits: bool, left_out: float | None) -> CasePrediction:
    down, up = _half_widths(case)
    if case.metric in RATES:
        down, up = up, down  # a longer time is a lower rate
    usable = math.isfinite(value) and value > 0
    return CasePrediction(
        id=case.id,
        source=case.source,
        metric=case.metric,
        unit=UNITS[case.metric],
        predicted=value if usable else None,
        low=value * math.exp(-down) if usable else None,
        high=value * math.exp(up) if usable else None,
        status="ok" if usable else "unsupported",
        reason=("assumed: " + ", ".join(case.assumed)) if case.assumed and usable else "",
        fits=fits,
        fitted=left_out is not None,
        predicted_loso=left_out,
    )


def _half_widths(case: CaseRun) -> tuple[float, float]:
    if case.cluster.accelerator.measured_cpu and case.metric != "peak_mem_gb":
        return time_interval(case.arch, case.cluster, case.plan)
    return interval(quantity(case.metric), traits(case.arch, case.cluster, case.plan) + sort_of(case))


def sort_of(case: CaseRun) -> tuple[str, ...]:
    """Traits of a published row: a whole run holds restarts and evaluation, and what a row leaves open is assumed."""
    found = ("whole run",) * case.whole_run + ("assumed settings",) * bool(case.assumed)
    return found + ("uneven lengths",) * bool(case.numbers.uneven)


def _refusal(row: Row, reason: str) -> CasePrediction:
    metric = row.get("metric", "")
    return CasePrediction(
        row.get("id", ""), row.get("source", ""), metric, UNITS.get(metric, ""), None, None, None, "unsupported", reason
    )
