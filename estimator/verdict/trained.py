"""What a training run comes to on some accelerators: memory, time and money, by the project's own predictors."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from estimator.catalog.frameworks import Framework
from estimator.configs import Run
from estimator.formulas.arithmetic import product, quotient
from estimator.formulas.transformer import params
from estimator.formulas.units import HOUR_S
from estimator.predict.chance import fit_chance
from estimator.predict.reliability import usual_goodput
from estimator.predict.training import (
    MemorySplit,
    TrainingPlan,
    TrainingStep,
    best_layout,
    chance_to_fit,
    interval,
    parameters,
    time_interval,
    training_step,
    traits,
)
from estimator.predict.training_memory import needed, peak_memory
from estimator.predict.training_plan import run as run_of
from estimator.quantities import Quantity, derive, given, total
from estimator.records import Architecture, Cluster
from estimator.text import human
from estimator.verdict.amounts import Amount, Course, course
from estimator.verdict.generated import LEFT_OUT, generation_s
from estimator.verdict.plans import Planned, planned
from estimator.verdict.result import Figure, Outcome

PARTS = ("compute_s", "exposed_communication_s", "bubble_s", "optimizer_s", "host_s")
NOTED = 0.02  # share of the time from which a part that is no training is told
COPY_BYTES = 2.0  # of a parameter of a frozen model beside the trained one


def trained(run: Run, llm: Architecture, cluster: Cluster, price: Quantity, amount: Amount) -> Outcome:
    """The outcome of a run on a cluster. price: of one accelerator-hour [USD/h]."""
    return outcome(planned(run, llm, cluster), llm, cluster, price, amount)


def outcome(made: Planned, llm: Architecture, cluster: Cluster, price: Quantity, amount: Amount) -> Outcome:
    """The same for a plan; what it leaves open is chosen as `layout` chooses it."""
    plan = made.plan if made.plan.micro_batch is not None else best_layout(llm, cluster, made.plan)
    step = training_step(llm, cluster, plan)
    room = cluster.accelerator.usable_bytes
    copies = made.copies * params(llm) * COPY_BYTES / (plan.tp * plan.pp * _shards(plan, cluster))
    doubt = _wider(interval("memory", traits(llm, cluster, plan)), made.widening)
    split, need, chance = _fits(made.habits, llm, cluster, plan, step, copies, doubt)
    memory = {name: float(getattr(split, name)) for name in MemorySplit._fields} | (
        {"other_models": copies} if copies else {}
    )
    peak = float(split.total) + copies
    pace = _wider(time_interval(llm, cluster, plan), made.widening)
    way = course(llm, cluster, plan, amount, float(step.step_s))
    answers = made.generation and generation_s(llm, cluster, made.generation, float(plan.global_batch))
    figures = _figures(cluster, step, price, amount, pace, way, answers)
    figures["need_bytes"] = Figure(need, need * math.exp(-doubt[0]), need * math.exp(doubt[1]))
    figures["memory_bytes"] = Figure(peak, peak * math.exp(-doubt[0]), peak * math.exp(doubt[1]))
    return Outcome(
        accelerator=cluster.accelerator.name,
        title=cluster.accelerator.title,
        count=cluster.count,
        fit_chance=chance,
        memory=memory,
        usable_bytes=room,
        figures=figures,
        parts={name: float(getattr(step, name)) for name in PARTS},
        plan={**made.settled, "micro_batch": int(plan.micro_batch), "accelerators": cluster.count},
        notes=(*made.notes, *_beside(way), *_generating(made, answers)),
    )


def _fits(
    habits: Framework | None,
    llm: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    step: TrainingStep,
    copies: float,
    doubt: tuple[float, float],
) -> tuple[MemorySplit, float, float]:
    """Memory at the peak, what cannot be done without [B], and the chance that it fits, frozen models counted in."""
    room = cluster.accelerator.usable_bytes
    if habits is None and not llm.own_code:  # what the step says already
        need = float(step.need_bytes) + copies
        return step.memory, need, float(fit_chance(need, room, doubt))
    numbers = run_of(llm, cluster, plan, habits)
    split = peak_memory(numbers, parameters())
    need = float(needed(split, numbers, parameters())) + copies
    return split, need, float(chance_to_fit(need, numbers, parameters(), room, doubt, copies))


def _beside(way: Course) -> list[str]:
    """What of the time is no training."""
    return [f"evaluation takes {way.evaluating:.0%} of the time besides"] if way.evaluating >= NOTED else []


def _generating(made: Planned, answers: Quantity | None) -> list[str]:
    """What generating the answers of a step takes, or that it is left out."""
    by = made.generation
    if by is None:
        return []
    if answers is None:
        return [LEFT_OUT]
    return [
        f"generating a step's answers by {by.engine} on these accelerators takes {human(answers)} besides, counted in "
        f"the run: all are {by.output_tokens:,.0f} tokens long, the most they may be"
    ]


def _wider(doubt: tuple[float, float], by: float) -> tuple[float, float]:
    return doubt[0] * by, doubt[1] * by


def _shards(plan: TrainingPlan, cluster: Cluster) -> float:
    """Ranks that share a frozen model's weights [1]."""
    return cluster.count / (plan.tp * plan.pp) if plan.zero >= 3 else 1.0


