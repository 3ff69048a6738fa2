"""What moved since the last release: python benchmarks/moved.py

Writes the table of headline figures in CHANGELOG.md: `headlines.csv` has the questions and what the last release
answered. `--release` makes today's answers those of the last release, once it is tagged.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from estimator import estimate
from estimator.quantities import given as fixed
from estimator.text import human, short

HERE = Path(__file__).parent
HEADLINES = HERE / "headlines.csv"
CHANGES = HERE.parent / "CHANGELOG.md"
TABLE = re.compile(r"(?<=<!-- moved -->\n\n).*?(?=\n*<!-- end of moved -->)", re.DOTALL)
SAME = 5e-4  # of a figure: what three digits do not show

Row = Mapping[str, str]


def headlines() -> list[Row]:
    """Questions, and what the last release answered."""
    with HEADLINES.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def answer(row: Row) -> float:
    """Today's expected figure."""
    return float(getattr(estimate(row["stage"], **json.loads(row["question"])), row["figure"]).value)


def table(rows: list[Row]) -> str:
    """The table of the changelog."""
    return "\n".join(["| question | figure | before | now | |", "|---|---|---|---|---|", *map(_line, rows)])


def _line(row: Row) -> str:
    given = json.loads(row["question"])
    question = ", ".join(
        f"{name} {short(value) if type(value) in (int, float) else value}" for name, value in given.items()
    )
    found = getattr(estimate(row["stage"], **given), row["figure"])
    now, before = found.value, float(row["last"] or "nan")
    change = "" if abs(now - before) <= SAME * abs(before) else f"{now / before - 1:+.1%}"
    shown = [human(fixed(row["figure"], value, found.unit), spread=False) for value in (before, now)]
    return f"| {row['stage']}: {question} | `{row['figure']}` | {shown[0]} | {shown[1]} | {change} |"


def released(rows: list[Row]) -> Iterator[Row]:
    """The rows with today's answers as those of the last release."""
    for row in rows:
        yield {**row, "last": f"{answer(row):.12g}"}


def main() -> int:
    """Write the table, or the answers of a release."""
    rows = headlines()
    if "--release" in sys.argv:
        rows = list(released(rows))
        with HEADLINES.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    CHANGES.write_text(TABLE.sub(lambda _: table(rows), CHANGES.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
