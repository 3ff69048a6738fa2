"""The long run: cases by the thousand over several processes, a line a fault into a log, faults counted at the end.

`python -m tests.fuzz --cases 50000 --seed 1 --log fuzz.log`; one case again: `--one SURFACE SEED INDEX`.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import estimator
from tests.fuzz.trial import Fault, judged, share, surfaces

ROOT = Path(__file__).parents[2]
SILENT_S = 60.0  # a worker that computes for so long and says nothing hangs where no alarm reaches
STUCK_S = 900.0  # or that says nothing for so long by the clock, however busy the machine, or stopped
TABLES = ("pyarrow.csv", "pyarrow.parquet", "pyarrow.compute", "openpyxl", "xlsxwriter")
PIECE = 200  # cases a worker is asked for at a time


def main() -> int:
    """Run what was asked; 1 when anything is wrong."""
    asked = _options()
    if asked.worker:
        return _work(asked.worker, asked.seed)
    if asked.one:
        surface, seed, index = asked.one
        return _report(judged(surface, int(seed), int(index), asked.keep))
    faults, done = run(asked.cases, asked.seed, asked.surface or surfaces(), asked.jobs, asked.log)
    print("\n".join(summary(faults, done)))
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    read = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    read.add_argument("--cases", type=int, default=2000, help="in all, shared out over the surfaces")
    read.add_argument("--seed", type=int, default=1)
    read.add_argument("--surface", action="append", choices=surfaces(), help="only this one; repeatable")
    read.add_argument("--jobs", type=int, default=1)
    read.add_argument("--log", type=Path, help="a line of JSON for each fault")
    read.add_argument("--one", nargs=3, metavar=("SURFACE", "SEED", "INDEX"), help="one case again")
    read.add_argument("--keep", type=Path, help="with --one: where its folder stays")
    read.add_argument("--worker", help=argparse.SUPPRESS)
    return read.parse_args()


def shares(cases: int, chosen: Iterable[str]) -> dict[str, int]:
    """Cases of each surface, one at least."""
    parts = {name: share(name) for name in chosen}
    return {name: max(1, round(cases * part / sum(parts.values()))) for name, part in parts.items()}


def run(
    cases: int, seed: int, chosen: Iterable[str], jobs: int = 1, log: Path | None = None
) -> tuple[list[Fault], Counter[str]]:
    """All faults, and how many cases of each surface were run."""
    counts = shares(cases, chosen)
    pieces = [
        (name, range(start, min(start + PIECE, count)))
        for name, count in counts.items()
        for start in range(0, count, PIECE)
    ]
    faults: list[Fault] = []
    done: Counter[str] = Counter()
    for fault_or_name in _in_turn(pieces, seed, jobs):
        if isinstance(fault_or_name, str):
            done[fault_or_name] += 1
            continue
        faults.append(fault_or_name)
        if log:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(fault_or_name._asdict()) + "\n")
    return faults, done


def _in_turn(pieces: list[tuple[str, range]], seed: int, jobs: int) -> Iterator[Fault | str]:
    if jobs == 1:
        for name, indices in pieces:
            yield from _piece(name, indices, seed)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(lambda piece: [*_piece(*piece, seed)], pieces):
            yield from found


def _piece(surface: str, indices: range, seed: int) -> Iterator[Fault | str]:
    """Cases in a worker; a new one where it died, with the case that killed it as a fault."""
    left = list(indices)
    while left:
        with _Worker(surface, seed) as worker:
            while left:
                index = left.pop(0)
                found = worker.judged(index)
                yield surface
                if found is None:
                    yield Fault(surface, "worker", worker.end(), "", "", f"--one {surface} {seed} {index}", seed, index)
                    break
                yield from found


class _Worker:
    """A process that judges cases of one surface, one at a time."""

    def __init__(self, surface: str, seed: int) -> None:
        words = [sys.executable, "-m", "tests.fuzz", "--worker", surface, "--seed", str(seed)]
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            cwd=ROOT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # with whatever it started
        self.process.communicate()
        self.said.close()

    def judged(self, index: int) -> list[Fault] | None:
        """The faults of a case; None where the process died or hangs."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(f"{index}\n")
            self.process.stdin.flush()
        except OSError:
            return None
        line = self.process.stdout.readline() if self._answers() else ""
        return [Fault(*one) for one in json.loads(line)] if line else None

    def _answers(self) -> bool:
        """Whether it says something before it hangs."""
        began, computed = time.monotonic(), _computed(self.process.pid)
        while time.monotonic() - began < STUCK_S and _computed(self.process.pid) - computed < SILENT_S:
            if select.select([self.process.stdout], [], [], 1.0)[0]:
                return True
        return False

    def end(self) -> str:
        """How the process ended."""
        time.sleep(0.1)
        code = self.process.poll()
        self.said.seek(0)
        last = (self.said.read().strip().splitlines() or [""])[-1]
        return "hangs" if code is None else f"process died: {code} {last}"


def _computed(process: int) -> float:
    """What a process has computed so far [s]."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _work(surface: str, seed: int) -> int:
    """Judge the cases that stdin names; stdout stays ours whatever a case does to it."""
    out = sys.stdout
    sys.stdout = sys.stderr
    _warm(surface)
    for line in sys.stdin:
        found = judged(surface, seed, int(line))
        if any(one.what.startswith("over ") for one in found):  # so does one on a machine that was stopped meanwhile
            found = judged(surface, seed, int(line))
        print(json.dumps(found), file=out, flush=True)
    return 0


def _warm(surface: str) -> None:
    """What a case may ask for is loaded, so that what it takes is its own."""
    for module in (*pkgutil.walk_packages(estimator.__path__, "estimator."),):
        if ".measure." not in module.name and ".kernel" not in module.name:
            importlib.import_module(module.name)
    for name in TABLES if surface in ("tables", "injection", "readers", "numbers") else ():
        importlib.import_module(name)
    gc.freeze()


def summary(faults: list[Fault], done: Counter[str]) -> Iterator[str]:
    """Faults by surface, kind of exception and place, the commonest first, each with its shortest case."""
    per_surface = ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    yield f"{sum(done.values()):,} cases, {len(faults):,} faults ({per_surface})"
    groups = Counter((one.surface, one.what, one.place) for one in faults)
    for key, count in groups.most_common():
        members = [one for one in faults if (one.surface, one.what, one.place) == key]
        least = min(members, key=lambda one: len(one.shown))
        kinds = Counter(one.kind for one in members)
        surface, what, place = key
        yield f"\n{count:5} x {surface}: {what} {'at ' + place if place else ''}"
        yield f"        kinds: {', '.join(f'{kind} ({n})' for kind, n in kinds.most_common(8))}"
        yield f"        {least.detail[:200]}"
        yield f"        {least.shown[:400]}   [--one {least.surface} {least.seed} {least.index}]"


def _report(faults: list[Fault]) -> int:
    for one in faults:
        print(f"{one.what} {one.place}\n  {one.detail}\n  {one.kind}: {one.shown}")
    return 1 if faults else 0


def ci(surface: str, cases: str, seed: str) -> None:
    """A surface's own share of the cases; ends with 1 and what is wrong, or says how many were run."""
    count = shares(int(cases), surfaces())[surface]
    faults, done = run(count, int(seed), [surface])
    print("\n".join(summary(faults, done)) if faults else json.dumps({"cases": sum(done.values())}))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    sys.exit(main())
