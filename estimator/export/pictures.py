"""Pictures of a decision (extra `plot`): the spectrum, cost over volume, where time and memory go, time against money.

Colours are those of Okabe and Ito, told apart by colour-blind readers too; shape and label say the same as colour.
Each function returns a matplotlib Figure; `save` writes SVG or PNG by the file's name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from estimator.decide.break_even import BreakEven, Curve, curve, pairs
from estimator.errors import InvalidInput, MissingExtra
from estimator.files import whole
from estimator.formulas import Floats
from estimator.formulas.units import DAY_S, HOUR_S, WEEK_S
from estimator.quantities import Quantity, given
from estimator.results import Comparison, Estimate
from estimator.text import digits, human, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from estimator.predict.training import TrainingStep

# M. Okabe, K. Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
# Tick marks of a calendar axis [s].
CALENDAR = {DAY_S: "1 day", WEEK_S: "1 week", 4 * WEEK_S: "4 weeks", 13 * WEEK_S: "a quarter", 52 * WEEK_S: "1 year"}
DEMANDS = ("low", "medium", "medium to high", "high", "very high")  # as the published comparison orders them
SMALL = 0.005  # of the total: lines below that are drawn as one


def _figure(width: float = 9.0, height: float = 5.2) -> "tuple[Figure, Axes]":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plot") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def save(figure: "Figure", path: str) -> None:
    """Write a picture; the file's name ends in .svg or .png."""
    style = Path(path).suffix.lower().lstrip(".")
    if style not in ("svg", "png"):
        raise InvalidInput(f"cannot draw {path!r}: name a file that ends in .svg or .png")
    with whole(path) as beside:
        figure.savefig(beside, format=style, dpi=150)


def svg(figure: "Figure") -> str:
    """A picture as SVG text, for HTML."""
    import io

    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()


def spectrum(answers: Sequence[Estimate]) -> "Figure":
    """Time to the first result against how demanding each approach is, with what it costs and what was measured.

    The upward axis is organisational maturity as the published comparison orders it; response quality is not scored:
    what was measured elsewhere stands beside each approach.
    """
    figure, axes = _figure(11.0, 1.6 + 1.15 * len(answers))
    ordered = sorted(answers, key=lambda answer: DEMANDS.index(answer.complexity))
    for height, answer in enumerate(ordered):
        low, value, high = (max(figure, HOUR_S) for figure in _ends(answer.calendar_s))
        colour = COLOURS[height % len(COLOURS)]
        axes.plot([low, high], [height, height], color=colour, linewidth=7, alpha=0.35, solid_capstyle="round")
        axes.plot(value, height, MARKERS[height % len(MARKERS)], color=colour, markersize=12)
        beside: dict[str, Any] = {"xy": (low, height), "textcoords": "offset points", "in_layout": False}
        text = f"{answer.title}: {human(answer.one_off_usd)} once, {human(answer.monthly_usd, spread=False)} a month"
        axes.annotate(_plain(text), xytext=(-4, 12), fontsize=10, weight="bold", color=colour, **beside)
        axes.annotate(_plain(_measured(answer)), xytext=(-4, -12), fontsize=8.5, va="top", color="#333333", **beside)
    axes.set_xscale("log")
    axes.set_xticks(list(CALENDAR), list(CALENDAR.values()))
    axes.minorticks_off()
    ends = [end for answer in answers for end in _ends(answer.calendar_s)]
    axes.set_xlim(max(min(*ends, DAY_S), HOUR_S) * 0.8, max(*ends, DAY_S) * 60)
    axes.set_ylim(-0.75, len(ordered) - 0.35)
    axes.set_yticks(range(len(ordered)), [answer.complexity.replace(" to ", "\nto ") for answer in ordered])
    axes.set_xlabel("Time to the first result (bar: 80 % range)", loc="left")
    axes.set_ylabel("Complexity and organisational\nmaturity it asks for")
    axes.set_title(f"Ways to customise {answers[0].llm}: time, money and what was measured elsewhere", loc="left")
    return figure


def _ends(figure: Quantity) -> tuple[float, float, float]:
    return figure.low, figure.value, figure.high


def _plain(text: str) -> str:
    """Text in which a dollar is a dollar, not the start of a formula."""
    return text.replace("$", r"\$")


