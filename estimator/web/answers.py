"""The answer to a state as markup: one scenario in full, or several beside each other with their differences."""

import shlex
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlencode

from estimator.charts.decision import cost_over_volume, estimates_of, spectrum, totals
from estimator.charts.doubt import bridge
from estimator.charts.grammar import Spec
from estimator.errors import InvalidInput, UnknownName
from estimator.export.page import parts
from estimator.export.page.html import Markup, folded, joined, table, tag
from estimator.export.page.parts import plain
from estimator.export.page.words import label, say
from estimator.formulas.arithmetic import difference
from estimator.pricing import Price
from estimator.quantities import Quantity, derive
from estimator.results import Comparison, Estimate
from estimator.scenario import scaled
from estimator.web import asking
from estimator.web.state import State

BESIDE = ("total_usd", "one_off_usd", "monthly_usd", "calendar_s", "added_usd_per_1000_requests")
PICTURES = ("totals", "spectrum", "volume")


class Compared(NamedTuple):
    """A scenario's letter, its comparison in the currency asked for, and the answer it came as."""

    letter: str
    comparison: Comparison
    answer: asking.Answer


def compared(state: State, config: str = "") -> list[Compared]:
    """Every scenario of a state, answered."""
    found = []
    for letter in ("", *state.others):
        question = state.question(letter)
        if config and not {"model"} & set(state.others.get(letter, {})):
            question = {**{k: v for k, v in question.items() if k != "model"}, asking.CONFIG: config}
        one = asking.answer("compare", question)
        found.append(Compared((letter or "a").upper(), asking.shown(one), one))
    return found


def answered(state: State, host: str, config: str = "") -> Markup:
    """The whole answer."""
    found = compared(state, config)
    first = found[0].comparison
    notes = [note for one in found for note in one.answer.notes]
    head = (
        tag("h1", _title(first) if len(found) == 1 else say("differences")),
        tag("p", say("ranges", level=f"{100 * first.level:g} %"), class_="quiet"),
        parts.warned(dict.fromkeys(notes)),
        tag("p", say("uploaded"), class_="quiet") if config else None,
    )
    main = _one(first) if len(found) == 1 else _several(found, state)
    pictures = _pictures(state, len(found) > 1) if not config else None
    below = (
        tag("p", say("of_first"), class_="quiet") if len(found) > 1 else None,
        pictures,
        *_below(first, "" if config else state.query()),
        None if config else _taken_along(state, found, host),
    )
    return joined(tag("header", *head), main, *below)


def _one(first: Comparison) -> Markup:
    return joined(
        parts.verdict(parts.estimates(first), parts.horizon(first), plain),
        parts.cards(first, plain),
        tag("section", tag("h2", say("figures")), parts.side_by_side(first, plain)),
    )


def _below(first: Comparison, query: str) -> list[Markup | None]:
    """Words, inputs and tables; reasons have a page of their own, as they take longer than all the rest."""
    possible = parts.estimates(first)
    reasons = [
        tag("p", tag("a", say("reasons", title=one.title), href=f"/reasons/{one.stage}?{query}"))
        for one in possible
        if query
    ]
    budgets = [folded(say("budget", title=one.title), parts.budget(one, plain)) for one in possible]
    details = [parts.details(one, plain) for one in possible]
    return [
        tag("section", tag("h2", say("words")), *map(parts.like, first.estimates), class_="alike"),
        parts.assumptions(first),
        tag("section", tag("h2", say("notes")), parts.warned(first.notes)) if first.notes else None,
        tag("section", tag("h2", say("in_detail")), *budgets, *details, *reasons, parts.sources(possible)),
    ]


def _title(one: Comparison | Estimate) -> str:
    return say("of_on", llm=one.llm, hardware=one.hardware)


def reasons(state: State, stage: str) -> Markup:
    """Where the figures of one approach come from."""
    comparison = compared(State(state.asked, {}))[0].comparison
    one = next((one for one in parts.estimates(comparison) if one.stage == stage), None)
    if one is None:
        raise UnknownName("stage", stage, [one.stage for one in parts.estimates(comparison)])
    title = f"{one.title}: {_title(one)}"
    return joined(tag("h1", title), parts.reasons(one), parts.sources([one]))


# --- scenarios beside each other -------------------------------------------------------------------------


def _several(found: list[Compared], state: State) -> Markup:
    """For each approach its headline figures in every scenario, and how far each is from the first."""
    verdicts = (joined(tag("h2", _heading(one, state)), parts.verdict(_known(one), _over(one), plain)) for one in found)
    head: list[object] = [say("figure"), *(one.letter for one in found)]
    head += [say("difference", letter=one.letter) for one in found[1:]]
    tables = (_beside(found, stage.stage, head) for stage in found[0].comparison.estimates)
    return tag("section", *verdicts, *tables)


def _heading(one: Compared, state: State) -> str:
    """A scenario's LLM and hardware, and what else it has otherwise than the first."""
    different = state.others.get(one.letter.lower(), {})
    rest = (f"{label(name)} {value}" for name, value in different.items() if name not in SHOWN)
    return ", ".join((f"{say('scenario', letter=one.letter)}: {_title(one.comparison)}", *rest))


SHOWN = ("model", "gpu", "gpus", "api")  # in the name of LLM and hardware


def _known(one: Compared) -> list[Estimate]:
    return parts.estimates(one.comparison)


def _over(one: Compared) -> str:
    return parts.horizon(one.comparison)


def _beside(found: list[Compared], stage: str, head: list[object]) -> Markup:
    answers = [one.comparison[stage] for one in found]
    body: list[list[object]] = []
    for name in BESIDE:
        figures = [getattr(one, name) if isinstance(one, Estimate) else None for one in answers]
        shown = [plain(one) if one is not None else say("cannot") for one in figures]
        body.append([parts.label_of(name), *shown, *(_less(one, figures[0]) for one in figures[1:])])
    return joined(tag("h3", answers[0].title), table(head, body, answers[0].title))


