"""The main job: four approaches, complete, consistent, and moving the right way."""

import json
import math
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import compare, estimate, training_step, validate
from estimator.errors import DoesNotFit, EstimatorError, InvalidInput, UnknownName
from estimator.pricing import Price
from estimator.quantities import Quantity
from estimator.results import Blocked, Estimate
from estimator.shown import SCHEMA_VERSION
from estimator.stages import STAGES

MODELS = ("7b", "8b", "llama-3.2-1b", "qwen2.5-14b", "mixtral-8x7b", "gemma-2-9b", "deepseek-v2-lite")
GPUS = ("a100", "h100", "l40s", "rtx-4090", "mi300x", "b200")
QUICK = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def comparison():
    """The newcomer's first question."""
    return compare(model="7b", gpu="a100")


def test_four_stages_with_every_figure(comparison):
    assert [answer.stage for answer in comparison.estimates] == list(STAGES)
    for answer in comparison.estimates:
        assert isinstance(answer, Estimate)
        for name, figure in answer.quantities():
            assert figure.known, (answer.stage, name)
            assert figure.low <= figure.value <= figure.high, (answer.stage, name)
            assert figure.unit


def test_totals_are_the_sums_of_their_lines(comparison):
    for answer in comparison.estimates:
        once = sum(line.usd.value for line in answer.lines if line.phase == "one-off")
        month = sum(line.usd.value for line in answer.lines if line.phase == "monthly")
        horizon = sum(line.horizon_usd.value for line in answer.lines)
        assert answer.one_off_usd.value == pytest.approx(once)
        assert answer.monthly_usd.value == pytest.approx(month)
        assert answer.total_usd.value == pytest.approx(horizon)
        assert answer.total_usd.value == pytest.approx(once + 12 * month)  # no growth by default


def test_json_holds_every_field_and_parses(comparison):
    data = json.loads(comparison.to_json())

    assert data["schema_version"] == SCHEMA_VERSION
    for stage in STAGES:
        assert {item.name for item in fields(Estimate)} <= set(data["stages"][stage])


def test_table_fits_120_columns_and_shows_the_same_totals(comparison):
    table = str(comparison)

    assert max(map(len, table.splitlines())) <= 120
    for title in ("Prompt engineering", "RAG", "Fine-tuning", "Pre-training"):
        assert title in table


def test_every_line_of_money_has_quantity_and_price(comparison):
    for answer in comparison.estimates:
        for line in answer.lines:
            assert line.quantity.unit
            assert line.unit_price.unit
            assert line.usd.value >= 0


def test_every_figure_goes_down_to_sourced_inputs(comparison):
    for answer in comparison.estimates:
        for name, figure in answer.quantities():
            leaves = [node for node in figure.walk() if not node.inputs]
            assert leaves
            for leaf in leaves:
                assert leaf.sources or leaf.note or leaf.basis == "analytic", (answer.stage, name, leaf.name)