def _measured(answer: Estimate) -> str:
    """Up to two published effects on quality, short: where, how much, under what conditions."""
    if not answer.evidence:
        return "Quality: no published effect on file"
    return "\n".join(_effect(text) for text in answer.evidence[:2])


def _effect(text: str) -> str:
    key, _, rest = text.split(" [")[0].partition(": ")
    kind, *parts = key.split("/")
    where = ", ".join(part.replace("_", " ") for part in parts)
    brief = rest if len(rest) <= 45 else f"{rest.partition(';')[0].rstrip(')')})"
    gain = "+" if kind == "gain_pp" and not brief.startswith("-") else ""
    return f"Measured elsewhere ({where}): {gain}{brief.replace('percentage point ', 'percentage points ')}"


def cost_over_volume(answers: Sequence[Estimate], most: float | None = None) -> "Figure":
    """Total over the horizon against requests a month, with ranges and the volumes at which the order changes."""
    answers = _told_apart(answers)
    curves = [curve(answer) for answer in answers]
    centre = curves[0].requests.value
    volumes = np.geomspace(centre / 100, most or centre * 1000, 400)
    figure, axes = _figure()
    for index, one in enumerate(curves):
        low, high = _band(one, volumes)
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(volumes, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(volumes, one.at(volumes), color=colour, linestyle=DASHES[index % len(DASHES)], label=one.title)
    said = _mark_crossings(axes, answers, volumes)
    axes.axvline(centre, color="grey", linewidth=1, linestyle=":")
    axes.annotate(" asked", (centre, 0.02), xycoords=("data", "axes fraction"), color="grey", fontsize=9)
    months, unit = curves[0].expected.months, answers[0].total_usd.unit
    axes.set(
        xscale="log", yscale="log", xlabel="Requests in the first month", ylabel=f"Total of {months} months [{unit}]"
    )
    axes.set_title("Cost over volume (band: 80 % range; numbered: the cheaper one changes for good)", loc="left")
    if said:
        figure.supxlabel("\n".join(said), x=0.02, ha="left", fontsize=9)
    axes.xaxis.set_major_formatter(_ticks())
    axes.yaxis.set_major_formatter(_ticks(_sign(unit)))
    axes.legend(frameon=False)
    return figure


def _told_apart(answers: Sequence[Estimate]) -> list[Estimate]:
    """Each approach with where it is served, if that is not the same for all."""
    served = [one.hardware.partition(", training")[0] for one in answers]
    if len(set(served)) == 1:
        return list(answers)
    places = [place if place.endswith(" API") else one.accelerator for one, place in zip(answers, served, strict=True)]
    return [replace(one, title=f"{one.title} ({place})") for one, place in zip(answers, places, strict=True)]


DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), "-")


def _sign(unit: str) -> str:
    """What stands before an amount of money."""
    return "$" if unit == "USD" else f"{unit} "


def _ticks(sign: str = "") -> Callable[[float, object], str]:
    return lambda value, _place: f"{sign}{short(value)}"


def _band(one: Curve, volumes: Floats) -> tuple[Floats, Floats]:
    """80 % ends at every volume: the moves of all scenarios in log space, as a quantity combines them.

    No scenario gets cheaper with volume, so no end of the range may, though whole replicas move scenarios by jumps.
    """
    totals = np.stack([cost.at(volumes) for cost in one.costs])
    ends = [replace(one.total, column=column).interval() for column in totals.T]
    low, high = np.array(ends).T
    return np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]


def _mark_crossings(axes: "Axes", answers: Sequence[Estimate], volumes: Floats) -> list[str]:
    """A number where the cheaper of two changes for good, a bar for its 80 % range; what each number says."""
    drawn = [one for one in pairs(answers) if one.exists and volumes[0] < one.cheaper_from.value < volumes[-1]]
    drawn.sort(key=lambda one: one.cheaper_from.value)
    at = [one.cheaper_from.value for one in drawn]
    for number, found in enumerate(drawn, 1):
        other = next(answer for answer in answers if answer.title == found.b)
        close = sum(found.cheaper_from.value < CLOSE * before for before in at[: number - 1])
        height, lift = float(curve(other).at(found.cheaper_from.value)), LIFTS[close % len(LIFTS)]
        _mark(axes, found.cheaper_from, height, volumes, (str(number), lift))
    return [f"{number}: {_from_where(found)}" for number, found in enumerate(drawn, 1)]


