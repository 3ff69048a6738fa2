"""Every way to cut a replica and fill it: parallelism, precision and concurrency, under latency targets."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.formats import AS_PUBLISHED
from estimator.errors import DoesNotFit
from estimator.formulas import Floats, queueing
from estimator.formulas.transformer import tensor_parts
from estimator.predict.serving import Traffic, check_context
from estimator.predict.serving_machine import ServingPlan, suited
from estimator.predict.serving_replicas import closed_loops
from estimator.predict.training_layout import divisors
from estimator.records import Architecture, Cluster
from estimator.search.result import STORED, Choice, Search, front
from estimator.search.training import MOST_SHOWN, Offer
from estimator.stages.service import half_widths
from estimator.watch import tell

CONCURRENCY = np.unique(np.round(2.0 ** np.arange(0, 10.5, 0.5)))
FIGURES = ("usd_per_hour", "accelerators", "requests_per_s", "ttft_s", "tpot_s", "memory_bytes")
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
    traffic = Traffic(prompt_tokens, output_tokens, concurrency=CONCURRENCY)
    pool = _pool(llm, offers, plans, traffic, targets, across=False)
    if not pool.size():  # groups across nodes only where none inside one will do
        pool = _pool(llm, offers, plans, traffic, targets, across=True)
    if not pool.size():
        raise DoesNotFit(_too_large(llm, offers))
    figures = {name: pool.figure(name) for name in FIGURES}
    enough = figures["accelerators"] <= pool.most()
    if not enough.any():
        raise DoesNotFit(_too_few(llm, pool, targets))
    latest = {name: pool.highest(name) if targets.careful else figures[name] for name in LATENCIES}
    allowed = enough & np.all([latest[name] <= getattr(targets, name) for name in LATENCIES], axis=0)
    if not allowed.any():
        raise DoesNotFit(_how_close(llm, offers, pool, targets))
    kept = np.flatnonzero(allowed)
    columns = {name: values[kept] for name, values in figures.items()}
    priced = bool(np.isfinite(columns["usd_per_hour"]).any())
    criteria = ("usd_per_hour" if priced else "accelerators", "tpot_s", "ttft_s")
    goal = np.nan_to_num(columns[criteria[0]], nan=np.inf, posinf=np.inf)
    order = kept[np.lexsort((columns["ttft_s"], columns["tpot_s"], columns["accelerators"], goal))]
    shown = kept[front([columns[name] for name in criteria])]
    return Search(
        best=pool.choice(int(order[0])),
        front=tuple(pool.choice(index) for index in shown[:MOST_SHOWN].tolist()),
        runner_up=pool.choice(int(order[1])) if len(order) > 1 else None,
        evaluated=len(allowed),
        fitting=len(kept),
        criteria=criteria,
        asked={"prompt_tokens": prompt_tokens, "output_tokens": output_tokens, **_given(targets), **_said(plan)},
        notes=() if priced else ("What it costs is unknown, not zero: give --price-per-hour.",),
        each=_each(pool, order),
        prices={offer.cluster.accelerator.name: offer.usd_per_hour for offer in offers},
        llm=llm.name,
    )


def _said(plan: ServingPlan) -> dict[str, object]:
    """What was asked of the plan besides how it is cut, and the format of its weights, which choices have."""
    open_to = ("tp", "pp", "ep", "weight_precision")
    told = {one.name: getattr(plan, one.name) for one in fields(plan) if one.name not in open_to}
    return {name: value for name, value in told.items() if value != getattr(ServingPlan(), name)}


def _each(pool: "Pool", order: NDArray[np.intp]) -> tuple[Choice, ...]:
    """The best replica on each kind of accelerator, best first; none where there is one kind."""
    kinds = pool.devices()[order]
    first = [int(np.argmax(kinds == name)) for name in np.unique(kinds)]
    return tuple(pool.choice(int(order[place])) for place in sorted(first)) if len(first) > 1 else ()


def _given(targets: Targets) -> dict[str, float]:
    """The targets that were set."""
    numbers = {name: getattr(targets, name) for name in (*LATENCIES, "requests_per_s", "utilisation")}
    return {name: value for name, value in numbers.items() if 0 < value < float("inf")}


def cuts(llm: Architecture, cluster: Cluster, plan: ServingPlan, across: bool = False) -> Iterator[ServingPlan]:
    """Replicas of at most the cluster's accelerators: tensor groups that fill a node, pipelines, and experts spread.

    across: tensor groups of several nodes instead, as large LLMs need whose layers no pipeline divides evenly
    """
    groups = [size for size in divisors(cluster.count) if size > cluster.per_node]
    experts = llm.experts.experts if llm.experts else 0
    stages = [size for size in divisors(llm.layers) if size <= cluster.count]
    for tp in groups if across else divisors(cluster.per_node):
        if tensor_parts(llm) % tp:
            continue
        for pp, ep in itertools.product(stages, (1, tp) if experts and experts % tp == 0 and tp > 1 else (1,)):
            if tp * pp <= cluster.count:
                yield replace(plan, tp=tp, pp=pp, ep=ep)


GROUPS = {"ttft_s": "ttft", "tpot_s": "tpot", "requests_per_s": "offline"}  # whose errors are whose


class Filled(NamedTuple):
    """The cuts of one offer at every concurrency their memory holds, as arrays.

    cut, clients, replicas: which of `cuts`, how many are served at once, and by how many replicas
    formats: of weights, by the names they were asked by
    """

    offer: Offer
    cuts: Sequence[ServingPlan]
    formats: Mapping[str, str]
    cut: NDArray[np.intp]
    clients: Floats
    replicas: Floats
    figures: Mapping[str, Floats]
    ranges: Mapping[str, tuple[Floats, Floats]]

    def choice(self, index: int) -> Choice:
        """One of them in full."""
        cut = self.cuts[self.cut[index]]
        layout: dict[str, Any] = {"tp": cut.tp, "pp": cut.pp, "ep": cut.ep}
        layout["precision"] = self.formats[cut.weight_precision]
        if cut.weight_precision != AS_PUBLISHED:
            layout[STORED] = cut.weight_precision
        layout |= {"concurrency": int(self.clients[index]), "replicas": int(self.replicas[index])}
        figures = {name: float(values[index]) for name, values in self.figures.items()}
        ranges = {name: (float(low[index]), float(high[index])) for name, (low, high) in self.ranges.items()}
        return Choice(self.offer.cluster.accelerator.name, cut.tp * cut.pp, layout, figures, {}, ranges)


def _filled(llm: Architecture, offer: Offer, cuts: Sequence[ServingPlan], traffic: Traffic, targets: Targets) -> Filled:
    """What the cuts do, and what it takes of them to carry the load."""
    device, price = offer.cluster.accelerator, offer.usd_per_hour
    sizes = np.array([cut.tp * cut.pp for cut in cuts])
    clusters = [Cluster(device, size, min(size, offer.cluster.per_node)) for size in sizes.tolist()]
    found = closed_loops(llm, [*zip(clusters, cuts, strict=True)], traffic)
    tell(sizes.size * CONCURRENCY.size)
    taken = found.places >= CONCURRENCY
    cut, fill = np.nonzero(taken)
    ttft, tpot, rate = found.ttft_s[taken], found.tpot_s[taken], found.requests_per_s[taken]
    widths = {name: half_widths(group, llm, device, cuts[0].engine) for name, group in GROUPS.items()}
    later, sooner = (np.exp(end) for end in widths["requests_per_s"][::-1])  # of the time between requests
    each = rate / later if targets.careful else rate
    replicas = queueing.servers_for(targets.requests_per_s, each, targets.utilisation)
    accelerators = replicas * sizes[found.which][cut]
    memory = found.held_bytes + found.cache_bytes * np.minimum(CONCURRENCY / found.places, 1.0)
    dearest = price.interval() if price.known else (np.nan, np.nan)
    return Filled(
        offer,
        cuts,
        {one.weight_precision: one.shown(llm) for one in cuts},
        found.which[cut],
        CONCURRENCY[fill],
        replicas,
        figures={
            "usd_per_hour": accelerators * price.value,
            "accelerators": accelerators,
            "requests_per_s": rate * replicas,
            "ttft_s": ttft,
            "tpot_s": tpot,
            "memory_bytes": memory[taken],
        },
        ranges={
            "ttft_s": _ends(ttft, widths["ttft_s"]),
            "tpot_s": _ends(tpot, widths["tpot_s"]),
            "requests_per_s": (rate / later * replicas, rate * sooner * replicas),
            "usd_per_hour": (accelerators * dearest[0], accelerators * dearest[1]),
        },
    )


def _ends(time_s: Floats, widths: tuple[float, float]) -> tuple[Floats, Floats]:
    """Low and high ends of times, by half widths in ln."""
    down, up = widths
    return time_s * np.exp(-down), time_s * np.exp(up)


class Pool(NamedTuple):
    """What was filled of all offers, numbered through."""

    found: Sequence[Filled]

    def size(self) -> int:
        """How many choices there are."""
        return sum(len(part.cut) for part in self.found)

    def figure(self, name: str) -> Floats:
        """A figure of every choice."""
        return np.concatenate([part.figures[name] for part in self.found])

    def highest(self, name: str) -> Floats:
        """Upper end of a figure's range."""
        return np.concatenate([part.ranges[name][1] for part in self.found])

    def devices(self) -> NDArray[np.str_]:
        """The accelerator of every choice, by name."""
        names = [part.offer.cluster.accelerator.name for part in self.found]
        return np.repeat(names, [len(part.cut) for part in self.found])

    def most(self) -> Floats:
        """Accelerators that there are of its kind [1]."""
        there = {part.offer.cluster.accelerator.name: part.offer.most for part in self.found}
        return np.array([there[name] for name in self.devices().tolist()])

    def choice(self, index: int) -> Choice:
        """One of them in full."""
        for part in self.found:
            if index < len(part.cut):
                return part.choice(index)
            index -= len(part.cut)
        raise IndexError(index)


