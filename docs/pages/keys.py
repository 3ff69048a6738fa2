"""The JSON of results: every key with its type, as a table and as a JSON Schema, read off real answers."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from docs.pages.markdown import code, plain, table
from estimator import compare, estimate, layout, recommend
from estimator.sensitivity import sensitivity
from estimator.shown import SCHEMA_VERSION

ASK = {"model": "7b", "gpu": "a100"}
RESULTS: dict[str, Callable[[], Any]] = {
    "Comparison": lambda: compare(**ASK),
    "Estimate": lambda: estimate("prompt+rag", **ASK),
    "Recommendation": lambda: recommend(**ASK, citations=True),
    "Search": lambda: layout(model="7b", gpu="8xa100", tokens=1e9),
    "Sensitivity": lambda: sensitivity("finetune", **ASK, vary=("samples",)),
}
FIGURE = {"value", "unit", "low", "high", "basis", "sources"}
OPEN = ("stages", "details", "figures", "ranges", "parts", "layout", "asked", "given")  # named by what was asked
HEAD = f"""# Keys of JSON

Version {SCHEMA_VERSION} (`schema_version`); what each version changed: [JSON and CSV](../json.md). A *figure* is an
object of `value`, `unit`, `low`, `high`, `basis`, `sources` and, where there is something to say, `note`; what is not
known is null. The same for programs: [estimator.schema.json](estimator.schema.json), a JSON Schema (2020-12). Both are
read off real answers when this site is built: a key that only rare answers have may be missing here.

"""


def pages() -> dict[str, str]:
    """The table, and the schema beside it."""
    found = {name: json.loads(make().to_json()) for name, make in RESULTS.items()}
    parts = [f"## {name}\n\n{table(_rows(data))}\n" for name, data in found.items()]
    return {"keys": HEAD + "".join(parts), "estimator.schema.json": json.dumps(schema(found), indent=1) + "\n"}


def schema(found: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema that these answers meet."""
    kinds = {name: _schema(data) for name, data in found.items()}
    figure = {
        "type": "object",
        "required": sorted(FIGURE),
        "properties": {
            **{key: {"type": ["number", "null"]} for key in ("value", "low", "high")},
            **{key: {"type": "string"} for key in ("unit", "basis", "note")},
            "sources": {"type": "array"},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Answers of estimator, schema_version {SCHEMA_VERSION}",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": {"figure": figure, **kinds},
    }


def _schema(data: Any, name: str = "") -> dict[str, Any]:
    if isinstance(data, dict) and set(data) >= FIGURE:
        return {"$ref": "#/$defs/figure"}
    if isinstance(data, dict) and name in OPEN:
        return {"type": "object", "additionalProperties": _any_of(list(data.values()))}
    if isinstance(data, dict):
        parts = {key: _schema(value, key) for key, value in data.items()}
        return {"type": "object", "required": sorted(data), "properties": parts}
    if isinstance(data, list):
        return {"type": "array", "items": _any_of(data)}
    return {} if data is None else {"type": _type(data)}


def _any_of(values: list[Any]) -> dict[str, Any]:
    """What all of these meet; nothing is asked where they differ."""
    kinds = {json.dumps(_schema(value), sort_keys=True) for value in values}
    return json.loads(kinds.pop()) if len(kinds) == 1 else {}


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"


def _rows(data: dict[str, Any]) -> Iterator[dict[str, str]]:
    for path, kind in dict(_paths(data, "")).items():
        yield {"key": code(path), "type": plain(kind)}


def _paths(data: Any, at: str) -> Iterator[tuple[str, str]]:
    last = at.rpartition(".")[2].removesuffix("[]")
    if isinstance(data, dict) and not (at and set(data) >= FIGURE):
        for key, value in data.items():
            yield from _paths(value, f"{at}.{'NAME' if last in OPEN else key}" if at else key)
    elif isinstance(data, list):
        for value in data:
            yield from _paths(value, f"{at}[]")
    elif data is not None:
        yield at, "figure" if isinstance(data, dict) else _type(data)
