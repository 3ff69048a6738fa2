"""Shapes of language models: whether one makes sense, and one scaled to another size."""

from estimator.errors import InvalidInput, clipped
from estimator.formulas.transformer import params
from estimator.records import Architecture

# Far beyond anything built; a number past these is a typo or another unit.
MOST = {
    "layers": 10_000, "hidden": 1_000_000, "heads": 100_000, "kv_heads": 100_000, "head_dim": 100_000,
    "ffn": 10_000_000, "vocab": 100_000_000, "max_context": 10**9, "sliding_window": 10**9, "learned_positions": 10**8,
    "global_layers": 10_000, "norms_per_layer": 16,
}  # fmt: skip
MOST_EXPERTS = {"experts": 100_000, "per_token": 100_000, "ffn": 10_000_000, "shared": 1_000, "layer_every": 1_000}
MOST_LATENT = {"q_lora_rank": 10**6, "kv_lora_rank": 10**6, "qk_nope_head_dim": 10**5, "qk_rope_head_dim": 10**5}
MAY_BE_ZERO = {
    "norms_per_layer",
    "learned_positions",
    "global_layers",
    "shared",
    "first_dense_layers",
    "q_lora_rank",
    "qk_rope_head_dim",
}
MOST_PARAMS = 20e12


def checked(arch: Architecture, where: str) -> Architecture:
    """The same shape, once its counts are whole, positive, possible together and not absurd; else `InvalidInput`."""
    _check_counts(arch, MOST, where)
    if arch.heads % arch.kv_heads:
        raise InvalidInput(f"{where}: {arch.heads} heads cannot share {arch.kv_heads} kv_heads evenly")
    if (arch.global_layers or 0) > arch.layers:
        raise InvalidInput(f"{where}: {arch.global_layers} global layers are more than all {arch.layers} layers")
    if arch.experts:
        _check_experts(arch, where)
    if arch.latent:
        _check_counts(arch.latent, MOST_LATENT | {"v_head_dim": 10**5}, where)
    if params(arch) > MOST_PARAMS:
        raise InvalidInput(f"{where}: {params(arch):.3g} parameters are more than the {MOST_PARAMS:.0e} accepted")
    return arch


def _check_counts(record: object, limits: dict[str, int], where: str) -> None:
    for field, most in limits.items():
        value = getattr(record, field)
        if value is None:
            continue
        least = 0 if field in MAY_BE_ZERO else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidInput(f"{where}: {field} must be a whole number from {least} to {most}, not {clipped(value)}")


def _check_experts(arch: Architecture, where: str) -> None:
    experts = arch.experts
    if experts is None:
        return
    _check_counts(experts, MOST_EXPERTS | {"first_dense_layers": arch.layers}, where)
    if experts.per_token > experts.experts:
        raise InvalidInput(f"{where}: a token cannot visit {experts.per_token} of {experts.experts} experts")


def scaled(arch: Architecture, target: float, name: str) -> Architecture:
    """A dense decoder's shape at `target` parameters: depth and width grow alike (x cube root), the
    feed-forward width takes up the rest. Head size, kv heads and vocabulary stay.

    >>> from estimator.records import Architecture
    >>> small = scaled(Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256), 4e9, "4b")
    >>> small.hidden, round(params(small) / 1e9, 2)
    (3072, 4.0)
    """
    ratio = _body_ratio(arch, target)
    group = max(1, round(arch.heads / arch.kv_heads * ratio ** (1 / 3)))
    heads = arch.kv_heads * group
    hidden = round(arch.hidden * heads / arch.heads)
    wide = arch._replace(name=name, heads=heads, hidden=hidden, ffn=_multiple(arch.ffn * hidden / arch.hidden))
    deep = wide._replace(layers=max(1, round(arch.layers * _body_ratio(wide, target))))
    per_ffn = (params(deep._replace(ffn=deep.ffn + 8)) - params(deep)) / 8
    ffn = _multiple(deep.ffn + (target - params(deep)) / per_ffn)
    return deep._replace(ffn=ffn, params_published=None, basis="assumed")


def _body_ratio(arch: Architecture, target: float) -> float:
    """How many times the layers of `arch` must hold for `target` parameters in all, its embeddings as they are."""
    body = params(arch) - params(arch._replace(layers=0))
    return max(target - (params(arch) - body), 0.02 * target) / body


def _multiple(value: float, of: int = 8) -> int:
    return max(of, round(value / of) * of)
