"""`estimator serving`: from options to what replicas do under loads."""

import argparse
from typing import Any

import numpy as np

from estimator import api
from estimator.catalog.plan_fields import field_named, plan_fields
from estimator.cli.options import (
    assignment,
    levelled,
    number,
    once,
    price,
    say_alias,
    show,
    use_own_facts,
    whole,
)
from estimator.errors import InvalidInput, clipped
from estimator.results import ServingAnswer
from estimator.scenario import default_scenario

LOADS = ("requests_per_s", "concurrency", "burst", "batch")
LENGTHS = ("prompt_tokens", "output_tokens", "cached_tokens")


def serving(options: argparse.Namespace) -> None:
    """Answer and print."""
    show(options, served(options))


def served(options: argparse.Namespace) -> ServingAnswer:
    """What replicas do under the loads that were asked for."""
    use_own_facts(options)
    if options.billing:
        raise InvalidInput(
            "--billing belongs to compare and estimate: a load is priced by the hours of its accelerators"
        )
    if not options.model or not options.gpu:
        raise InvalidInput("name an LLM and accelerators: estimator serving --model 8b --gpu h100 --concurrency 32")
    given = once(map(_typed, options.inputs), "model", "gpu", "gpus", "price", "replicas")
    for name in (*LENGTHS, *LOADS):
        text = getattr(options, name)
        if text is not None and name in given:
            raise InvalidInput(f"{name} has an option of its own: --{name.replace('_', '-')}, not --set")
        if text is not None:
            given[name] = _numbers(text, f"--{name.replace('_', '-')}")
    usual = default_scenario()
    lengths = {name: given.pop(name, usual.amount(name).value) for name in LENGTHS[:2]}
    found = api.serving(
        model=options.model,
        gpu=options.gpu,
        gpus=whole(options.gpus, "--gpus"),
        price=price(options),
        replicas=whole(options.replicas, "--replicas") or 1,
        **lengths,
        **given,
    )
    answer: ServingAnswer = levelled(options, found)
    return answer


def _numbers(text: str, option: str) -> Any:
    """One number, or several between commas."""
    parts = [number(part, option) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else np.array(parts, float)


def _typed(text: str) -> tuple[str, Any]:
    """NAME=VALUE as the field's own name and the text of its value."""
    called, value = assignment(text)
    found = field_named(called, plan_fields("serving", "traffic"))
    name = found or called.replace("-", "_")
    if found:
        say_alias(called, found)
    if isinstance(value, tuple):
        raise InvalidInput(f"{name} is one value, not a range {clipped(text.partition('=')[2])}")
    said = text.partition("=")[2]
    return name, _numbers(said, name) if name in (*LENGTHS, *LOADS) else said
