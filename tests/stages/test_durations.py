"""How long runs took that people told of, from what they told: inside the 80 % range, which is no wider than 2.5.

Each is asked as its owner could have asked before; what was not told (batches of qwen3-30b-a3b and of the A10s, the
network between these) is taken so that an early version of this library says what it said of them. Seven of the runs
that pad gave the fact uneven_slowdown. Expected failures stay with what is not modelled.
"""

import math
from statistics import median
from typing import Any, NamedTuple

import pytest

from estimator import estimate, layout
from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.predict.training import TrainingPlan, best_layout, time_interval, training_step

ALPACA: dict[str, Any] = {"samples": 52_002, "tokens_per_sample": 120, "length_spread": 0.42}  # length_spread/alpaca
STANFORD = {**ALPACA, "model": "llama-7b", "method": "full", "epochs": 3, "finetune_seq_len": 512, "zero": 3}
ALPACA_LORA = {
    **ALPACA,
    **{"model": "llama-7b", "method": "lora", "epochs": 10, "base_precision": "int8", "recompute": "full"},
    **{"finetune_seq_len": 512, "finetune_batch": 128, "micro_batch": 8, "lora_rank": 16, "packing": "grouped"},
    **{"lora_targets": "attention", "validation_share": 0.04, "evaluations_per_epoch": 2},
}
LIT_LLAMA = {
    **ALPACA,
    **{"model": "llama-7b", "gpu": "1xv100-sxm2-32gb", "method": "lora", "epochs": 3, "finetune_seq_len": 256},
    **{"finetune_batch": 128, "micro_batch": 4, "lora_rank": 8, "lora_targets": "q,k,v"},
    "finetune_framework": "lit-gpt",
}
DOLLY = {
    **{"model": "2.8b", "gpu": "4xa10g", "method": "full", "epochs": 2, "samples": 14_000, "tokens_per_sample": 250},
    **{"length_spread": 1.0, "finetune_seq_len": 1024, "finetune_batch": 12, "micro_batch": 3, "zero": 3},
    **{"recompute": "full", "finetune_offload": "optimizer", "finetune_framework": "deepspeed"},
    **{"validation_share": 0.07, "evaluations_per_epoch": 23, "save_steps": 200},
}
LLAVA = {
    **{"model": "llama-2-7b", "gpu": "8xa100-sxm-40gb", "method": "full", "epochs": 1, "samples": 665_000},
    **{"tokens_per_sample": 950, "length_spread": 0.4, "finetune_seq_len": 2048, "finetune_batch": 128},
    **{"micro_batch": 4, "zero": 3, "recompute": "full", "packing": "grouped"},
    "finetune_framework": "HF Trainer DeepSpeed",
}
LONG = {
    **{"model": "llama-2-7b", "gpu": "8xa100", "method": "lora", "epochs": 1, "samples": 64_000, "packing": "on"},
    **{"finetune_batch": 64, "micro_batch": 1, "zero": 2, "recompute": "full", "lora_rank": 8},
    "lora_targets": "attention",
}
MLPERF = {
    **{"model": "llama-2-70b", "gpu": "8xh100", "method": "lora", "epochs": 1, "samples": 3_901},
    **{"tokens_per_sample": 8192, "finetune_seq_len": 8192, "finetune_batch": 8, "packing": True},
    **{"lora_rank": 16, "lora_targets": "attention", "finetune_precision": "fp8", "finetune_startup_minutes": 0},
    "finetune_framework": "nemo",
}
RLVR = {
    **{"model": "llama-3.1-8b", "gpu": "8xh100", "method": "full", "objective": "ppo", "samples": 30_000},
    **{"epochs": 10 / 3, "generations": 1, "update_epochs": 4, "completion_tokens": 2048, "tokens_per_sample": 300},
    **{"finetune_batch": 224, "finetune_seq_len": 4096, "micro_batch": 1, "zero": 3, "recompute": "full"},
    "finetune_framework": "deepspeed",
}
TPU = {"seq_len": 32_768, "global_batch": 128, "tp": 1, "zero": 3, "recompute": "full", "framework": "levanter"}
A10S = {"seq_len": 2048, "zero": 3, "framework": "HF Trainer DeepSpeed", "tp": 1}


