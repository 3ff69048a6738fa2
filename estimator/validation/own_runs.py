"""How far off predictions were on the user's own runs."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from estimator.catalog.cases import Case, CaseKind
from estimator.catalog.files import recent
from estimator.catalog.own_runs import KINDS, own_runs, stamp
from estimator.errors import EstimatorError
from estimator.numerals import numeral
from estimator.predict.learning import NONE, Kin, OwnRuns, kin_of_server, kin_of_training
from estimator.predict.serving_costs import constants
from estimator.predict.training import parameters
from estimator.validation import training
from estimator.validation.inference_batch import counted, predicted
from estimator.validation.inference_runs import Run, is_time, read_run
from estimator.validation.report import quantity

Error = tuple[str, float, Kin]


def learnt() -> OwnRuns:
    """What the own runs on this machine say; computed once for each state of their files."""
    now = stamp()
    return _learnt(now) if now else NONE


@recent(4)
def _learnt(_: tuple[int, ...]) -> OwnRuns:
    found: dict[str, list[tuple[float, Kin]]] = defaultdict(list)
    for kind in KINDS:
        for group, error, kin in errors(kind, own_runs(kind)):
            found[group].append((error, kin))
    return OwnRuns(found)


def errors(kind: CaseKind, rows: Sequence[Case]) -> Iterator[Error]:
    """Quantity, ln(measured / predicted) of a time or size, and what each run is; nothing of what cannot be predicted.

    Predicted from the configuration alone, without any own run.
    """
    yield from _training_errors(rows) if kind == "training" else _serving_errors(rows)


def _training_errors(rows: Sequence[Case]) -> Iterator[Error]:
    runs = [(found, value) for row in rows if (value := _value(row)) and (found := _training_run(row))]
    expected, _ = training.predicted([run for run, _ in runs], parameters())
    for (run, value), one in zip(runs, expected, strict=True):
        if 0 < one < math.inf:
            error = math.log(value / one) * (-1 if run.metric in training.RATES else 1)
            yield quantity(run.metric), error, training_kin(run)


def training_kin(run: training.CaseRun) -> Kin:
    """What a training run may have in common with others."""
    return kin_of_training(run.cluster.accelerator, run.plan, run.arch)


def _training_run(row: Case) -> training.CaseRun | None:
    try:
        return training.case_run(row)
    except EstimatorError:
        return None


def _serving_errors(rows: Sequence[Case]) -> Iterator[Error]:
    runs = [(found, value) for row in rows if (value := _value(row)) and (found := _serving_run(row))]
    if not runs:
        return
    expected = predicted(counted([run for run, _ in runs]), constants())
    for (run, value), one in zip(runs, expected.tolist(), strict=True):
        if 0 < one < math.inf:
            error = math.log(value / one) * (1 if is_time(run.metric) else -1)
            yield run.range_group, error, serving_kin(run)


def serving_kin(run: Run) -> Kin:
    """What a run of a server may have in common with others."""
    return kin_of_server(run.cluster.accelerator, run.load.plan, run.load.arch)


def _serving_run(row: Case) -> Run | None:
    try:
        return read_run(row)
    except EstimatorError:
        return None


def _value(row: Case) -> float:
    value = numeral(row.get("value", ""))
    return value if value is not None and 0 < value < math.inf else 0.0
