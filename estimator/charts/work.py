"""Pictures of the work: where time and memory go, time against money, latency against load, loss against size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from estimator.charts.grammar import (
    COLOURS,
    INK,
    LINE_PX,
    SHAPES,
    Axis,
    Spec,
    apart,
    beside,
    chart,
    framed,
    labelled,
    layer,
    listed,
    money,
    offset,
    rows_down,
    words,
)
from estimator.errors import InvalidInput
from estimator.formulas import Floats, scaling
from estimator.formulas.units import DAY_S, HOUR_S
from estimator.quantities import given
from estimator.results import Estimate
from estimator.text import digits, human, short

if TYPE_CHECKING:
    from estimator.predict.serving import Serving
    from estimator.predict.training import TrainingStep

RUN_UNITS = ((2 * DAY_S, "d"), (HOUR_S, "h"), (60.0, "min"), (1.0, "s"))


# --- where time and memory go ----------------------------------------------------------------------------


def time_and_memory(title: str, step: "TrainingStep", capacity_bytes: float, beside_bytes: float = 0.0) -> Spec:
    """Where the seconds of a step and the bytes of an accelerator go. step: of single numbers.

    beside_bytes: of other models that are held beside it
    """
    times = {
        "compute": step.compute_s,
        "communication": step.exposed_communication_s,
        "pipeline bubble": step.bubble_s,
        "optimizer": step.optimizer_s,
        "host": step.host_s,
    }
    held = {name.replace("_", " "): getattr(step.memory, name) for name in step.memory._fields}
    held |= {"other models beside it": beside_bytes}
    parts = [
        _stack("Time of a step", {name: float(value) for name, value in times.items()}, "s"),
        _stack(
            "Peak memory of one accelerator", {name: float(value) for name, value in held.items()}, "B", capacity_bytes
        ),
    ]
    return framed({"hconcat": parts, "spacing": 50}, title, 700.0)


def split(title: str, parts: Mapping[str, float], unit: str, limit: float | None = None) -> Spec:
    """What one amount is made of; limit: what it must keep within."""
    return framed(_stack(_what(unit), parts, unit, limit), title, 420.0)


def _what(unit: str) -> str:
    """What a stack of a unit is of."""
    return "Time of a step" if unit == "s" else "Memory of one accelerator"


def _stack(title: str, parts: Mapping[str, float], unit: str, limit: float | None = None) -> Spec:
    """Parts as bars, their sum in the title, and the limit as a line where it is near."""
    shown = {name: value for name, value in parts.items() if value > 0}
    whole = sum(shown.values())
    size, name = next(((size, name) for size, name in SIZES[unit] if whole >= size), SIZES[unit][-1])
    rows = [
        {"place": place, "value": value / size, "text": human(given(part, value, unit))}
        for place, (part, value) in enumerate(shown.items())
    ]
    across, down = Axis(0.0, max(shown.values()) / size * 1.05, 200.0), rows_down(len(shown), 25.0)
    x = across.channel("value", title=f"[{name}]", **labelled(across.ticks(), digits))
    y = down.channel("place", **listed(list(shown)))
    of = f" of {digits(limit / size)}" if limit else ""
    return {
        "title": {
            "text": f"{title}: {digits(whole / size)}{of} {name}",
            "anchor": "start",
            "fontSize": 12,
            "color": INK,
        },
        "width": across.pixels,
        "height": down.pixels,
        "layer": [
            layer(rows, {"type": "bar", "height": 14, "color": COLOURS[0]}, x=x, x2={"datum": 0}, y=y),
            words(rows, look={"dx": 6}, x=across.channel("value"), y=y),
        ],
    }


SIZES = {"s": ((HOUR_S, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us")), "B": ((1e9, "GB"), (1e6, "MB"))}


# --- time against money ----------------------------------------------------------------------------------


def pareto(found: Sequence[tuple[str, Estimate]], what: str) -> Spec:
    """Time against money of the same work on named accelerators; the line joins those nothing beats in both.

    found: each by its accelerators, such as `8 x a100`
    """
    points = sorted((answer.training_s.value, training_cost(answer), name) for name, answer in found)
    points = [point for point in points if 0 < point[1] < np.inf]
    if not points:
        raise InvalidInput("no accelerator has a known price above 0: give --price-per-hour")
    size, unit = next((one for one in RUN_UNITS if points[len(points) // 2][0] >= one[0]), RUN_UNITS[-1])
    points = [(seconds / size, usd, name) for seconds, usd, name in points]
    currency = found[0][1].total_usd.unit
    across, upward = _spanned([x for x, _, _ in points], 520.0), _spanned([y for _, y, _ in points], 340.0, "up")
    x = across.channel("x", title=f"Time of one run [{unit}]", **labelled(across.ticks(), digits))
    title = f"Accelerators for all attempts, starts included [{currency}]"
    y = upward.channel("y", title=title, **labelled(upward.ticks(), money(currency)))
    best = [one for one in points if not any(o[0] <= one[0] and o[1] <= one[1] and o != one for o in points)]
    line = layer([{"x": a, "y": b} for a, b, _ in best], {"type": "line", "color": INK, "size": 1.2}, x=x, y=y)
    return chart(
        f"Time against money: {what}",
        [line, *_devices(points, best, x, y), *_counts(points, best, across, upward)],
        across,
        upward,
        ["Number: how many accelerators. Line and filled: nothing is both faster and cheaper."],
        beyond=150.0,
    )


def _spanned(values: Sequence[float], pixels: float, way: str = "across") -> Axis:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.08, 1.15)
    return Axis(low / room, high * room, pixels, "up" if way == "up" else "across", log=True)


Point = tuple[float, float, str]


def _devices(points: Sequence[Point], best: Sequence[Point], x: Spec, y: Spec) -> list[Spec]:
    """Each accelerator in its colour and shape, filled where nothing beats it."""
    devices = list(dict.fromkeys(name.partition(" x ")[2] for _, _, name in points))
    scale = {"domain": devices, "range": [COLOURS[place % len(COLOURS)] for place in range(len(devices))]}
    shapes = {"domain": devices, "range": [SHAPES[place % len(SHAPES)] for place in range(len(devices))]}
    look = {
        "color": {"field": "device", "type": "nominal", "scale": scale, "legend": {"title": None}},
        "shape": {"field": "device", "type": "nominal", "scale": shapes, "legend": {"title": None}},
    }
    rows = [{"x": a, "y": b, "device": name.partition(" x ")[2], "best": (a, b, name) in best} for a, b, name in points]
    mark = {"type": "point", "size": 80, "opacity": 1, "strokeWidth": 1.6}
    ahead = [row for row in rows if row["best"]]
    return [layer(rows, mark, x=x, y=y, **look), layer(ahead, {**mark, "filled": True}, x=x, y=y, **look)]


def _counts(points: Sequence[Point], best: Sequence[Point], across: Axis, upward: Axis) -> list[Spec]:
    at, line = ([(across.at(a), upward.at(b)) for a, b, _ in some] for some in (points, best))
    texts = [name.partition(" x ")[0] for _, _, name in points]
    rows = [{"x": a, "y": b, "text": text} for (a, b, _), text in zip(points, texts, strict=True)]
    return offset(rows, beside(at, texts, across.pixels, line), across.channel("x"), upward.channel("y"))


def training_cost(answer: Estimate) -> float:
    """What accelerators cost until it is trained, starts and all attempts included."""
    once = [line for line in answer.lines if line.phase == "one-off" and line.work]
    return sum(line.usd.value for line in once if line.kind in ("training", "start"))


# --- latency against load --------------------------------------------------------------------------------


def latency_against_load(title: str, loads: Floats, found: "Serving", asked: float | None = None) -> Spec:
    """Mean times to the first token and per output token of a replica as more requests come [s].

    loads: requests per second of one replica, for which `found` is; asked: what it carries in the question
    """
    most = float(np.max(found.capacity_requests_per_s))
    across = Axis(0.0, max(float(loads[-1]), most) * 1.02, 520.0)
    both = [
        _latency("Time to first token", loads, np.asarray(found.ttft_s), across, (most, asked), last=False),
        _latency("Time per output token", loads, np.asarray(found.tpot_s), across, (most, asked), last=True),
    ]
    return framed({"vconcat": both, "spacing": 18}, title, 620.0)


FEW = 8  # loads whose times are written at their marks


def _latency(
    title: str, loads: Floats, times: Floats, across: Axis, marks: tuple[float, float | None], last: bool
) -> Spec:
    rows = [{"x": float(a), "y": 1e3 * float(b)} for a, b in zip(loads, times, strict=True) if np.isfinite(b)]
    values = [float(str(row["y"])) for row in rows]
    upward = Axis(min(values) / 1.3, max(values) * 1.3, 150.0, "up", log=True)
    x = across.channel(
        "x", title="Requests a second to one replica" if last else None, **labelled(across.ticks(), digits)
    )
    y = upward.channel("y", title=f"{title} [ms]", **labelled(upward.ticks(), digits))
    layers = [layer(rows, {"type": "line", "color": COLOURS[0], "strokeWidth": 2}, x=x, y=y)]
    if len(rows) <= FEW:
        layers += [
            layer(rows, {"type": "point", "filled": True, "size": 45, "opacity": 1, "color": COLOURS[0]}, x=x, y=y),
            words([{**row, "text": digits(float(str(row["y"])))} for row in rows], look={"dx": 8, "dy": 9}, x=x, y=y),
        ]
    for value, text, dash, side in ((marks[0], "saturated", [1, 0], -1), (marks[1], "busy hour", [3, 3], 1)):
        if value is not None and across.low <= value <= across.high:
            at = {"value": across.at(value)}
            rule = {"type": "rule", "color": INK, "strokeDash": dash, "opacity": 0.8}
            layers.append(layer([{}], rule, x=at, y={"value": 0.0}, y2={"value": upward.pixels}))
            look = {"dx": 5 * side, "align": "right" if side < 0 else "left"}
            layers.append(
                words([{"text": f"{text}: {digits(value)}/s"}], look=look, x=at, y={"value": 8.0 if side < 0 else 24.0})
            )
    return {"width": across.pixels, "height": upward.pixels, "layer": layers}


# --- loss against size -----------------------------------------------------------------------------------


def loss_against_size(title: str, law: Mapping[str, float], params: float, tokens: float, loss: float) -> Spec:
    """Expected loss of LLMs of any size for a budget of compute, a tenth and ten times it; where the asked one stands.

    law: E, A, B, alpha and beta of the scaling law; loss: of the asked one, its repeated tokens counted for less
    """
    budget = 6 * params * tokens
    sizes = np.geomspace(params / 25, params * 25, 200)
    budgets = [
        (budget * times, name) for times, name in ((0.1, "a tenth of the"), (1.0, "the"), (10.0, "ten times the"))
    ]
    losses = [np.asarray(scaling.loss(sizes, flop / (6 * sizes), **law)) for flop, _ in budgets]
    across = Axis(float(sizes[0]), float(sizes[-1]), 430.0, log=True)
    low, high = (float(end([end(values) for values in losses] + [loss])) for end in (min, max))
    upward = Axis(low - 0.02, high + 0.02, 320.0, "up")
    at = {
        "x": across.channel("x", title="Parameters", **labelled(across.ticks())),
        "y": upward.channel("y", title="Expected final loss [nat/token]", **labelled(upward.ticks(), digits)),
    }
    heights = apart([upward.at(float(values[-1])) for values in losses], 2 * LINE_PX, 0.0, upward.pixels)
    layers = []
    for colour, (flop, name), values, height in zip(COLOURS, budgets, losses, heights, strict=False):
        layers += _iso(colour, law, (flop, name), sizes, values, at)
        layers += _leader(colour, across.pixels, upward.at(float(values[-1])), height)
        best = scaling.optimal_params(flop, **{key: law[key] for key in ("A", "B", "alpha", "beta")})
        for line, text in enumerate((f"{name} compute ({flop:.2g} FLOP)", f"best: {short(float(best))} parameters")):
            place: Spec = {"x": {"value": across.pixels + 20}, "y": {"value": height + line * 13.0}}
            layers.append(words([{"text": text}], **place))
    mark = {"type": "point", "shape": "diamond", "filled": True, "size": 130, "color": INK, "opacity": 1}
    layers.append(layer([{"x": params, "y": loss}], mark, x=across.channel("x"), y=upward.channel("y")))
    said = f"Diamond: as asked, {short(params)} parameters on {short(tokens)} tokens: {digits(loss)} nat/token."
    return chart(title, layers, across, upward, [said, "Dots: the best size for the compute."], beyond=190.0)


def _iso(
    colour: str, law: Mapping[str, float], spent: tuple[float, str], sizes: Floats, losses: Floats, at: Spec
) -> list[Spec]:
    """The curve of a budget, and its lowest point."""
    rows = [{"x": float(a), "y": float(b)} for a, b in zip(sizes, losses, strict=True)]
    best = float(scaling.optimal_params(spent[0], **{key: law[key] for key in ("A", "B", "alpha", "beta")}))
    lowest = float(scaling.loss(best, spent[0] / (6 * best), **law))
    dot = {"type": "point", "filled": True, "size": 60, "color": colour, "opacity": 1}
    line = layer(rows, {"type": "line", "color": colour, "strokeWidth": 2}, **at)
    return [line, layer([{"x": best, "y": lowest}], dot, **at)]


def _leader(colour: str, left: float, start: float, end: float) -> list[Spec]:
    """From the right end of a curve to its name."""
    ends = {"x": {"value": left}, "x2": {"value": left + 16}, "y": {"value": start}, "y2": {"value": end}}
    return [layer([{}], {"type": "rule", "color": colour, "size": 2}, **ends)]
