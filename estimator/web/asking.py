"""From a question by names to an answer: the command's own parser and functions, so that both say the same.

A question is a mapping: options of the command by name (`model`, `price_per_hour`), and any input of the scenario
(`samples`). Values are numbers, words, lists, or ranges as {low, value, high} or [low, value, high].
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from estimator.cli import notes
from estimator.cli.argument_parser import Parser, command_text
from estimator.cli.parser import parser
from estimator.errors import InvalidInput, clipped
from estimator.files import handed_in
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

    sets: of what its inputs by name are: the scenario, or fields of these sections of a plan; none where it takes none
    files: its files, by name; they come as texts. fixed: what is always said, such as
    that nothing is kept
    """

    answer: str
    options: tuple[str, ...]
    words: tuple[str, ...] = ()
    sets: tuple[str, ...] = ("scenario",)
    files: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


# Every question of the API and the page. Another command is a line here.
HIRED = tuple(name for name in QUESTION if name not in ("api", "billing"))  # accelerators and their price
INSTEAD = ("fit", "largest", "deadline", "budget", "replicas", "break_even", "task", "users", "ttft", "tpot", "careful")
SOUGHT = ("task", "most", "precisions", "careful", "tokens", "deadline")
TARGETS = ("prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "requests_per_s")
LOADS = ("prompt_tokens", "output_tokens", "cached_tokens", "concurrency", "requests_per_s", "burst", "batch")
PLANS = ("training", "serving")
COMMANDS: dict[str, Command] = {
    "compare": Command("answers:compared", (*QUESTION, *OUTPUT)),
    "estimate": Command("answers:estimated", (*QUESTION, *OUTPUT), words=("stage",)),
    "recommend": Command("decide:recommendation", (*QUESTION, *OUTPUT, *INSTEAD)),
    "layout": Command("layout:found", (*HIRED, *SOUGHT, *TARGETS), sets=PLANS),
    "serving": Command("serving:served", (*HIRED, *LOADS, "replicas", *OUTPUT), sets=("serving", "traffic")),
    "check": Command("check:verdict", (*(one for one in HIRED if one != "gpus"), "data"), sets=PLANS, files=("files",)),
    "record": Command("record:recorded", ("model", "gpu"), sets=PLANS, files=("files",), fixed=("--compare-only",)),
    "variance": Command("record:varied", ("approach", "months", "map"), sets=(), files=("budget", "actuals")),
    "catalog": Command(
        "catalogue:entries", ("gpu", "provider", "region", "commitment"), words=("kind", "name"), sets=()
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
    handed = _config(asked)
    for field in COMMANDS[command].files:
        texts = _texts(field, asked.pop(field, None))
        asked[field], handed = list(texts), {**handed, **texts}
    with notes.apart() as held, handed_in(handed):
        words = argv(command, asked)
        options = _parser(command).parse_args(words)
        result = _function(COMMANDS[command].answer)(options)
    again = command_text([word.replace(UPLOADED, "config.json") for word in words])
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
    files = [str(path) for name in known.files for path in question.get(name) or ()]  # type: ignore[attr-defined]
    given = {str(name): value for name, value in question.items() if name not in known.files}
    texts = {name: text for name, value in given.items() if (text := text_of(name, value)) is not None}
    alone = [texts.pop(name) for name in known.words if name in texts]
    return [command, *files, *alone, *known.fixed, *(word for name in texts for word in _option(command, name, given))]


def _option(command: str, name: str, given: Mapping[str, object]) -> list[str]:
    """An option of the command, or an input by name."""
    known, text = COMMANDS[command], text_of(name, given[name]) or ""
    option = f"--{name.replace('_', '-')}"
    if name in known.options:
        if name in flags(command):
            return [option] if text == "true" else []
        return [f"{option}={one}" for one in text.split(",")] if name in REPEATED else [f"{option}={text}"]
    if not known.sets:
        takes = ", ".join((*known.files, *known.words, *known.options))
        raise InvalidInput(f"{command} takes no {clipped(name)}: it takes {takes}")
    return [f"--set={name}={text}"]


REPEATED = ("map",)


@cache
def flags(command: str) -> frozenset[str]:
    """The options of a command that are said or not said."""
    return frozenset(name for name, action in actions(command).items() if action.nargs == 0)


def required(command: str) -> frozenset[str]:
    """What cannot be left out."""
    return frozenset(name for name, action in actions(command).items() if action.required)


@cache
def actions(command: str) -> dict[str, argparse.Action]:
    """The command's own options and words, by name."""
    tops = parser([command])._actions
    subs: Mapping[str, Parser] = next(action.choices for action in tops if isinstance(action.choices, dict))
    return {action.dest: action for action in subs[command]._actions}


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


UPLOADED = "uploaded/config.json"  # an LLM is called after its folder


def _config(asked: dict[str, object]) -> dict[str, str]:
    """The content of a config.json, if there is one, which is then the model asked about."""
    config = asked.pop(CONFIG, None)
    if config is None or config == "":
        return {}
    if asked.get("model"):
        raise InvalidInput("name an LLM or give a config.json, not both")
    asked["model"] = UPLOADED
    return {UPLOADED: config if isinstance(config, str) else json.dumps(config)}


def _texts(field: str, value: object) -> dict[str, str]:
    """The texts of files by names that are no paths; a text alone is called after its field."""
    if value is None or value == "":
        return {}
    named = {field.removesuffix("s"): value} if isinstance(value, str) else value
    if not isinstance(named, Mapping) or not all(isinstance(text, str) for text in named.values()):
        raise InvalidInput(f"{field} must be the text of a file, or texts by the names of files")
    if len(named) > MOST_FILES:
        raise InvalidInput(f"{len(named)} files are no one run: {MOST_FILES} at most")
    found = {_called(str(name)) or field: text for name, text in named.items()}
    if len(found) < len(named):
        raise InvalidInput(f"{field}: two files have one name")
    return found


MOST_FILES = 16


def _called(name: str) -> str:
    """A file's name without its folders, and without what no option, file or message should hold.

    >>> _called("../../etc/--my run.yaml"), _called(".env")
    ('my_run.yaml', 'env')
    """
    return re.sub(r"[^\w.@+-]", "_", name.replace("\\", "/").rpartition("/")[2])[-80:].lstrip(".-")


@cache
def _parser(command: str) -> Parser:
    return parser([command])


@cache
def _function(place: str) -> Callable[[argparse.Namespace], Any]:
    module, _, name = place.partition(":")
    found: Callable[[argparse.Namespace], Any] = getattr(import_module(f"estimator.cli.{module}"), name)
    return found
