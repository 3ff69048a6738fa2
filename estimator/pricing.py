"""What an hour of an accelerator costs: as given, as owned, or the range of list prices; unknown when nobody knows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from estimator.catalog.energy import depreciation_years, electricity_price, host_power_w, power_fraction, pue
from estimator.catalog.facts import Fact
from estimator.catalog.files import recent
from estimator.catalog.prices import PriceRange, hourly_prices, street_price
from estimator.errors import InvalidInput, clipped
from estimator.formulas import energy, money
from estimator.quantities import ONE_AT_A_TIME, Design, Quantity, derive, given
from estimator.records import Accelerator, Source
from estimator.scenario import Scenario, default_scenario

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
    """Price of one accelerator-hour with its range and source; key: of another than that of the question.

    Of an owned one: an hour of serving, with the default scenario's server, rack, interest and electricity.
    """
    name = f"{device.name} per hour" if device else "accelerator per hour"
    if price.per_hour is not None:
        return given(name, price.per_hour, "USD/h", design=design, sources=(USER_SOURCE,), note="given by you", key=key)
    if device is not None and price.purchase is not None:
        return own_of(device, price, design, default_scenario()).hour("serving")
    found = hourly_prices(device, price.provider, price.region, price.commitment) if device else None
    if found is None and (bought := bought_at(device, price)) is not None and device is not None:
        return own_of(device, bought, design, default_scenario()).hour("serving")
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
        sources=_dated(found),
        note=_whose(found),
        key=key,
    )


def _dated(found: PriceRange) -> tuple[Source, ...]:
    """The sources, each as of the newest price that was read in it."""
    newest: dict[Source, str] = {}
    for row in found.rows:
        newest[row.source] = max(row.valid_from, newest.get(row.source, ""))
    return tuple(source._replace(date=date) for source, date in newest.items())


MOST_NAMED = 6  # providers; of more their number is said


def _whose(found: PriceRange) -> str:
    """Whose prices they are, and of when."""
    many, named = len(found.providers), ", ".join(found.providers[:MOST_NAMED])
    more = f" and {many - MOST_NAMED} more" if many > MOST_NAMED else ""
    return f"median of {named}{more}, {found.oldest}" + (f" to {found.newest}" if found.newest != found.oldest else "")


def _remedy(price: Price) -> str:
    asked = [text for text in (price.provider, price.region, price.commitment) if text]
    return f"none is listed for {', '.join(asked)}: leave one out, or give --price-per-hour" if asked else REMEDY


def bought_at(device: Accelerator | None, price: Price) -> Price | None:
    """The street price of an accelerator that nobody lists by the hour, where nothing else was asked for."""
    asked = (price.per_hour, price.purchase, price.provider, price.region, price.commitment)
    if device is None or any(one is not None for one in asked) or hourly_prices(device) is not None:
        return None
    street = street_price(device.name)
    return None if street is None or device.tdp_w is None else replace(price, purchase=street.usd)


class Owned(NamedTuple):
    """An accelerator one owns: what it costs every hour, used or not, and the electricity of what it does."""

    device: Accelerator
    standing: Quantity
    usd_per_kwh: Quantity
    pue: Quantity

    def hour(self, activity: str) -> Quantity:
        """An hour of some activity, electricity included [USD/h]."""
        found = derive(
            f"{self.device.name} per hour, {activity}",
            "USD/h",
            money.powered_usd_per_hour,
            usd_per_hour=self.standing,
            power_w=power_w(self.device, activity, self.pue),
            usd_per_kwh=self.usd_per_kwh,
        )
        unknown = f"the rated power of {self.device.name} is not known: give --price-per-hour"
        return replace(found, note=self.standing.note if found.known else unknown)


def owned(
    device: Accelerator,
    price: Price,
    amount: Callable[[str], Quantity],
    facility_pue: Quantity,
    tax: Quantity | None = None,
) -> Owned:
    """The accelerator at its purchase price; amount: inputs of the scenario by name; tax: on the price, if any [1]."""
    design = facility_pue.design
    tariff, usual = electricity_price(), depreciation_years()
    years = usual.value if price.years is None else price.years
    rate = tariff.value if price.electricity is None else price.electricity
    lasts = given("depreciation", years, "year", design=design, sources=(usual.source,) if price.years is None else ())
    street = street_price(device.name)
    listed = street is not None and price.purchase == street.usd
    paid = given(
        "purchase price",
        price.purchase or 0.0,
        "USD",
        design=design,
        basis="list price" if listed else "assumed",
        sources=(street.source,) if street and listed else (USER_SOURCE,),
        note=str(street.source) if street and listed else "",
        key="price_purchase",
    )
    if tax is not None:
        paid = replace(
            derive("purchase price with tax", "USD", money.with_share, amount=paid, share=tax), note=paid.note
        )
    standing = derive(
        f"{device.name} per hour, used or not",
        "USD/h",
        money.owned_usd_per_hour,
        purchase_usd=paid,
        years=lasts,
        rated_w=given(
            "rated power with the host's share",
            _known_tdp(device) + _host_w(device).value,
            "W",
            design=design,
            basis=device.basis,
            sources=device.sources,
        ),
        **{name: amount(f"owned_{name}") for name in OWNED if not (name == "server_share" and device.kind in WHOLE)},
    )
    electricity = given(
        "electricity", rate, "USD/kWh", design=design, sources=(tariff.source,), key="price_electricity"
    )
    whole = "" if device.kind in WHOLE else " server,"
    note = f"owned, written off over {years:g} years, with{whole} network, rack, support and interest"
    note += f"; at {paid.note}" if listed else ""
    return Owned(device, replace(standing, note=note), electricity, facility_pue)


WHOLE = ("soc", "cpu")  # sold as whole machines
OWNED = (
    *("server_share", "network_share", "residual_share", "interest_per_year", "support_per_year"),
    "rack_usd_per_kw_month",
)


def own_of(device: Accelerator, price: Price, design: Design, asked: Scenario) -> Owned:
    """The same where there is no question: by the inputs of a scenario."""

    def amount(name: str) -> Quantity:
        one = asked.amount(name)
        ends = {"low": one.low, "high": one.high, "factor": one.factor or None}
        return given(name.replace("_", " "), one.value, one.unit, **ends, design=design, note=one.why)  # type: ignore[arg-type]

    building = pue(asked.word("facility"))
    tax = amount("tax") if asked.amount("tax").value else None
    return owned(device, price, amount, _ranged("power usage effectiveness", building, "1", design), tax)


def power_w(device: Accelerator, activity: str, facility_pue: Quantity) -> Quantity:
    """Power at the socket of an accelerator that does something, with the host's share and cooling [W]."""
    return (_power_once if facility_pue.design is ONE_AT_A_TIME else _power)(device, activity, facility_pue)


