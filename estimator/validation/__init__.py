"""Measured runs against predictions: `validate` reads case files and predicts each row from its configuration alone."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from estimator.arguments import PATH, check_kind
from estimator.catalog.cases import Case, CaseKind, kind, published, read_cases
from estimator.errors import InvalidInput, clipped
from estimator.validation.metrics import as_asked, known_row
from estimator.validation.report import CasePrediction, Report, with_measurement

__all__ = ["CasePrediction", "Report", "validate"]

KINDS: tuple[CaseKind, ...] = ("training", "inference", "retrieval")
MEASUREMENT = ("value", "notes", "citation", "quality", "flag")  # never shown to a predictor


def validate(paths: Iterable[str | Path] | str | Path = ()) -> Report:
    """Predict every case of a file or files, by default of the published runs that ship, and compare.

    Raises InvalidInput for a file that cannot be read or whose kind its columns do not tell.
    """
    listed = [paths] if isinstance(paths, str | Path) else paths
    try:
        names = list(listed)
    except TypeError:
        raise InvalidInput(f"paths must be a path, or several, not {clipped(paths)}") from None
    for name in names:
        check_kind("paths", name, PATH)
    files = [Path(path) for path in names] or [published(name) for name in KINDS if published(name).is_file()]
    return Report(tuple(case for path in files for case in _of_file(path)))


def _of_file(path: Path) -> list[CasePrediction]:
    rows = read_cases(path)
    if not rows:
        return []
    of = kind(rows[0])
    predictor = import_module(f"estimator.validation.{of}")
    predictions: list[CasePrediction] = predictor.predict_cases([known_row(of, _configuration(row)) for row in rows])
    return [
        with_measurement(as_asked(of, row["metric"], case), row.get("value", ""))
        for case, row in zip(predictions, rows, strict=True)
    ]


def _configuration(row: Case) -> Case:
    """The row without what was measured or written about it."""
    return {name: text for name, text in row.items() if name not in MEASUREMENT}
