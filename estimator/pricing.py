"""What an hour of an accelerator costs: as given, as owned, or the range of list prices; unknown when nobody knows."""

from dataclasses import dataclass, replace

import numpy as np

from estimator.catalog.energy import depreciation_years, electricity_price, host_power_w, power_fraction, pue
from estimator.catalog.prices import PriceRange, hourly_prices
from estimator.errors import InvalidInput, clipped
from estimator.formulas import money
from estimator.quantities import Design, Quantity, derive, given
from estimator.records import Accelerator, Source

USER_SOURCE = Source("given by you", kind="given")
PRICE = "price_per_hour"  # the key of the price of an accelerator-hour among the inputs
REMEDY = "no list price known: give --price-per-hour (or --purchase-price)"


@dataclass(frozen=True, slots=True)
class Price:
    """How accelerator time is paid. Nothing given: on-demand list prices of all providers.

    per_hour: of one accelerator [USD/h]; purchase: of one that is owned [USD], written off over `years` [year], with
    electricity [USD/kWh], both usual ones unless given; provider, region, commitment (on-demand, spot, ...): which list
    prices count
    """

    per_hour: float | None = None
    purchase: float | None = None
    years: float | None = None
    electricity: float | None = None
    provider: str | None = None
    region: str | None = None
    commitment: str | None = None

    def __post_init__(self) -> None:
        """Refuse prices that are negative, absurd or no numbers."""
        limits = {"per_hour": 1e6, "purchase": 1e8, "years": 100.0, "electricity": 100.0}
        for name, most in limits.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, float | int | np.number) and 0 <= value <= most):
                raise InvalidInput(
                    f"the price ({name.replace('_', ' ')}) must be between 0 and {most:,g}, not {clipped(value)}"
                )
        if self.years == 0:
            raise InvalidInput("the price (years) must be more than 0")
        if self.per_hour is not None and self.purchase is not None:
            raise InvalidInput("give a price per hour or a purchase price, not both")
        if self.purchase is None and (self.years, self.electricity) != (None, None):
            raise InvalidInput("years and electricity belong to an accelerator one owns: give its purchase price too")


def usd_per_hour(device: Accelerator | None, price: Price, design: Design, key: str = PRICE) -> Quantity:
    """Price of one accelerator-hour with its range and source; key: of another than that of the question."""
    name = f"{device.name} per hour" if device else "accelerator per hour"
    if price.per_hour is not None:
        return given(name, price.per_hour, "USD/h", design=design, sources=(USER_SOURCE,), note="given by you", key=key)
    if device is not None and price.purchase is not None:
        return _owned(name, device, price, price.purchase, design)
    found = hourly_prices(device, price.provider, price.region, price.commitment) if device else None
    if found is None:
        return given(name, np.nan, "USD/h", design=design, note=_remedy(price), key=key)
    return given(
        name,
        found.median,
        "USD/h",
        low=found.low,
        high=found.high,
        factor="accelerator price",
        design=design,
        basis="list price",
        sources=found.sources,
        note=_whose(found),
        key=key,
    )


def _whose(found: PriceRange) -> str:
    """Whose prices they are, and of when."""
    who = f"{len(found.providers)} providers" if len(found.providers) > 1 else found.providers[0]
    return f"median of {who}, {found.oldest}" + (f" to {found.newest}" if found.newest != found.oldest else "")


def _remedy(price: Price) -> str:
    asked = [text for text in (price.provider, price.region, price.commitment) if text]
    return f"none is listed for {', '.join(asked)}: leave one out, or give --price-per-hour" if asked else REMEDY


def _owned(name: str, device: Accelerator, price: Price, purchase: float, design: Design) -> Quantity:
    """Depreciation and electricity of an accelerator one owns."""
    tariff, share, building = electricity_price(), power_fraction("serving"), pue()
    watts = ((device.tdp_w or np.nan) * share.value + host_power_w().value) * building.value
    rate = tariff.value if price.electricity is None else price.electricity
    usual = depreciation_years()
    years = usual.value if price.years is None else price.years
    lasts = given("depreciation", years, "year", design=design, sources=(usual.source,) if price.years is None else ())
    found = derive(
        name,
        "USD/h",
        money.owned_usd_per_hour,
        purchase_usd=given(
            "purchase price", purchase, "USD", design=design, sources=(USER_SOURCE,), key="price_purchase"
        ),
        years=lasts,
        power_w=given("power at the socket", watts, "W", design=design, sources=(share.source, building.source)),
        usd_per_kwh=given(
            "electricity", rate, "USD/kWh", design=design, sources=(tariff.source,), key="price_electricity"
        ),
    )
    unknown = f"the rated power of {device.name} is not known: give --price-per-hour"
    return replace(found, note=f"owned, written off over {years:g} years" if found.known else unknown)
