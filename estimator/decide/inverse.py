"""The questions turned round: what fits, how large, how many, by when, for how much.

Every answer comes from the same predictors and stages as an estimate, and is a boundary: it fits, one less (or one
more) does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from estimator import api
from estimator.catalog.accelerators import accelerator, accelerator_names
from estimator.catalog.formats import AS_PUBLISHED, shown
from estimator.catalog.models import architecture, architecture_names
from estimator.catalog.precisions import usual_formats
from estimator.decide.boundary import first_that, last_figure, last_that, round_figure
from estimator.errors import DoesNotFit, EstimatorError, InvalidInput, UnknownName
from estimator.formulas import money, transformer
from estimator.formulas.units import DAY_S
from estimator.predict.chance import SURELY
from estimator.predict.serving import (
    Memory,
    Serving,
    Traffic,
    check_context,
    check_writes,
    memory_split,
    serving,
    slots_of,
    smallest_fit,
)
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan, best_layout, training_step
from estimator.predict.training_changes import verdict
from estimator.predict.training_layout import grid
from estimator.pricing import Price
from estimator.quantities import ONE_AT_A_TIME, Quantity
from estimator.records import Accelerator, Architecture, Cluster
from estimator.scenario import default_scenario
from estimator.shown import Shown
from estimator.stages import TASKS, finetune, pretrain
from estimator.stages.question import Question
from estimator.stages.service import serving_plan
from estimator.stages.training import layout_text, most_accelerators

MOST_MICRO_BATCH = 1024
MOST_REPLICAS = 1_000_000
MOST_SEQ_LEN = 1_048_576
SEQ_LEN_STEP = 128
MOST_USD = 1e12
SMALLEST_LLM, LARGEST_LLM = 1000, 6400  # indices of round figures, in 10,000 parameters: 20 million to 20 trillion


@dataclass(frozen=True, slots=True, eq=False)
class Finding(Shown):
    """An answer with its boundary in words, and the figures beside it, ready to print.

    value: None where there is none; absent: what an empty figure of a row means
    verdict: of training, how surely the answer fits
    """

    question: str
    answer: str
    value: float | None
    unit: str
    boundary: str
    rows: tuple[Mapping[str, object], ...] = field(default=())
    absent: str = "unknown"
    verdict: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "verdict": self.verdict,
            "question": self.question,
            "answer": self.answer,
            "value": self.value,
            "unit": self.unit,
            "boundary": self.boundary,
            "rows": [dict(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True, eq=False)
class AcceleratorSet:
    """The fewest of one accelerator that hold a task.

    memory_bytes: peak of one; usd_per_hour: of all of them; fit_chance: of training [1]
    """

    accelerator: str
    count: int
    layout: str
    memory_bytes: float
    usd_per_hour: Quantity
    fit_chance: float | None = None

    @property
    def verdict(self) -> str:
        """How surely training fits, in a line; nothing of serving, which takes what there is."""
        if self.fit_chance is None:
            return ""
        return verdict(self.fit_chance, self.memory_bytes, accelerator(self.accelerator).usable_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; unknown prices are None."""
        price = self.usd_per_hour.value if self.usd_per_hour.known else None
        chance = {} if self.fit_chance is None else {"fit_chance": self.fit_chance}
        return {
            "accelerator": self.accelerator,
            "count": self.count,
            "layout": self.layout,
            "peak_memory_gb_of_one": self.memory_bytes / 1e9,
            **chance,
            "usd_per_hour": price,
        }


# --- what fits -------------------------------------------------------------------------------------------


def counts(per_node: int) -> Iterator[int]:
    """Sizes a set may have: any number within a node, then whole nodes.

    >>> from itertools import islice
    >>> list(islice(counts(4), 7))
    [1, 2, 3, 4, 8, 12, 16]
    """
    yield from range(1, per_node + 1)
    yield from range(2 * per_node, most_accelerators() + 1, per_node)


