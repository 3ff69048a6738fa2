"""Bills that people were sent, and examples that providers publish: reproduced to the cent and further."""

import pytest

from estimator import estimate
from estimator.catalog.files import use_facts
from estimator.formulas import money
from estimator.formulas.prompting import input_usd_per_request

ONCE = {"requests_per_month": 1, "retries": 0, "examples": 0, "regression_samples": 0}
# provider:model, plain, read and written tokens, visible and thinking output, USD, where
BILLS = [
    ("anthropic:claude-sonnet-4-5", 3, 0, 12_304, 550, 0, 0.054399, "BerriAI/litellm#9812"),
    ("anthropic:claude-opus-4-5", 6, 0, 159_217, 2_745, 0, 1.06376125, "maximhq/bifrost#3451, at 5, 6.25 and 25"),
    ("anthropic:claude-opus-4-5", 10, 66_360, 32_435, 5_120, 0, 0.36394875, "BerriAI/litellm#11364, by list"),
    ("google:gemini-2.5-pro", 1, 0, 0, 150, 8_000, 0.08150125, "8,000 thinking tokens before 150 that are seen"),
    ("google:gemini-2.5-pro", 50_000, 0, 0, 2_000, 0, 0.0825, "deploybase.ai/articles/gemini-2.5-pricing"),
    ("openai:gpt-4o", 3_625, 0, 0, 158, 0, 0.0106425, "langchain-ai/langchain#28882, before cached tokens had a price"),
    ("openai:gpt-4o", 1_065, 2_560, 0, 158, 0, 0.0074425, "the same with them"),
    ("openai:gpt-4o", 143, 28_544, 0, 8_000, 0, 0.0360375 + 0.08, "lmnr-ai/lmnr#622: input 0.0360375"),
    ("google:gemini-2.5-pro", 5_005, 257_955, 0, 1_744, 0, 0.10316125, "BerriAI/litellm#14849, by list above 200,000"),
    ("anthropic:claude-haiku-4-5", 3_000, 0, 0, 69, 0, 0.003345, "mikhail-tokarev/greenbelt#11: shown as 0.0034"),
]


@pytest.mark.parametrize(
    ("api", "plain", "read", "written", "seen", "thought", "usd"), [row[:7] for row in BILLS], ids=[r[7] for r in BILLS]
)
def test_bills_of_one_request(api, plain, read, written, seen, thought, usd):
    prefix = read + written
    lengths = {"prompt_tokens": plain, "instruction_tokens": prefix, "output_tokens": seen, "thinking_tokens": thought}
    hits = {"cache_hit_rate": read / prefix if prefix else 0.0}
    answer = estimate("prompt", api=api, **lengths, **hits, **ONCE)

    assert sum(line.usd.value for line in answer.lines if line.kind == "api") == pytest.approx(usd, abs=1e-6)


def test_bills_at_prices_of_their_own():
    """BerriAI/litellm#31714 (Fireworks: 1.4 in, 0.26 cached, 4.4 out); phuryn/claude-usage#175 (2, 0.2, 2.5 and 10)."""
    fireworks = input_usd_per_request(27_147, 27_146, 1.4, 0.26, 1.4) + money.token_usd(351, 4.4)
    month = input_usd_per_request(75_500 + 1.99e9 + 28.81e6, 1.99e9, 2, 0.2, 2.5, 28.81e6) + money.token_usd(4.96e6, 10)

    assert fireworks == pytest.approx(0.00860376, abs=1e-9)
    assert month == pytest.approx(519.78, abs=0.005)


def test_embedding_five_billion_tokens():
    answer = estimate("rag", api="openai:gpt-4o-mini", embedding_model="openai:text-embedding-ada-002",
                      corpus_tokens=5.6e9, overlap_tokens=0)  # fmt: skip

    assert next(line.usd.value for line in answer.lines if line.item == "embedding the corpus") == pytest.approx(560)


