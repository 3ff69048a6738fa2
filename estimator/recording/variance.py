"""Plan against bill: what each line of a budget came to, and whether price, volume, mix or time made the difference.

Of a line with planned quantity q a month, price p and n months, and a bill of Q units costing C over N months:
time = (N - n) q p; volume = N (R - 1) q p, R the growth of all lines that stand for one another (hours of accelerators,
whatever they are used for); mix = (Q - N R q) p; price = C - Q p.
They add up to C - n q p by construction; amounts are decimal numbers, so that they do so to the last digit.

Source: Horngren, Datar and Rajan, Cost Accounting (15th ed.), chapters 7 and 14 (flexible budgets; mix and quantity).
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any, NamedTuple, get_args

from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import read_text, shown
from estimator.results import LineKind
from estimator.shown import SCHEMA_VERSION, Shown

EXACT = Context(prec=60)
ZERO = Decimal(0)
LEAST = Decimal(1).scaleb(-12)
LINE_KINDS = get_args(LineKind)
COSTS = ("EffectiveCost", "BilledCost", "ContractedCost", "ListCost")  # of a bill, the first that it has
QUANTITIES = ("PricingQuantity", "ConsumedQuantity")
ACCELERATORS = ("training", "start", "serving", "idle")
TAG = "estimator_kind"  # of a resource: which lines of the budget it belongs to
# What a FOCUS service category usually pays for, where neither tag nor --map says so.
USUAL = {
    "AI and Machine Learning": "api",
    "Compute": "serving",
    "Storage": "storage",
    "Databases": "storage",
}
UNPLANNED = "not in the budget"


class Amount(NamedTuple):
    """A quantity of something, and what it costs."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO

    def __add__(self, other: "Amount") -> "Amount":  # type: ignore[override]
        return Amount(self.quantity + other.quantity, self.cost + other.cost)


class Planned(NamedTuple):
    """Lines of one kind and unit: what is due once, and every month; driver: the input that moves most of it."""

    once: Amount = Amount()
    monthly: Amount = Amount()
    driver: str = ""

    def over(self, months: int) -> Amount:
        """What is due over so many months."""
        return self.once + Amount(self.monthly.quantity * months, self.monthly.cost * months)


Plan = Mapping[tuple[str, str], Planned]  # by kind and unit
Bill = Mapping[tuple[str, str], Amount]


