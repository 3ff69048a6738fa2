"""Accelerators and hosts by the hour, from hardware/prices/cloud.csv and hosts.csv: one dated row per offer."""

import datetime
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from estimator.catalog.accelerators import accelerator, accelerator_names
from estimator.catalog.files import cached, count, folders, number, recent, rows, source_of
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.records import Accelerator, Source

REMEDY = "To add a price, see hardware/README.md."
COMMITMENTS = ("on-demand", "spot", "reserved-1y", "reserved-3y")
CLOUD_COLUMNS = (
    "provider", "accelerator", "count", "price_per_hour", "currency", "commitment", "region", "valid_from", "source"
)  # fmt: skip
MOST_USD_PER_HOUR = 1e9  # of everything in one offer
PROVIDERS = {"amazon": "aws", "google": "gcp", "microsoft": "azure", "gce": "gcp", "oracle": "oracle-cloud"}


class PriceRow(NamedTuple):
    """One offer, per accelerator (or host) and hour [USD/h]."""

    provider: str
    instance: str
    accelerator: str
    count: int  # type: ignore[assignment]  # hides the method of tuples
    usd_per_hour: float
    commitment: str
    region: str
    valid_from: str
    source: Source
    note: str = ""


class PriceRange(NamedTuple):
    """What providers ask: 10th percentile, median and 90th percentile of the providers' own medians [USD/unit]."""

    low: float
    median: float
    high: float
    unit: str
    providers: tuple[str, ...]
    oldest: str
    newest: str
    sources: tuple[Source, ...]
    rows: tuple[PriceRow, ...] = ()
    note: str = ""

    def age_days(self, today: datetime.date | None = None) -> int:
        """Days since the newest row [d]."""
        return ((today or datetime.date.today()) - _date(self.newest)).days


@recent(256)
def hourly_prices(
    device: Accelerator | str, provider: str | None = None, region: str | None = None, commitment: str | None = None
) -> PriceRange | None:
    """Price of one accelerator for an hour across offers, or `None` when nobody is known to offer it.

    provider: one, or several with commas; commitment: on-demand when not given
    Per provider the median over its instances and regions counts, so that long lists do not outvote short ones.

    >>> found = hourly_prices("h100")
    >>> 2 < found.low < found.median < found.high < 20
    True
    >>> hourly_prices("h20") is None
    True
    """
    name = device.name if isinstance(device, Accelerator) else accelerator(device).name
    wanted = _commitment(commitment)
    offers = [row for row in price_rows(name) if row.commitment == wanted]
    if provider is not None:
        known = {_known_provider(one) for one in provider.split(",")}
        offers = [row for row in offers if row.provider in known]
    if region is not None:
        offers = _in_region(offers, region)
    return _range_of(offers, "USD/h") if offers else None


def common_providers(names: Iterable[str], commitment: str | None = None) -> tuple[str, ...]:
    """Who lists every one of some accelerators that anybody lists, so that their prices compare.

    >>> common_providers(["b200", "h100"])
    ('aws', 'nebius', 'vast', 'verda')
    """
    found = [hourly_prices(name, commitment=commitment) for name in names]
    listed = [set(one.providers) for one in found if one is not None]
    return tuple(sorted(set.intersection(*listed))) if listed else ()


@cached
def price_rows(name: str) -> tuple[PriceRow, ...]:
    """The newest row of every offer of an accelerator; the user's own prices replace those that ship.

    A row of the user's whose price is empty says that it is not known, and replaces them too.
    """
    for table in _cloud_tables():
        listed = [row for row in table if row["accelerator"] == name]
        offers = filter(None, map(_price_row, listed))
        newest: dict[tuple[str, ...], PriceRow] = {}
        for row in sorted(offers, key=lambda row: row.valid_from):
            newest[row.provider, row.instance, str(row.count), row.region, row.commitment] = row
        if listed:
            return tuple(newest.values())
    return ()


@cached
def price_providers() -> tuple[str, ...]:
    """Everyone with a price for some accelerator."""
    return tuple(sorted({row["provider"].lower() for row in _offers()}))


def _known_provider(provider: str) -> str:
    name = PROVIDERS.get(provider.strip().lower(), provider.strip().lower())
    if name not in price_providers():
        raise UnknownName("provider", provider, price_providers(), REMEDY)
    return name


def _commitment(text: str | None) -> str:
    known = {*COMMITMENTS, *(row["commitment"] for row in _offers())}
    name = "on-demand" if text is None else text.strip().lower().replace("_", "-").replace("ondemand", "on-demand")
    if name not in known:
        raise UnknownName("commitment", str(text), known, f"Known are {', '.join(sorted(known))}.")
    return name


def _in_region(offers: list[PriceRow], region: str) -> list[PriceRow]:
    regions = {row["region"] for row in _offers()} - {"", "all"}
    by_name = {known.lower(): known for known in regions}
    wanted = by_name.get(region.strip().lower())
    if wanted is None:
        raise UnknownName("region", region, by_name, REMEDY)
    return [row for row in offers if row.region in (wanted, "all")]


