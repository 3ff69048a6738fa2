"""Text of users in tables for spreadsheets: nothing in them may run."""

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

from estimator.export.rows import rows_csv
from tests.fuzz.answers import command, of_csv, quoted
from tests.fuzz.trial import Trial

SHARE = 30
STARTS = (
    "=",
    "+",
    "-",
    "@",
    "＝",
    "＋",
    "－",
    "＠",
    "\t=",
    "\r=",
    "\n=",
    " =",
    "\ufeff=",
    "\u00a0=",
    "\u3000=",
    "'\n=",
    "\u200b=",
    "  +",
    "\n＝",
    "{=",
)
ENDS = ('cmd|"/C calc"!A0', "1+1", 'HYPERLINK("http://x")', "SUM(A1)", "-2+3+cmd", "1e5x", "1")
KINDS = {
    "＝": "full-width",
    "＋": "full-width",
    "－": "full-width",
    "＠": "full-width",
    "\n": "leading LF",
    " ": "spaces",
    "\ufeff": "BOM",
}


def draw(rng: random.Random, index: int) -> Trial:
    """A formula as a cell that is passed on, as the name of a column, or as a value of rows."""
    start = STARTS[index % len(STARTS)]
    formula = start + rng.choice(ENDS)
    kind = f"injection: {KINDS.get(start[0], 'other')}"
    if index % 3 == 0:
        return Trial(kind, f"rows_csv([{{'note': {formula!r}}}])", lambda: of_csv(rows_csv([{"note": formula}])))
    target = "out.xlsx" if index % 9 == 1 else "out.csv"
    inner = formula.replace('"', '""')
    text = f'samples,"x_{inner}"\n5,a\n' if index % 9 == 4 else f'samples,x_a,note\n5,"{inner}","{inner}"\n'
    Path("in.csv").write_bytes(text.encode())
    words = ("sweep", "in.csv", "-o", target, "--model", "7b", "--gpu", "a100", "--stages", "finetune")
    trial = command(kind, words, f"in.csv: {text!r}", writes=(target,))
    return trial if target == "out.csv" else trial._replace(act=lambda: _no_formula(trial, target))


def _no_formula(trial: Trial, target: str) -> Iterator[str]:
    yield from trial.act()
    if Path(target).exists():
        with zipfile.ZipFile(target) as file:
            if "<f" in file.read("xl/worksheets/sheet1.xml").decode().replace("<fo", ""):
                yield f"formula in a workbook: {quoted(target)}"
