"""Parts of pages: what an answer says, as markup; figures carry the number by which a report recalculates them."""

import re
from collections.abc import Callable, Iterable, Iterator

from estimator.charts.draw import svg
from estimator.charts.grammar import Spec
from estimator.errors import MissingExtra
from estimator.export.assumptions import ALWAYS, SHOWN, ranked
from estimator.export.explain import HEADLINES, citation_lines
from estimator.export.page.html import Markup, breaking, folded, joined, listing, table, tag
from estimator.export.page.html import figure as broken
from estimator.export.page.prose import inline
from estimator.export.page.words import say
from estimator.export.tables import BUDGET_SMALL, SAID, detail_name
from estimator.quantities import Quantity
from estimator.results import FIGURES, Assumption, Blocked, Comparison, Estimate, Figure, Line
from estimator.shown import rendered
from estimator.stages.answer import approaches
from estimator.text import human

Shows = Callable[[Quantity, bool], object]  # a figure, with its range or without


def plain(figure: Quantity, spread: bool = True) -> object:
    """A figure as it stands."""
    return tag("span", broken(human(figure, spread)), class_="q")


def horizon(answer: Comparison | Estimate) -> str:
    """How long is looked ahead, in words."""
    return next((one.shown for one in answer.assumptions if one.name == "horizon_months"), "the horizon")


def estimates(answer: Comparison) -> list[Estimate]:
    """The approaches that can be done."""
    return [one for one in answer.estimates if isinstance(one, Estimate)]


def verdict(answers: list[Estimate], over: str, show: Shows) -> Markup:
    """The first line: what costs least, as far as costs are known."""
    known = sorted((one for one in answers if one.total_usd.known), key=lambda one: one.total_usd.value)
    if not known:
        return tag("p", say("verdict_unknown"), id="verdict", class_="verdict")
    key = "verdict" if len(answers) > 1 else "verdict_one"
    options = (
        tag("span", _with(key, one, over, show), data_option=_number(show, one.total_usd), hidden=place > 0)
        for place, one in enumerate(known)
    )
    return tag("p", *options, id="verdict", class_="verdict", aria_live="polite")


def _with(key: str, one: Estimate, over: str, show: Shows) -> Markup:
    """A phrase in which the total stays a figure that can follow."""
    before, _, after = say(key, horizon=over, title=one.title, total="\0").partition("\0")
    return joined(before, tag("strong", show(one.total_usd, True)), after)


def _number(show: Shows, figure: Quantity) -> object:
    return getattr(show, "number", lambda _: None)(figure)


def cards(answer: Comparison, show: Shows) -> Markup:
    """Each approach with its headline figures and a bar for the range of its total."""
    most = max((one.total_usd.high for one in estimates(answer) if one.total_usd.known), default=1.0) or 1.0
    found = (
        _blocked(one) if isinstance(one, Blocked) else card(one, horizon(answer), show, most)
        for one in answer.estimates
    )
    return tag("div", *found, class_="cards")


def card(one: Estimate, over: str, show: Shows, most: float) -> Markup:
    """One approach at a glance."""
    figures = (
        (say("once"), one.one_off_usd),
        (say("monthly"), one.monthly_usd),
        (say("calendar"), one.calendar_s),
    )
    rows = (joined(tag("dt", name), tag("dd", show(figure, True))) for name, figure in figures)
    total = tag("p", tag("strong", show(one.total_usd, True)), class_="total")
    head = (tag("h3", one.title), tag("p", say("total", horizon=over), class_="quiet"))
    return tag("section", *head, total, _bar(one.total_usd, most, show), tag("dl", *rows), class_="card")


def _blocked(one: Blocked) -> Markup:
    return tag(
        "section", tag("h3", one.title), tag("p", tag("strong", say("cannot"))), tag("p", one.reason), class_="card"
    )


