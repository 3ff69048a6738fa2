"""Layouts of a training run: all that divide the accelerators, as one grid of arrays."""

from dataclasses import replace
from typing import Any

import numpy as np

from estimator.catalog.frameworks import framework
from estimator.errors import DoesNotFit
from estimator.formulas.parallelism import stage_layers
from estimator.predict.training_plan import TrainingPlan
from estimator.records import Architecture, Cluster

RECOMPUTE = ("none", "selective", "full")
CHUNKS = (1, 2, 3, 4, 6, 7, 8, 12, 16)  # model chunks of a pipeline stage that are worth trying
MOST_MICRO_BATCH = 64
LONGEST_MICRO_BATCH_TOKENS = 262_144


def grid(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> TrainingPlan:
    """All layouts that respect what the plan gives, as one plan of equally long arrays.

    Raises DoesNotFit when no layout divides the accelerators and the batch.
    """
    choices = {
        "tp": _given(plan.tp, _tensor_parallel(arch, cluster, plan)),
        "pp": _given(plan.pp, _pipelines(arch, cluster, plan)),
        "vpp": _given(plan.vpp, [v for v in CHUNKS if v <= arch.layers]),
        "ep": _given(plan.ep, _expert_parallel(arch, cluster)),
        "zero": _given(plan.zero, [0, 1, 3]),
        "micro_batch": _given(plan.micro_batch, _micro_batches(plan)),
        "recompute": _given(plan.recompute, RECOMPUTE),
    }
    values = {name: np.asarray(choice) for name, choice in choices.items()}
    axes = dict(zip(values, np.ix_(*values.values()), strict=True))
    keep = np.broadcast_to(_valid(arch, cluster, plan, axes), [len(each) for each in values.values()])
    if not np.any(keep):
        raise DoesNotFit(
            f"no layout divides {cluster.count} accelerators and a global batch of {plan.global_batch} sequences. "
            "Give a larger global batch, or fewer accelerators."
        )
    valid = zip(values.items(), np.nonzero(keep), strict=True)
    layouts: dict[str, Any] = {name: each[places] for (name, each), places in valid}
    return replace(plan, **layouts)


def divisors(number: int) -> list[int]:
    """All divisors, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else sorted(set(np.ravel(value).tolist()))


def _tensor_parallel(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> list[int]:
    inside = max(cluster.per_node, 1) if framework(plan.framework).model_parallel else 1
    return [t for t in divisors(cluster.count) if t <= min(inside, 16) and arch.heads % t == 0]


def _pipelines(arch: Architecture, cluster: Cluster, plan: TrainingPlan) -> list[int]:
    most = min(arch.layers, 128) if framework(plan.framework).model_parallel else 1
    return [p for p in divisors(cluster.count) if p <= most]


def _expert_parallel(arch: Architecture, cluster: Cluster) -> list[int]:
    if not arch.experts:
        return [1]
    return [e for e in divisors(cluster.count) if arch.experts.experts % e == 0 and e <= 64]


def _micro_batches(plan: TrainingPlan) -> list[int]:
    most = min(MOST_MICRO_BATCH, int(np.max(plan.global_batch)))
    longest = max(LONGEST_MICRO_BATCH_TOKENS // int(np.max(plan.seq_len)), 1)
    return [2**i for i in range(8) if 2**i <= min(most, longest)] or [1]


def _valid(arch: Architecture, cluster: Cluster, plan: TrainingPlan, layout: dict[str, Any]) -> Any:
    """Layouts that divide the accelerators and give every replica work; sharding weights under pipelines is not one."""
    per_replica = layout["tp"] * layout["pp"] * plan.cp
    dp = cluster.count // per_replica
    keep = (cluster.count % per_replica == 0) & (dp * layout["micro_batch"] <= np.max(plan.global_batch))
    if plan.vpp is None:
        keep = keep & interleaves(arch, layout["pp"], layout["vpp"])
    if arch.experts:
        keep = keep & ((dp * plan.cp * layout["tp"]) % layout["ep"] == 0)
    if plan.zero is None:
        keep = keep & ((layout["pp"] == 1) | (layout["zero"] < 3))
        keep = keep & ((layout["zero"] == 0) == (dp * plan.cp == 1))
    return keep


def interleaves(arch: Architecture, pp: Any, vpp: Any) -> Any:
    """Whether so many chunks a stage leave no stage more layers than it had: others only wait longer."""
    whole = stage_layers(arch.layers, pp) >= stage_layers(arch.layers, pp, vpp)
    return (np.asarray(vpp) == 1) | ((np.asarray(pp) > 1) & whole)


def chosen(layouts: TrainingPlan, best: int) -> TrainingPlan:
    """One layout of a grid, as a plan of single numbers."""
    names = ("tp", "pp", "vpp", "ep", "zero", "micro_batch")
    numbers: dict[str, Any] = {name: int(getattr(layouts, name)[best]) for name in names}
    return replace(layouts, **numbers, recompute=str(layouts.recompute[best]))


def smallest(layouts: TrainingPlan, used: Any, capacity: float, what: str) -> DoesNotFit:
    """The error that says what the most frugal layout needs."""
    least = int(np.argmin(used))
    plan = chosen(layouts, least)
    return DoesNotFit(
        f"{what} does not fit: the most frugal layout (tp {plan.tp}, pp {plan.pp}, ZeRO {plan.zero}, micro-batch "
        f"{plan.micro_batch}, recompute {plan.recompute}) needs {used[least] / 1e9:.0f} GB of {capacity / 1e9:.0f} GB "
        "per accelerator. Use more or larger accelerators, LoRA or QLoRA, an 8-bit optimizer, or shorter sequences."
    )
