"""Predictions beside measurements: one record per case, errors per source and overall, as table and JSON.

Errors are |ln(predicted / measured)|: 0.10 is about 10 %, and twice too high is as wrong as half. For sources that the
constants were fitted to, the error with the source left out of the fit (LOSO) stands beside the in-sample one.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from tabulate import tabulate

from estimator.numerals import LEAST, MOST, numeral
from estimator.shown import SCHEMA_VERSION, Shown


@dataclass(frozen=True, slots=True)
class CasePrediction:
    """A prediction of one case in its own unit, or why there is none.

    low, high: 80 % interval; status: ok | unsupported; reason: what is missing, or what was assumed
    fits: whether memory would have sufficed; fitted: its source was in the fit, `predicted_loso` then leaves it out
    """

    id: str
    source: str
    metric: str
    unit: str
    predicted: float | None
    low: float | None
    high: float | None
    status: str
    reason: str = ""
    fits: bool | None = None
    fitted: bool = False
    predicted_loso: float | None = None
    measured: float | None = None


@dataclass(frozen=True, slots=True)
class Report(Shown):
    """All cases of one validation, in the order of the files."""

    cases: tuple[CasePrediction, ...]

    def summary(self) -> dict[str, Any]:
        """Errors overall and per source and quantity."""
        groups: dict[tuple[str, str], list[CasePrediction]] = {}
        for case in self.cases:
            groups.setdefault((case.source, quantity(case.metric)), []).append(case)
        sources = [{"source": s, "quantity": q, **errors(cases)} for (s, q), cases in sorted(groups.items())]
        return {"overall": errors(self.cases), "sources": sources}

    def to_dict(self) -> dict[str, Any]:
        """The content of `to_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "cases": [_case(case) for case in self.cases],
            "summary": self.summary(),
        }

    def rows(self) -> list[dict[str, object]]:
        """One row a case; what is not known is None."""
        return [_case(case) for case in self.cases]

    def listed(self) -> str:
        """Every case with what was measured and predicted, its source left out of the fit."""
        heads = ["case", "metric", "unit", "measured", "predicted", "80 % range", "error"]
        return tabulate(map(_listed, self.cases), heads, "simple", disable_numparse=True)

    def unsupported(self) -> list[str]:
        """Why rows were not predicted, one line a reason, with how many and which."""
        reasons: dict[str, list[str]] = {}
        for case in self.cases:
            if case.status != "ok":
                reasons.setdefault(case.reason, []).append(case.id or "no id")
        often = sorted(reasons.items(), key=lambda found: -len(found[1]))
        said = [f"not predicted ({len(ids)}: {_first(ids)}): {reason}" for reason, ids in often[:MOST_REASONS]]
        more = len(often) - MOST_REASONS
        return said + ([f"and {more} further reasons; JSON has them all"] if more > 0 else [])


def report_text(found: Report) -> str:
    """Errors by source and over all, why rows were not predicted, and the cases where they are few."""
    parts = [summary_table(_entries(found)), *map(_wrapped, (EXPLANATION, *found.unsupported()))]
    return "\n".join([found.listed(), "", *parts] if 0 < len(found.cases) <= MOST_LISTED else parts)


def report_markdown(found: Report) -> str:
    """The errors as a Markdown table."""
    return "\n\n".join([summary_table(_entries(found), "github"), EXPLANATION, *found.unsupported()])


def report_html(found: Report) -> str:
    """The errors by source as a table of a notebook."""
    return summary_table(found.summary()["sources"], "html")


def _entries(found: Report) -> list[dict[str, object]]:
    summary = found.summary()
    return [*summary["sources"], {"source": "all", "quantity": "", **summary["overall"]}]


MOST_REASONS = 12  # in the table
MOST_LISTED = 30  # cases, one by one
WIDTH = 120


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e3 else f"{value:.3g}"


def _listed(case: CasePrediction) -> list[str]:
    measured = "-" if case.measured is None else _figure(case.measured)
    first = [case.id or "no id", case.metric, case.unit, measured]
    if not case.predicted:
        return [*first, "-", "-", "-"]
    value = case.predicted_loso or case.predicted
    ends = [end * value / case.predicted for end in (case.low, case.high) if end is not None]
    error = _error(case, honest=True)
    return [*first, _figure(value), "-".join(map(_figure, ends)), "-" if error is None else f"{error:.2f}"]


def _first(ids: Sequence[str], most: int = 3) -> str:
    return ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")


EXPLANATION = (
    "error = |ln(predicted / measured)|. in-sample: with constants fitted to this source too; left out: fitted without "
    "it, what to expect of runs nobody fitted. Sources without in-sample figures were not fitted."
)
COLUMNS = {
    "source": "source",
    "quantity": "of",
    "cases": "cases",
    "share_predicted": "predicted",
    "median_error": "median error",
    "worst_error": "worst",
    "in_sample_median_error": "in-sample",
    "loso_median_error": "left out",
    "coverage": "in 80 % range",
}


def summary_table(entries: Sequence[Mapping[str, object]], style: str = "simple") -> str:
    """Rows of a summary as a table; shares in percent."""
    table = [[_shown(name, entry[name]) for name in COLUMNS] for entry in entries]
    return tabulate(table, headers=list(COLUMNS.values()), tablefmt=style, disable_numparse=True, stralign="left")


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("share_predicted", "coverage"):
        return f"{100 * value:.0f} %"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def errors(cases: Iterable[CasePrediction]) -> dict[str, object]:
    """Errors of a group; `median_error` takes the left-out prediction where the source was fitted."""
    cases = list(cases)
    good = [case for case in cases if case.status == "ok"]
    known = [case for case in good if _error(case) is not None]
    honest = [error for case in known if (error := _error(case, honest=True)) is not None]
    fitted = [case for case in known if case.fitted]
    return {
        "cases": len(cases),
        "share_predicted": len(good) / len(cases) if cases else None,
        "median_error": _median(honest),
        "worst_error": max(honest, default=None),
        "in_sample_median_error": _median([e for case in fitted if (e := _error(case)) is not None]),
        "loso_median_error": _median([e for case in fitted if (e := _error(case, honest=True)) is not None]),
        "coverage": _share([inside for case in known if (inside := _inside(case)) is not None]),
        "share_said_not_to_fit": _share([not case.fits for case in good if case.fits is not None]),
    }


def _error(case: CasePrediction, honest: bool = False) -> float | None:
    """|ln(predicted / measured)|, if `honest` with a fitted source left out; None when either is unknown."""
    value = case.predicted_loso if honest and case.fitted and case.predicted_loso is not None else case.predicted
    if value is None or case.measured is None or value <= 0 or case.measured <= 0:
        return None
    return abs(math.log(value / case.measured))


def _inside(case: CasePrediction) -> bool | None:
    """Whether the measurement lies in the 80 % range, moved to the left-out prediction where there is one."""
    if case.low is None or case.high is None or case.measured is None or not case.predicted:
        return None
    moved = (case.predicted_loso or case.predicted) / case.predicted
    return case.low * moved <= case.measured <= case.high * moved


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def quantity(metric: str) -> str:
    """`memory` or `time`: what a metric is about.

    >>> quantity("peak_mem_gb"), quantity("tokens_per_s_per_gpu")
    ('memory', 'time')
    """
    return "memory" if "mem" in metric else "time"


def with_measurement(case: CasePrediction, text: str) -> CasePrediction:
    """The case with the measured value of its row, if it has one."""
    value = numeral(text)
    return replace(case, measured=value) if value is not None and LEAST < abs(value) < MOST else case


def _case(case: CasePrediction) -> dict[str, object]:
    order = (
        "id", "source", "metric", "unit", "measured", "predicted", "low", "high", "status", "reason", "fits", "fitted",
        "predicted_loso",
    )  # fmt: skip
    content = asdict(case)
    return {name: content[name] for name in order}
