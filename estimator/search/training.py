"""The best training layout: the whole grid evaluated by the same formulas, in a few vectorised calls."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.precisions import native
from estimator.errors import DoesNotFit
from estimator.formulas import Floats, Real
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
from estimator.predict.training_layout import COLUMNS
from estimator.quantities import Quantity, given, intervals, scenarios
from estimator.records import Accelerator, Architecture, Cluster
from estimator.search.grid import valid_columns, valid_layouts
from estimator.search.result import Choice, Search, front
from estimator.watch import tell

CHUNK = 20_000  # layouts evaluated at once: large enough to be fast, small enough for the cache
OFFLOAD = ("", "optimizer", "activations")
PARTS = ("compute_s", "exposed_communication_s", "bubble_s", "optimizer_s", "host_s")
FIGURES = ("run_s", "usd", "memory_bytes", "fit_chance", "host_bytes", "step_s", "mfu")
LAYOUT = ("tp", "pp", "vpp", "cp", "ep", "dp", "zero", "micro_batch", "recompute", "offload", "precision")
Columns: TypeAlias = dict[str, Any]  # arrays, one of each layout
WORDS = {"offload": "cpu_offload", "precision": "precision"}  # of a plan, by their names in a layout
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


class Part(NamedTuple):
    """Layouts that are tried with one plan on some offers, which differ in their accelerators alone.

    places: of all that is tried, offer by offer; layouts: as `valid_columns` has them
    """

    places: Sequence[int]
    offers: Sequence[Offer]
    plan: TrainingPlan
    layouts: Columns


Batched: TypeAlias = tuple[Part, Columns]  # a piece of a part's layouts


class Tried(NamedTuple):
    """One offer with one plan, of which so many layouts were evaluated."""

    offer: Offer
    plan: TrainingPlan
    layouts: int


class Spread(NamedTuple):
    """80 % half widths of ln(measured / predicted) of layouts, down and up [2, layouts] [1]."""

    time: Floats
    memory: Floats


class Pool(NamedTuple):
    """Layouts that are expected to fit, offer by offer, as equal columns: axes, figures, parts of the time.

    of: which of those tried each is of
    """

    llm: Architecture
    tried: Sequence[Tried]
    of: NDArray[np.intp]
    columns: Columns

    def upper_time(self) -> Floats:
        """Upper end of the run's range [s]."""
        return self.columns["run_s"] * np.exp(_spread(self).time[1])

    def some(self, numbers: Collection[int]) -> "Pool":
        """Some of them, by ascending numbers."""
        which = np.array(sorted(numbers), np.intp)
        return self._replace(of=self.of[which], columns={name: values[which] for name, values in self.columns.items()})

    def choices(self, numbers: Collection[int]) -> dict[int, Choice]:
        """Some of them in full, by their numbers."""
        return dict(zip(sorted(numbers), _choices(self.some(numbers)), strict=True))


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
    pool = _evaluated(llm, _parts(llm, offers, plan, precisions or (plan.precision,), offloads), tokens)
    evaluated = sum(one.layouts for one in pool.tried)
    time, usd, memory, chance = (pool.columns[name] for name in ("run_s", "usd", "memory_bytes", "fit_chance"))
    if not len(time) or (careful and not (chance >= least).any()):
        tried = [replace(plan, cpu_offload=offload) for offload in offloads]
        raise DoesNotFit(_nothing(llm, offers, tried, evaluated, careful))
    latest = pool.upper_time() if careful else time
    allowed = np.ones(len(time), bool) if deadline_days is None else latest <= deadline_days * DAY_S
    allowed &= (chance >= least) if careful else likely(np.where(allowed, chance, 0.0), least)
    if not allowed.any():
        fastest = int(np.argmin(latest))
        days = float(latest[fastest]) / DAY_S
        raise DoesNotFit(_late(pool.choices([fastest])[fastest], days, deadline_days or 0.0, careful))
    money = deadline_days is not None and bool(np.isfinite(usd).any())
    kept = np.flatnonzero(allowed)
    goals = [goal[kept] for goal in ((usd, time, memory) if money else (time, usd, memory))]
    order = kept[np.lexsort([np.nan_to_num(goal, nan=np.inf, posinf=np.inf) for goal in goals[::-1]])].tolist()
    shown, each = kept[front(goals)].tolist(), _each(pool, order)
    choices = pool.choices({*order[:2], *shown[:MOST_SHOWN], *each})
    best = choices[order[0]]
    return Search(
        best=best,
        front=tuple(choices[number] for number in shown[:MOST_SHOWN]),
        runner_up=choices[order[1]] if len(order) > 1 else None,
        evaluated=evaluated,
        fitting=int((chance >= least).sum()),
        criteria=("usd", "run_s", "memory_bytes") if money else ("run_s", "usd", "memory_bytes"),
        asked=_asked(plan, tokens, deadline_days),
        notes=(*_helpful(llm, offers, plan, best, least), *_spans(best, offers), *_notes(pool, len(shown))),
        verdict=_verdict(best, offers),
        each=tuple(choices[number] for number in each),
        prices={offer.cluster.accelerator.name: offer.usd_per_hour for offer in offers},
        llm=llm.name,
    )


