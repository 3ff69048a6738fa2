"""`recommend` and `plot` on the command line: every question in every format, pictures, one-line errors."""

import csv
import io
import json

import pytest

from estimator.cli import main
from estimator.decide.combine import COMBINATIONS

ASK = ["--model", "8b", "--gpu", "a100"]
QUESTIONS = {
    "recommendation": [*ASK, "--set", "citations=yes"],
    "fit": ["--fit", "serve", "--model", "70b", "--gpu", "a100,h100"],
    "llm": ["--largest", "llm", "--gpu", "1xrtx-4090"],
    "context": ["--largest", "context", *ASK],
    "batch": ["--largest", "batch", *ASK, "--task", "finetune"],
    "users": ["--largest", "users", *ASK, "--ttft", "0.5"],
    "deadline": ["--deadline", "30", *ASK, "--set", "training_tokens=1e11"],
    "budget": ["--budget", "300000", *ASK],
    "replicas": ["--replicas", *ASK, "--ttft", "0.5"],
    "approaches by volume": ["--break-even", "volume", *ASK],
    "own against api": ["--break-even", "api", *ASK, "--api", "openai:gpt-4o-mini"],
    "owning": ["--break-even", "owning", "--gpu", "a100", "--purchase-price", "15k"],
}


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_in_every_format(question, style, capsys):
    assert main(["recommend", *QUESTIONS[question], "--format", style]) == 0
    shown = capsys.readouterr()

    assert shown.err == ""
    if style == "json":
        assert json.loads(shown.out)["schema_version"] == 1
    if style == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(shown.out))}) == 1


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations_are_estimated_by_name(name, capsys):
    assert main(["estimate", name, *ASK, "--set", "corpus_gb=0.0003", "--format", "json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["stage"] == name
    assert name in main_choices()


def main_choices():
    """What `estimate --help` says can be estimated: the parser keeps its own list to stay light."""
    from estimator.cli import parser

    return parser.COMBINATIONS


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_tables_fit_the_screen(style, capsys):
    main(["recommend", *QUESTIONS["recommendation"], "--format", style])

    assert style == "markdown" or max(map(len, capsys.readouterr().out.splitlines())) <= 132


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fit", "sreve", "--model", "8b"],
        ["--fit", "serve"],
        ["--largest", "context", "--gpu", "a100"],
        ["--deadline", "0", *ASK],
        ["--deadline", "soon", *ASK],
        ["--budget", "5", "--fit", "serve", *ASK],
        ["--break-even", "volume", "--fit", "serve", *ASK],
        ["--break-even", "api", *ASK],
        ["--break-even", "owning", *ASK],
        ["--break-even", "owning", "--gpu", "rtx-4090", "--purchase-price", "2k"],
        ["--break-even", "volume", "--model", "8b", "--gpu", "rtx-4090"],
        ["--replicas", *ASK],
        ["--replicas", *ASK, "--ttft", "0.0001"],
        [*ASK, "--set", "skils=app"],
        [*ASK, "--set", "budget_upfront_usd=-5"],
        [],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_bad_questions_are_one_line(arguments, capsys):
    assert main(["recommend", *arguments]) == 2
    shown = capsys.readouterr()

    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("picture", ["spectrum", "volume", "money", "step"])
@pytest.mark.parametrize("ending", ["svg", "png"])
def test_pictures(picture, ending, tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / f"picture.{ending}"
    assert main(["plot", picture, *ASK, "--output", str(target)]) == 0

    start = target.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") if ending == "png" else b"<?xml" in start


def test_picture_of_time_against_money(tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / "pareto.svg"
    assert main(["plot", "pareto", "--model", "8b", "--gpu", "a100,h100", "--output", str(target)]) == 0
    assert target.stat().st_size > 5000


def test_pictures_refuse_other_endings(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", "spectrum", *ASK, "--output", str(tmp_path / "picture.bmp")]) == 2
    assert "svg" in capsys.readouterr().err


def test_owning_by_hand(capsys):
    """8,000 USD at 2 USD an hour less what running costs: 0.12 USD a kWh for the accelerator's and its host's power."""
    ask = ["--break-even", "owning", "--gpu", "a100", "--purchase-price", "8000", "--price-per-hour", "2"]
    assert main(["recommend", *ask, "--years", "3", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    running = (400 * 0.78 + 300) * 1.58 / 1000 * 0.12

    assert found["value"] == pytest.approx(8000 / (2 - running))
    assert found["rows"][1]["value"] == pytest.approx(8000 / (2 - running) / (3 * 8760))


def test_never_is_said_and_is_null(capsys):
    ask = ["--break-even", "owning", "--gpu", "a100", "--purchase-price", "8000", "--price-per-hour", "0.01"]
    assert main(["recommend", *ask, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] is None
    assert main(["recommend", *ask]) == 0
    assert "never" in capsys.readouterr().out


def test_findings_in_another_currency(capsys):
    ask = ["recommend", "--fit", "serve", "--model", "70b", "--gpu", "a100", "--currency", "EUR=0.5@2026-11-01"]
    assert main([*ask, "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]

    assert row["eur_per_hour"] == pytest.approx(row["usd_per_hour"] / 2)
