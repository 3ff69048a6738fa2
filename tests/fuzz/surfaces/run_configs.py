"""Run configurations of other tools: whole, with pieces put in, taken out or doubled, and two of them together."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 120
LLM = "Qwen/Qwen3-8B"
WHOLE = {
    "axolotl.yaml": f"base_model: {LLM}\nadapter: qlora\nload_in_4bit: true\nlora_r: 8\nsequence_len: 2048\n"
    "sample_packing: true\nmicro_batch_size: 2\ngradient_accumulation_steps: 4\nnum_epochs: 1\n",
    "trl.yaml": f"model_name_or_path: {LLM}\ndataset_name: tatsu-lab/alpaca\nmax_length: 1024\npacking: true\n"
    "per_device_train_batch_size: 2\ndeepspeed: zero.json\n",
    "zero.json": json.dumps({"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}),
    "titan.toml": '[model]\nname = "llama3"\nflavor = "8B"\n[training]\nlocal_batch_size = 2\nsteps = 9\n',
    "megatron.sh": "N=8\nA=(\n  --num-layers 4\n  --hidden-size 64\n)\n"
    "torchrun --nproc_per_node $N pretrain_gpt.py ${A[@]} \\\n"
    "  --num-attention-heads 4 --micro-batch-size 1 --global-batch-size 8 --seq-length 128 --bf16\n",
    "vllm.sh": f"vllm serve {LLM} -tp ${{TP:-2}} \\\n  --max-model-len 8192 --no-enable-prefix-caching\n",
    "compose.yml": f"services:\n  a: &a\n    image: vllm/vllm-openai\n    command: --model {LLM} -tp 2\n",
    "sky.yaml": f"resources: {{accelerators: 'H100:2'}}\nrun: |\n  vllm serve {LLM} --tensor-parallel-size 2\n",
    "Modelfile": "FROM qwen3-8b.gguf\nPARAMETER num_ctx 8192\n",
    "server.log": f"INFO: non-default args: {{'model': '{LLM}', 'tensor_parallel_size': 2}}\n",
}
PIECES = (
    "\x00",
    "\t",
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "\\",
    "\n",
    "&a ",
    "*a",
    "!!x ",
    "$",
    "${",
    "$(",
    "#",
    "null",
)
PIECES += ("-1", "0", "1e999", "9" * 40, "é", "\ud7ff", "--", "=", "<<: ", ">", "|", "[" * 300, "---\n", ".inf", "true")
GPUS = ("8xh100", "1xa100", "rtx4090,a100", "64xh100", "")
FORMATS = ("table", "json", "csv", "markdown")


def draw(rng: random.Random, index: int) -> Trial:
    """One file or two, each with up to four damages; every 12th as it was written."""
    names = rng.sample(sorted(WHOLE), rng.choice((1, 1, 1, 2)))
    damages = [] if index % 12 == 0 else [_damage(rng, name) for name in names]
    for name in names if not damages else ():
        Path(name).write_text(WHOLE[name], encoding="utf-8")
    gpu = rng.choice(GPUS)
    command_words = ["check", *names] if rng.random() < 0.8 else ["diff", names[0], names[-1]]
    words = [*command_words, *(["--gpu", gpu] if gpu else []), "--format", rng.choice(FORMATS)]
    words += rng.choice(
        ([], ["--data", "1000"], ["--model", "llama-3.1-8b"], ["--emit", "axolotl"], ["--emit", "vllm"])
    )
    if words[0] == "diff":
        words = [word for word in words if word not in ("--emit", "axolotl", "vllm")]
    return command("run configuration" if damages else "plain run configuration", words, "; ".join(damages))


def _damage(rng: random.Random, name: str) -> str:
    text = WHOLE[name]
    for _ in range(rng.randint(1, 4)):
        text = spoilt(rng, text, PIECES)
    Path(name).write_text(text, encoding="utf-8", newline="")
    return f"{name}: {text!r}"


def spoilt(rng: random.Random, text: str, pieces: Sequence[str]) -> str:
    """A text with a piece put in, or a part of it doubled or gone."""
    place = rng.randrange(len(text) + 1)
    end = min(place + rng.choice((0, 0, 1, 5, 20)), len(text))
    return text[:place] + rng.choice([*pieces, text[place:end] * 2, ""]) + text[end:]
