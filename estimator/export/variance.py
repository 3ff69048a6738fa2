"""Plan against bill as text, and as a sheet whose sums are formulas."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from estimator.errors import MissingExtra
from estimator.files import check_ending, whole
from estimator.recording.variance import PARTS, Difference, Variance

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.chart import Chart
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

BRIDGE_HEADS = ("step", "amount [{}]", "stands at")
STACKED = ("below", "plan and bill", "billed more", "billed less")
STYLES: dict[str, dict[str, object]] = {
    "title": {"bold": True, "font_size": 12},
    "head": {"bold": True, "bg_color": "#D9E2EC"},
    "head_right": {"bold": True, "bg_color": "#D9E2EC", "align": "right"},
    "money": {"num_format": "#,##0.00;-#,##0.00;"},
    "sum": {"num_format": "#,##0.00", "bold": True, "bg_color": "#D9E2EC"},
    "grey": {"num_format": "#,##0.00;-#,##0.00;", "font_color": "#7F7F7F"},
}
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
    period = (
        f"{planned} planned and {billed} billed months"
        if planned != billed
        else f"{billed} month{'' if billed == 1 else 's'}"
    )
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
    if not (one.planned and one.billed):
        why = ", planned and not billed" if one.planned else ", billed and not planned"
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
            styles = {name: book.add_format(how) for name, how in STYLES.items()}
            for put, title, pages in ((_lines, "Variance", 0), (_bridge, "Bridge", 1)):
                sheet = book.add_worksheet(title)
                sheet.set_landscape()
                sheet.set_paper(9)  # A4
                sheet.fit_to_pages(1, pages)
                put(book, sheet, found, styles)
        beside.write_bytes(packed.getvalue())


def _lines(_: "Workbook", sheet: "Worksheet", found: Variance, styles: Mapping[str, "Format"]) -> None:
    months = " and ".join(
        f"{count} months {what}" for count, what in zip(found.months, ("planned", "billed"), strict=True)
    )
    title = f"{found.approach}: plan against bill in {found.currency}, {months}. Positive: billed more than planned"
    sheet.write_string(0, 0, title, styles["title"])
    for column, name in enumerate(HEADS):
        sheet.write_string(1, column, name, styles["head" if column < 2 else "head_right"])
    shown = [one for one in found.lines if one.planned or one.billed]
    for row, one in enumerate(shown, start=2):
        sheet.write_row(row, 0, _cells(one)[:2])
        sheet.write_row(row, 2, [float(getattr(one, name)) for name in ("planned", "billed", *PARTS)], styles["money"])
        sheet.write_formula(row, 9, f"=SUM(E{row + 1}:I{row + 1})", styles["money"], float(one.total))
    last = len(shown) + 2
    sheet.write_string(last, 0, "all", styles["head"])
    sheet.write_blank(last, 1, None, styles["head"])
    for column, name in enumerate(("planned", "billed", *PARTS, "total"), start=2):
        letter = "ABCDEFGHIJ"[column]
        value = sum(float(getattr(one, name)) for one in found.lines)
        sheet.write_formula(last, column, f"=SUM({letter}3:{letter}{last})", styles["sum"], value)
    sheet.set_column(0, 1, 26)
    sheet.set_column(2, 9, 13)
    sheet.freeze_panes(2, 2)


def _bridge(book: "Workbook", sheet: "Worksheet", found: Variance, styles: Mapping[str, "Format"]) -> None:
    """From plan to bill, a step a row; beside it, as formulas, what the picture stacks."""
    for column, name in enumerate((*BRIDGE_HEADS, *STACKED)):
        sheet.write_string(0, column, name.format(found.currency), styles["head" if column == 0 else "head_right"])
    steps = [(str(step["step"]), float(str(step["amount"]))) for step in found.bridge()]
    before = 0.0
    for row, (words, amount) in enumerate(steps, start=1):
        whole_bar = row in (1, len(steps))
        after = amount if whole_bar else before + amount
        up, down = max(0.0, amount), max(0.0, -amount)
        cells = (
            (f"=B{row + 1}", after) if whole_bar else (f"=C{row}+B{row + 1}", after),
            ("=0", 0.0) if whole_bar else (f"=MIN(C{row},C{row + 1})", min(before, after)),
            (f"=B{row + 1}", amount) if whole_bar else ("=0", 0.0),
            ("=0", 0.0) if whole_bar else (f"=MAX(0,B{row + 1})", up),
            ("=0", 0.0) if whole_bar else (f"=MAX(0,-B{row + 1})", down),
        )
        sheet.write_string(row, 0, words)
        sheet.write_number(row, 1, amount, styles["money"])
        for column, (formula, value) in enumerate(cells, start=2):
            sheet.write_formula(row, column, formula, styles["grey"], value)
        before = after
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 6, 13)
    sheet.insert_chart(len(steps) + 2, 0, _waterfall(book, found, len(steps)))


def _waterfall(book: "Workbook", found: Variance, last: int) -> "Chart":
    """Bars that hang where the one before ended."""
    chart = book.add_chart({"type": "column", "subtype": "stacked"})
    for column, colour in enumerate((None, "#7B8FA6", "#C8553D", "#2F6690"), start=3):
        fill = {"color": colour} if colour else {"none": True}
        chart.add_series(
            {
                "name": ["Bridge", 0, column],
                "categories": ["Bridge", 1, 0, last, 0],
                "values": ["Bridge", 1, column, last, column],
                "fill": fill,
                "gap": 40,
            }
        )
    chart.set_title({"name": f"{found.approach}: from plan to bill [{found.currency}]", "name_font": {"size": 11}})
    chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9"}}})
    chart.set_x_axis({"label_position": "low", "num_font": {"rotation": -45}})
    chart.set_legend({"position": "top", "delete_series": [0]})
    chart.set_size({"width": 760, "height": 380})
    return chart
