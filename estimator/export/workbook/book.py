"""The workbook under construction: sheets, styles, names, and where each step's cells are."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import IO

import numpy as np

from estimator.errors import MissingExtra
from estimator.export.formula_text import Expr, expr, with_constants
from estimator.export.rows import harmless
from estimator.export.workbook.steps import Step, Steps, constant_name
from estimator.quantities import FACTORS, Quantity
from estimator.results import Comparison, Estimate

SHEETS = ("Summary", "Inputs", "Monthly", "Break-even", "Budget lines", "Calculation", "Ranges", "Sources", "Notes")
MADE_BY = "Made by: "  # goes before the command in the notes, by which an export is repeated
MONTHS = 120  # the longest horizon a scenario may have
REFERENCE = re.compile(r"«(\d+)»")
LONGEST_TEXT = 32_000  # a cell holds 32,767 characters
LINE_HEIGHT = 13.5  # points
# Decimals by size; formats with conditions would do it in the cell, but some programs lose the minus sign then.
DECIMALS = ((100.0, "#,##0"), (1.0, "#,##0.00"), (0.0, "0.0000"))

BASE = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
STYLES: dict[str, dict[str, object]] = {
    "plain": {},
    "title": {"bold": True, "font_size": 15},
    "subtitle": {"font_color": "#595959"},
    "section": {"bold": True, "font_size": 11},
    "head": {"bold": True, "text_wrap": True, "bg_color": "#D9E2EC", "valign": "vcenter"},
    "head_right": {"bold": True, "align": "right", "bg_color": "#D9E2EC", "text_wrap": True, "valign": "vcenter"},
    "head_center": {"bold": True, "align": "center", "bg_color": "#D9E2EC", "text_wrap": True},
    "wrap": {"text_wrap": True},
    "grey_wrap": {"font_color": "#7F7F7F", "text_wrap": True, "align": "left", "indent": 1},
    "grey": {"font_color": "#7F7F7F", "align": "left", "indent": 1},
    "beside": {"align": "left", "indent": 1},  # words beside a number
    "number": {"align": "right"},
    "grey_number": {"font_color": "#7F7F7F", "align": "right", "shrink": True},
    "strong_number": {"bold": True, "align": "right", "shrink": True},
    "money": {"num_format": "#,##0;-#,##0;0", "align": "right", "shrink": True},
    "month": {"num_format": "#,##0;-#,##0;", "shrink": True},
    "strong_money": {"num_format": "#,##0", "bold": True, "align": "right", "shrink": True},
    "grey_money": {"num_format": "#,##0", "font_color": "#7F7F7F", "shrink": True},
    "live": {"num_format": "General", "bg_color": "#FFF8DC", "font_color": "#1F3FA8", "border": 1},
    "live_large": {"num_format": "#,##0", "bg_color": "#FFF8DC", "font_color": "#1F3FA8", "border": 1},
    "fixed": {"num_format": "General", "bg_color": "#EDEDED", "font_color": "#7F7F7F"},
    "fixed_large": {"num_format": "#,##0", "bg_color": "#EDEDED", "font_color": "#7F7F7F"},
    "physical": {"num_format": "0.000000E+00", "bg_color": "#EDEDED", "font_color": "#7F7F7F"},
}


class Book:
    """An XlsxWriter workbook that knows the steps of a comparison.

    label: goes before every sheet's name, for a workbook that has other sheets; names start with it, or with `est_`
    """

    def __init__(self, target: IO[bytes], comparison: Comparison, label: str = "", command: str = "") -> None:
        try:
            import xlsxwriter
        except ImportError:
            raise MissingExtra("XlsxWriter", "excel") from None
        self.comparison, self.label, self.command = comparison, label, command
        self.steps = Steps(comparison)
        options = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
        self.file = xlsxwriter.Workbook(target, options)
        self.styles: dict[tuple[str, str], object] = {}
        self.sheets = {name: self.file.add_worksheet(self.title(name)) for name in SHEETS}
        for sheet in self.sheets.values():
            sheet.set_landscape()
            sheet.set_paper(9)  # A4
            sheet.fit_to_pages(1, 0)
            sheet.set_row(0, 22)
        self.factors = self.steps.factors()
        self.rows: dict[int, int] = {}  # of the Calculation sheet, by step
        self.constants = dict(self.steps.constants)
        self.names: dict[str, str] = {}

    @property
    def estimates(self) -> list[Estimate]:
        """The approaches that can be done."""
        return [answer for answer in self.comparison.estimates if isinstance(answer, Estimate)]

    @property
    def currency(self) -> str:
        """The currency of all money in the workbook but prices that are inputs."""
        return next((answer.total_usd.unit for answer in self.estimates), "USD")

    def title(self, sheet: str) -> str:
        """A sheet's name in this workbook."""
        return f"{self.label} {sheet}".strip()

    def scenarios(self) -> list[int]:
        """The scenarios that have a column: as expected, every factor low, every factor high."""
        places = [FACTORS.index(name) for name in self.factors]
        return [0, *(1 + place for place in places), *(1 + len(FACTORS) + place for place in places)]

    def style(self, name: str, size: object = 0.0) -> object:
        """A cell format; numbers of no particular kind get decimals by their size."""
        decimals = {}
        if name.endswith("number"):
            plain = abs(size) if isinstance(size, float | int) and math.isfinite(size) else 0.0
            decimals = {"num_format": next(text for least, text in DECIMALS if plain >= least) if plain else "#,##0"}
        key = name, decimals.get("num_format", "")
        if key not in self.styles:
            self.styles[key] = self.file.add_format({**BASE, **STYLES[name], **decimals})
        return self.styles[key]

    def heads(self, sheet: str, row: int, words: Iterable[str], style: str = "head") -> None:
        """A row of headings, high enough for two lines."""
        self.sheets[sheet].set_row(row, 30)
        for column, word in enumerate(words):
            self.text(sheet, row, column, word, style)

    def text(self, sheet: str, row: int, column: int, words: object, style: str = "plain") -> None:
        """Words; never a formula, whatever they begin with."""
        if words == "":
            self.sheets[sheet].write_blank(row, column, None, self.style(style))
            return
        clean = str(words).encode("utf-8", "replace").decode("utf-8")[:LONGEST_TEXT]
        self.sheets[sheet].write_string(row, column, str(harmless(clean)), self.style(style))

    def high(self, sheet: str, row: int, cells: Iterable[tuple[str, float]]) -> None:
        """A row as high as its longest wrapped cell needs: words and width of each; not every program sees to it."""
        lines = max(
            sum(-(-max(len(part), 1) // int(width * 0.9)) for part in text.split("\n")) for text, width in cells
        )
        if lines > 1:
            self.sheets[sheet].set_row(row, LINE_HEIGHT * lines)

    def printed(self, sheet: str, last: int, columns: int, heads: int, pages: int = 1) -> None:
        """On paper: rows up to `last` and so many columns, so many pages wide, headings down to row `heads` on each."""
        self.sheets[sheet].print_area(0, 0, last, columns - 1)
        self.sheets[sheet].repeat_rows(heads)
        self.sheets[sheet].fit_to_pages(pages, 0)

    def number(self, sheet: str, row: int, column: int, value: float, style: str = "number") -> Expr:
        """A number; an unknown one is #N/A, and so is all that rests on it."""
        if math.isfinite(value):
            self.sheets[sheet].write_number(row, column, value, self.style(style, value))
        else:
            self.sheets[sheet].write_formula(row, column, "=NA()", self.style(style), "#N/A")
        return Expr(self.at(sheet, row, column), value)

    def formula(
        self,
        sheet: str,
        row: int,
        column: int,
        found: object,
        style: str = "number",
        letter: str = "",
        size: float | None = None,
    ) -> Expr:
        """A formula with the value it comes to.

        letter: the column that steps are read in, if not the expected one; size: what decimals go by, if not the value
        """
        cell = expr(found)
        text = with_constants(cell.text, self.constant)
        text = text.replace("«months»", self.months())
        text = REFERENCE.sub(lambda step: self._step_text(int(step[1]), letter), text)
        value = _cached(cell.value)
        self.sheets[sheet].write_formula(
            row, column, f"={text}", self.style(style, value if size is None else size), value
        )
        return Expr(self.at(sheet, row, column), cell.value)

    def at(self, sheet: str, row: int, column: int) -> str:
        """The address of a cell, good in any sheet."""
        return f"{self.quoted(sheet)}!${letters(column)}${row + 1}"

    def quoted(self, sheet: str) -> str:
        """A sheet's name as formulas write it."""
        title = self.title(sheet)
        return title if title.isidentifier() else "'" + title.replace("'", "''") + "'"

    def months(self) -> str:
        """The column of months."""
        return f"{self.quoted('Monthly')}!$A${FIRST_MONTH + 1}:$A${FIRST_MONTH + MONTHS}"

    def constant(self, value: float) -> str:
        """The workbook's name of a constant."""
        return self.name_text(self.constants.setdefault(value, constant_name(value)))

    def name_text(self, name: str) -> str:
        """A name as it stands in the workbook: small letters, digits, underscores, a start nobody else uses."""
        start = re.sub(r"\W+", "_", self.label.lower()) or "est"
        start = start if start[0].isalpha() else f"est_{start}"
        return f"{start}_{re.sub(r'[^a-z0-9_]+', '_', name.lower())}"

    def define(self, name: str, cell: Expr) -> None:
        """Name a cell for the whole workbook."""
        self.names[self.name_text(name)] = cell.text
        self.file.define_name(self.name_text(name), f"={cell.text}")

    def expected(self, figure: Quantity) -> Expr:
        """A figure's expected value, as a cell of the Calculation sheet."""
        number = self.steps.number(figure)
        return Expr(self.at("Calculation", self.rows[number], EXPECTED), figure.value)

    def step(self, figure: Quantity) -> Step:
        """A figure's step."""
        return self.steps.step(figure)

    def _step_text(self, number: int, letter: str) -> str:
        row = self.rows[number]
        return f"{letter}{row + 1}" if letter else self.at("Calculation", row, EXPECTED)


EXPECTED = 4  # column of the expected values in the Calculation sheet
FIRST_MONTH = 5  # row of the first month in the Monthly sheet


def letters(column: int) -> str:
    """A column's letters.

    >>> letters(0), letters(27)
    ('A', 'AB')
    """
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def _cached(value: object) -> object:
    plain = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return "#N/A"
    return plain


def given_ends(step: Step) -> Mapping[str, float]:
    """Value, low and high of an input."""
    index = 1 + FACTORS.index(step.factor) if step.factor else 0
    column = step.node.column
    high = index + len(FACTORS) if step.factor else 0
    return {"value": step.node.value, "low": float(column[index]), "high": float(column[high])}
