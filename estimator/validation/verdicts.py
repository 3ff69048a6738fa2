"""Whether runs that were said to fit with some chance ran, or ran out of memory."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from estimator.catalog.cases import Case, fitted, read_cases
from estimator.errors import EstimatorError
from estimator.predict.training import chance_to_fit, interval, parameters, traits
from estimator.predict.training_memory import needed, peak_memory
from estimator.validation.training import case_run


class Verdict(NamedTuple):
    """A run: how surely it was said to fit, and whether it ran."""

    id: str
    chance: float
    ran: bool


def verdict(row: Case) -> Verdict | None:
    """The verdict of a row; None where its memory cannot be predicted."""
    folds = fitted("training")["folds"]
    values = parameters(row["source"]) if row["source"] in folds else parameters()
    try:
        found = case_run(row, values)
    except EstimatorError:
        return None
    need = needed(peak_memory(found.numbers, values), found.numbers, values)
    spread = interval("memory", traits(found.arch, found.cluster, found.plan))
    chance = float(chance_to_fit(need, found.numbers, values, found.cluster.accelerator.usable_bytes, spread))
    return Verdict(row["id"], chance, row.get("outcome", "ran") != "oom")


def verdicts(paths: Iterable[Path]) -> list[Verdict]:
    """Of clean rows about memory."""
    rows = [row for path in paths for row in read_cases(path)]
    found = [verdict(row) for row in rows if row.get("quality", "ok") == "ok" and row["metric"] == "peak_mem_gb"]
    return [one for one in found if one is not None]


def brier(found: Sequence[Verdict]) -> tuple[float, float]:
    """Brier score of the chances, and of always saying the share that ran [1].

    >>> brier([Verdict("a", 1.0, True), Verdict("b", 0.5, False)])
    (0.125, 0.25)
    """
    chance, ran = np.array([[one.chance, one.ran] for one in found], float).T
    return float(np.mean((chance - ran) ** 2)), float(ran.mean() * (1 - ran.mean()))
