"""Docstrings of this project as Markdown: what it is, `name: meaning` lines, validity, source, worked examples."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from docs.pages.markdown import block, prose

FIELD = re.compile(r"([a-z_][\w, ]*): (.+)")
NEXT_FIELD = re.compile(r";\s+(?=[a-z_][a-z_, ]{1,40}: )")  # of one that shares its line
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
    for line in NEXT_FIELD.sub("\n", part).splitlines():
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
    """How it is called, with its types as they are written, one parameter a line where that is long."""
    node = _definition(function)
    if node is None:
        return f"{name}(...)"
    given = [_argument(one) for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")]
    given = _with_defaults(given, node.args.defaults)
    starred = [f"*{_argument(node.args.vararg)}"] if node.args.vararg else ["*"] if node.args.kwonlyargs else []
    only = [
        _argument(one) + (f" = {ast.unparse(value)}" if value else "")
        for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]
    rest = [f"**{_argument(node.args.kwarg)}"] if node.args.kwarg else []
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    parts = [*given, *starred, *only, *rest]
    text = f"{name}({', '.join(parts)}){returns}"
    return text if len(text) <= 100 else "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The function as it is written; None where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError):
        return None
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)


def _argument(one: ast.arg) -> str:
    return f"{one.arg}: {ast.unparse(one.annotation)}" if one.annotation else one.arg


def _with_defaults(given: list[str], values: list[ast.expr]) -> list[str]:
    plain = len(given) - len(values)
    ends = (f"{one} = {ast.unparse(value)}" for one, value in zip(given[plain:], values, strict=True))
    return [*given[:plain], *ends]
