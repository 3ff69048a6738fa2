"""Rooflines: worked examples, and what must hold for any shape and any constants."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.accelerators import accelerator
from estimator.catalog.efficiency import (
    attention_efficiency,
    decode_attention_efficiency,
    gemm_efficiency,
)
from estimator.formulas.roofline import (
    AttentionEfficiency,
    DecodeAttentionEfficiency,
    GemmEfficiency,
    MemoryEfficiency,
    attention_s,
    decode_attention_s,
    elementwise_s,
    experts_visited,
    gemm_s,
    mean_span,
    moe_s,
    soft_max,
)
from estimator.paths import data_folder

extent = st.integers(1, 200_000)
half = st.floats(0, 3000)
constants = st.builds(
    GemmEfficiency,
    flop_per_s=st.floats(1e11, 5e15),
    bytes_per_s=st.floats(1e10, 1e13),
    m_half=half,
    n_half=half,
    k_half=half,
    launch_s=st.floats(0, 1e-4),
    depth_s=st.floats(0, 1e-8),
    sharpness=st.floats(1, 12),
)


def test_ideal_product_is_bound_by_the_slower_roof() -> None:
    ideal = GemmEfficiency(flop_per_s=1e15, bytes_per_s=1e12, sharpness=200.0)

    assert gemm_s(8192, 8192, 8192, ideal) == pytest.approx(2 * 8192**3 / 1e15, rel=1e-6)
    assert gemm_s(1, 8192, 8192, ideal) == pytest.approx(2 * (8192**2 + 2 * 8192) / 1e12, rel=1e-6)


@given(extent, extent, extent, constants)
def test_product_is_never_faster_than_either_roof(m: int, n: int, k: int, efficiency: GemmEfficiency) -> None:
    work_s = 2.0 * m * n * k / efficiency.flop_per_s
    moved_s = 2.0 * (m * n + n * k + m * k) / efficiency.bytes_per_s

    assert gemm_s(m, n, k, efficiency) >= max(work_s, moved_s) * (1 - 1e-12)


@given(extent, extent, extent, constants, st.sampled_from("mnk"), st.integers(1, 5000))
def test_product_takes_longer_the_larger_it_is(
    m: int, n: int, k: int, efficiency: GemmEfficiency, axis: str, more: int
) -> None:
    shape = {"m": m, "n": n, "k": k}
    larger = {**shape, axis: shape[axis] + more}

    assert gemm_s(**larger, efficiency=efficiency) >= gemm_s(**shape, efficiency=efficiency) * (1 - 1e-12)


@given(st.lists(st.tuples(extent, extent, extent), min_size=1, max_size=5), constants)
def test_arrays_and_scalars_agree(shapes: list[tuple[int, int, int]], efficiency: GemmEfficiency) -> None:
    m, n, k = np.array(shapes).T

    np.testing.assert_allclose(
        gemm_s(m, n, k, efficiency), [gemm_s(*shape, efficiency) for shape in shapes], rtol=1e-12
    )


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(1, 50))
def test_soft_max_lies_between_the_larger_and_the_sum(a: float, b: float, sharpness: float) -> None:
    assert max(a, b) * (1 - 1e-12) <= soft_max(a, b, sharpness) <= (a + b) * (1 + 1e-12) + 1e-290


@given(st.integers(1, 4096), st.integers(1, 64), st.integers(1, 200))
def test_experts_visited_are_no_more_than_there_are_or_were_picked(tokens: int, per_token: int, idle: int) -> None:
    experts = per_token + idle

    visited = experts_visited(tokens, experts, per_token)

    assert per_token * (1 - 1e-9) <= visited <= min(experts, tokens * per_token) * (1 + 1e-9)


def test_one_expert_visited_by_all_is_a_dense_layer() -> None:
    efficiency = GemmEfficiency(5e14, 2e12, 64, 100, 100, 5e-6, 2e-10)
    dense = gemm_s(512, 2 * 4096, 2048, efficiency) + gemm_s(512, 2048, 4096, efficiency)

    assert moe_s(512, 2048, 4096, 1, 1, efficiency) == pytest.approx(dense, rel=1e-12)


@given(st.integers(1, 3000), st.integers(0, 3000), st.integers(1, 4000))
def test_mean_span_counts_the_keys_of_a_causal_window(new: int, cached: int, window: int) -> None:
    seen = np.minimum(np.arange(cached + 1, cached + new + 1), window)

    assert mean_span(new, cached, window) == pytest.approx(seen.mean(), rel=1e-9)


def test_attention_of_long_sequences_is_its_work() -> None:
    """arXiv:2307.08691 section 4.1: 4 seq^2 head_dim heads FLOP, half of it under a causal mask."""
    ideal = AttentionEfficiency(flop_per_s=1e15, bytes_per_s=1e15, sharpness=200.0)

    causal, full = (attention_s(1, 16384, 16, 16, 128, ideal, causal=causal) for causal in (True, False))

    assert full == pytest.approx(4 * 16384**2 * 128 * 16 / 1e15, rel=1e-6)
    assert causal == pytest.approx(full / 2, rel=1e-3)


@given(st.integers(1, 64), st.integers(1, 30_000), st.integers(1, 30_000), st.integers(0, 5))
def test_attention_of_cached_tokens_only_adds(batch: int, new: int, cached: int, log_group: int) -> None:
    efficiency = attention_efficiency(accelerator("h100"))
    alone = attention_s(batch, new, 32, 32 >> log_group, 128, efficiency)

    assert attention_s(batch, new, 32, 32 >> log_group, 128, efficiency, cached_tokens=cached) >= alone
    assert attention_s(batch, new, 32, 32 >> log_group, 128, efficiency, window=cached) <= alone * (1 + 1e-12)


def test_decode_attention_reads_the_cache_once() -> None:
    ideal = DecodeAttentionEfficiency(bytes_per_s=2e12, flop_per_s=1e18)
    cache = 2 * 64 * 4096 * 8 * 128 * 2  # keys and values, batch, context, kv heads, head width, bytes

    assert decode_attention_s(64, 4096, 32, 8, 128, ideal) == pytest.approx(cache / 2e12, rel=1e-9)
    assert decode_attention_s(64, 4096, 32, 8, 128, ideal, value_bytes=1.0) == pytest.approx(cache / 4e12, rel=1e-9)


@given(st.integers(1, 512), st.integers(1, 100_000), st.integers(1, 100_000))
def test_decode_attention_grows_with_context(batch: int, context: int, more: int) -> None:
    efficiency = decode_attention_efficiency(accelerator("a100"))
    short, long = decode_attention_s(batch, np.array([context, context + more]), 32, 8, 128, efficiency)

    assert short <= long
    assert decode_attention_s(batch, context + more, 32, 8, 128, efficiency, window=context) == pytest.approx(short)


def test_elementwise_pass_is_its_bytes_and_a_launch() -> None:
    assert elementwise_s(3e9, MemoryEfficiency(3e12, 2e-6)) == pytest.approx(1.002e-3)


@pytest.mark.formula
def test_large_product_on_h200_reaches_the_published_rate() -> None:
    """mamf.csv: 788 TFLOP/s at 8192 cubed, measured on another H200 than the tables' (others: 769-798)."""
    row = next(
        row
        for row in csv.DictReader((data_folder("calibration") / "published" / "mamf.csv").read_text().splitlines())
        if row["gpu_slug"] == "h200-sxm" and row["best_shape_mnk"] == "8192x8192x8192"
    )
    m, n, k = map(int, row["best_shape_mnk"].split("x"))

    rate = 2.0 * m * n * k / gemm_s(m, n, k, gemm_efficiency(accelerator("h200-sxm"), "bf16"))

    assert rate / 1e12 == pytest.approx(float(row["mamf_tflops"]), rel=0.04), row["source"]
