"""What one request, a million tokens or a user comes to once everything is counted, and how much of it is fixed."""

from estimator.errors import InvalidInput
from estimator.formulas import money
from estimator.formulas.arithmetic import difference, product, quotient, sum_of
from estimator.quantities import Quantity, derive, total
from estimator.results import Line
from estimator.stages.budget import growing_months
from estimator.stages.question import Question
from estimator.stages.service import Service


def unit_costs(question: Question, service: Service, lines: list[Line]) -> dict[str, Quantity]:
    """All-in figures over the horizon: one-off, serving and people divided by what was served.

    fixed is what is due if nothing is asked, replicas that stay on included; variable is what the traffic adds.
    """
    fixed, variable = _split(question, service, lines)
    everything = derive("total over the horizon", "USD", sum_of, fixed=fixed, variable=variable)
    served = _requests(question)
    if served.value == 0:
        return {"fixed_usd": fixed, "variable_usd": variable}  # nothing is served: no cost of one request
    tokens = derive("tokens of a request", "token", sum_of, prompt=service.prompt_tokens, output=service.output_tokens)
    request = derive("all-in cost of a request", "USD", quotient, dividend=everything, divisor=served)
    token = derive("all-in cost of a token", "USD", quotient, dividend=request, divisor=tokens)
    each = question.amount("requests_per_user_per_month")
    return {
        "requests_per_month": question.amount("requests_per_month"),
        "fixed_usd": fixed,
        "variable_usd": variable,
        "all_in_usd_per_request": request,
        "all_in_usd_per_1000_requests": times(question, "all-in cost of 1,000 requests", request, 1e3),
        "all_in_usd_per_mtok": times(question, "all-in cost of a million tokens", token, 1e6),
        "all_in_usd_per_user_month": derive(
            "all-in cost of a user and month", "USD", product, usd_per_request=request, requests=each
        ),
    }


def _split(question: Question, service: Service, lines: list[Line]) -> tuple[Quantity, Quantity]:
    """What is due if nothing is asked, and what the traffic adds, each with its share of the reserve.

    Of replicas that wait for requests, those that stay on whatever is asked are due, and the others added.
    """
    idle = [line for line in lines if line.kind == "idle"]
    kept = [line for line in lines if line.kind not in ("contingency", "idle", "spare", *(["serving"] if idle else []))]
    fixed, variable = (
        [line.horizon_usd for line in kept if line.cost_type == cost_type] for cost_type in ("fixed", "variable")
    )
    for line in idle:
        always = line.horizon_quantity.inputs["always_on_s"]
        least, months = question.amount("least_replicas"), question.amount("horizon_months")
        floor = derive("least replica months", "month", product, least_replicas=least, months=months)
        on = derive("least replicas on", "s", money.always_on_s, replicas=floor, accelerators=service.accelerators)
        more = derive("further replicas on", "s", difference, with_it=always, without=on)
        price = line.unit_price
        fixed.append(derive("least replicas", "USD", money.machine_usd, machine_s=on, usd_per_hour=price))
        variable.append(derive("further replicas", "USD", money.machine_usd, machine_s=more, usd_per_hour=price))
        variable += _electricity_of_answers(lines, line)
    for line in (line for line in lines if line.kind == "spare"):
        unused = _spare_if_nothing_is_asked(question, line)
        fixed.append(unused)
        variable.append(derive("spare that replicas take", "USD", difference, with_it=line.horizon_usd, without=unused))
    return _with_reserve(question, "fixed", fixed), _with_reserve(question, "variable", variable)


def _electricity_of_answers(lines: list[Line], idle: Line) -> list[Quantity]:
    """What owned replicas that answer draw more than those that wait; rented ones cost the same."""
    used = [line for line in lines if line.kind == "serving" and line.unit_price is not idle.unit_price]
    waiting = [
        derive(
            "the same, idle", "USD", money.machine_usd, machine_s=line.horizon_quantity, usd_per_hour=idle.unit_price
        )
        for line in used
    ]
    return [
        derive("electricity of answers", "USD", difference, with_it=line.horizon_usd, without=same)
        for line, same in zip(used, waiting, strict=True)
    ]


def _spare_if_nothing_is_asked(question: Question, line: Line) -> Quantity:
    months = line.horizon_quantity.inputs["replicas"]
    unasked = question.zero("requests a second", "1/s")
    spare = derive("spare months, nothing asked", "month", money.spare_months,
                   **{**months.inputs, "peak_requests_per_s": unasked})  # fmt: skip
    one = line.horizon_quantity.inputs["accelerators"]
    device_s = derive("spare, nothing asked", "s", money.always_on_s, replicas=spare, accelerators=one)
    return derive("spare, nothing asked", "USD", money.machine_usd, machine_s=device_s, usd_per_hour=line.unit_price)


def _with_reserve(question: Question, name: str, parts: list[Quantity]) -> Quantity:
    amount = total(f"{name} lines", "USD", parts, question.design)
    share = question.amount("contingency")
    return derive(f"{name} cost over the horizon", "USD", money.with_share, amount=amount, share=share)


def _requests(question: Question) -> Quantity:
    months, requests = growing_months(question), question.amount("requests_per_month")
    found = derive("requests over the horizon", "1", product, requests=requests, months=months)
    bounds = question.scenario.amounts
    if not question.within(found, bounds["requests_per_month"].most * bounds["horizon_months"].most):
        raise InvalidInput(
            f"the traffic would grow to {found.value:.3g} requests: set growth_per_month or horizon_months lower"
        )
    return found


def times(question: Question, name: str, each: Quantity, many: float) -> Quantity:
    """What so many cost at so much each [USD]."""
    return derive(name, "USD", product, each=each, many=question.counted(f"{many:,.0f}", many, "1", "by definition"))
