"""Configurations of model classes of `transformers`: as they are by default, odd, and tiny enough to run."""

import json
from typing import Any

from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from estimator.catalog.hf_config import architectures, described

CAUSAL = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
KINDS = [*CAUSAL, *(kind for kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES if kind not in CAUSAL)]
READ = [kind for kind in KINDS if not architectures()[kind].get("refused")]

# What a class needs to be built at all, as its defaults leave it open.
ROPE = {"rope_type": "default", "rope_theta": 1e4}
NEEDED: dict[str, dict[str, Any]] = {
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8, "moe_topk": 2},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "lfm2_moe": {"num_hidden_layers": 4, "layer_types": ["conv", "conv", "full_attention", "conv"]},
    "esm": {"vocab_size": 128, "mask_token_id": 4, "pad_token_id": 0},
    "dbrx": {
        "attn_config": {"kv_n_heads": 4, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 3584, "moe_num_experts": 16, "moe_top_k": 4},
    },
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
}
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
GROUPS = ("num_key_value_heads", "num_kv_heads")

SMALL = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "lru_width", "word_embed_proj_dim"), 64),
    **dict.fromkeys(("attention_hidden_size", "embedding_size", "input_embedding_size", "true_hidden_size"), 64),
    **dict.fromkeys((*HEADS, "attention_heads", "swa_num_attention_heads"), 4),
    **dict.fromkeys((*GROUPS, "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "dim_head", "d_head", "kv_channels", "swa_head_dim", "v_head_dim"), 16),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "dim_ff", "dff", "d_inner", "n_inner", "ffn_hidden_size"), 96),
    **dict.fromkeys(("intermediate_size_mlp", "dense_intermediate_size"), 96),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "max_position_embeddings", "n_positions"), 128),
    **dict.fromkeys(("max_seq_len", "n_ctx"), 128),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    **dict.fromkeys(("moe_shared_expert_intermediate_size", "expert_ffn_hidden_size", "entity_emb_size"), 32),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_groups", "mamba_n_groups"), 1),
    **{"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "qk_head_dim": 24},
    **{"index_n_heads": 2, "index_head_dim": 16, "index_topk": 8, "hc_mult": 2, "o_lora_rank": 16, "o_groups": 2},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_num_heads": 4},
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 16),
    **{"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_num_heads": 8, "mamba_head_dim": 16, "mamba_d_ssm": 128},
    **{"mamba_d_state": 16, "ssm_state_size": 16, "state_size": 16, "mamba_dt_rank": 4, "time_step_rank": 4},
    **dict.fromkeys(("sliding_window", "window_size", "attention_window_size", "attention_chunk_size"), 8),
    **{"sliding_window_size": 8, "hidden_size_per_layer_input": 8, "laurel_rank": 8, "gated_norm_rank": 4, "d_rel": 4},
    **{"rel_extent": 16, "conv_kernel_size": 4, "router_hidden_size": 16, "max_window_layers": 2, "prompt_length": 4},
    **{"adapter_rank": 8, "n_mamba_heads": 2, "mamba_headdim": 64, "attention_head_dim": 32, "num_layers_per_stack": 2},
    **{"intra_bottleneck_size": 64, "rotary_dim": 8},
    **{"entity_vocab_size": 50, "shape_vocab_size": 40, "pronunciation_vocab_size": 40, "pad_token_id": 0},
}  # fmt: skip
RECURRENT = ["linear_attention", "linear_attention", "hybrid", "linear_attention"]
TINY: dict[str, dict[str, Any]] = {
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "zamba2": {
        "num_hidden_layers": 4, "layers_block_type": RECURRENT, "hybrid_layer_ids": [2], "num_key_value_heads": 4,
        "attention_hidden_size": 128,
    },
    "jamba": {"num_hidden_layers": 8},
    "bamba": {"attn_layer_indices": [2]},
    "granitemoehybrid": {"layer_types": ["mamba", "mamba", "attention", "mamba", "mamba", "mamba"]},
    "dots1": {"moe_intermediate_size": 32},
    "doge": {"num_experts": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 3]]},
    "hrm_text": {"num_hidden_layers": 16},
    "glm4_moe_lite": {"head_dim": 8, "num_key_value_heads": 4},
    "zaya": {"num_experts_per_tok": 1},
    "esmc": {"num_key_value_heads": 4},
    "xmod": {"default_language": "en_XX"},
    "convbert": {"conv_kernel_size": 9},
    "nystromformer": {"conv_kernel_size": 65},
    "gemma3n_text": {
        "num_hidden_layers": 10, "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 2,
        "num_kv_shared_layers": 5, "intermediate_size": [96] * 10, "activation_sparsity_pattern": [0.0] * 10,
    },
}  # fmt: skip


