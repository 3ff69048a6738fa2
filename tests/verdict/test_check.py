"""Verdicts: what was read decides, what is answered is the predictors' own, and a gate answers a pipeline."""

import json

import pytest

from estimator import check, serving, training_step
from estimator.catalog.facts import fact
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.predict.chance import fit_chance
from estimator.verdict.difference import difference

AXOLOTL = """\
base_model: NousResearch/Meta-Llama-3.1-8B
adapter: lora
lora_r: 16
lora_target_linear: true
datasets: [{path: tatsu-lab/alpaca, type: alpaca}]
sequence_len: 2048
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
gradient_checkpointing: true
"""
HF = """\
model_name_or_path: mistralai/Mistral-7B-v0.1
torch_dtype: bfloat16
dataset_name: mine
max_length: 2048
per_device_train_batch_size: 2
"""
SERVE = "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192 "


@pytest.fixture
def written(tmp_path):
    """Write a file, and return its path."""

    def write(text, name="train.yaml"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return str(path)

    return write


GRPO = "base_model: Qwen/Qwen3-4B\nrl: grpo\nadapter: lora\nlora_r: 8\nsequence_len: 1024\nmicro_batch_size: 4\n"
VERL = (
    "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo actor_rollout_ref.model.path=Qwen/Qwen3-4B "
    "actor_rollout_ref.actor.ppo_mini_batch_size=64 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 "
)


def test_every_generated_answer_is_learnt_from(written):
    """Eight a prompt where nothing else is said (a trainer's own number), times the rounds; and nothing of SFT."""
    steps = {
        says: check(written(GRPO + f"trl: {{{says}}}\n"), gpu="1xh200", data=1000).best.figure("steps").value
        for says in ("beta: 0.1", "num_generations: 16", "num_generations: 16, num_iterations: 2")
    }
    assert list(steps.values()) == [1000 * 8 / 4, 1000 * 16 / 4, 1000 * 32 / 4]
    told = check(written(GRPO.replace("rl: grpo\n", "")), gpu="1xh200", data=1000)
    assert told.best.figure("steps").value == 1000 / 4
    assert "generations" not in {one.field for one in told.readings}


def test_logits_are_of_the_answer_alone_where_the_trainer_keeps_those(written):
    """TRL: 1,024 of 3,072 tokens, a third of the logits; all of them kept is what nothing said is."""
    text = "model_name_or_path: Qwen/Qwen3-8B\nuse_peft: true\nnum_generations: 8\n"
    text += "max_prompt_length: {}\nmax_completion_length: {}\n"
    part, whole = (
        check(written(text.format(*lengths), "grpo.yaml"), gpu="8xh200", data=800).best
        for lengths in ((2048, 1024), (1, 3071))
    )

    assert part.memory["logits"] == pytest.approx(whole.memory["logits"] / 3, rel=0.01)
    assert part.memory["activations"] == whole.memory["activations"]
    assert part.figure("step_s").value < whole.figure("step_s").value
    every = {"model": "8b", "gpu": "h100", "seq_len": 3072, "micro_batch": 1, "method": "lora"}
    all_of_it = training_step(**every, logits_to_keep=3072)
    assert all_of_it.memory.logits == training_step(**every).memory.logits


def test_generating_answers_takes_time_where_an_engine_is_named(written):
    """A step's answers as one burst of serving's, for every step; else it is said to be left out."""
    text = "model_name_or_path: Qwen/Qwen3-8B\nuse_peft: true\nmax_prompt_length: 512\nmax_completion_length: {}\n"
    text += "num_generations: 8\nper_device_train_batch_size: 8\nuse_vllm: {}\n"
    alone, short, long = (
        check(written(text.format(*said), "grpo.yaml"), gpu="1xh200", data=800).best
        for said in ((1024, "false"), (1024, "true"), (2048, "true"))
    )
    each, steps = short.figure("generation_s").value, short.figure("steps").value
    burst = serving(model="qwen3-8b", gpu="1xh200", prompt_tokens=512, output_tokens=1024, burst=8)

    assert each == pytest.approx(8 / burst.requests_per_s.value)
    assert short.figure("run_s").value - alone.figure("run_s").value == pytest.approx(steps * each, rel=0.05)
    assert long.figure("generation_s").value > 1.5 * each
    assert any("not counted in" in note for note in alone.notes)
    assert any("counted in the run" in note for note in short.notes)


def test_a_batch_of_prompts_holds_all_their_answers(written):
    one, four = (
        check(written(VERL + f"actor_rollout_ref.rollout.n={n}", "a.sh"), gpu="8xh200", data=6400, epochs=1).best
        for n in (1, 4)
    )
    assert one.figure("steps").value == four.figure("steps").value == 100
    assert four.figure("run_s").value == pytest.approx(4 * one.figure("run_s").value, rel=0.1)


def test_memory_and_time_are_those_of_the_predictor(written):
    found = check(written(AXOLOTL), gpu="1xa100").best
    plan = {
        "method": "lora",
        "lora_rank": 16,
        "seq_len": 2048,
        "micro_batch": 2,
        "global_batch": 8,
        "recompute": "full",
    }
    plan |= {"framework": "axolotl", "optimizer": "adamw_torch_fused", "tp": 1, "pp": 1, "ep": 1, "zero": 0}
    step = training_step(model="llama-3.1-8b", gpu="1xa100", **plan)

    assert found.figure("step_s").value == pytest.approx(float(step.step_s))
    assert sum(found.memory.values()) == pytest.approx(float(step.memory.total))


def test_a_known_data_set_sets_how_long_it_takes(written):
    found = check(written(AXOLOTL), gpu="1xa100")
    run, step = found.best.figure("run_s"), found.best.figure("step_s")

    assert found.best.figure("steps").value == pytest.approx(52_002 * 120 / 2048 / 8, rel=0.01)
    assert run.value == pytest.approx(found.best.figure("steps").value * step.value, rel=0.01)
    assert run.low < run.value < run.high
    assert any("52,002 samples" in note for note in found.notes)


def test_data_of_ones_own_comes_first(written):
    few, many = (check(written(AXOLOTL), gpu="1xa100", data=samples) for samples in (20_000, 80_000))

    assert many.best.figure("run_s").value == pytest.approx(4 * few.best.figure("run_s").value, rel=0.05)
    assert check(written(AXOLOTL), gpu="1xa100", steps=10).best.figure("steps").value == 10


def test_of_several_accelerators_the_cheapest_that_fits_is_first(written):
    found = check(written(AXOLOTL), gpu=["rtx4090", "a100", "h100"], price=1.0)
    fitting = [one.figure("usd").value for one in found.outcomes if one.fits]

    assert fitting == sorted(fitting)
    assert [one.fits for one in found.outcomes] == sorted((one.fits for one in found.outcomes), reverse=True)


def test_states_are_sharded_as_files_beside_it_say(written):
    ds = written({"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}}, "ds.json")
    alone, sharded = check(written(HF), gpu="8xa100"), check(written(HF), ds, gpu="8xa100")

    assert alone.best.plan["zero"] == 0
    assert (sharded.best.plan["zero"], sharded.best.plan["framework"]) == (3, "deepspeed")
    assert sharded.best.memory["optimizer"] < alone.best.memory["optimizer"] / 4
    assert sharded.fit_chance > alone.fit_chance


def test_a_file_that_is_named_is_read_where_it_lies_beside(written):
    written({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, "my_plan.json")
    found = check(written(f"{HF}deepspeed: my_plan.json\n"), gpu="4xa100")

    assert (found.best.plan["zero"], found.best.plan["cpu_offload"]) == (2, "optimizer")
    assert any("my_plan.json" in note for note in found.notes)


def test_what_files_say_otherwise_is_said(written):
    launch = "distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config: {zero_stage: 2}\n"
    found = check(
        written(HF), written(launch, "a.yaml"), written({"zero_optimization": {"stage": 3}}, "d.json"), gpu="8xa100"
    )

    assert found.best.plan["zero"] in (2, 3)
    assert any(note.startswith("zero is 2 in one file and 3 in another") or "zero is 3" in note for note in found.notes)


def test_a_field_given_beside_counts_instead(written):
    found = check(written(AXOLOTL), gpu="1xa100", micro_batch=1, recompute="none")

    assert (found.best.plan["micro_batch"], found.best.plan["recompute"]) == (1, "none")


def test_changes_are_in_the_tools_own_words_and_help(written):
    found = check(written(AXOLOTL.replace("micro_batch_size: 2", "micro_batch_size: 8")), gpu="1xrtx4090")

    assert not found.best.fits
    assert any(change.keys.startswith("micro_batch_size: ") for change in found.changes)
    assert all(change.outcome.fit_chance > found.fit_chance for change in found.changes)


def test_a_typo_is_said_and_not_read(written):
    found = check(written(AXOLOTL.replace("lora_target_linear", "lora_target_liner")), gpu="1xa100")
    odd = [one for one in found.readings if one.status == "unknown"]

    assert [(one.key, "did you mean lora_target_linear?" in one.note) for one in odd] == [("lora_target_liner", True)]
    assert "lora_target_liner" in str(found)


def test_a_lost_backslash_loses_what_follows(written):
    text = "deepspeed --num_gpus 8 src/train_bash.py --stage sft --model_name_or_path Qwen/Qwen3-8B \\\n"
    text += "  --finetuning_type full \\\n"
    whole = written(f"{text}  --cutoff_len 1024 --bf16 \\\n  --deepspeed ds_z3_config.json\n", "whole.sh")
    lost = written(f"{text}  --cutoff_len 1024 --bf16\n  --deepspeed ds_z3_config.json\n", "lost.sh")

    assert check(whole, gpu="8xa100").best.plan["zero"] == 3
    assert check(lost, gpu="8xa100").best.plan["zero"] == 0
    assert any("no backslash" in note for note in check(lost, gpu="8xa100").notes)


def test_more_context_leaves_less_room_for_a_server(written):
    chances = [check(written(f"{SERVE} --tensor-parallel-size {tp}", "s.sh"), gpu="a10g").fit_chance for tp in (1, 2)]
    longer = check(written(SERVE.replace("8192", "131072"), "s.sh"), gpu="a10g")

    assert chances[0] <= chances[1]
    assert longer.fit_chance < chances[0]
    assert longer.best.figure("max_context").value < 131072


def test_engines_mean_different_shares(written):
    model = "meta-llama/Llama-3.1-70B-Instruct"
    commands = {
        "total": f"vllm serve {model} -tp 2 --gpu-memory-utilization 0.9 --max-model-len 8192",
        "static": f"sglang serve --model-path {model} --tp 2 --mem-fraction-static 0.9 --context-length 8192",
        "free": f"lmdeploy serve api_server {model} --tp 2 --cache-max-entry-count 0.9 --session-len 8192",
    }
    slots = {
        name: check(written(text, f"{name}.sh"), gpu="2xa100").best.figure("max_context").value
        for name, text in commands.items()
    }

    assert slots["total"] < slots["static"]
    assert slots["total"] != slots["free"]


def test_a_container_names_accelerators_and_arguments(written):
    compose = """\
services:
  llm:
    image: vllm/vllm-openai:latest
    command: --model Qwen/Qwen3-8B --max-model-len ${LEN:-4096}
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1}]}}}
"""
    sky = "resources:\n  accelerators: H100:2\nrun: |\n  vllm serve Qwen/Qwen3-32B --tensor-parallel-size 2\n"

    assert check(written(compose), gpu="rtx4090").best.plan["longest_request"] == 4096
    assert (check(written(sky)).best.accelerator, check(written(sky)).best.count) == ("h100-sxm", 2)


def test_a_gate_answers_with_its_own_status(written, capsys):
    path = written(AXOLOTL)

    assert main(["check", path, "--gpu", "1xa100", "--fit-chance", "90%"]) == 0
    assert main(["check", path, "--gpu", "1xa100", "--price-per-hour", "2", "--fail-over", "0.01"]) == 3
    assert main(["check", path, "--gpu", "1xt4"]) == 0
    assert main(["check", path, "--gpu", "1xt4", "--fit-chance", "0.5"]) == 3
    assert capsys.readouterr().out.splitlines()[0].startswith("fits on 1 x A100")


def test_a_cost_that_nobody_knows_misses_a_limit(written, capsys):
    assert main(["check", written(HF), "--gpu", "1xa100", "--fail-over", "1000"]) == 3
    assert "steps" in capsys.readouterr().out


def test_the_first_line_of_markdown_is_the_verdict(written, capsys):
    assert main(["check", written(AXOLOTL), "--gpu", "1xa100", "--price-per-hour", "2", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("**fits on 1 x A100")


def test_what_is_missing_is_named(written):
    with pytest.raises(InvalidInput, match="give --model"):
        check(written("adapter: lora\nsequence_len: 512\nmicro_batch_size: 1\n"), gpu="1xa100")
    with pytest.raises(InvalidInput, match="--gpu"):
        check(written(AXOLOTL))


def test_a_default_that_was_not_read_widens_the_range(written):
    command = (
        "python qlora.py --model_name_or_path huggyllama/llama-7b --bits 4 --source_max_len 512 --target_max_len 512"
    )
    script = (
        "python train.py --model_name huggyllama/llama-7b --train_type qlora --context_length 1024 --use_cpu_offload"
    )
    read, assumed = (check(written(text, "run.sh"), gpu="1xa100").best for text in (command, script))
    spread = [one.figure("need_bytes").high / one.figure("need_bytes").value for one in (read, assumed)]

    assert spread[0] < spread[1]


def test_a_difference_tells_which_part_of_it_does_what(written):
    first, second = written(AXOLOTL, "a.yaml"), written(AXOLOTL.replace("2048", "1024"), "b.yaml")
    found = difference(first, second, gpu="1xa100")

    assert [one.name for one in found.factors] == ["seq_len"]
    assert found.factors[0].ratios["need_bytes"] == pytest.approx(
        found.after["need_bytes"] / found.before["need_bytes"]
    )
    assert main(["diff", first, second, "--gpu", "1xa100", "--format", "json"]) == 0


def test_saved_answers_and_scenarios_are_compared_too(written, tmp_path, capsys):
    for name, text in (("a", AXOLOTL), ("b", AXOLOTL.replace("micro_batch_size: 2", "micro_batch_size: 1"))):
        assert main(["check", written(text), "--gpu", "1xa100", "--output", str(tmp_path / f"{name}.json")]) == 0
    saved = difference(tmp_path / "a.json", tmp_path / "b.json")
    scenarios = [written(f"samples = {count}\n", f"{count}.toml") for count in (1000, 2000)]
    found = difference(*scenarios, gpu="1xa100", model="8b")

    assert saved.before["outcomes[0].plan.micro_batch"] == 2
    assert saved.after["outcomes[0].plan.micro_batch"] == 1
    assert [(one.name, one.before, one.after) for one in found.factors] == [("samples", 1000, 2000)]
    assert capsys.readouterr().out == ""


def test_more_room_is_a_better_chance():
    assert (
        fit_chance(10.0, 5.0, (0.1, 0.1)) < fit_chance(10.0, 9.9, (0.1, 0.1)) < 0.5 < fit_chance(10.0, 12.0, (0.1, 0.1))
    )


def test_a_prompt_that_is_read_whole_is_no_longer_than_the_longest(written):
    command = "text-generation-launcher --model-id meta-llama/Llama-2-13b-hf --max-input-length 3584"
    found = check(written(f"{command} --max-total-tokens 4096", "tgi.sh"), gpu="1xa100").best

    assert 0 < found.memory["activations"] < 2e9
    assert found.fits


def test_the_fullest_stage_of_a_pipeline_decides_whether_a_server_starts(written):
    """Experts are in the last 58 of DeepSeek-V3's 61 layers: 30 of them, and no dense layer, in the second half."""
    command = "vllm serve deepseek-ai/DeepSeek-V3 --tensor-parallel-size 8 --pipeline-parallel-size 2"
    found = check(written(f"{command} --max-model-len 4096", "s.sh"), gpu="16xh100").best

    assert found.memory["weights"] > 1.03 * 671e9 / 16


def test_accelerators_that_talk_keep_buffers_for_it(written):
    reserves = [check(written(f"{SERVE} -tp {tp}", "s.sh"), gpu="h100").best.memory["reserve"] for tp in (1, 2)]

    assert reserves[1] - reserves[0] == pytest.approx(fact("engine_memory/links").value)


def test_samples_that_are_not_packed_are_padded_to_the_longest_of_their_batch(written):
    loose = AXOLOTL.replace("sample_packing: true", "sample_packing: false").replace("batch_size: 2", "batch_size: 16")
    ways = (loose, f"{loose}group_by_length: true\n", f"{loose}pad_to_sequence_len: true\n")
    off, grouped, whole = (check(written(text), gpu="1xa100").best.figure("run_s").value for text in ways)

    assert grouped < 0.7 * off
    assert off < 0.5 * whole


def test_evaluation_takes_time_and_samples(written):
    text = f"{AXOLOTL}val_set_size: 0.1\nevals_per_epoch: 4\n"
    plain, evaluated = (check(written(one), gpu="1xa100").best for one in (AXOLOTL, text))

    assert evaluated.figure("steps").value == pytest.approx(0.9 * plain.figure("steps").value, rel=0.01)
    assert evaluated.figure("run_s").value == pytest.approx(
        0.9 * plain.figure("run_s").value * (1 + 4 * 0.1 / 0.9 / 3), rel=0.01
    )
    assert any("evaluation" in note for note in evaluated.notes)


def test_a_preference_is_one_sample_of_two_rows(written):
    """Zephyr's DPO run: 61,135 preferences in batches of 8 x 2 on 8 accelerators are 478 steps."""
    text = HF.replace("mine", "HuggingFaceH4/ultrafeedback_binarized").replace("batch_size: 2", "batch_size: 8")
    found = check(
        written(f"{text}beta: 0.01\nnum_train_epochs: 1\ngradient_accumulation_steps: 2\n"), gpu="8xa100"
    ).best

    assert found.figure("steps").value == 478
    assert found.plan["micro_batch"] == 16


def test_copies_of_attention_are_inside_the_tensor_group(written):
    """Of SGLang's data-parallel attention, and of vLLM's copies whose experts are spread over all of them."""
    model = "deepseek-ai/DeepSeek-V3"
    inside = f"sglang serve --model-path {model} --tp 16 --dp 16 --enable-dp-attention --context-length 4096"
    beside = f"vllm serve {model} --data-parallel-size 16 --enable-expert-parallel --max-model-len 4096"
    found = [check(written(text, "s.sh"), gpu="h200").best for text in (inside, beside)]

    assert [(one.count, one.plan["tp"], one.plan["ep"]) for one in found] == [(16, 1, 16)] * 2


def test_a_count_that_nobody_says_is_said(written):
    text = AXOLOTL.replace("adapter: lora\n", "").replace(
        "lora_r: 16\nlora_target_linear: true\n", "fsdp: [full_shard]\n"
    )

    assert any("one is assumed" in note for note in check(written(text), gpu="a100").notes)
    assert not any("one is assumed" in note for note in check(written(text), gpu="8xa100").notes)


def test_a_slip_stops_a_tool_that_knows_all_its_keys(written, capsys):
    """LLaMA-Factory refuses what its parser does not know; so does vLLM. Axolotl passes over it."""
    factory = (
        "model_name_or_path: Qwen/Qwen3-8B\nstage: sft\nfinetuning_type: lora\nLora_target: all\ncutoff_len: 512\n"
    )
    served = f"{SERVE} --gpu-memory-utilisation 0.8"

    assert check(written(factory), gpu="1xa100").stops == ("Lora_target",)
    assert check(written(served, "s.sh"), gpu="1xa100").stops == ("gpu_memory_utilisation",)
    assert not check(written(AXOLOTL.replace("lora_r:", "lora_rr:")), gpu="1xa100").stops
    assert main(["check", written(factory), "--gpu", "1xa100", "--fit-chance", "0.5"]) == 3
    assert capsys.readouterr().out.startswith("does not start, LLaMA-Factory knows no Lora_target; else fits on")


CHATGLM = {
    "model_name_or_path": "THUDM/chatglm3-6b",
    "stage": "sft",
    "finetuning_type": "full",
    "cutoff_len": 1024,
    "per_device_train_batch_size": 8,
    "bf16": True,
    "deepspeed": {"zero_optimization": {"stage": 2}},
}


def test_own_code_recomputes_in_the_releases_that_go_around_it(written):
    options = " ".join(f"--{name} {value}" for name, value in CHATGLM.items() if name != "deepspeed")
    old = written(f"torchrun --nproc_per_node=4 src/train_bash.py {options} --deepspeed ds_z2_config.json", "run.sh")

    of_old, of_new = check(old, gpu="4xa800"), check(written(CHATGLM), gpu="4xa800")

    assert of_old.fit_chance < 0.5 < 0.99 < of_new.fit_chance
    assert any("recomputes nothing" in note for note in of_old.notes)
    assert not any("recomputes nothing" in note for note in of_new.notes)


def test_a_value_head_beside_the_output_projection_pays_for_logits(written):
    named = {"model_name_or_path": "meta-llama/Meta-Llama-3-8B", "per_device_train_batch_size": 1}
    reward = named | {"stage": "rm", "cutoff_len": 4096}
    kept = check(written(reward | {"finetuning_type": "lora", "lora_target": "all"}), gpu="1xa100").best.memory
    alone = check(
        written("python reward.py --model_name_or_path meta-llama/Meta-Llama-3-8B --max_length 4096", "run.sh"),
        gpu="1xa100",
    )

    assert kept["logits"] == pytest.approx(6 * 2 * 4096 * 128_256)
    assert alone.best.memory["logits"] == 0


def test_layers_in_the_hosts_memory_are_counted_there(written):
    command = "llama-server -m llama-3.1-70b-instruct-Q4_K_M.gguf -c 8192 -ngl "
    found = {layers: check(written(command + layers, "run.sh"), gpu="rtx4090").best for layers in ("99", "20")}
    usual = {name: one.figure("tpot_s") for name, one in found.items()}

    assert found["20"].memory["weights"] == pytest.approx(found["99"].memory["weights"] / 4, rel=0.1)
    assert found["99"].fit_chance < 0.1 < 0.9 < found["20"].fit_chance
    assert usual["20"].value > 3 * usual["99"].value  # read at the host's rate, which is not known well
    assert usual["20"].high / usual["20"].low > 2 * usual["99"].high / usual["99"].low


def test_an_engine_that_fits_what_is_not_given_does(written):
    command = "llama-server -m llama-3.1-70b-instruct-Q4_K_M.gguf -c 8192"
    chosen = check(written(command, "run.sh"), gpu="rtx4090")
    layers = chosen.best.plan["gpu_layers"]
    more = check(written(f"{command} -ngl {layers + 2}", "run.sh"), gpu="rtx4090")

    assert 0 < layers < 80
    assert f"{layers} of 80 layers fit" in " ".join(chosen.notes)
    assert more.fit_chance < 0.9 <= chosen.fit_chance
    assert check(written(command, "run.sh"), gpu="h100").best.plan["gpu_layers"] is None


def test_experts_may_stay_with_the_host(written):
    command = "llama-server -m Qwen3-30B-A3B-Q4_K_M.gguf -c 8192 -ngl 99 "
    some, all_of_them = (
        check(written(command + more, "run.sh"), gpu="rtx4090").best.memory["weights"]
        for more in ("--n-cpu-moe 24", "-ot '.ffn_.*_exps.=CPU'")
    )

    assert check(written(command, "run.sh"), gpu="rtx4090").best.memory["weights"] > 1.5 * some > 3 * all_of_them


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("NNODES=2 llamafactory-cli train --model_name_or_path meta-llama/Llama-3.1-8B --cutoff_len 512", "run.sh", 16),
        (
            "kind: PyTorchJob\napiVersion: kubeflow.org/v1\n"
            "spec:\n  pytorchReplicaSpecs:\n    Worker:\n      replicas: 2\n"
            "      template:\n        image: x\n        command: [torchrun, --nproc_per_node=8, train.py,"
            " --model_name_or_path, meta-llama/Llama-3.1-8B, --max_length, '512']\n"
            "        resources: {limits: {nvidia.com/gpu: 8}}\n",
            "job.yaml",
            16,
        ),
    ],
)
def test_machines_are_counted_where_files_name_them_alone(written, text, name, count):
    assert check(written(text, name), gpu="h100").best.count == count


PAIRS = """\
model_name_or_path: Qwen/Qwen2.5-14B-Instruct
use_peft: true
lora_target_modules: [q_proj, v_proj]
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
max_length: 1024
beta: 0.1
bf16: true
"""


@pytest.mark.parametrize("tool", ["axolotl", "llamafactory"])
def test_a_preference_run_is_written_as_one(written, tool, capsys):
    path = written(PAIRS)
    main(["check", path, "--gpu", "1xh100", "--emit", tool])
    again = check(written(capsys.readouterr().out, "again.yaml"), gpu="1xh100")
    before = check(path, gpu="1xh100").best.plan

    names = ("objective", "packed", "micro_batch", "global_batch", "lora_targets", "seq_len")
    assert {name: again.best.plan[name] for name in names} == {name: before[name] for name in names}
    assert [one.value for one in again.readings if one.field == "model"] == ["Qwen/Qwen2.5-14B-Instruct"]


def test_half_a_pair_is_no_batch(written):
    found = check(written(PAIRS.replace("size: 4", "size: 1")), gpu="1xl4")

    assert not any("micro_batch" in change.sets and change.sets["micro_batch"] < 2 for change in found.changes)
    assert not any(change.keys.startswith("per_device_train_batch_size: 1") for change in found.changes)


def test_an_engine_is_told_no_format_that_it_does_not_know(written, capsys):
    path = written("llama-server -m Qwen/Qwen3-8B -c 8192 --cache-type-k q8_0", "run.sh")

    assert main(["check", path, "--gpu", "1xh100", "--emit", "vllm"]) == 2
    assert "vLLM cannot be told kv_precision = q8_0" in capsys.readouterr().err


def test_the_fastest_server_writes_most(written):
    found = check(written(SERVE, "run.sh"), gpu="a100,h100")
    pace = {one.hardware: one.figure("output_tokens_per_s").value for one in found.outcomes}

    assert f"fastest: {max(pace, key=pace.get)}" in str(found)


def test_layers_and_experts_in_the_hosts_memory_count_as_such(written):
    """What llama.cpp leaves with the host is not on the card, and slows decoding; `serving` says the same."""
    told = "llama-server -m gpt-oss-120b-mxfp4.gguf -c 16384 "
    whole, some, all_of_them, dense = (
        check(written(told + more, "a.sh"), gpu="1xrtx5090")
        for more in ("-ngl 99", "-ngl 99 --n-cpu-moe 28", "-ngl 99 --cpu-moe", "-ngl 8")
    )
    assert not whole.best.fits
    assert some.best.fits
    assert all_of_them.best.fits
    assert dense.best.fits
    assert whole.best.memory["weights"] > some.best.memory["weights"] > all_of_them.best.memory["weights"]
    plan = {"engine": "llama.cpp", "cpu_moe_layers": 28, "max_context": 16384, "max_batched_tokens": 512}
    plan |= {"prompt_tokens": 300, "output_tokens": 250}
    same = serving(model="gpt-oss-120b", gpu="1xrtx5090", **plan)
    assert some.best.memory["weights"] == pytest.approx(float(same.weights_bytes.value), rel=0.01)
    assert "47.4 GB of weights are in the host's memory" in " ".join(some.notes)
    fast = check(written(told + "--n-cpu-moe 28", "a.sh"), gpu="1xrtx5090", host_gb_per_s=200)
    assert fast.best.figure("tpot_s").value < some.best.figure("tpot_s").value


@pytest.mark.parametrize(
    "said",
    [
        "vllm serve {} --speculative_config.method eagle",
        "python -m sglang.launch_server --model {} --speculative-algorithm EAGLE",
    ],
)
def test_speculative_decoding_is_said_not_to_be_counted(written, said):
    found = check(written(said.format("Qwen/Qwen3-8B"), "a.sh"), gpu="1xh100")
    assert [one.status for one in found.readings if one.key.startswith("speculative")] == ["matters"]


def test_what_was_made_before_bf16_is_told_fp16(written, capsys):
    """Of what a search writes, and of a run that says bf16: a T4 and a V100 have units for fp16 alone."""
    for gpu, said, unsaid in (("1xt4", "fp16: true", "bf16"), ("1xl4", "bf16: true", "fp16")):
        assert (
            main(
                [
                    "layout",
                    "finetune",
                    "--model",
                    "qwen3-0.6b",
                    "--gpu",
                    gpu,
                    "--set",
                    "method=lora",
                    "--emit",
                    "axolotl",
                ]
            )
            == 0
        )
        written_out = capsys.readouterr().out
        assert said in written_out
        assert unsaid not in written_out
    assert main(["layout", "serve", "--model", "qwen3-0.6b", "--gpu", "1xt4", "--emit", "vllm"]) == 0
    assert "--dtype half" in capsys.readouterr().out
    for gpu, times in (("1xv100-32gb", 1), ("1xa100", 0)):
        told = (
            " ".join(check(written(AXOLOTL), gpu=gpu).notes),
            " ".join(check(written(SERVE.replace("8B", "8B --dtype half"), "a.sh"), gpu=gpu).notes),
        )
        assert [one.count("no units for bf16") for one in told] == [times, times]


def test_a_context_beyond_the_llms_own_is_said(written):
    longest = "vllm serve Qwen/Qwen3-8B --max-model-len "
    assert "beyond the 40,960 that qwen3-8b holds" in " ".join(
        check(written(longest + "131072", "a.sh"), gpu="1xh100").notes
    )
    assert "beyond" not in " ".join(check(written(longest + "32768", "a.sh"), gpu="1xh100").notes)
