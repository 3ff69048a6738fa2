"""What comes back: an Estimate for one approach, a Comparison of several. Frozen; they explain and print themselves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple, Self, TypeVar

from estimator.errors import InvalidInput, clipped
from estimator.formulas.effort import SECONDS_PER_WEEK
from estimator.formulas.energy import JOULES_PER_KWH
from estimator.formulas.money import SECONDS_PER_HOUR
from estimator.quantities import Quantity
from estimator.records import Accelerator, Source
from estimator.shown import SCHEMA_VERSION, Shown, in_currency, renderer

R = TypeVar("R")
Phase = Literal["one-off", "monthly"]
CostType = Literal["fixed", "variable"]
# What a budget line pays for: whatever is asked of a line asks this, never its words.
LineKind = Literal[
    "people",  # who build it and keep it up
    "labelling",  # samples to learn from, and checking them
    "curation",  # raw text into what is trained on
    "training",
    "start",  # of a run, before it learns anything
    "evaluation",  # of what was built, once
    "regression",  # of what is in use, again and again
    "indexing",  # a corpus into vectors and an index, and what changes in it
    "retrieval",  # finding passages for a request
    "storage",
    "serving",  # accelerators while they answer
    "idle",  # accelerators that wait for requests
    "spare",  # owned accelerators that have nothing to do
    "base",  # the base LLM kept running beside
    "api",  # requests that a provider answers
    "egress",  # data that leaves the cloud
    "contingency",  # a share of all other lines
    "other",
]


class Work(NamedTuple):
    """What accelerators do for a budget line, over the horizon; device: which, where it is not the one asked about.

    activity: training, serving, serving_large_batch or idle; device_s: accelerator-seconds [s]
    """

    activity: str
    device_s: Quantity
    device: Accelerator | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a budget: a quantity of something, its unit price, and what it comes to.

    kind: what it pays for; item: the same in words, to show
    usd: the cost, once or in the first month; horizon_usd: over the whole horizon, growth included.
    work: of accelerators, which draw power meanwhile
    """

    kind: LineKind
    item: str
    phase: Phase
    cost_type: CostType
    driver: str
    quantity: Quantity
    unit_price: Quantity
    usd: Quantity
    horizon_quantity: Quantity
    horizon_usd: Quantity
    work: Work | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "item": self.item,
            "phase": self.phase,
            "cost_type": self.cost_type,
            "driver": self.driver,
            "quantity": self.quantity.to_dict(),
            "unit_price": self.unit_price.to_dict(),
            "usd": self.usd.to_dict(),
            "horizon_quantity": self.horizon_quantity.to_dict(),
            "horizon_usd": self.horizon_usd.to_dict(),
        }


class Limit(NamedTuple):
    """A figure that had to be no more than `most`, and is as expected; beyond it the question is answered otherwise."""

    figure: Quantity
    most: float


class Assumption(NamedTuple):
    """An input the answer rests on, and whether the user gave it."""

    name: str
    shown: str
    why: str
    given: bool


class Ranged(Shown):
    """A result whose ranges may hold another share of the outcomes than 80 %."""

    __slots__ = ()

    def at(self, level: float) -> Self:
        """The same with ranges that hold `level` of the outcomes, such as 0.9."""
        return at_level(self, level)

    def to_json(self, level: float | None = None) -> str:
        """JSON text with `schema_version`; level: of its ranges, its own unless given."""
        return Shown.to_json(self if level is None else self.at(level))

    def to_csv(self, level: float | None = None) -> str:
        """One row per stage and figure: stage,figure,value,unit,low,high,level,basis,note."""
        return Shown.to_csv(self if level is None else self.at(level))


