"""A dated folder of today's prices, to be named with --facts: what feeds say, and what moved against the lists."""

import csv
import datetime
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from estimator.catalog.files import use_facts
from estimator.catalog.prices import ApiPrice, api_price, hourly_prices
from estimator.catalog.prices.feeds import Offer, api_rows, cloud_rows
from estimator.errors import InvalidInput
from estimator.files import whole_folder, write_text

SAME = 1e-9  # relative: below it a price did not move
OF_APIS = ("input_usd_per_mtok", "output_usd_per_mtok", "cache_read_usd_per_mtok")


class Move(NamedTuple):
    """A price before and now; None where nobody listed one."""

    what: str
    unit: str
    before: float | None
    now: float | None


class Refreshed(NamedTuple):
    """What was written where; unknown: offers of accelerators that nobody here knows."""

    folder: str
    offers: int
    prices: int
    unknown: int
    moves: tuple[Move, ...]


def refresh(folder: str, offers: Sequence[Offer], prices: Sequence[ApiPrice], today: datetime.date) -> Refreshed:
    """Write what the feeds say into a folder, take it as the user's own facts, and say what moved."""
    listed, unknown = cloud_rows(offers, today)
    hosted = api_rows(prices, today)
    if not listed and not hosted:
        raise InvalidInput("the feeds have no price of anything that is known here: nothing is written")
    names = tuple(dict.fromkeys(row["accelerator"] for row in listed))
    apis = tuple(f"{row['provider']}:{row['model']}" for row in hosted)
    before = _prices(names, apis)
    target = Path(folder) / "prices"
    if os.path.lexists(target):
        raise InvalidInput(f"{target} is there already: name a folder of its own for each day's prices")
    with whole_folder(target) as beside:
        for file, rows in (("cloud.csv", listed), ("llm_api.csv", hosted)):
            if rows:
                write_text(beside / file, _table(rows))
    use_facts(folder)
    moves = [Move(*key, before[key], now) for key, now in _prices(names, apis).items() if _moved(before[key], now)]
    return Refreshed(folder, len(listed), len(hosted), unknown, tuple(moves))


def _prices(names: Sequence[str], apis: Sequence[str]) -> dict[tuple[str, str], float | None]:
    """Medians of accelerators and prices of APIs, as the lists stand."""
    found: dict[tuple[str, str], float | None] = {}
    for name in names:
        hourly = hourly_prices(name)
        found[name, "USD/h"] = None if hourly is None else hourly.median
    for name in apis:
        price = api_price(name)
        for column in OF_APIS:
            kind = column.removesuffix("_usd_per_mtok").replace("_", " ")
            found[f"{name} {kind}", "USD/Mtok"] = getattr(price, column)
    return found


def _moved(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > SAME * before


def _table(rows: Sequence[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
