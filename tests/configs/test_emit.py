"""What is written of a plan reads back as the same plan; what a tool cannot say is refused."""

from dataclasses import replace

import pytest

from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.cli import main
from estimator.configs import read_run
from estimator.configs.emit import emitter, emitters, written
from estimator.errors import InvalidInput, UnknownName
from estimator.predict.training import TrainingPlan
from estimator.verdict.emitted import _served, _trained
from estimator.verdict.plans import planned
from estimator.verdict.served import serving_plan

FILES = {"yaml": "run.yaml", "json": "run.json", "toml": "run.toml", "args": "run.sh"}
LLM, NODE = architecture("llama-3.1-8b"), cluster("16xh100")
ADAPTERS = TrainingPlan(
    seq_len=2048, micro_batch=2, global_batch=64, tp=1, pp=1, ep=1, zero=0, recompute="full", method="lora", lora_rank=8
)
FULL = replace(ADAPTERS, method="full", zero=3, micro_batch=1)
WHOLE = replace(FULL, seq_len=4096, zero=1, tp=4, pp=2, recompute="selective")
PLANS = {
    "axolotl": [ADAPTERS, replace(ADAPTERS, method="qlora", zero=1), FULL, replace(ADAPTERS, recompute="none", zero=2)],
    "llamafactory": [ADAPTERS, replace(ADAPTERS, method="qlora"), FULL, replace(FULL, cpu_offload="optimizer+params")],
    "torchtitan": [FULL, replace(FULL, tp=2, pp=2, recompute="selective"), replace(FULL, precision="fp8")],
    "megatron": [WHOLE, replace(WHOLE, zero=0, recompute="none"), replace(WHOLE, vpp=2, cp=2, tp=2)],
}
SAID = ("seq_len", "micro_batch", "global_batch", "tp", "pp", "vpp", "cp", "ep", "zero", "recompute", "method")
CASES = [(tool, plan) for tool, plans in PLANS.items() for plan in plans]


def read_back(tool, text, folder):
    """The run that a written file describes."""
    path = folder / FILES[emitter(tool).style]
    path.write_text(text)
    return read_run([path])


def settings(plan):
    """What a file must say of a plan."""
    fields = {name: getattr(plan, name) for name in plan.__slots__}
    return _trained({**fields, "accelerators": NODE.count, "model": "meta-llama/Meta-Llama-3.1-8B"}, LLM)


@pytest.mark.parametrize(("tool", "plan"), CASES, ids=lambda part: part if isinstance(part, str) else part.method)
def test_a_training_plan_reads_back(tool, plan, tmp_path):
    run = read_back(tool, written(emitter(tool), settings(plan)), tmp_path)
    again = planned(run, LLM, NODE).plan

    assert run.tool.id == tool
    assert not [one for one in run.readings if one.status == "unknown"]
    assert {name: getattr(again, name) for name in SAID} == {name: getattr(plan, name) for name in SAID}
    assert (again.lora_rank, again.lora_targets) == (plan.lora_rank, plan.lora_targets) or plan.method == "full"
    assert again.precision.endswith("fp8") == (plan.precision == "fp8")


@pytest.mark.parametrize("tool", ["deepspeed", "accelerate"])
def test_a_part_of_a_plan_reads_back(tool, tmp_path):
    plan = replace(FULL, cpu_offload="optimizer+params") if tool == "accelerate" else replace(FULL, zero=2)
    run = read_back(tool, written(emitter(tool), settings(plan)), tmp_path)

    assert run.tool.id == tool
    assert run.settings["zero"] == plan.zero
    assert run.settings.get("accelerators", NODE.count) == NODE.count
    assert bool(run.settings.get("offload_params")) == ("params" in plan.cpu_offload)


