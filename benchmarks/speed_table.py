"""Targets beside what is reached, on this machine: python benchmarks/speed_table.py

Writes docs/speed.md. Times are processor time on one core unless said otherwise; the machine should be idle, as memory
and clock are shared even then. Takes about four minutes; parts alone by their names, such as `answers sweeps`, whose
figures then stand beside those that the others had the last time (build/speed.json). `clusters` wants Dask and Ray.
"""

import datetime
import gc
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from speed import ENVIRONMENT, command, python

from estimator import check, compare, estimate, layout, serving
from estimator.catalog.accelerators import accelerator, accelerator_names, cluster
from estimator.catalog.models import architecture
from estimator.predict.training import TrainingPlan, training_step
from estimator.quantities import Design
from estimator.shown import rendered

HERE = Path(__file__).parent
SIZES = (1_000, 10_000, 100_000, 1_000_000)
COMMAND = ("compare", "--model", "7b", "--gpu", "a100")
LARGE = {"model": "gpt3-175b", "gpu": "1024xa100", "seq_len": 2048, "global_batch": 1536, "tokens": 3e11}
EVERY = {"model": "70b", "seq_len": 4096, "global_batch": 1024, "tokens": 1e11}
LOADS = {"model": "8b", "gpu": "h100", "output_tokens": 200, "concurrency": tuple(range(1, 51))}
YAML = HERE.parent / "tests" / "configs" / "files" / "train.yaml"
MANY = {"model": "70b", "gpu": "h100", "most": 4096, "tokens": 1e11}
SERVE = {"model": "70b", "gpu": "h100", "task": "serve", "precisions": ("bf16", "fp8", "int4"), "requests_per_s": 10.0}


class Row(NamedTuple):
    """One line of the table. share: of the target that is used, at most 1 where it is met, None without a target.

    bound: what it cannot be faster than
    """

    what: str
    target: str
    reached: str
    share: float | None
    bound: str = ""


class Swept(NamedTuple):
    """One sweep in a process of its own."""

    rows: int
    wall_s: float
    processor_s: float
    memory_gb: float


def seconds(call: Callable[[], object], least_s: float = 0.4) -> float:
    """Processor time of a warm call [s], the least of five means of about `least_s` each: neighbours only add to it."""
    call()
    return min(_mean(call, least_s) for _ in range(5))


def _mean(call: Callable[[], object], least_s: float) -> float:
    gc.collect()
    count, start = 0, time.process_time()
    while time.process_time() - start < least_s or count < 3:
        call()
        count += 1
    return (time.process_time() - start) / count


# --- what is timed ----------------------------------------------------------------------------------------------------


def processes() -> Iterator[Row]:
    """What importing and cold commands cost over what they cannot do without."""
    bare, base = python("pass"), python("import numpy")
    yield _at_most("import, over NumPy", python("from estimator import estimate") - base, 0.05, "code that is loaded")
    parsed = python("import argparse") - bare
    bound = f"argparse alone: {_time(parsed)}"
    yield _at_most("`--help`, over bare Python", command("--help") - bare, 0.02, bound)
    cold = command(*COMMAND)
    bound = f"NumPy: {_time(base)}, of it Python {_time(bare)}; then code and classes of 100 modules, tables of facts"
    yield Row("cold `compare`, over NumPy", "at most 1.15 times", f"{cold / base:.2f} times", cold / base / 1.15, bound)


CALLS = "calls of Python and NumPy, about a microsecond each"