@pytest.mark.parametrize(("model", "pages"), [("3-small", 62_500), ("3-large", 9_615), ("ada-002", 12_500)])
def test_openai_pages_per_dollar(model, pages):
    """OpenAI's guide to embeddings: so many pages of about 800 tokens for a dollar."""
    answer = estimate("rag", api="openai:gpt-4o-mini", embedding_model=f"openai:text-embedding-{model}",
                      corpus_tokens=800 * pages, overlap_tokens=0)  # fmt: skip

    assert next(line.usd.value for line in answer.lines if line.item == "embedding the corpus") == pytest.approx(
        1, abs=0.005
    )


def test_openai_example_of_fine_tuning():
    """OpenAI's guide to fine-tuning: 100,000 tokens over 3 epochs of gpt-4o-mini at 3 USD a million, about 0.90 USD."""
    answer = estimate("finetune", api="openai:gpt-4o-mini", managed_usd_per_mtok=3, samples=200, tokens_per_sample=500,
                      epochs=3, attempts=1)  # fmt: skip

    assert next(line.usd.value for line in answer.lines if line.item == "managed fine-tuning") == pytest.approx(0.90)


PUBLISHED = [  # provider:model, requests, plain and read tokens, output, USD of the month's tokens
    ("anthropic:claude-opus-4-6", 1, 50_000, 0, 15_000, 0.25 + 0.375),  # a session of 0.705 with 0.08 for an hour of it
    ("anthropic:claude-opus-4-6", 1, 10_000, 40_000, 15_000, 0.05 + 0.02 + 0.375),  # the same of which 40,000 are read
    (
        "anthropic:claude-haiku-4-5",
        10_000,
        3_700,
        0,
        1,
        37.00 + 0.05,
    ),  # 10,000 tickets, a token each is answered
]


@pytest.mark.parametrize(("api", "requests", "plain", "read", "output", "usd"), PUBLISHED)
def test_anthropic_examples_of_its_price_page(api, requests, plain, read, output, usd):
    """platform.claude.com/docs/en/about-claude/pricing: worked example, and customer support agent (read in copies)."""
    lengths = {"prompt_tokens": plain, "instruction_tokens": read, "output_tokens": output, "cache_hit_rate": 1}
    answer = estimate("prompt", api=api, **lengths, **ONCE | {"requests_per_month": requests})

    assert sum(line.usd.value for line in answer.lines if line.kind == "api") == pytest.approx(usd, abs=1e-9)


@pytest.mark.parametrize(("per_input", "per_output", "usd"), [(0.008, 0.024, 0.184), (0.01102, 0.03268, 0.25194)])
def test_amazon_examples_of_bedrock(tmp_path, per_input, per_output, usd):
    """aws.amazon.com/bedrock/pricing: Claude reads 11,000 tokens and writes 4,000; in Oregon, and as AWS Solutions
    Constructs quote it, 0.25 (read in copies; prices of 1,000 tokens as they were, given as one's own)."""
    (tmp_path / "prices").mkdir()
    head = "provider,model,mode,input_usd_per_mtok,output_usd_per_mtok,valid_from,source"
    row = f"bedrock,claude-2,chat,{per_input * 1000},{per_output * 1000},2023-09-28,Amazon Bedrock"
    (tmp_path / "prices" / "llm_api.csv").write_text(f"{head}\n{row}\n")
    use_facts(tmp_path)
    try:
        lengths = {"prompt_tokens": 11_000, "instruction_tokens": 0, "output_tokens": 4_000}
        answer = estimate("prompt", api="bedrock:claude-2", **lengths, **ONCE)
    finally:
        use_facts(None)

    assert answer.figure("api_usd").value == pytest.approx(usd, abs=1e-9)


def test_anthropic_example_of_a_batch():
    """A request of 5,000 tokens in and 800 out of an LLM at 5 and 25: 0.045 USD, half of it in a batch."""
    lengths = {"prompt_tokens": 5_000, "instruction_tokens": 0, "output_tokens": 800}
    for batch, usd in ((False, 0.045), (True, 0.0225)):
        answer = estimate("prompt", api="anthropic:claude-opus-4-5", batch_tier=batch, **lengths, **ONCE)
        assert sum(line.usd.value for line in answer.lines if line.kind == "api") == pytest.approx(usd, abs=1e-9)


