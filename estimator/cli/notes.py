"""What an answer is said with, on stderr: held back until there is an answer, so that a refusal is one line."""

import sys

_held: list[str] = []


def note(text: str) -> None:
    """Hold back one line."""
    _held.append(text)


def say() -> None:
    """All that was held back, on stderr."""
    for text in _held:
        print(f"estimator: {text}", file=sys.stderr)
    forget()


def forget() -> None:
    """What was held back of an answer that there is not."""
    _held.clear()
