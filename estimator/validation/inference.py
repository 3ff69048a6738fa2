"""Inference cases: from a row's configuration to a prediction in the row's own metric.

Only configuration columns are read; any but id, source and metric (or task) may be missing. Never the measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.errors import EstimatorError, InvalidInput
from estimator.formulas.serving import Pass, forward_pass
from estimator.formulas.serving import stacked as stacked_passes
from estimator.predict import serving_load as load
from estimator.predict.serving import memory_split, sequence_bytes
from estimator.predict.serving_machine import ServingPlan, machine
from estimator.predict.serving_time import Constants, Machine, pass_s
from estimator.predict.serving_time import stacked as stacked_machines
from estimator.records import Architecture, Cluster, Experts

Floats = NDArray[np.float64]
Row = Mapping[str, str]

SEQUENCES_QUEUED = 2000.0  # requests of an offline benchmark that does not say how many
ASSUMED_TOKENS = 128.0  # prompt, output or text length where a row states none

TASK_OF_METRIC = {
    "ttft_ms": "ttft",
    "tpot_ms": "tpot",
    "itl_ms": "tpot",
    "prefill_tokens_per_s": "prefill",
    "decode_tokens_per_s_per_user": "decode",
    "embeddings_per_s": "embedding",
    "pairs_per_s": "rerank",
}
GROUPS = ("decode", "prefill", "offline", "tpot", "ttft", "online", "embedding")


@dataclass(frozen=True, slots=True)
class Run:
    """One row's configuration. load: what `number` counts - a batch, clients in a closed loop, or requests a second."""

    id: str
    source: str
    task: str
    metric: str
    arch: Architecture
    cluster: Cluster
    plan: ServingPlan
    prompt: float
    output: float
    cached: float
    load: str
    number: float
    slots: float
    fits: bool

    @property
    def group(self) -> str:
        """Which kind of prediction it is; latency without load counts as decode or prefill."""
        if self.task in ("embedding", "rerank"):
            return "embedding"
        if self.task in ("prefill", "single_stream", "decode"):
            return "prefill" if self.task == "prefill" else "decode"
        if self.task in ("ttft", "tpot"):
            alone = {"ttft": "prefill", "tpot": "decode"}
            return alone[self.task] if self.number <= 1 else self.task
        return "online" if self.task == "online" else "offline"

    @property
    def stages(self) -> float:
        """Pipeline stages that work side by side, each on its share of the sequences [1]."""
        return 1.0 if self.plan.facts.layer_split or self.active < self.plan.pp else float(self.plan.pp)

    @property
    def active(self) -> float:
        """Sequences decoded together [1]."""
        if self.load == "batch":
            return self.number
        if self.plan.facts.batching == "static" and self.task in ("online", "ttft", "tpot"):
            return 1.0  # one request after the other
        return max(min(self.number, self.slots), 1.0)


def read_run(row: Row) -> Run:
    """The configuration of a row. Raises EstimatorError, saying what is missing or unknown."""
    metric = row.get("metric", "")
    task = row.get("task") or _task(row, metric)
    plan, cluster = _plan(row), _cluster(row)
    arch = _architecture(row, task)
    encoder = task in ("embedding", "rerank")
    prompt = _number(row, "input_len", ASSUMED_TOKENS)
    output = 1.0 if encoder else max(_number(row, "output_len", ASSUMED_TOKENS), 1.0)
    kind, number = _load(row, task)
    held = memory_split(arch, cluster, plan)
    each = float(sequence_bytes(arch, plan, prompt + output))
    slots = held.kv_available / each if each > 0 else np.inf
    if kind == "rate":
        number = min(number, SEQUENCES_QUEUED)
    return Run(
        id=row.get("id", ""),
        source=row.get("source", ""),
        task=task,
        metric=metric,
        arch=arch,
        cluster=cluster,
        plan=plan,
        prompt=prompt,
        output=output,
        cached=min(_number(row, "prefix_len", 0.0), max(prompt - 1.0, 0.0)),
        load=kind,
        number=number,
        slots=min(max(slots, 1.0), plan.facts.max_sequences),
        fits=held.kv_available > 0 and slots >= 1,
    )


