"""Every way to cut a replica and fill it: parallelism, precision and concurrency, under latency targets."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from estimator.catalog.formats import AS_PUBLISHED, shown
from estimator.errors import DoesNotFit
from estimator.formulas import queueing
from estimator.formulas.transformer import tensor_parts
from estimator.predict.serving import Serving, Traffic, check_context, serving
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training_layout import divisors
from estimator.records import Accelerator, Architecture, Cluster
from estimator.search.result import STORED, Choice, Search, front
from estimator.search.training import MOST_SHOWN, Offer
from estimator.stages.service import half_widths
from estimator.watch import tell

CONCURRENCY = np.unique(np.round(2.0 ** np.arange(0, 10.5, 0.5)))
LATENCIES = {"ttft_s": "to the first token", "tpot_s": "per output token"}


class Targets(NamedTuple):
    """What must hold: mean latencies [s] at most, and the load all replicas together carry [1/s].

    utilisation: of a replica's throughput that is planned for; the rest is headroom for arrivals in bursts [1]
    careful: latencies hold at the upper ends of their ranges, throughput at the lower
    """

    ttft_s: float = float("inf")
    tpot_s: float = float("inf")
    requests_per_s: float = 0.0
    utilisation: float = 0.7
    careful: bool = False


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

    Each offer's count is the most accelerators a replica may use, its `most` those of all.
    Raises DoesNotFit when no cut meets the targets.
    """
    check_context(llm, prompt_tokens, output_tokens)
    plans = [replace(plan, weight_precision=name) for name in precisions or (plan.weight_precision,)]
    found = (
        [
            choice
            for offer, one in itertools.product(offers, plans)
            for cut in cuts(llm, offer.cluster, one, across)
            for choice in _filled(llm, offer, cut, prompt_tokens, output_tokens, targets)
        ]
        for across in (False, True)
    )
    choices = next(filter(None, found), [])  # groups across nodes only where none inside one will do
    end, there = 1 if targets.careful else 0, {offer.cluster.accelerator.name: offer.most for offer in offers}
    enough = [choice for choice in choices if choice.figures["accelerators"] <= there[choice.accelerator]]
    if choices and not enough:
        raise DoesNotFit(_too_few(llm, choices, there, targets))
    allowed = [
        choice
        for choice in enough
        if all((choice.figures[name], choice.ranges[name][1])[end] <= getattr(targets, name) for name in LATENCIES)
    ]
    if not allowed:
        raise DoesNotFit(_how_close(llm, offers, choices, targets))
    columns = {name: np.array([choice.figures[name] for choice in allowed]) for name in allowed[0].figures}
    priced = bool(np.isfinite(columns["usd_per_hour"]).any())
    criteria = ("usd_per_hour" if priced else "accelerators", "tpot_s", "ttft_s")
    goal = np.nan_to_num(columns[criteria[0]], nan=np.inf, posinf=np.inf)
    order = np.lexsort((columns["ttft_s"], columns["tpot_s"], columns["accelerators"], goal))
    shown = front([columns[name] for name in criteria])
    return Search(
        best=allowed[order[0]],
        front=tuple(allowed[index] for index in shown[:MOST_SHOWN]),
        runner_up=allowed[order[1]] if len(order) > 1 else None,
        evaluated=len(choices),
        fitting=len(allowed),
        criteria=criteria,
        asked={"prompt_tokens": prompt_tokens, "output_tokens": output_tokens, **_given(targets), **_said(plan)},
        notes=() if priced else ("What it costs is unknown, not zero: give --price-per-hour.",),
        each=_each([allowed[index] for index in order]),
        prices={offer.cluster.accelerator.name: offer.usd_per_hour for offer in offers},
        llm=llm.name,
    )


def _said(plan: ServingPlan) -> dict[str, object]:
    """What was asked of the plan besides how it is cut, and the format of its weights, which choices have."""
    open_to = ("tp", "pp", "ep", "weight_precision")
    told = {one.name: getattr(plan, one.name) for one in fields(plan) if one.name not in open_to}
    return {name: value for name, value in told.items() if value != getattr(ServingPlan(), name)}


def _each(ordered: Sequence[Choice]) -> tuple[Choice, ...]:
    """The best replica on each kind of accelerator, best first; none where there is one kind."""
    found: dict[str, Choice] = {}
    for choice in ordered:
        found.setdefault(choice.accelerator, choice)
    return tuple(found.values()) if len(found) > 1 else ()


def _given(targets: Targets) -> dict[str, float]:
    """The targets that were set."""
    numbers = {name: getattr(targets, name) for name in (*LATENCIES, "requests_per_s", "utilisation")}
    return {name: value for name, value in numbers.items() if 0 < value < float("inf")}


def cuts(llm: Architecture, cluster: Cluster, plan: ServingPlan, across: bool = False) -> Iterator[ServingPlan]:
    """Replicas of at most the cluster's accelerators: tensor groups that fill a node, pipelines, and experts spread.

    across: tensor groups of several nodes instead, as large LLMs need whose layers no pipeline divides evenly
    """
    groups = [size for size in divisors(cluster.count) if size > cluster.per_node]
    for tp, pp in itertools.product(groups if across else divisors(cluster.per_node), range(1, cluster.count + 1)):
        if tp * pp > cluster.count or tensor_parts(llm) % tp or llm.layers % pp:
            continue
        for ep in [1, tp] if llm.experts and llm.experts.experts % tp == 0 and tp > 1 else [1]:
            yield replace(plan, tp=tp, pp=pp, ep=ep)


GROUPS = {"ttft_s": "ttft", "tpot_s": "tpot", "requests_per_s": "offline"}  # whose errors are whose


