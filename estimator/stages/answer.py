"""Who answers requests, and from a stage's findings to an Estimate: overhead, totals, energy, the words around them."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from estimator.catalog.engines import engine, known_engines
from estimator.catalog.facts import fact
from estimator.catalog.files import recent
from estimator.catalog.retrieval import text_ratio, tokenizers
from estimator.errors import DoesNotFit, TooFew
from estimator.formulas import effort, energy
from estimator.formulas.arithmetic import difference, product
from estimator.paths import presets, toml
from estimator.pricing import power_w
from estimator.quantities import Quantity, derive, given, total
from estimator.records import Accelerator
from estimator.results import Estimate, Line, Work
from estimator.scenario import Scenario
from estimator.stages.budget import egress_line, growing_months, regression_runs, summed, with_contingency
from estimator.stages.hosted import behind_api, tier_notes
from estimator.stages.question import Question
from estimator.stages.service import Service, on_own, owned_notes, sent_requests, spare_line
from estimator.stages.unit_costs import times, unit_costs


def bare(question: Question) -> Service:
    """The bare LLM answering the same question: what every approach is measured against."""
    if question.bare is None:
        prompt, output = question.amount("prompt_tokens"), question.written()
        question.check_context(prompt, output, "shorten the question or the answer")
        question.bare = serve(question, prompt, output)
    found: Service = question.bare
    return found


def served_here(question: Question, adapters: int = 0) -> Service:
    """The bare LLM, or one trained from it, on the accelerators at hand, whatever serves the baseline."""
    nothing = question.zero("fixed prefix", "token")
    try:
        if question.api is None and not adapters:
            return bare(question)
        return on_own(question, question.amount("prompt_tokens"), question.written(), nothing, adapters)
    except TooFew:
        raise
    except DoesNotFit as error:
        raise DoesNotFit(f"{error}; what training alone takes: estimator layout") from None


def serve(
    question: Question, prompt: Quantity, output: Quantity, prefix: Quantity | None = None, adapters: int = 0
) -> Service:
    """The service for requests of these lengths, whose first `prefix` tokens are the same every time."""
    fixed = question.zero("fixed prefix", "token") if prefix is None else prefix
    if question.api is None:
        return on_own(question, prompt, output, fixed, adapters)
    return behind_api(question, question.api, prompt, output, fixed)


class Overhead(NamedTuple):
    """A service beside the bare LLM's, and latency that does not come from the LLM (retrieval, say)."""

    service: Service
    baseline: Service
    extra_s: Quantity | None = None
    extra_usd: Quantity | None = None


class Findings(NamedTuple):
    """What a stage found. Figures left out do not arise in it. words: of which approach, where not the stage's own."""

    stage: str
    lines: list[Line]
    people_hours: Quantity
    calendar_s: Quantity
    accelerator_s: Quantity
    flop: Quantity
    overhead: Overhead
    accelerators: Quantity | None = None
    layout: str = ""
    data_tokens: Quantity | None = None
    data_samples: Quantity | None = None
    data_bytes: Quantity | None = None
    training_s: Quantity | None = None
    peak_memory_bytes: Quantity | None = None
    details: Mapping[str, Quantity] = {}
    warnings: tuple[str, ...] = ()
    words: str = ""
    verdict: str = ""


@cache
def approaches() -> dict[str, dict[str, Any]]:
    """What each approach is like, in words."""
    return toml((presets() / "approaches.toml").read_text(encoding="utf-8"))


def answer(question: Question, found: Findings) -> Estimate:
    """The estimate of a stage."""
    service = found.overhead.service
    again = regression_runs(question, service.usd_per_request, service.busy_s)
    priced = [*found.lines, again, *egress_line(question)]
    lines = with_contingency(question, [*priced, *spare_line(question, found.accelerators, service, priced)])
    return Estimate(
        stage=found.stage,
        llm=llm_text(question),
        hardware=hardware_text(question),
        accelerator=question.accelerator.name if question.accelerator else "",
        data_tokens=found.data_tokens or question.zero("training tokens", "token"),
        data_samples=found.data_samples or question.zero("samples", "1"),
        data_bytes=found.data_bytes or question.zero("data", "B"),
        calendar_s=found.calendar_s,
        people_hours=found.people_hours,
        training_s=found.training_s or question.zero("training time", "s"),
        accelerator_s=found.accelerator_s,
        flop=found.flop,
        peak_memory_bytes=found.peak_memory_bytes or question.zero("training memory", "B"),
        accelerators=found.accelerators or question.zero("accelerators", "1"),
        serving_accelerators=_serving_accelerators(service),
        layout=found.layout,
        **per_request(question, found.overhead),
        **_costs(question, lines),
        **_power(question, service, lines),
        **described(found.words or found.stage, question.scenario),
        details={
            **found.details,
            **_against_own(service),
            "ttft_s": _ttft(found.overhead),
            **unit_costs(question, service, lines),
            "api_usd": _bill(question, lines),
            **({"water_l": _hosted(question, service, "water", "L")} if question.api else {}),
        },
        assumptions=question.assumptions(),
        verdict=found.verdict,
        warnings=(
            *found.warnings,
            *_long_requests(question, service),
            *_unheard_of(question),
            *tier_notes(question),
            *owned_notes(question),
            *_ranges_left_out(question),
        ),
        chosen_by=tuple(sorted(question.chosen_by)),  # after everything above has chosen
        limits=tuple(question.limits),
    )