def _less(one: Quantity | None, first: Quantity | None) -> object:
    """How far a figure is from the first scenario's, with the range that both share."""
    if one is None or first is None or not one.known or not first.known:
        return "-"
    if one.value == first.value:
        return say("same")
    return plain(derive("difference", one.unit, difference, with_it=one, without=first))


# --- pictures --------------------------------------------------------------------------------------------


def _pictures(state: State, several: bool) -> Markup | None:
    """As images, so that figures need not wait for them; in the reader's own light."""
    if find_spec("vl_convert") is None:
        return None
    names = (*(("bridge",) if several else ()), *PICTURES)
    return tag("section", tag("h2", say("pictures")), *(_image(name, state) for name in names), class_="pictures")


def _image(name: str, state: State) -> Markup:
    addresses = {theme: f"/picture/{name}.svg?{state.query({'theme': theme})}" for theme in ("light", "dark")}
    dark = tag("source", media="(prefers-color-scheme: dark)", srcset=addresses["dark"])
    image = tag("img", src=addresses["light"], alt=say(f"picture_{name}"), loading="lazy")
    return tag("figure", tag("picture", Markup(dark.removesuffix("</source>")), image), tabindex="0")


def picture(name: str, state: State) -> Spec:
    """The specification of a picture of a state."""
    found = compared(state)
    answers = estimates_of(found[0].comparison)
    if name == "bridge":
        return _bridge(found)
    if not answers:
        raise InvalidInput("no cost is known: give --price-per-hour")
    if name == "volume":
        return cost_over_volume([one for one in answers if one.stage != "pretrain"] or answers)
    return totals(answers) if name == "totals" else spectrum(answers)


def _bridge(found: list[Compared]) -> Spec:
    """From the first scenario's cheapest approach to the same in the second, by what is paid for."""
    known = sorted(estimates_of(found[0].comparison), key=lambda one: one.total_usd.value)
    other = next((one for one in estimates_of(found[1].comparison) if known and one.stage == known[0].stage), None)
    if other is None:
        raise InvalidInput("the two scenarios have no known cost in common")
    sums: dict[str, float] = {}
    for sign, answer in ((-1, known[0]), (1, other)):
        for line in answer.lines:
            sums[line.kind] = sums.get(line.kind, 0.0) + sign * line.horizon_usd.value
    steps = [(kind, change) for kind, change in sums.items() if abs(change) > 1e-3 * known[0].total_usd.value]
    title = f"{known[0].title}: from scenario A to {found[1].letter}"
    return bridge(title, ("A", known[0].total_usd.value), steps, found[1].letter, known[0].total_usd.unit)


# --- taken along -----------------------------------------------------------------------------------------


def _taken_along(state: State, found: list[Compared], host: str) -> Markup:
    """The same as a link, a command, Python, curl; and as files."""
    query, base = state.query(), f"http://{host}"
    asked = urlencode(state.asked)
    said = {
        "link": f"{base}/?{query}",
        "command": found[0].answer.command,
        "python": as_python(state.question()),
        "curl": f"curl {shlex.quote(f'{base}/api/v1/compare?{asked}')}",
    }
    rows = [_copied(name, text) for name, text in said.items()]
    rows += [_copied("command", one.answer.command, one.letter) for one in found[1:]]
    files = {
        "workbook": f"/download/budget.xlsx?{query}",
        "report": f"/download/report.html?{query}",
        "data_csv": f"/api/v1/compare.csv?{asked}",
        "data_json": f"/api/v1/compare?{asked}&detail=full",
        "picture_png": f"/picture/totals.png?{query}",
    }
    links = (tag("li", tag("a", say(name), href=address, download=True)) for name, address in files.items())
    share = tag("section", tag("h2", say("share")), *rows, class_="share")
    return joined(share, tag("section", tag("h2", say("downloads")), tag("ul", *links)))


def _copied(name: str, text: str, letter: str = "") -> Markup:
    """Words to take along; letter: of a further scenario."""
    place, label = f"say-{name}{letter}", f"{say(name)} {letter}".strip()
    button = tag("button", say("copy"), type="button", data_copy=place, aria_label=f"{say('copy')}: {label}")
    return tag("p", tag("span", label, class_="name"), tag("code", text, id=place), button)


def as_python(question: dict[str, object]) -> str:
    """The call of the library that asks the same.

    >>> as_python({"model": "7b", "gpu": "8xa100", "samples": "1k..2k..5k", "provider": "aws"})
    "compare(model='7b', gpu='8xa100', samples=(1000.0, 2000.0, 5000.0), price=Price(provider='aws'))"
    """
    options = {"price_per_hour": "per_hour", "purchase_price": "purchase"}
    paid = {options.get(name, name): value for name, value in question.items() if options.get(name, name) in PAID}
    rest = {
        name: value for name, value in question.items() if options.get(name, name) not in (*PAID, "level", "currency")
    }
    words = [f"{name}={_value(name, value)}" for name, value in rest.items()]
    if paid:
        words.append(f"price=Price({', '.join(f'{name}={_value(name, value)}' for name, value in paid.items())})")
    return f"compare({', '.join(words)})"


PAID = tuple(Price.__dataclass_fields__)


def _value(name: str, value: object) -> str:
    if name in ("model", "gpu", "api", "student") or not isinstance(value, str):
        return repr(value)
    ends = tuple(scaled(end) for end in value.split(".."))
    found = ends if len(ends) == 3 else int(value) if name == "gpus" and value.isdigit() else scaled(value)
    return repr({"true": True, "false": False}.get(value, found))
