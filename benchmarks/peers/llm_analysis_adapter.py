"""llm-analysis: training time and memory, prefill and decoding. argv[3]: its FLOPS efficiency, its default without."""

import sys

from answer import Case, Unsupported, answer, named
from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
from llm_analysis.config import (
    DtypeConfig,
    GPUConfig,
    ModelConfig,
    ParallelismConfig,
    get_dtype_config_by_name,
    get_gpu_config_by_name,
)
from llm_analysis.logger import logger

GPUS = {
    "a100-sxm-80gb": "a100-sxm-80gb",
    "a100-sxm-40gb": "a100-sxm-40gb",
    "a100-pcie-80gb": "a100-pcie-80gb",
    "a100-pcie-40gb": "a100-pcie-40gb",
    "h100-sxm": "h100-sxm-80gb",
    "h100-pcie": "h100-pcie-80gb",
    "v100-sxm2-32gb": "v100-sxm-32gb",
    "v100-sxm2-16gb": "v100-sxm-16gb",
    "a10g": "a10g-pcie-24gb",
    "a10": "a10-pcie-28gb",
    "rtx-a6000": "a6000-48gb",
}
DTYPES = {16: "w16a16e16", 8: "w8a16e16", 4: "w4a16e16"}
EFFICIENCY = float(sys.argv[3]) if len(sys.argv) > 3 else None
RECOMPUTE = {"none": 0, "selective": 1, "full": 2}
logger.setLevel("CRITICAL")


def predict(case: Case) -> dict[str, float]:
    """All figures it has of a case."""
    shape = case["arch"]
    if shape["experts"]:
        raise Unsupported("mixture of experts")
    model = ModelConfig(
        name="case",
        num_layers=shape["layers"],
        n_head=shape["heads"],
        hidden_dim=shape["hidden"],
        vocab_size=shape["vocab"],
        max_seq_len=10**9,
        num_key_value_heads=shape["kv_heads"],
        ffn_embed_dim=shape["ffn"],
        expansion_ratio=shape["ffn"] / shape["hidden"],
    )
    gpu: GPUConfig = get_gpu_config_by_name(named(GPUS, case["gpu"], "accelerator"))
    bits = round(case["weight_bits"])
    if bits not in DTYPES:
        raise Unsupported(f"{bits} bits")
    dtype: DtypeConfig = get_dtype_config_by_name(DTYPES[bits])
    dp = case["dp"] if case["kind"] == "training" else 1
    cut = ParallelismConfig(tp_size=case["tp"], pp_size=case["pp"], dp_size=dp)
    analysis = LLMAnalysis(model, gpu, dtype, cut, flops_efficiency=EFFICIENCY)
    return _training(analysis, case) if case["kind"] == "training" else _inference(analysis, case)


def _training(analysis: LLMAnalysis, case: Case) -> dict[str, float]:
    if case["cp"] > 1 or case["low_bits"]:
        raise Unsupported("context parallelism or fp8")
    found = analysis.training(
        batch_size_per_gpu=case["micro_batch"],
        gradient_accumulation_steps=case["accumulation"],
        seq_len=case["seq_len"],
        activation_recomputation=ActivationRecomputation(RECOMPUTE[case["recompute"]]),
        ds_zero=DSZeRO(case["zero"]),
        flash_attn=case["flash"],
        mlp_gated_linear_units=bool(case["arch"]["gated"]),
    )
    names = ("weight", "gradient", "optimizer_state", "activation")
    used = sum(found[f"{name}_memory_per_gpu"] for name in names)
    return {"step_s": found["latency_per_iter"], "peak_bytes": used}


def _inference(analysis: LLMAnalysis, case: Case) -> dict[str, float]:
    found = analysis.inference(
        batch_size_per_gpu=case["batch"],
        seq_len=max(case["input_len"], 1),
        num_tokens_to_generate=case["output_len"],
    )
    return {
        "prefill_s": found["prefill_latency"],
        "tpot_s": found["decode_latency"],
        "total_s": found["total_latency"],
    }


if __name__ == "__main__":
    answer(predict)
