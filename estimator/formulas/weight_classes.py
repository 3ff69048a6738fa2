"""An LLM's parameters by class of tensor: makers store each class in a format of its own."""

from typing import NamedTuple

from estimator.formulas.transformer import (
    attention_weights,
    embedding_params,
    head_params,
    mlp_weights,
    params,
)
from estimator.records import Architecture


class WeightCounts(NamedTuple):
    """Parameters per class of tensor [1], in the order of `records.Formats`; their sum is all parameters.

    experts: routed ones; feed_forward: dense ones and shared experts; head: nothing when it is the embedding;
    rest: norms, biases, routers
    """

    experts: int
    attention: int
    feed_forward: int
    embeddings: int
    head: int
    rest: int


def weight_counts(arch: Architecture) -> WeightCounts:
    """Parameters of each class [1].

    >>> from estimator.records import Architecture
    >>> found = weight_counts(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000))
    >>> found.attention, found.feed_forward, found.rest, sum(found)
    (2147483648, 4328521728, 266240, 6738415616)
    """
    experts = shared = 0
    if arch.experts:
        each = mlp_weights(arch, arch.experts.ffn)
        experts, shared = (arch.moe_layers * count * each for count in (arch.experts.experts, arch.experts.shared))
    attention = arch.layers * attention_weights(arch)
    feed_forward = (arch.layers - arch.moe_layers) * mlp_weights(arch) + shared
    embeddings, head = embedding_params(arch), 0 if arch.tied_embeddings else head_params(arch)
    rest = params(arch) - experts - attention - feed_forward - embeddings - head
    return WeightCounts(experts, attention, feed_forward, embeddings, head, rest)
