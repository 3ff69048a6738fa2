"""From a stage's findings to an Estimate: overhead against the bare LLM, totals, energy, and the words around them."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from estimator.catalog.energy import power_fraction
from estimator.catalog.facts import fact
from estimator.formulas import effort, energy
from estimator.formulas.arithmetic import difference, product
from estimator.paths import presets, toml
from estimator.quantities import Quantity, derive, off, total
from estimator.results import Estimate, Line
from estimator.stages.budget import regression_runs, summed, with_contingency
from estimator.stages.question import Question
from estimator.stages.service import Service
from estimator.stages.unit_costs import unit_costs


class Overhead(NamedTuple):
    """A service beside the bare LLM's, and latency that does not come from the LLM (retrieval, say)."""

    service: Service
    baseline: Service
    extra_s: Quantity | None = None
    extra_usd: Quantity | None = None


class Answer(NamedTuple):
    """What a stage found. Figures left out do not arise in it."""

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


@cache
def approaches() -> dict[str, dict[str, Any]]:
    """What each approach is like, in words."""
    return toml((presets() / "approaches.toml").read_text(encoding="utf-8"))


def answer(question: Question, found: Answer) -> Estimate:
    """The estimate of a stage."""
    again = regression_runs(question, found.overhead.service.usd_per_request)
    lines = with_contingency(question, [*found.lines, again])
    words = approaches()[found.stage]
    used_j = energy_j(question, found)
    return Estimate(
        stage=found.stage,
        title=words["title"],
        llm=llm_text(question),
        hardware=hardware_text(question),
        accelerator=question.accelerator.name if question.accelerator else "",
        data_tokens=found.data_tokens or question.zero("training tokens", "token"),
        data_samples=found.data_samples or question.zero("samples", "1"),
        data_bytes=found.data_bytes or question.zero("data", "B"),
        calendar_s=found.calendar_s,
        complexity=words["complexity"],
        people_hours=found.people_hours,
        training_s=found.training_s or question.zero("training time", "s"),
        accelerator_s=found.accelerator_s,
        flop=found.flop,
        peak_memory_bytes=found.peak_memory_bytes or question.zero("training memory", "B"),
        accelerators=found.accelerators or question.zero("accelerators", "1"),
        serving_accelerators=_serving_accelerators(found.overhead.service),
        layout=found.layout,
        **per_request(question, found.overhead),
        one_off_usd=summed(question, "one-off cost", [line for line in lines if line.phase == "one-off"]),
        monthly_usd=summed(question, "monthly cost", [line for line in lines if line.phase == "monthly"]),
        total_usd=total(
            "total over the horizon", "USD", {f"line_{i}": line.horizon_usd for i, line in enumerate(lines)}
        ),
        lines=tuple(lines),
        energy_j=used_j,
        co2e_g=derive(
            "emissions",
            "gCO2e",
            energy.emissions_g,
            energy_j=used_j,
            carbon_intensity_g_per_kwh=question.carbon_g_per_kwh,
        ),
        best_for=words["best_for"],
        advantages=tuple(words["advantages"]),
        considerations=tuple(words["considerations"]),
        details={
            **found.details,
            **_against_own(found.overhead.service),
            "ttft_s": _ttft(found.overhead),
            **unit_costs(question, found.overhead.service, lines),
        },
        assumptions=question.assumptions(),
        evidence=evidence(words["evidence"]),
        warnings=found.warnings,
    )


def _ttft(overhead: Overhead) -> Quantity:
    """Time to the first token of a request, retrieval included."""
    llm, retrieval = overhead.service.ttft_s, overhead.extra_s
    return llm if retrieval is None else total("time to first token", "s", {"llm": llm, "retrieval": retrieval})


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
    return f"{where}, training on {own}" if where else own


def llm_text(question: Question) -> str:
    """The LLM's name, with how it was made up where it is assumed."""
    llm = question.llm
    if question.api is not None:
        return question.api.name
    if llm is None:
        return ""
    return f"{llm.name} ({llm.note})" if llm.basis == "assumed" and llm.note else llm.name


def evidence(keys: list[str]) -> tuple[str, ...]:
    """Published effects on quality, each with its setting and source; measured elsewhere, so no promise."""
    found = [fact(key) for key in keys]
    return tuple(f"{item.key}: {item.value:g} {item.unit} ({item.context}) [{item.source}]" for item in found)


def _serving_accelerators(service: Service) -> Quantity:
    each = service.accelerators
    return derive("accelerators to serve", "1", product, replicas=service.replicas, each=each)


def added(name: str, unit: str, with_it: Quantity, without: Quantity) -> Quantity:
    """A figure of this approach less the same of the bare LLM."""
    return derive(name, unit, difference, with_it=with_it, without=without)


def per_request(question: Question, overhead: Overhead) -> dict[str, Quantity]:
    """What the approach adds to every request of the bare LLM."""
    service, baseline = overhead.service, overhead.baseline
    ttft = added("added time to first token", "s", service.ttft_s, baseline.ttft_s)
    usd = added("added cost of a request", "USD", service.usd_per_request, baseline.usd_per_request)
    if overhead.extra_s is not None:
        ttft = total("added time to first token", "s", {"llm": ttft, "retrieval": overhead.extra_s})
    if overhead.extra_usd is not None:
        usd = total("added cost of a request", "USD", {"llm": usd, "retrieval": overhead.extra_usd})
    return {
        "extra_prompt_tokens": added("extra prompt tokens", "token", service.prompt_tokens, baseline.prompt_tokens),
        "added_ttft_s": ttft,
        "added_tpot_s": added("added time per output token", "s", service.tpot_s, baseline.tpot_s),
        "added_usd_per_1000_requests": derive(
            "added cost of 1,000 requests",
            "USD",
            product,
            usd=usd,
            requests=question.fact("1,000", 1000.0, "1", "analytic"),
        ),
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


def energy_j(question: Question, found: Answer) -> Quantity:
    """Energy of the one-off work and of serving over the horizon; unknown behind an API."""
    if question.accelerator is None or question.api is not None:
        return question.unknown("energy", "J", "an API's energy is not published")
    work = {"training": found.accelerator_s}
    work |= {SERVING_WORK[line.item]: line.horizon_quantity for line in found.lines if line.item in SERVING_WORK}
    parts = {activity: _facility(question, activity, device_s) for activity, device_s in work.items()}
    return total("energy", "J", parts)


# Which budget lines are accelerators that draw power, and what they do meanwhile.
SERVING_WORK = {"serving accelerators, in use": "serving", "serving accelerators, idle": "idle"}


def _facility(question: Question, activity: str, device_s: Quantity) -> Quantity:
    device = question.own_accelerator()
    if device.tdp_w is None:
        return question.unknown("energy", "J", f"the rated power of {device.name} is not known")
    drawn = power_fraction(activity)
    share = question.fact(f"share of rated power, {activity}", drawn.value, "1", "published", drawn.source)
    down, up = math.log(drawn.value / drawn.low), math.log(drawn.high / drawn.value)
    return derive(
        f"energy, {activity}",
        "J",
        energy.facility_energy_j,
        accelerator_s=device_s,
        tdp_w=question.fact("rated power", device.tdp_w, "W", device.basis, *device.sources),
        power_fraction=off(share, "power", down, up),
        pue=question.pue,
    )
