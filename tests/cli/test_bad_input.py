"""Whatever is wrong: exit 2, one helpful line on stderr, nothing on stdout, no file."""

import json

import pytest

from estimator.cli import main

DEEP = "[" * 50_000 + "]" * 50_000
GOOD = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
}
ASK = ["compare", "--model", "7b", "--gpu", "a100"]
CASES = {
    "no command": ([], "COMMAND"),
    "unknown command": (["compair"], "compare"),
    "nothing asked": (["compare"], "--model 7b --gpu a100"),
    "unknown option": ([*ASK, "--formt", "json"], "--format"),
    "an input as an option": (["estimate", "rag", *ASK[1:], "--corpus", "docs"], "--set corpus=VALUE"),
    "an empty name": (["compare", "--model", "", "--gpu", "a100"], "--model: the value is empty"),
    "an empty path": (["variance", "plan.csv", "bill.csv", "--workbook="], "--workbook: the value is empty"),
    "unknown format": ([*ASK, "--format", "xml"], "json"),
    "unknown stage": (["estimate", "finetunning", "--model", "7b", "--gpu", "a100"], "finetune"),
    "unknown model": (["compare", "--model", "llama-3.1-9b-x", "--gpu", "a100"], "llama-3.1-8b"),
    "unknown gpu": (["compare", "--model", "7b", "--gpu", "a10000"], "a100"),
    "no such size": (["compare", "--model", "-7b", "--gpu", "a100"], "--model"),
    "zero size": (["compare", "--model", "0b", "--gpu", "a100"], "0b"),
    "absurd size": (["compare", "--model", "900000000b", "--gpu", "a100"], "900000000b"),
    "zero gpus": (["compare", "--model", "7b", "--gpu", "0xa100"], "0"),
    "negative gpus": (["compare", "--model", "7b", "--gpu", "a100", "--gpus", "-4"], "-4"),
    "half a gpu": (["compare", "--model", "7b", "--gpu", "a100", "--gpus", "1.5"], "whole number"),
    "gpus not a number": (["compare", "--model", "7b", "--gpu", "a100", "--gpus", "many"], "must be a number"),
    "negative price": ([*ASK, "--price-per-hour", "-1"], "between 0"),
    "price not a number": ([*ASK, "--price-per-hour", "cheap"], "must be a number"),
    "price is nan": ([*ASK, "--price-per-hour", "nan"], "must be a number"),
    "no chance at all": ([*ASK, "--fit-chance", "1e309"], "--fit-chance must be a number"),
    "infinite price": ([*ASK, "--price-per-hour", "inf"], "must be a number"),
    "set without value": ([*ASK, "--set", "samples"], "NAME=VALUE"),
    "set unknown": ([*ASK, "--set", "sampels=3"], "samples"),
    "set an argument": ([*ASK, "--set", "price=2"], "price"),
    "set a design": ([*ASK, "--set", "design=1"], "design"),
    "level of 200": ([*ASK, "--level", "200"], "200 %"),
    "set negative": ([*ASK, "--set", "samples=-3"], "between 1"),
    "set nan": ([*ASK, "--set", "samples=nan"], "between 1"),
    "set huge": ([*ASK, "--set", "epochs=1e300"], "between"),
    "set wrong choice": ([*ASK, "--set", "method=lorra"], "lora"),
    "set half a range": ([*ASK, "--set", "samples=1k..5k"], "LOW..VALUE..HIGH"),
    "years of a rented accelerator": ([*ASK, "--years", "3"], "purchase price"),
    "electricity of a rented accelerator": ([*ASK, "--electricity", "0.1"], "purchase price"),
    "workbook from compare": ([*ASK, "--output", "answer.xlsx"], "estimator export"),
    "an ending nobody knows": ([*ASK, "--output", "board.doc"], ".json, .csv, .md"),
    "a format against an ending": ([*ASK, "--format", "json", "--output", "a.csv"], "say one"),
    "unknown figure": (["estimate", "rag", *ASK[1:], "--explain", "totl_usd"], "'total_usd'"),
    "reasons as data": (["estimate", "rag", *ASK[1:], "--explain", "--format", "json"], "goes with a table"),
    "assumptions as data": ([*ASK, "--assumptions", "--format", "csv"], "goes with a table"),
    "no case file": (["validate", "--cases", "/nonexistent.csv"], "csv': No such file"),
    "set range upside down": ([*ASK, "--set", "samples=9..5..1"], "does not hold"),
    "unknown index": ([*ASK, "--set", "index=hnws"], "hnsw"),
    "unknown embedding": ([*ASK, "--set", "embedding_model=bge-bas"], "bge-base"),
    "unknown engine": ([*ASK, "--set", "weight_precision=bf61"], "bf16"),
    "unknown grid": ([*ASK, "--set", "grid=atlantis"], "atlantis"),
    "unknown provider": ([*ASK, "--provider", "awss"], "aws"),
    "unknown api": (["compare", "--api", "openai:gpt-4o-mimi"], "gpt-4o-mini"),
    "api without colon": (["compare", "--api", "gpt"], "gpt"),
    "no scenario file": ([*ASK, "--scenario", "/nonexistent.toml"], "cannot read"),
    "no facts folder": ([*ASK, "--facts", "/nonexistent"], "nonexistent"),
    "no output folder": ([*ASK, "--output", "/nonexistent/out.txt"], "cannot write"),
    "overlap too long": ([*ASK, "--set", "overlap_tokens=500"], "less than chunk_tokens"),
    "does not fit": (
        ["estimate", "finetune", "--model", "70b", "--gpu", "1xh100", "--set", "method=full"],
        "smallest that fits",
    ),
    "context too short": (
        ["estimate", "prompt", "--model", "llama-2-7b", "--gpu", "a100", "--set", "examples=100"],
        "fewer or shorter",
    ),
    "case file that is nowhere": (["validate", "--cases", "/nonexistent.csv"], "nonexistent"),
    "unknown catalogue": (["catalog", "gpus"], "accelerators"),
    "unknown framework": (
        ["estimate", "finetune", "--model", "8b", "--gpu", "h100", "--set", "finetune_framework=megatrn"],
        "'megatron'",
    ),
    "unknown optimizer": ([*ASK, "--set", "optimizer=adanw"], "adafactor"),
    "unknown facility": ([*ASK, "--set", "facility=asw"], "'aws'"),
    "training in a format that stores": ([*ASK, "--set", "finetune_precision=int3"], "method = qlora"),
    "fields of a workbook": (["export", "b.xlsx", *ASK[1:], "--fields", "item"], "ends in .csv"),
    "decimal commas of a workbook": (["export", "b.xlsx", *ASK[1:], "--excel"], "--excel belongs to"),
    "a sheet of no workbook": (["export", "b.xlsx", *ASK[1:], "--sheet", "LLM"], "--into"),
    "replacing sheets of no workbook": (["export", "b.csv", *ASK[1:], "--replace"], "--into"),
    "time of a comparison with published runs": (["validate", "--budget", "10s"], "belongs to --local"),
    "cases of this machine": (["validate", "--local", "--cases", "mine.csv"], "leave out --local"),
    "stage of all stages": (["plot", "volume", *ASK[1:], "--stage", "rag", "--output", "v.svg"], "--stage belongs to"),
    "scenario of a picture": (["plot", "pareto", *ASK[1:], "--scenario", "x.toml", "--output", "v.svg"], "--set"),
    "prices of language models": (["catalog", "models", "--provider", "aws"], "belongs to prices"),
    "reasons of a catalogue": (["catalog", "inputs", "--explain"], "--explain"),
    "format of a file of scenarios": (["sweep", "a.csv", "-o", "b.csv", "--format", "json"], "belongs to --vary"),
    "scenarios from two places": (["sweep", "a.csv", "--vary", "samples=1,2"], "not from both"),
    "how many and how many": (["recommend", "--fit", "serve", *ASK[1:], "--gpus", "4"], "how many is the answer"),
    "number of no accelerator": (["compare", "--api", "openai:gpt-4o-mini", "--gpus", "8"], "--gpus belongs to own"),
    "price of no accelerator": (["compare", "--api", "openai:gpt-4o-mini", "--provider", "aws"], "with --gpu"),
    "decimal comma": ([*ASK, "--price-per-hour", "2,5"], "must be a number, not '2,5'"),
    "decimal comma of millions": ([*ASK, "--set", "requests_per_month=1,5m"], "must be a number, not '1,5m'"),
    "nothing matches": (["catalog", "models", "zzzz"], "nothing"),
}


