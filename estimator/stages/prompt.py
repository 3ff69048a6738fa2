"""Prompt engineering: nothing is trained; iterations on an evaluation set once, a longer prompt on every request."""

from estimator.formulas import effort, prompting
from estimator.formulas.arithmetic import product, sum_of
from estimator.formulas.transformer import request_flop
from estimator.quantities import Quantity, derive
from estimator.results import Estimate
from estimator.stages.answer import Findings, Overhead, answer, bare, calendar, serve
from estimator.stages.budget import evaluation_runs, people, upkeep
from estimator.stages.question import Question
from estimator.stages.service import Service


def estimate(question: Question) -> Estimate:
    """What a better prompt needs and costs."""
    prefix = fixed_prefix(question)
    service = served(question, prefix)
    calls = evaluation_calls(question)
    hours = people_hours(question)
    machine_s = derive("evaluation on accelerators", "s", product, calls=calls, busy=service.busy_s)
    lines = [
        people(question, "writing and judging prompts", hours),
        evaluation_runs(calls, service.usd_per_request, service.busy_s),
        *service.lines,
        upkeep(question, "prompt_upkeep_hours_per_month"),
    ]
    return answer(
        question,
        Findings(
            "prompt",
            lines=lines,
            people_hours=hours,
            calendar_s=calendar(question, hours, machine_s),
            accelerator_s=machine_s,
            flop=_flop(question, service, calls),
            overhead=Overhead(service, bare(question)),
            details={"evaluation_calls": calls, "fixed_prefix_tokens": prefix, "replicas": service.replicas},
        ),
    )


def fixed_prefix(question: Question) -> Quantity:
    """Instructions and examples that open every prompt."""
    return derive(
        "fixed prefix",
        "token",
        prompting.fixed_prefix_tokens,
        instruction_tokens=question.amount("instruction_tokens"),
        examples=question.amount("examples"),
        tokens_per_example=question.amount("tokens_per_example"),
    )


def served(question: Question, prefix: Quantity) -> Service:
    """Serving with that prefix, from the prefix cache where the scenario has one."""
    prompt = derive("prompt", "token", sum_of, first=question.amount("prompt_tokens"), second=prefix)
    output = question.written(question.amount("output_growth"))
    question.check_context(prompt, output, "use fewer or shorter examples, or an LLM with a longer context")
    return serve(question, prompt, output, prefix)


def evaluation_calls(question: Question) -> Quantity:
    """Calls of the LLM until the prompt is good: by hand, and by an optimiser where one is used."""
    by_hand = derive(
        "evaluation calls",
        "1",
        prompting.search_calls,
        candidates=question.amount("iterations"),
        evaluation_samples=question.amount("evaluation_samples"),
    )
    optimiser = question.word("optimiser")
    if optimiser == "none":
        return by_hand
    return derive("evaluation calls", "1", sum_of, first=by_hand, second=_optimiser_calls(question, optimiser))


def _optimiser_calls(question: Question, optimiser: str) -> Quantity:
    if optimiser.startswith("mipro"):
        return derive(
            "optimiser calls",
            "1",
            prompting.mipro_calls,
            candidates=question.fact(f"{optimiser}/candidates"),
            validation=question.fact(f"{optimiser}/validation"),
            minibatch=question.fact("mipro/minibatch"),
            full_every=question.fact("mipro/full_every"),
        )
    return derive(
        "optimiser calls",
        "1",
        prompting.search_calls,
        candidates=question.fact(f"{optimiser}/candidates"),
        evaluation_samples=question.amount("evaluation_samples"),
    )


def people_hours(question: Question) -> Quantity:
    """Set-up, iterations, and writing the evaluation set."""
    return derive(
        "people's hours",
        "h",
        effort.working_hours,
        setup_hours=question.amount("prompt_setup_hours"),
        rounds=question.amount("iterations"),
        hours_per_round=question.amount("hours_per_iteration"),
        samples=question.amount("evaluation_samples"),
        minutes_per_sample=question.amount("label_minutes_per_evaluation"),
    )


def _flop(question: Question, service: Service, calls: Quantity) -> Quantity:
    if question.llm is None:
        return question.unknown("work", "FLOP", "the LLM's size is not published")
    return derive(
        "work",
        "FLOP",
        request_flop,
        weights=question.matmul_params(),
        prompt=service.prompt_tokens,
        output=service.output_tokens,
        requests=calls,
    )
