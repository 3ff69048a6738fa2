"""The user's own runs: case files in the columns of the published ones, appended to.

They lie in the user's data folder, or where ESTIMATOR_RUNS says. Nothing of them leaves the machine.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from estimator.catalog.cases import Case, CaseKind, published, read_cases
from estimator.catalog.files import cached
from estimator.errors import InvalidInput
from estimator.files import lock_file, locked, make_folder, read_bytes, reason, shown, whole
from estimator.paths import user_data_folder

SOURCE = "own"
KINDS: tuple[CaseKind, ...] = ("training", "inference")


def own_runs_path(kind: CaseKind) -> Path:
    """Where own runs of a kind are kept, whether or not there are any."""
    return _folder() / f"{kind}.csv"


def _folder() -> Path:
    given = os.environ.get("ESTIMATOR_RUNS")
    return Path(given) if given else user_data_folder() / "runs"


_used = [True]


def use_own_runs(used: bool = True) -> None:
    """Whether predictions are corrected by own runs, where there are any: they are unless told not to."""
    _used[0] = used


def own_runs_used() -> bool:
    """Whether they are."""
    return _used[0]


def stamp() -> tuple[int, ...]:
    """What changes whenever an own run is added; empty where there is none, or none is to be used."""
    if not _used[0]:
        return ()
    found = [_stat(own_runs_path(kind)) for kind in KINDS] if os.path.lexists(_folder()) else []
    return tuple(number for one in found if one for number in (one.st_mtime_ns, one.st_size))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat() if os.path.lexists(path) else None
    except OSError as error:
        raise InvalidInput(f"cannot read the own runs {shown(path)}: {reason(error)}") from None


def own_runs(kind: CaseKind) -> list[Case]:
    """Own runs of a kind, in the order in which they were recorded."""
    path = own_runs_path(kind)
    return read_cases(path) if os.path.lexists(path) else []


def add_runs(kind: CaseKind, runs: Iterable[Mapping[str, object]]) -> list[Case]:
    """Append runs to the file of their kind, which is there whole before and after; returns them as they were written.

    Of two that append at once the second waits. Raises InvalidInput when the file is none of ours or cannot be written.
    """
    path = own_runs_path(kind)
    beside = path.with_suffix(".lock")
    make_folder(path.parent)
    try:
        with lock_file(beside) as lock:
            locked(lock, wait=True)
            return _appended(kind, path, [dict(run) for run in runs])
    except OSError as error:
        raise InvalidInput(f"cannot write {shown(beside)}: {reason(error)}") from None


def _appended(kind: CaseKind, path: Path, runs: Sequence[Mapping[str, object]]) -> list[Case]:
    there = os.path.lexists(path)
    before = read_bytes(path, "case file") if there else b""
    old = read_cases(path) if before.strip() else []
    known = [*old[0]] if old else []
    header = [*known, *(name for name in columns(kind) if name not in known)]
    rows = [_row(header, f"{SOURCE}-{len(old) + 1 + place:04d}", run) for place, run in enumerate(runs)]
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, header, lineterminator="\n", restval="")
    anew = header != known  # the first, or the first with columns that an older version did not know
    if anew:
        writer.writeheader()
        writer.writerows(old)
    writer.writerows(rows)
    kept = b"" if anew else before if before.endswith(b"\n") else before + b"\n"
    with whole(path, still=before if there else None) as beside:
        beside.write_bytes(kept + lines.getvalue().encode())
    return rows


def _row(header: Sequence[str], name: str, run: Mapping[str, object]) -> Case:
    unknown = [column for column in run if column not in header]
    if unknown:
        raise InvalidInput(f"a run has no column {unknown[0]!r}; its columns are {', '.join(header)}")
    told = {column: "" if run.get(column) is None else str(run[column]) for column in header}
    return told | {"id": name, "source": SOURCE, "source_kind": "own"}


@cached
def columns(kind: CaseKind) -> tuple[str, ...]:
    """The columns of a kind, as in the published runs."""
    with published(kind).open(encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader(file)))
