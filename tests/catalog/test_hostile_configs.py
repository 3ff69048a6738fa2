"""A config.json that says what cannot be is refused in one line; one of layers without attention is not."""

import json
import warnings

import pytest

from estimator import compare
from estimator.catalog.hf_config import read_config
from estimator.errors import InvalidInput
from tests.fuzz.surfaces.configs import LLAMA, MIXTURE, QUANTIZED, SCANNED, shipped

HYBRID = next(one for one in shipped() if one["model_type"] == "falcon_h1")
PACKED = next(one for one in QUANTIZED if "config_groups" in one)


@pytest.fixture
def refused(tmp_path):
    def why(config):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        with pytest.raises(InvalidInput) as caught:
            read_config(path)
        return str(caught.value)

    return why


@pytest.mark.parametrize("wrong", [5, "x", [1, "2"], [True], {"a": 1}])
def test_layers_without_experts_are_listed_by_number(refused, wrong):
    assert "mlp_only_layers must list numbers of layers" in refused({**MIXTURE, "mlp_only_layers": wrong})


def test_no_list_of_layers_is_none(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**MIXTURE, "mlp_only_layers": None}))

    assert read_config(tmp_path / "config.json").experts


@pytest.mark.parametrize(("field", "wrong"), [("mamba_d_ssm", -1), ("mamba_n_heads", -5), ("intermediate_size", -1)])
def test_a_size_below_nothing_is_refused(refused, field, wrong):
    assert "must be 0 or at least 1" in refused({**HYBRID, field: wrong})


@pytest.mark.parametrize("wrong", ["a" * 2000, "9" * 5000, [1], {}])
def test_a_factor_that_is_no_number_is_refused(refused, wrong):
    assert "do not allow" in refused({**SCANNED, "intermediate_size": None, "expand": wrong})


@pytest.mark.parametrize("wrong", [{}, {"0": "M"}, 5, 2**63])
def test_a_pattern_of_layers_that_cannot_be_looked_up_is_refused(refused, wrong):
    config = next(one for one in shipped() if one["model_type"] == "nemotron_h")

    assert "do not allow" in refused({**config, "hybrid_override_pattern": wrong})


@pytest.mark.parametrize("wrong", [5, 24.7, [5], {"a": 1}, True])
def test_what_stays_wide_is_listed_by_names(refused, wrong):
    entry = {**QUANTIZED[0], "modules_to_not_convert": wrong}

    assert "modules_to_not_convert of quantization_config must list names" in refused(
        {**LLAMA, "quantization_config": entry}
    )


def test_an_expression_that_may_never_end_is_refused(refused):
    assert "without an end" in refused({**LLAMA, "quantization_config": {**PACKED, "ignore": ["re:(.+)+!"]}})


def test_a_group_of_no_whole_size_is_refused(refused):
    weights = {"num_bits": 4, "type": "int", "group_size": 12.5}
    groups = {"g": {"targets": ["Linear"], "weights": weights}}

    assert "group_size" in refused({**LLAMA, "quantization_config": {**PACKED, "config_groups": groups}})


def test_an_llm_that_attends_to_nothing_has_a_time_and_a_price(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SCANNED))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(model=str(tmp_path), gpu="a100", stages=("prompt",)).estimates[0]

    assert found.details["ttft_s"].value > 0
    assert found.total_usd.value > 0
