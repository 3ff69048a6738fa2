"""A recommendation changes when, and only when, its stated reason is removed; every criterion is covered."""

import csv
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import recommend
from estimator.decide.break_even import break_even
from estimator.decide.recommend import _estimates, decide
from estimator.decide.rules import Criterion, candidates, criteria, rules
from estimator.errors import InvalidInput, UnknownName
from estimator.paths import presets
from estimator.results import Estimate, at_level

# A question where every candidate can run: a small corpus, a long context, a student below the LLM.
ASKED = {
    "model": "8b",
    "gpu": "h100",
    "corpus_gb": 0.0003,
    "requests_per_month": 20_000,
    "student": "llama-3.2-1b",
}
NEUTRAL = {name: one.value for name, one in criteria().items()}
STRICT = {
    "failure_mode": ["knowledge", "behaviour", "both"],
    "knowledge_changes": ["weekly", "hourly"],
    "citations": [True],
    "strict_style": [True],
    "task": ["whole-documents"],
    "labelled_examples": [10.0, 200.0],
    "time_limit_days": [5.0, 20.0, 40.0],
    "budget_upfront_usd": [5e3, 1.5e4, 1e5],
    "budget_monthly_usd": [3e3, 3.6e3],
    "ttft_limit_s": [0.03, 0.2],
    "usd_per_1000_limit": [150.0, 200.0],
    "skills": ["none", "app", "ml"],
    "data_stays": [True],
    "own_weights": [True],
    "tunable": [False],
    "base_llm": ["none"],
    "domain_tokens": [1e9],
    "combine": [False],
}


@pytest.fixture(scope="module")
def found():
    """Every candidate's estimate."""
    return _estimates(ASKED)


def answer(found, served_by="own", **goals):
    """What is recommended for these goals."""
    return decide(found, NEUTRAL | goals, served_by)


def first(found, served_by="own", **goals):
    """The approach that comes first; nothing when none stands."""
    best = answer(found, served_by, **goals).best
    return best.approach if best else None


def test_every_candidate_can_be_estimated_here(found):
    assert set(found) == set(candidates())
    assert all(isinstance(one, Estimate) for one in found.values())


def test_every_published_criterion_has_a_rule_and_every_question_is_used():
    with (presets() / "decision_criteria.csv").open(encoding="utf-8") as file:
        published = {row["criterion"] for row in csv.DictReader(file)}

    assert published == {rule.criterion for rule in rules()}
    assert {rule.asks for rule in rules()} - {"", "student"} == set(criteria()) == set(STRICT)


def test_every_rule_has_a_source_and_names_real_candidates():
    for rule in rules():
        assert rule.sources(), rule.id
        assert set(rule.candidates) <= set(candidates()), rule.id
        words = {word for condition in rule.when for word in (condition.name, condition.value)}
        decides = rule.effect in ("needs", "out")
        assert len(words & set(criteria())) <= 1 or not decides, f"{rule.id} must hang on one criterion"
        assert rule.instead or not decides, rule.id
    assert len({rule.id for rule in rules()}) == len(rules())


# (criterion, what it is, the rest of the question, answer with it, answer without it)
FLIPS = [
    ("failure_mode", "behaviour", {}, "finetune", "prompt"),
    ("failure_mode", "both", {}, "finetune+rag", "prompt"),
    ("knowledge_changes", "daily", {}, "corpus-in-prompt", "prompt"),
    ("citations", True, {}, "rag", "prompt"),
    ("strict_style", True, {}, "finetune", "prompt"),
    ("task", "whole-documents", {"citations": True}, None, "rag"),
    ("labelled_examples", 10.0, {"strict_style": True}, None, "finetune"),
    ("skills", "none", {"citations": True}, None, "rag"),
    ("skills", "app", {"failure_mode": "behaviour"}, None, "finetune"),
    ("skills", "ml", {"base_llm": "none"}, None, "pretrain"),
    ("tunable", False, {"failure_mode": "behaviour"}, None, "finetune"),
    ("base_llm", "none", {}, "pretrain", "prompt"),
    ("domain_tokens", 1e9, {"base_llm": "none"}, None, "pretrain"),
    ("own_weights", True, {}, "pretrain", "prompt"),
    ("combine", False, {"failure_mode": "both"}, None, "finetune+rag"),
    ("combine", False, {"strict_style": True, "citations": True}, None, "finetune+rag"),
    ("time_limit_days", 20.0, {"citations": True}, None, "rag"),
    ("budget_upfront_usd", 8e3, {"citations": True}, None, "rag"),
    ("budget_monthly_usd", 3.5e3, {"citations": True}, None, "rag"),
    ("ttft_limit_s", 0.02, {"citations": True}, None, "rag"),
    ("usd_per_1000_limit", 150.0, {"citations": True}, None, "rag"),
]


