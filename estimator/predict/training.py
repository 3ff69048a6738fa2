"""A training step's time and memory, the layout that fits and is fastest, and how far off such answers are."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.cases import fitted
from estimator.catalog.efficiency import carried_over
from estimator.catalog.facts import fact
from estimator.catalog.frameworks import framework
from estimator.errors import DoesNotFit
from estimator.fitting.ranges import half_widths, novelties
from estimator.formulas import Floats, Real, Truth, Truths
from estimator.formulas.alignment import logits_share
from estimator.formulas.transformer import active_params, forward_flop, head_params, matmul_params
from estimator.predict.chance import SURELY, fit_chance
from estimator.predict.columns import joined, picked, subset
from estimator.predict.flags import anywhere
from estimator.predict.training_layout import chosen, grid, runs, smallest
from estimator.predict.training_memory import MemorySplit, host_bytes, needed, peak_memory
from estimator.predict.training_plan import Run, TrainingPlan, rates_and_format, run
from estimator.predict.training_time import StepTime, step_time
from estimator.records import Architecture, Cluster

__all__ = [
    "Layouts",
    "MemorySplit",
    "TrainingPlan",
    "TrainingStep",
    "best_layout",
    "chance_to_fit",
    "difficulties",
    "fitting_steps",
    "interval",
    "layouts_of",
    "parameters",
    "step_parts_s",
    "time_interval",
    "time_intervals",
    "training_step",
    "traits",
]


USUAL_HOST = 4.0  # a machine's own memory over its accelerators' (hardware/instances.csv: 2 to 4 where there are many)
AS_LIKELY = 0.02  # chances that differ by less are as good
LONG = 32_000  # tokens of a sequence from which attention is most of the work
AT_ONCE = 20_000  # layouts that are timed in one call
HUNDREDS = 512  # accelerators from which stragglers and congestion make published runs' errors larger
SHORT = "short passes"  # the trait of a plan whose layers are launched more than computed
ALONE = {SHORT: "time", "new loop": "time", "new framework": "memory"}  # traits of one quantity
SHORT_FLOP = 6e11  # of a layer's forward products on an accelerator, up to which launches and small tiles decide


class TrainingStep(NamedTuple):
    """One optimizer step; arrays when the plan held arrays.

    step_s and its parts [s] (compute, exposed communication, pipeline bubble, optimizer, host; they add up)
    tokens_per_s_per_accelerator [token/s]
    mfu: model FLOP (causal attention halved, recomputation left out, no gradients of frozen weights) over the dense
        peak of the products' format [1]; hfu: full recomputation counted too
    memory: peak bytes of the fullest accelerator; need_bytes: of it, what an allocator could not give back
    fits: whether that is within what programs can use; fit_chance: that it is, given how far off such figures are [1]
    host_bytes: of host memory for each accelerator
    """

    step_s: Real
    compute_s: Real
    exposed_communication_s: Real
    bubble_s: Real
    optimizer_s: Real
    host_s: Real
    tokens_per_s_per_accelerator: Real
    mfu: Real
    hfu: Real
    memory: MemorySplit
    fits: Truth
    need_bytes: Real
    fit_chance: Real
    host_bytes: Real


def parameters(without: str | None = None) -> Mapping[str, float]:
    """Fitted parameters by name; `without`: those fitted with that source of measurements left out."""
    found = fitted("training")
    values: Mapping[str, float] = found["values"] if without is None else found["folds"][without]
    return values


def training_step(
    arch: Architecture, cluster: Cluster, plan: TrainingPlan, values: Mapping[str, float] | None = None
) -> TrainingStep:
    """Time and memory of one optimizer step of `plan` on `cluster`; predicted even where it does not fit.

    Numeric fields of the plan may be arrays that broadcast: one call evaluates all layouts.

    >>> from estimator.catalog.accelerators import cluster
    >>> from estimator.catalog.models import architecture
    >>> plan = TrainingPlan(seq_len=2048, micro_batch=1, global_batch=64, tp=8, pp=8, framework="Megatron-LM")
    >>> step = training_step(architecture("gpt3-175b"), cluster("64xa100"), plan)
    >>> bool(step.fits), 10 < float(step.step_s) < 20
    (True, True)
    """
    values = parameters() if values is None else values
    numbers = run(arch, cluster, plan)
    return _step(arch, cluster, plan, numbers, peak_memory(numbers, values), values)


class Fitting(NamedTuple):
    """Layouts that are expected to fit, as equal arrays.

    clusters: which each is on, counted plan by plan; rows, across: where it is among all of the plans; step: its own
    """

    clusters: NDArray[np.intp]
    rows: NDArray[np.intp]
    across: NDArray[np.intp]
    step: TrainingStep


def fitting_steps(arch: Architecture, asked: Sequence[tuple[Sequence[Cluster], TrainingPlan]]) -> Iterator[Fitting]:
    """Of plans of layouts in columns (see `runs`), each on its clusters, the steps that are expected to fit; in order.

    The clusters of a plan differ in their accelerators alone, so that a layout takes the same memory on all of them.
    Plans differ in layout, format, offloading and clusters. A measured CPU comes alone.
    """
    values, across = parameters(), np.size(asked[0][1].recompute)
    sizes = [len(plan.tp) * across for _, plan in asked]
    numbers = runs(arch, [(clusters[0], plan) for clusters, plan in asked])
    memory = peak_memory(numbers, values)
    need, host = (
        np.broadcast_to(each, (sum(sizes) // across, across)).ravel()
        for each in (needed(memory, numbers, values), host_bytes(numbers, values))
    )
    tried: list[_Tried] = []
    for (clusters, plan), end, size in zip(asked, np.cumsum(sizes).tolist(), sizes, strict=True):
        for cluster in clusters:
            room, mine = _room(arch, cluster, plan), slice(end - size, end)
            tried.append(_Tried(cluster, plan, room, np.flatnonzero(room.holds(need[mine], host[mine])), end - size))
    first = 0
    for some in _timed_at_once(tried):
        kept, counts = np.concatenate([one.start + one.which for one in some]), [len(one.which) for one in some]
        here = joined([rates_and_format(one.cluster, one.plan) for one in some], counts)
        where = np.divmod(kept, across)
        those, held = picked(numbers, *where)._replace(**here._asdict()), picked(memory, *where)
        fit = _fit(those, held, values, joined([one.room for one in some], counts))
        step = _timed(arch, some[0].cluster, some[0].plan, those, held, fit, values)
        yield Fitting(np.arange(first, first + len(some)).repeat(counts), *where, step)
        first += len(some)


class _Tried(NamedTuple):
    """A plan's layouts on one cluster: which fit, and where among all they begin."""

    cluster: Cluster
    plan: TrainingPlan
    room: "Room"
    which: NDArray[np.intp]
    start: int


