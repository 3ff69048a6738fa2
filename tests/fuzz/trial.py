"""One hostile case: how it is run, and what must hold whatever it is.

A surface draws a Trial in a fresh folder; `judged` runs it there within 5 s and 1 GB and returns what is wrong.
"""

import contextlib
import gc
import hashlib
import io
import os
import random
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from estimator.catalog.files import use_facts

LIMIT_S = 5.0  # of computing, and of waiting for nothing
PATIENT_S = 120.0  # by the clock, where a case waits for processes of its own or shares the machine with others
WAITING_S = 0.5  # computed in LIMIT_S by a case that waits for nothing, such as a pipe
LIMIT_BYTES = 1_000_000_000  # more than before the case
HASHED_BYTES = 20_000_000  # of a file; larger ones are known by size and time
HOME = "home"  # in every folder: where profiles are looked for


class Trial(NamedTuple):
    """kind: what is hostile in it; shown: how to do it again; act: does it, and names what is wrong with the outcome.

    writes: patterns of paths that may come or change, where all is well; patient: it waits for processes of its own
    """

    kind: str
    shown: str
    act: Callable[[], Iterable[str]]
    writes: tuple[str, ...] = ()
    patient: bool = False


class Fault(NamedTuple):
    """Something that must not be. what: an exception's type or a broken promise; place: where in the library."""

    surface: str
    kind: str
    what: str
    place: str
    detail: str
    shown: str
    seed: int
    index: int


class HungError(BaseException):
    """The case took longer than it may; not an Exception, so that nobody catches it in passing."""


def surfaces() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in (Path(__file__).parent / "surfaces").glob("*.py") if path.stem != "__init__")


def share(surface: str) -> int:
    """Its weight when cases are shared out."""
    return int(import_module(f"tests.fuzz.surfaces.{surface}").SHARE)


def judged(surface: str, seed: int, index: int, keep: Path | None = None) -> list[Fault]:
    """What is wrong with one case. keep: where its folder stays."""
    folder, back = Path(tempfile.mkdtemp(prefix="fuzz-")), Path.cwd()
    try:
        os.chdir(folder)
        return _judged(surface, seed, index, folder)
    finally:
        os.chdir(back)
        use_facts(None)
        if keep:
            shutil.copytree(folder, keep, symlinks=True, ignore=_odd, dirs_exist_ok=True)
        _remove(folder)


def _judged(surface: str, seed: int, index: int, folder: Path) -> list[Fault]:
    (folder / HOME).mkdir()
    rng = random.Random(f"{surface}/{seed}/{index}")
    trial: Trial = import_module(f"tests.fuzz.surfaces.{surface}").draw(rng, index)
    before = seen(folder)
    wrong = [*_ran(trial)]
    after = seen(folder)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path) and not any(fnmatch(path, pattern) for pattern in trial.writes):
            how = "left beside" if path not in before else "input lost" if path not in after else "input changed"
            wrong.append((how, "", path))
    return [
        Fault(surface, trial.kind, what, place, detail[:300], trial.shown[:1500], seed, index)
        for what, place, detail in wrong
    ]


def _ran(trial: Trial) -> Iterator[tuple[str, str, str]]:
    """Everything wrong: what, place, detail."""
    try:
        with warnings.catch_warnings(record=True) as warned, limited(trial.patient):
            warnings.simplefilter("always")
            complaints = list(trial.act())
            gc.collect()  # files left open complain here, not in a later case
    except HungError:
        yield f"over {LIMIT_S:g} s", "", ""
        return
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as raised:
        error = raised.__cause__ if isinstance(raised.__cause__, StopIteration) else raised  # in a generator of ours
        yield type(error).__name__, place_of(error), " ".join(str(error).split())
        return
    for text in complaints:
        what, _, detail = text.partition(": ")
        yield what, "", detail
    yield from dict.fromkeys(
        (f"warning {one.category.__name__}", _short(one.filename, one.lineno), str(one.message)) for one in warned
    )


@contextlib.contextmanager
def limited(patient: bool = False) -> Iterator[None]:
    """At most so much computing, waiting and memory."""
    started, limits = time.process_time(), resource.getrlimit(resource.RLIMIT_DATA)

    def out_of_time(which: int, _: FrameType | None) -> None:
        nonlocal patient
        starved = which == signal.SIGALRM and not patient and time.process_time() - started > WAITING_S
        patient = True
        signal.setitimer(signal.ITIMER_REAL, PATIENT_S - LIMIT_S if starved else 0.2)
        if not starved:  # again in a moment, should somebody swallow it
            raise HungError

    before = {which: signal.signal(which, out_of_time) for which in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_DATA, (_held() + LIMIT_BYTES, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, PATIENT_S if patient else LIMIT_S)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        for which, handler in before.items():
            signal.signal(which, handler)


def _held() -> int:
    """Memory that this process may write [B]; what is only reserved, as engines of scripts do, is left out."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmData:\s*(\d+) kB", status)[1]) * 1024


def place_of(error: BaseException) -> str:
    """The innermost line of the library that an exception went through, else of anything."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/estimator/" in frame.filename and "site-packages" not in frame.filename]
    frame = (ours or frames or [None])[-1]
    return _short(frame.filename, frame.lineno or 0) if frame else ""


def _short(filename: str, line: int) -> str:
    for start in ("/estimator/", "/site-packages/", "/tests/"):
        if start in filename:
            return f"{start.strip('/')}/{filename.rpartition(start)[2]}:{line}".replace("site-packages/", "")
    return f"{Path(filename).name}:{line}"


def seen(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything in a folder: kind and mode, and content, or where a link leads; not what lies in HOME."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.startswith(HOME + "/"):
            found[name] = _state(path)
    return found


def _state(path: Path) -> tuple[Any, ...]:
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return "link", str(path.readlink())
    if not stat.S_ISREG(info.st_mode):
        return (info.st_mode,)
    if info.st_size > HASHED_BYTES:
        return info.st_mode, info.st_size, info.st_mtime_ns
    return info.st_mode, hashlib.sha256(path.read_bytes()).hexdigest()


def _odd(folder: str, names: list[str]) -> set[str]:
    """What cannot be copied: pipes, sockets, devices."""
    return {name for name in names if stat.S_IFMT((Path(folder) / name).lstat().st_mode) not in _PLAIN}


_PLAIN = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


class Streams(contextlib.AbstractContextManager["Streams"]):
    """stdout and stderr as the interpreter has them: UTF-8, strict on stdout, escaped on stderr."""

    def __init__(self, out: io.TextIOBase | None = None) -> None:
        self.out = out or io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", newline="")
        self.err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="")

    def __enter__(self) -> "Streams":
        self.before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.out, self.err
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self.before

    def texts(self) -> tuple[str, str]:
        """What was said on each so far."""
        return _text(self.out), _text(self.err)


def _text(stream: Any) -> str:
    stream.flush()
    return str(stream.buffer.getvalue().decode("utf-8")) if isinstance(stream.buffer, io.BytesIO) else ""