def answers() -> Iterator[Row]:
    """Warm answers: the same question again, with other amounts every time, with other physics every time."""
    asked, numbers = {"model": "7b", "gpu": "a100"}, itertools.count(1000)
    for stage in ("prompt", "rag", "finetune", "pretrain"):
        warm = seconds(lambda stage=stage: estimate(stage, **asked))
        yield _at_most(f"`estimate` {stage}, asked again", warm, 0.001, CALLS)
    for what, name in (("samples", "samples"), ("lengths", "finetune_seq_len")):
        warm = seconds(lambda name=name: estimate("finetune", **asked, **{name: next(numbers)}))
        yield _at_most(f"`estimate` finetune, other {what} every time", warm, 0.001, CALLS)
    yield _at_most("`compare`, asked again", seconds(lambda: compare(**asked)), 0.004, CALLS)
    warm = seconds(lambda: compare(**asked, requests_per_month=next(numbers), samples=next(numbers)))
    yield _at_most("`compare`, other amounts every time", warm, 0.004, CALLS)
    warm = seconds(lambda: compare(**asked, prompt_tokens=next(numbers), finetune_seq_len=next(numbers)))
    yield _at_most("`compare`, other lengths every time", warm, 0.004, CALLS)
    draws = seconds(lambda: compare(**asked, design=Design.monte_carlo(10_000, next(numbers))))
    yield Row("`compare` with 10,000 draws", "", f"{_time(draws)}, {10_000 / draws:,.0f} draws/s", None, "memory")
    yield _at_most("`check` of a YAML", seconds(lambda: check(YAML, gpu="a100")), 0.010, CALLS)
    warm = seconds(lambda: serving(**LOADS, prompt_tokens=next(numbers)))
    yield _at_most("`serving` of 50 loads, other lengths every time", warm, 0.010, CALLS)
    answer = compare(**asked)
    yield _at_most("JSON of a comparison", seconds(lambda: rendered(answer, "json")), 0.002, "text of 500 figures")


def searches() -> Iterator[Row]:
    """Whole searches, from names to the front."""
    devices = tuple(f"64x{name}" for name in accelerator_names() if not accelerator(name).measured_cpu)
    every = EVERY | {"gpu": devices}
    what = "175B on 1,024 accelerators", "70B on 1 to 4,096", f"70B on 64 of each of {len(devices)} accelerators"
    targets = 0.006, None, 1.0
    for name, asked, target in zip(what, (LARGE, MANY, every), targets, strict=True):
        found, spent = layout(**asked), seconds(lambda asked=asked: layout(**asked))
        if target:
            yield _at_most(f"search, {name}, {found.evaluated:,} layouts", spent, target, CALLS)
        yield _at_least(f"search, {name}", found.evaluated / spent, 1_000_000, "layouts/s", "memory, and calls")
    found, spent = layout(**SERVE), seconds(lambda: layout(**SERVE))
    yield _at_least("search to serve 70B", found.evaluated / spent, 100_000, "layouts/s", CALLS)


def grids() -> Iterator[tuple[int, float]]:
    """Training layouts given as arrays, evaluated in one call: (rows, layouts a second)."""
    llm, machines, draw = architecture("gpt3-175b"), cluster("1024xa100"), np.random.default_rng(0)
    for rows in SIZES:
        powers = {"micro_batch": (0, 4), "tp": (0, 4), "pp": (0, 6)}
        axes = {name: 2 ** draw.integers(*ends, rows) for name, ends in powers.items()}
        plan = TrainingPlan(seq_len=2048, global_batch=1536, zero=draw.integers(0, 2, rows), **axes)
        yield rows, rows / seconds(lambda plan=plan: training_step(llm, machines, plan), 0.5)


def sweeps() -> list[Swept]:
    """Sweeps of files, each in its own process, the last with two workers; a first one fills the file cache."""
    swept(SIZES[0])
    return [*(swept(rows) for rows in SIZES), swept(SIZES[-1], 2)]


