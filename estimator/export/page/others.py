"""Pages of results that do not recalculate: verdict with range, pictures, the tables of the command, reasons."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from estimator.errors import EstimatorError
from estimator.export.page import parts
from estimator.export.page.html import Markup, folded, joined, tag
from estimator.export.page.prose import markup
from estimator.export.page.words import label, say
from estimator.quantities import Quantity
from estimator.shown import rendered
from estimator.text import human

if TYPE_CHECKING:
    from estimator.decide.recommend import Recommendation
    from estimator.export.catalogue import Catalogue
    from estimator.recording import Recorded
    from estimator.recording.variance import Variance
    from estimator.results import Estimate, ServingAnswer
    from estimator.search import Search
    from estimator.validation.report import CasePrediction
    from estimator.verdict import Check


class Said(NamedTuple):
    """How a page begins and ends. rests: on what; beneath: what is opened on demand; why: where figures come from."""

    title: str
    verdict: str = ""
    rests: Markup | None = None
    beneath: tuple[Markup | None, ...] = ()
    why: Callable[[], Iterable[Markup]] | None = None


def inside(result: object, elsewhere: str = "") -> tuple[str, Markup]:
    """The title of any result, and its page; elsewhere: the address of a page that says where figures come from."""
    kind = type(result).__name__
    said = SAID[kind](result) if kind in SAID else Said(say("answer"))
    drawn = parts.pictures(result)
    return said.title, joined(
        tag("header", tag("h1", said.title)),
        tag("p", said.verdict, class_="verdict", id="verdict") if said.verdict else None,
        tag("section", markup(_rest(str(rendered(result, "markdown")), said.verdict)), class_=f"told {kind.lower()}"),
        tag("section", tag("h2", say("pictures")), *drawn, class_="pictures") if drawn else None,
        said.rests,
        _beneath(said, elsewhere),
    )


def _beneath(said: Said, elsewhere: str) -> Markup | None:
    """What is opened when it is asked for."""
    link = tag("p", tag("a", say("reasons_all"), href=elsewhere)) if said.why and elsewhere else None
    why = said.why() if said.why and not elsewhere else ()
    return tag("section", *said.beneath, link, *why, class_="beneath") if said.beneath or said.why else None


def _sentence(text: str) -> str:
    return f"{_capital(text)}."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _rest(text: str, verdict: str) -> str:
    """What is told beneath the verdict, which is not said again."""
    first, _, rest = text.partition("\n")
    said = first.strip("*").rpartition(": ")[2]
    return rest if said and said.lower() in verdict.lower() else text


def _search(found: "Search") -> Said:
    from estimator.export.layouts import shown
    from estimator.search.result import titled

    figures = [f"{titled(name)} {shown(found.best, name, True)}" for name in found.criteria]
    return Said(say("layout", llm=found.llm), say("layout_best", layout=found.best.text(), figures=", ".join(figures)))


def _serving(found: "ServingAnswer") -> Said:
    from estimator.export.serving import LATENCIES, asked_text, serving_text

    title = say("of_on", llm=found.llm, hardware=found.hardware)
    first = serving_text(found).partition("\n")[0].rpartition(": ")[2]
    load = found.loads[0]
    waits = {name: load.figures[f"{name}_s"] for name in LATENCIES if f"{name}_s" in load.figures}
    times = [f"{LATENCIES[name]} {human(figure)}" for name, figure in waits.items()]
    said = f"{first}; {', '.join(times)} ({asked_text(load)})"
    money = "usd_per_million_output_tokens"
    opened = [*waits.values(), load.figures["output_tokens_per_s"], load.figures[money]]
    plan = tag("pre", "\n".join(f"{name} = {value}" for name, value in found.plan.items()))
    return Said(title, _sentence(said), beneath=(folded(say("plan"), plan),), why=lambda: _reasons(opened))


def _check(found: "Check") -> Said:
    from estimator.export.check import verdict

    plan = tag("pre", "\n".join(f"{name} = {value}" for name, value in found.best.plan.items()))
    return Said(say("checked", llm=found.llm), _sentence(verdict(found)), beneath=(folded(say("plan"), plan),))


def _variance(found: "Variance") -> Said:
    planned, billed = (float(sum(getattr(one, name) for one in found.lines)) for name in ("planned", "billed"))
    change = f"{(billed - planned) / planned:+.0%}" if planned else ""
    values = {"billed": f"{billed:,.2f}", "planned": f"{planned:,.2f}", "unit": found.currency, "change": change}
    return Said(say("variance", approach=found.approach), say("variance_said", **values))


def _recommended(found: "Recommendation") -> Said:
    title = f"{say('recommended')}: {say('of_on', llm=found.llm, hardware=found.hardware)}"
    best = found.best.estimate if found.best else None
    if best is None:
        return Said(title)
    said = say("verdict_one", title=best.title, total=human(best.total_usd), horizon=parts.horizon(best))
    named = [one.estimate for one in found.options if one.estimate and one.stands]
    return Said(title, said, parts.assumptions(best), why=lambda: _told(named))


def _told(answers: list["Estimate"]) -> list[Markup]:
    """Where the figures of estimates come from, and all that was read."""
    return [*(folded(say("reasons", title=one.title), parts.reasons(one)) for one in answers), parts.sources(answers)]


def _estimated(found: "Estimate") -> Said:
    title = f"{found.title}: {say('of_on', llm=found.llm, hardware=found.hardware)}"
    horizon = parts.horizon(found)
    said = say("verdict_one", title=found.title, total=human(found.total_usd), horizon=horizon)
    said = said if found.total_usd.known else say("verdict_unknown")
    like = tag("section", tag("h2", say("words")), parts.like(found))
    rests = joined(like, parts.assumptions(found))
    return Said(title, said, rests, (parts.details(found, parts.plain),), why=lambda: _told([found]))


def _reasons(figures: Iterable[Quantity]) -> list[Markup]:
    """Where figures come from, each to be opened."""
    found = []
    for figure in figures:
        try:
            told = tag("pre", str(rendered(figure, "reasons")))
        except EstimatorError:  # nothing gave it
            continue
        found.append(folded(f"{figure.name}: {human(figure)}", told))
    return found


def _recorded(found: "Recorded") -> Said:
    return Said(say("recorded"), " ".join(filter(None, map(_beside, found.runs))))


def _beside(one: "CasePrediction") -> str:
    """A measured figure beside its prediction."""
    if not one.measured or not one.predicted or one.low is None or one.high is None:
        return ""
    unit = "" if one.unit == "1" else f" {one.unit}"
    figures = {"measured": f"{one.measured:,.3g}{unit}", "predicted": f"{one.predicted:,.3g}{unit}"}
    outside = "" if one.low <= one.measured <= one.high else say("recorded_outside")
    name = label(one.metric.removesuffix("_s"))
    return say(
        "recorded_said", figure=_capital(name), ratio=f"{one.measured / one.predicted:.2g}", outside=outside, **figures
    )


def _catalogue(found: "Catalogue") -> Said:
    return Said(say("catalogue"), say("catalogue_said", count=len(found.entries)))


SAID: dict[str, Callable[..., Said]] = {
    "Search": _search,
    "ServingAnswer": _serving,
    "Check": _check,
    "Variance": _variance,
    "Recommendation": _recommended,
    "Estimate": _estimated,
    "Recorded": _recorded,
    "Catalogue": _catalogue,
}
