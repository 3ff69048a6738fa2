"""Pictures of a decision: the spectrum, totals beside each other, cost over volume, where the money goes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimator.charts.grammar import (
    COLOURS,
    DASHES,
    INK,
    LINE_PX,
    SHAPES,
    Axis,
    Spec,
    apart,
    chart,
    labelled,
    layer,
    listed,
    money,
    rows_down,
    several,
    words,
    wrapped,
)
from estimator.decide.break_even import BreakEven, Curve, curve, pairs
from estimator.errors import InvalidInput
from estimator.formulas import Floats
from estimator.formulas.units import DAY_S, HOUR_S, WEEK_S
from estimator.quantities import Quantity
from estimator.results import Comparison, Estimate, Line
from estimator.text import human, short

# Tick marks of a calendar axis [s].
CALENDAR = {DAY_S: "1 day", WEEK_S: "1 week", 4 * WEEK_S: "4 weeks", 13 * WEEK_S: "a quarter", 52 * WEEK_S: "1 year"}
CALENDAR |= {5 * 52 * WEEK_S: "5 years"}
DEMANDS = ("low", "medium", "medium to high", "high", "very high")  # as the published comparison orders them
SMALL = 0.005  # of the total: lines below that are drawn as one
CLOSE = 22  # pixels at which two numbers of crossings would touch


def estimates_of(comparison: Comparison) -> list[Estimate]:
    """The approaches of a comparison that can be done and whose cost is known."""
    return [one for one in comparison.estimates if isinstance(one, Estimate) and one.total_usd.known]


# --- the spectrum ----------------------------------------------------------------------------------------


def spectrum(answers: Sequence[Estimate]) -> Spec:
    """Time and complexity against the quality and the maturity they come with, as the published comparison has them.

    Across: time to the first result, with its range. Upward: the approaches in the published order. Quality is not
    scored: what was measured elsewhere stands beside each approach.
    """
    ordered = sorted(answers, key=lambda answer: DEMANDS.index(answer.complexity))
    told = [_told(answer) for answer in ordered]
    each = max(len(lines) for lines in told) * LINE_PX + 22
    rows = [_placed(answer, place) for place, answer in enumerate(ordered)]
    ends = [float(str(row[name])) for row in rows for name in ("low", "high")]
    across = Axis(min(*ends, DAY_S) * 0.8, max(*ends, 13 * WEEK_S) * 1.25, 360.0, log=True)
    upward = Axis(-0.5, len(ordered) - 0.5, each * len(ordered), "up")
    ticks = [tick for tick in CALENDAR if across.low <= tick <= across.high]
    x = across.channel("low", title="Time to the first result, and complexity →", **_dated(ticks))
    names = labelled(list(range(len(ordered))), lambda place: ordered[int(place)].complexity)
    y = upward.channel("place", title="Response quality and organisational maturity →", grid=False, **names)
    colour = {"field": "colour", "type": "nominal", "scale": None}
    layers = [
        layer(rows, {"type": "rule", "size": 9, "opacity": 0.35, "strokeCap": "round"}, x=x, x2={"field": "high"}, y=y),
        layer(rows, {"type": "point", "filled": True, "size": 130, "opacity": 1}, x=across.channel("value"), y=y),
    ]
    for one in layers:
        one["encoding"]["color"] = colour
    layers[1]["encoding"]["shape"] = {"field": "shape", "type": "nominal", "scale": None}
    title = f"Ways to customise {answers[0].llm}: time, money and what was measured elsewhere"
    drawn = chart(title, [*layers, *_column(told, upward, across.pixels + 18)], across, upward, beyond=480.0)
    return {**drawn, "name": "spectrum"}


def _dated(ticks: Sequence[float]) -> Spec:
    return labelled(ticks, lambda tick: CALENDAR[tick]) if ticks else {}


def _placed(answer: Estimate, place: int) -> dict[str, object]:
    low, value, high = (max(end, HOUR_S) for end in _ends(answer.calendar_s))
    look = {"colour": COLOURS[place % len(COLOURS)], "shape": SHAPES[place % len(SHAPES)]}
    return {"place": place, "low": low, "value": value, "high": high, **look}


def _ends(figure: Quantity) -> tuple[float, float, float]:
    return figure.low, figure.value, figure.high


def _told(answer: Estimate) -> list[str]:
    """What stands beside an approach, line by line: what it costs, then what was measured of such."""
    once, monthly = human(answer.one_off_usd), human(answer.monthly_usd, spread=False)
    told = (line for text in _measured(answer) for line in wrapped(text, 430))
    return [answer.title, f"{once} once, {monthly} a month", *told]


def _column(told: Sequence[Sequence[str]], upward: Axis, left: float) -> list[Spec]:
    """Words right of the picture, each approach's at its own height."""
    found = []
    for place, lines in enumerate(told):
        top = upward.at(place) - (len(lines) - 1) * LINE_PX / 2
        for line, text in enumerate(lines):
            look = {"fontWeight": "bold"} if line == 0 else {"fontSize": 10.5}
            at: Spec = {"x": {"value": left}, "y": {"value": top + line * LINE_PX}}
            found.append(words([{"text": text}], look=look, **at))
    return found


