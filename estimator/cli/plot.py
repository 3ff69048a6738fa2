"""`estimator plot`: one picture into a file."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from estimator import api
from estimator.catalog.accelerators import accelerator
from estimator.cli.decide import machine_of
from estimator.cli.options import asked, belong
from estimator.decide.inverse import accelerator_sets, training_plan
from estimator.errors import EstimatorError, InvalidInput
from estimator.export import pictures
from estimator.quantities import ONE_AT_A_TIME
from estimator.results import Estimate
from estimator.stages import STAGES
from estimator.stages.answer import approaches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = (1, 2, 4, 8)  # of the smallest set, in the picture of time against money


def plot(options: argparse.Namespace) -> None:
    """Draw and write."""
    if options.picture in ("spectrum", "volume"):  # of all approaches
        belong(options, "money, step and pareto", "stage")
    options.stage = options.stage or "finetune"
    pictures.save(DRAWN[options.picture](options, asked(options)), options.output)


def _spectrum(_: argparse.Namespace, given: dict[str, Any]) -> "Figure":
    asked = api.compare(**given)
    answers = [one for one in asked.estimates if isinstance(one, Estimate) and one.calendar_s.known]
    if not answers:
        raise InvalidInput(f"no approach can be done: {getattr(asked.estimates[0], 'reason', 'its time is unknown')}")
    return pictures.spectrum(answers)


def _volume(_: argparse.Namespace, given: dict[str, Any]) -> "Figure":
    """The approaches that are in question by volume, on own accelerators and behind the API where both are named."""
    stages = tuple(one for one in STAGES if one != "pretrain")  # which costs what it costs at any volume
    answers = pictures.estimates_of(api.compare(**given, stages=stages))
    if given["api"] and given["gpu"] and given["model"]:
        answers.append(api.estimate("prompt", **{**given, "api": None}))
    if not answers:
        raise InvalidInput("no cost is known: give --price-per-hour")
    return pictures.cost_over_volume(answers)


def _money(options: argparse.Namespace, given: dict[str, Any]) -> "Figure":
    answer = api.estimate(options.stage, **given)
    if not answer.total_usd.known:
        raise InvalidInput("the cost is unknown: give --price-per-hour")
    if answer.total_usd.value == 0:
        raise InvalidInput("nothing costs anything here: every price is 0")
    return pictures.where_it_goes(answer)


def _step(options: argparse.Namespace, given: dict[str, Any]) -> "Figure":
    """The training step of fine-tuning or pre-training in its best layout."""
    from estimator.stages.training import set_up

    task = _trained(options)
    inputs = {name: value for name, value in given.items() if name not in NAMES}
    question = api.ask(**{name: given[name] for name in NAMES}, design=ONE_AT_A_TIME, inputs=inputs)
    answer = api.estimate(task, **given)
    found = set_up(question, training_plan(question, task), int(answer.accelerators.value))
    device, count = found.cluster.accelerator, found.cluster.count
    title = f"{answer.title} of {answer.llm} on {count} x {device.title}: {found.layout}"
    return pictures.time_and_memory(title, found.step, device.usable_bytes)


def _pareto(options: argparse.Namespace, given: dict[str, Any]) -> "Figure":
    """The smallest set of each accelerator, and 2, 4 and 8 times it."""
    task = _trained(options)
    names = tuple(given["gpu"].split(",")) if given["gpu"] else ()
    rest = machine_of(given, "gpu", "gpus")
    found = []
    for held in accelerator_sets(task, gpus=names, **rest)[:MOST_SETS]:
        for times in TIMES:
            count = held.count * times
            answer = _tried(task, gpu=f"{count}x{held.accelerator}", **rest)
            if answer is not None:
                found.append((f"{count} x {accelerator(held.accelerator).name}", answer))
    if not found:
        raise InvalidInput(f"none of the sets does the {task} of {given['model']}: name others with --gpu")
    return pictures.pareto(found, f"{approaches()[task]['title'].lower()} of {given['model']}")


def _trained(options: argparse.Namespace) -> str:
    if options.stage not in ("finetune", "pretrain"):
        raise InvalidInput(f"{options.picture} is of something trained: --stage finetune or pretrain")
    return str(options.stage)


def _tried(task: str, **given: Any) -> Estimate | None:
    try:
        return api.estimate(task, **given)
    except EstimatorError:
        return None


NAMES = ("model", "gpu", "api", "gpus", "price", "scenario_file")
MOST_SETS = 6  # accelerators in one picture, the cheapest by the hour
DRAWN: dict[str, Callable[[argparse.Namespace, dict[str, Any]], "Figure"]] = {
    "spectrum": _spectrum,
    "volume": _volume,
    "money": _money,
    "step": _step,
    "pareto": _pareto,
}
