"""Answers say whose prices they rest on, of when, and mark old ones."""

import datetime

from estimator import compare, estimate
from estimator.catalog.files import use_facts
from estimator.export.price_list import prices_used
from estimator.pricing import Price


def test_prices_of_accelerators_say_their_providers_and_age():
    (line,) = prices_used([estimate("prompt", model="8b", gpu="h100")], datetime.date(2026, 11, 30))

    assert "h100-sxm per hour" in line
    assert "median of aws, azure" in line
    assert "days old" in line
    assert "STALE" not in line


def test_prices_older_than_half_a_year_are_marked():
    answer = estimate("prompt", api="openai:gpt-4o-mini")
    fresh, stale = (prices_used([answer], datetime.date(2027, month, 1))[0] for month in (5, 7))

    assert "STALE" not in fresh
    assert "STALE: 213 days old" in stale


def test_what_is_given_is_no_list_price():
    assert prices_used([estimate("prompt", model="8b", gpu="h100", price=Price(per_hour=2.0))]) == []


def test_comparisons_and_estimates_tell_their_prices():
    for shown in (compare(model="8b", gpu="h100", stages=("prompt",)), estimate("rag", model="8b", gpu="h100")):
        assert "Prices: h100-sxm per hour" in str(shown)


def test_known_parts_are_told_where_a_total_is_unknown():
    text = str(estimate("prompt", model="8b", gpu="h20"))

    assert "unknown; known of it: $3.77k" in text
    assert "--price-per-hour" in text


def test_the_cost_of_a_thousand_requests_is_first_all_in_then_what_is_added():
    """Everything over the horizon, through the requests: 12 x 100,000."""
    answer = estimate("prompt", api="openai:gpt-4o-mini")
    text = str(answer)

    assert answer.figure("all_in_usd_per_1000_requests").value * 1200 == answer.total_usd.value
    assert text.index("Cost of 1,000 requests, all in") < text.index("to the cost of 1,000 requests")
    assert answer.figure("api_usd").value == sum(line.usd.value for line in answer.lines if line.kind == "api")


def test_prices_of_ones_own_are_as_old_as_they_say(tmp_path):
    """From the day they are asked where nobody says when they were read; of unknown age where neither is a day."""
    (tmp_path / "prices").mkdir()
    head = "provider,model,mode,input_usd_per_mtok,output_usd_per_mtok,valid_from,source\n"
    rows = "ours,old,chat,8,24,2024-05-01,contract\nours,undated,chat,8,24,spring,contract\n"
    (tmp_path / "prices" / "llm_api.csv").write_text(head + rows)
    use_facts(tmp_path)
    try:
        asked = [estimate("prompt", api=f"ours:{name}") for name in ("old", "undated")]
    finally:
        use_facts(None)

    old, undated = (prices_used([answer], datetime.date(2026, 11, 30))[0] for answer in asked)
    assert old.endswith("(contract, 2024-05-01, STALE: 943 days old).")
    assert undated.endswith("(contract, spring, of unknown age).")
