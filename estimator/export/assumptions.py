"""The inputs that an answer rests on: the dozen that matter most to it beneath every answer, all of them when asked."""

import math
import textwrap

from estimator.export.follows import weights
from estimator.results import Assumption, Comparison, Estimate
from estimator.scenario import default_scenario

WIDTH = 120
SHOWN = 12
ALWAYS = ("weight_precision",)  # the format of the weights, which no total is derived from by number
RANGELESS = 0.05  # the half range in ln that an input without one is ranked by


def foremost(result: Estimate | Comparison) -> list[str]:
    """Lines with the inputs that were given, are always told or move the total most, and how to see and change all."""
    given = [one for one in result.assumptions if one.given or one.name in ALWAYS]
    moving = ranked(result)
    listed = [*given, *[one for one in moving if one not in given][: max(SHOWN - len(given), 0)]]
    if not listed:
        return []
    rest = len(result.assumptions) - len(listed)
    more = f"; {rest} more, and reasons: --assumptions" if rest else "; reasons: --assumptions"
    items = "; ".join(f"{item.name} = {item.shown}{' *' if item.given else ''}" for item in listed)
    head = f"What it rests on most (* given by you; change any with --set NAME=VALUE{more})"
    return [head, *textwrap.wrap(items, WIDTH, break_long_words=False), *_drivers(result)]


def _drivers(result: Estimate | Comparison) -> list[str]:
    """What makes the range of an estimate's total."""
    if not isinstance(result, Estimate) or result.total_usd.design.sampled:
        return []
    shares = [f"{factor} {share:.0%}" for factor, share in result.drivers().items() if share >= 0.01]
    return [f"What makes the range of its total: {', '.join(shares)}."] if shares else []


def every(result: Estimate | Comparison) -> str:
    """All inputs with the reason for each, what matters most first."""
    moving = ranked(result)
    rest = [one for one in result.assumptions if one not in moving]
    lines = [f"{one.name} = {one.shown}{' *' if one.given else ''}: {one.why}" for one in (*moving, *rest)]
    head = "Inputs, those that move the total most first (* given by you); change any with --set NAME=VALUE"
    return "\n".join([head, *(textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in lines)])


def ranked(result: Estimate | Comparison) -> list[Assumption]:
    """The numbers among the inputs that move a total, most first."""
    answers = [result] if isinstance(result, Estimate) else result.estimates
    scores: dict[str, float] = {}
    for answer in answers:
        if isinstance(answer, Estimate) and not answer.total_usd.design.sampled:
            for name, score in _scores(answer).items():
                scores[name] = max(scores.get(name, 0.0), score)
    found = [one for one in result.assumptions if one.name in scores]
    return sorted(found, key=lambda one: -scores[one.name])


def _scores(answer: Estimate) -> dict[str, float]:
    """How far the range of each input moves the total, or where that is unknown the time [1, in ln]."""
    figure, amounts = answer.total_usd if answer.total_usd.known else answer.calendar_s, default_scenario().amounts
    found: dict[str, float] = {}
    for leaf, weight in weights(figure).values():
        name = leaf.key
        if name in amounts:
            column = leaf.column.tolist()
            half = math.log(max(column) / min(column)) / 2 if min(column) > 0 else 0.0
            found[name] = weight * max(half, RANGELESS)
    return found