def _each(pool: Pool, order: Sequence[int]) -> list[int]:
    """The best layout on each kind of accelerator, best first; none where there is one kind."""
    names = [one.offer.cluster.accelerator.name for one in pool.tried]
    if len({*names}) == 1:
        return []
    kinds = np.unique(names, return_inverse=True)[1][pool.of[order]]
    places = np.sort(np.unique(kinds, return_index=True)[1])
    return [order[place] for place in places] if len(places) > 1 else []


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
        layouts = valid_columns(llm, next(iter(tried.values()))[0][1].cluster, plan)
        for (name, offload), chosen in tried.items():
            at, of = zip(*chosen, strict=True)
            yield Part(at, of, replace(plan, cpu_offload=offload, precision=name), layouts)


def _grid(cluster: Cluster) -> tuple[object, ...]:
    """What the layouts of a cluster, and what they hold, rest on; a measured CPU has its own."""
    device = cluster.accelerator
    return cluster.count, cluster.per_node, device.domain, device.per_node, device.name * device.measured_cpu


def _evaluated(llm: Architecture, parts: Iterable[Part], tokens: float) -> Pool:
    """All layouts of every part, those kept that are expected to fit."""
    tried: dict[int, Tried] = {}
    pieces: list[Columns] = []
    for batch in _batches(parts):
        batch.sort(key=lambda one: (one[0].plan.precision, one[0].plan.cpu_offload))
        pieces += _fitting(llm, batch, tokens)
        tell(sum(_size(piece) * len(part.offers) for part, piece in batch))
        for part, _ in batch:
            mine = (Tried(offer, part.plan, _size(part.layouts)) for offer in part.offers)
            tried |= zip(part.places, mine, strict=True)
    columns = _joined(pieces)
    if (np.diff(columns["of"]) < 0).any():
        order = np.argsort(columns["of"], kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
    return Pool(llm, [tried[place] for place in sorted(tried)], columns.pop("of"), columns)


def _fitting(llm: Architecture, batch: Sequence[Batched], tokens: float) -> Iterator[Columns]:
    """Those of a batch that are expected to fit, a few thousand at a time."""
    asked = [([one.cluster for one in part.offers], replace(part.plan, **piece)) for part, piece in batch]
    layouts = {name: np.concatenate([piece[name] for _, piece in batch])[:, 0] for name in COLUMNS}
    offers = [offer for part, _ in batch for offer in part.offers]
    places = np.array([place for part, _ in batch for place in part.places])
    for of, rows, across, step in fitting_steps(llm, asked):
        found = {"of": places[of], **_figures(offers, of, asked[0][1], step, tokens)}
        shaped = {name: value if np.shape(value) else np.full(len(of), value) for name, value in found.items()}
        axes = {name: values[rows] for name, values in layouts.items()}
        yield shaped | axes | {"recompute": batch[0][1]["recompute"][across]}


def _batches(parts: Iterable[Part]) -> Iterator[list[Batched]]:
    """Pieces of the parts, as many at once as are worth one call; a measured CPU is timed in another way, alone."""
    batch: list[Batched] = []
    size = 0
    for part in parts:
        for piece in _chunked(part.layouts):
            every = (one for each in (part, *(other for other, _ in batch)) for one in each.offers)
            alone = any(one.cluster.accelerator.measured_cpu for one in every)
            if batch and (alone or size + _size(piece) > CHUNK):
                yield batch
                batch, size = [], 0
            batch.append((part, piece))
            size += _size(piece)
    if batch:
        yield batch


def _chunked(layouts: Columns) -> Iterator[Columns]:
    rows, most = len(layouts["tp"]), CHUNK // len(layouts["recompute"])
    for start in range(0, max(rows, 1), most):
        columns = {name: layouts[name][start : start + most] for name in COLUMNS}
        yield columns | {"recompute": layouts["recompute"]}


def _size(layouts: Columns) -> int:
    """How many layouts there are, with what each may recompute."""
    return len(layouts["tp"]) * len(layouts["recompute"])


def _joined(parts: Sequence[Columns]) -> Columns:
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(
    offers: Sequence[Offer], of: NDArray[np.intp], plan: TrainingPlan, step: TrainingStep, tokens: float
) -> dict[str, Real]:
    """Figures and time parts of layouts that fit, each `of` one of the offers."""
    machines = [(one.cluster.count, min(one.cluster.count, one.cluster.per_node)) for one in offers]
    count, together = np.array(machines).T[:, of]
    rest = [(one.usd_per_hour.value, one.goodput, one.cluster.accelerator.usable_bytes) for one in offers]
    price, goodput, usable = np.array(rest).T[:, of]
    slower, *_ = stack_doubt(plan)
    run_s = slower * tokens / (step.tokens_per_s_per_accelerator * count * goodput)
    return {
        "run_s": run_s,
        "usd": run_s / HOUR_S * count * price,
        "memory_bytes": np.minimum(step.memory.total, usable),  # an allocator keeps no more than there is
        "fit_chance": step.fit_chance,
        "host_bytes": step.host_bytes * together,
        "step_s": slower * step.step_s,
        "mfu": step.mfu / slower,
        **{name: slower * getattr(step, name) for name in PARTS},
    }


# --- choices in full --------------------------------------------------------------------------------------------------


def _choices(pool: Pool) -> Iterator[Choice]:
    """All of them in full."""
    offers, plans, _ = zip(*(pool.tried[place] for place in pool.of.tolist()), strict=True)
    clusters = [offer.cluster for offer in offers]
    count, at = np.array([cluster.count for cluster in clusters]), pool.columns
    numbers = {name: at[name].astype(int) for name in COLUMNS}
    words = {name: [getattr(plan, field) for plan in plans] for name, field in WORDS.items()}
    laid = at | numbers | words | {"dp": count // (numbers["tp"] * numbers["pp"] * numbers["cp"])}
    each = _rows(laid, LAYOUT), _rows(at, FIGURES), _rows(at, PARTS), _ranges(pool, count, offers)
    for cluster, *one in zip(clusters, *each, strict=True):
        yield Choice(cluster.accelerator.name, cluster.count, *one)


def _rows(columns: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Columns as a dict for each layout."""
    plain = (values if isinstance(values := columns[name], list) else values.tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*plain, strict=True)]


def _ranges(pool: Pool, count: NDArray[np.int_], offers: Sequence[Offer]) -> list[dict[str, tuple[float, float]]]:
    """80 % intervals: of time and memory by the errors of their models, of money by time's and the price's."""
    at, spread = pool.columns, _spread(pool)
    run = scenarios(at["run_s"], "training time", *spread.time)
    price = np.array([offer.usd_per_hour.column for offer in offers]).T
    (low, high), scale = intervals(run), at["step_s"] / at["run_s"]
    ends = {
        "run_s": (low, high),
        "usd": intervals(run * (count / HOUR_S) * price),
        "memory_bytes": intervals(scenarios(at["memory_bytes"], "training memory", *spread.memory)),
        "step_s": (low * scale, high * scale),
        "mfu": (at["mfu"] * at["run_s"] / high, at["mfu"] * at["run_s"] / low),
    }
    pairs = {name: list(zip(down.tolist(), up.tolist(), strict=True)) for name, (down, up) in ends.items()}
    return _rows(pairs, [*ends])


def _spread(pool: Pool) -> Spread:
    """Of each layout, those of one offer and plan at once."""
    edges = [0, *(np.flatnonzero(np.diff(pool.of)) + 1).tolist(), len(pool.of)]
    each = [_spread_of(pool, slice(*ends)) for ends in pairwise(edges)]
    return Spread(*(np.concatenate(parts, axis=1) for parts in zip(*each, strict=True)))


def _spread_of(pool: Pool, mine: slice) -> Spread:
    tried, axes = pool.tried[pool.of[mine.start]], ("micro_batch", "tp", "cp")
    cluster, plan = tried.offer.cluster, replace(tried.plan, **{name: pool.columns[name][mine] for name in axes})
    (down, up), (_, low, high) = time_intervals(pool.llm, cluster, plan), stack_doubt(plan)
    memory = interval("memory", traits(pool.llm, cluster, replace(plan, micro_batch=None)))
    size = mine.stop - mine.start
    times = (np.broadcast_to(np.hypot(*ends), size) for ends in ((down, low), (up, high)))
    return Spread(np.array([*times]), np.array(memory)[:, None].repeat(size, axis=1))


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


def _notes(pool: Pool, front_size: int) -> tuple[str, ...]:
    notes, usd = [], pool.columns["usd"]
    if not np.isfinite(usd).all():
        which = "it costs" if np.isnan(usd).all() else "some of them cost"
        notes.append(f"What {which} is unknown, not zero: give --price-per-hour.")
    fitting = (pool.tried[place] for place in np.unique(pool.of))
    tried = ((one.offer.cluster.accelerator, one.plan.precision) for one in fitting)
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
