"""What the stages say where something is unknown, conflicting, or larger than one accelerator."""

import pytest

from estimator import compare, estimate
from estimator.errors import InvalidInput
from estimator.pricing import Price


def test_models_beside_each_other_take_few_accelerators() -> None:
    """PPO holds a policy, a critic, a reference and a reward model: more than one model's set-up, not a cluster."""
    alone = estimate("finetune", model="8b", gpu="a100", method="full")
    four = estimate("finetune", model="8b", gpu="a100", method="full", objective="ppo")
    assert alone.accelerators.value <= four.accelerators.value <= 4 * alone.accelerators.value


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_peak_memory_is_within_the_accelerator(method: str) -> None:
    """What an allocator would keep beyond its need cannot exceed what there is."""
    answer = estimate("finetune", model="7b", gpu="a100", method=method)
    assert 0 < answer.peak_memory_bytes.value <= 80 * 2**30


def test_work_of_learning_from_rewards_counts_sampled_tokens() -> None:
    """GRPO samples and learns from generations x completion_tokens of every prompt."""
    inputs = {"model": "8b", "gpu": "a100", "samples": 1000, "epochs": 1, "tokens_per_sample": 500}
    supervised = estimate("finetune", **inputs).flop.value
    few, many = (
        estimate("finetune", objective="grpo", generations=count, completion_tokens=500, **inputs).flop.value
        for count in (4, 8)
    )
    assert many == pytest.approx(2 * few)
    assert few > 4 * supervised


def test_energy_behind_an_api_is_unknown_beside_own_accelerators_too() -> None:
    """Answers come from the API, whose energy nobody publishes, whatever trains."""
    answers = compare(model="7b", gpu="a100", api="openai:gpt-4o-mini").estimates
    assert not any(answer.energy_j.known for answer in answers)


def test_words_are_among_the_assumptions() -> None:
    """A choice such as the method is an assumption like any number."""
    shown = {item.name: item for item in estimate("finetune", model="7b", gpu="a100", method="qlora").assumptions}
    assert (shown["method"].shown, shown["method"].given) == ("qlora", True)
    assert (shown["weight_precision"].shown, shown["weight_precision"].given) == ("bf16", False)
    assert shown["grid"].shown == "world"


def test_no_traffic_has_no_cost_of_a_request() -> None:
    """Nothing is divided by zero requests."""
    answer = estimate("prompt", model="7b", gpu="a100", requests_per_month=0)
    assert "all_in_usd_per_request" not in answer.details
    assert answer.total_usd.value > 0


def test_a_missed_deadline_is_said() -> None:
    """Eight accelerators do not pre-train a 70B LLM in a day."""
    late = estimate("pretrain", model="70b", gpu="64xh100", deadline_days=1)
    in_time = estimate("pretrain", model="8b", gpu="h100", training_tokens=1e10)
    assert "deadline_days" in late.warnings[0]
    assert not any("deadline_days" in warning for warning in in_time.warnings)


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
