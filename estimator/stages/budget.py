"""Budget lines: how a quantity of something becomes money, once, a month, and over the horizon."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from estimator.formulas import money
from estimator.formulas.arithmetic import product
from estimator.quantities import Quantity, derive, total
from estimator.records import Accelerator
from estimator.results import CostType, Line, Phase, Work
from estimator.stages.question import Question

RESERVE = "contingency"


def one_off(
    item: str,
    driver: str,
    quantity: Quantity,
    unit_price: Quantity,
    formula: Callable[..., Any] = product,
    activity: str = "",
) -> Line:
    """A line paid once: formula(quantity, unit price), by position in the formula's own terms.

    activity: what accelerators do, where the quantity is their time
    """
    usd = priced(item, "USD", quantity, unit_price, formula)
    work = Work(activity, quantity) if activity else None
    return Line(item, "one-off", "fixed", driver, quantity, unit_price, usd, quantity, usd, work)


def monthly(
    question: Question,
    item: str,
    cost_type: CostType,
    driver: str,
    quantity: Quantity,
    unit_price: Quantity,
    formula: Callable[..., Any] = product,
    activity: str = "",
) -> Line:
    """A line paid every month; a variable one grows with the traffic."""
    months = question.amount("horizon_months")
    if cost_type == "variable":
        months = derive(
            "first months in the horizon",
            "month",
            money.growth_sum,
            growth_per_month=question.amount("growth_per_month"),
            months=months,
        )
    horizon = derive(f"{driver} over the horizon", quantity.unit, product, quantity=quantity, months=months)
    return monthly_line(item, cost_type, driver, quantity, horizon, unit_price, formula, activity)


def monthly_line(
    item: str,
    cost_type: CostType,
    driver: str,
    quantity: Quantity,
    horizon: Quantity,
    unit_price: Quantity,
    formula: Callable[..., Any],
    activity: str = "",
) -> Line:
    """A monthly line whose quantity over the horizon is known."""
    usd = priced(item, "USD/month", quantity, unit_price, formula)
    horizon_usd = priced(f"{item}, horizon", "USD", horizon, unit_price, formula)
    work = Work(activity, horizon) if activity else None
    return Line(item, "monthly", cost_type, driver, quantity, unit_price, usd, horizon, horizon_usd, work)


def worked(line: Line, activity: str, each_s: Quantity, device: Accelerator | None = None) -> Line:
    """The line with the time of accelerators behind it: `each_s` for each of its quantity."""
    device_s = derive(f"{line.item}, on accelerators", "s", product, quantity=line.horizon_quantity, each=each_s)
    return replace(line, work=Work(activity, device_s, device))


def priced(item: str, unit: str, quantity: Quantity, unit_price: Quantity, formula: Callable[..., Any]) -> Quantity:
    """formula(quantity, unit price) as a traced figure, whatever the formula calls its two arguments."""
    if formula is product:
        return derive(item, unit, product, quantity=quantity, unit_price=unit_price)
    first, second = list(formula.__annotations__)[:2]
    return derive(item, unit, formula, **{first: quantity, second: unit_price})


def people(question: Question, item: str, hours: Quantity) -> Line:
    """Engineers' time, once."""
    return one_off(item, "people's hours", hours, question.amount("rate_usd_per_hour"), money.people_usd)


def upkeep(question: Question, name: str) -> Line:
    """Engineers' time, every month."""
    return monthly(
        question,
        "upkeep",
        "fixed",
        "people's hours",
        question.amount(name),
        question.amount("rate_usd_per_hour"),
        money.people_usd,
    )


def evaluation_runs(calls: Quantity, usd_per_request: Quantity, busy_s: Quantity) -> Line:
    """Requests that judge what was built, at what a request costs and keeps accelerators busy."""
    return worked(one_off("evaluation runs", "calls", calls, usd_per_request), "serving", busy_s)


def regression_runs(question: Question, usd_per_request: Quantity, busy_s: Quantity) -> Line:
    """What is in use is judged again every so often, for as long as it is in use."""
    calls = derive(
        "regression calls",
        "1/month",
        product,
        rounds=question.amount("regression_rounds_per_month"),
        samples=question.amount("regression_samples"),
    )
    return worked(monthly(question, "regression runs", "fixed", "calls", calls, usd_per_request), "serving", busy_s)


def with_contingency(question: Question, lines: list[Line]) -> list[Line]:
    """The lines, and one per phase for the reserve, which is zero unless the scenario has one."""
    return lines + [_reserve(question, lines, phase) for phase in ("one-off", "monthly")]


def _reserve(question: Question, lines: list[Line], phase: Phase) -> Line:
    share = question.amount("contingency")
    chosen = [line for line in lines if line.phase == phase]
    base = summed(question, f"{phase} lines", chosen)
    horizon = total(f"{phase} lines, horizon", "USD", {f"line_{i}": line.horizon_usd for i, line in enumerate(chosen)})
    usd = derive("contingency", base.unit, product, usd=base, share=share)
    horizon_usd = derive("contingency, horizon", "USD", product, usd=horizon, share=share)
    return Line(RESERVE, phase, "fixed", "share of the lines above", base, share, usd, horizon, horizon_usd)


def summed(question: Question, name: str, lines: list[Line]) -> Quantity:
    """What the lines of one phase come to."""
    unit = lines[0].usd.unit if lines else "USD"
    return total(name, unit, {f"line_{i}": line.usd for i, line in enumerate(lines)}, question.design)