def _power(device: Accelerator, activity: str, facility_pue: Quantity) -> Quantity:
    design = facility_pue.design
    return derive(
        f"power at the socket, {activity}",
        "W",
        energy.facility_power_w,
        tdp_w=given(
            f"rated power of {device.name}",
            _known_tdp(device),
            "W",
            design=design,
            basis=device.basis,
            sources=device.sources,
        ),
        power_fraction=_ranged(f"share of rated power, {activity}", power_fraction(activity), "1", design),
        host_w=_ranged("power of the host, per accelerator", _host_w(device), "W", design),
        pue=facility_pue,
    )


_power_once = recent(256)(_power)


def _known_tdp(device: Accelerator) -> float:
    return np.nan if device.tdp_w is None else device.tdp_w


def _host_w(device: Accelerator) -> Fact:
    """What else a machine draws per accelerator; processors and whole computers are rated with it."""
    found = host_power_w()
    return found if device.kind in ("gpu", "tpu", "asic") else found._replace(value=0.0, low=0.0, high=0.0)


def _ranged(name: str, found: Fact, unit: str, design: Design) -> Quantity:
    return given(
        name,
        found.value,
        unit,
        low=found.low if np.isfinite(found.low) else None,
        high=found.high if np.isfinite(found.high) else None,
        factor="power",
        design=design,
        basis="published",
        sources=(found.source,),
    )
