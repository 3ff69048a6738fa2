"""Peers beside us on the same published runs: python benchmarks/peers/run.py [--calculon FOLDER] [--simumax FOLDER]

Each peer is installed from PyPI, pinned, in an environment of its own (kept in --folder), answers the cases with its
defaults, and is judged on those it answers; so are we, as fitted and with the case's source left out of the fit.
Writes benchmarks/peers/results.md. A peer that cannot be installed is said to be so.
"""

import argparse
import datetime
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from cases import Compared, compared  # noqa: E402

MOST = 1000  # cases of a kind that one peer answers
MOST_SLOW = 40
PINS = HERE / "pins.txt"


class Peer(NamedTuple):
    """One peer: its requirement, its adapter's arguments, the most cases of a kind, and what its defaults are."""

    name: str
    requirement: str
    adapter: str
    note: str
    arguments: tuple[str, ...] = ()
    most: int = MOST


PEERS = (
    Peer("llm-analysis 0.2.2", "llm-analysis==0.2.2", "llm_analysis", "its default: all of the peak"),
    Peer(
        "llm-analysis 0.2.2, half",
        "llm-analysis==0.2.2",
        "llm_analysis",
        "half of the peak, which a comment of its code calls usual for training",
        ("0.5",),
    ),
    Peer("llm-flops 0.0.1", "llm-flops==0.0.1", "llm_flops", "its defaults; it has no parallel training step"),
    Peer(
        "aiconfigurator 0.12.0",
        "aiconfigurator==0.12.0",
        "aiconfigurator",
        "newest tables, measured kernels first and its own fill-in beside them; aggregated serving",
        most=MOST_SLOW,
    ),
)


class Outcome(NamedTuple):
    """What a peer did with its cases."""

    peer: Peer
    asked: list[Compared]
    answers: dict[str, dict[str, Any]]
    first_s: float
    problem: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Install, ask, compare, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", default=tempfile.mkdtemp(prefix="peers-"), help="where environments are kept")
    options.add_argument("--calculon", help="folder of a checkout of Calculon, to compare with it too")
    options.add_argument("--simumax", help="folder of a checkout of SimuMax, likewise")
    options.add_argument("--slow", type=int, default=MOST_SLOW, help="cases of a kind for a peer that takes seconds")
    asked = options.parse_args(argv)
    peers = [peer._replace(most=asked.slow) if peer.most == MOST_SLOW else peer for peer in PEERS]
    if asked.calculon:
        note = "its A100 and H100 systems, no overlap"
        peers.append(Peer("Calculon (checkout)", "", "calculon", note, (str(Path(asked.calculon).resolve()),)))
    if asked.simumax:
        note = "its systems of the A100 (PCIe: asked for SXM cards without tensor parallelism) and B200, as they ship"
        needs = "numpy pandas sympy tabulate graphviz matplotlib tqdm"
        peers.append(Peer("SimuMax (checkout)", needs, "simumax", note, (str(Path(asked.simumax).resolve()),)))
    cases = list(compared())
    random.Random(0).shuffle(cases)  # those that a slow peer answers are a fair sample
    outcomes = [_outcome(peer, cases, Path(asked.folder)) for peer in peers]
    text = report(outcomes)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _outcome(peer: Peer, cases: list[Compared], folder: Path) -> Outcome:
    try:
        python = _environment(peer, folder)
        asked, answered = folder / "cases.json", folder / f"{peer.adapter}.json"
        listed = [one.case | {"group": one.group} for one in cases]
        asked.write_text(json.dumps({"most": peer.most, "cases": listed}), encoding="utf-8")
        command = [python, str(HERE / f"{peer.adapter}_adapter.py"), str(asked), str(answered), *peer.arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        return Outcome(peer, cases, {}, math.nan, (error.stderr or str(error)).strip().splitlines()[-1][:160])
    found = json.loads(answered.read_text(encoding="utf-8"))
    return Outcome(peer, cases, {one["id"]: one for one in found["answers"]}, found["first_s"])


def _environment(peer: Peer, folder: Path) -> str:
    """The interpreter of an environment with the peer in it."""
    if not peer.requirement:
        return sys.executable
    home = folder / peer.adapter
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, text=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(PINS), *peer.requirement.split()]
    subprocess.run(pip, check=True, capture_output=True, text=True)
    return str(python)


# --- the table --------------------------------------------------------------------------------------------------------