def _pool(
    llm: Architecture,
    offers: Sequence[Offer],
    plans: Sequence[ServingPlan],
    traffic: Traffic,
    targets: Targets,
    across: bool,
) -> Pool:
    """Every cut of every offer, filled."""
    found = []
    for offer in offers:
        suiting = [suited(plan, offer.cluster.accelerator) for plan in plans]
        tried = [cut for plan in suiting for cut in cuts(llm, offer.cluster, plan, across)]
        if tried:
            found.append(_filled(llm, offer, tried, traffic, targets))
    return Pool(found)


def _too_few(llm: Architecture, pool: Pool, targets: Targets) -> str:
    """What the accelerators that there are carry at most, and how many would carry what is asked."""
    there, used = pool.most(), pool.figure("accelerators")
    replicas = np.concatenate([part.replicas for part in pool.found])
    carried = pool.figure("requests_per_s") / replicas * (there // (used / replicas))
    best, fewest = int(carried.argmax()), pool.choice(int(used.argmin()))
    name = pool.choice(best).accelerator
    return (
        f"{there[best]:.0f} x {name} carry {carried[best] * targets.utilisation:.3g} requests/s of "
        f"{llm.name} at most, {targets.requests_per_s:.3g} are asked: it takes "
        f"{fewest.figures['accelerators']:.0f} x {fewest.accelerator}, or fewer bits (--precisions)"
    )


def _too_large(llm: Architecture, offers: Sequence[Offer]) -> str:
    return (
        f"{llm.name} does not fit a replica of {_largest(offers)}: allow more of them (--most) or fewer bits "
        "(--precisions)"
    )


def _largest(offers: Sequence[Offer]) -> str:
    return ", ".join(f"{offer.cluster.count} x {offer.cluster.accelerator.name}" for offer in offers[:3])


def _how_close(llm: Architecture, offers: Sequence[Offer], pool: Pool, targets: Targets) -> str:
    best = {name: pool.figure(name).min() for name in LATENCIES}
    reached = [f"{best[name]:.3g} s {of}{_asked(getattr(targets, name))}" for name, of in LATENCIES.items()]
    return (
        f"no cut of {llm.name} on {_largest(offers)} meets the targets{' with their ranges' * targets.careful}; alone, "
        f"the best reach {' and '.join(reached)}"
    )


def _asked(target_s: float) -> str:
    return f" (asked: {target_s:g} s)" if target_s < float("inf") else ""
