"""`estimator layout`: from options to a search."""

import argparse
from typing import Any

from estimator.cli.options import DAY_S, assignment, number, price, seconds, show, use_own_facts
from estimator.errors import InvalidInput, clipped
from estimator.scenario import scaled
from estimator.search import AXES
from estimator.search import layout as search

NUMBERS = ("tokens", "prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "requests_per_s")


def layout(options: argparse.Namespace) -> None:
    """Search and print."""
    use_own_facts(options)
    choices: dict[str, Any] = dict(_typed(text) for text in options.inputs)
    for name in NUMBERS:
        value = number(getattr(options, name), f"--{name.replace('_', '-')}")
        if value is not None:
            choices[name] = value
    if options.deadline:
        choices["deadline_days"] = seconds(options.deadline, "--deadline", "d") / DAY_S
    asked = _asked(options)
    if clash := sorted(set(choices) & set(asked)):
        raise InvalidInput(f"{clash[0]} has an option of its own: --{clash[0].replace('_', '-')}, not --set")
    show(options, search(**asked, **choices))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is not a matter of the task."""
    most = number(options.most, "--most")
    if most is not None and most != most // 1:
        raise InvalidInput(f"--most must be a whole number, not {clipped(options.most)}")
    if options.task and options.word and options.task != options.word:
        raise InvalidInput(f"{options.word} and --task {options.task} were asked for: say one")
    if options.billing:
        raise InvalidInput("--billing belongs to compare and estimate: a search prices the hours of whole accelerators")
    if not options.model or not options.gpu:
        raise InvalidInput("name an LLM and accelerators: estimator layout pretrain --model 7b --gpu a100,h100")
    count = f"{options.gpus}x" if options.gpus else ""
    return {
        "model": options.model,
        "gpu": [count + name.strip() for name in options.gpu.split(",") if name.strip()],
        "task": options.task or options.word or "pretrain",
        "price": price(options),
        "most": None if most is None else int(min(most, 1e9)),
        "precisions": options.precisions.split(",") if options.precisions else None,
        "careful": options.careful,
    }


def _typed(text: str) -> tuple[str, Any]:
    """NAME=VALUE with numbers as numbers, words as they are; several values of an axis of the layout as a list."""
    name, value = assignment(text)
    name = name.replace("-", "_")
    if name in AXES and "," in text:
        return name, [_number_or_word(scaled(part)) for part in text.partition("=")[2].split(",")]
    return name, _number_or_word(value)


def _number_or_word(value: Any) -> Any:
    try:
        return int(value) if float(value) == int(float(value)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
