"""Formats of checkpoints as their config.json state them, and the sizes that published checkpoints have."""

import json

import pytest

from estimator.catalog.accelerators import accelerator
from estimator.catalog.files import rows
from estimator.catalog.formats import formats, shown, stored, stored_bytes, weights
from estimator.catalog.models import architecture, architecture_names
from estimator.catalog.precisions import precision
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas.transformer import params
from estimator.formulas.weight_classes import weight_counts
from estimator.paths import presets
from estimator.predict.serving import smallest_fit
from estimator.predict.serving_machine import ServingPlan

QWEN = {
    "model_type": "qwen3", "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40, "head_dim": 128,
    "num_key_value_heads": 8, "intermediate_size": 17408, "vocab_size": 151936, "max_position_embeddings": 40960,
}  # fmt: skip
MOE = QWEN | {"model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
TENSORS = {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}}


def group(targets, **weights_kept):
    return {"group_0": {"targets": targets, "weights": weights_kept}}


@pytest.fixture
def read(tmp_path):
    def reading(config, **quantised):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config | quantised))
        return architecture(str(path))

    return reading


@pytest.mark.parametrize(
    ("quantisation", "layers", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "awq", 4.15625),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "gptq", 4.15625),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4-g32", 4.625),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8-wo", 8.0),
        ({"quant_method": "auto-round", "bits": 2, "group_size": 64}, "int2-g64", 2.3125),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8-bnb", 8.0),
        ({"quant_method": "bitsandbytes", "_load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "nf4", 4.127),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4-plain", 4.5),
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}, "fp8", 8.0),
        ({"quant_method": "fbgemm_fp8"}, "fp8", 8.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, "nvfp4", 4.5),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", 8.0),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": ["Linear"], **TENSORS}},
             "ignore": ["lm_head"]}, "int4-g32-sym", 4.5,
        ),
        (
            {"quant_method": "compressed-tensors", "ignore": ["lm_head"],
             "config_groups": group(["Linear"], num_bits=8, type="float", strategy="channel")}, "fp8", 8.0,
        ),
        ({"bits": 4, "group_size": 64}, "mlx-q4", 4.5),
        ({"bits": 6, "group_size": 32, "mode": "affine"}, "mlx-q6-g32", 7.0),
    ],
)  # fmt: skip
def test_methods_are_read(read, quantisation, layers, bits):
    found = read(QWEN, quantization_config=quantisation).published

    assert (found.attention, found.feed_forward) == (layers, layers)
    assert precision(found.attention).bits == pytest.approx(bits)
    assert found.rest == (layers if layers.startswith("mlx") else "bf16")
    assert (found.head == layers) == layers.startswith("mlx")


def test_ignored_modules_stay_wide(read):
    everything = group(["Linear"], num_bits=8, type="float")
    kept = ["lm_head", "re:.*self_attn.*", "re:.*mlp.gate$", "model.layers.0.mlp.experts.0.gate_proj"]
    found = read(MOE, quantization_config={"config_groups": everything, "ignore": kept}).published

    assert (found.attention, found.head) == ("bf16", "bf16")
    assert precision(found.experts).bits == pytest.approx(8 + 8 / 80)  # one of 80 kinds of products


@pytest.mark.parametrize(
    "entry",
    ["model.layers.*.self_attn", "model.layers.*.self_attn*", "self_attn", "re:.*self_attn", "*self_attn*"],
)
def test_attention_may_be_left_out_in_many_spellings(read, entry):
    left = read(QWEN, quantization_config={"quant_method": "fp8", "modules_to_not_convert": [entry, "lm_head"]})

    assert (left.published.attention, left.published.feed_forward) == ("bf16", "fp8")


def test_whole_layers_left_out_are_a_share(read):
    names = [f"model.layers.{layer}" for layer in (0, 1, 38, 39)]
    found = read(QWEN, quantization_config={"quant_method": "fp8", "modules_to_not_convert": names}).published

    assert precision(found.feed_forward).bits == pytest.approx(8 * 0.9 + 16 * 0.1)


