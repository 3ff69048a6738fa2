"""Memory of a serving replica: weights, KV cache, activations and the engine's reserve, per accelerator."""

from typing import NamedTuple

from numpy.typing import ArrayLike

from estimator.catalog.formats import Weights, stored_bytes
from estimator.formulas import Floats, transformer
from estimator.formulas.serving import adapter_params
from estimator.records import Accelerator, Architecture, Precision

VISIBLE_SHARE = 0.987  # of a GPU's memory that programs see: 79.2 of 80, 39.5 of 40, 23.6 of 24 GiB in engines' logs
CONTEXT_BYTES = 0.6e9  # driver context, workspace and graphs of one process on an accelerator
SOC_SHARE = 0.75  # of unified memory that Apple lets its GPU take by default
LOGIT_SEQUENCES = 256  # sequences whose logits an engine keeps room for


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


def weights_bytes(arch: Architecture, weights: Weights, layout: Layout) -> float:
    """Weights on one accelerator [B], each class of tensor in its own format; experts spread over all of them."""
    held = stored_bytes(arch, weights)
    return (sum(held) - held.experts) / (layout.tp * layout.pp) + held.experts / layout.accelerators


def kv_members(arch: Architecture, tp: int) -> int:
    """Accelerators of a tensor group that share the cache [1]: no more than there are key-value heads."""
    return 1 if arch.latent else min(tp, arch.kv_heads)


def kv_sequence_bytes(arch: Architecture, tokens: ArrayLike, cache: Precision, layout: Layout) -> Floats:
    """KV cache of one sequence on each accelerator that holds it [B]."""
    return transformer.kv_bytes(arch, tokens, cache.bytes) / (kv_members(arch, layout.tp) * layout.pp)


def state_sequence_bytes(arch: Architecture, layout: Layout) -> float:
    """State of one sequence, however long, on each accelerator that holds a part of it [B]."""
    return float(transformer.state_bytes(arch)) / (layout.tp * layout.pp)


def activation_bytes(arch: Architecture, layout: Layout, step_tokens: float) -> float:
    """Largest intermediate tensors of one pass of so many tokens [B]."""
    tokens = float(step_tokens)
    wide = _widest(arch) / layout.tp
    logits = LOGIT_SEQUENCES * arch.vocab * 4.0 / layout.tp * (arch.kind == "decoder")
    return 2.0 * tokens * (4 * arch.hidden + wide) + 2.0 * logits


def _widest(arch: Architecture) -> float:
    """Width of the widest thing a token is multiplied to inside a layer [1]."""
    if arch.blocks:
        return float(max(each.rows for block in arch.blocks for each in block.matrices if each.per == "token"))
    return max(2 * arch.ffn, transformer.q_width(arch) + 2 * arch.kv_heads * arch.head_dim)


def adapters_bytes(arch: Architecture, adapters: int, rank: int, layout: Layout) -> float:
    """16-bit LoRA adapters on one accelerator [B]."""
    return float(2.0 * adapters * adapter_params(arch, rank)) / (layout.tp * layout.pp)


def usable_bytes(device: Accelerator, fraction: float) -> float:
    """What an engine lets itself use of one accelerator [B]; an SoC's GPU may take three quarters of its memory."""
    if device.kind == "soc":
        return device.memory_bytes * min(fraction, SOC_SHARE)
    return device.memory_bytes * fraction * (VISIBLE_SHARE if device.kind == "gpu" else 1.0)
