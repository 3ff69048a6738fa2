"""Do the ranges hold? Nominal against actual coverage per group: python benchmarks/coverage.py > benchmarks/coverage.md

Each published run is predicted with its own source left out of the fit. The interval it is judged by comes from the
residuals of all *other* sources, so neither the prediction nor the range has seen the run's source. Where one source
holds more than half of a group, one (LLM, accelerator) of it at a time is left out of the interval instead.
"""

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimator.catalog.cases import published
from estimator.fitting.conformal import conformal_ends, units
from estimator.validation import validate

LEVELS = (0.5, 0.8, 0.9)
LEAST_ROWS = 40
GROUPS = {
    "tokens_per_s_per_gpu": "training time",
    "step_time_s": "training time",
    "tflops_per_gpu": "training time",
    "mfu": "training time",
    "peak_mem_gb": "training memory",
    "decode_tokens_per_s_per_user": "single stream",
    "prefill_tokens_per_s": "prefill",
    "output_tokens_per_s_total": "throughput",
    "output_tokens_per_s_per_gpu": "throughput",
    "e2e_s": "end-to-end latency",
    "ttft_ms": "TTFT under load",
    "tpot_ms": "TPOT",
    "embeddings_per_s": "embedding",
    "build_s": "index build",
    "qps": "index queries",
    "latency_ms": "index queries",
}


@dataclass(frozen=True)
class Residual:
    """ln(measured / predicted) of one run, and what it must not learn its interval from."""

    source: str
    cell: str
    error: float


def residuals() -> dict[str, list[Residual]]:
    """Residuals of all published runs that were predicted, by group."""
    found: dict[str, list[Residual]] = defaultdict(list)
    for name in ("training", "inference", "retrieval"):
        path = published(name)
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
        for case in validate([path]).cases:
            row = rows[case.id]
            value = case.predicted_loso or case.predicted
            doubtful = row.get("quality") == "caution" or (row.get("flag") or "")
            if case.metric in GROUPS and value and case.measured and not doubtful:
                cell = f"{row.get('model') or row.get('n_vectors')}/{row.get('gpu') or row.get('dim')}"
                found[GROUPS[case.metric]].append(Residual(case.source, cell, math.log(case.measured / value)))
    return found


def coverage(group: Sequence[Residual], level: float) -> tuple[float, float]:
    """Share of runs inside the interval that all other units teach, and the median width (high / low)."""
    unit = np.array(units([item.source for item in group], [item.cell for item in group]))
    errors = np.array([item.error for item in group])
    inside, widths = [], []
    for name in np.unique(unit):
        judged, learnt = unit == name, unit != name
        low, high = conformal_ends(errors[learnt].tolist(), unit[learnt].tolist(), level)
        inside += ((low <= errors[judged]) & (errors[judged] <= high)).tolist()
        widths += [math.exp(high - low)] * int(judged.sum())
    return float(np.mean(inside)), float(np.median(widths))


def main() -> int:
    """Print the table."""
    print("# Do the ranges hold?\n\nMade by `python benchmarks/coverage.py > benchmarks/coverage.md`.\n")
    print((__doc__ or "").split("\n\n", 1)[1])
    print("| group | runs | sources | " + " | ".join(f"{level:.0%}: covered, width" for level in LEVELS) + " |")
    print("|---|---|---|" + "---|" * len(LEVELS))
    for name, group in sorted(residuals().items()):
        if len(group) < LEAST_ROWS:
            continue
        cells = [coverage(group, level) for level in LEVELS]
        shown = " | ".join(f"{share:.0%}, x{width:.2f}" for share, width in cells)
        print(f"| {name} | {len(group)} | {len({item.source for item in group})} | {shown} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
