"""Do the ranges hold? Nominal against actual coverage per group: python benchmarks/range_coverage.py

Writes the tables of docs/accuracy.md from calibration/fitted/left_out_*.csv, which the fits write.
"""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from estimator.catalog.files import rows
from estimator.fitting.ranges import LEVELS, LeftOut, fit_ranges, judged
from estimator.paths import data_folder

LEAST_RUNS = 40
BETWEEN = {
    "training": ("memory",),
    "retrieval": ("query, server", "query, new server"),  # of builds a database has 7 to 24, too few to tell spreads by
}  # groups of a fit with few sources of many runs
COLUMNS = ("id", "metric", "group", "source", "cell", "error", "trust", "traits")


def left_out_file(fit: str) -> Path:
    """Where a fit (training, serving, retrieval) keeps the errors its ranges rest on."""
    return data_folder("calibration") / "fitted" / f"left_out_{fit}.csv"


def ranges_from(runs: Iterable[Mapping[str, Any]], fit: str) -> dict[str, Any]:
    """Ranges that runs left out of a fit teach; the runs are written down, so that whoever doubts can judge them."""
    written = [{**run, "error": f"{run['error']:.4f}", "traits": "; ".join(run["traits"])} for run in runs]
    with left_out_file(fit).open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        lines.writeheader()
        lines.writerows(written)
    return fit_ranges(LeftOut.of(written, trait_names(written)), between=BETWEEN.get(fit, ()))


def widened(errors: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """By how much the others' errors are larger [1], never less than 1."""
    return round(max(float(np.mean(np.abs(others)) / np.mean(np.abs(errors))), 1.0), 3)


def trait_names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every trait that a run has."""
    return sorted({trait for run in runs for trait in str(run["traits"]).split("; ")} - {""})


# What a run's metric asks, whatever group its range comes from.
QUESTIONS = {
    **dict.fromkeys(("tokens_per_s_per_gpu", "step_time_s", "tflops_per_gpu", "mfu"), "training time"),
    **dict.fromkeys(("gpu_hours", "days"), "whole training runs"),
    "peak_mem_gb": "training memory",
    "decode_tokens_per_s_per_user": "decode, single stream",
    "prefill_tokens_per_s": "prefill",
    **dict.fromkeys(("output_tokens_per_s_total", "output_tokens_per_s_per_gpu"), "throughput"),
    "e2e_s": "latency of a whole batch",
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
    "embeddings_per_s": "embedding",
    "build_s": "index build",
    **dict.fromkeys(("qps", "latency_ms"), "index queries"),
    "memory_gb": "memory of a vector database",
}
FITS = ("training", "serving", "retrieval")
START, END = "<!-- coverage -->", "<!-- end of coverage -->"
REPORT = Path(__file__).parents[1] / "docs" / "accuracy.md"


@dataclass(frozen=True, slots=True)
class Line:
    """Coverage of the runs of one question. covered [1] and width (high / low) by level"""

    name: str
    runs: int
    sources: int
    covered: Mapping[float, float]
    width: Mapping[float, float]


def coverage(fit: str) -> list[Line]:
    """Every question a fit answers: how many runs lie in ranges learnt from all other sources, and how wide those are.

    Runs whose row assumes a field teach the ranges with less weight and are not counted here.
    """
    written = rows(left_out_file(fit), COLUMNS)
    runs = LeftOut.of(written, trait_names(written))
    found = judged(runs, between=BETWEEN.get(fit, ()))
    asked = np.array([QUESTIONS.get(row["metric"], "") for row in written])
    lines = []
    for name in sorted(set(asked) - {""}):
        mine = (asked == name) & (runs.trust == 1) & np.isfinite(found.width[0.8])
        covered = {level: float(found.inside[level][mine].mean()) for level in LEVELS}
        width = {level: float(np.median(found.width[level][mine])) for level in LEVELS}
        sources = {row["source"] for row, counts in zip(written, mine, strict=True) if counts}
        lines.append(Line(name, int(mine.sum()), len(sources), covered, width))
    return lines


def report() -> str:
    """The tables, in Markdown."""
    lines = [line for fit in FITS for line in coverage(fit)]
    head = ["question", "runs", "sources", *(f"{level:.0%} range holds, width" for level in LEVELS)]
    table = [
        [line.name, line.runs, line.sources]
        + [f"{line.covered[level]:.0%}, x{line.width[level]:.2f}" for level in LEVELS]
        for line in lines
    ]
    few = [line.name for line in lines if line.runs < LEAST_RUNS]
    traits = [
        [trait, *(f"x{factors[trait]:.2f}" if trait in factors else "-" for factors in map(wider, FITS))]
        for trait in sorted({trait for fit in FITS for trait in wider(fit)})
    ]
    return "\n\n".join(
        [
            tabulate(table, head, tablefmt="github"),
            f"Fewer than {LEAST_RUNS} runs say little: {', '.join(few)}.",
            "By how much a range is wider:",
            tabulate(traits, ["what is known of a run", *FITS], tablefmt="github"),
        ]
    )


def wider(fit: str) -> dict[str, float]:
    """Factor of every trait in a fit."""
    path = data_folder("calibration") / "fitted" / f"{fit}.json"
    factors: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["ranges"]["wider"]
    return factors


def main() -> int:
    """Write the tables into the page on accuracy."""
    page = REPORT.read_text(encoding="utf-8")
    before, rest = page.split(START)
    REPORT.write_text(f"{before}{START}\n\n{report()}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
