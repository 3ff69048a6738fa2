"""Budget lines as flat rows: FOCUS column names where the meaning is the same, our own begin with `x_`.

Names follow the FinOps Open Cost and Usage Specification 1.2 (focus.finops.org); no conformance is claimed: an estimate
is not a bill.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from estimator.errors import UnknownName
from estimator.export.rows import harmless
from estimator.formulas import money
from estimator.quantities import Quantity
from estimator.results import Comparison, Estimate, Line

# What a quantity is divided by so that it is in the unit its price is for, and what FOCUS calls that unit.
PRICED_IN = {
    "USD/h": (money.SECONDS_PER_HOUR, "Hours"),
    "USD/Mtok": (money.TOKENS_PER_PRICE_UNIT, "1 Million Tokens"),
    "USD/GB/month": (money.BYTES_PER_GB, "GB-Months"),
    "USD/GiB/month": (money.BYTES_PER_GIB, "GiB-Months"),
}
SMALL_UNITS = ("s", "s/month", "token", "token/month", "B", "B/month")  # units that prices are not quoted in
COLUMNS = (
    "x_Approach",
    "ChargeDescription",
    "x_Phase",
    "ChargeFrequency",
    "x_CostType",
    "x_Driver",
    "x_Kind",
    "PricingQuantity",
    "PricingUnit",
    "ListUnitPrice",
    "BillingCurrency",
    "x_RatePerUsd",
    "x_RateDate",
    "x_CostLow",
    "ListCost",
    "x_CostHigh",
    "x_Period",
    "x_HorizonCostLow",
    "x_HorizonCost",
    "x_HorizonCostHigh",
    "x_ContingencyShare",
    "x_Basis",
    "x_Source",
    "x_AsOf",
)
# Plain words for --fields.
ALIASES = {
    "approach": "x_Approach",
    "item": "ChargeDescription",
    "phase": "x_Phase",
    "cost_type": "x_CostType",
    "driver": "x_Driver",
    "kind": "x_Kind",
    "quantity": "PricingQuantity",
    "unit": "PricingUnit",
    "unit_price": "ListUnitPrice",
    "currency": "BillingCurrency",
    "low": "x_CostLow",
    "expected": "ListCost",
    "high": "x_CostHigh",
    "period": "x_Period",
    "contingency": "x_ContingencyShare",
    "basis": "x_Basis",
    "source": "x_Source",
    "as_of": "x_AsOf",
}


def scale(line: Line) -> tuple[float, str]:
    """Divisor that brings the quantity into its price's unit, and that unit."""
    price_unit = line.unit_price.unit.replace(code(line), "USD")
    divisor, unit = PRICED_IN.get(price_unit, (1.0, line.quantity.unit))
    if line.quantity.unit in SMALL_UNITS:
        return divisor, unit
    return 1.0, "Hours" if price_unit == "USD/h" else line.quantity.unit.removesuffix("/month").replace("1", "Units", 1)


def code(line: Line) -> str:
    """The currency of a line's money."""
    return line.usd.unit.partition("/")[0]


def rate(line: Line) -> Quantity | None:
    """How much of the currency a dollar is; None where money is in dollars."""
    return line.usd.inputs["rate"] if code(line) != "USD" else None


def words(answer: Estimate, line: Line) -> dict[str, str]:
    """The columns of a line that are text."""
    price, exchange = line.unit_price, rate(line)
    if exchange is not None:
        price = price.inputs.get("usd", price)
    recurring = "Usage-Based" if line.cost_type == "variable" else "Recurring"
    return {
        "x_Approach": answer.title,
        "ChargeDescription": line.item,
        "x_Phase": line.phase,
        "ChargeFrequency": "One-Time" if line.phase == "one-off" else recurring,
        "x_CostType": line.cost_type,
        "x_Driver": line.driver,
        "x_Kind": line.kind,
        "PricingUnit": scale(line)[1],
        "BillingCurrency": code(line),
        "x_RateDate": "" if exchange is None else exchange.sources[0].date,
        "x_Period": "once" if line.phase == "one-off" else "month 1",
        "x_Basis": line.usd.basis,
        "x_Source": "; ".join(source.title for source in price.citations()),
        "x_AsOf": max((source.date for source in price.citations()), default=""),
    }


def rows(comparison: Comparison) -> Iterator[dict[str, object]]:
    """One row a line, of every approach that can be done."""
    for answer in comparison.estimates:
        if isinstance(answer, Estimate):
            yield from (_row(answer, line) for line in answer.lines)


def _row(answer: Estimate, line: Line) -> dict[str, object]:
    low, high = line.usd.interval()
    horizon_low, horizon_high = line.horizon_usd.interval()
    exchange = rate(line)
    numbers = {
        "x_RatePerUsd": 1.0 if exchange is None else exchange.value,
        "PricingQuantity": line.quantity.value / scale(line)[0],
        "ListUnitPrice": line.unit_price.value,
        "x_CostLow": low,
        "ListCost": line.usd.value,
        "x_CostHigh": high,
        "x_HorizonCostLow": horizon_low,
        "x_HorizonCost": line.horizon_usd.value,
        "x_HorizonCostHigh": horizon_high,
        "x_ContingencyShare": reserve_share(answer),
    }
    cells = {**words(answer, line), **{name: None if value != value else value for name, value in numbers.items()}}
    return {name: cells[name] for name in COLUMNS}


def reserve(answer: Estimate) -> Quantity | None:
    """The share of a reserve, where the scenario has one."""
    return next((line.unit_price for line in answer.lines if line.kind == "contingency"), None)


def reserve_share(answer: Estimate) -> float:
    """The same as a number."""
    share = reserve(answer)
    return share.value if share else 0.0


def budget_csv(comparison: Comparison, fields: Sequence[str] = (), excel: bool = False) -> str:
    """Budget lines as CSV; excel: byte-order mark, semicolons and decimal commas, for countries that write 0,5.

    Raises UnknownName for a field that does not exist.
    """
    chosen = [_field(name) for name in fields] or list(COLUMNS)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n" if excel else "\n", delimiter=";" if excel else ",")
    writer.writerow(chosen)
    for row in rows(comparison):
        writer.writerow([_cell(row[name], excel) for name in chosen])
    return ("\ufeff" if excel else "") + out.getvalue()


def _field(name: str) -> str:
    found = {**{column.lower(): column for column in COLUMNS}, **ALIASES}.get(name.strip().lower())
    if found is None:
        raise UnknownName("field", name, (*ALIASES, *COLUMNS), f"Fields are {', '.join(ALIASES)}.")
    return found


def _cell(value: object, excel: bool) -> object:
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.10g}"
        return text.replace(".", ",") if excel else text
    return harmless(value)
