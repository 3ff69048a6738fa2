"""Pictures of doubt and of difference: a tornado of inputs, and a bridge from one total to another."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from estimator.charts.grammar import COLOURS, INK, Axis, Spec, chart, labelled, layer, listed, money, rows_down, words
from estimator.errors import InvalidInput
from estimator.quantities import given
from estimator.sensitivity import Sensitivity, Swing
from estimator.text import human, short

MOST = 12  # inputs in a picture
NARROW = 0.005  # of the widest: what moves a figure less is left out


def tornado(found: Sensitivity) -> Spec:
    """What one input at a time does to a figure, from its low to its high end; what moves it most on top."""
    swings = [one for one in found.swings if one.at_low is not None and one.at_high is not None][:MOST]
    widest = max((one.width for one in swings), default=0.0)
    swings = [one for one in swings if one.width > NARROW * widest]
    if not swings:
        raise InvalidInput(f"nothing that has a range moves {found.figure} here")
    ends = [end for one in swings for end in (one.at_low, one.at_high) if end is not None]
    low, high = min(*ends, found.expected), max(*ends, found.expected)
    room = (high - low) * 0.17
    across, down = Axis(low - room, high + room, 430.0), rows_down(len(swings), 28.0)
    write = money(found.unit) if "USD" in found.unit or len(found.unit) == 3 else short
    x = across.channel("at", title=f"{found.figure} [{found.unit}]", **labelled(across.ticks(), write))
    y = down.channel("place", **listed([one.name for one in swings]))
    rows = [row for place, one in enumerate(swings) for row in _ends(place, one)]
    scale = {"domain": ["at its low end", "at its high end"], "range": list(COLOURS[:2])}
    colour = {
        "field": "end",
        "type": "nominal",
        "scale": scale,
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }
    expected = {"value": across.at(found.expected)}
    look = {"dy": -10, "align": "center", "fontWeight": "bold"}
    layers = [
        layer(rows, {"type": "bar", "height": 15}, x=x, x2={"datum": found.expected}, y=y, color=colour),
        layer([{}], {"type": "rule", "color": INK}, x=expected, y={"value": 0}, y2={"value": down.pixels}),
        *(
            words(
                [row for row in rows if row["left"] == left],
                look={"align": align, "dx": dx},
                x=across.channel("at"),
                y=y,
            )
            for left, align, dx in ((True, "right", -5), (False, "left", 5))
        ),
        words([{"text": human(given("", found.expected, found.unit))}], look=look, x=expected, y={"value": 0.0}),
    ]
    return chart(f"What the answer turns on: {found.title}", layers, across, down, beyond=200.0)


def _ends(place: int, one: Swing) -> list[dict[str, object]]:
    """Both ends of an input, each with the input there; on the side on which the figure is."""
    low_left = (one.at_low or 0.0) <= (one.at_high or 0.0)
    both = (("at its low end", one.low, one.at_low, low_left), ("at its high end", one.high, one.at_high, not low_left))
    return [
        {"place": place, "end": end, "at": at, "left": left, "text": "" if value is None else short(value)}
        for end, value, at, left in both
    ]


def bridge(title: str, start: tuple[str, float], steps: Sequence[tuple[str, float]], end: str, unit: str) -> Spec:
    """From one total to another, step by step, in the order given.

    start: its name and value; steps: what each changes; end: the name of what it comes to
    """
    levels = list(accumulate([start[1], *(change for _, change in steps)]))
    names = [start[0], *(name for name, _ in steps), end]
    spans = [(0.0, levels[0]), *pairwise(levels), (0.0, levels[-1])]
    kinds = ["total", *("more" if change > 0 else "less" for _, change in steps), "total"]
    write = money(unit)
    texts = [
        write(levels[0]),
        *(f"{'+' if change > 0 else ''}{write(change)}" for _, change in steps),
        write(levels[-1]),
    ]
    rows = [
        {"place": place, "from": low, "to": high, "kind": kind, "text": text, "beyond": max(low, high)}
        for place, ((low, high), kind, text) in enumerate(zip(spans, kinds, texts, strict=True))
    ]
    across, down = Axis(min(0.0, *levels) * 1.02, max(0.0, *levels) * 1.02 or 1.0, 430.0), rows_down(len(rows), 28.0)
    x = across.channel("from", title=f"[{unit}]", **labelled(across.ticks(), write))
    y = down.channel("place", **listed(names))
    scale = {"domain": ["total", "more", "less"], "range": ["#7F7F7F", COLOURS[1], COLOURS[2]]}
    colour = {
        "field": "kind",
        "type": "nominal",
        "scale": scale,
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }
    layers = [
        layer(rows, {"type": "bar", "height": 15}, x=x, x2={"field": "to"}, y=y, color=colour),
        words(rows, look={"dx": 6}, x=across.channel("beyond"), y=y),
    ]
    return chart(title, layers, across, down, beyond=180.0)
