"""KV cache pools that engines logged when they started, against what the memory split says: calibration/published."""

import math
from typing import Any, NamedTuple

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.cases import Case
from estimator.catalog.files import rows
from estimator.catalog.models import architecture
from estimator.paths import data_folder
from estimator.predict.serving import memory_split, sequence_bytes
from estimator.predict.serving_machine import ServingPlan

MANY = 1000.0  # tokens over which a cache's bytes per token are taken, windows aside


class Pool(NamedTuple):
    """Tokens that a cache holds as an engine logged them, and as predicted."""

    case: Case
    logged: float
    predicted: float

    @property
    def error(self) -> float:
        """ln(predicted / logged) [1]."""
        return math.log(self.predicted / self.logged)


def pools() -> list[Pool]:
    """Every log, predicted."""
    return [_pool(row) for row in rows(data_folder("calibration") / "published" / "cache_pools.csv")]


def _pool(row: Case) -> Pool:
    count = int(row["n_gpus"])
    llm, cluster = architecture(row["model"]), cluster_of(accelerator(row["gpu"]), count)
    year, month = row["engine_date"].split("-")
    told: dict[str, Any] = {name: row[name] for name in ("weight_precision", "kv_precision") if row[name]}
    told |= {name: int(row[name]) for name in ("max_context", "max_sequences", "max_batched_tokens") if row[name]}
    plan = ServingPlan(
        **told,
        engine=row["engine"],
        engine_year=int(year) + (int(month) - 1) / 12.0,
        memory_fraction=float(row["memory_fraction"]),
        chunked_prefill=row["chunked_prefill"] == "yes",
        tp=count,
    )
    held = memory_split(llm, cluster, plan).kv_available
    return Pool(row, float(row["tokens"]), held / float(sequence_bytes(llm, plan, MANY)) * MANY)
