"""Run configurations as people break them: exit 2 and one clear line each, whatever is in the file."""

import json
import os

import pytest

from estimator.cli import main

GOOD = "base_model: NousResearch/Meta-Llama-3.1-8B\nadapter: lora\nlora_r: 8\nmicro_batch_size: 1\nsequence_len: 1024\n"
SERVE = "vllm serve meta-llama/Llama-3.1-8B-Instruct "
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
ZERO3 = {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 2}
HF = "model_name_or_path: mistralai/Mistral-7B-v0.1\ndataset_name: mine\nper_device_train_batch_size: "


def yaml(text, said):
    return {"train.yaml": text}, said


CASES = {
    # no YAML, JSON, TOML, shell
    "a tab in YAML": yaml("base_model: x\n\tadapter: lora\n", "not YAML (line 2)"),
    "a bracket left open": yaml("base_model: [x, y\nadapter: lora\n", "not YAML"),
    "a quote left open": yaml("base_model: 'x\nadapter: lora\n", "not YAML"),
    "indentation that does not fit": yaml("base_model: x\n   adapter: lora\n", "not YAML (line 2)"),
    "an unknown anchor": yaml("base_model: *nowhere\nadapter: lora\n", "not YAML (line 1)"),
    "a percent at the start": yaml("base_model: %x\n", "not YAML (line 1)"),
    "a key that is a list": yaml("base_model: x\n? [a, b]\n: c\n", "a key in it is no word"),
    "JSON without a comma": ({"ds.json": '{"zero_optimization": {"stage": 2} "bf16": 1}'}, "not JSON (line 1)"),
    "JSON cut off": ({"ds.json": '{"zero_optimization": {"stage": 2'}, "not JSON"),
    "JSON with a comment": ({"ds.json": '{"zero_optimization": {"stage": 2} // two\n}'}, "not JSON"),
    "JSON with a key twice": ({"ds.json": '{"zero_optimization": {"stage": 2}, "zero_optimization": {}}'}, "twice"),
    "JSON that is a number": ({"ds.json": "[1, 2]"}, "no setting"),
    "TOML with a key twice": ({"t.toml": "[training]\nsteps = 1\nsteps = 2\n"}, "not TOML"),
    "a shell's quote left open": ({"run.sh": "vllm serve 'meta-llama/x --tp 2\n"}, "a quote in it is not closed"),
    "machines by word": (
        {"job.yaml": "apiVersion: a\nkind: PyTorchJob\npytorchReplicaSpecs: {Worker: {replicas: two}}\n"},
        "there is no setting in it",
    ),
    "a start that is no list": ({"Dockerfile": "FROM vllm/vllm-openai\nCMD [--model, a/b\n"}, "it is not JSON"),
    "prose": ({"note.txt": "Dear all, the run is on Monday.\n"}, "no tool that is known here"),
    "another program's options": ({"run.sh": "ffmpeg -i in.mp4 --crf 20 out.mp4\n"}, "no tool that is known here"),
    "another program's YAML": yaml("kitchen: {oven: hot}\nguests: 4\n", "no tool that is known here"),
    "a list of numbers": yaml("- 1\n- 2\n", "no settings"),
    "a lone word": yaml("- word\n", "no settings"),
    # nothing in it, or not to be read
    "empty": yaml("", "there is nothing in it"),
    "blanks alone": yaml("  \n\n", "there is nothing in it"),
    "comments alone": yaml("# base_model: x\n", "no setting in it"),
    "an empty table": yaml("{}\n", "no setting in it"),
    "null": ({"ds.json": "{}"}, "no setting in it"),
    "bytes": ({"train.yaml": b"\xff\xfe\x00\x01"}, "not text in UTF-8"),
    "NUL in text": ({"train.yaml": b"base_model: x\x00y\n"}, "no text"),
    "no such file": ({}, "No such file"),
    "a gigabyte": ({"train.yaml": 10**9}, "larger than 1 MB"),
    # hostile
    "a billion laughs": yaml(BOMB, "its anchors multiply"),
    "an anchor in itself": yaml("base_model: &a [*a]\n", "holds itself"),
    "a Python object": yaml("base_model: !!python/object/apply:os.system ['true']\n", "is not followed (line 1)"),
    "a tag of its own": yaml("base_model: !include other.yaml\n", "is not followed (line 1)"),
    "a deep list": yaml("base_model: " + "[" * 3000 + "]" * 3000 + "\n", "nested too deeply"),
    "deep JSON": ({"ds.json": '{"a":' * 3000 + "1" + "}" * 3000}, "nested too deeply"),
    "long YAML": yaml("base_model: x\n" + "a: 1\n" * 90_000, "more than 256,000 characters"),
    # contradictions
    "two micro-batches": (
        {"train.yaml": HF + "2\n", "ds.json": json.dumps(ZERO3)},
        "contradict each other: train_micro_batch_size_per_gpu 4 in ds.json, per_device_train_batch_size 2",
    ),
    "two accumulations": (
        {"train.yaml": HF + "4\ngradient_accumulation_steps: 8\n", "ds.json": json.dumps(ZERO3)},
        "contradict each other: gradient_accumulation_steps 2 in ds.json, gradient_accumulation_steps 8",
    ),
    "two models": ({"a.yaml": GOOD, "b.yaml": GOOD.replace("Meta-Llama-3.1-8B", "Llama-2-7b-hf")}, "base_model"),
    "two tools": ({"a.yaml": GOOD, "b.yaml": "model_name_or_path: x\nfinetuning_type: lora\nstage: sft\n"}, "two runs"),
    "training and serving": ({"a.yaml": GOOD, "b.sh": SERVE}, "two runs"),
    "a batch that is no product": (
        {"run.yaml": GOOD + "gradient_accumulation_steps: 3\nbatch_size: 16\n"},
        "batch sizes contradict each other: 16 of a rank is no 1 x 3",
    ),
    "tensor parallelism that does not divide": yaml(GOOD + "tensor_parallel_size: 3\n", "does not divide"),
    # values
    "a batch of no samples": yaml(GOOD.replace("micro_batch_size: 1", "micro_batch_size: 0"), "at least 1, not 0"),
    "a negative batch": yaml(GOOD.replace("micro_batch_size: 1", "micro_batch_size: -2"), "must not be negative"),
    "a batch in words": yaml(GOOD.replace("micro_batch_size: 1", "micro_batch_size: two"), "must be a number"),
    "half a sample": yaml(GOOD.replace("micro_batch_size: 1", "micro_batch_size: 0.5"), "must be a whole number"),
    "a length of none": yaml(GOOD.replace("1024", "0"), "length of a sequence must be at least 1"),
    "a length without end": yaml(GOOD.replace("1024", ".inf"), "must be a number"),
    "an unknown adapter": yaml(GOOD.replace("lora\n", "lorra\n", 1), "lorra"),
    "an unknown model": yaml(GOOD.replace("Meta-Llama-3.1-8B", "nobody-knows-7x"), "Give --model"),
    "a model left to a variable": ({"run.sh": "vllm serve $MODEL --max-model-len 8192\n"}, "give --model"),
    "no model": yaml("adapter: lora\nmicro_batch_size: 1\nsequence_len: 1024\nbase_model:\n", "give --model"),
    "a share above one": ({"run.sh": SERVE + "--gpu-memory-utilization 9\n"}, "at most 1, not 9"),
    "a share of none": ({"run.sh": SERVE + "--gpu-memory-utilization 0\n"}, "more than 0"),
    "an unknown weight format": ({"run.sh": SERVE + "--quantization magic\n"}, "magic"),
    "a cache of nobody's": ({"run.sh": "sglang serve --model-path x --context-length many\n"}, "must be a number"),
}
ASKED = {
    "no file": ([], "name a run configuration"),
    "no accelerators": (["train.yaml"], "name accelerators, such as --gpu"),
    "unknown accelerators": (["train.yaml", "--gpu", "rtx9999"], "unknown accelerator"),
    "a field of nobody": (["train.yaml", "--gpu", "1xa100", "--set", "micro_batchh=2"], "micro_batch"),
    "a chance above one": (["train.yaml", "--gpu", "1xa100", "--fit-chance", "900%"], "such as 0.9 or 90%"),
    "money in words": (["train.yaml", "--gpu", "1xa100", "--fail-over", "much"], "--fail-over must be a number"),
    "seventeen files": (["train.yaml"] * 17, "16 at most"),
}


def refused(capsys, words):
    """The one line of a refusal."""
    status, out = main(["check", *words]), capsys.readouterr()

    assert status == 2
    assert out.out == ""
    assert out.err.count("\n") == 1
    assert len(out.err) <= 500
    return out.err


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_file_is_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, said = CASES[name]
    for file, content in files.items():
        path = tmp_path / file
        if isinstance(content, int):
            path.touch()
            os.truncate(path, content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert said in refused(capsys, [*(files or ["nowhere.yaml"]), "--gpu", "1xa100"])


@pytest.mark.parametrize("name", ASKED)
def test_a_wrong_question_is_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yaml").write_text(GOOD)
    words, said = ASKED[name]

    assert said in refused(capsys, words)


def test_there_are_sixty():
    assert len(CASES) + len(ASKED) >= 60


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "train.yaml")

    assert "a pipe" in refused(capsys, [str(tmp_path / "train.yaml"), "--gpu", "1xa100"])
