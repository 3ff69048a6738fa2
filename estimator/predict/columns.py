"""Records whose fields are one number, or one for each of many layouts: some of the layouts, records joined."""

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


def joined(records: Sequence[R], sizes: Sequence[int]) -> R:
    """Records of so many layouts each as one of them all; what is one number in all of them stays it."""
    if len(records) == 1:
        return records[0]
    return type(records[0])(*(_joined(parts, sizes) for parts in zip(*records, strict=True)))


def _joined(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """One field of several records: numbers, words or records."""
    first = parts[0]
    if isinstance(first, tuple):
        return joined(parts, sizes)
    if not any(isinstance(part, np.ndarray) and part.ndim for part in parts):
        return first if all(part == first for part in parts) else np.array(parts).repeat(sizes)
    whole = (part if np.shape(part) else np.full(size, part) for part, size in zip(parts, sizes, strict=True))
    return np.concatenate([*whole])
