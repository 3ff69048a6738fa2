"""From a question by names to an answer: the command's own parser and functions, so that both say the same.

A question is a mapping: options of the command by name (`model`, `price_per_hour`), and any input of the scenario
(`samples`). Values are numbers, words, lists, or ranges as {low, value, high} or [low, value, high].
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from estimator.cli import notes
from estimator.cli.options import command_text
from estimator.cli.parser import Parser, parser
from estimator.errors import InvalidInput, clipped
from estimator.files import no_files_but
from estimator.shown import in_currency

MOST_NAMES = 300  # inputs in a question
LONGEST = 2000  # of a value, in characters
CONFIG = "config"  # the content of a config.json, instead of a model by name
QUESTION = (
    *("model", "gpu", "gpus", "api", "price_per_hour", "purchase_price", "years", "electricity"),
    *("provider", "region", "commitment", "billing"),
)
OUTPUT = ("level", "currency")


class Command(NamedTuple):
    """What may be asked. answer: options to a result; words: that stand alone, in order; options: of the command.

    sets: whether it takes inputs by name
    """

    answer: str
    options: tuple[str, ...]
    words: tuple[str, ...] = ()
    sets: bool = True


# Every question of the API and the page. Another command is a line here.
COMMANDS: dict[str, Command] = {
    "compare": Command("answers:compared", (*QUESTION, *OUTPUT)),
    "estimate": Command("answers:estimated", (*QUESTION, *OUTPUT), words=("stage",)),
    "recommend": Command(
        "decide:recommendation",
        (
            *QUESTION,
            *OUTPUT,
            *(
                "fit",
                "largest",
                "deadline",
                "budget",
                "replicas",
                "break_even",
                "task",
                "users",
                "ttft",
                "tpot",
                "careful",
            ),
        ),
    ),
    "layout": Command(
        "layout:found",
        (
            *(name for name in QUESTION if name not in ("api", "billing")),
            *("task", "most", "precisions", "careful", "tokens", "deadline"),
            *("prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "requests_per_s"),
        ),
    ),
    "catalog": Command(
        "catalogue:entries", ("gpu", "provider", "region", "commitment"), words=("kind", "name"), sets=False
    ),
}


class Answer(NamedTuple):
    """A result, what it was said with, and the command that gives the same."""

    result: Any
    notes: tuple[str, ...]
    command: str
    currency: str


def answer(command: str, question: Mapping[str, object]) -> Answer:
    """What a question comes to, as the command would have it. Raises EstimatorError with the command's sentence."""
    asked = dict(question)
    with ExitStack() as stack:
        held = stack.enter_context(notes.apart())
        path = _written(asked.pop(CONFIG, None), asked, stack)
        stack.enter_context(no_files_but(*filter(None, [path])))
        words = argv(command, asked)
        options = _parser(command).parse_args(words)
        result = _function(COMMANDS[command].answer)(options)
    again = command_text(words if path is None else [word.replace(path, "config.json") for word in words])
    return Answer(result, tuple(held), again, getattr(options, "currency", None) or "")


def shown(found: Answer) -> Any:
    """The result with its money in the currency that was asked for."""
    return in_currency(found.result, found.currency)


def argv(command: str, question: Mapping[str, object]) -> list[str]:
    """The words of the command that ask the same.

    >>> argv("compare", {"model": "7b", "gpu": "a100", "samples": {"low": 1e3, "value": 2e3, "high": 5e3}})
    ['compare', '--model=7b', '--gpu=a100', '--set=samples=1000.0..2000.0..5000.0']
    """
    known = COMMANDS[command]
    if len(question) > MOST_NAMES:
        raise InvalidInput(f"a question has {MOST_NAMES} inputs at most, this one {len(question):,}")
    given = {str(name): text for name, value in question.items() if (text := text_of(str(name), value)) is not None}
    alone = [given.pop(name) for name in known.words if name in given]
    words = [command, *(word for word in alone if word)]
    for name, text in given.items():
        if name in known.options:
            option = f"--{name.replace('_', '-')}"
            words += [option] if text == "true" and name in FLAGS else [] if name in FLAGS else [f"{option}={text}"]
        elif known.sets:
            words.append(f"--set={name}={text}")
        else:
            raise InvalidInput(
                f"{command} takes no {clipped(name)}: it takes {', '.join((*known.words, *known.options))}"
            )
    return words


FLAGS = ("careful", "replicas")


def text_of(name: str, value: object) -> str | None:
    """A value as the command takes it; None for what is not given."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = value if isinstance(value, str) else repr(value)
        if len(text) > LONGEST or len(name) > LONGEST:
            raise InvalidInput(f"{clipped(name)} is longer than {LONGEST:,} characters")
        return text
    if isinstance(value, Mapping) and set(value) <= {"low", "value", "high"} and "value" in value:
        ends = [value[key] for key in ("low", "value", "high") if value.get(key) is not None]
        return "..".join(_end(name, end) for end in ends)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return text_of(name, ",".join(value))
    if isinstance(value, list) and len(value) == 3:
        return "..".join(_end(name, end) for end in value)
    raise InvalidInput(f"{clipped(name)} must be a number, a name, a list of names, or low, value and high")


def _end(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput(f"{clipped(name)}: an end of a range is a number, not {clipped(value)}")
    return text_of(name, value) or ""


def _written(config: object, asked: dict[str, object], stack: ExitStack) -> str | None:
    """An uploaded config.json, for as long as the question takes, as the model asked about."""
    if config is None or config == "":
        return None
    if asked.get("model"):
        raise InvalidInput("name an LLM or give a config.json, not both")
    text = config if isinstance(config, str) else json.dumps(config)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="estimator-"))) / "uploaded"  # an LLM's name
    folder.mkdir()
    path = f"{folder}/config.json"
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - a name that is compared letter by letter
        file.write(text)
    asked["model"] = path
    return path


@cache
def _parser(command: str) -> Parser:
    return parser([command])


@cache
def _function(place: str) -> Callable[[argparse.Namespace], Any]:
    module, _, name = place.partition(":")
    found: Callable[[argparse.Namespace], Any] = getattr(import_module(f"estimator.cli.{module}"), name)
    return found
