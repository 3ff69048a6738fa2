"""Files of each tool are recognised by their content, and say what the tool would do with them."""

import sys

import pytest

from estimator.configs import read_run
from estimator.configs.commands import commands
from estimator.configs.parts import parts_in
from estimator.errors import InvalidInput, MissingExtra

LLM = "Qwen/Qwen3-8B"
CASES = {  # tool: file name, text, settings that it must say
    "axolotl": (
        "a.yaml",
        f"base_model: {LLM}\nsample_packing: true\nsequence_len: 4096\nmicro_batch_size: 2\n",
        {"seq_len": 4096},
    ),
    "llamafactory": (
        "a.yaml",
        f"model_name_or_path: {LLM}\nstage: sft\nfinetuning_type: full\n",
        {"recompute": "full"},
    ),
    "trl": (
        "a.yaml",
        f"model_name_or_path: {LLM}\ndataset_name: x\nmax_length: 512\n",
        {"recompute": "full", "seq_len": 512},
    ),
    "hf": (
        "a.sh",
        f"torchrun --nproc_per_node 4 run_clm.py --model_name_or_path {LLM} --block_size 512",
        {"per_node": 4},
    ),
    "alpaca": ("a.sh", f"torchrun train.py --model_name_or_path {LLM} --data_path a.json", {"seq_len": 512}),
    "qlora": ("a.sh", f"python qlora.py --model_name_or_path {LLM} --bits 4", {"method": "qlora", "accumulation": 16}),
    "fsdp_qlora": (
        "a.sh",
        f"python train.py --model_name {LLM} --train_type qlora --use_cpu_offload true",
        {"zero": 3},
    ),
    "deepspeed_chat": (
        "a.sh",
        f"deepspeed main.py --model_name_or_path {LLM} --zero_stage 2 --lora_dim 8",
        {"zero": 2},
    ),
    "deepspeed": ("a.json", '{"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}', {"zero": 3}),
    "accelerate": (
        "a.yaml",
        "distributed_type: FSDP\nnum_processes: 8\nfsdp_config: {fsdp_version: 2}\n",
        {"accelerators": 8},
    ),
    "peft": ("a.json", '{"peft_type": "LORA", "r": 8, "target_modules": ["q_proj", "v_proj"]}', {"method": "lora"}),
    "torchtitan": (
        "a.toml",
        '[model]\nname = "llama3"\nflavor = "8B"\n[training]\nlocal_batch_size = 2\n',
        {"micro_batch": 2},
    ),
    "torchtune": (
        "a.yaml",
        "model: {_component_: torchtune.models.llama3_1.lora_llama3_1_8b, lora_rank: 4}\nbatch_size: 2\n",
        {"method": "lora", "lora_rank": 4, "model": "llama3_1_8b"},
    ),
    "megatron": (
        "a.sh",
        "torchrun pretrain_gpt.py --num-layers 4 --hidden-size 64 --num-attention-heads 4 --micro-batch-size 2 --bf16",
        {"layers": 4, "micro_batch": 2, "compute": "bf16", "zero": 0},
    ),
    "nemo": (
        "a.yaml",
        "trainer: {devices: 8}\nmodel: {micro_batch_size: 4, global_batch_size: 128}\n",
        {"global_batch": 128},
    ),
    "swift": (
        "a.sh",
        f"swift sft --model {LLM} --train_type lora --dataset 'a#500' 'b#300'",
        {"samples": 800, "global_batch": 16},
    ),
    "megatron_swift": ("a.sh", f"megatron sft --model {LLM} --train_type full --micro_batch_size 2", {"zero": 1}),
    "llmfoundry": (
        "a.yaml",
        "model: {d_model: 64, n_heads: 4, n_layers: 2}\nvariables: {n: 128}\nmax_seq_len: ${variables.n}\n"
        "device_train_microbatch_size: 4\nglobal_train_batch_size: 8\nmax_duration: 100ba\n",
        {"seq_len": 128, "steps": 100},
    ),
    "nanotron": ("a.yaml", "tokens: {micro_batch_size: 3}\nparallelism: {dp: 4, tp: 2}\n", {"ranks": 4, "tp": 2}),
    "maxtext": (
        "a.yml",
        "base_config: base.yml\nper_device_batch_size: 4\nmodel_name: llama2-7b\n",
        {"recompute": "full"},
    ),
    "mlx": (
        "a.yaml",
        f"model: {LLM}\niters: 10\nsteps_per_report: 1\nlora_layers: 8\n",
        {"steps": 10, "layers_trained": 8},
    ),
    "litgpt": ("a.yaml", f"checkpoint_dir: checkpoints/{LLM}\nlora_query: true\nlora_r: 4\n", {"lora_targets": "q"}),
    "openrlhf": (
        "a.sh",
        f"python -m openrlhf.cli.train_ppo_ray --pretrain {LLM} --rollout_batch_size 8",
        {"objective": "ppo"},
    ),
    "verl": (
        "a.sh",
        f"python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo actor_rollout_ref.model.path={LLM} "
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 data.max_prompt_length=256 trainer.nnodes=2",
        {"objective": "grpo", "micro_batch": 4, "part_len": 256, "nodes": 2, "per_node": 8, "loads": "fp32"},
    ),
    "verl_sft": (
        "a.sh",
        f"torchrun --nproc_per_node=4 -m verl.trainer.fsdp_sft_trainer model.partial_pretrain={LLM} "
        "data.micro_batch_size_per_gpu=2 data.max_length=512 model.lora_rank=0",
        {"micro_batch": 2, "seq_len": 512, "global_batch": 256, "method": "full", "per_node": 4},
    ),
    "vllm": ("a.sh", f"vllm serve {LLM} -tp 2 --max_model_len=8192", {"tp": 2, "max_model_len": 8192, "model": LLM}),
    "sglang": ("a.sh", f"python -m sglang.launch_server --model {LLM} --tp 2", {"tp": 2}),
    "tgi": (
        "a.sh",
        f"docker run --gpus all ghcr.io/huggingface/text-generation-inference:3 --model-id {LLM}",
        {"model": LLM},
    ),
    "trtllm": (
        "a.yaml",
        "kv_cache_config: {free_gpu_memory_fraction: 0.8}\nmax_num_tokens: 2048\n",
        {"free_fraction": 0.8},
    ),
    "lmdeploy": ("a.sh", f"lmdeploy serve api_server {LLM} --session-len 4096", {"max_model_len": 4096, "model": LLM}),
    "llamacpp": (
        "a.ini",
        "[qwen]\nhf = Qwen/Qwen3-8B-GGUF\nc = 4096\nngl = 99\nctk = q8_0\n",
        {"kv_precision": "q8_0"},
    ),
    "llamafactory_v1": (
        "a.yaml",
        f"model: {LLM}\nmodel_class: llm\npeft_config: {{name: lora, r: 4}}\ndist_config: {{name: fsdp2}}\n",
        {"method": "lora", "lora_rank": 4, "zero": 3, "recompute": "full"},
    ),
    "peft_sft": (
        "a.sh",
        f"torchrun train.py --model_name_or_path {LLM} --use_peft_lora true --use_4bit_quantization true",
        {"method": "lora", "base_bits": "4", "seq_len": 512},
    ),
    "unsloth_cli": ("a.sh", f"python unsloth-cli.py --model_name {LLM} --load_in_4bit --r 8", {"lora_rank": 8}),
    "ollama": ("Modelfile", "FROM qwen3-8b.gguf\nPARAMETER num_ctx 8192\n", {"max_model_len": 8192}),
}
CARRIERS = {
    "compose": "services:\n  a:\n    image: vllm/vllm-openai:v1\n"
    f"    command: ['--model', {LLM}, '-tp', '${{TP:-2}}']\n",
    "an entry point": "services:\n  a:\n    image: x\n    entrypoint: [bash, -c, 'exec vllm serve \"$@\"', --]\n"
    f"    command: [{LLM}, -tp, '2']\n",
    "kubernetes": "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n"
    "      - image: vllm/vllm-openai\n"
    f"        args: [--model, {LLM}, --tensor-parallel-size=2]\n        resources: {{limits: {{nvidia.com/gpu: 2}}}}\n",
    "helm": "servingEngineSpec:\n  modelSpec:\n  - repository: vllm/vllm-openai\n"
    f"    modelURL: {LLM}\n    vllmConfig: {{tensorParallelSize: 2}}\n",
    "skypilot": "resources: {accelerators: 'L40S:2'}\nrun: |\n  pip list\n"
    f"  vllm serve {LLM} \\\n    --tensor-parallel-size 2\n",
    "a shell in a container": "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: vllm/vllm-openai\n"
    f"    command: [/bin/sh, -c]\n    args: ['vllm serve {LLM} --tensor-parallel-size 2 --trust-remote-code']\n",
    "values of a chart": f"image: {{repository: vllm/vllm-openai}}\nextraArgs: [--model, {LLM}, -tp, '2']\n",
    "dstack": f"type: service\nresources: {{gpu: 'A100:40GB:2'}}\nenv: [M={LLM}]\n"
    "commands:\n  - vllm serve $M\n      --tensor-parallel-size 2\n",
    "dstack, by name and count": "type: service\nresources: {gpu: {name: A100, count: 2, memory: 40GB}}\n"
    f"commands:\n  - pip install vllm\n  - vllm serve {LLM} -tp $DSTACK_GPUS_NUM\n",
    "an image with its command": "resources: {limits: {nvidia.com/gpu: 2}}\n"
    f"image: {{repository: vllm/vllm-openai, command: [vllm, serve, {LLM}, -tp, '2']}}\n",
    "KServe's LLM service": "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\n"
    f"spec:\n  model: {{uri: 'hf://{LLM}'}}\n  parallelism: {{tensor: 2}}\n  replicas: 1\n",
    "Ray Serve": "applications:\n- args:\n    llm_configs:\n    - model_loading_config:\n"
    f"        {{model_id: x, model_source: {LLM}}}\n      engine_kwargs: {{tensor_parallel_size: 2}}\n",
    "a RayService": "apiVersion: ray.io/v1\nkind: RayService\nspec:\n  serveConfigV2: |\n    applications:\n"
    f"    - args: {{llm_configs: [{{model_loading_config: {{model_id: {LLM}}},\n"
    "                               engine_kwargs: {tensor_parallel_size: 2}}]}\n",
    "a container's own file": f'FROM vllm/vllm-openai:v1\nENV A=1\nCMD ["--model", "{LLM}", "-tp", "2"]\n',
    "a log": f"INFO 01-01 api_server.py: non-default args: {{'model': '{LLM}', 'tensor_parallel_size': 2}}\n",
    "an odd escape": f"non-default args: {{'model': '{LLM}', 'tensor_parallel_size': 2, 'x': 'a\\lb'}}\n",
}


