"""From the sizes of a config to kinds of layer: what stands in each, by the habits of its model type."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from estimator.catalog.config_sizes import Sizes
from estimator.errors import InvalidInput, clipped
from estimator.formulas import layers as formulas
from estimator.formulas.layers import is_feed_forward
from estimator.records import Attention, Block, LatentAttention, Matrix, Per, Scan

Habits = Mapping[str, Any]

# Words of layer lists, and what mixes tokens there. "linear" and "hybrid" are what the type says they are.
WORDS: Mapping[str, tuple[str, ...]] = {
    "full_attention": ("attention",),
    "attention": ("attention",),
    "global": ("attention",),
    "indexed_attention": ("attention",),
    "sliding_attention": ("windowed",),
    "local": ("windowed",),
    "chunked_attention": ("chunked",),
    "linear_attention": ("linear",),
    "mamba": ("linear",),
    "recurrent": ("linear",),
    "conv": ("conv",),
    "hybrid": ("linear", "attention"),
    "hybrid_sliding": ("windowed",),
    "mlp": (),
    "moe": (),
}
WINDOWED = ("windowed", "chunked")


class Layers:
    """Builds the layers of one config."""

    def __init__(self, sizes: Sizes, habits: Habits, scans: Habits) -> None:
        self.sizes, self.habits, self.known_scans = sizes, habits, scans
        self.total = sizes.needed("layers")
        self.hidden = sizes.needed("hidden")

    def blocks(self) -> tuple[Block, ...]:
        """Equal layers together, in the order in which they first stand."""
        found: dict[Block, tuple[int, int]] = {}
        for i, nth, word in self.places():
            block = self.layer(i, nth, word)
            run, held = found.get(block, (0, 0))
            repeats, owned = self.often()
            found[block] = run + repeats, held + owned
        return tuple(
            block._replace(layers=run, copies=None if held == run else held) for block, (run, held) in found.items()
        )

    def places(self) -> Iterator[tuple[int, int, str]]:
        """The layers: their number, how many of their kind came before, and their kind."""
        seen: dict[str, int] = {}
        parts = self.habits.get("parts", {})  # layers that are several, of which some are shared
        for i, whole in enumerate(self.words()):
            for word in parts.get(whole, (whole,)):
                yield i, seen.get(word, 0), word
                seen[word] = seen.get(word, 0) + 1

    def often(self) -> tuple[int, int]:
        """How often a layer runs, and whether it has weights of its own."""
        repeats = self.number(self.habits.get("repeats", 1))
        return repeats, min(repeats, 1) * self.number(self.habits.get("owned", 1))

    def words(self) -> list[str]:
        """The kind of every layer."""
        sizes, given = self.sizes, self.sizes["layer_words"]
        sizes.own = {"of": self.total}
        if isinstance(given, list):
            if len(given) != self.total or not all(isinstance(word, str) for word in given):
                raise InvalidInput(
                    f"{sizes.shown}: layer_types must name the kind of each of {self.total} layers, "
                    f"not {clipped(given)}"
                )
            return given
        usual = self.habits.get("layer", "'full_attention' if window is None else 'sliding_attention'")
        words = []
        for i in range(self.total):
            sizes.own = {"i": i, "of": self.total}
            words.append(sizes.worth(usual))
        return words

    def layer(self, i: int, nth: int, word: str) -> Block:
        """One layer."""
        kinds = self.habits.get("kinds", {})
        if word not in kinds and word not in WORDS:
            known = ", ".join(sorted({*WORDS, *kinds}))
            raise InvalidInput(
                f"{self.sizes.shown}: layer_types names {clipped(word)}, which is no kind of layer "
                f"that is known. Known are {known}."
            )
        own = dict(kinds.get(word, {}))
        mixers = own.pop("mixers", WORDS.get(word, ()))
        self.sizes.own = {"i": i, "nth": nth, "of": self.total, "word": word, **own}
        mlp = self.mlp(word)
        self.sizes.own |= {"mlp": mlp, "attends": False, "scans": False}
        attention: list[Attention] = []
        scans: list[Scan] = []
        matrices: list[Matrix] = []
        vectors = 0
        for mixer in mixers:
            name = self.habits.get(mixer, mixer)
            if name in ("attention", "compressed", *WINDOWED):
                self.sizes.own["attends"] = True
                one, projections, more = self.attention(name)
                attention.append(one)
            else:
                self.sizes.own["scans"] = True
                recurrence, projections, more = self.scan(name)
                scans.append(recurrence)
            matrices += projections
            vectors += more
        block = self.feed_forward(mlp)
        matrices = [*matrices, *block.matrices, *self.extra("extra")]
        vectors += block.vectors + self.norms() + self.biases(matrices) + self.vectors("vectors")
        return block._replace(
            matrices=tuple(each for each in matrices if each.size and each.count),
            vectors=vectors,
            attention=tuple(attention),
            scans=tuple(scans),
        )

    # --- what mixes tokens -------------------------------------------------------------------------------------------

    def attention(self, name: str) -> tuple[Attention, Iterable[Matrix], int]:
        """One attention, its matrices, and its norms."""
        sizes = self.sizes
        latent = self.latent()
        heads, kv_heads = sizes.needed("heads"), sizes.needed("kv_heads")
        window = sizes.needed("window") if name in WINDOWED else None
        if latent:
            key, value = latent.qk_nope_head_dim + latent.qk_rope_head_dim, latent.v_head_dim
            kv_heads, cached = heads, latent.kv_lora_rank + latent.qk_rope_head_dim
        else:
            key, value = sizes.needed("head_dim"), sizes.needed("value_dim")
            cached = kv_heads * (key + value)
        stated, indexed = sizes["cached"], name not in WINDOWED
        one = Attention(
            heads=heads,
            kv_heads=kv_heads,
            key_dim=key,
            value_dim=value,
            cached=cached if stated is None else sizes.whole("cached", stated),
            window=window,
            chunked=name == "chunked",
            reads=sizes.flag("reads"),
            stride=sizes.needed("rate") if name == "compressed" else 1,
            index_heads=indexed * (sizes.count("index_heads") or 0),
            index_dim=indexed * (sizes.count("index_dim") or 0),
            top_k=indexed * (sizes.count("top_k") or 0),
        )
        inside = sizes.count("inside")
        projections = formulas.attention_matrices(self.hidden, one, latent)
        if inside:
            projections = tuple(each if each.name == "o" else each._replace(columns=inside) for each in projections)
        return one, self.without(projections), self.attention_norms(one, latent)

    def latent(self) -> LatentAttention | None:
        sizes = self.sizes
        if (not self.habits.get("mla") and sizes["kv_lora_rank"] is None) or sizes["plain"]:
            return None
        if sizes["kv_lora_rank"] is None:
            raise InvalidInput(f"{sizes.shown} lacks kv_lora_rank, which its model_type {sizes.kind!r} needs")
        for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
            if sizes[key] is None:
                raise InvalidInput(f"{sizes.shown} lacks {key}, which latent attention needs")
        return LatentAttention(
            q_lora_rank=sizes.needed("q_lora_rank"),
            kv_lora_rank=sizes.needed("kv_lora_rank"),
            qk_nope_head_dim=sizes.needed("qk_nope_head_dim"),
            qk_rope_head_dim=sizes.needed("qk_rope_head_dim"),
            v_head_dim=sizes.needed("v_head_dim"),
        )

    def attention_norms(self, one: Attention, latent: LatentAttention | None) -> int:
        """Scales of norms inside attention."""
        if latent:
            return latent.q_lora_rank + latent.kv_lora_rank
        kind = self.sizes.worth(self.habits.get("qk_norm", "''"))
        if not kind:
            return 0
        keys = 0 if one.reads else one.kv_heads * one.key_dim
        if kind == "full":
            return one.heads * one.key_dim + keys
        return one.key_dim * (1 if one.reads else 2)

    def without(self, matrices: Iterable[Matrix]) -> list[Matrix]:
        """Those of the usual projections that this type has."""
        dropped = self.sizes["drops"] or ()
        return [each for each in matrices if each.name not in dropped]

    def scan(self, name: str) -> tuple[Scan, Iterable[Matrix], int]:
        """One recurrence, its matrices, and its other parameters."""
        if name not in self.known_scans:
            raise InvalidInput(
                f"{self.sizes.shown}: layer_types names {clipped(self.sizes['word'])}, which model_type "
                f"{self.sizes.kind!r} is not known to have"
            )
        made = self.known_scans[name]
        self.sizes.own = {**made.get("sizes", {}), **self.habits.get("scan", {}), **self.sizes.own}
        recurrence = Scan(
            kind=made["kind"],
            heads=self.number(made.get("heads", 0)),
            key_dim=self.number(made.get("key_dim", 0)),
            value_dim=self.number(made.get("value_dim", 0)),
            conv_values=self.number(made.get("conv_values", 0)),
            chunk=self.number(made.get("chunk", 64)),
            state_bytes=float(self.sizes["state_bytes"] or made.get("state_bytes", 4.0)),
        )
        vectors = sum(self.number(each) for each in made.get("vectors", ()))
        return recurrence, self.without(self.listed(made.get("matrices", ()))), vectors

    # --- feed-forward ------------------------------------------------------------------------------------------------

    def mlp(self, word: str) -> str:
        """What feeds forward in a layer: none, dense, sparse (experts) or both."""
        if "mlp" in self.habits:
            return cast(str, self.sizes.worth(self.habits["mlp"]))
        if word in ("moe", "mlp"):
            return "sparse" if word == "moe" else "dense"
        return "sparse" if self.sparse() else "dense"

    def sparse(self) -> bool:
        """Whether a layer has experts."""
        sizes, i = self.sizes, self.sizes.own["i"]
        if not sizes["experts"]:
            return False
        listed = sizes["mlp_layer_types"]
        if isinstance(listed, list) and len(listed) == self.total:
            return bool(listed[i] == "sparse")
        if "sparse" in self.habits:
            return bool(sizes.worth(self.habits["sparse"]))
        dense = sizes.numbers("mlp_only_layers")
        every = max(1, sizes.needed("layer_every"))
        return i >= sizes.needed("first_dense") and i not in dense and (i + 1) % every == 0

    def feed_forward(self, mlp: str) -> Block:
        """What feeds forward, as a block without the rest."""
        sizes, gated = self.sizes, self.gated()
        matrices: list[Matrix] = []
        if mlp in ("dense", "both"):
            matrices += self.without(formulas.feed_forward_matrices(self.hidden, self.width(), gated))
        if mlp not in ("sparse", "both"):
            return Block(1, tuple(matrices))
        experts, per_token, width = sizes.needed("experts"), sizes.needed("per_token"), sizes.needed("expert_ffn")
        inside = self.number(sizes["expert_hidden"] or self.hidden)
        routed = formulas.expert_matrices(inside, width, experts, gated)
        router = Matrix("router", self.number(sizes["routed_to"] or experts), self.hidden)
        matrices += self.without((*routed[:-1], router))
        shared = sizes.count("shared_ffn") or 0
        if shared:
            matrices += formulas.feed_forward_matrices(self.hidden, shared, gated, "shared_")
        one = [each for each in matrices if each.per == "routed"]
        return Block(
            layers=1,
            matrices=tuple(matrices),
            experts=experts,
            per_token=per_token,
            expert_vectors=sum(each.rows for each in one if self.biased(each)),
        )

    def width(self) -> int:
        return self.sizes.needed("ffn")

    def gated(self) -> bool:
        return bool(self.sizes.worth(self.habits.get("gated", True)))

    # --- everything else ---------------------------------------------------------------------------------------------

    def norms(self) -> int:
        """Scales, and shifts of a LayerNorm, around the parts of a layer."""
        count = self.number(self.habits.get("norms", 2))
        return count * self.hidden * (2 if self.sizes.worth(self.habits.get("ln", False)) else 1)

    def biases(self, matrices: Iterable[Matrix]) -> int:
        """Biases of dense matrices."""
        return sum(int(each.rows * each.count) for each in matrices if each.per == "token" and self.biased(each))

    def biased(self, matrix: Matrix) -> bool:
        """Whether a matrix has a bias."""
        name = matrix.name.removeprefix("shared_")
        habits, sizes = self.habits, self.sizes
        own = habits.get("biases", {})
        if name in own:
            return bool(sizes.worth(own[name]))
        everywhere = bool(sizes.worth(habits.get("bias", False)))
        if is_feed_forward(matrix):
            stated = sizes["mlp_bias"]
            return name != "router" and (everywhere if stated is None else bool(stated))
        if name in ("q", "k", "v", "o"):
            if "qkv_bias" in habits:
                return name != "o" and bool(sizes.worth(habits["qkv_bias"]))
            stated = sizes["attention_bias"]
            return everywhere if stated is None else bool(stated)
        return False

    def vectors(self, key: str) -> int:
        """Other parameters that the type's habits list; less than none where a class has fewer than is usual."""
        return sum(
            self.number(part, signed=True)
            for text in self.habits.get(key, ())
            if (part := self.where(text)) is not None
        )

    def extra(self, key: str) -> list[Matrix]:
        """Other matrices that the type's habits list."""
        return self.listed(part for text in self.habits.get(key, ()) if (part := self.where(text)) is not None)

    def where(self, text: str) -> str | None:
        """A line of the habits, if its condition (after a semicolon) holds."""
        line, _, condition = text.partition(";")
        return line if not condition or self.sizes.worth(condition) else None

    def listed(self, lines: Iterable[str]) -> list[Matrix]:
        """Matrices written as `name: rows, columns[, count[, per]]`."""
        found = []
        for line in lines:
            name, _, numbers = line.partition(":")
            rows, columns, *rest = numbers.split(",")
            count = self.number(rest[0]) if rest else 1
            per = cast(Per, rest[1].strip()) if len(rest) > 1 else "token"
            found.append(Matrix(name.strip(), self.number(rows), self.number(columns), count, per))
        return found

    def number(self, text: Any, signed: bool = False) -> int:
        return self.sizes.whole(str(text), self.sizes.worth(text), signed)
