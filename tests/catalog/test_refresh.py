"""Prices of recorded feeds into a folder of one's own, and what moved; without a network one line says so."""

import datetime
import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from estimator import estimate
from estimator.catalog.files import use_facts
from estimator.catalog.prices import api_price, hourly_prices, price_rows
from estimator.catalog.prices.feeds import hosted_prices, offer_of
from estimator.catalog.refresh import refresh
from estimator.cli.main import main
from estimator.cli.prices import _as_bought
from estimator.decide.inverse import smallest_set
from estimator.errors import InvalidInput

FEEDS = Path(__file__).with_name("feeds")
DAY = datetime.date(2026, 12, 1)


def offers():
    return [offer_of(SimpleNamespace(**item)) for item in json.loads((FEEDS / "gpuhunt.json").read_text())]


def price(listed):
    """Prices as the library's objects have them: plain, or with tiers."""
    tiers = listed.get("tiers", {})
    kinds = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")

    def of(kind):
        if kind not in tiers:
            return listed.get(kind)
        start, above = tiers[kind]
        return SimpleNamespace(base=listed[kind], tiers=[SimpleNamespace(start=start, price=above)])

    return SimpleNamespace(**{kind: of(kind) for kind in kinds})


def library(monkeypatch):
    """`genai-prices` with the recorded prices alone."""
    recorded = json.loads((FEEDS / "genai_prices.json").read_text())

    def model(name, listed):
        return SimpleNamespace(id=name, get_prices=lambda _: price(listed), context_window=None, price_comments=None)

    def provider(name, models):
        entries = {key: model(key, listed) for key, listed in models.items()}
        return SimpleNamespace(id=name, models=list(entries.values()), find_model=lambda key, **_: entries.get(key))

    snapshot = SimpleNamespace(providers=[provider(*pair) for pair in recorded.items()])
    module = ModuleType("genai_prices")
    module.data_snapshot = SimpleNamespace(get_snapshot=lambda: snapshot)
    monkeypatch.setitem(sys.modules, "genai_prices", module)
    known = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2.3" if name == "genai-prices" else known(name))


@pytest.fixture(autouse=True)
def _shipped_facts_after():
    yield
    use_facts(None)


def test_recorded_feeds_become_price_lists(tmp_path, monkeypatch):
    """H100: 6.88 and 3.00 USD an hour, so a median of 4.94; gpt-4o-mini 0.15 -> 0.18; one card nobody knows here."""
    library(monkeypatch)
    done = refresh(str(tmp_path / "today"), offers(), hosted_prices(), DAY)

    assert (done.offers, done.prices, done.unknown) == (4, 2, 1)
    assert hourly_prices("h100").median == pytest.approx((55.04 / 8 + 24 / 8) / 2)
    assert hourly_prices("h100").providers == ("aws", "lambda")
    assert hourly_prices("h100", commitment="spot").median == pytest.approx(3)
    assert hourly_prices("a100") is not None  # what the feed does not have stays as it ships
    mini, sonnet = api_price("openai:gpt-4o-mini"), api_price("anthropic:claude-sonnet-4-5")
    assert (mini.input_usd_per_mtok, mini.cache_read_usd_per_mtok, mini.valid_from) == (0.18, 0.09, "2026-12-01")
    assert mini.batch_input_usd_per_mtok is None  # of the old price, and unknown of the new one
    assert (sonnet.long_input_usd_per_mtok, sonnet.long_cache_read_usd_per_mtok) == (6, 0.6)
    assert (sonnet.batch_input_usd_per_mtok, sonnet.cache_min_tokens) == (1.5, 1024)
    moved = {move.what: (move.before, move.now) for move in done.moves}
    assert moved["openai:gpt-4o-mini input"] == (0.15, 0.18)
    assert "openai:gpt-4o-mini output" not in moved


def test_a_day_is_not_written_over(tmp_path):
    refresh(str(tmp_path / "today"), offers(), [], DAY)
    with pytest.raises(InvalidInput, match="there already"):
        refresh(str(tmp_path / "today"), offers(), [], DAY)


def test_the_command_says_what_moved_and_what_that_does(tmp_path, monkeypatch, capsys):
    library(monkeypatch)
    monkeypatch.setattr("estimator.cli.prices.gpu_offers", offers)
    before = estimate("prompt", api="openai:gpt-4o-mini").total_usd.value
    words = ["catalog", "refresh", str(tmp_path / "new"), "--api", "openai:gpt-4o-mini", "--format", "json"]
    assert main(words) == 0
    told = capsys.readouterr()
    rows = {row["what"]: row for row in json.loads(told.out)["rows"]}

    assert rows["total, Prompt engineering"]["before"] == pytest.approx(before)
    assert rows["total, Prompt engineering"]["now"] > before
    assert "MPL-2.0" in told.err
    assert "MIT" in told.err


def test_without_a_network_it_is_said_in_a_line(tmp_path, monkeypatch, capsys):
    def unreachable():
        raise InvalidInput("gpuhunt cannot reach its lists (Name or service not known): is there a network?")

    monkeypatch.setattr("estimator.cli.prices.gpu_offers", unreachable)
    monkeypatch.setattr("estimator.cli.prices.hosted_prices", unreachable)
    assert main(["catalog", "refresh", str(tmp_path / "none")]) == 2
    assert "is there a network?" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_gpuhunt_that_fails_is_one_line(monkeypatch):
    from estimator.catalog.prices.feeds import gpu_offers

    def catalog(**_):
        raise OSError("Name or service not known")

    module = ModuleType("gpuhunt")
    module.Catalog = catalog
    monkeypatch.setitem(sys.modules, "gpuhunt", module)
    with pytest.raises(InvalidInput, match="is there a network"):
        gpu_offers()


def test_offers_that_fit_are_the_cheapest_of_each_provider_and_region(capsys):
    assert main(["offers", "--fits", "serve", "--model", "70b", "--gpu", "h100,a100", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    places = [(row["provider"], row["region"]) for row in rows]

    assert len(places) == len(set(places))
    assert [row["usd_per_hour"] for row in rows] == sorted(row["usd_per_hour"] for row in rows)
    assert any(row["valid_from"].endswith("STALE") for row in rows)
    assert all(row["instances"].startswith("1 x ") for row in rows)  # a replica of two is never on two machines


def test_machines_without_a_network_make_no_replica_unless_one_is_given(capsys):
    """405B in bf16 is 64 RTX 3090, two to a machine; of equal cost the fewest machines are first."""
    asked = ["offers", "--model", "405b", "--gpu", "rtx-3090,h100", "--format", "json"]
    assert main([*asked, "--set", "network_gbit_per_s=0"]) == 0  # 0 is as usual: nobody says
    apart = json.loads(capsys.readouterr().out)["rows"]
    assert main([*asked, "--set", "network_gbit_per_s=10"]) == 0
    joined = json.loads(capsys.readouterr().out)["rows"]

    assert not any("rtx-3090" in row["accelerators"] for row in apart)
    assert any(row["accelerators"] == "64 x rtx-3090" for row in joined)


def test_of_offers_at_one_cost_the_fewest_machines_come_first():
    row = price_rows("h100-sxm")[0]
    one, eight = (row._replace(count=count, usd_per_hour=2.0) for count in (1, 8))
    found = replace(smallest_set("serve", model="70b", gpu="h100"), count=8)

    assert sorted([(found, one), (found, eight)], key=_as_bought)[0] == (found, eight)
