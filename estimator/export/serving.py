"""Replicas under load as text, Markdown and rows."""

from collections.abc import Iterator

from tabulate import tabulate

from estimator.export.rows import COLUMNS, figure_row
from estimator.quantities import Quantity
from estimator.results import ServedLoad, ServingAnswer
from estimator.text import digits, human

LATENCIES = {
    "ttft": "time to first token",
    "answer": "time to the answer's first token",
    "tpot": "time per output token",
    "latency": "time to last token",
}
RATES = (
    "requests_per_s",
    "output_tokens_per_s",
    "output_tokens_per_s_per_user",
    "in_flight",
    "usd_per_million_output_tokens",
)
HEADS = ("load", "TTFT", "TPOT", "end to end", "requests/s", "tokens/s", "per user", "$/M tokens")
OF_TABLE = ("ttft_s", "tpot_s", "latency_s", "requests_per_s", "output_tokens_per_s", *RATES[2:3], RATES[-1])
WORDS = {
    "alone": "one at a time",
    "concurrency": "{} at once, always",
    "requests_per_s": "{} requests/s",
    "burst": "burst of {}",
    "batch": "batch of {}",
}


def serving_text(found: ServingAnswer, style: str = "simple") -> str:
    """What was asked, the memory, and what requests meet: in full under one load, a row each under several."""
    one = len(found.loads) == 1
    return "\n".join([*_head(found), "", _full(found.loads[0], style) if one else _table(found, style), *_notes(found)])


def serving_markdown(found: ServingAnswer) -> str:
    """The same with Markdown tables."""
    return serving_text(found, "github")


def _head(found: ServingAnswer) -> list[str]:
    """Whether it fits, as surely as is known, and what it holds."""
    times = f"{found.replicas} replicas of " if found.replicas > 1 else ""
    memory = ", ".join(f"{figure.name} {human(figure, False)}" for figure in found.memory.values())
    most, longest = (found.limits[name] for name in ("max_concurrency", "max_context"))
    return [
        f"{found.llm} on {times}{found.hardware}: fits with a chance of {_chance(found)}",
        f"Memory of each accelerator: {memory}",
        f"At most {digits(most.value)} requests at once, {_rate(found.limits['capacity_requests_per_s'])} requests/s, "
        f"{longest.value:,.0f} tokens in one",
    ]


def _chance(found: ServingAnswer) -> str:
    return "more than 99 %" if found.fit_chance > 0.99 else f"{100 * found.fit_chance:.0f} %"


def _full(load: ServedLoad, style: str) -> str:
    """One load: each latency with its quantiles, then what flows and what it costs."""
    figures = load.figures
    rows = [
        [words, human(figures[f"{name}_s"]), *(human(figures[f"{name}_{part}_s"], False) for part in QUANTILES)]
        for name, words in LATENCIES.items()
        if f"{name}_s" in figures
    ]
    rates = [[_called(figures[name]), _rate(figures[name])] for name in RATES]
    return "\n".join(
        [
            asked_text(load),
            "",
            tabulate(rows, ["", "mean", *QUANTILES], style, disable_numparse=True),
            "",
            tabulate(rates, ["", "80 % range"], style, disable_numparse=True),
        ]
    )


def _called(figure: Quantity) -> str:
    """A figure's name, that of a flow with what it is counted by."""
    return f"{figure.name}, a second" if figure.unit.endswith("/s") else figure.name


QUANTILES = ("p50", "p90", "p99")


def _table(found: ServingAnswer, style: str) -> str:
    """Several loads, a row each."""
    rows = [
        [load_text(load), *(["more than it can end", *[""] * 6] if load.beyond else _row(load))] for load in found.loads
    ]
    first = asked_text(found.loads[0]).partition(":")[0]
    return f"{first}; means\n\n{tabulate(rows, HEADS, style, disable_numparse=True)}"


def _row(load: ServedLoad) -> list[str]:
    return [
        human(load.figures[name]) if name.endswith("_s") and "per" not in name else _alone(load.figures[name])
        for name in OF_TABLE
    ]


def _alone(figure: Quantity) -> str:
    """A figure without its range, for which a table of loads has no room."""
    return human(figure, False) if not figure.known or figure.unit == "USD" else digits(figure.value)


def _rate(figure: Quantity) -> str:
    """A figure with its range; those without a unit of their own as plain digits."""
    if not figure.known or figure.unit == "USD":
        return human(figure)
    low, high = figure.interval()
    return digits(figure.value) + (f" ({digits(low)}-{digits(high)})" if high > low else "")


def load_text(load: ServedLoad) -> str:
    """A load in a few words.

    >>> load_text(ServedLoad("burst", 50.0, 1000.0, 200.0, {}))
    'burst of 50'
    """
    return WORDS[load.kind].format(digits(load.amount))


def asked_text(load: ServedLoad) -> str:
    """Lengths and load."""
    return f"{load.prompt_tokens:,.0f} tokens in, {load.output_tokens:,.0f} out: {load_text(load)}"


def _notes(found: ServingAnswer) -> list[str]:
    return ["", *found.notes] if found.notes else []


def serving_rows(found: ServingAnswer) -> Iterator[dict[str, object]]:
    """A row a load and figure, then those of the replica."""
    for load in found.loads:
        said = {"load": load.kind, "amount": load.amount, "prompt_tokens": load.prompt_tokens}
        said |= {"output_tokens": load.output_tokens}
        for name, figure in load.figures.items():
            yield said | _cells(name, figure)
    for name, figure in {**found.limits, **found.memory}.items():
        yield dict.fromkeys(("load", "amount", "prompt_tokens", "output_tokens"), "") | _cells(name, figure)


def _cells(name: str, figure: Quantity) -> dict[str, object]:
    row = figure_row("", name, figure)
    return {column: row[column] for column in COLUMNS if column != "stage"}
