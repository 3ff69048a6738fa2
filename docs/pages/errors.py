"""Every sentence with which a question is refused, read off the code that raises it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from docs.pages.markdown import plain
from estimator import errors
from estimator.paths import PACKAGE

HEAD = """# Error messages

The command prints one line and exits with 2; Python raises these classes of `estimator.errors`. Words in *italics* are
filled in. Each says what is wrong, the nearest valid names where there are any, and what to do.

"""
MEANING = {
    "InvalidInput": "A value out of range or of the wrong kind, or a file that is not what it claims.",
    "NotNamed": "Something is left unsaid that this question needs.",
    "UnknownName": "A name that nothing answers to; the nearest ones follow.",
    "DoesNotFit": "The plan needs more memory than the hardware has.",
    "MissingExtra": "An optional library is not installed.",
}


def pages() -> dict[str, str]:
    """One page, by class."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for kind, sentence in _raised(path):
            found.setdefault(kind, []).append(sentence)
    known = [name for name, one in vars(errors).items() if isinstance(one, type) and name in found]
    return {"errors": HEAD + "".join(_section(name, found[name]) for name in known)}


def _section(name: str, sentences: list[str]) -> str:
    whole = {sentence.removesuffix(".") for sentence in sentences if len(sentence) > 12}
    listed = "".join(f"- {sentence}\n" for sentence in sorted(whole, key=lambda one: one.lstrip("*").lower()))
    return f"## `{name}`\n\n{MEANING.get(name, '')}\n\n{listed}\n"


def _raised(path: Path) -> Iterator[tuple[str, str]]:
    """Class and sentence of every error that a file raises in words of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            name, told = node.exc.func.id, node.exc.args
            if told and name in vars(errors):
                yield name, _told(name, told)


def _told(name: str, told: list[ast.expr]) -> str:
    """The sentence, as its class makes it of what it is given."""
    if name == "UnknownName":
        remedy = f" {_words(told[3])}" if len(told) > 3 else ""
        return f"unknown {_words(told[0])} *name*. Did you mean *nearest*?{remedy}"
    if name == "MissingExtra":
        return f"this needs {_words(told[0])}, which is not installed. Install the extra: pip install ..."
    return _words(told[0])


def _words(node: ast.expr) -> str:
    """Text with what is filled in as its name."""
    if isinstance(node, ast.Constant):
        return plain(str(node.value)) if str(node.value).strip() == str(node.value) else _kept(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_words, node.values))
    if isinstance(node, ast.FormattedValue):
        return f"*{plain(_named(node.value))}*"
    if isinstance(node, ast.BinOp):
        return _words(node.left) + _words(node.right)
    return f"*{plain(_named(node))}*"


def _kept(text: str) -> str:
    """Escaped, with the blanks at its ends."""
    left, right = " " * (text[:1] == " "), " " * (text[-1:] == " ")
    return f"{left}{plain(text)}{right}" if text.strip() else " "


def _named(node: ast.expr) -> str:
    """A short name for what is filled in."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("clipped", "repr", "str"):
        return _named(node.args[0])
    if isinstance(node, ast.Call):
        return _named(node.func).replace("_", " ").strip()
    if isinstance(node, ast.Attribute):
        return node.attr.replace("_", " ") if node.attr != "join" else "names"
    if isinstance(node, ast.Name):
        return node.id.replace("_", " ").strip()
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "hint" if isinstance(node, ast.IfExp) else "value"
