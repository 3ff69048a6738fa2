"""The words of every picture: a Vega-Lite specification of fixed size, its colours, marks, axes and places of labels.

Plain data, without any library. Sizes are fixed, so that a label's place is known before anything is drawn and none
covers another. Colours are those of Okabe and Ito, told apart by colour-blind readers too; shape and words say the same
as colour. Ink is `currentColor`: a picture in a page follows the page, light or dark.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from estimator.text import digits, short

Spec = dict[str, Any]
Row = Mapping[str, object]

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # a name, never fetched
# M. Okabe, K. Ito, "Color Universal Design", 2008; black is left to the ink.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
DASHES = ([1, 0], [7, 3], [7, 3, 2, 3], [2, 2], [10, 2], [5, 2, 1, 2, 1, 2], [1, 3], [12, 4, 3, 4])
INK, FAINT = "currentColor", "#80808059"
WORDS_PX, TITLE_PX, LINE_PX = 6.2, 8.2, 15.0  # of a character of 11 and 15 points at most, and of a line of words


def chart(
    title: str, layers: Sequence[Spec], across: "Axis", along: "Axis", beneath: Sequence[str] = (), beyond: float = 60.0
) -> Spec:
    """A picture of layers over each other, the first of which says the axes.

    beneath: what is to be read with it, line by line; beyond: how much wider it is with words beside it [pixel]
    """
    body = {"width": across.pixels, "height": along.pixels, "layer": list(layers)}
    return framed(body, title, across.pixels + beyond, beneath)


def framed(body: Spec, title: str, width: float, beneath: Sequence[str] = ()) -> Spec:
    """The specification around one or more pictures: title, what is read with it, looks."""
    lines = wrapped(title, width, TITLE_PX)
    under = [line for text in beneath for line in wrapped(text, width)]
    heading: Spec = {"text": lines, "anchor": "start", "frame": "bounds", "offset": 14, "color": INK}
    if under:
        heading |= {"subtitle": under, "subtitleColor": INK, "subtitlePadding": 6}
    return {"$schema": SCHEMA, "title": heading, **body, "config": CONFIG}


CONFIG: Spec = {
    "background": "transparent",
    "padding": {"left": 22, "top": 10, "right": 48, "bottom": 10},  # a page may have a wider font than is measured with
    "font": "Arial, 'Liberation Sans', Helvetica, 'DejaVu Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": "#808080",
        "tickColor": "#808080",
        "gridColor": FAINT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titleAnchor": "start",
        "labelLimit": 260,
        "titleLimit": 900,
    },
    "axisY": {"titleAnchor": "middle", "titlePadding": 18},
    "title": {"fontSize": 15, "subtitleFontSize": 11, "subtitleLineHeight": 15, "limit": 0},
    "text": {"fontSize": 11, "color": INK, "fill": INK},
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "labelLimit": 260},
}


def wrapped(text: str, pixels: float, of_one: float = WORDS_PX) -> list[str]:
    """Words in lines no longer than so many pixels."""
    return textwrap.wrap(text, max(int(pixels / of_one), 12), break_on_hyphens=False) or [""]


def layer(rows: Iterable[Row], mark: str | Spec, **encoding: Any) -> Spec:
    """A mark for every row. An encoding is a field by name, a constant (`{"value": 3}`) or a channel in full."""
    kind = {"type": mark} if isinstance(mark, str) else mark
    channels = {
        name: {"field": at, "type": "quantitative"} if isinstance(at, str) else at for name, at in encoding.items()
    }
    values = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return {"data": {"values": values}, "mark": {**kind, "clip": False}, "encoding": channels}


def _plain(value: object) -> object:
    """What JSON holds: a number that is none is nothing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def words(rows: Iterable[Row], *, field: str = "text", look: Spec | None = None, **encoding: Any) -> Spec:
    """Text at a place; look: align, dx, dy, fontWeight and the like."""
    mark = {"type": "text", "align": "left", "baseline": "middle", **(look or {})}
    return layer(rows, mark, text={"field": field, "type": "nominal"}, **encoding)


