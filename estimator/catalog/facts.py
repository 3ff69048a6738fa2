"""Small cited facts by key: what a cache read costs, how many samples guides ask for, constants of scaling laws.

Tables: presets/{prompt,finetune,pretrain,quality,decision}_facts.csv and hardware/power.csv, one figure a row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from estimator.catalog.files import cached, number, preset_files, rows, source_of
from estimator.errors import InvalidInput, UnknownName
from estimator.paths import data_folder
from estimator.records import Basis, Source

TABLES = ("prompt_facts.csv", "finetune_facts.csv", "pretrain_facts.csv", "quality_facts.csv", "decision_facts.csv")
COLUMNS = ("key", "value", "low", "high", "unit", "text", "context", "source", "kind", "date")
BASES: Mapping[str, Basis] = {"measured": "measured", "derived": "analytic", "recalled": "assumed"}


@dataclass(frozen=True, slots=True)
class Fact:
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


def fact(key: str) -> Fact:
    """The fact called `key`.

    >>> fact("cache_read_multiplier/anthropic").value
    0.1
    >>> round(fact("chinchilla_besiroglu/alpha").low, 3)
    0.328
    """
    found = _facts().get(key)
    if found is None:
        raise UnknownName("fact", key, _facts(), "Tables of facts are in estimator/presets and hardware/power.csv.")
    return found


def facts(prefix: str) -> dict[str, Fact]:
    """All facts under `prefix/`, by what follows it.

    >>> sorted(facts("copies"))
    ['dpo', 'grpo', 'orpo', 'ppo']
    """
    return {key.removeprefix(prefix + "/"): found for key, found in _facts().items() if key.startswith(prefix + "/")}


@cached
def _facts() -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for path in [path for name in TABLES for path in preset_files(name)] + [data_folder("hardware") / "power.csv"]:
        for row in rows(path, COLUMNS):
            found.setdefault(row["key"], _fact(row, path))
    return found


def _fact(row: dict[str, str], path: Path) -> Fact:
    where = f"{path.name}, {row['key']}"
    value, low, high = (number(row[name], f"{where}: {name}") for name in ("value", "low", "high"))
    centre = math.nan if value is None else value
    least, most = (centre if end is None else end for end in (low, high))
    if not math.isnan(centre) and not least <= centre <= most:
        raise InvalidInput(f"{where}: the range {least:g} to {most:g} does not hold the value {centre:g}")
    return Fact(row["key"], centre, least, most, row["unit"], source_of(row), row["context"], row["text"])
