"""The description of the API: OpenAPI 3.1, and a page of it that loads nothing from anywhere."""

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from estimator.export.page.html import Markup, folded, joined, listing, table, tag
from estimator.web.asking import COMMANDS
from estimator.web.models import model, name_of

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "the command's own sentence"},
        "nearest": {"type": "array", "items": {"type": "string"}},
    },
}


def openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What describes the application, made when it is first asked for."""

    @cache
    def described() -> dict[str, Any]:
        found = get_openapi(
            title=app.title, version=app.version, summary=app.summary, openapi_version="3.1.0", routes=app.routes
        )
        schemas = {"Problem": PROBLEM}
        for command in (*COMMANDS, "sweep"):
            schema = model(command).model_json_schema(ref_template="#/components/schemas/{model}")
            schemas[name_of(command)] = schema
        found["components"] = {"schemas": schemas}
        return found

    return described


def page(described: dict[str, Any]) -> Markup:
    """The reference as HTML."""
    routes = [
        _route(path, method, told) for path, methods in described["paths"].items() for method, told in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in described["components"]["schemas"].items()]
    return joined(
        tag("h1", f"API of {described['info']['title']} {described['info']['version']}"),
        tag("p", described["info"].get("summary", "")),
        tag("p", "The same as a file: ", tag("a", "/openapi.json", href="/openapi.json"), "."),
        tag("h2", "Requests"),
        *routes,
        tag("h2", "Questions"),
        *schemas,
    )


def _route(path: str, method: str, told: dict[str, Any]) -> Markup:
    body: dict[str, Any] = next(iter(told.get("requestBody", {}).get("content", {}).values()), {})
    names: list[object] = [f"{one['name']} (in {one['in']})" for one in told.get("parameters", [])]
    said = f"{method.upper()} {path}: {told.get('summary', '')}"
    return folded(said, listing(names), tag("pre", str(body["example"])) if body.get("example") else None)


def _schema(name: str, schema: dict[str, Any]) -> Markup:
    rows: list[list[object]] = [
        [key, _type(field), field.get("x-unit", _unit(field)), field.get("description", "")]
        for key, field in schema.get("properties", {}).items()
    ]
    return folded(name, table(["name", "value", "unit", "why"], rows, name))


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    bounds = f" from {field['minimum']:g} to {field['maximum']:g}" if "minimum" in field else ""
    words = f": {', '.join(map(str, field['enum']))}" if "enum" in field else ""
    return (
        ("a range" if field.get("type") == "object" and "properties" in field else str(field.get("type", "")))
        + bounds
        + words
    )


def _unit(field: dict[str, Any]) -> str:
    return str(field.get("x-unit", ""))
