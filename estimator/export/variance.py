"""Plan against bill as text, and as a sheet whose sums are formulas."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from estimator.errors import MissingExtra
from estimator.files import check_ending, whole
from estimator.recording.variance import PARTS, Difference, Variance

if TYPE_CHECKING:
    from xlsxwriter import Workbook

HEADS = ("line", "driver", "planned", "billed", *PARTS, "difference")
CENT = 0.005


def variance_text(found: Variance) -> str:
    """A line a kind, then the total and what made most of it."""
    return _text(found, "simple")


def variance_markdown(found: Variance) -> str:
    """The same as a Markdown table."""
    return _text(found, "github")


def _text(found: Variance, style: str) -> str:
    lines = [_cells(one) for one in found.lines if one.planned or one.billed]
    sums = [sum(float(getattr(one, name)) for one in found.lines) for name in ("planned", "billed", *PARTS, "total")]
    table = tabulate([*lines, ["all", "", *map(_money, sums)]], HEADS, style, disable_numparse=True)
    planned, billed = found.months
    period = f"{planned} planned and {billed} billed months" if planned != billed else f"{billed} months"
    head = (
        f"{found.approach}, {found.currency}, {period}, {found.charges:,} charges. Positive: billed more than planned."
    )
    return f"{head}\n\n{table}\n\n{_most(found)}"


def _cells(one: Difference) -> list[str]:
    amounts = (float(getattr(one, name)) for name in ("planned", "billed", *PARTS, "total"))
    return [f"{one.kind} [{one.unit}]" if one.unit else one.kind, one.driver or "not planned", *map(_money, amounts)]


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if abs(amount) >= CENT else ""


def _most(found: Variance) -> str:
    """Which part of which line made most of the difference, and the input behind it."""
    steps = [(abs(getattr(one, part)), one, part) for one in found.lines for part in PARTS]
    if not steps or not max(step[0] for step in steps):
        return "Billed as planned."
    _, one, part = max(steps, key=lambda step: step[0])
    why = f", which {one.driver} moves" if one.driver and part in ("volume", "mix") else ""
    return f"Most of it: {part} of {one.kind} ({float(getattr(one, part)):+,.2f}){why}."


def variance_sheet(found: Variance, path: str | Path) -> None:
    """A workbook with the lines and the bridge; differences and sums are formulas. MissingExtra without XlsxWriter."""
    try:
        import xlsxwriter
    except ImportError:
        raise MissingExtra("XlsxWriter", "excel") from None
    check_ending(path, ".xlsx")
    with whole(path) as beside:
        packed = io.BytesIO()
        with xlsxwriter.Workbook(packed, {"strings_to_formulas": False, "in_memory": True}) as book:
            _lines(book, found)
            _bridge(book, found)
        beside.write_bytes(packed.getvalue())


def _lines(book: "Workbook", found: Variance) -> None:
    sheet, bold, money = (
        book.add_worksheet("Variance"),
        book.add_format({"bold": True}),
        book.add_format({"num_format": "#,##0.00"}),
    )
    sheet.write_row(0, 0, [f"{found.approach}, {found.currency}: plan against bill"], bold)
    sheet.write_row(1, 0, HEADS, bold)
    for row, one in enumerate(found.lines, start=2):
        sheet.write_row(row, 0, [f"{one.kind} [{one.unit}]", one.driver])
        sheet.write_row(row, 2, [float(getattr(one, name)) for name in ("planned", "billed", *PARTS)], money)
        sheet.write_formula(row, 9, f"=SUM(E{row + 1}:I{row + 1})", money, float(one.total))
    last = len(found.lines) + 2
    sheet.write(last, 0, "all", bold)
    for column, name in enumerate(("planned", "billed", *PARTS, "total"), start=2):
        letter = "ABCDEFGHIJ"[column]
        value = sum(float(getattr(one, name)) for one in found.lines)
        sheet.write_formula(last, column, f"=SUM({letter}3:{letter}{last})", money, value)
    sheet.set_column(0, 1, 28)
    sheet.set_column(2, 9, 13)
    sheet.freeze_panes(2, 2)


def _bridge(book: "Workbook", found: Variance) -> None:
    sheet, money = book.add_worksheet("Bridge"), book.add_format({"num_format": "#,##0.00"})
    sheet.write_row(0, 0, ["step", "amount"], book.add_format({"bold": True}))
    for row, step in enumerate(found.bridge(), start=1):
        sheet.write(row, 0, step["step"])
        sheet.write(row, 1, step["amount"], money)
    sheet.set_column(0, 0, 28)
    sheet.set_column(1, 1, 14)
