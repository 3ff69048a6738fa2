"""Calls of the library with arguments of wrong types: an answer, or an EstimatorError of one line."""

import inspect
import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import estimator
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan
from estimator.pricing import Price
from estimator.scenario import default_scenario
from tests.fuzz import values
from tests.fuzz.answers import called
from tests.fuzz.trial import Trial

SHARE = 150
GOOD: dict[str, dict[str, Any]] = {
    "compare": {"model": "7b", "gpu": "a100"},
    "estimate": {"stage": "finetune", "model": "7b", "gpu": "a100"},
    "layout": {"model": "7b", "gpu": "a100", "task": "serve"},
    "recommend": {"model": "7b", "gpu": "a100"},
    "serving": {"model": "7b", "gpu": "a100", "prompt_tokens": 1000, "output_tokens": 100},
    "sweep": {"table": [{"samples": 5}], "stages": ("finetune",), "model": "7b", "gpu": "a100"},
    "training_step": {"model": "7b", "gpu": "8xa100", "seq_len": 2048, "global_batch": 64, "zero": 3},
    "validate": {"paths": "none.csv"},
    "calibrate": {"budget_s": 1.0},
    "Price": {"per_hour": 1.0},
    "Estimate.at": {"level": 0.9},
    "Comparison.to_json": {"level": 0.9},
}


def draw(rng: random.Random, index: int) -> Trial:
    """A good call with one or two arguments of a wrong type."""
    name = [*GOOD][index % len(GOOD)]
    given = dict(GOOD[name])
    names = _arguments(name)
    for argument in rng.sample(names, min(len(names), rng.choice((1, 1, 2)))):
        given[argument] = values.python(rng)
    if name == "calibrate" and not _refused_budget(given.get("budget_s")):
        given["budget_s"] = "x"  # never really measured
    if name == "validate" and _none(given["paths"]):
        given["paths"] = "none.csv"  # all that ship take longer than any case may
    listed = ", ".join(f"{key}={values.shown(value)}" for key, value in given.items())
    return called(f"{name}()", f"{name}({listed})", lambda: _function(name)(**given))


def _refused_budget(value: Any) -> bool:
    return not (isinstance(value, int | float) and value >= 10)


def _none(paths: Any) -> bool:
    try:
        return paths is None or len(paths) == 0
    except TypeError:  # it has no length, whatever its class says
        return False


def _function(name: str) -> Callable[..., Any]:
    if name == "Price":
        return Price
    if name == "Estimate.at":
        return estimator.estimate("finetune", model="7b", gpu="a100").at
    if name == "Comparison.to_json":
        return estimator.compare(model="7b", gpu="a100").to_json
    return getattr(estimator, name)  # type: ignore[no-any-return]


def _arguments(name: str) -> list[str]:
    """What a function takes, the open ones included; a hosted LLM only where it is asked for."""
    found = [
        argument.name
        for argument in inspect.signature(_function(name)).parameters.values()
        if argument.kind is not argument.VAR_KEYWORD and argument.name not in ("progress", "design")
    ]
    if name in ("compare", "estimate", "recommend", "sweep"):
        found += random.Random(name).sample(default_scenario().names(), len(found))
    if name in ("serving", "layout"):
        found += [one.name for one in fields(ServingPlan)]
    if name == "training_step":
        found += [one.name for one in fields(TrainingPlan)]
    return sorted(set(found))
