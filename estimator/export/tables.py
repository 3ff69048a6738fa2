"""Tables for people: the comparison, one estimate, and the assumptions beneath."""

import textwrap
from collections.abc import Callable

from estimator.export.assumptions import foremost
from estimator.export.price_list import prices_used
from estimator.quantities import Quantity, total
from estimator.results import FIGURES, Blocked, Comparison, Estimate, Figure, Line
from estimator.stages.answer import approaches
from estimator.text import human

WIDTH = 120
CELL = 22
LABEL = 24
BUDGET_SMALL = 2e-3  # of the total: a budget line below is counted, not listed, on the screen


def _data(answer: Estimate) -> str:
    if answer.data_tokens.value == 0:
        return "none"
    counted = approaches()[answer.stage].get("data")
    figures = {"text": answer.data_bytes, "samples": answer.data_samples, "tokens": answer.data_tokens}
    return ", ".join(f"{human(figures[name], spread=False)} {name}" for name in filter(None, (counted, "tokens")))


def _training_text(answer: Estimate) -> str:
    return "none" if answer.training_s.value == 0 else human(answer.training_s)


def _accelerators_text(answer: Estimate) -> str:
    """To the last one: the layout is of that many."""
    return "none" if answer.accelerators.value == 0 else f"{answer.accelerators.value:,.0f} ({answer.layout})"


def _memory_text(answer: Estimate) -> str:
    return "-" if answer.peak_memory_bytes.value == 0 else human(answer.peak_memory_bytes)


def _cost(name: str, phase: str = "") -> Callable[[Estimate], str]:
    """A cost; where it is unknown, what is known of it."""

    def said(answer: Estimate) -> str:
        figure: Quantity = getattr(answer, name)
        lines = [line for line in answer.lines if phase in ("", line.phase)]
        parts = [line.usd if phase else line.horizon_usd for line in lines]
        known = [part for part in parts if part.known]
        if figure.known or not known:
            return human(figure)
        return f"unknown; known of it: {human(total('known', known[0].unit, known, known[0].design), spread=False)}"

    return said


# What is not shown as the number that it is.
SAID: dict[str, Callable[[Estimate], str]] = {
    "data_tokens": _data,
    "training_s": _training_text,
    "accelerators": _accelerators_text,
    "peak_memory_bytes": _memory_text,
    "one_off_usd": _cost("one_off_usd", "one-off"),
    "monthly_usd": _cost("monthly_usd", "monthly"),
    "total_usd": _cost("total_usd"),
}


def _row(figure: Figure) -> tuple[str, Callable[[Estimate], str]]:
    label = f"- {figure.label}" if figure.part else figure.label
    return label, SAID.get(figure.name, lambda answer: _plain(answer, figure.name))


def _plain(answer: Estimate, name: str) -> str:
    found = answer.figure(name)
    return "-" if found is None else human(found)


ROWS: tuple[tuple[str, Callable[[Estimate], str]], ...] = (
    ("Complexity", lambda answer: answer.complexity),
    *map(_row, FIGURES),
)


def comparison_table(comparison: Comparison) -> str:
    """The answers as columns, with words and assumptions beneath; reasons alone where none of them can run."""
    if all(isinstance(answer, Blocked) for answer in comparison.estimates):
        asked = f"None of this can run: {comparison.llm} on {comparison.hardware}."
        return "\n".join([_paragraph(asked), "", *(line for answer in comparison.estimates for line in _words(answer))])
    return "\n".join([_title(comparison), "", grid(*_columns(comparison)), "", *_below(comparison)])


def comparison_markdown(comparison: Comparison) -> str:
    """The answers as columns of a Markdown table."""
    return _tabulated(comparison, "github")


def comparison_html(comparison: Comparison) -> str:
    """The answers as columns of a notebook's table."""
    return _tabulated(comparison, "html")


def _tabulated(comparison: Comparison, style: str) -> str:
    from tabulate import tabulate

    header, body = _columns(comparison)
    return tabulate(body, header, tablefmt=style, disable_numparse=True)


