"""Answers as JSON: brief, with what a reader decides by, or in full as the command writes it."""

from collections.abc import Iterator, Mapping
from typing import Any

from estimator.export.rows import as_json
from estimator.quantities import Quantity
from estimator.results import FIGURES, Blocked, Comparison, Estimate
from estimator.shown import SCHEMA_VERSION, rendered
from estimator.web.asking import Answer, shown

DIGITS = 12  # of a figure: more than any is known to
MOST_ROWS = 60  # of a table in a brief answer


def text(found: Answer, detail: str, page: str = "") -> str:
    """An answer as JSON text; page: where people see a brief one."""
    if detail == "full":
        return str(rendered(found.result, "json", currency=found.currency))
    return as_json(_Brief(found, page))


class _Brief:
    """What `as_json` takes: something with `to_dict`."""

    def __init__(self, found: Answer, page: str) -> None:
        self.found, self.page = found, page

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        result = shown(self.found)
        head = {"command": self.found.command, "said": list(self.found.notes)}
        head |= {"page": self.page} if self.page else {}
        if isinstance(result, Comparison):
            stages = {one.stage: estimate(one) for one in result.estimates}
            about = {"llm": result.llm, "hardware": result.hardware, "level": result.level}
            return head | about | {"stages": stages, "notes": list(result.notes)}
        if isinstance(result, Estimate):
            about = {"llm": result.llm, "hardware": result.hardware, "level": result.level}
            return head | about | estimate(result) | {"lines": [_line(line) for line in result.lines]}
        told: dict[str, Any] = shortened(result.to_dict())
        return head | told


def estimate(one: Estimate | Blocked) -> dict[str, Any]:
    """One approach: the figures that tables show."""
    if isinstance(one, Blocked):
        return one.to_dict()
    return {
        "stage": one.stage,
        "title": one.title,
        "status": "ok",
        "complexity": one.complexity,
        "layout": one.layout,
        "figures": {name: quantity(found) for name, found in _figures(one) if found is not None},
        "warnings": list(one.warnings),
    }


def _figures(one: Estimate) -> Iterator[tuple[str, Quantity | None]]:
    return ((figure.name, one.figure(figure.name)) for figure in FIGURES)


def quantity(figure: Quantity) -> dict[str, Any]:
    """A figure without its sources; unknown is null."""
    low, high = figure.interval()
    ends = (
        {"value": figure.value, "low": low, "high": high} if figure.known else dict.fromkeys(("value", "low", "high"))
    )
    return {**ends, "unit": figure.unit, "basis": figure.basis}


def _line(line: Any) -> dict[str, Any]:
    figures = {"usd": quantity(line.usd), "horizon_usd": quantity(line.horizon_usd)}
    return {"kind": line.kind, "item": line.item, "phase": line.phase, **figures}


LONG = ("assumptions", "evidence", "sources", "inputs", "details")


def shortened(data: Any) -> Any:
    """Plain data without what only explains, and the first rows of long tables."""
    if isinstance(data, Mapping):
        kept = {key: shortened(value) for key, value in data.items() if key not in LONG}
        cut = {key: value for key, value in data.items() if isinstance(value, list) and len(value) > MOST_ROWS}
        return kept | {f"{key}_left_out": len(value) - MOST_ROWS for key, value in cut.items()}
    if isinstance(data, list | tuple):
        return [shortened(value) for value in data[:MOST_ROWS]]
    return data


__all__ = ["SCHEMA_VERSION", "estimate", "quantity", "shortened", "text"]
