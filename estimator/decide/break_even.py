"""At which volume one way becomes cheaper than another: exact crossing points of what estimates come to.

An estimate's budget lines say how its total depends on the volume: fixed lines, lines that grow with it, and whole
replicas. The curve of an estimate at its own volume is its total, to the last digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from estimator.errors import InvalidInput
from estimator.formulas import Floats, money
from estimator.formulas.break_even import Cost, cheaper_from, crossings, owning_hours, owning_use
from estimator.formulas.units import HOURS_PER_YEAR
from estimator.pricing import Owned, Price, own_of, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME, Design, Quantity, computed, derive, given
from estimator.records import Accelerator
from estimator.results import Estimate, Line, LineKind
from estimator.scenario import scenario
from estimator.text import short


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Total over the horizon as a function of the requests of the first month, in every scenario of an estimate."""

    title: str
    total: Quantity
    requests: Quantity
    costs: tuple[Cost, ...]

    @property
    def expected(self) -> Cost:
        """The cost as expected."""
        return self.costs[0]

    def at(self, volume: Floats | float) -> Floats:
        """Expected total at one or many volumes [USD]."""
        return self.expected.at(volume)

    def ranged(self, volume: float) -> Quantity:
        """Total at one volume with its range [USD]; the volume itself is given, so it adds nothing to the range."""
        column = [float(cost.at(volume)) for cost in self.costs]
        return computed(f"{self.title} at {volume:,.0f} requests", "USD", column, None, total=self.total)


@dataclass(frozen=True, slots=True, eq=False)
class BreakEven:
    """Where b's total over the horizon passes a's. Volumes are requests of the first month [1/month].

    crossings: every volume, as expected, at which the cheaper one changes; none where there is none
    cheaper_from: from there on b stays cheaper, with range; unknown when it never does
    """

    a: str
    b: str
    crossings: tuple[float, ...]
    cheaper_from: Quantity
    volume: float
    cheaper_now: str

    @property
    def exists(self) -> bool:
        """Whether b is ever cheaper for good."""
        return self.cheaper_from.known

    def __str__(self) -> str:
        if not self.exists:
            return f"{self.b} never becomes cheaper than {self.a} by volume."
        value, (low, high) = self.cheaper_from.value, self.cheaper_from.interval()
        if value <= 1:
            return f"{self.b} is cheaper than {self.a} at any volume."
        spread = f"{short(max(low, 0))} to {'never' if np.isinf(high) else short(high)}"
        held = f"{100 * self.cheaper_from.level:g} %"
        return f"{self.b} is cheaper than {self.a} from {short(value)} requests a month ({held}: {spread})."

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a range that reaches to never has no high end."""
        low, high = self.cheaper_from.interval()
        ends = {"low": low, "high": high if np.isfinite(high) else None}
        found = {"value": self.cheaper_from.value, **ends} if self.exists else None
        return {
            "a": self.a,
            "b": self.b,
            "crossings": list(self.crossings),
            "cheaper_from": found,
            "volume": self.volume,
            "cheaper_now": self.cheaper_now,
        }


def curve(estimate: Estimate) -> Curve:
    """How an estimate's total depends on the volume. Raises InvalidInput when a cost is unknown or nothing is asked."""
    if not estimate.total_usd.known:
        raise InvalidInput(f"the cost of {estimate.title} is unknown: give --price-per-hour")
    lines: dict[LineKind, Line] = {line.kind: line for line in estimate.lines if line.kind in ("serving", "idle")}
    rest = [line for line in estimate.lines if line.kind not in ("serving", "idle", "spare", "contingency")]
    spare = next((line for line in estimate.lines if line.kind == "spare"), None)
    inputs = leaves(estimate.total_usd)
    requests, share = inputs["requests_per_month"], 1 + inputs["contingency"].column
    if requests.value == 0:
        raise InvalidInput("a cost over volume needs requests: set requests_per_month above 0")
    stairs = "idle" in lines
    fixed = _added(rest, "fixed", share)
    variable = _added([*rest, *([] if stairs or "serving" not in lines else [lines["serving"]])], "variable", share)
    columns = {"fixed": fixed, "slope": variable / requests.column}
    months = inputs["horizon_months"].column
    if stairs:
        columns |= _replicas(lines["idle"], requests, share)
        columns["slope"] = columns["slope"] + _more_than_idle(lines, share) / requests.column
        if spare is not None:  # what is owned costs as much as that many replicas, whatever is asked
            fleet = spare.horizon_quantity.inputs["replicas"].inputs
            owned = fleet["fleet"].column / fleet["accelerators"].column
            columns["least"] = np.maximum(columns["least"], owned)
        columns["fixed"] = columns["fixed"] + columns.pop("usd_per_floor_month") * months
    columns |= {"growth": inputs["growth_per_month"].column, "months": months.astype(int)}
    width = len(requests.column)
    spread = {name: np.broadcast_to(column, (width,)) for name, column in columns.items()}
    rows = [{name: column[row].item() for name, column in spread.items()} for row in range(width)]
    return Curve(estimate.title, estimate.total_usd, requests, tuple(Cost(**row) for row in rows))