def _task(row: Row, metric: str) -> str:
    if metric in TASK_OF_METRIC:
        return TASK_OF_METRIC[metric]
    batch = row.get("batch_or_concurrency", "")
    if metric == "e2e_s" or batch == "1":
        return "single_stream" if batch in ("", "1") else "offline_throughput"
    if "per_s" in metric:
        return "online" if batch.startswith("qps") else "offline_throughput"
    raise InvalidInput(f"no inference metric is called {metric!r}; known are {', '.join(sorted(TASK_OF_METRIC))}, ...")


def _number(row: Row, column: str, missing: float) -> float:
    text = row.get(column, "")
    if not text:
        return missing
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{column} must be a number, not {text!r}") from None


def _load(row: Row, task: str) -> tuple[str, float]:
    """What the column batch_or_concurrency means in this task."""
    text = row.get("batch_or_concurrency", "").lower()
    digits = text.removeprefix("qps")
    offline = task not in ("single_stream", "decode", "prefill", "embedding", "rerank", "ttft", "tpot", "online")
    if text in ("", "max"):
        return ("clients", SEQUENCES_QUEUED) if offline or text == "max" else ("batch", 1.0)
    try:
        number = float(digits)
    except ValueError:
        raise InvalidInput(f"batch_or_concurrency must be a number, 'max' or 'qpsN', not {text!r}") from None
    if text.startswith("qps"):
        return "rate", number
    return ("clients" if task in ("ttft", "tpot", "online") else "batch"), max(number, 1.0)


