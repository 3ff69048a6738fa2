"""What the stages say where something is unknown, conflicting, or larger than one accelerator."""

import math

import pytest

from estimator import compare, estimate, training_step
from estimator.catalog.facts import fact
from estimator.catalog.models import architecture
from estimator.decide.inverse import _question
from estimator.errors import DoesNotFit, InvalidInput, UnknownName
from estimator.formulas import money
from estimator.formulas.transformer import matmul_params
from estimator.pricing import Price
from estimator.stages.pretrain import _whole


def test_models_beside_each_other_take_few_accelerators() -> None:
    """PPO holds a policy, a critic, a reference and a reward model: more than one model's set-up, not a cluster.

    One alone may keep its optimizer in host memory.
    """
    alone = estimate("finetune", model="8b", gpu="a100", method="full")
    four = estimate("finetune", model="8b", gpu="a100", method="full", objective="ppo")
    assert alone.accelerators.value <= four.accelerators.value <= 8 * alone.accelerators.value


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_peak_memory_is_within_the_accelerator(method: str) -> None:
    """What an allocator would keep beyond its need cannot exceed what there is."""
    answer = estimate("finetune", model="7b", gpu="a100", method=method)
    assert 0 < answer.peak_memory_bytes.value <= 80 * 2**30


def test_work_of_learning_from_rewards_counts_sampled_tokens() -> None:
    """GRPO learns from generations x completions of every prompt, each read with its prompt."""
    inputs = {"model": "8b", "gpu": "a100", "samples": 1000, "epochs": 1, "tokens_per_sample": 500}
    supervised = estimate("finetune", **inputs).flop.value
    few, many = (
        estimate("finetune", objective="grpo", generations=count, completion_tokens=500, **inputs).flop.value
        for count in (4, 8)
    )
    assert many == pytest.approx(2 * few)
    assert few > 4 * supervised


def test_work_of_grpo_by_hand() -> None:
    """8B LoRA: (4 N learning x 1.5 with a reference) on 1,500 tokens, 2 N sampling, of 1,000 x 4 completions."""
    inputs = {"model": "8b", "gpu": "a100", "samples": 1000, "epochs": 1, "attempts": 1, "tokens_per_sample": 500}
    answer = estimate("finetune", objective="grpo", generations=4, completion_tokens=1000, **inputs)
    weights = 7.5e9  # that multiply: all but the embedding of 0.53e9
    learning, sampling = 4 * weights * 1.5 * 1500 * 4000, 2 * weights * 1500 * 4000

    assert answer.flop.value == pytest.approx(learning + sampling, rel=0.02)


def test_starting_runs_is_paid_and_is_no_training() -> None:
    """Four attempts of three minutes, and 141 GB at 2 GB/s, on every accelerator; it is part of the time."""
    answer = estimate("finetune", model="70b", gpu="8xh100", price=3.0)
    line = next(one for one in answer.lines if one.item == "starting runs")
    sooner = estimate("finetune", model="70b", gpu="8xh100", finetune_startup_minutes=0)

    assert line.usd.value == pytest.approx(4 * (3 / 60 + 70.55e9 * 2 / 2e9 / 3600) * 8 * 3.0, rel=1e-3)
    assert answer.training_s.value - sooner.training_s.value == pytest.approx(180)


def test_energy_behind_an_api_is_unknown_and_known_where_answers_come_from_own_accelerators() -> None:
    """Nobody publishes an API's; what is trained here is served here."""
    asked = compare(model="7b", gpu="a100", api="openai:gpt-4o-mini")
    assert {answer.stage: answer.energy_j.known for answer in asked.estimates} == {
        "prompt": False,
        "rag": False,
        "finetune": True,
        "pretrain": True,
    }


def test_words_are_among_the_assumptions() -> None:
    """A choice such as the method is an assumption like any number."""
    shown = {item.name: item for item in estimate("finetune", model="7b", gpu="a100", method="qlora").assumptions}
    assert (shown["method"].shown, shown["method"].given) == ("qlora", True)
    assert (shown["weight_precision"].shown, shown["weight_precision"].given) == ("bf16, as published", False)
    assert shown["grid"].shown == "world"


def test_no_traffic_has_no_cost_of_a_request() -> None:
    """Nothing is divided by zero requests."""
    answer = estimate("prompt", model="7b", gpu="a100", requests_per_month=0)
    assert "all_in_usd_per_request" not in answer.details
    assert answer.total_usd.value > 0