@pytest.mark.parametrize("tool", ["vllm", "sglang"])
def test_a_serving_plan_reads_back(tool, tmp_path):
    plan = {
        "model": "Qwen/Qwen3-235B-A22B",
        "tp": 8,
        "pp": 1,
        "ep": 8,
        "kv_precision": "fp8",
        "longest_request": 8192.0,
    }
    run = read_back(tool, written(emitter(tool), _served(plan | {"max_sequences": 64})), tmp_path)
    again = serving_plan(run, architecture("qwen3-235b-a22b"), 8)

    assert (again.tp, again.pp, again.ep, again.kv_precision) == (8, 1, 8, "fp8")
    assert (run.settings["max_model_len"], run.settings["max_sequences"]) == (8192, 64)


SERVE = ["layout", "serve", "--model", "llama-3.1-70b", "--gpu", "4xh100"]


@pytest.mark.parametrize("tool", ["vllm", "sglang"])
def test_a_server_is_told_all_that_was_asked(tool, tmp_path, capsys):
    asked = {"kv_precision": "fp8", "weight_precision": "fp8", "memory_fraction": "0.85", "max_context": "8192"}
    asked |= {"max_sequences": "64", "max_batched_tokens": "4096"}
    main([*SERVE, *(word for name, value in asked.items() for word in ("--set", f"{name}={value}")), "--emit", tool])
    told = read_back(tool, capsys.readouterr().out, tmp_path).settings

    share = told.get("memory_fraction") or told["static_fraction"]
    assert (told["kv_precision"], told["weight_precision"], share) == ("fp8", "fp8", 0.85)
    assert (told["max_model_len"], told["max_sequences"], told["chunk_tokens"]) == (8192, 64, 4096)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("weight_precision=awq", "awq from one that is stored so"),
        ("adapters=4", "not told adapters"),
        ("engine=sglang", "the layout is for sglang"),
    ],
)
def test_what_a_server_cannot_be_told_is_refused(asked, said, capsys):
    assert main([*SERVE, "--set", asked, "--emit", "vllm"]) == 2
    assert said in capsys.readouterr().err


def test_what_a_tool_cannot_say_is_refused():
    with pytest.raises(InvalidInput, match="Axolotl cannot be told recompute = selective"):
        written(emitter("axolotl"), settings(replace(ADAPTERS, recompute="selective")))
    with pytest.raises(InvalidInput, match="LLaMA-Factory has no file for ZeRO-1"):
        written(emitter("llamafactory"), settings(replace(ADAPTERS, zero=1)))
    with pytest.raises(UnknownName, match="axolotl"):
        emitter("axolotll")


@pytest.mark.parametrize("tool", [name for name in emitters() if emitter(name).task == "training"])
def test_a_layout_is_emitted(tool, capsys):
    task = "pretrain" if tool in ("torchtitan", "megatron") else "finetune"
    words = ["layout", task, "--model", "llama-3.1-8b", "--gpu", "8xh100", "--tokens", "1b", "--emit", tool]

    assert main(words) == 0
    assert capsys.readouterr().out.strip()


def test_a_checked_run_is_emitted_with_what_makes_it_fit(tmp_path, capsys):
    path = tmp_path / "train.yaml"
    path.write_text("base_model: Qwen/Qwen3-8B\nadapter: lora\nlora_r: 8\nmicro_batch_size: 16\nsequence_len: 4096\n")

    assert main(["check", str(path), "--gpu", "1xrtx4090", "--emit", "axolotl", "--fix"]) == 0
    (tmp_path / "fixed.yaml").write_text(capsys.readouterr().out)
    assert main(["check", str(tmp_path / "fixed.yaml"), "--gpu", "1xrtx4090", "--fit-chance", "0.5"]) == 0


def test_a_tools_file_is_called_as_the_tool_wants_it(tmp_path, capsys):
    words = ["layout", "finetune", "--model", "8b", "--gpu", "8xh100", "--emit", "axolotl"]

    assert main([*words, "--output", str(tmp_path / "train.yaml")]) == 0
    assert (tmp_path / "train.yaml").read_text().startswith("base_model: ")
    assert main([*words, "--format", "json"]) == 2
    assert "leave --format out" in capsys.readouterr().err
