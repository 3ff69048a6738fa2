"""The comparison as a workbook with live formulas."""

import io
from pathlib import Path

from estimator.errors import InvalidInput
from estimator.export.formula_text import Expr
from estimator.export.workbook.book import SHEETS, Book
from estimator.export.workbook.model import Calculation, Inputs, Monthly, Ranges
from estimator.export.workbook.report import break_even, budget_lines, notes, sources, summary
from estimator.files import whole
from estimator.results import Comparison


def build(comparison: Comparison, target: Path, label: str = "", command: str = "") -> Book:
    """Write all sheets to `target`; label goes before every sheet's name. Raises MissingExtra without XlsxWriter."""
    packed = io.BytesIO()
    book = Book(packed, comparison, label, command)
    if not book.estimates:
        raise InvalidInput("no approach can be done as asked, so there is nothing to put into a workbook")
    inputs = Inputs(book)
    Calculation(book, inputs)
    ranges = Ranges(book)
    monthly = Monthly(book, inputs)
    summary(book, ranges, inputs)
    break_even(book, ranges, monthly, inputs)
    budget_lines(book, ranges)
    sources(book)
    notes(book)
    inputs.constants()
    for sheet in SHEETS:  # says which sheets are ours, should they be refreshed one day
        book.define(f"sheet_{sheet}", Expr(book.at(sheet, 0, 0), 0.0))
    book.file.close()
    target.write_bytes(packed.getvalue())
    return book


def write_workbook(comparison: Comparison, path: str, command: str = "") -> None:
    """The comparison as an .xlsx file that is either whole or not there."""
    with whole(path) as beside:
        build(comparison, beside, command=command)