HEADER = """# Peers on the same published runs

Made by `python benchmarks/peers/run.py` on {date}, on {machine}. Error: median of |ln(predicted / measured)| over the
cases that the peer answers, 0.10 is about 10 %. *Left out*: our prediction with the case's whole source left out of the
fit (sources too small for that count as fitted). Time: processor time of an estimate (median), and of a new process up
to its first.

| peer | what | cases | its error | ours | ours, left out | its time | ours | its first | ours |
|---|---|---|---|---|---|---|---|---|---|
"""


def report(outcomes: list[Outcome]) -> str:
    """The table, what each peer was asked with, and what it could not answer."""
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    first = _our_first_s()
    lines = [line for outcome in outcomes for line in _lines(outcome, first)]
    notes = [f"* {outcome.peer.name}: {outcome.peer.note}. {_unanswered(outcome)}" for outcome in outcomes]
    return (
        HEADER.format(date=datetime.date.today().isoformat(), machine=machine)
        + "\n".join(lines)
        + "\n\n"
        + "\n".join(notes)
        + NOTES
    )


NOTES = """
* aiconfigurator's tables are measured kernels of the accelerators in question, and its own validation runs are the
  source of most cases under load; our constants of single kernels are fitted to the same tables. Its cases are a random
  sample, as an estimate takes it seconds.
* aiconfigurator's tables and rules are those of the newest engines, many of the measured runs those of 2023 to 2025.
* Peers are asked for static batches where a case has one, and for the batch that we predict to fit where a benchmark
  filled the memory.
* Calculon and SimuMax are not on PyPI (what is called calculon there is another program): `--calculon` and `--simumax`
  compare with checkouts. Calculon has no fused attention, and so too much memory where that is used; SimuMax's systems
  are measured ones, and those that ship are few.
"""


def _lines(outcome: Outcome, our_first_s: float) -> list[str]:
    peer, groups = outcome.peer, defaultdict(list)
    if outcome.problem:
        return [f"| {peer.name} | could not be run here: {outcome.problem} | | | | | | | | |"]
    for one in outcome.asked:
        value = one.in_metric(outcome.answers.get(one.case["id"], {}).get("found", {}))
        if value is not None and value > 0:
            groups[one.group].append((one, value))
    return [_line(outcome, group, pairs, our_first_s) for group, pairs in groups.items()]


def _line(outcome: Outcome, group: str, pairs: list[tuple[Compared, float]], our_first_s: float) -> str:
    its = median(abs(math.log(value / one.measured)) for one, value in pairs)
    fitted = median(abs(math.log(one.fitted / one.measured)) for one, _ in pairs)
    left_out = median(abs(math.log((one.left_out or one.fitted) / one.measured)) for one, _ in pairs)
    times = median(outcome.answers[one.case["id"]]["s"] for one, _ in pairs), _our_s([one for one, _ in pairs])
    cells = [outcome.peer.name, group, str(len(pairs)), f"{its:.2f}", f"{fitted:.2f}", f"{left_out:.2f}"]
    return f"| {' | '.join([*cells, *map(_seconds, times), _seconds(outcome.first_s), _seconds(our_first_s)])} |"


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value >= 0.1 else f"{1000 * value:.2g} ms"


def _our_s(cases: list[Compared]) -> float:
    """Median processor time of one of our estimates, each asked for the first time [s]."""
    times = []
    for one in cases:
        start = time.process_time()
        one.ours()
        times.append(time.process_time() - start)
    return median(times)


def _our_first_s() -> float:
    """Processor time of a new process up to its first estimate [s], as installed, compiled; the least of five."""
    code = (
        "from estimator import serving\n"
        "serving(model='8b', gpu='h100', prompt_tokens=1000, output_tokens=200)\n"
        "import time; print(time.process_time())"
    )
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    done = (subprocess.run(command, check=True, capture_output=True, text=True, env=compiled) for _ in range(5))
    return min(float(each.stdout) for each in done)


def _unanswered(outcome: Outcome) -> str:
    if outcome.problem:
        return "It could not be installed or run here."
    reasons = Counter(answer["reason"].split(":")[0][:60] for answer in outcome.answers.values() if answer["reason"])
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(4))
    return f"Not answered: {sum(reasons.values())} of {len(outcome.answers)}{f': {told}' if told else ''}."


if __name__ == "__main__":
    sys.exit(main())