def leaves(quantity: Quantity) -> Mapping[str, Quantity]:
    """The inputs that a figure rests on, by key."""
    return {node.key: node for node in quantity.walk() if node.key}


def _added(lines: list[Line], cost_type: str, share: Floats) -> Floats:
    chosen = [line.horizon_usd.column for line in lines if line.cost_type == cost_type]
    return np.asarray(sum(chosen, np.zeros(1)) * share)


def _more_than_idle(lines: Mapping[LineKind, Line], share: Floats) -> Floats:
    """What the electricity of answering costs more than that of waiting, of owned accelerators [USD]."""
    used, price = lines["serving"], lines["idle"].unit_price.column
    return np.asarray((used.horizon_usd.column - money.machine_usd(used.horizon_quantity.column, price)) * share)


def _replicas(idle: Line, requests: Quantity, share: Floats) -> dict[str, Floats]:
    """What a replica for the peak costs a month and carries of the requests, and what the floor costs beside it.

    A replica that follows the load is on for 1 / peak_to_mean of the time; the floor is on for the rest as well.
    """
    on = idle.quantity.inputs["always_on_s"].inputs
    replicas, follows = on["replicas"], on["replicas"].formula is money.switched_on
    load = replicas.inputs["replicas"].inputs if follows else replicas.inputs
    part = 1 / replicas.inputs["peak_to_mean"].column if follows else np.ones(1)
    usable = load["capacity_requests_per_s"].column * load["target_utilisation"].column
    one = money.machine_usd(money.always_on_s(1.0, on["accelerators"].column), idle.unit_price.column) * share
    return {
        "usd_per_replica": one * part,
        "usd_per_floor_month": one * (1 - part) * load["least_replicas"].column,
        "carried": requests.column * usable / load["peak_requests_per_s"].column,
        "least": load["least_replicas"].column,
    }


def most_used(answer: Estimate) -> Quantity:
    """The share of paid replicas that requests can use at all, however many there are [1]: 1 where seconds are paid.

    Replicas are sized for the peak, with headroom; those that stay on wait in the hours of less load.

    >>> from estimator import estimate
    >>> own = {"model": "8b", "gpu": "h100", "requests_per_month": 1e6}
    >>> found = [most_used(estimate("prompt", billing=how, **own)) for how in ("replicas", "autoscaled", "per-use")]
    >>> [round(one.value, 3) for one in found]
    [0.175, 0.7, 1.0]
    """
    idle = next((line for line in answer.lines if line.kind == "idle"), None)
    if idle is None:
        return given("use of what is paid", 1.0, "1", design=answer.total_usd.design, basis="analytic")
    load = {name: leaves(idle.usd)[name] for name in ("target_utilisation", "peak_to_mean")}
    if idle.quantity.inputs["always_on_s"].inputs["replicas"].formula is money.switched_on:
        return load["target_utilisation"]  # only the headroom is idle, however high the peak
    return derive("use of what is paid", "1", money.mean_use, **load)


def break_even(a: Estimate, b: Estimate) -> BreakEven:
    """From which volume b costs less over the horizon than a: fine-tuning against few-shot prompts, own against API.

    Replicas are whole, so there can be several crossings; all are exact.

    >>> from estimator import estimate
    >>> own = estimate("prompt", model="8b", gpu="h100", requests_per_month=1e5)
    >>> hosted = estimate("prompt", api="openai:gpt-4o-mini", requests_per_month=1e5)
    >>> break_even(hosted, own).cheaper_now == "Prompt engineering"
    True
    """
    first, second = curve(a), curve(b)
    column = [max(cheaper_from(x, y), 1.0) for x, y in zip(first.costs, second.costs, strict=True)]
    found = np.array(column)
    if np.isinf(found[0]):
        found = np.full(len(found), np.nan)
    name = f"volume from which {b.title} is cheaper than {a.title}"
    volume = first.requests.value
    return BreakEven(
        a.title,
        b.title,
        tuple(crossings(first.expected, second.expected)),
        replace(computed(name, "1/month", found, cheaper_from, a=first.total, b=second.total), level=first.total.level),
        volume,
        b.title if second.at(volume) < first.at(volume) else a.title,
    )


