"""What the configuration beside a run's logs says of it, as `estimator record` takes it."""

from collections.abc import Sequence
from pathlib import Path

from estimator.configs import Run, read_run
from estimator.records import Architecture, Cluster
from estimator.verdict import clusters_of
from estimator.verdict.named import llm_of
from estimator.verdict.plans import planned
from estimator.verdict.served import serving_plan

TRAINED = ("seq_len", "micro_batch", "global_batch", "tp", "pp", "cp", "ep", "zero", "recompute", "precision", "method",
    "lora_targets", "optimizer", "framework")  # fmt: skip
SERVED = ("engine", "tp", "pp", "weight_precision", "kv_precision")


def fields_of(files: Sequence[str | Path], model: str | None = None, gpu: str | None = None) -> dict[str, object]:
    """Fields of a run from its configuration, read as `check` reads it; model, gpu: where it does not say them.

    Raises InvalidInput for files that are none, or do not say on what they ran.
    """
    run, notes = read_run(files), list[str]()
    cluster = clusters_of(run, gpu, notes)[0]
    llm = llm_of(run, model, notes)
    found = _trained(run, llm, cluster) if run.task == "training" else _served(run, llm, cluster)
    named = {"model": llm.name, "gpu": f"{cluster.count}x{cluster.accelerator.name}"}
    return named | {name: _whole(value) for name, value in found.items() if value is not None}


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _trained(run: Run, llm: Architecture, cluster: Cluster) -> dict[str, object]:
    plan = planned(run, llm, cluster).plan
    rank = {} if plan.method == "full" else {"lora_rank": plan.lora_rank}
    return {name: getattr(plan, name) for name in TRAINED} | rank | ({"packing": "packed"} if _packed(run) else {})


def _packed(run: Run) -> bool:
    return bool(run.settings.get("packed"))


def _served(run: Run, llm: Architecture, cluster: Cluster) -> dict[str, object]:
    plan = serving_plan(run, llm, cluster.count)
    return {name: getattr(plan, name) for name in SERVED}
