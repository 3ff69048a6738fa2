"""Writers killed at random moments: what is there afterwards is the old file or the new one, whole.

`python -m tests.kills --kills 200 --seed 1`: so many kills over all writers, one after the other; prints what it saw.
"""

import argparse
import csv
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from estimator import compare
from estimator.catalog.local import read_profile
from estimator.charts.decision import where_it_goes
from estimator.charts.draw import save
from estimator.cli import main
from estimator.export.sweep_files import sweep_rows
from estimator.export.workbook.package import add_to_workbook
from estimator.files import write_text
from estimator.measure.profile import write_profile
from estimator.sweeping import Sweep
from tests.measure.conftest import content

LONGEST_S = 0.2  # until the kill
MACHINE = ["--model", "7b", "--gpu", "a100"]
ROWS = [{"samples": 1000 + index} for index in range(200)]
Check = Callable[[bytes], Any]


def _sweep(path: Path) -> None:
    sweep_rows(ROWS, str(path), Sweep(("prompt",), ("total_usd",), {"model": "7b", "gpu": "a100"}))


def _whole_csv(text: bytes) -> None:
    lengths = {len(row) for row in csv.reader(io.StringIO(text.decode("utf-8")))}
    assert len(lengths) == 1, "rows of several lengths"
    assert text.endswith(b"\n"), "its last line has no end"


def _whole_zip(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None, "a part is damaged"


def _whole_parquet(packed: bytes) -> None:
    assert packed[:4] == packed[-4:] == b"PAR1", "cut off"


def _whole_profile(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "profile.json"
        copy.write_bytes(text)
        found = json.loads(copy.read_text())
        assert found["checksum"], "no checksum"
        try:
            read_profile(copy)
        except Exception as error:  # without constants it cannot be calculated with, but it is unchanged
            assert "cannot be calculated with" in str(error), error  # noqa: PT017


def _into(path: Path) -> None:
    add_to_workbook(COMPARISON, str(path))
    for backup in path.parent.glob("*.backup*"):
        _whole_zip(backup.read_bytes())
        backup.unlink()


def _command(*words: str) -> Callable[[Path], Any]:
    return lambda path: main([*words, *MACHINE, "--output", str(path)])


COMPARISON = compare(model="7b", gpu="a100", stages=("prompt",))
WRITERS: dict[str, tuple[str, Callable[[Path], Any], Check]] = {
    "text": ("a.txt", _command("compare"), lambda text: text.decode().rindex("\n") == len(text.decode()) - 1),
    "JSON": ("a.json", _command("compare", "--format", "json"), json.loads),
    "CSV": ("a.csv", _command("compare", "--format", "csv"), _whole_csv),
    "budget": ("b.csv", lambda path: main(["export", str(path), *MACHINE]), _whole_csv),
    "workbook": ("a.xlsx", lambda path: COMPARISON.to_excel(str(path)), _whole_zip),
    "workbook of somebody": ("mine.xlsx", _into, _whole_zip),
    "sweep to CSV": ("s.csv", _sweep, _whole_csv),
    "sweep to Parquet": ("s.parquet", _sweep, _whole_parquet),
    "sweep to a workbook": ("s.xlsx", _sweep, _whole_zip),
    "picture": (
        "p.svg",
        lambda path: save(where_it_goes(COMPARISON.estimates[0]), str(path)),
        ET.fromstring,
    ),
    "profile": ("profile.json", lambda path: write_profile(content(), path), _whole_profile),
    "large text": (
        "l.toml",
        lambda path: write_text(path, "a = 1\n" + "# x\n" * 500_000),
        lambda t: tomllib.loads(t.decode()),
    ),
}


def killed(name: str, folder: Path, wait_s: float) -> str:
    """Write again and again in a process of its own, kill that, and say what is wrong with what is there."""
    file, write, check = WRITERS[name]
    path = folder / file
    if not path.exists():
        COMPARISON.to_excel(str(path)) if name == "workbook of somebody" else write(path)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            while True:
                write(path)
        finally:
            os._exit(1)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        return "the writer failed before it was killed"
    try:
        check(path.read_bytes())
    except Exception as error:
        return f"not whole: {error}"
    strangers = [one.name for one in folder.iterdir() if one != path and not one.name.startswith(".")]
    for left in folder.glob("*.backup*"):  # named after it was whole
        _whole_zip(left.read_bytes())
        left.unlink()
    return "" if all(".backup" in one for one in strangers) else f"left beside: {strangers}"


def run(kills: int, seed: int) -> tuple[Counter[str], list[str]]:
    """So many kills over all writers: how often each was killed, and every fault."""
    rng, done, faults = random.Random(seed), Counter[str](), []
    for name, (file, _, _) in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(-(-kills // len(WRITERS))):
                wait_s = rng.uniform(0, LONGEST_S)
                done[name] += 1
                if fault := killed(name, Path(folder), wait_s):
                    faults.append(f"{name} ({file}), killed after {wait_s:.4f} s: {fault}")
    return done, faults


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    counts, found = run(asked.kills, asked.seed)
    print("\n".join([f"{sum(counts.values())} kills of {len(counts)} writers, {len(found)} faults", *found]))
    sys.exit(1 if found else 0)