def test_targets_choose_their_group(read):
    groups = group(["re:.*experts.*"], num_bits=4, type="float", group_size=16)
    groups["group_1"] = {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float"}}
    found = read(MOE, quantization_config={"quant_method": "compressed-tensors", "config_groups": groups}).published

    assert (found.experts, found.attention, found.head) == ("nvfp4", "fp8", "bf16")


@pytest.mark.parametrize(("dtype", "stored_in"), [("float16", "fp16"), ("bfloat16", "bf16"), ("float32", "fp32")])
def test_a_plain_checkpoint_is_of_its_dtype(read, dtype, stored_in):
    assert set(read(QWEN, torch_dtype=dtype).published) == {stored_in}
    assert set(read(QWEN, dtype=dtype).published) == {stored_in}
    assert set(stored(read(QWEN, dtype=dtype))) == {"bf16" if stored_in == "fp32" else stored_in}


@pytest.mark.parametrize(
    ("quantisation", "says"),
    [
        ({"quant_method": "vptq"}, "'vptq' is not known. Known: awq"),
        ({"quant_method": "gptq", "bits": "four"}, "bits of quantization_config must be a whole number"),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": {}}}, "lacks weights"),
        ({"quant_method": "modelopt", "quant_algo": "W2A2"}, "of modelopt is not known"),
    ],
)
def test_what_is_not_known_is_said(read, quantisation, says):
    with pytest.raises(InvalidInput, match=r"known|number|lacks") as caught:
        read(QWEN, quantization_config=quantisation)
    assert says in str(caught.value)


def test_an_unknown_class_is_refused():
    with pytest.raises(UnknownName, match="experts"):
        formats("fp8: expert")


@pytest.mark.parametrize("name", architecture_names())
def test_classes_sum_to_all_parameters(name):
    counts = weight_counts(architecture(name))

    assert sum(counts) == params(architecture(name))
    assert min(counts) >= 0


def test_what_one_format_for_all_layers_takes():
    llm = architecture("8b")

    assert sum(stored_bytes(llm, weights(llm, "q4_k_m"))) == pytest.approx(params(llm) * 4.85 / 8, rel=1e-6)
    assert sum(stored_bytes(llm, weights(llm, "mlx-4bit"))) == pytest.approx(params(llm) * 4.5 / 8, rel=1e-6)
    assert shown(llm, "awq") == "awq (layers), bf16 (all else)"


def test_naming_the_published_format_means_the_published_checkpoint():
    llm = architecture("gpt-oss-120b")

    assert weights(llm, "mxfp4") == weights(llm)
    assert weights(llm, "MXFP4").attention.bits == 16
    assert weights(llm, "bf16").experts.bits == 16


@pytest.mark.parametrize(
    ("llm", "engine", "gib"),
    [
        ("gpt-oss-20b", "llama.cpp", 11.27),  # llama-bench in llama.cpp, discussion 15396
        ("gpt-oss-120b", "llama.cpp", 59.02),  # and 16578
        ("gpt-oss-120b", "ollama", 60.87),  # 61,223 + 1,104 MiB in ollama, issue 16416
    ],
)
def test_an_engines_own_files_are_as_large_as_it_prints(llm, engine, gib):
    found = architecture(llm)
    held = sum(stored_bytes(found, ServingPlan(engine=engine).held(found)))

    assert held / 2**30 == pytest.approx(gib, rel=0.002)


def test_files_of_an_engine_narrow_nothing_but_what_lies_beside_packed_experts():
    for name in ("8b", "deepseek-r1", "mixtral-8x7b"):
        llm = architecture(name)
        for said in ("as published", "bf16", "awq"):
            assert stored(llm, said, "q8_0") == stored(llm, said)


@pytest.mark.parametrize(("llm", "gpu", "count"), [("gpt-oss-120b", "h100", 1), ("deepseek-r1", "h200", 8)])
def test_what_is_published_narrow_needs_few_accelerators(llm, gpu, count):
    assert smallest_fit(architecture(llm), accelerator(gpu), ServingPlan(), context_tokens=32_768) == count


def test_a_quantised_14b_serves_its_context_on_a_desktop_card(read):
    llm = read(QWEN, quantization_config={"quant_method": "awq", "bits": 4, "group_size": 128})

    assert smallest_fit(llm, accelerator("rtx-4090"), ServingPlan(), context_tokens=40_960) == 1
    assert smallest_fit(read(QWEN), accelerator("rtx-4090"), ServingPlan(), context_tokens=40_960) > 1


CHECKPOINTS = rows(presets() / "checkpoints.csv")


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: f"{row['llm']}-{row['format'] or 'published'}")
def test_weights_are_as_large_as_the_published_checkpoint(row):
    llm = architecture(row["llm"])
    found = weights(llm, row["format"]) if row["format"] else [precision(name) for name in llm.published]
    held = sum(stored_bytes(llm, found)) + float(row["not_counted_bytes"] or 0)

    assert held == pytest.approx(float(row["bytes"]), rel=0.01), row["source"]


def test_many_checkpoints_are_cited():
    assert len({row["llm"] for row in CHECKPOINTS}) >= 15
    assert all(row["source"] for row in CHECKPOINTS)
