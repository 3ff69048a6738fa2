"""Writing profiles: whole or not at all, one run at a time, and what an interrupted run had measured."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from estimator.catalog.files import Content, use_facts_again
from estimator.catalog.local import PROFILE_VERSION, checksum
from estimator.errors import InvalidInput
from estimator.files import lock_file, locked, make_folder, read_text, reason, write_text
from estimator.paths import user_data_folder

PARTIAL_KEPT_S = 3600.0  # an interrupted run older than that says nothing of the machine now


def write_profile(content: Mapping[str, object], path: Path) -> None:
    """Write a profile with its version and checksum; a reader sees the old file or the new one, never a part."""
    whole = {"profile_version": PROFILE_VERSION, **content}
    whole["checksum"] = checksum(json.loads(json.dumps(whole)))
    own_folder(path)
    write_text(path, readable(whole))
    use_facts_again()


def own_folder(path: Path) -> None:
    """Make the folder of this user's data, where a file is to go there; nobody else's."""
    if path.parent == user_data_folder():
        make_folder(path.parent)


def readable(content: object, depth: int = 0) -> str:
    """JSON with one entry a line, and lists of numbers on one line.

    >>> print(readable({"a": {"b": [1, 2]}}))
    {
     "a": {
      "b": [1, 2]
     }
    }
    <BLANKLINE>
    """
    text = _lines(content, depth)
    return text + "\n" if depth == 0 else text


def _lines(content: object, depth: int) -> str:
    if not isinstance(content, Mapping) or not content:
        return json.dumps(content)
    pad = " " * (depth + 1)
    entries = [f"{pad}{json.dumps(str(key))}: {_lines(value, depth + 1)}" for key, value in content.items()]
    return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the machine for one run of measurements: two at once would measure each other.

    The lock is the operating system's and goes with the process, however it ends. Raises InvalidInput when it is taken.
    """
    folder = user_data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = lock_file(folder / "calibrate.lock")
    except OSError as error:
        raise InvalidInput(
            f"cannot write to {folder}: {reason(error)}. Set XDG_DATA_HOME to a folder that can be."
        ) from None
    with file:
        if not locked(file):
            raise InvalidInput(
                "another run is measuring this machine right now, and both would be wrong. Wait until it has finished."
            )
        yield


def save_partial(state: Mapping[str, object]) -> None:
    """Keep what was measured so far, for a run that is interrupted."""
    own_folder(_partial())
    write_text(_partial(), json.dumps({"saved_at": time.time(), **state}))


def load_partial(fingerprint: str) -> Content | None:
    """What an interrupted run of the same kind measured within the hour; None when there is none."""
    try:
        state: Content = json.loads(read_text(_partial(), "profile"))
        fresh = time.time() - state["saved_at"] < PARTIAL_KEPT_S and state["fingerprint"] == fingerprint
        return state if fresh and isinstance(state["samples"], dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def drop_partial() -> None:
    """Forget an interrupted run: it has been finished."""
    _partial().unlink(missing_ok=True)


def _partial() -> Path:
    return user_data_folder() / "calibrate.partial.json"
