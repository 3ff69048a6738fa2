"""What kernels reach on an accelerator: measured there, else carried over from a relative, always saying which.

Precedence: measured on this machine > this accelerator's kernel table > the nearest measured member of its family >
an achievable matmul rate (mamf.csv) > the pool of its kind. Every answer carries `evidence`: basis, spread of
log(time), and the step taken.
Rates carry over as shares of peak, bandwidth and link; extents and latencies as they are.
"""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from estimator.catalog.files import Content, cached, rows
from estimator.catalog.generations import generation
from estimator.formulas.collectives import CollectiveEfficiency, CollectiveRate
from estimator.formulas.roofline import (
    AttentionEfficiency,
    DecodeAttentionEfficiency,
    Evidence,
    GemmEfficiency,
    MemoryEfficiency,
)
from estimator.paths import data_folder, toml
from estimator.records import WIDER, Accelerator

if TYPE_CHECKING:
    from estimator.catalog.local import LocalMachine

# A format whose own table is missing borrows the shape constants of the first of these that has one.
SIMILAR: Mapping[str, tuple[str, ...]] = {
    "fp4": ("fp8", "bf16"),
    "fp8-block": ("fp8", "bf16"),
    "int8": ("fp8", "bf16"),
    "int4-weights": ("int8-weights", "bf16"),
    "int8-weights": ("int4-weights", "bf16"),
    "tf32": ("bf16",),
    "fp32": ("bf16",),
}
MULTIPLIED_IN = {"int4-weights": "bf16", "int8-weights": "bf16", "fp8-block": "fp8"}
P90_PER_SD = 1.645


class _Found(NamedTuple):
    """Constants of one kind of kernel, the number format they were measured in, and how they were come by."""

    entry: Content
    variant: str
    evidence: Evidence

    def constant(self, name: str) -> float:
        """One of them."""
        return float(self.entry["constants"][name])


@cached
def _kernels() -> Content:
    path = data_folder("calibration") / "fitted" / "kernels.json"
    kernels: Content = json.loads(path.read_text(encoding="utf-8"))
    return kernels


@cached
def _transfer() -> Content:
    path = data_folder("calibration") / "published" / "kernel_transfer.toml"
    return toml(path.read_text(encoding="utf-8"))


def _machine(name: str) -> "LocalMachine":
    from estimator.catalog.local import machine  # loaded for measured machines alone

    return machine(name)


@cached
def gemm_efficiency(accelerator: Accelerator, dtype: str) -> GemmEfficiency:
    """What matrix products reach.

    dtype: the units' format (bf16, fp16, tf32, fp32, fp8, fp8-block, int8, fp4), or int4-weights / int8-weights for
    16-bit products whose weights are widened on the way

    >>> from estimator.catalog.accelerators import accelerator
    >>> found = gemm_efficiency(accelerator("a100"), "bf16")
    >>> round(found.flop_per_s / 312e12, 2), found.evidence.transfer
    (0.82, 'kernel table of a100-sxm-80gb')
    >>> gemm_efficiency(accelerator("a800"), "bf16").evidence.transfer
    'carried over from a100-sxm-80gb'
    """
    if accelerator.basis == "measured":
        return _machine(accelerator.name).gemm(MULTIPLIED_IN.get(dtype, dtype), "nt")
    dtype = _native(accelerator, dtype)
    found = _find("gemm", accelerator, dtype) or _pool(accelerator, "gemm")
    share, evidence = _share(accelerator, dtype, found)
    return _gemm(accelerator, dtype, found, share, evidence)


@cached
def moe_efficiency(accelerator: Accelerator, dtype: str) -> GemmEfficiency:
    """What fused expert layers reach, for `moe_s`; dtype as in `gemm_efficiency`."""
    if accelerator.basis == "measured":
        return gemm_efficiency(accelerator, dtype)
    dtype = _native(accelerator, dtype)
    found = _find("moe", accelerator, dtype) or _pool(accelerator, "moe")
    return _gemm(accelerator, dtype, found, found.constant("compute_fraction"), found.evidence)


def carried_over(accelerator: Accelerator) -> bool:
    """Whether its products' constants come from a relative or a pool, not from kernels measured on it.

    >>> from estimator.catalog.accelerators import accelerator
    >>> carried_over(accelerator("a100")), carried_over(accelerator("rtx-4090"))
    (False, True)
    """
    return gemm_efficiency(accelerator, "bf16").evidence.basis != "measured"


def _native(accelerator: Accelerator, dtype: str) -> str:
    """The format the accelerator multiplies in: the next wider one where it has no units for `dtype`."""
    compute = MULTIPLIED_IN.get(dtype, dtype)
    if compute in accelerator.peak_flop_per_s or dtype.endswith("-weights"):
        return dtype
    return next((wider for wider in WIDER.get(compute, ()) if wider in accelerator.peak_flop_per_s), dtype)


