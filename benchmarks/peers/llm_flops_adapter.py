"""llm-flops: prefill and decoding of a batch. It has no time of a parallel training step."""

import llmflops
from answer import Case, Unsupported, answer, named

GPUS = {
    "a100-sxm-80gb": "A100-80GB-SXM",
    "a100-sxm-40gb": "A100-40GB-SXM",
    "a100-pcie-40gb": "A100-40GB-PCIe",
    "h100-sxm": "H100-SXM",
    "h100-pcie": "H100-PCIe",
    "h200-sxm": "H200-SXM",
    "v100-sxm2-16gb": "V100-SXM2",
    "a10g": "A10G",
    "rtx-a6000": "A6000",
    "l4": "L4",
    "l40s": "L40S",
    "t4": "T4",
    "rtx-3090": "RTX3090",
    "rtx-4090": "RTX4090",
}
PRECISIONS = {4: "int4", 8: "int8", 16: "bf16", 32: "fp32"}


def predict(case: Case) -> dict[str, float]:
    """Prefill and a decoding step."""
    if case["kind"] == "training":
        raise Unsupported("no parallel training step")
    shape = case["arch"]
    config = {
        "name": "case",
        "hidden_size": shape["hidden"],
        "num_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "head_dim": shape["head_dim"],
        "vocab_size": shape["vocab"],
        "intermediate_size": shape["ffn"] or shape["moe_ffn"],
        "mlp_type": "gated" if shape["gated"] else "standard",
    }
    if shape["experts"]:
        config |= {
            "num_experts": shape["experts"],
            "num_experts_per_tok": shape["per_token"],
            "moe_intermediate_size": shape["moe_ffn"],
        }
    bits = round(case["weight_bits"])
    if bits not in PRECISIONS:
        raise Unsupported(f"{bits} bits")
    narrow = case["compute"] if case["compute"] in ("fp8", "int8") else PRECISIONS[bits]
    found = llmflops.estimate(
        config,
        batch_size=case["batch"],
        sequence_length=max(case["input_len"], 1),
        precision=narrow,
        gpu=named(GPUS, case["gpu"], "accelerator"),
        num_generated_tokens=case["output_len"],
        parallelism={"tensor_parallel": case["tp"], "pipeline_parallel": case["pp"]},
        allow_hf_fetch=False,
    )
    times = found["details"]["performance"]
    return {
        "prefill_s": times["prefill_latency_s"],
        "tpot_s": times["decode_latency_per_token_s"],
        "total_s": times["total_request_latency_s"],
    }


if __name__ == "__main__":
    answer(predict)
