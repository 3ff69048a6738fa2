"""Where the catalogue finds its files: a user's folder first, then what ships; rows and tables as they hold them."""

import csv
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from estimator.errors import InvalidInput, clipped
from estimator.paths import data_folder, presets, toml
from estimator.records import Source

Content = dict[str, Any]  # of a TOML or JSON file: numbers, texts and tables of them, by key
P = ParamSpec("P")
R = TypeVar("R")

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
    if folder is not None and not Path(folder).is_dir():
        raise InvalidInput(
            f"no folder of facts at {clipped(str(folder))}. See hardware/README.md for what it may hold."
        )
    if folder is not None:
        _check_names(Path(folder))
    _overlay[:] = [] if folder is None else [Path(folder)]
    use_facts_again()


def _check_names(folder: Path) -> None:
    """InvalidInput for a table under a name nobody reads, and for a folder in which there is nothing to read."""
    shipped = {
        part: {path.name for path in (data_folder("hardware") / part).glob("*.csv")} for part in ("prices", "grid")
    }
    for part, known in shipped.items():
        for path in (folder / part).glob("*.csv"):
            if path.name not in known:
                raise InvalidInput(f"nobody reads {part}/{path.name}: name it {' or '.join(sorted(known))}")
    tables = [path.name for path in presets().glob("*.csv") if (folder / path.name).is_file()]
    if not tables and not any((folder / part).is_dir() for part in ("accelerators", *shipped)):
        raise InvalidInput(f"no facts in {clipped(str(folder))}. See hardware/README.md for what it may hold.")


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
    """The rows of a CSV file; empty cells are empty text."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = [*filter(None, csv.reader(file))] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"cannot read {path.name}: {error}") from None
    missing = [column for column in required if column not in header]
    if missing:
        raise InvalidInput(f"{path.name} lacks the column {missing[0]!r}. See hardware/README.md.")
    if any(len(cells) > len(header) for cells in lines):
        raise InvalidInput(f"{path.name} has a row with more cells than its header. Quote cells that hold commas.")
    width = len(header)
    return [dict(zip(header, cells + [""] * (width - len(cells)), strict=True)) for cells in lines]


def table(path: Path) -> Content:
    """The content of a TOML file."""
    try:
        return toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path.name}: {error}") from None


def number(text: str, what: str) -> float | None:
    """A cell as a finite number, or `None` when it is empty."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise InvalidInput(f"{what} must be a number, not {clipped(text)}")
    return value


def source_of(row: dict[str, str]) -> Source:
    """The citation of a row: its columns source, kind and read_on (or date)."""
    return Source(row["source"], row.get("kind") or "read", row.get("read_on") or row.get("date") or "")
