"""Training on the accelerators at hand: how many, in which layout, how fast, and how much memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from estimator.catalog.facts import fact
from estimator.catalog.files import recent
from estimator.catalog.precisions import native
from estimator.errors import DoesNotFit
from estimator.formulas import Real, transformer
from estimator.formulas.arithmetic import quotient
from estimator.predict.learning import kin_of_training
from estimator.predict.training import (
    MemorySplit,
    TrainingPlan,
    TrainingStep,
    interval,
    layouts_of,
    time_interval,
    training_step,
    traits,
)
from estimator.predict.training_layout import NothingDivides, whole_axes
from estimator.quantities import Quantity, derive, predicted, uncertain
from estimator.records import Architecture, Cluster
from estimator.stages.parts import joined, memory_parts, noted, step_parts
from estimator.stages.question import Question


def most_accelerators() -> int:
    """The largest cluster that is looked for [1]."""
    return int(fact("largest_cluster").value)


class Training(NamedTuple):
    """A training set-up: tokens_per_s of one accelerator [token/s], peak memory of one [B], and how many."""

    plan: TrainingPlan
    cluster: Cluster
    step: TrainingStep
    tokens_per_s: Quantity
    peak_memory_bytes: Quantity
    accelerators: Quantity

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
        high = self.peak_memory_bytes.interval()[1]
        if high > device.memory_bytes:
            found.append(
                f"Memory may not suffice: the range reaches {high / 2**30:,.0f} GiB, an accelerator has "
                f"{device.memory_bytes / 2**30:,.0f} GiB. A smaller micro-batch or more recomputation would leave room."
            )
        if self.plan.precision not in ("bf16", "fp16") and not native(device, self.plan.precision):
            found.append(f"{device.title} has no units for {self.plan.precision}: training computes in a wider format.")
        if self.cluster.count > self.cluster.per_node and device.network_bytes_per_s is None:
            found.append(f"No network between nodes of {device.title} is known: time across nodes is a guess.")
        return tuple(found)

    def device_s(self, tokens: Quantity) -> Quantity:
        """Accelerator-seconds of training on `tokens`."""
        return derive("training on accelerators", "s", quotient, dividend=tokens, divisor=self.tokens_per_s)

    def wall_s(self, tokens: Quantity) -> Quantity:
        """Wall-clock seconds of training on `tokens`."""
        device_s = self.device_s(tokens)
        return derive("training time", "s", quotient, dividend=device_s, divisor=self.accelerators)


class Copies(NamedTuple):
    """Models held beside each other: `trained` alike, and `frozen` ones in 16 bits, spread over the accelerators."""

    trained: float = 1.0
    frozen: float = 0.0

    def memory_bytes(self, llm: Architecture, cluster: Cluster, memory: MemorySplit) -> Real:
        """Peak memory of one accelerator with all of them [B], of each layout of the split."""
        return self.trained * memory.total + self.frozen * 2 * transformer.params(llm) / cluster.count


ALONE = Copies()


def set_up(question: Question, plan: TrainingPlan, count: int | None, copies: Copies = ALONE) -> Training:
    """The best layout on `count` accelerators, or on the fewest that hold it; DoesNotFit says what would."""
    llm, usual = question.own_llm(), Cluster(question.own_accelerator(), most_accelerators(), question.per_node)
    cluster, best, step = _fitted(llm, usual, plan, count, copies)
    inputs = question.machine_facts()
    kin = kin_of_training(cluster.accelerator, best, llm)
    own_time, own_memory = (question.own_runs.of(what, kin) for what in ("time", "memory"))
    # The allocator keeps freed blocks only while there is room for them: no peak is above the capacity.
    used = own_memory.factor * float(copies.memory_bytes(llm, cluster, step.memory))
    held = min(used, cluster.accelerator.memory_bytes)
    time_down, time_up = own_time.range(*time_interval(llm, cluster, best))
    memory_down, memory_up = own_memory.range(*interval("memory", traits(llm, cluster, best)))
    expected = own_time.factor / float(step.tokens_per_s_per_accelerator)
    seconds = predicted("time per token", "s/token", expected, training_step, **inputs)
    seconds = uncertain(noted(seconds, joined(step_parts(step), own_time.words)), "training time", time_down, time_up)
    one = question.counted("one token", 1.0, "token", "by definition")
    memory = predicted("peak training memory", "B", held, training_step, **inputs)
    parts = memory_parts(step.memory) if copies == ALONE else ""
    memory = noted(memory, joined(parts, own_memory.words))
    return Training(
        best,
        cluster,
        step,
        derive("training rate of an accelerator", "token/s", quotient, dividend=one, divisor=seconds),
        uncertain(memory, "training memory", memory_down, memory_up),
        question.counted(
            f"accelerators for training ({plan.method})",
            cluster.count,
            "1",
            "as asked, else the fewest that hold it; pre-training: as many as the deadline needs",
        ),
    )


Fitted = tuple[Cluster, TrainingPlan, TrainingStep]


@recent(1024)
def _fitted(llm: Architecture, usual: Cluster, plan: TrainingPlan, count: int | None, copies: Copies) -> Fitted:
    """The best layout on `count` of the usual accelerators, or on the fewest that hold it, and its step."""
    if count is None:
        return _smallest(llm, usual, plan, copies)
    try:
        return _fastest(llm, _of(usual, count), plan, copies)
    except DoesNotFit as error:
        raise DoesNotFit(f"{error} {_what_would(llm, usual, plan, copies)}") from None


def _of(usual: Cluster, count: int) -> Cluster:
    return Cluster(usual.accelerator, count, min(usual.per_node, count))


def _fastest(llm: Architecture, cluster: Cluster, plan: TrainingPlan, copies: Copies) -> Fitted:
    """The fastest layout with room to spare, else, alone, that just fits; a hardly slower one that surely fits."""
    layouts, capacity = layouts_of(llm, cluster, plan), cluster.accelerator.memory_bytes
    held = np.asarray(copies.memory_bytes(llm, cluster, layouts.memory))
    allowed = layouts.allowed if copies == ALONE else held <= capacity
    if allowed.any():
        _, above = interval("memory", traits(llm, cluster, plan))
        return cluster, *layouts.fastest(allowed, held * np.exp(above) <= capacity)
    if copies == ALONE:
        raise layouts.smallest(held)
    raise DoesNotFit(
        f"training {llm.name} with {copies.trained + copies.frozen:g} models beside each other needs at least "
        f"{held.min() / 2**30:,.0f} GiB of each {cluster.accelerator.name}, which has {capacity / 2**30:,.0f} GiB."
    )


def _smallest(llm: Architecture, usual: Cluster, plan: TrainingPlan, copies: Copies) -> Fitted:
    problem: DoesNotFit | None = None
    for count in _counts():
        try:
            return _fastest(llm, _of(usual, count), plan, copies)
        except NothingDivides as error:
            problem = problem or error  # what memory lacks says more
        except DoesNotFit as error:
            problem = error
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


def _what_would(llm: Architecture, usual: Cluster, plan: TrainingPlan, copies: Copies) -> str:
    try:
        cluster, *_ = _smallest(llm, usual, plan, copies)
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
    return ", ".join(parts)
