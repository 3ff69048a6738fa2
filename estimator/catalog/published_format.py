"""The format a checkpoint is stored in, from its config.json: `quantization_config`, `quantization` (MLX), `dtype`.

Each method leaves some modules alone, by lists of names, wildcards or expressions; what share of a class of tensors
that is follows from the names its modules have in the usual model classes.
Source: huggingface/transformers src/transformers/utils/quantization_config.py and quantizers/; compressed-tensors
config/base.py; NVIDIA ModelOpt's export format; mlx-lm utils.py (recalled).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import translate
from typing import Any, NamedTuple

from estimator.catalog.formats import formats
from estimator.errors import InvalidInput, clipped
from estimator.records import Architecture, Formats

Config = Mapping[str, Any]
Claim = Callable[[str], bool]

DTYPES = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32"}
PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "transformer.", "")
STARTS = re.compile(r"^(?:model\.language_model|language_model\.model|language_model|model|transformer)\.")
# How the modules of a class are called in the usual model classes; one module's several spellings stand together.
ATTENTION = (
    ("self_attn.q_proj", "self_attn.q_b_proj", "self_attn.qkv_proj", "attention.wq", "linear_attn.in_proj_qkvz"),
    ("self_attn.k_proj", "self_attn.kv_a_proj_with_mqa", "attention.wk", "linear_attn.in_proj_ba"),
    ("self_attn.v_proj", "self_attn.kv_b_proj", "attention.wv", "mamba.in_proj", "mixer.in_proj"),
    ("self_attn.o_proj", "attention.wo", "linear_attn.out_proj", "mamba.out_proj", "mixer.out_proj"),
)
DENSE = (("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2"))
SHARED = (
    ("mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj", "feed_forward.shared_expert.gate_proj"),
    ("mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj", "feed_forward.shared_expert.down_proj"),
)
EXPERTS = (
    ("mlp.experts.0.gate_proj", "block_sparse_moe.experts.0.w1", "feed_forward.experts.0.gate_proj"),
    ("mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2", "feed_forward.experts.0.down_proj"),
)
ENDLESS = re.compile(r"[*+}]\??\)[*+{]")  # an expression that may be tried for ever
REMEDY = "Known: awq, gptq, auto-round, bitsandbytes, fp8, fbgemm_fp8, mxfp4, modelopt, compressed-tensors and MLX's."


class Group(NamedTuple):
    """Modules that are stored in one format: those that `claims`, by name."""

    format: str
    claims: Claim


def published(config: Config, arch: Architecture, where: str) -> Formats:
    """The format per class of tensors of the checkpoint a config.json belongs to.

    Raises InvalidInput for a method nobody listed: what it stores is not guessed.

    >>> from estimator.records import Architecture
    >>> shape = Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000)
    >>> published({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, shape, "x").attention
    'awq'
    >>> published({"torch_dtype": "float16"}, shape, "x").head
    'fp16'
    """
    text = _object(config, "text_config") or _object(config, "llm_config")
    wide = _dtype(config, text)
    entry = _object(config, "quantization_config") or _object(text, "quantization_config")
    entry = entry or _object(config, "compression_config")
    if not entry and not _object(config, "quantization"):
        return formats(wide)
    mlx = _object(config, "quantization") or (entry if "quant_method" not in entry and "bits" in entry else {})
    if mlx:
        return formats(_grouped("mlx-q", mlx, where, usual=64))
    groups, left = _groups(entry, where), _claim(_ignored(entry, where), where)
    return Formats(
        experts=_class_format(EXPERTS, _moe_layers(arch), groups, left, wide),
        attention=_class_format(ATTENTION, range(arch.layers), groups, left, wide),
        feed_forward=_class_format(*_feed_forward(arch), groups, left, wide),
        embeddings=wide,
        head=_head(entry, groups, left, wide),
        rest=wide,
    )


def _object(config: Config, key: str) -> Config:
    found = config.get(key)
    return found if isinstance(found, Mapping) else {}


def _dtype(config: Config, text: Config) -> str:
    """What is not quantised is stored in; 16 bits when not said."""
    for part in (text, config):
        for key in ("dtype", "torch_dtype"):
            if isinstance(part.get(key), str):
                return DTYPES.get(part[key].removeprefix("torch."), "bf16")
    return "bf16"


# --- methods ----------------------------------------------------------------------------------------------------------


def _groups(entry: Config, where: str) -> list[Group]:
    """Formats and the modules they are for, the first that claims a module counting."""
    method = str(entry.get("quant_method") or entry.get("quant_algo") or "").lower().replace("_", "-")
    if "config_groups" in entry:
        return [_listed_group(group, where) for group in _object(entry, "config_groups").values()]
    if method in ("awq", "gptq", "gptqmodel", "auto-round", "intel/auto-round"):
        return [Group(_grouped("awq" if method == "awq" else "gptq", entry, where), _all)]
    if method == "bitsandbytes":
        return [Group(_bitsandbytes(entry), _all)]
    if method in ("fp8", "fbgemm-fp8", "finegrained-fp8"):
        return [Group("fp8", _all)]
    if method == "mxfp4":
        return [Group("mxfp4", lambda name: ".experts" in name)]
    if method in ("modelopt", "nvfp4", "modelopt-fp4"):
        return [Group(_modelopt(entry, where), _all)]
    raise InvalidInput(f"{where}: quantization_config of {clipped(method or entry)} is not known. {REMEDY}")


def _all(_: str) -> bool:
    return True


def _whole(entry: Config, key: str, usual: int, where: str) -> int:
    value = entry.get(key)
    value = usual if value is None else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{where}: {key} of quantization_config must be a whole number, not {clipped(value)}")
    return value


def _grouped(name: str, entry: Config, where: str, usual: int = 128) -> str:
    """Integers with a scale and a zero point per group; a group of -1 is a whole row."""
    bits, group = _whole(entry, "bits", 4, where), _whole(entry, "group_size", usual, where)
    if name == "mlx-q":
        blocks = entry.get("mode") in ("mxfp4", "nvfp4", "mxfp8")
        return str(entry["mode"]) if blocks else f"mlx-q{bits}" + ("" if group == usual else f"-g{group}")
    if group < 1:
        return {4: "int4-row", 8: "int8-wo"}.get(bits, f"int{bits}")
    return name if (bits, group) == (4, usual) else f"int{bits}-g{group}"


def _bitsandbytes(entry: Config) -> str:
    if not entry.get("load_in_4bit", entry.get("_load_in_4bit")):
        return "int8-bnb"
    return "nf4" if entry.get("bnb_4bit_use_double_quant") else "nf4-plain"


def _modelopt(entry: Config, where: str) -> str:
    algorithm = str(entry.get("quant_algo", "NVFP4")).upper()
    for name, found in {"NVFP4": "nvfp4", "MXFP4": "mxfp4", "MXFP8": "mxfp8", "FP8": "fp8", "W4A16": "awq"}.items():
        if name in algorithm:
            return found
    raise InvalidInput(f"{where}: quant_algo {clipped(algorithm)} of modelopt is not known. {REMEDY}")


def _listed_group(group: Any, where: str) -> Group:
    """A group of compressed-tensors: formats of `weights`, for the modules among `targets`."""
    kind = _object(group, "weights") if isinstance(group, Mapping) else {}
    if not kind:
        raise InvalidInput(f"{where}: a group of quantization_config lacks weights")
    targets = _names(group, "targets", where, ["Linear"])
    types = any(re.fullmatch(r"[A-Z]\w+", one) for one in targets)  # classes of modules, such as Linear
    return Group(_compressed(kind, group, where), _all if types else _claim(targets, where))


def _compressed(kind: Config, group: Config, where: str) -> str:
    bits, size = _whole(kind, "num_bits", 8, where), _whole(kind, "group_size", -1, where)
    if str(kind.get("type", "int")) == "float":
        if bits == 4:
            return "mxfp4" if size == 32 else "nvfp4"
        return "mxfp8" if size == 32 else "fp8"
    if bits == 8:
        return "int8" if group.get("input_activations") else "int8-wo"
    if size < 1:
        return f"int{bits}-row" if bits == 4 else f"int{bits}"
    return f"int{bits}-g{size}" + ("-sym" if kind.get("symmetric", True) else "")


# --- modules ----------------------------------------------------------------------------------------------------------


def _names(entry: Config, key: str, where: str, usual: Sequence[str] = ()) -> list[str]:
    """A list of modules, or of one alone."""
    found = entry.get(key)
    found = usual if found is None else [found] if isinstance(found, str) else found
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise InvalidInput(f"{where}: {key} of quantization_config must list names of modules, not {clipped(found)}")
    return [*found]


def _ignored(entry: Config, where: str) -> list[str]:
    keys = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "llm_int8_skip_modules")
    return [one for key in keys for one in _names(entry, key, where)]


def _claim(entries: Sequence[str], where: str) -> Claim:
    """Whether a module is meant by any of the entries: its name or a part of it, a wildcard, or an expression."""
    plain = {STARTS.sub("", one).strip(".") for one in entries if not _is_pattern(one)}
    patterns = list(_patterns([one for one in entries if _is_pattern(one)], where))

    def claims(name: str) -> bool:
        return any(part in plain for part in _runs(name)) or any(
            pattern.match(start + name) for pattern in patterns for start in PREFIXES
        )

    return claims


def _is_pattern(entry: str) -> bool:
    return entry.startswith("re:") or "*" in entry


def _patterns(entries: Sequence[str], where: str) -> Iterator[re.Pattern[str]]:
    for one in entries:
        if one.startswith("re:") and ENDLESS.search(one):
            raise InvalidInput(f"{where}: {clipped(one)} of quantization_config repeats what repeats, without an end")
        try:
            yield re.compile(one[3:] if one.startswith("re:") else translate(one)[:-2] + r"(?:\.|$)")
        except re.error:
            continue  # an expression of another dialect: nothing is known to be left out by it


def _runs(name: str) -> Iterator[str]:
    """All runs of a dotted name's parts."""
    parts = name.split(".")
    for start in range(len(parts)):
        for end in range(start + 1, len(parts) + 1):
            yield ".".join(parts[start:end])


def _class_format(
    modules: Sequence[Sequence[str]], layers: Sequence[int], groups: Sequence[Group], left: Claim, wide: str
) -> str:
    """The format of most modules of a class, with the share that another has."""
    found = [_module_format(names, layer, groups, left, wide) for layer in layers for names in modules]
    if not found:
        return wide
    common = max(sorted(set(found)), key=found.count)
    others = [one for one in found if one != common]
    if not others:
        return common
    other = max(sorted(set(others)), key=others.count)
    narrow, share = (common, len(others) / len(found)) if common != wide else (other, 1 - len(others) / len(found))
    return f"{narrow} with {100 * share:.2f} % {wide if narrow == common else common}"


def _module_format(names: Sequence[str], layer: int, groups: Sequence[Group], left: Claim, wide: str) -> str:
    spelled = [f"layers.{layer}.{name}" for name in names]
    if any(left(name) for name in spelled):
        return wide
    return next((group.format for group in groups if any(group.claims(name) for name in spelled)), wide)


def _moe_layers(arch: Architecture) -> range:
    return range(arch.layers - arch.moe_layers, arch.layers)


def _feed_forward(arch: Architecture) -> tuple[Sequence[Sequence[str]], range]:
    """Modules of feed-forward blocks that every token meets, and the layers they are in."""
    if arch.experts and arch.experts.shared:
        return SHARED, _moe_layers(arch)
    return DENSE, range(arch.layers - arch.moe_layers)


def _head(entry: Config, groups: Sequence[Group], left: Claim, wide: str) -> str:
    """Output projections stay wide unless a method says that it quantised them."""
    if "config_groups" in entry and not left("lm_head"):
        return next((group.format for group in groups if group.claims("lm_head")), wide)
    return groups[0].format if entry.get("lm_head") is True and groups else wide