@pytest.mark.parametrize(("argv", "says"), CASES.values(), ids=CASES)
def test_one_line_and_exit_2(argv, says, capsys):
    status = main(argv)
    shown = capsys.readouterr()

    assert status == 2
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert says in shown.err
    assert shown.err.startswith("estimator: ")


FILES = {
    "not json": "hello {",
    "empty": "",
    "a list": "[1, 2]",
    "nested": DEEP,
    "huge": "{" + " " * 5_000_000 + "}",
    "no layers": json.dumps({k: v for k, v in GOOD.items() if k != "num_hidden_layers"}),
    "unknown type": json.dumps(GOOD | {"model_type": "perceiver9000"}),
    "negative": json.dumps(GOOD | {"hidden_size": -4096}),
    "zero heads": json.dumps(GOOD | {"num_attention_heads": 0}),
    "heads do not divide": json.dumps(GOOD | {"num_attention_heads": 33}),
    "absurd": json.dumps(GOOD | {"hidden_size": 10**12}),
    "text for a number": json.dumps(GOOD | {"vocab_size": "many"}),
    "nan": json.dumps(GOOD)[:-1] + ', "num_key_value_heads": NaN}',
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_bad_config_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(content)

    status = main(["compare", "--model", str(path), "--gpu", "a100"])
    shown = capsys.readouterr()

    assert status == 2
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert "config" in shown.err


@pytest.mark.parametrize("content", ["samples = ", "[finetune]\nsampels = 3", "samples = 'x'", "\x00"])
def test_a_bad_scenario_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "scenario.toml"
    path.write_text(content)

    assert main([*ASK, "--scenario", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()

    assert main([*ASK, "--output", str(target)]) == 2
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--price-per-hour 2,50", "write 2.50"),
        ("--set requests_per_month=3.000.000", "write 3,000,000"),
        ("--set requests_per_month=300.000", "300 or 300,000"),
        ("--set retries=2%", "write 0.02"),
    ],
)
def test_numbers_of_other_countries_are_refused_with_ours(words, says, capsys):
    assert main(["estimate", "prompt", "--model", "8b", "--gpu", "h100", *words.split()]) == 2
    assert says in capsys.readouterr().err


def test_what_cannot_run_at_all_is_told_by_its_reasons_alone(capsys):
    """Not as a table of dashes; and a size that is none says what takes the room, and what to do."""
    assert main(["compare", "--model", "qwen3-14b", "--gpu", "1xrtx-5090"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("None of this can run")
    assert said.count("cannot run:") == 4
    assert "Horizon" not in said
    for what in ("context", "batch", "users"):
        assert main(["recommend", "--largest", what, "--model", "qwen3-32b", "--gpu", "1xrtx5090"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "its weights take 65.5 GB of 34.4 GB" in said
        assert "--set weight_precision=int4" in said


def test_who_trains_on_a_card_that_cannot_serve_is_answered_and_told_what_serves(capsys):
    """The weights are served in 16 bits unless said otherwise; prompts, which train nothing, are refused."""
    asked = ["--model", "qwen3-14b", "--gpu", "1xrtx-5090", "--set", "method=qlora"]
    assert main(["estimate", "finetune", *asked]) == 0
    said = capsys.readouterr().out
    assert "weight_precision=int4" in said
    assert "not the 1 that train it" in " ".join(said.split())
    assert main(["estimate", "prompt", *asked]) == 2
    assert "needs 2 x rtx-5090, 1 given" in capsys.readouterr().err
    assert main(["layout", "finetune", *asked]) == 0
    assert main(["estimate", "finetune", *asked, "--set", "weight_precision=int4"]) == 0
