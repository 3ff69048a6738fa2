"""The worked cases of docs/cases, each against a calculation by hand, written out here without the library.

Where a case rests on a predicted rate (tokens a second, requests a second), that rate is read from the answer and
everything built on it is worked out anew.
"""

import doctest
import math
from pathlib import Path

import pytest

from estimator import estimate, recommend
from estimator.decide.break_even import break_even
from estimator.decide.inverse import accelerator_sets, accelerators_for_deadline, llm_for_budget, smallest_set

FOLDER = Path(__file__).parents[2] / "docs"
DOCS = [*sorted(FOLDER.glob("cases/*.md")), FOLDER / "decide.md"]
MONTH_S = 730 * 3600
PEOPLE = 85  # USD an hour


def node(figure, name):
    """A figure that another rests on, by name."""
    return next(one for one in figure.walk() if one.name == name)


def line(answer, item):
    """A budget line."""
    return next(one for one in answer.lines if one.item == item)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_documents_hold(path):
    result = doctest.testfile(str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)

    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("requests", [10_000, 10_000_000])
def test_support_chatbot_behind_an_api(requests):
    """gpt-4o-mini at 0.15 (0.075 cached) and 0.60 USD per million: 300 asked, 1,500 fixed, 90 % of it cached."""
    answer = estimate("prompt", api="openai:gpt-4o-mini", requests_per_month=requests)
    cached = 1500 * 0.9
    request = ((1800 - cached) * 0.15 + cached * 0.075 + 250 * 0.60) / 1e6 * 1.02  # 2 % are sent twice
    hours = 16 + 20 * 1 + 100 * 5 / 60
    once = hours * PEOPLE + 20 * 100 * request
    fixed = 4 * PEOPLE + 200 * request  # upkeep, and one round of 200 questions to see that it still works
    month = requests * request + fixed

    assert answer.one_off_usd.value == pytest.approx(once)
    assert answer.monthly_usd.value == pytest.approx(month)
    assert answer.total_usd.value == pytest.approx(once + 12 * month)
    assert answer.details["all_in_usd_per_1000_requests"].value == pytest.approx((once / 12 + month) / requests * 1000)
    assert answer.details["fixed_usd"].value == pytest.approx(once + 12 * fixed)
    assert answer.details["variable_usd"].value == pytest.approx(12 * requests * request)


@pytest.mark.parametrize("requests", [10_000, 10_000_000])
def test_support_chatbot_on_own_accelerators(requests):
    """Whole replicas for the busy hour at 70 % use, on around the clock."""
    answer = estimate("prompt", model="8b", gpu="h100", requests_per_month=requests, price=4.0)
    apart_s = node(answer.total_usd, "time between requests at capacity").value
    peak = requests * 1.02 * 4 / MONTH_S
    replicas = max(math.ceil(peak * apart_s / 0.7), 1)
    judged = 200 * 1.02 * apart_s / 0.7 / 3600 * 4.0  # 200 questions a month to see that it still works
    month = replicas * 730 * 4.0 + 4 * PEOPLE + judged
    used = requests * 1.02 * apart_s / 3600 * 4.0

    assert answer.serving_accelerators.value == replicas
    assert answer.monthly_usd.value == pytest.approx(month)
    assert line(answer, "serving accelerators, in use").usd.value == pytest.approx(used)
    assert line(answer, "serving accelerators, idle").usd.value == pytest.approx(replicas * 730 * 4.0 - used)


def test_the_chatbot_moves_from_the_api_only_with_volume():
    few = estimate("prompt", api="openai:gpt-4o-mini", requests_per_month=1e4)
    own = estimate("prompt", model="8b", gpu="h100", requests_per_month=1e4)

    assert few.total_usd.value < own.total_usd.value / 3


def test_the_chatbot_has_a_break_even_and_an_api_is_cheaper_today():
    hosted = estimate("prompt", api="openai:gpt-4o-mini")
    found = break_even(hosted, estimate("prompt", model="8b", gpu="h100", price=2.0))

    assert found.exists
    assert len(found.crossings) >= 1
    assert found.cheaper_now == hosted.title


