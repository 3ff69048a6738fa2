"""The shape of a language model read from a Hugging Face config.json.

A config names sizes; biases, norms and ties are habits of its `model_type` (presets/model_types.toml).
A type that is not listed there is refused rather than guessed.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from estimator.catalog.files import Content, cached, table
from estimator.catalog.published_format import published
from estimator.catalog.shapes import checked
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import read_text
from estimator.paths import presets
from estimator.records import Architecture, Experts, LatentAttention, Source

Config = Mapping[str, Any]

REMEDY = "Or add its shape to an llms.csv of your own (--facts, see hardware/README.md)."

# The same size under the names different model classes give it.
NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim"),
    "vocab": ("vocab_size",),
    "max_context": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "per_token": ("num_experts_per_tok", "experts_per_token"),
    "expert_ffn": ("moe_intermediate_size", "intermediate_size"),
    "first_dense": ("first_k_dense_replace",),
    "layer_every": ("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step"),
}


def read_config(path: Path) -> Architecture:
    """The shape a config.json describes; InvalidInput in one line when it is not one, or contradicts itself."""
    shown = clipped(str(path), 120)
    whole = _load(path, shown)
    text = whole.get("text_config") or whole.get("llm_config") or whole
    if not isinstance(text, dict):
        raise InvalidInput(f"{shown}: text_config must be an object, not {clipped(text)}")
    kind = text.get("model_type", whole.get("model_type"))
    if kind is None:
        raise InvalidInput(f"{shown} lacks model_type: it is not a config.json of a language model")
    if not isinstance(kind, str) or kind not in _families():
        raise UnknownName("model_type", str(kind), _families(), f"It stands in {shown}. {REMEDY}")
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    reader = _Reader({**text, "tie_word_embeddings": _tie(text, whole)}, kind, shown)
    note = (
        "the text part only, without its vision or audio tower" if text is not whole or "vision_config" in whole else ""
    )
    arch = checked(reader.architecture(name or kind, note), shown)
    return replace(arch, published=published(whole, arch, shown))


@cached
def _families() -> dict[str, Config]:
    return table(presets() / "model_types.toml")


def model_types() -> frozenset[str]:
    """The model types whose habits are known."""
    return frozenset(_families())


def _tie(text: Config, whole: Config) -> Any:
    own = text.get("tie_word_embeddings")
    return whole.get("tie_word_embeddings") if own is None else own


def _load(path: Path, shown: str) -> Content:
    def refuse(constant: str) -> NoReturn:
        raise InvalidInput(f"{shown} holds {constant}, which is not a size")

    if not os.path.lexists(path):
        raise InvalidInput(f"no file {shown}. Give the path of a config.json or of the folder that holds it.")
    text = read_text(path, "config")
    try:
        content = json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise InvalidInput(f"{shown} is nested too deeply: it is not a config.json") from None
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"{shown} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{shown} must hold a JSON object")
    return content


class _Reader:
    """One config with the habits of its family."""

    def __init__(self, config: Config, kind: str, shown: str) -> None:
        self.config, self.kind, self.shown = config, kind, shown
        self.habits = _families()[kind]

    def architecture(self, name: str, note: str) -> Architecture:
        layers, hidden, heads = self.needed("layers"), self.needed("hidden"), self.needed("heads")
        for field, value in (("layers", layers), ("hidden", hidden), ("heads", heads)):
            if value < 1:
                raise InvalidInput(f"{self.shown}: {NAMES[field][0]} must be at least 1, not {value}")
        latent = self.latent()
        window, global_layers = self.window(layers)
        bias = bool(self.flag("bias", self.habits.get("bias", False)))
        return Architecture(
            name=name,
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=self.kv_heads(heads),
            head_dim=latent.qk_nope_head_dim + latent.qk_rope_head_dim if latent else self.head_dim(hidden, heads),
            ffn=self.ffn(hidden),
            vocab=self.needed("vocab"),
            gated_mlp=bool(self.habits.get("gated", True)),
            tied_embeddings=bool(self.flag("tie_word_embeddings", self.habits.get("tied", False))),
            kind="encoder" if self.habits.get("encoder") else "decoder",
            max_context=self.max_context(),
            sliding_window=window,
            global_layers=global_layers,
            experts=self.experts(layers),
            latent=latent,
            norm_bias=bool(self.habits.get("ln", False)),
            qkv_bias=bool(self.flag("attention_bias", self.habits.get("qkv_bias", bias))) or self.fixed("qkv_bias"),
            out_bias=bool(self.flag("attention_bias", bias)) and not self.fixed("qkv_bias"),
            mlp_bias=bool(self.flag("mlp_bias", bias)),
            qk_norm=self.habits.get("qk_norm", ""),
            norms_per_layer=self.norms(),
            learned_positions=self.positions(),
            sources=(Source(f"config.json of {name}", "read"),),
            note=note,
        )

    def count(self, field: str) -> int | None:
        """A size by any of its names, the family's default when absent."""
        for key in NAMES.get(field, (field,)):
            value = self.config.get(key)
            if value is not None:
                return self.whole(key, value)
        default = self.habits.get(field)
        return default if isinstance(default, int) else None

    def whole(self, key: str, value: Any) -> int:
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(f"{self.shown}: {key} must be a whole number, not {clipped(value)}")
        return value

    def needed(self, field: str) -> int:
        value = self.count(field)
        if value is None:
            first, *others = NAMES[field]
            also = f" (or {', '.join(others)})" if others else ""
            raise InvalidInput(f"{self.shown} lacks {first}{also}, which its model_type {self.kind!r} needs")
        return value

    def flag(self, key: str, default: Any) -> Any:
        value = self.config.get(key)
        return default if value is None else value

    def fixed(self, habit: str) -> bool:
        """A habit that no key of the config changes."""
        return bool(self.habits.get(habit))

    def kv_heads(self, heads: int) -> int:
        if self.kind == "falcon" and not self.config.get("new_decoder_architecture"):
            return 1 if self.flag("multi_query", True) else heads
        attention = self.config.get("attn_config")
        if isinstance(attention, dict) and attention.get("kv_n_heads") is not None:
            return self.whole("kv_n_heads", attention["kv_n_heads"])
        found = self.count("kv_heads")
        return heads if found is None else found

    def head_dim(self, hidden: int, heads: int) -> int:
        found = self.count("head_dim")
        if found is not None:
            return found
        if hidden % heads:
            raise InvalidInput(f"{self.shown}: hidden size {hidden} does not divide into {heads} heads")
        return hidden // heads

    def ffn(self, hidden: int) -> int:
        if self.kind == "mpt":
            return self.whole("expansion_ratio", self.flag("expansion_ratio", 4)) * hidden
        if "dense_ffn" in self.habits:
            return self.whole("intermediate_size_mlp", self.flag("intermediate_size_mlp", self.habits["dense_ffn"]))
        found = self.count("ffn")
        if found is None and "ffn_x" in self.habits:
            return int(self.habits["ffn_x"]) * hidden
        return self.needed("ffn") if found is None else found

    def norms(self) -> int:
        if self.kind == "falcon":
            return 2 if self.config.get("new_decoder_architecture") or not self.flag("parallel_attn", True) else 1
        return int(self.habits.get("norms", 2))

    def positions(self) -> int:
        if "positions" not in self.habits:
            return 0
        return (self.count("max_context") or 0) + int(self.habits["positions"])

    def max_context(self) -> int | None:
        """Positions a text may use."""
        found = self.count("max_context")
        return None if found is None else found - int(self.habits.get("padded", 0))

    def window(self, layers: int) -> tuple[int | None, int | None]:
        """Sliding window and the layers without one."""
        chunk = self.config.get("attention_chunk_size")
        size = self.config.get("sliding_window", self.habits.get("window")) if chunk is None else chunk
        if size is None or (self.fixed("window_if") and not self.config.get("use_sliding_window")):
            return None, None
        window, full = self.whole("sliding_window", size), self.full_layers(layers)
        limit = self.count("max_context")
        return (None, None) if full == layers or (limit and window >= limit) else (window, full)

    def full_layers(self, layers: int) -> int:
        types = self.config.get("layer_types")
        if isinstance(types, Sequence) and not isinstance(types, str):
            strange = [
                kind for kind in types if kind not in ("full_attention", "sliding_attention", "chunked_attention")
            ]
            if strange or len(types) != layers:
                raise InvalidInput(
                    f"{self.shown}: layer_types must name full or sliding attention for each of {layers} layers"
                )
            return types.count("full_attention")
        if self.fixed("window_if"):
            return min(layers, self.whole("max_window_layers", self.flag("max_window_layers", layers)))
        every = self.flag("sliding_window_pattern", self.habits.get("window_every"))
        return layers // max(1, self.whole("sliding_window_pattern", every)) if every else 0

    def latent(self) -> LatentAttention | None:
        rank = self.count("kv_lora_rank")
        if rank is None:
            if self.fixed("mla"):
                raise InvalidInput(f"{self.shown} lacks kv_lora_rank, which its model_type {self.kind!r} needs")
            return None
        sizes = {}
        for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
            value = self.count(key)
            if value is None:
                raise InvalidInput(f"{self.shown} lacks {key}, which latent attention needs")
            sizes[key] = value
        return LatentAttention(q_lora_rank=self.count("q_lora_rank") or 0, kv_lora_rank=rank, **sizes)

    def experts(self, layers: int) -> Experts | None:
        experts = self.count("experts")
        if not experts:
            return None
        width = self.needed("expert_ffn")
        return Experts(
            experts=experts,
            per_token=self.needed("per_token"),
            ffn=width,
            shared=self.shared(width),
            first_dense_layers=self.first_dense(layers),
            layer_every=self.count("layer_every") or 1,
        )

    def shared(self, width: int) -> int:
        """Shared experts, counted in the width of a routed one."""
        wide = self.count("shared_expert_intermediate_size")
        if wide is None:
            return self.count("n_shared_experts") or int(self.habits.get("shared", 0))
        if width < 1 or wide % width:
            raise InvalidInput(f"{self.shown}: the shared expert's width {wide} is no multiple of {width}")
        return wide // width

    def first_dense(self, layers: int) -> int:
        dense = self.config.get("mlp_only_layers") or []
        if not isinstance(dense, list):
            raise InvalidInput(f"{self.shown}: mlp_only_layers must be a list of layers, not {clipped(dense)}")
        if dense and dense != list(range(len(dense))):
            raise InvalidInput(f"{self.shown}: only the first layers may be dense, not {clipped(dense)}")
        return min(layers, len(dense) or self.count("first_dense") or 0)