@dataclass(frozen=True, slots=True)
class Difference:
    """One kind of line: planned and billed [currency], and what made the difference [currency].

    driver: the input of the plan that moves its quantity; other: billed without a quantity in the plan's unit
    """

    kind: str
    unit: str
    driver: str
    planned: Decimal
    billed: Decimal
    price: Decimal = ZERO
    volume: Decimal = ZERO
    mix: Decimal = ZERO
    time: Decimal = ZERO
    other: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Billed less planned."""
        return self.billed - self.planned


PARTS = ("price", "volume", "mix", "time", "other")


@dataclass(frozen=True, slots=True)
class Variance(Shown):
    """Plan against bill over a period. months: planned, and with charges; rows: of the bill that were read."""

    approach: str
    currency: str
    months: tuple[int, int]
    lines: tuple[Difference, ...]
    charges: int

    def rows(self) -> list[dict[str, object]]:
        """One row a kind of line, the largest difference first."""
        return [
            {
                "kind": one.kind,
                "unit": one.unit,
                "driver": one.driver,
                **{name: float(getattr(one, name)) for name in ("planned", "billed", *PARTS)},
                "difference": float(one.total),
            }
            for one in self.lines
        ]

    @property
    def planned(self) -> float:
        """In all [currency]."""
        return float(sum((one.planned for one in self.lines), ZERO))

    def steps(self) -> list[tuple[str, float]]:
        """From plan to bill: each part of each line that is not zero, the largest first [currency]."""
        found = [(f"{one.kind}: {part}", getattr(one, part)) for one in self.lines for part in PARTS]
        return [(step, float(amount)) for step, amount in sorted(found, key=lambda step: -abs(step[1])) if amount]

    def bridge(self) -> list[dict[str, object]]:
        """The same as rows, from the plan to the bill."""
        end = float(sum((one.billed for one in self.lines), ZERO))
        every = [("plan", self.planned), *self.steps(), ("bill", end)]
        return [{"step": step, "amount": amount} for step, amount in every]

    def to_dict(self) -> dict[str, Any]:
        """The content of `to_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "approach": self.approach,
            "currency": self.currency,
            "months_planned": self.months[0],
            "months_billed": self.months[1],
            "charges": self.charges,
            "lines": self.rows(),
            "bridge": self.bridge(),
        }


def variance(
    budget: str | Path,
    actuals: str | Path,
    *,
    approach: str | None = None,
    months: int | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Variance:
    """Compare a budget (`estimator export budget.csv`) with a bill in FOCUS columns.

    approach: which of the budget's approaches was chosen; months: that were planned until now (default: those billed)
    mapping: service or SKU to kind of line, such as {"Amazon EC2": "serving"}
    Raises InvalidInput for files that are none, or in different currencies.
    """
    with localcontext(EXACT):
        plan, named, currency = _plan(budget, approach)
        bill, periods, count = _bill(actuals, currency, mapping or {})
        billed = max(len(periods), 1)
        planned = billed if months is None else months
        lines = sorted(_differences(plan, bill, planned, billed), key=lambda one: -abs(one.total))
        return Variance(named, currency, (planned, billed), tuple(lines), count)


def _differences(plan: Plan, bill: Bill, planned: int, billed: int) -> Iterator[Difference]:
    growth = _growth(plan, bill, billed)  # of each group
    left = dict(bill)
    for (kind, unit), line in plan.items():
        due, base = line.over(planned).cost, line.over(billed)
        found = left.pop((kind, unit), None)
        if found is None or not base.quantity:
            others = [key for key in left if key[0] == kind and key not in plan]
            cost = sum((left.pop(key).cost for key in others), found.cost if found else ZERO)
            yield Difference(kind, unit, line.driver, due, cost, time=base.cost - due, other=cost - base.cost)
            continue
        at_plan = _rounded(found.quantity * base.cost / base.quantity)
        volume = _rounded(base.cost * growth[_group(kind, unit)]) - base.cost
        yield Difference(
            *(kind, unit, line.driver, due, found.cost),
            price=found.cost - at_plan,
            volume=volume,
            mix=at_plan - base.cost - volume,
            time=base.cost - due,
        )
    for (kind, unit), found in left.items():
        yield Difference(kind, unit, "", ZERO, found.cost, other=found.cost)


def _growth(plan: Plan, bill: Bill, months: int) -> dict[tuple[str, str], Decimal]:
    """By group, what was billed of it over what was planned, of lines that have both."""
    before: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    after: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for key in plan.keys() & bill.keys():
        before[_group(*key)] += plan[key].over(months).quantity
        after[_group(*key)] += bill[key].quantity
    return {group: after[group] / planned if planned else Decimal(1) for group, planned in before.items()}


def _group(kind: str, unit: str) -> tuple[str, str]:
    """Lines whose quantities stand for one another: hours of accelerators, whatever they are used for."""
    return ("accelerators" if kind in ACCELERATORS else kind), unit


def _rounded(amount: Decimal) -> Decimal:
    """To a trillionth, so that parts add up to the last digit."""
    return amount.quantize(LEAST)


# --- reading -----------------------------------------------------------------------------------------------------


def _plan(path: str | Path, approach: str | None) -> tuple[Plan, str, str]:
    rows = _table(path, ("x_Approach", "x_Kind", "PricingQuantity", "ListCost", "x_Phase"), "a budget")
    known = list(dict.fromkeys(row["x_Approach"] for row in rows))
    if approach is None and len(known) > 1:
        raise InvalidInput(
            f"the budget holds {', '.join(known)}: say which was chosen, such as --approach {known[0]!r}"
        )
    chosen = known[0] if approach is None else next((one for one in known if one.lower() == approach.lower()), None)
    if chosen is None:
        raise UnknownName("approach", str(approach), known, f"The budget holds {', '.join(known)}.")
    found: dict[tuple[str, str], Planned] = defaultdict(Planned)
    for row in rows:
        if row["x_Approach"] == chosen:
            key = row["x_Kind"], row.get("PricingUnit", "")
            amount = Amount(*(_decimal(row[name], path) for name in ("PricingQuantity", "ListCost")))
            before = found[key]._replace(driver=found[key].driver or row.get("x_Driver", ""))
            if row["x_Phase"] == "one-off":
                found[key] = before._replace(once=before.once + amount)
            else:
                found[key] = before._replace(monthly=before.monthly + amount)
    return found, chosen, _currency(rows, path)


def _bill(path: str | Path, currency: str, mapping: Mapping[str, str]) -> tuple[Bill, set[str], int]:
    rows = _table(path, ("ChargePeriodStart",), "a bill in FOCUS columns")
    if not rows:
        return {}, set(), 0
    cost_column = next((name for name in COSTS if name in rows[0]), None)
    if cost_column is None:
        raise InvalidInput(f"{shown(path)} has no column of costs: FOCUS has {', '.join(COSTS)}")
    if (other := _currency(rows, path)) != currency:
        raise InvalidInput(
            f"the budget is in {currency}, the bill in {other}: export the budget with --currency {other}=..."
        )
    quantity_column = next((name for name in QUANTITIES if name in rows[0]), "")
    found: dict[tuple[str, str], Amount] = defaultdict(Amount)
    periods = set()
    for row in rows:
        key = (_kind(row, mapping), row.get("PricingUnit") or row.get("ConsumedUnit") or "")
        found[key] += Amount(_decimal(row.get(quantity_column, ""), path), _decimal(row[cost_column], path))
        periods.add(row["ChargePeriodStart"][:7])
    return dict(found), periods, len(rows)


def _kind(row: Mapping[str, str], mapping: Mapping[str, str]) -> str:
    """Which kind of line a charge belongs to: as its column, a tag, --map or its category says."""
    told = row.get("x_Kind") or _tag(row.get("Tags", ""))
    if told:
        return told if told in LINE_KINDS else UNPLANNED
    for column in ("SkuId", "ServiceName", "ServiceCategory", "ChargeDescription"):
        if row.get(column) in mapping:
            return mapping[row[column]]
    return USUAL.get(row.get("ServiceCategory", ""), UNPLANNED)


def _tag(text: str) -> str:
    if TAG not in text:
        return ""
    try:
        tags = json.loads(text)
    except ValueError:
        return ""
    return str(tags.get(TAG, "")) if isinstance(tags, dict) else ""


def _table(path: str | Path, needed: Iterable[str], what: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(read_text(path, "bill"), newline=""), restval="")
    try:
        rows = [{name: text or "" for name, text in row.items() if name is not None} for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{shown(path)} is not CSV: {error}") from None
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidInput(f"{shown(path)} is not {what}: it has no column {' or '.join(map(repr, missing))}")
    return rows


def _decimal(text: str, path: str | Path) -> Decimal:
    if not text:
        return ZERO
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise InvalidInput(f"{shown(path)} holds {clipped(text)} where a number must be") from None
    if not found.is_finite() or abs(found.adjusted()) > 24:
        raise InvalidInput(f"{shown(path)} holds {clipped(text)} where an amount must be")
    return found


def _currency(rows: Sequence[Mapping[str, str]], path: str | Path) -> str:
    found = list(dict.fromkeys(row.get("BillingCurrency") or "USD" for row in rows))
    if len(found) > 1:
        raise InvalidInput(f"{shown(path)} is in several currencies ({', '.join(found[:5])}): split it")
    return found[0] if found else "USD"
