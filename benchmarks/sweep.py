"""How fast scenarios are answered, and in how much memory: python benchmarks/sweep.py [ROWS] [csv|parquet] [WORKERS]"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from estimator.export.sweep_files import sweep_file
from estimator.sweeping import Sweep


def write_scenarios(path: Path, rows: int) -> None:
    """Two LLMs on two accelerators; traffic, growth, samples and rates of every row its own."""
    import pyarrow
    from pyarrow import csv, parquet

    draw = np.random.default_rng(0)
    table = pyarrow.table(
        {
            "model": np.array(["7b", "8b"])[draw.integers(0, 2, rows)],
            "gpu": np.array(["a100", "h100"])[draw.integers(0, 2, rows)],
            "requests_per_month": 10 ** draw.uniform(3, 7, rows),
            "growth_per_month": draw.uniform(-0.05, 0.2, rows),
            "samples": draw.integers(100, 50_000, rows),
            "rate_usd_per_hour": draw.uniform(30, 150, rows),
        }
    )
    (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, path)


def answer(source: str, target: str, workers: int) -> None:
    """One sweep, all approaches and default figures."""
    before, start = _processor_s(), time.perf_counter()
    done, bad = sweep_file(source, target, Sweep(), workers=workers)
    spent, processor = time.perf_counter() - start, _processor_s() - before
    own, worker = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    memory = own + (workers - 1) * worker  # the largest of the others, as many times as there are
    print(f"{done:,} rows of {Path(source).suffix[1:]} ({bad} bad): {spent:.1f} s, {processor:.1f} s of processor time")
    print(f"{done / spent:,.0f} rows a second; at most {memory / 1e6:.2f} GB in memory")


def main(rows: int = 1_000_000, kind: str = "parquet", workers: int = 1) -> None:
    """The file and its answers in a process each, as one that is started counts the memory of who starts it."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = (str(Path(folder) / f"{name}.{kind}") for name in ("in", "out"))
        for step in (["write", source, str(rows)], ["answer", source, target, str(workers)]):
            subprocess.run([sys.executable, __file__, *step], check=True)


def _processor_s() -> float:
    """Of this process and of workers that have ended."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", path, rows]:
            write_scenarios(Path(path), int(rows))
        case ["answer", source, target, workers]:
            answer(source, target, int(workers))
        case words:
            main(*map(int, words[:1]), *words[1:2], *map(int, words[2:3]))
