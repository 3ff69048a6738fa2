"""Targets beside what is reached, on this machine: python benchmarks/speed_table.py

Writes docs/speed.md. Times are processor time on one core unless said otherwise; the machine should be idle, as memory
and clock are shared even then. Takes two to three minutes.
"""

import datetime
import gc
import itertools
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from speed import ENVIRONMENT, python

from estimator import compare, estimate, layout
from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.predict.training import TrainingPlan, training_step
from estimator.quantities import Design

HERE = Path(__file__).parent
SIZES = (1_000, 10_000, 100_000, 1_000_000)
COMMAND = "['compare', '--model', '7b', '--gpu', 'a100']"
HELP = "from estimator.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
LARGE = {"model": "gpt3-175b", "gpu": "1024xa100", "seq_len": 2048, "global_batch": 1536, "tokens": 3e11}
MANY = {"model": "70b", "gpu": "h100", "most": 4096, "tokens": 1e11}
SERVE = {"model": "70b", "gpu": "h100", "task": "serve", "precisions": ("bf16", "fp8", "int4"), "requests_per_s": 10.0}


class Row(NamedTuple):
    """One line of the table; met: None where there is no target."""

    what: str
    target: str
    reached: str
    met: bool | None


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
    bare, base = python("pass"), python("import numpy, pydantic")
    yield _at_most("import, over NumPy and pydantic", python("from estimator import estimate") - base, 0.05)
    yield _at_most("`--help`, over bare Python", python(HELP) - bare, 0.10)
    cold = python(f"from estimator.cli import main; main({COMMAND})") / base
    yield Row("cold `compare`, over that import", "at most 1.6 times", f"{cold:.2f} times", cold <= 1.6)


def answers() -> Iterator[Row]:
    """Warm answers: the same question again, with other amounts every time, with other physics every time."""
    for stage in ("prompt", "rag", "finetune", "pretrain"):
        warm = seconds(lambda stage=stage: estimate(stage, model="7b", gpu="a100"))
        yield _at_most(f"`estimate` {stage}, asked again", warm, 0.002)
    numbers = itertools.count(1000)
    warm = seconds(lambda: estimate("finetune", model="7b", gpu="a100", samples=next(numbers)))
    yield _at_most("`estimate` finetune, other samples every time", warm, 0.002)
    warm = seconds(lambda: estimate("finetune", model="7b", gpu="a100", finetune_seq_len=next(numbers)))
    yield _at_most("`estimate` finetune, another sequence every time", warm, 0.002)
    yield _at_most("`compare`, asked again", seconds(lambda: compare(model="7b", gpu="a100")), 0.010)
    warm = seconds(lambda: compare(model="7b", gpu="a100", requests_per_month=next(numbers), samples=next(numbers)))
    yield _at_most("`compare`, other amounts every time", warm, 0.010)
    warm = seconds(
        lambda: compare(model="7b", gpu="a100", prompt_tokens=next(numbers), finetune_seq_len=next(numbers)),
    )
    yield _at_most("`compare`, other lengths every time", warm, 0.010)
    draws = seconds(lambda: compare(model="7b", gpu="a100", design=Design.monte_carlo(10_000, next(numbers))))
    yield Row("`compare` with 10,000 draws", "", f"{_time(draws)}, {10_000 / draws:,.0f} draws/s", None)


def searches() -> Iterator[Row]:
    """Whole searches, from names to the front."""
    found = layout(**LARGE)
    large = seconds(lambda: layout(**LARGE))
    what = f"search, 175B on 1,024 accelerators, {found.evaluated:,} layouts"
    yield _at_most(what, large, 2.0)
    yield _at_least("the same", found.evaluated / large, 200_000, "layouts/s")
    found = layout(**MANY)
    many = seconds(lambda: layout(**MANY))
    yield _at_least(
        f"search, 70B on 1 to 4,096, {found.evaluated:,} layouts", found.evaluated / many, 200_000, "layouts/s"
    )
    found = layout(**SERVE)
    serve = seconds(lambda: layout(**SERVE))
    yield Row(f"search to serve 70B, {found.evaluated:,} layouts", "", f"{_time(serve)}", None)


