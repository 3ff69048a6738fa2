"""What the commands share: options into the library's arguments, and answers to the screen or a file."""

import argparse
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, TypeVar

from estimator.catalog.files import use_facts
from estimator.catalog.own_runs import use_own_runs
from estimator.cli.argument_parser import command_text, listed
from estimator.cli.notes import note
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import is_file, to_screen, write_text
from estimator.formulas.units import DAY_S, HOUR_S, MONTH_S, WEEK_S, YEAR_S
from estimator.numerals import numeral, rewritten
from estimator.pricing import Price
from estimator.results import at_level
from estimator.scenario import default_scenario, file_inputs, known_input, scaled, scenario
from estimator.shown import FORMATS, rendered
from estimator.stages import STAGES

R = TypeVar("R")


def show(options: argparse.Namespace, result: object, *more: str) -> None:
    """A result as it was asked for, and more words beneath it, to the file that was named or to the screen."""
    currency = getattr(options, "currency", None) or ""
    command = command_text(getattr(options, "words", ())) if FORMATS[options.format].page else ""
    text = rendered(result, options.format, currency=currency, command=command)
    emit(options, "\n\n".join([str(text), *more]))


def levelled(options: argparse.Namespace, answer: R) -> R:
    """The answer with ranges of the level that was asked for."""
    return at_level(answer, level(options.level)) if options.level else answer


def emit(options: argparse.Namespace, text: str) -> None:
    """To the file that was named, else to the screen."""
    whole = text if text.endswith("\n") else text + "\n"
    if options.output is not None:
        write_text(options.output, whole)
    else:
        to_screen(whole)


def belong(options: argparse.Namespace, where: str, *names: str) -> None:
    """Refuse options that say nothing here, instead of ignoring them; where: what they belong to."""
    for name in names:
        if getattr(options, name):
            raise InvalidInput(f"--{name.replace('_', '-')} belongs to {where}")


def use_own_facts(options: argparse.Namespace) -> None:
    """Take the user's facts first, and the hub's where that was asked for."""
    if options.facts:
        use_facts(options.facts)
    use_own_runs(not options.no_own_runs)
    if options.download:
        from estimator.catalog.hub import download_configs  # rarely asked for

        download_configs()


def asked(options: argparse.Namespace, criteria: Iterable[str] = ()) -> dict[str, Any]:
    """The library's arguments for the options that say what is asked. criteria: what --set takes beside inputs."""
    use_own_facts(options)
    inputs = inputs_of(options, criteria)
    for called in file_inputs(options.scenario) if options.scenario and is_file(options.scenario) else ():
        say_alias(called, known_input(called))
    if options.api and not options.gpu and not hasattr(options, "vary"):  # rows of a sweep may name accelerators
        belong(options, "own accelerators: name them with --gpu", *OF_ACCELERATORS)
    if options.billing:
        inputs["billing"] = options.billing
    if options.data:
        inputs = once([*inputs.items(), ("data", options.data)])
    if "data" in inputs:
        _count(options.scenario, inputs)
    if options.fit_chance:
        if "fit_chance" in inputs:
            raise InvalidInput("fit_chance is said twice: by --fit-chance and by --set")
        inputs["fit_chance"] = number(options.fit_chance, "--fit-chance")
    return {
        "model": options.model,
        "gpu": options.gpu,
        "gpus": whole(options.gpus, "--gpus"),
        "api": options.api,
        "price": price(options),
        "scenario_file": options.scenario,
        **inputs,
    }


def stages_of(options: argparse.Namespace) -> dict[str, Any]:
    """The approaches of --stages as an argument; none where all are asked for."""
    chosen = listed(options.stages or "")
    for name in chosen:
        if name not in STAGES:
            raise UnknownName("stage", name, STAGES, f"Stages are {', '.join(STAGES)}.")
    return {"stages": chosen} if chosen else {}


def _count(file: str | None, inputs: Mapping[str, Any]) -> None:
    """Count the user's training samples, with a progress line; whoever answers finds them counted."""
    from estimator.api import counted_data  # rarely asked for
    from estimator.cli.progress import bar

    known = {name: value for name, value in inputs.items() if name in default_scenario().sections}
    counted_data(scenario(file, **known), bar("samples"))


def inputs_of(options: argparse.Namespace, criteria: Iterable[str] = ()) -> dict[str, Any]:
    """The inputs of --set by their own names."""
    options.inputs = [_named(text, criteria) for text in options.inputs]
    return once(assignment(text) for text in options.inputs)


