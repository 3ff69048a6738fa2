"""Figures as plain data: JSON, and flat rows for CSV, spreadsheets and data frames. Each takes a currency beside."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from estimator.errors import MissingExtra
from estimator.export.currency import Currency, data_in_both, row_in_both
from estimator.quantities import Quantity
from estimator.results import Blocked, Comparison, Estimate
from estimator.shown import SCHEMA_VERSION, dumps, rendered

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("stage", "figure", "value", "unit", "low", "high", "level", "basis", "note")


def comparison_rows(comparison: Comparison) -> Iterator[dict[str, object]]:
    """One row per stage and figure; a stage that cannot run has one row with the reason."""
    for answer in comparison.estimates:
        if isinstance(answer, Blocked):
            yield figure_row(answer.stage, "cannot run") | {"note": answer.reason}
        else:
            yield from estimate_rows(answer)


def estimate_rows(answer: Estimate) -> Iterator[dict[str, object]]:
    """One row per figure of one estimate."""
    for name, figure in answer.quantities():
        yield figure_row(answer.stage, name, figure)


def figure_row(stage: str, name: str, figure: Quantity | None = None) -> dict[str, Any]:
    """A figure as a row, its cells empty where there is none."""
    if figure is None:
        return dict.fromkeys(COLUMNS, "") | {"stage": stage, "figure": name}
    data = figure.to_dict()
    shown = {key: "" if data[key] is None else data[key] for key in ("value", "unit", "low", "high", "basis")}
    shown["level"] = figure.level
    return dict.fromkeys(COLUMNS, "") | {
        "stage": stage,
        "figure": name,
        **shown,
        "note": figure.note if figure.known else figure.note or "unknown",
    }


def own_rows(result: Any) -> Iterator[dict[str, object]]:
    """The rows that a result has itself; the cells of what is None are empty."""
    for row in result.rows():
        yield {name: "" if value is None else value for name, value in row.items()}


def as_json(result: Any, to: Currency | None = None) -> str:
    """JSON text with `schema_version`; with a currency, that and every money figure in it too."""
    head, data = {"schema_version": SCHEMA_VERSION}, result.to_dict()
    return dumps({**head, "currency": to.to_dict(), **data_in_both(data, to)} if to else head | data)


def as_csv(result: object, to: Currency | None = None) -> str:
    """The rows of a result as CSV text."""
    return rows_csv(_rows(result, to))


def as_frame(result: object, to: Currency | None = None) -> "DataFrame":
    """The rows of a result as a pandas DataFrame."""
    return rows_frame(_rows(result, to))


def as_html(result: object) -> str:
    """For a notebook: the text as it stands on a screen."""
    import html

    return f"<pre>{html.escape(str(result))}</pre>"


def _rows(result: object, to: Currency | None) -> Iterable[dict[str, Any]]:
    rows: Iterable[dict[str, Any]] = rendered(result, "rows")
    return (row_in_both(row, to) for row in rows) if to else rows


def rows_csv(rows: Iterable[dict[str, object]]) -> str:
    """CSV text with a header; text that a spreadsheet would take for a formula is made harmless."""
    listed = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(listed[0]) if listed else [], lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return out.getvalue()


def _cell(value: object) -> object:
    """A cell; of a number twelve digits, which is more than any figure knows and less than rounding leaves behind.

    >>> _cell(1999.9999999999998), _cell(0.1), _cell(3), _cell(None), _cell("=1+1")
    ('2000', '0.1', 3, None, "'=1+1")
    """
    return f"{value:.12g}" if isinstance(value, float) else harmless(value)


# What programs take for the start of a formula: the signs, full-width ones too, after whatever they trim; or a break.
FORMULA_STARTS = "^(?:[\t\r\n]|[\\s\u00a0\u3000\u200b\u2060\ufeff\\x00]*[=+\\-@＝＋－＠])"
FORMULA = re.compile(FORMULA_STARTS)


def harmless(value: object) -> object:
    """Text that starts like a formula gets a leading apostrophe; a carriage return, which would begin a row, is a line
    feed; numbers stay numbers.

    >>> harmless("=1+1"), harmless(" ＝1+1"), harmless(-3.5)
    ("'=1+1", "' ＝1+1", -3.5)
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value
    return f"'{text}" if FORMULA.match(text) else text


def rows_frame(rows: Iterable[dict[str, object]]) -> "DataFrame":
    """Rows as a pandas DataFrame; MissingExtra without pandas."""
    try:
        import pandas
    except ImportError:
        raise MissingExtra("pandas", "tables") from None
    return pandas.DataFrame(list(rows))
