"""The list prices an answer rests on: whose they are, of when, and whether they are old."""

import datetime
import math
from collections.abc import Iterable, Sequence

from estimator.quantities import Quantity
from estimator.results import Estimate
from estimator.text import digits

STALE_DAYS = 180  # older prices are marked


def prices_used(answers: Sequence[Estimate], today: datetime.date | None = None) -> list[str]:
    """One line of the prices by where they were listed, with their age; none where everything is given.

    >>> from estimator import estimate
    >>> answer = estimate("prompt", api="openai:gpt-4o-mini")
    >>> prices_used([answer], datetime.date(2027, 11, 30))[0].partition(" (")[0]
    'Prices: input price 0.15 USD/Mtok, cache read price 0.075 USD/Mtok, output price 0.6 USD/Mtok'
    """
    where: dict[str, list[str]] = {}
    for price in listed_prices(answers):
        where.setdefault(_whose(price, today), []).append(f"{price.name} {digits(price.value)} {price.unit}")
    told = [f"{', '.join(dict.fromkeys(prices))} ({whose})" for whose, prices in where.items()]
    return [f"Prices: {'; '.join(told)}."] if told else []


def listed_prices(answers: Iterable[Estimate]) -> list[Quantity]:
    """Every list price beneath the totals, once; those of nothing left out."""
    nodes = (node for answer in answers for node in answer.total_usd.walk())
    found = {node.name + node.unit: node for node in nodes if node.basis == "list price" and not node.inputs}
    return [node for node in found.values() if "USD" in node.unit and node.value != 0]


def as_of(price: Quantity) -> str:
    """The day of the newest of its sources, as written; empty where none says."""
    return max((source.date for source in price.sources), default="")


def age_days(date: str, today: datetime.date | None = None) -> float:
    """Whole days since a day, month or year [d]; NaN for what is no date.

    >>> age_days("2026-11-22", datetime.date(2026, 11, 30)), age_days("2025", datetime.date(2026, 1, 1))
    (8, 365)
    """
    try:
        return ((today or datetime.date.today()) - datetime.date.fromisoformat((date + "-01-01")[:10])).days
    except ValueError:
        return math.nan


def _whose(price: Quantity, today: datetime.date | None) -> str:
    """Who asks it, as of when, and how long ago that is."""
    days = age_days(as_of(price), today)
    ago = f"{'STALE: ' if days > STALE_DAYS else ''}{days} days old" if days == days else "of unknown age"
    titles = "; ".join(dict.fromkeys(source.title for source in price.sources))
    return ", ".join(filter(None, (price.note or f"{titles}, {as_of(price)}".strip(", "), ago)))