def _measured(answer: Estimate) -> list[str]:
    """Up to two published effects on quality, short: where, how much, under what conditions."""
    return [effect(text) for text in answer.evidence[:2]] or ["Quality: no published effect on file"]


def effect(text: str) -> str:
    """A published effect in a line.

    >>> effect("gain_pp/rag/mmlu: 6.8 percentage point (mean) [a paper]")
    'Measured elsewhere (rag, mmlu): +6.8 percentage points (mean)'
    """
    key, _, rest = text.split(" [")[0].partition(": ")
    kind, *parts = key.split("/")
    where = ", ".join(part.replace("_", " ") for part in parts)
    brief = rest if len(rest) <= 90 else f"{rest.partition(';')[0].rstrip(')')})"
    gain = "+" if kind == "gain_pp" and not brief.startswith("-") else ""
    return f"Measured elsewhere ({where}): {gain}{brief.replace('percentage point ', 'percentage points ')}"


# --- totals beside each other ----------------------------------------------------------------------------


def totals(answers: Sequence[Estimate]) -> Spec:
    """The total of each approach over the horizon with its range: what is paid once, and what every month."""
    told = _told_apart(answers)
    if not told:
        raise InvalidInput("no cost is known: give --price-per-hour")
    unit, height = told[0].total_usd.unit, 46.0
    across = Axis(0.0, max(one.total_usd.high for one in told) * 1.02 or 1.0, 470.0)
    down = rows_down(len(told), height)
    y = down.channel("place", **listed([one.title for one in told]))
    x = across.channel(
        "start", title=f"Total over the horizon [{unit}] (line: 80 % range)", **labelled(across.ticks(), money(unit))
    )
    bars, lines = _parts(told), [dict(zip(("low", "value", "high"), _ends(one.total_usd), strict=True)) for one in told]
    rows = [
        line | {"place": place, "text": human(one.total_usd)}
        for place, (one, line) in enumerate(zip(told, lines, strict=True))
    ]
    colour = {
        "field": "phase",
        "type": "nominal",
        "scale": {"domain": ["once", "every month"], "range": list(COLOURS[:2])},
        "legend": {"orient": "top", "title": None, "symbolType": "square"},
    }
    layers = [
        layer(bars, {"type": "bar", "height": 16}, x=x, x2={"field": "end"}, y=y, color=colour),
        layer(rows, {"type": "rule", "size": 1.6, "color": INK}, x=across.channel("low"), x2={"field": "high"}, y=y),
        *(
            layer(
                rows,
                {"type": "tick", "size": 10, "thickness": 1.6, "color": INK, "opacity": 1},
                x=across.channel(end),
                y=y,
            )
            for end in ("low", "high")
        ),
        words(rows, look={"dx": 10, "fontWeight": "bold"}, x=across.channel("high"), y=y),
    ]
    return chart(f"What each approach comes to: {told[0].llm}", layers, across, down, beyond=240.0)


