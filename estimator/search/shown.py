"""A layout search as text, Markdown and CSV."""

from typing import Any

import numpy as np
from tabulate import tabulate

from estimator.export.rows import rows_csv, rows_frame
from estimator.export.text import digits, human
from estimator.quantities import given
from estimator.search.result import Choice, Search

SHOWN = 12  # rows of a table; CSV and JSON have the whole front
WIDE = 46
TITLES = {
    "run_s": "run",
    "usd": "cost",
    "memory_bytes": "memory of one",
    "step_s": "step",
    "mfu": "MFU",
    "usd_per_hour": "cost per hour",
    "accelerators": "accelerators",
    "requests_per_s": "requests/s",
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
}
UNITS = {"usd": "USD", "usd_per_hour": "USD", "memory_bytes": "B"}


def search_text(found: Search, style: str = "simple") -> str:
    """What was asked, the best, why the runner-up lost, and the front; `style` as tabulate names it."""
    more = len(found.front) - SHOWN
    return "\n".join(
        [
            f"For {asked_text(found)}",
            f"Best of {found.evaluated:,} layouts ({found.fitting:,} will do): {found.best.text()}",
            f"Why not another: {found.why()}",
            *found.notes,
            "",
            f"None is beaten in all of {', '.join(map(titled, found.criteria))}; with 80 % ranges"
            + (f"; {more:,} more with --format csv or json" if more > 0 else ""),
            "",
            _table(found, style),
        ]
    )


def search_html(found: Search) -> str:
    """The front as a table of a notebook."""
    return _table(found, "html")


def _table(found: Search, style: str) -> str:
    names = [name for name in found.best.figures if any(np.isfinite(choice.figures[name]) for choice in found.front)]
    rows = [
        [choice.text(), *(shown(choice, name, name in found.criteria) for name in names)]
        for choice in found.front[:SHOWN]
    ]
    widths = [WIDE, *[None] * len(names)] if style == "simple" else None
    return tabulate(rows, ["layout", *map(titled, names)], style, disable_numparse=True, maxcolwidths=widths)


def titled(name: str) -> str:
    """A figure's name for people."""
    return TITLES.get(name, name)


def shown(choice: Choice, name: str, spread: bool) -> str:
    """A figure with its unit, and with its range where asked for."""
    value = choice.figures[name]
    low, high = choice.ranges.get(name, (value, value))
    unit = "s" if name.endswith("_s") and not name.endswith("per_s") else UNITS.get(name, "1")
    if unit == "1":
        return digits(value)
    return human(given(name, value, unit, low=low, high=high, factor="training time"), spread)


def asked_text(found: Search) -> str:
    """What was assumed, in one line."""
    return ", ".join(
        f"{name} {value:,.6g}" if isinstance(value, float | int) else f"{name} {value}"
        for name, value in found.asked.items()
    )


def search_csv(found: Search) -> str:
    """The front, best first, one row a choice."""
    return rows_csv(_row(choice) for choice in found.front)


def search_frame(found: Search) -> Any:
    """The front as a pandas DataFrame."""
    return rows_frame(_row(choice) for choice in found.front)


def _row(choice: Choice) -> dict[str, Any]:
    row: dict[str, Any] = {"accelerator": choice.accelerator, "count": choice.accelerators, **choice.layout}
    for name, value in choice.figures.items():
        row[name] = value if np.isfinite(value) else ""
        if name in choice.ranges:
            for end, bound in zip(("low", "high"), choice.ranges[name], strict=True):
                row[f"{name}_{end}"] = bound if np.isfinite(value) else ""
    return row