def pairs(answers: Sequence[Estimate]) -> tuple[BreakEven, ...]:
    """Every two of some estimates: from which volume which is cheaper; where none is for good, that it never is."""
    found = []
    for place, a in enumerate(answers):
        for b in answers[place + 1 :]:
            one, other = break_even(a, b), break_even(b, a)
            found.append(other if other.exists and not one.exists else one)
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Owning:
    """Owning an accelerator against renting it: hours of use that repay it, and what it costs over its years.

    hours: unknown where it is never repaid [h]; share: of all hours of its years [1]; parts: by name [USD], the same in
    all of them whatever is done, but for the electricity of an hour of use
    """

    hours: Quantity
    share: Quantity
    parts: Mapping[str, Quantity]


def owning(device: Accelerator, purchase_usd: float, rent: Price | None = None, **owned: Any) -> Owning:
    """Hours of use after which owning an accelerator beats renting it.

    owned: years and electricity, as of Price, and inputs of the scenario such as owned_interest_per_year and facility

    >>> from estimator.catalog.accelerators import accelerator
    >>> found = owning(accelerator("h100"), 30_000, Price(per_hour=2.5), owned_server_share=0, owned_network_share=0)
    >>> 16_000 < found.hours.value < 24_000
    True
    """
    design: Design = ONE_AT_A_TIME
    renting = usd_per_hour(device, rent or Price(), design)
    if not renting.known:
        raise InvalidInput(f"what {device.title} rents for is unknown: give --price-per-hour")
    paid = {name: owned.pop(name) for name in ("years", "electricity") if name in owned}
    asked = scenario(**owned)
    bought = own_of(device, Price(purchase=purchase_usd, **paid), design, asked)
    if tax := asked.amount("tax").value:
        share = given("tax", tax, "1", design=design, note="given by you")
        renting = derive("rent with tax", "USD/h", money.with_share, amount=renting, share=share)
    years = bought.standing.inputs["years"]
    idle, busy = bought.hour("idle"), bought.hour("serving")
    all_of_them = computed("kept for its years", "USD", idle.column * years.column * HOURS_PER_YEAR, None, idle=idle)
    more = computed("more an hour of use", "USD/h", busy.column - idle.column, None, idle=idle, busy=busy)
    column = owning_hours(all_of_them.column, renting.column, more.column)
    inputs = {"purchase_usd": all_of_them, "rent_usd_per_hour": renting, "running_usd_per_hour": more}
    hours = computed("hours of use that repay owning", "h", column, owning_hours, **inputs)
    share = derive("share of its years in use", "1", owning_use, hours=hours, years=years)
    return Owning(hours, share, _owning_parts(bought, all_of_them) | {"electricity of an hour of use": more})


def _owning_parts(bought: Owned, whole: Quantity) -> dict[str, Quantity]:
    """What owning costs over the years by what it is for [USD]: each is what its inputs add, one after another."""
    inputs, found = dict(bought.standing.inputs), {}
    names = {
        "purchase": (),
        "server": ("server_share",),
        "network": ("network_share",),
        "residual value": ("residual_share",),
        "interest": ("interest_per_year",),
        "support": ("support_per_year",),
        "rack": ("rack_usd_per_kw_month",),
    }
    left_out = [name for group in names.values() for name in group]
    hours = inputs["years"].column * HOURS_PER_YEAR
    before: Floats = np.zeros(1)
    for what, added in names.items():
        left_out = [name for name in left_out if name not in added]
        columns = {name: part.column * (name not in left_out) for name, part in inputs.items()}
        with_it = np.asarray(money.owned_usd_per_hour(**columns)) * hours
        found[what] = computed(what, "USD", with_it - before, None, all=bought.standing)
        before = with_it
    return found | {"electricity, idle": computed("idle", "USD", whole.column - before, None, all=whole)}
