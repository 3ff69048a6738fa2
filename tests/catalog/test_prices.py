"""Prices: ranges across providers, what is unknown, whose rows win, API names, services that contradict each other."""

import datetime
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalog.accelerators import accelerator, accelerator_names
from estimator.catalog.files import use_facts
from estimator.catalog.prices import (
    api_names,
    api_price,
    fine_tuning_price,
    host_prices,
    hourly_prices,
    price_providers,
    price_rows,
)
from estimator.errors import EstimatorError, InvalidInput, MissingExtra, UnknownName
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME

COLUMNS = "provider,instance,accelerator,count,price_per_hour,currency,commitment,region,valid_from,source,read_on,kind"
TAIL = ",ours,2026-01-01,read\n"


@pytest.fixture
def own_prices(tmp_path):
    (tmp_path / "prices").mkdir()

    def write(*lines):
        (tmp_path / "prices" / "cloud.csv").write_text(COLUMNS + "\n" + "".join(line + TAIL for line in lines))
        use_facts(tmp_path)

    yield write
    use_facts(None)


def test_an_accelerator_without_a_price_is_unknown_not_free():
    unpriced = [name for name in accelerator_names() if hourly_prices(name) is None]

    assert "h20" in unpriced
    assert 30 < len(unpriced) < 80


@pytest.mark.parametrize("name", [name for name in accelerator_names() if price_rows(name)])
def test_a_range_is_ordered_and_dated(name):
    for commitment in {row.commitment for row in price_rows(name)}:
        found = hourly_prices(name, commitment=commitment)

        assert 0 < found.low <= found.median <= found.high
        assert found.rows
        assert found.sources
        assert found.age_days(datetime.date(2026, 12, 31)) > 0


def test_prices_are_per_accelerator():
    eight = [row for row in price_rows("h100-sxm") if row.instance == "p5.48xlarge" and row.provider == "aws"]

    assert eight[0].count == 8
    assert eight[0].usd_per_hour == pytest.approx(55.04 / 8)


def test_filters_narrow_the_range():
    everywhere, aws = hourly_prices("h100"), hourly_prices("h100", provider="AWS")

    assert everywhere.high / everywhere.low > 2
    assert aws.providers == ("aws",)
    assert hourly_prices(accelerator("h100"), provider="google").providers == ("gcp",)
    assert hourly_prices("h100", commitment="spot").median < everywhere.median
    assert hourly_prices("h100", provider="runpod") is None
    assert hourly_prices("h100", region="US-East-1").median == pytest.approx(
        hourly_prices("h100", region="us-east-1").median
    )


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"provider": "gcq"}, "unknown provider 'gcq'. Did you mean 'gcp'"),
        ({"provider": ""}, "unknown provider ''"),
        ({"region": "us-esat-1"}, "Did you mean 'us-east-1'"),
        ({"commitment": "sopt"}, "Did you mean 'spot'"),
        ({"commitment": "forever"}, "Known are on-demand"),
    ],
)
def test_unknown_filters_are_refused(filters, message):
    with pytest.raises(UnknownName, match=message):
        hourly_prices("h100", **filters)


def test_own_prices_replace_those_that_ship(own_prices):
    own_prices(
        "me,box,h100-sxm,4,4.0,USD,on-demand,here,2026-01-01", "me,box,h100-sxm,4,6.0,USD,on-demand,here,2026-05-01"
    )

    found = hourly_prices("h100")

    assert (found.low, found.median, found.high) == (1.5, 1.5, 1.5), "the newest row of an offer counts"
    assert "me" in price_providers()
    assert hourly_prices("t4").providers != ("me",)


def test_a_price_left_empty_is_unknown(own_prices):
    own_prices("me,box,rtx-4090,4,,USD,on-demand,here,2026-01-01", "me,box,rtx-4090,,3,USD,on-demand,here,2026-01-01")

    assert hourly_prices("rtx-4090") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("me,box,h100-sxm,4,0,USD,on-demand,here,2026-01-01", "must be above 0"),
        ("me,box,h100-sxm,4,-3,USD,on-demand,here,2026-01-01", "must be above 0"),
        ("me,box,h100-sxm,0,3,USD,on-demand,here,2026-01-01", "must be above 0"),
        ("me,box,h100-sxm,4,three,USD,on-demand,here,2026-01-01", "must be a number, not 'three'"),
        ("me,box,h100-sxm,4,nan,USD,on-demand,here,2026-01-01", "must be a number, not 'nan'"),
        ("me,box,h1000,4,3,USD,on-demand,here,2026-01-01", "unknown accelerator 'h1000'"),
        ("me,box,h100-sxm,4,3,EUR,on-demand,here,2026-01-01", "must be in USD"),
    ],
)
def test_a_broken_price_says_where(own_prices, line, message):
    own_prices(line)

    with pytest.raises(InvalidInput, match=message) as caught:
        hourly_prices("h100")
    assert "cloud.csv, me box" in str(caught.value)


