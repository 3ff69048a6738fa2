"""Files in and out: what is read is a regular file of bounded size, what is written is whole or not there."""

import errno
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from estimator.errors import EstimatorError, InvalidInput, clipped

if TYPE_CHECKING:
    from zipfile import ZipInfo

MB = 1_000_000
# The most that is read of a file, by what it is; files of scenarios are read in pieces, and may be of any size.
MOST_BYTES = {
    "scenario": MB,
    "config": MB,
    "run configuration": MB,
    "table": 64 * MB,
    "case file": 64 * MB,
    "profile": 64 * MB,
    "workbook": 256 * MB,
    "text": 1024 * MB,
    "tokenizer": 256 * MB,
    "log": 256 * MB,
    "bill": 1024 * MB,
}
MOST_UNPACKED = 512 * MB  # of the parts of a workbook together
MOST_PARTS = 10_000
KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)
LONGEST_SHOWN = 200
LONGEST_LINE = 64 * MB  # of a file that is read a line at a time, which may itself be of any size


# --- reading -------------------------------------------------------------------------------------------------


_HANDED: ContextVar[Mapping[str, str] | None] = ContextVar("files handed in", default=None)


@contextmanager
def handed_in(texts: Mapping[str, str]) -> Iterator[None]:
    """Within it, what somebody else names is one of these texts, and no file of this machine.

    >>> with handed_in({"run.sh": "vllm serve 8b"}):
    ...     read_text("run.sh", "run configuration"), may_be_read("/etc/passwd")
    ('vllm serve 8b', False)
    """
    token = _HANDED.set(texts)
    try:
        yield
    finally:
        _HANDED.reset(token)


def may_be_read(path: str | Path) -> bool:
    """Whether a file that a question names may be read at all."""
    handed = _HANDED.get()
    return handed is None or str(path) in handed


def handed(path: str | Path) -> str | None:
    """The text that was handed in under this name."""
    return (_HANDED.get() or {}).get(str(path))


