"""Memory of a serving replica: weights, KV cache, activations and the engine's reserve, per accelerator."""

from typing import NamedTuple

from numpy.typing import ArrayLike

from estimator.catalog.facts import fact
from estimator.catalog.formats import Weights, stored_bytes
from estimator.formulas import Floats, Real, transformer
from estimator.formulas.serving import adapter_params
from estimator.records import Accelerator, Architecture


class Layout(NamedTuple):
    """How a replica is cut: tensor, pipeline and expert parallelism."""

    tp: int = 1
    pp: int = 1
    ep: int = 1

    @property
    def accelerators(self) -> int:
        """Accelerators of one replica [1]; experts may spread over more than the tensor group."""
        return max(self.tp, self.ep) * self.pp

    @property
    def attention_replicas(self) -> int:
        """Copies of the attention layers: data parallelism inside an expert-parallel group [1]."""
        return max(self.ep // self.tp, 1)


class Cut(NamedTuple):
    """What a load and its cache need to know of a replica: numbers, or arrays for many replicas of one plan.

    tp, pp: accelerators of a tensor group, and stages [1]; replicas: copies of the attention layers [1]
    kv_members: accelerators that share the cache [1]; cache_bytes: of one value in it [B]
    step_tokens, most_sequences: most of them in one step [token, 1]
    """

    tp: Real
    pp: Real
    replicas: Real
    kv_members: Real
    cache_bytes: Real
    step_tokens: Real
    most_sequences: Real


def weights_bytes(arch: Architecture, weights: Weights, layout: Layout) -> float:
    """Weights on one accelerator [B], each class of tensor in its own format; experts spread over all of them."""
    held = stored_bytes(arch, weights)
    return (sum(held) - held.experts) / (layout.tp * layout.pp) + held.experts / layout.accelerators


def kv_members(arch: Architecture, tp: int) -> int:
    """Accelerators of a tensor group that share the cache [1]: no more than there are key-value heads."""
    return 1 if arch.latent else min(tp, arch.kv_heads)


def kv_sequence_bytes(arch: Architecture, tokens: ArrayLike, cut: Cut) -> Floats:
    """KV cache of one sequence on each accelerator that holds it [B]."""
    return transformer.kv_bytes(arch, tokens, cut.cache_bytes) / (cut.kv_members * cut.pp)


def state_sequence_bytes(arch: Architecture, cut: Cut) -> Real:
    """State of one sequence, however long, on each accelerator that holds a part of it [B]."""
    return float(transformer.state_bytes(arch)) / (cut.tp * cut.pp)


def activation_bytes(arch: Architecture, layout: Layout, step_tokens: float) -> float:
    """Largest intermediate tensors of one pass of so many tokens [B], 16 bits each.

    The residual stream, a layer's input and output, and inside the layer what is multiplied and what comes of it.
    Source: vLLM's logs: Llama-3.1-8B takes 0.92 GiB more for 29,000 tokens at once than for 20,000 (issue 10517).

    >>> from estimator.records import Architecture
    >>> llama = Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256)
    >>> round((activation_bytes(llama, Layout(), 29e3) - activation_bytes(llama, Layout(), 20e3)) / 2**30, 2)
    0.93
    """
    tokens = float(step_tokens)
    exchanged = 2.0 * arch.hidden * layout.attention_replicas * (layout.attention_replicas > 1)
    return 2.0 * tokens * (3.0 * arch.hidden + max(_widest(arch) / layout.tp, _routed(arch, layout)) + exchanged)


def _widest(arch: Architecture) -> float:
    """Values per token inside the widest layer that is not routed [1]: projections side by side, and their product."""
    if arch.blocks:
        return float(max(each.rows for block in arch.blocks for each in block.matrices if each.per == "token"))
    gates = 2 if arch.gated_mlp else 1
    dense = (gates + 1) * transformer.dense_width(arch)
    return max(dense, 2 * transformer.q_width(arch) + 2 * arch.kv_heads * arch.head_dim)


def _routed(arch: Architecture, layout: Layout) -> float:
    """The same of routed experts: a copy for each that a token visits, of all tokens that replicas exchange."""
    if arch.experts is None:
        return 0.0
    members = layout.tp if layout.ep == 1 else 1
    inside = (2 if arch.gated_mlp else 1) * arch.experts.ffn / members
    return arch.experts.per_token * (max(inside, arch.hidden) + arch.experts.ffn / members)


def sampling_bytes(arch: Architecture, sequences: float, logit_bytes: float) -> float:
    """Memory to sample a token for each of so many sequences [B]: every member of a group has all logits."""
    return logit_bytes * sequences * arch.vocab * (arch.kind == "decoder")


def adapters_bytes(arch: Architecture, adapters: int, rank: int, layout: Layout) -> float:
    """16-bit LoRA adapters on one accelerator [B]."""
    return float(2.0 * adapters * adapter_params(arch, rank)) / (layout.tp * layout.pp)


def allowed_bytes(device: Accelerator, fraction: float) -> float:
    """What an engine lets itself use of one accelerator [B]; a share of what an SoC's GPU may take is taken whole."""
    if device.kind == "soc":
        return min(fraction * device.memory_bytes, device.usable_bytes)
    return fraction * device.usable_bytes


def beside_bytes(device: Accelerator, layout: Layout) -> float:
    """What an engine holds on a GPU beside its tensors [B]."""
    if device.kind != "gpu":
        return 0.0
    linked = (device.link_bytes_per_s or 0.0) > (device.pcie_bytes_per_s or 0.0)
    messages = fact(f"engine_memory/{'links' if linked else 'bus'}").value * (layout.accelerators > 1)
    return fact("engine_memory/context").value + messages