def training_plan(question: Question, task: str) -> TrainingPlan:
    """The plan of a task, its layout open."""
    return finetune.training_plan(question) if task == "finetune" else pretrain.training_plan(question)


def held_by(llm: Architecture, cluster: Cluster, plan: TrainingPlan, least: float = SURELY) -> TrainingPlan | None:
    """The best layout on these accelerators; None when none fits with that chance or none divides them."""
    try:
        chosen = best_layout(llm, cluster, plan, least=least)
    except (DoesNotFit, InvalidInput):
        return None
    return chosen if training_step(llm, cluster, chosen).fit_chance >= least else None


def smallest_set(
    task: str, *, model: str, gpu: str, price: Price | float | None = None, **inputs: object
) -> AcceleratorSet:
    """The fewest of one accelerator that hold a task: serve, finetune or pretrain. DoesNotFit when no number does.

    >>> smallest_set("finetune", model="70b", gpu="h100", method="qlora").count
    1
    """
    question = _question(task, model, gpu, price, inputs)
    if task == "serve":
        return _serving_set(question)
    llm, device, plan = question.own_llm(), question.own_accelerator(), training_plan(question, task)
    for count in _training_counts(llm, device, plan, question.per_node):
        cluster = question.cluster(count)
        chosen = held_by(llm, cluster, plan, question.number("fit_chance"))
        if chosen is not None:
            step = training_step(llm, cluster, chosen)
            peak = min(float(step.memory.total), device.usable_bytes)  # freed blocks are kept only where there is room
            return _set(question, count, layout_text(chosen, cluster), peak, float(step.fit_chance))
    raise DoesNotFit(f"{task} of {llm.name} fits no number of {device.title}: use LoRA, QLoRA or a larger accelerator")


def _training_counts(llm: Architecture, device: Accelerator, plan: TrainingPlan, per_node: int) -> Iterator[int]:
    """Counts worth trying: weights alone, spread over all, must fit; far beyond that nothing is gained."""
    bytes_each = 0.5 if plan.method == "qlora" else 2.0
    least = transformer.params(llm) * bytes_each / device.memory_bytes
    most = 64 * max(least, 1.0) + 4 * per_node
    return (count for count in counts(per_node) if least <= count <= most)


def _serving_set(question: Question) -> AcceleratorSet:
    llm, device = question.own_llm(), question.own_accelerator()
    plan, tokens = serving_plan(question), _request_tokens(question)
    count = smallest_fit(llm, device, plan, context_tokens=tokens)
    held = memory_split(llm, question.cluster(count), replace(plan, tp=count))
    return _set(question, count, f"tp {count}", device.memory_bytes - held.kv_available, None)


def _request_tokens(question: Question) -> float:
    return question.amount("prompt_tokens").value + question.written().value


def _set(question: Question, count: int, layout: str, peak: float, chance: float | None) -> AcceleratorSet:
    each = question.usd_per_hour
    all_of_them = replace(each, name=f"{count} x {each.name}", column=each.column * count, key="")
    return AcceleratorSet(question.own_accelerator().name, count, layout, peak, all_of_them, chance)


def accelerator_sets(
    task: str, *, model: str, gpus: tuple[str, ...] = (), price: Price | float | None = None, **inputs: object
) -> tuple[AcceleratorSet, ...]:
    """The smallest set of each accelerator (all of the catalogue when none is named), cheapest per hour first.

    Those without a price come last, fewest first; those that cannot hold the task are left out.
    """
    found, names = [], gpus or _usual()
    _check_lengths(task, _question(task, model, names[0], price, inputs))
    for name in names:
        try:
            found.append(smallest_set(task, model=model, gpu=name, price=price, **inputs))
        except EstimatorError:
            if gpus:
                raise
    return tuple(sorted(found, key=_cheapness))


def _check_lengths(task: str, question: Question) -> None:
    """Refuse what no accelerator changes before any is tried."""
    if task == "serve":
        check_context(question.own_llm(), _request_tokens(question), 0.0)
    else:
        training_plan(question, task)