def test_size_preset_and_config_agree(tmp_path):
    config = {
        "model_type": "mistral",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 32768,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    by_size, by_name, by_file = (
        estimate("finetune", model=name, gpu="a100").to_dict()["total_usd"]["value"]
        for name in ("7b", "mistral-7b-v0.3", str(tmp_path / "config.json"))
    )

    assert by_size == pytest.approx(by_name, rel=1e-12)
    assert by_file == pytest.approx(by_name, rel=1e-9)


def test_unknown_price_is_unknown_not_zero():
    answer = estimate("finetune", model="7b", gpu="h20")

    assert not answer.total_usd.known
    assert answer.to_dict()["total_usd"]["value"] is None
    assert answer.training_s.known


@pytest.mark.parametrize("price", [1.5, Price(purchase=2000.0)])
def test_a_price_makes_it_known(price):
    assert estimate("finetune", model="7b", gpu="h20", price=price).total_usd.known


def test_a_stage_that_cannot_run_leaves_the_rest_standing():
    comparison = compare(model="qwen3-32b", gpu="1xa100", method="full", host_memory_gb=512)

    blocked = comparison["finetune"]
    assert isinstance(blocked, Blocked)
    assert "smallest that fits" in blocked.reason
    assert isinstance(comparison["rag"], Estimate)
    assert "cannot run" in str(comparison)


def test_api_needs_no_accelerator():
    comparison = compare(api="openai:gpt-4o-mini")

    assert isinstance(comparison["prompt"], Estimate)
    assert isinstance(comparison["pretrain"], Blocked)
    assert not comparison["prompt"].added_ttft_s.known


def test_cached_prefix_is_cheaper_and_faster():
    with_cache = estimate("prompt", model="8b", gpu="h100", instruction_tokens=4000)
    without = estimate("prompt", model="8b", gpu="h100", instruction_tokens=4000, prefix_cache=False)

    assert with_cache.added_ttft_s.value < without.added_ttft_s.value
    assert with_cache.added_usd_per_1000_requests.value < without.added_usd_per_1000_requests.value


def test_longer_prompts_than_the_context_are_refused():
    with pytest.raises(DoesNotFit, match="fewer or shorter"):
        estimate("prompt", model="llama-2-7b", gpu="a100", examples=50)


def test_growth_makes_the_year_cost_more_than_twelve_first_months():
    flat = estimate("rag", model="8b", gpu="a100", requests_per_month=5e6)
    growing = estimate("rag", model="8b", gpu="a100", requests_per_month=5e6, growth_per_month=0.1)

    assert growing.monthly_usd.value == pytest.approx(flat.monthly_usd.value)
    assert growing.total_usd.value > flat.total_usd.value


@pytest.mark.parametrize("objective", ["dpo", "grpo", "ppo"])
def test_preference_tuning_costs_more_than_supervised(objective):
    supervised = estimate("finetune", model="8b", gpu="a100")
    preferences = estimate("finetune", model="8b", gpu="a100", objective=objective)

    assert preferences.accelerator_s.value > supervised.accelerator_s.value


def test_ppo_costs_more_than_grpo():
    grpo, ppo = (estimate("finetune", model="8b", gpu="a100", objective=name) for name in ("grpo", "ppo"))

    assert ppo.accelerator_s.value > grpo.accelerator_s.value


@QUICK
@given(st.sampled_from(MODELS), st.sampled_from(GPUS))
def test_memory_grows_from_qlora_to_lora_to_full(model, gpu):
    from estimator.catalog.accelerators import accelerator
    from estimator.catalog.models import architecture
    from estimator.predict.training import TrainingPlan, training_step
    from estimator.records import Cluster

    llm, cluster = architecture(model), Cluster(accelerator(gpu), 1, 1)
    memory = [
        float(training_step(llm, cluster, TrainingPlan(seq_len=1024, method=method)).memory.total)
        for method in ("qlora", "lora", "full")
    ]

    assert memory == sorted(memory)


@QUICK
@given(st.sampled_from(MODELS), st.sampled_from(GPUS), st.floats(1e3, 1e7), st.floats(1.1, 10))
def test_more_requests_never_cost_less(model, gpu, requests, times):
    few, many = (
        estimate("rag", model=model, gpu=gpu, price=2.0, requests_per_month=n) for n in (requests, requests * times)
    )

    assert many.monthly_usd.value >= few.monthly_usd.value * (1 - 1e-9)


@QUICK
@given(st.sampled_from(MODELS), st.integers(0, 2000), st.integers(1, 2000))
def test_longer_prompts_never_cost_less(model, tokens, more):
    short, long = (
        estimate("prompt", model=model, gpu="h100", instruction_tokens=n, prefix_cache=False)
        for n in (tokens, tokens + more)
    )

    assert long.added_ttft_s.value >= short.added_ttft_s.value - 1e-12
    assert long.added_usd_per_1000_requests.value >= short.added_usd_per_1000_requests.value - 1e-12
    assert long.added_memory_bytes.value >= short.added_memory_bytes.value


@QUICK
@given(st.floats(1e2, 1e6), st.floats(1.1, 10))
def test_more_samples_never_cost_less(samples, times):
    few, many = (estimate("finetune", model="8b", gpu="a100", samples=n) for n in (samples, samples * times))

    assert many.one_off_usd.value >= few.one_off_usd.value
    assert many.training_s.value >= few.training_s.value


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["samples", "epochs", "top_k", "chunk_tokens", "corpus_gb", "growth_per_month", "iterations"]),
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=8), st.none()),
        max_size=3,
    )
)
def test_any_input_gives_an_answer_or_one_line(inputs):
    answer = asked(inputs)

    assert "\n" not in answer if isinstance(answer, str) else all(map(math.isfinite, answer))


