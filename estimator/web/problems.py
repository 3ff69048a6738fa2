"""What went wrong, as RFC 9457 problems: the command's own sentence, and a status that says whose fault it was."""

import json
from typing import Any

from estimator.errors import DoesNotFit, EstimatorError, MissingExtra, UnknownName

MIME = "application/problem+json"
TITLES = {
    400: "The request cannot be read",
    403: "Not from here",
    404: "No such page",
    405: "No such method here",
    408: "The request came too slowly",
    413: "The request is too large",
    414: "The address is too long",
    415: "Not a form that is read here",
    422: "The question cannot be answered as it was put",
    501: "A library is not installed",
    503: "Busy",
    500: "A fault of this program",
}


def status_of(error: EstimatorError) -> int:
    """422 for what the question got wrong, 501 for what is not installed."""
    return 501 if isinstance(error, MissingExtra) else 422


def kind_of(error: EstimatorError) -> str:
    """Which kind of mistake it was, by the library's own names."""
    kinds = {UnknownName: "unknown-name", DoesNotFit: "does-not-fit", MissingExtra: "missing-extra"}
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "invalid-input")


def problem(status: int, detail: str, kind: str = "about:blank", **more: Any) -> tuple[int, str]:
    """Status and JSON text."""
    data = {"type": kind, "title": TITLES.get(status, "Problem"), "status": status, "detail": detail, **more}
    return status, json.dumps(data, ensure_ascii=False)


def of(error: EstimatorError) -> tuple[int, str]:
    """The problem that an error of the library is."""
    nearest = {"nearest": list(error.nearest)} if isinstance(error, UnknownName) else {}
    return problem(status_of(error), str(error), f"urn:estimator:{kind_of(error)}", **nearest)


LONGEST_S = 60.0  # of an answer


def too_long() -> tuple[int, str]:
    """The problem that an answer is which takes too long."""
    return problem(503, f"this takes longer than {LONGEST_S:g} s: ask for less, or use the command")
