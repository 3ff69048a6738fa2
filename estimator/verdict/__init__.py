"""The run you already have: hand in its configuration, get a verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from estimator.arguments import check as check_arguments
from estimator.catalog.accelerators import cluster as named_cluster
from estimator.catalog.plan_fields import field_named, plan_fields
from estimator.configs import Run, read_run
from estimator.errors import InvalidInput
from estimator.predict.checked import checked
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME
from estimator.records import Architecture, Cluster
from estimator.verdict.amounts import AMOUNTS, Amount, amount_of
from estimator.verdict.changes import training_changes
from estimator.verdict.named import llm_of
from estimator.verdict.plans import as_run, planned, world
from estimator.verdict.result import LIKELY, Change, Check, Figure, Outcome
from estimator.verdict.served import groups, served
from estimator.verdict.trained import outcome

__all__ = ["Change", "Check", "Figure", "Outcome", "check"]

COUNTS = ("accelerators", "per_node", "nodes", "ranks", "shard")  # settings that say how many accelerators there are
LOADS = ("prompt_tokens", "output_tokens", "concurrency")


def check(
    *files: str | Path,
    gpu: str | Sequence[str] | None = None,
    model: str | None = None,
    data: float | None = None,
    price: Price | float | None = None,
    **fields: Any,
) -> Check:
    """Whether the run that some files describe fits, how long it takes, what it costs, and what would help.

    files: configurations and commands of training and serving tools that belong to one run, in any order
    gpu: one or several accelerators, with or without their count (2xrtx4090); by the files when they say it
    data: samples of an epoch [1]; tokens_per_sample, epochs, steps, prompt_tokens, output_tokens, concurrency: of the
    work; any field of a plan (micro_batch=1) in place of what the files say
    Raises EstimatorError in one line: InvalidInput, UnknownName, MissingExtra.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
    ...     _ = file.write("vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192")
    ...     file.flush()
    ...     found = check(file.name, gpu="1xh100")
    >>> found.task, found.best.fits
    ('serving', True)
    """
    check_arguments(("model", "data"), model=model, data=data)
    run, work = _pinned(read_run(files), fields)
    notes = list(run.notes)
    clusters = clusters_of(run, gpu, notes)
    llm = llm_of(run, model, notes)
    paid = price if isinstance(price, Price) else Price(price)
    if run.task == "serving":
        load = {name: float(work[name]) for name in LOADS if work.get(name)}
        found = [served(run, llm, each, usd_per_hour(each.accelerator, paid, ONE_AT_A_TIME), load) for each in clusters]
        return _checked(run, llm, found, (), notes)
    llm = as_run(llm, run)
    return _trained(run, llm, clusters, paid, amount_of(run.settings, work, data, notes), notes)


def _trained(
    run: Run, llm: Architecture, clusters: Sequence[Cluster], paid: Price, amount: Amount, notes: list[str]
) -> Check:
    made = {each: planned(run, llm, each) for each in clusters}
    prices = {each: usd_per_hour(each.accelerator, paid, ONE_AT_A_TIME) for each in clusters}
    found = [(outcome(made[each], llm, each, prices[each], amount), each) for each in clusters]
    found = sorted(found, key=lambda pair: _order(pair[0]))
    best, where = found[0]
    changes = training_changes(run, made[where], best, llm, where, prices[where], amount)
    return _checked(run, llm, [one for one, _ in found], changes, notes)


def _checked(
    run: Run, llm: Architecture, found: Sequence[Outcome], changes: tuple[Change, ...], notes: list[str]
) -> Check:
    ordered = tuple(sorted(found, key=_order))
    said = [*notes, *ordered[0].notes, *([llm.note] if llm.note and llm.basis == "assumed" else [])]
    return Check(
        run.task, run.tool.title, llm.name, run.files, ordered, run.readings, changes, tuple(dict.fromkeys(said))
    )


def _order(one: Outcome) -> tuple[Any, ...]:
    """What fits first, the cheapest of those first; of what does not fit, what is nearest to it."""
    cost = one.figure("usd").value
    hourly = one.figure("usd_per_hour").value * one.count
    price = cost if cost == cost else hourly
    return (
        one.fit_chance < LIKELY,
        -one.fit_chance if one.fit_chance < LIKELY else 0.0,
        price if price == price else float("inf"),
    )


def clusters_of(run: Run, gpu: str | Sequence[str] | None, notes: list[str]) -> list[Cluster]:
    """The accelerators to try: as given, else as the files say."""
    names = [gpu] if isinstance(gpu, str) else list(gpu or ())
    names = [name.strip() for text in names for name in str(text).split(",") if name.strip()]
    own = run.settings.get("accelerator")
    if not names and not own:
        what = ", ".join(Path(path).name for path in run.files)
        raise InvalidInput(
            f"{what} is a run of {run.tool.title} and does not say on what: name accelerators, such as --gpu 2xrtx4090 "
            "or --gpu a100,h100"
        )
    return [_cluster(run, name, notes) for name in names or str(own).split(",")]


def _cluster(run: Run, name: str, notes: list[str]) -> Cluster:
    found, count = named_cluster(name), world(run.settings)
    if run.task == "serving":
        count = _replica(run)
    per_node = run.settings.get("per_node")
    if isinstance(found, Cluster):
        if count and count != found.count and run.task == "training":
            notes.append(f"the files are of {count} accelerators, asked for are {found.count}: those count")
        return found._replace(per_node=min(found.count, int(per_node or found.accelerator.per_node or 8)))
    nodes, whole = int(run.settings.get("nodes") or 1), int(found.per_node or 8)
    if not count and run.task == "training" and nodes > 1:
        notes.append(f"the files are of {nodes} machines, each is taken to have {whole}: else give --gpu 16x{name}")
        return Cluster(found, nodes * whole, whole)
    if not count and (run.settings.get("strategy") or (run.settings.get("zero") or 0) > 0):
        notes.append(f"the files do not say how many accelerators: one is assumed, give --gpu 8x{name}")
    if count and run.task == "training" and not any(run.settings.get(each) for each in COUNTS):
        notes.append(f"the files do not say how many accelerators: as many as one replica takes, give --gpu 64x{name}")
    return Cluster(found, count or 1, min(count or 1, int(per_node or found.per_node or 8)))


def _replica(run: Run) -> int | None:
    """Accelerators of all copies of a server, by its files; None where they leave it open [1]."""
    tp, pp, ep, copies = groups(run.settings)
    whole = max(tp, ep) * pp * copies
    return whole if whole > 1 else run.settings.get("accelerators") or 1


# --- what is given beside the files -----------------------------------------------------------------------------------


def _pinned(run: Run, fields: Mapping[str, Any]) -> tuple[Run, dict[str, Any]]:
    """The run with fields in place of what its files say, and what is said of the work."""
    work = {name: value for name, value in fields.items() if name in (*AMOUNTS, *LOADS)}
    known = plan_fields(run.task if run.task == "serving" else "training")
    asked = checked(known, {name: value for name, value in fields.items() if name not in work})
    settings = dict(run.settings) | asked
    if "micro_batch" in asked:
        settings.pop("device_batch", None)
    if "cpu_offload" in asked:
        word = asked["cpu_offload"]
        settings |= {f"offload_{part}": word in (part, "all") for part in ("optimizer", "params", "activations")}
    if "weight_precision" in asked and run.task == "training":
        settings |= {"base_bits": "", "base_format": asked["weight_precision"]}
    if "precision" in asked:
        settings |= {"compute": asked["precision"].removeprefix("amp_")}
    return run._replace(settings=settings), work


def named_field(name: str, task: str) -> str | None:
    """The field of a plan, or the amount of work, that a name stands for."""
    if name in (*AMOUNTS, *LOADS):
        return name
    return field_named(name, plan_fields("serving" if task == "serving" else "training"))