def _gemm(accelerator: Accelerator, dtype: str, found: _Found, share: float, evidence: Evidence) -> GemmEfficiency:
    return GemmEfficiency(
        flop_per_s=accelerator.peak(MULTIPLIED_IN.get(dtype, dtype)) * share,
        bytes_per_s=accelerator.memory_bandwidth_bytes_per_s * found.constant("bandwidth_fraction"),
        m_half=found.constant("m_half"),
        n_half=found.constant("n_half"),
        k_half=found.constant("k_half"),
        launch_s=found.constant("launch_s"),
        depth_s=found.constant("depth_s"),
        sharpness=found.constant("sharpness"),
        evidence=evidence,
    )


@cached
def attention_efficiency(accelerator: Accelerator, dtype: str = "bf16") -> AttentionEfficiency:
    """What fused attention of many new tokens reaches; dtype: bf16 or fp8 queries, keys and values."""
    if accelerator.basis == "measured":
        return _machine(accelerator.name).attention(dtype, "causal")
    found = _find("attention", accelerator, _native(accelerator, dtype)) or _pool(accelerator, "attention")
    return AttentionEfficiency(
        flop_per_s=accelerator.peak(found.variant) * found.constant("compute_fraction"),
        bytes_per_s=accelerator.memory_bandwidth_bytes_per_s * found.constant("bandwidth_fraction"),
        new_half=found.constant("new_half"),
        rows_half=found.constant("rows_half"),
        span_half=found.constant("span_half"),
        head_dim_half=found.constant("head_dim_half"),
        cache_passes=found.constant("cache_passes"),
        launch_s=found.constant("launch_s"),
        sharpness=found.constant("sharpness"),
        evidence=found.evidence,
    )


@cached
def decode_attention_efficiency(accelerator: Accelerator, dtype: str = "bf16") -> DecodeAttentionEfficiency:
    """What attention of one new token per sequence reaches; dtype: format of the KV cache, bf16 or fp8."""
    if accelerator.basis == "measured":
        return _machine(accelerator.name).decode_attention(dtype)[0]
    found = _find("decode_attention", accelerator, dtype) or _pool(accelerator, "decode_attention")
    return DecodeAttentionEfficiency(
        bytes_per_s=accelerator.memory_bandwidth_bytes_per_s * found.constant("bandwidth_fraction"),
        flop_per_s=accelerator.peak("bf16") * found.constant("compute_fraction"),
        bytes_half=found.constant("bytes_half"),
        sequence_s=found.constant("sequence_s"),
        launch_s=found.constant("launch_s"),
        sharpness=found.constant("sharpness"),
        evidence=found.evidence,
    )


@cached
def memory_efficiency(accelerator: Accelerator) -> MemoryEfficiency:
    """What passes over memory reach: the reading rate of its matrix products (one vector times a matrix is one)."""
    if accelerator.basis == "measured":
        from estimator.catalog.local import local_memory

        return local_memory(accelerator.name)
    found = _find("gemm", accelerator, "bf16") or _pool(accelerator, "gemm")
    return MemoryEfficiency(
        bytes_per_s=accelerator.memory_bandwidth_bytes_per_s * found.constant("bandwidth_fraction"),
        launch_s=found.constant("launch_s"),
        evidence=found.evidence,
    )


@cached
def collective_efficiency(accelerator: Accelerator) -> CollectiveEfficiency:
    """What collectives reach in a node, and over the network (not in any kernel table: shares of it are assumed).

    >>> from estimator.catalog.accelerators import accelerator
    >>> collective_efficiency(accelerator("h100")).domain
    8
    """
    links = _transfer()["links"]
    link = accelerator.link_bytes_per_s or accelerator.pcie_bytes_per_s or links["default_bytes_per_s"]
    line_rate = accelerator.network_bytes_per_s or links["default_network_bytes_per_s"]
    measured = accelerator.basis == "measured" and accelerator.network_bytes_per_s is not None
    reduced = _find("collectives", accelerator, "all-reduce")
    pooled = Evidence("assumed", _spread("pool", "collectives"), "pool of all links")
    return CollectiveEfficiency(
        all_reduce=_rate(accelerator, link, "all-reduce"),
        all_gather=_rate(accelerator, link, "all-gather"),
        reduce_scatter=_rate(accelerator, link, "reduce-scatter"),
        all_to_all=_rate(accelerator, link, "all-to-all"),
        custom_all_reduce=_rate(accelerator, link, "custom-all-reduce"),
        domain=accelerator.domain or accelerator.per_node or 1,
        network_bytes_per_s=line_rate if measured else links["network_fraction"] * line_rate,
        network_hop_s=links["network_hop_s"],
        evidence=reduced.evidence if reduced else pooled,
    )


def _rate(accelerator: Accelerator, link: float, operation: str) -> CollectiveRate:
    found = _find("collectives", accelerator, operation)
    constants = found.entry["constants"] if found else _transfer()["links"]
    return CollectiveRate(
        launch_s=constants["launch_s"],
        hop_s=constants["hop_s"],
        bytes_per_s=link * constants["link_fraction"],
        ramp=constants["ramp"],
        local=constants["local"],
    )


