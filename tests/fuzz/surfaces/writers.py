"""Whatever is written, where it cannot be: full disks, links, modes, two at once, stdout gone, a kill in between."""

import contextlib
import os
import random
import resource
import signal
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from estimator.cli import main
from tests.fuzz import files
from tests.fuzz.answers import of_file, outcome
from tests.fuzz.surfaces.recorded import BILL, BUDGET
from tests.fuzz.trial import Streams, Trial

SHARE = 40
MACHINE = ("--model", "7b", "--gpu", "a100")
HOSTED = ("--api", "openai:gpt-4o-mini")
ROWS = "samples\n" + "5000\n" * 200
# what is written -> its name, and the line that writes it
WRITTEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "text": ("out.txt", ("compare", *MACHINE, "--output", "out.txt")),
    "JSON": ("out.json", ("compare", *MACHINE, "--output", "out.json")),
    "budget": ("out.csv", ("export", "out.csv", *MACHINE)),
    "workbook": ("out.xlsx", ("export", "out.xlsx", *HOSTED)),
    "picture": ("out.svg", ("plot", "money", *MACHINE, "--output", "out.svg")),
    "raster": ("out.png", ("plot", "money", *MACHINE, "--output", "out.png")),
    "rows": ("rows.csv", ("sweep", "in.csv", "-o", "rows.csv", *MACHINE, "--stages", "finetune")),
    "columns": ("rows.parquet", ("sweep", "in.csv", "-o", "rows.parquet", *MACHINE, "--stages", "finetune")),
    "page": ("out.html", ("compare", *MACHINE, "--output", "out.html")),
    "run configuration": ("out.yaml", ("layout", "finetune", *MACHINE, "--emit", "axolotl", "--output", "out.yaml")),
    "bridge": ("out.xlsx", ("variance", "budget.csv", "bill.csv", "--workbook", "out.xlsx")),
    "runs to share": ("out.csv", ("record", "log", *MACHINE, "--compare-only", "--accept", "--share", "out.csv")),
    "sheet": ("rows.xlsx", ("sweep", "in.csv", "-o", "rows.xlsx", *MACHINE, "--stages", "finetune")),
}
INPUTS = {"in.csv": ROWS, "budget.csv": BUDGET, "bill.csv": BILL, "log": '{"train_steps_per_second": 4.0}'}
SHOWN = ("compare", *MACHINE)
Act = Callable[[str, Sequence[str]], Iterator[str]]


