"""Figures as flat rows, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from estimator.errors import MissingExtra
from estimator.quantities import Quantity
from estimator.results import Blocked, Comparison, Estimate

COLUMNS = ("stage", "figure", "value", "unit", "low", "high", "level", "basis", "note")


def comparison_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """One row per stage and figure; a stage that cannot run has one row with the reason."""
    for answer in comparison.estimates:
        if isinstance(answer, Blocked):
            yield _row(answer.stage, "cannot run") | {"note": answer.reason}
        else:
            yield from estimate_rows(answer)


def estimate_rows(answer: Estimate) -> Iterator[dict[str, Any]]:
    """One row per figure of one estimate."""
    for name, figure in answer.quantities():
        yield _row(answer.stage, name, figure)


def _row(stage: str, name: str, figure: Quantity | None = None) -> dict[str, Any]:
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


def rows_csv(rows: Iterable[dict[str, Any]]) -> str:
    """CSV text with a header; text that a spreadsheet would take for a formula is made harmless."""
    listed = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(listed[0]), lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({key: harmless(value) for key, value in row.items()})
    return out.getvalue()


def harmless(value: Any) -> Any:
    """Text that starts like a formula gets a leading apostrophe; numbers stay numbers.

    >>> harmless("=1+1"), harmless(-3.5)
    ("'=1+1", -3.5)
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def comparison_csv(comparison: Comparison) -> str:
    """The comparison as CSV text."""
    return rows_csv(comparison_rows(comparison))


def comparison_frame(comparison: Comparison) -> Any:
    """The comparison as a pandas DataFrame."""
    return rows_frame(comparison_rows(comparison))


def rows_frame(rows: Iterable[dict[str, Any]]) -> Any:
    """Rows as a pandas DataFrame; MissingExtra without pandas."""
    try:
        import pandas
    except ImportError:
        raise MissingExtra("pandas", "tables") from None
    return pandas.DataFrame(list(rows))
