"""The shape of a language model read from a Hugging Face config.json.

A config names sizes; what they are multiplied to are habits of its `model_type` (presets/architectures.toml), and what
it leaves out are defaults of its class (presets/architecture_defaults.toml). A type that is listed nowhere is read as
the usual decoder, and said to be, if every size is there and nothing else is; else it is refused.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from estimator.catalog.config_layers import Layers
from estimator.catalog.config_sizes import NAMES, SIZES, Sizes
from estimator.catalog.config_towers import tower_params, towers
from estimator.catalog.files import Content, cached, table
from estimator.catalog.published_format import published
from estimator.catalog.shapes import MOST, checked
from estimator.errors import InvalidInput, clipped
from estimator.files import handed, read_text
from estimator.formulas import transformer
from estimator.paths import presets
from estimator.records import Architecture, Block, Experts, Matrix, Source

Config = Mapping[str, Any]

REMEDY = (
    "`estimator catalog architectures` lists the types that are read. Or add its shape to an llms.csv of your own "
    "(--facts, see hardware/README.md)."
)
TEXTS = (
    "text_config",
    "llm_config",
    "language_config",
    "thinker_config",
    "decoder",
)  # where a config of several parts keeps its text


def read_config(path: Path) -> Architecture:
    """The shape a config.json describes; InvalidInput in one line when it is not one, or contradicts itself."""
    shown = clipped(str(path), 120)
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return described(_load(path, shown), name, shown)


def described(whole: Config, name: str, shown: str) -> Architecture:
    """The shape that the content of a config.json describes.

    >>> sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    >>> described({"model_type": "llama", "vocab_size": 100, **sizes}, "tiny", "config.json").kv_heads
    4
    """
    outer = whole.get("model_type")
    if outer is not None:
        _refuse_kinds(outer, whole, shown)
    text, nested = text_of(whole, shown)
    kind = text.get("model_type", outer)
    if kind is None:
        raise InvalidInput(f"{shown} lacks model_type: it is not a config.json of a language model")
    if not isinstance(kind, str):
        raise InvalidInput(f"{shown}: model_type must be a word, not {clipped(kind)}")
    if nested and kind not in architectures() and outer in architectures():
        kind = outer
    _refuse_kinds(kind, text, shown)
    habits = architectures().get(kind)
    reader = Reader(text, whole if nested else text, kind, shown, habits)
    arch = checked(reader.architecture(name or kind), shown)
    return arch._replace(published=published(whole, arch, shown))


@cached
def architectures() -> dict[str, Config]:
    """Habits by model_type, those that are like another's completed."""
    listed = _facts()["type"]
    return {kind: _completed(kind, listed) for kind in listed}


def model_types() -> frozenset[str]:
    """The model types that are read."""
    return frozenset(kind for kind, habits in architectures().items() if not habits.get("refused"))


def _completed(kind: str, listed: Mapping[str, Config]) -> Config:
    own = listed[kind]
    if "like" not in own:
        return own
    base = _completed(own["like"], listed)
    both = {
        key: {**base[key], **own[key]} for key in ("sizes", "kinds", "biases", "scan") if key in base and key in own
    }
    return {**{key: value for key, value in base.items() if key != "refused"}, **own, **both}


@cached
def scans() -> dict[str, Config]:
    found: dict[str, Config] = _facts()["scan"]
    return found


@cached
def _facts() -> Content:
    return table(presets() / "architectures.toml")


@cached
def _defaults() -> dict[str, Config]:
    return table(presets() / "architecture_defaults.toml")


def _refuse_kinds(kind: object, config: Config, shown: str) -> None:
    """Refuse what is no decoder or encoder, with the reason."""
    habits = architectures().get(kind, {}) if isinstance(kind, str) else {}
    reason = habits.get("refused", "")
    if config.get("is_encoder_decoder") is True and not reason:
        reason = "is an encoder-decoder, whose two halves share no cache and no count here"
    if reason:
        raise InvalidInput(f"{shown}: model_type {clipped(kind)} {reason}. {REMEDY}")


def text_of(whole: Config, shown: str) -> tuple[Config, bool]:
    """The part of a config that describes the text model, and whether it is only a part."""
    for key in TEXTS:
        part = whole.get(key)
        if part is None or (key == "decoder" and not isinstance(part, dict)):
            continue
        if not isinstance(part, dict):
            raise InvalidInput(f"{shown}: {key} must be an object, not {clipped(part)}")
        inner, _ = text_of(part, shown) if key == "thinker_config" else (part, True)
        tied = whole.get("tie_word_embeddings", inner.get("tie_word_embeddings"))
        return inner if tied is None else {**inner, "tie_word_embeddings": tied}, True
    return whole, False


def _load(path: Path, shown: str) -> Content:
    def refuse(constant: str) -> NoReturn:
        raise InvalidInput(f"{shown} holds {constant}, which is not a size")

    if handed(path) is None and not os.path.lexists(path):
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


