"""From names to a search: what `estimator layout` and `layout(...)` do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from estimator.arguments import NAMES, check, check_kind
from estimator.catalog.accelerators import cluster as named_cluster
from estimator.catalog.facts import fact
from estimator.catalog.models import architecture
from estimator.catalog.plan_fields import PlanField, field_named, plan_fields
from estimator.catalog.precisions import training_precision
from estimator.catalog.prices import common_providers
from estimator.errors import DoesNotFit, InvalidInput, UnknownName
from estimator.formulas import alignment, scaling, transformer
from estimator.predict.chance import SURELY
from estimator.predict.checked import checked, checked_value
from estimator.predict.reliability import usual_goodput
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan
from estimator.predict.training_changes import under_a_step
from estimator.predict.training_layout import AXES
from estimator.predict.training_plan import beyond_positions, check_positions
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME
from estimator.records import Architecture, Cluster
from estimator.scenario import default_scenario
from estimator.search.grid import counts_for
from estimator.search.result import Search
from estimator.search.serving import Targets, best_serving
from estimator.search.training import OFFLOAD, Offer, best_training
from estimator.stages import TASKS
from estimator.stages.pretrain import batch_for

OPEN: dict[str, Any] = dict.fromkeys(AXES)  # every axis of the layout is searched unless given
FIELDS = {"train": ("training", "training_goal"), "serve": ("serving", "serving_goal")}  # sections of plan.toml
MOST_TRAINING = 1024
NODES_A_REPLICA = 4


def layout(
    *,
    model: str,
    gpu: str | Sequence[str],
    task: str = "pretrain",
    price: Price | float | None = None,
    most: int | None = None,
    precisions: Sequence[str] | None = None,
    careful: bool = False,
    **choices: object,
) -> Search:
    """The best layout for training or serving, over every valid one; the front of time, money and memory beside it.

    gpu: one or several names, each with its count (1024xa100), to serve that of all replicas, or without (then every
    count up to `most` is tried, to train; to serve, replicas of up to `most`, four nodes unless given)
    precisions: to try, such as ("bf16", "fp8"); careful: memory, deadline and targets hold at their ranges' ends
    task pretrain (or train), finetune: tokens, deadline_days, fit_chance, seq_len, global_batch, method, ... (fields of
    TrainingPlan); an axis of the layout that is given (tp=8, or tp=[4, 8]) is searched no further. The goal is time, or
    money when there is a deadline. Interruptions of long runs are counted in.
    task serve: prompt_tokens, output_tokens, ttft_s, tpot_s, requests_per_s, utilisation, ... (fields of ServingPlan)
    Raises EstimatorError: UnknownName, InvalidInput, DoesNotFit.

    >>> found = layout(model="8b", gpu="8xh100", seq_len=4096, global_batch=256, tokens=1e9)
    >>> found.best.accelerators, found.evaluated > 100
    (8, True)
    """
    check(("most", "precisions"), task=task, most=most, model=model, precisions=precisions, careful=careful)
    task = "pretrain" if task == "train" else task
    if task not in TASKS:
        raise UnknownName("task", task, (*TASKS, "train"), f"Tasks are {', '.join(TASKS)}.")
    if most is not None and most < 1:
        raise InvalidInput(f"most must be at least 1, not {most}")
    llm = architecture(str(model))
    names = [gpu] if isinstance(gpu, str) else gpu
    check_kind("gpu", names, NAMES)
    if not names:
        raise InvalidInput("name accelerators, such as a100 or 8xh100")
    paid, said = _comparable(names, price if isinstance(price, Price) else Price(price))
    if task == "serve":
        asked = asked_of("serve", task, choices)
        served = _serve(llm, [_replica(name, paid, most) for name in names], precisions, careful=careful, **asked)
        return replace(served, notes=(*served.notes, *said))
    tried = _offloads(choices)
    asked = asked_of("train", task, choices)
    machines = {name: asked.pop(name, 0.0) for name in ("gpus_per_node", "host_memory_gb", "network_gbit_per_s")}
    offers = [offer for name in names for offer in _offers(name, paid, most or MOST_TRAINING, **machines)]
    if not offers:
        raise InvalidInput(f"no number of accelerators up to {most} can be tried")
    usual = _pretraining(llm, asked) if task == "pretrain" else _finetuning(llm, asked)
    lengths = [float((usual | asked).get(name, 0.0)) for name in ("seq_len", "query_len")]
    longest = max(lengths) if task == "finetune" else 0.0
    check_positions(llm, longest)
    found = _train(llm, offers, precisions, tried, careful=careful, **usual | asked)
    return replace(found, notes=(*found.notes, *_short(usual | asked), *beyond_positions(llm, longest), *said))


def _short(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """That the run is less than one step."""
    sample = [float(asked.get(name, 0.0)) for name in ("query_len", "seq_len", "passages_per_query")]
    row = alignment.contrastive_tokens(*sample) if sample[-1] else sample[1]
    return under_a_step(float(asked["tokens"]) / float(row), asked["global_batch"], "global_batch")


def _comparable(names: Sequence[str], price: Price) -> tuple[Price, tuple[str, ...]]:
    """Prices of the same providers for all accelerators, where some list all of them; else that they are not."""
    found = [named_cluster(name) for name in names]
    devices = {one.accelerator.name if isinstance(one, Cluster) else one.name for one in found}
    if len(devices) == 1 or any(one is not None for one in (price.per_hour, price.purchase, price.provider)):
        return price, ()
    common = ",".join(common_providers(devices, price.commitment))
    if "," in common:
        return replace(price, provider=common), (f"Prices are medians of those who list all of these: {common}.",)
    said = "No two providers list all of these accelerators: what costs less rests on who lists what (--provider)."
    return price, (said,)


def asked_of(kind: str, task: str, choices: Mapping[str, object]) -> dict[str, Any]:
    """What was chosen, by the names of the fields; what is None stays open. Refuses what belongs to another task."""
    fields, other = searched(kind), searched("train" if kind == "serve" else "serve")
    for name in choices:
        if not field_named(name, fields) and field_named(name, other):
            suited = "pretrain or finetune" if kind == "serve" else "serve"
            raise InvalidInput(f"{name} belongs to the task {suited}, not to {task}")
    return checked(fields, {name: value for name, value in choices.items() if value is not None})


def searched(kind: str) -> dict[str, PlanField]:
    """The fields that a search takes, to train or to serve; several values of axes alone."""
    fields = plan_fields(*FIELDS[kind]).items()
    return {name: field._replace(several=field.several and name in AXES) for name, field in fields}


def _offloads(choices: dict[str, object]) -> tuple[tuple[str, ...], ...]:
    """What may wait in host memory, taken out of the choices: as given, else nothing unless nothing else will do."""
    given = choices.pop("cpu_offload", choices.pop("offloads", None))
    if given is None:
        return ("",), OFFLOAD
    field = plan_fields("training")["cpu_offload"]
    words = given if isinstance(given, list | tuple) and given else [given]
    return (tuple(checked_value(field, word) for word in words),)


# --- what there is to choose from -------------------------------------------------------------------------------------


def _offers(
    name: str, price: Price, most: int, gpus_per_node: int, host_memory_gb: float, network_gbit_per_s: float
) -> list[Offer]:
    """The clusters a name stands for: one when it has a count, else every count worth trying; 0: machines as usual."""
    found = named_cluster(name)
    one, device = (found, found.accelerator) if isinstance(found, Cluster) else (None, found)
    per_node = gpus_per_node or (one.per_node if one else device.per_node or 8)
    clusters = [one] if one else [Cluster(device, count, count) for count in counts_for(per_node, most)]
    hourly = usd_per_hour(device, price, ONE_AT_A_TIME)
    if network_gbit_per_s:
        device = device._replace(network_bytes_per_s=network_gbit_per_s * 1e9 / 8)
    offered = [each._replace(accelerator=device, per_node=min(each.count, per_node)) for each in clusters]
    if host_memory_gb:
        offered = [each._replace(host_bytes=host_memory_gb * 1e9) for each in offered]
    return [Offer(cluster, hourly, usual_goodput(cluster)) for cluster in offered]


def _replica(name: str, price: Price, most: int | None) -> Offer:
    """The most accelerators a replica may use: as given, which is all there are, else some nodes."""
    found, there = named_cluster(name), math.inf
    if isinstance(found, Cluster):
        there = found.count
    else:
        per_node = found.per_node or 8
        count = most or NODES_A_REPLICA * per_node
        found = Cluster(found, count, min(count, per_node))
    return Offer(found, usd_per_hour(found.accelerator, price, ONE_AT_A_TIME), most=there)


# --- the two searches with what is usual ------------------------------------------------------------------------------


def _pretraining(llm: Architecture, choices: dict[str, Any]) -> dict[str, Any]:
    usual = default_scenario()
    seq_len = choices.get("seq_len", usual.amount("pretrain_seq_len").value)
    tokens = choices.get("tokens") or _optimal_tokens(llm)
    return {
        "tokens": tokens,
        "seq_len": seq_len,
        "global_batch": batch_for(6 * transformer.matmul_params(llm) * tokens, seq_len),
        "precision": usual.word("pretrain_precision"),
        "optimizer": usual.word("pretrain_optimizer"),
        "framework": usual.word("pretrain_framework"),
    }


def _finetuning(llm: Architecture, choices: dict[str, Any]) -> dict[str, Any]:
    usual = default_scenario()
    sample = _sample(llm, choices)
    each = alignment.contrastive_tokens(*sample.values()) if sample else usual.amount("tokens_per_sample").value
    return {
        "tokens": math.prod(usual.amount(name).value for name in ("samples", "epochs")) * each,
        "seq_len": usual.amount("finetune_seq_len").value,
        **sample,
        "global_batch": usual.amount("finetune_batch").value,
        "precision": usual.word("finetune_precision"),
        "optimizer": usual.word("optimizer"),
        "method": usual.word("method"),
        "framework": usual.word("finetune_framework"),
        "lora_rank": usual.amount("lora_rank").value,
    }


def _sample(llm: Architecture, choices: dict[str, Any]) -> dict[str, float]:
    """What a sample holds where an embedder is trained: always of an encoder, of an LLM where passages are asked."""
    usual = default_scenario()
    names = {"query_len": "prompt_tokens", "seq_len": "chunk_tokens", "passages_per_query": "passages_per_query"}
    sample = {field: choices.get(field, usual.amount(name).value) for field, name in names.items()}
    if llm.kind == "encoder" and not sample["passages_per_query"]:
        raise InvalidInput(f"{llm.name} embeds texts: it is fine-tuned on passages_per_query of 1 (pairs) or more")
    return sample if llm.kind == "encoder" or choices.get("passages_per_query") else {}


def _optimal_tokens(llm: Architecture) -> float:
    """Compute-optimal tokens for the LLM's parameters."""
    law = {name: fact(f"chinchilla_besiroglu/{name}").value for name in ("A", "B", "alpha", "beta")}
    return float(scaling.optimal_tokens(transformer.params(llm), **law))


