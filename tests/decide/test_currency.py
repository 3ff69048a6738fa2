"""Another currency shows the same money: dollars times a dated rate, in tables, JSON and CSV."""

import csv
import io
import json

import pytest

from estimator import compare
from estimator.cli import main
from estimator.export.currency import converted, currency
from estimator.shown import rendered

EUR = "EUR=0.92@2026-11-01"
ASK = ["--model", "7b", "--gpu", "a100"]


@pytest.fixture(scope="module")
def comparison():
    """A comparison in US dollars."""
    return compare(model="7b", gpu="a100")


def test_tables_are_the_dollars_times_the_rate(comparison):
    euros = converted(comparison, currency(EUR))
    for usd, eur in zip(comparison.estimates, euros.estimates, strict=True):
        assert eur.total_usd.unit == "EUR"
        assert eur.total_usd.value == pytest.approx(0.92 * usd.total_usd.value)
        assert eur.total_usd.high == pytest.approx(0.92 * usd.total_usd.high)
        assert eur.calendar_s.value == usd.calendar_s.value
        assert any("2026-11-01" in str(source) for source in eur.total_usd.citations())


def test_json_keeps_the_dollars_and_adds_the_rate(comparison):
    data, plain = json.loads(rendered(comparison, "json", currency=EUR)), comparison.to_dict()
    shown, usd = data["stages"]["rag"]["total_usd"], plain["stages"]["rag"]["total_usd"]

    assert data["currency"] == {"code": "EUR", "per_usd": 0.92, "date": "2026-11-01", "base": "USD"}
    assert shown["value"] == usd["value"]
    assert shown["in_currency"]["value"] == pytest.approx(0.92 * usd["value"])
    assert "in_currency" not in data["stages"]["rag"]["calendar_s"]


def test_csv_has_both(comparison):
    rows = list(csv.DictReader(io.StringIO(rendered(comparison, "csv", currency=EUR))))
    money = [row for row in rows if "USD" in row["unit"] and row["value"]]

    assert money
    for row in money:
        assert float(row["value_EUR"]) == pytest.approx(0.92 * float(row["value"]))
        assert row["rate_date"] == "2026-11-01"
    assert all(not row["value_EUR"] for row in rows if "USD" not in row["unit"])


@pytest.mark.parametrize("command", [["compare"], ["estimate", "rag"], ["recommend"]])
def test_commands_take_it(command, capsys):
    assert main([*command, *ASK, "--currency", EUR]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith("Money in EUR at 0.92 EUR per USD (2026-11-01)")
    assert "EUR (" in shown


def test_a_recommendation_as_csv_has_both(capsys):
    assert main(["recommend", *ASK, "--format", "csv", "--currency", EUR]) == 0

    rows = [row for row in csv.DictReader(io.StringIO(capsys.readouterr().out)) if row["total_usd"]]
    assert len(rows) > 3
    for row in rows:
        assert float(row["total_eur_high"]) == pytest.approx(0.92 * float(row["total_usd_high"]))
        assert row["rate_date"] == "2026-11-01"


@pytest.mark.parametrize(
    "text", ["EUR", "EUR=0.92", "EUR=x@2026-11-01", "EUR=0.92@2026-13-01", "EUR=0@2026-11-01", "="]
)
def test_bad_currencies_are_one_line(text, capsys):
    assert main(["compare", *ASK, "--currency", text]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_sweep_on_the_screen_is_in_the_currency(capsys):
    """Half a euro a dollar: half as much, and called so."""
    words = ["sweep", "--vary", "requests_per_month=0,1m", "--api", "openai:gpt-4o-mini", "--stages", "prompt"]
    assert main([*words, "--currency", "EUR=0.5@2026-11-01"]) == 0
    shown = capsys.readouterr().out
    total = compare(api="openai:gpt-4o-mini", requests_per_month=1e6, stages=("prompt",))["prompt"].total_usd.value

    assert "total_eur" in shown
    assert f"{total / 2000:.3g}k EUR" in shown
    assert "$" not in shown