def _usual() -> tuple[str, ...]:
    """Accelerators for data centres and desks; processors hold anything and are no answer."""
    return tuple(name for name in accelerator_names() if accelerator(name).kind in ("gpu", "tpu", "asic"))


def _cheapness(found: AcceleratorSet) -> tuple[bool, float, int, str]:
    known = found.usd_per_hour.known
    return (not known, found.usd_per_hour.value if known else 0.0, found.count, found.accelerator)


# --- how large -------------------------------------------------------------------------------------------


class LargestLlm(NamedTuple):
    """An LLM of the catalogue that fits, the format its weights are in, and that format in words."""

    name: str
    weight_precision: str
    stored: str


def largest_llm(task: str, *, gpu: str, gpus: int | None = None, **inputs: object) -> str:
    """The catalogue's LLM with most parameters that fits the given accelerators (8xa100, or gpu with gpus).

    >>> largest_llm("serve", gpu="1xrtx-4090", weight_precision="int4") != largest_llm("serve", gpu="1xrtx-4090")
    True
    """
    return _largest_in((None,), task, gpu, gpus, inputs).name


def largest_llm_in_usual_formats(task: str, *, gpu: str, gpus: int | None = None, **inputs: object) -> LargestLlm:
    """The same where the usual quantised formats may be used to serve; of one LLM the widest that fits.

    >>> found = largest_llm_in_usual_formats("serve", gpu="1xrtx-4090")
    >>> parameters(found.name) > parameters(largest_llm("serve", gpu="1xrtx-4090")), found.weight_precision
    (True, 'awq')
    """
    stated = task != "serve" or "weight_precision" in inputs
    return _largest_in((None,) if stated else (AS_PUBLISHED, *usual_formats()), task, gpu, gpus, inputs)


def _largest_in(
    formats: Sequence[str | None], task: str, gpu: str, gpus: int | None, inputs: Mapping[str, object]
) -> LargestLlm:
    names = sorted((n for n in architecture_names() if architecture(n).kind == "decoder"), key=parameters, reverse=True)
    for name in names:
        for one in formats:
            asked = {**inputs, **({} if one is None else {"weight_precision": one})}
            if fits(task, model=name, gpu=gpu, gpus=gpus, **asked):
                precision = str(asked.get("weight_precision", AS_PUBLISHED))
                return LargestLlm(name, precision, shown(architecture(name), precision))
    raise DoesNotFit(f"no LLM of the catalogue fits {gpu} for {task}")


def parameters(name: str) -> float:
    """Parameters of an LLM of the catalogue [1]."""
    return float(transformer.params(architecture(name)))


def fits(task: str, *, model: str, gpu: str, gpus: int | None = None, **inputs: object) -> bool:
    """Whether the task fits the given accelerators."""
    question = _question(task, model, gpu, None, inputs, gpus)
    count = question.count or 1
    if task == "serve":
        return _largest_serving_context(question, count) >= _request_tokens(question)
    plan, least = training_plan(question, task), question.number("fit_chance")
    return held_by(question.own_llm(), question.cluster(count), plan, least) is not None


def largest_context(
    task: str, *, model: str, gpu: str, gpus: int | None = None, users: int = 1, **inputs: object
) -> int:
    """Longest sequence that fits [token]: of each of `users` at once when serving, a multiple of 128 in training.

    >>> one, many = (largest_context("serve", model="8b", gpu="1xa100", users=n) for n in (1, 64))
    >>> one > many > 0
    True
    """
    question = _question(task, model, gpu, None, inputs, gpus)
    llm, cluster = question.own_llm(), question.cluster(question.count or 1)
    if task == "serve":
        plan = serving_plan(question, tp=cluster.count)
        longest = int(_largest_serving_context(question, cluster.count))
        held = memory_split(llm, cluster, plan)
        found = last_that(lambda n: bool(_slots(llm, plan, held, n) >= users), most=longest) if longest else None
        return found or 0
    layout_open = training_plan(question, task)
    most = min(llm.max_context or MOST_SEQ_LEN, MOST_SEQ_LEN) // SEQ_LEN_STEP
    least = question.number("fit_chance")
    steps = last_that(
        lambda n: held_by(llm, cluster, replace(layout_open, seq_len=n * SEQ_LEN_STEP), least) is not None, most=most
    )
    return (steps or 0) * SEQ_LEN_STEP


