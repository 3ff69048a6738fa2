"""`estimator calibrate` and `estimator validate`: measuring with a progress bar on stderr, and judging predictions."""

import argparse
import sys
import time
from collections.abc import Callable

from estimator.catalog.files import use_facts
from estimator.cli.options import belong, seconds, show
from estimator.files import to_screen
from estimator.shown import rendered

Progress = Callable[[float, str, float], None]
BAR, LINE = 24, 100


def calibrate(options: argparse.Namespace) -> None:
    """`estimator calibrate`."""
    if options.suite == "serving":
        _calibrate_server(options)
        return
    belong(options, "--suite serving", "url", "anywhere")
    if options.runs:
        _from_runs(options)
        return
    belong(options, "runs that are handed in: --from FILE", "accept")
    from estimator.measure.calibrate import calibrate as measure
    from estimator.validation.local import about_machine

    progress = progress_bar()
    try:
        found = measure(
            options.device, seconds(options.budget, "--budget", "s"), options.output, options.suite, progress
        )
    except KeyboardInterrupt:
        print("\nestimator: interrupted; run it again within the hour to go on from here", file=sys.stderr)
        raise
    finally:
        _end()
    print("\n".join(about_machine(found)))


def _calibrate_server(options: argparse.Namespace) -> None:
    from estimator.measure.server import DEFAULT_URL, about_server, calibrate_server

    belong(options, "the suites of this machine", "device")
    budget_s = seconds(options.budget, "--budget", "s")
    try:
        found = calibrate_server(options.url or DEFAULT_URL, budget_s, options.output, options.anywhere, progress_bar())
    finally:
        _end()
    print("\n".join(about_server(found)))


def _from_runs(options: argparse.Namespace) -> None:
    from estimator.recording import record_cases

    found = record_cases(options.runs, accept=options.accept)
    to_screen(f"{rendered(found, 'table')}\n")


def validate(options: argparse.Namespace) -> None:
    """`estimator validate`."""
    from estimator.validation import validate as run

    if options.facts:
        use_facts(options.facts)
    if options.local:
        belong(options, "published or own runs: leave out --local", "cases")
        return _validate_local(options)
    belong(options, "--local", "budget")
    return show(options, run(options.cases))


def _validate_local(options: argparse.Namespace) -> None:
    from estimator.validation.local import validate_local as run

    try:
        report = run(seconds(options.budget or "120s", "--budget", "s"), progress_bar())
    finally:
        _end()
    show(options, report)


def progress_bar() -> Progress:
    """A bar that stays on its line in a terminal; elsewhere a line every few seconds."""
    terminal, last = sys.stderr.isatty(), [0.0]

    def show(done: float, what: str, left_s: float) -> None:
        now = time.monotonic()
        if now - last[0] < (0.1 if terminal else 5.0):
            return
        last[0] = now
        filled = round(BAR * min(max(done, 0.0), 1.0))
        text = f"[{'#' * filled}{'.' * (BAR - filled)}] {100 * done:3.0f} %  {left_s:4.0f} s left  {what}"[:LINE]
        print(f"\r{text:<{LINE}}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    return show


def _end() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':<{LINE}}\r", end="", file=sys.stderr, flush=True)
