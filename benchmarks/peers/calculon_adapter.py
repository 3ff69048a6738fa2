"""Calculon: training time and memory of Megatron-like runs. argv[3]: the folder of its checkout."""

import json
import logging
import sys
from pathlib import Path

HOME = Path(sys.argv[3])
sys.path.insert(0, str(HOME))

from answer import Case, Unsupported, answer, named  # noqa: E402
from calculon import System  # noqa: E402
from calculon.llm import Llm  # noqa: E402

SYSTEMS = {"a100-sxm-80gb": "a100_80g.json", "h100-sxm": "h100_80g_nvl8.json"}
RECOMPUTE = {"none": "none", "selective": "attn_only", "full": "full"}
DEFAULTS = {
    "tensor_par_net": 0,
    "pipeline_par_net": 1,
    "data_par_net": 1,
    "datatype": "float16",
    "fused_activation": True,
    "attention_type": "multihead",
    "tensor_par_overlap": "none",
    "seq_par_ag_redo": False,
    "data_par_overlap": False,
    "weight_offload": False,
    "activations_offload": False,
    "optimizer_offload": False,
    "training": True,
}


def predict(case: Case) -> dict[str, float]:
    """Time and memory of a step."""
    shape = case["arch"]
    if case["kind"] != "training" or shape["experts"] or case["cp"] > 1 or case["zero"] > 1 or case["low_bits"]:
        raise Unsupported("dense Megatron training alone")
    system = System(json.loads((HOME / "systems" / named(SYSTEMS, case["gpu"], "system")).read_text()))
    application = {
        "hidden": shape["hidden"],
        "feedforward": shape["ffn"],
        "seq_size": case["seq_len"],
        "attn_heads": shape["heads"],
        "attn_size": shape["head_dim"],
        "num_blocks": shape["layers"],
    }
    execution = DEFAULTS | {
        "num_procs": case["count"],
        "tensor_par": case["tp"],
        "pipeline_par": case["pp"],
        "data_par": case["dp"],
        "batch_size": case["micro_batch"] * case["accumulation"] * case["dp"],
        "microbatch_size": case["micro_batch"],
        "activation_recompute": RECOMPUTE[case["recompute"]],
        "pipeline_interleaving": case["vpp"],
        "optimizer_sharding": case["zero"] == 1 and case["dp"] > 1,
        "tensor_par_comm_type": "rs_ag" if case["recompute"] == "selective" else "ar",
    }
    model = Llm(Llm.Application(application), logging.getLogger("calculon"))
    model.compile(system, Llm.Execution.from_json(execution))
    model.run(system)
    return {"step_s": model.get_total_time(), "peak_bytes": model.get_mem_tier1_cap_req()}


if __name__ == "__main__":
    answer(predict)