class Reader:
    """One config with the habits of its type."""

    def __init__(self, text: Config, whole: Config, kind: str, shown: str, habits: Config | None) -> None:
        self.text, self.whole, self.kind, self.shown = text, whole, kind, shown
        self.known = habits is not None
        self.habits: Config = habits or {}
        like = self.habits.get("defaults_of", kind)
        defaults = _defaults().get(like, {}) if self.known else {}
        if whole is text:
            defaults = {key: value for key, value in defaults.items() if key not in _stated_keys()}
        self.sizes = Sizes(text, self.habits, kind, shown, defaults)

    def architecture(self, name: str) -> Architecture:
        """The architecture; in plain fields alone where they say it all."""
        sizes = self.sizes
        if not self.known:
            self.check_unknown()
        layers, hidden = sizes.needed("layers"), sizes.needed("hidden")
        for field, value, most in (
            ("num_hidden_layers", layers, MOST["layers"]),
            ("hidden_size", hidden, MOST["hidden"]),
        ):
            if not 1 <= value <= most:
                bound = "at least 1" if value < 1 else f"a whole number up to {most}"
                raise InvalidInput(f"{self.shown}: {field.removeprefix('num_hidden_')} must be {bound}, not {value}")
        sizes.own = {"i": 0, "of": layers}
        self.check_heads(hidden)
        built = Layers(sizes, self.habits, scans())
        blocks = built.blocks()
        sizes.own = {"of": layers}
        outer = built.extra("outer")
        tower, said = self.tower()
        whole = self.usual(name, layers, hidden, blocks, built)._replace(
            note="; ".join(filter(None, (said, self.unsure()))),
            basis="published" if self.known else "assumed",
        )
        listed = whole._replace(
            blocks=blocks,
            matrices=tuple(each for each in outer if each.size),
            embedding=sizes.count("embedding"),
            outside=self.outside(built, hidden) + tower,
            tower=tower,
        )
        return whole if not tower and _same(whole, listed) else listed

    def check_heads(self, hidden: int) -> None:
        """Heads that there cannot be."""
        heads = self.sizes.count("heads")
        if heads is not None and heads < 1:
            raise InvalidInput(f"{self.shown}: num_attention_heads must be at least 1, not {heads}")
        if (
            heads
            and self.sizes.given("head_dim") is None
            and self.sizes["kv_lora_rank"] is None
            and "head_dim" not in self.habits.get("sizes", {})
            and hidden % heads
        ):
            raise InvalidInput(f"{self.shown}: hidden size {hidden} does not divide into {heads} heads")

    def check_unknown(self) -> None:
        """Refuse a type that nobody listed unless every size of a usual decoder is there."""
        missing = [field for field in (*SIZES, "kv_heads") if self.sizes.given(field) is None]
        if missing:
            raise InvalidInput(
                f"{self.shown}: model_type {clipped(self.kind)} is not known, and the config lacks what a usual "
                f"decoder states: {', '.join(missing)}. {REMEDY}"
            )
        words = self.sizes["layer_words"]
        usual = isinstance(words, list) and set(map(str, words)) <= {"full_attention", "sliding_attention"}
        passed = NAMES["layer_words"] if usual else ()
        strange = [key for key in self.text if any(word in key for word in _STRANGE) and self.text[key]]
        strange = [key for key in strange if key not in passed]
        if strange:
            raise InvalidInput(
                f"{self.shown}: model_type {clipped(self.kind)} is not known, and {strange[0]} speaks of a kind of "
                f"layer that is not a usual decoder's. {REMEDY}"
            )

    def unsure(self) -> str:
        """What is assumed of a type that nobody listed."""
        return "" if self.known else f"model_type {self.kind} is not known: read as a usual decoder by its sizes"

    def usual(self, name: str, layers: int, hidden: int, blocks: tuple[Block, ...], built: Layers) -> Architecture:
        """What the plain fields can say: of the first layer that attends to everything, or attends at all."""
        sizes = self.sizes
        main = _main(blocks)
        sparse = next((block for block in blocks if block.experts), None)
        sizes.own = {"i": 0, "of": layers, "word": "", "attends": True, "scans": False, "mlp": "dense"}
        latent = built.latent() if main and main.heads == main.kv_heads else None
        windows = [each.window for block in blocks for each in block.attention if each.window is not None]
        limit = self.max_context()
        full = sum(block.layers for block in blocks if any(each.window is None for each in block.attention))
        probe = {each: built.biased(Matrix(each, 1, 1)) for each in ("q", "o", "up")}
        heads = main.heads if main else max((scan.heads for block in blocks for scan in block.scans), default=1)
        return Architecture(
            name=name,
            layers=layers,
            hidden=hidden,
            heads=max(heads, 1),
            kv_heads=main.kv_heads if main else max(heads, 1),
            head_dim=main.key_dim if main else max(hidden // max(heads, 1), 1),
            ffn=_dense_width(blocks) or (sizes.count("ffn") or _expert_width(blocks) or hidden),
            vocab=sizes.needed("vocab"),
            gated_mlp=built.gated(),
            tied_embeddings=self.tied(),
            kind="encoder" if self.habits.get("encoder") else "decoder",
            max_context=limit,
            sliding_window=windows[0] if windows else None,
            global_layers=full if windows else None,
            experts=self.experts(blocks, sparse, built) if sparse else None,
            latent=latent,
            norm_bias=bool(sizes.worth(self.habits.get("ln", False))),
            qkv_bias=probe["q"],
            out_bias=probe["o"],
            mlp_bias=probe["up"],
            qk_norm=sizes.worth(self.habits.get("qk_norm", "''")),
            norms_per_layer=built.number(self.habits.get("norms", 2)),
            learned_positions=self.positions(),
            sources=(Source(f"config.json of {name}", "read"),),
        )

    def tied(self) -> bool:
        stated = self.sizes.given("tie_word_embeddings")
        if "tied" in self.habits and (stated is None or self.habits.get("fixed_tie")):
            return bool(self.sizes.worth(self.habits["tied"]))
        return bool(stated)

    def experts(self, blocks: tuple[Block, ...], sparse: Block, built: Layers) -> Experts:
        width = next(each.rows for each in sparse.matrices if each.name == "up" and each.per == "routed")
        shared = sum(
            each.rows
            for each in sparse.matrices
            if each.name in ("shared_up",) or (each.name == "up" and each.per == "token")
        )
        first, every = self.dense_first(blocks, built.total)
        return Experts(
            experts=sparse.experts,
            per_token=sparse.per_token,
            ffn=width,
            shared=round(shared / width),
            first_dense_layers=first,
            layer_every=every,
        )

    def dense_first(self, blocks: tuple[Block, ...], total: int) -> tuple[int, int]:
        """Dense layers before the first with experts, and how many layers apart those are, in plain fields."""
        moe = sum(block.layers for block in blocks if block.experts)
        every = max(1, self.sizes.count("layer_every") or 1)
        return (0, every) if every > 1 and total // every == moe else (max(0, total - moe), 1)

    def positions(self) -> int:
        """Rows of learned positions."""
        if "positions" not in self.habits:
            return 0
        found = self.sizes.worth(self.habits["positions"])
        return 0 if found is None else self.sizes.whole("max_context", found)

    def max_context(self) -> int | None:
        """Positions a text may use."""
        found = self.sizes.count("max_context")
        return None if found is None else found - int(self.habits.get("padded", 0))

    def outside(self, built: Layers, hidden: int) -> int:
        """Parameters outside layers, embeddings and matrices: the last norm, and what the type's habits list."""
        ln = bool(self.sizes.worth(self.habits.get("ln", False)))
        norm = built.number(self.habits.get("last_norms", 1)) * hidden * (2 if ln else 1)
        return norm + built.vectors("outside")

    def tower(self) -> tuple[int, str]:
        """Parameters of vision and audio towers, and what is said of them."""
        gated = _facts()["tower"]["gated"]
        found, unknown = {}, []
        for name, part in towers(self.whole, _defaults()):
            count = tower_params(part, self.sizes.needed("hidden"), str(part.get("model_type")) in gated)
            if count is None:
                unknown.append(name)
            else:
                found[name] = count
        said = [f"{count / 1e9:.2f}B parameters of its {name} tower counted, roughly" for name, count in found.items()]
        said += [f"its {name} tower is not counted, as it states no sizes" for name in unknown]
        return sum(found.values()), "; ".join(said)


_STRANGE = (
    "layer_types", "layers_block_type", "block_types", "mamba", "ssm", "conv_", "linear_", "lora_rank", "expert", "moe",
    "rwkv", "state_size", "index_", "per_layer", "attn_layer", "hybrid",
)  # fmt: skip


@cached
def _stated_keys() -> frozenset[str]:
    return frozenset(key for field in SIZES for key in NAMES[field])


def _main(blocks: tuple[Block, ...]) -> Any:
    """The attention of the first layer that sees everything, else of the first that attends."""
    every = [each for block in blocks for each in block.attention]
    return next((each for each in every if each.window is None), every[0] if every else None)


def _dense_width(blocks: tuple[Block, ...]) -> int:
    return next(
        (each.rows for block in blocks for each in block.matrices if each.name == "up" and each.per == "token"), 0
    )


def _expert_width(blocks: tuple[Block, ...]) -> int:
    return next((each.rows for block in blocks for each in block.matrices if each.name == "up"), 0)


def _same(plain: Architecture, listed: Architecture) -> bool:
    """Whether the plain fields say all that the listed layers do."""
    if any(each.copies is not None for each in listed.blocks) or listed.embedding or listed.matrices:
        return False
    return (
        transformer.params(plain) == transformer.params(listed)
        and transformer.attentions(plain) == transformer.attentions(listed)
        and set(transformer.matrices(plain)) == set(transformer.matrices(listed))
    )
