"""`estimator sweep`: scenarios as rows, answers as columns."""

import argparse
import sys
import time
from collections.abc import Callable

from estimator.cli.answers import asked
from estimator.errors import InvalidInput
from estimator.export.sweep_files import sweep_file
from estimator.stages import STAGES
from estimator.sweeping import FIGURES, Sweep

BAR_SECONDS = 0.5


def sweep(options: argparse.Namespace) -> None:
    """Read, answer and write, with a progress line on stderr."""
    if not options.output:
        raise InvalidInput("name the file to write: `estimator sweep scenarios.csv -o answers.csv`")
    fixed = {name: value for name, value in asked(options).items() if value is not None}
    stages = _list(options.stages) or STAGES
    run = Sweep(stages, _list(options.figures) or FIGURES, fixed)
    done, bad = sweep_file(options.file, options.output, run, _bar())
    wrong = f"; {bad:,} have a reason in the column error" if bad else ""
    print(f"{options.output}: {done:,} scenarios{wrong}")


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split(",")))


def _bar() -> Callable[[int], None] | None:
    """A progress line, where somebody looks at it."""
    if not sys.stderr.isatty():
        return None
    start, shown = time.monotonic(), 0.0

    def show(done: int) -> None:
        nonlocal shown
        spent = time.monotonic() - start
        if spent - shown >= BAR_SECONDS:
            shown = spent
            print(f"\r{done:,} scenarios, {done / spent:,.0f} a second ", end="", file=sys.stderr, flush=True)

    return show
