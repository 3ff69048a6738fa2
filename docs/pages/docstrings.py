"""Docstrings of this project as Markdown: what it is, `name: meaning` lines, validity, source, worked examples."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from docs.pages.markdown import block, prose

FIELD = re.compile(r"([a-z_][\w, ]*): (.+)")
PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
LABELS = ("Validity", "Source")


def described(text: str | None) -> str:
    """A whole docstring."""
    return "\n".join(_part(part) for part in re.split(r"\n\s*\n", inspect.cleandoc(text or ""))) + "\n"


def _part(part: str) -> str:
    """One paragraph of it."""
    if part.lstrip().startswith(">>>"):
        return block(part, "pycon")
    if part.startswith("    "):
        return block(inspect.cleandoc(part))
    lines: list[str] = []
    for line in part.splitlines():
        begins = FIELD.match(line) or line.startswith(tuple(f"{label}:" for label in LABELS))
        lines = [*lines, line] if begins or not lines else [*lines[:-1], f"{lines[-1]} {line.strip()}"]
    return "\n".join(_line(line) for line in lines) + "\n"


def _line(line: str) -> str:
    label, colon, rest = line.partition(": ")
    if colon and label in LABELS:
        return f"\n**{label}.** {cited(rest)}\n"
    if colon and FIELD.fullmatch(line) and len(label) < 60:
        return f"- `{label}`: {cited(rest)}"
    return cited(line)


def cited(text: str) -> str:
    """Text whose papers link to the list of references."""
    return PAPER.sub(r"[arXiv:\1](../../references.md)", prose(text))


def signature(name: str, function: Callable[..., Any]) -> str:
    """How it is called, one parameter a line where that is long."""
    try:
        shown = inspect.signature(function)
    except (TypeError, ValueError):
        return name
    text = f"{name}{shown}".replace("numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[numpy.float64]]", "Floats")
    return text if len(text) <= 100 else _spread(name, shown)


def _spread(name: str, shown: inspect.Signature) -> str:
    parts, star = [], False
    for parameter in shown.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(str(parameter))
        star = star or parameter.kind is inspect.Parameter.VAR_POSITIONAL
    returns = "" if shown.return_annotation is inspect.Signature.empty else f" -> {_type(shown.return_annotation)}"
    inside = ",\n    ".join(parts)
    return f"{name}(\n    {inside},\n){returns}"


def _type(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