@pytest.mark.parametrize(("stage", "given"), [("pretrain", {}), ("finetune", {"method": "full"})])
def test_a_trained_llm_answers_as_fast_as_the_one_it_is_made_from(stage: str, given: dict[str, str]) -> None:
    """All its weights are its own: no adapters beside them."""
    answer = estimate(stage, model="1b", gpu="h100", **given)
    assert answer.added_tpot_s.value == answer.added_ttft_s.value == 0


def test_evidence_of_some_questions_alone_is_shown_to_those() -> None:
    """Of rewards where they are learnt from, of reranking where it is done, and of retrieval always."""
    asked = {"model": "1b", "gpu": "h100", "corpus_gb": 0.0003}
    plain, rewarded = (" ".join(estimate("finetune", objective=how, **asked).evidence) for how in ("sft", "grpo"))
    ranked, bare = (
        " ".join(estimate("rag", rerank_model=name, **asked).evidence) for name in ("bge-base-en-v1.5", "none")
    )
    assert "grpo" in rewarded
    assert "grpo" not in plain
    assert "reranked" in ranked
    assert "reranked" not in bare
    assert "retrieval_failure/baseline" in ranked
    assert "retrieval_failure/baseline" in bare


def test_a_missed_deadline_is_said() -> None:
    """Eight accelerators do not pre-train a 70B LLM in a day."""
    late = estimate("pretrain", model="70b", gpu="64xh100", deadline_days=1)
    in_time = estimate("pretrain", model="8b", gpu="h100", training_tokens=1e10)
    assert "deadline_days" in late.warnings[0]
    assert not any("deadline_days" in warning for warning in in_time.warnings)


@pytest.mark.parametrize("per_node", [1, 4, 8])
def test_accelerators_for_a_deadline_are_whole_nodes_that_layouts_divide(per_node: int) -> None:
    """At most an eighth more nodes than needed, and their number is a power of two times sixteen at most."""
    for tenths in range(1, 30_000, 7):
        needed = tenths / 10 * per_node
        nodes, rest = divmod(_whole(needed, per_node), per_node)
        assert rest == 0
        assert needed <= nodes * per_node
        assert nodes <= math.ceil(needed / per_node) * 9 / 8
        assert nodes // (nodes & -nodes) <= 16


def test_a_long_run_says_its_interruptions_and_checkpoints() -> None:
    """One node of 8, 4 failures a day, 20 s to write: a checkpoint every sqrt(2 x 20 x 21,600) s."""
    run = estimate("pretrain", model="8b", gpu="8xh100", failures_per_1000_node_days=4000)
    assert run.details["checkpoint_interval_s"].value == pytest.approx(math.sqrt(2 * 20 * 21_600))
    assert run.details["interruptions"].value == pytest.approx(run.training_s.value / 21_600)


def test_a_run_that_never_gets_ahead_is_refused() -> None:
    """Interrupted every 86 s, restarted in 10 minutes; where only an end of the range is so bad, it is finite."""
    asked = {"model": "8b", "gpu": "8xh100"}
    with pytest.raises(DoesNotFit, match="never ends"):
        estimate("pretrain", failures_per_1000_node_days=1e6, **asked)
    hard = estimate("pretrain", failures_per_1000_node_days=8e4, **asked)
    assert hard.training_s.known
    assert hard.training_s.value < hard.training_s.high < math.inf
    assert str(hard)


def test_a_range_that_is_in_no_figure_is_said() -> None:
    """Growth takes one value: its range moves nothing, and must not look as if it did."""
    ranged = estimate("prompt", model="7b", gpu="a100", growth_per_month=(0.0, 0.05, 0.1))
    assert "growth_per_month" in ranged.warnings[0]
    assert estimate("prompt", model="7b", gpu="a100", samples=(1, 2, 3), growth_per_month=0.05).warnings == ()


def test_traffic_that_nobody_has_is_refused() -> None:
    """Tripled every month for five years."""
    with pytest.raises(InvalidInput, match="growth_per_month"):
        estimate("prompt", model="7b", gpu="a100", growth_per_month=2, horizon_months=60)


