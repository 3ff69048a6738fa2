"""The nouns every calculation speaks of: plain frozen records, SI units, no behaviour beyond what their fields imply.

A record says where it comes from: `basis` is how well it is known, `sources` are citations a reader can follow.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Basis = Literal["measured", "published", "analytic", "list price", "assumed"]
Kind = Literal["decoder", "encoder"]


class Source(NamedTuple):
    """A document, the day it was read, and how: read | read_secondary | recalled | derived | measured."""

    title: str
    kind: str = "read"
    date: str = ""

    def __str__(self) -> str:
        return self.title + (f" ({self.kind}{', ' + self.date if self.date else ''})")


class Experts(NamedTuple):
    """Mixture-of-experts feed-forward layers: `experts` of width `ffn`, of which each token visits `per_token`."""

    experts: int
    per_token: int
    ffn: int
    shared: int = 0
    first_dense_layers: int = 0
    layer_every: int = 1


class LatentAttention(NamedTuple):
    """Multi-head latent attention (MLA, arXiv:2405.04434 section 2.1): one small cached latent."""

    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


class OwnCode(NamedTuple):
    """What the code that comes with a checkpoint does otherwise than the classes of `transformers`.

    framework, release: under which framework, in which of its releases; empty where it is run as it is
    recomputes: chance that recomputation that is asked for is done [1]
    kept_bytes: what a layer keeps besides, of a token, over the LLM's width [B]
    """

    framework: str
    release: str
    recomputes: float
    kept_bytes: float


class Formats(NamedTuple):
    """How an LLM's weights are stored: the name of a number format per class of tensor.

    experts: routed ones; feed_forward: dense ones and shared experts; rest: norms, biases, routers
    """

    experts: str = "bf16"
    attention: str = "bf16"
    feed_forward: str = "bf16"
    embeddings: str = "bf16"
    head: str = "bf16"
    rest: str = "bf16"


SIXTEEN_BIT = Formats()
Per = Literal["token", "routed", "output", "lookup"]


class Matrix(NamedTuple):
    """Equal matrices of `rows` outputs and `columns` inputs [1], `count` of them.

    per: what is multiplied by them: every token; tokens routed to an expert; tokens whose logits are computed; nothing,
    as rows are looked up
    """

    name: str
    rows: int
    columns: int
    count: float = 1  # type: ignore[assignment]  # hides the method of tuples
    per: Per = "token"

    @property
    def size(self) -> int:
        """Weights of one of them [1]."""
        return self.rows * self.columns


class Attention(NamedTuple):
    """Queries that look at cached tokens: `cached` values of each are kept, up to `window` of them.

    key_dim, value_dim: widths of a head's scores and values [1]
    chunked: the window starts anew at each multiple of itself; reads: it reads another layer's cache and keeps none
    stride: tokens that one cached entry stands for, where they are compressed
    index_heads, index_dim, top_k: a light indexer scores all entries and lets `top_k` be looked at (arXiv:2512.02556)
    """

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    cached: int
    window: int | None = None
    chunked: bool = False
    reads: bool = False
    stride: int = 1
    index_heads: int = 0
    index_dim: int = 0
    top_k: int = 0


class Scan(NamedTuple):
    """A recurrence: a state of constant size instead of a cache.

    kind: delta (gated delta rule), linear (decaying linear attention), ssd (Mamba 2), selective (Mamba 1),
        gated (RG-LRU and other elementwise recurrences), conv (a short convolution alone)
    heads, key_dim, value_dim: the state is `heads` matrices of key_dim x value_dim, kept in `state_bytes` a value
    conv_values: earlier inputs that convolutions keep, in the format of activations
    chunk: tokens that a prompt is cut into, whose products are those of attention inside a chunk [token]
    """

    kind: Literal["delta", "linear", "ssd", "selective", "gated", "conv"]
    heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    conv_values: int = 0
    chunk: int = 64
    state_bytes: float = 4.0


class Block(NamedTuple):
    """`layers` equal layers of one kind; matrices, vectors and mixers are those of one layer.

    vectors: norm scales, biases, convolutions and whatever else is no matrix product, routed experts' apart [1]
    expert_vectors: those of one routed expert; experts, per_token: routed experts, and how many a token visits
    copies: layers that own their weights, where others repeat them; all when not given
    """

    layers: int
    matrices: tuple[Matrix, ...]
    vectors: int = 0
    attention: tuple[Attention, ...] = ()
    scans: tuple[Scan, ...] = ()
    experts: int = 0
    per_token: int = 0
    expert_vectors: int = 0
    copies: int | None = None

    @property
    def held(self) -> int:
        """Layers whose weights are stored [1]."""
        return self.layers if self.copies is None else self.copies


class Architecture(NamedTuple):
    """The shape of a language model. Widths and counts [1]; `params_published` as its makers state it.

    The plain fields say what its usual layer is like. `blocks` lists its kinds of layer where those do not say it all;
    then `matrices` are those outside layers beside embedding and output projection, `outside` all other parameters
    there, `tower` those of a vision or audio tower among them.
    embedding: width of an embedding's row where it is not the hidden width
    own_code: what code of its own does otherwise, by who runs it
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated_mlp: bool = True
    tied_embeddings: bool = False
    kind: Kind = "decoder"
    max_context: int | None = None
    sliding_window: int | None = None
    global_layers: int | None = None  # layers that attend to everything although the others have a window
    experts: Experts | None = None
    latent: LatentAttention | None = None
    norm_bias: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: Literal["", "head", "full"] = ""
    norms_per_layer: int = 2
    learned_positions: int = 0
    params_published: float | None = None
    basis: Basis = "published"
    sources: tuple[Source, ...] = ()
    note: str = ""
    published: Formats = SIXTEEN_BIT
    blocks: tuple[Block, ...] = ()
    embedding: int | None = None
    matrices: tuple[Matrix, ...] = ()
    outside: int = 0
    tower: int = 0
    own_code: tuple[OwnCode, ...] = ()

    @property
    def moe_layers(self) -> int:
        """Layers whose feed-forward is a mixture of experts [1]."""
        if self.blocks:
            return sum(block.layers for block in self.blocks if block.experts)
        if self.experts is None:
            return 0
        return (self.layers - self.experts.first_dense_layers) // self.experts.layer_every

    @property
    def full_attention_layers(self) -> int:
        """Layers that attend to the whole context [1]."""
        if self.blocks:
            return sum(block.layers for block in self.blocks if any(each.window is None for each in block.attention))
        if self.sliding_window is None:
            return self.layers
        return self.global_layers or 0