@dataclass(frozen=True, slots=True, eq=False)
class Estimate(Ranged):
    """What one approach needs and costs. Every figure is a Quantity; one that does not arise in the approach is zero.

    Per-request figures are what the approach adds to the bare LLM answering the same question; monthly and horizon
    figures are totals, serving included.
    """

    stage: str
    title: str
    llm: str
    hardware: str
    accelerator: str
    # what it needs
    data_tokens: Quantity
    data_samples: Quantity
    data_bytes: Quantity
    calendar_s: Quantity
    complexity: str
    people_hours: Quantity
    training_s: Quantity
    accelerator_s: Quantity
    flop: Quantity
    peak_memory_bytes: Quantity
    accelerators: Quantity
    serving_accelerators: Quantity
    layout: str
    # what it adds to every request
    extra_prompt_tokens: Quantity
    added_ttft_s: Quantity
    added_tpot_s: Quantity
    added_usd_per_1000_requests: Quantity
    added_memory_bytes: Quantity
    # what it costs
    one_off_usd: Quantity
    monthly_usd: Quantity
    total_usd: Quantity
    lines: tuple[Line, ...]
    energy_j: Quantity
    co2e_g: Quantity
    # what it is like
    best_for: str
    advantages: tuple[str, ...]
    considerations: tuple[str, ...]
    details: Mapping[str, Quantity] = field(default_factory=dict)
    assumptions: tuple[Assumption, ...] = ()
    evidence: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()  # inputs by whose value something was chosen, beside any formula
    limits: tuple[Limit, ...] = ()
    verdict: str = ""  # of training: how surely it fits, and into what

    def quantities(self) -> Iterator[tuple[str, Quantity]]:
        """Every figure by name, the details and the budget lines included."""
        for item in fields(self):
            figure = getattr(self, item.name)
            if isinstance(figure, Quantity):
                yield item.name, figure
        yield from self.details.items()
        for line in self.lines:
            yield f"{line.phase}: {line.item}", line.usd

    def figure(self, name: str) -> Quantity | None:
        """A figure or a detail by name; None where there is none of that kind."""
        found = getattr(self, name, None)
        return found if isinstance(found, Quantity) else self.details.get(name)

    def citations(self) -> tuple[Source, ...]:
        """Every source the estimate rests on, each once."""
        return tuple(dict.fromkeys(source for _, figure in self.quantities() for source in figure.citations()))

    def drivers(self) -> dict[str, float]:
        """Which uncertain factors make the range of the total (its share of the spread), largest first."""
        return self.total_usd.drivers()

    @property
    def level(self) -> float:
        """The share of outcomes that every range holds."""
        return self.total_usd.level

    def explain(self, *figures: str) -> str:
        """Where figures such as `total_usd` come from, down to sourced facts; the headline ones unless named.

        Raises UnknownName for one it does not have.
        """
        return str(renderer("Estimate", "reasons")(self, figures))

    def to_dict(self, level: float | None = None) -> dict[str, Any]:
        """Plain data, ready for JSON; level: of its ranges, 0.8 unless given."""
        answer = self if level is None else self.at(level)
        plain = {item.name: _plain(getattr(answer, item.name)) for item in fields(self)}
        return plain | {"level": answer.level, "status": "ok"}


class Figure(NamedTuple):
    """A figure of an estimate as it is shown, by its name or that of a detail.

    size: of the shown unit, in the figure's own; none: of a plain count.

    part: of the figure before it; decides: whether a decision rests on it
    """

    name: str
    label: str
    unit: str
    size: float = 1.0
    part: bool = False
    decides: bool = False


# What is shown of an estimate, in this order.
FIGURES = (
    Figure("data_tokens", "Data needed", "M tokens", 1e6),
    Figure("calendar_s", "Time to first result", "weeks", SECONDS_PER_WEEK, decides=True),
    Figure("people_hours", "people's hours", "h", part=True, decides=True),
    Figure("training_s", "training time", "h", SECONDS_PER_HOUR, part=True),
    Figure("accelerators", "Accelerators to train", ""),
    Figure("peak_memory_bytes", "peak memory of one", "GB", 1e9, part=True),
    Figure("serving_accelerators", "Accelerators to serve", ""),
    Figure("all_in_usd_per_1000_requests", "Cost of 1,000 requests, all in", "USD"),
    Figure("all_in_usd_per_user_month", "of a user and month, all in", "USD", part=True),
    Figure("extra_prompt_tokens", "Each request adds tokens", "tokens"),
    Figure("added_ttft_s", "time to first token", "ms", 1e-3, part=True),
    Figure("added_tpot_s", "time per output token", "ms", 1e-3, part=True),
    Figure("added_usd_per_1000_requests", "to the cost of 1,000 requests", "USD", part=True, decides=True),
    Figure("one_off_usd", "One-off cost", "USD", decides=True),
    Figure("monthly_usd", "Monthly cost, month 1", "USD", decides=True),
    Figure("api_usd", "API bill", "USD", part=True),
    Figure("total_usd", "Total over the horizon", "USD", decides=True),
    Figure("energy_j", "energy", "MWh", 1000 * JOULES_PER_KWH, part=True),
    Figure("co2e_g", "emissions", "t CO2e", 1e6, part=True),
)


class Blocked(NamedTuple):
    """An approach that cannot be done as asked, with what is in the way and what would do."""

    stage: str
    title: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"stage": self.stage, "title": self.title, "status": "blocked", "reason": self.reason}


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Ranged):
    """The approaches side by side, for one LLM, one kind of hardware and one scenario."""

    llm: str
    hardware: str
    baseline: Mapping[str, Quantity]
    estimates: tuple[Estimate | Blocked, ...]
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, stage: str) -> Estimate | Blocked:
        """The answer for one stage; KeyError for a stage that was not asked for."""
        for answer in self.estimates:
            if answer.stage == stage:
                return answer
        raise KeyError(stage)

    @property
    def level(self) -> float:
        """The share of outcomes that every range holds."""
        return next((answer.level for answer in self.estimates if isinstance(answer, Estimate)), 0.8)

    def to_dict(self, level: float | None = None) -> dict[str, Any]:
        """Plain data, ready for JSON; level: of its ranges, 0.8 unless given."""
        answer = self if level is None else self.at(level)
        return {
            "schema_version": SCHEMA_VERSION,
            "level": answer.level,
            "llm": answer.llm,
            "hardware": answer.hardware,
            "baseline": _plain(answer.baseline),
            "stages": {one.stage: one.to_dict() for one in answer.estimates},
            "assumptions": _plain(answer.assumptions),
            "notes": list(answer.notes),
        }

    def to_excel(self, path: str, command: str = "", currency: str = "") -> None:
        """A workbook with live formulas. Needs the extra `excel`.

        command: how to make it again, for its notes; currency: of its money, at a dated rate that stays an input, such
        as EUR=0.92@2026-11-01
        """
        renderer("Comparison", "workbook")(in_currency(self, currency), path, command)


