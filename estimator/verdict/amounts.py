"""How much a run trains on and how long that takes: its steps, padded or packed rows, evaluation beside them."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from estimator.catalog.datasets import data_named
from estimator.catalog.facts import fact
from estimator.predict.training import TrainingPlan
from estimator.predict.training_rows import row_step
from estimator.records import Architecture, Cluster
from estimator.scenario import default_scenario
from estimator.verdict.plans import rows_of

AMOUNTS = ("samples", "tokens_per_sample", "epochs", "steps")
Rows = Literal["on", "off", "grouped", "padding-free", "whole"]


class Amount(NamedTuple):
    """How much is trained on: of the data, or in steps; None is not known.

    tokens: mean of a sample; spread: its 80 % range over that, where it is the usual one
    rows: how samples become rows; whole: each is padded to the full length; answers: rows of a sample
    held_out: samples that are evaluated on, a share of all below 1; batches: micro-batches of them at most
    evaluations: of an epoch; every: steps between them, a share of the run below 1
    """

    samples: float | None = None
    tokens: float | None = None
    epochs: float | None = None
    steps: float | None = None
    spread: tuple[float, float] = (1.0, 1.0)
    rows: Rows = "off"
    held_out: float = 0.0
    batches: float = 0.0
    answers: float = 1.0
    evaluations: float = 0.0
    every: float = 0.0


class Course(NamedTuple):
    """The steps of a run. steps: None where it is not known how many [1]; step_s: mean of one [s]

    evaluating: time of evaluation over that of the steps [1]; doubt: what padded rows add to ln(time), down and up
    """

    steps: float | None
    step_s: float
    evaluating: float = 0.0
    doubt: tuple[float, float] = (0.0, 0.0)


def amount_of(said: Mapping[str, Any], work: Mapping[str, Any], data: float | None, notes: list[str]) -> Amount:
    """How much is trained on: as given, else as the files say, else as the data sets that they name are known to be."""
    given = {name: work.get(name) for name in AMOUNTS}
    known = data_named(str(said.get("datasets") or ""))
    samples = data or given["samples"] or said.get("samples")
    if known and not samples:
        notes.append(f"{known.names}: {known.samples:,.0f} samples of {known.tokens:,.0f} tokens are assumed")
        samples = known.samples
    tokens = given["tokens_per_sample"] or (known.tokens if known else None)
    spread = (1.0, 1.0)
    if samples and not tokens and not said.get("rows"):
        usual = default_scenario().amount("tokens_per_sample")
        low, high = usual.low or usual.value, usual.high or usual.value
        tokens, spread = usual.value, (low / usual.value, high / usual.value)
        notes.append(f"samples of {tokens:,.0f} tokens are assumed: give --set tokens_per_sample=N")
    steps = given["steps"] or (None if data or given["samples"] else said.get("steps"))
    return Amount(
        samples=_known(samples),
        tokens=_known(tokens),
        epochs=_known(given["epochs"] or said.get("epochs")),
        steps=_known(steps) if not steps or float(steps) > 0 else None,
        spread=spread,
        rows=_rows(said),
        held_out=float(said.get("held_out") or 0),
        answers=rows_of(said) * _generated(said),
        batches=float(said.get("evaluation_batches") or 0),
        evaluations=float(said.get("evaluations") or 0),
        every=float(said.get("evaluates_every") or 0),
    )


def _generated(said: Mapping[str, Any]) -> float:
    """Rows that are learnt from each prompt to which answers are generated, over all rounds [1]."""
    return float(said.get("generations") or 1) * float(said.get("rounds") or 1)


def _known(value: Any) -> float | None:
    return None if value is None else float(value)


def _rows(said: Mapping[str, Any]) -> Rows:
    ways: tuple[tuple[str, Rows], ...] = (
        ("packed", "on"), ("padding_free", "padding-free"), ("padded_whole", "whole"), ("grouped", "grouped"),
    )  # fmt: skip
    return next((rows for name, rows in ways if said.get(name)), "off")


def course(llm: Architecture, cluster: Cluster, plan: TrainingPlan, amount: Amount, full_s: float) -> Course:
    """The steps of a run of a plan with a layout, and how long one takes. full_s: a step of full rows [s]"""
    step_s, doubt = _mean_step(llm, cluster, plan, amount, full_s)
    steps = _steps(plan, amount)
    evaluating = 0.0 if steps is None else _evaluating(plan, cluster, amount, steps)
    return Course(steps, step_s, evaluating, doubt)


def _mean_step(
    llm: Architecture, cluster: Cluster, plan: TrainingPlan, amount: Amount, full_s: float
) -> tuple[float, tuple[float, float]]:
    """Mean time of a step [s]: rows that are not packed are as long as the longest of their micro-batch.

    The longest sets the memory all the same.
    """
    mean = min(amount.tokens or plan.seq_len, plan.seq_len)
    if amount.rows in ("on", "whole") or mean >= plan.seq_len:
        return full_s, (0.0, 0.0)
    spread, uneven = default_scenario().amount("length_spread").value, fact("uneven_slowdown")
    step = row_step(llm, cluster, plan, amount.rows, mean, spread)  # type: ignore[arg-type]  # a lone sample each
    doubt = math.log(uneven.value / uneven.low), math.log(uneven.high / uneven.value)
    return float(step.total) * uneven.value, doubt


def _steps(plan: TrainingPlan, amount: Amount) -> float | None:
    """Optimizer steps of the run [1]."""
    if amount.steps and amount.steps > 0:
        return amount.steps
    if not amount.samples:
        return None
    rows = max(amount.samples - _held_out(amount), 1.0) * _row_of(plan, amount)
    return math.ceil(rows / float(plan.global_batch)) * (amount.epochs or 1.0)


def _row_of(plan: TrainingPlan, amount: Amount) -> float:
    """Rows that a sample takes [1]."""
    length = float(plan.seq_len)
    return amount.answers * (min((amount.tokens or length) / length, 1.0) if amount.rows == "on" else 1.0)


def _held_out(amount: Amount) -> float:
    """Samples that are kept for evaluation [1]."""
    return amount.held_out * (amount.samples or 0.0) if amount.held_out < 1 else amount.held_out


def _evaluating(plan: TrainingPlan, cluster: Cluster, amount: Amount, steps: float) -> float:
    """Time of evaluation over that of training [1]: samples that are passed forward alone."""
    every = amount.every if amount.every >= 1 else amount.every * steps  # a share of the run
    times = amount.evaluations * (amount.epochs or 1.0) or (math.floor(steps / every) if every else 0.0)
    ranks = cluster.count / (plan.tp * plan.pp * plan.cp)
    some = amount.batches * float(plan.micro_batch or 1) * ranks
    each = min(some or math.inf, _held_out(amount) * _row_of(plan, amount) or math.inf)
    if not times or each == math.inf:
        return 0.0
    passes = (3.0 if plan.method == "full" else 2.0) + (plan.recompute == "full")
    return times * each / passes / (steps * float(plan.global_batch))
