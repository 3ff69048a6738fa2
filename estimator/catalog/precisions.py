"""Number formats by name. The vocabulary is open: an unlisted name's bits are read from it, and marked assumed."""

import re
from collections.abc import Mapping
from functools import cache

from estimator.catalog.files import Content
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.paths import presets, toml
from estimator.records import Accelerator, Precision, Source

_GROUP_SCALE_BITS = 20.0  # a 16-bit scale and a 4-bit zero point, as AWQ and GPTQ store for each group
_SYMMETRIC_SCALE_BITS = 16.0  # without zero points
_MLX_SCALE_BITS = 32.0  # a 16-bit scale and a 16-bit bias for each group
_DIGITS = re.compile(r"(?<![\d.])(\d{1,2}(?:\.\d+)?)")
_GROUP = re.compile(r"g(\d{2,4})(?!\d)")
_MIX = re.compile(r"(.+)with(\d+(?:\.\d+)?)%(.+)")
_MLX = re.compile(r"mlx-q?(\d)(?:bit)?(?:-g(\d{2,3}))?")
_GGUF = re.compile(r"^(?:i|t)?q(\d)(?:_|$)")


@cache
def precision(name: str) -> Precision:
    """A number format: bits per value with its scales [bit], and the format its products are done in.

    Unlisted names are parsed: `exl2-4.65`, `q5_0`, `int4-g32`, `int4-g32-sym`, `3bit`; such a one is marked assumed.
    `fp8 with 1.6 % bf16` leaves a share of the weights in another format.
    Of `fp8/bf16` (products in either, by the chip) the first is taken. Raises UnknownName when no bits can be read.

    >>> precision("awq").bits, precision("exl2-4.65").bits, precision("exl2-4.65").assumed
    (4.15625, 4.65, True)
    """
    tables, key = _tables(), canonical(name)
    mixed = _MIX.fullmatch(key)
    if mixed:
        return _mixed(name, precision(mixed[1]), precision(mixed[3]), float(mixed[2]) / 100)
    if key in tables["format"]:
        return _listed(name, tables["format"][key], tables["source"])
    bits = _bits_from(key)
    if bits is None:
        known = [*tables["format"], *tables["alias"]]
        raise UnknownName("precision", name, known, "Bits are read from a name such as 'int4-g128' or 'exl2-4.65'.")
    return Precision(name, bits, _compute_of(key, bits), assumed=True)


def canonical(name: str) -> str:
    """A format's name as the table spells it.

    >>> canonical("W8A8-FP8"), canonical("bnb-4bit")
    ('fp8', 'nf4')
    """
    key = name.strip().lower().replace(" ", "").split("/")[0]
    return str(_tables()["alias"].get(key, key))


def head_precision(name: str) -> Precision:
    """What embeddings and the output projection are stored in: GGUF and 16-bit formats as the rest, others 16 bits.

    >>> head_precision("awq").bits, head_precision("q4_0").bits
    (16.0, 4.5)
    """
    weights, key = precision(name), canonical(name)
    entry = _tables()["format"].get(key)
    if entry is not None:
        return precision(entry["head"]) if "head" in entry else weights
    whole = _GGUF.match(key) or key.startswith(("exl", "mlx"))
    return weights if weights.bits >= 16 or whole else precision("bf16")


def training_precision(name: str) -> str:
    """The name of a format that training computes in. Raises InvalidInput for one that only stores weights.

    >>> training_precision("amp_bf16"), training_precision("fp8")
    ('amp_bf16', 'fp8')
    """
    found = precision(name.lower().removeprefix("amp_"))
    if found.bits < 16 and found.compute in ("bf16", "fp16"):
        raise InvalidInput(
            f"training does not compute in {clipped(name)}, which only stores weights: name bf16, fp16, fp32, fp8 or "
            "nvfp4; 4-bit weights under adapters are method = qlora"
        )
    return name


def known_precisions() -> tuple[str, ...]:
    """Listed names and aliases."""
    tables = _tables()
    return (*tables["format"], *tables["alias"])


def usual_formats() -> tuple[str, ...]:
    """Quantised formats that common LLMs are to be had in, the widest first."""
    return tuple(_tables()["usual"]["quantised"])


def native(device: Accelerator, name: str) -> bool:
    """Whether the accelerator has units for products in the format; without them a wider one is computed in."""
    return precision(name.lower().removeprefix("amp_")).compute in device.peak_flop_per_s


def sixteen_bits(device: Accelerator) -> str:
    """The 16-bit format that it has units for: bf16, or fp16 where it was made before bf16 (V100, T4).

    >>> from estimator.catalog.accelerators import accelerator
    >>> sixteen_bits(accelerator("a100")), sixteen_bits(accelerator("t4"))
    ('bf16', 'fp16')
    """
    return "fp16" if native(device, "fp16") and not native(device, "bf16") else "bf16"


def _listed(name: str, entry: Content, sources: Mapping[str, Source]) -> Precision:
    return Precision(name, float(entry["bits"]), entry["compute"], (sources[entry["source"]],))


def _mixed(name: str, most: Precision, rest: Precision, share: float) -> Precision:
    """A format of which a share of the weights is left in another."""
    bits = (1 - share) * most.bits + share * rest.bits
    return most._replace(name=name, bits=bits, assumed=most.assumed or rest.assumed)


def _bits_from(key: str) -> float | None:
    """Bits per weight that a name states, scales of its groups added [bit]."""
    mlx = _MLX.fullmatch(key)
    if mlx:
        return float(mlx[1]) + _MLX_SCALE_BITS / int(mlx[2] or 64)
    if key.startswith("exl"):
        key = key.split("-", 1)[-1] if "-" in key else key[4:].lstrip("_")
    group = _GROUP.search(key)
    found = _DIGITS.search(_GROUP.sub("", key))
    if found is None or not 1 <= float(found[1]) <= 64:
        return None
    bits = float(found[1])
    if bits > 8 and bits not in (16, 32, 64):  # a typing slip, such as bf61, not a format
        return None
    if _GGUF.match(key):
        return bits + 0.5  # a 16-bit scale per 32 weights
    if group and bits < 16:
        return bits + (_SYMMETRIC_SCALE_BITS if "sym" in key else _GROUP_SCALE_BITS) / int(group[1])
    return bits


def _compute_of(key: str, bits: float) -> str:
    activations = re.search(r"a(\d+)", key)
    if bits >= 32:
        return "fp32"
    if key.startswith(("fp8", "mxfp8")) or (activations and activations[1] == "8" and "fp" in key):
        return "fp8"
    if activations and activations[1] == "8":
        return "int8"
    return "bf16" if key.startswith("bf") else "fp16"


@cache
def _tables() -> Content:
    """The preset file: formats, aliases, and its sources as records."""
    tables = toml((presets() / "precisions.toml").read_text(encoding="utf-8"))
    tables["source"] = {
        row["id"]: Source(row["title"], row["kind"], str(row.get("date", ""))) for row in tables["source"]
    }
    return tables