CLOSE = 1.6  # times apart at which two numbers would touch
LIFTS = (14, -14, 34, -34)  # of a number above its crossing [point], where others are close


def _from_where(found: BreakEven) -> str:
    low, high = found.cheaper_from.interval()
    spread = f"{short(max(low, 1.0))} to {short(high) if np.isfinite(high) else 'never'}"
    return f"{found.b} is cheaper than {found.a} from {short(found.cheaper_from.value)} requests a month ({spread})"


def _mark(axes: "Axes", volume: Quantity, height: float, volumes: Floats, label: tuple[str, float]) -> None:
    low, high = volume.interval()
    axes.plot([max(low, volumes[0]), min(high, volumes[-1])], [height, height], color="black", linewidth=1, zorder=4)
    for end, inside, beyond in ((low, low >= volumes[0], "<"), (high, high <= volumes[-1], ">")):
        at = end if inside else volumes[0] if beyond == "<" else volumes[-1]
        axes.plot(at, height, "|" if inside else beyond, color="black", markersize=6, zorder=4)
    axes.plot(volume.value, height, "o", color="black", markersize=5, zorder=5)
    number, lift = label
    ring = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black"}
    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "zorder": 6, "bbox": ring}
    axes.annotate(number, (volume.value, height), (0, lift), textcoords="offset points", **place)


def where_it_goes(answer: Estimate) -> "Figure":
    """What the total is made of, line by line, largest first; one-off and monthly told apart."""
    total = answer.total_usd.value
    lines = sorted((line for line in answer.lines), key=lambda line: line.horizon_usd.value)
    shown = [line for line in lines if line.horizon_usd.value > SMALL * total]
    small = sum(line.horizon_usd.value for line in lines) - sum(line.horizon_usd.value for line in shown)
    figure, axes = _figure(9.0, 1.6 + 0.45 * len(shown))
    phases = {"one-off": COLOURS[0], "monthly": COLOURS[1]}
    for place, line in enumerate(shown):
        value, (low, high) = line.horizon_usd.value, line.horizon_usd.interval()
        hatch = "//" if line.phase == "monthly" else ""
        axes.barh(place, value, color=phases[line.phase], hatch=hatch, edgecolor="white")
        axes.plot([low, high], [place, place], color="black", linewidth=1.2)
        text = _plain(f"  {human(line.horizon_usd, spread=False)}")
        axes.annotate(text, (max(value, high), place), va="center", fontsize=9)
    axes.set_yticks(range(len(shown)), [line.item for line in shown])
    axes.set_xlim(0, max(line.horizon_usd.high for line in shown) * 1.15)
    unit = answer.total_usd.unit
    axes.xaxis.set_major_formatter(_ticks(_sign(unit)))
    together = f"line: 80 % range; smaller lines together: {_sign(unit)}{short(small)}"
    axes.set_xlabel(_plain(f"Over the horizon [{unit}] ({together})"))
    axes.set_title(_plain(f"Where the money goes: {answer.title}, {human(answer.total_usd)}"), loc="left")
    handles = [_patch(colour, "//" if phase == "monthly" else "", phase) for phase, colour in phases.items()]
    axes.legend(handles=handles, frameon=False, loc="lower right")
    return figure


def _patch(colour: str, hatch: str, label: str) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)


def time_and_memory(title: str, step: "TrainingStep", capacity_bytes: float) -> "Figure":
    """Where the seconds of a step and the bytes of an accelerator go. step: a TrainingStep of single numbers."""
    figure, _ = _figure(9.5, 4.0)
    figure.clear()
    left, right = figure.subplots(1, 2)
    times = {
        "compute": step.compute_s,
        "communication": step.exposed_communication_s,
        "pipeline bubble": step.bubble_s,
        "optimizer": step.optimizer_s,
        "host": step.host_s,
    }
    _stack(left, {name: float(value) for name, value in times.items()}, "s", "Time of a step")
    parts = {name: float(getattr(step.memory, name)) / 1e9 for name in step.memory._fields}
    _stack(right, parts, "GB", "Peak memory of one accelerator", capacity_bytes / 1e9)
    figure.suptitle(title.replace(": ", "\n", 1), x=0.01, ha="left")
    return figure