@pytest.mark.parametrize("tool", CASES)
def test_a_file_is_recognised_and_read(tool, tmp_path):
    name, text, settings = CASES[tool]
    (tmp_path / name).write_text(text)
    run = read_run([tmp_path / name])

    assert run.tool.id == tool
    assert {field: run.settings.get(field) for field in settings} == settings
    assert not [one for one in run.readings if one.status in ("unknown", "open")]


@pytest.mark.parametrize("kind", CARRIERS)
def test_a_server_is_found_in_what_carries_it(kind, tmp_path):
    (tmp_path / "a.yaml").write_text(CARRIERS[kind])
    run = read_run([tmp_path / "a.yaml"])

    assert run.tool.id == "vllm"
    assert (run.settings["model"], run.settings["tp"]) == (LLM, 2)


@pytest.mark.parametrize(
    ("resources", "named", "count"),
    [
        ("H100:8", "h100", 8),
        ("A100:40GB:2", "a100-40gb", 2),
        ("L4", "l4", 1),
        ("{L4: 1, A100: 2}", "1xl4,2xa100", None),
    ],
)
def test_accelerators_are_named_as_clouds_do(resources, named, count, tmp_path):
    (tmp_path / "a.yaml").write_text(f"resources: {{accelerators: {resources}}}\nrun: vllm serve {LLM}\n")
    settings = read_run([tmp_path / "a.yaml"]).settings

    assert (settings["accelerator"], settings.get("accelerators")) == (named, count)


