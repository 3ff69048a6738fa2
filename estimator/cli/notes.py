"""What an answer is said with, on stderr: held back until there is an answer, so that a refusal is one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_everybody: list[str] = []
_held: ContextVar[list[str]] = ContextVar("held", default=_everybody)


def note(text: str) -> None:
    """Hold back one line."""
    _held.get().append(text)


@contextmanager
def apart() -> Iterator[list[str]]:
    """Within it lines are held back for one answer of several at once."""
    own: list[str] = []
    token = _held.set(own)
    try:
        yield own
    finally:
        _held.reset(token)


def say() -> None:
    """All that was held back, on stderr."""
    for text in _held.get():
        print(f"estimator: {text}", file=sys.stderr)
    forget()


def forget() -> None:
    """What was held back of an answer that there is not."""
    _held.get().clear()