def _parts(answers: Sequence[Estimate]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for place, one in enumerate(answers):
        once = sum(line.horizon_usd.value for line in one.lines if line.phase == "one-off")
        ends = (0.0, once, one.total_usd.value)
        for phase, start, end in zip(("once", "every month"), ends, ends[1:], strict=False):
            found.append({"place": place, "phase": phase, "start": start, "end": end})
    return found


# --- cost over volume ------------------------------------------------------------------------------------


def cost_over_volume(answers: Sequence[Estimate], most: float | None = None) -> Spec:
    """Total over the horizon against requests a month, with ranges and the volumes at which the order changes."""
    answers = _told_apart(answers)
    curves = [curve(answer) for answer in answers]
    centre = curves[0].requests.value
    volumes = np.geomspace(centre / 100, most or centre * 1000, 360)
    across = Axis(float(volumes[0]), float(volumes[-1]), 540.0, log=True)
    bands = [_band(one, volumes) for one in curves]
    least = min(float(low.min()) for low, _ in bands)
    upward = Axis(max(least, 1e-3), max(float(high.max()) for _, high in bands) * 1.05, 330.0, "up", log=True)
    crossed = _crossings(answers, volumes)
    months, unit = several(curves[0].expected.months, "month"), answers[0].total_usd.unit
    x = {"title": "Requests in the first month", **labelled(across.ticks())}
    y = {"title": f"Total of {months} [{unit}]", **labelled(upward.ticks(), money(unit))}
    layers = [
        *_curves(curves, volumes, bands, across, upward, x, y),
        *_asked(centre, across, upward),
        *_marked(crossed, answers, across, upward),
    ]
    title = "Cost over volume (band: 80 % range; numbered: the cheaper one changes for good)"
    said = [f"{number}: {from_where(one)}" for number, one in enumerate(crossed, 1)]
    return chart(title, layers, across, upward, said, beyond=190.0)


def _told_apart(answers: Sequence[Estimate]) -> list[Estimate]:
    """Each approach with where it is served, if that is not the same for all."""
    served = [one.hardware.partition(", training")[0] for one in answers]
    if len(set(served)) <= 1:
        return list(answers)
    places = [place if place.endswith(" API") else one.accelerator for one, place in zip(answers, served, strict=True)]
    return [replace(one, title=f"{one.title} ({place})") for one, place in zip(answers, places, strict=True)]


def _band(one: Curve, volumes: Floats) -> tuple[Floats, Floats]:
    """80 % ends at every volume: the moves of all scenarios in log space, as a quantity combines them.

    No scenario gets cheaper with volume, so no end of the range may, though whole replicas move scenarios by jumps.
    """
    totals = np.stack([cost.at(volumes) for cost in one.costs])
    ends = [replace(one.total, column=column).interval() for column in totals.T]
    low, high = np.array(ends).T
    return np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]


def _curves(
    curves: Sequence[Curve],
    volumes: Floats,
    bands: Sequence[tuple[Floats, Floats]],
    across: Axis,
    upward: Axis,
    x: Spec,
    y: Spec,
) -> list[Spec]:
    """Every curve with its band, and its name at its right end, moved apart where curves end close to each other."""
    found, last = [], [float(one.at(volumes[-1])) for one in curves]
    heights = apart([upward.at(end) for end in last], LINE_PX, 0.0, upward.pixels)
    for index, (one, (low, high)) in enumerate(zip(curves, bands, strict=True)):
        rows = [
            {"x": float(volume), "y": float(total), "low": float(below), "high": float(above)}
            for volume, total, below, above in zip(volumes, one.at(volumes), low, high, strict=True)
        ]
        colour = COLOURS[index % len(COLOURS)]
        at = {"x": across.channel("x", **x), "y": upward.channel("y", **y)}
        band = at | {"y": upward.channel("low", **y), "y2": {"field": "high"}}
        found.append(layer(rows, {"type": "area", "opacity": 0.14, "color": colour}, **band))
        line = {"type": "line", "color": colour, "strokeDash": DASHES[index % len(DASHES)], "strokeWidth": 2}
        found.append(layer(rows, line, **at))
        leader = {"x": {"value": across.pixels}, "x2": {"value": across.pixels + 16}, "y2": {"value": heights[index]}}
        found.append(
            layer([{}], {"type": "rule", "color": colour, "size": 2}, **leader, y={"value": upward.at(last[index])})
        )
        name: Spec = {"x": {"value": across.pixels + 20}, "y": {"value": heights[index]}}
        found.append(words([{"text": one.title}], **name))
    return found


def _asked(volume: float, across: Axis, upward: Axis) -> list[Spec]:
    """Where the question stands."""
    at, text = {"value": across.at(volume)}, f"asked: {short(volume)}"
    rule = layer(
        [{}],
        {"type": "rule", "color": INK, "strokeDash": [2, 3], "opacity": 0.7},
        x=at,
        y={"value": 0.0},
        y2={"value": upward.pixels},
    )
    return [rule, words([{"text": text}], look={"dx": 5}, x=at, y={"value": 9.0})]


def _crossings(answers: Sequence[Estimate], volumes: Floats) -> list[BreakEven]:
    """Where the cheaper of two changes for good, in order of volume."""
    drawn = [one for one in pairs(answers) if one.exists and volumes[0] < one.cheaper_from.value < volumes[-1]]
    return sorted(drawn, key=lambda one: one.cheaper_from.value)


def from_where(found: BreakEven) -> str:
    """Which of two is cheaper from which volume on, with its range."""
    low, high = found.cheaper_from.interval()
    spread = f"{short(max(low, 1.0))} to {short(high) if np.isfinite(high) else 'never'}"
    return f"{found.b} is cheaper than {found.a} from {short(found.cheaper_from.value)} requests a month ({spread})"


