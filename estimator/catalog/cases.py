"""Case files: published, measured runs, one per row, every field as text and empty when not stated."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from estimator.catalog.files import Content, cached, rows
from estimator.errors import InvalidInput, clipped
from estimator.files import doubled, read_text, shown
from estimator.numerals import SPACES
from estimator.paths import data_folder

CaseKind = Literal["training", "inference", "retrieval"]
Case = dict[str, str]

# A column only one kind has; the first that is present decides.
_MARKS: tuple[tuple[str, CaseKind], ...] = (
    ("n_vectors", "retrieval"),
    ("task", "inference"),
    ("engine", "inference"),
    ("output_len", "inference"),
    ("family", "training"),
    ("seq_len", "training"),
    ("micro_batch", "training"),
    ("global_batch_seqs", "training"),
)


def kind(header: Iterable[str]) -> CaseKind:
    """Which predictor a case file is for, from its column names.

    >>> kind(["id", "source", "metric", "value", "gpu", "seq_len"])
    'training'
    """
    columns = set(header)
    for column, answer in _MARKS:
        if column in columns:
            return answer
    raise InvalidInput(
        f"cannot tell what the cases measure from the columns {clipped(', '.join(sorted(columns)))}. "
        "Training cases have 'family' or 'seq_len', inference cases 'task', retrieval cases 'n_vectors'."
    )


def read_cases(path: str | Path) -> list[Case]:
    """Rows of a case file; spaces around values are dropped, short rows end in empty fields.

    Raises InvalidInput when the file cannot be read, is not CSV, or lacks `id`, `source` or `metric`.
    """
    lines = io.StringIO(read_text(path, "case file"), newline="")
    try:
        reader = csv.DictReader(lines, restval="", strict=True)
        if (twice := doubled(reader.fieldnames or ())) is not None:
            raise InvalidInput(f"the case file {shown(path)} has two columns {clipped(twice)}")
        cases = [_stripped(row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"the case file {shown(path)} is not CSV: {error}") from None
    _check_header(path, reader.fieldnames or ())
    return cases


def _stripped(row: Mapping[str | None, str | list[str]]) -> Case:
    """A row without the cells beyond the header, which csv keeps under None."""
    return {
        name.strip(): value.strip(SPACES) for name, value in row.items() if name is not None and isinstance(value, str)
    }


def _check_header(path: str | Path, header: Iterable[str]) -> None:
    missing = [name for name in ("id", "source", "metric") if name not in {column.strip() for column in header}]
    if missing:
        raise InvalidInput(
            f"the case file {clipped(str(path))} has no column {' or '.join(map(repr, missing))}. "
            "A case needs 'id', 'source', 'metric' and the configuration of the run; see calibration/README.md."
        )


def published(name: CaseKind) -> Path:
    """The case file of a kind that ships with the library."""
    return data_folder("calibration") / "published" / f"{name}.csv"


def file_hash(path: str | Path) -> str:
    """Twelve hexadecimal digits that change with the file's content; line endings do not count."""
    import hashlib  # only when a fit is made or checked

    content = Path(path).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()[:12]


@cached
def fitted(name: str) -> Content:
    """What was fitted to the cases of a kind: parameters with their folds, residuals, ranges.

    Raises InvalidInput when the file is missing or broken.
    """
    path = data_folder("calibration") / "fitted" / f"{name}.json"
    try:
        content: Content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the fitted constants {path.name}: {error}") from error
    return content


@cached
def priors(name: str) -> list[Case]:
    """What was believed of each parameter before fitting: name, prior, sigma_ln, unit, group, meaning."""
    return rows(data_folder("calibration") / "fitted" / f"{name}_priors.csv")