class Accelerator(NamedTuple):
    """One device. Peaks are dense, per number format; `None` is not known, never zero.

    memory_bytes: capacity [B] (an "80 GB" card holds 80 GiB); usable_bytes: what of it programs can have [B]
    link_bytes_per_s: to its neighbours in the node, one way [B/s]
    network_bytes_per_s: its share of the network between nodes, one way [B/s]
    domain: accelerators joined by the link [1]
    """

    name: str
    title: str
    vendor: str
    generation: str
    kind: Literal["gpu", "tpu", "asic", "soc", "cpu"]
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    peak_flop_per_s: Mapping[str, float]
    year: int | None = None
    l2_bytes: float | None = None
    sms: int | None = None
    clock_hz: float | None = None
    tdp_w: float | None = None
    link: str = ""
    link_bytes_per_s: float | None = None
    pcie_bytes_per_s: float | None = None
    per_node: int | None = None
    domain: int | None = None
    network_bytes_per_s: float | None = None
    basis: Basis = "published"
    sources: tuple[Source, ...] = ()
    note: str = ""
    assumed: tuple[str, ...] = ()  # fields that are recalled or guessed
    usable_share: float = 1.0  # of the memory [1]

    def __hash__(self) -> int:
        """Of what tells most apart, as peaks have none; equal ones are equal in all."""
        return hash((self.name, self.memory_bytes, self.network_bytes_per_s))

    @property
    def usable_bytes(self) -> float:
        """What programs can have of the memory: drivers, error correction or an SoC's other users keep the rest [B]."""
        return self.memory_bytes * self.usable_share

    @property
    def measured_cpu(self) -> bool:
        """Whether it is a measured CPU, which is timed operator by operator."""
        return self.kind == "cpu" and self.basis == "measured"

    def peak(self, dtype: str) -> float:
        """Dense peak of a number format [FLOP/s]; the next wider one when the chip has no unit for it."""
        for candidate in (dtype, *WIDER.get(dtype, ())):
            if candidate in self.peak_flop_per_s:
                return self.peak_flop_per_s[candidate]
        raise KeyError(dtype)


# A format without its own unit runs on the next of these that the chip has.
WIDER: Mapping[str, tuple[str, ...]] = {
    "fp4": ("fp8", "bf16", "fp16", "tf32", "fp32"),
    "int8": ("fp8", "bf16", "fp16", "fp32"),
    "fp8": ("bf16", "fp16", "tf32", "fp32"),
    "bf16": ("fp16", "tf32", "fp32"),
    "fp16": ("bf16", "tf32", "fp32"),
    "tf32": ("fp32", "bf16", "fp16"),
    "fp32": ("tf32", "bf16", "fp16"),
}


class Cluster(NamedTuple):
    """`count` equal accelerators, `per_node` to a node, whose own memory is `host_bytes` [B] where that is known."""

    accelerator: Accelerator
    count: int = 1  # type: ignore[assignment]  # hides the method of tuples
    per_node: int = 8
    host_bytes: float | None = None

    @property
    def nodes(self) -> int:
        """Whole nodes it takes [1]."""
        return -(-self.count // self.per_node)


class Precision(NamedTuple):
    """How numbers are stored and multiplied: `bits` with scales [bit], `compute` the units' format."""

    name: str
    bits: float
    compute: str
    sources: tuple[Source, ...] = ()
    assumed: bool = False

    @property
    def bytes(self) -> float:
        """Storage of one value [B]."""
        return self.bits / 8
