"""Warm speed beside a reference of the same run: python -m pytest benchmarks/test_speed.py --benchmark-only

`ratio` in a benchmark's extra info is its median over the reference's: it travels between machines, seconds do not.
Nothing here asserts a time.
"""

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest

from estimator import compare, estimate, layout
from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.predict.training import TrainingPlan, training_step
from estimator.quantities import Design
from estimator.sweeping import Sweep


@pytest.fixture(scope="session")
def reference_s() -> float:
    """Median seconds of a fixed pure-Python and NumPy workload."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        matrix = np.linspace(0, 1, 250_000).reshape(500, 500)
        sum(index * index for index in range(50_000)) + float((matrix @ matrix).sum())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


@pytest.fixture
def timed(benchmark, reference_s):
    """Time a call and note its ratio to the reference."""

    def run(call, rows: int = 1):
        benchmark(call)
        benchmark.extra_info["ratio"] = benchmark.stats.stats.median / reference_s
        benchmark.extra_info["per_s"] = rows / benchmark.stats.stats.median

    return run


def test_one_estimate(timed):
    timed(lambda: estimate("finetune", model="7b", gpu="a100"))


def test_full_comparison(timed):
    timed(lambda: compare(model="7b", gpu="a100"))


def test_comparison_of_other_traffic(timed):
    """All predictions are known: only money is new."""
    requests = itertools.count(1000)
    timed(lambda: compare(model="7b", gpu="a100", requests_per_month=next(requests)))


def test_comparison_of_other_physics(timed):
    """Other lengths every time: nothing is known but the LLM and the accelerator."""
    tokens = itertools.count(500)
    timed(lambda: compare(model="7b", gpu="a100", prompt_tokens=next(tokens), finetune_seq_len=next(tokens)))


@pytest.mark.parametrize("code", ["import estimator.api", "from estimator.cli import main; main(%s)"])
def test_cold(timed, code):
    """A fresh process: importing, and a first comparison."""
    python = [sys.executable, "-c", code.replace("%s", "['compare', '--model', '7b', '--gpu', 'a100']")]
    timed(lambda: subprocess.run(python, check=True, capture_output=True))


def test_sweep_rate(timed):
    """Traffic and effort of every row its own."""
    draw, rows = np.random.default_rng(0), 50_000
    columns = {"requests_per_month": 10 ** draw.uniform(3, 7, rows), "samples": draw.uniform(100, 50_000, rows)}
    run = Sweep(inputs={"model": "7b", "gpu": "a100"})
    timed(lambda: run.answers(columns, rows), rows=rows)


def test_comparison_with_10000_draws(timed):
    timed(lambda: compare(model="7b", gpu="a100", design=Design.monte_carlo(10_000)), rows=10_000)


@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000])
def test_layout_grid(timed, rows):
    draw = np.random.default_rng(0)
    plan = TrainingPlan(
        seq_len=2048,
        global_batch=1536,
        micro_batch=2 ** draw.integers(0, 4, rows),
        tp=2 ** draw.integers(0, 4, rows),
        pp=2 ** draw.integers(0, 6, rows),
        zero=draw.integers(0, 2, rows),
    )
    llm, machines = architecture("gpt3-175b"), cluster("1024xa100")
    timed(lambda: training_step(llm, machines, plan), rows=rows)


def test_full_layout_search(timed):
    found = layout(model="gpt3-175b", gpu="1024xa100", seq_len=2048, global_batch=1536, tokens=3e11)
    timed(
        lambda: layout(model="gpt3-175b", gpu="1024xa100", seq_len=2048, global_batch=1536, tokens=3e11),
        rows=found.evaluated,
    )
