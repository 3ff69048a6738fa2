"""How far off predictions are, by the groups that accuracy is promised in: python benchmarks/score.py CASES... [--to F]

Each row is predicted from its configuration, with its source left out where the constants were fitted to it, and
plainly where they were not. The error of a group is the mean over its sources of their median |ln(predicted /
measured)|, since a few large sources would decide everything; sources of fewer than five rows in a group count together
as one. Coverage is the share of rows inside the 80 % range; width the median of high over low. Both stand in one row:
neither is bought with the other. Rows whose `quality` or `flag` says that a field was assumed are counted apart.
"""

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from tabulate import tabulate

from estimator.catalog.accelerators import accelerator
from estimator.catalog.cases import Case, kind, read_cases
from estimator.catalog.frameworks import framework
from estimator.validation import CasePrediction, validate

FEWEST = 5  # rows of a source that counts alone
ADAPTERS = ("lora", "qlora")
LOADED = ("closed", "closed together", "burst", "rate")
HEADS = ("group", "rows", "sources", "caution", "unsupported", "error", "median of all", "inside 80 %", "width")
HEADS += ("did not fit",)


@dataclass(frozen=True)
class Scored:
    """A row beside its prediction."""

    row: Case
    case: CasePrediction

    @property
    def error(self) -> float:
        """ln(predicted / measured), the source left out [1]."""
        predicted = self.case.predicted_loso or self.case.predicted or math.nan
        return math.log(predicted / (self.case.measured or math.nan))

    @property
    def ends(self) -> tuple[float, float]:
        """The 80 % range around the prediction with the source left out, over the prediction [ln]."""
        low, high, centre = self.case.low or math.nan, self.case.high or math.nan, self.case.predicted or math.nan
        return math.log(low / centre), math.log(high / centre)

    @property
    def inside(self) -> bool:
        """Whether the range holds the measurement."""
        low, high = self.ends
        return low <= -self.error <= high

    @property
    def clean(self) -> bool:
        """Whether whoever collected the row assumed nothing."""
        return self.row.get("quality", "ok") == "ok" and not self.row.get("flag")


def main() -> None:
    """Print the table, or write it to a file."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("cases", nargs="+", type=Path)
    asked.add_argument("--to", type=Path)
    options = asked.parse_args()
    lines = [line for path in options.cases for line in scores(path)]
    table = tabulate(lines, HEADS, "github", floatfmt=".3f")
    if options.to:
        explained = (__doc__ or "").split("\n", 2)[2].strip()
        options.to.write_text(f"# Scores\n\n{explained}\n\n{table}\n", encoding="utf-8")
    else:
        print(table)


def scores(path: Path) -> Iterable[list[object]]:
    """A line of the table for each group of a case file."""
    rows = read_cases(path)
    groups: dict[str, list[Scored]] = defaultdict(list)
    of = GROUPS[kind(rows[0])]
    for row, case in zip(rows, validate([path]).cases, strict=True):
        for name in of(row):
            groups[name].append(Scored(row, case))
    return [line(name, runs) for name, runs in sorted(groups.items())]


def line(name: str, runs: Sequence[Scored]) -> list[object]:
    """What is counted of a group: clean rows that could be predicted."""
    clean = [run for run in runs if run.clean]
    known = [run for run in clean if run.case.status == "ok" and run.case.measured and run.case.predicted]
    counts = [len(known), len({run.row["source"] for run in known}), len(runs) - len(clean), len(clean) - len(known)]
    if not known:
        return [name, *counts]
    errors = [abs(run.error) for run in known]
    width = median(math.exp(high - low) for low, high in (run.ends for run in known))
    too_big = mean(run.case.fits is False for run in known)
    return [name, *counts, of_sources(known), median(errors), mean(run.inside for run in known), width, too_big]


def of_sources(runs: Sequence[Scored]) -> float:
    """Mean over sources of the median error [1]."""
    size = Counter(run.row["source"] for run in runs)
    pools: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        source = run.row["source"]
        pools[source if size[source] >= FEWEST else ""].append(abs(run.error))
    return mean(median(pool) for pool in pools.values())


def training_groups(row: Case) -> Iterable[str]:
    """Memory by family and whether the framework is listed; time by what a run is like."""
    if row["family"] == "total_run":
        return ["time: whole runs"]
    listed = "listed" if framework(row["framework"]).known else "unlisted"
    if row["metric"] == "peak_mem_gb":
        family = "adapters" if row["family"] in ADAPTERS else row["family"]
        return ["memory: all", f"memory: {family}, framework {listed}"]
    if accelerator(row["gpu"]).vendor != "NVIDIA":
        return ["time: other than NVIDIA"]
    found = ["time: NVIDIA", f"time: NVIDIA, framework {listed}"]
    if row["family"] in ADAPTERS or any(word in row["framework"].lower() for word in HF_TRAINER):
        found.append("time: adapters and HF trainers")
    if (row["n_experts"] or "1") != "1":
        found.append("time: mixtures of experts")
    if float(row["seq_len"] or 0) >= 32_000:
        found.append("time: 32k tokens and longer")
    return found


HF_TRAINER = ("hf", "trainer", "trl", "peft", "swift", "huggingface", "transformers")


def inference_groups(row: Case) -> Iterable[str]:
    """By what was measured, and under which load."""
    task, metric = row["task"], row["metric"]
    loaded = row.get("arrival") in LOADED or task == "online"
    if metric == "ttft_ms":
        return ["serving: first token under load" if loaded else "serving: prefill and first token"]
    if metric == "tpot_ms":
        return ["serving: time per output token"]
    return [f"serving: {TASKS.get(task, task)}"]


TASKS = {
    "decode": "decoding and single stream",
    "single_stream": "decoding and single stream",
    "prefill": "prefill and first token",
    "offline_throughput": "offline throughput",
    "rerank": "embedding",
    "online": "throughput and latency under load",
}


def retrieval_groups(row: Case) -> Iterable[str]:
    """By metric."""
    return [f"retrieval: {row['metric']}"]


GROUPS: dict[str, Callable[[Case], Iterable[str]]] = {
    "training": training_groups,
    "inference": inference_groups,
    "retrieval": retrieval_groups,
}

if __name__ == "__main__":
    main()
