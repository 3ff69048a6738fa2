"""Case files of measured runs: shipped rows with cells that are no numbers, names nobody knows, columns doubled."""

import csv
import io
import random
from functools import cache
from pathlib import Path

from estimator.catalog.cases import CaseKind, published
from tests.fuzz import values
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 45
KINDS: tuple[CaseKind, ...] = ("training", "inference", "retrieval")
Rows = list[list[str]]


def draw(rng: random.Random, index: int) -> Trial:
    """Two shipped rows with one to three cells changed; every 9th with a column twice, every 10th no case file."""
    kind = KINDS[index % 3]
    rows = [list(row) for row in (_shipped(kind)[0], *rng.sample(_shipped(kind)[1:], 2))]
    if index % 9 == 4:
        place = rng.randrange(len(rows[0]))
        rows = [[*row, row[place] if row is rows[0] else "5"] for row in rows]
        return _validated(_text(rows), "doubled column in a case file", f"{kind} cases, {rows[0][place]!r} twice", 2)
    if index % 10 == 9:
        text = rng.choice(
            ("", "\n", "id,source,metric\n", "id,source,metric,task\n", "\0", "id\n1\n", "a,b\n" * 99, "\ufeff")
        )
        return _validated(text, "no cases", f"{text[:60]!r}", None)
    if index % 10 == 0:
        return _validated(_text(rows), "plain cases", f"{kind} {rows[1][0]}, {rows[2][0]}", 0)
    changed = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        row, place = rng.choice(rows[1:]), rng.randrange(len(rows[0]))
        row[place] = values.number(rng) if rng.random() < 0.7 else values.text(rng)
        changed.append(f"{rows[0][place]} = {values.shown(row[place])}")
    return _validated(_text(rows), "random cases", f"{kind} {rows[1][0]}, {rows[2][0]}: {'; '.join(changed)}", None)


@cache
def _shipped(kind: CaseKind) -> Rows:
    with published(kind).open(newline="", encoding="utf-8") as file:
        return [*csv.reader(file)]


def _text(rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _validated(text: str, kind: str, files: str, wants: int | None) -> Trial:
    Path("cases.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    return command(kind, ("validate", "--cases", "cases.csv", "--format", "json"), f"cases.csv: {files}", wants)