def _bar(figure: Quantity, most: float, show: Shows) -> Markup | None:
    """The range as a bar and the value in it, all approaches to one scale."""
    if not figure.known:
        return None
    low, high, value = (100 * end / most for end in (figure.low, figure.high, figure.value))
    bars = (
        tag("rect", x=f"{low:.2f}", y=3, width=f"{max(high - low, 0.5):.2f}", height=6, class_="range"),
        tag("rect", x=f"{value - 0.4:.2f}", y=0, width=0.8, height=12, class_="value"),
    )
    box = {"viewBox": "0 0 100 12", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return tag("svg", *bars, class_="bar", data_of=_number(show, figure), **box)


def side_by_side(answer: Comparison, show: Shows) -> Markup:
    """Every figure, approaches as columns."""
    head: list[object] = [say("figure"), *(one.title for one in answer.estimates)]
    body: list[list[object]] = [["Complexity", *(_word(one) for one in answer.estimates)]]
    body += [[_label(figure), *(_cell(one, figure, show) for one in answer.estimates)] for figure in FIGURES]
    return table(head, body, say("figures"))


def _word(one: Estimate | Blocked) -> str:
    return one.complexity if isinstance(one, Estimate) else "-"


def _label(figure: Figure) -> str:
    return f"– {figure.label}" if figure.part else figure.label


def _cell(one: Estimate | Blocked, figure: Figure, show: Shows) -> object:
    if isinstance(one, Blocked):
        return "-"
    return cell(one, figure.name, show)


def cell(one: Estimate, name: str, show: Shows) -> object:
    """A figure of an estimate as tables have it."""
    value = one.figure(name)
    if value is None:
        return "-"
    if name == "data_tokens" and value.value:
        counted = approaches()[one.stage].get("data")
        figures = {"text": one.data_bytes, "samples": one.data_samples, "tokens": value}
        said = [joined(show(figures[key], False), f" {key}") for key in filter(None, (counted, "tokens"))]
        return joined(said[0], *(joined(", ", more) for more in said[1:]))
    fixed = name in SAID and (value.value == 0 or name == "accelerators")
    return SAID[name](one) if fixed else show(value, True)


def figures_of(one: Estimate, show: Shows) -> Markup:
    """Every figure of one approach."""
    body: list[list[object]] = [
        ["Complexity", one.complexity],
        *([_label(f), cell(one, f.name, show)] for f in FIGURES),
    ]
    return table([say("figure"), one.title], body, say("figures"))


def budget(one: Estimate, show: Shows) -> Markup:
    """What is paid for, largest first; lines too small to matter are left to data formats."""
    total = abs(one.total_usd.value)
    lines = [line for line in one.lines if not abs(line.horizon_usd.value) < BUDGET_SMALL * total]
    lines.sort(key=lambda line: -line.horizon_usd.value)
    head: list[object] = [say("budget_item"), say("budget_phase"), say("budget_first"), say("budget_horizon")]
    body = [_line(line, show) for line in lines if line.usd.value or line.horizon_usd.value]
    return table(head, body, say("budget", title=one.title))


def _line(line: Line, show: Shows) -> list[object]:
    return [line.item, line.phase, show(line.usd, True), show(line.horizon_usd, True)]


def details(one: Estimate, show: Shows) -> Markup | None:
    """What else was found."""
    rows: list[list[object]] = [[detail_name(name), show(figure, True)] for name, figure in one.details.items()]
    return folded(say("details", title=one.title), table([say("figure"), say("value")], rows)) if rows else None


def reasons(one: Estimate) -> Markup:
    """Where the headline figures come from, each to be opened: formula, inputs, sources."""
    known = dict(one.quantities())
    names = [*HEADLINES, *(name for name in ("training_s", "peak_memory_bytes", "added_ttft_s") if known[name].value)]
    told = (folded(joined(label_of(name), f": {human(known[name])}"), tag("pre", one.explain(name))) for name in names)
    return tag("section", tag("h3", say("reasons", title=one.title)), *told, class_="reasons")


def label_of(name: str) -> str:
    """A figure's name in words."""
    label = next((figure.label for figure in FIGURES if figure.name == name), name.replace("_", " "))
    return f"{label[:1].upper()}{label[1:]}"


def assumptions(answer: Comparison | Estimate) -> Markup:
    """The inputs that matter most, with reasons; all of them to be opened."""
    first = [one for one in answer.assumptions if one.given or one.name in ALWAYS]
    most = [*first, *[one for one in ranked(answer) if one not in first]][:SHOWN]
    every = folded(say("all_assumptions", count=len(answer.assumptions)), _assumed(answer.assumptions))
    quiet = tag("p", say("assumptions_most"), class_="quiet")
    return tag("section", tag("h2", say("assumptions")), quiet, _assumed(most), every, class_="assumptions")


def _assumed(items: Iterable[Assumption]) -> Markup:
    rows: list[list[object]] = [[_assumed_name(one), _assumed_value(one.shown), one.why] for one in items]
    return table([say("assumption"), say("value"), say("why")], rows)


def _assumed_name(one: Assumption) -> Markup:
    """Its name, with a star if it was given."""
    return joined(breaking(one.name), " *" if one.given else None)


def _assumed_value(shown: str) -> object:
    """A value in one line, its range in the next where there is no room."""
    return tag("span", broken(shown), class_="q") if " (" in shown and " to " in shown else shown


def like(one: Estimate | Blocked) -> Markup | None:
    """What speaks for and against an approach, what was measured of such, and what to mind."""
    if isinstance(one, Blocked):
        return None
    pros = joined(say("best_for", text=one.best_for), "; ".join(one.advantages), ".")
    cons = joined(tag("strong", say("warnings")), ": ", "; ".join(one.considerations), ".")
    factors = {} if one.total_usd.design.sampled else one.drivers()
    shares = ", ".join(f"{factor} {share:.0%}" for factor, share in factors.items() if share >= 0.05)
    drivers = tag("p", say("drivers", text=shares), class_="quiet") if shares else None
    evidence = folded(say("evidence"), listing(list(one.evidence))) if one.evidence else None
    return tag("section", tag("h3", one.title), tag("p", pros), tag("p", cons), drivers, evidence, warned(one.warnings))


def warned(lines: Iterable[str]) -> Markup | None:
    """What could go wrong."""
    return listing([inline(line) for line in lines], class_="warnings")


def sources(answers: Iterable[Estimate]) -> Markup:
    """Everything that was read, each once."""
    found = dict.fromkeys(source for one in answers for source in one.citations())
    lines = [" ".join(line.split()).removeprefix("- ") for line in citation_lines(found)]
    return folded(f"{say('sources')} ({len(lines)})", listing(list(lines)), class_="sources")


def pictures(result: object) -> list[Markup]:
    """The pictures that go with a result; none where nothing draws."""
    return list(drawn(rendered(result, "picture")))


# Of the parts of a picture, whose title says what it all is.
ROLES = re.compile(r' (?:role="graphics-\w+"|aria-(?:roledescription|label)="[^"]*")')


def drawn(specs: Iterable[Spec]) -> Iterator[Markup]:
    """Each as SVG with its title for those who cannot see it."""
    for spec in specs:
        try:
            picture = ROLES.sub("", svg(spec))
        except MissingExtra:
            return
        title = " ".join(spec["title"]["text"])
        yield tag("figure", Markup(picture), role="img", aria_label=title, class_=spec.get("name"))