def _plan(row: Row) -> ServingPlan:
    tp, pp = int(_number(row, "tp", 0)), int(_number(row, "pp", 0))
    count = int(_number(row, "n_gpus", max(tp, 1) * max(pp, 1)))
    if not tp:
        tp = max(count // max(pp, 1), 1)
    pp = max(pp, 1)
    return ServingPlan(
        weight_precision=row.get("weight_precision") or "bf16",
        kv_precision=row.get("kv_precision") or None,
        activation_precision=row.get("activation_precision") or None,
        engine=row.get("engine") or "unknown",
        tp=tp,
        pp=pp,
        ep=max(int(_number(row, "ep", 0)), count // pp if count > tp * pp else 1),
    )


def _cluster(row: Row) -> Cluster:
    if not row.get("gpu"):
        raise InvalidInput("the case states no 'gpu'")
    count = int(_number(row, "n_gpus", _number(row, "tp", 1) * _number(row, "pp", 1)))
    return cluster_of(accelerator(row["gpu"]), max(count, 1))


SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


def _architecture(row: Row, task: str) -> Architecture:
    """The catalogue's record where the name is known and the stated shape agrees; else the stated shape."""
    stated = {name: int(_number(row, name, 0)) for name in SHAPE}
    try:
        known = architecture(row.get("model", ""))
    except EstimatorError:
        known = None
    if known and all(getattr(known, name) == stated[name] for name in ("layers", "hidden") if stated[name]):
        return known
    if not all(stated[name] for name in ("layers", "hidden", "heads")):
        raise InvalidInput(f"the model {row.get('model', '')!r} is not known and its shape is not stated")
    return _stated_shape(row, stated, task)


def _stated_shape(row: Row, stated: Mapping[str, int], task: str) -> Architecture:
    hidden, heads = stated["hidden"], stated["heads"]
    experts, visited = int(_number(row, "n_experts", 0)), int(_number(row, "experts_per_token", 0))
    ffn = stated["ffn"] or 4 * hidden
    return Architecture(
        name=row.get("model", ""),
        layers=stated["layers"],
        hidden=hidden,
        heads=heads,
        kv_heads=stated["kv_heads"] or heads,
        head_dim=stated["head_dim"] or hidden // heads,
        ffn=ffn,
        vocab=stated["vocab"] or 32000,
        gated_mlp=bool(_number(row, "gated_mlp", 1)),
        kind="encoder" if task in ("embedding", "rerank") else "decoder",
        experts=Experts(experts, visited or 1, ffn) if experts else None,
        basis="assumed",
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs counted: their prompt pass and decode step, on their machines, and how they are loaded (arrays)."""

    runs: tuple[Run, ...]
    machines: Machine
    prompt: Pass
    step: Pass
    output: Floats
    active: Floats
    clients: Floats
    stages: Floats
    families: tuple[str, ...]
    family: NDArray[np.intp]

    def factor(self, phase: str, constants: Constants) -> Floats:
        """Each run's engine's own factor on the times of a phase [1]; 1 for an engine the fit did not see."""
        return np.array([constants.get(f"{phase}@{name}", 1.0) for name in self.families])[self.family]


def counted(runs: Sequence[Run]) -> Batch:
    """Count every run once; timing it with other constants is then cheap."""
    prompts, steps = zip(*(_passes(run) for run in runs), strict=True)
    clients = [run.number if run.load == "clients" else run.active for run in runs]
    families, family = np.unique([run.plan.facts.family for run in runs], return_inverse=True)
    return Batch(
        runs=tuple(runs),
        machines=stacked_machines([machine(run.arch, run.cluster, run.plan) for run in runs]),
        prompt=stacked_passes(list(prompts)),
        step=stacked_passes(list(steps)),
        output=np.array([run.output for run in runs]),
        active=np.array([run.active for run in runs]),
        clients=np.array(clients),
        stages=np.array([run.stages for run in runs]),
        families=tuple(families.tolist()),
        family=family,
    )


def _passes(run: Run) -> tuple[Pass, Pass]:
    """The prompt's pass and a decode step in the middle of the output.

    Under load each prompt comes alone; in pipeline parallelism each stage works on its share of the sequences.
    """
    chunk, new = run.plan.facts.prefill_chunk, max(run.prompt - run.cached, 1.0)
    copies, cache = run.plan.layout.attention_replicas, run.plan.cache.bytes
    each = run.active / run.stages
    together = each if run.load == "batch" else load.prompts_per_pass(run.active, run.output, chunk / new)
    prompt = forward_pass(run.arch, new, run.cached, np.maximum(together / copies, 1.0), cache)
    context = run.prompt + run.output / 2.0
    step = forward_pass(run.arch, 1.0, context, max(each / copies, 1.0), cache)
    return prompt, step


def predicted(batch: Batch, constants: Constants) -> Floats:
    """Every run's metric, in its unit."""
    static = np.array([run.load == "batch" for run in batch.runs])
    shared = np.where(static, batch.stages / (2.0 * batch.stages - 1.0), batch.prompt.sequences)
    prompt = pass_s(batch.prompt, batch.machines, constants) / shared * batch.factor("prefill", constants)
    step = pass_s(batch.step, batch.machines, constants) * batch.factor("decode", constants)
    return in_metric(batch, prompt, step, constants)


def in_metric(batch: Batch, prompt: Floats, step: Floats, constants: Constants) -> Floats:
    """From times of passes to each run's metric."""
    output, active, stages = batch.output, batch.active, batch.stages
    static = np.array([run.load == "batch" for run in batch.runs])
    whole = prompt + (output - 1.0) * step
    rate = np.where(static, active / whole, load.closed_requests_per_s(active, output, prompt, step, stages))
    offered = np.array([run.number if run.load == "rate" else np.inf for run in batch.runs])
    rate = np.minimum(rate, offered)
    ttft = np.where(static, prompt, load.closed_ttft_s(batch.clients, active, output, prompt, step, constants, stages))
    tpot = np.where(static, step, load.interrupted_tpot_s(active, output, prompt, step, constants))
    accelerators = np.array([float(run.cluster.count) for run in batch.runs])
    tokens = np.array([run.prompt for run in batch.runs])
    per_metric = {
        "output_tokens_per_s_total": rate * output,
        "output_tokens_per_s_per_gpu": rate * output / accelerators,
        "total_tokens_per_s": rate * (output + tokens),
        "requests_per_s": rate,
        "e2e_s": np.where(static, whole, ttft + (output - 1.0) * tpot),
        "ttft_ms": 1e3 * ttft,
        "tpot_ms": 1e3 * tpot,
        "itl_ms": 1e3 * tpot,
        "decode_tokens_per_s_per_user": 1.0 / tpot,
        "decode_tokens_per_s_total": active / tpot,
        "prefill_tokens_per_s": active * tokens / prompt,
        "embeddings_per_s": active / prompt,
        "pairs_per_s": active / prompt,
    }
    chosen = np.array([_series(run) for run in batch.runs])
    answers = np.full(len(batch.runs), np.nan)
    for name, values in per_metric.items():
        answers = np.where(chosen == name, values, answers)
    return answers


def _series(run: Run) -> str:
    """A decode benchmark's total leaves the prompt out."""
    return (
        "decode_tokens_per_s_total" if (run.task, run.metric) == ("decode", "output_tokens_per_s_total") else run.metric
    )
