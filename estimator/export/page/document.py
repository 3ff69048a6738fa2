"""A result as one self-contained page: what is said of it by its kind, and the frame that holds it."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from estimator.export.page import parts
from estimator.export.page.html import Markup, folded, joined, tag
from estimator.export.page.html import figure as broken
from estimator.export.page.live import Recalculation
from estimator.export.page.others import inside
from estimator.export.page.parts import Shows, plain
from estimator.export.page.words import field_label, say, words
from estimator.export.workbook.steps import Step
from estimator.quantities import Quantity
from estimator.results import Comparison, Estimate
from estimator.text import human

HERE = Path(__file__).parent
FOREMOST = 10  # inputs that are not folded away
PLACES = 1000  # of a slider


def document(result: object, command: str = "") -> str:
    """A result as the text of an HTML file; command: how to make it again."""
    kind = type(result).__name__
    made = PAGES[kind](result) if kind in PAGES else _other(result)
    return page(made, command)


class Page:
    """What goes into the frame: a heading, the parts, and what recalculates them, if anything does."""

    def __init__(self, title: str, *inside: object, live: Recalculation | None = None) -> None:
        self.title, self.inside, self.live = title, inside, live


def page(made: Page, command: str = "") -> str:
    """The frame around a page: no network, no code but its own, by its hash."""
    style, scripts = asset("style.css"), _scripts(made.live)
    rules = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": " ".join(map(_hash, scripts)) or "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content="; ".join(map(" ".join, rules.items()))),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", made.title),
        tag("style", Markup(style)),
    )
    data = tag("script", Markup(made.live.data()), type="application/json", id="data") if made.live else None
    body = tag(
        "body", tag("main", *made.inside, _made(command)), data, *(tag("script", Markup(one)) for one in scripts)
    )
    return f"<!doctype html>\n{tag('html', head, body, lang=words()['language'])}\n"


def _scripts(live: Recalculation | None) -> list[str]:
    return [f"{live.script()}\n{asset('live.js')}"] if live else []


@cache
def asset(name: str) -> str:
    """A file that stands beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _made(command: str) -> Markup:
    import estimator

    again = joined(" ", say("again"), tag("code", command)) if command else None
    return tag("footer", tag("p", say("made", version=estimator.__version__), again), class_="quiet")


# --- a comparison, an estimate ---------------------------------------------------------------------------


class Followed:
    """Shows figures with the number by which the page recalculates them."""

    def __init__(self, live: Recalculation) -> None:
        self._live = live

    def __call__(self, figure: Quantity, spread: bool = True) -> object:
        """A figure that follows the sliders."""
        return tag("span", broken(human(figure, spread)), data_q=self.number(figure), data_plain=not spread, class_="q")

    def number(self, figure: Quantity) -> int:
        """Its number."""
        return self._live.number(figure)


def comparison(answer: Comparison) -> Page:
    """The approaches beside each other."""
    possible = parts.estimates(answer)
    live, show = _live(answer)
    return Page(
        say("of_on", llm=answer.llm, hardware=answer.hardware),
        _head(say("of_on", llm=answer.llm, hardware=answer.hardware), answer.level),
        parts.verdict(possible, parts.horizon(answer), show),
        parts.cards(answer, show),
        _sliders(answer, live),
        tag("section", tag("h2", say("figures")), parts.side_by_side(answer, show)),
        tag("section", tag("h2", say("pictures")), _stale(live), *parts.pictures(answer), class_="pictures"),
        tag("section", tag("h2", say("words")), *map(parts.like, answer.estimates), class_="alike"),
        parts.assumptions(answer),
        _notes(answer.notes),
        *_beneath(possible, show),
        live=live,
    )


