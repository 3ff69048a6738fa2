"""From names to a search: what `estimator layout` and `layout(...)` do."""

from collections.abc import Sequence
from typing import Any

from estimator.catalog.accelerators import accelerator
from estimator.catalog.accelerators import cluster as named_cluster
from estimator.catalog.facts import fact
from estimator.catalog.models import architecture
from estimator.errors import InvalidInput
from estimator.formulas import money, scaling, transformer
from estimator.plans import default_scenario
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME
from estimator.records import Accelerator, Architecture, Cluster
from estimator.search.result import Search
from estimator.search.serving import Targets, best_serving
from estimator.search.training import AXES, OFFLOAD, Offer, best_training, counts_for
from estimator.stages.pretrain import batch_for

OPEN = dict.fromkeys(AXES)  # every axis of the layout is searched unless given


def layout(
    *,
    model: str,
    gpu: str | Sequence[str],
    task: str = "train",
    price: Price | float | None = None,
    most: int = 1024,
    **choices: Any,
) -> Search:
    """The best layout for training or serving, over every valid one; the front of time, money and memory beside it.

    gpu: one or several names, each with its count (1024xa100) or without (then every count up to `most` is tried, to
    train; to serve it bounds a replica)
    task train: tokens, deadline_days, seq_len, global_batch, method, optimizer, ... (fields of TrainingPlan);
    an axis of the layout that is given (tp=8) is not searched. The goal is time, or money when there is a deadline.
    task serve: prompt_tokens, output_tokens, ttft_s, tpot_s, requests_per_s, precisions, ... (fields of ServingPlan)
    Raises EstimatorError: UnknownName, InvalidInput, DoesNotFit.

    >>> found = layout(model="8b", gpu="8xh100", seq_len=4096, global_batch=256, tokens=1e9)
    >>> found.best.accelerators, found.evaluated > 100
    (8, True)
    """
    llm = architecture(model)
    names = [gpu] if isinstance(gpu, str) else list(gpu)
    paid = price if isinstance(price, Price) else Price(price)
    if task == "train":
        offers = [offer for name in names for offer in _offers(name, paid, most)]
        return _train(llm, offers, **choices)
    if task == "serve":
        return _serve(llm, [_replica(name, paid) for name in names], **choices)
    raise InvalidInput(f"task must be train or serve, not {task!r}")


def _price(device: Accelerator, price: Price) -> float:
    return usd_per_hour(device, price, ONE_AT_A_TIME).value


def _offers(name: str, price: Price, most: int) -> list[Offer]:
    """The clusters a name stands for: one when it has a count, else every count worth trying."""
    found = named_cluster(name)
    if isinstance(found, Cluster):
        return [Offer(found, _price(found.accelerator, price))]
    per_node = found.per_node or 8
    counts = counts_for(per_node, most)
    return [Offer(Cluster(found, count, min(count, per_node)), _price(found, price)) for count in counts]


def _replica(name: str, price: Price) -> Offer:
    """The most accelerators a replica may use: as given, else a node."""
    found = named_cluster(name)
    if isinstance(found, Accelerator):
        found = Cluster(accelerator(found.name), found.per_node or 8, found.per_node or 8)
    return Offer(found, _price(found.accelerator, price))


def _train(
    llm: Architecture,
    offers: list[Offer],
    tokens: float | None = None,
    deadline_days: float | None = None,
    offloads: Sequence[str] = OFFLOAD,
    **plan: Any,
) -> Search:
    from estimator.api import checked_plan

    seq_len = plan.get("seq_len", default_scenario().amount("pretrain_seq_len").value)
    total = tokens or _optimal_tokens(llm)
    usual = {"seq_len": seq_len, "global_batch": batch_for(6 * transformer.matmul_params(llm) * total, seq_len)}
    asked = checked_plan(TrainingPlan, usual | OPEN | plan)
    return best_training(llm, offers, asked, total, deadline_days, offloads)


def _optimal_tokens(llm: Architecture) -> float:
    """Compute-optimal tokens for the LLM's parameters."""
    law = {name: fact(f"chinchilla_besiroglu/{name}").value for name in ("A", "B", "alpha", "beta")}
    return float(scaling.optimal_tokens(transformer.params(llm), **law))


def _serve(
    llm: Architecture,
    offers: list[Offer],
    prompt_tokens: float | None = None,
    output_tokens: float | None = None,
    ttft_s: float = float("inf"),
    tpot_s: float = float("inf"),
    requests_per_s: float | None = None,
    precisions: Sequence[str] | None = None,
    **plan: Any,
) -> Search:
    from estimator.api import checked_plan

    usual = default_scenario()
    prompt = usual.amount("prompt_tokens").value if prompt_tokens is None else prompt_tokens
    output = usual.amount("output_tokens").value if output_tokens is None else output_tokens
    month, peak = usual.amount("requests_per_month").value, usual.amount("peak_to_mean").value
    load = money.peak_requests_per_s(month, peak) if requests_per_s is None else requests_per_s
    targets = Targets(ttft_s, tpot_s, float(load))
    return best_serving(llm, offers, checked_plan(ServingPlan, plan), prompt, output, targets, precisions)
