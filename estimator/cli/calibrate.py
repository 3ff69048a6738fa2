"""`estimator calibrate` and `estimator validate`: measuring with a progress bar on stderr, and judging predictions."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from estimator.catalog.files import use_facts
from estimator.cli.options import belong, emit, seconds

Progress = Callable[[float, str, float], None]
BAR, LINE = 24, 100


def calibrate(options: argparse.Namespace) -> None:
    """`estimator calibrate`."""
    from estimator.measure.calibrate import calibrate as measure

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
    print("\n".join(summary(found)))


def validate(options: argparse.Namespace) -> None:
    """`estimator validate`."""
    from estimator.validation import validate as run

    if options.facts:
        use_facts(options.facts)
    if options.local:
        belong(options, "published or own runs: leave out --local", "cases")
        return _validate_local(options)
    belong(options, "--local", "budget")
    report = run(options.cases)
    return emit(options, report.to_json() if options.format == "json" else str(report))


def _validate_local(options: argparse.Namespace) -> None:
    from estimator.catalog.local import profile
    from estimator.validation.local import validate_local as run

    try:
        report = run(seconds(options.budget or "120s", "--budget", "s"), progress_bar())
    finally:
        _end()
    if options.format == "json":
        return emit(options, report.to_json())
    page = str(options.output or "").endswith(".md")
    return emit(options, report.markdown(" ".join(summary(profile())[:3])) if page else str(report))


def summary(found: dict[str, Any]) -> list[str]:
    """What a profile says, in a few lines."""
    about, memory = found["machine"], found["constants"][str(found["threads"])]["memory"]
    products = found["constants"][str(found["threads"])]["gemm"]
    rates = [
        f"{key.split()[0]} {entry['peak_flop_per_s'] / 1e9:,.3g}" for key, entry in products.items() if " nt" in key
    ]
    lines = [
        f"{about['title']}, {found['threads']} threads, torch {about['versions']['torch']}, {found['date']}",
        f"products: {', '.join(rates)} GFLOP/s; copying: {memory['bytes_per_s'] / 1e9:.3g} GB/s",
        f"drift while measuring: {100 * found['drift']['log']:.0f} %; {len(found['measurements'])} cases",
    ]
    if before := found.get("since_last"):
        change = 100 * before["median_change"]
        lines.append(f"against the profile of {before['date']}: {change:.0f} % (median of {before['cases']} cases)")
    if found["drift"]["log"] > BUSY:
        lines.append("The machine was unsteady: other work may have disturbed it. Ranges are wider for it.")
    for name, entry in found["constants"][str(found["threads"])]["phases"].items():
        strange = [
            f"{part} {factor:.2f}" for part, factor in entry["factors"].items() if factor > ODD and part != "calls"
        ]
        if strange:
            lines.append(f"warning: {name} takes longer than its kernels explain ({', '.join(strange)})")
    return [*lines, "From now on --gpu local stands for this machine. Check it: estimator validate --local"]


BUSY, ODD = 0.15, 1.3  # drift, and factors of a phase, that are worth a word


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
