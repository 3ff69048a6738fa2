"""Who is told how far long work has come, and may stop it by an exception of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_told: ContextVar[Callable[[int], None] | None] = ContextVar("told", default=None)


@contextmanager
def watched(told: Callable[[int], None]) -> Iterator[None]:
    """Within it, `told` hears how many more layouts were evaluated, many times a second."""
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)


def tell(count: int) -> None:
    """So many more were evaluated."""
    told = _told.get()
    if told is not None:
        told(count)
