"""Training on the accelerators at hand: how many, in which layout, how fast, and how much memory."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from estimator.catalog.facts import counted
from estimator.catalog.files import recent
from estimator.catalog.precisions import native
from estimator.errors import DoesNotFit
from estimator.formulas import Real, transformer
from estimator.formulas.arithmetic import quotient
from estimator.predict.learning import kin_of_training
from estimator.predict.training import (
    TrainingPlan,
    TrainingStep,
    interval,
    layouts_of,
    likely,
    stack_doubt,
    time_interval,
    training_step,
    traits,
)
from estimator.predict.training_changes import Change, between, helpful, verdict
from estimator.predict.training_layout import NothingDivides, whole_axes
from estimator.quantities import Quantity, derive, predicted, uncertain
from estimator.records import Architecture, Cluster
from estimator.stages.parts import joined, memory_parts, noted, step_parts
from estimator.stages.question import Question


def most_accelerators() -> int:
    """The largest cluster that is looked for [1]."""
    return counted("largest_cluster")


class Training(NamedTuple):
    """A training set-up: tokens_per_s of one accelerator [token/s], peak memory of one [B], and how many.

    fit_chance: that what is needed fits what an accelerator can use [1]; changes: that help where it is not sure
    mfu: of the step, as slow as its stack is believed to be [1]
    """

    plan: TrainingPlan
    cluster: Cluster
    step: TrainingStep
    fit_chance: float
    tokens_per_s: Quantity
    peak_memory_bytes: Quantity
    accelerators: Quantity
    changes: tuple[Change, ...]
    mfu: float

    @property
    def verdict(self) -> str:
        """Whether it fits, in a line: how surely, and into what."""
        usable = self.cluster.accelerator.usable_bytes
        return verdict(self.fit_chance, self.peak_memory_bytes.value, usable, self.host_bytes)

    def fit(self, question: Question) -> dict[str, Quantity]:
        """The chance that it fits, and what a machine's own memory has to hold where something waits there."""
        why = "by the range of its memory against what programs can use of an accelerator"
        found = {"fit_chance": question.counted("chance of fitting", self.fit_chance, "1", why)}
        host = self.host_bytes
        if host:
            why = "states, weights or activations that wait there, in pinned buffers"
            found["host_memory_bytes"] = question.counted("memory of a machine itself", host, "B", why)
        return found

    @property
    def host_bytes(self) -> float:
        """What a machine's own memory has to hold [B]."""
        return float(self.step.host_bytes) * min(self.cluster.count, self.cluster.per_node)

    @property
    def layout(self) -> str:
        """The layout in a few words."""
        return layout_text(self.plan, self.cluster)

    @property
    def together(self) -> float:
        """Sequences, or samples, that all ranks pass forward at once [1]."""
        plan = self.plan
        return float(plan.micro_batch) * (self.cluster.count // int(plan.tp * plan.pp * plan.cp))

    def warnings(self) -> tuple[str, ...]:
        """What could make the plan fail that its expected figures do not show."""
        device, found = self.cluster.accelerator, []
        if self.changes:
            found.append(f"Single changes that help: {'; '.join(change.text() for change in self.changes)}.")
        if self.plan.precision not in ("bf16", "fp16") and not native(device, self.plan.precision):
            found.append(f"{device.title} has no units for {self.plan.precision}: training computes in a wider format.")
        if self.cluster.nodes > 1:
            found.append(between(self.cluster))
        return tuple(found)

    def device_s(self, tokens: Quantity) -> Quantity:
        """Accelerator-seconds of training on `tokens`."""
        return derive("training on accelerators", "s", quotient, dividend=tokens, divisor=self.tokens_per_s)

    def wall_s(self, tokens: Quantity) -> Quantity:
        """Wall-clock seconds of training on `tokens`."""
        device_s = self.device_s(tokens)
        return derive("training time", "s", quotient, dividend=device_s, divisor=self.accelerators)


class HostTooSmall(DoesNotFit):
    """The accelerators would do, but not what a machine has of its own memory."""


class Copies(NamedTuple):
    """Models held beside each other: `trained` alike, and `frozen` ones in 16 bits, spread over the accelerators."""

    trained: float = 1.0
    frozen: float = 0.0

    def memory_bytes(self, llm: Architecture, cluster: Cluster, one: Real) -> Real:
        """Memory of one accelerator with all of them [B], where a trained one alone takes so much."""
        return self.trained * one + self.frozen * 2 * transformer.params(llm) / cluster.count


ALONE = Copies()


def set_up(question: Question, plan: TrainingPlan, count: int | None, copies: Copies = ALONE) -> Training:
    """The fastest layout that fits as surely as asked, on `count` accelerators or the fewest there are.

    DoesNotFit says what would do.
    """
    llm, usual = question.own_llm(), question.cluster(most_accelerators())
    least = question.number("fit_chance")
    cluster, best, step, chance = _fitted(llm, usual, plan, count, copies, least)
    inputs = question.machine_facts()
    _note_machines(question, cluster)
    own = question.own_runs.of("memory", kin_of_training(cluster.accelerator, best, llm))
    # The allocator keeps freed blocks only while there is room for them: no peak is above what can be used.
    used = own.factor * float(copies.memory_bytes(llm, cluster, step.memory.total))
    held = min(used, cluster.accelerator.usable_bytes)
    time = doubt(question, cluster, best)
    memory_down, memory_up = own.range(*interval("memory", traits(llm, cluster, best)))
    expected = time.slower / float(step.tokens_per_s_per_accelerator)
    seconds = predicted("time per token", "s/token", expected, training_step, **inputs)
    seconds = uncertain(noted(seconds, joined(step_parts(step), time.words)), "training time", time.down, time.up)
    one = question.counted("one token", 1.0, "token", "by definition")
    memory = predicted("peak training memory", "B", held, training_step, **inputs)
    parts = memory_parts(step.memory) if copies == ALONE else ""
    memory = noted(memory, joined(parts, own.words))
    return Training(
        best,
        cluster,
        step,
        chance,
        derive("training rate of an accelerator", "token/s", quotient, dividend=one, divisor=seconds),
        uncertain(memory, "training memory", memory_down, memory_up),
        question.counted(
            f"accelerators for training ({plan.method})",
            cluster.count,
            "1",
            "as asked, else the fewest that hold it; pre-training: as many as the deadline needs",
        ),
        helpful(llm, cluster, best, step, least) if chance < least and copies == ALONE else (),
        float(step.mfu) / time.slower,
    )


def _note_machines(question: Question, cluster: Cluster) -> None:
    """Note what the layout rests on: what was said of machines, and their network where it spans several."""
    if cluster.nodes > 1 or question.scenario.amount("gpus_per_node").given:
        question.number("gpus_per_node")
    if cluster.nodes > 1:
        question.number("network_gbit_per_s")


class Doubt(NamedTuple):
    """Time over that predicted [1], 80 % half widths of its logarithm, and what own runs had to do with it."""

    slower: float
    down: float
    up: float
    words: str


def doubt(question: Question, cluster: Cluster, plan: TrainingPlan) -> Doubt:
    """How far to believe a predicted time: an unnamed stack may be an untuned one; own runs know better."""
    llm = question.own_llm()
    own = question.own_runs.of("time", kin_of_training(cluster.accelerator, plan, llm))
    down, up = question.once(time_interval, llm, cluster, plan)
    slower, low, high = stack_doubt(plan)
    return Doubt(slower * own.factor, *own.range(math.hypot(down, low), math.hypot(up, high)), own.words)


Fitted = tuple[Cluster, TrainingPlan, TrainingStep, float]
OFFLOADS = ("", "optimizer", "activations")  # what may wait in host memory where nothing else fits as surely


@recent(1024)
def _fitted(
    llm: Architecture, usual: Cluster, plan: TrainingPlan, count: int | None, copies: Copies, least: float
) -> Fitted:
    """The best layout on `count` of the usual accelerators, or on the fewest that hold it; its step and chance."""
    if count is None:
        return _smallest(llm, usual, plan, copies, least)
    try:
        return _on(llm, _of(usual, count), plan, copies, least)
    except DoesNotFit as error:
        raise DoesNotFit(f"{error} {_what_would(llm, usual, plan, copies, least)}") from None


def _of(usual: Cluster, count: int) -> Cluster:
    return usual._replace(count=count, per_node=min(usual.per_node, count))


def _on(llm: Architecture, cluster: Cluster, plan: TrainingPlan, copies: Copies, least: float) -> Fitted:
    """The fastest that fits as surely as asked, with something in host memory if need be; else the likeliest."""
    problem, found = None, []
    for offload in OFFLOADS if not plan.cpu_offload else (plan.cpu_offload,):
        try:
            found.append(_fastest(llm, cluster, replace(plan, cpu_offload=offload), copies, least))
        except HostTooSmall as error:
            problem = DoesNotFit(f"{problem or ''} {error}".strip())
        except DoesNotFit as error:
            problem = problem or error
        if found and found[-1][-1] >= least:
            return found[-1]
    if not found and problem:
        raise problem
    return max(found, key=lambda one: one[-1])


def _fastest(llm: Architecture, cluster: Cluster, plan: TrainingPlan, copies: Copies, least: float) -> Fitted:
    """The fastest layout that fits as surely as asked, else the likeliest that is expected to fit."""
    layouts, usable = layouts_of(llm, cluster, plan), cluster.accelerator.usable_bytes
    need = np.asarray(copies.memory_bytes(llm, cluster, layouts.need))
    chance = layouts.chance(need)
    allowed = likely(chance * layouts.held_by_host, least)
    if allowed.any():
        best, step, at = layouts.fastest(allowed)
        return cluster, best, step, float(np.broadcast_to(chance, allowed.shape)[at])
    if likely(chance).any():
        raise HostTooSmall(f"With {plan.cpu_offload} in host memory a machine's own would not suffice.")
    if copies == ALONE:
        raise layouts.smallest(need)
    raise DoesNotFit(
        f"training {llm.name} with {copies.trained + copies.frozen:g} models beside each other needs at least "
        f"{need.min() / 2**30:,.0f} GiB of each {cluster.accelerator.name}, which has {usable / 2**30:,.0f} GiB."
    )


def _smallest(llm: Architecture, usual: Cluster, plan: TrainingPlan, copies: Copies, least: float) -> Fitted:
    """On the fewest that hold it as surely as asked; where no number does, on those that are likeliest to."""
    problem: DoesNotFit | None = None
    found: list[Fitted] = []
    for count in _counts():
        try:
            found.append(_fastest(llm, _of(usual, count), plan, copies, least))
        except NothingDivides as error:
            problem = problem or error  # what memory lacks says more
        except DoesNotFit as error:
            problem = error
        if found and found[-1][-1] >= least:
            return found[-1]
    if found:
        return max(found, key=lambda one: one[-1])
    raise DoesNotFit(f"{problem} Even {most_accelerators():,} of them do not hold it.{_splitting(plan)}")


def _splitting(plan: TrainingPlan) -> str:
    if not whole_axes(plan):
        return ""
    return f" {plan.framework} splits no layer: a framework that does may (estimator catalog frameworks)."


def _counts() -> Iterator[int]:
    count = 1
    while count <= most_accelerators():
        yield count
        count *= 2


def _what_would(llm: Architecture, usual: Cluster, plan: TrainingPlan, copies: Copies, least: float) -> str:
    try:
        cluster, *_ = _smallest(llm, usual, plan, copies, least)
    except DoesNotFit:
        return f"No number of them does.{_splitting(plan)}"
    return f"The smallest that fits is {cluster.count} x {cluster.accelerator.name}."


def layout_text(plan: TrainingPlan, cluster: Cluster) -> str:
    """Such as "8 GPUs: dp 8, ZeRO-3, micro-batch 2, full recompute"."""
    dp = cluster.count // int(plan.tp * plan.pp * plan.cp)
    parts = [
        f"{name} {int(size)}"
        for name, size in (("tp", plan.tp), ("pp", plan.pp), ("vpp", plan.vpp), ("cp", plan.cp), ("ep", plan.ep))
        if size > 1
    ]
    parts.append(f"dp {dp}")
    if plan.zero:
        parts.append(f"ZeRO-{int(plan.zero)}")
    parts.append(f"micro-batch {int(plan.micro_batch)}")
    if str(plan.recompute) != "none":
        parts.append(f"{plan.recompute} recompute")
    if plan.cpu_offload:
        parts.append(f"{plan.cpu_offload} in host memory")
    return ", ".join(parts)