def test_hosts_have_a_price():
    assert all(host.usd_per_hour > 0 and host.memory_gib >= 16 for host in host_prices())
    assert host_prices()[0].usd_per_hour == min(host.usd_per_hour for host in host_prices())


@pytest.mark.parametrize("name", api_names())
def test_every_listed_api_resolves_by_provider_and_model(name):
    assert api_price(name).name == name


def test_api_names_people_type():
    assert api_price("gpt-4o-mini").name == "openai:gpt-4o-mini"
    assert api_price("OpenAI:GPT-4o-mini").input_usd_per_mtok == 0.15
    assert api_price("gemini:gemini-2.5-pro").long_context_above_tokens == 200_000
    assert api_price("gemini-2.5-pro").long_input_usd_per_mtok == 2.5
    assert api_price("ft:gpt-4o-2024-08-06").name == "openai:ft:gpt-4o-2024-08-06"
    assert api_price("claude-sonnet-4-5").cache_write_usd_per_mtok == 3.75
    assert api_price("text-embedding-3-small").embedding_dim == 1536


def test_a_price_nobody_knows_is_none():
    assert api_price("cohere:rerank-v3.5").input_usd_per_mtok is None
    assert api_price("openai:text-embedding-3-small").output_usd_per_mtok is None


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=30), st.from_regex(r"(openai|google)?:?[a-z0-9.-]{0,12}", fullmatch=True)))
def test_no_text_breaks_the_api_reader(text):
    assert "\n" not in refusal(text)


def refusal(text):
    """Why an API name is refused; nothing when it means something."""
    try:
        api_price(text)
    except EstimatorError as error:
        return str(error)
    return ""


def test_without_the_library_unknown_models_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)

    assert api_price("openai:gpt-4o-mini").input_usd_per_mtok == 0.15
    with pytest.raises(UnknownName, match="The extra 'prices' knows more"):
        api_price("openai:gpt-99")
    with pytest.raises(MissingExtra, match=r"pip install 'llm-approach-estimator\[prices\]'"):
        api_price("x-ai:grok-4")


def test_the_library_is_asked_by_provider_and_model():
    pytest.importorskip("genai_prices", reason="needs the extra 'prices'")

    assert api_price("google:gemini-2.0-flash").input_usd_per_mtok > 0
    assert api_price("bedrock:amazon.nova-pro-v1:0").provider == "bedrock"
    assert api_price("github-copilot:gpt-4o-mini").input_usd_per_mtok is None, "a subscription: unknown, not free"
    with pytest.raises(UnknownName, match="unknown API provider 'nope'"):
        api_price("nope:x")
    with pytest.raises(UnknownName, match="unknown API model"):
        api_price("openai:gpt-99")


def test_fine_tuning_prices_contradict_and_say_so():
    hosted, open_llm = fine_tuning_price(model="gpt-4o-mini"), fine_tuning_price(params=70e9, method="lora-sft")

    assert (hosted.low, hosted.high) == (0.3, 25)
    assert open_llm.low < open_llm.median < open_llm.high
    assert "contradicts" in open_llm.note
    assert fine_tuning_price(params=8e9, method="full-dpo", provider="together").median == 1.35
    assert fine_tuning_price(model="unheard-of") is None
    assert fine_tuning_price() is None


def test_one_provider_on_one_day_is_named(tmp_path):
    """Not the median of 1 providers."""
    head = "provider,instance,accelerator,count,price_per_hour,currency,commitment,region,valid_from,source"
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "cloud.csv").write_text(
        f"{head}\nours,rack,a100-sxm-80gb,8,9.6,USD,on-demand,all,2026-01-01,contract\n"
    )
    try:
        use_facts(tmp_path)
        found = usd_per_hour(accelerator("a100"), Price(), ONE_AT_A_TIME)
    finally:
        use_facts(None)

    assert (found.value, found.note) == (pytest.approx(1.2), "median of ours, 2026-01-01")