def _find(kind: str, accelerator: Accelerator, variant: str) -> _Found | None:
    """Constants from a kernel table: its own, or the nearest relative's."""
    tables = _kernels()[kind]
    if accelerator.name in tables:
        evidence = Evidence("measured", 0.0, f"kernel table of {accelerator.name}")
        return _variant(tables[accelerator.name], variant, evidence)
    family = _family(accelerator.generation)
    if family is None:
        return None
    relative = min(family["measured"], key=lambda name: _distance(accelerator, tables[name]))
    step = "neighbour" if family.get("neighbour") else "family"
    note = f"carried over from {relative}" + (f" ({family['note']})" if family.get("note") else "")
    return _variant(tables[relative], variant, Evidence("published", _spread(step, kind), note))


def _variant(table: Content, variant: str, evidence: Evidence) -> _Found | None:
    """The entry of a variant, or of a similar one (wider); its own error joins the spread of the evidence."""
    wanted = "bf16" if variant == "fp16" else variant
    chosen = next((name for name in (wanted, *SIMILAR.get(wanted, WIDER.get(wanted, ()))) if name in table), None)
    if chosen is None:
        return None
    spreads, note = [table[chosen]["held_out"]["p90"] / P90_PER_SD, evidence.log_sd], evidence.transfer
    if chosen != wanted:
        spreads.append(_transfer()["spread"]["other_format"])
        note += f", as {chosen}"
    return _Found(table[chosen], chosen, Evidence(evidence.basis, round(math.hypot(*spreads), 3), note))


@cached
def _family(name: str) -> Content | None:
    """Generations whose kernels behave alike; of one that no table names, its relative's, as a neighbour."""
    families = {each: family for family in _transfer()["family"] for each in family["generations"]}
    relative = generation(name).family
    if name in families or relative not in families:
        return families.get(name)
    return {**families[relative], "neighbour": True, "note": f"{name} is taken to be like {relative}"}


def _distance(accelerator: Accelerator, table: Content) -> float:
    """How unlike in compute and memory rate [1]."""
    entry = next(iter(table.values()))
    if "peak_flop_per_s" not in entry:
        link = accelerator.link_bytes_per_s or accelerator.pcie_bytes_per_s or entry["link_bytes_per_s"]
        return abs(math.log(link / entry["link_bytes_per_s"]))
    return abs(math.log(accelerator.peak("bf16") / entry["peak_flop_per_s"])) + abs(
        math.log(accelerator.memory_bandwidth_bytes_per_s / entry["bandwidth_bytes_per_s"])
    )


def _share(accelerator: Accelerator, dtype: str, found: _Found) -> tuple[float, Evidence]:
    """Share of peak of a large product: the table's, unless something nearer to this accelerator is known."""
    if found.evidence.basis == "measured":
        return found.constant("compute_fraction"), found.evidence
    for override in _transfer()["share"]:
        if accelerator.name in override["accelerators"]:
            sd = math.hypot(found.evidence.log_sd, _transfer()["spread"]["assumed_share"])
            note = f"{found.evidence.transfer}; {override['source']}"
            return override["compute_fraction"], Evidence("assumed", round(sd, 3), note)
    compute = "bf16" if dtype == "fp16" else MULTIPLIED_IN.get(dtype, dtype)
    rate = _published_rate(accelerator.name, compute)
    if rate is None:
        return found.constant("compute_fraction"), found.evidence
    sd = min(found.evidence.log_sd, _spread("published_rate", "gemm"))
    note = f"achievable rate of {accelerator.name} (mamf.csv); shapes {found.evidence.transfer}"
    return rate / accelerator.peak(compute), Evidence("published", sd, note)


@cached
def _published_rate(name: str, dtype: str) -> float | None:
    """Achievable matmul rate of a large product [FLOP/s]."""
    for row in rows(data_folder("calibration") / "published" / "mamf.csv"):
        if row["gpu_slug"] == name and row["dtype"] == dtype:
            return float(row["mamf_tflops"]) * 1e12
    return None


def _pool(accelerator: Accelerator, kind: str) -> _Found:
    """Constants of the accelerator's kind; `kind` of kernel chooses the share of peak."""
    pool = next(
        pool
        for pool in _transfer()["pool"]
        if pool["kind"] == accelerator.kind and pool.get("vendor", accelerator.vendor) == accelerator.vendor
    )
    share = pool[{"gemm": "compute_fraction", "moe": "moe_fraction"}.get(kind, "attention_fraction")]
    constants = {**_transfer()["pool_shape"], **pool, "compute_fraction": share}
    note = f"pool of {pool.get('vendor', '')} {pool['kind']}".replace("  ", " ")
    return _Found({"constants": constants}, "bf16", Evidence("assumed", _spread("pool", kind), note))


def _spread(step: str, kind: str) -> float:
    """Spread of log(time) that a step of the transfer adds [1]."""
    return float(_transfer()["spread"][step][kind])
