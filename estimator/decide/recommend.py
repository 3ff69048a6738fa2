"""recommend: criteria and estimates in, a ranked plan out, with reasons, what was ruled out, and what would change it.

Every candidate is estimated; the rules of presets/rules.toml say which meet every need and which are out; what is left
is ranked by its total cost over the horizon. No score: each place has its reasons, and each reason its sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from estimator import api
from estimator.catalog.accelerators import cluster
from estimator.decide.break_even import BreakEven, break_even, leaves
from estimator.decide.rules import Rule, Value, candidates, criteria, rules
from estimator.errors import DoesNotFit, InvalidInput, NotNamed, UnknownName
from estimator.formulas.arithmetic import difference
from estimator.formulas.units import DAY_S
from estimator.pricing import Price
from estimator.quantities import Quantity, derive
from estimator.records import Cluster
from estimator.results import FIGURES, Assumption, Estimate, Line, Ranged
from estimator.scenario import default_scenario, known_input
from estimator.shown import SCHEMA_VERSION
from estimator.stages import COMBINATIONS
from estimator.stages.answer import approaches


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a candidate stands where it stands. asks: the criterion or input that would have to change, `instead` how.

    last: that it comes after all others
    """

    rule: str
    text: str
    asks: str
    instead: str
    sources: tuple[str, ...]
    need: str = ""
    last: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "rule": self.rule,
            "text": self.text,
            "need": self.need,
            "criterion": self.asks,
            "instead": self.instead,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One candidate: what it takes, which needs it meets or not, what rules it out, what to mind."""

    approach: str
    title: str
    estimate: Estimate | None
    met: tuple[Reason, ...]
    unmet: tuple[Reason, ...]
    out: tuple[Reason, ...]
    notes: tuple[Reason, ...]

    @property
    def stands(self) -> bool:
        """Whether nothing rules it out and no need is left open."""
        return not self.out and not self.unmet

    @property
    def last_resort(self) -> bool:
        """Whether it is recommended only when nothing else stands."""
        return any(reason.last for reason in self.notes)

    @property
    def obstacles(self) -> tuple[Reason, ...]:
        """Everything that speaks against it."""
        return (*self.out, *self.unmet)

    def to_dict(self) -> dict[str, Any]:
        """Plain data with the figures a decision rests on."""
        names = [one.name for one in FIGURES if one.decides]
        figures = {name: getattr(self.estimate, name).to_dict() for name in names} if self.estimate else {}
        reasons = {name: [one.to_dict() for one in getattr(self, name)] for name in ("met", "unmet", "out", "notes")}
        return {"approach": self.approach, "title": self.title, "stands": self.stands, **figures, **reasons}


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What would change the answer: with these criteria otherwise, that candidate would come first."""

    criteria: tuple[str, ...]
    instead: tuple[str, ...]
    approach: str
    title: str
    saves_usd: Quantity

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "criteria": list(self.criteria),
            "instead": list(self.instead),
            "approach": self.approach,
            "saves_usd": self.saves_usd.to_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Recommendation(Ranged):
    """The ranked plan. options: best first, those that stand before those that do not; given: the criteria as said."""

    llm: str
    hardware: str
    given: Mapping[str, Value]
    options: tuple[Option, ...]
    changes: tuple[Change, ...]
    assumptions: tuple[Assumption, ...]

    @property
    def best(self) -> Option | None:
        """What is recommended; None when nothing meets every need and constraint."""
        return self.options[0] if self.options and self.options[0].stands else None

    @property
    def simpler(self) -> tuple[tuple[Option, Quantity], ...]:
        """Less demanding candidates that stand and, within the ranges, may cost no more; and how much more they do."""
        if self.best is None or not self.best.estimate or not self.best.estimate.total_usd.known:
            return ()
        order, total = candidates().index, self.best.estimate.total_usd
        less = [one for one in self.options[1:] if one.stands and order(one.approach) < order(self.best.approach)]
        found = ((one, _saved(one.estimate.total_usd, total)) for one in less if one.estimate)
        return tuple((one, more) for one, more in found if more.known and more.low < 0)

    @property
    def break_evens(self) -> tuple[BreakEven, ...]:
        """From which volume each other candidate that stands becomes cheaper than the recommended one."""
        best = self.best.estimate if self.best else None
        if best is None or not best.total_usd.known or "requests_per_month" not in best.details:
            return ()
        others = [one.estimate for one in self.options[1:] if one.stands and one.estimate]
        return tuple(break_even(best, other) for other in others if other.total_usd.known)

    @property
    def steps(self) -> tuple[tuple[Option, str], ...]:
        """The way there: a prompt first, then what is recommended, a combination part by part from the simplest on."""
        if self.best is None:
            return ()
        parts = {"prompt", *self.best.approach.split("+")}
        by_name = {one.approach: one for one in self.options if one.approach in parts}
        return tuple((by_name[name], _step(name, self.best.approach)) for name in candidates() if name in parts)

    @property
    def plan(self) -> tuple[str, ...]:
        """The steps in words, one a line."""
        return tuple(words for _, words in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "level": next((option.estimate.level for option in self.options if option.estimate), 0.8),
            "llm": self.llm,
            "hardware": self.hardware,
            "given": {name: value for name, value in self.given.items() if value != np.inf},
            "recommended": self.best.approach if self.best else None,
            "plan": list(self.plan),
            "simpler": [{"approach": one.approach, "costs_more_usd": more.to_dict()} for one, more in self.simpler],
            "options": [option.to_dict() for option in self.options],
            "changes": [change.to_dict() for change in self.changes],
            "break_evens": [found.to_dict() for found in self.break_evens],
            "assumptions": [{"name": one.name, "shown": one.shown, "given": one.given} for one in self.assumptions],
        }