class Axis(NamedTuple):
    """A quantitative axis of a known length: where a value stands on it is known before it is drawn.

    pixels: its length; way: across, up (it starts at the bottom) or down
    """

    low: float
    high: float
    pixels: float
    way: Literal["across", "up", "down"] = "across"
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value stands [pixel], at an end where it is beyond."""
        inside = min(max(value, self.low), self.high)
        ends = [math.log(end) if self.log else end for end in (self.low, self.high, inside)]
        share = (ends[2] - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        return self.pixels * (1 - share if self.way == "up" else share)

    def channel(self, field: str, **axis: Any) -> Spec:
        """The encoding of a field along it; axis: title, values, labelExpr and the like, said by the first layer."""
        scale: Spec = {"domain": [self.low, self.high], "nice": False, "zero": False, "clamp": True}
        scale |= ({"type": "log"} if self.log else {}) | ({"reverse": True} if self.way == "down" else {})
        return {"field": field, "type": "quantitative", "scale": scale, **({"axis": axis} if axis else {})}

    def ticks(self) -> list[float]:
        """Round values along it, four to nine of them, whatever it spans."""
        wide = self.log and self.high > 5 * self.low
        return log_ticks(self.low, self.high) if wide else even_ticks(self.low, self.high)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values of a logarithmic axis.

    >>> log_ticks(0.9, 1200), log_ticks(80, 420)
    ([1.0, 10.0, 100.0, 1000.0], [80.0, 100.0, 150.0, 200.0, 300.0, 400.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= 4:
            break
    return found if len(found) <= 9 else found[:: math.ceil(len(found) / 9)]


def even_ticks(low: float, high: float) -> list[float]:
    """Round values of an even axis.

    >>> even_ticks(0, 47), even_ticks(-0.3, 1.2)
    ([0.0, 10.0, 20.0, 30.0, 40.0], [0.0, 0.5, 1.0])
    """
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1.0, 2.0, 2.5, 5.0, 10.0) if size * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def labelled(ticks: Sequence[float], text: Any = short) -> Spec:
    """Ticks with their labels, written here as everywhere else (a billion is B)."""
    names = {f"{tick:.6g}": text(tick) for tick in ticks}
    found = "".join(f"abs(datum.value-{tick!r})<={abs(tick) * 1e-9!r}?'{names[f'{tick:.6g}']}':" for tick in ticks)
    return {"values": list(ticks), "labelExpr": f"{found}''", "labelOverlap": False}


def rows_down(count: int, each: float) -> Axis:
    """An axis with a row for each of so many things, the first at the top."""
    return Axis(-0.5, count - 0.5, each * count, "down")


def listed(names: Sequence[str]) -> Spec:
    """The labels of such an axis."""
    bare = {"title": None, "grid": False, "ticks": False, "domain": False, "labelPadding": 6}
    return bare | labelled(list(range(len(names))), lambda place: names[int(place)].replace("'", "’"))


def money(unit: str) -> Any:
    """How an amount in a currency is written: $ for dollars, the three letters before any other."""
    sign = "$" if unit.startswith("USD") else f"{unit[:3]} "
    return lambda value: f"-{sign}{short(-value)}" if value < 0 else f"{sign}{short(value)}"


def apart(places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Places moved as little as they must so that each keeps `gap` from the next, in their own order.

    >>> apart([10.0, 12.0, 50.0], 10)
    [6.0, 16.0, 50.0]
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[list[float]] = []  # sum of (place - offset), members
    for rank, index in enumerate(order):
        groups.append([places[index] - gap * rank, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    starts = [total / count for total, count in groups for _ in range(int(count))]
    last = high - gap * (len(places) - 1)
    found = [min(max(start, low), max(last, low)) + gap * rank for rank, start in enumerate(starts)]
    return [found[order.index(index)] for index in range(len(places))]


Box = tuple[float, float, float, float]  # left, top, right, bottom [pixel]


def beside(
    points: Sequence[tuple[float, float]], texts: Sequence[str], width: float, line: Sequence[tuple[float, float]] = ()
) -> list[tuple[float, float]]:
    """Where the words of points go, as their centre from the point [pixel]: above, below, right, left; or further off.

    The first place that covers neither a point, other words nor the line, and stays in the picture.
    """
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    for (a, b), (c, d) in pairwise(line):
        steps = int(max(abs(c - a), abs(d - b)) / 5) + 1
        along = [(a + (c - a) * step / steps, b + (d - b) * step / steps) for step in range(steps + 1)]
        taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in along]
    found = []
    for (x, y), text in zip(points, texts, strict=True):
        half = len(text) * WORDS_PX / 2
        tries = [(0.0, -13.0), (0.0, 13.0), (half + 9, 0.0), (-half - 9, 0.0)]
        tries += [(side * (half + 8), lift) for lift in (-12.0, 12.0, -24.0, 24.0) for side in (1, -1)]
        tries += [(0.0, lift) for lift in (-26.0, 26.0, -39.0, 39.0)]
        boxes = [(x + dx - half, y + dy - 6, x + dx + half, y + dy + 6) for dx, dy in tries]
        free = [place for place, box in enumerate(boxes) if box[0] > -8 and box[2] < width + 8 and _clear(box, taken)]
        place = free[0] if free else 0
        taken.append(boxes[place])
        found.append(tries[place])
    return found


def _clear(box: Box, taken: Sequence[Box]) -> bool:
    return not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)


def offset(rows: Sequence[Row], places: Sequence[tuple[float, float]], x: Any, y: Any) -> list[Spec]:
    """Words each at its own offset from its point: a layer for every one, as marks have one offset."""
    return [
        words([row], look={"dx": dx, "dy": dy, "align": "center"}, x=x, y=y)
        for row, (dx, dy) in zip(rows, places, strict=True)
    ]


def several(count: float, word: str) -> str:
    """A number and its word.

    >>> several(1, "month"), several(12, "month")
    ('1 month', '12 months')
    """
    return f"{digits(count)} {word}{'' if count == 1 else 's'}"
