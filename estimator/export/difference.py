"""Two answers beside each other as text and Markdown: the figures, then what differs and what each alone does."""

from collections.abc import Sequence

from tabulate import tabulate

from estimator.quantities import given
from estimator.text import digits, human
from estimator.verdict.difference import Difference, Factor, ratio

TITLES = {
    "fit_chance": "chance of fitting",
    "run_s": "run",
    "step_s": "step",
    "usd": "cost",
    "need_bytes": "memory needed",
    "tokens_per_s": "tokens a second",
    "ttft_s": "time to first token",
    "tpot_s": "time per output token",
    "output_tokens_per_s": "tokens a second, all requests",
}


def difference_text(found: Difference, style: str = "simple") -> str:
    """The whole answer; `style` as tabulate names it."""
    rows = [
        [
            TITLES.get(name, name),
            _shown(name, value),
            _shown(name, found.after[name]),
            _change(value, found.after[name]),
        ]
        for name, value in found.before.items()
        if name in found.after
    ]
    parts = [found.what, _table(["", "before", "after", "change"], rows, style)]
    if found.factors:
        causes = [[one.name, _word(one.before), _word(one.after), _effects(one)] for one in found.factors]
        parts.append(_table(["differs in", "before", "after", "which alone does"], causes, style))
    elif not rows:
        parts.append("Nothing differs.")
    return "\n\n".join(part for part in (*parts, "\n".join(f"- mind: {note}" for note in found.notes)) if part)


def difference_markdown(found: Difference) -> str:
    """The same as a comment of a pull request."""
    return difference_text(found, "github")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    return tabulate(rows, heads, style, disable_numparse=True) if rows else ""


def _shown(name: str, value: float) -> str:
    if name == "fit_chance":
        return f"{100 * value:.0f} %"
    last = name.rpartition(".")[2]
    if last.endswith("_s") and not last.endswith("per_s"):
        return human(given(name, value, "s"))
    if "usd" in last:
        return f"{value:,.2f} USD"
    return f"{value / 1e9:,.2f} GB" if last.endswith("bytes") else digits(value)


def _change(before: float, after: float) -> str:
    share = ratio(before, after)
    if share is None:
        return ""
    return "same" if abs(share - 1) < 5e-4 else f"{100 * (share - 1):+.0f} %" if abs(share - 1) >= 0.01 else "under 1 %"


def _word(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _effects(one: Factor) -> str:
    """Such as "run +23 %, memory needed -40 %"."""
    told = [f"{TITLES.get(name, name)} {100 * (share - 1):+.0f} %" for name, share in one.ratios.items()]
    return ", ".join(told) or "next to nothing"
