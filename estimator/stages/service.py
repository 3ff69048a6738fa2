"""What answering requests takes on own accelerators: latency, throughput, replicas and money."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from numpy.typing import ArrayLike

from estimator.catalog.facts import counted, fact
from estimator.catalog.files import recent
from estimator.errors import DoesNotFit, TooFew
from estimator.formulas import Floats, money, prompting, transformer
from estimator.formulas.arithmetic import product, quotient
from estimator.predict.learning import kin_of_server
from estimator.predict.serving import (
    Serving,
    Traffic,
    capacity_doubt,
    embedding_sequences_per_s,
    interval,
    prefill_s,
    serving,
    smallest_fit,
    traits,
)
from estimator.predict.serving_machine import ServingPlan
from estimator.quantities import Quantity, derive, predicted, total, uncertain
from estimator.records import Accelerator, Architecture, Cluster
from estimator.results import Line
from estimator.stages.budget import monthly
from estimator.stages.parts import joined, noted, replica_parts
from estimator.stages.question import Question


class Service(NamedTuple):
    """Serving one kind of request.

    usd_per_request: what one more request costs when the replicas are well used [USD]
    busy_s: device-seconds a request keeps accelerators busy [s]; zero behind an API
    """

    prompt_tokens: Quantity
    output_tokens: Quantity
    ttft_s: Quantity
    tpot_s: Quantity
    requests_per_s: Quantity
    usd_per_request: Quantity
    kv_bytes: Quantity
    busy_s: Quantity
    replicas: Quantity
    accelerators: Quantity
    lines: tuple[Line, ...]
    break_even_utilisation: Quantity | None = None


def cached(question: Question, prefix: Quantity, least: Quantity | None = None) -> Quantity:
    """Tokens of the prefix that a request finds cached, on average."""
    return of_prefix(question, "cached tokens", prompting.cached_tokens, prefix, least)


def of_prefix(
    question: Question, name: str, formula: Callable[..., ArrayLike], prefix: Quantity, least: Quantity | None
) -> Quantity:
    """Tokens of the prefix that hit or miss the cache; none where the scenario has no cache."""
    if not question.flag("prefix_cache"):
        return question.zero(name, "token")
    if prefix.value == 0:
        question.chosen(prefix)
        return question.zero(name, "token")
    return derive(
        name,
        "token",
        formula,
        fixed_prefix_tokens=prefix,
        cache_hit_rate=question.amount("cache_hit_rate"),
        least_tokens=least
        or question.counted("shortest cached prefix", 0.0, "token", "nothing is too short to be cached"),
    )


def replica_plan(question: Question, context_tokens: float, adapters: int = 0) -> ServingPlan:
    """The smallest replica that holds the LLM and such a request; DoesNotFit when more were needed than given."""
    llm, device = question.own_llm(), question.own_accelerator()
    found = _fewest(question, serving_plan(question, adapters), context_tokens)
    if question.count is not None and found.tp > question.count:
        raise TooFew(
            f"serving {llm.name} in {found.shown(llm)} needs {found.tp} x {device.name}, "
            f"{question.count} given: use --gpu {found.tp}x{device.name} or fewer bits (--set weight_precision={FEW})"
        )
    return found


def _fewest(question: Question, plan: ServingPlan, context_tokens: float) -> ServingPlan:
    """The plan on the fewest accelerators that hold such a request."""
    llm = question.own_llm()
    rounded = 2.0 ** math.ceil(math.log2(context_tokens))  # so that few lengths are tried
    longest = plan.max_context or llm.max_context or rounded
    if plan.max_context and context_tokens > plan.max_context:
        raise DoesNotFit(
            f"a request of {context_tokens:,.0f} tokens is longer than the {longest:,.0f} that the engine is started "
            "for: give a larger max_context"
        )
    return _smallest(llm, question.own_accelerator(), plan, min(rounded, longest))


FEW = "int4"  # what weights are quantised to where memory is short


def after_training(question: Question, serve: Callable[[Question], Service]) -> Service:
    """Served on the accelerators that trained, or on as many as hold the LLM: those that were named train."""
    try:
        return serve(question)
    except TooFew:
        return serve(replace(question, count=None))


def more_to_serve(question: Question, service: Service) -> tuple[str, ...]:
    """That what the accelerators trained, they do not hold as it is served; what does, and whether fewer bits would."""
    many, llm, device = int(service.accelerators.value), question.llm, question.accelerator
    if question.count is None or llm is None or device is None or many <= question.count:
        return ()
    longest = service.prompt_tokens.high + service.output_tokens.high
    plan = serving_plan(question)
    fewer = _fewest(question, replace(plan, weight_precision=FEW), longest).tp
    instead = f" In {FEW} it takes {fewer}: --set weight_precision={FEW}." if fewer < many else ""
    return (
        f"To serve, {llm.name} in {plan.shown(llm)} takes {many} x {device.title}, not the "
        f"{question.count} that train it: so many are counted for serving.{instead}",
    )


def serving_plan(question: Question, adapters: int = 0, tp: int = 1) -> ServingPlan:
    """How the LLM is served, as the scenario says; what it leaves open is the engine's own."""
    said = question.scenario
    cache = question.word("kv_precision") if said.word("kv_precision") else None
    longest, share = (question.number(n) if said.amount(n).given else 0.0 for n in ("max_context", "memory_fraction"))
    return ServingPlan(
        weight_precision=question.word("weight_precision"),
        kv_precision=cache,
        engine=question.word("engine"),
        tp=tp,
        adapters=adapters,
        memory_fraction=share or None,
        max_context=int(longest) or None,
    )


