"""Fit kernel constants to measured kernel tables: python benchmarks/fit_kernels.py --tables DIR

DIR is `aiconfigurator_core/systems/data` of the wheel aiconfigurator-core 0.12.0 (Apache-2.0, NVIDIA): times of single
kernels, measured on each accelerator. What ships is calibration/fitted/kernels.json: a handful of constants per
accelerator and number format, and how far they are off on shapes that were held out. Needs scipy, pandas and pyarrow.
"""

import argparse
import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from estimator.catalog.accelerators import accelerator
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
from estimator.paths import data_folder
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
# name in the tables -> (our name, format of the multiplication, bytes of a weight, bytes of an input)
GEMM_FORMATS = {
    "bfloat16": ("bf16", "bf16", 2.0, 2.0),
    "fp8": ("fp8", "fp8", 1.0, 1.0),
    "fp8_block": ("fp8-block", "fp8", 1.0, 1.0),
    "nvfp4": ("fp4", "fp4", 0.5625, 0.5625),
    "int8_wo": ("int8-weights", "bf16", 1.0, 2.0),
    "int4_wo": ("int4-weights", "bf16", 0.5, 2.0),
    "sq": ("int8", "int8", 1.0, 1.0),
}
MOST_ROWS = 5000
SLOW_MEMORY = 1.7e12  # below it (GDDR) the tables' products show rates above the memory's: operands were not rotated
HELD_OUT = 0.25
Model = Callable[[np.ndarray, pd.DataFrame], np.ndarray]


def read(tables: Path, accelerator_name: str, kind: str) -> pd.DataFrame:
    """All rows of one kind of kernel on one accelerator, every stack and version; `time_s` added."""
    found = sorted((tables / TABLES[accelerator_name]).glob(f"*/*/*/{kind}_perf.parquet"))
    if not found:
        return pd.DataFrame()
    table = pd.concat([pd.read_parquet(path).assign(stack=path.parts[-3], release=path.parts[-2]) for path in found])
    return table.assign(time_s=table.latency * 1e-3)


def median_over_stacks(table: pd.DataFrame, shape: list[str], stacks: int = 1) -> pd.DataFrame:
    """One row per shape: the median over stacks and releases; shapes that at least `stacks` stacks measured."""
    grouped = table.groupby(shape, dropna=False)
    merged = grouped.time_s.median().reset_index()
    return merged[(grouped["stack"].nunique() >= stacks).to_numpy()].reset_index(drop=True).astype(float)


def cold(moved_bytes: pd.Series, device: Accelerator) -> pd.Series:
    """Whether a kernel repeated on the same operands still shows what memory does.

    Middling operands stay in the L2 between repetitions, which they never do between two steps of a model; of small
    ones the launch is all that counts.
    """
    cache, negligible = 2 * (device.l2_bytes or 0.0), 2e-6 * device.memory_bandwidth_bytes_per_s
    return (moved_bytes > cache) | (moved_bytes < negligible)