def read_bytes(path: str | Path, kind: str) -> bytes:
    """The content of a regular file. Raises InvalidInput in one line; kind: one of MOST_BYTES.

    Pipes, devices and sockets are refused before they are opened: reading them may never end.
    """
    most = MOST_BYTES[kind]
    if (text := handed(path)) is not None:
        return text.encode("utf-8", "surrogatepass")  # half a character is refused where it is read
    try:
        large = regular(path).st_size > most
        with Path(path).open("rb") as file:  # in pieces: room for the most there may be would be taken at once
            content = b"" if large else b"".join(islice(iter(partial(file.read, MB), b""), most // MB + 1))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the {kind} {shown(path)}: {reason(error)}") from None
    if large or len(content) > most:  # that of a file that grows, or says that it has no size
        raise InvalidInput(f"cannot read the {kind} {shown(path)}: it is larger than {most / MB:g} MB")
    return content


def read_text(path: str | Path, kind: str) -> str:
    """The same as text in UTF-8, with or without a byte-order mark."""
    try:
        return read_bytes(path, kind).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"cannot read the {kind} {shown(path)}: it is not text in UTF-8 (byte {error.start})"
        ) from None


def lines(path: str | Path, kind: str) -> Iterator[bytes]:
    """The lines of a regular file of any size, one in memory at a time; without ends, the first without a mark.

    Raises InvalidInput in one line, also for a line that is longer than LONGEST_LINE.
    """
    try:
        regular(path)
        with Path(path).open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    most = f"line {number:,} is longer than {LONGEST_LINE / MB:g} MB"
                    raise InvalidInput(f"cannot read the {kind} {shown(path)}: {most}")
                yield (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).rstrip(b"\r\n")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the {kind} {shown(path)}: {reason(error)}") from None


def read_toml(path: str | Path, kind: str) -> dict[str, Any]:
    """The content of somebody's TOML file, as TOML 1.0 has it."""
    import tomllib  # the files that ship are read faster (estimator/paths.py)

    text = read_text(path, kind)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InvalidInput(f"cannot read the {kind} {shown(path)}: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"cannot read the {kind} {shown(path)}: it is not TOML: {error}") from None


def regular(path: str | Path) -> os.stat_result:
    """What is known of a regular file, links followed; OSError or ValueError for anything else."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, _what(found))
    return found


def files_under(path: str | Path, endings: Collection[str]) -> list[Path]:
    """A file, or the files under a folder whose names end so; links are followed, no folder is entered twice.

    Raises InvalidInput for what cannot be read, and for what is called like such a file and is none.
    """
    here, entered, found = Path(path), set[tuple[int, int]](), []

    def first(folder: Path) -> bool:
        known = (folder.stat().st_dev, folder.stat().st_ino)
        return known not in entered and not entered.add(known)  # type: ignore[func-returns-value]

    try:
        if not here.is_dir():
            return [here] if regular(here) else []
        first(here)
        for name, inner, files in os.walk(path, onerror=_unread, followlinks=True):
            inner[:] = [each for each in inner if first(here := Path(name, each))]
            for here in (Path(name, each) for each in files if Path(each).suffix.lower() in endings):
                regular(here)
                found.append(here)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {shown(getattr(error, 'filename', None) or here)}: {reason(error)}") from None
    return sorted(found)


def _unread(error: OSError) -> NoReturn:
    raise error


def is_file(path: str | Path) -> bool:
    """Whether a file is there, or was handed in; a name that no file can have is none."""
    try:
        return handed(path) is not None or Path(path).is_file()
    except (OSError, ValueError):
        return False


def reason(error: BaseException) -> str:
    """Why a file could not be read or written, as the system says it."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return "no file can have such a name" if isinstance(error, ValueError) else str(error)


def shown(path: str | Path) -> str:
    """A path as messages have it."""
    return clipped(str(path), LONGEST_SHOWN)


def doubled(names: Iterable[str]) -> str | None:
    """The first name that is there twice."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def _what(found: os.stat_result) -> str:
    return next((words for test, words in KINDS if test(found.st_mode)), "it is no regular file")


def unzipped(content: bytes, path: str | Path, kind: str) -> list[tuple["ZipInfo", bytes]]:
    """The parts of a zip archive, such as a workbook, with what the archive says of each, in order.

    Raises InvalidInput for one that is damaged, encrypted, or unpacks into more than anybody wrote.
    """
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if len(infos) <= MOST_PARTS and sum(info.file_size for info in infos) <= MOST_UNPACKED:
                return [(info, archive.read(info)) for info in infos]
    except Exception as error:  # zipfile raises whatever a damaged directory makes it trip over
        why = " ".join(str(error).split())[:100]
        raise InvalidInput(f"{shown(path)} is no .xlsx or .xlsm file, or it is encrypted or damaged ({why})") from None
    most = f"{MOST_PARTS:,} parts or {MOST_UNPACKED / MB:,g} MB"
    raise InvalidInput(f"cannot read the {kind} {shown(path)}: unpacked, it is more than {most}")


# --- writing -------------------------------------------------------------------------------------------------


@contextmanager
def whole(path: str | Path, still: bytes | None = None) -> Iterator[Path]:
    """An empty file beside `path` to write to, which then takes its place in one step.

    A link is followed to the file it stands for. What was there keeps its mode; a new file has what the umask leaves.
    still: what the file must hold until it is replaced; where somebody else has changed it, theirs stays
    Raises InvalidInput in one line when it cannot be written: no such folder, read-only, disk full; nothing is left.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole(f"{folder}/a.txt") as beside:
    ...         count = beside.write_text("text")
    ...     Path(f"{folder}/a.txt").read_text()
    'text'
    """
    try:
        target = Path(os.path.realpath(path))
        before, beside = _replaceable(target), _beside(target)
        with _stopped_by_signals(lambda: beside.unlink(missing_ok=True)):
            try:
                _create(beside, before)
                yield beside
                _settled(beside, before)
                _put(beside, target, still)
            finally:
                beside.unlink(missing_ok=True)
    except EstimatorError:
        raise
    except Exception as error:  # writers of workbooks wrap the system's errors in their own
        found = next((one for one in (error, *error.args) if isinstance(one, OSError)), None)
        if found is None and not (isinstance(error, UnicodeEncodeError) or "null" in str(error)):
            raise
        raise InvalidInput(f"cannot write {shown(path)}: {reason(found or error)}") from None


def check_ending(path: str | Path, ending: str) -> None:
    """Raise InvalidInput where a file's name does not say what it will hold."""
    if Path(path).suffix.lower() != ending:
        raise InvalidInput(f"cannot write {shown(path)}: name a file that ends in {ending}")


def write_text(path: str | Path, text: str) -> None:
    """Text into a file, in UTF-8; what UTF-8 cannot hold (half a character of a file's name) as its escape."""
    with whole(path) as beside:
        beside.write_bytes(text.encode("utf-8", "backslashreplace"))


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder beside `path` to fill, which is then called so: all that is written into it is there, or nothing.

    Folders above it are made. Raises InvalidInput where something is there already, or it cannot be made.
    """
    import shutil  # rarely asked for

    target = Path(path)
    try:
        if os.path.lexists(target):
            raise InvalidInput(f"{shown(target)} is there already: name another")
        make_folder(target.parent)
        beside = _beside(target)
        with _stopped_by_signals(lambda: shutil.rmtree(beside, ignore_errors=True)):
            try:
                beside.mkdir()
                yield beside
                beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    except EstimatorError:
        raise
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot write {shown(path)}: {reason(error)}") from None


def to_screen(text: str) -> None:
    """Text to the screen, at once. Raises InvalidInput when there is none, OSError when it takes no more."""
    if sys.stdout is None:
        raise InvalidInput("there is nowhere to print to: standard output is closed. Give --output FILE.")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except UnicodeEncodeError:  # an encoding that says one thing and does another
        raise InvalidInput(f"cannot print the answer in {encoding}. Give --output FILE.") from None


def make_folder(folder: Path) -> None:
    """A folder of this program's own, with those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot make the folder {shown(folder)}: {reason(error)}") from None


def kept_beside(path: Path, content: bytes) -> Path:
    """Keep what a file held beside it, under a name nobody has; returns where."""
    try:
        before, beside = path.stat(), _beside(path)
        try:
            _create(beside, before)
            beside.write_bytes(content)
            _settled(beside, before)
            os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
            return _named(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot keep a copy of {shown(path)}: {reason(error)}") from None


def _named(beside: Path, path: Path) -> Path:
    """Give a file the first free name of a backup, which nobody can take meanwhile."""
    for number in range(10_000):
        name = path.with_name(f"{path.stem}.backup{number or ''}{path.suffix}")
        try:
            name.hardlink_to(beside)
        except FileExistsError:
            continue
        except OSError:  # no links in this file system: take the name, then the place
            with suppress(FileExistsError), name.open("xb"):
                return beside.replace(name)
            continue
        return name
    raise OSError(errno.EEXIST, "there are 10,000 backups of it already")


def lock_file(path: Path) -> IO[str]:
    """A file to be locked, made where it is not there; OSError for anything else, such as a pipe, which would hang."""
    if os.path.lexists(path):
        regular(path)
    return path.open("a", encoding="utf-8")


def locked(file: IO[str] | IO[bytes], wait: bool = False) -> bool:
    """Whether this process holds the file's lock now; it goes with the file, or the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        lock = getattr(msvcrt, "locking")  # noqa: B009 (unknown to type checkers elsewhere)
        try:
            lock(file.fileno(), getattr(msvcrt, "LK_LOCK" if wait else "LK_NBLCK"), 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _replaceable(target: Path) -> os.stat_result | None:
    """What is there now, if anything; OSError when it is no file, or may not be changed."""
    try:
        found = regular(target)
    except FileNotFoundError:
        return None
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return found


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:50]}.{os.urandom(6).hex()}")


def _create(beside: Path, before: os.stat_result | None) -> None:
    """An empty file, which nobody may read who may not read what it is to replace."""
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if before is None else 0o600))


def _settled(beside: Path, before: os.stat_result | None) -> None:
    """On the disk, with the mode and, as far as one may, the owner of what was there."""
    with beside.open("r+b") as file:
        os.fsync(file.fileno())
    if before is not None:
        with suppress(OSError, AttributeError):
            os.chown(beside, before.st_uid, before.st_gid)
        beside.chmod(stat.S_IMODE(before.st_mode))


def _put(beside: Path, target: Path, still: bytes | None) -> None:
    """Into its place, where that still holds what it must."""
    if still is None:
        beside.replace(target)
    else:
        with target.open("r+b") as file:
            locked(file, wait=True)  # of two that change it at once, the second finds it changed
            if not os.path.samestat(os.fstat(file.fileno()), target.stat()) or file.read() != still:
                raise InvalidInput(
                    f"{shown(target)} was changed by somebody else meanwhile: it is left as it is. Run it again."
                )
            beside.replace(target)
    with suppress(OSError):  # the name is on the disk too, where folders can be synchronised
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _stopped_by_signals(clean: Callable[[], object]) -> Iterator[None]:
    """While files are written, end at SIGTERM and SIGHUP as at an error, so that nothing is left beside them.

    clean: removes what is not in its place yet, at once: just before a `with` begins, nobody's `finally` would
    """
    import signal
    import threading

    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = threading.current_thread() is threading.main_thread()
    taken = [number for number in wanted if ours and signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, _: object) -> NoReturn:
        with suppress(OSError):
            clean()
        sys.exit(128 + number)

    try:
        for number in taken:
            signal.signal(number, stop)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