@pytest.mark.parametrize(("name", "value", "rest", "with_it", "without_it"), FLIPS, ids=lambda x: str(x))
def test_each_criterion_flips_the_answer_it_is_the_reason_for(found, name, value, rest, with_it, without_it):
    assert first(found, **rest, **{name: value}) == with_it
    assert first(found, **rest) == without_it
    single = {change.criteria for change in answer(found, **rest, **{name: value}).changes}
    assert (name,) in single


# What else must be asked for a criterion to decide anything, where it does not by itself.
BESIDE = {
    "task": {"citations": True},
    "labelled_examples": {"strict_style": True},
    "time_limit_days": {"citations": True},
    "budget_upfront_usd": {"strict_style": True},
    "budget_monthly_usd": {"citations": True},
    "ttft_limit_s": {"citations": True},
    "usd_per_1000_limit": {"citations": True},
    "skills": {"strict_style": True},
    "tunable": {"strict_style": True},
    "domain_tokens": {"base_llm": "none"},
    "combine": {"failure_mode": "both"},
}


@pytest.mark.parametrize("name", sorted(STRICT))
def test_every_criterion_decides_somewhere_and_says_so(found, name):
    """Some strict answer to it changes what comes first, and only then is it named as what would change it back."""
    rest, served_by = BESIDE.get(name, {}), "api" if name == "data_stays" else "own"
    without = first(found, served_by, **rest)
    decided = []
    for value in STRICT[name]:
        now = answer(found, served_by, **rest, **{name: value})
        changed = (now.best.approach if now.best else None) != without
        assert changed == any(change.criteria == (name,) for change in now.changes), value
        decided.append(changed)

    assert any(decided), f"{name} decides nothing here"


def test_a_smaller_llm_is_recommended_only_where_one_is_named():
    """The LLM that was asked for is not swapped for a smaller one unasked, however much that would save."""
    asked = {"model": "70b", "gpu": "h100"}
    unasked, asked_for = recommend(**asked), recommend(**asked, student="llama-3.2-3b")

    assert unasked.best.approach == "prompt"
    assert ("student",) in {change.criteria for change in unasked.changes}
    assert asked_for.best.approach == "distil"
    assert "student" in {one.name for one in asked_for.best.estimate.assumptions if one.given}


def test_a_simpler_way_that_may_cost_no_more_is_named():
    """A student saves 2 % of what a prompt costs: not worth it without a word on the ranges."""
    near = recommend(api="openai:gpt-4o", student="openai:gpt-4o-mini")
    (option, more), *_ = near.simpler

    assert (near.best.approach, option.approach) == ("distil", "prompt")
    assert more.low < 0 < more.value == option.estimate.total_usd.value - near.best.estimate.total_usd.value
    assert "Prompt engineering is simpler" in str(near)
    assert recommend(model="7b", gpu="a100").simpler == ()


def test_every_range_of_a_recommendation_is_at_the_level_asked_for():
    now = recommend(api="openai:gpt-4o", student="openai:gpt-4o-mini")
    wide = at_level(now, 0.95)

    assert wide.simpler[0][1].low < now.simpler[0][1].low
    for narrow, wider in zip(now.break_evens, wide.break_evens, strict=True):
        assert not narrow.exists or narrow.cheaper_from.low >= wider.cheaper_from.low
        assert "80 %" not in str(wider)


def test_a_student_does_not_unlearn_what_its_teacher_does_wrong(found):
    for goals in ({"failure_mode": "behaviour"}, {"strict_style": True}):
        assert "distil" not in {option.approach for option in answer(found, **goals).options if option.stands}


def test_pre_training_is_called_the_last_resort_while_an_llm_fits(found):
    """Documents may not be embedded elsewhere, and knowledge is missing: no reason to spend millions."""
    asked = {"model": "70b", "gpu": "h100", "data_stays": True, "failure_mode": "knowledge"}
    now = recommend(**asked, embedding_model="openai:text-embedding-3-small")

    assert now.best.last_resort
    assert "Recommended" not in str(now)
    assert ("data_stays",) in {change.criteria for change in now.changes}
    for goals in ({"base_llm": "none"}, {"own_weights": True}):
        assert not answer(found, **goals).best.last_resort