def _figures(
    cluster: Cluster,
    step: TrainingStep,
    price: Quantity,
    amount: Amount,
    doubt: tuple[float, float],
    way: Course,
    generating: Quantity | None,
) -> dict[str, Figure]:
    step_s = _uncertain("step", float(step.step_s), doubt)
    found = {"step_s": _figure(step_s), "usd_per_hour": _figure(price)}
    found["tokens_per_s"] = _inverse(
        step_s, float(step.tokens_per_s_per_accelerator) * cluster.count * float(step.step_s)
    )
    if generating is not None:
        found["generation_s"] = _figure(generating)
    count = way.steps
    if count is None:
        return found
    doubt = math.hypot(doubt[0], way.doubt[0]), math.hypot(doubt[1], way.doubt[1])
    whole = _uncertain("run", count * way.step_s * (1 + way.evaluating) / usual_goodput(cluster), doubt)
    if amount.spread != (1.0, 1.0) and not amount.steps:
        low, high = amount.spread
        length = given("length of samples", 1.0, "1", low=low, high=high, factor="data volume")
        whole = derive("run", "s", product, run=whole, length=length)
    if generating is not None:
        steps = given("steps", count / usual_goodput(cluster), "1")
        whole = total("run", "s", [whole, derive("generation", "s", product, steps=steps, each=generating)])
    hours = derive(
        "accelerator hours", "h", quotient, dividend=whole, divisor=given("s in h", HOUR_S / cluster.count, "s/h")
    )
    return found | {
        "steps": Figure(count, count, count),
        "run_s": _figure(whole),
        "usd": _figure(derive("cost", "USD", product, hours=hours, price=price)),
    }


def _uncertain(name: str, value: float, doubt: tuple[float, float]) -> Quantity:
    low, high = value * math.exp(-doubt[0]), value * math.exp(doubt[1])
    return given(name, value, "s", low=low, high=high, factor="training time")


def _figure(quantity: Quantity) -> Figure:
    if not quantity.known:
        return Figure(float("nan"), float("nan"), float("nan"))
    return Figure(float(quantity.value), *map(float, quantity.interval()))


def _inverse(time: Quantity, work: float) -> Figure:
    low, high = time.interval()
    return Figure(work / float(time.value), work / high, work / low)


def changed(made: Planned, sets: Mapping[str, Any]) -> Planned:
    """The plan with some fields changed."""
    bystanders = made.habits is not None and made.habits.loss == "unlearnt"  # logits that no kernel spares
    habits = made.habits if "framework" not in sets or bystanders else None
    plan, settled = replace(made.plan, **sets), made.settled | dict(sets)
    shared = plan.method != "full" and settled["objective"] in ("dpo", "kto")  # adapters are left out for the reference
    return replace(made, plan=plan, settled=settled, habits=habits, copies=0.0 if shared else made.copies)
