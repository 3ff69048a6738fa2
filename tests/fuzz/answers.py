"""What must hold of every answer, refusal and file, whatever was asked."""

import csv
import io
import json
import math
import os
import re
import shlex
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from estimator.cli import main
from estimator.errors import EstimatorError
from tests.fuzz.trial import HOME, Streams, Trial

LONGEST = 500  # characters of a message
EXITS = (0, 2, 3, 130)
ROUNDING = 1e-6
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
ODD_NUMBER = re.compile(r"(?<![\w'./-])[-+]?(?:nan|inf)(?![\w'-])")
STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"  # what spreadsheets read as the beginning of a formula, full width too
LAST = {".svg": b"</svg>", ".png": b"IEND\xaeB`\x82", ".parquet": b"PAR1", ".json": b"\n"}
BLANKS = " \t\r\n\v\f\ufeff\u00a0\u200b\u2028\u2029\u3000"


def command(
    kind: str,
    argv: Sequence[str],
    files: str = "",
    wants: int | None = None,
    writes: Sequence[str] = (),
    check: Callable[[str], Iterable[str]] | None = None,
) -> Trial:
    """A command line as a trial. files: what lies there; wants: the one right exit; check: of what it prints."""

    def act() -> Iterator[str]:
        yield from outcome(argv, wants, writes, check)

    shown = "estimator " + " ".join(quoted(word) for word in argv) + (f"  # {files}" if files else "")
    return Trial(kind, shown, act, tuple(writes))


def quoted(word: str) -> str:
    """A word as a shell takes it, short, whatever is in it."""
    plain = word if len(word) <= 120 else f"{word[:100]}... ({len(word):,} characters)"
    return shlex.quote(plain) if plain.isprintable() else "$'" + plain.encode("unicode_escape").decode() + "'"


def outcome(
    argv: Sequence[str],
    wants: int | None = None,
    writes: Sequence[str] = (),
    check: Callable[[str], Iterable[str]] | None = None,
) -> Iterator[str]:
    """Run a command in this process and say what is wrong with how it ended."""
    os.environ["XDG_DATA_HOME"] = str(Path(HOME).resolve())
    targets = {name: _content(name) for name in writes}
    with Streams() as streams:
        code, helped = _exit(argv)
    out, err = streams.texts()
    yield from _refusal(code, out, err)
    if wants is not None and code != wants:
        yield f"exit {code} where {wants} is right: {(err or out)[:200]}"
    if code == 0 and not helped:
        yield from of_text(out, argv)
        yield from check(out) if check else ()
        for name in writes:
            yield from of_file(name)
    elif any(_content(name) != before for name, before in targets.items()):
        yield "refused, and yet wrote"


def _exit(argv: Sequence[str]) -> tuple[int, bool]:
    """The exit status, and whether help was all that was asked."""
    try:
        return main(list(argv)), False
    except SystemExit as end:  # --help and --version
        return int(end.code or 0) if not isinstance(end.code, str) else 1, True


def _content(name: str) -> bytes | None:
    try:
        return Path(name).read_bytes() if Path(name).is_file() else None
    except (OSError, ValueError):
        return None


def _refusal(code: int, out: str, err: str) -> Iterator[str]:
    """One line, short, plain, where the exit is 2; lines of our own in any case."""
    lines = err.split("\n")[:-1] if err.endswith("\n") else err.split("\n")
    lines = [line for line in lines if line or code == 2]
    if code not in EXITS:
        yield f"exit {code}: {err[:200]}"
    if code == 2 and len(lines) != 1:
        yield f"{len(lines)} lines on stderr: {err[:200]!r}"
    if code == 2 and out:
        yield f"spoke before refusing: {out[:100]!r}"
    if any(not line.startswith("estimator: ") for line in lines):
        yield f"a line on stderr of nobody: {err[:200]!r}"
    if code == 2:
        yield from of_message(err.strip("\n"))
    if "not enough memory" in err:
        yield f"memory: {err[:200]}"


def of_message(text: str) -> Iterator[str]:
    """What is wrong with a message."""
    if len(text) > LONGEST:
        yield f"message over {LONGEST} characters: {len(text):,}: {text[:80]!r}"
    if "\n" in text or "\r" in text:
        yield f"message of two lines: {text[:120]!r}"
    elif CONTROL.search(text):
        yield f"control characters in a message: {text[:120]!r}"
    if not text.strip():
        yield "message empty"


