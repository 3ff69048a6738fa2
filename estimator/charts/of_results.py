"""Which pictures go with which result, the one that says most first; none where nothing is known to draw."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from estimator.charts.decision import cost_over_volume, estimates_of, spectrum, totals, where_it_goes
from estimator.charts.grammar import Spec
from estimator.errors import EstimatorError
from estimator.results import Comparison, Estimate

if TYPE_CHECKING:
    from estimator.decide.recommend import Recommendation
    from estimator.recording.variance import Variance
    from estimator.results import ServingAnswer
    from estimator.search import Search
    from estimator.sensitivity import Sensitivity
    from estimator.verdict import Check

STEPS = 10  # of a bridge from plan to bill, the largest; those left are one


def comparison(found: Comparison) -> list[Spec]:
    """Totals, the spectrum, and cost over volume of what is in question by volume."""
    known = estimates_of(found)
    moving = [one for one in known if one.stage != "pretrain"]
    timed = [one for one in found.estimates if isinstance(one, Estimate) and one.calendar_s.known]
    return _drawn(*_of(totals, known), *_of(spectrum, timed), *_of(cost_over_volume, moving))


def estimate(found: Estimate) -> list[Spec]:
    """Where the money goes."""
    known = found.total_usd.known and found.total_usd.value > 0
    return _drawn(lambda: where_it_goes(found)) if known else []


def recommendation(found: "Recommendation") -> list[Spec]:
    """The spectrum and the totals of what stands."""
    standing = [one.estimate for one in found.options if one.stands and one.estimate]
    known = [one for one in standing if one.total_usd.known]
    return _drawn(*_of(spectrum, [one for one in standing if one.calendar_s.known]), *_of(totals, known))


def sensitivity(found: "Sensitivity") -> list[Spec]:
    """The tornado."""
    from estimator.charts.doubt import tornado

    return _drawn(lambda: tornado(found))


def search(found: "Search") -> list[Spec]:
    """Where the time of a step of the best goes."""
    from estimator.charts.work import split

    parts = {name.removesuffix("_s").replace("_", " "): value for name, value in found.best.parts.items()}
    return _drawn(lambda: split(found.best.text(), parts, "s")) if any(parts.values()) else []


def serving(found: "ServingAnswer") -> list[Spec]:
    """What fills an accelerator; latency against load, where several loads were asked."""
    from estimator.charts.work import latency_against_load, split

    held = {figure.name: figure.value for figure in found.memory.values()}
    title = f"{found.llm} on {found.hardware}"
    rates = [one.figures["requests_per_s"].value / found.replicas for one in found.loads]
    several = len(rates) > 2 and all(low < high for low, high in pairwise(rates))
    loads = (
        [lambda: latency_against_load(f"Latency against load: {title}", np.array(rates), found.arrays)]
        if several
        else []
    )
    return _drawn(lambda: split(title, held, "B"), *loads)


def check(found: "Check") -> list[Spec]:
    """What fills an accelerator, and where the time of a step goes, by the names of the tables."""
    from estimator.charts.work import split
    from estimator.verdict.result import part_title

    best = found.best
    held = {part_title(name): value for name, value in best.memory.items()}
    took = {part_title(name): value for name, value in best.parts.items()}
    title = f"{found.llm} on {best.hardware}"
    memory = [lambda: split(title, held, "B", best.usable_bytes)] if any(held.values()) else []
    return _drawn(*memory, *([lambda: split(title, took, "s")] if any(took.values()) else []))


def variance(found: "Variance") -> list[Spec]:
    """The bridge from plan to bill."""
    from estimator.charts.doubt import bridge

    steps, start = [(step, amount) for step, amount in found.steps() if amount], found.planned
    if not start and not steps:
        return []
    rest = sum(amount for _, amount in steps[STEPS:])
    shown = [*steps[:STEPS], *([(f"{len(steps) - STEPS} smaller ones", rest)] if len(steps) > STEPS else [])]
    return _drawn(
        lambda: bridge(f"{found.approach}: from plan to bill", ("plan", start), shown, "bill", found.currency)
    )


def nothing(_: object) -> list[Spec]:
    """Of a result that has no picture."""
    return []


def _of(picture: Callable[[list[Estimate]], Spec], answers: list[Estimate]) -> list[Callable[[], Spec]]:
    return [lambda: picture(answers)] if answers else []


def _drawn(*pictures: Callable[[], Spec]) -> list[Spec]:
    found = []
    for picture in pictures:
        try:
            found.append(picture())
        except EstimatorError:  # no requests to draw over, say: the others stand
            continue
    return found