def test_a_price_of_training_another_llm_is_said_to_be_one() -> None:
    """Where a provider lists no price for tuning its LLM, what others ask is a stand-in."""
    assert estimate("finetune", api="openai:gpt-4o-mini").warnings == ()
    assert "claude" in estimate("finetune", api="anthropic:claude-sonnet-4-5").warnings[0]


def test_time_of_embedding_by_an_api_is_unknown() -> None:
    """It is the provider's to tell, and not zero."""
    answer = estimate("rag", model="7b", gpu="a100", embedding_model="openai:text-embedding-3-small")
    assert not answer.details["embedding_s"].known
    assert answer.calendar_s.known


def test_conflicting_requests_are_refused() -> None:
    """Neither of two contradicting words is silently preferred."""
    with pytest.raises(InvalidInput, match="not both"):
        Price(per_hour=2.0, purchase=15_000.0)
    with pytest.raises(InvalidInput, match="3 and 8 x h100"):
        estimate("prompt", model="7b", gpu="3xh100", gpus=8)


def test_an_unknown_price_says_which_filter_is_in_the_way() -> None:
    """There are prices of the accelerator, only none of this kind."""
    notes = compare(model="7b", gpu="h100", price=Price(provider="aws", commitment="spot")).notes
    assert "aws, spot" in notes[0]


def test_energy_counts_all_accelerator_time() -> None:
    """By hand: seconds of each line, times rated power, share drawn and building; retraining and a base kept on too."""
    asked = {"model": "8b", "gpu": "h100", "grid": "FRA"}
    answer = estimate("finetune", deployment="dedicated", retrainings_per_year=12, **asked)
    drawn = {"training": 0.79, "serving": 0.78, "idle": 0.12}
    works = {line.item: line.work for line in answer.lines if line.work}
    by_hand = sum((700 * drawn[work.activity] + 300) * 1.58 * work.device_s.value for work in works.values())

    assert {"training accelerators", "retraining", "base LLM beside", "evaluation runs"} <= set(works)
    runs = sum(works[item].device_s.value for item in ("training accelerators", "starting runs"))
    assert works["retraining"].device_s.value == pytest.approx(12 * runs / 4)  # four attempts, twelve retrainings
    assert works["base LLM beside"].device_s.value == pytest.approx(12 * 730 * 3600)
    assert answer.energy_j.value == pytest.approx(by_hand, rel=1e-6)
    assert answer.co2e_g.value == pytest.approx(by_hand / 3.6e6 * 56.039, rel=1e-6)


def test_energy_of_embedding_questions_and_corpus() -> None:
    """Passages are found with an encoder, whose time draws power as well."""
    answer = estimate("rag", model="8b", gpu="h100")
    each = answer.details["query_embedding_s"].value
    work = next(line.work for line in answer.lines if line.item == "query embedding and rerank")

    assert work.device_s.value == pytest.approx(12 * 1e5 * each)
    assert next(line.work for line in answer.lines if line.item == "embedding the corpus").device_s.known


def test_an_embedding_device_is_paid_at_its_own_price() -> None:
    """Another accelerator as listed, a processor by its cores; neither at the price of the LLM's accelerator."""
    few = {"model": "8b", "gpu": "h100", "corpus_gb": 1, "price": 100.0}
    for device, usd_per_hour in (("l4", None), ("cpu-xeon-8480", 56 * 0.05)):
        answer = estimate("rag", embedding_accelerator=device, **few)
        line = next(one for one in answer.lines if one.item == "embedding the corpus")
        paid = line.usd.value / answer.details["embedding_s"].value * 3600
        assert 0.1 < paid < 5
        assert usd_per_hour is None or paid == pytest.approx(usd_per_hour)


def test_autoscaled_replicas_follow_the_load() -> None:
    """By hand: two always, the rest of the peak's for a quarter of the time; no more than around the clock."""
    asked = {"model": "8b", "gpu": "h100", "price": 4.0, "requests_per_month": 2e8, "least_replicas": 2}
    always, follows, used = (estimate("prompt", billing=how, **asked) for how in ("replicas", "autoscaled", "per-use"))
    peak = always.details["replicas"].value
    serving = sum(line.usd.value for line in follows.lines if line.item.startswith("serving"))

    assert peak > 2
    assert follows.details["replicas"].value == peak
    assert serving == pytest.approx((2 + (peak - 2) / 4) * 730 * 4.0)
    assert used.total_usd.value < follows.total_usd.value < always.total_usd.value
    assert money.switched_on(peak, peak, 4.0) == peak


