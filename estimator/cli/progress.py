"""A progress line on stderr for what takes long."""

import sys
import time
from collections.abc import Callable

BAR_SECONDS = 0.5


def bar(what: str) -> Callable[[int], None] | None:
    """A line that says how many are done, where somebody looks at it."""
    if not sys.stderr.isatty():
        return None
    start, shown = time.monotonic(), 0.0

    def show(done: int) -> None:
        nonlocal shown
        spent = time.monotonic() - start
        if spent - shown >= BAR_SECONDS:
            shown = spent
            print(f"\r{done:,} {what}, {done / spent:,.0f} a second ", end="", file=sys.stderr, flush=True)

    return show
