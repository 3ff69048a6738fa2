"""Inverse answers against brute force: the answer fits, one less (or one more) does not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import estimate
from estimator.catalog.accelerators import accelerator
from estimator.catalog.models import architecture, architecture_names
from estimator.decide import inverse
from estimator.decide.boundary import first_that, last_that, round_figure
from estimator.errors import DoesNotFit, EstimatorError, UnknownName
from estimator.formulas import transformer
from estimator.predict.serving import Traffic, memory_split, serving
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import training_step
from estimator.predict.training_layout import grid
from estimator.records import Cluster

QUICK = settings(max_examples=12, deadline=None)
MODELS = st.sampled_from(["llama-3.2-1b", "7b", "8b", "qwen2.5-14b", "mixtral-8x7b", "70b"])
GPUS = st.sampled_from(["a100", "h100", "l40s", "rtx-4090", "a100-40gb", "b200"])
METHODS = st.sampled_from(["full", "lora", "qlora"])


def any_layout_fits(model: str, gpu: str, count: int, method: str, seq_len: int = 2048) -> bool:
    """Brute force: every layout of the grid on so many accelerators, memory alone."""
    question = inverse._question("finetune", model, gpu, None, {"method": method, "finetune_seq_len": seq_len})
    cluster = question.cluster(count)
    try:
        layouts = grid(question.own_llm(), cluster, inverse.training_plan(question, "finetune"))
    except EstimatorError:
        return False
    return bool(np.any(training_step(question.own_llm(), cluster, layouts).fit_chance >= 0.9))


@given(st.integers(0, 500), st.integers(1, 500))
def test_last_that_is_the_boundary(limit, most):
    found = last_that(lambda n: n <= limit, most=most)

    assert found == (None if limit < 1 else min(limit, most))


@given(st.integers(0, 40), st.integers(1, 40))
def test_first_that_is_the_boundary(limit, length):
    things = list(range(length))

    assert first_that(lambda n: n >= limit, things) == (limit if limit < length else None)


def test_round_figures_ascend():
    figures = [round_figure(index) for index in range(5000)]

    assert figures == sorted(set(figures))


@QUICK
@given(MODELS, GPUS, METHODS)
def test_smallest_set_fits_and_no_smaller_one_does(model, gpu, method):
    try:
        found = inverse.smallest_set("finetune", model=model, gpu=gpu, method=method)
    except DoesNotFit:
        assert not any(any_layout_fits(model, gpu, n, method) for n in (1, 8, 64))
        return
    per_node = accelerator(gpu).per_node or 8

    assert any_layout_fits(model, gpu, found.count, method)
    smaller = [n for n in range(1, found.count) if n <= per_node or n % per_node == 0]
    assert not any(any_layout_fits(model, gpu, n, method) for n in smaller)


@QUICK
@given(MODELS, GPUS, st.sampled_from(["bf16", "int4"]), st.sampled_from([500, 4000, 16000]))
def test_smallest_serving_set_fits_and_half_of_it_does_not(model, gpu, precision, prompt):
    found = inverse.smallest_set("serve", model=model, gpu=gpu, weight_precision=precision, prompt_tokens=prompt)

    def held(count: int) -> bool:
        llm, device = architecture(model), accelerator(gpu)
        plan = ServingPlan(weight_precision=precision, tp=count)
        split = memory_split(llm, Cluster(device, count, max(count, device.per_node or 8)), plan)
        return split.kv_available > 0 and split.max_context >= prompt + 250

    assert held(found.count)
    assert found.count == 1 or not held(found.count // 2)


def test_cheapest_sets_come_first_and_unpriced_last():
    found = inverse.accelerator_sets("serve", model="70b", gpus=("a100", "h100", "l40s", "h20"))
    prices = [one.usd_per_hour.value for one in found if one.usd_per_hour.known]

    assert prices == sorted(prices)
    assert found[-1].accelerator == "h20"
    assert not found[-1].usd_per_hour.known


@pytest.mark.parametrize(
    ("task", "gpu", "inputs"),
    [
        ("serve", "1xrtx-4090", {"weight_precision": "int4"}),
        ("serve", "2xa100", {}),
        ("finetune", "8xa100", {"method": "full"}),
        ("finetune", "1xl40s", {"method": "qlora"}),
    ],
)
def test_largest_llm_fits_and_no_larger_one_does(task, gpu, inputs):
    found = inverse.largest_llm(task, gpu=gpu, **inputs)
    size = float(transformer.params(architecture(found)))

    assert inverse.fits(task, model=found, gpu=gpu, **inputs)
    for name in architecture_names():
        larger = architecture(name).kind == "decoder" and transformer.params(architecture(name)) > size
        assert not (larger and inverse.fits(task, model=name, gpu=gpu, **inputs)), name


def test_the_largest_llm_may_be_quantised_and_says_so():
    plain = inverse.largest_llm("serve", gpu="1xrtx-4090")
    found = inverse.largest_llm_in_usual_formats("serve", gpu="1xrtx-4090")

    assert inverse.parameters(found.name) > inverse.parameters(plain)
    assert "awq" in found.stored
    assert inverse.fits("serve", model=found.name, gpu="1xrtx-4090", weight_precision=found.weight_precision)
    assert inverse.largest_llm_in_usual_formats("finetune", gpu="1xl40s", method="qlora").weight_precision == (
        "as published"
    )


@QUICK
@given(st.sampled_from(["8b", "7b", "llama-3.2-1b"]), st.sampled_from(["a100", "l40s", "h100"]), st.integers(1, 200))
def test_largest_serving_context_fits_and_one_token_more_does_not(model, gpu, users):
    found = inverse.largest_context("serve", model=model, gpu=f"1x{gpu}", users=users)
    llm, plan = architecture(model), ServingPlan(tp=1)
    split = memory_split(llm, Cluster(accelerator(gpu), 1, 1), plan)

    def together(tokens: int) -> bool:
        room = split.kv_available / float(transformer.kv_bytes(llm, tokens, 2.0))
        return room >= users and tokens <= split.max_context

    assert together(found)
    assert not together(found + 1)


@QUICK
@given(st.sampled_from(["8b", "llama-3.2-1b"]), st.sampled_from(["a100", "l40s"]), METHODS)
def test_largest_training_context_fits_and_the_next_does_not(model, gpu, method):
    found = inverse.largest_context("finetune", model=model, gpu=f"1x{gpu}", method=method)
    longest = architecture(model).max_context or inverse.MOST_SEQ_LEN

    if found:
        assert any_layout_fits(model, gpu, 1, method, found)
    if found + 128 <= longest:
        assert not any_layout_fits(model, gpu, 1, method, found + 128)


@QUICK
@given(
    st.sampled_from(["8b", "llama-3.2-1b"]),
    st.sampled_from(["a100", "l40s", "h100"]),
    st.sampled_from(["lora", "qlora"]),
)
def test_largest_micro_batch_fits_and_one_more_does_not(model, gpu, method):
    found = inverse.largest_batch("finetune", model=model, gpu=f"1x{gpu}", method=method)
    question = inverse._question("finetune", model, gpu, None, {"method": method})

    def held(size: int) -> bool:
        plan = replace(inverse.training_plan(question, "finetune"), micro_batch=size, global_batch=2048)
        cluster = question.cluster(1)
        return bool(
            np.any(
                training_step(question.own_llm(), cluster, grid(question.own_llm(), cluster, plan)).fit_chance >= 0.9
            )
        )

    assert held(found)
    assert found == inverse.MOST_MICRO_BATCH or not held(found + 1)


@QUICK
@given(st.floats(0.05, 2), st.floats(0.008, 0.1))
def test_most_users_are_served_in_time_and_one_more_is_not(ttft, tpot):
    found = inverse.most_users(model="8b", gpu="1xa100", ttft_s=ttft, tpot_s=tpot)

    def good(users: int) -> bool:
        one = serving(
            architecture("8b"),
            Cluster(accelerator("a100"), 1, 1),
            ServingPlan(tp=1),
            Traffic(300, 250, concurrency=users),
        )
        return float(one.ttft_s) <= ttft and float(one.tpot_s) <= tpot

    assert found == 0 or good(found)
    most = inverse.largest_batch("serve", model="8b", gpu="1xa100")
    assert found == most or not good(found + 1)


def test_one_user_is_a_user_and_without_limits_all_that_fit_are():
    alone = serving(
        architecture("8b"), Cluster(accelerator("a100"), 1, 1), ServingPlan(tp=1), Traffic(300, 250, concurrency=1)
    )
    asked = {"model": "8b", "gpu": "1xa100"}

    assert inverse.most_users(**asked, ttft_s=1.001 * float(alone.ttft_s)) == 1
    assert inverse.most_users(**asked, ttft_s=0.999 * float(alone.ttft_s)) == 0
    assert inverse.most_users(**asked) == inverse.largest_batch("serve", **asked)


@QUICK
@given(st.floats(0.05, 1.0), st.floats(0.012, 0.05), st.floats(1e5, 1e8))
def test_replicas_hold_the_latency_and_one_less_does_not(ttft, tpot, requests):
    asked = {"model": "8b", "gpu": "a100", "requests_per_month": requests}

    def good(replicas: int) -> bool:
        rate = requests * 1.02 * 4 / (730 * 3600) / replicas
        one = serving(
            architecture("8b"),
            Cluster(accelerator("a100"), 1, 1),
            ServingPlan(tp=1),
            Traffic(300, 250, requests_per_s=rate),
        )
        kept_up = rate < float(one.capacity_requests_per_s)
        return kept_up and float(one.ttft_s) <= ttft and float(one.tpot_s) <= tpot

    try:
        found = inverse.replicas_for_latency(ttft_s=ttft, tpot_s=tpot, **asked)
    except DoesNotFit:
        assert not any(good(n) for n in (1, 100, 100_000))
        return
    assert good(found)
    assert found == 1 or not good(found - 1)


def test_an_impossible_latency_is_refused():
    with pytest.raises(DoesNotFit, match="single request"):
        inverse.replicas_for_latency(model="70b", gpu="a100", ttft_s=1e-4)


@pytest.mark.parametrize(("days", "tokens"), [(30, 2e11), (10, 1e12), (90, 5e12)])
def test_deadline_is_met_and_no_smaller_size_meets_it(days, tokens):
    asked = {"model": "8b", "gpu": "h100", "training_tokens": tokens}
    found = inverse.accelerators_for_deadline(days, **asked)

    assert inverse.pretraining_days(found, **asked) <= days
    for size in inverse.deadline_sizes(8):
        if size < found:
            assert inverse.pretraining_days(size, **asked) > days


@settings(max_examples=4, deadline=None)
@given(st.floats(3e5, 3e7), st.booleans())
def test_budget_buys_these_tokens_and_not_the_next_figure(usd, careful):
    asked = {"model": "8b", "gpu": "64xh100"}

    def cost(tokens: float) -> float:
        figure = estimate("pretrain", training_tokens=tokens, **asked).one_off_usd
        return figure.high if careful else figure.value

    try:
        found = inverse.tokens_for_budget(usd, careful=careful, **asked)
    except DoesNotFit:
        assert cost(100) > usd
        return
    assert cost(found) <= usd < cost(found + 10 ** (len(str(int(found))) - 3))


@settings(max_examples=4, deadline=None)
@given(st.floats(2e4, 1e6))
def test_budget_buys_these_samples_and_not_the_next_figure(usd):
    found = inverse.samples_for_budget(usd, model="8b", gpu="a100")
    more = found + 10 ** (len(str(int(found))) - 3)
    now, then = (estimate("finetune", model="8b", gpu="a100", samples=n).one_off_usd.value for n in (found, more))

    assert now <= usd < then


def test_budget_buys_this_llm_and_not_the_next_size():
    found = inverse.llm_for_budget(1e6, gpu="h100")
    step = 10 ** (len(str(int(found))) - 3)
    now, then = (estimate("pretrain", model=f"{n / 1e9:.10g}b", gpu="h100") for n in (found, found + step))

    assert now.one_off_usd.value <= 1e6 < then.one_off_usd.value


def test_too_small_a_budget_says_so():
    with pytest.raises(DoesNotFit, match="too little"):
        inverse.samples_for_budget(10, model="8b", gpu="a100")


def test_sets_worth_trying_end_where_nothing_is_gained():
    """A small LLM: up to 64 accelerators and four nodes of eight."""
    plan = inverse.training_plan(inverse._question("finetune", "1b", "h100", None, {}), "finetune")

    assert [*inverse._training_counts(architecture("1b"), accelerator("h100"), plan, 8)][-3:] == [80, 88, 96]


def test_unknown_task_is_refused():
    with pytest.raises(UnknownName, match="serve"):
        inverse.smallest_set("serving", model="8b", gpu="a100")


@QUICK
@given(st.sampled_from(["8b", "llama-3.2-1b"]), st.sampled_from(["a100", "l40s", "h100"]), st.integers(100, 8000))
def test_largest_serving_batch_is_held_and_one_more_is_not(model, gpu, prompt):
    found = inverse.largest_batch("serve", model=model, gpu=f"1x{gpu}", prompt_tokens=prompt)
    llm = architecture(model)
    split = memory_split(llm, Cluster(accelerator(gpu), 1, 1), ServingPlan(tp=1))
    each = float(transformer.kv_bytes(llm, prompt + 250, 2.0))

    assert found * each <= split.kv_available
    assert found == ServingPlan().facts.max_sequences or split.kv_available < (found + 1) * each


@pytest.mark.parametrize("task", ["serve", "finetune"])
def test_sets_are_those_of_each_accelerator(task):
    gpus = ("a100", "h100", "l40s")
    found = inverse.accelerator_sets(task, model="8b", gpus=gpus)

    assert {one.accelerator: one.count for one in found} == {
        accelerator(gpu).name: inverse.smallest_set(task, model="8b", gpu=gpu).count for gpu in gpus
    }


def test_a_set_needs_no_more_than_it_has():
    """Pre-training of a 7B on two: memory that the allocator would like to keep is given back."""
    for found in inverse.accelerator_sets("pretrain", model="7b", gpus=("a100", "h100")):
        assert found.memory_bytes <= accelerator(found.accelerator).memory_bytes
