"""Each command answers in each format, help needs nothing heavy, and a wheel carries its data."""

import csv
import io
import json
import subprocess
import sys

import pytest

from estimator.cli import main
from estimator.shown import SCHEMA_VERSION

ASK = ["--model", "7b", "--gpu", "a100"]


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("command", [["compare"], ["estimate", "rag"], ["catalog", "accelerators"]])
def test_every_format(command, style, capsys):
    asked = [] if command[0] == "catalog" else ASK
    assert main([*command, *asked, "--format", style]) == 0
    shown = capsys.readouterr()

    assert shown.err == ""
    if style == "json":
        assert json.loads(shown.out)["schema_version"] == SCHEMA_VERSION
    if style == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(shown.out))}) == 1


def test_a_catalogue_is_written_as_people_write_it(capsys):
    main(["catalog", "models", "llama-3.1-8b"])
    model = capsys.readouterr().out
    main(["catalog", "frameworks", "trl"])

    assert "131,072" in model
    assert "e+" not in model
    assert "tensor" not in capsys.readouterr().out


def test_explain_lists_figures_and_tells_the_headline_ones(capsys):
    assert main(["estimate", "finetune", *ASK, "--explain"]) == 0
    shown = capsys.readouterr().out

    assert "Figures that can be explained" in shown
    assert "added_ttft_s" in shown
    for name in ("calendar_s", "one_off_usd", "monthly_usd", "total_usd"):
        assert f"\n{name}. What makes the range" in shown
    assert "price of people's time: " in shown


def test_assignments_scale_and_range(capsys):
    assert main(["estimate", "finetune", *ASK, "--set", "samples=1k..2k..5k", "--format", "json"]) == 0
    samples = json.loads(capsys.readouterr().out)["data_samples"]

    assert (samples["low"], samples["value"], samples["high"]) == pytest.approx((1000, 2000, 5000))


@pytest.mark.parametrize(
    ("stage", "given", "unused"),
    [
        ("rag", "samples=5", "samples"),
        ("pretrain", "continued_setup_hours=100", "continued_setup_hours"),
        ("rag", "rag.top-k=3", ""),
        ("finetune", "finetune_framework=trl", ""),
        ("prompt+rag", "top_k=3", ""),
    ],
)
def test_an_input_that_changes_nothing_is_said(stage, given, unused, capsys):
    assert main(["estimate", stage, *ASK, "--set", given, "--format", "json"]) == 0
    shown = capsys.readouterr()

    assert shown.err == (f"estimator: nothing here rests on {unused}\n" if unused else "")
    assert json.loads(shown.out)["stage"] == stage


def test_where_samples_are_is_what_an_answer_rests_on(tmp_path, capsys):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n')
    given = ["--set", f"data={path}", "--set", "broken_lines=skip", "--format", "json"]

    assert main(["estimate", "finetune", *ASK, *given]) == 0
    assert "rests on" not in capsys.readouterr().err
    assert main(["estimate", "finetune", *ASK, *given[2:]]) == 0
    assert capsys.readouterr().err == "estimator: nothing here rests on broken_lines\n"


def test_scenario_file_and_option_agree(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text("[finetune]\nsamples = 2000\n")
    main(["estimate", "finetune", *ASK, "--scenario", str(path), "--format", "json"])
    by_file = capsys.readouterr().out
    main(["estimate", "finetune", *ASK, "--set", "samples=2000", "--format", "json"])

    assert by_file == capsys.readouterr().out


def test_output_is_written_whole(tmp_path, capsys):
    target = tmp_path / "out.json"
    assert main(["compare", *ASK, "--format", "json", "--output", str(target)]) == 0

    assert capsys.readouterr().out == ""
    assert json.loads(target.read_text())["stages"].keys() == {"prompt", "rag", "finetune", "pretrain"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("listed", ["accelerators", "apis", "inputs"])
def test_help_says_where_the_names_are_listed(listed, capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])

    assert f"estimator catalog {listed}" in " ".join(capsys.readouterr().out.split())


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom estimator.cli import main\n"
        "try: main(['compare', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'scipy', 'torch', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_comparing_imports_no_optional_library():
    code = (
        "import sys, estimator\nestimator.compare(model='7b', gpu='a100')\n"
        "heavy = {'scipy', 'torch', 'pandas', 'requests', 'xlsxwriter', 'genai_prices'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_interrupt_is_130(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("estimator.api.compare", interrupted)

    assert main(["compare", *ASK]) == 130


def test_accelerators_are_counted_to_the_last_one(capsys):
    """1.41k of them cannot be rented, and cannot be cut as the layout says."""
    assert main(["estimate", "pretrain", "--model", "70b", "--gpu", "1408xa100"]) == 0

    assert "1,408 (tp" in capsys.readouterr().out