@recent(256)
def _smallest(llm: Architecture, device: Accelerator, plan: ServingPlan, context_tokens: float) -> ServingPlan:
    return replace(plan, tp=smallest_fit(llm, device, plan, context_tokens=context_tokens))


def _served(
    llm: Architecture, cluster: Cluster, plan: ServingPlan, prompt: Floats, output: Floats, cached: Floats
) -> Serving:
    return serving(llm, cluster, plan, Traffic(prompt, output, cached))


def on_own(question: Question, prompt: Quantity, output: Quantity, prefix: Quantity, adapters: int = 0) -> Service:
    """Serving on replicas of the accelerators at hand."""
    plan = replica_plan(question, prompt.high + output.high, adapters)
    lengths = {"prompt_tokens": prompt, "output_tokens": output, "cached_tokens": cached(question, prefix)}
    replica = question.own_llm(), question.cluster(plan.tp), plan
    found = question.once(_served, *replica, *lengths.values())
    inputs, parts = lengths | question.machine_facts(), replica_parts(found)

    def found_as(name: str, unit: str, column: Floats, group: str, doubt: tuple[float, float] = (0.0, 0.0)) -> Quantity:
        own = question.own_runs.of(group, kin_of_server(question.own_accelerator(), plan, question.own_llm()))
        ends = own.range(*half_widths(group, question.own_llm(), question.own_accelerator(), plan.engine))
        figure = noted(predicted(name, unit, column * own.factor, serving, **inputs), joined(parts, own.words))
        return uncertain(figure, FACTOR_OF[group], *map(math.hypot, ends, doubt))

    ends = question.once(capacity_doubt, *replica, prompt.value, output.value)
    apart = found_as("time between requests at capacity", "s", 1 / found.capacity_requests_per_s, "offline", ends)
    one = question.counted("one request", 1.0, "1", "by definition")
    capacity = derive("replica capacity", "1/s", quotient, dividend=one, divisor=apart)
    accelerators = question.counted(
        "accelerators per replica",
        plan.tp,
        "1",
        "the layout that was chosen: the fewest that hold the LLM and its KV cache",
    )
    busy = _busy(question, capacity, accelerators)
    sent = sent_requests(question)
    replicas = _replicas(question, sent, capacity)
    price = question.hour_usd("serving")
    return Service(
        prompt_tokens=prompt,
        output_tokens=output,
        ttft_s=found_as("time to first token", "s", found.ttft_s, "prefill"),
        tpot_s=found_as("time per output token", "s", found.tpot_s, "decode"),
        requests_per_s=capacity,
        usd_per_request=derive(
            "accelerators for one request", "USD", money.machine_usd, machine_s=busy, usd_per_hour=price
        ),
        kv_bytes=_kv_bytes(question, found, prompt, output),
        busy_s=busy,
        replicas=replicas,
        accelerators=accelerators,
        lines=_own_lines(question, sent, capacity, replicas, accelerators),
    )