class Told(NamedTuple):
    """A run: its time [h], or of a step [s]; tokens: whether the rate is told instead [token/s]."""

    truth: float
    source: str
    run: dict[str, Any]
    stage: str = "finetune"
    tokens: bool = False


HOURS = {
    "alpaca-8xa100": Told(
        40 / 60,
        "tatsu-lab/stanford_alpaca#170",
        {**STANFORD, "gpu": "8xa100", **{"finetune_batch": 128, "micro_batch": 4, "save_steps": 2000}},
    ),
    "alpaca-4xa100": Told(
        1.318,
        "tatsu-lab/stanford_alpaca#168",
        {**STANFORD, "gpu": "4xa100", **{"finetune_batch": 128, "micro_batch": 4, "save_steps": 2000}},
    ),
    "alpaca-lora-3090": Told(88, "tloen/alpaca-lora#432", {**ALPACA_LORA, "gpu": "1xrtx-3090"}),
    "alpaca-lora-2x3090": Told(35, "tloen/alpaca-lora#432", {**ALPACA_LORA, "gpu": "2xrtx-3090"}),
    "lit-llama-v100": Told(8.617, "Lightning-AI/lit-llama#396", LIT_LLAMA),
    "lit-llama-v100-grouped": Told(6.257, "Lightning-AI/lit-llama#396", {**LIT_LLAMA, "packing": "grouped"}),
    "dolly-4xa10g": Told(5.6, "databrickslabs/dolly#6", DOLLY),
    "llava-8xa100-40gb": Told(10, "haotian-liu/LLaVA#528", LLAVA),
    "minicpm-160xa100": Told(
        14 * 24,
        "OpenBMB/MiniCPM#190",
        {"model": "2.7b", "gpu": "160xa100", **{"training_tokens": 1.1e12, "batch_tokens": 4e6}},
        "pretrain",
    ),
    "mlperf-lora": Told(29.1 / 60, "MLPerf training v4.0", MLPERF),
    **{
        f"longlora-{length}": Told(
            hours,
            "JIA-Lab-research/LongLoRA#121",
            {**LONG, **{"tokens_per_sample": length, "finetune_seq_len": length}},
        )
        for length, hours in ((8192, 6.0), (16_384, 14.0), (32_768, 36.5), (65_536, 92.5))
    },
    "rlvr-8xh100": Told(65, "allenai/open-instruct#484", RLVR),
}
STEPS = {
    "marin-8b": Told(72, "marin-community/marin#4510", {"model": "qwen3-8b", "gpu": "32xtpu-v5p", **TPU}),
    "marin-32b": Told(65, "marin-community/marin#4510", {"model": "qwen3-32b", "gpu": "128xtpu-v5p", **TPU}),
    "marin-1b": Told(
        53_000, "marin-community/marin#1826", {"model": "1b", "gpu": "4xtpu-v4", **TPU, "seq_len": 4096}, tokens=True
    ),
    "qwen3-30b-a3b": Told(
        10.36,
        "alibaba/Pai-Megatron-Patch#643",
        {
            **{"model": "qwen3-30b-a3b", "gpu": "16xh800", "tp": 1, "pp": 2, "ep": 8, "micro_batch": 1, "zero": 1},
            **{"global_batch": 128, "seq_len": 8192, "recompute": "none", "framework": "megatron-core"},
        },
    ),
    "a10-one-node": Told(2.46, "QwenLM/Qwen3#773", {"model": "qwen2-1.5b", "gpu": "2xa10", "global_batch": 8, **A10S}),
    "a10-two-nodes": Told(
        8.68,
        "QwenLM/Qwen3#773",
        {
            "model": "qwen2-1.5b",
            "gpu": "4xa10",
            "per_node": 2,
            "gbit_per_s": 25,
            "global_batch": 16,
            "micro_batch": 4,
            "recompute": "full",
            **A10S,
        },
    ),
}
NOT_MODELLED = {
    "dolly-4xa10g": "an optimizer in host memory that tenants share, and gathers through it without peer-to-peer",
    "lit-llama-v100": "products of LoRA as grouped convolutions in PyTorch 2.0, on a V100 that nobody measured",
    "qwen3-30b-a3b": "tokens of experts exchanged by plain all-to-all and permuted by unfused kernels",
    "rlvr-8xh100": "one accelerator of eight samples while seven wait, rollouts padded to the longest of all ranks",
}


