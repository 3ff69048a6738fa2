"""Training samples of the user's own: counted a line at a time, in JSON lines, Parquet or CSV, or a folder of them.

A sample is a chat (`messages`, `conversations`), columns such as `input` and `output`, or one `text`; tokens are
counted by the user's tokenizer, else by measured bytes of a token.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from estimator.catalog.facts import fact
from estimator.catalog.retrieval import text_ratio, token_counter
from estimator.errors import InvalidInput, MissingExtra, clipped
from estimator.files import files_under, lines, may_be_read, regular, shown
from estimator.formulas import Floats

ENDINGS = (".jsonl", ".ndjson", ".parquet", ".csv")
BATCH = 4_096  # rows of Parquet in memory at a time
STEP = 0.01  # of the logarithm of a length, a place of the histogram
PLACES = 2_100  # up to a billion tokens
# Columns that together are one sample, as trainers name them; the first set that a row has counts.
COLUMNS = (
    ("prompt", "chosen"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "input", "output"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("instruction", "context", "response"),
    ("input", "output"),
    ("question", "answer"),
    ("query", "response"),
    ("text",),
    ("content",),
)
CHATS = ("messages", "conversations", "conversation", "chat")
Progress = Callable[[int], None]  # called with the samples counted so far


class Samples(NamedTuple):
    """What was counted. lengths: how many samples by length, a hundredth of its logarithm a place.

    counted: by the tokenizer itself, not by bytes; broken: lines that were passed over, and what was wrong with one
    """

    samples: int
    tokens: float
    spread: float
    longest: float
    lengths: Floats
    counted: bool
    broken: int = 0
    first_broken: str = ""

    @property
    def mean(self) -> float:
        """Tokens of a sample [token]."""
        return self.tokens / self.samples

    def above(self, most: float) -> int:
        """Samples longer than so many tokens, to a hundredth."""
        return int(self.lengths[_place(most) + 1 :].sum())


def count_samples(
    path: str | Path,
    tokenizer_json: str = "",
    text_kind: str = "english prose",
    tokenizer: str = "",
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Samples:
    """Count the samples under a path, each once, in memory that does not grow with them.

    Raises InvalidInput that says the file and the number of a line that is no sample, unless those are skipped.
    """
    size_of = _by_tokenizer(tokenizer_json) if tokenizer_json else _by_bytes(text_kind, tokenizer)
    per_message = fact("template_tokens_per_message").value
    tally = _Tally(skip_broken)
    for file in _files(Path(path)):
        unit = "row" if file.suffix.lower() == ".parquet" else "line"
        for number, row in _rows(file):
            try:
                texts, pieces = _texts(row)
            except ValueError as error:
                tally.broken(f"{shown(file)}, {unit} {number:,}: {error}")
                continue
            tally.add(texts if isinstance(texts, int) else size_of(texts) + per_message * pieces)
            if progress and tally.samples % 1_000 == 0:
                progress(tally.samples)
    return tally.found(shown(path), bool(tokenizer_json))


def _check_open(path: str | Path) -> None:
    if not may_be_read(path):
        raise InvalidInput("files of this machine are not read here: give samples and tokens_per_sample instead")


def _by_tokenizer(path: str) -> Callable[[str], float]:
    _check_open(path)
    count = token_counter(path)
    return lambda text: float(count(text))


def _by_bytes(text_kind: str, tokenizer: str) -> Callable[[str], float]:
    per_token = text_ratio(text_kind, tokenizer).bytes_per_token
    return lambda text: (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) / per_token


def counted(
    path: str, tokenizer_json: str, text_kind: str, tokenizer: str, skip_broken: bool, progress: Progress | None = None
) -> Samples:
    """The same, counted once while nothing under the path has changed."""
    asked = (path, tokenizer_json, text_kind, tokenizer, skip_broken, _state(Path(path)))
    if asked not in _COUNTED:
        found = count_samples(path, tokenizer_json, text_kind, tokenizer, skip_broken, progress)
        _COUNTED.clear()
        _COUNTED[asked] = found
    return _COUNTED[asked]


_COUNTED: dict[object, Samples] = {}


def _state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time of every file there."""
    known = [(each, each.stat()) for each in _files(path)]
    return tuple((str(each), found.st_size, found.st_mtime_ns) for each, found in known)