def _bill(question: Question, lines: list[Line]) -> Quantity:
    """What an API's provider sends a bill over, in the first month."""
    found = [line for line in lines if line.kind == "api"]
    return summed(question, "API bill", found) if found else question.zero("API bill", "USD/month")


def described(stage: str, asked: Scenario | None = None) -> dict[str, Any]:
    """An approach in words: title, complexity, what it is best for, what speaks for and against it, evidence.

    asked: what evidence of some questions alone is chosen by
    """
    words = approaches()[stage]
    return {
        **{name: words[name] for name in ("title", "complexity", "best_for")},
        **{name: tuple(words[name]) for name in ("advantages", "considerations")},
        "evidence": evidence(tuple(key for key, _, when in _conditions(words["evidence"]) if _asks(asked, when))),
    }


def _conditions(entries: list[str]) -> Iterator[tuple[str, str, str]]:
    return (entry.partition(" if ") for entry in entries)


def _asks(asked: Scenario | None, when: str) -> bool:
    """Whether a question is of the kind `INPUT is WORD` or `INPUT is not WORD`; any is where nothing is said."""
    name, _, word = when.partition(" is ")
    if not when or asked is None:
        return not when
    return asked.word(name) != word.removeprefix("not ") if word.startswith("not ") else asked.word(name) == word


def _costs(question: Question, lines: list[Line]) -> dict[str, Any]:
    """The budget lines, and what they come to once, a month and over the horizon."""
    return {
        "lines": tuple(lines),
        "one_off_usd": summed(question, "one-off cost", [line for line in lines if line.phase == "one-off"]),
        "monthly_usd": summed(question, "monthly cost", [line for line in lines if line.phase == "monthly"]),
        "total_usd": total("total over the horizon", "USD", [line.horizon_usd for line in lines]),
    }


def _long_requests(question: Question, service: Service) -> tuple[str, ...]:
    """That requests fit the context window as expected, but not at the upper end of their range."""
    limit = question.context_tokens()
    longest = service.prompt_tokens.interval()[1] + service.output_tokens.interval()[1]
    if limit is None or longest <= limit:
        return ()
    return (
        f"Requests may not fit: the range reaches {longest:,.0f} tokens, the context window holds {limit:,.0f}. "
        "Shorten the prompt, or take an LLM with a longer context.",
    )


def _unheard_of(question: Question) -> tuple[str, ...]:
    """That nothing is known of an engine or a tokenizer that was named, and what is taken for it."""
    named, counted = question.scenario.word("engine"), question.scenario.word("tokenizer")
    found = []
    if question.gave("engine") and not engine(named).known:
        found.append(
            f"Nothing is known of the engine {named!r}: it is taken for a usual one, and ranges are wider. "
            f"Known are {', '.join(known_engines())}."
        )
    if question.gave("tokenizer") and not text_ratio(question.word("text_kind"), counted).known:
        found.append(f"The tokenizer {counted!r} was not counted: taken is the median of {', '.join(tokenizers())}.")
    return tuple(found)


def _ranges_left_out(question: Question) -> tuple[str, ...]:
    """That a range was given to an input which takes one value."""
    amounts = question.scenario.amounts
    names = [name for name, one in amounts.items() if one.given and one.low is not None and not one.factor]
    if not names:
        return ()
    return (
        f"The range of {', '.join(names)} is in no figure here: taken is the value between its ends. "
        f"`estimator estimate ... --sensitivity {','.join(names)}` shows what it does.",
    )


def _ttft(overhead: Overhead) -> Quantity:
    """Time to the first token of a request, retrieval included."""
    llm, retrieval = overhead.service.ttft_s, overhead.extra_s
    return llm if retrieval is None else total("time to first token", "s", [llm, retrieval])


def _against_own(service: Service) -> dict[str, Quantity]:
    """Where an API is asked and own hardware named: the utilisation at which both cost the same."""
    found = service.break_even_utilisation
    return {} if found is None else {"break_even_utilisation": found}


def hardware_text(question: Question) -> str:
    """Where answers are served and training runs."""
    device, where = question.accelerator, f"{question.api.provider} API" if question.api else ""
    if device is None:
        return where
    own = f"{question.count} x {device.title}" if question.count else device.title
    if where:
        return f"{where}, training on {own}" if question.trains_here else where
    return own