def _columns(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    header = ["", *(answer.title for answer in comparison.estimates)]
    body = [
        [label, *(_cell(answer, show, index) for answer in comparison.estimates)]
        for index, (label, show) in enumerate(ROWS)
    ]
    return header, body


def grid(header: list[str], body: list[list[str]]) -> str:
    """The one table everybody sees, its cells wrapped to their columns; tabulate does all others.

    Importing tabulate costs a quarter of a whole cold comparison, most of it looking up its own version.
    """
    rows = [[_wrapped(cell, CELL if column else LABEL) for column, cell in enumerate(row)] for row in [header, *body]]
    widths = [max(len(line) for cell in column for line in cell) for column in zip(*rows, strict=True)]
    lines = [_spread(row, widths) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _spread(row: list[list[str]], widths: list[int]) -> str:
    """One row, as many lines high as its highest cell."""
    height = max(map(len, row))
    tall = [cell + [""] * (height - len(cell)) for cell in row]
    lines = (
        "  ".join(line.ljust(width) for line, width in zip(lines, widths, strict=True))
        for lines in zip(*tall, strict=True)
    )
    return "\n".join(line.rstrip() for line in lines)


def _title(comparison: Comparison) -> str:
    return _paragraph(f"{comparison.llm} on {comparison.hardware}. Figures: expected {range_words(comparison.level)}.")


def range_words(level: float) -> str:
    """What stands in brackets behind a figure, such as `(80 % range)`."""
    return f"({100 * level:g} % range)"


def _cell(answer: Estimate | Blocked, show: Callable[[Estimate], str], index: int) -> str:
    if isinstance(answer, Blocked):
        return "cannot run (below)" if index == 0 else "-"
    return show(answer)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) if len(text) > width else [text]


def _below(comparison: Comparison) -> list[str]:
    lines = [line for answer in comparison.estimates for line in _words(answer)]
    months = next((item.shown for item in comparison.assumptions if item.name == "horizon_months"), "")
    lines += [
        "",
        f"Horizon: {months}. All in: with people, one-off and idle time; what a request adds is against the bare LLM.",
    ]
    lines += [_paragraph(note) for note in comparison.notes]
    answers = [answer for answer in comparison.estimates if isinstance(answer, Estimate)]
    return [*lines, *map(_paragraph, prices_used(answers)), "", *foremost(comparison)]


def _words(answer: Estimate | Blocked) -> list[str]:
    if isinstance(answer, Blocked):
        return [_paragraph(f"{answer.title} cannot run: {answer.reason}")]
    good = "; ".join(answer.advantages)
    text = f"{answer.title} is best for {answer.best_for}. For it: {good}. Mind: {'; '.join(answer.considerations)}."
    return [_paragraph(text), *(_paragraph(f"  {warning}") for warning in answer.warnings)]


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="    ")


def estimate_table(answer: Estimate) -> str:
    """One estimate: its figures, its budget lines, its words."""
    from tabulate import tabulate

    rows = [[label, show(answer)] for label, show in ROWS]
    parts = [
        answer.verdict,
        _paragraph(
            f"{answer.title}: {answer.llm} on {answer.hardware}. Figures: expected {range_words(answer.level)}."
        ),
        tabulate(rows, tablefmt="plain", disable_numparse=True),
        "\n".join(filter(None, [_details(answer), _parts(answer)])),
        "\n".join([_listed(answer), *map(_paragraph, prices_used([answer]))]),
        "\n".join([*_why_unknown(answer), *_words(answer), *map(_evidence, answer.evidence)]),
        "\n".join(foremost(answer)),
    ]
    return "\n\n".join(part for part in parts if part)


def _evidence(item: str) -> str:
    return textwrap.shorten(f"- {item}", WIDTH, placeholder=" ...]")


def _why_unknown(answer: Estimate) -> list[str]:
    """What is missing where the total is unknown, and how to give it."""
    missing = [node for node in answer.total_usd.walk() if not (node.known or node.inputs) and node.note]
    return [_paragraph(f"Unknown, not zero: {node.name} ({node.note}).") for node in missing]


