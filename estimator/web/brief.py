"""Answers as JSON: brief, with what a reader decides by, or in full as the command writes it."""

from collections.abc import Iterator, Mapping

from estimator.quantities import Quantity
from estimator.results import FIGURES, Blocked, Comparison, Estimate, Line
from estimator.shown import SCHEMA_VERSION, dumps, rendered
from estimator.web.asking import Answer, shown

MOST_ROWS = 60  # of a table in a brief answer
Object = dict[str, object]  # of JSON


def text(found: Answer, detail: str, page: str = "") -> str:
    """An answer as JSON text; page: where people see a brief one, which is on one line: a program reads it."""
    if detail == "full":
        return str(rendered(found.result, "json", currency=found.currency))
    return dumps({"schema_version": SCHEMA_VERSION} | _brief(found, page), indent=None)


def _brief(found: Answer, page: str) -> Object:
    result = shown(found)
    head: Object = {"command": found.command, "said": list(found.notes)}
    head |= {"page": page} if page else {}
    if isinstance(result, Comparison | Estimate):
        head |= {"llm": result.llm, "hardware": result.hardware, "level": result.level}
    if isinstance(result, Comparison):
        return head | {"stages": {one.stage: estimate(one) for one in result.estimates}, "notes": list(result.notes)}
    if isinstance(result, Estimate):
        return head | estimate(result) | {"lines": [_line(line) for line in result.lines]}
    return head | _shortened(result.to_dict())


def estimate(one: Estimate | Blocked) -> Object:
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


def quantity(figure: Quantity) -> Object:
    """A figure without its sources; unknown is null."""
    ends = dict.fromkeys(("value", "low", "high"), None)
    if figure.known:
        ends = dict(zip(ends, (figure.value, *figure.interval()), strict=True))
    return {**ends, "unit": figure.unit, "basis": figure.basis}


def _line(line: Line) -> Object:
    figures = {"usd": quantity(line.usd), "horizon_usd": quantity(line.horizon_usd)}
    return {"kind": line.kind, "item": line.item, "phase": line.phase, **figures}


LONG = ("assumptions", "evidence", "sources", "inputs", "details")


def _shortened(data: Mapping[str, object]) -> Object:
    """Plain data without what only explains, and the first rows of long tables."""
    kept = {key: _short(value) for key, value in data.items() if key not in LONG}
    cut = {key: value for key, value in data.items() if isinstance(value, list) and len(value) > MOST_ROWS}
    return kept | {f"{key}_left_out": len(value) - MOST_ROWS for key, value in cut.items()}


def _short(value: object) -> object:
    if isinstance(value, Mapping):
        return _shortened(value)
    return [_short(one) for one in value[:MOST_ROWS]] if isinstance(value, list | tuple) else value
