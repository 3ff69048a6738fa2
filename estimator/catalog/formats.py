"""How an LLM's weights are stored, per class of tensor: as its makers published them, or all layers in one format.

A short text says so: `fp8` (layers in FP8; embeddings, head and norms as that format leaves them), or
`mxfp4: experts` (the named classes alone, all else in 16 bits), several parts with semicolons.
"""

from typing import NamedTuple

from estimator.catalog.files import recent
from estimator.catalog.precisions import canonical, head_precision, precision
from estimator.errors import UnknownName, clipped
from estimator.formulas.weight_classes import WeightCounts, weight_counts
from estimator.records import Architecture, Formats, Precision

AS_PUBLISHED = "as published"
SPELLINGS = ("as published", "as-published", "as_published", "published", "auto")
LAYERS = ("experts", "attention", "feed_forward")
SERVED = "bf16"  # engines read 32-bit checkpoints into 16 bits unless told otherwise


class Weights(NamedTuple):
    """Formats of an LLM's weights, in the order of `records.Formats`."""

    experts: Precision
    attention: Precision
    feed_forward: Precision
    embeddings: Precision
    head: Precision
    rest: Precision


def formats(text: str) -> Formats:
    """What a short text says of each class.

    >>> formats("fp8").experts, formats("fp8").head, formats("q4_0").head
    ('fp8', 'bf16', 'q4_0')
    >>> formats("mxfp4: experts").experts, formats("mxfp4: experts").attention
    ('mxfp4', 'bf16')
    """
    if ":" not in text:
        return _whole(text)
    named: dict[str, str] = {}
    for part in text.split(";"):
        name, _, classes = part.partition(":")
        for one in classes.replace("-", "_").split(","):
            if one.strip() not in Formats._fields:
                raise UnknownName("class of tensors", one.strip(), Formats._fields, f"It stands in {clipped(text)}.")
            named[one.strip()] = canonical(precision(name.strip()).name)
    return Formats()._replace(**named)


def _whole(name: str) -> Formats:
    layers, ends = canonical(name), canonical(head_precision(name).name)
    precision(layers)
    return Formats(layers, layers, layers, ends, ends, ends)


def is_published(name: str) -> bool:
    """Whether a weight precision asks for the checkpoint as its makers published it."""
    return name.strip().lower() in SPELLINGS


def stored(arch: Architecture, name: str = AS_PUBLISHED, beside: str = "") -> Formats:
    """The formats that `name` means for this LLM.

    The very format that its makers chose for some classes means their checkpoint: nobody cuts the rest anew, unless
    an engine's own files do. beside: what these hold 16-bit matrices in where experts are packed (engines.toml)

    >>> from estimator.catalog.models import architecture
    >>> [stored(architecture(name), beside="q8_0").attention for name in ("gpt-oss-20b", "8b")]
    ['q8_0', 'bf16']
    """
    return _stored(arch.published, name, beside)


@recent(4096)
def _stored(published: Formats, name: str, beside: str) -> Formats:
    published = Formats(*(SERVED if one in ("fp32", "tf32") else one for one in published))
    asked = published if is_published(name) else _whole(name)
    if asked.experts not in {published.experts, published.attention} - {"bf16", "fp16"}:
        return asked
    return _beside(published, beside) if beside else published


def _beside(found: Formats, narrow: str) -> Formats:
    """Matrices of 16 bits in a narrower format, where the experts are packed."""
    if precision(found.experts).bits >= 16:
        return found
    wide = {name for name in Formats._fields if name != "rest" and precision(getattr(found, name)).bits == 16}
    return found._replace(**dict.fromkeys(wide, narrow)) if "attention" in wide else found


@recent(4096)
def _resolved(found: Formats) -> Weights:
    return Weights(*(precision(name) for name in found))


def weights(arch: Architecture, name: str = AS_PUBLISHED, beside: str = "") -> Weights:
    """Formats of each class of the LLM's weights. beside: as in `stored`

    >>> from estimator.catalog.models import architecture
    >>> found = weights(architecture("gpt-oss-120b"))
    >>> found.experts.bits, found.attention.bits
    (4.25, 16.0)
    """
    return _resolved(stored(arch, name, beside))


def main(arch: Architecture, found: Weights) -> Precision:
    """The format of most of the layers' weights: that of the experts, where there are any."""
    return found.experts if arch.experts else found.feed_forward


def stored_bytes(arch: Architecture, found: Weights) -> WeightCounts:
    """Storage of each class [B], rounded.

    >>> from estimator.catalog.models import architecture
    >>> llm = architecture("gpt-oss-20b")
    >>> round(sum(stored_bytes(llm, weights(llm))) / 1e9, 2)
    13.76
    """
    return WeightCounts(*(round(n * one.bytes) for n, one in zip(weight_counts(arch), found, strict=True)))


def dense_bytes(arch: Architecture, found: Weights) -> float:
    """Storage of the average layer weight that every token meets: attention, feed-forward and routers [B]."""
    counts = weight_counts(arch)
    parts = ((counts.attention, found.attention), (counts.feed_forward, found.feed_forward))
    total = sum(n for n, _ in parts)
    return sum(n * one.bytes for n, one in parts) / total if total else found.attention.bytes


def shown(arch: Architecture, name: str = AS_PUBLISHED, beside: str = "") -> str:
    """The formats in words. beside: as in `stored`

    >>> from estimator.catalog.models import architecture
    >>> shown(architecture("gpt-oss-20b")), shown(architecture("8b"), "fp8")
    ('mxfp4 (experts), bf16 (all else), as published', 'fp8 (layers), bf16 (all else)')
    >>> shown(architecture("8b"))
    'bf16, as published'
    """
    found = stored(arch, name, beside)
    words = _words(arch, found)
    if is_published(name) and found == stored(arch, name):
        wide = {one for one in arch.published if one in ("fp32", "tf32")}
        return f"{words} (published in {wide.pop()})" if wide else f"{words}, as published"
    return words


@recent(1024)
def _words(arch: Architecture, found: Formats) -> str:
    held = {one: n for one, n in zip(Formats._fields, weight_counts(arch), strict=True) if n}
    parts: dict[str, list[str]] = {}
    for one in held:
        parts.setdefault(getattr(found, one), []).append(one)
    if len(parts) == 1:
        return next(iter(parts))
    *named, last = sorted(parts, key=lambda name: (precision(name).bits, name))
    layers = [one for one in LAYERS if one in held]
    words = [f"{name} ({'layers' if parts[name] == layers else _listed(parts[name])})" for name in named]
    return ", ".join([*words, f"{last} (all else)"])


def _listed(classes: list[str]) -> str:
    return ", ".join(one.replace("feed_forward", "feed-forward") for one in classes)
