"""Questions as pydantic models, made from the catalogue of inputs: units, bounds, reasons, values or ranges.

They describe; what is wrong with a value the library says, in the command's own sentence.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from estimator.catalog.plan_fields import PlanField, plan_fields
from estimator.scenario import Amount, Word, default_scenario
from estimator.stages import STAGES
from estimator.web.asking import COMMANDS, CONFIG, actions, flags

Schema = dict[str, Any]  # of JSON
TRAINED = '{"global_step": 50, "train_batch_size": 4, "log_history": [{"loss": 1.0}, {"train_steps_per_second": 0.5}]}'
LORA = {"method": "lora", "lora_rank": 16, "seq_len": 1024, "global_batch": 8}
PLANNED = """x_Approach,x_Kind,x_Phase,x_Driver,PricingQuantity,PricingUnit,ListCost,BillingCurrency
RAG,serving,monthly,requests,100,Hours,400,USD
RAG,people,one-off,hours,10,Hours,850,USD
"""
BILLED = """ChargePeriodStart,BilledCost,BillingCurrency,PricingQuantity,PricingUnit,x_Kind
2026-01-01T00:00:00Z,600,USD,120,Hours,serving
2026-01-01T00:00:00Z,900,USD,10,Hours,people
"""
EXAMPLES: dict[str, dict[str, Any]] = {
    "compare": {"model": "7b", "gpu": "a100", "samples": {"low": 1000, "value": 2000, "high": 5000}},
    "estimate": {"stage": "finetune", "model": "llama-3.1-8b", "gpu": "8xh100", "method": "qlora"},
    "recommend": {"model": "7b", "gpu": "a100", "citations": True},
    "layout": {"task": "serve", "model": "8b", "gpu": "8xh100"},
    "serving": {"model": "8b", "gpu": "h100", "concurrency": "1,8,32"},
    "check": {"files": "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192", "gpu": "1xh100"},
    "record": {"files": TRAINED, "model": "8b", "gpu": "1xh100", **LORA},
    "variance": {"budget": PLANNED, "actuals": BILLED},
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
    found = {name: (FILE, help_of(command, name)) for name in known.files}
    found |= {name: _option(name, command) for name in (*known.words, *known.options)}
    if known.sets != ("scenario",):
        fields = plan_fields(*known.sets) if known.sets else {}
        return {name: (_of_plan(field), field.why) for name, field in fields.items()} | found
    found[CONFIG] = {"type": "object"}, "the content of a config.json, instead of a model by name"
    entries: dict[str, Amount | Word] = {**default_scenario().amounts, **default_scenario().choices}
    return found | {name: (_input(entry), entry.why) for name, entry in entries.items() if name not in FILES}


FILE: Schema = {
    "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}],
    "description": "the text of a file, or texts by the names of files",
}


def _of_plan(field: PlanField) -> Schema:
    """A field of a plan: a number within its bounds, or a word."""
    if field.kind in ("number", "whole"):
        ends = {"minimum": field.least, "maximum": field.most}
        kept = {name: end for name, end in ends.items() if math.isfinite(end)}
        kind = "integer" if field.whole else "number"
        return {"type": kind, **kept, "default": field.value, "x-unit": field.unit}
    if field.kind == "switch":
        return {"type": "boolean", "default": field.value}
    return {**TEXT, "default": field.value}


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
    if choices := choices_of(command, name):
        return {"type": "string", "enum": list(choices)}, help_of(command, name)
    if name in flags(command):
        return {"type": "boolean"}, help_of(command, name)
    return {"anyOf": [TEXT, {"type": "number"}]}, help_of(command, name)


def choices_of(command: str, name: str) -> tuple[str, ...]:
    """The words that an option takes, where it takes no others."""
    found = actions(command).get(name)
    return tuple(word for word in found.choices or () if word != "refresh") if found else ()


def help_of(command: str, name: str) -> str:
    """What the command says of an option."""
    found = actions(command).get(name)
    return (found.help or "").replace("%%", "%") if found else ""


def _input(entry: Amount | Word) -> dict[str, Any]:
    """A value or a range of a number; a word, or yes or no."""
    if isinstance(entry, Word):
        if isinstance(entry.value, bool):
            return {"type": "boolean", "default": entry.value}
        return {**TEXT, "default": entry.value, **({"enum": list(entry.choices)} if entry.choices else {})}
    one = {"type": "integer" if entry.whole else "number", "minimum": entry.least, "maximum": entry.most}
    ends = {"type": "object", "properties": dict.fromkeys(("low", "value", "high"), one), "required": ["value"]}
    return {"anyOf": [one, ends], "default": entry.value, "x-unit": entry.unit}
