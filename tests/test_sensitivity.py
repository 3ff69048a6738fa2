"""What an answer turns on: every end of a swing is what estimate says there; a grid is every combination."""

import csv
import io
import json

import pytest

from estimator import compare, estimate, sweep
from estimator.cli import main
from estimator.errors import EstimatorError, InvalidInput
from estimator.export.sensitivity import unit_of
from estimator.results import Quantity
from estimator.sensitivity import grid, sensitivity
from estimator.sweeping import PRICE

ASK = {"model": "7b", "gpu": "a100"}
WORDS = ["--model", "7b", "--gpu", "a100"]


@pytest.mark.parametrize("stage", ["prompt", "rag", "finetune", "pretrain"])
def test_every_swing_is_what_estimate_says_there(stage):
    found = sensitivity(stage, **ASK)
    inputs = [swing for swing in found.swings if swing.low is not None]

    assert found.expected == estimate(stage, **ASK).total_usd.value
    assert len(inputs) >= 5
    for swing in inputs:
        for end, at in ((swing.low, swing.at_low), (swing.high, swing.at_high)):
            name = "price" if swing.name == PRICE else swing.name
            assert at == pytest.approx(estimate(stage, **ASK, **{name: end}).total_usd.value, rel=1e-9), swing.name


def test_what_moves_most_comes_first_and_a_wider_range_moves_more():
    usual, wide = (sensitivity("finetune", **ASK, **more) for more in ({}, {"samples": (100, 5_000, 500_000)}))
    widths = [swing.width for swing in usual.swings]

    assert widths == sorted(widths, reverse=True)
    assert wide.swings[0].name == "samples"
    assert usual.swings[0].name != "samples"


def test_errors_of_predictions_stand_beside_the_inputs():
    """Training time of pre-training turns on the predictor's error, which no input holds."""
    found = sensitivity("pretrain", figure="training_s", **ASK)

    assert found.swings[0].name == "(training time)"
    assert found.swings[0].at_low < found.expected < found.swings[0].at_high


def test_an_end_that_cannot_be_done_says_why():
    found = sensitivity("prompt", model="llama-2-7b", gpu="a100", vary=("examples",), examples=(1, 5, 90))

    (swing,) = found.swings
    assert swing.at_high is None
    assert "fewer or shorter" in swing.note
    assert "cannot run" in str(found)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"vary": ("sampels",)}, "samples"),
        ({"vary": ("epochs",)}, "has no range"),
        ({"vary": ("method",)}, "is a word"),
        ({"figure": "totl_usd"}, "total_usd"),
        ({"vary": ("price_per_hour",), "price": 2.0}, "no range"),
    ],
)
def test_bad_questions_are_one_line(asked, says):
    with pytest.raises(EstimatorError, match=says) as caught:
        sensitivity("finetune", **ASK, **asked)
    assert "\n" not in str(caught.value)


def test_an_unknown_cost_has_no_sensitivity():
    with pytest.raises(InvalidInput, match="price"):
        sensitivity("finetune", model="7b", gpu="h20")


def test_a_grid_is_every_combination_and_sweeps():
    rows = grid({"gpu": ["a100", "h100"], "samples": [1_000, 5_000, 9_000]})
    answers = sweep(rows, model="7b", stages=("finetune",), figures=("total_usd",))

    assert len(rows) == 6
    assert len({tuple(row.items()) for row in rows}) == 6
    for row, answer in zip(rows, answers, strict=True):
        expected = compare(model="7b", stages=("finetune",), **row)["finetune"].total_usd
        assert answer["finetune_total_usd"] == pytest.approx(expected.value, rel=1e-9)
    with pytest.raises(InvalidInput, match="combinations"):
        grid({"samples": range(1000), "epochs": range(1, 2000)})


def test_units_of_figures_are_those_of_quantities():
    answer = estimate("finetune", **ASK)

    for name in answer.__dataclass_fields__:
        figure = getattr(answer, name)
        if isinstance(figure, Quantity):
            assert figure.unit.removesuffix("/month").replace("token", "1") == unit_of(name), name


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
def test_the_command_shows_a_tornado(style, capsys):
    assert main(["estimate", "finetune", *WORDS, "--sensitivity", "samples,attempts", "--format", style]) == 0
    shown = capsys.readouterr().out

    assert max(map(len, shown.splitlines())) <= 120
    names = {"json": lambda: [row["name"] for row in json.loads(shown)["inputs"]]}
    names["csv"] = lambda: [row["name"] for row in csv.DictReader(io.StringIO(shown))]
    assert names.get(style, lambda: ["samples", "attempts"])() == ["samples", "attempts"]
    assert "samples" in shown
    assert style != "table" or "Less than 0.05 % of it: attempts." in shown  # a few dollars, and not nothing


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
def test_the_command_sweeps_a_grid(style, capsys):
    vary = ["--vary", "requests_per_month=10k..1m:3", "--vary", "gpu=a100,h10"]
    assert main(["sweep", *vary, "--model", "7b", "--stages", "prompt,rag", "--format", style]) == 0
    shown = capsys.readouterr().out

    if style == "json":
        rows = json.loads(shown)["rows"]
        assert [row["requests_per_month"] for row in rows[::2]] == [1e4, 1e5, 1e6]
        assert [row["rag_total_usd"] is None for row in rows] == [False, True] * 3
    if style == "csv":
        assert len(list(csv.DictReader(io.StringIO(shown)))) == 6
    assert "h100" in shown


@pytest.mark.parametrize("ending", ["csv", "xlsx", "json", "md"])
def test_a_grid_goes_into_a_file(ending, tmp_path):
    target = tmp_path / f"grid.{ending}"

    assert main(["sweep", "--vary", "samples=1k,5k", *WORDS, "--stages", "finetune", "-o", str(target)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    if ending == "csv":
        assert [float(row["samples"]) for row in csv.DictReader(target.read_text().splitlines())] == [1000, 5000]


@pytest.mark.parametrize(
    "words",
    [
        ["--vary", "samples"],
        ["--vary", "samples=5..2"],
        ["--vary", "samples=1..5:1"],
        ["--vary", "samples=1..5:x"],
        ["--vary", "sampels=1,2"],
        ["--vary", "samples=1,2", "--vary", "samples=3"],
        ["--vary", "samples=1..1e9:9999", "--vary", "epochs=1..9:9999"],
        ["rows.csv", "--vary", "samples=1,2"],
        [],
        ["--vary", "samples=1,2", "-o", "no/such/folder/a.csv"],
        ["--vary", "samples=1,2", "-o", "no/such/folder/a.json"],
    ],
)
def test_wrong_grids_are_one_line(words, capsys):
    assert main(["sweep", *words, *WORDS]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""