def test_a_servers_own_file_gives_way_to_its_command(tmp_path):
    (tmp_path / "serve.yaml").write_text("max-model-len: 4096\ntensor-parallel-size: 4\ngpu-memory-utilization: 0.8\n")
    (tmp_path / "a.sh").write_text(f"vllm serve {LLM} --config serve.yaml --tensor-parallel-size 2\n")
    settings = read_run([tmp_path / "a.sh"]).settings

    assert (settings["tp"], settings["max_model_len"], settings["memory_fraction"]) == (2, 4096, 0.8)


def test_variables_of_a_container_are_options_of_some_servers(tmp_path):
    text = "services:\n  a:\n    image: ghcr.io/huggingface/text-generation-inference:2\n"
    (tmp_path / "a.yaml").write_text(f"{text}    environment: {{MODEL_ID: {LLM}, NUM_SHARD: 2}}\n")
    run = read_run([tmp_path / "a.yaml"])

    assert (run.tool.id, run.settings["model"], run.settings["tp"]) == ("tgi", LLM, 2)


def test_settings_of_deepspeed_may_stand_inside(tmp_path):
    inside = '"deepspeed": {"zero_optimization": {"stage": 2}}'
    (tmp_path / "a.json").write_text(f'{{"model_name_or_path": "{LLM}", "per_device_train_batch_size": 1, {inside}}}')
    run = read_run([tmp_path / "a.json"])

    assert (run.tool.id, run.settings["strategy"], run.settings["zero"]) == ("hf", "deepspeed", 2)


