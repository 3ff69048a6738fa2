"""The published runs a prediction leans on: those most like what is asked, and how far off their predictions are."""

import math
from dataclasses import dataclass
from importlib import import_module

from estimator.catalog.accelerators import accelerator
from estimator.catalog.cases import Case, CaseKind, published, read_cases
from estimator.catalog.files import cached, recent
from estimator.errors import EstimatorError
from estimator.records import Accelerator
from estimator.validation.report import CasePrediction, with_measurement

OTHER_CHIP, OTHER_GENERATION = 1.0, 2.0  # as far as e or e^2 times as many parameters
TIMES = ("tokens_per_s_per_gpu", "step_time_s", "decode_tokens_per_s_per_user", "output_tokens_per_s_total")


@dataclass(frozen=True, slots=True)
class NearRun:
    """One measured run: what ran where, its source, and |ln(predicted / measured)| with that source left out [1]."""

    what: str
    source: str
    measured: str
    error: float

    def __str__(self) -> str:
        return f"{self.what}: {self.measured}, predicted {math.expm1(self.error):.0%} off without it [{self.source}]"


@recent(256)
def nearest_runs(kind: CaseKind, device: Accelerator, params: float, most: int = 3) -> list[NearRun]:
    """The published runs most like `params` parameters on `device`, one of each source, nearest first.

    >>> from estimator.catalog.accelerators import accelerator
    >>> len(nearest_runs("training", accelerator("a100"), 7e9))
    3
    """
    chosen: dict[str, Case] = {}
    for row in sorted(_rows(kind), key=lambda row: _distance(row, device, params)):
        if len(chosen) < most:
            chosen.setdefault(row["source"], row)
    rows = list(chosen.values())
    predicted: list[CasePrediction] = import_module(f"estimator.validation.{kind}").predict_cases(rows)
    cases = [with_measurement(case, row["value"]) for case, row in zip(predicted, rows, strict=True)]
    return [_run(row, case) for row, case in zip(rows, cases, strict=True) if case.predicted and case.measured]


@cached
def _rows(kind: CaseKind) -> tuple[Case, ...]:
    rows = read_cases(published(kind))
    return tuple(row for row in rows if row["metric"] in TIMES and row.get("params_b") and not row.get("flag"))


def _distance(row: Case, device: Accelerator, params: float) -> float:
    """How unlike two runs are: the ratio of sizes in ln, and another chip or generation of chip."""
    apart = abs(math.log(float(row["params_b"]) * 1e9 / params))
    if row["gpu"] == device.name:
        return apart
    try:
        same_generation = accelerator(row["gpu"]).generation == device.generation
    except EstimatorError:
        same_generation = False
    return apart + (OTHER_CHIP if same_generation else OTHER_GENERATION)


def _run(row: Case, case: CasePrediction) -> NearRun:
    value, measured = case.predicted_loso or case.predicted or math.nan, case.measured or math.nan
    what = f"{row['model']} on {row.get('n_gpus') or 1} x {row['gpu']}"
    return NearRun(what, row["source"], f"{measured:,.4g} {row['metric']}", abs(math.log(value / measured)))
