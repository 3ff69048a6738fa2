"""Engines: every listed one resolves, aliases agree, an unlisted one takes the default and says so."""

import tomllib

import pytest

from estimator.catalog.engines import engine, known_engines, serving_priors
from estimator.paths import presets


def test_every_listed_engine_is_complete_and_sourced():
    for name in known_engines():
        found = engine(name)
        assert found.known, name
        assert found.source is not None, name
        assert 0.5 < found.memory_fraction <= 1.0, name
        assert found.prefill_chunk >= 512, name


def test_every_alias_points_at_a_listed_engine():
    with (presets() / "engines.toml").open("rb") as file:
        aliases = tomllib.load(file)["alias"]
    assert set(aliases.values()) <= set(known_engines())


@pytest.mark.parametrize(
    ("spelled", "listed"), [("TRT-LLM", "tensorrt-llm"), ("llama_cpp", "llama.cpp"), ("Transformers", "hf")]
)
def test_spellings_agree(spelled, listed):
    assert engine(spelled).family == listed


def test_an_unlisted_engine_is_predicted_as_the_pool_and_says_so():
    unknown, default = engine("my-server"), engine("vllm")

    assert not unknown.known
    assert unknown.family == "my-server"
    assert unknown.launch == default.launch


def test_older_releases_are_as_they_then_were():
    now, then = engine("vllm"), engine("vllm", 2024.5)

    assert (now.scheduling, then.scheduling) == ("mixed", "prompts-first")
    assert then.large is None
    assert now.large
    assert now.large.max_sequences == 1024 > then.max_sequences == 256
    assert (engine("llama.cpp").launch, engine("llama.cpp", 2023.5).launch) == ("graph", "native")


def test_constants_are_few_and_documented():
    priors = serving_priors()

    assert len(priors) <= 36
    for name, prior in priors.items():
        assert prior["prior"] > 0, name
        assert 0 < prior["log_sd"] <= 0.6, name
        assert prior["unit"], name
        assert prior["meaning"], name
