"""`estimator layout` at the prompt: its words, its forms, its mistakes."""

import csv
import io
import json

import pytest

from estimator.cli import main
from estimator.cli.options import seconds
from estimator.shown import SCHEMA_VERSION

TRAIN = ["layout", "pretrain", "--model", "1b", "--gpu", "8xa100", "--tokens", "1b", "--set", "global_batch=64"]
SERVE = ["layout", "serve", "--model", "8b", "--gpu", "2xh100", "--requests-per-s", "5"]


def run(argv, capsys):
    """(status, what it says on each stream)."""
    status = main(argv)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


@pytest.mark.parametrize("argv", [TRAIN, SERVE], ids=["train", "serve"])
def test_every_form_says_the_same(argv, capsys):
    found = json.loads(run([*argv, "--format", "json"], capsys)[1])
    rows = list(csv.DictReader(io.StringIO(run([*argv, "--format", "csv"], capsys)[1])))
    table, markdown = (run([*argv, "--format", style], capsys)[1] for style in ("table", "markdown"))

    assert found["schema_version"] == SCHEMA_VERSION
    lines, read = table.splitlines(), " ".join(table.split())
    assert max(map(len, lines)) <= 120
    assert found["best"]["text"] in read
    assert f" on {found['best']['accelerator']}, for " in read
    assert f"| {found['front'][0]['text']}" in markdown
    assert found["why"] in read
    assert found["why"] in markdown
    assert len(rows) == len(found["front"])
    goal = found["criteria"][0]
    assert float(rows[0][goal]) == pytest.approx(found["front"][0]["figures"][goal])
    assert float(rows[0][f"{goal}_low"]) == pytest.approx(found["front"][0]["ranges"][goal]["low"])
    assert int(rows[0]["tp"]) == found["front"][0]["layout"]["tp"]


def test_what_was_asked_is_written_as_people_write_it(capsys):
    table = " ".join(run([*TRAIN, "--tokens", "100b"], capsys)[1].split())

    assert "tokens 100B, seq_len 4,096" in table
    assert "behind in run" in table
    assert "run_s" not in table


def test_the_task_is_a_word_or_an_option(capsys):
    word = run(SERVE, capsys)
    option = run(["layout", "--task", "serve", *SERVE[2:]], capsys)

    assert word == option
    assert word[0] == 0


def test_a_deadline_over_several_accelerators(capsys):
    argv = ["layout", "pretrain", "--model", "7b", "--gpu", "a100,h100", "--tokens", "50b", "--most", "64"]
    found = json.loads(run([*argv, "--deadline", "2w", "--format", "json"], capsys)[1])
    same = json.loads(run([*argv, "--deadline-days", "14", "--format", "json"], capsys)[1])

    assert found == same
    assert found["criteria"][0] == "usd"
    assert found["best"]["figures"]["run_s"] <= 14 * 86_400
    assert all(choice["figures"]["run_s"] <= 14 * 86_400 for choice in found["front"])


def test_values_of_an_axis(capsys):
    found = json.loads(run([*TRAIN, "--set", "tp=1,2", "--set", "zero=1", "--format", "json"], capsys)[1])

    assert {choice["layout"]["tp"] for choice in found["front"]} <= {1, 2}
    assert {choice["layout"]["zero"] for choice in found["front"]} == {1}


def test_the_file_that_is_named(tmp_path, capsys):
    target = tmp_path / "front.csv"

    assert run([*TRAIN, "--output", str(target)], capsys)[:2] == (0, "")
    assert target.read_text(encoding="utf-8").startswith("accelerator,count,tp,pp")


@pytest.mark.parametrize(
    ("text", "days"), [("14", 14), ("14d", 14), ("2w", 14), ("36h", 1.5), ("3 days", 3), ("1mo", 30.44)]
)
def test_days(text, days):
    assert seconds(text, "--deadline", "d") / 86_400 == pytest.approx(days)


MISTAKES = {
    "no LLM": (["layout", "pretrain", "--gpu", "a100"], "name an LLM"),
    "no accelerators": (["layout", "--model", "7b"], "name an LLM and accelerators"),
    "unknown task": (["layout", "train-it", "--model", "7b", "--gpu", "a100"], "Tasks are"),
    "two tasks": ([*SERVE, "--task", "pretrain"], "say one"),
    "unknown LLM": (["layout", "--model", "7bb", "--gpu", "a100"], "7b"),
    "unknown accelerator": (["layout", "--model", "7b", "--gpu", "a100,h10"], "h100"),
    "empty accelerators": (["layout", "--model", "7b", "--gpu", ","], "accelerator"),
    "two counts": (["layout", "--model", "7b", "--gpu", "8xa100", "--gpus", "4"], "8xa100"),
    "deadline in words": ([*TRAIN, "--deadline", "soon"], "14d"),
    "deadline of nothing": ([*TRAIN, "--deadline", "0d"], "14d"),
    "deadline for serving": ([*SERVE, "--deadline", "3d"], "pretrain or finetune"),
    "latency for training": ([*TRAIN, "--ttft", "1"], "task serve"),
    "tokens in words": ([*TRAIN, "--tokens", "lots"], "must be a number"),
    "negative tokens": ([*TRAIN, "--tokens", "-3"], "between 1"),
    "most in halves": ([*TRAIN, "--most", "1.5"], "whole number"),
    "fields there are": ([*TRAIN, "--set", "samples=3"], "seq_len, micro_batch"),
    "unknown field": ([*TRAIN, "--set", "micro_bach=3"], "micro_batch"),
    "training in a format that stores": ([*TRAIN, "--precisions", "bf16,int3"], "only stores weights"),
    "unknown optimizer": ([*TRAIN, "--set", "optimizer=adanw"], "adafactor"),
    "unknown format of numbers": ([*TRAIN, "--precisions", "bf61"], "bf16"),
    "tensor groups that do not divide": ([*TRAIN, "--set", "tp=3"], "must divide"),
    "billing": ([*TRAIN, "--billing", "per-use"], "compare"),
    "impossible deadline": ([*TRAIN, "--tokens", "900b", "--deadline", "1h"], "the fastest takes"),
    "impossible latency": ([*SERVE, "--ttft", "0.000001"], "the best reach"),
    "too large": (["layout", "--model", "405b", "--gpu", "2xa100"], "larger accelerators"),
    "too large to serve": (["layout", "serve", "--model", "405b", "--gpu", "2xa100"], "fewer bits"),
}


@pytest.mark.parametrize(("argv", "says"), MISTAKES.values(), ids=MISTAKES)
def test_one_line_and_exit_2(argv, says, capsys):
    status, out, err = run(argv, capsys)

    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "name"), [("--tokens", "1m", "tokens"), ("--deadline", "9d", "deadline_days")]
)
def test_what_an_option_says_is_not_set_too(option, value, name, capsys):
    """One of the two would have said nothing."""
    assert main(["layout", "pretrain", "--model", "1b", "--gpu", "8xa100", option, value, "--set", f"{name}=3"]) == 2
    assert f"{name} is said by an option" in capsys.readouterr().err
