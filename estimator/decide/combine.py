"""Combinations, composed from the stages' own answers: their lines, hours and lengths; nothing is priced twice.

A combination serves one kind of request that carries all overheads at once: that one service is computed anew, every
other figure is the stages' own.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from estimator import api
from estimator.catalog.prices import ApiPrice, api_price
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas import effort, money
from estimator.formulas.arithmetic import difference, product, sum_of
from estimator.quantities import ONE_AT_A_TIME, Quantity, derive, total
from estimator.results import Estimate, Line, LineKind
from estimator.stages import COMBINATIONS
from estimator.stages.answer import Findings, Overhead, answer, bare, described, llm_text, per_request, serve
from estimator.stages.budget import evaluation_runs, one_off, worked
from estimator.stages.finetune import served
from estimator.stages.hosted import tuned_price
from estimator.stages.question import Question
from estimator.stages.service import Service, after_training

SERVING: tuple[LineKind, ...] = ("serving", "idle", "api", "base")
ADDED_LATER: tuple[LineKind, ...] = ("regression", "contingency")  # by the answer itself, for what is served in the end
OF_ONE_REQUEST = "break_even_utilisation"  # of a part's own requests, which nobody sends


def combine(name: str, /, **asked: object) -> Estimate:
    """What a combination needs and costs: prompt+rag, finetune+rag, distil or corpus-in-prompt.

    Arguments as for `estimate`. distil trains the input `student` on the LLM's answers and serves the student, on the
    accelerators at hand or, where it is named as provider:model, by its provider.

    >>> both = combine("prompt+rag", model="7b", gpu="a100")
    >>> both.extra_prompt_tokens.value  # 1,500 of instructions and examples, 2,200 of passages and how to use them
    3700.0
    """
    if name not in COMBINATIONS:
        raise UnknownName("combination", name, COMBINATIONS, f"Combinations are {', '.join(COMBINATIONS)}.")
    if name == "distil":
        return _distil(asked)
    if name == "corpus-in-prompt":
        return _corpus_in_prompt(asked)
    question = _question(asked)
    api.check_answers(question)
    return _together(question, name, [api.answered(stage, question) for stage in name.split("+")])


def _question(asked: dict[str, object]) -> Question:
    names = ("model", "gpu", "api", "gpus", "price", "scenario_file", "design")
    given: dict[str, Any] = {name: asked.get(name) for name in names}
    given["design"] = given["design"] or ONE_AT_A_TIME
    return api.ask(**given, inputs={name: value for name, value in asked.items() if name not in names})


def _together(question: Question, name: str, parts: Sequence[Estimate]) -> Estimate:
    """One answer with the work of all parts and one service for requests that carry all their overheads."""
    baseline, trained = bare(question), "finetune" in {part.stage for part in parts}
    home = question.at_home() if trained and question.trains_here else question
    service = _service(home, parts)
    retrieval = {part.stage: part.details for part in parts}.get("rag", {})
    times = {key: retrieval[key] for key in ("query_embedding_s", "search_s", "rerank_s") if key in retrieval}
    usd = next((line.unit_price for part in parts for line in part.lines if line.kind == "retrieval"), None)
    return answer(
        home,
        Findings(
            name,
            lines=[*_work(parts, service), *service.lines, *_beside(parts)],
            people_hours=total("people's hours", "h", [part.people_hours for part in parts]),
            calendar_s=total("calendar time", "s", [part.calendar_s for part in parts]),
            accelerator_s=total("work on accelerators", "s", [part.accelerator_s for part in parts]),
            flop=total("work", "FLOP", [part.flop for part in parts]),
            overhead=Overhead(service, baseline, total("retrieval", "s", list(times.values())) if times else None, usd),
            **_training(parts),
            details={
                **{key: value for part in parts for key, value in part.details.items() if key != OF_ONE_REQUEST},
                "replicas": service.replicas,
            },
            warnings=tuple(warning for part in parts for warning in part.warnings),
        ),
    )


def _service(question: Question, parts: Sequence[Estimate]) -> Service:
    """Requests as long as the bare one and all that the parts add; the fixed starts are one prefix."""
    baseline = bare(question)
    tuned = "finetune" in {part.stage for part in parts}
    prompt = total("prompt", "token", [baseline.prompt_tokens, *(part.extra_prompt_tokens for part in parts)])
    output = baseline.output_tokens
    if any(part.stage == "prompt" for part in parts):
        output = question.written(question.amount("output_growth"))
    question.check_context(prompt, output, "fewer examples, fewer or shorter chunks")
    return serve(
        _tuned(question) if tuned else question, prompt, output, _prefix(question, parts), _adapters(question, tuned)
    )


def _prefix(question: Question, parts: Sequence[Estimate]) -> Quantity:
    fixed = [part.details["fixed_prefix_tokens"] for part in parts if "fixed_prefix_tokens" in part.details]
    fixed += [question.amount("rag_instruction_tokens") for part in parts if part.stage == "rag"]
    return total("fixed prefix", "token", fixed)


def _adapters(question: Question, tuned: bool) -> int:
    unmerged = question.scenario.word("deployment") == "unmerged" and question.scenario.word("method") != "full"
    return int(tuned and unmerged and question.api is None)


def _tuned(question: Question) -> Question:
    """The question at the provider's price for the fine-tuned LLM, where it lists one."""
    if question.api is None:
        return question
    return replace(question, api=tuned_price(question.api))