def test_autoscaled_to_nothing_costs_what_is_used_and_its_headroom() -> None:
    """With no floor and one replica in the busy hours, three quarters of its time are not paid."""
    asked = {"model": "8b", "gpu": "h100", "price": 4.0, "requests_per_month": 1e4, "least_replicas": 0}
    answer = estimate("prompt", billing="autoscaled", **asked)
    serving = sum(line.usd.value for line in answer.lines if line.item.startswith("serving"))

    assert serving == pytest.approx(730 / 4 * 4.0)


def test_keyword_search_adds_an_index_and_runs_beside_the_vectors() -> None:
    """By hand: a third of the text on disk; the slower of two searches."""
    without, with_it = (estimate("rag", model="8b", gpu="h100", keyword_search=on) for on in (False, True))
    more = with_it.details["index_disk_bytes"].value - without.details["index_disk_bytes"].value

    assert more == pytest.approx(0.33 * with_it.data_bytes.value)
    assert with_it.details["search_s"].value == pytest.approx(max(0.075, without.details["search_s"].value))
    assert with_it.details["index_build_s"].value > without.details["index_build_s"].value


def test_requests_that_may_not_fit_are_said() -> None:
    """The expected request fits the window, the upper end of its range does not."""
    asked = {"model": "llama-2-7b", "gpu": "a100", "instruction_tokens": (1000, 2000, 4000)}
    tight, roomy = estimate("prompt", **asked), estimate("prompt", model="llama-2-7b", gpu="a100")

    assert any("context window holds 4,096" in text for text in tight.warnings)
    assert roomy.warnings == ()


def test_a_window_that_is_no_power_of_two_is_used_to_its_end() -> None:
    """33,000 tokens fit a window of 40,960."""
    answer = estimate("prompt", model="qwen3-8b", gpu="h100", instruction_tokens=33_000, examples=0)

    assert answer.extra_prompt_tokens.value == 33_000


def test_sampling_runs_where_training_runs() -> None:
    """Beside an API of unknown speed, completions are sampled on the accelerators at hand."""
    asked = {"model": "8b", "gpu": "h100", "objective": "grpo", "samples": 1000}
    alone, beside = estimate("finetune", **asked), estimate("finetune", api="openai:gpt-4o-mini", **asked)

    assert beside.training_s.value == pytest.approx(alone.training_s.value)


def test_a_framework_that_only_splits_data_gets_no_other_layout():
    """70B adapters on a node: trainers of the Hub shard weights, Megatron also splits layers."""
    usual = {"model": "70b", "gpu": "8xh100", "method": "lora"}
    hub = estimate("finetune", finetune_framework="hf trainer", **usual)
    split = estimate("finetune", finetune_framework="megatron-core", **usual)

    mixture = estimate("finetune", model="mixtral-8x7b", gpu="8xh100", method="lora", finetune_framework="hf trainer")

    assert hub.layout.startswith("dp 8, ZeRO-3")
    assert "ep " not in mixture.layout
    assert "tp " in split.layout
    assert hub.training_s.value > split.training_s.value
    with pytest.raises(UnknownName, match="catalog frameworks"):
        estimate("pretrain", model="7b", gpu="8xh100", pretrain_framework="unknown loop")


@pytest.mark.parametrize(
    ("stage", "hardware", "named", "says"),
    [
        ("prompt", "a100", {"engine": "my-own"}, "'my-own'"),
        ("rag", "a100", {"tokenizer": "llama4"}, "llama3"),
        ("finetune", "a100", {"finetune_precision": "fp8"}, "no units for fp8"),
        ("finetune", "h100", {"finetune_precision": "fp8", "engine": "sglang", "tokenizer": "llama-2"}, ""),
    ],
)
def test_what_is_taken_for_a_name_that_stands_for_nothing_here(stage, hardware, named, says) -> None:
    """Instead of another figure without a word."""
    warnings = " ".join(estimate(stage, model="1b", gpu=hardware, **named).warnings)

    assert says in warnings if says else "nown" not in warnings and "units" not in warnings