def asked(told):
    """Prediction with the ends of its range, in the unit that is told."""
    extra = {"attempts": 1} if told.stage == "finetune" else {}
    seconds = estimate(told.stage, **extra, **told.run).training_s
    return tuple(each / 3600 for each in (seconds.value, *seconds.interval()))


def stepped(told):
    """The same of one step, or of the rate."""
    plan = dict(told.run)
    llm, machines = architecture(plan.pop("model")), cluster(plan.pop("gpu"))
    per_node, gbit_per_s = plan.pop("per_node", machines.per_node), plan.pop("gbit_per_s", None)
    device = machines.accelerator
    if gbit_per_s:
        device = device._replace(network_bytes_per_s=gbit_per_s * 1e9 / 8)
    machines = machines._replace(per_node=per_node, accelerator=device)
    left = {"micro_batch": None, "pp": 1, "ep": 1, "recompute": None} | plan
    full = TrainingPlan(**left)
    if None in left.values():
        full = best_layout(llm, machines, full)
    seconds, (down, up) = float(training_step(llm, machines, full).step_s), time_interval(llm, machines, full)
    if told.tokens:
        rate = full.global_batch * full.seq_len / seconds
        return rate, rate * math.exp(-up), rate * math.exp(down)
    return seconds, seconds * math.exp(-down), seconds * math.exp(up)


def answers():
    return {name: asked(told) for name, told in HOURS.items()} | {name: stepped(told) for name, told in STEPS.items()}


TOLD = HOURS | STEPS


@pytest.fixture(scope="module")
def found():
    return answers()


@pytest.mark.prediction
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=NOT_MODELLED[name], strict=True))
        if name in NOT_MODELLED
        else name
        for name in TOLD
    ],
)
def test_a_duration_is_inside_the_range(name, found):
    _, low, high = found[name]
    assert low <= TOLD[name].truth <= high


@pytest.mark.prediction
def test_most_are_inside_ranges_that_say_something(found):
    """Four of five, ranges of no more than 2.5, and half of them within a factor of 1.42."""
    errors = {name: abs(math.log(value / TOLD[name].truth)) for name, (value, _, _) in found.items()}
    inside = [low <= TOLD[name].truth <= high for name, (_, low, high) in found.items()]

    assert sum(inside) >= 0.8 * len(inside)
    assert round(max(high / low for _, low, high in found.values()), 2) <= 2.5
    assert median(errors.values()) <= 0.35


def test_a_run_of_less_than_a_step_says_so_and_which_batch_makes_one():
    """20 samples where a step takes 64; 244 sequences of 4,096 where 977; 38 of 131,072 where 64."""
    tuned = estimate("finetune", model="8b", gpu="1xh100", samples=20, epochs=1).warnings
    trained = estimate("pretrain", model="1b", gpu="8xh100", training_tokens=1e6, batch_tokens=4e6).warnings
    found = layout(model="8b", gpu="8xh100", task="finetune", seq_len=131072, tokens=5e6).notes
    batch = 38

    assert any("finetune_batch=20 makes one" in words for words in tuned)
    assert any("less than one step" in words and "batch_tokens=" in words for words in trained)
    assert any(f"global_batch={batch} makes one" in words for words in found)
    again = layout(model="8b", gpu="8xh100", task="finetune", seq_len=131072, tokens=5e6, global_batch=batch).notes
    assert not any("less than one step" in words for words in again)
