"""Writing results: to the screen, or to a file that is either whole or not there."""

import os
from pathlib import Path

from estimator.errors import InvalidInput


def write_whole(path: str, text: str) -> None:
    """Write beside, then rename, so that nobody ever sees half a file."""
    import tempfile  # slower to load than most answers are to compute

    target = Path(path)
    try:
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise InvalidInput(f"cannot write {path!r}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        Path(beside).chmod(0o644)
        Path(beside).replace(target)
    except OSError as error:
        raise InvalidInput(f"cannot write {path!r}: {error.strerror}") from None
    finally:
        Path(beside).unlink(missing_ok=True)