def _slots(llm: Architecture, plan: ServingPlan, held: Memory, tokens: float) -> float:
    """Sequences of so many tokens that are held at once; none where not even one fits."""
    return float(slots_of(llm, plan, held, tokens)) if tokens <= held.max_context else 0.0


def _largest_serving_context(question: Question, count: int) -> float:
    held = memory_split(question.own_llm(), question.cluster(count), serving_plan(question, tp=count))
    return held.max_context if held.kv_available > 0 else 0.0


def largest_batch(task: str, *, model: str, gpu: str, gpus: int | None = None, **inputs: object) -> int:
    """Sequences at once: of the scenario's requests on a replica, or in the micro-batch of one training rank."""
    question = _question(task, model, gpu, None, inputs, gpus)
    llm, cluster = question.own_llm(), question.cluster(question.count or 1)
    if task == "serve":
        plan = serving_plan(question, tp=cluster.count)
        held = memory_split(llm, cluster, plan)
        return int(_slots(llm, plan, held, _request_tokens(question))) if held.kv_available > 0 else 0
    sizes = np.arange(1, MOST_MICRO_BATCH + 1)
    open_plan = replace(training_plan(question, task), micro_batch=sizes, global_batch=MOST_MICRO_BATCH * cluster.count)
    layouts = grid(llm, cluster, open_plan)
    held_ones = np.asarray(training_step(llm, cluster, layouts).fit_chance) >= question.number("fit_chance")
    return int(np.max(np.where(held_ones, layouts.micro_batch, 0)))


def most_users(
    *,
    model: str,
    gpu: str,
    gpus: int | None = None,
    ttft_s: float = np.inf,
    tpot_s: float = np.inf,
    **inputs: object,
) -> int:
    """Users who can wait for an answer at the same time on these accelerators within the latency limits.

    ttft_s, tpot_s: mean time to first token and per further token that is still good enough [s]
    """
    question = _question("serve", model, gpu, None, inputs, gpus)
    count = question.count or 1
    most = largest_batch("serve", model=model, gpu=gpu, gpus=gpus, **inputs)
    users = np.arange(1, most + 1)
    found = served(question, count, concurrency=users)
    good = (np.asarray(found.ttft_s) <= ttft_s) & (np.asarray(found.tpot_s) <= tpot_s)
    return int(np.max(np.where(good, users, 0), initial=0))


def why_no_user(
    *, model: str, gpu: str, gpus: int | None = None, ttft_s: float = np.inf, tpot_s: float = np.inf, **inputs: object
) -> str:
    """Which limit not even one user keeps to."""
    question = _question("serve", model, gpu, None, inputs, gpus)
    if not largest_batch("serve", model=model, gpu=gpu, gpus=gpus, **inputs):
        return _no_room(question)
    one = served(question, question.count or 1)
    asked = {"to the first token": (one.ttft_s, ttft_s), "per output token": (one.tpot_s, tpot_s)}
    over = [f"{float(is_s):.3g} s {of}, asked {limit_s:g} s" for of, (is_s, limit_s) in asked.items() if is_s > limit_s]
    return f"alone it takes {' and '.join(over)}"


def _no_room(question: Question) -> str:
    llm, cluster = question.own_llm(), question.cluster(question.count or 1)
    held = memory_split(llm, cluster, serving_plan(question, tp=cluster.count))
    room, weights = cluster.accelerator.memory_bytes / 1e9, held.weights / 1e9
    return (
        f"its weights take {weights:.3g} GB of {room:.3g} GB, which leaves no room for the cache of a request of this "
        "length: more accelerators, or fewer bits (--set weight_precision=int4)"
    )


