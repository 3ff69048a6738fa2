"""Discounts, tax, egress and kept checkpoints: nothing by default, and by hand where they are asked for."""

import pytest

from estimator import Price, estimate
from estimator.catalog.accelerators import accelerator
from estimator.decide.break_even import owning


def line(answer, item):
    return next(one for one in answer.lines if one.item == item)


def test_none_of_it_is_there_unasked():
    answer = estimate("finetune", model="8b", gpu="h100")

    assert not {"egress", "checkpoints on disk"} & {one.item for one in answer.lines}


def test_a_discount_and_tax_are_on_what_is_rented_and_on_apis():
    """Less a fifth, with 19 % on top: 0.952 of the list."""
    for question in ({"model": "8b", "gpu": "h100"}, {"api": "openai:gpt-4o-mini"}):
        full, paid = (estimate("prompt", **question, discount=d, tax=t) for d, t in ((0, 0), (0.2, 0.19)))
        kinds = ("serving", "idle", "api")
        sums = [sum(one.horizon_usd.value for one in a.lines if one.kind in kinds) for a in (full, paid)]
        assert sums[1] == pytest.approx(0.952 * sums[0])
        assert line(full, "upkeep").usd.value == line(paid, "upkeep").usd.value


def test_tax_is_on_what_is_bought_too():
    """19 % on an accelerator of 30,000 USD, its server and its network; none on rack and electricity."""
    inputs = {"owned_rack_usd_per_kw_month": 0, "owned_residual_share": 0, "owned_interest_per_year": 0}
    price = Price(purchase=30_000, years=4, electricity=0)
    net, gross = (
        estimate("prompt", model="8b", gpu="1xh100", price=price, tax=t, owned_support_per_year=0, **inputs)
        for t in (0, 0.19)
    )
    months = [sum(one.usd.value for one in a.lines if one.kind in ("serving", "idle", "spare")) for a in (net, gross)]

    assert months[0] == pytest.approx(30_000 * 1.42 / 48)
    assert months[1] == pytest.approx(1.19 * months[0])
    bought, taxed = (owning(accelerator("h100"), 30_000, Price(per_hour=2.5), electricity=0, tax=t) for t in (0, 0.19))
    assert taxed.parts["purchase"].value == pytest.approx(1.19 * bought.parts["purchase"].value)
    assert taxed.hours.value < bought.hours.value  # the rack has no tax on it here, the rent has


def test_egress_by_hand():
    answer = estimate("prompt", model="8b", gpu="h100", egress_gb_per_month=500, egress_usd_per_gb=0.09)

    assert line(answer, "egress").usd.value == pytest.approx(45)
    assert line(answer, "egress").horizon_usd.value == pytest.approx(12 * 45)


def test_checkpoints_by_hand():
    """Three of 8.03 billion weights in two bytes at 0.1 USD a GB and month."""
    answer = estimate(
        "finetune", model="llama-3.1-8b", gpu="h100", finetune_checkpoints_kept=3, storage_usd_per_gb_month=0.1
    )

    assert line(answer, "checkpoints on disk").usd.value == pytest.approx(3 * 8.03 * 2 * 0.1, rel=1e-3)


def test_labelling_of_data_that_exists_costs_nothing_and_is_said():
    """1,000,000 samples at two minutes and 30 USD an hour are a million; those that exist are nothing."""
    asked = {"model": "llama-3.1-8b", "gpu": "h100", "samples": 1e6}
    labelled, exist = (estimate("finetune", **asked, existing_samples=n) for n in (0, 1e6))

    assert line(labelled, "labelling").usd.value == pytest.approx(1e6 * 2 / 60 * 30)
    assert line(exist, "labelling").usd.value == 0
    assert any("existing_samples" in words for words in labelled.warnings)
    assert any("the others exist" in words for words in exist.warnings)


def test_data_needed_is_what_there_must_be_not_what_epochs_read_of_it():
    asked = {"model": "8b", "gpu": "h100", "samples": 5000, "tokens_per_sample": 500}
    once, thrice = (estimate("finetune", **asked, epochs=n) for n in (1, 3))

    assert once.data_tokens.value == thrice.data_tokens.value == 2.5e6
    computing = [answer.details["time_computing_s"].value for answer in (once, thrice)]
    assert computing[1] == pytest.approx(3 * computing[0], rel=0.02)  # the last step of an epoch may be short