def _work(parts: Iterable[Estimate], service: Service) -> list[Line]:
    """All lines but serving and reserve; evaluation runs at the price of the request that is now served."""
    named = [(part.title, line) for part in parts for line in part.lines if line.kind not in (*SERVING, *ADDED_LATER)]
    often = Counter(line.item for _, line in named)
    lines = [
        evaluation_runs(line.quantity, service.usd_per_request, service.busy_s) if line.kind == "evaluation" else line
        for _, line in named
    ]
    return [
        replace(line, item=f"{line.item}, {title}") if often[line.item] > 1 else line
        for (title, _), line in zip(named, lines, strict=True)
    ]


def _beside(parts: Iterable[Estimate]) -> list[Line]:
    return [line for part in parts for line in part.lines if line.kind == "base"]


def _training(parts: Sequence[Estimate]) -> dict[str, Any]:
    """Data of all parts together; the accelerators and the layout of the part that trains."""
    found: dict[str, Any] = {
        "data_tokens": total("tokens", "token", [part.data_tokens for part in parts]),
        "data_samples": total("samples", "1", [part.data_samples for part in parts]),
        "data_bytes": total("data", "B", [part.data_bytes for part in parts]),
    }
    for part in parts:
        if part.accelerators.value or not part.training_s.known:  # a managed service's time is unknown, not none
            names = ("accelerators", "layout", "training_s", "peak_memory_bytes")
            found |= {name: getattr(part, name) for name in names}
    return found


def _corpus_in_prompt(asked: dict[str, Any]) -> Estimate:
    """The prompt stage with the whole corpus beside the instructions, and no examples."""
    question = _question(asked)
    corpus = api.answered("rag", question).data_tokens
    fixed = question.number("rag_instruction_tokens")
    whole = total("prompt", "token", [question.amount("prompt_tokens"), corpus])
    question.check_context(whole, question.written(), "retrieve from the corpus instead")
    low, high = corpus.interval()
    span = (low + fixed, question.chosen(corpus) + fixed, high + fixed)
    found = api.estimate("prompt", **{**asked, "examples": 0, "instruction_tokens": span})
    chosen_by = tuple(sorted({*found.chosen_by, *question.chosen_by}))
    return replace(found, stage="corpus-in-prompt", chosen_by=chosen_by, **described("corpus-in-prompt"))


