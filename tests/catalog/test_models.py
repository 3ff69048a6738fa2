"""Names of language models: sizes, presets, Hugging Face ids, config.json files, and what is refused."""

import json
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalog.config_towers import tower_params
from estimator.catalog.files import use_facts
from estimator.catalog.models import architecture, architecture_names, preset
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.formulas.transformer import kv_bytes, params

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
}  # fmt: skip


HEADER = "name,layers,hidden,heads,kv_heads,head_dim,ffn,vocab\n"


def refusal(text):
    """Why a name or file is refused; nothing when its parameters can be counted."""
    try:
        assert params(architecture(text)) > 0
    except EstimatorError as error:
        return str(error)
    return ""


def written(folder, config):
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("7b", "mistral-7b-v0.3"),
        ("7B", "mistral-7b-v0.3"),
        ("7.0b", "mistral-7b-v0.3"),
        ("8b", "llama-3.1-8b"),
        ("13b", "llama-2-13b"),
        ("32b", "qwen2.5-32b"),
        ("70b", "llama-3.1-70b"),
        ("70 b", "llama-3.1-70b"),
        ("llama-3.1-8b", "llama-3.1-8b"),
        ("Llama 3.1 8B", "llama-3.1-8b"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-8B", "llama-3.1-8b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b"),
        ("google/gemma-2-9b-it", "gemma-2-9b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("mixtral", "mixtral-8x7b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("qwen2-7b", "qwen2-7b"),
        ("Qwen/Qwen2-7B-Instruct", "qwen2-7b"),
        ("qwen1.5-14b", "qwen1.5-14b"),
        ("lmsys/vicuna-7b-v1.5", "vicuna-7b"),
        ("HuggingFaceH4/zephyr-7b-beta", "zephyr-7b-beta"),
        ("01-ai/Yi-34B-Chat", "yi-34b"),
        ("glm-4-9b", "glm-4-9b"),
        ("glm-4.5-air", "glm-4.5-air"),
        ("baichuan2-13b", "baichuan2-13b"),
        ("deepseek-ai/deepseek-coder-33b-instruct", "deepseek-coder-33b"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2-thinking"),
        ("olmo-3", "olmo-3-7b"),
        ("Qwen/Qwen3-8B-Base", "qwen3-8b"),
    ],
)
def test_names_people_type(text, name):
    assert architecture(text).name == name


@pytest.mark.parametrize(
    ("text", "name", "layers", "head"),
    [
        ("Qwen/Qwen3-14B-AWQ", "qwen3-14b", "awq", "bf16"),
        ("Qwen/Qwen3-14B-FP8", "qwen3-14b", "fp8", "bf16"),
        ("qwen3-14b-gptq-int4", "qwen3-14b", "gptq", "bf16"),
        ("qwen3-14b-gptq-int8", "qwen3-14b", "int8-g128", "bf16"),
        ("qwen3-14b:Q4_K_M", "qwen3-14b", "q4_k_m", "q4_k_m"),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q5_K_M", "llama-3.1-8b", "q5_k_m", "q5_k_m"),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "llama-3.1-8b", "q4_k_m", "q4_k_m"),
        ("mlx-community/Qwen3-14B-4bit", "qwen3-14b", "mlx-q4", "mlx-q4"),
        ("unsloth/Llama-3.3-70B-Instruct-bnb-4bit", "llama-3.3-70b", "nf4", "bf16"),
        ("RedHatAI/Llama-3.1-8B-Instruct-quantized.w4a16", "llama-3.1-8b", "int4", "bf16"),
        ("RedHatAI/Meta-Llama-3.1-70B-Instruct-FP8-dynamic", "llama-3.1-70b", "fp8", "bf16"),
        ("llama3.1:8b-instruct-q8_0", "llama-3.1-8b", "q8_0", "q8_0"),
    ],
)
def test_a_name_may_say_the_format(text, name, layers, head):
    found = architecture(text)

    assert (found.name, found.published.attention, found.published.head) == (name, layers, head)
    assert "stored as" in found.note


@pytest.mark.parametrize("text", ["20m", "100m", "350m", "1b", "1.5b", "3.5b", "12b", "34b", "65b", "130b", "1.5t"])
def test_other_sizes_are_scaled_and_assumed(text):
    arch = architecture(text)

    assert params(arch) == pytest.approx(float(text[:-1]) * {"m": 1e6, "b": 1e9, "t": 1e12}[text[-1]], rel=0.02)
    assert arch.basis == "assumed"
    assert "scaled" in arch.note
    assert arch.heads % arch.kv_heads == 0
    assert arch.hidden == arch.heads * arch.head_dim


@settings(max_examples=60, deadline=None)
@given(st.floats(0.03, 10_000).map(lambda billions: f"{billions:.4g}b"))
def test_any_size_comes_out_as_asked(text):
    if float(text[:-1]) in (7, 8, 13, 14, 32, 70, 72, 175, 671):
        return
    assert params(architecture(text)) == pytest.approx(float(text[:-1]) * 1e9, rel=0.03)


def test_a_bare_size_says_what_it_stands_for():
    assert "stands for mistral-7b-v0.3" in architecture("7b").note
    assert architecture("7b").basis == "published"
    assert params(architecture("7b")) == params(preset("mistral-7b-v0.3"))


def test_size_preset_and_config_agree(tmp_path):
    config = written(tmp_path, LLAMA)

    by_size, by_name, by_file = architecture("8b"), architecture("llama-3.1-8b"), architecture(config)

    assert params(by_size) == params(by_name) == params(by_file)
    assert kv_bytes(by_size, 1) == kv_bytes(by_name, 1) == kv_bytes(by_file, 1) == 128 * 1024
    assert architecture(str(tmp_path)).layers == 32


BAD_NAMES = [
    "", " ", "x", "7", "llama", "llama-3.1-9b", "qwen2-57b", "0b", "-7b", "nanb", "infb", "900000b", "1e400b",
    "0.000001b", "1m", "100t", "7bb", "b", "seven b", "/nowhere/config.json", "./nothing", "~/no/config.json",
    "nope.json", "a" * 10_000, "\0", "7b\0", "meta-llama/", "None", "../../etc/passwd", "{}",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_bad_names_get_one_helpful_line(text):
    with pytest.raises(InvalidInput) as caught:
        architecture(text)
    assert "\n" not in str(caught.value)
    assert 20 < len(str(caught.value)) < 500


BAD_CONFIGS = {
    "not json": ("{", "not JSON"),
    "empty": ("", "not JSON"),
    "a list": ("[]", "must hold a JSON object"),
    "a number": ("7", "must hold a JSON object"),
    "no type": ({**LLAMA, "model_type": None}, "lacks model_type"),
    "unknown type": ({**LLAMA, "model_type": "wave", "num_key_value_heads": None}, "'wave' is not known, .* kv_heads"),
    "unknown layers": ({**LLAMA, "model_type": "wave", "ssm_size": 16}, "'wave' is not known, and ssm_size"),
    "no relabelling": ({"model_type": "llamas"}, "estimator catalog architectures"),
    "encoder-decoder": ({**LLAMA, "model_type": "bart"}, "encoder-decoder"),
    "type is a list": ({**LLAMA, "model_type": ["llama"]}, "model_type must be a word"),
    "no layers": ({**LLAMA, "num_hidden_layers": None}, "lacks num_hidden_layers"),
    "no vocabulary": ({**LLAMA, "vocab_size": None}, "lacks vocab_size"),
    "no width": ({**LLAMA, "intermediate_size": None}, "lacks intermediate_size"),
    "heads do not divide": (
        {**LLAMA, "num_attention_heads": 33, "num_key_value_heads": 33},
        "does not divide into 33 heads",
    ),
    "kv heads do not divide": ({**LLAMA, "num_key_value_heads": 5}, "cannot share 5 kv_heads"),
    "zero heads": ({**LLAMA, "num_attention_heads": 0}, "at least 1"),
    "zero kv heads": ({**LLAMA, "num_key_value_heads": 0}, "kv_heads must be a whole number"),
    "negative": ({**LLAMA, "hidden_size": -4096}, "at least 1"),
    "absurd layers": ({**LLAMA, "num_hidden_layers": 10**9}, "layers must be a whole number"),
    "absurd vocabulary": ({**LLAMA, "vocab_size": 10**30}, "vocab_size is larger than any size"),
    "absurd in all": (
        {**LLAMA, "hidden_size": 10**6, "intermediate_size": 10**7, "num_hidden_layers": 9999},
        "parameters are more",
    ),
    "text for a number": ({**LLAMA, "hidden_size": "4096"}, "must be a whole number, not '4096'"),
    "a list for a number": ({**LLAMA, "num_key_value_heads": [8, 8]}, "must be a whole number"),
    "a fraction": ({**LLAMA, "num_hidden_layers": 32.5}, "must be a whole number, not 32.5"),
    "true": ({**LLAMA, "num_hidden_layers": True}, "must be a whole number, not True"),
    "nan": (json.dumps({**LLAMA, "hidden_size": float("nan")}), "holds NaN"),
    "infinity": (json.dumps({**LLAMA, "hidden_size": float("inf")}), "holds Infinity"),
    "overflow": (json.dumps(LLAMA).replace("4096", "1e999"), "must be a whole number, not inf"),
    "many digits": (json.dumps(LLAMA).replace("4096", "9" * 5000), "not JSON"),
    "nested": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "huge": (json.dumps({**LLAMA, "junk": "x" * 1_000_001}), "larger than 1 MB"),
    "text_config is a list": ({**LLAMA, "text_config": [1]}, "text_config must be an object"),
    "more visits than experts": (
        {**LLAMA, "model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 8},
        "cannot visit",
    ),
    "latent attention without rank": (
        {**LLAMA, "model_type": "deepseek_v3", "kv_lora_rank": None},
        "lacks kv_lora_rank",
    ),
    "latent attention without sizes": (
        {**LLAMA, "model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_nope_head_dim": None},
        "lacks qk_nope_head_dim",
    ),
    "strange layers": ({**LLAMA, "model_type": "gpt_oss", "layer_types": ["linear_attention"] * 32}, "layer_types"),
    "too few layer types": ({**LLAMA, "model_type": "gpt_oss", "layer_types": ["full_attention"]}, "layer_types"),
    "zero window": ({**LLAMA, "model_type": "mistral", "sliding_window": 0}, "sliding_window must be a whole number"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configs_get_one_helpful_line(case, tmp_path):
    config, message = BAD_CONFIGS[case]
    path = written(tmp_path, config)

    with pytest.raises(InvalidInput, match=message) as caught:
        architecture(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_size_in_quotes_is_not_written_out_thousands_of_times(tmp_path):
    shipped = files("estimator") / "presets/configs/granite-4.0-h-micro.json"
    path = written(tmp_path, json.loads(shipped.read_text(encoding="utf-8")) | {"mamba_expand": "5"})

    with pytest.raises(InvalidInput, match="larger than any size"):
        architecture(path)


def test_files_that_are_no_files(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not text in UTF-8"):
        architecture(str(tmp_path))
    (tmp_path / "sub").mkdir()
    with pytest.raises(InvalidInput, match="no file"):
        architecture(str(tmp_path / "sub"))


def test_vision_models_are_read_for_their_text(tmp_path):
    nested = {"model_type": "gemma3", "vision_config": {}, "text_config": {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
        "sliding_window": 1024,
    }}  # fmt: skip

    arch = architecture(written(tmp_path, nested))

    assert params(arch) == pytest.approx(params(preset("gemma-3-4b")), rel=1e-3)
    assert (arch.sliding_window, arch.global_layers, arch.tied_embeddings) == (1024, 5, True)
    assert "vision tower is not counted" in arch.note


@pytest.mark.parametrize("key", ["out_hidden_size", "hidden_size", "mlp_ratio", "patch_size", "spatial_merge_size"])
@pytest.mark.parametrize("absurd", [1e308, 10**400, float("inf"), float("nan")])
def test_a_tower_of_absurd_sizes_is_no_overflow(key, absurd):
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14, "spatial_merge_size": 2}

    found = tower_params(sizes | {key: absurd}, 4096, gated=False)

    assert found is None or 0 < found < 1e9


def test_shared_experts_are_counted_in_routed_ones(tmp_path):
    config = {
        **LLAMA,
        "model_type": "qwen2_moe",
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
    }

    assert architecture(written(tmp_path, config)).experts.shared == 4


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.from_regex(r"[-+]?[0-9.e]{0,6} ?[mbtk]?", fullmatch=True)))
def test_no_text_breaks_the_reader(text):
    assert "\n" not in refusal(text)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10, 10**7), st.floats(allow_nan=True), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
TYPES = ["llama", "mixtral", "falcon", "deepseek_v3", "gemma3_text", "mpt", "llama4_text", "bert", "qwen2", "gpt_oss"]
FIELDS = [*LLAMA, "attn_config", "sliding_window", "layer_types", "kv_lora_rank", "mlp_only_layers", "text_config",
          "expansion_ratio", "sliding_window_pattern", "max_window_layers", "use_sliding_window", "head_dim",
          "num_experts", "tie_word_embeddings", "attention_bias", "shared_expert_intermediate_size"]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_no_config_breaks_the_reader(tmp_path_factory, kind, changes):
    path = written(tmp_path_factory.mktemp("config"), {**LLAMA, "model_type": kind, **changes})
    assert "\n" not in refusal(path)


def test_own_llms_come_first(tmp_path):
    (tmp_path / "llms.csv").write_text(HEADER + "ours,2,256,4,2,64,512,1000\nllama-3.1-8b,1,64,1,1,64,64,64\n")
    use_facts(tmp_path)
    try:
        assert architecture("ours").layers == 2
        assert architecture("meta-llama/Llama-3.1-8B").layers == 1
        assert architecture("llama-3.1-8b").layers == 1
        assert "qwen3-8b" in architecture_names()
    finally:
        use_facts(None)
    with pytest.raises(UnknownName):
        architecture("ours")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("name,layers\nours,2\n", "lacks the column 'hidden'"),
        (HEADER + "ours,,256,4,2,64,512,1000\n", "layers is empty"),
        (HEADER + "ours,two,256,4,2,64,512,1000\n", "must be a number, not 'two'"),
        (HEADER + "ours,2,256,4,3,64,512,1000\n", "cannot share 3 kv_heads"),
        (HEADER + "ours,-2,256,4,2,64,512,1000\n", "layers must be a whole number"),
        (HEADER + "ours,2,256,4,2,64,512,1000,9,9\n", "more cells than its header"),
    ],
)
def test_a_broken_list_says_what_is_wrong(tmp_path, rows, message):
    (tmp_path / "llms.csv").write_text(rows)
    use_facts(tmp_path)
    try:
        with pytest.raises(InvalidInput, match=message):
            architecture("ours")
    finally:
        use_facts(None)