def test_google_example_of_cached_tokens():
    """Forum of Google's API 107349: 1,500 plain, 10,000 of 11,500 cached, 11,000 out with thinking; by list."""
    lengths = {"prompt_tokens": 1_500, "instruction_tokens": 10_000, "output_tokens": 1_000, "thinking_tokens": 10_000}
    answer = estimate("prompt", api="google:gemini-2.5-pro", cache_hit_rate=1, **lengths, **ONCE)
    usd = (1_500 * 1.25 + 10_000 * 0.125 + 11_000 * 10) / 1e6

    assert sum(line.usd.value for line in answer.lines if line.kind == "api") == pytest.approx(usd, abs=1e-9)


MONTH = {"retries": 0, "requests_per_month": 1000, "output_tokens": 250}


@pytest.mark.parametrize(
    ("api", "more", "usd"),
    [  # a prefix of 211,000 tokens, nine tenths of it read, and a question of 300
        ("google:gemini-2.5-pro", {"instruction_tokens": 210_000}, (21_400 * 2.5 + 189_900 * 0.25) / 1e3),
        ("google:gemini-2.5-pro", {"instruction_tokens": 210_000, "batch_tier": True}, 211_300 * 1.25 / 1e3),
        ("openai:gpt-5.4", {"instruction_tokens": 300_000}, (30_400 * 5 + 270_900 * 0.5) / 1e3),
    ],
)
def test_long_context_reaches_cached_tokens_and_the_batch_tier(api, more, usd):
    """101 and 264 USD for 1,000 requests of Gemini, 287.5 of GPT."""
    answer = estimate("prompt", api=api, **MONTH, **more)

    assert next(line.usd.value for line in answer.lines if line.item == "API input tokens") == pytest.approx(usd)


def test_the_shortest_prefix_that_is_cached_is_the_llms_own():
    """1,500 tokens are too short for Haiku 4.5, and long enough for Sonnet 4.5: 183.6 USD a month, not 63.5."""
    haiku, sonnet = (
        next(line.usd.value for line in estimate("prompt", api=f"anthropic:claude-{name}-4-5").lines
             if line.item == "API input tokens")
        for name in ("haiku", "sonnet")
    )  # fmt: skip

    assert haiku == pytest.approx(100_000 * 1.02 * 1_800 * 1.0 / 1e6)
    assert sonnet == pytest.approx(100_000 * 1.02 * (300 * 3 + 1_350 * 0.3 + 150 * 3.75) / 1e6)


def test_a_prefix_kept_for_an_hour_costs_more_to_write():
    asked = {"api": "anthropic:claude-sonnet-4-5", "instruction_tokens": 10_000, "cache_hit_rate": 0.5, **ONCE}
    short, long = (
        sum(line.usd.value for line in estimate("prompt", cache_ttl=ttl, **asked).lines if line.kind == "api")
        for ttl in ("5m", "1h")
    )

    assert long - short == pytest.approx(5_000 * (6 - 3.75) / 1e6)


def test_an_explicit_cache_is_paid_by_the_hour():
    asked = {"api": "google:gemini-2.5-pro", "instruction_tokens": 100_000, "cache_held_hours_per_month": 730, **ONCE}
    line = next(line for line in estimate("prompt", **asked).lines if line.item == "API cache storage")

    assert line.usd.value == pytest.approx(0.1 * 4.5 * 730)


def test_what_an_llm_thinks_is_said_where_it_is_not_counted():
    said, counted = (estimate("prompt", api="google:gemini-2.5-pro", thinking_tokens=n).warnings for n in (0, 8000))

    assert any("thinking_tokens" in words for words in said)
    assert not any("thinking_tokens" in words for words in counted)