def served(question: Question, count: int, **load: Any) -> Serving:
    """A replica of so many accelerators under a load, for requests of the scenario's length."""
    prompt, output = question.amount("prompt_tokens").value, question.written().value
    traffic = Traffic(prompt_tokens=prompt, output_tokens=output, **load)
    return serving(question.own_llm(), question.cluster(count), serving_plan(question, tp=count), traffic)


def serving_count(question: Question) -> int:
    """The fewest accelerators of a replica that hold the LLM and a request."""
    llm, device, plan = question.own_llm(), question.own_accelerator(), serving_plan(question)
    return smallest_fit(llm, device, plan, context_tokens=_request_tokens(question))


def replicas_for_latency(
    *, model: str, gpu: str, ttft_s: float = np.inf, tpot_s: float = np.inf, gpus: int | None = None, **inputs: object
) -> int:
    """Fewest replicas that keep mean latencies within the limits in the busy hour; DoesNotFit when none can.

    gpus: accelerators of one replica, the fewest that hold the LLM when not given. Each replica takes its share of a
    Poisson stream, so waiting counts.
    """
    question = _question("serve", model, gpu, None, inputs, gpus)
    count = question.count or serving_count(question)
    peak = busy_hour_requests_per_s(question)

    def good(replicas: int) -> bool:
        found = served(question, count, requests_per_s=peak / replicas)
        kept_up = peak / replicas < float(found.capacity_requests_per_s)
        return kept_up and float(found.ttft_s) <= ttft_s and float(found.tpot_s) <= tpot_s

    if not good(MOST_REPLICAS):
        alone = served(question, count, requests_per_s=peak / MOST_REPLICAS)
        raise DoesNotFit(
            f"even a single request takes {float(alone.ttft_s):.3g} s to the first token and "
            f"{float(alone.tpot_s):.3g} s per token: use a faster accelerator, more of them per replica, or fewer bits"
        )
    return (last_that(lambda n: not good(n), most=MOST_REPLICAS) or 0) + 1


def busy_hour_requests_per_s(question: Question) -> float:
    """Requests in a second of the busy hour, repeats included [1/s]."""
    amounts = {name: question.amount(name).value for name in ("requests_per_month", "retries", "peak_to_mean")}
    sent = money.sent_requests(amounts["requests_per_month"], amounts["retries"])
    return float(money.peak_requests_per_s(sent, amounts["peak_to_mean"]))


# --- by when, and for how much ---------------------------------------------------------------------------


def accelerators_for_deadline(days: float, *, model: str, gpu: str, **inputs: object) -> int:
    """Fewest accelerators that pre-train the LLM in so many days, failures included. DoesNotFit when no number can.

    Sizes tried: powers of two within a node, then whole nodes in steps of at most an eighth.
    """
    if not 0 < days < 1e5:
        raise InvalidInput(f"the deadline must be between 0 and 100,000 days, not {days:g}")
    question = _question("pretrain", model, gpu, None, inputs)
    if question.count is not None:
        raise InvalidInput(f"how many is the answer: name {question.own_accelerator().name} without a number")
    sizes = [size for size in deadline_sizes(question.per_node) if size * days < 1e9]

    def in_time(count: int) -> bool:
        return pretraining_days(count, model=model, gpu=gpu, **inputs) <= days

    found = first_that(in_time, sizes)
    if found is None:
        raise DoesNotFit(f"no number of {gpu} up to {sizes[-1]:,} trains {model} in {days:.3g} days: give it longer")
    return found


def pretraining_days(count: int, *, model: str, gpu: str, **inputs: Any) -> float:
    """Days that pre-training takes on so many accelerators; infinite where it does not fit."""
    try:
        with np.errstate(all="ignore"):  # a cluster that fails faster than it restarts never finishes
            found = api.estimate("pretrain", model=model, gpu=gpu, gpus=count, **inputs)
        return found.training_s.value / DAY_S if found.training_s.known else np.inf
    except (DoesNotFit, InvalidInput):
        return np.inf


