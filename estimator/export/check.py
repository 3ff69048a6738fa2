"""A checked run configuration as text and Markdown: the verdict, then why, what was read, and what helps."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from tabulate import tabulate

from estimator.configs import Reading
from estimator.export.tables import WIDTH
from estimator.quantities import given
from estimator.text import human
from estimator.verdict.result import Check, Figure, Outcome, part_title

GB = 1e9
UNITS = {"usd": "USD", "usd_per_hour": "USD"}
READ, ASSUMED = ("read",), ("default", "assumed")
LISTED = 12  # keys that are named of those that change nothing


def check_text(found: Check, style: str = "simple") -> str:
    """The whole answer; `style` as tabulate names it."""
    return "\n\n".join(part for part in _parts(found, style) if part)


def check_markdown(found: Check) -> str:
    """The same as a comment of a pull request."""
    head, *rest = _parts(found, "github")
    return "\n\n".join([f"**{head.splitlines()[0]}**", *head.splitlines()[1:], *(part for part in rest if part)])


def verdict(found: Check) -> str:
    """The first line: whether it starts and fits and how surely, how long it takes, what it costs."""
    fits = _verdict(found, found.best)
    if not found.stops:
        return fits
    return f"does not start, {found.tool} knows no {', '.join(found.stops[:3])}; else {fits}"


def _verdict(found: Check, one: Outcome) -> str:
    words = "fits" if one.fits else "does not fit"
    parts = [f"{words} on {one.hardware}: {chance(one.fit_chance)}"]
    if not one.fits:
        parts.append(f"{_gb(_need(one))} GB needed, {one.usable_bytes / GB:.1f} usable")
    elif found.task == "serving":
        parts.append(_speed(one))
    else:
        parts.append(_time(one))
    return "; ".join([*parts, *_money(one)])


def _need(one: Outcome) -> Figure:
    """What cannot be done without; all that is held where an engine gives nothing back [B]."""
    need, whole = one.figure("need_bytes"), sum(one.memory.values())
    return need if need.known else Figure(whole, whole, whole)


def chance(value: float) -> str:
    """A chance in per cent.

    >>> chance(0.964), chance(0.9999), chance(0.001)
    ('96 %', 'over 99 %', 'under 1 %')
    """
    return "over 99 %" if value > 0.99 else "under 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def _gb(figure: Figure) -> str:
    value, low, high = (each / GB for each in figure)
    return f"{value:.1f}" if low == high else f"{value:.1f} ({low:.1f}-{high:.1f})"


def _time(one: Outcome) -> str:
    run, step = one.figure("run_s"), one.figure("step_s")
    return _shown("run", run, "s") if run.known else f"{_shown('step', step, 's')} a step"


def _speed(one: Outcome) -> str:
    rate, tpot = _counted(one.figure("output_tokens_per_s")), _shown("tpot", one.figure("tpot_s"), "s")
    return f"{rate} tokens/s of {one.figure('concurrency').value:,.0f} at once, {tpot} a token"


def _counted(figure: Figure) -> str:
    return f"{figure.value:,.0f} ({figure.low:,.0f}-{figure.high:,.0f})"


def _money(one: Outcome) -> Iterator[str]:
    hourly, cost = one.figure("usd_per_hour"), one.figure("usd")
    if not hourly.known:
        yield "no price known: give --price-per-hour"
    elif cost.known:
        yield f"{_usd(cost)} at {hourly.value:.2f}/h"
    else:
        yield f"{hourly.value * one.count:,.2f} USD/h"


def _usd(figure: Figure) -> str:
    return (
        f"{figure.value:,.2f} USD ({figure.low:,.2f}-{figure.high:,.2f})"
        if figure.value < 1000
        else f"{figure.value:,.0f} USD ({figure.low:,.0f}-{figure.high:,.0f})"
    )


def _shown(name: str, figure: Figure, unit: str) -> str:
    return human(given(name, figure.value, unit, low=figure.low, high=figure.high, factor="training time"))


# --- parts ------------------------------------------------------------------------------------------------------------


def _parts(found: Check, style: str) -> Iterator[str]:
    yield f"{verdict(found)}\n{_about(found)}"
    if len(found.outcomes) > 1:
        yield _several(found, style)
    yield _memory(found.best, style)
    yield _times(found, style)
    yield _read(found, style)
    yield _rest(found)
    yield _changes(found, style)
    yield "\n".join(_filled(f"- mind: {note}") for note in found.notes)


def _about(found: Check) -> str:
    plan = found.best.plan
    how = f"{plan['method']} training" if found.task == "training" else "serving"
    names = ", ".join(path.rpartition("/")[2] for path in found.files)
    return _filled(f"{found.llm}, {how}, read as {found.tool} from {names}")


def _several(found: Check, style: str) -> str:
    rows = []
    for one in found.outcomes:
        time = _time(one) if found.task == "training" else _speed(one)
        rows.append(
            [
                one.hardware,
                chance(one.fit_chance),
                f"{_need(one).value / GB:.1f}",
                f"{one.usable_bytes / GB:.1f}",
                time,
                "; ".join(_money(one)),
            ]
        )
    fitting = [one for one in found.outcomes if one.fits]
    lines = [_table(["on", "fits", "GB needed", "usable", "time", "cost"], rows, style)]
    if len(fitting) > 1:
        fastest = max(fitting, key=partial(_pace, found.task))
        lines.append(f"cheapest that fits: {found.best.hardware}; fastest: {fastest.hardware}")
    return "\n".join(lines)


def _pace(task: str, one: Outcome) -> float:
    """What is the more the faster it is: tokens of a server, with as many requests at once as it takes; else runs."""
    if task == "serving":
        return one.figure("output_tokens_per_s").value
    return 1 / one.figure("run_s" if one.figure("run_s").known else "step_s").value


def _memory(one: Outcome, style: str) -> str:
    rows = [[part_title(name), f"{value / GB:.2f}"] for name, value in one.memory.items() if value >= 1e6]
    rows.append(["together", f"{sum(one.memory.values()) / GB:.2f}"])
    if one.figure("need_bytes").known:
        rows.append(["without what its allocator gives back", f"{_need(one).value / GB:.2f}"])
    rows.append(["usable", f"{one.usable_bytes / GB:.2f}"])
    return _table(["memory of the fullest accelerator", "GB"], rows, style)


def _times(found: Check, style: str) -> str:
    one = found.best
    if found.task == "serving":
        names = {"ttft_s": ("time to first token", "s"), "tpot_s": ("time per output token", "s")}
        rows = [[title, _shown(name, one.figure(name), unit)] for name, (title, unit) in names.items()]
        rows.append(["tokens a second, all requests", _counted(one.figure("output_tokens_per_s"))])
        rows.append(["requests of this length that its cache holds", f"{one.figure('max_concurrency').value:,.0f}"])
        rows.append(["longest lone request [token]", f"{one.figure('max_context').value:,.0f}"])
        head = f"{one.figure('prompt_tokens').value:,.0f} tokens in, {one.figure('output_tokens').value:,.0f} out"
        return _table([head, ""], rows, style)
    whole = sum(one.parts.values())
    rows = [
        [part_title(name), f"{100 * value / whole:.0f} %"] for name, value in one.parts.items() if value > 0.005 * whole
    ]
    rows.append(["tokens a second", _counted(one.figure("tokens_per_s"))])
    if one.figure("steps").known:
        rows.append(["steps", f"{one.figure('steps').value:,.0f}"])
    else:
        rows.append(["steps", "not known: give --data SAMPLES"])
    return _table([f"a step of {_shown('step', one.figure('step_s'), 's')}", ""], rows, style)


def _read(found: Check, style: str) -> str:
    rows = [
        [one.key, _value(one), one.field, one.file or SAID[one.status]]
        for one in _unique(found.readings, READ + ASSUMED)
        if one.field
    ]
    return _table(["key", "value", "read as", "from"], rows, style)


SAID = {"read": "", "default": "the tool's default", "assumed": "its default, not looked up"}


def _unique(readings: Iterable[Reading], statuses: Sequence[str]) -> list[Reading]:
    return [one for one in readings if one.status in statuses]


def _rest(found: Check) -> str:
    lines = []
    for title, status in (
        ("Matters, but is not counted in", "matters"),
        ("Stops it", "stops"),
        ("Not understood", "unknown"),
        ("Left to variables", "open"),
    ):
        some = _unique(found.readings, (status,))
        if some:
            lines.append(
                _filled(f"{title}: " + "; ".join(f"{one.key}{f' ({one.note})' if one.note else ''}" for one in some))
            )
    ignored = list(dict.fromkeys(one.key for one in _unique(found.readings, ("ignored",))))
    if ignored:
        more = f" and {len(ignored) - LISTED} more" if len(ignored) > LISTED else ""
        lines.append(_filled(f"Ignored, as it changes nothing here: {', '.join(ignored[:LISTED])}{more}"))
    return "\n".join(lines)


def _value(one: Reading) -> str:
    text = str(one.value).lower() if isinstance(one.value, bool) else str(one.value)
    return text if len(text) <= 40 else text[:37] + "..."


def _changes(found: Check, style: str) -> str:
    if not found.changes:
        return ""
    rows = []
    for change in found.changes:
        one = change.outcome
        cost = one.figure("usd")
        rows.append(
            [
                change.keys,
                chance(one.fit_chance),
                f"{_need(one).value / GB:.1f}",
                _time(one),
                f"{cost.value:,.2f}" if cost.known else "",
            ]
        )
    return _table(["what would help", "fits", "GB needed", "time", "USD"], rows, style)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    kept = [at for at, head in enumerate(heads) if head or any(row[at] for row in rows)]
    kept = [at for at in kept if any(row[at] for row in rows)]
    return tabulate(
        [[row[at] for at in kept] for row in rows], [heads[at] for at in kept], style, disable_numparse=True
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