def recommend(
    *,
    model: str | None = None,
    gpu: str | None = None,
    api: str | None = None,
    gpus: int | None = None,
    price: Price | float | None = None,
    scenario_file: str | None = None,
    **inputs: object,
) -> Recommendation:
    """Which approach, and why: candidates ranked by cost among those that meet every need and constraint.

    inputs: criteria (failure_mode, citations, skills, budget_upfront_usd, ...: `[criteria]` of presets/rules.toml) and
    any input of the scenario; a criterion not given decides nothing. Other arguments as for `estimate`.

    >>> from estimator import recommend
    >>> recommend(model="7b", gpu="a100", failure_mode="knowledge", citations=True).best.approach
    'rag'
    """
    hardware = {"model": model, "gpu": gpu, "api": api, "gpus": gpus, "price": price, "scenario_file": scenario_file}
    goals, asked = _sorted_out(inputs)
    found = _estimates(hardware | asked, float(goals["labelled_examples"]))
    return decide(found, goals)


def _sorted_out(inputs: Mapping[str, object]) -> tuple[dict[str, Value], dict[str, object]]:
    """Criteria, checked and complete, and the scenario's inputs."""
    known = criteria()
    inputs = {name.replace("-", "_"): value for name, value in inputs.items()}
    inputs = {name if name in known else known_input(name, tuple(known)): value for name, value in inputs.items()}
    goals = {name: one.read(inputs[name]) if name in inputs else one.value for name, one in known.items()}
    return goals, {name: value for name, value in inputs.items() if name not in known}


Found = Mapping[str, Estimate | str]


TRAINED_ON_LABELS = ("finetune", "finetune+rag")


def _estimates(asked: dict[str, object], labelled: float = np.inf) -> dict[str, Estimate | str]:
    """Every candidate's estimate, or why it cannot be done. labelled: examples there are to train on, at most."""
    usual = default_scenario().amount("samples").value
    fewer = {"samples": max(labelled, 1.0)} if labelled < usual and not asked.get("scenario_file") else {}
    return {name: _estimate(name, {**(fewer if name in TRAINED_ON_LABELS else {}), **asked}) for name in candidates()}


def _estimate(name: str, asked: dict[str, Any]) -> Estimate | str:
    try:
        found = api.estimate(name, **asked)
        return _too_few(found, asked.get("gpu"), asked.get("gpus")) or found
    except (DoesNotFit, NotNamed) as error:
        return str(error)
    except InvalidInput as error:
        if isinstance(error, UnknownName) or name not in COMBINATIONS:  # the question is wrong, whatever is recommended
            raise
        return str(error)


def _too_few(found: Estimate, gpu: str | None, gpus: int | None) -> str:
    """Why the accelerators given do not serve what they train, nor any other approach; empty where they do."""
    hardware, replicas = cluster(str(gpu)) if gpu else None, found.figure("replicas")
    given = hardware.count if isinstance(hardware, Cluster) else gpus
    each = found.serving_accelerators.value / replicas.value if replicas is not None and replicas.value else 0.0
    if given is None or each <= given:
        return ""
    more = f"{each:.0f}x{found.accelerator}"
    return (
        f"it is trained on what was given and not served: that takes {more}. Use --gpu {more} or fewer bits (--set "
        f"weight_precision=int4); what training takes: estimator estimate {found.stage}"
    )


def decide(found: Found, goals: Mapping[str, Value], served_by: str = "") -> Recommendation:
    """The recommendation for estimates that are there already. Raises InvalidInput when there is none at all.

    served_by: api or own, where that is not for the estimates to say
    """
    options = sorted((_option(name, found[name], goals, served_by) for name in found), key=_place)
    first = next((answer for answer in found.values() if isinstance(answer, Estimate)), None)
    if first is None:
        raise InvalidInput(f"no approach can be done: {next(iter(found.values()))}")
    best = options[0] if options[0].stands else None
    return Recommendation(
        first.llm,
        first.hardware,
        {name: value for name, value in goals.items() if value != criteria()[name].value},
        tuple(options),
        _changes(best, options),
        first.assumptions,
    )


def _option(name: str, answer: Estimate | str, goals: Mapping[str, Value], served_by: str) -> Option:
    title = approaches()[name]["title"]
    if isinstance(answer, str):
        return Option(name, title, None, (), (), (Reason("cannot run", answer, "", "", ()),), ())
    context = {**goals, **figures(answer), **({"served_by": served_by} if served_by else {})}
    found: dict[str, list[Reason]] = {"met": [], "unmet": [], "out": [], "notes": []}
    for rule in rules():
        holds = rule.holds(context)
        place = _place_of(rule, name, holds)
        if place:
            found[place].append(_reason(rule, "" if holds is None else rule.compared(context), holds is None))
    return Option(name, title, answer, *(tuple(reasons) for reasons in found.values()))


