"""The whole workbook recalculated by a second spreadsheet engine: python benchmarks/second_engine.py (about 2 minutes)

`formulas` (PyPI) reads the format anew and computes every cell in Python. As exported, then with live inputs changed
in the file; each figure of the Summary, ranges included, beside Python's for the same inputs. Exit 1 if any differs.
"""

import contextlib
import io
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

import formulas

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "export"))
import test_workbook as workbook
from engine import patched

from estimator import compare

CLOSE = 1e-9  # relative


def computed(path: Path) -> dict[str, list[list[object]]]:
    """The Summary as the second engine computes it."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        solution = formulas.ExcelModel().loads(str(path)).finish().calculate()
    rows: list[list[object]] = [[None] * 20 for _ in range(60)]
    for key, cell in solution.items():
        sheet, _, address = str(key).rpartition("!")
        if sheet.endswith("SUMMARY'") and address.isalnum():
            column, row = address.rstrip("0123456789"), int(address.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
            if len(column) == 1 and row <= len(rows):
                rows[row - 1][ord(column) - ord("A")] = cell.value[0, 0]
    return {"Summary": rows}


def worst(path: Path, comparison: object) -> tuple[float, int]:
    """Largest relative difference between the engine's Summary and Python, and how many figures were compared."""
    pairs = [(float(cell), python) for _, cell, python in workbook.summary_cells(computed(path), comparison)]
    return max(abs(cell - python) / max(abs(python), 1e-12) for cell, python in pairs), len(pairs)


def main() -> int:
    """Print one line a workbook."""
    draw, ok = random.Random(11), True
    with tempfile.TemporaryDirectory() as folder:
        path, changed = Path(folder) / "all.xlsx", Path(folder) / "changed.xlsx"
        comparison = compare(**workbook.QUESTION)
        comparison.to_excel(str(path))
        where, cells = workbook.names(path), {}
        changes = [(step, workbook.change(step, draw)) for step in workbook.live_inputs(comparison)]
        for step, ends in changes:
            cells |= workbook.cells_of(step, ends, where)
        patched(path, changed, "Inputs", cells)
        for file, expected in ((path, comparison), (changed, compare(**workbook.asked_with(changes)))):
            start = time.process_time()
            difference, count = worst(file, expected)
            ok = ok and difference < CLOSE
            print(f"{file.name}: {count} figures, at most {difference:.1e} apart, {time.process_time() - start:.0f} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
