"""Ranges at any level: of every figure, in every form, and each form says which."""

import csv
import io
import json

import pytest

from estimator import compare
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.quantities import Design
from estimator.results import Estimate

ASK = {"model": "7b", "gpu": "a100"}
WORDS = ["--model", "7b", "--gpu", "a100"]


@pytest.fixture(scope="module")
def comparison():
    return compare(**ASK)


def test_every_figure_has_the_interval_of_its_level(comparison):
    wider = comparison.at(0.95)

    assert wider.level == 0.95
    for answer, wide in zip(comparison.estimates, wider.estimates, strict=True):
        assert isinstance(answer, Estimate)
        for (name, figure), (_, same) in zip(answer.quantities(), wide.quantities(), strict=True):
            assert same.value == figure.value or not figure.known, name
            assert (same.low, same.high) == figure.interval(0.95) or not figure.known, name
            assert all(part.level == 0.95 for part in same.walk())


def test_levels_lie_inside_one_another(comparison):
    ends = [comparison.at(level)["rag"].total_usd.interval() for level in (0.5, 0.8, 0.9, 0.99)]

    assert sorted(ends, reverse=True) == ends
    assert sorted(high for _, high in ends) == [high for _, high in ends]


def test_random_draws_answer_at_any_level_too():
    drawn = compare(**ASK, stages=("prompt",), design=Design.monte_carlo(4000))
    narrow, wide = (drawn.at(level)["prompt"].total_usd for level in (0.5, 0.9))

    assert wide.low < narrow.low < narrow.high < wide.high


def test_data_say_their_level(comparison):
    data = comparison.to_dict(level=0.9)
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv(level=0.9))))
    low, high = comparison["rag"].total_usd.interval(0.9)

    assert data["level"] == data["stages"]["rag"]["level"] == 0.9
    assert (data["stages"]["rag"]["total_usd"]["low"], data["stages"]["rag"]["total_usd"]["high"]) == (low, high)
    assert {row["level"] for row in rows} == {"0.9"}
    assert comparison.to_dict()["level"] == 0.8


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.9, float("nan")])
def test_absurd_levels_are_refused(comparison, level):
    with pytest.raises(InvalidInput, match="share of outcomes"):
        comparison.at(level)


@pytest.mark.parametrize("command", [["compare"], ["estimate", "finetune"], ["estimate", "prompt+rag"], ["recommend"]])
@pytest.mark.parametrize("level", ["0.9", "90%", "90"])
def test_the_command_takes_a_level(command, level, capsys):
    assert main([*command, *WORDS, "--level", level]) == 0
    shown = capsys.readouterr().out
    assert main([*command, *WORDS]) == 0
    assert shown != capsys.readouterr().out
    assert main([*command, *WORDS, "--level", level, "--format", "json"]) == 0
    assert '"level": 0.9' in capsys.readouterr().out


def test_reasons_are_told_at_the_same_level(capsys):
    assert main(["estimate", "prompt", *WORDS, "--level", "0.95", "--explain"]) == 0
    shown = capsys.readouterr().out

    low, high = (f"{end / 1000:.3g}k" for end in compare(**ASK)["prompt"].total_usd.interval(0.95))
    assert shown.count(f"{low}-{high}") >= 2


def test_money_in_another_currency_keeps_the_level(capsys):
    words = [*WORDS, "--level", "0.9", "--currency", "EUR=0.5@2026-11-01", "--format", "json"]
    assert main(["compare", *words]) == 0
    total = json.loads(capsys.readouterr().out)["stages"]["rag"]["total_usd"]

    assert total["in_currency"]["high"] == pytest.approx(0.5 * compare(**ASK)["rag"].total_usd.interval(0.9)[1])
