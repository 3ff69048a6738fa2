"""The published runs as the adapters want them: plain numbers, the metric, and what makes a metric of an answer."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from estimator.catalog.cases import published
from estimator.errors import EstimatorError
from estimator.predict.serving import Traffic, serving
from estimator.predict.training import training_step
from estimator.records import Architecture
from estimator.validation import inference, training
from estimator.validation.report import CasePrediction

STATED = ("tp", "pp", "micro_batch", "global_batch_seqs", "recompute")  # a training layout is compared when all are
BITS_PER_BYTE = 8


@dataclass(frozen=True)
class Compared:
    """One published run: the case for adapters, what was measured, our predictions, and how to time ours."""

    case: dict[str, Any]
    group: str
    measured: float
    fitted: float
    left_out: float | None
    ours: Any

    def in_metric(self, found: Mapping[str, float]) -> float | None:
        """A peer's answer in the run's metric; None when it does not say."""
        return _training_metric(self, found) if self.case["kind"] == "training" else _serving_metric(self.case, found)


def compared() -> Iterator[Compared]:
    """Training runs whose layout is stated in full, and all serving runs of GPUs."""
    yield from _training()
    yield from _serving()


def _rows(kind: str) -> list[dict[str, str]]:
    with published(kind).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _shape(arch: Architecture) -> dict[str, Any]:
    experts = arch.experts
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
    return {
        **{name: getattr(arch, name) for name in names},
        "gated": arch.gated_mlp,
        "experts": experts.experts if experts else 0,
        "per_token": experts.per_token if experts else 0,
        "moe_ffn": experts.ffn if experts else 0,
    }


# --- training ---------------------------------------------------------------------------------------------------------


def _training() -> Iterator[Compared]:
    rows = [row for row in _rows("training") if all(row[name] for name in STATED) and not row["n_experts"]]
    rows = [row for row in rows if row["family"] in ("pretrain", "full_ft")]
    for row, mine in zip(rows, training.predict_cases(rows), strict=True):
        if mine.predicted is None:
            continue
        run = training.case_run(row)
        group = "training memory" if row["metric"] == "peak_mem_gb" else "training time"
        yield Compared(
            _training_case(run), group, float(row["value"]), mine.predicted, mine.predicted_loso, _step_of(run)
        )


def _step_of(run: training.CaseRun) -> Any:
    return lambda: training_step(run.arch, run.cluster, run.plan)


def _training_case(run: training.CaseRun) -> dict[str, Any]:
    plan, numbers = run.plan, run.numbers
    return {
        "id": run.id,
        "kind": "training",
        "metric": run.metric,
        "model": run.arch.name,
        "arch": _shape(run.arch),
        "gpu": run.cluster.accelerator.name,
        "count": run.cluster.count,
        "seq_len": int(plan.seq_len),
        "micro_batch": int(plan.micro_batch),
        "accumulation": int(numbers.ga),
        "dp": int(numbers.dp),
        **{name: int(getattr(plan, name)) for name in ("tp", "pp", "vpp", "cp", "zero")},
        "recompute": str(plan.recompute),
        "flash": plan.fused_attention,
        "weight_bits": 16,
        "low_bits": bool(numbers.low > 0),
        "step_s": float(training_step(run.arch, run.cluster, plan).step_s),
    }


def _training_metric(one: Compared, found: Mapping[str, float]) -> float | None:
    """By the ratio of the steps: whatever the metric, it is made of the step in the same way."""
    if one.group == "training memory":
        return found["peak_bytes"] / 1e9 if "peak_bytes" in found else None
    if "step_s" not in found:
        return None
    slower = found["step_s"] / one.case["step_s"]
    return one.fitted / slower if one.case["metric"] in training.RATES else one.fitted * slower


# --- serving ----------------------------------------------------------------------------------------------------------


def _serving() -> Iterator[Compared]:
    rows = [row for row in _rows("inference") if not row["flag"]]
    for row, mine in zip(rows, inference.predict_cases(rows), strict=True):
        run = _read(row)
        if run is None or mine.predicted is None or run.group in ("embedding", "online"):
            continue
        if run.cluster.accelerator.kind != "gpu" or run.kind == "rate":
            continue
        yield _serving_one(row, run, mine)


def _read(row: dict[str, str]) -> inference.Run | None:
    try:
        return inference.read_run(row)
    except EstimatorError:
        return None


def _serving_one(row: dict[str, str], run: inference.Run, mine: CasePrediction) -> Compared:
    load, plan = run.load, run.load.plan
    lengths = (float(load.prompt), float(load.output), float(load.cached))
    spread = max(run.cluster.count // (plan.tp * plan.pp), 1)
    experts = plan.ep if plan.ep > 1 else 1
    case = {
        "id": run.id,
        "kind": "serving",
        "metric": run.metric,
        "model": row["model"],
        "arch": _shape(load.arch),
        "gpu": run.cluster.accelerator.name,
        "count": run.cluster.count,
        "engine": row["engine"],
        "tp": plan.tp,
        "pp": plan.pp,
        "attention_dp": spread if load.arch.experts else 1,
        "moe_ep": experts,
        "moe_tp": max(plan.tp * spread // experts, 1),
        "batch": max(round(run.active), 1),
        "input_len": int(lengths[0]),
        "output_len": int(lengths[1]),
        "prefix_len": int(lengths[2]),
        "weights": plan.weight_precision,
        "cache": plan.cache(load.arch).name,
        "weight_bits": plan.layers(load.arch).bits,
        "compute": plan.layers(load.arch).compute,
    }
    traffic = Traffic(*lengths, batch=run.active) if run.kind == "batch" else Traffic(*lengths, concurrency=run.number)
    return Compared(
        case,
        GROUPS.get(run.group, run.group),
        float(row["value"]),
        mine.predicted or 0.0,
        mine.predicted_loso,
        lambda: serving(load.arch, run.cluster, plan, traffic),
    )


GROUPS = {"decode": "decode, no load", "prefill": "prefill, no load", "offline": "throughput"}


def _serving_metric(case: Mapping[str, Any], found: Mapping[str, float]) -> float | None:
    made = {
        "decode_tokens_per_s_per_user": lambda: 1 / found["tpot_s"],
        "prefill_tokens_per_s": lambda: case["batch"] * case["input_len"] / found["prefill_s"],
        "ttft_ms": lambda: 1000 * found["ttft_s"],
        "tpot_ms": lambda: 1000 * found["tpot_s"] if "ttft_s" in found else None,
        "e2e_s": lambda: found["total_s"],
        "output_tokens_per_s_total": lambda: _throughput(case, found),
        "output_tokens_per_s_per_gpu": lambda: _throughput(case, found) / case["count"],
    }
    try:
        return made[case["metric"]]()  # type: ignore[no-any-return]
    except (KeyError, ZeroDivisionError):
        return None


def _throughput(case: Mapping[str, Any], found: Mapping[str, float]) -> float:
    """Output tokens a second: as the peer says, else of one batch from start to end."""
    return found.get("tokens_per_s") or case["batch"] * case["output_len"] / found["total_s"]
