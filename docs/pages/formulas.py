"""Every formula: what it says, units, validity, paper, worked example, and the lines that compute it."""

import ast
import inspect
import textwrap
from importlib import import_module
from pathlib import Path

from docs.pages.docstrings import described, signature
from docs.pages.markdown import block, code, contents, plain, table
from estimator.paths import PACKAGE

FOLDER = PACKAGE / "formulas"
HEAD = """# Formulas

The science: pure functions, floats and arrays in and out, SI units. Each has its paper and where it is valid; what
cites nothing is arithmetic over its arguments. The lines that compute it stand beneath, as they run. Papers by number,
with author and title: [references](../../references.md).

"""
LONGEST = 40  # lines of a formula that are shown


def pages() -> dict[str, str]:
    """An index and a page a topic."""
    topics = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.stem != "__init__"}
    made = {f"formulas/{name}": _topic(name, path) for name, path in topics.items()}
    rows = [{"topic": f"[{name.replace('_', ' ')}]({name}.md)", "": _first_line(name)} for name in topics]
    return {"formulas/index": HEAD + table(rows) + "\n" + contents(list(topics)), **made}


def names(path: Path) -> list[str]:
    """Public functions of a topic, in the order of its file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def _first_line(name: str) -> str:
    return plain((inspect.getdoc(import_module(f"estimator.formulas.{name}")) or "").split("\n")[0])


def _topic(name: str, path: Path) -> str:
    module = import_module(f"estimator.formulas.{name}")
    head = f"# {name.replace('_', ' ').capitalize()}\n\n{described(module.__doc__)}\n"
    imported = f"`from estimator.formulas.{name} import ...`\n\n"
    return head + imported + "".join(_formula(one, getattr(module, one)) for one in names(path))


def _formula(name: str, function: object) -> str:
    function = inspect.unwrap(function)  # type: ignore[arg-type]
    called = block(signature(name, function), "python")
    lines = _body(function)
    shown = f"```{{dropdown}} How it is computed\n{block(lines, 'python')}```\n"
    shown = shown.replace("```{dropdown}", "````{dropdown}").removesuffix("```\n") + "````\n"
    return f"## {code(name)}\n\n{called}\n{described(function.__doc__)}\n{shown if lines else ''}\n"


def _body(function: object) -> str:
    """The statements of a function without its docstring; nothing where they are too many to read."""
    source = textwrap.dedent(inspect.getsource(function))  # type: ignore[arg-type]
    node = next(one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef))
    statements = node.body[1:] if ast.get_docstring(node) else node.body
    lines = source.splitlines()[statements[0].lineno - 1 :] if statements else []
    return textwrap.dedent("\n".join(lines)) if len(lines) <= LONGEST else ""
