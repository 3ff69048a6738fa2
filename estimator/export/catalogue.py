"""What is known, as a table that fits a screen."""

import textwrap
from dataclasses import dataclass

from tabulate import tabulate

from estimator.export.tables import WIDTH
from estimator.shown import Shown

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Catalogue(Shown):
    """Entries of one kind, each with its source. entries: one or more, all with the same columns."""

    entries: tuple[Row, ...]

    def rows(self) -> list[Row]:
        """One row an entry."""
        return list(self.entries)

    def to_dict(self) -> dict[str, list[Row]]:
        """Plain data, ready for JSON."""
        return {"rows": self.rows()}


def catalogue_text(found: Catalogue) -> str:
    """A table no wider than a screen; CSV and JSON have everything in full."""
    return _on_screen(_cells(found))


def catalogue_markdown(found: Catalogue) -> str:
    """The same with every column, as Markdown."""
    return tabulate(_cells(found), headers="keys", tablefmt="github", disable_numparse=True)


def _cells(found: Catalogue) -> list[dict[str, str]]:
    return [{key: _text(value) for key, value in row.items()} for row in found.entries]


def _text(value: object) -> str:
    """A cell for people: four digits, no exponent where that is readable.

    >>> _text(524_288.0), _text(13.0156), _text(131_072), _text(1e-05), _text(True)
    ('524,288', '13.02', '131,072', '1e-05', 'True')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"


GAP = 2  # characters between columns; tabulate leaves as many again beside a heading
MOST = {"unit": 16, "instance": 20, "region": 14}  # characters of such columns on the screen
LEAST_SOURCE = 10


def _on_screen(rows: list[dict[str, str]]) -> str:
    names = [name for name in rows[0] if name not in ("section", "aliases", "why", "source")]
    heads = [name.replace("_per_", "\nper_") for name in names]
    cells = [[_wrapped(row[name], MOST.get(name, WIDTH)) for name in names] for row in rows]
    columns = zip(*cells, strict=True)
    widths = [max(_width(head) + GAP, *map(_width, column)) for head, column in zip(heads, columns, strict=True)]
    left = WIDTH - sum(widths) - GAP * len(widths)
    if "why" in rows[0]:
        heads.append("why")
        cells = [[*line, _wrapped(row["why"], left)] for line, row in zip(cells, rows, strict=True)]
    elif left >= LEAST_SOURCE:
        heads.append("source")
        sources = (textwrap.shorten(row["source"], left, placeholder="...") for row in rows)
        cells = [[*line, source] for line, source in zip(cells, sources, strict=True)]
    return tabulate(cells, heads, "simple", disable_numparse=True)


def _width(text: str) -> int:
    return max(map(len, text.split("\n")))


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False) if len(text) > width else text