def test_a_last_resort_comes_after_what_costs_more():
    huge = recommend(model="7b", gpu="a100", corpus_gb=1e6, failure_mode="knowledge")
    standing = [option for option in huge.options if option.stands]

    assert standing[-1].approach == "pretrain"
    assert standing[-1].estimate.total_usd.value < standing[0].estimate.total_usd.value


def test_reasons_hold_the_figures_they_rest_on(found):
    total = found["prompt"].one_off_usd.value
    option = next(one for one in answer(found, budget_upfront_usd=1000.0).options if one.approach == "prompt")

    assert f"({total:,.0f} against 1,000 USD)" in option.out[0].text


def test_a_monthly_budget_counts_the_growth_of_the_traffic():
    asked = {"model": "7b", "gpu": "a100", "requests_per_month": 2e6}
    limit = 1.1 * recommend(**asked).best.estimate.monthly_usd.value

    assert recommend(**asked, budget_monthly_usd=limit).best.approach == "prompt"
    assert recommend(**asked, budget_monthly_usd=limit, growth_per_month=0.3).best is None


def test_fine_tuning_is_priced_on_the_examples_there_are():
    asked = {"model": "7b", "gpu": "a100", "labelled_examples": 200}
    few, given_too = (
        {option.approach: option.estimate for option in recommend(**asked, **more).options}
        for more in ({}, {"samples": 300})
    )

    assert few["finetune"].data_samples.value == 200.0
    assert few["distil"].data_samples.value == 5000.0
    assert given_too["finetune"].data_samples.value == 300.0


def test_data_that_must_stay_rules_out_an_api(found):
    assert first(found, "api", data_stays=True) is None
    assert first(found, "api") == "prompt"
    assert first(found, "own", data_stays=True) == "prompt"


def test_what_is_trained_at_home_keeps_requests_at_home():
    asked = {"api": "openai:gpt-4o-mini", "model": "8b", "gpu": "h100", "student": "llama-3.2-1b"}
    now = recommend(**asked, data_stays=True)
    out = {one.approach for one in now.options if "data-stays" in {reason.rule for reason in one.out}}

    assert {"prompt", "rag", "prompt+rag", "distil"} <= out  # an API teaches the student
    assert not out & {"finetune", "finetune+rag", "pretrain"}
    assert "Fine-tuning of llama-3.1-8b on NVIDIA H100" in " ".join(str(now).split())


def test_documents_that_must_stay_rule_out_an_embedding_api():
    asked = {"model": "7b", "gpu": "a100", "citations": True, "data_stays": True}

    assert recommend(**asked).best.approach == "rag"
    assert recommend(**asked, embedding_model="openai:text-embedding-3-small").best is None


def test_flips_cover_every_criterion():
    assert {name for name, *_ in FLIPS} | {"data_stays"} == set(criteria())


goals = st.lists(st.sampled_from(sorted(STRICT)), max_size=5, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(STRICT[name]) for name in names})
)


@settings(max_examples=60, deadline=None)
@given(goals, st.sampled_from(["own", "api"]))
def test_the_answer_changes_when_and_only_when_a_stated_reason_is_removed(found, given_goals, served_by):
    """For every given criterion, and every pair: taking it away changes the answer just if a stated change says so."""
    now = answer(found, served_by, **given_goals)
    before = now.best.approach if now.best else None
    stated = [set(change.criteria) for change in now.changes]
    removals = itertools.chain(itertools.combinations(given_goals, 1), itertools.combinations(given_goals, 2))
    for removed in removals:
        left = {name: value for name, value in given_goals.items() if name not in removed}
        changes = first(found, served_by, **left) != before
        assert changes == any(one <= set(removed) for one in stated), removed


@settings(max_examples=40, deadline=None)
@given(goals)
def test_what_is_recommended_meets_everything_and_is_cheapest(found, given_goals):
    now = answer(found, **given_goals)
    standing = [option for option in now.options if option.stands]
    totals = [option.estimate.total_usd.value for option in standing]

    assert totals == sorted(totals)
    assert {option.approach for option in now.options} == set(candidates())
    for option in now.options:
        assert option.stands or all(reason.text and (reason.sources or not reason.asks) for reason in option.obstacles)


def test_knowledge_base_size_decides_between_prompt_and_index():
    asked = ASKED | {"failure_mode": "knowledge"}

    assert recommend(**asked).best.approach == "corpus-in-prompt"
    assert recommend(**asked | {"corpus_gb": 1.0}).best.approach == "rag"


