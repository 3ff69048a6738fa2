"""Arguments of the public functions, checked at the door: of the right kind, or InvalidInput in one line.

An argument has one name in all functions, and so one kind. What it must be beyond that is said where it is used.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from estimator.errors import InvalidInput, clipped

WORDS = "a name"
FLAG = "True or False"
LARGEST = 1e15  # of any number here: what is larger overflows somewhere
NUMBER = f"a number up to {LARGEST:g}"
NUMBERS = f"a number up to {LARGEST:g}, or an array of them"
PATH = "a name or a path"
NAMES = "names, such as ('a', 'b')"
ROWS = "a list of dicts, or a pandas, polars or Arrow table"
KINDS = {
    **dict.fromkeys(("stage", "task", "api"), WORDS),
    **dict.fromkeys(("model", "gpu", "scenario_file"), PATH),
    **dict.fromkeys(("gpus", "most", "data"), NUMBER),
    **dict.fromkeys(("stages", "figures", "precisions"), NAMES),
    **dict.fromkeys(("prompt_tokens", "output_tokens", "cached_tokens"), NUMBERS),
    **dict.fromkeys(("requests_per_s", "concurrency", "burst", "batch"), NUMBERS),
    "careful": FLAG,
    "table": ROWS,
}


def check(open_: Sequence[str] = (), **given: object) -> None:
    """Refuse what is not of its argument's kind. open_: those that may be None.

    >>> check(stage="rag", gpus=8)
    >>> check(stage=["rag"])
    Traceback (most recent call last):
    estimator.errors.InvalidInput: stage must be a name, not ['rag']
    """
    for name, value in given.items():
        if value is not None or name not in open_:
            check_kind(name, value, KINDS[name])


def check_kind(name: str, value: object, kind: str) -> None:
    """Refuse a value that is not of the kind."""
    if not TESTS[kind](value):
        raise InvalidInput(f"{name} must be {kind}, not {_clipped(value)}")


def check_shapes(given: Mapping[str, Any]) -> None:
    """Refuse arrays that do not go together."""
    shapes = {name: np.shape(value) for name, value in given.items() if value is not None}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        several = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
        raise InvalidInput(f"arrays must be of one shape, or of shapes that broadcast: {several}") from None


def _clipped(value: object) -> str:
    try:
        return clipped(value)
    except ValueError:  # whole numbers of thousands of digits
        return f"something of type {type(value).__name__}"


def _number(value: object) -> bool:
    """One real number that can be calculated with."""
    return isinstance(value, int | float | np.integer | np.floating) and bool(-LARGEST <= value <= LARGEST)


def _numbers(value: object) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return False
    try:
        found = np.asarray(value)
    except ValueError:  # ragged
        return False
    return found.dtype.kind in "biuf" and found.size > 0 and bool((np.abs(found) <= LARGEST).all())


def _names(value: Any) -> bool:
    listed = isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)
    return listed and all(isinstance(one, str) for one in value)


def _rows(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(row, Mapping) and all(isinstance(name, str) for name in row) for row in value)
    return hasattr(value, "column_names") or hasattr(value, "columns")


TESTS = {
    WORDS: lambda value: isinstance(value, str),
    FLAG: lambda value: isinstance(value, bool | np.bool_),
    NUMBER: _number,
    NUMBERS: _numbers,
    PATH: lambda value: isinstance(value, str | os.PathLike),
    NAMES: _names,
    ROWS: _rows,
}