def _offers() -> Iterator[dict[str, str]]:
    """Every row with a price for a known number of accelerators."""
    return (row for table in _cloud_tables() for row in table if row["price_per_hour"].strip() and row["count"].strip())


@cached
def _cloud_tables() -> tuple[list[dict[str, str]], ...]:
    """The rows of every cloud.csv, not yet understood: few of them are asked for."""
    tables = tuple(
        rows(folder / "cloud.csv", CLOUD_COLUMNS) for folder in folders("prices") if (folder / "cloud.csv").is_file()
    )
    known = set(accelerator_names())
    for row in (row for table in tables for row in table if row["accelerator"] not in known):
        where = f"cloud.csv, {row['provider']} {row.get('instance', '')}"
        raise UnknownName("accelerator", row["accelerator"], known, f"It stands in {where}.")
    return tables


def _price_row(row: dict[str, str]) -> PriceRow | None:
    """One row of cloud.csv; `None` where the number of accelerators is not known."""
    where = f"cloud.csv, {row['provider']} {row.get('instance', '')}"
    price, together = number(row["price_per_hour"], f"{where}: price_per_hour"), count(row["count"], f"{where}: count")
    if row["currency"] != "USD":
        raise InvalidInput(f"{where}: prices must be in USD, not {clipped(row['currency'])}")
    if price is None or together is None:
        return None
    if not 0 < price <= MOST_USD_PER_HOUR or together < 1:
        raise InvalidInput(f"{where}: price and count must be above 0 and possible; leave an unknown price empty")
    return PriceRow(
        provider=row["provider"].lower(),
        instance=row.get("instance", ""),
        accelerator=row["accelerator"],
        count=together,
        usd_per_hour=price / together,
        commitment=row["commitment"],
        region=row["region"],
        valid_from=row["valid_from"],
        source=source_of(row),
        note=row.get("note", ""),
    )


def _range_of(offers: Iterable[PriceRow], unit: str) -> PriceRange:
    found = tuple(offers)
    by_provider = {row.provider: [r.usd_per_hour for r in found if r.provider == row.provider] for row in found}
    medians = [quantile(prices, 0.5) for prices in by_provider.values()]
    spread = medians if len(medians) > 1 else [row.usd_per_hour for row in found]
    dates = sorted(row.valid_from for row in found)
    return PriceRange(
        low=quantile(spread, 0.1),
        median=quantile(medians, 0.5),
        high=quantile(spread, 0.9),
        unit=unit,
        providers=tuple(sorted(by_provider)),
        oldest=dates[0],
        newest=dates[-1],
        sources=tuple(dict.fromkeys(row.source for row in found)),
        rows=found,
    )


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated (NumPy's would load much more than it computes).

    >>> quantile([4, 1, 2], 0.5), quantile([1, 2], 0.9)
    (2.0, 1.9)
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def _date(text: str) -> datetime.date:
    """A day, month or year as its first day."""
    try:
        return datetime.date.fromisoformat((text + "-01-01")[:10])
    except ValueError:
        raise InvalidInput(f"a date must be year-month-day, not {clipped(text)}") from None


class HostPrice(NamedTuple):
    """A machine without accelerators [USD/h]."""

    provider: str
    instance: str
    processor: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    commitment: str
    region: str
    valid_from: str
    source: Source


@cached
def host_prices(commitment: str = "on-demand") -> tuple[HostPrice, ...]:
    """Machines without accelerators, cheapest first."""
    found = [
        _host(row)
        for folder in folders("prices")
        if (folder / "hosts.csv").is_file()
        for row in rows(folder / "hosts.csv", HOST_COLUMNS)
        if row["commitment"] == commitment
    ]
    return tuple(sorted(filter(None, found), key=lambda host: host.usd_per_hour))


HOST_COLUMNS = (
    *("provider", "instance", "processor", "vcpus", "memory_gib", "price_per_hour"),
    *("commitment", "region", "valid_from", "source"),
)


def _host(row: dict[str, str]) -> HostPrice | None:
    """One row of hosts.csv; `None` where its size or price is not known."""
    where = f"hosts.csv, {row['provider']} {row['instance']}"
    vcpus = count(row["vcpus"], f"{where}: vcpus")
    memory, price = (number(row[name], f"{where}: {name}") for name in ("memory_gib", "price_per_hour"))
    if not vcpus or not memory or price is None:
        return None
    if memory < 0 or not 0 < price <= MOST_USD_PER_HOUR:
        raise InvalidInput(f"{where}: memory and price must be above 0; leave an unknown price empty")
    return HostPrice(
        provider=row["provider"],
        instance=row["instance"],
        processor=row["processor"],
        vcpus=vcpus,
        memory_gib=memory,
        usd_per_hour=price,
        commitment=row["commitment"],
        region=row["region"],
        valid_from=row["valid_from"],
        source=source_of(row),
    )