def _marked(found: Sequence[BreakEven], answers: Sequence[Estimate], across: Axis, upward: Axis) -> list[Spec]:
    """A ring with a number above each crossing, a bar for its range with an arrow where that leaves the picture."""
    layers: list[Spec] = []
    rings: list[tuple[float, float]] = []
    for number, one in enumerate(found, 1):
        other = next(answer for answer in answers if answer.title == one.b)
        volume, (low, high) = one.cheaper_from.value, one.cheaper_from.interval()
        x, y = across.at(volume), upward.at(float(curve(other).at(volume)))
        ring = _free(x, y, rings, upward.pixels)
        rings.append((x, ring))
        layers += _range(across, low, high, y)
        layers.append(
            layer(
                [{}], {"type": "rule", "color": INK, "opacity": 0.5}, x={"value": x}, y={"value": y}, y2={"value": ring}
            )
        )
        layers.append(
            layer(
                [{}],
                {"type": "point", "filled": True, "color": INK, "size": 34, "opacity": 1},
                x={"value": x},
                y={"value": y},
            )
        )
        circle = {"type": "point", "filled": True, "fill": "#ffffff", "stroke": "#000000", "size": 300, "opacity": 1}
        layers.append(layer([{}], circle, x={"value": x}, y={"value": ring}))
        look = {"align": "center", "fontWeight": "bold", "color": "#000000"}
        layers.append(words([{"text": str(number)}], look=look, x={"value": x}, y={"value": ring}))
    return layers


def _free(x: float, y: float, taken: Sequence[tuple[float, float]], most: float) -> float:
    """The nearest height at which a ring covers no other one."""
    tries = [y + side * step for step in (26, 50, 74, 98, 122, 146, 170) for side in (-1, 1)]
    open_ = [at for at in tries if 0 < at < most - 20 and all(np.hypot(x - a, at - b) > CLOSE for a, b in taken)]
    return open_[0] if open_ else tries[0]


def _range(across: Axis, low: float, high: float, y: float) -> list[Spec]:
    ends = {"x": {"value": across.at(low)}, "x2": {"value": across.at(high)}}
    found = [layer([{}], {"type": "rule", "color": INK}, y={"value": y}, **ends)]
    for end, inside, arrow in (
        (low, low >= across.low, "triangle-left"),
        (high, high <= across.high, "triangle-right"),
    ):
        shape = "stroke" if inside else arrow
        mark = {
            "type": "point",
            "shape": shape,
            "angle": 90 if inside else 0,
            "color": INK,
            "filled": not inside,
            "size": 50,
            "opacity": 1,
        }
        found.append(layer([{}], mark, x={"value": across.at(end)}, y={"value": y}))
    return found


# --- where the money goes --------------------------------------------------------------------------------


def where_it_goes(answer: Estimate) -> Spec:
    """What the total is made of, line by line, largest first; what is paid once and every month told apart."""
    total, unit = answer.total_usd.value, answer.total_usd.unit
    lines = sorted(answer.lines, key=lambda line: -line.horizon_usd.value)
    shown = [line for line in lines if line.horizon_usd.value > SMALL * total]
    small = total - sum(line.horizon_usd.value for line in shown)
    across = Axis(0.0, max((line.horizon_usd.high for line in shown), default=1.0) * 1.02, 430.0)
    down = rows_down(len(shown), 27.0)
    rows = [_line(line, place) for place, line in enumerate(shown)]
    rest = f"; smaller lines together: {money(unit)(small)}" if small > 0 else ""
    x = across.channel(
        "value", title=f"Over the horizon [{unit}] (line: 80 % range{rest})", **labelled(across.ticks(), money(unit))
    )
    y = down.channel("place", **listed([line.item for line in shown]))
    scale = {"domain": ["paid once", "every month"], "range": list(COLOURS[:2])}
    colour = {
        "field": "phase",
        "type": "nominal",
        "scale": scale,
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }
    layers = [
        layer(rows, {"type": "bar", "height": 15}, x=x, x2={"datum": 0}, y=y, color=colour),
        layer(rows, {"type": "rule", "color": INK, "size": 1.3}, x=across.channel("low"), x2={"field": "high"}, y=y),
        words(rows, look={"dx": 7}, x=across.channel("beyond"), y=y),
    ]
    return chart(f"Where the money goes: {answer.title}, {human(answer.total_usd)}", layers, across, down, beyond=240.0)


def _line(line: Line, place: int) -> dict[str, object]:
    low, value, high = _ends(line.horizon_usd)
    phase = "paid once" if line.phase == "one-off" else "every month"
    text = human(line.horizon_usd, spread=False)
    return {
        "place": place,
        "phase": phase,
        "low": low,
        "value": value,
        "high": high,
        "beyond": max(value, high),
        "text": text,
    }
