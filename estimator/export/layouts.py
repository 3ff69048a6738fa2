"""A layout search as text, Markdown and CSV."""

import textwrap
from collections.abc import Iterable, Iterator

import numpy as np
from tabulate import tabulate

from estimator.export.tables import WIDTH
from estimator.quantities import given
from estimator.search.result import Choice, Search, titled
from estimator.text import digits, human, short

SHOWN = 12  # rows of a table; CSV and JSON have the whole front
MOST_NAMED = 6  # accelerators in a line
NARROWEST = 24  # of a layout
UNITS = {"usd": "USD", "usd_per_hour": "USD", "memory_bytes": "B", "host_bytes": "B"}


def search_text(found: Search, style: str = "simple") -> str:
    """What was asked, the best, why the runner-up lost, and the front; `style` as tabulate names it."""
    more = len(found.front) - SHOWN
    lines = (
        *([found.verdict, ""] if found.verdict else []),
        f"{_of_what(found)}, for {asked_text(found)}",
        f"Best of {found.evaluated:,} layouts ({found.fitting:,} will do): {found.best.text()}",
        f"Why not another: {found.why()}",
        *found.notes,
        "",
        f"None is beaten in all of {', '.join(map(titled, found.criteria))}; with 80 % ranges"
        + (f"; {more:,} more with --format csv or json" if more > 0 else ""),
    )
    words = map(_paragraph, lines) if style == "simple" else lines
    return "\n".join([*words, "", _table(found, style), *_each(found, style)])


def _of_what(found: Search) -> str:
    """The LLM and the accelerators that were asked for; of many how many, as the best is named beneath."""
    names = list(found.prices)
    return f"{found.llm} on {', '.join(names) if len(names) <= MOST_NAMED else f'{len(names)} accelerators'}"


def _each(found: Search, style: str) -> list[str]:
    """The best on each kind of accelerator with its price, where several were tried."""
    if not found.each:
        return []
    names = [name for name in found.criteria if any(np.isfinite(choice.figures[name]) for choice in found.each)]
    rows = [
        [choice.text(), *(shown(choice, name, False) for name in names), human(price), price.note]
        for choice in found.each
        for price in [found.prices[choice.accelerator]]
    ]
    heads = ["best of each accelerator", *map(titled, names), "an hour of one", "whose price"]
    widths = [NARROWEST + 10, *[None] * (len(names) + 1), NARROWEST + 14]
    wide = widths if style == "simple" else None
    return ["", tabulate(rows, heads, style, disable_numparse=True, maxcolwidths=wide)]


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def search_markdown(found: Search) -> str:
    """The same with the front as a Markdown table."""
    return search_text(found, "github")


def search_html(found: Search) -> str:
    """The front as a table of a notebook."""
    return _table(found, "html")


def _table(found: Search, style: str) -> str:
    names = [name for name in found.best.figures if any(np.isfinite(choice.figures[name]) for choice in found.front)]
    rows = [
        [choice.text(), *(shown(choice, name, name in found.criteria) for name in names)]
        for choice in found.front[:SHOWN]
    ]
    heads = ["layout", *map(titled, names)]
    if style != "simple":
        return tabulate(rows, heads, style, disable_numparse=True)
    # On the screen a range stands beneath its figure, where a layout has a second line anyway.
    rows = [[layout, *(text.replace(" (", "\n(") for text in figures)] for layout, *figures in rows]
    columns = list(zip(heads, *rows, strict=True))[1:]
    rest = sum(2 + _width((f"{head}  ", *cells)) for head, *cells in columns)
    wide = max(WIDTH - rest, NARROWEST)
    return tabulate(rows, heads, style, disable_numparse=True, maxcolwidths=[wide, *[None] * len(names)])


def _width(cells: Iterable[str]) -> int:
    return max(len(line) for cell in cells for line in cell.split("\n"))


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
    return ", ".join(f"{name} {_plain(value)}" for name, value in found.asked.items())


def _plain(value: object) -> str:
    """A number as people write it; words as they are.

    >>> _plain(1e11), _plain(4096), _plain(0.152207), _plain("lora")
    ('100B', '4,096', '0.152', 'lora')
    """
    if not isinstance(value, float | int):
        return str(value)
    return short(value) if value >= 1e6 else f"{value:,.0f}" if value == int(value) else digits(value)


def search_rows(found: Search) -> Iterator[dict[str, object]]:
    """The front, best first: one row a choice, every figure with the ends of its range."""
    return map(_row, found.front)


def _row(choice: Choice) -> dict[str, object]:
    row: dict[str, object] = {"accelerator": choice.accelerator, "count": choice.accelerators, **choice.layout}
    for name, value in choice.figures.items():
        row[name] = value if np.isfinite(value) else ""
        if name in choice.ranges:
            for end, bound in zip(("low", "high"), choice.ranges[name], strict=True):
                row[f"{name}_{end}"] = bound if np.isfinite(value) else ""
    return row