def _named(text: str, criteria: Iterable[str]) -> str:
    """NAME=VALUE with the input's own name, where it was called otherwise; the library's own arguments are options."""
    called, equals, value = text.partition("=")
    assignment(text)
    if called.strip().replace("-", "_") in criteria:
        return text
    name = known_input(called.strip(), tuple(criteria))
    if called.strip().replace("-", "_").rpartition(".")[2] == name:
        return text
    say_alias(called.strip(), name)
    return f"{name}{equals}{value}"


def once(given: Iterable[tuple[str, object]], *options: str) -> dict[str, Any]:
    """Values by name; a name that comes twice, or that options say, is refused, as one of the two would say nothing."""
    found: dict[str, Any] = {}
    for name, value in given:
        if name in options:
            raise InvalidInput(f"{name} is said by an option or a word of the command, not with --set")
        if name in found:
            raise InvalidInput(f"{name} is given twice: say one")
        found[name] = value
    return found


def say_alias(called: str, name: str) -> None:
    """With the answer, on stderr, what a name of another tool was taken for."""
    from estimator.catalog.plan_fields import plain  # loaded for these alone

    if plain(called).rpartition(".")[2] != name:
        note(f"{called} is {name} here")


OF_ACCELERATORS = (
    "gpus",
    "price_per_hour",
    "purchase_price",
    "years",
    "electricity",
    "provider",
    "region",
    "commitment",
)


def price(options: argparse.Namespace) -> Price:
    """How accelerator time is paid, from the options."""
    return Price(
        per_hour=number(options.price_per_hour, "--price-per-hour"),
        purchase=number(options.purchase_price, "--purchase-price"),
        years=number(options.years, "--years"),
        electricity=number(options.electricity, "--electricity"),
        provider=options.provider,
        region=options.region,
        commitment=options.commitment,
    )


def level(text: str) -> float:
    """`0.9`, `90%` and `90` are the same level.

    >>> level("90%"), level("0.9")
    (0.9, 0.9)
    """
    share = number(text.strip().removesuffix("%").strip(), "--level") or 0.0
    return share if share < 1 else share / 100


TIMES = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": HOUR_S, "hour": HOUR_S}
TIMES |= {"d": DAY_S, "day": DAY_S, "w": WEEK_S, "week": WEEK_S}
TIMES |= {"mo": MONTH_S, "month": MONTH_S, "y": YEAR_S, "year": YEAR_S}


def seconds(text: str, option: str, unit: str) -> float:
    """A time such as 90s, 2m, 36h, 14d, 2 weeks, 3mo or 1y [s]; unit: of a bare number.

    >>> seconds("2m", "--budget", "s"), seconds("2w", "--deadline", "d") == seconds("14", "--deadline", "d")
    (120.0, True)
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", str(text).lower(), re.ASCII)
    word = (found[2] or unit) if found else ""
    each = TIMES.get(word, TIMES.get(word.removesuffix("s")))
    if not found or not each or not float(found[1]):
        raise InvalidInput(f"{option} must be a time such as 90s, 5min, 36h, 14d or 2w, not {clipped(text)}")
    return float(found[1]) * each


def number(text: str | None, option: str) -> float | None:
    """A number given to an option; 2k, 2m, 2b and 2t are thousands to trillions."""
    if text is None:
        return None
    _unambiguous(text, option)
    value = numeral(text)
    if value is None or not isfinite(value):
        raise InvalidInput(f"{option} must be a number, not {clipped(text)}{rewritten(text)}")
    return value


def whole(text: str | None, option: str) -> int | None:
    """A whole number given to an option."""
    value = number(text, option)
    if value is not None and (abs(value) > 1e9 or value % 1):
        raise InvalidInput(f"{option} must be a whole number, not {clipped(text)}")
    return None if value is None else int(value)


def _unambiguous(text: str, what: str) -> None:
    """Refuse `300.000`, which one half of the world reads as three hundred and the other as thousands."""
    if re.fullmatch(r"[1-9][0-9]{0,2}\.000", text.strip()):
        plain = text.strip()[:-4]
        raise InvalidInput(f"{what}={text.strip()} may be {plain} or {plain},000: write it so")


def assignment(text: str) -> tuple[str, object]:
    """`samples=2000`, `samples=2k`, `samples=1k..2k..5k` (low, value, high), `method=qlora`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"--set needs NAME=VALUE, not {clipped(text)}")
    if name.strip().replace("-", "_").rpartition(".")[2] in default_scenario().choices:
        return name.strip(), value.strip()  # 1b is a name there
    ends = value.split("..")
    for end in ends:
        _unambiguous(end, name.strip())
    return name.strip(), tuple(scaled(end) for end in ends) if len(ends) == 3 else scaled(value)