def embedded(question: Question) -> Service:
    """Embedding texts as long as a question, an accelerator a replica; nothing is written, and nothing kept of it."""
    llm, device, plan = question.own_llm(), question.own_accelerator(), encoder_plan()
    if 2.0 * transformer.params(llm) > device.memory_bytes:
        raise DoesNotFit(f"embedding with {llm.name} takes more memory than one {device.name} has: name a larger one")
    asked, price, batch = (
        question.amount("prompt_tokens"),
        question.hour_usd("serving"),
        counted("embedding/batch"),
    )
    cluster, inputs = question.cluster(1), {"tokens": asked, **question.machine_facts()}
    ends = half_widths("embedding", llm, device, plan.engine)
    rate = question.once(embedding_sequences_per_s, llm, cluster, plan, asked, batch)
    alone_s = question.once(prefill_s, llm, cluster, plan, asked)
    apart = predicted("time between texts at capacity", "s", 1 / rate, embedding_sequences_per_s, **inputs)
    once = question.counted("one text", 1.0, "1", "by definition")
    capacity = derive(
        "replica capacity", "1/s", quotient, dividend=once, divisor=uncertain(apart, "embedding time", *ends)
    )
    accelerators = question.counted("accelerators per replica", 1.0, "1", "one holds an embedder")
    busy, sent = _busy(question, capacity, accelerators), sent_requests(question)
    replicas = _replicas(question, sent, capacity)
    return Service(
        prompt_tokens=asked,
        output_tokens=question.zero("output", "token"),
        ttft_s=uncertain(predicted("embedding of a text", "s", alone_s, prefill_s, **inputs), "embedding time", *ends),
        tpot_s=question.zero("time per output token", "s"),
        requests_per_s=capacity,
        usd_per_request=derive("embedding of a text", "USD", money.machine_usd, machine_s=busy, usd_per_hour=price),
        kv_bytes=question.zero("KV cache of a request", "B"),
        busy_s=busy,
        replicas=replicas,
        accelerators=accelerators,
        lines=_own_lines(question, sent, capacity, replicas, accelerators),
    )


def encoder_plan() -> ServingPlan:
    """How embedders are usually served."""
    return ServingPlan(weight_precision="fp16", engine=fact("embedding/engine").text)


FACTOR_OF = {
    "prefill": "prefill time",
    "decode": "decode time",
    "offline": "serving throughput",
    "embedding": "embedding time",
}


def half_widths(group: str, llm: Architecture, device: Accelerator, engine: str) -> tuple[float, float]:
    """80 % half widths of a prediction in ln, wider for what no measured run stands for; a measured CPU has its own."""
    if device.measured_cpu:
        from estimator.predict import local  # loaded for these alone

        return local.answer_interval(group, llm, device.name)
    return _usual_half_widths(group, llm, device, engine)


@recent(1024)
def _usual_half_widths(group: str, llm: Architecture, device: Accelerator, engine: str) -> tuple[float, float]:
    return interval(group, traits(llm, device, engine))


def _kv_bytes(question: Question, found: Serving, prompt: Quantity, output: Quantity) -> Quantity:
    per_token = question.counted(
        "KV cache of a token",
        found.kv_bytes_per_token,
        "B/token",
        "layers x KV heads x head dimension x bytes of keys and values, from the shape of the LLM",
    )
    return derive("KV cache of a request", "B", kv_of_request, per_token=per_token, prompt=prompt, output=output)


def kv_of_request(per_token: Floats, prompt: Floats, output: Floats) -> Floats:
    """Cache of a whole request at its end."""
    return per_token * (prompt + output)


def sent_requests(question: Question) -> Quantity:
    """Requests of the first month, repeats included."""
    return derive(
        "requests sent",
        "1/month",
        money.sent_requests,
        requests_per_month=question.amount("requests_per_month"),
        retries=question.amount("retries"),
    )


def _busy(question: Question, capacity: Quantity, accelerators: Quantity) -> Quantity:
    """Device-seconds a request costs, headroom and repeats included."""
    usable = derive(
        "usable capacity", "1/s", product, capacity=capacity, utilisation=question.amount("target_utilisation")
    )
    once = question.counted("one request", 1.0, "1", "by definition")
    sent = derive("times sent", "1", money.sent_requests, requests_per_month=once, retries=question.amount("retries"))
    return derive(
        "device time of a request",
        "s",
        money.busy_s,
        requests=sent,
        capacity_requests_per_s=usable,
        accelerators=accelerators,
    )


def _load(question: Question, sent: Quantity, capacity: Quantity) -> dict[str, Quantity]:
    peak = derive(
        "peak rate",
        "1/s",
        money.peak_requests_per_s,
        requests_per_month=sent,
        peak_to_mean=question.amount("peak_to_mean"),
    )
    return {
        "peak_requests_per_s": peak,
        "capacity_requests_per_s": capacity,
        "target_utilisation": question.amount("target_utilisation"),
        "least_replicas": question.amount("least_replicas"),
    }


def _replicas(question: Question, sent: Quantity, capacity: Quantity) -> Quantity:
    return derive("replicas", "1", money.replicas, **_load(question, sent, capacity))


def _billing(question: Question) -> str:
    """How time is paid: that of owned accelerators around the clock, whatever is asked of them."""
    return question.word("billing") if question.owned is None else "replicas"


def owned_notes(question: Question) -> tuple[str, ...]:
    """That the way of billing is nothing that owned accelerators have."""
    if question.owned is None or question.api is not None or question.word("billing") == "replicas":
        return ()
    return (
        "Owned accelerators cost around the clock: billing says how rented ones are paid, and changes nothing here.",
    )


