"""`estimator layout`: from options to a search."""

import argparse
from typing import Any

from estimator.catalog.files import use_facts
from estimator.cli.answers import assignment, emit, number, price
from estimator.search import layout as search

NUMBERS = ("tokens", "deadline_days", "prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "requests_per_s")


def layout(options: argparse.Namespace) -> None:
    """Search and print."""
    if options.facts:
        use_facts(options.facts)
    choices: dict[str, Any] = dict(_typed(*assignment(text)) for text in options.inputs)
    for name in NUMBERS:
        value = number(getattr(options, name), f"--{name.replace('_', '-')}")
        if value is not None:
            choices[name] = value
    if options.precisions:
        choices["precisions"] = options.precisions.split(",")
    most = number(options.most, "--most")
    found = search(
        model=options.model,
        gpu=options.gpu.split(","),
        task=options.task,
        price=price(options),
        most=int(most) if most is not None else 1024,
        **choices,
    )
    emit(options, found.to_json() if options.format == "json" else str(found))


def _typed(name: str, value: Any) -> tuple[str, Any]:
    """Numbers as numbers; words as they are."""
    try:
        return name, int(value) if float(value) == int(float(value)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return name, value