def split(table: pd.DataFrame, by: list[str], seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit and rows held out: whole values of the columns `by` are held out, a quarter of them."""
    groups = table.groupby(by, dropna=False).ngroup().to_numpy()
    chosen = np.random.default_rng(seed).random(groups.max() + 1) < HELD_OUT
    kept, held = table[~chosen[groups]], table[chosen[groups]]
    return kept.sample(min(MOST_ROWS, len(kept)), random_state=seed), held


def fit(model: Model, bounds: dict[str, tuple[float, float, float]], table: pd.DataFrame) -> np.ndarray:
    """Constants that minimise the robust squared log error; `bounds` name -> (start, low, high)."""
    start, low, high = map(np.array, zip(*bounds.values(), strict=True))
    measured = np.log(table.time_s.to_numpy())
    found = least_squares(
        lambda constants: np.log(model(constants, table)) - measured,
        start,
        bounds=(low, high),
        loss="soft_l1",
        f_scale=0.1,
        x_scale=np.maximum(np.abs(start), 1e-9),
    )
    return found.x


def errors(predicted: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """Median and 90th percentile of |log(predicted / measured)|, and its median with sign."""
    residual = np.log(predicted / table.time_s.to_numpy())
    size = np.abs(residual)
    return {
        "rows": len(table),
        "median": round(float(np.median(size)), 4),
        "p90": round(float(np.quantile(size, 0.9)), 4),
        "signed": round(float(np.median(residual)), 4),
    }


def fitted(
    model: Model, bounds: dict[str, tuple[float, float, float]], table: pd.DataFrame, by: list[str], ideal: np.ndarray
) -> dict[str, Any]:
    """Constants and their errors on held-out rows, the ideal roofline's error beside them."""
    table = table.assign(ideal_s=ideal)
    kept, held = split(table, by)
    constants = fit(model, bounds, kept)
    return {
        "constants": {
            name: float(f"{value:.4g}") if value > 1e-4 * bounds[name][0] else 0.0
            for name, value in zip(bounds, constants, strict=True)
        },
        "rows_fitted": len(kept),
        "held_out": errors(model(constants, held), held),
        "ideal_roofline": errors(held.ideal_s.to_numpy(), held),
    }


GEMM_BOUNDS = {
    "compute_fraction": (0.8, 0.05, 1.0),
    "bandwidth_fraction": (0.8, 0.2, 1.0),
    "m_half": (60.0, 0.0, 4000.0),
    "n_half": (100.0, 0.0, 8000.0),
    "k_half": (100.0, 0.0, 8000.0),
    "launch_s": (5e-6, 1e-6, 1e-4),
    "depth_s": (1e-10, 0.0, 1e-8),
    "sharpness": (4.0, 1.0, 12.0),
}


def gemm(device: Accelerator, tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Constants of the matrix product for every format the tables have, on widths a language model uses."""
    table = read(tables, device.name, "gemm")
    for name, (ours, compute, weight_bytes, input_bytes) in GEMM_FORMATS.items():
        rows = table[(table.gemm_dtype == name) & (table.n >= 512) & (table.k >= 512)]
        if rows.empty:
            continue
        peak, bandwidth = device.peak(compute), device.memory_bandwidth_bytes_per_s
        rows = median_over_stacks(rows, ["m", "n", "k"])
        sizes = {"weight_bytes": weight_bytes, "input_bytes": input_bytes}
        work, moved = (
            2 * rows.m * rows.n * rows.k / peak,
            (rows.n * rows.k * weight_bytes + rows.m * (rows.k * input_bytes + rows.n * 2)),
        )
        if bandwidth < SLOW_MEMORY:
            rows = rows[cold(moved, device) | (work > moved / bandwidth)]

        def model(c: np.ndarray, t: pd.DataFrame, peak=peak, bandwidth=bandwidth, sizes=sizes) -> np.ndarray:
            return gemm_s(t.m, t.n, t.k, GemmEfficiency(peak * c[0], bandwidth * c[1], *c[2:]), **sizes)

        ideal = np.maximum(work, moved / bandwidth)[rows.index]
        yield (
            ours,
            {
                "peak_flop_per_s": peak,
                "bandwidth_bytes_per_s": bandwidth,
                **fitted(model, GEMM_BOUNDS, rows, ["n", "k"], ideal),
            },
        )


MOE_FORMATS = {
    "bf16": ("bfloat16",),
    "fp8": ("fp8", "fp8_block"),
    "fp4": ("nvfp4",),
    "int4-weights": ("int4_wo",),
}


def moe(device: Accelerator, tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Constants of fused expert layers, all experts on one accelerator or cut by tensor parallelism."""
    table = read(tables, device.name, "moe")
    formats = {ours: (compute, weight, entry) for ours, compute, weight, entry in GEMM_FORMATS.values()}
    for ours, names in MOE_FORMATS.items():
        rows = table[
            table.moe_dtype.isin(names) & (table.moe_ep_size == 1) & (table.inter_size >= 512 * table.moe_tp_size)
        ]
        rows = rows[~rows.kernel_source.str.contains("nongated|min_latency|situ")]
        if rows.empty:
            continue
        rows = rows.assign(even=(rows.distribution == "balanced").astype(float), ffn=rows.inter_size / rows.moe_tp_size)
        rows = median_over_stacks(rows, ["num_tokens", "hidden_size", "ffn", "topk", "num_experts", "even"])
        picked = rows.num_tokens * rows.topk
        at_random = experts_visited(rows.num_tokens, rows.num_experts, rows.topk)
        rows = rows.assign(visited=np.where(rows.even > 0, np.minimum(picked, rows.num_experts), at_random))
        compute, weight_bytes, input_bytes = formats[ours]
        peak, bandwidth = device.peak(compute), device.memory_bandwidth_bytes_per_s

        def seconds(t: pd.DataFrame, constants: GemmEfficiency, sizes=(weight_bytes, input_bytes)) -> np.ndarray:
            return moe_s(
                t.num_tokens, t.hidden_size, t.ffn, t.num_experts, t.topk, constants,
                visited=t.visited, weight_bytes=sizes[0], input_bytes=sizes[1],
            )  # fmt: skip

        def model(c: np.ndarray, t: pd.DataFrame, peak=peak, bandwidth=bandwidth, seconds=seconds) -> np.ndarray:
            return seconds(t, GemmEfficiency(peak * c[0], bandwidth * c[1], *c[2:]))

        ideal = seconds(rows, GemmEfficiency(peak, bandwidth, sharpness=100.0))
        yield (
            ours,
            {
                "peak_flop_per_s": peak,
                "bandwidth_bytes_per_s": bandwidth,
                **fitted(model, GEMM_BOUNDS, rows, ["hidden_size", "ffn", "num_experts"], ideal),
            },
        )


ATTENTION_BOUNDS = {
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
SLOW_KERNELS = "triton|fidecode|trtllmdecode"


def _attention_rows(table: pd.DataFrame, compute: str, cache: str) -> pd.DataFrame:
    windows = table.window_size.fillna(0) if "window_size" in table else 0
    table = table.assign(window=np.where(windows > 0, windows, np.inf))
    return table[
        (table.attn_dtype == compute)
        & (table.kv_cache_dtype == cache)
        & table.head_dim.isin((64, 128))
        & ~table.kernel_source.str.contains(SLOW_KERNELS)
    ]


SHAPE = ["batch_size", "num_heads", "num_key_value_heads", "head_dim", "window"]


def attention(device: Accelerator, tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Constants of fused causal attention over whole prompts."""
    table = read(tables, device.name, "context_attention")
    for ours, name in {"bf16": "bfloat16", "fp8": "fp8"}.items():
        rows = _attention_rows(table, name, name)
        rows = rows[(rows.isl >= 64) & np.isinf(rows.window)]
        if rows["stack"].nunique() < (2 if ours == "fp8" else 1):  # one stack's fallback kernel is no evidence
            continue
        rows = median_over_stacks(rows, [*SHAPE, "isl"], stacks=min(2, rows["stack"].nunique()))
        peak, bandwidth = device.peak(ours), device.memory_bandwidth_bytes_per_s

        def seconds(t: pd.DataFrame, constants: AttentionEfficiency, size=1.0 if ours == "fp8" else 2.0) -> np.ndarray:
            return attention_s(
                t.batch_size, t.isl, t.num_heads, t.num_key_value_heads, t.head_dim, constants,
                window=t.window, value_bytes=size,
            )  # fmt: skip

        def model(c: np.ndarray, t: pd.DataFrame, peak=peak, bandwidth=bandwidth, seconds=seconds) -> np.ndarray:
            return seconds(t, AttentionEfficiency(peak * c[0], bandwidth * c[1], *c[2:]))

        ideal = seconds(rows, AttentionEfficiency(peak, bandwidth, sharpness=100.0))
        yield (
            ours,
            {
                "peak_flop_per_s": peak,
                "bandwidth_bytes_per_s": bandwidth,
                **fitted(model, ATTENTION_BOUNDS, rows, SHAPE[1:], ideal),
            },
        )


DECODE_BOUNDS = {
    "bandwidth_fraction": (0.8, 0.1, 1.0),
    "compute_fraction": (0.2, 0.001, 1.0),
    "bytes_half": (1e6, 0.0, 1e9),
    "sequence_s": (1e-8, 0.0, 1e-6),
    "launch_s": (8e-6, 1e-6, 1e-4),
    "sharpness": (2.0, 1.0, 12.0),
}


def decode_attention(device: Accelerator, tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Constants of attention of one new token per sequence."""
    table = read(tables, device.name, "generation_attention")
    for ours, name, size in (("bf16", "bfloat16", 2.0), ("fp8", "fp8", 1.0)):
        rows = pd.concat([_attention_rows(table, compute, name) for compute in sorted({"bfloat16", name})])
        rows = rows.assign(context=rows.step + rows.isl)
        rows = rows[rows.context >= 64]
        if rows.empty:
            continue
        rows = median_over_stacks(rows, [*SHAPE, "context"], stacks=min(2, rows["stack"].nunique()))
        cache = (
            2
            * size
            * rows.batch_size
            * rows.num_key_value_heads
            * rows.head_dim
            * np.minimum(rows.context, rows.window)
        )
        rows = rows[cold(cache, device)]
        peak, bandwidth = device.peak("bf16"), device.memory_bandwidth_bytes_per_s

        def seconds(t: pd.DataFrame, constants: DecodeAttentionEfficiency, size=size) -> np.ndarray:
            return decode_attention_s(
                t.batch_size, t.context, t.num_heads, t.num_key_value_heads, t.head_dim, constants,
                window=t.window, value_bytes=size,
            )  # fmt: skip

        def model(c: np.ndarray, t: pd.DataFrame, peak=peak, bandwidth=bandwidth, seconds=seconds) -> np.ndarray:
            return seconds(t, DecodeAttentionEfficiency(bandwidth * c[0], peak * c[1], *c[2:]))

        ideal = seconds(rows, DecodeAttentionEfficiency(bandwidth, peak, sharpness=100.0))
        yield (
            ours,
            {
                "peak_flop_per_s": peak,
                "bandwidth_bytes_per_s": bandwidth,
                **fitted(model, DECODE_BOUNDS, rows, SHAPE[1:], ideal),
            },
        )


COLLECTIVE_BOUNDS = {
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


def _direct(rows: pd.DataFrame, bus_rate: pd.Series, link: float) -> pd.Series:
    """Rows of machines whose accelerators reach each other directly.

    Some PCIe machines in the tables copy through the host and reach a twentieth of the link.
    """
    best = bus_rate.groupby([rows["stack"], rows.release, rows.kernel_source, rows.num_gpus]).transform("max")
    return best > 0.3 * link


def collectives(device: Accelerator, tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Constants of NCCL's collectives and of the engines' own all-reduce (captured in a graph) within a node."""
    nccl = read(tables, device.name, "nccl")
    nccl = nccl.assign(bytes=nccl.message_size * np.where(nccl.nccl_dtype == "half", 2.0, 1.0))
    custom = read(tables, device.name, "custom_allreduce")
    custom = custom.assign(bytes=custom.message_size * 2.0)  # the tables count values
    custom = custom[~custom.kernel_source.str.contains("eager|MNNVL")]
    by_name = {ours: nccl[nccl.op_name == name] for name, ours in OPERATIONS.items()}
    for ours, rows in {**by_name, "custom-all-reduce": custom}.items():
        link = device.link_bytes_per_s or device.pcie_bytes_per_s
        traffic = all_reduce_traffic if "reduce" in ours and "scatter" not in ours else one_way_traffic
        rows = rows[_direct(rows, traffic(rows.bytes, rows.num_gpus) / rows.time_s, link)]
        rows = rows[("custom" not in ours) | (rows.bytes <= 2**23)]  # longer ones go to NCCL
        # NVSwitch reduces 16-bit sums on the way, the tables' int8 sums are not; a model sends 16-bit ones.
        rows = rows[(rows.num_gpus <= 8) & (("reduce" not in ours) | (rows.get("nccl_dtype", "half") == "half"))]
        rows = median_over_stacks(rows, ["num_gpus", "bytes"])

        def model(c: np.ndarray, t: pd.DataFrame, link=link, traffic=traffic) -> np.ndarray:
            return collective_s(
                traffic(t.bytes, t.num_gpus, c[4]), t.num_gpus, CollectiveRate(c[0], c[1], link * c[2], c[3])
            )

        ideal = traffic(rows.bytes, rows.num_gpus, 0.0) / link
        yield ours, {"link_bytes_per_s": link, **fitted(model, COLLECTIVE_BOUNDS, rows, ["bytes"], ideal)}


KINDS = {
    "gemm": gemm,
    "moe": moe,
    "attention": attention,
    "decode_attention": decode_attention,
    "collectives": collectives,
}


def summary(kind: str, name: str, variant: str, entry: dict[str, Any]) -> str:
    """One line for the reader."""
    held, ideal = entry["held_out"], entry["ideal_roofline"]
    return (
        f"{kind:17s}{name:15s}{variant:18s}{held['rows']:6d}: median {held['median']:.3f} p90 {held['p90']:.3f} "
        f"({held['signed']:+.3f}); ideal {ideal['median']:.3f}; {list(entry['constants'].values())}"
    )


def main() -> None:
    """Write calibration/fitted/kernels.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=data_folder("calibration") / "fitted" / "kernels.json")
    arguments = parser.parse_args()
    devices = {name: accelerator(name) for name in TABLES}
    result: dict[str, Any] = {
        "about": {
            "fitted_on": datetime.date.today().isoformat(),
            "tables": PACKAGE,
            "license": "Apache-2.0, NVIDIA CORPORATION & AFFILIATES",
            "held_out": "a quarter of the shapes (whole width pairs, head layouts, message sizes)",
            "errors": "of |log(predicted / measured)|",
            "command": "python benchmarks/fit_kernels.py --tables aiconfigurator_core/systems/data",
        }
    }
    for kind, fit_kind in KINDS.items():
        result[kind] = {}
        for name, device in devices.items():
            result[kind][name] = dict(fit_kind(device, arguments.tables))
            for variant, entry in result[kind][name].items():
                print(summary(kind, name, variant, entry), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
