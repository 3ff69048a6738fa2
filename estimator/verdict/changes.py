"""Changes of a run that would help, each computed: what makes it fit where it does not, what saves where it does."""

from collections.abc import Iterator, Mapping
from typing import Any

from estimator.catalog.tools import Key
from estimator.configs import Run
from estimator.errors import EstimatorError
from estimator.quantities import Quantity
from estimator.records import Architecture, Cluster
from estimator.verdict.amounts import Amount
from estimator.verdict.plans import Planned
from estimator.verdict.result import Change, Outcome
from estimator.verdict.trained import changed, outcome

SURE = 0.9  # chance of fitting from which a change is called safe
FASTER = 0.95  # share of the time below which a change is worth a line
LEARNT = {"seq_len", "method"}  # fields that change what is learnt: told after those that do not
MOST = 4  # changes that are told
LITTLE = 0.02  # of a chance: what is less is no help


def training_changes(
    run: Run, made: Planned, now: Outcome, llm: Architecture, cluster: Cluster, price: Quantity, amount: Amount
) -> tuple[Change, ...]:
    """The changes that help a training run, those that cost least time first."""
    found = []
    for sets in _candidates(made, cluster):
        try:
            after = outcome(changed(made, sets), llm, cluster, price, amount)
        except EstimatorError:
            continue
        found.append(Change(spelled(run, sets, made.rows), sets, after))
    return tuple(_helpful(now, found))


def _helpful(now: Outcome, found: list[Change]) -> Iterator[Change]:
    """Where it does not surely fit, what makes it fit more surely; else what makes it faster and still fits."""
    sure = [one for one in found if one.outcome.fit_chance >= SURE]
    if now.fit_chance >= SURE:
        better = [one for one in sure if _pace(one.outcome) < FASTER * _pace(now) and not LEARNT & {*one.sets}]
        yield from sorted(better, key=lambda one: _pace(one.outcome))[:MOST]
        return
    unsure = [one for one in found if one not in sure and one.outcome.fit_chance > now.fit_chance + LITTLE]
    ranked = [
        *sorted(sure, key=lambda one: (bool(LEARNT & {*one.sets}), _pace(one.outcome))),
        *sorted(unsure, key=lambda one: -one.outcome.fit_chance),
    ]
    yield from ranked[:MOST]


def _pace(one: Outcome) -> float:
    """Time of the run; where that is not known, of a sample."""
    run = one.figure("run_s")
    return run.value if run.known else one.figure("step_s").value / one.plan["global_batch"]


def _candidates(made: Planned, cluster: Cluster) -> Iterator[Mapping[str, Any]]:
    """Changes that keep what is learnt (batch, length, adapters), then those that do not."""
    plan, least = made.plan, int(made.rows)
    micro = plan.micro_batch
    if plan.recompute != "full":
        yield {"recompute": "full"}
    else:
        yield {"recompute": "none"}
    if micro and micro > least:
        yield {"micro_batch": max(micro // 2 // least * least, least)}
        if plan.recompute != "full":
            yield {"micro_batch": least, "recompute": "full"}
    if micro and plan.global_batch >= 2 * micro * cluster.count / (plan.tp * plan.pp * plan.cp):
        yield {"micro_batch": micro * 2}
    if cluster.count > 1 and plan.zero < 3 and plan.tp * plan.pp == 1:
        yield {"zero": 3}
    if "8bit" not in plan.optimizer and plan.method == "full":
        yield {"optimizer": "adamw_8bit"}
    if "optimizer" not in plan.cpu_offload and plan.method == "full":
        yield {"cpu_offload": "optimizer"}
    if "params" not in plan.cpu_offload and plan.zero == 3:
        yield {"cpu_offload": "optimizer+params"}
    if plan.framework in ("axolotl", "hf trainer", "trl", "llama-factory", "swift"):
        yield {"framework": "liger"}
        if micro and micro > least:
            yield {"micro_batch": least, "recompute": "full", "framework": "liger"}
    if plan.seq_len > 1024:
        yield {"seq_len": plan.seq_len // 2}
    if plan.method == "full":
        yield {"method": "lora", "precision": plan.precision.removesuffix("-true").removeprefix("amp_")}
    if plan.method != "qlora":
        yield {
            "method": "qlora",
            "weight_precision": "nf4",
            "precision": plan.precision.removesuffix("-true").removeprefix("amp_"),
        }


def spelled(run: Run, sets: Mapping[str, Any], rows: float = 1.0) -> str:
    """A change in the tool's own words, such as `gradient_checkpointing: true`; in ours where it has none.

    rows: of a sample, which tools count
    """
    told = {name: value / rows if name == "micro_batch" else value for name, value in sets.items()}
    return ", ".join(
        _spelled(run, name, value) for name, value in told.items() if name not in ("weight_precision", "precision")
    )


OURS = {
    "fused_loss": "a fused loss kernel (Liger)",
    "cpu_offload": "{} in host memory",
    "zero": "ZeRO-{} or FSDP",
    "optimizer": "optimizer {}",
    "method": "{}",
}


def _spelled(run: Run, name: str, value: Any) -> str:
    if (name, value) == ("framework", "liger"):
        name, value = "fused_loss", True
    read = run.came_from(name)
    key = run.tool.exact(read.key) if read else None
    shown = read.key if read and key and key.field == name else ""
    if not shown:
        key = next((each for each in run.tool.keys.values() if each.field == name and not each.ignore), None)
    words = None if key is None else _word(key, value)
    if key is None or words is None:
        return OURS.get(name, f"{name} {{}}").format(value)
    shown = shown or key.name
    if run.tool.style == "hydra":
        return f"{shown}={words}"
    return f"--{shown.replace('_', '-')} {words}" if run.tool.style == "args" else f"{shown}: {words}"


def _word(key: Key, value: Any) -> str | None:
    """The tool's word for one of our values; None where it has no such word."""
    for word, ours in key.values.items():
        if ours == value:
            return word
    if key.values or key.patterns:
        return None
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
