"""Today's prices by well-kept libraries, as rows of our lists: `gpuhunt` for accelerators, `genai-prices` for APIs.

gpuhunt (MPL-2.0) fetches what its makers collect of clouds' price lists every day; genai-prices (MIT) carries a
snapshot with each release: a newer release has newer prices. Facts alone are taken over, with the library as source.
"""

import datetime
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from estimator.catalog.accelerators import accelerator_names
from estimator.catalog.files import cached, folders, rows
from estimator.catalog.prices.api import LIBRARY, PRICES, ApiPrice, api_names, api_price, of_library
from estimator.errors import InvalidInput, MissingExtra

LICENCES = {"gpuhunt": "MPL-2.0 (dstackai/gpuhunt)", "genai-prices": "MIT (pydantic/genai-prices)"}
PROVIDERS = {"lambdalabs": "lambda", "vastai": "vast", "oci": "oracle-cloud"}  # what the other lists call them
NAMES = ("name", "memory_gb", "accelerator")
ROUNDING_GB = 4.0  # what libraries call the same memory differs by GiB and GB


class Offer(NamedTuple):
    """An instance as a feed has it [USD/h]; memory_gb: of one accelerator."""

    provider: str
    instance: str
    region: str
    price: float
    count: int  # type: ignore[assignment]  # hides the method of tuples
    name: str
    memory_gb: float
    spot: bool


def gpu_offers() -> list[Offer]:
    """What gpuhunt knows today. InvalidInput, in one line, where it cannot be reached."""
    try:
        import gpuhunt  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtra("gpuhunt", "prices") from None
    logging.getLogger("gpuhunt").setLevel(logging.CRITICAL + 1)  # what goes wrong is one line of ours
    try:
        catalog = gpuhunt.Catalog(balance_resources=False, auto_reload=False)
        catalog.load()
        found = catalog.query(min_gpu_count=1)
    except Exception as error:  # whatever the network or the library says
        raise InvalidInput(f"gpuhunt cannot reach its lists ({_line(error)}): is there a network?") from None
    return [offer_of(item) for item in found]


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def offer_of(item: Any) -> Offer:
    """An item of gpuhunt's catalogue."""
    return Offer(
        provider=item.provider,
        instance=item.instance_name,
        region=item.location,
        price=float(item.price),
        count=int(item.gpu_count),
        name=item.gpu_name or "",
        memory_gb=float(item.gpu_memory or 0),
        spot=bool(item.spot),
    )


def cloud_rows(offers: Iterable[Offer], today: datetime.date) -> tuple[list[dict[str, str]], int]:
    """Rows of cloud.csv, the cheapest offer of a kind, and how many offers are of accelerators nobody here knows."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    unknown = 0
    for offer in sorted(offers, key=lambda offer: offer.price):
        name = known_as(offer.name, offer.memory_gb, offer.instance)
        if name is None or offer.price <= 0 or offer.count < 1:
            unknown += 1
            continue
        commitment = "spot" if offer.spot else "on-demand"
        row = {
            "provider": PROVIDERS.get(offer.provider, offer.provider),
            "instance": offer.instance,
            "accelerator": name,
            "count": str(offer.count),
            "price_per_hour": f"{offer.price:.6g}",
            "currency": "USD",
            "commitment": commitment,
            "region": offer.region,
            "valid_from": today.isoformat(),
            "source": f"gpuhunt, {LICENCES['gpuhunt']}",
            "read_on": today.isoformat(),
            "kind": "read",
            "note": "",
        }
        found.setdefault((row["provider"], offer.instance, name, commitment, offer.region), row)
    return list(found.values()), unknown


def known_as(name: str, memory_gb: float, instance: str = "") -> str | None:
    """Our name of an accelerator that feeds call `name`; by its memory where several share the name.

    >>> known_as("A100", 80, "a2-ultragpu-8g"), known_as("A100", 40), known_as("Riva", 16)
    ('a100-sxm-80gb', 'a100-sxm-40gb', None)
    """
    fits = [
        row["accelerator"]
        for row in _names()
        if row["name"].lower() == name.lower() and abs(float(row["memory_gb"]) - memory_gb) <= ROUNDING_GB
    ]
    wanted = [one for one in fits if "pcie" in one] if "pcie" in instance.lower() else fits
    return next(iter(wanted or fits), None)


@cached
def _names() -> list[dict[str, str]]:
    """What feeds call our accelerators, from feed_names.csv."""
    known = set(accelerator_names())
    found = [row for folder in folders("prices") if (folder / "feed_names.csv").is_file()
             for row in rows(folder / "feed_names.csv", NAMES)]  # fmt: skip
    return [row for row in found if row["accelerator"] in known]


def api_rows(prices: Sequence[ApiPrice], today: datetime.date) -> list[dict[str, str]]:
    """Rows of llm_api.csv; what a feed does not have, such as batch prices, stays as it was listed."""
    found = []
    for price in prices:
        before = api_price(price.name)
        names = [name for name in ApiPrice._fields if name not in ("source", "valid_from")]
        cells = {name: _cell(_either(name, price, before)) for name in names}
        dated = {"valid_from": today.isoformat(), "read_on": today.isoformat(), "kind": "read"}
        found.append({**cells, **dated, "source": f"{price.source.title}, {LICENCES['genai-prices']}"})
    return found


def _cell(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _either(name: str, new: ApiPrice, before: ApiPrice) -> Any:
    """A field of the feed, or what was listed where it has none; of batches only while the plain price is the same."""
    value = getattr(new, name)
    if name in PRICES and value is None and new.input_usd_per_mtok != before.input_usd_per_mtok:
        return None
    return getattr(before, name) if value in (None, "") or name == "mode" else value


def hosted_prices() -> list[ApiPrice]:
    """What genai-prices says of the APIs that are listed here, as its release has it."""
    try:
        from genai_prices import data_snapshot  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtra("genai-prices", "prices") from None
    return list(_hosted(data_snapshot.get_snapshot()))


def _hosted(snapshot: Any) -> Iterator[ApiPrice]:
    providers = {entry.id: entry for entry in snapshot.providers}
    for name in api_names():
        provider, _, model = name.partition(":")
        entry = providers.get(LIBRARY.get(provider, provider))
        found = entry.find_model(model, all_providers=snapshot.providers) if entry is not None else None
        if found is not None and (price := of_library(provider, found)).input_usd_per_mtok is not None:
            yield price._replace(model=model)
