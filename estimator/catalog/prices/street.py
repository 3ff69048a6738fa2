"""What accelerators that nobody rents out are bought for, from hardware/prices/street.csv: dated, most from memory."""

from typing import NamedTuple

from estimator.catalog.files import cached, folders, number, rows, source_of
from estimator.errors import InvalidInput
from estimator.records import Source

COLUMNS = ("accelerator", "price_usd", "valid_from", "source")
MOST_USD = 1e7


class StreetPrice(NamedTuple):
    """Of one accelerator, or of the whole machine where it is sold as one [USD]."""

    usd: float
    valid_from: str
    source: Source


def street_price(name: str) -> StreetPrice | None:
    """The newest price of an accelerator, the user's lists first; `None` where nobody wrote one down.

    >>> street_price("rtx-4080").usd, street_price("h100-sxm") is None
    (950.0, True)
    """
    return _listed().get(name)


@cached
def _listed() -> dict[str, StreetPrice]:
    found: dict[str, StreetPrice] = {}
    for path in (folder / "street.csv" for folder in folders("prices")):
        listed = rows(path, COLUMNS) if path.is_file() else []
        for row in sorted(listed, key=lambda row: row["valid_from"], reverse=True):
            usd = number(row["price_usd"], f"street.csv, {row['accelerator']}: price_usd")
            if usd is None:
                continue
            if not 0 < usd <= MOST_USD:
                raise InvalidInput(f"street.csv, {row['accelerator']}: price_usd must be above 0 and possible")
            source = source_of(row)._replace(date=row["valid_from"])
            found.setdefault(row["accelerator"], StreetPrice(usd, row["valid_from"], source))
    return found
