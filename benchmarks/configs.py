"""Do verdicts on real run configurations agree with what happened? python benchmarks/configs.py FOLDER

FOLDER holds the files that configs.csv names. Each is checked on the accelerators of that table; printed are what was
read, each known outcome beside the answer, and how many agree. Files without a known outcome are read all the same:
each must be recognised, and no key of it left unexplained. Comments are no part of a file.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from estimator.configs import read_run
from estimator.errors import EstimatorError
from estimator.verdict import Check, check

HERE = Path(__file__).parent
UNITS = {"GiB": 2**30, "GB": 1e9, "min": 60.0, "s": 1.0, "token/s": 1.0, "h": 3600.0}
FIGURES = {"memory": "memory_bytes", "time": "run_s"}


class Compared(NamedTuple):
    """A known outcome beside the answer. agrees: None where the answer could not be given."""

    file: str
    what: str
    known: str
    answer: str
    agrees: bool


def rows() -> list[dict[str, str]]:
    """The table of known outcomes."""
    with (HERE / "configs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reading(path: Path) -> tuple[str, list[str]]:
    """How a file is read: as which tool, or why not; and the keys that nothing explains."""
    try:
        run = read_run([path])
    except EstimatorError as error:
        return f"refused: {error}", []
    return run.tool.title, [f"{one.key}: {one.note}" for one in run.readings if one.status in ("unknown", "stops")]


def compared(row: Mapping[str, str], folder: Path) -> Iterator[Compared]:
    """What is known of a file beside what is answered."""
    files = [folder / name for name in (row["file"], *row["beside"].split()) if name]
    try:
        found = check(*files, gpu=row["gpu"], model=row["model"] or None)
    except EstimatorError as error:
        for what in filter(None, (row["verdict"] and "verdict", row["figure"])):
            yield Compared(row["file"], what, row["verdict"] or row["value"], f"refused: {error}", False)
        return
    if row["verdict"]:
        starts = ", does not start" * bool(found.stops)
        words = f"{'fits' if found.runs else 'fails'} ({100 * found.fit_chance:.0f} %{starts})"
        yield Compared(row["file"], "verdict", row["verdict"], words, found.runs == (row["verdict"] == "fits"))
    if row["figure"]:
        yield _figure(row, found)


def _figure(row: Mapping[str, str], found: Check) -> Compared:
    unit = UNITS[row["unit"]]
    value = float(row["value"]) * unit
    figure = found.best.figure(FIGURES.get(row["figure"], row["figure"]))
    shown = f"{figure.value / unit:.1f} ({figure.low / unit:.1f}-{figure.high / unit:.1f})"
    return Compared(
        row["file"], row["figure"], f"{row['value']} {row['unit']}", shown, figure.low <= value <= figure.high
    )


def main(folder: Path) -> int:
    """Print the tables; 0 when there is something to compare."""
    unexplained = 0
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        tool, odd = reading(path)
        unexplained += len(odd)
        if odd or tool.startswith("refused"):
            print(f"{path.name}: {tool}", *odd, sep="\n    ")
    print(f"\n{len(files)} files read; keys that no table explains: {unexplained}\n")
    known = [row for row in rows() if (folder / row["file"]).is_file()]
    results = [one for row in known if not row["excluded"] for one in compared(row, folder)]
    for one in results:
        print(f"{'  ' if one.agrees else '! '}{one.file:55.55} {one.what:8} {one.known:12} {one.answer[:150]}")
    for name, some in (("verdicts", True), ("figures", False)):
        group = [one for one in results if (one.what == "verdict") == some]
        print(f"{name} that agree: {sum(one.agrees for one in group)} of {len(group)}")
    print(f"left out: {sum(bool(row['excluded']) for row in known)} files (configs.csv says why)")
    return 0 if results else 2


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