def of_text(text: str, argv: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong with an answer as text."""
    if text.startswith("{"):
        yield from of_json(text)
    elif ODD_NUMBER.search(text) and not ODD_NUMBER.search(" ".join(argv)):
        at = ODD_NUMBER.search(text)
        yield f"nan or inf shown: {text[max(0, at.start() - 60) : at.end() + 20]!r}"  # type: ignore[union-attr]


def of_json(text: str) -> Iterator[str]:
    """What is wrong with an answer as JSON: numbers that are none, crossed ranges, wrong sums."""
    try:
        content = json.loads(text, parse_constant=_refused)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    yield from of_figures(content, "")


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def of_figures(thing: Any, path: str) -> Iterator[str]:
    """Ranges and sums in plain data."""
    if isinstance(thing, list):
        for index, one in enumerate(thing):
            yield from of_figures(one, f"{path}[{index}]")
    if not isinstance(thing, dict):
        return
    if {"value", "low", "high"} <= thing.keys():
        yield from _range(thing, path)
    if {"lines", "one_off_usd", "monthly_usd", "total_usd"} <= thing.keys():
        yield from _sums(thing, path)
    for name, one in thing.items():
        yield from of_figures(one, f"{path}.{name}")


def _range(figure: dict[str, Any], path: str) -> Iterator[str]:
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    numbers = [one for one in (low, value, high) if isinstance(one, int | float)]
    if any(not math.isfinite(one) for one in numbers):
        yield f"not finite: {path}"
    slack = ROUNDING * max(map(abs, numbers), default=0.0)
    if any(after < before - slack for before, after in pairwise(numbers)):
        yield f"crossed range: {path} {low} {value} {high}"


def _sums(answer: dict[str, Any], path: str) -> Iterator[str]:
    for total, phase, each in (
        ("one_off_usd", "one-off", "usd"),
        ("monthly_usd", "monthly", "usd"),
        ("total_usd", "", "horizon_usd"),
    ):
        parts = [line[each]["value"] for line in answer["lines"] if phase in ("", line["phase"])]
        whole = answer[total]["value"]
        if None in parts or whole is None:
            continue
        if not math.isclose(sum(parts), whole, rel_tol=ROUNDING, abs_tol=ROUNDING):
            yield f"wrong sum: {path}.{total} {whole} is not {sum(parts)}"


def of_file(name: str) -> Iterator[str]:
    """What is wrong with a file that was written: not there, not whole, not of the kind its name says."""
    path = Path(name)
    if not path.is_file():
        yield f"exit 0 and no file: {name!r}"
        return
    ending = path.suffix.lower()
    try:
        yield from _of_kind(path, ending)
    except UnicodeDecodeError:
        yield f"no text: {path.name}"


def _of_kind(path: Path, ending: str) -> Iterator[str]:
    if ending == ".json":
        yield from of_json(path.read_text("utf-8"))
    if ending == ".csv":
        yield from of_csv(path.read_text("utf-8-sig"))
    if ending == ".xlsx":
        yield from _zip(path)
    if not path.read_bytes().endswith(LAST.get(ending, b"")):
        yield f"not whole: {path.name} is cut"


def of_csv(text: str) -> Iterator[str]:
    """Rows of one length, no cell that a spreadsheet would run."""
    csv.field_size_limit(len(text) + 1)
    rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in text.split("\n")[0] else ",")]
    if len({len(row) for row in rows if row}) > 1:
        yield f"rows of several lengths: {text[:100]!r}"
    for cell in (cell for row in rows for cell in row if runs(cell)):
        yield f"formula in CSV: {cell[:80]!r}"
        return


def runs(cell: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula: a sign first, after blanks at most, and no number."""
    bare = cell.lstrip(BLANKS)
    if bare[:1] not in STARTS or not bare:
        return False
    return not re.fullmatch(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?", bare.strip())


def _zip(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as file:
            bad = file.testzip()
    except zipfile.BadZipFile as error:
        bad = str(error)
    if bad:
        yield f"not whole: {path.name} {bad}"


def called(kind: str, shown: str, function: Callable[[], Any], wants_error: bool = False) -> Trial:
    """A call of the library as a trial: it answers, or raises an EstimatorError of one line."""

    def act() -> Iterator[str]:
        os.environ["XDG_DATA_HOME"] = str(Path(HOME).resolve())
        try:
            answer = function()
        except EstimatorError as error:
            yield from of_message(str(error))
            return
        except MemoryError:
            yield "memory"
            return
        if wants_error:
            yield f"answered: {str(answer)[:100]!r}"
        if hasattr(answer, "to_json"):
            yield from of_json(answer.to_json())

    return Trial(kind, shown, act)
