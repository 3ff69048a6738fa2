"""The sizes that a config.json gives, under whatever names its model type gives them.

A name stands for the first that is found: a sum in the type's habits, a key of the config, a default of its class.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from estimator.catalog.expressions import CALLS, value
from estimator.errors import InvalidInput, clipped

Config = Mapping[str, Any]

# The same size under the names different model classes give it.
NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim"),
    "vocab": ("vocab_size",),
    "max_context": (
        "max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length", "model_max_length",
        "context_length", "max_length",
    ),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
    "per_token": ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_k", "moe_topk",
        "top_k_experts"),
    "expert_ffn": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "shared_experts": ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"),
    "shared_width": ("shared_expert_intermediate_size", "shared_intermediate_size"),
    "first_dense": ("first_k_dense_replace",),
    "layer_every": ("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step"),
    "layer_words": ("layer_types", "layers_block_type"),
    "bias": ("bias",),
}  # fmt: skip
OF_LAYERS = (
    "layers",
    "vocab_sizes",
    "_ids",
    "_idxs",
    "_indices",
    "_list",
)  # ends of keys that list layers, not sizes of layers
LARGEST = 10**15  # of what one size of a language model may be: its parameters, with room
PARTS = ("attn_config", "ffn_config")  # of a config, in which some classes keep sizes
SIZES = ("layers", "hidden", "heads", "vocab", "ffn")  # that every config.json states, if it stands by itself
WORDS_SAID = ("word", "mlp")
SUMS = {
    "kv_heads": "heads if kv_heads is None else kv_heads",
    "head_dim": "head_dim or hidden / heads",
    "value_dim": "head_dim",
    "expert_ffn": "expert_ffn or ffn",
    "shared_ffn": "shared_width or (shared_experts or 0) * expert_ffn",
    "window": "sliding_window",
    "first_dense": "first_dense or 0",
    "layer_every": "layer_every or 1",
    "q_lora_rank": "q_lora_rank or 0",
}


class Sizes(Mapping[str, Any]):
    """Names of a config in the habits of its type; `i` is the layer looked at."""

    def __init__(self, config: Config, habits: Config, kind: str, shown: str, defaults: Config) -> None:
        self.config, self.kind, self.shown, self.defaults = config, kind, shown, defaults
        self.sums: Config = {**SUMS, **habits.get("sizes", {})}
        self.own: dict[str, Any] = {}  # of the layer looked at
        self.asked: set[str] = set()  # keys that were read
        self._open: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name in CALLS:
            raise KeyError(name)
        if name in self.own and name not in self._open:
            found = self.own[name]
            return self._sum(name, found) if isinstance(found, str) and name not in WORDS_SAID else found
        if name in self.sums and name not in self._open:
            return self._sum(name, self.sums[name])
        return self.given(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.config)

    def __len__(self) -> int:
        return len(self.config)

    def _sum(self, name: str, text: object) -> Any:
        if not isinstance(text, str):
            return text
        self._open.add(name)
        try:
            return self.worth(text)
        finally:
            self._open.discard(name)

    def given(self, name: str) -> Any:
        """What the config or its class says under any key for a name; None when neither does, or the config says so."""
        keys = NAMES.get(name, (name,))
        for source in self._sources():
            for key in keys:
                found = source.get(key)
                if found is not None:
                    self.asked.add(key)
                    return self._of_layer(key, found)
            if any(key in source for key in keys):
                return None
        return None

    def _sources(self) -> Iterator[Config]:
        """What is said of the layer looked at, of all, in parts of the config, and by the class."""
        apart = self.config.get("per_layer_config")
        if isinstance(apart, dict) and "i" in self.own:
            yield next((sizes for at, sizes in apart.items() if at.isdecimal() and int(at) == self.own["i"]), {})
        yield self.config
        yield from (part for key in PARTS if isinstance(part := self.config.get(key), dict))
        yield self.defaults

    def _of_layer(self, key: str, found: Any) -> Any:
        """A list of sizes gives each layer its own."""
        at = self.own.get("i")
        numbers = isinstance(found, list) and found and all(isinstance(each, int | float) for each in found)
        if at is not None and numbers and len(found) == self.own.get("of") and not key.endswith(OF_LAYERS):
            return found[at]
        return found

    def worth(self, text: object) -> Any:
        """What a sum of the habits comes to."""
        if not isinstance(text, str):
            return text
        try:
            return value(text, self)
        except InvalidInput:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError):
            raise InvalidInput(
                f"{self.shown}: its sizes do not allow {text!r}, as model_type {self.kind!r} is built"
            ) from None

    def count(self, name: str) -> int | None:
        """A size, whole and not negative; None where nothing gives it."""
        found = self[name]
        return None if found is None else self.whole(name, found)

    def whole(self, name: str, found: object, signed: bool = False) -> int:
        """A number that must be whole, and unless `signed` not negative."""
        key = self._key(name)
        if isinstance(found, float) and math.isfinite(found) and found == int(found):
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int):
            raise InvalidInput(f"{self.shown}: {key} must be a whole number, not {clipped(found)}")
        if found < 0 and not signed:
            raise InvalidInput(f"{self.shown}: {key} must be 0 or at least 1, not {clipped(found)}")
        if abs(found) > LARGEST:
            raise InvalidInput(f"{self.shown}: {key} is larger than any size of a language model")
        return found

    def _key(self, name: str) -> str:
        return next((key for key in NAMES.get(name, (name,)) if key in self.config), NAMES.get(name, (name,))[0])

    def needed(self, name: str) -> int:
        """A size that there must be."""
        found = self.count(name)
        if found is None:
            first, *others = NAMES.get(name, (name,))
            also = f" (or {', '.join(others)})" if others else ""
            raise InvalidInput(f"{self.shown} lacks {first}{also}, which its model_type {self.kind!r} needs")
        return found

    def numbers(self, name: str) -> list[int]:
        """A list of numbers of layers; empty where nothing gives it."""
        found = self[name]
        if not isinstance(found, list | None) or not all(type(each) is int for each in found or ()):
            raise InvalidInput(f"{self.shown}: {self._key(name)} must list numbers of layers, not {clipped(found)}")
        return found or []

    def flag(self, name: str) -> bool:
        """Something that is so or not."""
        return bool(self[name])
