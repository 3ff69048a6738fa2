"""A recommendation as text: what, why, what else, what was ruled out, and what would change it."""

import textwrap
from collections.abc import Iterator

import numpy as np
from tabulate import tabulate

from estimator.decide.inverse import Finding
from estimator.decide.recommend import Change, Option, Reason, Recommendation
from estimator.export.assumptions import ALWAYS
from estimator.export.price_list import prices_used
from estimator.export.tables import WIDTH
from estimator.quantities import Quantity
from estimator.results import Estimate
from estimator.text import digits, human, short

HEADER = ["", "", "One-off", "First month", "Over the horizon", "First result", "1,000 requests, all in"]


def recommendation_text(found: Recommendation) -> str:
    """The whole answer."""
    parts = [_head(found), _table(found), _prices(found), *_sections(found), _sources(found)]
    return "\n\n".join(part for part in parts if part)


def _prices(found: Recommendation) -> str:
    answers = [option.estimate for option in found.options if option.estimate]
    return "\n".join(_filled(line) for line in prices_used(answers))


def _head(found: Recommendation) -> str:
    where = f"{found.llm} on {found.hardware}"
    given = (
        ", ".join(f"{name} = {_shown(value)}" for name, value in found.given.items()) or "no criterion beyond the usual"
    )
    if found.best is None:
        lines = [f"Nothing meets every need and constraint for {where}. Given: {given}."]
        return "\n".join(_filled(line) for line in lines)
    what = "The last resort, and all that stands," if found.best.last_resort else "Recommended"
    of = found.best.estimate
    whose = f" of {of.llm} on {of.hardware}" if of and (of.llm, of.hardware) != (found.llm, found.hardware) else ""
    stored = [f" Weights are served in {one.shown}." for one in found.assumptions if one.name in ALWAYS]
    lines = [f"{what} for {where}: {found.best.title}{whose}. Given: {given}.{''.join(stored)}"]
    lines += [f"- because {reason.text} [{reason.asks}]" for reason in found.best.met]
    if not found.best.met:
        lines.append(f"- because {_place(found.best)}, and no need was named that asks for more")
    lines += [f"- mind: {reason.text}" for reason in found.best.notes]
    lines += [
        f"- mind: {option.title} is simpler and may cost no more: {_amount(more, more.value)} ({more.low:,.0f} to "
        f"{more.high:,.0f}) more over the horizon"
        for option, more in found.simpler
    ]
    lines += ["Plan:", *(f"{number}. {_step(found.best, *step)}" for number, step in enumerate(found.steps, 1))]
    return "\n".join(_filled(line) for line in lines)


def _amount(money: Quantity, value: float) -> str:
    return f"{value:,.0f} {money.unit}"


def _step(best: Option, option: Option, words: str) -> str:
    """A step of the plan with what it takes by itself, and whether that is part of the answer's figures."""
    if option.estimate is None:
        return words
    once, until = (human(figure, spread=False) for figure in (option.estimate.one_off_usd, option.estimate.calendar_s))
    beside = "" if option.approach in best.approach.split("+") else f", on top of what {best.title} takes"
    return f"{words} By itself {once} once, {until} to a first result{beside}."


def _place(best: Option) -> str:
    if best.estimate is not None and best.estimate.total_usd.known:
        return "it is the cheapest that is not ruled out"
    return "it is the simplest that is not ruled out (costs are unknown: give --price-per-hour)"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.12g}" if isinstance(value, float) else str(value)


def _table(found: Recommendation) -> str:
    body = [_row(rank, option) for rank, option in enumerate(found.options, 1) if option.estimate]
    return tabulate(body, HEADER, tablefmt="simple", disable_numparse=True)


def _row(rank: int, option: Option) -> list[str]:
    answer = option.estimate
    shown = (
        []
        if answer is None
        else [
            human(answer.one_off_usd),
            human(answer.monthly_usd),
            human(answer.total_usd),
            human(answer.calendar_s, spread=False),
            _all_in(answer),
        ]
    )
    return [str(rank) if option.stands else "-", option.title, *shown]


def _all_in(answer: Estimate) -> str:
    found = answer.figure("all_in_usd_per_1000_requests")
    return "-" if found is None else human(found, spread=False)


def _sections(found: Recommendation) -> Iterator[str]:
    open_needs = [o for o in found.options if o.unmet and not o.out]
    yield _section("Leaves a need open", [_against(option, option.unmet) for option in open_needs])
    yield _section("Ruled out", [_against(option, option.obstacles) for option in found.options if option.out])
    yield _section("What would change the answer", [_change(change) for change in found.changes])
    yield _section("By volume, costs alone", [str(one) for one in found.break_evens])


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(_filled(f"- {line}") for line in lines)]) if lines else ""


