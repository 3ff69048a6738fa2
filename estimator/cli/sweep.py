"""`estimator sweep`: scenarios as rows, answers as columns; from a file, or every combination of some values."""

import argparse
import os
from pathlib import Path
from typing import Any

from estimator.cli.argument_parser import listed
from estimator.cli.options import asked, belong, show, whole
from estimator.cli.progress import bar
from estimator.errors import InvalidInput, clipped
from estimator.export.currency import currency
from estimator.export.sweep_files import KINDS, sweep_file, sweep_rows
from estimator.numerals import LEAST, MOST, numeral
from estimator.scenario import default_scenario, scaled
from estimator.sensitivity import Grid, grid
from estimator.shown import format_for
from estimator.stages import STAGES
from estimator.sweeping import FIGURES, Sweep, attached, columns_of

MOST_STEPS = 10_000
MOST_WORKERS = 1024


def sweep(options: argparse.Namespace) -> None:
    """Answer a file into another with a progress line on stderr, or a grid to the screen or into a file."""
    if options.file and options.vary:
        raise InvalidInput("scenarios come from a file or from --vary, not from both")
    if not options.file and not options.vary:
        raise InvalidInput("name a file of scenarios, or values with --vary NAME=A,B or NAME=LOW..HIGH:STEPS")
    if options.file:
        belong(options, "--vary: answers to a file are what -o ends in", "format")
    if options.file and not options.output:
        raise InvalidInput("name the file to write: `estimator sweep scenarios.csv -o answers.csv`")
    fixed = {name: value for name, value in asked(options).items() if value is not None}
    stages = listed(options.stages) or STAGES
    if options.file:
        run = Sweep(stages, listed(options.figures) or FIGURES, fixed, _rate(options))
        counts = sweep_file(options.file, options.output, run, bar("scenarios"), _workers(options.workers))
        return _told(options, counts)
    belong(options, "a file of scenarios", "workers")
    values = _together([values_of(text) for text in options.vary])
    return _grid(options, values, Sweep(stages, listed(options.figures) or ("total_usd",), fixed, _rate(options)))


def _workers(text: str | None) -> int:
    """Processes that answer: as many as there are cores where all are asked for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = cores if text == "all" else whole("1" if text is None else text, "--workers")
    if found is None or not 1 <= found <= MOST_WORKERS:
        raise InvalidInput(f"--workers must be from 1 to {MOST_WORKERS}, or all")
    return found


def _rate(options: argparse.Namespace) -> tuple[str, float]:
    """The currency that money is told in beside USD, and what a dollar is in it."""
    if not options.currency:
        return "", 1.0
    to = currency(options.currency)
    options.currency = None  # done here: columns of the rows have both
    return to.code, to.per_usd


def _told(options: argparse.Namespace, counts: tuple[int, int]) -> None:
    done, bad = counts
    wrong = f"; {bad:,} have a reason in the column error" if bad else ""
    print(f"{options.output}: {done:,} scenarios{wrong}")


def _grid(options: argparse.Namespace, values: dict[str, list[object]], run: Sweep) -> None:
    rows, ending = grid(values), Path(options.output or "").suffix.lower()
    if ending in KINDS and options.format is None:
        return _told(options, sweep_rows(rows, options.output, run, bar("scenarios")))
    options.format = format_for(options.output, options.format)
    answered = attached(rows, run.answers(*columns_of(rows)))
    told = run.rate[0] or "USD"
    return show(options, Grid(tuple(answered), tuple(values), tuple(run.stages), tuple(run.figures), told))


def values_of(text: str) -> tuple[str, list[Any]]:
    """`gpu=a100,h100`; `samples=1k,5k`; `requests_per_month=1e4..1e6:5`: 5 values, by ratio where ten times and more.

    >>> values_of("output_tokens=100..300:3"), values_of("requests_per_month=10k..1m:3")
    (('output_tokens', [100.0, 200.0, 300.0]), ('requests_per_month', [10000.0, 100000.0, 1000000.0]))
    """
    name, equals, listed = text.partition("=")
    if not equals or not name.strip() or not listed.strip():
        raise InvalidInput(f"--vary needs NAME=A,B,... or NAME=LOW..HIGH:STEPS, not {clipped(text)}")
    name = name.strip().replace("-", "_")
    values = [value.strip() for value in listed.split(",") if value.strip()]
    if name in default_scenario().choices or name in ("model", "gpu", "api"):
        return name, values
    if ".." in listed:
        return name, _steps(text, *listed.partition("..")[::2])
    return name, [_number(name, value) for value in values]


def _steps(text: str, low: str, rest: str) -> list[float]:
    high, _, steps = rest.partition(":")
    try:
        first, last, count = (float(scaled(end)) for end in (low, high, steps or "5"))
        if (
            not first < last
            or any(LEAST >= abs(end) > 0 or abs(end) >= MOST for end in (first, last))
            or not 2 <= count <= MOST_STEPS
            or count % 1
        ):
            raise ValueError
    except ValueError:
        raise InvalidInput(
            f"--vary needs NAME=LOW..HIGH:STEPS, LOW below HIGH, 2 steps or more: {clipped(text)}"
        ) from None
    if first > 0 and last / first >= 10:
        inner = [float(f"{first * (last / first) ** (place / (count - 1)):.3g}") for place in range(1, int(count) - 1)]
    else:
        inner = [first + (last - first) * place / (count - 1) for place in range(1, int(count) - 1)]
    return [first, *inner, last]


def _number(name: str, text: str) -> float | str:
    """A value as a number that can be calculated with, where it is one."""
    value = numeral(text)
    if value is not None and not abs(value) < MOST:
        raise InvalidInput(f"--vary: {name} must be a number, not {clipped(text)}")
    return text if value is None else value


def _together(pairs: list[tuple[str, list[object]]]) -> dict[str, list[object]]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise InvalidInput("--vary names an input twice: give all its values at once, NAME=A,B,C")
    return values
