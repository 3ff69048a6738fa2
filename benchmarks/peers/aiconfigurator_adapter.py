"""aiconfigurator: TTFT, TPOT and throughput of aggregated serving, from its measured kernel tables; no GPU needed."""

import json
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # it announces its own renaming

from aiconfigurator.cli.api import cli_estimate  # noqa: E402
from answer import Case, Unsupported, answer, named  # noqa: E402

GPUS = {
    "a100-sxm-80gb": "a100_sxm",
    "h100-sxm": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "b200": "b200_sxm",
    "b300": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
    "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
}
MODELS = {
    "llama-3.1-8b": "meta-llama/Meta-Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama/Meta-Llama-3.1-70B",
    "llama-3.1-405b": "meta-llama/Meta-Llama-3.1-405B",
    "llama-3-8b": "meta-llama/Meta-Llama-3.1-8B",
    "llama-3-70b": "meta-llama/Meta-Llama-3.1-70B",
    "qwen3-32b": "Qwen/Qwen3-32B",
    "qwen3-235b-a22b": "Qwen/Qwen3-235B-A22B",
    "gpt-oss-120b": "openai/gpt-oss-120b",
    "minimax-m2.5": "MiniMaxAI/MiniMax-M2.5",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-v0.1",
}
QUANTISED = {  # a mixture of experts in a format of its own is a model of its own there
    ("qwen3-235b-a22b", "fp8"): "Qwen/Qwen3-235B-A22B-FP8",
    ("qwen3-235b-a22b", "fp4"): "nvidia/Qwen3-235B-A22B-NVFP4",
    ("minimax-m2.5", "fp4"): "nvidia/MiniMax-M2.5-NVFP4",
}
ENGINES = {"tensorrt-llm": "trtllm", "vllm": "vllm", "sglang": "sglang"}
GEMMS = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "fp8-block": "fp8_block", "int8": "int8_wo"}
CACHES = {"fp8": "fp8", "int8": "int8", "bf16": "bfloat16", "fp16": "bfloat16"}
GEMMS |= {"fp4": "nvfp4", "nvfp4": "nvfp4", "int4": "int4_wo", "awq": "int4_wo", "gptq": "int4_wo"}


def predict(case: Case) -> dict[str, float]:
    """Latencies and throughput of one cut at one concurrency."""
    if case["kind"] == "training":
        raise Unsupported("training")
    engine = named(ENGINES, case["engine"], "engine")
    formats = {"kvcache_quant_mode": named(CACHES, case["cache"], "format of a cache")}
    if case["arch"]["experts"] == 0:
        formats["gemm_quant_mode"] = named(GEMMS, case["weights"], "format")
    else:
        formats |= {"moe_tp_size": case["moe_tp"], "moe_ep_size": case["moe_ep"]}
    found = cli_estimate(
        _model(case),
        named(GPUS, case["gpu"], "accelerator"),
        backend_name=engine,
        isl=max(case["input_len"], 1),
        osl=max(case["output_len"], 2),
        batch_size=max(case["batch"] // case["attention_dp"], 1),
        tp_size=case["tp"],
        pp_size=case["pp"],
        attention_dp_size=case["attention_dp"],
        prefix=case["prefix_len"],
        database_mode="HYBRID",
        **formats,
    )
    ttft, tpot = float(found.ttft) / 1000, float(found.tpot) / 1000
    total = ttft + tpot * (case["output_len"] - 1)
    return {"ttft_s": ttft, "tpot_s": tpot, "total_s": total, "tokens_per_s": float(found.raw["tokens/s"])}


def _model(case: Case) -> str:
    """One it knows by name; else a configuration file of the case's shape."""
    if (case["model"], case["weights"]) in QUANTISED:
        return QUANTISED[case["model"], case["weights"]]
    if case["model"] in MODELS:
        return MODELS[case["model"]]
    shape = case["arch"]
    if shape["experts"]:
        named(MODELS, case["model"], "mixture of experts")
    folder = Path(tempfile.gettempdir()) / f"aic-{case['model'].replace('/', '-')}"
    folder.mkdir(exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "head_dim": shape["head_dim"],
        "intermediate_size": shape["ffn"],
        "vocab_size": shape["vocab"],
        "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


if __name__ == "__main__":
    answer(predict)