def _train(
    llm: Architecture,
    offers: list[Offer],
    precisions: Sequence[str] | None,
    offloads: Sequence[Sequence[str]],
    tokens: float,
    deadline_days: float | None = None,
    careful: bool = False,
    fit_chance: float = SURELY,
    **plan: object,
) -> Search:
    asked = TrainingPlan(**OPEN | plan)
    for name in (precisions or (asked.precision,)) if asked.method == "full" else ():
        training_precision(name)
    *first, last = offloads
    for tried in first:
        try:
            found = best_training(llm, offers, asked, tokens, deadline_days, tried, precisions, careful, fit_chance)
        except DoesNotFit:
            continue
        if found.best.figures["fit_chance"] >= fit_chance:
            return found
    return best_training(llm, offers, asked, tokens, deadline_days, last, precisions, careful, fit_chance)


def _serve(
    llm: Architecture,
    offers: list[Offer],
    precisions: Sequence[str] | None,
    prompt_tokens: float | None = None,
    output_tokens: float | None = None,
    ttft_s: float = float("inf"),
    tpot_s: float = float("inf"),
    requests_per_s: float | None = None,
    utilisation: float | None = None,
    careful: bool = False,
    **plan: Any,
) -> Search:
    usual = default_scenario()
    prompt = usual.amount("prompt_tokens").value if prompt_tokens is None else prompt_tokens
    output = usual.amount("output_tokens").value if output_tokens is None else output_tokens
    load = requests_per_s or 0.0  # nobody's traffic but what is asked: one replica carries what it can
    use = usual.amount("target_utilisation").value if utilisation is None else utilisation
    targets = Targets(ttft_s, tpot_s, float(load), use, careful)
    return best_serving(llm, offers, ServingPlan(**plan), prompt, output, targets, precisions)
