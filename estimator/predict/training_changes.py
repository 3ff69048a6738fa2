"""What would help a training plan that may not fit: single changes, each computed, none that is so already."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from estimator.catalog.efficiency import collective_efficiency
from estimator.catalog.optimizers import optimizer
from estimator.errors import EstimatorError
from estimator.predict.training import AS_LIKELY, TrainingPlan, TrainingStep, training_step
from estimator.records import Architecture, Cluster
from estimator.text import digits

EIGHT_BIT = "adamw_8bit"
SHORTEST = 512  # tokens below which shorter sequences are no advice
SAME = 0.005  # difference of times that is none
SHOWN = 4
SOME = 10  # steps of a short run


class Change(NamedTuple):
    """One change, and what comes of it.

    need_bytes: of each accelerator [B]; fit_chance [1]; slower: time of a run over the plan's, less 1 [1]
    more: accelerators over the plan's [1]
    """

    words: str
    need_bytes: float
    fit_chance: float
    slower: float
    more: float

    def text(self) -> str:
        """Such as "micro-batch 1: 17.1 GB, fits 97 %, 5 % slower"."""
        way = "slower" if self.slower > 0 else "faster"
        pace = "as fast" if abs(self.slower) < SAME else f"{abs(self.slower):.0%} {way}"
        return f"{self.words}: {self.need_bytes / 1e9:.3g} GB, fits {percent(self.fit_chance)}, {pace}"


def percent(chance: float) -> str:
    """A chance as people say it.

    >>> percent(0.972), percent(0.9999), percent(0.0001)
    ('97 %', 'over 99 %', 'under 1 %')
    """
    return "over 99 %" if chance > 0.995 else "under 1 %" if chance < 0.005 else f"{100 * chance:.0f} %"


def between(cluster: Cluster) -> str:
    """What is assumed of machines and the network between them."""
    network = collective_efficiency(cluster.accelerator)
    known = cluster.accelerator.network_bytes_per_s
    line = known if known is not None else network.network_bytes_per_s
    guess = "" if known is not None else ", a guess, as none is known of it"
    return (
        f"{cluster.nodes:,} machines of {cluster.per_node}: it assumes {line * 8 / 1e9:,.3g} Gbit/s for each "
        f"accelerator between them{guess} (network_gbit_per_s, gpus_per_node).{_unlinked(cluster)}"
    )


def _unlinked(cluster: Cluster) -> str:
    """That nothing is known to join them: neither a link to another accelerator nor a network between machines."""
    device = cluster.accelerator
    if device.network_bytes_per_s is not None or device.link_bytes_per_s is not None:
        return ""
    return (
        f" Nothing is known that joins {device.title}, no link and no network: {cluster.nodes:,} of them say how much "
        "work it is, and are no cluster that anybody is known to build."
    )


def under_a_step(rows: float, batch: float, name: str, of_a_row: float = 1.0) -> tuple[str, ...]:
    """That a run has fewer rows than one step takes; name: of its batch, which counts `of_a_row` for each.

    >>> under_a_step(64, 64, "global_batch")
    ()
    >>> under_a_step(38.1, 64, "global_batch")[0].partition(": ")[0]
    'The run is less than one step'
    """
    if rows >= batch:
        return ()
    one, few = (f"{name}={max(rows // steps, 1) * of_a_row:.0f}" for steps in (1, SOME))
    fewer = f", {few} of it some {SOME}" if rows >= 2 * SOME else ""
    return (
        f"The run is less than one step: {digits(rows)} sequences where a step takes {batch:,.0f}, and weights change "
        f"with a step. {one} makes one of it{fewer}.",
    )


def verdict(chance: float, peak_bytes: float, usable_bytes: float, host_bytes: float = 0.0) -> str:
    """How surely a plan fits, and into what; with what it takes of a machine's own memory.

    >>> verdict(0.97, 61e9, 79e9), verdict(0.6, 70e9, 79e9, 5e11)
    ('Fits: 97 %, 61 of 79 GB.', "Fits: 60 %, 70 of 79 GB; 500 GB of each machine's own memory.")
    """
    beside = f"; {host_bytes / 1e9:,.0f} GB of each machine's own memory" if host_bytes else ""
    return f"Fits: {percent(chance)}, {peak_bytes / 1e9:.3g} of {usable_bytes / 1e9:.3g} GB{beside}."


def helpful(
    arch: Architecture, cluster: Cluster, plan: TrainingPlan, step: TrainingStep, least: float
) -> tuple[Change, ...]:
    """Single changes after which a plan of single numbers fits more surely: those that suffice first, cheapest first.

    >>> from estimator.catalog.accelerators import cluster
    >>> from estimator.catalog.models import architecture
    >>> llm, one = architecture("llama-2-7b"), cluster("1xrtx-4090")
    >>> plan = TrainingPlan(micro_batch=4, global_batch=64, method="lora", recompute="full", framework="peft")
    >>> [change.words for change in helpful(llm, one, plan, training_step(llm, one, plan), 0.9)][:2]
    ['micro-batch 1', 'sequences of 2,048 tokens']
    """
    pace = float(step.tokens_per_s_per_accelerator) * cluster.count
    found = []
    for words, machines, other in _changes(cluster, plan):
        try:
            after = training_step(arch, machines, other)
        except EstimatorError:
            continue
        slower = pace / (float(after.tokens_per_s_per_accelerator) * machines.count) - 1
        more = machines.count / cluster.count
        found.append(Change(words, float(after.need_bytes), float(after.fit_chance), slower, more))
    better = [change for change in found if change.fit_chance > float(step.fit_chance) + AS_LIKELY]
    return tuple(sorted(better, key=lambda one: (one.fit_chance < least, (1 + one.slower) * one.more))[:SHOWN])


def _changes(cluster: Cluster, plan: TrainingPlan) -> Iterator[tuple[str, Cluster, TrainingPlan]]:
    """Every change that is none yet: words, the accelerators and the plan after it."""
    replicas = cluster.count // int((plan.tp or 1) * (plan.pp or 1) * plan.cp)
    full = plan.method == "full"
    if (plan.micro_batch or 1) > 1:
        yield "micro-batch 1", cluster, replace(plan, micro_batch=1)
    if plan.recompute != "full":
        yield "full recompute", cluster, replace(plan, recompute="full")
    if (plan.zero or 0) < 3 and replicas > 1 and (plan.pp or 1) == 1:
        yield "ZeRO-3", cluster, replace(plan, zero=3)
    if full and optimizer(plan.optimizer) == optimizer("adamw"):
        yield "an 8-bit optimizer", cluster, replace(plan, optimizer=EIGHT_BIT)
    if full and not plan.cpu_offload:
        yield "optimizer in host memory", cluster, replace(plan, cpu_offload="optimizer")
    if full:
        yield "LoRA", cluster, replace(plan, method="lora")
    if plan.method == "lora":
        yield "QLoRA", cluster, replace(plan, method="qlora")
    if float(np.max(plan.seq_len)) >= 2 * SHORTEST and not plan.contrastive:
        half = int(plan.seq_len) // 2
        yield f"sequences of {half:,} tokens", cluster, replace(plan, seq_len=half, global_batch=2 * plan.global_batch)
    if 2 * replicas * (plan.micro_batch or 1) <= plan.global_batch and ((plan.zero or 0) > 0 or replicas == 1):
        count = 2 * cluster.count
        per_node = max(cluster.per_node, min(count, cluster.accelerator.per_node or 8))
        more = cluster._replace(count=count, per_node=per_node)
        yield f"{count} accelerators", more, replace(plan, zero=3 if replicas == 1 else plan.zero)
