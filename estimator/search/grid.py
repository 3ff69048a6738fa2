"""Every valid training layout as equal arrays: what divides what, nothing guessed away.

What the grid leaves out is said here, once: tensor groups that cross a node, sequences cut below 2,048 tokens, chunks
that leave a stage more layers than it had, and sharded weights or gradients under pipelines. An axis that the plan
gives (a number, or several) is taken as it stands.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimator.errors import InvalidInput
from estimator.formulas.transformer import context_parts, tensor_parts
from estimator.predict.training_layout import AXES, CHUNKS, divisors, interleaves, whole_axes
from estimator.predict.training_plan import TrainingPlan
from estimator.records import Architecture, Cluster

RECOMPUTE = np.array(["none", "selective", "full"])
LEAST_TOKENS = 2048  # of a sequence on one rank of a context-parallel group
CONTEXT = (1, 2, 4, 8, 16, 32, 64)
MICRO_BATCHES = tuple(2**power for power in range(8))


def valid_layouts(llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> dict[str, Any]:
    """All layouts of the grid that divide the accelerators, the layers, the sequence and the batch, as equal arrays."""
    columns = valid_columns(llm, cluster, plan)
    return dict(zip(columns, map(np.ravel, np.broadcast_arrays(*columns.values())), strict=True))


def valid_columns(llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> dict[str, Any]:
    """The same as columns [layouts, 1]; recompute, which goes with all else, as a row."""
    axes = {name: _axis(name, llm, cluster, plan) for name in AXES}
    recompute = axes.pop("recompute")
    keep = _valid(llm, cluster, plan, dict(zip(axes, np.ix_(*axes.values()), strict=True)))
    sizes = [len(values) for values in axes.values()]
    places = np.unravel_index(np.flatnonzero(np.broadcast_to(keep, sizes)), sizes)
    found = {name: values[place][:, None] for (name, values), place in zip(axes.items(), places, strict=True)}
    return found | {"recompute": recompute}


def _axis(name: str, llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> NDArray[np.generic]:
    """Values of one axis: as given, else all that could be valid."""
    given = getattr(plan, name)
    if given is None:
        return np.array([1]) if name in whole_axes(plan) else CHOICES[name](llm, cluster, plan)
    values = np.unique(np.atleast_1d(given))
    if name != "recompute" and (
        not np.issubdtype(values.dtype, np.number) or np.any(values != np.floor(values)) or values[0] < (name != "zero")
    ):
        raise InvalidInput(f"{name} must be a whole number from {int(name != 'zero')} up, or several; not {given}")
    return values


def _tensor(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> NDArray[np.int_]:
    """Groups that fill a node, or a rack whose accelerators are all linked, without a rest."""
    device, sizes = cluster.accelerator, divisors(cluster.per_node)
    if (device.domain or 1) > (device.per_node or 8):
        sizes += [size for size in divisors(device.domain or 1) if size % cluster.per_node == 0]
    parts = tensor_parts(llm)
    return np.array([size for size in sorted({*sizes}) if cluster.count % size == 0 and parts % size == 0])


def _pipeline(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> NDArray[np.int_]:
    return np.array([size for size in divisors(cluster.count) if size <= llm.layers])


def _chunks(llm: Architecture, *_: object) -> NDArray[np.int_]:
    return np.array([size for size in CHUNKS if size <= llm.layers])


def _context(llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> NDArray[np.int_]:
    if not context_parts(llm):
        return np.array([1])
    most = max(int(np.max(plan.seq_len)) // LEAST_TOKENS, 1)
    return np.array([size for size in CONTEXT if size <= most and cluster.count % size == 0])


def _expert(llm: Architecture, cluster: Cluster, _: TrainingPlan) -> NDArray[np.int_]:
    experts = llm.experts.experts if llm.experts else 1
    return np.array([size for size in divisors(cluster.count) if experts % size == 0])


def _micro_batch(_: Architecture, __: Cluster, plan: TrainingPlan) -> NDArray[np.int_]:
    return np.array([size for size in MICRO_BATCHES if size <= max(int(np.max(plan.global_batch)), 1)])


CHOICES: Mapping[str, Callable[[Architecture, Cluster, TrainingPlan], NDArray[np.generic]]] = {
    "tp": _tensor,
    "pp": _pipeline,
    "vpp": _chunks,
    "cp": _context,
    "ep": _expert,
    "zero": lambda *_: np.array([0, 1, 2, 3]),
    "micro_batch": _micro_batch,
    "recompute": lambda *_: RECOMPUTE,
}


def _valid(llm: Architecture, cluster: Cluster, plan: TrainingPlan, at: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which of the grid are; `at`: an axis each, so that a condition is worked out for the axes it speaks of alone."""
    per_replica = at["tp"] * at["pp"] * at["cp"]
    dp = np.maximum(cluster.count // per_replica, 1)
    batch = int(np.max(plan.global_batch))
    split = cluster.count % per_replica == 0
    if llm.experts is not None:
        split = split & ((dp * at["cp"] * at["tp"]) % at["ep"] == 0)
    if plan.zero is None:  # under pipelines, sharded gradients and weights would travel for every micro-batch
        split = split & ((at["zero"] < 2) | (at["pp"] == 1)) & ((at["zero"] == 0) | (dp * at["cp"] > 1))
    # Interleaving takes micro-batches in groups of as many as there are stages (arXiv:2104.04473 section 2.2.2).
    grouped = (at["vpp"] == 1) | (batch // (dp * at["micro_batch"]) % at["pp"] == 0)
    taken = (batch % (dp * at["micro_batch"]) == 0) & interleaves(llm.layers, at["pp"], at["vpp"]) & grouped
    return np.asarray(split & taken)


def counts_for(device_per_node: int, most: int) -> list[int]:
    """Numbers of accelerators worth trying: within a node by doubling, then whole nodes by factors of 2 and 3.

    >>> counts_for(8, 64)
    [1, 2, 4, 8, 16, 24, 32, 48, 64]
    """
    inside = [2**power for power in range(device_per_node.bit_length()) if 2**power <= device_per_node]
    nodes = {2**two * 3**three for two, three in itertools.product(range(20), range(2))}
    return sorted({*inside, *(device_per_node * number for number in nodes)} & set(range(1, most + 1)))
