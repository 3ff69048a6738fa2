"""The best training layout: the whole grid evaluated by the same formulas, in a few vectorised calls."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.precisions import native
from estimator.errors import DoesNotFit
from estimator.formulas import Floats
from estimator.formulas.arithmetic import product
from estimator.formulas.units import DAY_S, HOUR_S
from estimator.predict.chance import SURELY
from estimator.predict.training import (
    TrainingPlan,
    TrainingStep,
    fitting_steps,
    interval,
    likely,
    stack_doubt,
    time_intervals,
    training_step,
    traits,
)
from estimator.predict.training_changes import between, helpful, verdict
from estimator.quantities import Quantity, derive, given, uncertain
from estimator.records import Accelerator, Architecture, Cluster
from estimator.search.grid import valid_layouts
from estimator.search.result import Choice, Search, front
from estimator.watch import tell

CHUNK = 20_000  # layouts evaluated at once: large enough to be fast, small enough for the cache
OFFLOAD = ("", "optimizer", "activations")
PARTS = ("compute_s", "exposed_communication_s", "bubble_s", "optimizer_s", "host_s")
LAYOUT = ("tp", "pp", "vpp", "cp", "ep", "dp", "zero", "micro_batch", "recompute", "offload", "precision")
Figures: TypeAlias = tuple[dict[str, Any], dict[str, Floats], dict[str, Floats]]  # layout, figures, parts of the time
MOST_SHOWN = 200  # of a front; longer ones hold hardly different choices


class Offer(NamedTuple):
    """Accelerators that could be used.

    usd_per_hour: of one, unknown when not given; goodput: share of the time that is lasting progress [1]
    most: that there are, of all replicas together [1]
    """

    cluster: Cluster
    usd_per_hour: Quantity = given("accelerator per hour", float("nan"), "USD/h")
    goodput: float = 1.0
    most: float = math.inf


class Spread(NamedTuple):
    """80 % half widths of ln(measured / predicted), down and up [1]; of time of each layout."""

    time: tuple[Floats, Floats]
    memory: tuple[float, float]


class Part(NamedTuple):
    """Layouts that are tried with one plan on some offers, which differ in their accelerators alone, as equal arrays.

    places: of all that is tried, offer by offer
    """

    places: Sequence[int]
    offers: Sequence[Offer]
    plan: TrainingPlan
    layouts: Mapping[str, Any]


class Found(NamedTuple):
    """Layouts of one offer that are expected to fit, as arrays."""

    offer: Offer
    spread: Spread
    layout: dict[str, Any]
    figures: dict[str, Floats]
    parts: dict[str, Floats]
    evaluated: int


def best_training(
    llm: Architecture,
    offers: Sequence[Offer],
    plan: TrainingPlan,
    tokens: float,
    deadline_days: float | None = None,
    offloads: Sequence[str] = OFFLOAD,
    precisions: Sequence[str] | None = None,
    careful: bool = False,
    least: float = SURELY,
) -> Search:
    """The fastest layout, or with a deadline the cheapest that meets it, over all offers.

    Fields of the plan that are not None stay as they are. tokens: of the whole run [token]
    precisions: to try, the plan's alone when not given
    least: chance that a layout fits; where none has it, the likeliest are kept
    careful: it is at least 90 %, none less likely will do, and the deadline holds at the range's upper end too
    Raises DoesNotFit when nothing fits or nothing meets the deadline, saying how close it came.
    """
    least = max(least, SURELY) if careful else least
    found = _evaluated(llm, _parts(llm, offers, plan, precisions or (plan.precision,), offloads), tokens)
    evaluated = sum(part.evaluated for part in found)
    pool = _Pool([part for part in found if len(part.figures["run_s"])])
    if not pool.found or (careful and not (pool.figure("fit_chance") >= least).any()):
        tried = [replace(plan, cpu_offload=offload) for offload in offloads]
        raise DoesNotFit(_nothing(llm, offers, tried, evaluated, careful))
    time, usd, memory, chance = (pool.figure(name) for name in ("run_s", "usd", "memory_bytes", "fit_chance"))
    latest = pool.upper_time() if careful else time
    allowed = np.ones(len(time), bool) if deadline_days is None else latest <= deadline_days * DAY_S
    allowed &= (chance >= least) if careful else likely(np.where(allowed, chance, 0.0), least)
    if not allowed.any():
        fastest = pool.choice(int(np.argmin(latest)))
        raise DoesNotFit(_late(fastest, float(latest.min()) / DAY_S, deadline_days or 0.0, careful))
    money = deadline_days is not None and bool(np.isfinite(usd).any())
    goals = (usd, time) if money else (time, usd)
    keys = [np.where(allowed, np.nan_to_num(goal, nan=np.inf, posinf=np.inf), np.inf) for goal in goals]
    order = np.lexsort((memory, *keys[::-1]))
    kept = np.flatnonzero(allowed)
    shown = kept[front([*(goal[kept] for goal in goals), memory[kept]])]
    best = pool.choice(int(order[0]))
    return Search(
        best=best,
        front=tuple(pool.choice(int(index)) for index in shown[:MOST_SHOWN]),
        runner_up=pool.choice(int(order[1])) if len(order) > 1 and allowed[order[1]] else None,
        evaluated=evaluated,
        fitting=int((chance >= least).sum()),
        criteria=("usd", "run_s", "memory_bytes") if money else ("run_s", "usd", "memory_bytes"),
        asked=_asked(plan, tokens, deadline_days),
        notes=(*_helpful(llm, offers, plan, best, least), *_spans(best, offers), *_notes(pool, usd, len(shown))),
        verdict=_verdict(best, offers),
        each=_each(pool, order[allowed[order]]),
        prices={offer.cluster.accelerator.name: offer.usd_per_hour for offer in offers},
        llm=llm.name,
    )


def _each(pool: "_Pool", order: NDArray[np.intp]) -> tuple[Choice, ...]:
    """The best layout on each kind of accelerator, best first; none where there is one kind."""
    places = np.sort(np.unique(pool.kinds()[order], return_index=True)[1])
    return tuple(pool.choice(int(order[place])) for place in places) if len(places) > 1 else ()


def _worthwhile(device: Accelerator, precisions: Sequence[str]) -> Sequence[str]:
    """Of several precisions those that the chip has units for; the others would only run as one of them."""
    fast = [name for name in precisions if native(device, name)]
    return fast if len(precisions) > 1 and fast else precisions[:1]


def _parts(
    llm: Architecture, offers: Sequence[Offer], plan: TrainingPlan, precisions: Sequence[str], offloads: Sequence[str]
) -> Iterator[Part]:
    """What is tried, offers with the same grid together; a grid is there for as long as it is evaluated."""
    alike: dict[object, dict[tuple[str, str], list[tuple[int, Offer]]]] = {}
    places = itertools.count()
    for offer in offers:
        tried = alike.setdefault(_grid(offer.cluster), {})
        for choice in itertools.product(_worthwhile(offer.cluster.accelerator, precisions), offloads):
            tried.setdefault(choice, []).append((next(places), offer))
    for tried in alike.values():
        layouts = valid_layouts(llm, next(iter(tried.values()))[0][1].cluster, plan)
        for (name, offload), chosen in tried.items():
            at, of = zip(*chosen, strict=True)
            yield Part(at, of, replace(plan, cpu_offload=offload, precision=name), layouts)


def _grid(cluster: Cluster) -> tuple[object, ...]:
    """What the layouts of a cluster, and what they hold, rest on; a measured CPU has its own."""
    device = cluster.accelerator
    return cluster.count, cluster.per_node, device.domain, device.per_node, device.name * device.measured_cpu


class Kept(NamedTuple):
    """Of one offer and plan: how many layouts were tried, and piece by piece those that are expected to fit."""

    offer: Offer
    plan: TrainingPlan
    tried: int
    pieces: list[Figures]


def _evaluated(llm: Architecture, parts: Iterable[Part], tokens: float) -> list[Found]:
    """All layouts of every part, those kept that are expected to fit."""
    kept: dict[int, Kept] = {}
    for batch in _batches(parts):
        steps = fitting_steps(
            llm, [([one.cluster for one in part.offers], replace(part.plan, **piece)) for part, piece in batch]
        )
        tell(sum(len(piece["tp"]) * len(part.offers) for part, piece in batch))
        for part, piece in batch:
            for place, offer in zip(part.places, part.offers, strict=True):
                which, step = next(steps)
                fitting = {name: values[which] for name, values in piece.items()}
                mine = kept.setdefault(place, Kept(offer, part.plan, len(part.layouts["tp"]), []))
                mine.pieces.append(_figures(offer, part.plan, fitting, step, tokens))
    return [_found(llm, kept[place]) for place in sorted(kept)]


def _batches(parts: Iterable[Part]) -> Iterator[list[tuple[Part, dict[str, Any]]]]:
    """Pieces of the parts, as many at once as are worth one call; a measured CPU is timed in another way, alone."""
    batch: list[tuple[Part, dict[str, Any]]] = []
    size = 0
    for part in parts:
        for piece in _chunked(part.layouts):
            every = (one for each in (part, *(other for other, _ in batch)) for one in each.offers)
            alone = any(one.cluster.accelerator.measured_cpu for one in every)
            if batch and (alone or size + len(piece["tp"]) > CHUNK):
                yield batch
                batch, size = [], 0
            batch.append((part, piece))
            size += len(piece["tp"])
    if batch:
        yield batch


def _chunked(layouts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    count = len(layouts["tp"])
    for start in range(0, max(count, 1), CHUNK):
        yield {name: values[start : start + CHUNK] for name, values in layouts.items()}


def _found(llm: Architecture, part: Kept) -> Found:
    """What was kept of one part, its pieces joined."""
    layout, figures, parts = (_joined([piece[place] for piece in part.pieces]) for place in range(3))
    laid = replace(part.plan, micro_batch=layout["micro_batch"], tp=layout["tp"], cp=layout["cp"])
    spread = _spread(llm, part.offer.cluster, laid)
    return Found(part.offer, spread, layout, figures, parts, part.tried)


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spread(llm: Architecture, cluster: Cluster, plan: TrainingPlan) -> Spread:
    (down, up), (_, low, high) = time_intervals(llm, cluster, plan), stack_doubt(plan)
    time = np.hypot(down, low), np.hypot(up, high)
    return Spread(time, interval("memory", traits(llm, cluster, plan)))


def _figures(offer: Offer, plan: TrainingPlan, at: Mapping[str, Any], step: TrainingStep, tokens: float) -> Figures:
    """Layout, figures and time parts of layouts that fit."""
    cluster, price, goodput, _ = offer
    slower, *_ = stack_doubt(plan)
    run_s = slower * tokens / (step.tokens_per_s_per_accelerator * cluster.count * goodput)
    figures = {
        "run_s": run_s,
        "usd": run_s / HOUR_S * cluster.count * price.value,
        # an allocator keeps no more than there is
        "memory_bytes": np.minimum(step.memory.total, cluster.accelerator.usable_bytes),
        "fit_chance": step.fit_chance,
        "host_bytes": step.host_bytes * min(cluster.count, cluster.per_node),
        "step_s": slower * step.step_s,
        "mfu": step.mfu / slower,
    }
    layout = dict(at) | {
        "dp": cluster.count // (at["tp"] * at["pp"] * at["cp"]),
        "offload": plan.cpu_offload,
        "precision": plan.precision,
    }
    parts = {name: slower * getattr(step, name) for name in PARTS}
    shape = np.shape(at["tp"])
    kept = [{name: _of_shape(value, shape) for name, value in one.items()} for one in (layout, figures, parts)]
    return kept[0], kept[1], kept[2]


def _of_shape(value: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    return value if np.shape(value) == shape else np.broadcast_to(value, shape)


class _Pool(NamedTuple):
    """What was found on all offers, numbered through."""

    found: Sequence[Found]

    def figure(self, name: str) -> Floats:
        """A figure of every layout."""
        return np.concatenate([part.figures[name] for part in self.found])

    def kinds(self) -> NDArray[np.intp]:
        """The accelerator of every layout, as a number of its own."""
        names = [part.offer.cluster.accelerator.name for part in self.found]
        return np.unique(names, return_inverse=True)[1].repeat([len(part.figures["run_s"]) for part in self.found])

    def upper_time(self) -> Floats:
        """Upper end of the run's range [s]."""
        return np.concatenate([part.figures["run_s"] * np.exp(part.spread.time[1]) for part in self.found])

    def choice(self, index: int) -> Choice:
        """One of them in full."""
        for part in self.found:
            size = len(part.figures["run_s"])
            if index < size:
                return _choice(part, index)
            index -= size
        raise IndexError(index)


