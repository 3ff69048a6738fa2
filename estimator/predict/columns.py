"""Records whose fields are one number, or one for each of many layouts: some of the layouts, records joined.

Layouts may be rows, with an axis across of what each can be besides (what it recomputes): a field is then a column
[rows, 1], a row [alternatives], both [rows, alternatives] or one number, and what does not rest on the alternatives is
computed once for all of them.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Places = int | slice | NDArray[np.integer] | NDArray[np.bool_]
R = TypeVar("R", bound=tuple[Any, ...])


def subset(record: R, which: Places) -> R:
    """Some of the layouts, or one, of a record whose fields are arrays of layouts; what is the same for all stays."""

    def part(value: object) -> Any:  # numbers and words, or a record of them
        if isinstance(value, tuple):
            return subset(value, which)
        return value[which] if isinstance(value, np.ndarray) and value.ndim else value

    return type(record)(*map(part, record))


def picked(record: R, rows: NDArray[np.intp], across: NDArray[np.intp]) -> R:
    """Some of the layouts of a record with an axis across, as arrays of them; what is one number stays it."""

    def part(value: object) -> Any:
        if isinstance(value, tuple):
            return picked(value, rows, across)
        if not isinstance(value, np.ndarray) or not value.ndim:
            return value
        if value.ndim == 1:
            return value[across]
        return value[rows, 0] if value.shape[1] == 1 else value[rows, across]

    return type(record)(*map(part, record))


def joined(records: Sequence[R], sizes: Sequence[int]) -> R:
    """Records of single numbers, each for so many layouts, as one of them all; what is the same in all stays it."""
    if len(records) == 1:
        return records[0]

    def part(parts: tuple[Any, ...]) -> Any:
        first = parts[0]
        if isinstance(first, tuple):
            return joined(parts, sizes)
        return first if all(part == first for part in parts) else np.array(parts).repeat(sizes)

    return type(records[0])(*map(part, zip(*records, strict=True)))


def stacked(records: Sequence[R], sizes: Sequence[int]) -> R:
    """Records of so many rows each, with the same axis across, as one of them all; what is the same in all stays so."""
    if len(records) == 1:
        return records[0]
    return type(records[0])(*(_stacked(parts, sizes) for parts in zip(*records, strict=True)))


def _stacked(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """One field of several records: numbers, words or records."""
    first = parts[0]
    if isinstance(first, tuple):
        return stacked(parts, sizes)
    if any(np.ndim(part) == 2 for part in parts):  # columns
        whole = (
            part if np.ndim(part) == 2 else np.full((size, 1), part) for part, size in zip(parts, sizes, strict=True)
        )
        return np.concatenate([*whole])
    return first if np.ndim(first) or all(part == first for part in parts) else np.array(parts).repeat(sizes)[:, None]
