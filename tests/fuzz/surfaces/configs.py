"""config.json of a language model, with values of wrong kinds, absurd sizes, and layers that cannot be."""

import json
import random
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from estimator.paths import presets
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 60
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
}
MIXTURE = LLAMA | {
    "model_type": "qwen3_moe",
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "mlp_only_layers": [],
    "decoder_sparse_step": 1,
    "head_dim": 128,
}
LATENT = LLAMA | {
    "model_type": "deepseek_v3",
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 64,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1408,
    "n_shared_experts": 2,
    "first_k_dense_replace": 3,
}
WINDOWED = LLAMA | {"model_type": "gemma3_text", "sliding_window": 1024, "sliding_window_pattern": 6, "head_dim": 256}
LAYERED = LLAMA | {
    "model_type": "qwen3",
    "layer_types": ["full_attention"] * 32,
    "use_sliding_window": True,
    "sliding_window": 99,
}
SCANNED = {
    "model_type": "mamba",
    "hidden_size": 2560,
    "num_hidden_layers": 64,
    "vocab_size": 50280,
    "state_size": 16,
    "conv_kernel": 4,
    "time_step_rank": 160,
    "intermediate_size": 5120,
}
BASES = (LLAMA, MIXTURE, LATENT, WINDOWED, LAYERED, SCANNED, {"text_config": LLAMA, "model_type": "llava"})
QUANTIZED: tuple[dict[str, Any], ...] = (
    {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
    {"quant_method": "fp8", "weight_block_size": [128, 128], "ignored_layers": ["re:.*mlp.*"]},
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["model.layers.0*"]},
    {
        "quant_method": "compressed-tensors",
        "ignore": ["lm_head", "re:.*self_attn.*"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True},
                "input_activations": None,
            }
        },
    },
    {"bits": 4, "group_size": 64, "mode": "affine"},
)
EXPRESSIONS = ("re:(", "re:(.+)+!", "re:(.*)*(.*)*x", "re:(?P<a>.)(?P=a)", "[", "*" * 40 + "x", "a" * 5_000, "re:", "")
WRONG: tuple[Any, ...] = (
    *(
        5,
        0,
        -1,
        1.5,
        24.7,
        1e19,
        1e308,
        10**30,
        "5",
        "x",
        "",
        "1_0",
        "٣",
        None,
        True,
        False,
        [],
        [5],
        {},
        {"a": 1},
        [None],
        [[]],
    ),
    *(
        ["full_attention"],
        ["x"],
        [1, 2],
        "\ud800",
        "a" * 2_000,
        float("nan"),
        float("inf"),
        2**63,
        -(2**63),
        [0, 1, "2"],
    ),
)
TEXTS = (
    *(b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"{}", b'{"a": NaN}', b"[" * 100_000),
    *(
        b'{"model_type": "llama", "model_type": 5}',
        b'{"text_config": []}',
        b'{"text_config": {"text_config": {}}}',
        b"{}{}",
    ),
    *(
        b'{"a": ' * 50_000 + b"1",
        b'{"model_type": ["llama"]}',
        b'{"model_type": null}',
        b'{"vocab_size": ' + b"9" * 5_000 + b"}",
    ),
)


def draw(rng: random.Random, index: int) -> Trial:
    """A good config with one to three values made bad, at any depth; every 6th no config at all."""
    if index % 12 == 0:
        return _asked({**MIXTURE, "mlp_only_layers": 5}, "mlp_only_layers: 5", "mlp_only_layers = 5")
    if index % 12 == 2:
        return _asked(BASES[index // 12 % len(BASES)], "plain config", "as its maker writes it", wants=0)
    if index % 6 == 1:
        return _raw(rng.choice(TEXTS))
    base: dict[str, Any] = json.loads(json.dumps(rng.choice(shipped() if index % 2 else BASES)))
    hostile = base
    if index % 6 == 4:
        hostile = json.loads(json.dumps(rng.choice(QUANTIZED)))
        base["quantization" if "mode" in hostile else "quantization_config"] = hostile
    changes = [_changed(rng, hostile) for _ in range(rng.choice((1, 1, 2, 3)))]
    kind = "random config" if hostile is base else "random quantization_config"
    return _asked(base, kind, f"{base.get('model_type')!r} with {', '.join(changes)}"[:300])


@cache
def shipped() -> list[dict[str, Any]]:
    """Configs of layers of many kinds, as they are shipped."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((presets() / "configs").glob("*.json"))]


def _changed(rng: random.Random, thing: Any, path: str = "") -> str:
    """One value somewhere in plain data made bad or left out; what was done."""
    places = [*thing] if isinstance(thing, dict) else [*range(len(thing))]
    if not places:
        return f"{path or 'it'} as it was"
    place = rng.choice(places)
    inner, shown = thing[place], f"{path}.{place}".lstrip(".")
    if isinstance(inner, dict | list) and rng.random() < 0.6:
        return _changed(rng, inner, shown)
    if rng.random() < 0.1:
        del thing[place]
        return f"{shown} left out"
    of_text = isinstance(inner, str) and rng.random() < 0.4
    thing[place] = deepcopy(rng.choice(EXPRESSIONS) if of_text else rng.choice(WRONG))  # which may be changed in turn
    return f"{shown} = {thing[place]!r}"


def _asked(config: dict[str, Any], kind: str, files: str, wants: int | None = None) -> Trial:
    Path("config.json").write_text(json.dumps(config))
    return command(kind, ("compare", "--model", "config.json", "--gpu", "8xa100", "--format", "json"), files, wants)


def _raw(text: bytes) -> Trial:
    Path("config.json").write_bytes(text)
    words = ("layout", "serve", "--model", ".", "--gpu", "8xa100")
    return command("no config", words, f"config.json: {text[:60]!r} ({len(text):,} bytes)", wants=2)
