"""What the time of a run is made of: steps, padding, host, evaluation, saving, start-up; interruptions, networks."""

import re

import numpy as np
import pytest

from estimator import Price, estimate
from estimator.catalog.files import preset_files, rows
from estimator.catalog.frameworks import framework, packing_of
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.formulas import sample_lengths

LLAMA = {
    "model": "llama-7b",
    "gpu": "8xa100",
    "method": "full",
    "samples": 52_000,
    "tokens_per_sample": 120,
    "attempts": 1,
}
PARTS = ("computing", "padding", "host", "evaluation", "saving", "interruptions", "waiting", "start_up")


def parts(answer):
    return {name: answer.details[f"time_{name}_s"].value for name in PARTS}


def test_the_parts_are_named_and_add_up():
    """52,000 samples, three epochs, 64 a step; one evaluation an epoch; a checkpoint every 500 steps and at the end."""
    answer = estimate("finetune", **LLAMA)
    found = parts(answer)

    assert answer.details["optimizer_steps"].value == np.ceil(52_000 * 3 / 64)
    assert answer.training_s.value == pytest.approx(sum(found.values()))
    assert found["padding"] > 0.5 * found["computing"]
    assert found["saving"] == pytest.approx(5 * 14 * 6.738e9 * 0.5e-9, rel=0.01)
    assert found["evaluation"] == pytest.approx(0.02 / 3 * sum(found[name] for name in PARTS[:3]))
    assert found["start_up"] == pytest.approx(180 + 2 * 6.738 * 0.5, rel=0.01)


def test_packed_the_computing_is_what_it_was():
    """Within a tenth of nine minutes, and no padding; padding-free and grouped lie between."""
    packed, off, grouped, free = (
        parts(estimate("finetune", **LLAMA, packing=how)) for how in (True, "off", "grouped", "padding-free")
    )

    assert packed["computing"] / 60 == pytest.approx(9.1, rel=0.1)
    assert packed["padding"] == 0 < grouped["padding"] < free["padding"] < off["padding"]


def test_the_command_names_them(capsys):
    argv = [
        "estimate",
        "finetune",
        "--model",
        "llama-7b",
        "--gpu",
        "8xa100",
        "--set",
        "method=full",
        "--set",
        "samples=52k",
    ]
    assert main([*argv, "--set", "tokens_per_sample=120", "--set", "per_device_train_batch_size=4"]) == 0
    shown = " ".join(capsys.readouterr().out.split())

    assert "micro-batch 4" in shown
    assert "2.44k steps: computing" in shown
    assert re.search(r"padding [\d.]+ min \(\d\d%\)", shown)
    assert all(name in shown for name in ("computing ", "padding ", "host ", "evaluation ", "saving ", "start up "))


def test_longer_tails_pad_more():
    even, uneven = (parts(estimate("finetune", **LLAMA, length_spread=spread))["padding"] for spread in (0.3, 1.0))
    assert even < uneven
    assert parts(estimate("finetune", **LLAMA, length_spread=0))["padding"] == pytest.approx(0, abs=1e-6)


def test_equal_samples_as_long_as_a_row_are_not_cut():
    assert sample_lengths.share_above(256, 0.0, 256) == 0.0
    assert sample_lengths.share_above(257, 0.0, 256) == 1.0


@pytest.mark.parametrize(("spread", "rows"), [(0.4, 4), (0.7, 8), (1.0, 64)])
def test_the_longest_of_a_batch_against_draws(spread, rows):
    draws = 100 * np.exp(spread * np.random.default_rng(0).standard_normal((20_000, rows)) - spread**2 / 2)
    most = 250.0

    assert float(sample_lengths.longest(100, spread, rows)) == pytest.approx(draws.max(axis=1).mean(), rel=0.02)
    cut = np.minimum(draws, most).max(axis=1).mean()
    assert float(sample_lengths.longest(100, spread, rows, most)) == pytest.approx(cut, rel=0.02)
    assert sample_lengths.share_above(100, spread, most) == pytest.approx((draws > most).mean(), abs=0.003)


@pytest.mark.parametrize("row", rows(preset_files("framework_packing.csv")[0]), ids=lambda row: row["match"])
def test_defaults_of_packing_are_of_frameworks_that_are_known(row):
    assert framework(row["match"]).known
    assert row["packing"] in ("on", "off")
    assert packing_of(row["match"]).word == row["packing"]
    assert row["source"]