def _distil(asked: dict[str, object]) -> Estimate:
    """The student's fine-tuning on answers that the LLM writes and people check a share of, against the bare LLM."""
    teacher = _question(asked)
    student = _student(asked, teacher)
    student.word("student")  # among its assumptions
    tuned, service, baseline = api.answered("finetune", student), after_training(student, served), bare(teacher)
    found = _student_answer(student, tuned, service, _labels(student, baseline))
    return _against(found, service, baseline, teacher)


def _student(asked: dict[str, object], teacher: Question) -> Question:
    """The question of the smaller LLM: an open one on the accelerators at hand, or one that its provider trains."""
    name = teacher.scenario.word("student")
    if ":" in name:
        student = _question({**asked, "model": None, "gpu": None, "gpus": None, "api": name})
        if _output_usd(tuned_price(api_price(name))) >= _output_usd(teacher.api):
            raise InvalidInput(
                f"the student {name} must cost less than {llm_text(teacher)}: set student to a smaller LLM"
            )
        return student
    if asked.get("gpu") is None:
        raise InvalidInput(
            f"the student {name} is trained and served on accelerators: name some with --gpu, or set student to a "
            "smaller LLM behind an API (provider:model)"
        )
    student = _question({**asked, "model": name, "api": None})
    if teacher.llm is not None and student.params().value >= teacher.params().value:
        raise InvalidInput(f"the student {name} must be smaller than {teacher.llm.name}: set student to a smaller LLM")
    return student


def _output_usd(price: ApiPrice | None) -> float:
    """Price of a million output tokens [USD]; NaN, which is neither dearer nor cheaper, where there is none."""
    found = price.output_usd_per_mtok if price else None
    return math.nan if found is None else found


def _labels(student: Question, teacher: Service) -> list[Line]:
    """The teacher's answers, one a sample, and people who check a share of them; instead of labelling by hand."""
    samples = student.amount("samples")
    checked = derive("checked answers", "1", product, samples=samples, share=student.amount("check_share"))
    minutes = student.amount("label_minutes_per_sample")
    hours = derive("checking", "h", effort.labelling_hours, samples=checked, minutes_per_sample=minutes)
    rate = student.amount("label_rate_usd_per_hour")
    usd = teacher.usd_per_request
    written = one_off("labelling", "the larger LLM's answers", driver="samples", quantity=samples, unit_price=usd)
    paid: dict[str, Any] = {"quantity": hours, "unit_price": rate, "formula": money.people_usd}
    checked_by = one_off("labelling", "checking answers", driver="samples", **paid)
    return [worked(written, "serving", teacher.busy_s), checked_by]


def _student_answer(student: Question, tuned: Estimate, service: Service, labels: list[Line]) -> Estimate:
    by_hand = next(line.quantity for line in tuned.lines if line.kind == "labelling")
    saved = derive("labelling saved", "h", difference, with_it=labels[1].quantity, without=by_hand)
    hours = derive("people's hours", "h", sum_of, by_hand=tuned.people_hours, saved=saved)
    weeks = derive(
        "labelling saved",
        "s",
        effort.calendar_s,
        hours=saved,
        staff=student.amount("staff"),
        hours_per_week=student.amount("working_hours_per_week"),
        machine_s=student.zero("machines", "s"),
    )
    kept = [line for line in tuned.lines if line.kind not in ("labelling", *ADDED_LATER)]
    return answer(
        student,
        Findings(
            "distil",
            lines=[*kept, *labels],
            people_hours=hours,
            calendar_s=derive("calendar time", "s", sum_of, by_hand=tuned.calendar_s, saved=weeks),
            accelerator_s=tuned.accelerator_s,
            flop=tuned.flop,
            overhead=Overhead(service, service),
            **_training([tuned]),
            details=dict(tuned.details),
        ),
    )


def _against(found: Estimate, service: Service, baseline: Service, teacher: Question) -> Estimate:
    """Per-request figures against the teacher: what a request saves."""
    changed = per_request(teacher, Overhead(service, baseline))
    return replace(found, llm=f"{found.llm} taught by {llm_text(teacher)}", **changed)
