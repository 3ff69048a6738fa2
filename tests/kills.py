"""Writers killed at random moments: what is there afterwards is the old file or the new one, whole.

`python -m tests.kills --kills 200 --seed 1`: so many kills over all writers, one after the other; prints what it saw.
"""

import argparse
import csv
import datetime
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
from decimal import Decimal
from pathlib import Path
from typing import Any

from estimator import compare
from estimator.catalog.files import use_facts
from estimator.catalog.local import read_profile
from estimator.catalog.own_runs import add_runs
from estimator.catalog.prices import ApiPrice
from estimator.catalog.prices.feeds import Offer
from estimator.catalog.refresh import refresh
from estimator.charts.decision import where_it_goes
from estimator.charts.draw import save
from estimator.cli import main
from estimator.export.sweep_files import sweep_rows
from estimator.export.variance import variance_sheet
from estimator.export.workbook.package import add_to_workbook
from estimator.files import write_text
from estimator.measure.profile import write_profile
from estimator.recording import Recorded
from estimator.recording.share import share
from estimator.recording.variance import Difference, Variance
from estimator.records import Source
from estimator.sweeping import Sweep
from tests.measure.conftest import content

LONGEST_S = 0.2  # until the kill
MACHINE = ["--model", "7b", "--gpu", "a100"]
ROWS = [{"samples": 1000 + index} for index in range(200)]
Check = Callable[[Path], Any]


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


def _own_runs(path: Path) -> None:
    os.environ["ESTIMATOR_RUNS"] = str(path.parent)
    add_runs("inference", [{"model": "7b", "metric": "ttft_ms", "value": 90.0}] * 3)


def _whole_runs(text: bytes) -> None:
    _whole_csv(text)
    numbers = [row["id"] for row in csv.DictReader(io.StringIO(text.decode("utf-8")))]
    assert numbers == [f"own-{place + 1:04d}" for place in range(len(numbers))], "a run was lost"
    assert len(numbers) % 3 == 0, "a part of what was added at once"


def _shared(path: Path) -> None:
    share(Recorded((), (), "", "inference", ({"model": "7b", "metric": "ttft_ms", "value": "90"},) * 200), path)


def _variance(path: Path) -> None:
    line = Difference("idle", "Hours", "replicas", Decimal(100), Decimal(90), price=Decimal(-10))
    variance_sheet(Variance("RAG", "USD", (1, 1), (line,) * 100, 5), path)


def _prices(path: Path) -> None:
    """A day's prices; those of the day before are taken away in one step too."""
    if path.exists():
        path.rename(path.with_name(f".{path.name}.{len([*path.parent.iterdir()])}"))
    use_facts(None)
    refresh(str(path), OFFERS, APIS, datetime.date(2026, 12, 1))
    use_facts(None)


def _whole_prices(folder: Path) -> None:
    if (folder / "prices").exists():
        assert sorted(one.name for one in (folder / "prices").iterdir()) == ["cloud.csv", "llm_api.csv"], "a part"
        for name in ("cloud.csv", "llm_api.csv"):
            _whole_csv((folder / "prices" / name).read_bytes())


def _whole_page(text: bytes) -> None:
    assert text.decode().rstrip().endswith("</html>"), "cut off"


def _whole_emitted(text: bytes) -> None:
    assert text.startswith(b"base_model: ") and text.endswith(b"lora_alpha: 16\n"), "cut off"  # noqa: PT018


def _command(*words: str) -> Callable[[Path], Any]:
    return lambda path: main([*words, *MACHINE, "--output", str(path)])


def _of(check: Callable[[bytes], Any]) -> Check:
    return lambda path: check(path.read_bytes())


def _emitted(path: Path) -> None:
    main(["layout", "finetune", "--model", "8b", "--gpu", "8xh100", "--emit", "axolotl", "--output", str(path)])


OFFERS = (Offer("lambda", "gpu_1x_h100", "us-east-1", 2.5, 1, "H100", 80.0, False),)
APIS = (ApiPrice("openai", "gpt-4o-mini", "chat", Source("a feed"), 0.15, 0.6),)
COMPARISON = compare(model="7b", gpu="a100", stages=("prompt",))
WRITERS: dict[str, tuple[str, Callable[[Path], Any], Check]] = {
    "text": ("a.txt", _command("compare"), _of(lambda text: text.decode().rindex("\n") == len(text.decode()) - 1)),
    "JSON": ("a.json", _command("compare", "--format", "json"), _of(json.loads)),
    "CSV": ("a.csv", _command("compare", "--format", "csv"), _of(_whole_csv)),
    "page": ("a.html", _command("compare", "--format", "html"), _of(_whole_page)),
    "budget": ("b.csv", lambda path: main(["export", str(path), *MACHINE]), _of(_whole_csv)),
    "workbook": ("a.xlsx", lambda path: COMPARISON.to_excel(str(path)), _of(_whole_zip)),
    "workbook of somebody": ("mine.xlsx", _into, _of(_whole_zip)),
    "sweep to CSV": ("s.csv", _sweep, _of(_whole_csv)),
    "sweep to Parquet": ("s.parquet", _sweep, _of(_whole_parquet)),
    "sweep to a workbook": ("s.xlsx", _sweep, _of(_whole_zip)),
    "picture": ("p.svg", lambda path: save(where_it_goes(COMPARISON.estimates[0]), str(path)), _of(ET.fromstring)),
    "profile": ("profile.json", lambda path: write_profile(content(), path), _of(_whole_profile)),
    "own runs": ("inference.csv", _own_runs, _of(_whole_runs)),
    "runs to share": ("shared.csv", _shared, _of(_whole_csv)),
    "variance": ("v.xlsx", _variance, _of(_whole_zip)),
    "run configuration": ("train.yaml", _emitted, _of(_whole_emitted)),
    "prices": ("today", _prices, _whole_prices),
    "large text": (
        "l.toml",
        lambda path: write_text(path, "a = 1\n" + "# x\n" * 500_000),
        _of(lambda text: tomllib.loads(text.decode())),
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
        check(path)
    except Exception as error:
        return f"not whole: {error}"
    strangers = [one.name for one in folder.iterdir() if one != path and not one.name.startswith(".")]
    strangers = [name for name in strangers if not name.endswith(".lock")]
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
