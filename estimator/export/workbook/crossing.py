"""From which volume one approach costs less than another for good, as live formulas: what the command says.

Each approach has a row of what its cost is made of, each pair a row of how its crossing is found; both are cells of the
Break-even sheet, so that every formula is short.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from estimator.decide.break_even import BreakEven, Curve, curve, pairs
from estimator.export.formula_text import Expr, called, choose, expr, summed
from estimator.export.workbook.book import Book
from estimator.formulas import money
from estimator.quantities import Quantity
from estimator.results import Estimate, Line

SHEET = "Break-even"
JUST = 1e-9  # of a volume: how far beside a crossing the cheaper one is asked
WHAT = "Cost over the horizon: fixed + of a request x volume + of a replica x replica months"
COSTS = (
    *("Approach", "", "Fixed", "Of a request a month", "Of a replica a month", "Requests it carries", "Least replicas"),
    *("Growth", "Months"),
)
FOUND = (
    "Cheaper for good",
    "than",
    "Volume as exported, or replicas full",
    "in month",
    "Replica months of the second",
    "of the first",
    "Where both cost the same",
    "Just below",
    "Just above",
    *("Second, just below", "Second, just above", "First, just below", "First, just above"),
)


@dataclass(frozen=True, slots=True, eq=False)
class LiveCost:
    """A cost over the horizon as a function of volume, in cells; the parts are those of formulas.break_even.Cost."""

    curve: Curve
    fixed: Expr
    slope: Expr
    per_replica: Expr
    carried: Expr
    least: Expr
    growth: Expr
    months: Expr

    @property
    def stairs(self) -> bool:
        """Whether whole replicas are in it."""
        return self.curve.expected.usd_per_replica != 0

    def replicas(self, volume: Expr) -> Expr:
        """Replicas of all months together; 0 where there are none to count."""
        if not self.stairs:
            return expr(0.0)
        cost = self.curve.expected
        needed = f"ROUNDUP({volume.text}*(1+{self.growth.text})^(«months»-1)/{self.carried.text},0)"
        least = f"(({needed}>{self.least.text})*({needed}-{self.least.text})+{self.least.text})"
        count = np.maximum(np.ceil(volume.value * cost.growths / cost.carried), cost.least).sum()
        return Expr(f"SUMPRODUCT((«months»<={self.months.text})*{least})", float(count))

    def at(self, volume: Expr) -> Expr:
        """Cost at a volume."""
        return self.fixed + self.slope * volume + self.per_replica * self.replicas(volume)


def _cost(book: Book, answer: Estimate) -> LiveCost:
    """The curve of an estimate, from the cells of the calculation."""
    found, inputs = curve(answer), {step.key: step.node for _, step in book.steps.of_kind("input")}

    def cell(name: str) -> Expr:
        return book.expected(inputs[name]) if name in inputs else expr(0.0)

    lines = [line for line in answer.lines if line.kind != "contingency"]
    kinds = {line.kind: line for line in lines}
    stairs, requests, share = "idle" in kinds, cell("requests_per_month"), 1 + cell("contingency")
    apart = ("idle", "spare", *(("serving",) if stairs else ()))
    rest = [line for line in lines if line.kind not in apart]

    def added(cost_type: str) -> Expr:
        return summed(book.expected(line.horizon_usd) for line in rest if line.cost_type == cost_type)

    fixed, variable = added("fixed") * share, added("variable")
    none = expr(0.0)
    per_replica, carried, least = none, expr(1.0), none
    if stairs:
        idle, used = kinds["idle"], kinds["serving"]
        price = book.expected(idle.unit_price)
        seconds = book.expected(used.horizon_quantity)
        variable = variable + (book.expected(used.horizon_usd) - seconds / money.SECONDS_PER_HOUR * price)
        per_replica, carried, least, floor = _stairs(book, idle, requests, price * share)
        fixed = fixed + floor * cell("horizon_months")
        spare = next((line.horizon_quantity.inputs["replicas"].inputs for line in lines if line.kind == "spare"), None)
        if spare is not None:
            least = _larger(least, book.expected(spare["fleet"]) / book.expected(spare["accelerators"]))
    return LiveCost(
        found,
        fixed,
        variable * share / requests,
        per_replica,
        carried,
        least,
        cell("growth_per_month"),
        cell("horizon_months"),
    )


def _larger(one: Expr, other: Expr) -> Expr:
    return called("MAX", np.maximum, one, other)


def _stairs(book: Book, idle: Line, requests: Expr, price: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    """What a replica for the peak costs a month, carries, how many stay on, and what those cost a month beside it."""
    on = idle.quantity.inputs["always_on_s"].inputs
    follows = on["replicas"].formula is money.switched_on
    load = on["replicas"].inputs["replicas"].inputs if follows else on["replicas"].inputs
    cells = {name: book.expected(figure) for name, figure in load.items()}
    part = 1 / book.expected(on["replicas"].inputs["peak_to_mean"]) if follows else expr(1.0)
    usable = cells["capacity_requests_per_s"] * cells["target_utilisation"]
    one = book.expected(on["accelerators"]) * money.SECONDS_PER_MONTH / money.SECONDS_PER_HOUR * price
    carried = requests * usable / cells["peak_requests_per_s"]
    floor = one * (1 - part) * cells["least_replicas"] if follows else expr(0.0)
    return one * part, carried, cells["least_replicas"], floor


class Crossings:
    """The rows of costs and of how crossings are found, from `row` on; crossings are asked for by pair."""

    def __init__(self, book: Book, row: int, answers: list[Estimate]) -> None:
        self.book = book
        known = [one for one in answers if _has_curve(one)]
        book.text(
            SHEET,
            row,
            0,
            "Cost over the horizon: fixed + of a request x volume + of a replica x replica months",
            "section",
        )
        book.heads(SHEET, row + 1, COSTS)
        self.costs = {one.stage: self._row(row + 2 + index, one) for index, one in enumerate(known)}
        self.last = row + 1 + len(known)
        self.row = self.last + 2
        book.text(SHEET, self.row, 0, "How the volumes above are found", "section")
        book.heads(SHEET, self.row + 1, FOUND)
        self.row += 2

    def _row(self, row: int, answer: Estimate) -> LiveCost:
        found = _cost(self.book, answer)
        self.book.text(SHEET, row, 0, answer.title)
        parts = (found.fixed, found.slope, found.per_replica, found.carried, found.least, found.growth, found.months)
        cells = [_local(self.book.formula(SHEET, row, column, part)) for column, part in enumerate(parts, 2)]
        return LiveCost(found.curve, *cells)

    def of(self, a: Estimate, b: Estimate) -> tuple[str, Expr, Expr] | None:
        """Which of two becomes cheaper for good, from which volume on, and whether that holds as the inputs stand.

        None where a cost is unknown or nothing is asked.
        """
        if a.stage not in self.costs or b.stage not in self.costs:
            return None
        (found,) = pairs((a, b))
        by_title = {one.title: self.costs[one.stage] for one in (a, b)}
        if not found.exists or found.cheaper_from.value <= 1:
            return found.b, expr(found.cheaper_from.value if found.exists else "never"), expr("as exported")
        volume = self._found(found, by_title[found.a], by_title[found.b])
        if volume is None:  # replicas too many to count: a straight line in their place
            return found.b, Expr(f"{found.cheaper_from.value!r}", found.cheaper_from.value), expr("as exported")
        return found.b, volume, self._holds(volume, by_title[found.a], by_title[found.b])

    def _found(self, found: BreakEven, before: LiveCost, after: LiveCost) -> Expr | None:
        """The last crossing: a jump of one cost, or where the straight pieces beside it meet."""
        book, row, value = self.book, self.row, found.cheaper_from.value
        book.text(SHEET, row, 0, found.b)
        book.text(SHEET, row, 1, found.a)
        for cost in (before, after):
            for full, month in _jumps(cost, value):
                if _is(full * cost.carried.value / (1 + cost.growth.value) ** (month - 1), value):
                    of, when = (_local(book.number(SHEET, row, 2 + at, n)) for at, n in enumerate((full, month)))
                    return self._put(6, of * cost.carried / (1 + cost.growth) ** (when - 1))
        start = _local(book.number(SHEET, row, 2, value))
        low, high = (self._put(4 + at, cost.replicas(start)) for at, cost in enumerate((before, after)))
        apart = after.fixed - before.fixed + after.per_replica * high - before.per_replica * low
        meets = apart / (before.slope - after.slope)
        return self._put(6, meets) if _is(meets.value, value) else None

    def _holds(self, volume: Expr, before: LiveCost, after: LiveCost) -> Expr:
        beside = [self._put(7 + at, volume * end) for at, end in enumerate((1 - expr(JUST), 1 + expr(JUST)))]
        costs = [self._put(9 + at, cost.at(where)) for at, (cost, where) in enumerate(product((before, after), beside))]
        self.row += 1
        return choose((costs[0] - costs[2]) * (costs[1] - costs[3]) <= 0, "yes", "export again")

    def _put(self, column: int, found: Expr) -> Expr:
        return _local(self.book.formula(SHEET, self.row, column, found))


def _local(cell: Expr) -> Expr:
    """The address within its own sheet."""
    return Expr(cell.text.rpartition("!")[2], cell.value)


def _has_curve(answer: Estimate) -> bool:
    asked: Quantity | None = answer.figure("requests_per_month")
    return answer.total_usd.known and asked is not None and asked.value > 0


def _jumps(cost: LiveCost, value: float) -> Iterator[tuple[float, float]]:
    """So many replicas full, in one of the months: the jumps of a cost that lie nearest a volume."""
    known = cost.curve.expected
    for month, growth in enumerate(known.growths if cost.stairs else (), 1):
        if full := round(value * growth / known.carried):
            yield float(full), float(month)


def _is(found: float, value: float) -> bool:
    return bool(abs(found - value) <= 1e-11 * value)
