"""Where the catalogue finds its files: a user's folder first, then what ships; rows and tables as they hold them."""

import csv
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from estimator.errors import InvalidInput, clipped
from estimator.files import doubled, read_text, read_toml, reason, regular
from estimator.numerals import LEAST, MOST, numeral, rewritten
from estimator.paths import data_folder, presets, shipped, toml
from estimator.records import Source

Content = dict[str, Any]  # of a TOML or JSON file: numbers, texts and tables of them, by key
P = ParamSpec("P")
R = TypeVar("R")

MOST_OF_ANYTHING = 1e9

_caches: list[Callable[[], None]] = []
_overlay: list[Path] = []


def cached(function: Callable[P, R]) -> Callable[P, R]:
    """Like `functools.cache`, forgotten when the facts change."""
    found: Callable[P, R] = _forgettable(functools.cache(function))
    return found


def recent(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `functools.lru_cache`, forgotten when the facts change: for whatever can be asked in endless ways."""

    def remember(function: Callable[P, R]) -> Callable[P, R]:
        found: Callable[P, R] = _forgettable(functools.lru_cache(most)(function))
        return found

    return remember


def _forgettable(remembered: Any) -> Any:
    _caches.append(remembered.cache_clear)
    return remembered


def use_facts(folder: str | Path | None) -> None:
    """Let the files of `folder` come before those that ship; `None` goes back to only those.

    Looked for in it: accelerators/*.toml, and the tables that ship by their names: prices/*.csv, grid/*.csv, llms.csv.
    """
    if folder is not None:
        _check_folder(Path(folder))
        _check_names(Path(folder))
    _overlay[:] = [] if folder is None else [Path(folder)]
    use_facts_again()


def used_facts() -> Path | None:
    """The folder whose files come before those that ship."""
    return _overlay[0] if _overlay else None


def _check_folder(folder: Path) -> None:
    """InvalidInput for what is no folder, or holds one that cannot be looked into."""
    parts = [folder / part for part in ("", "accelerators", "prices", "grid")]
    try:
        there = folder.is_dir()
        for part in parts:
            if part.is_dir():
                next(part.iterdir(), None)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the folder of facts {clipped(str(folder))}: {reason(error)}") from None
    if not there:
        raise InvalidInput(
            f"no folder of facts at {clipped(str(folder))}. See hardware/README.md for what it may hold."
        )


def _check_names(folder: Path) -> None:
    """InvalidInput for a table under a name nobody reads, and for a folder in which there is nothing to read."""
    shipped = {
        part: {path.name for path in (data_folder("hardware") / part).glob("*.csv")} for part in ("prices", "grid")
    }
    for part, known in shipped.items():
        for path in (folder / part).glob("*.csv"):
            if path.name not in known:
                raise InvalidInput(f"nobody reads {part}/{path.name}: name it {' or '.join(sorted(known))}")
            _check_file(path)
    tables = [path.name for path in presets().glob("*.csv") if os.path.lexists(folder / path.name)]
    for name in tables:
        _check_file(folder / name)
    if not tables and not any((folder / part).is_dir() for part in ("accelerators", *shipped)):
        raise InvalidInput(f"no facts in {clipped(str(folder))}. See hardware/README.md for what it may hold.")


def _check_file(path: Path) -> None:
    """InvalidInput for a table that would be passed over, since it is a pipe, a folder or a link to nowhere."""
    try:
        regular(path)
    except OSError as error:
        raise InvalidInput(f"cannot read {path.name}: {reason(error)}") from None


def use_facts_again() -> None:
    """Forget what was read: a file has changed."""
    for clear in _caches:
        clear()


def folders(name: str) -> list[Path]:
    """Folders called `name`, the user's first."""
    candidates = [*(folder / name for folder in _overlay), data_folder("hardware") / name]
    return [folder for folder in candidates if folder.is_dir()]


def preset_files(name: str) -> list[Path]:
    """Files called `name` among the user's facts and the presets, the user's first."""
    return [path for path in (*(folder / name for folder in _overlay), presets() / name) if path.is_file()]


@cached
def rows(path: Path, required: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file in UTF-8; empty cells are empty text."""
    try:
        lines = [*filter(None, csv.reader(io.StringIO(read_text(path, "table"), newline="")))]
    except csv.Error as error:
        raise InvalidInput(f"cannot read {path.name}: {error}") from None
    header, *lines = lines or [[]]
    if (twice := doubled(filter(None, header))) is not None:
        raise InvalidInput(f"{path.name} has two columns {clipped(twice)}")
    missing = [column for column in required if column not in header]
    if missing:
        raise InvalidInput(f"{path.name} lacks the column {missing[0]!r}. See hardware/README.md.")
    if any(len(cells) > len(header) for cells in lines):
        raise InvalidInput(f"{path.name} has a row with more cells than its header. Quote cells that hold commas.")
    width = len(header)
    for cells in lines:
        if len(cells) < width:
            cells += [""] * (width - len(cells))
    return [dict(zip(header, cells)) for cells in lines]  # noqa: B905 - of one length by now, and many


def table(path: Path) -> Content:
    """The content of a TOML file."""
    return toml(path.read_text(encoding="utf-8")) if shipped(path) else read_toml(path, "table")


def number(text: str, what: str) -> float | None:
    """A cell as a number that can be calculated with, or `None` when it is empty."""
    if not text.strip():
        return None
    value = numeral(text)
    if value is None or not (value == 0 or LEAST < abs(value) < MOST):
        raise InvalidInput(f"{what} must be a number, not {clipped(text)}{rewritten(text)}")
    return value


def count(text: str, what: str) -> int | None:
    """A cell as a whole number that something can have so many of, or `None` when it is empty."""
    value = number(text, what)
    if value is not None and (value % 1 or not 0 <= value <= MOST_OF_ANYTHING):
        raise InvalidInput(f"{what} must be a whole number up to {MOST_OF_ANYTHING:g}, not {clipped(text)}")
    return None if value is None else int(value)


def source_of(row: dict[str, str]) -> Source:
    """The citation of a row: its columns source, kind and read_on (or date, or the day from which a price is asked)."""
    dated = (row.get(name) for name in ("read_on", "date", "valid_from"))
    return Source(row["source"], row.get("kind") or "read", next(filter(None, dated), ""))