def llm_text(question: Question) -> str:
    """The LLM's name, with how it was made up where it is assumed."""
    llm = question.llm
    if question.api is not None:
        return question.api.name
    if llm is None:
        return ""
    return f"{llm.name} ({llm.note})" if llm.basis == "assumed" and llm.note else llm.name


@recent(256)
def evidence(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Published effects on quality, each with its setting and source; measured elsewhere, so no promise."""
    found = [fact(key) for key in keys]
    return tuple(
        f"{item.key}: {item.value:g} {item.unit}{f' ({item.context})' * bool(item.context)} [{item.source}]"
        for item in found
    )


def _serving_accelerators(service: Service) -> Quantity:
    each = service.accelerators
    return derive("accelerators to serve", "1", product, replicas=service.replicas, each=each)


def added(name: str, unit: str, with_it: Quantity, without: Quantity) -> Quantity:
    """A figure of this approach less the same of the bare LLM."""
    return derive(name, unit, difference, with_it=with_it, without=without)


def per_request(question: Question, overhead: Overhead) -> dict[str, Any]:
    """What the approach adds to every request of the bare LLM."""
    service, baseline = overhead.service, overhead.baseline
    ttft = added("added time to first token", "s", service.ttft_s, baseline.ttft_s)
    usd = added("added cost of a request", "USD", service.usd_per_request, baseline.usd_per_request)
    if overhead.extra_s is not None:
        ttft = total("added time to first token", "s", [ttft, overhead.extra_s])
    if overhead.extra_usd is not None:
        usd = total("added cost of a request", "USD", [usd, overhead.extra_usd])
    return {
        "extra_prompt_tokens": added("extra prompt tokens", "token", service.prompt_tokens, baseline.prompt_tokens),
        "added_ttft_s": ttft,
        "added_tpot_s": added("added time per output token", "s", service.tpot_s, baseline.tpot_s),
        "added_usd_per_1000_requests": times(question, "added cost of 1,000 requests", usd, 1e3),
        "added_memory_bytes": added("added memory of a request", "B", service.kv_bytes, baseline.kv_bytes),
    }


def calendar(question: Question, hours: Quantity, machine_s: Quantity, staff: str = "staff") -> Quantity:
    """Calendar time to the first result: people's weeks, then machines that run around the clock."""
    return derive(
        "calendar time",
        "s",
        effort.calendar_s,
        hours=hours,
        staff=question.amount(staff),
        hours_per_week=question.amount("working_hours_per_week"),
        machine_s=machine_s,
    )


def _hosted(question: Question, service: Service, what: str, unit: str) -> Quantity:
    """Energy or water of a hosted LLM's answers over the horizon: a wide range of `ecologits`, unknown without it."""
    from estimator.catalog.hosted_energy import footprint  # for hosted LLMs alone

    found = footprint(question.api.provider, question.api.model) if question.api else None
    if found is None:
        return question.unknown(what, unit, f"an API's {what} is not published; the extra 'footprint' has ranges")
    low, value, high = found.energy_j if what == "energy" else found.water_l
    ends: dict[str, Any] = {"low": low, "high": high, "factor": "power", "basis": "published"}
    each = given(f"{what} of an output token", value, f"{unit}/token", design=question.design,
                 sources=(found.source,), **ends)  # fmt: skip
    sent, months = sent_requests(question), growing_months(question)
    return derive(what, unit, product, requests=sent, months=months, tokens=service.output_tokens, each=each)


def _power(question: Question, service: Service, lines: list[Line]) -> dict[str, Any]:
    """Energy over the horizon of all accelerator time behind the lines, and its emissions; unknown behind an API."""
    if question.api is not None:
        used_j = _hosted(question, service, "energy", "J")
    elif question.accelerator is None:
        used_j = question.unknown("energy", "J", "what trains and serves it is not known")
    else:
        used_j = total("energy", "J", _energy_of(question, [line.work for line in lines if line.work]))
    grid = question.carbon_g_per_kwh
    emitted = derive("emissions", "gCO2e", energy.emissions_g, energy_j=used_j, carbon_intensity_g_per_kwh=grid)
    return {"energy_j": used_j, "co2e_g": emitted}


def _energy_of(question: Question, works: list[Work]) -> list[Quantity]:
    """Energy of each kind of work on each kind of device [J]."""
    alike: dict[tuple[str, Accelerator], list[Quantity]] = {}
    for work in works:
        alike.setdefault((work.activity, work.device or question.own_accelerator()), []).append(work.device_s)
    return [
        _facility(question, device, activity, total(f"{activity} on accelerators", "s", parts))
        for (activity, device), parts in alike.items()
    ]


def _facility(question: Question, device: Accelerator, activity: str, device_s: Quantity) -> Quantity:
    if device.tdp_w is None:
        return question.unknown("energy", "J", f"the rated power of {device.name} is not known")
    drawn = power_w(device, activity, question.pue)
    return derive(f"energy, {activity}", "J", energy.facility_energy_j, accelerator_s=device_s, power_w=drawn)