def _against(option: Option, reasons: tuple[Reason, ...]) -> str:
    said = "; ".join(
        (f"does not give {reason.need}" if reason.need else reason.text) + (f" [{reason.asks}]" if reason.asks else "")
        for reason in reasons
    )
    return f"{option.title}: {said}"


def _change(change: Change) -> str:
    said = " and ".join(change.instead) or "costs were otherwise"
    value = change.saves_usd.value
    if not np.isfinite(value) or value == 0:
        money = ""
    else:
        low, high = sorted(abs(end) for end in change.saves_usd.interval())
        spread = f" ({low:,.0f} to {high:,.0f})" if change.saves_usd.low * change.saves_usd.high > 0 else ""
        money = f", {_amount(change.saves_usd, abs(value))}{spread} {'less' if value > 0 else 'more'} over the horizon"
    return f"If {said}: {change.title}{money} [{', '.join(change.criteria)}]"


def _sources(found: Recommendation) -> str:
    reasons = [reason for option in found.options for reason in (*option.met, *option.obstacles, *option.notes)]
    said = dict.fromkeys(source for reason in reasons for source in reason.sources)
    return _section("Sources of the rules", list(said))


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def recommendation_markdown(found: Recommendation) -> str:
    """The ranking as a Markdown table with the reasons in its last column."""
    header = ["rank", "approach", *(name.lower() for name in HEADER[2:]), "why"]
    body = [
        [*(_row(rank, o) if o.estimate else ["-", o.title, *[""] * 5]), _why(rank, o)] for rank, o in _ranked(found)
    ]
    return tabulate(body, header, tablefmt="github", disable_numparse=True)


def recommendation_rows(found: Recommendation) -> Iterator[dict[str, object]]:
    """One row per candidate: rank, figures and reasons."""
    return (_flat(rank, option) for rank, option in _ranked(found))


def _ranked(found: Recommendation) -> Iterator[tuple[int, Option]]:
    return enumerate(found.options, 1)


def _flat(rank: int, option: Option) -> dict[str, object]:
    names = ("one_off_usd", "monthly_usd", "total_usd", "calendar_s", "added_usd_per_1000_requests")
    figures = {name: getattr(option.estimate, name).to_dict() if option.estimate else {} for name in names}
    shown = {f"{name}{end}": data.get(key, "") for name, data in figures.items() for key, end in ENDS}
    status = "stands" if option.stands else "ruled out" if option.out else "leaves a need open"
    return {"rank": rank, "approach": option.approach, "status": status, **shown, "why": _why(rank, option)}


ENDS = (("value", ""), ("low", "_low"), ("high", "_high"))


def _why(rank: int, option: Option) -> str:
    if option.obstacles:
        return _against(option, option.obstacles).partition(": ")[2]
    return "; ".join(f"{reason.text} [{reason.asks}]" for reason in option.met) or _standing(rank, option)


def _standing(rank: int, option: Option) -> str:
    """Why a candidate that no need asks for has its rank."""
    if rank == 1:
        return _place(option)
    if option.last_resort:
        return "nothing rules it out, but it is a last resort"
    known = option.estimate is not None and option.estimate.total_usd.known
    return f"nothing rules it out; {'what ranks before it costs less' if known else 'what it costs is unknown'}"


def finding_text(found: Finding, style: str = "simple") -> str:
    """An inverse answer: the answer, its boundary, and the figures beside it."""
    head = "\n".join(_filled(_sentence(text)) for text in (f"{found.question}: {found.answer}", found.boundary))
    head = f"{found.verdict}\n\n{head}" if found.verdict else head
    if not found.rows:
        return head
    names = [name.replace("_", " ") for name in found.rows[0]]
    body = [[_cell(value, found.absent) for value in row.values()] for row in found.rows]
    return f"{head}\n\n{tabulate(body, names, tablefmt=style, disable_numparse=True)}"


def finding_markdown(found: Finding) -> str:
    """The same with its figures as a Markdown table."""
    return finding_text(found, "github")


def finding_rows(found: Finding) -> Iterator[dict[str, object]]:
    """The figures beside the answer; where there are none, the answer."""
    alone = {name: getattr(found, name) for name in ("question", "value", "unit", "boundary")}
    return ({name: "" if value is None else value for name, value in row.items()} for row in found.rows or (alone,))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _cell(value: object, absent: str) -> str:
    if isinstance(value, float):
        return digits(value) if abs(value) < 1e6 else short(value)
    return absent if value is None else str(value)


def recommendation_html(found: Recommendation) -> str:
    """Table and reasons for a notebook, which draws the spectrum beside them."""
    import html

    body = [_row(rank, option) for rank, option in _ranked(found) if option.estimate]
    table = tabulate(body, HEADER, tablefmt="html", disable_numparse=True)
    words = "".join(f"<p>{html.escape(part)}</p>" for part in (_head(found), *_sections(found)) if part)
    return f"{words.replace(chr(10), '<br>')}{table}"