def changed(thing: Any, change: Callable[[Quantity], Quantity]) -> Any:
    """A result with `change` made to every figure in it; anything else as it was."""
    if isinstance(thing, Quantity):
        return change(thing)
    if isinstance(thing, tuple) and not hasattr(thing, "_fields"):
        return tuple(changed(one, change) for one in thing)
    if isinstance(thing, dict):
        return {key: changed(value, change) for key, value in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        again = {item.name: changed(getattr(thing, item.name), change) for item in fields(thing) if item.init}
        return replace(thing, **again)
    return thing


def at_level(thing: R, level: float) -> R:
    """A result whose ranges hold `level` of the outcomes, those of all inputs beneath too.

    >>> from estimator import estimate
    >>> answer = estimate("prompt", model="7b", gpu="a100")
    >>> answer.at(0.95).total_usd.low < answer.total_usd.low, answer.to_dict(level=0.95)["level"]
    (True, 0.95)
    """
    if not isinstance(level, int | float) or not 0.1 <= level <= 0.99:
        said = f"{100 * level:g} %" if isinstance(level, float) else clipped(level)
        raise InvalidInput(f"a level is a share of outcomes from 10 % to 99 %, such as 0.9, not {said}")
    done: dict[int, Quantity] = {}  # a figure that enters twice stays one

    def change(figure: Quantity) -> Quantity:
        if id(figure) not in done:
            parts = {name: change(part) for name, part in figure.inputs.items()}
            done[id(figure)] = replace(figure, level=level, inputs=parts)
        return done[id(figure)]

    again: R = changed(thing, change)
    return again


def _plain(thing: object) -> Any:
    if isinstance(thing, Quantity | Line):
        return thing.to_dict()
    if isinstance(thing, Limit):
        return {"name": thing.figure.name, "value": thing.figure.value, "unit": thing.figure.unit, "most": thing.most}
    if isinstance(thing, Assumption):
        return thing._asdict()
    if isinstance(thing, Mapping):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [_plain(value) for value in thing]
    return thing


@dataclass(frozen=True, slots=True, eq=False)
class ServedLoad:
    """What requests meet under one load. figures: by name with the unit in it, such as ttft_s, ttft_p90_s, tpot_s.

    kind, amount: requests_per_s, concurrency, burst, batch or alone, and how many
    beyond: whether more come than the replicas can end, so that nothing is at rest and waits only grow
    """

    kind: str
    amount: float
    prompt_tokens: float
    output_tokens: float
    figures: Mapping[str, Quantity]
    beyond: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        named = {name: getattr(self, name) for name in ("kind", "amount", "prompt_tokens", "output_tokens", "beyond")}
        return named | {"figures": _plain(self.figures)}


@dataclass(frozen=True, slots=True, eq=False)
class ServingAnswer(Ranged):
    """Latency, throughput, memory and money of replicas under one or several loads.

    plan: how the LLM is served, by field; memory: what fills each accelerator [B]
    fit_chance: that the weights and one request fit beside what the engine takes for itself [1]
    arrays: the same figures without ranges, of one replica, as `predict.serving` gives them
    """

    llm: str
    hardware: str
    plan: Mapping[str, Any]
    replicas: int
    loads: tuple[ServedLoad, ...]
    memory: Mapping[str, Quantity]
    limits: Mapping[str, Quantity]
    fit_chance: float
    arrays: Any = field(repr=False)
    notes: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Quantity:
        """A figure of the one load that was asked, or of the replica: ttft_s, tpot_s, max_concurrency, ..."""
        found = {**self.limits, **self.memory, **(self.loads[0].figures if len(self.loads) == 1 else {})}
        if name.startswith("_") or name not in found:
            raise AttributeError(f"no figure {name!r}: there are {', '.join(found)}; of several loads, in `loads`")
        return found[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "llm": self.llm,
            "hardware": self.hardware,
            "plan": dict(self.plan),
            "replicas": self.replicas,
            "fit_chance": self.fit_chance,
            "memory": _plain(self.memory),
            "limits": _plain(self.limits),
            "loads": [load.to_dict() for load in self.loads],
            "notes": list(self.notes),
        }