def test_comments_say_nothing(tmp_path):
    name, text, _ = CASES["axolotl"]
    (tmp_path / name).write_text(text)
    bare = read_run([tmp_path / name]).settings
    (tmp_path / name).write_text("# micro_batch_size: 9, runs out of memory\n" + text.replace("\n", "  # not 7\n"))

    assert read_run([tmp_path / name]).settings == bare


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("vllm serve m --tp 2 \\\n  --port 8000", {"tp": "2", "port": "8000"}),
        ("A=4\nvllm serve m --tp $A --name ${B:-x}", {"tp": "4", "name": "x"}),
        ("vllm serve m --tp=2 --eager > log.txt 2>&1 &", {"tp": "2", "eager": True}),
        ("x --port 8111--gpu-memory-utilization 0.9", {"port": "8111", "gpu_memory_utilization": "0.9"}),
        ("x --data a b c --flag", {"data": ["a", "b", "c"], "flag": True}),
        ("x --lr 1e-4 --json '{\"a\": 1}'", {"lr": "1e-4", "json": '{"a": 1}'}),
        ('ARGS="--tp 2\n--pp 2"\nx $ARGS', {"tp": "2", "pp": "2"}),
        ("ARGS=(\n  --tp 2\n  --pp 2\n)\nx ${ARGS[@]}", {"tp": "2", "pp": "2"}),
        ('ARGS=(\n  a.b=2\n  c="x y"\n)\nx "${ARGS[@]}"', {"a.b": "2", "c": "x y"}),
        ('ARGS="\n  a.b=2 +a.c=3\n"\nx $ARGS', {"a.b": "2", "a.c": "3"}),
        ("R=${R:-$HOME/a}\nM=${M:-${R}/b}\nx --tp 2 --name $M", {"tp": "2", "name": "$HOME/a/b"}),
    ],
)
def test_commands_are_read_as_a_shell_passes_them_on(text, options):
    assert commands(text)[0].options == options


def test_a_files_own_variables_stay_open_where_nothing_sets_them(tmp_path):
    (tmp_path / "run.sh").write_text(f"vllm serve {LLM} --tensor-parallel-size $TP")
    run = read_run([tmp_path / "run.sh"])

    assert [(one.key, one.status) for one in run.readings if one.value == "$TP"] == [("tensor_parallel_size", "open")]
    assert run.settings["tp"] == 1


def test_a_path_below_a_variable_still_names_its_llm(tmp_path):
    (tmp_path / "run.sh").write_text("vllm serve $ROOT/models/Qwen3-8B --tensor-parallel-size 1")

    assert read_run([tmp_path / "run.sh"]).settings["model"] == "$ROOT/models/Qwen3-8B"


def test_anchors_that_stay_small_are_followed():
    (part,) = parts_in("base: &b {lora_r: 8}\nrun:\n  <<: *b\n  lora_alpha: 16\n", "a.yaml")

    assert part.values == {"base.lora_r": 8, "run.lora_r": 8, "run.lora_alpha": 16}


def test_without_the_extra_yaml_alone_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.yaml").write_text(CASES["axolotl"][1])
    (tmp_path / "a.sh").write_text(CASES["vllm"][1])

    assert read_run([tmp_path / "a.sh"]).tool.id == "vllm"
    with pytest.raises(MissingExtra, match=r"\[configs\]"):
        read_run([tmp_path / "a.yaml"])


