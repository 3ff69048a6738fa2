"""What a log says: columns of a case, and what was measured."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from estimator.catalog.accelerators import GIB
from estimator.catalog.cases import CaseKind

MIB = GIB / 1024
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Found(NamedTuple):
    """One run of a log. columns: of its case, as far as the log says; measured: metric and value; what: kind of log."""

    what: str
    kind: CaseKind
    columns: Mapping[str, object]
    measured: tuple[tuple[str, float], ...]


class Log(NamedTuple):
    """A file that was read: its name, and its content as text and, if it is JSON, as that."""

    name: str
    text: str
    data: object = None


Reader = Callable[[Log], Sequence[Found]]


def number(value: object) -> float | None:
    """A positive number, or none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0 < found < 1e30 else None


def measured(**values: float | None) -> tuple[tuple[str, float], ...]:
    """What there is of metrics."""
    return tuple((name, value) for name, value in values.items() if value)


def settled(values: Iterable[float]) -> float | None:
    """The median once a run has warmed up: the first tenth of its reports, at least one of several, is left out."""
    every = list(values)
    later = every[max(len(every) // 10, min(len(every) - 1, 1)) :]
    return median(later) if later else None


def table(text: str) -> list[list[str]]:
    """Rows of CSV; none of what is no CSV."""
    try:
        return list(csv.reader(io.StringIO(text), skipinitialspace=True))
    except csv.Error:
        return []


def inside(data: object, *path: str) -> object:
    """What lies at a path of keys in JSON; None where it does not."""
    for key in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data
