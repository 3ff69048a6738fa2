"""Our presets against `transformers`: the same configuration, built on the meta device, has as many parameters.

Nothing is downloaded: each configuration is made from our preset, and read back from the config.json it writes.
"""

import pytest

from estimator.catalog.hf_config import read_config
from estimator.catalog.models import preset
from estimator.formulas.transformer import params

transformers = pytest.importorskip("transformers", reason="needs the extra 'dev'")
torch = pytest.importorskip("torch", reason="needs the extra 'measure'")


def common(arch):
    return {
        "hidden_size": arch.hidden,
        "num_hidden_layers": arch.layers,
        "num_attention_heads": arch.heads,
        "num_key_value_heads": arch.kv_heads,
        "intermediate_size": arch.ffn,
        "vocab_size": arch.vocab,
        "max_position_embeddings": arch.max_context,
        "tie_word_embeddings": arch.tied_embeddings,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def gpt2(arch):
    return {
        "n_embd": arch.hidden, "n_layer": arch.layers, "n_head": arch.heads, "vocab_size": arch.vocab,
        "n_positions": arch.max_context,
    }  # fmt: skip


def with_head_dim(arch):
    return common(arch) | {"head_dim": arch.head_dim}


def windowed(arch):
    full = arch.full_attention_layers
    types = ["full_attention"] * full + ["sliding_attention"] * (arch.layers - full)
    return with_head_dim(arch) | {"sliding_window": arch.sliding_window, "layer_types": types}


def moe(arch, experts="num_experts", ffn="moe_intermediate_size"):
    return with_head_dim(arch) | {
        experts: arch.experts.experts, "num_experts_per_tok": arch.experts.per_token, ffn: arch.experts.ffn
    }  # fmt: skip


def mla(arch):
    latent = arch.latent._asdict()
    return common(arch) | moe(arch, "n_routed_experts") | latent | {
        "q_lora_rank": arch.latent.q_lora_rank or None,
        "head_dim": arch.latent.qk_rope_head_dim,
        "n_shared_experts": arch.experts.shared,
        "first_k_dense_replace": arch.experts.first_dense_layers,
    }  # fmt: skip


def gpt_oss(arch):
    return windowed(arch) | moe(arch, "num_local_experts", "intermediate_size")


def llama4(arch):
    full = arch.full_attention_layers
    types = ["full_attention"] * full + ["chunked_attention"] * (arch.layers - full)
    return moe(arch, "num_local_experts", "intermediate_size") | {
        "intermediate_size_mlp": arch.ffn,
        "interleave_moe_layer_step": arch.experts.layer_every,
        "attention_chunk_size": arch.sliding_window,
        "layer_types": types,
    }


def falcon(arch):
    return common(arch) | {"new_decoder_architecture": arch.kv_heads > 1, "num_kv_heads": arch.kv_heads}


def opt(arch):
    return common(arch) | {"ffn_dim": arch.ffn, "word_embed_proj_dim": arch.hidden}


def bert(arch, padded=0):
    return common(arch) | {"max_position_embeddings": arch.max_context + padded}


def roberta(arch):
    return bert(arch, 2) | {"type_vocab_size": 1}


CASES = [
    ("llama-2-7b", "llama", common),
    ("llama-3.1-8b", "llama", common),
    ("llama-3.2-1b", "llama", with_head_dim),
    ("mistral-7b-v0.1", "mistral", lambda arch: common(arch) | {"sliding_window": arch.sliding_window}),
    ("mistral-7b-v0.3", "mistral", lambda arch: common(arch) | {"sliding_window": None}),
    ("mixtral-8x7b", "mixtral", lambda arch: moe(arch, "num_local_experts", "intermediate_size")),
    ("qwen2.5-7b", "qwen2", common),
    ("qwen3-8b", "qwen3", with_head_dim),
    ("qwen3-30b-a3b", "qwen3_moe", moe),
    ("olmo-2-7b", "olmo2", common),
    ("gemma-7b", "gemma", with_head_dim),
    ("gemma-2-9b", "gemma2", windowed),
    ("gemma-3-4b", "gemma3_text", windowed),
    ("phi-2", "phi", common),
    ("phi-4", "phi3", common),
    ("smollm3-3b", "smollm3", common),
    ("deepseek-v2-lite", "deepseek_v2", mla),
    ("deepseek-v3", "deepseek_v3", mla),
    ("gpt-oss-20b", "gpt_oss", gpt_oss),
    ("llama-4-scout", "llama4_text", llama4),
    ("llama-4-maverick", "llama4_text", llama4),
    ("gpt2-xl", "gpt2", gpt2),
    ("opt-6.7b", "opt", opt),
    ("bloom-7b1", "bloom", lambda arch: common(arch) | {"n_layer": arch.layers, "n_head": arch.heads}),
    ("falcon-7b", "falcon", falcon),
    ("falcon-40b", "falcon", falcon),
    ("gpt-neox-20b", "gpt_neox", common),
    ("bge-large-en-v1.5", "bert", bert),
    ("bge-m3", "xlm-roberta", roberta),
    ("all-mpnet-base-v2", "mpnet", lambda arch: bert(arch) | {"max_position_embeddings": 514}),
]

SHAPE = [
    "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_mlp", "kind", "max_context",
    "sliding_window", "global_layers", "experts", "latent", "norm_bias", "qkv_bias", "out_bias", "mlp_bias", "qk_norm",
    "norms_per_layer", "learned_positions", "tied_embeddings",
]  # fmt: skip
# MPNet's positions also count rows for padding.
EXCEPT = {"all-mpnet-base-v2": {"max_context"}}


def built(kind, config):
    classes = transformers.AutoModel if kind in ("bert", "xlm-roberta", "mpnet") else transformers.AutoModelForCausalLM
    with torch.device("meta"):
        return classes.from_config(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "kind", "kwargs"), CASES, ids=[case[0] for case in CASES])
def test_a_preset_builds_as_many_parameters_and_reads_back(name, kind, kwargs, tmp_path):
    arch = preset(name)
    config = transformers.CONFIG_MAPPING[kind](**kwargs(arch))
    config.save_pretrained(tmp_path)

    read = read_config(tmp_path / "config.json")

    counted = sum(weight.numel() for weight in built(kind, config).parameters())
    assert params(arch) == pytest.approx(counted, rel=1e-3)
    assert params(read) == pytest.approx(counted, rel=1e-3)
    for field in set(SHAPE) - EXCEPT.get(name, set()):
        assert getattr(read, field) == getattr(arch, field), field