def _details(answer: Estimate) -> str:
    """The details, two beside each other where a line holds them; none that is 0, or was just told."""
    from tabulate import tabulate

    shown = {one.name for one in FIGURES}
    seen: set[tuple[str, float]] = set()
    rows = []
    for name, figure in answer.details.items():
        told = name in shown or _is_part(name) or figure.value == 0 or (figure.unit, figure.value) in seen
        seen.add((figure.unit, figure.value))
        rows += [] if told else [[detail_name(name), human(figure)]]
    padded = rows + [["", ""]] * (len(rows) % 2)
    half = len(padded) // 2
    pairs = [left + right for left, right in zip(padded[:half], padded[half:], strict=True)]
    paired = tabulate(pairs, tablefmt="plain", disable_numparse=True)
    if all(len(line) <= WIDTH for line in paired.splitlines()):
        return paired
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def _is_part(name: str) -> bool:
    """Whether a detail is a part of the training time, which are told in one breath."""
    return name.startswith("time_") or name in STEPS


def _parts(answer: Estimate) -> str:
    """What the training time is made of, but for parts too short to tell."""
    if STEPS[0] not in answer.details:
        return ""
    steps, share = (answer.details[name] for name in STEPS)
    parts = {name: figure for name, figure in answer.details.items() if name.startswith("time_")}
    least = SHORT * sum(part.value for part in parts.values())
    told = {detail_name(name).removeprefix("time "): part for name, part in parts.items() if part.value > least}
    named = {name: human(part, False) for name, part in told.items()}
    if "padding" in named:
        named["padding"] += f" ({share.value:.0%})"
    words = ", ".join(f"{name} {part}" for name, part in named.items())
    return _paragraph(f"{human(steps, False)} steps: {words}")


SHORT = 1e-3  # of the time, below which a part is not told
STEPS = ("optimizer_steps", "padding_share")


BUDGET = ["phase", "item", "cost", "over the horizon"]


def _listed(answer: Estimate) -> str:
    """The budget lines that matter to the total, and how many do not."""
    from tabulate import tabulate

    lines = _costing(answer)
    kept = [line for line in lines if not abs(line.horizon_usd.value) < BUDGET_SMALL * abs(answer.total_usd.value)]
    table = tabulate(_budget(kept), BUDGET, tablefmt="simple", disable_numparse=True)
    left = len(lines) - len(kept)
    if not left:
        return table
    return f"{table}\n{left} more of less than {BUDGET_SMALL:.1%} of the total each: --format csv"


def _costing(answer: Estimate) -> list[Line]:
    """The budget lines that cost anything, what is paid once before what is paid every month."""
    lines = sorted(answer.lines, key=lambda line: line.phase != "one-off")
    return [line for line in lines if line.usd.value != 0 or line.horizon_usd.value != 0]


def _budget(lines: list[Line]) -> list[list[str]]:
    return [[line.phase, line.item, human(line.usd), human(line.horizon_usd)] for line in lines]


def detail_name(name: str) -> str:
    """A detail's name in words; money is in the currency its figure says, a time in the unit.

    >>> detail_name("all_in_usd_per_request"), detail_name("interval_s"), detail_name("training_tokens_per_s")
    ('all in cost per request', 'interval', 'training tokens per s')
    """
    words = name.replace("_usd", "_cost").split("_")
    return " ".join(words[:-1] if words[-1] == "s" and words[-2] != "per" else words)


def estimate_markdown(answer: Estimate) -> str:
    """One estimate's figures and budget lines as Markdown tables."""
    from tabulate import tabulate

    rows = [[label, show(answer)] for label, show in ROWS]
    figures = tabulate(rows, ["figure", answer.title], tablefmt="github", disable_numparse=True)
    lines = tabulate(_budget(_costing(answer)), BUDGET, tablefmt="github", disable_numparse=True)
    return f"{figures}\n\n{lines}"