class _Tally:
    """Sums over samples."""

    def __init__(self, skip: bool) -> None:
        self.lengths, self.skip = [0] * PLACES, skip
        self.samples = self.wrong = 0
        self.tokens = self.longest = self.logs = self.squares = 0.0
        self.first = ""

    def add(self, tokens: float) -> None:
        """One more sample."""
        size = max(float(tokens), 1.0)
        log = math.log(size)
        self.samples += 1
        self.tokens += size
        if size > self.longest:
            self.longest = size
        self.logs += log
        self.squares += log * log
        self.lengths[min(int(log / STEP), PLACES - 1)] += 1

    def broken(self, words: str) -> None:
        """One that is none."""
        if not self.skip:
            raise InvalidInput(f"{words}. Mend it, or set broken_lines=skip to count the others.")
        self.wrong += 1
        self.first = self.first or words

    def found(self, path: str, counted: bool) -> Samples:
        """What it comes to."""
        if not self.samples:
            raise InvalidInput(f"no training samples at {path}{': ' + self.first if self.first else ''}")
        mean = self.logs / self.samples
        spread = math.sqrt(max(self.squares / self.samples - mean * mean, 0.0))
        lengths = np.array(self.lengths, float)
        return Samples(self.samples, self.tokens, spread, self.longest, lengths, counted, self.wrong, self.first)


def _place(tokens: float) -> int:
    return min(int(math.log(max(tokens, 1.0)) / STEP), PLACES - 1)


# --- rows ------------------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    """The file, or those under a folder that hold samples."""
    _check_open(path)
    found = files_under(path, ENDINGS)
    if found == [path] and path.suffix.lower() not in (*ENDINGS, ".json"):
        raise InvalidInput(f"{shown(path)}: samples are read from {', '.join(ENDINGS)}, or a folder")
    if not found:
        raise InvalidInput(f"no training samples at {shown(path)}: read are {', '.join(ENDINGS)}, or a folder of them")
    return found


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The number of each line or row, and the row; the error instead of one that cannot be read."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _parquet(path)
    return _csv(path) if ending == ".csv" else _json(path)


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    from pydantic_core import from_json  # four times as fast as the standard library's

    for number, line in enumerate(lines(path, "training samples"), 1):
        if (number == 1 and line.strip() in (b"[", b"[{")) or (number == 1 and line[:2] == b"[{"):
            raise InvalidInput(f"{shown(path)} is one JSON list: write one sample a line (JSON lines)")
        if line and not line.isspace():
            try:
                yield number, from_json(line)
            except ValueError:
                yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    """A line that is none, or one that the standard library alone takes, such as half a character."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return ValueError(f"it is not JSON ({clipped(str(error), 80)})")


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    texts = (line.decode("utf-8", "replace") + "\n" for line in lines(path, "training samples"))
    read = csv.DictReader(texts)
    try:
        for row in read:
            whole = None not in row and None not in row.values()
            yield read.line_num, row if whole else ValueError("it has other cells than the header")
    except csv.Error as error:
        raise InvalidInput(f"{shown(path)}, line {read.line_num:,}: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from importlib import import_module

        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "tables") from None
    number = 0
    try:
        regular(path)
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {shown(path)}: {clipped(str(error), 100)}") from None


def _texts(row: Any) -> tuple[str | int, int]:
    """The text of a sample and the messages it has; its tokens where they were counted before. ValueError for none."""
    if not isinstance(row, dict):
        raise row if isinstance(row, ValueError) else ValueError("it is no sample, but one value")
    if isinstance(row.get("input_ids"), list):
        return len(row["input_ids"]), 0
    for name in CHATS:
        if name in row and isinstance(row[name], list):
            return _chat(row[name])
    for names in COLUMNS:
        if names[0] not in row:
            continue
        parts = [text for text in map(_said, map(row.get, names)) if text is not None]
        if len(parts) == len(names):
            return "\n".join(parts), len(parts) if len(parts) > 1 else 0
    known = "messages, conversations, prompt and completion, instruction and output, input and output, text"
    raise ValueError(f"no columns of a sample among {clipped(', '.join(map(str, row)), 80)} (known: {known})")


def _said(value: object) -> str | None:
    """A text, or those of a conversation; None where it is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return _chat(value)[0]
    return None


def _chat(messages: list[Any]) -> tuple[str, int]:
    """The texts of a conversation; parts that are images count as nothing."""
    texts = []
    for message in messages:
        if not isinstance(message, dict):
            raise ValueError("a message is no object")
        if isinstance(message.get("content"), str):
            texts.append(message["content"])
            continue
        content = next((message[name] for name in ("content", "value", "text") if message.get(name) is not None), "")
        parts = content if isinstance(content, list) else [content]
        texts += [str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts]
    return "\n".join(texts), len(messages)
