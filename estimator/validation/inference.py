"""Inference cases: from a row's configuration to a prediction in the row's own metric.

Only configuration columns are read; any but id, source and metric (or task) may be missing. Never the measurement.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimator.catalog.engines import serving_fit, serving_folds
from estimator.errors import EstimatorError, UnknownName
from estimator.formulas import Floats
from estimator.predict.serving import interval, traits
from estimator.predict.serving_costs import constants
from estimator.validation.inference_batch import Batch, counted, predicted
from estimator.validation.inference_runs import METRICS, UNTOLD, Row, Run, is_time, read_run, unit_of
from estimator.validation.report import CasePrediction


def predict_cases(rows: Sequence[Row]) -> list[CasePrediction]:
    """Predict every row, in order; one that cannot be is `unsupported`, with what it lacks."""
    found: dict[int, Run] = {}
    refused: dict[int, str] = {}
    for index, row in enumerate(rows):
        try:
            found[index] = read_run(row)
        except EstimatorError as error:
            refused[index] = str(error)
    done = dict(zip(found, _predictions(list(found.values())), strict=True))
    return [done[index] if index in done else _refusal(row, refused[index]) for index, row in enumerate(rows)]


def _refusal(row: Row, reason: str) -> CasePrediction:
    metric = row.get("metric", "")
    return CasePrediction(
        row.get("id", ""), row.get("source", ""), metric, unit_of(metric), None, None, None, "unsupported", reason
    )


def _predictions(runs: list[Run]) -> list[CasePrediction]:
    if not runs:
        return []
    batch = counted(runs)
    values = predicted(batch, constants())
    left_out, others = _left_out(batch), _at_ends(runs)
    return [
        _prediction(run, float(value), left_out.get(index), others[index])
        for index, (run, value) in enumerate(zip(runs, values, strict=True))
    ]


def _at_ends(runs: list[Run]) -> Floats:
    """Predictions at the ends of what is doubted [run, doubt, end]: memory of the cache; what the row leaves open."""
    ends = [end for run in runs for end in (*(replace(run, slots=slots) for slots in run.slots_ends), *_retold(run))]
    return predicted(counted(ends), constants()).reshape(len(runs), 2, 2)


def _retold(run: Run) -> tuple[Run, Run]:
    """The run with what its row leaves open at its least and at its most."""
    load = run.load

    def scaled_by(factor: float) -> Run:
        changed = {name: getattr(load, name) * factor for name in ("prompt", "output") if name in run.untold}
        number = run.number * (factor if "batch" in run.untold else 1.0)
        return replace(run, load=load._replace(**changed), number=max(number, 1.0))

    return scaled_by(1.0 / UNTOLD), scaled_by(UNTOLD)


def _prediction(run: Run, value: float, left_out: float | None, others: Floats) -> CasePrediction:
    down, up = interval(run.range_group, traits(run.load.arch, run.cluster.accelerator, run.load.plan.facts.family))
    if not is_time(run.metric):  # a longer time is a lower rate
        down, up = up, down
    off = np.log(others / value)
    down = np.sqrt(down**2 + np.sum(np.minimum(off.min(axis=1), 0.0) ** 2))
    up = np.sqrt(up**2 + np.sum(np.maximum(off.max(axis=1), 0.0) ** 2))
    low, high = value * np.exp(-down), value * np.exp(up)
    usable = bool(np.isfinite(value) and value > 0)
    return CasePrediction(
        id=run.id,
        source=run.source,
        metric=run.metric,
        unit=unit_of(run.metric),
        predicted=value if usable else None,
        low=float(low) if usable else None,
        high=float(high) if usable else None,
        status="ok" if usable else "unsupported",
        reason=_remark(run) if usable else str(UnknownName("inference metric", run.metric, METRICS)),
        fits=run.fits,
        fitted=run.source in serving_fit()["seen"]["sources"],
        predicted_loso=left_out,
    )


def _remark(run: Run) -> str:
    """What was assumed to predict a run."""
    remarks = []
    if not run.load.plan.facts.known:
        remarks.append(f"engine {run.load.plan.engine!r} is not known: the pool's factor")
    if run.load.plan.layers(run.load.arch).assumed:
        remarks.append(f"bits of {run.load.plan.weight_precision!r} read from its name")
    if run.load.arch.basis == "assumed":
        remarks.append(f"shape of {run.load.arch.name!r} as stated or of its size")
    if run.untold:
        remarks.append(f"not stated, so assumed: {', '.join(run.untold)}")
    return "; ".join(remarks)


def _left_out(batch: Batch) -> dict[int, float]:
    """For runs of fitted sources, the prediction of the fold that left them out."""
    names = [fold_of(run) for run in batch.runs]
    answers: dict[int, float] = {}
    for name in sorted({name for name in names if name is not None}):
        members = [index for index, other in enumerate(names) if other == name]
        values = predicted(batch, constants(name))
        answers |= {index: float(values[index]) for index in members}
    return answers


def fold_of(run: Run) -> str | None:
    """The stored fold that left out this run's source, or its LLM and accelerator of a source that dominates."""
    folds = serving_folds()
    candidates = (fold_name(run), run.source, f"{SMALL} {run.source}")
    return next((name for name in candidates if name in folds), None)


SMALL = "small sources with"


def fold_name(run: Run) -> str:
    """The name of the fold of one LLM on one accelerator of a source."""
    return f"{run.source} | {run.load.arch.name} | {run.cluster.accelerator.name}"