def test_samples_decide_the_length_unless_it_is_given():
    """A sample is not cut unasked; where a length is given, that it is cut is said."""
    usual, long = (estimate("finetune", model="8b", gpu="a100", tokens_per_sample=n) for n in (500, 32_000))
    cut = estimate("finetune", model="8b", gpu="a100", tokens_per_sample=32_000, finetune_seq_len=2048)
    answers = estimate("finetune", model="8b", gpu="8xa100", objective="grpo", completion_tokens=16_000)

    assert [one.shown for one in long.assumptions if one.name == "finetune_seq_len"] == ["32,000 tokens"]
    assert [one.shown for one in usual.assumptions if one.name == "finetune_seq_len"] == ["2,048 tokens"]
    assert [one.shown for one in answers.assumptions if one.name == "finetune_seq_len"] == ["16,500 tokens"]
    assert long.peak_memory_bytes.value != usual.peak_memory_bytes.value
    assert "A sample of 32,000 tokens is cut at 2,048 (finetune_seq_len)." in cut.warnings
    assert not any("is cut" in warning for warning in long.warnings)


def test_a_plan_fits_as_surely_as_asked():
    """16 A100 could pre-train 13B a little faster with memory filled to the brim, which is half a chance to fail."""
    asked = {"model": "13b", "gpu": "16xa100", "batch_tokens": 512 * 4096, "training_tokens": 8e10}
    asked["pretrain_framework"] = "megatron-core"
    sure, daring = estimate("pretrain", **asked), estimate("pretrain", **asked, fit_chance=0.5)

    assert sure.details["fit_chance"].value >= 0.9 > daring.details["fit_chance"].value
    assert sure.verdict.startswith("Fits: ")
    assert sure.verdict.endswith("of 85.2 GB.")
    assert [warning for warning in sure.warnings if "machines of" not in warning] == []
    assert daring.training_s.value < sure.training_s.value


def test_continued_pretraining_is_described_as_what_it_is() -> None:
    """It starts from another's LLM, of billions of tokens and not trillions."""
    fresh, continued = (estimate("pretrain", model="1b", gpu="8xa100", continued=flag) for flag in (False, True))

    assert "no dependence on another's LLM" in fresh.advantages
    assert "no dependence on another's LLM" not in continued.advantages
    assert (fresh.complexity, continued.complexity) == ("very high", "high")


def test_what_no_sharding_holds_names_frameworks_that_split_layers():
    """405B in full with 16 sequences a step: one sequence a rank at most, so data parallelism ends at 16 of them."""
    asked = {"model": "405b", "gpu": "h100", "method": "full", "finetune_batch": 16}
    with pytest.raises(DoesNotFit, match=r"needs .* GB of 85 GB.*splits no layer.*catalog frameworks"):
        estimate("finetune", **asked)
    split = estimate("finetune", **asked, finetune_framework="megatron-core")

    assert split.accelerators.value == 128
    assert split.details["fit_chance"].value >= 0.9


def test_a_published_range_is_the_range_of_the_figure() -> None:
    found = _question("finetune", "1b", "h100", None, {}).ranged(
        "x", fact("template_tokens_per_message")._replace(value=2.0, low=1.0, high=8.0), "1", "people's effort"
    )

    assert (found.low, found.value, found.high) == (1.0, 2.0, 8.0)


def test_a_reward_model_learns_from_pairs_without_logits():
    """Two answers a sample and no reference beside it: below DPO in work; a number each instead of logits."""
    asked = {"model": "8b", "gpu": "8xh100", "method": "full", "samples": 10_000, "attempts": 1, "epochs": 1}
    one, two, reward = (estimate("finetune", **asked, objective=name) for name in ("sft", "dpo", "reward"))

    headless = 1 - 128_256 * 4096 / matmul_params(architecture("llama-3.1-8b"))
    assert reward.flop.value == pytest.approx(2 * headless * one.flop.value)
    assert one.accelerator_s.value < reward.accelerator_s.value < two.accelerator_s.value
    assert reward.data_tokens.value == two.data_tokens.value == 2 * one.data_tokens.value
    assert any("reward model reads" in warning for warning in reward.warnings)
    written, scored = (
        training_step(model="8b", gpu="h100", seq_len=512, method="lora", micro_batch=1, zero=0, reward_model=scores)
        for scores in (False, True)
    )
    assert float(written.memory.logits) > 0 == float(scored.memory.logits)
