"""Do the layouts of known large runs rank near the best the search finds? python benchmarks/layouts.py

Writes benchmarks/layouts.md. Each run of layouts.csv is searched twice: among the techniques of its time (the axes in
`techniques` as the run had them: what had not been invented, or was not in the software, is not searched), and among
all. Accelerators, batch, sequence and LLM are the run's.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from estimator.catalog.cases import published
from estimator.predict.training import TrainingPlan, training_step
from estimator.predict.training_layout import AXES
from estimator.search.grid import valid_layouts
from estimator.search.result import Choice
from estimator.search.training import Offer, best_training
from estimator.validation.training import RATES, CaseRun, case_run, predict_cases

HERE = Path(__file__).parent
NEAR = 1.10  # own layout's time over the best's that counts as near


class Ranked(NamedTuple):
    """A run's own layout beside what a search finds; times of a step [s].

    rank: layouts of the search that fit and are faster, plus one; of: layouts that fit
    """

    own_s: float
    best: Choice
    rank: int
    of: int

    @property
    def ratio(self) -> float:
        """Own time over the best's [1]."""
        return self.own_s / self.best.figures["step_s"]


class Known(NamedTuple):
    """A published run; fits: whether memory as predicted holds it, used of it [B]; measured_s of a step [s]."""

    run: CaseRun
    why: str
    fits: bool
    used_bytes: float
    measured_s: float
    then: Ranked | None
    now: Ranked

    @property
    def holds(self) -> bool:
        """Whether its own layout is near the best of its time."""
        return (self.then or self.now).ratio <= NEAR


def known_runs() -> Iterator[Known]:
    """Every run of layouts.csv, searched."""
    rows = {row["id"]: row for row in _read(published("training"))}
    for entry in _read(HERE / "layouts.csv"):
        row = rows[entry["id"]] | ({"vpp": entry["vpp"]} if entry["vpp"] else {})
        yield known(row, entry["techniques"].split(), entry["why"])


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def known(row: Mapping[str, str], techniques: list[str], why: str) -> Known:
    """One run: predicted as it was, then the searches."""
    run = case_run(row)
    step = training_step(run.arch, run.cluster, run.plan)
    own_s = float(step.step_s)
    fixed = {name: getattr(run.plan, name) for name in techniques}
    return Known(
        run,
        why,
        bool(step.fits),
        float(step.memory.total),
        measured_s(row, own_s),
        ranked(run, own_s, fixed) if fixed else None,
        ranked(run, own_s, {}),
    )


def ranked(run: CaseRun, own_s: float, fixed: Mapping[str, Any]) -> Ranked:
    """The best layout of the run's accelerators, and how many beat the run's own."""
    plan: TrainingPlan = replace(run.plan, **dict.fromkeys(AXES) | dict(fixed))
    found = best_training(run.arch, [Offer(run.cluster)], plan, 1e12, offloads=("",))
    step = training_step(run.arch, run.cluster, replace(plan, **valid_layouts(run.arch, run.cluster, plan)))
    times = np.asarray(step.step_s)[np.asarray(step.fits)]
    return Ranked(own_s, found.best, 1 + int((times < own_s * (1 - 1e-9)).sum()), len(times))


def measured_s(row: Mapping[str, str], own_s: float) -> float:
    """The step as measured [s], from the row's own metric and the prediction in it."""
    over = float(row["value"]) / float(predict_cases([row])[0].predicted or "nan")
    return own_s / over if row["metric"] in RATES else own_s * over


COLUMNS = (
    "run",
    "accelerators",
    "own layout",
    "fits",
    "measured",
    "own",
    "best of its time",
    "its step",
    "ratio",
    "rank",
    "best of today",
    "its step",
    "ratio",
)
HEADER = """# Layouts of known large runs beside what the search finds

Made by `python benchmarks/layouts.py` from `benchmarks/layouts.csv` and the published runs; all times are of one step,
predicted unless marked measured. *Of its time*: the search has the techniques the run had (for Megatron of 2021 and
2022: the same recomputation, no sharded optimizer). *Of today*: everything is open. Ratio: time of the run's own layout
over that of the best; rank: how many layouts that fit are at least as fast, of how many.

"""
NOTES = """
* Every run's own layout is within a tenth of the best of its time. Where a faster one exists it has more chunks a
  stage, or smaller tensor groups, than the run.
* Today's best of the 2021 layouts is a third or more faster for a reason: recomputing attention alone (with sequence
  parallelism) and sharding the optimizer came a year later. Measured, the first was worth 1.29 to 1.32 times the speed
  (Table 5 of arXiv:2205.05198, whose runs with and without it are above); sharded states then leave room for smaller
  tensor groups and more chunks.
* Llama 3 ran without recomputation in a memory that it is predicted to exceed: it freed values as soon as nothing would
  read them again (section 3.3.2 of arXiv:2407.21783), while the model counts what usual kernels keep. Its layout is
  timed all the same, and ranked among those that fit as predicted.
* Layouts that fit only when the allocator gives back all it keeps count in the rank, but are best only where no other
  fits: a rank of 2 with a ratio of 1.00 is such a case.
"""


def table(runs: list[Known]) -> str:
    """The runs as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(_row, runs)]
    return HEADER + "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + NOTES


def _row(known: Known) -> list[str]:
    plan, cluster = known.run.plan, known.run.cluster
    then = known.then or known.now
    return [
        f"{known.run.arch.name} ({known.run.id}), {int(plan.seq_len):,} tokens",
        f"{cluster.count:,} x {cluster.accelerator.name}",
        own_layout(plan),
        f"{'yes' if known.fits else 'no'}, {known.used_bytes / 1e9:.0f} GB",
        f"{known.measured_s:.3g} s",
        f"{then.own_s:.3g} s",
        layout_of(then.best),
        f"{then.best.figures['step_s']:.3g} s",
        f"{then.ratio:.2f}",
        f"{then.rank:,} of {then.of:,}",
        layout_of(known.now.best),
        f"{known.now.best.figures['step_s']:.3g} s",
        f"{known.now.ratio:.2f}",
    ]


def own_layout(plan: TrainingPlan) -> str:
    """tp, pp, ... of a plan, as the search writes them."""
    names = ("tp", "pp", "vpp", "cp", "ep", "zero", "micro_batch", "recompute")
    return layout_of(Choice("", 1, {name: _plain(getattr(plan, name)) for name in names}, {}, {}, {}))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else int(value)


def layout_of(choice: Choice) -> str:
    """A choice without its accelerators, its data-parallel size and its format."""
    kept = {name: value for name, value in choice.layout.items() if name not in ("dp", "precision")}
    return choice._replace(layout=kept).text().partition(": ")[2]


def main() -> int:
    """Write the table; exit 1 when a run's own layout is not near the best of its time."""
    runs = list(known_runs())
    text = table(runs)
    (HERE / "layouts.md").write_text(text, encoding="utf-8")
    print(text)
    return int(not all(run.holds for run in runs))


if __name__ == "__main__":
    sys.exit(main())
