"""Every way to cut a replica and fill it: parallelism, precision and concurrency, under latency targets."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from estimator.errors import DoesNotFit
from estimator.formulas import Floats
from estimator.predict.serving import Traffic, serving
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training_layout import divisors
from estimator.records import Architecture, Cluster
from estimator.search.result import Choice, Search, front
from estimator.search.training import Offer

CONCURRENCY = np.unique(np.round(2.0 ** np.arange(0, 10.5, 0.5)))


class Targets(NamedTuple):
    """What must hold: latency [s] at most, and the load all replicas together carry [1/s]."""

    ttft_s: float = float("inf")
    tpot_s: float = float("inf")
    requests_per_s: float = 0.0


def best_serving(
    llm: Architecture,
    offers: Sequence[Offer],
    plan: ServingPlan,
    prompt_tokens: float,
    output_tokens: float,
    targets: Targets,
    precisions: Sequence[str] | None = None,
) -> Search:
    """The cheapest way (fewest accelerators where prices are unknown) to serve within the targets.

    Each offer's count is the most accelerators a replica may use. Raises DoesNotFit when no cut meets the targets.
    """
    choices = [
        choice
        for offer in offers
        for precision in precisions or (plan.weight_precision,)
        for cut in cuts(llm, offer.cluster, replace(plan, weight_precision=precision))
        for choice in _filled(llm, offer, cut, prompt_tokens, output_tokens, targets)
    ]
    allowed = [choice for choice in choices if choice.figures["ttft_s"] <= targets.ttft_s]
    allowed = [choice for choice in allowed if choice.figures["tpot_s"] <= targets.tpot_s]
    if not allowed:
        raise DoesNotFit(_how_close(llm, choices, targets))
    columns = {name: np.array([choice.figures[name] for choice in allowed]) for name in allowed[0].figures}
    first = "usd_per_hour" if np.isfinite(columns["usd_per_hour"]).all() else "accelerators"
    order = np.lexsort((columns["tpot_s"], columns["accelerators"], columns[first]))
    shown = front([columns[first], columns["tpot_s"], columns["ttft_s"]])
    return Search(
        best=allowed[order[0]],
        front=tuple(allowed[index] for index in shown[:20]),
        runner_up=allowed[order[1]] if len(order) > 1 else None,
        evaluated=len(choices),
        fitting=len(allowed),
        criteria=(first, "tpot_s", "ttft_s"),
        asked={"prompt_tokens": prompt_tokens, "output_tokens": output_tokens, **_given(targets)},
    )


def _given(targets: Targets) -> dict[str, float]:
    """The targets that were set."""
    return {name: value for name, value in targets._asdict().items() if 0 < value < float("inf")}


def cuts(llm: Architecture, cluster: Cluster, plan: ServingPlan) -> Iterator[ServingPlan]:
    """Replicas of at most the cluster's accelerators: tensor groups within a node, pipelines, and experts spread."""
    for tp, pp in itertools.product(divisors(cluster.count), repeat=2):
        if tp * pp > cluster.count or tp > cluster.per_node or llm.heads % tp or llm.layers % pp:
            continue
        for ep in [1, tp] if llm.experts and llm.experts.experts % tp == 0 and tp > 1 else [1]:
            yield replace(plan, tp=tp, pp=pp, ep=ep)


def _filled(
    llm: Architecture, offer: Offer, cut: ServingPlan, prompt: float, output: float, targets: Targets
) -> Iterator[Choice]:
    """The cut at every concurrency its memory holds."""
    device, size = offer.cluster.accelerator, cut.tp * cut.pp
    cluster = Cluster(device, size, min(size, offer.cluster.per_node))
    found = serving(llm, cluster, cut, Traffic(prompt, output, concurrency=CONCURRENCY))
    if not found.fits:
        return
    held = np.broadcast_to(found.max_concurrency, CONCURRENCY.shape)
    for index in np.flatnonzero(held >= CONCURRENCY):
        yield _choice(offer, cut, int(index), found, targets)


def _choice(offer: Offer, cut: ServingPlan, index: int, found: Any, targets: Targets) -> Choice:
    def at(values: Floats) -> float:
        return float(np.broadcast_to(values, CONCURRENCY.shape)[index])

    rate = at(found.requests_per_s)
    replicas = max(int(np.ceil(targets.requests_per_s / rate)), 1)
    accelerators = replicas * cut.tp * cut.pp
    layout = {"tp": cut.tp, "pp": cut.pp, "ep": cut.ep, "precision": cut.weight_precision}
    layout |= {"concurrency": int(CONCURRENCY[index]), "replicas": replicas}
    figures = {
        "usd_per_hour": accelerators * offer.usd_per_hour,
        "accelerators": float(accelerators),
        "requests_per_s": rate * replicas,
        "ttft_s": at(found.ttft_s),
        "tpot_s": at(found.tpot_s),
        "weights_bytes": float(found.weights_bytes),
    }
    parts = {"ttft_s": figures["ttft_s"], "tpot_s": figures["tpot_s"]}
    return Choice(offer.cluster.accelerator.name, cut.tp * cut.pp, layout, figures, parts)


def _how_close(llm: Architecture, choices: Sequence[Choice], targets: Targets) -> str:
    if not choices:
        return f"{llm.name} does not fit the accelerators given: use more of them per replica or fewer bits"
    ttft, tpot = (min(choice.figures[name] for choice in choices) for name in ("ttft_s", "tpot_s"))
    return (
        f"no cut of {llm.name} meets the targets; the best reach {ttft:.3g} s to the first token and "
        f"{1000 * tpot:.3g} ms per output token (asked: {targets.ttft_s:g} s and {1000 * targets.tpot_s:g} ms)"
    )
