"""Facts by key, grids, power and buildings."""

import math

import pytest

from estimator.catalog.energy import (
    carbon_intensity,
    electricity_price,
    grid_or_world,
    host_power_w,
    power_fraction,
    pue,
)
from estimator.catalog.facts import counted, fact, facts
from estimator.catalog.files import use_facts
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas import scaling


def test_a_fact_carries_its_range_unit_and_source():
    found = fact("chinchilla_besiroglu/A")

    assert found.low < found.value < found.high
    assert found.basis == "published"
    assert "analyzing-chinchilla" in str(found.source)


def test_words_without_a_figure_are_kept():
    found = fact("scaling_form/finetune")

    assert math.isnan(found.value)
    assert "alpha" in found.text


@pytest.mark.parametrize("wrong", ["0", "0.5", "-3", "2.5"])
def test_an_own_fact_that_counts_is_a_whole_number_from_one(tmp_path, wrong):
    header = "key,value,low,high,unit,text,context,source,kind,date"
    (tmp_path / "retrieval_facts.csv").write_text(f"{header}\nembedding/batch,{wrong},,,sequence,,,own,read,2026\n")
    use_facts(tmp_path)
    try:
        with pytest.raises(InvalidInput, match=f"embedding/batch must be a whole number from 1, not {wrong}"):
            counted("embedding/batch")
    finally:
        use_facts(None)


def test_how_a_fact_is_known_becomes_its_basis():
    assert fact("samples/lima").basis == "assumed"
    assert fact("tokens_per_gb/en_prose/llama3").basis == "measured"
    assert fact("kept_fraction/fineweb-edu").basis == "analytic"


def test_unknown_keys_offer_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'samples/lima'"):
        fact("samples/limas")


def test_facts_come_in_families():
    assert facts("cache_read_multiplier")["anthropic"].value == 0.1
    assert facts("cache_read") == {}


@pytest.mark.formula
def test_the_data_constrained_law_gives_its_authors_check_value():
    """L(6.34e9 parameters, 242e9 tokens of which 25e9 unique) = 2.22564 (huggingface/datablations, README)."""
    law = {name: found.value for name, found in facts("data_constrained").items()}
    fresh = {name: law[name] for name in ("A", "B", "alpha", "beta")}
    unique = 25e9
    matched = (unique ** law["beta"] * law["alpha"] * law["A"] / (law["beta"] * law["B"])) ** (1 / law["alpha"])

    tokens_worth = scaling.effective_tokens(242e9, unique, law["R_D"])
    params_worth = scaling.effective_tokens(6.34e9, matched, law["R_N"])
    loss = scaling.loss(params_worth, tokens_worth, law["E"], **fresh)

    assert loss == pytest.approx(fact("data_constrained_check/6.34b_242b_25b").value, rel=1e-3)


@pytest.mark.parametrize(
    ("code", "provider", "value"),
    [
        ("FRA", "", 56.039),
        ("france", "", 56.039),
        ("us-central1", "gcp", 430),
        ("us-central1", "google", 430),
        ("gcp:us-central1", "", 430),
        ("eastus", "azure", 367.8),
        ("us-east-1", "", 367.8),
        ("World", "", 480),
    ],
)
def test_grids_people_name(code, provider, value):
    assert carbon_intensity(code, provider).value == value


@pytest.mark.parametrize("code", ["", "atlantis", "CAF", "gcp:nowhere", "\0"])
def test_unknown_grids_are_refused_or_the_world(code):
    with pytest.raises(UnknownName):
        carbon_intensity(code)
    assert grid_or_world(code).value == 480
    assert grid_or_world(code).basis == "assumed"


def test_buildings_and_power():
    assert pue("AWS").value < pue().value
    assert power_fraction("serving_small_batch").value < power_fraction("serving_large_batch").value
    assert power_fraction("idle").value < power_fraction("training").value
    assert electricity_price().low < electricity_price().value < electricity_price().high
    assert host_power_w().basis == "assumed"
    with pytest.raises(UnknownName, match="Did you mean 'serving'"):
        power_fraction("servin")