@pytest.mark.parametrize(
    ("name", "padded"), [("axolotl", True), ("nemo", False), ("hf trainer", True), ("maxtext", False)]
)
def test_a_framework_packs_as_it_does_by_default(name, padded):
    found = parts(estimate("finetune", **{**LLAMA, "gpus": None, "finetune_framework": name}))
    assert (found["padding"] > 0) == padded


@pytest.mark.parametrize("word", ["banana", 3.5, "of"])
def test_a_packing_nobody_knows_is_refused(word):
    with pytest.raises(InvalidInput, match="packing must be"):
        estimate("finetune", **LLAMA, packing=word)


def test_machines_and_their_network_are_asked_and_said():
    """2 x 8 by default; plain Ethernet and machines of two are slower, and what is assumed is said."""
    ask = {"model": "7b", "gpu": "16xa100", "method": "full", "attempts": 1, "samples": 20_000, "zero": 3}
    usual, ethernet, small = (
        estimate("finetune", **ask, **more)
        for more in ({}, {"network_gbit_per_s": 1.5}, {"gpus_per_node": 2, "network_gbit_per_s": 12})
    )

    assert usual.training_s.value < small.training_s.value < ethernet.training_s.value
    assert "2 machines of 8: it assumes 200 Gbit/s" in " ".join(usual.warnings)
    assert "8 machines of 2: it assumes 12 Gbit/s" in " ".join(small.warnings)


def test_machines_that_nothing_joins_are_called_no_cluster():
    """By what is known of the device, not by its name; a network that was given joins them."""
    asked = {"model": "8b", "gpu": "64xapple-m2-ultra", "training_tokens": 1e9}
    alone, joined = (estimate("pretrain", **asked, **more).warnings for more in ({}, {"network_gbit_per_s": 10}))
    rented = estimate("pretrain", model="8b", gpu="64xrtx-4090", training_tokens=1e9).warnings

    assert "64 of them say how much work it is" in " ".join(alone)
    assert "Nothing is known that joins" not in " ".join([*joined, *rented])


@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_machines_that_are_taken_back_cost_days(stage):
    """Spot prices bring interruptions as their provider is known for; a rate of one's own counts instead."""
    ask = {"model": "1b", "gpu": "8xa100", "samples": 2e6, "training_tokens": 2e10, "method": "full"}
    sure = estimate(stage, **ask)
    spot, gcp = (estimate(stage, **ask, price=Price(commitment="spot", provider=name)) for name in (None, "gcp"))
    often = estimate(stage, **ask, interruptions_per_day=12)

    assert sure.training_s.value < spot.training_s.value < gcp.training_s.value < often.training_s.value
    assert spot.training_s.interval()[1] > 1.2 * sure.training_s.interval()[1]
    none = estimate(stage, **ask, price=Price(commitment="spot"), interruptions_per_day=0)
    assert none.training_s.value == pytest.approx(sure.training_s.value)


def test_passes_of_learning_over_what_was_sampled():
    ask = {"model": "8b", "gpu": "8xh100", "objective": "grpo", "samples": 1000, "attempts": 1}
    one, four = (parts(estimate("finetune", **ask, update_epochs=many))["computing"] for many in (1, 4))
    assert 2.5 * one < four <= 4 * one


def test_an_eight_bit_base_is_held_in_eight_bits_and_slower():
    ask = {"model": "llama-7b", "gpu": "1xa100", "method": "lora", "attempts": 1, "micro_batch": 1}
    plain, eight = (estimate("finetune", **ask, base_precision=name) for name in ("bf16", "int8"))

    assert eight.peak_memory_bytes.value < plain.peak_memory_bytes.value - 4e9
    assert parts(eight)["computing"] > 1.5 * parts(plain)["computing"]


def test_an_unnamed_stack_may_be_an_untuned_one():
    ask = {"model": "2.7b", "gpu": "160xa100", "training_tokens": 1.1e12}
    named, unnamed = (estimate("pretrain", **ask, pretrain_framework=name) for name in ("megatron-core", ""))

    assert unnamed.training_s.value > named.training_s.value
    ends = [answer.training_s.interval() for answer in (named, unnamed)]
    assert ends[1][1] / ends[1][0] > ends[0][1] / ends[0][0]
