"""Published budgets of whole training runs, predicted from their configuration, inside the 80 % range.

Where a run's source took part in the fit, the prediction used here left that source out. Prices are the publishers'
own, so that money tests hours and not today's price list.
"""

import csv

import pytest

from estimator import estimate
from estimator.catalog.cases import published
from estimator.formulas import reliability
from estimator.validation.training import predict_cases

pytestmark = pytest.mark.prediction

# Interleaved pipeline of arXiv:2407.21783 table 4 (tp 8, pp 16, dp 128 on 16,384 H100); one layer a chunk is assumed.
LLAMA_405B = {"tp": "8", "pp": "16", "dp": "128", "vpp": "8"}
RUNS = {
    "papers-total-007": "Llama-2 7B, arXiv:2307.09288 table 2: 184,320 GPU-hours",
    "papers-total-008": "Llama-2 13B, arXiv:2307.09288 table 2: 368,640 GPU-hours",
    "papers-total-009": "Llama-2 34B, arXiv:2307.09288 table 2: 1,038,336 GPU-hours",
    "papers-total-010": "Llama-2 70B, arXiv:2307.09288 table 2: 1,720,320 GPU-hours",
    "papers-total-013": "Llama-3.1 405B, model card: 30.84 million GPU-hours",
    "papers-total-025": "MPT-7B, MosaicML: 9.5 days on 440 A100-40GB",
    "llmc-005": "llm.c GPT-2 1558M, discussion 677: 24 hours on 8 H100",
    "llmc-006": "llm.c GPT-2 350M, discussion 481: 13.7 hours on 8 A100",
    "nanochat-001": "nanochat d24, leaderboard run 1: 3.04 hours on 8 H100",
    "nanochat-002": "nanochat d26 fp8, leaderboard run 2: 2.91 hours on 8 H100",
    "nanochat-003": "nanochat d26 fp8, leaderboard run 3: 2.76 hours on 8 H100",
}
# id, accelerators, publisher's price of one [USD/h], published cost [USD]
MONEY = [
    ("llmc-005", 8, 3.5, 672, "llm.c discussion 677: 24 hours at 28 USD an hour for the node, 672 USD"),
    ("nanochat-001", 8, 3.0, 73, "nanochat: 3.04 hours at about 24 USD an hour for the node, about 73 USD"),
    ("papers-total-025", 440, 2.0, 200_000, "MPT-7B, MosaicML: 9.5 days, about 200,000 USD"),
]
# Not in any fit: README of jzhang38/TinyLlama, 3 trillion tokens in 90 days on 16 A100-40GB, 24,000 token/s on each.
TINY = {
    **{
        "id": "tinyllama",
        "source": "tinyllama",
        "family": "total_run",
        "model": "tinyllama-1.1b",
        "gpu": "a100-sxm-40gb",
    },
    **{"n_gpus": "16", "gpus_per_node": "8", "seq_len": "2048", "global_batch_seqs": "1024", "precision": "bf16"},
    **{
        "fused_attention": "1",
        "optimizer": "adamw",
        "framework": "lit-gpt",
        "total_tokens_b": "3000",
        "metric": "days",
    },
}


def left_out(rows):
    """Predicted value and range of each row, its own source left out where it was fitted: {id: (value, low, high)}."""
    found = {}
    for case in predict_cases(rows):
        assert case.status == "ok", case.reason
        value = case.predicted_loso if case.fitted else case.predicted
        found[case.id] = (value, value * case.low / case.predicted, value * case.high / case.predicted)
    return found


@pytest.fixture(scope="module")
def rows():
    """The published runs by id; what was measured is dropped before predicting."""
    with published("training").open(newline="", encoding="utf-8") as file:
        found = {row["id"]: row for row in csv.DictReader(file) if row["id"] in RUNS}
    found["papers-total-013"] |= LLAMA_405B
    return found


@pytest.fixture(scope="module")
def predicted(rows):
    """Predictions of all runs."""
    return left_out([{name: text for name, text in row.items() if name != "value"} for row in rows.values()])


@pytest.mark.parametrize("run", RUNS, ids=lambda run: RUNS[run].split(",")[0])
def test_time_of_published_runs(rows, predicted, run):
    value, low, high = predicted[run]

    assert low <= float(rows[run]["value"]) <= high, f"{RUNS[run]}; predicted {value:.4g}"


@pytest.mark.parametrize(("run", "accelerators", "price", "usd", "source"), MONEY, ids=lambda x: str(x)[:16])
def test_cost_of_published_runs(predicted, run, accelerators, price, usd, source):
    low, high = (days * 24 * accelerators * price for days in predicted[run][1:])

    assert low <= usd <= high, source


def test_tinyllama_which_nobody_fitted():
    days = left_out([TINY])["tinyllama"]
    rate = left_out([TINY | {"family": "pretrain", "metric": "tokens_per_s_per_gpu"}])["tinyllama"]

    assert days[1] <= 90 <= days[2]
    assert rate[1] <= 24_000 <= rate[2]


@pytest.mark.parametrize(
    ("model", "gpu", "tokens", "hours", "source"),
    [
        ("llama-2-7b", "2000xa100", 2e12, 184_320, "arXiv:2307.09288 table 2"),
        ("llama-2-13b", "2000xa100", 2e12, 368_640, "arXiv:2307.09288 table 2"),
        ("llama-2-70b", "2000xa100", 2e12, 1_720_320, "arXiv:2307.09288 table 2"),
        ("llama-3.1-405b", "16384xh100", 15.6e12, 30.84e6, "model card of Llama 3.1"),
        ("tinyllama-1.1b", "16xa100-40gb", 3e12, 90 * 24 * 16, "README of jzhang38/TinyLlama"),
    ],
    ids=lambda x: str(x)[:14],
)
def test_the_pretraining_stage_asked_as_a_user_would(model, gpu, tokens, hours, source):
    """LLM, accelerators and tokens alone: layout, interleaving, failures and restarts are the stage's own choices."""
    answer = estimate("pretrain", model=model, gpu=gpu, training_tokens=tokens, experiment_share=0)
    low, high = (seconds / 3600 for seconds in answer.accelerator_s.interval())

    assert low <= hours <= high, source


def test_goodput_of_llama_3_by_cluster_size():
    """arXiv:2407.21783 section 3.3.4: 419 unexpected interruptions in 54 days on 16,384 GPUs, over 90 % effective time.

    The failure rate is theirs (419 / 54 days / 2,048 nodes); by hand the mean time between interruptions is
    54 x 24 h / 419 = 3.09 h. Restarts of 5 minutes and writes of 10 s are what over 90 % then asks for; with writes of
    a minute and restarts of a quarter of an hour it would be well below.
    """
    rate = 419 / 54 / 2048 * 1000
    between = reliability.time_between_interruptions_s(2048, rate)
    assert between / 3600 == pytest.approx(54 * 24 / 419)

    def goodput(nodes, write_s, restart_s):
        mean = reliability.time_between_interruptions_s(nodes, rate)
        return float(reliability.goodput(reliability.checkpoint_interval_s(write_s, mean), write_s, restart_s, mean))

    assert goodput(2048, 10, 300) > 0.9
    assert goodput(2048, 60, 900) < 0.86
    by_size = [goodput(nodes, 10, 300) for nodes in (1, 128, 512, 2048, 8192)]
    assert by_size == sorted(by_size, reverse=True)
    assert by_size[0] > 0.99
