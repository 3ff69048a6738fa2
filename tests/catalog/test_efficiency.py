"""What kernels reach: every accelerator answers, says how it knows, and fitted figures keep their stated errors."""

import csv
import json
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from estimator.catalog.accelerators import accelerator, accelerator_names
from estimator.catalog.efficiency import (
    attention_efficiency,
    collective_efficiency,
    decode_attention_efficiency,
    gemm_efficiency,
    memory_efficiency,
    moe_efficiency,
)
from estimator.formulas.collectives import all_reduce_s
from estimator.formulas.roofline import attention_s, decode_attention_s, gemm_s
from estimator.paths import data_folder

KERNELS = json.loads((data_folder("calibration") / "fitted" / "kernels.json").read_text())
SAMPLE = list(csv.DictReader((data_folder("calibration") / "published" / "kernel_sample.csv").read_text().splitlines()))
FITTED = [
    pytest.param(entry, id=f"{kind}-{name}-{variant}")
    for kind in ("gemm", "moe", "attention", "decode_attention", "collectives")
    for name, variants in KERNELS[kind].items()
    for variant, entry in variants.items()
]


@pytest.mark.parametrize("name", accelerator_names())
def test_every_accelerator_answers_below_its_roofs(name: str) -> None:
    device = accelerator(name)
    for dtype in ("bf16", "fp16", "fp32", "fp8", "int8", "fp4", "int4-weights", "int8-weights"):
        for found in (gemm_efficiency(device, dtype), moe_efficiency(device, dtype)):
            assert 0 < found.flop_per_s <= max(device.peak_flop_per_s.values())
            assert 0 < found.bytes_per_s <= device.memory_bandwidth_bytes_per_s
            assert found.evidence.transfer
            assert 0 < found.evidence.log_sd < 1.5
    for dtype in ("bf16", "fp8"):
        assert 0 < attention_efficiency(device, dtype).flop_per_s <= device.peak(dtype)
        assert 0 < decode_attention_efficiency(device, dtype).bytes_per_s <= device.memory_bandwidth_bytes_per_s
    assert 0 < memory_efficiency(device).bytes_per_s <= device.memory_bandwidth_bytes_per_s
    links = collective_efficiency(device)
    assert links.all_reduce.bytes_per_s > 0
    assert links.network_bytes_per_s > 0


def test_nearer_evidence_is_narrower() -> None:
    measured, relative, neighbour, pool = (
        gemm_efficiency(accelerator(name), "bf16").evidence for name in ("h100", "h800", "v100", "cpu-graviton4")
    )

    assert (measured.basis, relative.basis, pool.basis) == ("measured", "published", "assumed")
    assert measured.log_sd < relative.log_sd < neighbour.log_sd < pool.log_sd


def test_a_relative_is_scaled_by_its_own_roofs() -> None:
    parent, child = accelerator("h100"), accelerator("gh200-96gb")
    ours, theirs = gemm_efficiency(child, "bf16"), gemm_efficiency(parent, "bf16")

    assert ours.flop_per_s / child.peak("bf16") == pytest.approx(theirs.flop_per_s / parent.peak("bf16"))
    assert ours.bytes_per_s / theirs.bytes_per_s == pytest.approx(
        child.memory_bandwidth_bytes_per_s / parent.memory_bandwidth_bytes_per_s
    )


def test_a_format_without_units_runs_in_the_next_wider_one() -> None:
    device = accelerator("rtx-3090")

    assert gemm_efficiency(device, "fp8") == gemm_efficiency(device, "bf16")
    assert attention_efficiency(accelerator("l40s"), "fp8").flop_per_s <= accelerator("l40s").peak("bf16")


def test_a_published_rate_comes_before_a_pool() -> None:
    device = accelerator("mi300x")

    assert gemm_efficiency(device, "bf16").flop_per_s == pytest.approx(668.4e12), "mamf.csv"
    assert "mamf.csv" in gemm_efficiency(device, "bf16").evidence.transfer


@pytest.mark.parametrize("entry", FITTED)
def test_constants_beat_the_bare_roofs_on_held_out_shapes(entry: dict[str, Any]) -> None:
    assert entry["held_out"]["median"] < entry["ideal_roofline"]["median"]
    assert all(math.isfinite(value) and value >= 0 for value in entry["constants"].values())


def test_products_stay_within_the_error_promised() -> None:
    """Held-out medians of matrix products: below 9 %, on 16-bit ones below 7 %."""
    medians = {
        (name, variant): entry["held_out"]["median"]
        for name, variants in KERNELS["gemm"].items()
        for variant, entry in variants.items()
    }

    assert max(medians.values()) < 0.09, medians
    assert max(median for (_, variant), median in medians.items() if variant == "bf16") < 0.07, medians


def test_sampled_kernels_lie_within_the_stated_errors() -> None:
    """Nine tenths of held-out rows lie within `p90`: of some 130 sampled, five sixths do."""
    within = defaultdict(list)
    for row in SAMPLE:
        stated = KERNELS[row["kind"]][row["accelerator"]][row["variant"]]["held_out"]["p90"]
        within[row["kind"]].append(abs(math.log(predicted(row) / float(row["time_s"]))) <= stated)

    assert np.mean([hit for hits in within.values() for hit in hits]) > 5 / 6, SAMPLE[0]["source"]
    assert min(np.mean(hits) for hits in within.values()) > 3 / 4, SAMPLE[0]["source"]


def predicted(row: dict[str, str]) -> float:
    """Time of a sampled kernel from its accelerator's constants and its shape alone."""
    device = accelerator(row["accelerator"])
    shape = {key: float(value) for key, value in row.items() if value and key in SHAPES[row["kind"]]}
    if row["kind"] == "gemm":
        size = 2.0 if row["variant"] == "bf16" else 1.0
        return float(
            gemm_s(**shape, efficiency=gemm_efficiency(device, row["variant"]), weight_bytes=size, input_bytes=size)
        )
    if row["kind"] == "attention":
        return float(attention_s(**shape, efficiency=attention_efficiency(device, row["variant"])))
    if row["kind"] == "decode_attention":
        return float(decode_attention_s(**shape, efficiency=decode_attention_efficiency(device, row["variant"])))
    return float(all_reduce_s(**shape, efficiency=collective_efficiency(device)))


HEADS = ("batch", "heads", "kv_heads", "head_dim", "window")
SHAPES = {
    "gemm": ("m", "n", "k"),
    "attention": (*HEADS, "new_tokens"),
    "decode_attention": (*HEADS, "context"),
    "collectives": ("message_bytes", "ranks"),
}
