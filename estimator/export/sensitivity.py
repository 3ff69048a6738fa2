"""Sensitivities and grids as text: what moves a figure most, and a table of a figure over combinations of inputs."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from estimator.export.tables import WIDTH
from estimator.export.tables import grid as table
from estimator.quantities import FACTORS, given
from estimator.sensitivity import Grid, Sensitivity, Swing
from estimator.text import digits, human

BAR = 24
LEAST = 5e-4  # a smaller change than this share is no change


def sensitivity_text(found: Sensitivity) -> str:
    """One input a line, what moves the figure most first; the bar runs from the figure's low to its high."""
    head = f"{found.title}: {found.figure} is {_figure(found, found.expected)} as expected."
    moving = [swing for swing in found.swings if swing.width > LEAST * abs(found.expected)]
    if not moving:
        return f"{head} No input with a range changes it."
    ends = [end for swing in moving for end in (swing.at_low, swing.at_high, found.expected) if end is not None]
    body = [[*_cells(found, swing), _bar(swing, found.expected, min(ends), max(ends))] for swing in moving]
    lines = [head, "One input at a time, at the low and the high end of its 80 % range:", ""]
    lines.append(_columns([["input", "low", "high", "at low", "at high", ""], *body]))
    unnamed = any(swing.low is None for swing in moving)
    words = ["(...) is no input: the range has it for the error of a prediction or for a price."] if unnamed else []
    still = [swing.name for swing in found.swings if swing not in moving]
    words += [f"Less than {100 * LEAST:g} % of it: {', '.join(still)}."] if still else []
    words += [f"{swing.name}: {swing.note}" for swing in moving if swing.note]
    return "\n".join([*lines, "", *(textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in words)]).rstrip()


def sensitivity_markdown(found: Sensitivity) -> str:
    """The same as a Markdown table."""
    from tabulate import tabulate

    body = [_cells(found, swing) for swing in found.swings]
    return tabulate(body, ["input", "low", "high", "at low", "at high"], tablefmt="github", disable_numparse=True)


def _cells(found: Sensitivity, swing: Swing) -> list[str]:
    ends = ["" if end is None else digits(end) for end in (swing.low, swing.high)]
    at = ["cannot run" if end is None else _figure(found, end) for end in (swing.at_low, swing.at_high)]
    return [swing.name, *ends, *at]


def _figure(found: Sensitivity, value: float) -> str:
    return human(given(found.figure, value, found.unit))


def _bar(swing: Swing, expected: float, least: float, most: float) -> str:
    """A line from least to most with the figure's own reach on it, `|` where it is as expected."""
    at = [expected if end is None else end for end in (swing.at_low, swing.at_high)]
    low, middle, high = (round((end - least) / (most - least) * BAR) for end in (min(at), expected, max(at)))
    marks = ["=" if low <= place <= high else " " for place in range(BAR + 1)]
    marks[middle] = "|"
    return "".join(marks).rstrip()


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:5], widths[1:5], strict=True)), row[5]]
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def grid_text(found: Grid, style: str = "simple") -> str:
    """A table for each figure: a combination a row, an approach a column."""
    parts, rows, varied = [], found.answered, found.varied
    for figure in found.figures:
        told, unit = figure.replace("usd", found.currency.lower()), unit_of(figure).replace("USD", found.currency)
        body = [
            [_label(row, varied), *(_answer(row, f"{stage}_{told}", unit) for stage in found.stages)] for row in rows
        ]
        parts += [f"{told}: expected (80 % range)", _table([", ".join(varied), *found.stages], body, style)]
    wrong = [f"{_label(row, varied)}: {row['error']}" for row in rows if row["error"]]
    told = "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in wrong)
    return "\n\n".join([*parts, *([told] if told else [])])


def grid_markdown(found: Grid) -> str:
    """The same as Markdown tables."""
    return grid_text(found, "github")


def _table(head: list[str], body: list[list[str]], style: str) -> str:
    if style == "simple":
        return table(head, body)
    from tabulate import tabulate

    return tabulate(body, head, tablefmt=style, disable_numparse=True)


def _label(row: Mapping[str, object], varied: Sequence[str]) -> str:
    values = (row[name] for name in varied)
    return ", ".join(digits(value) if isinstance(value, float | int) else str(value) for value in values)


def _answer(row: Mapping[str, Any], name: str, unit: str) -> str:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if row["error"] or value != value:
        return "-" if row["error"] else "unknown"
    return human(given(name, value, unit, low=low, high=high, factor=FACTORS[0]))


def unit_of(figure: str) -> str:
    """The unit that a figure's name ends in, as quantities write it."""
    ends = {"_usd": "USD", "_requests": "USD", "_s": "s", "_bytes": "B", "_j": "J", "co2e_g": "gCO2e", "_hours": "h"}
    return next((unit for end, unit in ends.items() if figure.endswith(end)), "FLOP" if figure == "flop" else "1")
