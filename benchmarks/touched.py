"""Which test calls which function of the package, and how long it takes: a plugin of pytest, for `mutants.py`.

    TOUCHED=touched.json python -m pytest -p benchmarks.touched tests estimator

Only calls are traced, not lines. What is remembered is forgotten before each test, so that a later one is seen to
call what an earlier one has worked out; what is made once for several tests counts for the first.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

ROOT = Path(__file__).parents[1]
calls: dict[str, set[CodeType]] = {}
took_s: dict[str, float] = {}


def place(code: CodeType) -> str:
    """Where a function begins: file:line, relative to the tree; nothing for what is not the package's."""
    try:
        path = Path(code.co_filename).relative_to(ROOT)
    except ValueError:
        return ""
    return f"{path}:{code.co_firstlineno}" if path.parts[0] == "estimator" else ""


def forget() -> None:
    """Forget what is remembered, but for facts that were read."""
    from estimator.catalog.files import _caches

    for clear in _caches:
        if not clear.__self__.__module__.startswith("estimator.catalog"):  # type: ignore[attr-defined]
            clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run one test, and note whatever it calls."""
    forget()
    found = calls[item.nodeid] = set()

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        found.add(frame.f_code)

    started = time.perf_counter()
    threading.settrace(note)
    sys.settrace(note)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)
        took_s[item.nodeid] = round(time.perf_counter() - started, 4)


def pytest_sessionfinish() -> None:
    """Write both down, where the environment says."""
    places = {code: place(code) for code in set().union(*calls.values())}
    known = {test: sorted({places[code] for code in found} - {""}) for test, found in calls.items()}
    written = {"calls": known, "took_s": took_s}
    Path(os.environ["TOUCHED"]).write_text(json.dumps(written), encoding="utf-8")
