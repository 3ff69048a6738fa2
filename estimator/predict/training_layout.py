"""Layouts of a training run: all that divide the accelerators, as one grid of arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.frameworks import framework
from estimator.errors import DoesNotFit
from estimator.formulas import Floats, Truths
from estimator.formulas.parallelism import stage_layers
from estimator.formulas.transformer import tensor_parts
from estimator.predict.columns import stacked
from estimator.predict.training_plan import Open, Run, TrainingPlan, machines_of, run
from estimator.records import Architecture, Cluster

COLUMNS = ("tp", "pp", "vpp", "cp", "ep", "zero", "micro_batch")
AXES = (*COLUMNS, "recompute")
RECOMPUTE = ("none", "selective", "full")
CHUNKS = (1, 2, 3, 4, 6, 7, 8, 12, 16)  # model chunks of a pipeline stage that are worth trying
MOST_MICRO_BATCH = 64
LONGEST_MICRO_BATCH_TOKENS = 262_144


class NothingDivides(DoesNotFit):
    """No layout divides the accelerators and the batch."""


def grid(arch: Architecture, cluster: Cluster, plan: TrainingPlan, *, grouped: bool = True) -> TrainingPlan:
    """All layouts that respect what the plan gives, as one plan of equally long arrays.

    grouped: whether interleaving takes micro-batches in groups of as many as there are stages

    Raises NothingDivides when no layout divides the accelerators and the batch.
    """
    most = int(np.max(plan.global_batch))
    choices = {
        "tp": _tensor_parallel(arch, cluster),
        "pp": [p for p in divisors(cluster.count) if p <= min(arch.layers, 128)],
        "vpp": [v for v in CHUNKS if v <= arch.layers],
        "ep": _expert_parallel(arch, cluster),
        "zero": [0, 1, 3],
        "micro_batch": _micro_batches(plan, most),
        "recompute": RECOMPUTE,
    }
    choices |= {name: [1] for name in whole_axes(plan)}
    given = {name: value for name in choices if (value := getattr(plan, name)) is not None}
    choices |= {name: sorted(set(np.ravel(value).tolist())) for name, value in given.items()}
    axes = tuple((name, tuple(choice)) for name, choice in choices.items())
    several = arch.experts is not None, grouped
    layouts = _valid(axes, tuple(given), cluster.count, float(plan.cp), most, arch.layers, *several)
    if not layouts["tp"].size:
        raise NothingDivides(
            f"no layout divides {cluster.count} accelerators and a global batch of {plan.global_batch} sequences. "
            "Give a larger global batch, or fewer accelerators."
        )
    return replace(plan, **layouts)


def divisors(number: int) -> list[int]:
    """All divisors, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def whole_axes(plan: TrainingPlan) -> tuple[str, ...]:
    """Axes along which the plan's framework splits nothing, as it splits data alone.

    >>> whole_axes(TrainingPlan(seq_len=2048, framework="HF Trainer")), whole_axes(TrainingPlan(seq_len=2048))
    (('tp', 'pp', 'ep'), ())
    """
    return () if framework(plan.framework).model_parallel else ("tp", "pp", "ep")


def _tensor_parallel(arch: Architecture, cluster: Cluster) -> list[int]:
    inside = max(cluster.per_node, 1)
    return [t for t in divisors(cluster.count) if t <= min(inside, 16) and tensor_parts(arch) % t == 0]


def _expert_parallel(arch: Architecture, cluster: Cluster) -> list[int]:
    if not arch.experts:
        return [1]
    return [e for e in divisors(cluster.count) if arch.experts.experts % e == 0 and e <= 64]


