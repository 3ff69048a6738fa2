"""What `serving` says where a load is more than replicas can end, and what a bill of an API holds."""

import pytest

from estimator import compare, estimate, serving
from estimator.catalog.accelerators import cluster
from estimator.errors import DoesNotFit
from estimator.predict.training import TrainingPlan
from estimator.results import Blocked, Estimate
from estimator.stages.training import layout_text

ONE = {"model": "8b", "gpu": "1xh100", "output_tokens": 100}


@pytest.mark.parametrize(("replicas", "says"), [(1, "this replica ends"), (2, "these 2 replicas end")])
def test_a_load_that_nobody_can_end_names_who_cannot(replicas, says):
    with pytest.raises(DoesNotFit, match=says):
        serving(**ONE, prompt_tokens=1000, requests_per_s=1e6, replicas=replicas)


def test_of_several_prompts_the_longest_says_how_much_is_too_much():
    asked = {**ONE, "prompt_tokens": [1000, 4000], "requests_per_s": [0.1, 1e3]}
    found = serving(**asked)
    least = min(found.arrays.capacity_requests_per_s)

    assert any(f"Loads beyond {float(least):.3g} requests/s" in words for words in found.notes)


def test_a_bill_of_an_api_is_its_lines_alone():
    hosted = estimate("prompt", api="openai:gpt-4o-mini", requests_per_month=1e5)
    lines = [line.usd.value for line in hosted.lines if line.kind == "api"]

    assert hosted.details["api_usd"].value == pytest.approx(sum(lines))
    assert 0 < sum(lines) < hosted.total_usd.value
    assert estimate("prompt", model="8b", gpu="h100").details["api_usd"].value == 0


def test_a_layout_in_words():
    plan = TrainingPlan(seq_len=2048, global_batch=64, tp=2, pp=1, ep=1, zero=3, micro_batch=2, recompute="none")

    assert layout_text(plan, cluster("8xh100")) == "tp 2, dp 4, ZeRO-3, micro-batch 2"
    full = TrainingPlan(seq_len=2048, global_batch=64, tp=1, pp=1, ep=1, zero=0, micro_batch=1, recompute="full")
    assert layout_text(full, cluster("8xh100")) == "dp 8, micro-batch 1, full recompute"


def test_a_grid_of_loads_is_a_row_each_in_order():
    """Two prompts by three numbers of clients: a row for each, clients running fastest."""
    found = serving(model="8b", gpu="1xh100", output_tokens=100, prompt_tokens=[[500], [1000]], concurrency=[1, 4, 16])

    assert [load.amount for load in found.loads] == [1, 4, 16, 1, 4, 16]


def test_a_price_that_is_unknown_is_asked_for():
    lengths = {"prompt_tokens": 300, "output_tokens": 100}
    told = " ".join(serving(model="8b", gpu="apple-m3-ultra", engine="llama.cpp", **lengths).notes)
    assert "give --price-per-hour" in told
    assert "price" not in " ".join(serving(model="8b", gpu="h100", **lengths).notes)


def test_what_one_trains_and_does_not_serve_is_answered():
    """14B by QLoRA trains on 32 GB, and is 30 GB of weights to serve: on two, said so; in 4 bits the one is enough."""
    asked = {"model": "qwen2.5-14b", "gpu": "1xrtx-5090", "method": "qlora"}
    found, two = estimate("finetune", **asked), estimate("finetune", **{**asked, "gpu": "rtx-5090"})
    small = estimate("finetune", **asked, weight_precision="int4")

    assert (found.accelerators.value, found.serving_accelerators.value) == (1, 2)
    assert found.total_usd.value == two.total_usd.value
    assert any("takes 2 x" in words and "In int4 it takes 1:" in words for words in found.warnings)
    assert small.serving_accelerators.value == 1
    assert not any("it takes 1" in words or "To serve" in words for words in (*small.warnings, *two.warnings))


def test_beside_approaches_that_serve_nothing_training_is_answered():
    """Prompts have only what was named; a fine-tuned LLM has a baseline all the same, and adds nothing to it."""
    found = compare(model="qwen2.5-14b", gpu="1xrtx-5090", method="qlora", stages=("prompt", "finetune"))
    prompt, tuned = found.estimates

    assert isinstance(prompt, Blocked)
    assert isinstance(tuned, Estimate)
    assert tuned.added_tpot_s.value == 0 < tuned.monthly_usd.value
