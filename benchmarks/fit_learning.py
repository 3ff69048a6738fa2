"""Variances of what errors of one source share; writes calibration/fitted/learning.json and benchmarks/learning.md.

From calibration/fitted/left_out_*.csv: errors of published runs predicted without their source, which is what a user
is to us before their first run. The variances are the most likely ones (each source weighs as the root of its runs); a
weak prior holds them off zero. Then each source is left out of that too, and its first k runs teach about its others.
Run: python benchmarks/fit_learning.py
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from tabulate import tabulate

from estimator.formulas.learning import learned, shares
from estimator.paths import data_folder
from estimator.predict.learning import PARTS

Floats = NDArray[np.float64]
FOLDER = data_folder("calibration")
REPORT = Path(__file__).with_name("learning.md")
TABLES = {  # of left-out errors: the published runs, and the columns that say accelerator, stack, work and LLM
    "training": ("training", ("gpu", "framework", "family", "model")),
    "serving": ("inference", ("gpu", "engine", "weight_precision", "model")),
}
WORK = {"pretrain": "full", "full_ft": "full", "total_run": "full"}  # what all weights learn in
MOST_RUNS = 60  # of a source: every n-th of more, so that none takes for ever
FEWEST_SOURCES = 4  # of a quantity about which own runs may teach
FEWEST_JUDGED = 3  # of them, that have runs enough to teach and to be judged by
FEWEST_RUNS = 6  # of a source that teaches
PRIOR, PRIOR_WEIGHT = 0.1, 0.02  # standard deviation of a part before the data, and how firmly it is held
LEARNT_FROM = (1, 3, 10)
UNTAUGHT = [0, 0, 2, 2]  # of what `taught` says, that with own runs as it is without
DRAWS, SEED = 20, 1
DOUBT = 3.0  # times the noise: a single run is believed less than it would be if parts were all that runs share
FROM = (
    1,
    3,
)  # own runs on, from which a quantity may be corrected: the first under which no source fares worse in the mean


class Source(NamedTuple):
    """Runs of one source in one group. errors: ln(measured / predicted); keys: 4 x n."""

    name: str
    errors: Floats
    keys: NDArray[np.str_]


def sources(table: str) -> dict[str, list[Source]]:
    """Sources of each group of a table of left-out errors."""
    published, columns = TABLES[table]
    rows = {row["id"]: row for row in read(FOLDER / "published" / f"{published}.csv")}
    found: dict[tuple[str, str], list[tuple[float, list[str]]]] = defaultdict(list)
    for one in read(FOLDER / "fitted" / f"left_out_{table}.csv"):
        found[one["group"], one["source"]].append(
            (float(one["error"]), [WORK.get(text, text) for text in map(rows[one["id"]].get, columns)])
        )
    groups: dict[str, list[Source]] = defaultdict(list)
    for (group, name), runs in found.items():
        some = runs[:: -(-len(runs) // MOST_RUNS)]
        groups[group].append(Source(name, np.array([e for e, _ in some]), np.array([keys for _, keys in some]).T))
    return groups


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def variances(group: Sequence[Source]) -> Floats:
    """The most likely variance of each part, then of the noise, which is doubted."""
    most = 3 * 1.4826 * float(np.median(np.abs(np.concatenate([one.errors for one in group]))))
    parts = [(np.clip(one.errors, -most, most), shares(one.keys, one.keys)) for one in group]

    def unlikely(logs: Floats) -> float:
        values = np.exp(logs)
        total = PRIOR_WEIGHT * float(np.sum((logs - 2 * np.log(PRIOR)) ** 2))
        for errors, alike in parts:
            seen = np.tensordot(values[:-1], alike, axes=1) + values[-1] * np.eye(len(errors))
            lower = np.linalg.cholesky(seen)
            scaled = np.linalg.solve(lower, errors)
            total += (0.5 * float(scaled @ scaled) + float(np.log(np.diag(lower)).sum())) / len(errors) ** 0.5
        return total

    found = minimize(unlikely, np.full(len(PARTS) + 1, 2 * np.log(PRIOR)), method="L-BFGS-B")
    return np.asarray(np.exp(found.x) * np.array([*[1.0] * len(PARTS), DOUBT]))


def entry(values: Floats, fewest: int) -> dict[str, float]:
    """Variances as the file has them, standard deviations; and from how many own runs on they count."""
    names = (*(f"{part}_sd" for part in PARTS), "noise_sd")
    found: dict[str, float] = {name: round(float(value) ** 0.5, 4) for name, value in zip(names, values, strict=True)}
    return found | {"fewest_runs": fewest}


def taught(one: Source, values: Floats, count: int, reach: float) -> Floats:
    """What a source's other runs show before and after it learnt from `count` of them, drawn by chance.

    reach: half width of ranges before. Median errors without and with own runs; shares inside the range without, with.
    """
    random, left, inside = np.random.default_rng(SEED), [], []
    for _ in range(DRAWS):
        order = random.permutation(len(one.errors))
        known, others = order[:count], order[count:]
        alike = shares(one.keys[:, known], one.keys[:, known])
        asked = shares(one.keys[:, known], one.keys[:, others])
        said = learned(one.errors[known], alike, asked, values[:-1], float(values[-1]))
        errors = np.abs([one.errors[others], one.errors[others] - said.log_factor])
        left.append(errors)
        inside.append(errors <= reach * np.array([np.ones(len(others)), said.narrower]))
    return np.concatenate([np.median(np.hstack(left), axis=1), np.mean(np.hstack(inside), axis=1)])


def judged(group: Sequence[Source]) -> tuple[Floats, int]:
    """Sources x LEARNT_FROM x what `taught` says, each source left out; and from how many own runs on they are used."""
    found = np.full((len(group), len(LEARNT_FROM), 4), np.nan)
    for at, one in enumerate(group):
        rest = [other for other in group if other is not one]
        values, reach = variances(rest), float(np.quantile(np.abs(np.concatenate([each.errors for each in rest])), 0.8))
        for place, count in enumerate(LEARNT_FROM):
            if len(one.errors) >= FEWEST_RUNS + count:
                found[at, place] = taught(one, values, count, reach)
    later = [np.where(np.array(LEARNT_FROM)[:, None] < fewest, found[:, :, UNTAUGHT], found) for fewest in FROM]
    return next(((shown, fewest) for shown, fewest in zip(later, FROM, strict=True) if teaches(shown)), (found, 0))


def teaches(found: Floats) -> bool:
    """Whether own runs help in the mean over sources, however many there are."""
    known = ~np.isnan(found[:, :, 0])
    if not np.all(known.sum(axis=0) >= FEWEST_JUDGED):
        return False
    mean = np.nanmean(found, axis=0)
    return bool(np.all(mean[:, 1] <= mean[:, 0]))


def table(judgements: Mapping[str, tuple[Floats, int]]) -> Iterator[list[object]]:
    """One line a group and number of own runs."""
    for name, (found, fewest) in judgements.items():
        for place, count in enumerate(LEARNT_FROM):
            known = found[~np.isnan(found[:, place, 0]), place]
            used = "no" if not fewest else "yes" if count >= fewest else f"from {fewest} runs on"
            if len(known):
                before, after, *held = known.mean(axis=0)
                worse = int((known[:, 1] > known[:, 0]).sum())
                shown = [f"{before:.3f}", f"{after:.3f}", worse, *(f"{share:.0%}" for share in held)]
                yield [name, count, len(known), *shown, used]


def main() -> None:
    """Fit, write the constants, write the report."""
    groups = {name: group for which in TABLES for name, group in sources(which).items()}
    groups = {name: group for name, group in groups.items() if len(group) >= FEWEST_SOURCES}
    judgements = {name: judged(group) for name, group in groups.items()}
    found = {name: entry(variances(groups[name]), fewest) for name, (_, fewest) in judgements.items() if fewest}
    path = FOLDER / "fitted" / "learning.json"
    path.write_text(json.dumps({"groups": found}, indent=1) + "\n", encoding="utf-8")
    heads = [
        "quantity",
        "own runs",
        "sources",
        "error without",
        "error with",
        "sources that got worse",
        "inside 80 % without",
        "inside with",
        "used",
    ]
    shown = tabulate(table(judgements), heads, "github", disable_numparse=True)
    REPORT.write_text(f"{HEAD}\n{shown}\n", encoding="utf-8")
    print(shown)


HEAD = """# Learning from own runs

Generated by `python benchmarks/fit_learning.py`. Published sources stand for users: each is left out of the fit and of
the variances; some of its runs (drawn by chance, 20 times) teach, its others are predicted. Errors are medians of
|ln(predicted / measured)|, means over sources; ranges hold 80 % of the other sources' runs. A quantity is corrected
from the first number of own runs on from which that mean is never worse; where there is none, its sources
teach nothing about their other runs, and it is not corrected (it is not in calibration/fitted/learning.json).
"""


if __name__ == "__main__":
    main()
