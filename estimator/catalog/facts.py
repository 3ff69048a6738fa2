"""Small cited facts by key: what a cache read costs, how many samples guides ask for, constants of scaling laws.

Tables: presets/{prompt,retrieval,finetune,pretrain,serving,quality,decision}_facts.csv and hardware/power.csv; a row is
a figure.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from estimator.catalog.files import MOST_OF_ANYTHING, cached, number, preset_files, rows, source_of
from estimator.errors import InvalidInput, UnknownName
from estimator.paths import data_folder
from estimator.records import Basis, Source

TOPICS = ("prompt", "retrieval", "finetune", "pretrain", "serving", "quality", "decision")
TABLES = tuple(f"{topic}_facts.csv" for topic in TOPICS)
COLUMNS = ("key", "value", "low", "high", "unit", "text", "context", "source", "kind", "date")
BASES: Mapping[str, Basis] = {"measured": "measured", "derived": "analytic", "recalled": "assumed"}


class Fact(NamedTuple):
    """A figure, its range as far as sources span one, and where it was found.

    value: NaN when the source gives only words, which `text` holds
    """

    key: str
    value: float
    low: float
    high: float
    unit: str
    source: Source
    context: str = ""
    text: str = ""

    @property
    def kind(self) -> str:
        """How it is known: read, read_secondary, recalled, derived or measured."""
        return self.source.kind

    @property
    def basis(self) -> Basis:
        """The same in the words of a Quantity."""
        return BASES.get(self.source.kind, "published")


@cached
def fact(key: str) -> Fact:
    """The fact called `key`.

    >>> fact("cache_read_multiplier/anthropic").value
    0.1
    >>> round(fact("chinchilla_besiroglu/alpha").low, 3)
    0.328
    """
    if key not in _rows():
        raise UnknownName("fact", key, _rows(), "Tables of facts are in estimator/presets and hardware/power.csv.")
    return _fact(*_rows()[key])


def counted(key: str) -> int:
    """The fact called `key` of something that is counted, of which there is at least one; own facts may say less.

    >>> counted("embedding/batch")
    64
    """
    value = fact(key).value
    if not 1 <= value <= MOST_OF_ANYTHING or value % 1:
        raise InvalidInput(f"the fact {key} must be a whole number from 1, not {value:g}")
    return int(value)


@cached
def facts(prefix: str) -> dict[str, Fact]:
    """All facts under `prefix/`, by what follows it.

    >>> sorted(facts("copies"))
    ['dpo', 'grpo', 'orpo', 'ppo']
    """
    start = prefix + "/"
    return {key.removeprefix(start): _fact(*found) for key, found in _rows().items() if key.startswith(start)}


@cached
def _rows() -> dict[str, tuple[dict[str, str], Path]]:
    """Every row by its key, read but not yet understood: few of them are asked for."""
    found: dict[str, tuple[dict[str, str], Path]] = {}
    for path in [path for name in TABLES for path in preset_files(name)] + [data_folder("hardware") / "power.csv"]:
        for row in rows(path, COLUMNS):
            found.setdefault(row["key"], (row, path))
    return found


def _fact(row: dict[str, str], path: Path) -> Fact:
    where = f"{path.name}, {row['key']}"
    value, low, high = (number(row[name], f"{where}: {name}") for name in ("value", "low", "high"))
    centre = math.nan if value is None else value
    least, most = (centre if end is None else end for end in (low, high))
    if not math.isnan(centre) and not least <= centre <= most:
        raise InvalidInput(f"{where}: the range {least:g} to {most:g} does not hold the value {centre:g}")
    return Fact(
        key=row["key"],
        value=centre,
        low=least,
        high=most,
        unit=row["unit"],
        source=source_of(row),
        context=row["context"],
        text=row["text"],
    )