@pytest.fixture
def read(tmp_path):
    """What a text says."""

    def run(text, name="run.sh"):
        (tmp_path / name).write_text(text)
        return read_run([tmp_path / name])

    return run


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("N=2\ntorchrun --nproc_per_node $((N * 4)) sft.py --model_name_or_path a/b --max_length 9", "per_node", 8),
        ("python3 -m MaxText.train base.yml model_name=llama3.1-8b per_device_batch_size=2", "device_batch", 2),
        ("torchrun --nnodes 4 pretrain_gpt.py --micro-batch-size 1 --num-layers 8", "nodes", 4),
        ("docker run -e NUM_SHARD=2 -e A=1 x/text-generation-inference --model-id a/b", "tp", 2),
        ("docker run -e LLAMA_ARG_CTX_SIZE=9 -e LLAMA_ARG_N_PARALLEL=2 x/llama.cpp:server -m a", "max_model_len", 9),
        ("accelerate launch --num_processes 2 dpo.py --model_name_or_path a/b-7b --max_length 512", "objective", "dpo"),
        ("args: Namespace(model='a/b-7b', enforce_eager=False, max_model_len=512)", "max_model_len", 512),
        ("X=(--tp 2)\nX+=(--max-model-len 9)\nCMD=\"vllm serve a/b ${X[@]}\"\neval $CMD", "max_model_len", 9),
        ("bash -c 'exec vllm serve a/b --max-model-len 9'", "max_model_len", 9),
        ("#SBATCH --nodes=2 --gres=gpu:h100:8\nsrun vllm serve a/b", "per_node", 8),
        ("#SBATCH --gpus-per-node=h100:8\nvllm serve a/b -tp $SLURM_GPUS_ON_NODE", "tp", 8),
        ("if [ $A = tune ]; then echo vllm; fi\nlitgpt finetune_lora a/b --precision bf16-true", "method", "lora"),
        ("swift sft --model a/b --max_length 9\nswift infer --model c/d", "model", "a/b"),
        ("S=\"answer after ####.\"\nvllm serve a/b --max-model-len 9 # or 8", "max_model_len", 9),
        ("openrlhf.cli.train_sft --ds.zero_stage 3 --model.model_name_or_path a/b --train.batch_size 9", "zero", 3),
        ("tune run --nproc_per_node 2 lora_finetune_distributed --config llama3_1/8B_lora", "method", "lora"),
        ('FROM llama3.1:8b\nPARAMETER num_ctx 512\nSYSTEM """\nFROM here on, be terse.\n"""', "model", "llama3.1:8b"),
    ],
)  # fmt: skip
def test_what_stands_in_a_form_of_its_own_is_read(read, text, name, said):
    run = read(text)

    assert run.settings[name] == said
    assert not [one.key for one in run.readings if one.status in ("matters", "open", "unknown")]


def test_what_a_cluster_sets_is_put_in(read):
    sky = "resources:\n  accelerators: {H100: 4}\nrun: |\n  vllm serve Qwen/Qwen3-32B -tp $SKYPILOT_NUM_GPUS_PER_NODE\n"
    helm = """\
servingEngineSpec:
  modelSpec:
  - modelURL: Qwen/Qwen3-8B
    vllmConfig: {maxModelLen: 4096, extraArgs: ["--gpu-memory-utilization", "0.8"]}
"""

    assert read(sky, "sky.yaml").settings["tp"] == 4
    assert read(helm, "values.yaml").settings["memory_fraction"] == 0.8


def test_the_file_that_a_command_names_gives_way_to_it(tmp_path):
    (tmp_path / "run.yaml").write_text(CASES["axolotl"][1])
    (tmp_path / "run.sh").write_text("axolotl train run.yaml --micro-batch-size 8")

    settings = read_run([tmp_path / "run.sh"]).settings

    assert (settings["micro_batch"], settings["seq_len"]) == (8, 4096)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("swift export --model a/b --quant_bits 4", "neither trains nor serves: it is of swift export"),
        ("{{- if .Values.on }}\na: b\n{{- end }}", "it is a template"),
    ],
)
def test_what_is_no_run_is_refused(read, text, said):
    with pytest.raises(InvalidInput, match=said):
        read(text)


def test_of_several_commands_the_first_is_read_and_said(read):
    run = read("swift sft --model a/b\nswift sft --model c/d")

    assert run.settings["model"] == "a/b"
    assert any("2 commands of ms-swift" in note for note in run.notes)