def _choice(part: Found, index: int) -> Choice:
    layout = {name: _scalar(part.layout[name][index]) for name in LAYOUT}
    figures = {name: float(values[index]) for name, values in part.figures.items()}
    parts = {name: float(values[index]) for name, values in part.parts.items()}
    cluster = part.offer.cluster
    return Choice(cluster.accelerator.name, cluster.count, layout, figures, parts, _ranges(part, index, figures))


def _ranges(part: Found, index: int, figures: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """80 % intervals: of time and memory by the errors of their models, of money by time's and the price's."""
    ends = (float(np.broadcast_to(end, np.shape(part.figures["run_s"]))[index]) for end in part.spread.time)
    run = uncertain(given("run", figures["run_s"], "s", basis="analytic"), "training time", *ends)
    count = given("accelerators", part.offer.cluster.count / HOUR_S, "1", basis="analytic")
    usd = derive("cost", "USD", product, seconds=run, count=count, price=part.offer.usd_per_hour)
    used = uncertain(
        given("memory", figures["memory_bytes"], "B", basis="analytic"), "training memory", *part.spread.memory
    )
    scale = figures["step_s"] / figures["run_s"]
    low, high = run.interval()
    return {
        "run_s": (low, high),
        "usd": usd.interval() if usd.known else (np.nan, np.nan),
        "memory_bytes": used.interval(),
        "step_s": (low * scale, high * scale),
        "mfu": (figures["mfu"] * figures["run_s"] / high, figures["mfu"] * figures["run_s"] / low),
    }


def _scalar(value: np.generic) -> int | str:
    return str(value) if isinstance(value, str) else int(value)


# --- how surely it fits -----------------------------------------------------------------------------------------------


def _verdict(best: Choice, offers: Sequence[Offer]) -> str:
    usable = _cluster(best, offers).accelerator.usable_bytes
    figures = best.figures
    return verdict(figures["fit_chance"], figures["memory_bytes"], usable, figures["host_bytes"])


def _cluster(choice: Choice, offers: Sequence[Offer]) -> Cluster:
    names = (choice.accelerator, choice.accelerators)
    return next(one.cluster for one in offers if (one.cluster.accelerator.name, one.cluster.count) == names)


def _spans(best: Choice, offers: Sequence[Offer]) -> tuple[str, ...]:
    """What the best layout rests on where it crosses a network."""
    cluster = _cluster(best, offers)
    return (between(cluster),) if cluster.nodes > 1 else ()


def _helpful(
    llm: Architecture, offers: Sequence[Offer], plan: TrainingPlan, best: Choice, least: float
) -> tuple[str, ...]:
    """Single changes to the best layout that help, where it does not fit as surely as asked."""
    if best.figures["fit_chance"] >= least:
        return ()
    layout, cluster = dict(best.layout), _cluster(best, offers)
    fields = {name: value for name, value in layout.items() if name not in ("dp", "offload")}
    chosen = replace(plan, **fields, cpu_offload=layout["offload"])  # type: ignore[arg-type]
    changes = helpful(llm, cluster, chosen, training_step(llm, cluster, chosen), least)
    return (f"Single changes that help: {'; '.join(change.text() for change in changes)}.",) if changes else ()


# --- what to say ------------------------------------------------------------------------------------------------------


def _nothing(
    llm: Architecture, offers: Sequence[Offer], plans: Sequence[TrainingPlan], evaluated: int, careful: bool
) -> str:
    plan = plans[0]
    if evaluated:
        spare = " with its range to spare (--careful)" if careful else ""
        fewer = {"full": "method lora or qlora, ", "lora": "method qlora, "}.get(plan.method, "")
        offer, need = min(((one, _least_need(llm, one, plans)) for one in offers[:MOST_SHOWN]), key=_short)
        device = offer.cluster.accelerator
        return (
            f"none of {evaluated:,} layouts of {llm.name} fits{spare}: the most frugal needs {need / 1e9:.3g} of the "
            f"{device.usable_bytes / 1e9:.3g} GB of a {device.name}; use more or larger accelerators, {fewer}"
            "or shorter sequences"
        )
    counts = ", ".join(f"{offer.cluster.count} x {offer.cluster.accelerator.name}" for offer in offers[:3])
    return (
        f"no layout divides {counts} and a batch of {plan.global_batch} sequences: tp x pp x cp must divide the "
        "accelerators, and the other accelerators times micro_batch the global_batch"
    )


def _least_need(llm: Architecture, offer: Offer, plans: Sequence[TrainingPlan]) -> float:
    """What the most frugal layout of an offer cannot do without on an accelerator [B]; inf where none divides it."""
    layouts = valid_layouts(llm, offer.cluster, plans[0])
    if not len(layouts["tp"]):
        return math.inf
    steps = (training_step(llm, offer.cluster, replace(plan, **layouts)) for plan in plans)
    return min(float(np.min(step.need_bytes)) for step in steps)


def _short(of: tuple[Offer, float]) -> float:
    """How many times what an offer's accelerators hold is needed [1]."""
    offer, need = of
    return need / offer.cluster.accelerator.usable_bytes


def _late(fastest: Choice, days: float, deadline_days: float, careful: bool) -> str:
    end = " at the upper end of its range" if careful else ""
    return (
        f"no layout finishes in {deadline_days:.3g} days{end}; the fastest takes {days:.3g} days "
        f"({fastest.text()}): allow more accelerators (--most), or a later deadline"
    )


def _notes(pool: _Pool, usd: Floats, front_size: int) -> tuple[str, ...]:
    notes = []
    if not np.isfinite(usd).all():
        which = "it costs" if np.isnan(usd).all() else "some of them cost"
        notes.append(f"What {which} is unknown, not zero: give --price-per-hour.")
    tried = ((part.offer.cluster.accelerator, str(part.layout["precision"][0])) for part in pool.found)
    for device, name in dict.fromkeys(tried):
        if name not in ("bf16", "fp16") and not native(device, name):
            notes.append(f"{device.name} has no units for {name}: it would compute in a wider format.")
    if front_size > MOST_SHOWN:
        notes.append(f"The front has {front_size:,} layouts; the first {MOST_SHOWN} are kept.")
    return tuple(notes)


def _asked(plan: TrainingPlan, tokens: float, deadline_days: float | None) -> dict[str, object]:
    embedder = ("passages_per_query", "query_len") if plan.contrastive else ()
    named = ("seq_len", *embedder, "global_batch", "method", "optimizer")
    deadline = {} if deadline_days is None else {"deadline_days": deadline_days}
    return {"tokens": tokens, **deadline, **{name: getattr(plan, name) for name in named}}
