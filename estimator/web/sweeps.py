"""Many scenarios at once: rows of JSON or of a CSV text, answered whole or piece by piece with progress."""

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from fastapi import Request

from estimator.cli.options import asked
from estimator.cli.parser import parser
from estimator.errors import EstimatorError, InvalidInput
from estimator.export.rows import rows_csv
from estimator.files import handed_in
from estimator.shown import SCHEMA_VERSION
from estimator.stages import STAGES
from estimator.sweeping import FIGURES, Sweep, attached, columns_of
from estimator.web import problems
from estimator.web.asking import argv
from estimator.web.events import event

MOST_ROWS = 10_000
PIECE = 500  # rows between two events
Row = dict[str, Any]


def swept(question: Mapping[str, Any]) -> dict[str, Any]:
    """All rows with their answers; what is not known is null."""
    return {"schema_version": SCHEMA_VERSION, "rows": [row for piece in pieces(question) for row in piece]}


def swept_csv(question: Mapping[str, Any]) -> str:
    """The same as CSV text."""
    return rows_csv(row for piece in pieces(question) for row in piece)


def pieces(question: Mapping[str, Any]) -> Iterator[list[Row]]:
    """The answered rows, some hundreds at a time."""
    asked_of = dict(question)
    rows = _rows(asked_of.pop("rows", None), asked_of.pop("csv", None))
    stages, figures = (_names(asked_of.pop(name, None), name) for name in ("stages", "figures"))
    words = argv("compare", asked_of)
    fixed = {name: value for name, value in asked(parser(["compare"]).parse_args(words)).items() if value is not None}
    run = Sweep(stages or STAGES, figures or FIGURES, fixed)
    for first in range(0, len(rows), PIECE):
        yield _answered(run, rows[first : first + PIECE])


def _answered(run: Sweep, piece: list[Row]) -> list[Row]:
    with handed_in({}):
        answered = attached(piece, run.answers(*columns_of(piece)))
    return [{name: _plain(value) for name, value in row.items()} for row in answered]


def _plain(value: Any) -> Any:
    return None if value != value or value in (float("inf"), -float("inf")) else getattr(value, "item", lambda: value)()


def _names(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return tuple(value or ())
    raise InvalidInput(f"{name} must be a list of names")


def _rows(rows: Any, text: Any) -> list[Row]:
    if text is not None and isinstance(text, str) and rows is None:
        rows = _parsed(text)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput("give rows, a list of objects, or csv, the text of a file with a header")
    if len(rows) > MOST_ROWS:
        raise InvalidInput(f"{MOST_ROWS:,} rows at most at once, these are {len(rows):,}: `estimator sweep` takes more")
    names = dict.fromkeys(name for row in rows for name in row)
    if not all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values()):
        raise InvalidInput("a cell of a row is a number or a name")
    return [{name: row.get(name) for name in names} for row in rows]


def _parsed(text: str) -> list[Row]:
    """The rows of a CSV text, without their empty cells."""
    try:
        read = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise InvalidInput(f"this is not CSV: {error}") from None
    return [{name: cell for name, cell in row.items() if name and cell not in (None, "")} for row in read]


async def events(
    question: Mapping[str, Any], request: Request, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> AsyncIterator[str]:
    """Answered rows as server-sent events; it stops when nobody listens any more."""
    done, running = 0, pieces(question)
    total = len(question.get("rows") or ()) or None
    while not await request.is_disconnected():
        try:
            piece = await in_thread(lambda: next(running, None))
        except EstimatorError as error:
            yield event("problem", json.loads(problems.of(error)[1]))
            return
        if piece is None:
            yield event("done", {"rows": done})
            return
        done += len(piece)
        yield event("progress", {"done": done, "total": total})
        yield event("rows", piece)
