"""Work of training: floating-point operations of a step, what adapters add, and utilisation by convention.

FLOP are counted two per multiply-add. *Model* FLOP leave recomputation out, *hardware* FLOP count it.
Validity: matrix products and attention; norms, activations and the optimizer are left out. What cites
nothing is arithmetic over shapes.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats
from estimator.formulas.transformer import attention_flop, attentions, forward_flop, matrices
from estimator.records import Architecture, Matrix

# The linear layers of a block, and the names that frameworks give them.
LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
_GROUPS = {
    "all": LINEARS,
    "attention": ("q", "k", "v", "o"),
    "mlp": ("gate", "up", "down"),
    "qkv": ("q", "k", "v"),
    "qkv_proj": ("q", "k", "v"),
    "linear_qkv": ("q", "k", "v"),
    "query_key_value": ("q", "k", "v"),
    "c_attn": ("q", "k", "v"),
    "wqkv": ("q", "k", "v"),
    "linear_proj": ("o",),
    "c_proj": ("o", "down"),
    "out_proj": ("o",),
    "output_proj": ("o",),
    "dense": ("o",),
    "gate_up_proj": ("gate", "up"),
    "linear_fc1": ("gate", "up"),
    "dense_h_to_4h": ("gate", "up"),
    "c_fc": ("up",),
    "fc1": ("up",),
    "linear_fc2": ("down",),
    "dense_4h_to_h": ("down",),
    "fc2": ("down",),
    "w1": ("gate",),
    "w2": ("up",),
    "w3": ("down",),
}


def dense_training_flop(params: ArrayLike, tokens: ArrayLike, recompute: bool = False) -> Floats:
    """Work of training on `tokens` [FLOP]: 6 N D, 8 N D with full recomputation; attention scores left out.

    Validity: low by the attention term, sequence / (6 hidden) of it.
    Source: arXiv:2001.08361 section 2.1 (6 N D); arXiv:2104.04473 section 5.1 (8 N D).

    >>> float(dense_training_flop(175e9, 300e9))
    3.15e+23
    """
    work: Floats = (8.0 if recompute else 6.0) * np.asarray(params, float) * np.asarray(tokens, float)
    return work


def megatron_flop(
    batch: ArrayLike, s: ArrayLike, layers: ArrayLike, h: ArrayLike, vocab: ArrayLike, recompute: bool = True
) -> Floats:
    """Work of one GPT step as Megatron-LM reports it [FLOP]: 96 B s l h^2 (1 + s/6h + V/16lh), attention not halved.

    Without recomputation 72 instead of 96, and V/12lh.
    Source: arXiv:2104.04473 equation 3; arXiv:2205.05198 equations 7 and 8.

    >>> round(float(megatron_flop(64, 2048, 96, 12288, 51200, recompute=False)) / 1e15, 1)
    141.1
    """
    batch, s, h = np.asarray(batch, float), np.asarray(s, float), np.asarray(h, float)
    layers, vocab = np.asarray(layers, float), np.asarray(vocab, float)
    passes, head = (96.0, 16.0) if recompute else (72.0, 12.0)
    work: Floats = passes * batch * s * layers * h**2 * (1 + s / (6 * h) + vocab / (head * layers * h))
    return work


def model_flop(arch: Architecture, seq_len: ArrayLike, sequences: ArrayLike = 1.0, causal: bool = True) -> Floats:
    """Forward and backward work of a step, recomputation left out [FLOP]: three times the forward pass.

    causal: count the pairs the mask leaves (halved attention); else every pair, as 12 L H Q T does
    Source: arXiv:2204.02311 appendix B (MFU), whose attention is not halved.
    """
    work = forward_flop(arch, seq_len)
    if not causal:
        width = sum(count * each.heads * each.key_dim for count, each in attentions(arch))
        work = work - attention_flop(arch, seq_len) + 4.0 * width * np.asarray(seq_len, float) ** 2
    total: Floats = 3.0 * np.asarray(sequences, float) * work
    return total


def utilisation(flop: ArrayLike, seconds: ArrayLike, accelerators: ArrayLike, peak_flop_per_s: ArrayLike) -> Floats:
    """Share of the peak that `flop` in `seconds` is [1]: MFU of model FLOP, HFU of hardware FLOP.

    Source: arXiv:2204.02311 section 4.1.

    >>> round(float(utilisation(6 * 540e9 * 238.3e3, 1.0, 6144, 275e12)), 3)
    0.457
    """
    available = np.asarray(seconds, float) * np.asarray(accelerators, float) * np.asarray(peak_flop_per_s, float)
    share: Floats = np.asarray(flop, float) / available
    return share


def targeted_linears(targets: str) -> tuple[str, ...]:
    """The linear layers that a list of adapter targets means; names nobody knows are left out, all when none is known.

    >>> targeted_linears("q_proj,v_proj"), targeted_linears("c_attn")
    (('q', 'v'), ('q', 'k', 'v'))
    """
    found = {linear for word in _target_words(targets) for linear in _meaning(word)}
    return tuple(linear for linear in LINEARS if linear in found) or LINEARS


def unknown_targets(targets: str) -> tuple[str, ...]:
    """The names in a list of adapter targets that mean no linear layer.

    >>> unknown_targets("q_proj, v_proj"), unknown_targets("all linear"), unknown_targets("q,banana")
    ((), (), ('banana',))
    """
    words = _target_words(targets)
    return tuple(word for word in words if not _meaning(word) and word not in ("linear", "layers"))


def _target_words(targets: str) -> list[str]:
    words = targets.lower().replace("(", ",").replace(")", ",").replace(";", ",").replace("+", ",").replace(" ", ",")
    return [word for word in words.split(",") if word]


def _meaning(word: str) -> Iterable[str]:
    if word in _GROUPS:
        return _GROUPS[word]
    bare = word.removesuffix("_proj").removeprefix("w")
    return (bare,) if bare in LINEARS else {"query": ("q",), "key": ("k",), "value": ("v",)}.get(bare, ())


# Names under which a matrix is adapted: the latent's projections, and those of recurrences, are queries, keys, ... too.
_FAMILY = {"q_a": "q", "q_b": "q", "kv_a": "k", "kv_b": "v", "in": "q", "out": "o"}


def family(matrix: Matrix) -> str:
    """The linear layer that a matrix stands for, one of LINEARS; its own name when none."""
    name = matrix.name.removeprefix("shared_")
    return _FAMILY.get(name, name)


def adapted(arch: Architecture, targets: str = "all") -> tuple[Matrix, ...]:
    """Matrices that adapters on `targets` are put beside: in attention or recurrence, and in feed-forward layers.

    >>> from estimator.records import Architecture
    >>> llm = Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000)
    >>> [each.name for each in adapted(llm, "q,v")]
    ['q', 'v']
    """
    wanted = targeted_linears(targets)
    return tuple(each for each in matrices(arch) if each.per in ("token", "routed") and family(each) in wanted)


def adapter_params(arch: Architecture, rank: ArrayLike, targets: str = "all") -> Floats:
    """Trainable parameters of low-rank adapters [1]: r (in + out) for each targeted matrix, those of experts too.

    Source: arXiv:2106.09685 section 4.2.

    >>> from estimator.records import Architecture
    >>> float(adapter_params(Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000), 8, "q,v"))
    4194304.0
    """
    return np.asarray(np.asarray(rank, float) * adapter_width(arch, targets))


def adapter_width(arch: Architecture, targets: str = "all") -> float:
    """Inputs and outputs of all targeted matrices together [1]."""
    return sum((each.rows + each.columns) * each.count for each in adapted(arch, targets))