def deadline_sizes(per_node: int) -> list[int]:
    """Cluster sizes worth asking for, ascending.

    >>> deadline_sizes(8)[:12]
    [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 72]
    """
    small = [2**i for i in range(per_node.bit_length()) if 2**i < per_node]
    nodes = [n for n in range(1, most_accelerators() // per_node + 1) if n % (1 << max(n.bit_length() - 4, 0)) == 0]
    return small + [n * per_node for n in nodes]


def tokens_for_budget(usd: float, *, model: str, gpu: str, careful: bool = False, **inputs: object) -> float:
    """Most tokens (three digits) whose pre-training costs no more than `usd` once.

    careful: even at the high end of the range
    DoesNotFit when not even 100 tokens do: people and data cost too (pretrain_setup_hours).
    """
    return _most(usd, "pretrain", "training_tokens", {"model": model, "gpu": gpu, **inputs}, careful)


def samples_for_budget(
    usd: float, *, model: str | None = None, gpu: str | None = None, careful: bool = False, **inputs: object
) -> float:
    """Most samples (three digits) whose fine-tuning costs no more than `usd` once."""
    return _most(usd, "finetune", "samples", {"model": model, "gpu": gpu, **inputs}, careful)


def _most(usd: float, stage: str, name: str, asked: dict[str, object], careful: bool) -> float:
    _check(usd)

    def affordable(index: int) -> bool:
        return _cost(stage, {**asked, name: round_figure(index)}, careful) <= usd

    found = last_that(affordable, most=last_figure(default_scenario().amounts[name].most), least=0)
    if found is None:
        least = _cost(stage, {**asked, name: round_figure(0)}, careful)
        if np.isinf(least):
            _refused(stage, {**asked, name: round_figure(0)})
        few = f"{round_figure(0):.0f} {name.replace('_', ' ')}"
        raise DoesNotFit(f"${usd:,.0f} is too little: even {few} cost ${least:,.0f}, people included")
    return round_figure(found)


def _refused(stage: str, asked: dict[str, Any]) -> None:
    """DoesNotFit with the reason why it cannot be done at any price."""
    api.estimate(stage, **asked)


def _check(usd: float) -> None:
    if not 0 < usd <= MOST_USD:
        raise InvalidInput(f"the budget must be more than 0 and at most {MOST_USD:,.0f} USD, not {usd:,g}")


def _cost(stage: str, asked: dict[str, Any], careful: bool) -> float:
    """One-off cost; infinite where it cannot be done at all. Raises InvalidInput when a price is unknown."""
    try:
        figure = api.estimate(stage, **asked).one_off_usd
    except DoesNotFit:
        return np.inf
    if not figure.known:
        raise InvalidInput("the accelerator's price is unknown: give --price-per-hour")
    return figure.high if careful else figure.value


def llm_for_budget(usd: float, *, gpu: str, careful: bool = False, **inputs: Any) -> float:
    """Parameters (three digits) of the largest LLM whose compute-optimal pre-training costs no more than `usd` once."""

    _check(usd)

    def affordable(index: int) -> bool:
        asked = {"model": f"{round_figure(index) * 1e4 / 1e9:.10g}b", "gpu": gpu, **inputs}
        return _cost("pretrain", asked, careful) <= usd

    found = last_that(affordable, most=LARGEST_LLM, least=SMALLEST_LLM)
    if found is None:
        raise DoesNotFit(f"${usd:,.0f} is too little to pre-train even 20 million parameters: people and data cost too")
    return round_figure(found) * 1e4


def _question(
    task: str, model: str, gpu: str, price: Price | float | None, inputs: Mapping[str, object], gpus: int | None = None
) -> Question:
    if task not in TASKS:
        raise UnknownName("task", task, TASKS, f"Tasks are {', '.join(TASKS)}.")
    question = api.ask(model, gpu, None, gpus, price, None, ONE_AT_A_TIME, inputs)
    if task == "serve":
        check_writes(question.own_llm())
    return question
