"""Budget lines: how a quantity of something becomes money, once, a month, and over the horizon."""

from collections.abc import Callable
from dataclasses import replace

from numpy.typing import ArrayLike

from estimator.formulas import money
from estimator.formulas.arithmetic import product
from estimator.quantities import Quantity, derive, total
from estimator.records import Accelerator
from estimator.results import CostType, Line, LineKind, Phase, Work
from estimator.stages.question import Question


def one_off(
    kind: LineKind,
    item: str,
    *,
    driver: str,
    quantity: Quantity,
    unit_price: Quantity,
    formula: Callable[..., ArrayLike] = product,
    activity: str = "",
) -> Line:
    """A line paid once: formula(quantity, unit price), by position in the formula's own terms.

    activity: what accelerators do, where the quantity is their time
    """
    usd = priced(item, "USD", quantity, unit_price, formula)
    return Line(
        kind=kind,
        item=item,
        phase="one-off",
        cost_type="fixed",
        driver=driver,
        quantity=quantity,
        unit_price=unit_price,
        usd=usd,
        horizon_quantity=quantity,
        horizon_usd=usd,
        work=Work(activity, quantity) if activity else None,
    )


def monthly(
    question: Question,
    kind: LineKind,
    item: str,
    *,
    cost_type: CostType = "fixed",
    driver: str,
    quantity: Quantity,
    unit_price: Quantity,
    formula: Callable[..., ArrayLike] = product,
    activity: str = "",
    horizon: Quantity | None = None,
) -> Line:
    """A line paid every month; a variable one grows with the traffic.

    horizon: its quantity over the horizon, where it is not that of a month times the months
    """
    horizon = horizon or _over_the_horizon(question, cost_type, driver, quantity)
    return Line(
        kind=kind,
        item=item,
        phase="monthly",
        cost_type=cost_type,
        driver=driver,
        quantity=quantity,
        unit_price=unit_price,
        usd=priced(item, "USD/month", quantity, unit_price, formula),
        horizon_quantity=horizon,
        horizon_usd=priced(f"{item}, horizon", "USD", horizon, unit_price, formula),
        work=Work(activity, horizon) if activity else None,
    )


def _over_the_horizon(question: Question, cost_type: CostType, driver: str, quantity: Quantity) -> Quantity:
    months = growing_months(question) if cost_type == "variable" else question.amount("horizon_months")
    return derive(f"{driver} over the horizon", quantity.unit, product, quantity=quantity, months=months)


def growing_months(question: Question) -> Quantity:
    """Months of the first month's traffic that the whole horizon comes to, growth included."""
    months, growth = question.amount("horizon_months"), question.amount("growth_per_month")
    return derive("first months in the horizon", "month", money.growth_sum, growth_per_month=growth, months=months)


def worked(line: Line, activity: str, each_s: Quantity, device: Accelerator | None = None) -> Line:
    """The line with the time of accelerators behind it: `each_s` for each of its quantity."""
    device_s = derive(f"{line.item}, on accelerators", "s", product, quantity=line.horizon_quantity, each=each_s)
    return replace(line, work=Work(activity, device_s, device))


def priced(
    item: str, unit: str, quantity: Quantity, unit_price: Quantity, formula: Callable[..., ArrayLike]
) -> Quantity:
    """formula(quantity, unit price) as a traced figure, whatever the formula calls its two arguments."""
    if formula is product:
        return derive(item, unit, product, quantity=quantity, unit_price=unit_price)
    first, second = list(formula.__annotations__)[:2]
    return derive(item, unit, formula, **{first: quantity, second: unit_price})


def people(question: Question, item: str, hours: Quantity) -> Line:
    """Engineers' time, once."""
    rate = question.amount("rate_usd_per_hour")
    return one_off("people", item, driver="people's hours", quantity=hours, unit_price=rate, formula=money.people_usd)


def upkeep(question: Question, name: str) -> Line:
    """Engineers' time, every month."""
    return monthly(
        question,
        "people",
        "upkeep",
        driver="people's hours",
        quantity=question.amount(name),
        unit_price=question.amount("rate_usd_per_hour"),
        formula=money.people_usd,
    )


def evaluation_runs(calls: Quantity, usd_per_request: Quantity, busy_s: Quantity) -> Line:
    """Requests that judge what was built, at what a request costs and keeps accelerators busy."""
    line = one_off("evaluation", "evaluation runs", driver="calls", quantity=calls, unit_price=usd_per_request)
    return worked(line, "serving", busy_s)


def regression_runs(question: Question, usd_per_request: Quantity, busy_s: Quantity) -> Line:
    """What is in use is judged again every so often, for as long as it is in use."""
    calls = derive(
        "regression calls",
        "1/month",
        product,
        rounds=question.amount("regression_rounds_per_month"),
        samples=question.amount("regression_samples"),
    )
    line = monthly(
        question, "regression", "regression runs", driver="calls", quantity=calls, unit_price=usd_per_request
    )
    return worked(line, "serving", busy_s)


def egress_line(question: Question) -> list[Line]:
    """Data that leaves the cloud, where the scenario has any."""
    if question.number("egress_gb_per_month") == 0:
        return []
    held = question.amount("egress_gb_per_month")
    price = question.amount("egress_usd_per_gb")
    return [monthly(question, "egress", "egress", driver="data that leaves", quantity=held, unit_price=price)]


def with_contingency(question: Question, lines: list[Line]) -> list[Line]:
    """The lines, and one per phase for the reserve, which is zero unless the scenario has one."""
    return lines + [_reserve(question, lines, phase) for phase in ("one-off", "monthly")]


def _reserve(question: Question, lines: list[Line], phase: Phase) -> Line:
    share = question.amount("contingency")
    chosen = [line for line in lines if line.phase == phase]
    base = summed(question, f"{phase} lines", chosen)
    horizon = total(f"{phase} lines, horizon", "USD", [line.horizon_usd for line in chosen])
    return Line(
        kind="contingency",
        item="contingency",
        phase=phase,
        cost_type="fixed",
        driver="share of the lines above",
        quantity=base,
        unit_price=share,
        usd=derive("contingency", base.unit, product, usd=base, share=share),
        horizon_quantity=horizon,
        horizon_usd=derive("contingency, horizon", "USD", product, usd=horizon, share=share),
    )


def summed(question: Question, name: str, lines: list[Line]) -> Quantity:
    """What the lines of one phase come to."""
    unit = lines[0].usd.unit if lines else "USD"
    return total(name, unit, [line.usd for line in lines], question.design)
