"""Small pieces of Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence

STRESSED = re.compile(r"\\\*(\w[\w ]*)\\\*")
SPECIAL = re.compile(r"([\\*_<>|\[\]`{}$~^])")


def plain(text: object) -> str:
    """Text that Markdown leaves alone.

    >>> plain("a_b * <c>")
    'a\\\\_b \\\\* \\\\<c\\\\>'
    """
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def prose(text: str) -> str:
    """Text of a docstring: `code` and *stressed* words stay that, all else is plain.

    >>> prose("*Model* FLOP of `a_b` * c_d")
    '*Model* FLOP of `a_b` \\\\* c\\\\_d'
    """
    parts = text.split("`")
    shown = (f"`{part}`" if index % 2 and part else plain_part(part) for index, part in enumerate(parts))
    return STRESSED.sub(r"*\1*", "".join(shown))


def plain_part(text: str) -> str:
    """As `plain`, but blanks at the ends and between lines stay."""
    return SPECIAL.sub(r"\\\1", text)


def code(text: object) -> str:
    """Inline code; nothing for nothing."""
    shown = str(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def block(text: str, language: str = "text") -> str:
    """A fenced block, with a fence that nothing in it closes."""
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def table(rows: Iterable[Mapping[str, str]]) -> str:
    """A table whose cells are Markdown; columns are those of the first row."""
    listed = list(rows)
    if not listed:
        return ""
    heads = list(listed[0])
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in listed)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def contents(names: Sequence[str], depth: int = 1) -> str:
    """The list of the pages beneath this one."""
    entries = "\n".join(names)
    return f"```{{toctree}}\n:maxdepth: {depth}\n\n{entries}\n```\n"


def number(value: object) -> str:
    """A bound or a value as people write it; empty for none.

    >>> number(5000.0), number(1e12), number(0.05), number(None), number(float("inf")), number(True)
    ('5,000', '1e12', '0.05', '', '', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in (float("inf"), float("-inf")):
        return ""
    if not isinstance(value, int | float):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    return f"{value:,.12g}"
