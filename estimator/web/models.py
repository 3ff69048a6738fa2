"""Questions as pydantic models, made from the catalogue of inputs: units, bounds, reasons, values or ranges.

They describe; what is wrong with a value the library says, in the command's own sentence.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from estimator.cli.parser import parser
from estimator.scenario import Amount, Word, default_scenario
from estimator.stages import COMBINATIONS, STAGES
from estimator.web.asking import COMMANDS, CONFIG, FLAGS

KINDS = ("models", "accelerators", "prices", "apis", "inputs", "frameworks", "architectures")
EXAMPLES: dict[str, dict[str, Any]] = {
    "compare": {"model": "7b", "gpu": "a100", "samples": {"low": 1000, "value": 2000, "high": 5000}},
    "estimate": {"stage": "finetune", "model": "llama-3.1-8b", "gpu": "8xh100", "method": "qlora"},
    "recommend": {"model": "7b", "gpu": "a100", "citations": True},
    "layout": {"task": "serve", "model": "8b", "gpu": "8xh100"},
    "catalog": {"kind": "prices", "gpu": "h100"},
    "sweep": {"rows": [{"samples": 1000}, {"samples": 5000}], "model": "7b", "gpu": "a100", "stages": ["finetune"]},
}
TEXT: dict[str, Any] = {"type": "string", "maxLength": 200}


def name_of(command: str) -> str:
    """What the question of a command is called in the description of the API."""
    return f"{command.title()}Question"


def model(command: str) -> type[BaseModel]:
    """The question of a command."""
    return _model(command)


@cache
def _model(command: str) -> type[BaseModel]:
    fields = {name: _field(schema, text) for name, (schema, text) in _described(command).items()}
    config = ConfigDict(extra="allow", json_schema_extra={"examples": [EXAMPLES.get(command, {})]})
    found: type[BaseModel] = create_model(name_of(command), __config__=config, **fields)
    return found


def _field(schema: Mapping[str, Any], text: str) -> Any:
    return Annotated[Any, WithJsonSchema(dict(schema)), Field(description=text)], None


def _described(command: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Every field of a question: what it may be, and why it is what it is."""
    if command == "sweep":
        return SWEEP | _described("compare")
    known = COMMANDS[command]
    found = {name: _option(name, command) for name in (*known.words, *known.options)}
    if not known.sets or command == "layout":
        return found
    found[CONFIG] = {"type": "object"}, "the content of a config.json, instead of a model by name"
    entries: dict[str, Amount | Word] = {**default_scenario().amounts, **default_scenario().choices}
    return found | {name: (_input(entry), entry.why) for name, entry in entries.items() if name not in FILES}


FILES = ("corpus", "tokenizer_json")  # what only the command reads
SWEEP: dict[str, tuple[dict[str, Any], str]] = {
    "rows": (
        {"type": "array", "items": {"type": "object"}, "maxItems": 10_000},
        "scenarios: inputs by name, a row each",
    ),
    "csv": ({"type": "string"}, "the same as the text of a CSV file"),
    "stages": ({"type": "array", "items": {"type": "string", "enum": list(STAGES)}}, "only these approaches"),
    "figures": ({"type": "array", "items": TEXT}, "only these figures, such as total_usd"),
}


def _option(name: str, command: str) -> tuple[dict[str, Any], str]:
    choices = {"stage": (*STAGES, *COMBINATIONS), "kind": KINDS}
    if name in choices:
        return {"type": "string", "enum": list(choices[name])}, "which one"
    if name in FLAGS:
        return {"type": "boolean"}, _help(command).get(name, "")
    return {"anyOf": [TEXT, {"type": "number"}]}, _help(command).get(name, "")


@cache
def _help(command: str) -> dict[str, str]:
    """What the command says of its options."""
    top = parser([command])
    subs = next(action for action in top._actions if hasattr(action, "choices") and isinstance(action.choices, dict))
    found: dict[str, str] = {action.dest: action.help or "" for action in subs.choices[command]._actions}  # type: ignore[index]
    return found


def _input(entry: Amount | Word) -> dict[str, Any]:
    """A value or a range of a number; a word, or yes or no."""
    if isinstance(entry, Word):
        if isinstance(entry.value, bool):
            return {"type": "boolean", "default": entry.value}
        return {**TEXT, "default": entry.value, **({"enum": list(entry.choices)} if entry.choices else {})}
    one = {"type": "integer" if entry.whole else "number", "minimum": entry.least, "maximum": entry.most}
    ends = {"type": "object", "properties": dict.fromkeys(("low", "value", "high"), one), "required": ["value"]}
    return {"anyOf": [one, ends], "default": entry.value, "x-unit": entry.unit}