def default(kind: str, **changes: Any) -> Any:
    """The configuration of a class, with what it needs."""
    return CONFIG_MAPPING[kind](**{**NEEDED.get(kind, {}), **changes})


def nested(kind: str) -> bool:
    """Whether a class is of several parts."""
    return any(isinstance(part, dict) and part.get("model_type") for part in default(kind).to_dict().values())


def odd(kind: str) -> list[Any]:
    """Two configurations unlike the default: fewer groups, tied otherwise, another depth, windows, lists of layers."""
    base = default(kind).to_dict()
    if nested(kind):
        return []
    heads, groups, layers = (next((key for key in keys if isinstance(base.get(key), int)), "") for keys in KEYS)
    plain: dict[str, Any] = {"vocab_size": 4000, "pad_token_id": 0}
    plain["tie_word_embeddings"] = not base.get("tie_word_embeddings")
    if groups and heads and base[heads] % 2 == 0:
        plain[groups] = base[heads] // 2
    if layers and "layer_types" not in NEEDED.get(kind, {}):
        plain[layers] = 7
    if "num_kv_shared_layers" in base:
        plain["num_kv_shared_layers"] = 0
    listed = dict(plain)
    if isinstance(base.get("layer_types"), list) and plain.get(layers):
        words = sorted(set(base["layer_types"]))
        listed["layer_types"] = [words[i * i % len(words)] for i in range(7)]
    elif "sliding_window" in base:
        listed["sliding_window"] = 256
    if base.get("attention_bias") is False:
        listed["attention_bias"] = True
    return [config for changes in (plain, listed) if (config := _made(kind, changes)) is not None]


KEYS = (HEADS, GROUPS, LAYERS)


def _made(kind: str, changes: dict[str, Any]) -> Any:
    """A configuration, unless its class refuses such."""
    try:
        return default(kind, **changes)
    except Exception:
        return None


def tiny(kind: str) -> Any:
    """A configuration that runs in a moment."""
    base = default(kind).to_dict()
    small = {key: size for key, size in SMALL.items() if isinstance(base.get(key), int) and base[key] is not True}
    small |= {key: 6 for key in LAYERS if isinstance(base.get(key), int)}
    if base.get("kv_lora_rank"):
        small |= {"head_dim": 8, "num_key_value_heads": 4} if "head_dim" in base else {}
    small |= {key: NEEDED[kind][key] for key in NEEDED.get(kind, {}) if key not in SMALL}
    if "layer_types" in NEEDED.get(kind, {}):
        small["num_hidden_layers"] = len(NEEDED[kind]["layer_types"])
    config = CONFIG_MAPPING[kind](**{**small, **TINY.get(kind, {})})
    config._experts_implementation = "eager"
    return config


def built(kind: str, config: Any, **options: Any) -> Any:
    """The model of a configuration."""
    classes = AutoModel if architectures()[kind].get("encoder") else AutoModelForCausalLM
    return classes.from_config(config, **options)


def read(kind: str, config: Any, whole: bool = True) -> Any:
    """Our reading of the config.json that a configuration writes: with all keys, or without its class's defaults."""
    content = json.loads(config.to_json_string(use_diff=not whole))
    return described({**content, "model_type": kind}, kind, kind)
