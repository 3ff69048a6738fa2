"""Money in another currency, at a dated rate that the user gives. US dollars stay the base: this only shows them."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from estimator.errors import InvalidInput, clipped
from estimator.formulas.arithmetic import product
from estimator.quantities import Quantity, derive, given
from estimator.records import Source
from estimator.results import changed

FORM = re.compile(r"([A-Za-z]{3})=([\d.]+)@(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency by its three letters, how much of it one US dollar was, and when."""

    code: str
    per_usd: float
    date: str

    def to_dict(self) -> dict[str, str | float]:
        """Plain data."""
        return {"code": self.code, "per_usd": self.per_usd, "date": self.date, "base": "USD"}

    def __str__(self) -> str:
        return (
            f"Money in {self.code} at {self.per_usd:g} {self.code} per USD ({self.date}); inputs and prices are in USD."
        )


def currency(text: str) -> Currency:
    """`EUR=0.92@2026-11-01` as a Currency; InvalidInput when it is not of that form.

    >>> currency("EUR=0.92@2026-11-01").per_usd
    0.92
    """
    found = FORM.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        rate = float(found[2])
        datetime.date.fromisoformat(found[3])
    except ValueError:
        raise InvalidInput(
            f"a currency is given as EUR=0.92@2026-11-01 (per USD, at a date), not {clipped(text)}"
        ) from None
    if not 1e-6 < rate < 1e9:
        raise InvalidInput(f"the rate of {found[1].upper()} must be more than 0, not {rate:g}")
    return Currency(found[1].upper(), rate, found[3])


def converted(thing: Any, to: Currency) -> Any:
    """A result with every money figure in the currency, and the rate among its inputs; anything else unchanged.

    Figures that are plain numbers of a row, such as `usd_per_hour`, stay and have the currency's beside them.
    """
    if isinstance(rows := getattr(thing, "rows", None), tuple):
        thing = replace(thing, rows=tuple(row_in_both(row, to) for row in rows))
    return changed(thing, lambda figure: _converted_quantity(figure, to))


def _converted_quantity(usd: Quantity, to: Currency) -> Quantity:
    if "USD" not in usd.unit:
        return usd
    source = Source(f"rate of {to.code} given by you", kind="given", date=to.date)
    rate = given(f"{to.code} per USD", to.per_usd, f"{to.code}/USD", design=usd.design, sources=(source,))
    found = derive(usd.name, usd.unit.replace("USD", to.code), product, usd=usd, rate=rate)
    return replace(found, level=usd.level)


def data_in_both(data: Mapping[str, Any], to: Currency) -> dict[str, Any]:
    """The plain data of a result with its money in the currency too, that of its flat rows beside."""
    both: dict[str, Any] = in_both(data, to)
    return both | ({"rows": [row_in_both(row, to) for row in data["rows"]]} if "rows" in data else {})


def in_both(data: object, to: Currency) -> Any:
    """Plain data with `in_currency` beside every money figure, which stays as it is."""
    if isinstance(data, list | tuple):
        return [in_both(one, to) for one in data]
    if not isinstance(data, Mapping):
        return data
    both = {key: in_both(value, to) for key, value in data.items()}
    if {"value", "unit", "low", "high"} <= set(data) and "USD" in str(data["unit"]):
        both["in_currency"] = {"unit": data["unit"].replace("USD", to.code), **_ends(data, to)}
    return both


def row_in_both(row: Mapping[str, Any], to: Currency) -> dict[str, object]:
    """A row with its money in the currency too: beside its value and ends, or beside every column named in USD."""
    rate = {"rate": to.per_usd, "rate_date": to.date}
    if {"value", "unit", "low", "high"} <= set(row):
        money = "USD" in row["unit"]
        ends = _ends(row, to) if money else dict.fromkeys(ENDS, "")
        shown = {f"{name}_{to.code}": end for name, end in ends.items()}
        return {**row, **shown, **(rate if money else dict.fromkeys(rate, ""))}
    columns = {name: value for name, value in row.items() if "usd" in name}
    own = {name.replace("usd", to.code.lower()): _times(value, to) for name, value in columns.items()}
    return {**row, **own, **rate} if own else dict(row)


ENDS = ("value", "low", "high")


def _ends(figure: Mapping[str, object], to: Currency) -> dict[str, object]:
    return {name: _times(figure[name], to) for name in ENDS}


def _times(value: object, to: Currency) -> object:
    """The same in the currency; what is no number (unknown, empty) as it is."""
    return value * to.per_usd if isinstance(value, int | float) else value