def swept(rows: int, workers: int = 1) -> Swept:
    """What benchmarks/sweep.py says of so many rows."""
    command = [sys.executable, str(HERE / "sweep.py"), str(rows), "parquet", str(workers)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    wall, processor = (float(text) for text in re.findall(r"([\d.]+) s", said)[:2])
    memory = re.search(r"([\d.]+) GB", said)
    return Swept(rows, wall, processor, float(memory[1]) if memory else float("nan"))


PIECES, PIECE = 40, 10_000  # of a sweep over machines
WORKERS = 1, 2, 4


def clusters() -> list[tuple[str, list[float]]]:
    """Wall clock of the same sweep by local clusters of 1, 2 and 4 workers [s], that are there and have begun."""
    return [("Dask", [_dask_s(workers) for workers in WORKERS]), ("Ray", [_ray_s(workers) for workers in WORKERS])]


def piece(seed: int) -> int:
    """One piece of it: rows made and answered where they are; how many were."""
    from estimator.sweeping import Sweep

    draw = np.random.default_rng(seed)
    columns = {"requests_per_month": 10 ** draw.uniform(3, 7, PIECE), "samples": draw.uniform(100, 50_000, PIECE)}
    return len(Sweep(inputs={"model": "7b", "gpu": "a100"}).answers(columns, PIECE)["error"])


def _dask_s(workers: int) -> float:
    from distributed import Client, LocalCluster

    with LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(piece, range(PIECES, PIECES + 4 * workers)))
        start = time.perf_counter()
        client.gather(client.map(piece, range(PIECES)))
        return time.perf_counter() - start


def _ray_s(workers: int) -> float:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    remote = ray.remote(piece)
    ray.get([remote.remote(seed) for seed in range(PIECES, PIECES + 4 * workers)])
    start = time.perf_counter()
    ray.get([remote.remote(seed) for seed in range(PIECES)])
    spent = time.perf_counter() - start
    ray.shutdown()
    return spent


def _at_most(what: str, value_s: float, limit_s: float, bound: str) -> Row:
    return Row(what, f"at most {_time(limit_s)}", _time(value_s), value_s / limit_s, bound)


def _at_least(what: str, value: float, limit: float, unit: str, bound: str) -> Row:
    return Row(what, f"at least {limit:,.0f} {unit}", f"{value:,.0f} {unit}", limit / value, bound)


def _time(value_s: float) -> str:
    return f"{value_s:.3g} s" if abs(value_s) >= 1 else f"{1000 * value_s:.3g} ms"


# --- the page ---------------------------------------------------------------------------------------------------------

HEADER = """# Speed

Answers come while you type: an estimate in about a millisecond, a search of all layouts in a fraction of a second, a
million scenarios in one call. Everything is arrays: a figure of one scenario and of a million is computed by the same
functions, and rows are taken in chunks, so that memory stays bounded.

The rest of this page is made by `python benchmarks/speed_table.py`, here on {date},
on {machine}. Times are processor time of one core; of a warm call the least of five means.

| what | target | reached | | what bounds it |
|---|---|---|---|---|
"""

NOTE = """
What was worked out once is kept: another amount (volume, samples, price) changes the sums alone, another length or LLM
also the physics, for which all layouts of the training are evaluated anew.
"""

LIMITS = """
What this machine can do at all: an addition of NumPy on one number takes {call_ns:.0f} ns, a call of Python
{python_ns:.0f} ns, and memory is copied at {copy_gb_per_s:.1f} GB/s by one core.
"""

SWEEP = """
## Cost is linear in rows

`estimator sweep` of a file, all four approaches and their default figures for each row, read and written as Parquet,
each in a process of its own:

| rows | wall | processor | rows/s | most memory |
|---|---|---|---|---|
"""

GRID = """
Layouts of a training run given as arrays to `training_step`, in one call:

| layouts | layouts/s |
|---|---|
"""

CLUSTERS = """
## Over machines

Rows of a sweep do not know of each other: pieces are answered anywhere, and nothing is exchanged. Wall clock of 400,000
rows in 40 pieces, by local clusters of one-threaded workers on this machine, beyond whose cores nothing is gained:

| | 1 worker | 2 workers | 4 workers |
|---|---|---|---|
"""

THOUSAND = """
On paper, a thousand workers: a scheduler spends 0.2 to 1 ms on a task (Dask's best practices), and a piece of 100,000
rows takes about a second, so one scheduler keeps a thousand workers busy. A billion rows are ten such pieces for each;
the start of a worker and its first answer, half a second, are a twentieth of that.
"""