def _stack(axes: "Axes", parts: Mapping[str, float], unit: str, title: str, limit: float | None = None) -> None:
    shown = {name: value for name, value in parts.items() if value > 0}
    size, plain = (1e9, "B") if unit == "GB" else (1.0, unit)
    for place, value in enumerate(reversed(shown.values())):
        axes.barh(place, value, color=COLOURS[0], edgecolor="white")
        axes.annotate(f" {human(given(unit, value * size, plain))}", (value, place), va="center", fontsize=9)
    axes.set_yticks(range(len(shown)), [name.replace("_", " ") for name in reversed(shown)])
    axes.set_xlim(0, max(shown.values()) * 1.3)
    total = sum(shown.values())
    beside = f" of {digits(limit)}" if limit else ""
    axes.set_title(f"{title}: {digits(total)}{beside} {unit}", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(unit)


def pareto(found: Sequence[tuple[str, Estimate]], what: str) -> "Figure":
    """Time against money of the same work on named accelerators; the line joins those nothing beats in both.

    found: each by its accelerators, such as `8 x a100`
    """
    points = sorted((answer.training_s.value, _training_usd(answer), name) for name, answer in found)
    points = [point for point in points if 0 < point[1] < np.inf]
    if not points:
        raise InvalidInput("no accelerator has a known price above 0: give --price-per-hour")
    size, unit = next((one for one in RUN_UNITS if points[len(points) // 2][0] >= one[0]), RUN_UNITS[-1])
    points = [(seconds / size, usd, name) for seconds, usd, name in points]
    best = [one for one in points if not any(o[0] <= one[0] and o[1] <= one[1] and o != one for o in points)]
    figure, axes = _figure(9.5, 5.8)
    label = "nothing is both faster and cheaper"
    axes.plot([x for x, _, _ in best], [y for _, y, _ in best], color="black", linewidth=1, label=label, zorder=2)
    _devices(axes, points, best)
    axes.set(xscale="log", yscale="log", xlabel=f"Time of one run [{unit}]")
    axes.set_ylabel("Accelerators for all attempts, starts included [USD]")
    axes.margins(x=0.1, y=0.12)
    for axis, sign in ((axes.xaxis, ""), (axes.yaxis, "$")):
        _log_ticks(axis, sign)
    axes.set_title(f"Time against money: {what} (numbers: how many accelerators)", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


RUN_UNITS = ((2 * DAY_S, "d"), (HOUR_S, "h"), (60.0, "min"), (1.0, "s"))


def _devices(
    axes: "Axes", points: Sequence[tuple[float, float, str]], best: Sequence[tuple[float, float, str]]
) -> None:
    """Each accelerator in its colour and marker, its count above every point; filled where nothing beats it."""
    devices = list(dict.fromkeys(name.partition(" x ")[2] for _, _, name in points))
    for place, device in enumerate(devices):
        own = [point for point in points if point[2].partition(" x ")[2] == device]
        look: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "marker": MARKERS[place % len(MARKERS)],
            "linestyle": "none",
        }
        axes.plot([x for x, _, _ in own], [y for _, y, _ in own], fillstyle="none", markersize=8, label=device, **look)
        ahead = [point for point in own if point in best]
        axes.plot([x for x, _, _ in ahead], [y for _, y, _ in ahead], markersize=8, **look)
        for x, y, name in own:
            axes.annotate(
                name.partition(" x ")[0], (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=8.5
            )


def _log_ticks(axis: "Axis", sign: str) -> None:
    """Labels that a reader can find the figures by, however little of a power of ten the axis spans."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high / low > 8 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(_ticks(sign))
    axis.set_minor_formatter(NullFormatter())


def _training_usd(answer: Estimate) -> float:
    once = [line for line in answer.lines if line.phase == "one-off" and line.work]
    return sum(line.usd.value for line in once if line.kind in ("training", "start"))


def estimates_of(comparison: Comparison) -> list[Estimate]:
    """The approaches of a comparison that can be done and whose cost is known."""
    return [one for one in comparison.estimates if isinstance(one, Estimate) and one.total_usd.known]