def _place_of(rule: Rule, name: str, holds: bool | None) -> str:
    """Where a rule's reason goes for this candidate; nowhere when it says nothing about it."""
    if holds is False or (rule.effect != "needs" and name not in rule.candidates):
        return ""
    if holds is None:
        return "notes" if rule.effect == "out" else ""
    if rule.effect == "needs":
        return "met" if name in rule.candidates else "unmet"
    return "notes" if rule.effect == "last" else rule.effect


def _reason(rule: Rule, compared: str, unknown: bool) -> Reason:
    text = f"cannot be checked, a figure is unknown: whether {rule.because}" if unknown else rule.because
    said = f"{text} ({compared})" if compared else text
    return Reason(rule.id, said, rule.asks, rule.instead, rule.sources(), rule.need, rule.effect == "last")


def figures(answer: Estimate) -> dict[str, Value]:
    """The figures of an estimate that rules may name; NaN where unknown."""
    details, words = answer.details, {one.name: one.shown for one in answer.assumptions}
    requests = details["requests_per_month"].value if "requests_per_month" in details else 0.0
    month, months = answer.monthly_usd, leaves(answer.total_usd)["horizon_months"].value
    mean = (answer.total_usd.value - answer.one_off_usd.value) / months  # above the first month's as traffic grows
    grown = max(mean / month.value, 1.0) if month.value else 1.0
    return {
        "one_off_usd": answer.one_off_usd.value,
        "one_off_usd_high": answer.one_off_usd.high if answer.one_off_usd.known else np.nan,
        "monthly_usd": month.value * grown,
        "monthly_usd_high": month.high * grown if month.known else np.nan,
        "calendar_days": answer.calendar_s.value / DAY_S,
        "calendar_days_high": answer.calendar_s.high / DAY_S if answer.calendar_s.known else np.nan,
        "ttft_s": details["ttft_s"].value,
        "usd_per_1000_requests": 1000 * answer.monthly_usd.value / requests if requests else np.nan,
        "corpus_tokens": answer.extra_prompt_tokens.value if answer.stage == "corpus-in-prompt" else 0.0,
        "training_tokens": answer.data_tokens.value,
        "served_by": "api" if any(map(_answered_elsewhere, answer.lines)) else "own",
        "embedded_by": "api" if ":" in words.get("embedding_model", "") else "own",
        "student_named": any(one.name == "student" and one.given for one in answer.assumptions),
        "continued": words.get("continued", "false"),
    }


def _answered_elsewhere(line: Line) -> bool:
    """Whether a line pays for answers that keep no accelerator of one's own busy."""
    work = line.work
    at_no_time = work is not None and work.activity == "serving" and work.device_s.value == 0 < line.quantity.value
    return line.kind == "api" or at_no_time


def _place(option: Option) -> tuple[bool, int, bool, float, int]:
    """Those that stand first, by cost, a last resort last; then fewest obstacles; unknown costs by demand."""
    total = option.estimate.total_usd.value if option.estimate and option.estimate.total_usd.known else np.inf
    order = candidates().index(option.approach)
    return not option.stands, len(option.obstacles), option.last_resort, total, order


def _changes(best: Option | None, options: list[Option]) -> tuple[Change, ...]:
    """For each candidate that would come first, the criteria that keep it from it; fewest criteria first.

    A candidate kept off by more than another cheaper one adds nothing.
    """
    found: list[Change] = []
    for option in sorted(options, key=lambda one: _place(one)[2:]):
        change = _change(best, option)
        if change and not any(set(other.criteria) <= set(change.criteria) for other in found):
            found.append(change)
    return tuple(sorted(found, key=lambda change: len(change.criteria)))


def _change(best: Option | None, option: Option) -> Change | None:
    """What stands between this candidate and the first place; None when criteria alone cannot bring it there."""
    if option is best or option.estimate is None or not all(reason.asks for reason in option.obstacles):
        return None
    if best is not None and _place(option)[2:] > _place(best)[2:]:
        return None
    asked = tuple(dict.fromkeys(reason.asks for reason in option.obstacles))
    instead = tuple(dict.fromkeys(reason.instead for reason in option.obstacles))
    now = best.estimate.total_usd if best and best.estimate else option.estimate.total_usd
    return Change(asked, instead, option.approach, option.title, _saved(now, option.estimate.total_usd))


def _step(name: str, best: str) -> str:
    if name == "prompt" and best != "prompt":
        return "A good prompt and an evaluation set first: the baseline that everything later has to beat."
    return f"{approaches()[name]['title']}: {approaches()[name]['best_for']}."


def _saved(total: Quantity, instead: Quantity) -> Quantity:
    """What the second total saves over the horizon."""
    found = derive("saved over the horizon", total.unit, difference, with_it=total, without=instead)
    return replace(found, level=total.level)