def test_domain_assistant_with_50_gb():
    """50 GB in chunks of 400 tokens, 50 shared: vectors of 768 floats, embedded once and a tenth again a month."""
    answer = estimate("rag", model="8b", gpu="h100", corpus_gb=50, price=4.0)
    bytes_per_token = node(answer.data_tokens, "bytes per token").value
    tokens = 50e9 / bytes_per_token
    chunks = 1 + math.ceil((tokens - 400) / 350)
    vectors = chunks * 768 * 4

    assert answer.data_tokens.value == pytest.approx(tokens)
    assert answer.details["chunks"].value == pytest.approx(chunks, rel=1e-6)
    assert vectors < answer.details["index_memory_bytes"].value < 1.25 * vectors  # the graph's links on top
    assert answer.extra_prompt_tokens.value == 5 * 400 + 200
    embedding = answer.details["embedding_s"].value / 3600 * 4.0
    assert line(answer, "embedding the corpus").usd.value == pytest.approx(embedding)
    assert line(answer, "refresh").usd.value == pytest.approx(0.1 * embedding)
    machine, held = line(answer, "index machine, memory and cores"), answer.details["index_memory_bytes"].value
    assert machine.usd.value == pytest.approx(4 * 0.05 * 730 + (held / 0.9 / 2**30 - 16) * 4.0)
    hours = 120 + 200 * 5 / 60
    assert answer.people_hours.value == pytest.approx(hours)


def test_the_domain_assistant_is_recommended_retrieval():
    found = recommend(model="8b", gpu="h100", corpus_gb=50, failure_mode="knowledge", citations=True)

    assert found.best.approach == "rag"
    assert [change.criteria for change in found.changes] == [("failure_mode", "citations")]


def test_embedding_is_less_than_memory_is_less_than_people():
    rag = estimate("rag", model="8b", gpu="h100", corpus_gb=50)
    items = ("embedding the corpus", "index machine, memory and cores", "ingestion, index and evaluation")
    costs = [line(rag, item).horizon_usd.value for item in items]

    assert costs == sorted(costs)


def by_mfu(answer, params, seq, layers, hidden, count, peak, tokens):
    """Seconds of a run by hand: 6 N and the causal half of attention a token, over what MFU leaves of the peak."""
    flop = 6 * params + 6 * layers * seq * hidden
    return flop * tokens / (answer.details["mfu"].value * peak * count)


def test_continued_pretraining_of_7b_on_50b_tokens():
    """7.11e9 weights that multiply, 32 layers, 4,096 wide, sequences of 4,096, on 64 H100 (989 TFLOP/s dense)."""
    answer = estimate("pretrain", model="7b", gpu="64xh100", continued=True, continued_tokens=50e9, price=4.0)
    run_s = by_mfu(answer, 7.11e9, 4096, 32, 4096, 64, 989.4e12, 50e9)
    goodput = answer.details["goodput"].value
    between = 1000 * 86_400 / (8 * 4)  # 8 nodes, 4 failures per 1,000 node-days
    interval = math.sqrt(2 * 20 * between)  # writes that block for 20 s, restarts of 10 minutes
    by_hand = (1 - (10 * 60 + interval / 2) / between) / (1 + 20 / interval)

    assert goodput == pytest.approx(by_hand)
    assert answer.training_s.value == pytest.approx(run_s / goodput, rel=0.02)
    usd = run_s / goodput * 64 / 3600 * 1.2 * 4.0  # a fifth more for experiments
    assert line(answer, "training accelerators").usd.value == pytest.approx(usd, rel=0.02)
    assert not answer.details["expected_loss"].known