def _filled(
    llm: Architecture, offer: Offer, cut: ServingPlan, prompt: float, output: float, targets: Targets
) -> Iterator[Choice]:
    """The cut at every concurrency its memory holds."""
    device, size = offer.cluster.accelerator, cut.tp * cut.pp
    cluster = Cluster(device, size, min(size, offer.cluster.per_node))
    found = serving(llm, cluster, cut, Traffic(prompt, output, concurrency=CONCURRENCY))
    tell(len(CONCURRENCY))
    if not found.fits:
        return
    layout = {"tp": cut.tp, "pp": cut.pp, "ep": cut.ep, "precision": shown(llm, cut.weight_precision)}
    if cut.weight_precision != AS_PUBLISHED:
        layout[STORED] = cut.weight_precision
    figures = _figures(found, targets, _widths(llm, cut, device))
    price, ends = offer.usd_per_hour.value, offer.usd_per_hour.interval() if offer.usd_per_hour.known else NOWHERE
    for clients, replicas, *row in zip(CONCURRENCY.tolist(), *figures, strict=True):
        if clients <= row[-1]:
            filled = layout | {"concurrency": int(clients), "replicas": int(replicas)}
            yield _choice(device.name, size, filled, row, price, ends)


NOWHERE = (float("nan"), float("nan"))
Widths = Mapping[str, tuple[float, float]]


def _widths(llm: Architecture, cut: ServingPlan, device: Accelerator) -> Widths:
    """80 % half widths of the figures in ln."""
    return {name: half_widths(group, llm, device, cut.engine) for name, group in GROUPS.items()}


def _figures(found: Serving, targets: Targets, widths: Widths) -> list[list[float]]:
    """Columns over the concurrencies: replicas, memory, each of GROUPS with its low and high end, and the places."""
    shape = CONCURRENCY.shape
    ttft, tpot, rate, places = (
        np.broadcast_to(values, shape)
        for values in (found.ttft_s, found.tpot_s, found.requests_per_s, found.max_concurrency)
    )
    later, sooner = (np.exp(end) for end in widths["requests_per_s"][::-1])  # of the time between requests
    each = rate / later if targets.careful else rate
    replicas = queueing.servers_for(targets.requests_per_s, each, targets.utilisation)
    held = found.weights_bytes + found.activations_bytes + found.reserve_bytes
    memory = held + found.kv_bytes_available * np.minimum(CONCURRENCY / places, 1.0)
    columns = [replicas, memory]
    for name, times in (("ttft_s", ttft), ("tpot_s", tpot)):
        down, up = widths[name]
        columns += [times, times * np.exp(-down), times * np.exp(up)]
    columns += [rate * replicas, rate / later * replicas, rate * sooner * replicas, places]
    return [np.broadcast_to(column, shape).tolist() for column in columns]


def _choice(
    device: str,
    size: int,
    layout: Mapping[str, Any],
    row: Sequence[float],
    price: float,
    ends: tuple[float, float],
) -> Choice:
    memory, ttft, ttft_low, ttft_high, tpot, tpot_low, tpot_high, rate, rate_low, rate_high, _ = row
    accelerators = float(layout["replicas"] * size)
    figures = {
        "usd_per_hour": accelerators * price,
        "accelerators": accelerators,
        "requests_per_s": rate,
        "ttft_s": ttft,
        "tpot_s": tpot,
        "memory_bytes": memory,
    }
    ranges = {
        "ttft_s": (ttft_low, ttft_high),
        "tpot_s": (tpot_low, tpot_high),
        "requests_per_s": (rate_low, rate_high),
        "usd_per_hour": (accelerators * ends[0], accelerators * ends[1]),
    }
    return Choice(device, size, layout, figures, {}, ranges)


def _too_few(llm: Architecture, choices: Sequence[Choice], there: Mapping[str, float], targets: Targets) -> str:
    """What the accelerators that there are carry at most, and how many would carry what is asked."""
    best = max(
        choices,
        key=lambda one: one.figures["requests_per_s"] * (there[one.accelerator] // one.accelerators) / _many(one),
    )
    most = best.figures["requests_per_s"] / _many(best) * (there[best.accelerator] // best.accelerators)
    fewest = min(choices, key=lambda one: one.figures["accelerators"])
    return (
        f"{there[best.accelerator]:.0f} x {best.accelerator} carry {most * targets.utilisation:.3g} requests/s of "
        f"{llm.name} at most, {targets.requests_per_s:.3g} are asked: it takes "
        f"{fewest.figures['accelerators']:.0f} x {fewest.accelerator}, or fewer bits (--precisions)"
    )


def _many(choice: Choice) -> float:
    return float(choice.layout["replicas"])


def _how_close(llm: Architecture, offers: Sequence[Offer], choices: Sequence[Choice], targets: Targets) -> str:
    largest = ", ".join(f"{offer.cluster.count} x {offer.cluster.accelerator.name}" for offer in offers[:3])
    if not choices:
        return (
            f"{llm.name} does not fit a replica of {largest}: allow more of them (--most) or fewer bits (--precisions)"
        )
    best = {name: min(choice.figures[name] for choice in choices) for name in LATENCIES}
    reached = [f"{best[name]:.3g} s {of}{_asked(getattr(targets, name))}" for name, of in LATENCIES.items()]
    return (
        f"no cut of {llm.name} on {largest} meets the targets{' with their ranges' * targets.careful}; alone, the best "
        f"reach {' and '.join(reached)}"
    )


def _asked(target_s: float) -> str:
    return f" (asked: {target_s:g} s)" if target_s < float("inf") else ""