FOOTER = """
How other tools compare, in error and time on the same published runs: `benchmarks/peers/results.md`. Ratios against a
fixed workload of the same run, which travel between machines: `python -m pytest benchmarks/test_speed.py
--benchmark-only`.
"""


def limits() -> str:
    """Unit costs of this machine, in a sentence."""
    one, many = np.float64(1.0), np.ones(30_000_000)
    call = seconds(lambda: [np.add(one, one) for _ in range(1000)]) / 1000
    function = seconds(lambda: [_nothing() for _ in range(1000)]) / 1000
    copied = 2 * many.nbytes / seconds(lambda: np.copyto(many[: len(many) // 2], many[len(many) // 2 :])) / 2
    return LIMITS.format(call_ns=call * 1e9, python_ns=function * 1e9, copy_gb_per_s=copied / 1e9)


def _nothing() -> None:
    pass


def page(found: Mapping[str, Any]) -> str:
    """All tables as Markdown."""
    rows = [Row(*row) for part in ("processes", "answers", "searches") for row in found[part]]
    *sizes, two = (Swept(*one) for one in found["sweeps"])
    last = sizes[-1]
    rate, faster = last.rows / last.processor_s, last.wall_s / two.wall_s
    rows = [
        *rows,
        _at_least(
            "sweep of a million rows, four approaches each",
            rate,
            250_000,
            "rows/s",
            "memory: columns of 20 scenarios a figure",
        ),
        Row(
            "the same with two workers",
            "at least 1.8 times",
            f"{faster:.2f} times",
            1.8 / faster,
            "a process begins for a second",
        ),
        Row("its memory", "at most 0.5 GB", f"{two.memory_gb:.2f} GB", two.memory_gb / 0.5, "libraries, loaded twice"),
    ]
    lines = [f"| {row.what} | {row.target} | {row.reached} | {_met(row.share)} | {row.bound} |" for row in rows]
    curve = [
        f"| {one.rows:,} | {one.wall_s:.1f} s | {one.processor_s:.1f} s | {one.rows / one.processor_s:,.0f} "
        f"| {one.memory_gb:.2f} GB |"
        for one in sizes
    ]
    grid = [f"| {count:,} | {rate:,.0f} |" for count, rate in found["grids"]]
    header = HEADER.format(date=datetime.date.today().isoformat(), machine=_machine())
    body = ["\n".join(lines), "\n", NOTE, found["limits"], SWEEP, "\n".join(curve), "\n", GRID, "\n".join(grid), "\n"]
    if clustered := found.get("clusters"):
        body += [
            CLUSTERS,
            *(f"| {name} | {' | '.join(f'{one:.1f} s' for one in times)} |\n" for name, times in clustered),
        ]
    return "".join((header, *body, FOOTER))


def _met(share: float | None) -> str:
    if share is None:
        return ""
    return "met" if share <= 1 else f"missed by {share:.1f} times"


def _machine() -> str:
    """The processor, its cores, and the interpreter."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    name = re.sub(r"\((R|TM)\)|CPU|@.*", "", found[1]).strip() if found else platform.machine()
    return f"{' '.join(name.split())} ({os.cpu_count()} cores), Python {platform.python_version()}"


PARTS: Mapping[str, Callable[[], Any]] = {
    "processes": lambda: [*processes()],
    "answers": lambda: [*answers()],
    "searches": lambda: [*searches()],
    "limits": limits,
    "sweeps": sweeps,
    "grids": lambda: [*grids()],
}
MEASURED = HERE.parent / "build" / "speed.json"


def main(*names: str) -> int:
    """Measure parts, all but the clusters where none is named, and write the page; exit 1 when a target is missed."""
    found = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    for name in names or PARTS:
        found[name] = (PARTS | {"clusters": clusters})[name]()
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(json.dumps(found), encoding="utf-8")
    if missing := PARTS.keys() - found.keys():
        print(f"still to be measured: {', '.join(sorted(missing))}")
        return 0
    text = page(found)
    (HERE.parent / "docs" / "speed.md").write_text(text, encoding="utf-8")
    print(text)
    return int("missed" in text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