def asked(inputs: dict[str, object]) -> str | list[float]:
    """The totals of a comparison, or the one line it is refused with."""
    try:
        answer = compare(model="llama-3.2-1b", gpu="a100", **inputs)
    except EstimatorError as error:
        return str(error)
    return [e.total_usd.value for e in answer.estimates if isinstance(e, Estimate)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"model": "7b"}, InvalidInput),
        ({"gpu": "a100"}, InvalidInput),
        ({"model": "7b", "gpu": "a1oo"}, UnknownName),
        ({"model": "lama-3.1-8b", "gpu": "a100"}, UnknownName),
        ({"model": "7b", "gpu": "a100", "gpus": 0}, InvalidInput),
        ({"model": "7b", "gpu": "a100", "gpus": 2.5}, InvalidInput),
        ({"model": "7b", "gpu": ["a100"]}, InvalidInput),
        ({"model": 8, "gpu": "a100"}, InvalidInput),
        ({"model": "7b", "gpu": "a100", "price": "cheap"}, InvalidInput),
        ({"api": "openai:gpt-4o-maxi"}, UnknownName),
    ],
)
def test_wrong_names_are_refused(arguments, error):
    with pytest.raises(error):
        compare(**arguments)


def test_estimate_refuses_an_unknown_stage():
    with pytest.raises(UnknownName, match="finetune"):
        estimate("finetuning", model="7b", gpu="a100")


def test_results_are_quantities(comparison):
    assert isinstance(comparison["rag"].total_usd, Quantity)
    with pytest.raises(KeyError):
        comparison["distil"]


def test_a_training_step_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="seq_len must be between 1"):
        training_step(model="llama-2-7b", gpu="8xa100", seq_len=0)


def test_a_path_may_be_text_or_a_path(tmp_path):
    """Of a model's config.json, and of one file of cases."""
    config = {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16}
    config |= {"num_attention_heads": 16, "intermediate_size": 5504, "vocab_size": 32000}
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    cases = tmp_path / "mine.csv"
    cases.write_text(
        "id,source,metric,model,gpu,n_gpus,seq_len,micro_batch,value\na,me,mfu,llama-2-7b,a100,8,2048,1,0.4\n"
    )

    by_path, by_text = (estimate("prompt", model=name, gpu="a100") for name in (tmp_path, str(tmp_path)))

    assert by_path.total_usd.value == by_text.total_usd.value
    assert len(validate(cases).cases) == len(validate([str(cases)]).cases) == 1


def test_adapters_keep_to_the_positions_an_llm_has_learned():
    """Trained whole, a new LLM may be given more."""
    longer = {"model": "gpt2", "gpu": "a100", "seq_len": 4096}

    with pytest.raises(InvalidInput, match="has learned 1,024 positions"):
        training_step(**longer, method="lora")

    assert training_step(**longer).step_s > 0


@pytest.mark.parametrize("name", ["seq_len", "global_batch", "lora_rank", "cp", "shard", "query_len", "logits_to_keep"])
def test_a_layout_is_chosen_for_one_question(name):
    asked = {"model": "1b", "gpu": "8xa100", "seq_len": 2048, "global_batch": 64} | {name: (64, 128, 256)}

    with pytest.raises(InvalidInput, match=f"there must be one {name}: give one, or name the whole layout"):
        training_step(**asked)
