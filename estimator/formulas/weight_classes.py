"""An LLM's parameters by class of tensor: makers store each class in a format of its own."""

from functools import lru_cache
from typing import NamedTuple

from estimator.formulas.layers import is_feed_forward
from estimator.formulas.transformer import blocks, embedding_params, head_params, params
from estimator.records import Architecture, Matrix


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


@lru_cache(maxsize=1024)
def weight_counts(arch: Architecture) -> WeightCounts:
    """Parameters of each class [1].

    >>> from estimator.records import Architecture
    >>> found = weight_counts(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000))
    >>> found.attention, found.feed_forward, found.rest, sum(found)
    (2147483648, 4328521728, 266240, 6738415616)
    """
    found = {"experts": 0, "attention": 0, "feed_forward": 0}
    for block in blocks(arch):
        for matrix in block.matrices:
            if matrix.name != "router":
                found[_class(matrix)] += int(block.held * matrix.size * matrix.count)
    looked_up = int(sum(each.size * each.count for each in arch.matrices if each.per == "lookup"))
    embeddings = embedding_params(arch) + looked_up
    head = 0 if arch.tied_embeddings else head_params(arch)
    rest = params(arch) - sum(found.values()) - embeddings - head
    return WeightCounts(**found, embeddings=embeddings, head=head, rest=rest)


def _class(matrix: Matrix) -> str:
    if matrix.per == "routed":
        return "experts"
    return "feed_forward" if is_feed_forward(matrix) else "attention"
