"""API money by hand: prices come from the catalogue, the arithmetic is redone here to the cent."""

import pytest

from estimator import estimate
from estimator.catalog.prices import api_price
from estimator.formulas.prompting import input_usd_per_request, tiered_usd_per_mtok

ASK = {
    "prompt_tokens": 1_000,
    "output_tokens": 500,
    "instruction_tokens": 2_000,
    "examples": 5,
    "tokens_per_example": 400,  # a fixed prefix of 4,000 tokens: above every provider's least
    "cache_hit_rate": 0.8,
    "retries": 0.0,
    "requests_per_month": 100_000,
}
PROVIDERS = ("openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash")


def by_hand(name: str, cached: bool) -> float:
    """Dollars a month for 100,000 requests of 5,000 tokens in and 500 out."""
    price = api_price(name)
    write = price.cache_write_usd_per_mtok or price.input_usd_per_mtok
    if cached:  # 4,000 fixed tokens: 3,200 read, 800 written; 1,000 of the question are plain
        each = 1_000 * price.input_usd_per_mtok + 3_200 * price.cache_read_usd_per_mtok + 800 * write
    else:
        each = 5_000 * price.input_usd_per_mtok
    return 100_000 * (each + 500 * price.output_usd_per_mtok) / 1e6


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("cached", [True, False])
def test_monthly_tokens_to_the_cent(name, cached):
    answer = estimate("prompt", api=name, prefix_cache=cached, **ASK)
    tokens = sum(line.usd.value for line in answer.lines if line.item.startswith("API"))

    assert tokens == pytest.approx(by_hand(name, cached), abs=0.005)


def test_a_short_prefix_is_not_cached():
    short = ASK | {"instruction_tokens": 500, "examples": 0}
    cached = estimate("prompt", api="openai:gpt-4o-mini", **short)
    without = estimate("prompt", api="openai:gpt-4o-mini", prefix_cache=False, **short)

    assert cached.monthly_usd.value == pytest.approx(without.monthly_usd.value)


def test_the_batch_tier_has_its_own_prices_for_cached_tokens_too():
    """Anthropic halves all of them: 1,000 plain, 3,200 read, 800 written and 500 out at half price."""
    full, half = (
        sum(line.usd.value for line in answer.lines if line.kind == "api")
        for answer in (
            estimate("prompt", api="anthropic:claude-sonnet-4-5", batch_tier=on, **ASK) for on in (False, True)
        )
    )

    assert half == pytest.approx(full / 2, abs=0.005)


def test_a_batch_tier_without_a_price_for_cached_tokens_bills_them_as_any_other():
    price = api_price("google:gemini-2.5-flash")
    answer = estimate("prompt", api="google:gemini-2.5-flash", batch_tier=True, **ASK)
    each = 5_000 * price.batch_input_usd_per_mtok + 500 * price.batch_output_usd_per_mtok

    assert sum(line.usd.value for line in answer.lines if line.kind == "api") == pytest.approx(100_000 * each / 1e6)
    assert any("no price of cached tokens" in words for words in answer.warnings)


def test_an_unknown_batch_price_is_unknown():
    assert not estimate("prompt", api="mistral:mistral-small-latest", batch_tier=True, **ASK).total_usd.known


def test_long_prompts_pay_the_long_context_tier():
    price = api_price("google:gemini-2.5-pro")
    long = ASK | {"instruction_tokens": 250_000, "examples": 0, "prefix_cache": False}
    answer = estimate("prompt", api="google:gemini-2.5-pro", **long)
    tokens = sum(line.usd.value for line in answer.lines if line.item.startswith("API"))
    each = 251_000 * price.long_input_usd_per_mtok + 500 * price.long_output_usd_per_mtok

    assert tokens == pytest.approx(100_000 * each / 1e6, abs=0.005)


def test_anthropic_example_of_cache_economics():
    """platform.claude.com prompt caching: writing costs 1.25 and reading 0.1 of the input price, so two uses pay."""
    plain = 2 * input_usd_per_request(10_000, 0, 3.0, 0.3, 3.75)
    written = input_usd_per_request(10_000, 0, 3.0, 0.3, 3.75, 10_000)
    read = input_usd_per_request(10_000, 10_000, 3.0, 0.3, 3.75)

    assert plain == pytest.approx(0.06)
    assert written + read == pytest.approx(0.0405)


def test_cached_tokens_are_never_billed_twice():
    half = input_usd_per_request(10_000, 5_000, 3.0, 3.0, 3.0, 2_000)

    assert half == pytest.approx(0.03)  # the same price everywhere: as many tokens as the prompt has


def test_the_tier_changes_above_its_limit_only():
    at, above = (float(tiered_usd_per_mtok(n, 200_000, 1.25, 2.5)) for n in (200_000, 200_001))

    assert (at, above) == (1.25, 2.5)


def test_break_even_utilisation_is_where_costs_meet():
    answer = estimate("prompt", api="openai:gpt-4o-mini", model="8b", gpu="h100", price=2.5, **ASK)
    own = estimate("prompt", model="8b", gpu="h100", price=2.5, target_utilisation=1.0, **ASK)
    share = answer.details["break_even_utilisation"].value
    api_usd = by_hand("openai:gpt-4o-mini", cached=True) / 100_000
    own_usd = sum(line.usd.value for line in own.lines if line.item.endswith("in use")) / 100_000

    assert own_usd / share == pytest.approx(api_usd, rel=1e-9)


def test_a_fine_tuned_api_has_its_own_price():
    answer = estimate("finetune", api="openai:gpt-4o-mini", **ASK)

    assert answer.added_usd_per_1000_requests.value > 0


def test_a_small_corpus_may_go_into_the_prompt():
    small = estimate("rag", api="anthropic:claude-sonnet-4-5", corpus_gb=0.0005)
    large = estimate("rag", api="anthropic:claude-sonnet-4-5", corpus_gb=1.0)

    assert "all_in_prompt_usd_per_1000_requests" in small.details
    assert "all_in_prompt_usd_per_1000_requests" not in large.details


def test_a_managed_price_of_your_own_is_used():
    answer = estimate("finetune", api="openai:gpt-4o-mini", managed_usd_per_mtok=4.0, samples=1000, attempts=1)
    line = next(line for line in answer.lines if line.item == "managed fine-tuning")

    assert line.usd.value == pytest.approx(1000 * 500 * 3 / 1e6 * 4.0)


def test_an_api_answers_where_own_accelerators_hold_no_replica():
    """What they would break even at is unknown, and why; the API's bill is as without them."""
    asked = {"api": "openai:gpt-4o", "model": "qwen2.5-14b"}
    found, enough = (estimate("prompt", **asked, gpu=gpu) for gpu in ("1xrtx-5090", "2xrtx-5090"))
    used = found.details["break_even_utilisation"]

    assert found.total_usd.value == enough.total_usd.value
    assert not used.known
    assert "needs 2 x rtx-5090" in used.note
    assert enough.details["break_even_utilisation"].known