def _timed_at_once(tried: Sequence[_Tried]) -> Iterator[list[_Tried]]:
    """As many as are worth one call."""
    some: list[_Tried] = []
    for one in tried:
        if some and sum(len(other.which) for other in (*some, one)) > AT_ONCE:
            yield some
            some = []
        some.append(one)
    yield some


class Room(NamedTuple):
    """What there is for memory: usable of an accelerator, of a machine's own for each that it has [B].

    down, up: 80 % half widths of ln(true / expected) of what is needed
    """

    usable_bytes: Real
    host_bytes: Real
    used: Real
    down: Real
    up: Real

    def holds(self, need: Real, host: Real) -> Truth:
        """Whether both hold what is needed of an accelerator, and what waits in its machine for each [B]."""
        return (need <= self.usable_bytes) & self.held_by_host(host)

    def held_by_host(self, host: Real) -> Truth:
        """Whether a machine's own memory holds what waits there for each of its accelerators [B]."""
        return np.asarray(host) * self.used <= self.host_bytes


def _room(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> Room:
    """Where nobody says a machine's own memory, it has a usual one."""
    used = min(cluster.count, cluster.per_node)
    usual = USUAL_HOST * cluster.accelerator.memory_bytes * used
    host = usual if cluster.host_bytes is None else cluster.host_bytes
    spread = interval("memory", traits(arch, cluster, replace(plan, micro_batch=None)))
    return Room(cluster.accelerator.usable_bytes, host, used, *spread)


class Fit(NamedTuple):
    """Whether layouts fit, and how surely; fields as in `TrainingStep`."""

    fits: Truth
    need_bytes: Real
    fit_chance: Real
    host_bytes: Real


def _fit(numbers: Run, memory: MemorySplit, values: Mapping[str, float], room: Room) -> Fit:
    need = needed(memory, numbers, values)
    host = host_bytes(numbers, values)
    held = room.held_by_host(host)
    chance = held * chance_to_fit(need, numbers, values, room.usable_bytes, (room.down, room.up))
    return Fit(room.holds(need, host), need, chance, host)


def chance_to_fit(
    need: Real,
    numbers: Run,
    values: Mapping[str, float],
    usable: Real,
    spread: tuple[Real, Real],
    beside: Real = 0.0,
) -> Floats:
    """Chance that memory suffices [1]: of both readings, where it is not sure what is recomputed.

    need: what cannot be done without, as the likelier reading has it; beside: of it, frozen models [B]
    """
    chance = fit_chance(need, usable, spread)
    if not anywhere(numbers.unsure):
        return chance
    other = numbers._replace(full_recompute=numbers.full_otherwise, selective=numbers.selective_otherwise)
    needs = needed(peak_memory(other, values), other, values) + beside
    return np.asarray(chance + numbers.unsure * (fit_chance(needs, usable, spread) - chance))


def _step(
    arch: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    numbers: Run,
    memory: MemorySplit,
    values: Mapping[str, float],
) -> TrainingStep:
    fit = _fit(numbers, memory, values, _room(arch, cluster, plan))
    return _timed(arch, cluster, plan, numbers, memory, fit, values)


def _timed(
    arch: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    numbers: Run,
    memory: MemorySplit,
    fit: Fit,
    values: Mapping[str, float],
) -> TrainingStep:
    """The step of layouts, of which it is known whether they fit."""
    time = _local_time(arch, cluster, plan, numbers) or step_time(numbers, values)
    total, count = time.total, numbers.accelerators
    sequences = numbers.ga * numbers.mb * numbers.dp
    forward = _forward_flop(arch, plan) * sequences
    weights = matmul_params(arch, with_head=False) + head_params(arch) * _head_share(plan)
    frozen = 2.0 * weights * sequences * numbers.seq  # weight gradients that adapters do not need
    model = 3.0 * forward - numbers.adapters * frozen
    available = total * count * np.where(numbers.low > 0, numbers.rates.low_peak, numbers.rates.peak)
    return TrainingStep(
        step_s=total,
        compute_s=time.compute,
        exposed_communication_s=time.communication,
        bubble_s=time.bubble,
        optimizer_s=time.optimizer,
        host_s=time.host,
        tokens_per_s_per_accelerator=sequences * numbers.seq / total / count,
        mfu=model / available,
        hfu=(model + numbers.full_recompute * forward) / available,
        memory=memory,
        **fit._asdict(),
    )


def step_parts_s(arch: Architecture, cluster: Cluster, plan: TrainingPlan, seq_len: Real | None = None) -> StepTime:
    """Time of one optimizer step, part by part [s], memory left aside; seq_len: of its rows, else the plan's."""
    plan = plan if seq_len is None else replace(plan, seq_len=seq_len)
    numbers = run(arch, cluster, plan)
    return _local_time(arch, cluster, plan, numbers) or step_time(numbers, parameters())


def _forward_flop(arch: Architecture, plan: TrainingPlan) -> Real:
    """Forward work of one sample [FLOP]; embeddings and rewards need no logits."""
    share = _head_share(plan)
    return sum(count * forward_flop(arch, tokens, head_tokens=share * tokens) for count, tokens in plan.sequences)


def _head_share(plan: TrainingPlan) -> Real:
    return plan.foretells * logits_share(plan.logits_to_keep, plan.seq_len)


def _local_time(arch: Architecture, cluster: Cluster, plan: TrainingPlan, numbers: Run) -> StepTime | None:
    """Time on a measured CPU, operator by operator [s]; nothing for everything else."""
    if not cluster.accelerator.measured_cpu:
        return None
    from estimator.catalog.local import machine  # loaded for these alone
    from estimator.predict import local

    return local.step_time(arch, plan, numbers, machine(cluster.accelerator.name))


def time_interval(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> tuple[float, float]:
    """80 % half widths of ln(true / predicted time) of a step, down and up [1]; a measured CPU has its own."""
    if not cluster.accelerator.measured_cpu:
        return interval("time", traits(arch, cluster, plan))
    from estimator.predict import local  # loaded for these alone

    phase = "train" if plan.method == "full" else "lora"
    return local.answer_interval(phase, arch, cluster.accelerator.name, local.compute_format(plan))


def time_intervals(arch: Architecture, cluster: Cluster, layouts: TrainingPlan) -> tuple[Floats, Floats]:
    """The same of each layout of a plan."""
    if cluster.accelerator.measured_cpu:
        usual = hard = time_interval(arch, cluster, layouts)
    else:
        names = traits(arch, cluster, replace(layouts, micro_batch=None))
        usual, hard = interval("time", names), interval("time", (*names, SHORT))
    short = short_passes(arch, layouts)
    return np.where(short, hard[0], usual[0]), np.where(short, hard[1], usual[1])


def stack_doubt(plan: TrainingPlan) -> tuple[float, float, float]:
    """Time over that predicted [1], and half widths of its logarithm, of a stack nobody named: it may be untuned."""
    if plan.framework:
        return 1.0, 0.0, 0.0
    stack = fact("stack_slowdown/unnamed")
    return stack.value, math.log(stack.value / stack.low), math.log(stack.high / stack.value)


class Layouts(NamedTuple):
    """All layouts of a plan, and what they keep in memory; times are computed for those that may be subset."""

    arch: Architecture
    cluster: Cluster
    plan: TrainingPlan
    numbers: Run
    memory: MemorySplit
    values: Mapping[str, float]

    @property
    def need(self) -> Floats:
        """What each cannot do without [B]."""
        return np.asarray(needed(self.memory, self.numbers, self.values))

    def chance(self, need: Real) -> Floats:
        """That each fits, of so many bytes [1]."""
        spread = interval("memory", traits(self.arch, self.cluster, self.plan))
        beside = need - self.need if anywhere(self.numbers.unsure) else 0.0
        return chance_to_fit(need, self.numbers, self.values, self.cluster.accelerator.usable_bytes, spread, beside)

    @property
    def held_by_host(self) -> Truth:
        """Whether each leaves a machine's own memory enough."""
        return _room(self.arch, self.cluster, self.plan).held_by_host(host_bytes(self.numbers, self.values))

    def fastest(self, allowed: Truths) -> tuple[TrainingPlan, TrainingStep, int]:
        """The fastest of those that are allowed, at least one, its step, and its place among all."""
        kept = np.flatnonzero(allowed)
        numbers, memory = subset(self.numbers, kept), subset(self.memory, kept)
        step = _step(self.arch, self.cluster, self.plan, numbers, memory, self.values)
        best = int(np.argmax(np.asarray(step.tokens_per_s_per_accelerator)))
        return chosen(self.plan, int(kept[best])), subset(step, best), int(kept[best])

    def smallest(self, used: Real) -> DoesNotFit:
        """The error that says what the most frugal layout needs, of `used` bytes each."""
        what = f"training {self.arch.name} ({self.plan.method})"
        return smallest(self.plan, np.asarray(used), self.cluster.accelerator.usable_bytes, what)


def layouts_of(
    arch: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    values: Mapping[str, float] | None = None,
    *,
    grouped: bool = True,
) -> Layouts:
    """All layouts that respect what the plan gives. Raises DoesNotFit when none divides accelerators and batch.

    grouped: whether interleaving takes micro-batches in groups of as many as there are stages
    """
    values = parameters() if values is None else values
    layouts = grid(arch, cluster, plan, grouped=grouped)
    numbers = run(arch, cluster, layouts)
    return Layouts(arch, cluster, layouts, numbers, peak_memory(numbers, values), values)


def likely(chance: Floats, least: float = SURELY) -> Truths:
    """Layouts that fit with at least that chance; where there is none, the likeliest of those that are expected to fit.

    >>> likely(np.array([0.99, 0.7, 0.95])).tolist(), likely(np.array([0.3, 0.7, 0.69])).tolist()
    ([True, False, True], [False, True, True])
    """
    return np.asarray(chance >= max(min(least, float(chance.max()) - AS_LIKELY), 0.5))


def best_layout(
    arch: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    values: Mapping[str, float] | None = None,
    least: float = SURELY,
) -> TrainingPlan:
    """The plan with tp, pp, vpp, ep, zero, micro_batch and recompute filled in where they are None.

    The fastest that fits with a chance of at least `least`; where there is none, the likeliest.
    All layouts are evaluated in one call. Raises DoesNotFit when none fits, saying what the most frugal needs.
    """
    layouts = layouts_of(arch, cluster, plan, values)
    allowed = likely(layouts.chance(layouts.need) * layouts.held_by_host, least)
    if not np.any(allowed):
        raise layouts.smallest(layouts.need)
    return layouts.fastest(allowed)[0]


def interval(quantity: str = "time", traits: Collection[str] = ()) -> tuple[float, float]:
    """80 % half widths of ln(measured / predicted), down and up, from runs whose source was left out of the fit [1].

    quantity: time | memory; traits: see `traits`
    """
    return half_widths(fitted("training")["ranges"], quantity, of_quantity(quantity, traits))


def of_quantity(quantity: str, traits: Collection[str]) -> tuple[str, ...]:
    """Traits as they are learnt: what makes a time hard to foretell may leave memory alone.

    >>> of_quantity("time", ("several nodes",))
    ('several nodes, time',)
    """
    return tuple(f"{trait}, {quantity}" for trait in traits if ALONE.get(trait, quantity) == quantity)


def traits(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> tuple[str, ...]:
    """What makes a run less sure to foretell: what no measured run had, and what was hard wherever it was measured."""
    seen, habits = fitted("training")["seen"], framework(plan.framework)
    unseen = novelties(seen, arch, cluster.accelerator, framework=habits.name)
    unseen += ("new loop",) * (habits.loop not in seen["frameworks"])
    return unseen + difficulties(arch, cluster, plan)


def difficulties(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> tuple[str, ...]:
    """Traits that made errors of measured runs larger, whatever else had been measured."""
    found = {
        "mixture of experts": bool(arch.experts),
        "quantised weights": plan.method == "qlora",
        "several nodes": cluster.nodes > 1,
        "hundreds of accelerators": cluster.count >= HUNDREDS,
        "kernels carried over": carried_over(cluster.accelerator),
        "adapters": plan.method != "full",
        "compiled graph": framework(plan.framework).kernels == "compiled",
        "long sequences": float(np.max(plan.seq_len)) >= LONG,
        SHORT: bool(np.all(short_passes(arch, plan))),
    }
    return tuple(trait for trait, holds in found.items() if holds)


def short_passes(arch: Architecture, plan: TrainingPlan) -> Truth:
    """Whether a layer has so little to compute that launches and small tiles decide; of an open plan, no.

    >>> from estimator.catalog.models import architecture
    >>> [bool(short_passes(architecture("7b"), TrainingPlan(seq_len=256, micro_batch=each, tp=1))) for each in (1, 16)]
    [True, False]
    """
    if plan.micro_batch is None:
        return False
    tokens = plan.sample_tokens * plan.micro_batch / plan.cp
    flop = 2.0 * tokens * active_params(arch) / arch.layers / (1 if plan.tp is None else plan.tp)
    return np.asarray(flop <= SHORT_FLOP)
