"""What prompts and steps of a load cost on an accelerator: counted passes, timed; or as a server of one's own takes."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.engines import drafts, serving_fit, serving_folds, serving_priors
from estimator.catalog.served_profile import MeasuredServer, measured_server
from estimator.formulas import Floats
from estimator.formulas.serving import Pass, adapter_params
from estimator.predict import served_times
from estimator.predict.serving_load import Load, Times
from estimator.predict.serving_machine import ServingPlan, machine, path
from estimator.predict.serving_time import (
    Constants,
    Machine,
    Path,
    handing_out_s,
    pass_s,
    path_s,
    row_of,
    side_by_side_s,
)
from estimator.records import Architecture, Cluster

Passes = tuple[Floats, Floats, Floats]  # prompts by themselves, what they add to steps, a step [s]


@cache
def constants(fold: str | None = None) -> Constants:
    """Fitted constants by name, engines' factors among them as `phase@engine`; `fold` names what is left out."""
    fit = serving_fit()
    found: dict[str, float] = {name: entry["value"] for name, entry in fit["parameters"].items()} | fit["engines"]
    believed = {name: prior["prior"] for name, prior in serving_priors().items()}
    return believed | (found if fold is None else serving_folds()[fold])


def measured(plan: ServingPlan) -> MeasuredServer | None:
    """The server that was measured, where the plan names one."""
    return measured_server(plan.measured) if plan.measured else None


def drafting_s(arch: Architecture, plan: ServingPlan, step_s: Floats) -> Floats:
    """Proposing the tokens that a step verifies, one after the other [s]: the draft's share of a step, and its launch.

    Source: arXiv:2211.17192 section 3.1 (a draft of cost c takes c per proposed token). Layers of a draft are launched
    from Python, a small LLM takes a step of its own.
    """
    if plan.draft_accepted_tokens <= 1:
        return np.zeros(np.shape(step_s))
    kind, found = drafts()[plan.draft], constants()
    launch = kind.layers * found["uncaptured_layer"] + (kind.share > 0) * found["step"]
    return plan.drafted_tokens * (plan.draft_share(arch) * step_s + launch)


def load_of(arch: Architecture, plan: ServingPlan, prompt: ArrayLike, output: ArrayLike, cached: ArrayLike) -> Load:
    """One kind of request, its lengths as arrays."""
    return Load(arch, plan, plan.cut(arch), *(np.asarray(value, float) for value in (prompt, output, cached)))


def timed(work: Pass, load: Load, cluster: Cluster, phase: str) -> Floats:
    """A pass by itself, with all that its engine does beside it [s]."""
    if cluster.accelerator.measured_cpu:
        from estimator.catalog.local import machine as local_machine  # loaded for these alone
        from estimator.predict import local

        dtype = load.plan.layers(load.arch).compute
        return local.pass_s(load.arch, work, dtype, phase, local_machine(cluster.accelerator.name))
    found = constants()
    on = machine(load.arch, cluster, load.plan)
    return _own(load.plan, phase) * pass_s(work, on, found) + _adapters_s(load.arch, load.plan, work, on, found)


def _own(plan: ServingPlan, phase: str) -> float:
    """Factor of the plan's engine in a phase, or on the way around it [1]."""
    return constants().get(f"{phase}@{plan.facts.family}", 1.0)


def times(load: Load, cluster: Cluster, active: ArrayLike, short: ArrayLike = False) -> Times:
    """What prompts and steps cost with `active` slots kept full; short: where others wait for want of cache."""
    if server := measured(load.plan):
        return _on_server(server, load, active, short)
    way = path(cluster.accelerator, load.plan)
    if cluster.accelerator.measured_cpu:
        work, turns = load.passes_of(active)
        return _handed_out(load, work, turns, _on_cpu(load, work, turns, cluster), way, active, short)
    return times_on(load, machine(load.arch, cluster, load.plan), way, active, short)


def times_on(load: Load, on: Machine, way: Path, active: ArrayLike, short: ArrayLike = False) -> Times:
    """The same on a machine whose rates are known, or on many at once."""
    work, turns = load.passes_of(active)
    return _handed_out(load, work, turns, _on_machine(load, work, turns, on), way, active, short)


def _on_server(server: MeasuredServer, load: Load, active: ArrayLike, short: ArrayLike) -> Times:
    """The same on a server that was measured: drafts, stages and replicas are in its times."""
    one = np.ones(np.broadcast_shapes(np.shape(active), np.shape(load.prompt)))
    shares = load.shares(active, one, one, short)
    shares = shares._replace(computed=shares.computed * load.cut.replicas, drafted=one, stages=one)
    return shares.times(*served_times.passes_s(server, active, load.new, load.output))


def _handed_out(
    load: Load, work: Pass, turns: Floats, passes: Passes, way: Path, active: ArrayLike, short: ArrayLike
) -> Times:
    """Passes as requests share them, with the drafts of a step and the handing out of its tokens."""
    alone, added, step = passes
    step = step + drafting_s(load.arch, load.plan, step) + handing_out_s(way, active, constants())
    return load.shares(active, np.asarray(work.sequences)[0], turns, short).times(alone, added, step)


def _on_machine(load: Load, work: Pass, turns: Floats, on: Machine) -> Passes:
    """The prompts that a step admits by themselves, what they add to steps, and a step [s]."""
    found = constants()
    alone, added, step = side_by_side_s(work, turns, on, found)
    adapters = _adapters_s(load.arch, load.plan, work, on, found)
    prefill, decode = _own(load.plan, "prefill"), _own(load.plan, "decode")
    return prefill * alone + adapters[0], prefill * added + adapters[0], decode * step + adapters[1]


def _on_cpu(load: Load, work: Pass, turns: Floats, cluster: Cluster) -> Passes:
    """The same on a measured CPU, which reads prompts and decodes side by side as fast as its products allow."""
    prompts, step = row_of(work, 0), row_of(work, 1)
    alone, decoded = timed(prompts, load, cluster, "prefill"), timed(step, load, cluster, "decode")
    floor = timed(prompts._replace(rows=prompts.sequences, mean_span=1.0), load, cluster, "decode")
    return alone, np.maximum(alone - turns * floor, 0.0), decoded


def _adapters_s(arch: Architecture, plan: ServingPlan, work: Pass, on: Machine, found: Constants) -> Floats:
    """Unmerged adapters: their weights and two more small products per matrix [s]; merged ones cost nothing.

    Source: S-LoRA, arXiv:2311.03285 section 4 (batched computation beside the base weights); Punica, arXiv:2310.18547.
    """
    if not plan.adapters:
        return np.zeros(np.shape(work.rows))
    used = np.minimum(float(plan.adapters), work.sequences)
    read = used * 2.0 * adapter_params(arch, plan.adapter_rank) / on.members
    launch = found["launch"] * on.layer_launch_s
    launch = launch if plan.facts.adapter_graphs else found["uncaptured_layer"]
    return read / (found["stream"] * on.bytes_per_s) + work.layers * launch


def around_s(plan: ServingPlan, cluster: Cluster, streams: Floats) -> Floats:
    """The way around the engine [s]."""
    if server := measured(plan):
        return served_times.around_s(server)
    return path_s(path(cluster.accelerator, plan), streams, constants()) * _own(plan, "way")