def test_volume_decides_between_a_long_prompt_and_fine_tuning():
    asked = {"model": "8b", "gpu": "h100", "billing": "per-use", "student": "llama-3.2-3b", "tunable": True}
    few = recommend(**asked, requests_per_month=1e4)
    by_name = {option.approach: option for option in few.options}
    volume = break_even(by_name["prompt"].estimate, by_name["distil"].estimate).cheaper_from.value
    said = next(one for one in few.break_evens if one.b == by_name["distil"].title)

    assert few.best.approach == "prompt"
    assert said.cheaper_from.value == pytest.approx(volume)
    assert recommend(**asked, requests_per_month=volume * 0.99).best.approach == "prompt"
    assert recommend(**asked, requests_per_month=volume * 1.01).best.approach == "distil"


def test_a_budget_that_only_the_upper_end_exceeds_is_noted(found):
    total = found["prompt"].one_off_usd
    now = answer(found, budget_upfront_usd=(total.value + total.high) / 2)

    assert now.best.approach == "prompt"
    assert "may-be-dear-to-build" in {reason.rule for reason in now.best.notes}


def test_unknown_costs_are_said_not_guessed():
    now = recommend(model="7b", gpu="h20", budget_upfront_usd=1e4, corpus_gb=0.0001)

    assert any("cannot be checked" in reason.text for reason in now.best.notes)
    assert now.break_evens == ()


def test_a_plan_goes_from_the_simplest_part_to_the_last(found):
    now = answer(found, failure_mode="both")

    assert [option.approach for option, _ in now.steps] == ["prompt", "rag", "finetune"]
    assert [option.approach for option, _ in answer(found).steps] == ["prompt"]
    assert now.to_dict()["plan"][1].startswith("RAG: ")
    assert str(now).count("By itself") == 3


def test_text_and_json_say_the_same(found):
    now = answer(found, citations=True)
    data = json.loads(now.to_json())

    assert data["recommended"] == "rag"
    assert data["given"] == {"citations": True}
    text = str(now)
    assert "What would change the answer" in text
    assert "AWS" in text or "aws" in text
    assert "score" not in text.lower()


@pytest.mark.parametrize(
    ("inputs", "error"),
    [({"citatons": True}, UnknownName), ({"skills": "wizard"}, InvalidInput), ({"citations": "maybe"}, InvalidInput)],
)
def test_bad_criteria_are_refused_in_one_line(inputs, error):
    with pytest.raises(error) as caught:
        recommend(model="7b", gpu="a100", **inputs)

    assert "\n" not in str(caught.value)


def test_no_requests_and_an_api_beside_own_hardware_are_answered():
    nothing = recommend(model="7b", gpu="a100", requests_per_month=0, usd_per_1000_limit=5.0)
    beside = recommend(api="openai:gpt-4o-mini", model="8b", gpu="h100", strict_style=True)

    assert nothing.best.approach == "prompt"
    assert nothing.break_evens == ()
    assert beside.best is not None
    assert "<table>" in beside._repr_html_()


def test_a_criterion_with_hyphens_counts_like_one_with_underscores():
    named = recommend(model="7b", gpu="a100", **{"failure-mode": "knowledge", "top-k": 3})

    assert named.best.approach == "rag"
    assert named.given == {"failure_mode": "knowledge"}


@pytest.mark.parametrize(("raw", "read"), [(0, 0.0), ("0", 0.0), ("2.5", 2.5), (3, 3.0)])
def test_a_criterion_may_be_nothing_but_not_less(raw, read):
    criterion = Criterion("examples", 1.0, "How many?")

    assert criterion.read(raw) == read
    for wrong in (-1, "-0.5", "nan", "x"):
        with pytest.raises(InvalidInput, match="at least 0"):
            criterion.read(wrong)


def test_what_is_trained_and_not_served_on_what_was_given_is_not_recommended():
    """Nothing serves 14B in bf16 on one card of 32 GB: no approach is the better for being trained on it."""
    asked = {"model": "qwen2.5-14b", "gpu": "1xrtx-5090", "method": "qlora"}
    with pytest.raises(InvalidInput, match=r"no approach can be done: serving .* needs 2 x"):
        recommend(**asked)
    found = {option.approach: option for option in recommend(**asked, api="openai:gpt-4o").options}

    assert "trained on what was given and not served: that takes 2xrtx-5090" in found["finetune"].out[0].text
    assert not recommend(**asked, weight_precision="int4").options[0].out