def _micro_batches(plan: TrainingPlan, global_batch: int) -> list[int]:
    longest = max(LONGEST_MICRO_BATCH_TOKENS // int(np.max(plan.sample_tokens)), 1)
    return [2**i for i in range(8) if 2**i <= min(MOST_MICRO_BATCH, global_batch, longest)] or [1]


@lru_cache(maxsize=256)
def _valid(
    axes: tuple[tuple[str, tuple[float | str, ...]], ...],
    given: tuple[str, ...],
    count: int,
    cp: float,
    global_batch: int,
    layers: int,
    experts: bool,
    grouped: bool,
) -> Mapping[str, Open]:
    """Layouts that divide the accelerators and give every replica work; sharding weights under pipelines is not one."""
    values = {name: np.asarray(choice) for name, choice in axes}
    at = dict(zip(values, np.ix_(*values.values()), strict=True))
    per_replica = at["tp"] * at["pp"] * cp
    dp = count // per_replica
    keep = (count % per_replica == 0) & (dp * at["micro_batch"] <= global_batch)
    if experts:
        keep = keep & ((dp * cp * at["tp"]) % at["ep"] == 0)
    if "vpp" not in given:
        keep = keep & interleaves(layers, at["pp"], at["vpp"])
    if grouped and "vpp" not in given:
        keep = keep & ((at["vpp"] == 1) | (global_batch // np.maximum(dp * at["micro_batch"], 1) % at["pp"] == 0))
    if "zero" not in given:
        keep = keep & ((at["pp"] == 1) | (at["zero"] < 3))
        keep = keep & ((at["zero"] == 0) == (dp * cp == 1))
    places = np.nonzero(np.broadcast_to(keep, [len(each) for each in values.values()]))
    return {name: each[place] for (name, each), place in zip(values.items(), places, strict=True)}


def interleaves(layers: int, pp: ArrayLike, vpp: ArrayLike) -> Truths:
    """Whether so many chunks a stage leave no stage more layers than it had: others only wait longer."""
    whole = stage_layers(layers, pp) >= stage_layers(layers, pp, vpp)
    return (np.asarray(vpp) == 1) | ((np.asarray(pp) > 1) & whole)


def runs(arch: Architecture, asked: Sequence[tuple[Cluster, TrainingPlan]]) -> Run:
    """Plans of layouts in columns as one run of them all; rates are those of the first cluster for each format.

    axes: columns [layouts, 1], recompute a row of alternatives, the same in all plans (`predict.columns`)
    Plans differ in layout, format, offloading and number of accelerators; neighbours with the same words are one call.
    """
    alike = groupby(asked, lambda one: (one[1].precision, one[1].cpu_offload))
    found = [_run_of(arch, list(same)) for _, same in alike]
    return stacked(found, [np.size(one.tp) for one in found])


def _run_of(arch: Architecture, asked: Sequence[tuple[Cluster, TrainingPlan]]) -> Run:
    """The same of plans that differ in layout and number of accelerators alone."""
    (cluster, plan), sizes = asked[0], [len(plan.tp) for _, plan in asked]
    axes: dict[str, Open] = {name: np.concatenate([getattr(plan, name) for _, plan in asked]) for name in COLUMNS}
    return run(arch, cluster, replace(plan, **axes), machines=stacked([machines_of(one) for one, _ in asked], sizes))


def chosen(layouts: TrainingPlan, best: int) -> TrainingPlan:
    """One layout of a grid, as a plan of single numbers."""
    names = ("tp", "pp", "vpp", "ep", "zero", "micro_batch")
    numbers: dict[str, Open] = {name: int(getattr(layouts, name)[best]) for name in names}
    return replace(layouts, **numbers, recompute=str(layouts.recompute[best]))


def smallest(layouts: TrainingPlan, used: Floats, capacity: float, what: str) -> DoesNotFit:
    """The error that says what the most frugal layout needs."""
    least = int(np.argmin(used))
    plan = chosen(layouts, least)
    fewer = {"full": "LoRA or QLoRA, an 8-bit optimizer, ", "lora": "QLoRA, "}.get(layouts.method, "")
    return DoesNotFit(
        f"{what} does not fit: the most frugal layout (tp {plan.tp}, pp {plan.pp}, ZeRO {plan.zero}, micro-batch "
        f"{plan.micro_batch}, recompute {plan.recompute}) needs {used[least] / 1e9:.0f} GB of {capacity / 1e9:.0f} GB "
        f"per accelerator. Use more or larger accelerators, {fewer}or shorter sequences."
    )