def estimate(answer: Estimate) -> Page:
    """One approach in full: a comparison of one."""
    alone = Comparison(answer.llm, answer.hardware, {}, (answer,), answer.assumptions)
    live, show = _live(alone)
    title = f"{answer.title}: {say('of_on', llm=answer.llm, hardware=answer.hardware)}"
    return Page(
        title,
        _head(title, answer.level),
        parts.verdict([answer], parts.horizon(answer), show),
        parts.cards(alone, show),
        _sliders(alone, live),
        tag("section", tag("h2", say("figures")), parts.figures_of(answer, show)),
        tag("section", tag("h2", say("pictures")), _stale(live), *parts.pictures(answer), class_="pictures"),
        tag("section", tag("h2", say("words")), parts.like(answer)),
        parts.assumptions(answer),
        *_beneath([answer], show),
        live=live,
    )


def _live(answer: Comparison) -> tuple[Recalculation | None, Shows]:
    """What recalculates an answer; random draws and answers that cannot be done do not."""
    possible = parts.estimates(answer)
    if not possible or possible[0].total_usd.design.sampled:
        return None, plain
    live = Recalculation(answer)
    return live, Followed(live)


def _head(title: str, level: float) -> Markup:
    return tag("header", tag("h1", title), tag("p", say("ranges", level=f"{100 * level:g} %"), class_="quiet"))


def _beneath(answers: list[Estimate], show: Shows) -> list[object]:
    """What is opened when it is asked for: budgets, details, reasons, sources."""
    found: list[object] = []
    for one in answers:
        found += [folded(say("budget", title=one.title), parts.budget(one, show)), parts.details(one, show)]
    reasons = [folded(say("reasons", title=one.title), parts.reasons(one)) for one in answers]
    return [tag("section", *found, *reasons, parts.sources(answers), class_="beneath")] if answers else []


def _stale(live: Recalculation | None) -> Markup | None:
    return tag("p", say("stale"), class_="stale") if live else None


def _notes(notes: tuple[str, ...]) -> Markup | None:
    return tag("section", tag("h2", say("notes")), parts.warned(notes)) if notes else None


def _sliders(answer: Comparison, live: Recalculation | None) -> Markup | None:
    """Every input that may move: those that matter most, then the rest, folded."""
    if live is None:
        return None
    from estimator.export.assumptions import ranked

    order = [one.name for one in ranked(answer)]
    inputs = sorted(live.inputs(), key=lambda pair: order.index(pair[1].key) if pair[1].key in order else len(order))
    inputs.sort(key=lambda pair: pair[1].key != "requests_per_month")
    rows = [_slider(number, step) for number, step in inputs]
    more = folded(say("more_inputs", count=len(rows) - FOREMOST), *rows[FOREMOST:]) if len(rows) > FOREMOST else None
    head = tag("div", tag("h2", say("sliders")), tag("button", say("reset"), type="button", id="reset"), class_="line")
    moved = tag("p", say("moved"), tag("code", id="moved"), class_="moved")
    why = tag("p", say("sliders_why"), class_="quiet")
    return tag("section", head, why, *rows[:FOREMOST], more, moved, class_="sliders")


def _slider(number: int, step: Step) -> Markup:
    unit = "" if step.node.unit == "1" else step.node.unit
    name, field = field_label(step.key), f"in{number}"
    return tag(
        "div",
        tag("label", name, for_=field, title=step.node.note),
        tag("input", type="range", id=field, min=0, max=PLACES, aria_describedby=f"why{number}"),
        tag("input", type="number", step="any", value=f"{step.node.value:.6g}", aria_label=f"{name} [{unit or '1'}]"),
        tag("span", unit, class_="unit"),
        tag("small", step.node.note, id=f"why{number}"),
        class_="slider",
        data_input=number,
        data_unit=unit,
    )


def _other(result: object) -> Page:
    """A result with no page of its own."""
    title, told = inside(result)
    return Page(title, told)


PAGES: dict[str, Callable[[Any], Page]] = {
    "Comparison": comparison,
    "Estimate": estimate,
}
