"""Markdown as the renderers here write it, as markup: paragraphs, tables, lists; what is bold stays so."""

import re
from collections.abc import Iterator
from itertools import groupby

from estimator.export.page.html import Markup, breaking, figure, joined, listing, table, tag

NUMBER = re.compile(r"[-+]?[$€£]?[\d.,]+(e[-+]?\d+)?( ?(%|[kMBT]|[a-zµ]{1,3}|GB|MB|USD))?( \(.*\))?")
RULE = re.compile(r"\|[-:| ]+\|?")


def markup(text: str) -> Markup:
    """Everything of a text.

    >>> markup("**fits**\\n\\n- mind: a < b")
    '<p><strong>fits</strong></p><div><ul><li>mind: a &lt; b</li></ul></div>'
    """
    return joined(*(block for part in text.split("\n\n") for block in _blocks(part.strip("\n"))))


def _blocks(part: str) -> Iterator[Markup]:
    """Lines of one kind that follow each other."""
    for kind, group in groupby(_unwrapped(part), key=_kind):
        lines = list(group)
        if kind == "|":
            yield _table(lines)
        elif kind == "-":
            yield tag("div", listing([inline(line[2:]) for line in lines]))
        else:
            yield from (tag("p", inline(line)) for line in lines if line)


def _kind(line: str) -> str:
    return "|" if line.startswith("|") else "-" if line.startswith("- ") else ""


def _unwrapped(part: str) -> list[str]:
    """Lines with those that only go on."""
    return re.sub(r"\n +(?=\S)", " ", part).split("\n")


def inline(line: str) -> Markup:
    """A line in which what is bold or a command stays so.

    >>> inline("**mind**: `estimator layout` < all")
    '<strong>mind</strong>: <code>estimator layout</code> &lt; all'
    """
    pieces = re.split(r"\*\*(.+?)\*\*|`([^`]+)`", line)
    return joined(*map(_piece, pieces[::3], [None, *pieces[1::3]], [None, *pieces[2::3]]))


def _piece(text: str, bold: str | None, code: str | None) -> Markup:
    """What stands before a text, and it."""
    return joined(tag("strong", bold) if bold else None, tag("code", code) if code else None, text)


def _table(lines: list[str]) -> Markup:
    head, *body = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not _rule(line))
    return table([*map(breaking, head)], [[row[0], *map(_cell, row[1:])] for row in body])


def _rule(line: str) -> bool:
    return RULE.fullmatch(line.strip()) is not None


def _cell(text: str) -> object:
    """A number in one line, its range in the next where there is no room."""
    if not NUMBER.fullmatch(text):
        return text
    return tag("span", figure(text), class_="q")