def _own_lines(
    question: Question, sent: Quantity, capacity: Quantity, replicas: Quantity, accelerators: Quantity
) -> tuple[Line, ...]:
    """Accelerator time in use, and what replicas that never stop cost beyond it."""
    busy = derive(
        "serving, in use",
        "s/month",
        money.busy_s,
        requests=sent,
        capacity_requests_per_s=capacity,
        accelerators=accelerators,
    )
    used = monthly(
        question,
        "serving",
        "serving accelerators, in use",
        cost_type="variable",
        driver="requests",
        quantity=busy,
        unit_price=question.hour_usd("serving"),
        formula=money.machine_usd,
        activity="serving",
    )
    if _billing(question) == "per-use":
        return (used,)
    return used, _idle(question, sent, capacity, replicas, accelerators, used)


def _idle(
    question: Question, sent: Quantity, capacity: Quantity, replicas: Quantity, accelerators: Quantity, used: Line
) -> Line:
    months = question.amount("horizon_months")
    replica_months = derive(
        "replica months",
        "month",
        money.replica_months,
        **_load(question, sent, capacity),
        growth_per_month=question.amount("growth_per_month"),
        months=months,
    )
    least = question.amount("least_replicas")
    if _billing(question) == "autoscaled":
        floor_months = derive("least replica months", "month", product, least_replicas=least, months=months)
        replicas = _switched_on(question, "replicas on, on average", replicas, least)
        replica_months = _switched_on(question, "replica months on", replica_months, floor_months)
    on = derive("serving, switched on", "s/month", money.always_on_s, replicas=replicas, accelerators=accelerators)
    idle = derive("serving, idle", "s/month", money.idle_s, always_on_s=on, busy_s=used.quantity)
    always = derive("switched on, horizon", "s", money.always_on_s, replicas=replica_months, accelerators=accelerators)
    return monthly(
        question,
        "idle",
        "serving accelerators, idle",
        driver="replicas",
        quantity=idle,
        unit_price=question.hour_usd("idle"),
        formula=money.machine_usd,
        activity="idle",
        horizon=derive("idle, horizon", "s", money.idle_s, always_on_s=always, busy_s=used.horizon_quantity),
    )


def _switched_on(question: Question, name: str, peak: Quantity, least: Quantity) -> Quantity:
    """Of replicas for the peak, those that are on over time, where a scaler follows the load down to the least."""
    peak_to_mean = question.amount("peak_to_mean")
    return derive(name, peak.unit, money.switched_on, replicas=peak, least_replicas=least, peak_to_mean=peak_to_mean)


def spare_line(question: Question, training: Quantity | None, service: Service, lines: list[Line]) -> list[Line]:
    """Owned accelerators that neither serve nor do other work: those that were named, else those that train.

    Other work is spread over the horizon; while it lasts nothing is spare.
    """
    idle = next((line for line in lines if line.kind == "idle"), None)
    owned = training if question.count is None else question.counted("accelerators", question.count, "1", "as named")
    if question.owned is None or idle is None or owned is None or owned.value == 0:
        return []
    work = [line.work.device_s for line in lines if line.work and _elsewhere(line, question.own_accelerator())]
    months, one = question.amount("horizon_months"), question.counted("one month", 1.0, "month", "by definition")
    free = derive("owned, not at other work", "1", money.free_fleet, fleet=owned, months=months,
                  work_s=total("other work", "s", work, question.design))  # fmt: skip
    load = idle.quantity.inputs["always_on_s"].inputs["replicas"].inputs
    spare = {"fleet": free, "accelerators": service.accelerators, **load}
    still = question.zero("growth of one month", "1/month")
    first = derive("spare, month 1", "month", money.spare_months, **spare, months=one, growth_per_month=still)
    every = derive(
        "spare months", "month", money.spare_months, **spare, months=months,
        growth_per_month=question.amount("growth_per_month"),
    )  # fmt: skip
    each = question.counted("one accelerator", 1.0, "1", "by definition")
    return [
        monthly(
            question,
            "spare",
            "owned accelerators, spare",
            driver="accelerators",
            quantity=derive("spare", "s/month", money.always_on_s, replicas=first, accelerators=each),
            unit_price=question.hour_usd("idle"),
            formula=money.machine_usd,
            activity="idle",
            horizon=derive("spare, horizon", "s", money.always_on_s, replicas=every, accelerators=each),
        )
    ]


def _elsewhere(line: Line, device: Accelerator) -> bool:
    """Whether a line is work of the device beside the replicas that are always on."""
    return line.kind not in ("serving", "idle") and line.work is not None and line.work.device in (None, device)