def grids() -> Iterator[tuple[int, float]]:
    """Training layouts given as arrays, evaluated in one call: (rows, layouts a second)."""
    import numpy as np

    llm, machines, draw = architecture("gpt3-175b"), cluster("1024xa100"), np.random.default_rng(0)
    for rows in SIZES:
        powers = {"micro_batch": (0, 4), "tp": (0, 4), "pp": (0, 6)}
        axes = {name: 2 ** draw.integers(*ends, rows) for name, ends in powers.items()}
        plan = TrainingPlan(seq_len=2048, global_batch=1536, zero=draw.integers(0, 2, rows), **axes)
        yield rows, rows / seconds(lambda plan=plan: training_step(llm, machines, plan), 0.5)


def sweeps() -> list[Swept]:
    """Sweeps of files, each in its own process; a first one fills the file cache."""
    swept(SIZES[0])
    return [swept(rows) for rows in SIZES]


def swept(rows: int) -> Swept:
    """What benchmarks/sweep.py says of so many rows."""
    command = [sys.executable, str(HERE / "sweep.py"), str(rows), "parquet"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    wall, processor = (float(text) for text in re.findall(r"([\d.]+) s", said)[:2])
    memory = re.search(r"([\d.]+) GB", said)
    return Swept(rows, wall, processor, float(memory[1]) if memory else float("nan"))


def _at_most(what: str, value_s: float, limit_s: float) -> Row:
    return Row(what, f"at most {_time(limit_s)}", _time(value_s), value_s <= limit_s)


def _at_least(what: str, value: float, limit: float, unit: str) -> Row:
    return Row(what, f"at least {limit:,.0f} {unit}", f"{value:,.0f} {unit}", value >= limit)


def _time(value_s: float) -> str:
    return f"{value_s:.3g} s" if abs(value_s) >= 1 else f"{1000 * value_s:.3g} ms"


# --- the page ---------------------------------------------------------------------------------------------------------

HEADER = """# Speed

Answers come while you type: an estimate in about a millisecond, a search of all layouts in a fraction of a second, a
million scenarios in one call. Everything is arrays: a figure of one scenario and of a million is computed by the same
functions, and rows are taken in chunks, so that memory stays bounded.

The rest of this page is made by `python benchmarks/speed_table.py`, here on {date},
on {machine}. Times are processor time of one core; of a warm call the least of five means.

| what | target | reached | |
|---|---|---|---|
"""

NOTE = """
What was worked out once is kept: another amount (volume, samples, price) changes the sums alone, another length or LLM
also the physics, for which all layouts of the training are evaluated anew.
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

FOOTER = """
How other tools compare, in error and time on the same published runs: `benchmarks/peers/results.md`. Ratios against a
fixed workload of the same run, which travel between machines: `python -m pytest benchmarks/test_speed.py
--benchmark-only`.
"""


def page(rows: list[Row], sizes: list[Swept], steps: list[tuple[int, float]]) -> str:
    """All tables as Markdown."""
    last = sizes[-1]
    rows = [
        *rows,
        _at_least("sweep of a million rows, four approaches each", last.rows / last.processor_s, 50_000, "rows/s"),
    ]
    met = {True: "met", False: "**missed**", None: ""}
    lines = [f"| {row.what} | {row.target} | {row.reached} | {met[row.met]} |" for row in rows]
    curve = [
        f"| {one.rows:,} | {one.wall_s:.1f} s | {one.processor_s:.1f} s | {one.rows / one.processor_s:,.0f} "
        f"| {one.memory_gb:.2f} GB |"
        for one in sizes
    ]
    grid = [f"| {count:,} | {rate:,.0f} |" for count, rate in steps]
    header = HEADER.format(date=datetime.date.today().isoformat(), machine=_machine())
    parts = (header, "\n".join(lines), "\n", NOTE, SWEEP, "\n".join(curve), "\n", GRID, "\n".join(grid), "\n", FOOTER)
    return "".join(parts)


def _machine() -> str:
    """The processor, its cores, and the interpreter."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    name = re.sub(r"\((R|TM)\)|CPU|@.*", "", found[1]).strip() if found else platform.machine()
    return f"{' '.join(name.split())} ({os.cpu_count()} cores), Python {platform.python_version()}"


def main() -> int:
    """Write the page; exit 1 when a target is missed."""
    rows = [*processes(), *answers(), *searches()]
    sizes = sweeps()
    text = page(rows, sizes, list(grids()))
    (HERE.parent / "docs" / "speed.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
