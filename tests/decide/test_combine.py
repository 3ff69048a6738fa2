"""Combinations are the stages' own pieces put together: nothing is priced twice, nothing is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import estimate
from estimator.decide.combine import ADDED_LATER, SERVING, combine
from estimator.errors import DoesNotFit, InvalidInput, UnknownName
from estimator.stages import COMBINATIONS

OWN = {"model": "8b", "gpu": "h100", "corpus_gb": 0.0003}
API = {"api": "openai:gpt-4o-mini", "corpus_gb": 0.0003}


def work(answer):
    """Lines that are neither serving nor evaluation, whose price is that of a request, nor the reserve."""
    return [one for one in answer.lines if one.kind not in (*SERVING, *ADDED_LATER) and not judged(one)]


def judged(line):
    """Whether a line is evaluation runs, of whatever part."""
    return line.kind == "evaluation"


@pytest.mark.parametrize("asked", [OWN, API], ids=["own", "api"])
@pytest.mark.parametrize("name", ["prompt+rag", "finetune+rag"])
def test_work_is_the_sum_of_the_parts(name, asked):
    both, parts = combine(name, **asked), [estimate(part, **asked) for part in name.split("+")]

    expected = sum(one.horizon_usd.value for part in parts for one in work(part))
    assert sum(one.horizon_usd.value for one in work(both)) == pytest.approx(expected)
    assert both.people_hours.value == pytest.approx(sum(part.people_hours.value for part in parts))
    assert both.calendar_s.value == pytest.approx(sum(part.calendar_s.value for part in parts))
    assert both.extra_prompt_tokens.value == pytest.approx(sum(part.extra_prompt_tokens.value for part in parts))
    assert both.total_usd.value == pytest.approx(sum(one.horizon_usd.value for one in both.lines))
    calls = sum(one.quantity.value for part in parts for one in part.lines if one.kind == "evaluation")
    assert sum(one.quantity.value for one in both.lines if judged(one)) == pytest.approx(calls)


@pytest.mark.parametrize("name", ["finetune+rag", "finetune", "pretrain"])
def test_what_is_trained_at_home_is_served_at_home(name):
    """Beside an API the LLM on own accelerators is trained: it is named, served there, and draws power there."""
    asked = {**OWN, "api": "openai:gpt-4o-mini"}
    beside, alone = ((combine if "+" in name else estimate)(name, **given) for given in (asked, OWN))

    assert (beside.llm, beside.hardware) == (alone.llm, alone.hardware)
    assert not [one.item for one in beside.lines if one.kind == "api"]
    assert beside.monthly_usd.value == pytest.approx(alone.monthly_usd.value)
    assert beside.energy_j.value == pytest.approx(alone.energy_j.value)
    assert "break_even_utilisation" not in beside.details


def test_an_api_trains_where_no_llm_is_at_hand():
    """An accelerator alone, to embed with, trains nothing."""
    managed = estimate("finetune", api="openai:gpt-4o-mini", gpu="h100")

    assert "managed fine-tuning" in {one.item for one in managed.lines}
    assert managed.hardware == "openai API"


def test_lines_of_both_parts_are_told_apart():
    lines = [(one.phase, one.item) for one in combine("prompt+rag", **OWN).lines]

    assert len(set(lines)) == len(lines)
    assert {("monthly", "upkeep, Prompt engineering"), ("monthly", "upkeep, RAG")} <= set(lines)


def test_one_service_carries_all_overheads_by_hand():
    """Behind an API: 300 + 1,500 + 2,200 tokens, 90 % of the 1,700 fixed ones from the cache, 250 out, 2 % repeated."""
    both = combine("prompt+rag", **API)
    cached = 0.9 * 1700
    request = ((4000 - cached) * 0.15 + cached * 0.075 + 250 * 0.60) / 1e6 * 1.02
    service = sum(one.usd.value for one in both.lines if one.kind in SERVING)

    assert service == pytest.approx(1e5 * request)


@pytest.mark.parametrize("name", ["prompt+rag", "finetune+rag"])
def test_the_bare_llm_is_served_once(name):
    both = combine(name, **OWN)

    assert [one.kind for one in both.lines].count("serving") == 1
    assert both.serving_accelerators.value == 1


def test_fine_tuned_retrieval_asks_at_the_tuned_price():
    plain, tuned = combine("prompt+rag", **API, instruction_tokens=0, examples=0), combine("finetune+rag", **API)
    output = {answer.stage: next(o for o in answer.lines if o.item == "API output tokens") for answer in (plain, tuned)}

    assert output["finetune+rag"].unit_price.value == pytest.approx(2 * output["prompt+rag"].unit_price.value)


def test_distilling_replaces_labelling_by_answers_and_checks():
    """5,000 answers of the LLM, a tenth of them checked for two minutes each, at 30 USD an hour."""
    student, taught = estimate("finetune", model="llama-3.2-1b", gpu="h100"), combine("distil", **OWN)
    cost = {one.item: one.usd.value for one in taught.lines}

    assert "labelling" not in cost
    assert cost["checking answers"] == pytest.approx(5000 * 0.1 * 2 / 60 * 30)
    assert taught.people_hours.value == pytest.approx(student.people_hours.value - 0.9 * 5000 * 2 / 60)
    assert taught.added_tpot_s.value < 0
    assert taught.added_usd_per_1000_requests.value < 0
    assert cost["training accelerators"] == pytest.approx(
        next(one.usd.value for one in student.lines if one.item == "training accelerators")
    )


def test_distilling_behind_an_api_by_hand():
    """gpt-4o answers 5,000 samples; gpt-4o-mini learns 7.5M tokens four times and serves at its fine-tuned price."""
    taught = combine("distil", api="openai:gpt-4o", student="openai:gpt-4o-mini", managed_usd_per_mtok=3.0)
    cost = {one.item: one.usd.value for one in taught.lines}

    assert cost["the larger LLM's answers"] == pytest.approx(5000 * (300 * 2.5 + 250 * 10) / 1e6 * 1.02)
    assert cost["managed fine-tuning"] == pytest.approx(4 * 7.5 * 3.0)
    assert cost["API output tokens"] == pytest.approx(1e5 * 1.02 * 250 * 1.2 / 1e6)
    saved = ((300 * 2.5 + 250 * 10) - (300 * 0.3 + 250 * 1.2)) / 1e6 * 1.02
    assert taught.added_usd_per_1000_requests.value == pytest.approx(-1000 * saved)
    assert not taught.training_s.known


def test_an_api_teaches_an_open_student_on_own_accelerators():
    taught = combine("distil", api="openai:gpt-4o", gpu="h100")

    assert taught.accelerators.value >= 1
    assert taught.llm == "llama-3.2-1b taught by openai:gpt-4o"


def test_the_whole_corpus_is_in_the_prompt():
    rag, whole = estimate("rag", **OWN), combine("corpus-in-prompt", **OWN)

    assert whole.extra_prompt_tokens.value == pytest.approx(rag.data_tokens.value + 200)
    with pytest.raises(DoesNotFit, match="retrieve"):
        combine("corpus-in-prompt", model="8b", gpu="h100", corpus_gb=50)


def test_adapters_kept_apart_slow_a_combination_as_they_slow_the_tuned_llm():
    """Beside an API they are the provider's: neither price nor prompt knows of them."""
    apart, merged = (combine("finetune+rag", **OWN, deployment=how) for how in ("unmerged", "merged"))
    there = [combine("finetune+rag", **API, deployment=how).total_usd.value for how in ("unmerged", "merged")]

    assert apart.added_tpot_s.value > merged.added_tpot_s.value
    assert there[0] == there[1]


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["prompt+rag", "finetune+rag"]), st.floats(1e3, 1e7), st.integers(1, 8))
def test_a_combination_never_costs_less_than_its_dearest_part(name, requests, top_k):
    asked = {"model": "8b", "gpu": "h100", "requests_per_month": requests, "top_k": top_k}
    both = combine(name, **asked)

    for part in name.split("+"):
        assert both.total_usd.value >= estimate(part, **asked).total_usd.value


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_figure_holds_its_range(name):
    for key, figure in combine(name, **OWN).quantities():
        assert figure.low <= figure.value <= figure.high, key


def test_wrong_combinations_are_refused():
    with pytest.raises(UnknownName, match=r"prompt\+rag"):
        combine("rag+prompt", **OWN)
    with pytest.raises(InvalidInput, match="smaller"):
        combine("distil", model="llama-3.2-1b", gpu="h100", student="8b")
    with pytest.raises(InvalidInput, match="provider:model"):
        combine("distil", api="openai:gpt-4o")
    with pytest.raises(InvalidInput, match="cost less"):
        combine("distil", api="openai:gpt-4o-mini", student="openai:gpt-4o")


def test_data_of_a_combination_is_said_as_of_its_parts():
    """Text for an index in bytes, samples by number."""
    shown = {stage: str(combine(stage, model="7b", gpu="a100")) for stage in ("prompt+rag", "distil")}

    assert "1 GB text, 190M tokens" in shown["prompt+rag"]
    assert "5k samples, 2.5M tokens" in shown["distil"]
    assert "()" not in shown["prompt+rag"]
