"""List prices: accelerators and hosts by the hour, APIs by the token, fine-tuning services. Unknown is None, never 0.

Price files hold one dated row per offer and are only ever added to; low, median and high are computed here.
"""

from estimator.catalog.prices.api import ApiPrice, api_names, api_price
from estimator.catalog.prices.hourly import (
    HostPrice,
    PriceRange,
    PriceRow,
    common_providers,
    host_prices,
    hourly_prices,
    price_providers,
    price_rows,
)
from estimator.catalog.prices.street import StreetPrice, street_price
from estimator.catalog.prices.tuning import fine_tuning_price

__all__ = [
    "ApiPrice",
    "HostPrice",
    "PriceRange",
    "PriceRow",
    "StreetPrice",
    "api_names",
    "api_price",
    "common_providers",
    "fine_tuning_price",
    "host_prices",
    "hourly_prices",
    "price_providers",
    "price_rows",
    "street_price",
]
