"""Recorded runs as text: measured beside predicted."""

from tabulate import tabulate

from estimator.recording import Recorded
from estimator.validation.report import CasePrediction


def recorded_text(found: Recorded) -> str:
    """A line a figure, and where they are kept."""
    return f"{_table(found, 'simple')}\n\n{_kept(found)}"


def recorded_markdown(found: Recorded) -> str:
    """The same as a Markdown table."""
    return f"{_table(found, 'github')}\n\n{_kept(found)}"


def _table(found: Recorded, style: str) -> str:
    heads = ["log", "figure", "measured", "predicted", "80 % range", "measured / predicted"]
    lines = [[log, *_line(one)] for log, one in zip(found.logs, found.runs, strict=True)]
    return tabulate(lines, heads, style, disable_numparse=True)


def _line(one: CasePrediction) -> list[str]:
    if one.predicted is None or one.measured is None or one.low is None or one.high is None:
        return [one.metric, "", "not predicted", "", ""]
    measured, predicted, low, high = (f"{value:,.4g}" for value in (one.measured, one.predicted, one.low, one.high))
    inside = "" if one.low <= one.measured <= one.high else "  (outside)"
    return [
        f"{one.metric} [{one.unit}]",
        measured,
        predicted,
        f"{low} to {high}",
        f"{one.measured / one.predicted:.2f}{inside}",
    ]


def _kept(found: Recorded) -> str:
    if not found.where:
        return "Compared only: nothing was kept."
    return f"Kept in {found.where}. Later predictions are corrected by it; --no-own-runs leaves them as they are."
