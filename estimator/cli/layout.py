"""`estimator layout`: from options to a search."""

import argparse
from collections.abc import Mapping
from typing import Any

from estimator.catalog.plan_fields import field_named
from estimator.cli.options import assignment, emit, number, once, price, say_alias, seconds, show, use_own_facts
from estimator.errors import InvalidInput, clipped
from estimator.formulas.units import DAY_S
from estimator.search import AXES
from estimator.search import layout as search
from estimator.search.asking import searched
from estimator.search.result import Search

NUMBERS = ("fit_chance", "tokens", "prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "requests_per_s")


def layout(options: argparse.Namespace) -> None:
    """Search and print: what was found, or the best of it as a tool's own file."""
    if not options.emit:
        return show(options, found(options))
    from estimator.configs.emit import emitter, pinned
    from estimator.verdict.emitted import of_search

    tool = emitter(options.emit)
    return emit(options, of_search(tool, found(options, pinned(tool)), options.model))


def found(options: argparse.Namespace, pinned: Mapping[str, Any] | None = None) -> Search:
    """What the search finds; pinned: choices that stand unless others are asked for."""
    use_own_facts(options)
    task = options.task or options.word or "pretrain"
    said = {name: number(getattr(options, name), f"--{name.replace('_', '-')}") for name in NUMBERS}
    said = {name: value for name, value in said.items() if value is not None}
    if options.deadline:
        said["deadline_days"] = seconds(options.deadline, "--deadline", "d") / DAY_S
    choices = once((_typed(text, task) for text in options.inputs), *said) | said
    asked = _asked(options, task)
    if clash := sorted(set(choices) & set(asked)):
        raise InvalidInput(f"{clash[0]} has an option of its own: --{clash[0].replace('_', '-')}, not --set")
    return search(**asked, **({**pinned, **choices} if pinned else choices))


def _asked(options: argparse.Namespace, task: str) -> dict[str, Any]:
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
        "task": task,
        "price": price(options),
        "most": None if most is None else int(min(most, 1e9)),
        "precisions": options.precisions.split(",") if options.precisions else None,
        "careful": options.careful,
    }


def _typed(text: str, task: str) -> tuple[str, Any]:
    """NAME=VALUE as the field's own name and the text of its value; several values of an axis as a list."""
    called, value = assignment(text)
    known = field_named(called, searched("serve" if task == "serve" else "train"))
    name = known or called.replace("-", "_")
    if known:
        say_alias(called, known)
    if isinstance(value, tuple):
        raise InvalidInput(f"{name} is one value, not a range {clipped(text.partition('=')[2])}")
    if name in (*AXES, "cpu_offload") and "," in text:
        return name, text.partition("=")[2].split(",")
    return name, text.partition("=")[2]