def draw(rng: random.Random, index: int) -> Trial:
    """Each way of being in trouble with each output in turn; some are of one output, or of none."""
    if index % 3 == 2:
        name, act, shown = ALONE[index // 3 % len(ALONE)]
        return Trial(name, shown, lambda: _alone(act), ("out*", "book*"), patient=True)
    place = index // 3 * 2 + index % 3
    trouble = [*TROUBLES][place % len(TROUBLES)]
    name = [*WRITTEN][(place // len(TROUBLES) + place % len(TROUBLES) * 2) % len(WRITTEN)]
    target, words = WRITTEN[name]
    _inputs(Path())
    lay_out, act = TROUBLES[trouble]
    lay_out(target)
    if trouble in KILLS:
        act = partial(_killed, KILLS[trouble], rng.choice((0.0, rng.random() * LATEST_S)))
    return Trial(
        f"{trouble}: {name}",
        f"{trouble}; estimator {' '.join(words)}",
        lambda: _alone(lambda: act(target, words)),
        (target, "real*", "closed*", *([".*"] if trouble == "SIGKILL" else [])),
        trouble in KILLS,
    )


def _inputs(folder: Path) -> None:
    for name, text in INPUTS.items():
        (folder / name).write_text(text)


def _plain(_: str) -> None:
    """Nothing there."""


def _old(target: str) -> None:
    Path(target).write_text("old")


def _full(target: str, words: Sequence[str]) -> Iterator[str]:
    """No more than a few bytes fit, as on a full disk or over a quota."""
    before = Path(target).read_bytes() if Path(target).exists() else None
    with _no_room(64):
        yield from outcome(words, wants=2)
    after = Path(target).read_bytes() if Path(target).exists() else None
    if after != before:
        yield "half-written"


@contextlib.contextmanager
def _no_room(most: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def _link(target: str) -> None:
    Path("real.old").write_text("old")
    Path(target).symlink_to("real.old")


def _follows(target: str, words: Sequence[str]) -> Iterator[str]:
    yield from outcome(words, wants=0)
    if not Path(target).is_symlink():
        yield "a link was replaced instead of its target"
    elif Path("real.old").read_bytes() == b"old":
        yield "the target of a link was not written"


def _private(target: str) -> None:
    _old(target)
    Path(target).chmod(0o600)


def _keeps_mode(target: str, words: Sequence[str]) -> Iterator[str]:
    yield from outcome(words, wants=0)
    if stat.S_IMODE(Path(target).stat().st_mode) != 0o600:
        yield f"mode changed: {stat.S_IMODE(Path(target).stat().st_mode):o} instead of 600"


def _honours_umask(target: str, words: Sequence[str]) -> Iterator[str]:
    before = os.umask(0o027)
    try:
        yield from outcome(words, wants=0)
    finally:
        os.umask(before)
    if stat.S_IMODE(Path(target).stat().st_mode) != 0o640:
        yield f"umask not honoured: {stat.S_IMODE(Path(target).stat().st_mode):o} instead of 640"


def _refused(target: str, words: Sequence[str]) -> Iterator[str]:
    kind = stat.S_IFMT(Path(target).lstat().st_mode)
    yield from outcome(words, wants=2)
    if stat.S_IFMT(Path(target).lstat().st_mode) != kind:
        yield "what was there was replaced"


def _pipe(target: str) -> None:
    files.fifo(target)


def _folder(target: str) -> None:
    Path(target).mkdir()


def _read_only(_: str, words: Sequence[str]) -> Iterator[str]:
    """A folder in which nobody may write."""
    Path("closed").mkdir()
    _inputs(Path("closed"))
    Path("closed").chmod(0o555)
    back = Path.cwd()
    with files.Unprivileged():
        try:
            os.chdir("closed")
            yield from outcome(words, wants=2)
        finally:
            os.chdir(back)
    if sorted(path.name for path in Path("closed").iterdir()) != sorted(INPUTS):
        yield "left beside in a closed folder"


def _whole(target: str, words: Sequence[str]) -> Iterator[str]:
    yield from outcome(words, wants=0)
    yield from of_file(target)


def _killed(how: signal.Signals, after_s: float, target: str, words: Sequence[str]) -> Iterator[str]:
    """A signal as soon as something is written, or a moment later: the old or the new file, whole, nothing beside."""
    names, before = {path.name for path in Path().iterdir()}, Path(target).stat()
    child = _forked(words)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not _ended(child) and not _touched(names, target, before):
        time.sleep(0.0005)
    time.sleep(after_s)
    if not _ended(child):
        os.kill(child, how)
    _ended(child, wait=True)
    beside = sorted({path.name for path in Path().iterdir()} - names - {target})
    if beside and how is signal.SIGTERM:
        yield f"left beside after SIGTERM: {beside}"
    if Path(target).is_file() and Path(target).read_bytes() != b"old":
        yield from of_file(target)


def _touched(names: set[str], target: str, before: os.stat_result) -> bool:
    """Whether anything in the folder is new, or the target another."""
    now = Path(target).stat()
    return (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns) or {
        path.name for path in Path().iterdir()
    } != names


def _forked(words: Sequence[str]) -> int:
    """The command in a process of its own, which ends with its exit status."""
    child = os.fork()
    if child == 0:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        code = 1
        try:
            with Streams():
                code = main(list(words))
        finally:
            os._exit(code)
    _children.pop(child, None)
    _started.append(child)
    return child


_children: dict[int, int] = {}  # how each that has ended ended
_started: list[int] = []


def _ended(child: int, wait: bool = False) -> bool:
    if child not in _children:
        done, status = os.waitpid(child, 0 if wait else os.WNOHANG)
        if done:
            _children[child] = os.waitstatus_to_exitcode(status)
    return child in _children


TROUBLES: dict[str, tuple[Callable[[str], None], Act]] = {
    "full disk": (_plain, _full),
    "full disk over an old file": (_old, _full),
    "a link": (_link, _follows),
    "mode of an old file": (_private, _keeps_mode),
    "umask": (_plain, _honours_umask),
    "a pipe in its place": (_pipe, _refused),
    "a folder in its place": (_folder, _refused),
    "a read-only folder": (_plain, _read_only),
    "SIGTERM": (_old, _whole),  # these two with a signal, see KILLS
    "SIGKILL": (_old, _whole),
    "an old file": (_old, _whole),
}


KILLS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
LATEST_S = 0.05  # after something was written


def _alone(act: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Whatever happens, no process of ours is left."""
    try:
        yield from act()
    finally:
        for child in [child for child in _started if not _ended(child)]:
            os.kill(child, signal.SIGKILL)
            _ended(child, wait=True)
        _started.clear()


# --- of one output ----------------------------------------------------------------------------------------------------


def _book() -> None:
    files.zipped("book.xlsx", files.book('<row r="1"><c r="A1"><v>5</v></c></row>'))


def _two_at_once() -> Iterator[str]:
    """Two exports into one workbook: both are in it, or one was refused."""
    _book()
    before = {path.name for path in Path().iterdir()}
    children = [_forked(("export", "--into", "book.xlsx", "--sheet", name, *HOSTED)) for name in ("One", "Two")]
    codes = [_children[child] for child in children if _ended(child, wait=True)]
    with zipfile.ZipFile("book.xlsx") as file:
        text = file.read("xl/workbook.xml").decode()
    there = ["One" in text, "Two" in text]
    if [code == 0 for code in codes] != there:
        yield f"an export was lost: exits {codes}, sheets there {there}"
    if sum(code == 0 for code in codes) > len({path.name for path in Path().iterdir()} - before):
        yield "a backup was lost"


def _changed_meanwhile() -> Iterator[str]:
    """Another program saves the workbook while we make our sheets."""
    _book()
    child = _forked(("export", "--into", "book.xlsx", *HOSTED))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not any(path.name.startswith(".") for path in Path().iterdir()):
        time.sleep(0.001)
    files.zipped("theirs", files.book('<row r="1"><c r="A1"><v>77</v></c></row>'))
    theirs = Path("theirs").read_bytes()
    Path("theirs").replace("book.xlsx")
    _ended(child, wait=True)
    with zipfile.ZipFile("book.xlsx") as file:
        kept = b"77" in file.read("xl/worksheets/sheet1.xml")
    if not kept or (_children[child] != 0 and Path("book.xlsx").read_bytes() != theirs):
        yield f"another program's save was lost: exit {_children[child]}"


def _stdout_full() -> Iterator[str]:
    """A screen that is a full disk."""
    with Path("/dev/full").open("w") as full, Streams(full) as streams:  # type: ignore[arg-type]
        code = main(list(SHOWN))
        try:
            full.flush()
        except OSError:
            yield "stdout full: lost after the exit was chosen"
    text = streams.err
    text.flush()
    if code != 2 or text.buffer.getvalue().count(b"\n") != 1:  # type: ignore[attr-defined]
        yield f"stdout full: exit {code}"


def _stdout_full_process() -> Iterator[str]:
    yield from _process("exec >/dev/full", "stdout full")


def _stdout_closed() -> Iterator[str]:
    yield from _process("exec >&-", "stdout closed")


def _process(before: str, what: str) -> Iterator[str]:
    """The command as a process of its own, from a shell."""
    import subprocess
    import sys

    code = "import sys; from estimator.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["sh", "-c", f'{before}; exec "$@"', "sh", sys.executable, "-c", code, *SHOWN]
    path = os.pathsep.join(
        filter(None, (str(Path(main.__code__.co_filename).parents[2]), os.environ.get("PYTHONPATH")))
    )
    done = subprocess.run(words, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}, timeout=LONGEST_S)
    lines = done.stderr.decode().splitlines()
    if done.returncode != 2 or len(lines) != 1 or not lines[0].startswith("estimator: "):
        yield f"{what}: exit {done.returncode}, {lines[:3]}"


LONGEST_S = 20.0


def _no_folder() -> Iterator[str]:
    """A folder that is not there is not made, by a profile either."""
    from estimator.errors import EstimatorError
    from estimator.measure.profile import write_profile

    with contextlib.suppress(EstimatorError):
        write_profile({"date": "2026-01-01"}, Path("made/up/profile.json"))
    if Path("made").exists():
        yield "a folder was made unasked"
    yield from outcome(("compare", *MACHINE, "--output", "made/up/out.txt"), wants=2)


def _profile_full() -> Iterator[str]:
    """A profile onto a full disk."""
    from estimator.errors import EstimatorError
    from estimator.measure.profile import write_profile

    Path("out.json").write_text("old")
    with _no_room(16), contextlib.suppress(EstimatorError):
        write_profile({"date": "2026-01-01"}, Path("out.json"))
    if Path("out.json").read_text() != "old":
        yield "half-written"


def _odd_name(name: str) -> Callable[[], Iterator[str]]:
    def act() -> Iterator[str]:
        yield from outcome(("compare", *MACHINE, "--output", name))
        found = {path.name for path in Path().iterdir()} - {"home", *INPUTS}
        if any(one.startswith(".") for one in found):
            yield f"left beside: {found}"

    return act


def _full_into() -> Iterator[str]:
    """--into on a full disk leaves the workbook, and no backup."""
    _book()
    before = Path("book.xlsx").read_bytes()
    with _no_room(1000):
        yield from outcome(("export", "--into", "book.xlsx", *HOSTED), wants=2)
    if Path("book.xlsx").read_bytes() != before or len([*Path().iterdir()]) > 2:
        yield f"half-written or left beside: {sorted(path.name for path in Path().iterdir())}"


ALONE: tuple[tuple[str, Callable[[], Iterator[str]], str], ...] = (
    ("two --into at once", _two_at_once, "two `export --into book.xlsx` at once, --sheet One and Two"),
    ("another program's save", _changed_meanwhile, "book.xlsx saved by somebody else during `export --into`"),
    ("stdout full", _stdout_full, "sys.stdout = open('/dev/full', 'w'); estimator compare"),
    ("stdout full", _stdout_full_process, "estimator compare --model 7b --gpu a100 >/dev/full"),
    ("stdout closed", _stdout_closed, "estimator compare --model 7b --gpu a100 >&-"),
    ("folder made unasked", _no_folder, "write_profile(..., 'made/up/profile.json')"),
    ("full disk: profile", _profile_full, "write_profile onto a full disk"),
    ("full disk: --into", _full_into, "export --into with 1,000 bytes left"),
    ("odd name", _odd_name("out-\udcff.txt"), "compare --output $'out-\\xff.txt'"),
    ("odd name", _odd_name("out\x00.txt"), "compare --output with NUL"),
    ("odd name", _odd_name("\ud800.txt"), "compare --output with a lone surrogate"),
    ("odd name", _odd_name("A" * 300), "compare --output of 300 letters"),
    ("odd name", _odd_name("out\n.txt"), "compare --output with a line end"),
)
