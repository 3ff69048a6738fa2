"""`estimator plot`: one picture into a file."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from estimator import api
from estimator.catalog.accelerators import accelerator
from estimator.catalog.accelerators import cluster as named_cluster
from estimator.charts.draw import save
from estimator.charts.grammar import Spec
from estimator.cli.decide import machine_of
from estimator.cli.options import asked, belong
from estimator.decide.inverse import accelerator_sets, busy_hour_requests_per_s, training_plan
from estimator.errors import EstimatorError, InvalidInput
from estimator.quantities import ONE_AT_A_TIME
from estimator.records import Cluster
from estimator.results import Estimate
from estimator.shown import in_currency
from estimator.stages import STAGES
from estimator.stages.answer import approaches
from estimator.stages.question import Question

TIMES = (1, 2, 4, 8)  # of the smallest set, in the picture of time against money
OF_ALL = ("spectrum", "totals", "volume", "load", "loss")  # pictures of no one approach


def plot(options: argparse.Namespace) -> None:
    """Draw and write."""
    if options.picture in OF_ALL:
        belong(options, "money, step, pareto and tornado", "stage")
    options.stage = options.stage or "finetune"
    save(DRAWN[options.picture](options, asked(options)), options.output, options.theme)


def _spectrum(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    from estimator.charts.decision import spectrum

    asked = _shown(options, api.compare(**given))
    answers = [one for one in asked.estimates if isinstance(one, Estimate) and one.calendar_s.known]
    if not answers:
        raise InvalidInput(f"no approach can be done: {getattr(asked.estimates[0], 'reason', 'its time is unknown')}")
    return spectrum(answers)


def _totals(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    from estimator.charts.decision import estimates_of, totals

    return totals(_shown(options, estimates_of(api.compare(**given))))


def _volume(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    """The approaches that are in question by volume, on own accelerators and behind the API where both are named."""
    from estimator.charts.decision import cost_over_volume, estimates_of

    stages = tuple(one for one in STAGES if one != "pretrain")  # which costs what it costs at any volume
    answers = estimates_of(api.compare(**given, stages=stages))
    if given["api"] and given["gpu"] and given["model"]:
        answers.append(api.estimate("prompt", **{**given, "api": None}))
    if not answers:
        raise InvalidInput("no cost is known: give --price-per-hour")
    return cost_over_volume(_shown(options, answers))


def _money(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    from estimator.charts.decision import where_it_goes

    answer = api.estimate(options.stage, **given)
    if not answer.total_usd.known:
        raise InvalidInput("the cost is unknown: give --price-per-hour")
    if answer.total_usd.value == 0:
        raise InvalidInput("nothing costs anything here: every price is 0")
    return where_it_goes(_shown(options, answer))


def _shown(options: argparse.Namespace, result: Any) -> Any:
    """In the currency that was asked for."""
    several = isinstance(result, list)
    found = in_currency(tuple(result) if several else result, options.currency or "")
    return list(found) if several else found


def _step(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    """The training step of fine-tuning or pre-training in the layout of the estimate."""
    from estimator.charts.work import time_and_memory
    from estimator.stages import finetune
    from estimator.stages.training import ALONE, set_up

    task, question = _trained(options), _question(given)
    answer = api.estimate(task, **given)
    copies = finetune.copies(question) if task == "finetune" else ALONE
    count = int(answer.accelerators.value)
    if count == 0:
        raise InvalidInput("an API trains it, and shows no step: name an LLM and accelerators instead")
    found = set_up(question, training_plan(question, task), count, copies)
    device, held = found.cluster.accelerator, found.step.memory.total
    beside = float(copies.memory_bytes(question.own_llm(), found.cluster, held) - held)
    title = f"{answer.title} of {answer.llm} on {count} x {device.title}: {answer.layout}"
    return time_and_memory(title, found.step, device.memory_bytes, beside)


def _question(given: dict[str, Any]) -> Question:
    inputs = {name: value for name, value in given.items() if name not in NAMES}
    return api.ask(**{name: given[name] for name in NAMES}, design=ONE_AT_A_TIME, inputs=inputs)


def _pareto(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    """Of each accelerator as many as asked; else the smallest set, and 2, 4 and 8 times it."""
    from estimator.charts.work import pareto

    task = _trained(options)
    rest = {name: value for name, value in machine_of(given, "gpu").items() if name != "gpus"}
    found = []
    for device, count in _sets(task, given, rest):
        answer = _tried(task, gpu=f"{count}x{device}", **rest)
        if answer is not None:
            found.append((f"{count} x {accelerator(device).name}", _shown(options, answer)))
    if not found:
        raise InvalidInput(f"none of the sets does the {task} of {given['model']}: name others with --gpu")
    return pareto(found, f"{approaches()[task]['title'].lower()} of {given['model']}")


def _sets(task: str, given: dict[str, Any], rest: dict[str, Any]) -> list[tuple[str, int]]:
    named = [named_cluster(name.strip()) for name in given["gpu"].split(",")] if given["gpu"] else []
    counts = {_device(one): one.count if isinstance(one, Cluster) else given["gpus"] for one in named}
    open_ = tuple(name for name, count in counts.items() if count is None)
    held = [*accelerator_sets(task, gpus=open_, **rest)] if open_ or not named else []
    sets = [(one.accelerator, one.count * times) for one in held[:MOST_SETS] for times in TIMES]
    return [*((name, count) for name, count in counts.items() if count), *sets]


def _device(named: Any) -> str:
    return str(named.accelerator.name if isinstance(named, Cluster) else named.name)


def _trained(options: argparse.Namespace) -> str:
    if options.stage not in ("finetune", "pretrain"):
        raise InvalidInput(f"{options.picture} is of something trained: --stage finetune or pretrain")
    return str(options.stage)


def _tried(task: str, **given: Any) -> Estimate | None:
    try:
        return api.estimate(task, **given)
    except EstimatorError:
        return None


def _load(_: argparse.Namespace, given: dict[str, Any]) -> Spec:
    """Latency of the replica that answers, from one request at a time to what it can carry."""
    from estimator.charts.work import latency_against_load
    from estimator.decide.inverse import served, serving_count

    machine_of(given, "price")
    question = _question(given)
    count = question.count or serving_count(question)
    most = float(served(question, count).capacity_requests_per_s)
    loads = np.linspace(most / 100, most * 0.98, 80)
    device, llm = question.own_accelerator(), question.own_llm()
    title = f"Latency against load: {llm.name} on {count} x {device.title}, one replica"
    return latency_against_load(
        title, loads, served(question, count, requests_per_s=loads), busy_hour_requests_per_s(question)
    )


def _loss(_: argparse.Namespace, given: dict[str, Any]) -> Spec:
    """Loss of the pre-training asked for, beside that of other sizes for the same compute."""
    from estimator.charts.work import loss_against_size
    from estimator.stages.pretrain import law

    answer = api.estimate("pretrain", **given)
    loss = answer.details["expected_loss"]
    if not loss.known:
        raise InvalidInput(f"the loss is unknown: {loss.note}")
    params = loss.inputs["N"].value
    title = f"Loss against size: pre-training of {answer.llm}"
    return loss_against_size(title, law(), params, answer.data_tokens.value, loss.value)


def _tornado(options: argparse.Namespace, given: dict[str, Any]) -> Spec:
    from estimator.charts.doubt import tornado
    from estimator.sensitivity import sensitivity

    belong(options, "pictures of money over time: a tornado is in US dollars", "currency")
    return tornado(sensitivity(options.stage, **given))


NAMES = ("model", "gpu", "api", "gpus", "price", "scenario_file")
MOST_SETS = 6  # accelerators in one picture, the cheapest by the hour
DRAWN: dict[str, Callable[[argparse.Namespace, dict[str, Any]], Spec]] = {
    "spectrum": _spectrum,
    "totals": _totals,
    "volume": _volume,
    "money": _money,
    "step": _step,
    "pareto": _pareto,
    "load": _load,
    "loss": _loss,
    "tornado": _tornado,
}
