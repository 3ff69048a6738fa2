"""Money in another currency, at a dated rate that the user gives. US dollars stay the base: this only shows them."""

import csv
import datetime
import io
import json
import re
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

    def to_dict(self) -> dict[str, Any]:
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
    """A result with every money figure in the currency, and the rate among its inputs; anything else unchanged."""
    return changed(thing, lambda figure: _converted_quantity(figure, to))


def _converted_quantity(usd: Quantity, to: Currency) -> Quantity:
    if "USD" not in usd.unit:
        return usd
    source = Source(f"rate of {to.code} given by you", kind="given", date=to.date)
    rate = given(f"{to.code} per USD", to.per_usd, f"{to.code}/USD", design=usd.design, sources=(source,))
    found = derive(usd.name, usd.unit.replace("USD", to.code), product, usd=usd, rate=rate)
    return replace(found, level=usd.level)


def json_with(text: str, to: Currency) -> str:
    """JSON of a result with `currency`, and `in_currency` beside every money figure, which stays as it is."""
    data = {"currency": to.to_dict(), **_beside(json.loads(text), to)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)


def _beside(data: Any, to: Currency) -> Any:
    if isinstance(data, list):
        return [_beside(one, to) for one in data]
    if not isinstance(data, dict):
        return data
    changed = {key: _beside(value, to) for key, value in data.items()}
    if {"value", "unit", "low", "high"} <= set(data) and "USD" in str(data["unit"]):
        ends = {key: None if data[key] is None else data[key] * to.per_usd for key in ("value", "low", "high")}
        changed["in_currency"] = {"unit": data["unit"].replace("USD", to.code), **ends}
    return changed


def csv_with(text: str, to: Currency) -> str:
    """CSV of figures with the same in the currency in further columns, empty for what is not money."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or "unit" not in rows[0]:
        raise InvalidInput("--currency goes with --format table, markdown or json here")
    more = [f"{name}_{to.code}" for name in ("value", "low", "high")]
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], *more, "rate", "rate_date"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row | _columns(row, to))
    return out.getvalue()


def _columns(row: dict[str, str], to: Currency) -> dict[str, Any]:
    if "USD" not in row["unit"]:
        return {}
    shown = {f"{name}_{to.code}": float(row[name]) * to.per_usd for name in ("value", "low", "high") if row[name]}
    return {**shown, "rate": to.per_usd, "rate_date": to.date}
