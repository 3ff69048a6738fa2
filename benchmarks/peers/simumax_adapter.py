"""SimuMax: training time and memory of Megatron runs. argv[3]: the folder of its checkout."""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

HOME = Path(sys.argv[3])
sys.path.insert(0, str(HOME))

from answer import Case, Unsupported, answer, named  # noqa: E402
from simumax.core.config import ModelConfig, StrategyConfig, SystemConfig  # noqa: E402
from simumax.core.perf_llm import PerfLLM  # noqa: E402

SYSTEMS = {"a100-sxm-80gb": "a100_pcie.json", "b200": "b200_bf16_ceperm.json"}
RECOMPUTE = {
    "none": {"enable_recompute": False},
    "selective": {"recompute_granularity": "sdp_only"},  # what Megatron's selective recomputation redoes
    "full": {"recompute_granularity": "full_block"},
}
GIB = 2**30


def predict(case: Case) -> dict[str, float]:
    """Time and memory of a step."""
    if case["kind"] != "training" or case["arch"]["experts"] or case["zero"] > 1 or case["low_bits"]:
        raise Unsupported("dense Megatron training alone")
    if case["tp"] > 1 and case["gpu"].startswith("a100"):
        raise Unsupported("its A100s have no NVLink")
    system = HOME / "configs" / "system" / named(SYSTEMS, case["gpu"], "system")
    model = PerfLLM()
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        model.configure(
            strategy_config=StrategyConfig(**_strategy(case)),
            model_config=ModelConfig(**_shape(case)),
            system_config=SystemConfig.init_from_config_file(str(system)),
        )
        model.run_estimate()
        cost, memory = (json.loads(str(found)) for found in (model.analysis_cost(), model.analysis_mem()))
    stages = [memory] if "peak_mem" in memory else memory.values()
    tokens_per_s = cost["throughput_per_accelerator"] * case["count"]
    peaks = [stage["peak_mem"].split() for stage in stages]
    return {
        "step_s": cost["all_tokens_per_iter"] / tokens_per_s,
        "peak_bytes": max(float(number) * {"GB": GIB, "MB": 2**20}[unit] for number, unit in peaks),
    }


def _strategy(case: Case) -> dict[str, object]:
    return {
        "seq_len": case["seq_len"],
        "micro_batch_size": case["micro_batch"],
        "micro_batch_num": case["accumulation"],
        "world_size": case["count"],
        "tp_size": case["tp"],
        "pp_size": case["pp"],
        "cp_size": case["cp"],
        "interleaving_size": case["vpp"],
        "pp_comm_async": case["vpp"] == 1,  # it has no times of interleaved stages otherwise
        "zero_state": case["zero"],
        "recompute_layer_num": case["arch"]["layers"] // case["pp"],
        **RECOMPUTE[case["recompute"]],
    }


def _shape(case: Case) -> dict[str, object]:
    shape = case["arch"]
    return {
        "model_type": "dense",
        "model_name": "case",
        "hidden_size": shape["hidden"],
        "head_num": shape["heads"],
        "kv_head_num": shape["kv_heads"],
        "head_size": shape["head_dim"],
        "intermediate_size": shape["ffn"],
        "layer_num": shape["layers"],
        "vocab_size": shape["vocab"],
        "use_swiglu": shape["gated"],
    }


if __name__ == "__main__":
    answer(predict)
