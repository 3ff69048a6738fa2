"""What one request, a million tokens or a user comes to once everything is counted, and how much of it is fixed."""

from estimator.errors import InvalidInput
from estimator.formulas import money
from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.quantities import Quantity, derive, total
from estimator.results import CostType, Line
from estimator.stages.question import Question
from estimator.stages.service import Service


def unit_costs(question: Question, service: Service, lines: list[Line]) -> dict[str, Quantity]:
    """All-in figures over the horizon: one-off, serving and people divided by what was served."""
    fixed, variable = (_of_type(question, lines, kind) for kind in ("fixed", "variable"))
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


def _of_type(question: Question, lines: list[Line], cost_type: CostType) -> Quantity:
    chosen = {f"line_{i}": line.horizon_usd for i, line in enumerate(lines) if line.cost_type == cost_type}
    return total(f"{cost_type} cost over the horizon", "USD", chosen, question.design)


def _requests(question: Question) -> Quantity:
    months = derive(
        "first months in the horizon",
        "month",
        money.growth_sum,
        growth_per_month=question.amount("growth_per_month"),
        months=question.amount("horizon_months"),
    )
    found = derive(
        "requests over the horizon", "1", product, requests=question.amount("requests_per_month"), months=months
    )
    bounds = question.scenario.amounts
    if found.value > bounds["requests_per_month"].most * bounds["horizon_months"].most:
        raise InvalidInput(
            f"the traffic would grow to {found.value:.3g} requests: set growth_per_month or horizon_months lower"
        )
    return found


def times(question: Question, name: str, each: Quantity, many: float) -> Quantity:
    """What so many cost at so much each [USD]."""
    return derive(name, "USD", product, each=each, many=question.counted(f"{many:,.0f}", many, "1", "by definition"))
