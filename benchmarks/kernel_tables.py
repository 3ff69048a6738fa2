"""Measured kernel tables as problems to fit: which rows, which formula, which roofs.

The tables are those of the wheel aiconfigurator-core 0.12.0 (Apache-2.0, NVIDIA): times of single kernels in three
serving stacks, replayed from graphs. Message sizes of its collectives are counts of values, not bytes: a message of
16-bit values takes twice as long as one of as many 8-bit ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from estimator.formulas.collectives import CollectiveRate, all_reduce_traffic, collective_s, one_way_traffic
from estimator.formulas.roofline import (
    AttentionEfficiency,
    DecodeAttentionEfficiency,
    GemmEfficiency,
    attention_s,
    decode_attention_s,
    experts_visited,
    gemm_s,
    moe_s,
)
from estimator.records import Accelerator

PACKAGE = "aiconfigurator-core 0.12.0"
TABLES = {
    "a100-sxm-80gb": "a100_sxm",
    "h100-sxm": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "b200": "b200_sxm",
    "b300": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
    "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
}
SLOW_MEMORY = 1.7e12  # GDDR: the tables' products there beat the memory, so operands were not rotated past the cache
Bounds = dict[str, tuple[float, float, float]]  # constant -> start, low, high


@dataclass(frozen=True)
class Problem:
    """Rows of one kernel on one accelerator, and the formula whose constants `bounds` names.

    model: constants, rows -> seconds; ideal_s: the same shapes at the bare roofs; by: columns held out together
    """

    kind: str
    variant: str
    roofs: dict[str, float]
    bounds: Bounds
    model: Callable[[np.ndarray, pd.DataFrame], np.ndarray]
    rows: pd.DataFrame
    ideal_s: np.ndarray
    by: list[str]


def problems(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """Everything the tables hold of one accelerator."""
    for kind in (_gemm, _moe, _attention, _decode_attention, _collectives):
        yield from kind(device, tables)


def _read(tables: Path, device: Accelerator, kind: str) -> pd.DataFrame:
    """All rows of one kind of kernel, every stack and release; `time_s` added."""
    found = sorted((tables / TABLES[device.name]).glob(f"*/*/*/{kind}_perf.parquet"))
    table = pd.concat([pd.read_parquet(path).assign(stack=path.parts[-3], release=path.parts[-2]) for path in found])
    return table.assign(time_s=table.latency * 1e-3)


def _merged(table: pd.DataFrame, shape: list[str], stacks: int = 1) -> pd.DataFrame:
    """One row per shape that at least `stacks` stacks measured: the median over stacks and releases."""
    grouped = table.groupby(shape, dropna=False)
    merged = grouped.time_s.median().reset_index()
    return merged[(grouped["stack"].nunique() >= stacks).to_numpy()].reset_index(drop=True).astype(float)


def _cold(moved_bytes: pd.Series, device: Accelerator) -> pd.Series:
    """Whether a kernel repeated on the same operands still shows what memory does.

    Middling operands stay in the L2 between repetitions, which they never do between two steps of an LLM; of small
    ones the launch is all that counts.
    """
    cache, negligible = 2 * (device.l2_bytes or 0.0), 2e-6 * device.memory_bandwidth_bytes_per_s
    return (moved_bytes > cache) | (moved_bytes < negligible)


# name in the tables -> ours, format of the multiplication, bytes of a weight, bytes of an input
FORMATS = {
    "bfloat16": ("bf16", "bf16", 2.0, 2.0),
    "fp8": ("fp8", "fp8", 1.0, 1.0),
    "fp8_block": ("fp8-block", "fp8", 1.0, 1.0),
    "nvfp4": ("fp4", "fp4", 0.5625, 0.5625),
    "int8_wo": ("int8-weights", "bf16", 1.0, 2.0),
    "int4_wo": ("int4-weights", "bf16", 0.5, 2.0),
    "sq": ("int8", "int8", 1.0, 1.0),
}
GEMM_BOUNDS: Bounds = {
    "compute_fraction": (0.8, 0.05, 1.0),
    "bandwidth_fraction": (0.8, 0.2, 1.0),
    "m_half": (60.0, 0.0, 4000.0),
    "n_half": (100.0, 0.0, 8000.0),
    "k_half": (100.0, 0.0, 8000.0),
    "launch_s": (5e-6, 1e-6, 1e-4),
    "depth_s": (1e-10, 0.0, 1e-8),
    "sharpness": (4.0, 1.0, 12.0),
}


def _gemm(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """Matrix products of widths a language model uses, in every format the tables have."""
    table = _read(tables, device, "gemm")
    bandwidth = device.memory_bandwidth_bytes_per_s
    for name, (ours, compute, weight, value) in FORMATS.items():
        rows = table[(table.gemm_dtype == name) & (table.n >= 512) & (table.k >= 512)]
        if rows.empty:
            continue
        peak, rows = device.peak(compute), _merged(rows, ["m", "n", "k"])
        moved = rows.n * rows.k * weight + rows.m * (rows.k * value + rows.n * 2)
        work_s = 2 * rows.m * rows.n * rows.k / peak
        if bandwidth < SLOW_MEMORY:
            rows = rows[_cold(moved, device) | (work_s > moved / bandwidth)]

        def model(
            c: np.ndarray, t: pd.DataFrame, peak: float = peak, weight: float = weight, value: float = value
        ) -> np.ndarray:
            efficiency = GemmEfficiency(peak * c[0], bandwidth * c[1], *c[2:])
            return gemm_s(t.m, t.n, t.k, efficiency, weight_bytes=weight, input_bytes=value)

        ideal = np.maximum(work_s, moved / bandwidth)[rows.index].to_numpy()
        yield Problem("gemm", ours, _roofs(peak, bandwidth), GEMM_BOUNDS, model, rows, ideal, ["n", "k"])


MOE_NAMES = {"bf16": ("bfloat16",), "fp8": ("fp8", "fp8_block"), "fp4": ("nvfp4",), "int4-weights": ("int4_wo",)}


def _moe(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """Fused expert layers, all experts on one accelerator or cut by tensor parallelism."""
    table = _read(tables, device, "moe")
    table = table[(table.moe_ep_size == 1) & ~table.kernel_source.str.contains("nongated|min_latency|situ")]
    even, ffn = (table.distribution == "balanced").astype(float), table.inter_size / table.moe_tp_size
    table = table.assign(even=even, ffn=ffn)
    bandwidth = device.memory_bandwidth_bytes_per_s
    for ours, names in MOE_NAMES.items():
        rows = table[table.moe_dtype.isin(names) & (table.ffn >= 512)]
        if rows.empty:
            continue
        rows = _merged(rows, ["num_tokens", "hidden_size", "ffn", "topk", "num_experts", "even"])
        spread = np.minimum(rows.num_tokens * rows.topk, rows.num_experts)
        at_random = experts_visited(rows.num_tokens, rows.num_experts, rows.topk)
        rows = rows.assign(visited=np.where(rows.even > 0, spread, at_random))
        compute, weight, value = next(rest for first, *rest in FORMATS.values() if first == ours)
        peak = device.peak(compute)

        def model(
            c: np.ndarray, t: pd.DataFrame, peak: float = peak, weight: float = weight, value: float = value
        ) -> np.ndarray:
            return moe_s(
                t.num_tokens, t.hidden_size, t.ffn, t.num_experts, t.topk,
                GemmEfficiency(peak * c[0], bandwidth * c[1], *c[2:]),
                visited=t.visited, weight_bytes=weight, input_bytes=value,
            )  # fmt: skip

        ideal = model(np.array([1, 1, 0, 0, 0, 0, 0, 100.0]), rows)
        by = ["hidden_size", "ffn", "num_experts"]
        yield Problem("moe", ours, _roofs(peak, bandwidth), GEMM_BOUNDS, model, rows, ideal, by)


HEADS = ["num_heads", "num_key_value_heads", "head_dim", "window"]
FALLBACK_KERNELS = "triton|fidecode|trtllmdecode"
SMALLEST_CONTEXT = 64
MOST_SHARING = (
    32  # query heads to a kv head; beyond it kernels change (up to twice as slow), and hardly any LLM goes there
)
ATTENTION_BOUNDS: Bounds = {
    "compute_fraction": (0.6, 0.05, 1.0),
    "bandwidth_fraction": (0.6, 0.1, 1.0),
    "new_half": (64.0, 0.0, 1000.0),
    "rows_half": (1e4, 0.0, 1e6),
    "span_half": (100.0, 0.0, 3000.0),
    "head_dim_half": (10.0, 0.0, 300.0),
    "cache_passes": (2.0, 1.0, 20.0),
    "launch_s": (8e-6, 1e-6, 1e-4),
    "sharpness": (2.0, 1.0, 12.0),
}


def _heads(table: pd.DataFrame, products: tuple[str, ...], cache: str) -> pd.DataFrame:
    """Rows of the main kernels with head widths 64 and 128; `window` added."""
    windows = table.window_size.fillna(0) if "window_size" in table else np.zeros(len(table))
    table = table.assign(window=np.where(windows > 0, windows, np.inf))
    chosen = table.attn_dtype.isin(products) & (table.kv_cache_dtype == cache) & table.head_dim.isin((64, 128))
    return table[chosen & ~table.kernel_source.str.contains(FALLBACK_KERNELS)]


def _attention(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """Fused causal attention over whole prompts; of fp8 only what two stacks measured (one alone is a fallback)."""
    table = _read(tables, device, "context_attention")
    bandwidth = device.memory_bandwidth_bytes_per_s
    for ours, name, value, least_stacks in (("bf16", "bfloat16", 2.0, 1), ("fp8", "fp8", 1.0, 2)):
        rows = _heads(table, (name,), name)
        rows = rows[(rows.isl >= SMALLEST_CONTEXT) & np.isinf(rows.window)]
        if rows["stack"].nunique() < least_stacks:
            continue
        peak = device.peak(ours)
        rows = _merged(rows, ["batch_size", *HEADS, "isl"], stacks=min(2, rows["stack"].nunique()))

        def model(c: np.ndarray, t: pd.DataFrame, peak: float = peak, value: float = value) -> np.ndarray:
            return attention_s(
                t.batch_size, t.isl, t.num_heads, t.num_key_value_heads, t.head_dim,
                AttentionEfficiency(peak * c[0], bandwidth * c[1], *c[2:]), value_bytes=value,
            )  # fmt: skip

        ideal = model(np.array([1, 1, 0, 0, 0, 0, 1, 0, 100.0]), rows)
        yield Problem("attention", ours, _roofs(peak, bandwidth), ATTENTION_BOUNDS, model, rows, ideal, HEADS)


DECODE_BOUNDS: Bounds = {
    "bandwidth_fraction": (0.8, 0.1, 1.0),
    "compute_fraction": (0.2, 0.001, 1.0),
    "bytes_half": (1e6, 0.0, 1e9),
    "sequence_s": (1e-8, 0.0, 1e-6),
    "launch_s": (8e-6, 1e-6, 1e-4),
    "sharpness": (2.0, 1.0, 12.0),
}


def _decode_attention(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """Attention of one new token per sequence, caches of 16 and 8 bits."""
    table = _read(tables, device, "generation_attention")
    peak, bandwidth = device.peak("bf16"), device.memory_bandwidth_bytes_per_s
    for ours, name, value in (("bf16", "bfloat16", 2.0), ("fp8", "fp8", 1.0)):
        rows = _heads(table, ("bfloat16", name), name)
        rows = rows.assign(context=rows.step + rows.isl)
        rows = rows[(rows.context >= SMALLEST_CONTEXT) & (rows.num_heads <= MOST_SHARING * rows.num_key_value_heads)]
        if rows.empty:
            continue
        rows = _merged(rows, ["batch_size", *HEADS, "context"], stacks=min(2, rows["stack"].nunique()))
        values = rows.batch_size * rows.num_key_value_heads * rows.head_dim * np.minimum(rows.context, rows.window)
        rows = rows[_cold(2 * value * values, device)]

        def model(c: np.ndarray, t: pd.DataFrame, value: float = value) -> np.ndarray:
            return decode_attention_s(
                t.batch_size, t.context, t.num_heads, t.num_key_value_heads, t.head_dim,
                DecodeAttentionEfficiency(bandwidth * c[0], peak * c[1], *c[2:]),
                window=t.window, value_bytes=value,
            )  # fmt: skip

        ideal = model(np.array([1, 1, 0, 0, 0, 100.0]), rows)
        yield Problem("decode_attention", ours, _roofs(peak, bandwidth), DECODE_BOUNDS, model, rows, ideal, HEADS)


COLLECTIVE_BOUNDS: Bounds = {
    "launch_s": (5e-6, 1e-6, 1e-4),
    "hop_s": (1e-6, 0.0, 5e-5),
    "link_fraction": (0.7, 0.02, 1.2),
    "ramp": (0.5, 0.0, 3.0),
    "local": (0.2, 0.0, 1.0),
}
OPERATIONS = {
    "all_reduce": "all-reduce",
    "all_gather": "all-gather",
    "reduce_scatter": "reduce-scatter",
    "alltoall": "all-to-all",
}
MOST_BYTES_CUSTOM = 2**23  # longer messages go to NCCL


def _collectives(device: Accelerator, tables: Path) -> Iterator[Problem]:
    """NCCL's collectives, and the engines' own all-reduce captured in a graph, within a node."""
    nccl = _read(tables, device, "nccl")
    nccl = nccl.assign(bytes=nccl.message_size * np.where(nccl.nccl_dtype == "half", 2.0, 1.0))
    # NVSwitch adds 16-bit values on the way, the tables' 8-bit ones not; gradients and activations have 16.
    nccl = nccl[(nccl.op_name != "all_reduce") | (nccl.nccl_dtype == "half")]
    custom = _read(tables, device, "custom_allreduce")
    custom = custom.assign(bytes=custom.message_size * 2.0)
    custom = custom[~custom.kernel_source.str.contains("eager|MNNVL")]
    link = device.link_bytes_per_s or device.pcie_bytes_per_s or np.nan
    found = {ours: nccl[nccl.op_name == name] for name, ours in OPERATIONS.items()} | {"custom-all-reduce": custom}
    for ours, rows in found.items():
        traffic = all_reduce_traffic if "all-reduce" in ours else one_way_traffic
        rows = rows[(rows.num_gpus <= 8) & _direct(rows, traffic(rows.bytes, rows.num_gpus) / rows.time_s, link)]
        rows = rows[(ours != "custom-all-reduce") | (rows.bytes <= MOST_BYTES_CUSTOM)]
        rows = _merged(rows, ["num_gpus", "bytes"])

        def model(
            c: np.ndarray, t: pd.DataFrame, traffic: Callable[..., np.ndarray] = traffic, link: float = link
        ) -> np.ndarray:
            rate = CollectiveRate(c[0], c[1], link * c[2], c[3], c[4])
            return collective_s(traffic(t.bytes, t.num_gpus, rate.local), t.num_gpus, rate)

        ideal = traffic(rows.bytes, rows.num_gpus) / link
        roofs = {"link_bytes_per_s": link}
        yield Problem("collectives", ours, roofs, COLLECTIVE_BOUNDS, model, rows, np.asarray(ideal), ["bytes"])


def _direct(rows: pd.DataFrame, bus_rate: pd.Series, link: float) -> pd.Series:
    """Rows of machines whose accelerators reach each other directly.

    Some PCIe machines in the tables copy through the host and reach a twentieth of the link.
    """
    best = bus_rate.groupby([rows["stack"], rows.release, rows.kernel_source, rows.num_gpus]).transform("max")
    return best > 0.3 * link


def _roofs(peak: float, bandwidth: float) -> dict[str, float]:
    return {"peak_flop_per_s": peak, "bandwidth_bytes_per_s": bandwidth}