def test_lora_of_70b():
    """5,000 samples of 500 tokens, three epochs, four attempts: 4 N a token, as frozen weights need no gradients."""
    answer = estimate("finetune", model="70b", gpu="h100", price=4.0)
    tokens = 5000 * 500 * 3
    rate = answer.details["training_tokens_per_s_per_accelerator"].value
    device_s = tokens / rate

    assert answer.data_tokens.value == 5000 * 500
    assert answer.accelerators.value >= math.ceil(70e9 * 2 / (80 * 2**30))  # 16-bit weights alone
    beside = sum(answer.details[f"time_{part}_s"].value for part in ("evaluation", "saving"))
    device_s += beside * answer.accelerators.value
    start_s = 3 * 60 + 2 * 70.55e9 / 2e9
    assert answer.training_s.value == pytest.approx(device_s / answer.accelerators.value + start_s, rel=1e-3)
    assert line(answer, "training accelerators").usd.value == pytest.approx(4 * device_s / 3600 * 4.0)
    assert line(answer, "labelling").usd.value == pytest.approx(5000 * 2 / 60 * 30)
    assert answer.flop.value == pytest.approx(4 * 69.5e9 * tokens * 4, rel=0.02)
    assert answer.people_hours.value == pytest.approx(80 + 5000 * 2 / 60)


def test_sets_that_hold_a_70b_are_listed_cheapest_first():
    sets = accelerator_sets("finetune", model="70b", gpus=("a100", "h100", "l40s"))
    prices = [one.usd_per_hour.value for one in sets]

    assert prices == sorted(prices)
    assert smallest_set("finetune", model="70b", gpu="h100", method="qlora").count == 1


def test_budgets_and_deadlines_of_pretraining():
    month = accelerators_for_deadline(30, model="8b", gpu="h100", training_tokens=1e12)
    fortnight = accelerators_for_deadline(15, model="8b", gpu="h100", training_tokens=1e12)

    assert month < fortnight <= 3 * month
    assert 3e10 < llm_for_budget(2_000_000, gpu="h100", price=4.0) < 1.5e11


def test_seventy_times_the_parameters_ask_for_thousands_of_times_the_work():
    small, large = (estimate("pretrain", model=name, gpu="h100", price=4.0) for name in ("1b", "70b"))

    assert 3000 < large.flop.value / small.flop.value < 4500
    assert small.accelerators.value <= 4
    assert 400 <= large.accelerators.value <= 1000


@pytest.mark.parametrize(
    ("model", "params", "weights", "layers", "hidden"),
    [("1b", 1.0e9, 1.0e9, 16, 1842), ("70b", 70.55e9, 69.5e9, 80, 8192)],
)
def test_pretraining_at_the_compute_optimal_point(model, params, weights, layers, hidden):
    """Tokens by the refitted law (arXiv:2404.10102 equation 5): (beta B N^alpha / (alpha A))^(1/beta)."""
    answer = estimate("pretrain", model=model, gpu="h100", price=4.0)
    alpha, beta, a, b = 0.3478, 0.3658, 482.01, 2085.43
    tokens = (beta * b * params**alpha / (alpha * a)) ** (1 / beta)
    count = answer.accelerators.value
    run_s = by_mfu(answer, weights, 4096, layers, hidden, count, 989.4e12, tokens)
    loss = 1.8172 + a / params**alpha + b / tokens**beta

    assert answer.data_tokens.value == pytest.approx(tokens, rel=0.02)
    assert answer.training_s.value == pytest.approx(run_s / answer.details["goodput"].value, rel=0.05)
    assert answer.training_s.value <= 30 * 86_400 * 1.001
    assert answer.details["expected_loss"].value == pytest.approx(loss, rel=0.01)
    raw = answer.data_bytes.value / 0.15
    assert line(answer, "data curation").usd.value == pytest.approx(raw / 1e12 * 600 * 0.05)
    assert line(answer, "data, training and evaluation").usd.value == 2000 * PEOPLE


def test_a_70b_run_costs_what_llama_2_took_for_as_many_tokens():
    """Llama-2 70B took 1,720,320 A100-hours for 2e12 tokens (arXiv:2307.09288 table 2): the stage's own answer."""
    answer = estimate(
        "pretrain", model="llama-2-70b", gpu="2000xa100", training_tokens=2e12, experiment_share=0, price=2.0
    )
    low, high = (seconds / 3600 for seconds in answer.accelerator_s.interval())

    assert low <= 1_720_320 <= high
