"""Own runs for others: the figures and the configuration, without names of files, machines and people."""

import csv
import io
from pathlib import Path

from estimator.catalog.own_runs import columns
from estimator.files import check_ending, write_text
from estimator.recording import Recorded

PRIVATE = ("id", "source", "source_kind", "citation", "notes")
CHECKLIST = """Written to {file}; nothing was sent. Before you open a pull request with it (calibration/README.md):
- the machine did nothing else meanwhile, and the run was not tuned to a prediction;
- versions of trainer or engine, driver and libraries stand in `notes`, with the day;
- `source` says who you are as you want to be cited; `model` may be named in public;
- empty cells are what you do not know; add nothing that you did not read in a log."""


def share(found: Recorded, path: str | Path) -> None:
    """Write the cases of recorded runs, without what tells whose they are."""
    check_ending(path, ".csv")
    cases = [_anonymous(dict(case)) for case in found.cases]
    header = columns(found.kind)
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, header, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(cases)
    write_text(path, lines.getvalue())


def _anonymous(case: dict[str, str]) -> dict[str, str]:
    kept = {name: text for name, text in case.items() if name not in PRIVATE}
    if "/" in kept.get("model", "") or "\\" in kept.get("model", ""):
        kept["model"] = Path(kept["model"].replace("\\", "/")).name if not _is_path(kept["model"]) else ""
    return kept


def _is_path(name: str) -> bool:
    return Path(name).exists() or name.startswith((".", "/", "~"))
