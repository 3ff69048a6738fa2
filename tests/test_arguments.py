"""Arguments of wrong kinds: every public function says so in one line, whatever it is given."""

import warnings

import numpy as np
import pytest

from estimator import EstimatorError, compare, estimate, layout, recommend, serving, sweep, training_step, validate
from estimator.errors import InvalidInput
from estimator.shown import rendered

WRONG = (
    *(None, True, 3, -1, 2.5, float("nan"), float("inf"), 1j, 10**400, np.float64(2), 1e308),
    *(
        "x",
        "",
        b"a",
        bytearray(b"a"),
        "\0",
        "\udc80",
        "1_0",
        [],
        [1, 2],
        (1,),
        (1, 2, 3),
        {"a": 1},
        {1, 2},
        [[1], [2, 3]],
    ),
    *(object(), Ellipsis, len, np.array([1, 2]), np.array("a"), np.array([])),
)
CALLS = {
    estimate: {"stage": "prompt", "model": "7b", "gpu": "a100", "gpus": None, "scenario_file": None, "design": None}
    | {"price": None, "samples": 100, "method": "lora", "prefix_cache": True},
    compare: {
        "model": None,
        "gpu": None,
        "api": "openai:gpt-4o-mini",
        "gpus": None,
        "stages": ("prompt",),
        "index": "hnsw",
    },
    training_step: {
        "model": "7b",
        "gpu": "8xa100",
        "gpus": None,
        "seq_len": 2048,
        "micro_batch": 1,
        "global_batch": 8,
        "tp": 1,
    }
    | {"zero": 0, "recompute": "none", "method": "full", "optimizer": "adamw", "precision": "bf16", "framework": ""}
    | {"lora_rank": 8, "cpu_offload": "", "cp": 1, "vpp": 1, "fused_attention": True, "lora_targets": "all"},
    serving: {"model": "7b", "gpu": "a100", "prompt_tokens": 100, "output_tokens": 10, "gpus": None, "cached_tokens": 0}
    | {"requests_per_s": None, "concurrency": None, "tp": 1, "weight_precision": "bf16", "engine": "vllm"}
    | {"kv_precision": "bf16", "memory_fraction": 0.9, "adapters": 0},
    layout: {"model": "7b", "gpu": "8xa100", "task": "finetune", "price": None, "most": None, "precisions": None}
    | {"careful": False, "tp": 1, "seq_len": 2048},
    recommend: {"model": "7b", "gpu": "a100", "api": None, "failure_mode": "knowledge"},
    sweep: {"table": [{"gpu": "a100"}], "stages": ("prompt",), "figures": ("total_usd",)},
}
EACH = [(call, name) for call, given in CALLS.items() for name in given]


@pytest.mark.parametrize(("call", "name"), EACH, ids=lambda one: getattr(one, "__name__", one))
def test_a_wrong_argument_is_one_line(call, name):
    refused: list[str] = []
    for value in WRONG:
        try:
            with warnings.catch_warnings(action="ignore"):
                call(**{**CALLS[call], name: value})
        except EstimatorError as error:
            refused.append(str(error))

    assert not any("\n" in message for message in refused)
    assert len(refused) > len(WRONG) / 3


@pytest.mark.parametrize(
    "paths", [3, None, True, b"a", object(), [3], ["\0"], np.array("a")], ids=lambda value: type(value).__name__
)
def test_paths_are_paths(paths):
    with pytest.raises(InvalidInput):
        validate(paths)


@pytest.mark.parametrize(
    "level", ["0.9", None, [0.9], float("nan"), 10**400, np.array([0.8, 0.9])], ids=lambda value: type(value).__name__
)
def test_a_level_is_a_number(level):
    with pytest.raises(InvalidInput):
        estimate("prompt", model="7b", gpu="a100").at(level)


def test_arrays_that_do_not_go_together_are_said():
    with pytest.raises(InvalidInput, match=r"prompt_tokens \(2,\), output_tokens \(3,\)"):
        serving(model="7b", gpu="a100", prompt_tokens=[1, 2], output_tokens=[1, 2, 3])


@pytest.mark.parametrize("count", [np.float32(2), np.int64(2), 2.0], ids=lambda value: type(value).__name__)
def test_a_count_may_be_of_any_type_of_number_and_is_written(count):
    plain = serving(model="8b", gpu="h100", prompt_tokens=1000, output_tokens=100, gpus=2)
    found = serving(model="8b", gpu="h100", prompt_tokens=1000, output_tokens=100, gpus=count)

    assert rendered(found, "json") == rendered(plain, "json")
