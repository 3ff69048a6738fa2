"""Metrics under other names: the same measurement in another unit or spelling goes by the name a predictor knows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from estimator.catalog.cases import Case, CaseKind
from estimator.validation.report import CasePrediction

# Of each kind: other name -> the name a predictor knows, and what one of its units is in the other's.
OTHER_NAMES: Mapping[CaseKind, Mapping[str, tuple[str, float]]] = {
    "training": {
        **dict.fromkeys(("memory_bytes", "peak_memory_bytes", "peak_mem_bytes"), ("peak_mem_gb", 1e9)),
        **dict.fromkeys(("memory_gb", "peak_memory_gb"), ("peak_mem_gb", 1.0)),
        "step_time_ms": ("step_time_s", 1e3),
    },
    "inference": {
        **{f"{name}_s": (f"{name}_ms", 1e-3) for name in ("ttft", "tpot", "itl")},
        "e2e_ms": ("e2e_s", 1e3),
        "output_tokens_per_s": ("output_tokens_per_s_total", 1.0),
    },
    "retrieval": {"memory_bytes": ("memory_gb", 1e9), "latency_s": ("latency_ms", 1e-3), "queries_per_s": ("qps", 1.0)},
}
UNITS = {"bytes": "B", "gb": "GB", "s": "s", "ms": "ms"}


def known_row(kind: CaseKind, row: Case) -> Case:
    """The row with its metric under the name that is known; as it is when no other name is known for it.

    >>> known_row("inference", {"metric": "ttft_s"})
    {'metric': 'ttft_ms'}
    """
    name, _ = OTHER_NAMES[kind].get(row.get("metric", ""), (row.get("metric", ""), 1.0))
    return row | {"metric": name}


def as_asked(kind: CaseKind, metric: str, case: CasePrediction) -> CasePrediction:
    """A prediction in the metric that the row has."""
    if metric not in OTHER_NAMES[kind]:
        return case
    _, scale = OTHER_NAMES[kind][metric]
    figures: dict[str, Any] = {name: getattr(case, name) for name in ("predicted", "low", "high", "predicted_loso")}
    scaled: dict[str, Any] = {name: None if value is None else value * scale for name, value in figures.items()}
    unit = case.unit if scale == 1.0 else UNITS[metric.rpartition("_")[2]]
    return replace(case, metric=metric, unit=unit, **scaled)
