"""What a cluster's accelerators reach in training, as plain numbers: products, attention, memory, links."""

from dataclasses import dataclass
from typing import Any

from estimator.catalog.efficiency import (
    attention_efficiency,
    collective_efficiency,
    gemm_efficiency,
    memory_efficiency,
)
from estimator.records import Cluster

WIDE = ("bf16", "fp16", "fp32", "tf32")


@dataclass(frozen=True, slots=True)
class Rates:
    """Numbers only: rates [FLOP/s, B/s], sizes [B], half-sizes and flags [1]; `low_` is 8 or 4 bits where used."""

    flop_per_s: Any
    m_half: Any
    n_half: Any
    k_half: Any
    low_flop_per_s: Any
    low_m_half: Any
    low_n_half: Any
    low_k_half: Any
    attention_flop_per_s: Any
    attention_rows_half: Any
    attention_span_half: Any
    attention_head_dim_half: Any
    peak: Any
    low_peak: Any
    memory: Any
    bandwidth: Any
    link: Any
    network: Any
    pcie: Any
    domain: Any
    hopper: Any
    blackwell: Any
    volta: Any


def rates(cluster: Cluster, compute: str) -> Rates:
    """Rates of `cluster`'s accelerators for products in the format `compute`; what a chip lacks runs in 16 bits."""
    device = cluster.accelerator
    wide_format = compute if compute in WIDE else "bf16"
    wide, low = gemm_efficiency(device, wide_format), gemm_efficiency(device, compute)
    attention, messages = attention_efficiency(device), collective_efficiency(device)
    pcie = device.pcie_bytes_per_s or messages.network_bytes_per_s
    return Rates(
        flop_per_s=wide.flop_per_s,
        m_half=wide.m_half,
        n_half=wide.n_half,
        k_half=wide.k_half,
        low_flop_per_s=low.flop_per_s,
        low_m_half=low.m_half,
        low_n_half=low.n_half,
        low_k_half=low.k_half,
        attention_flop_per_s=attention.flop_per_s,
        attention_rows_half=attention.rows_half,
        attention_span_half=attention.span_half,
        attention_head_dim_half=attention.head_dim_half,
        peak=device.peak(wide_format),
        low_peak=device.peak(compute),
        memory=device.memory_bytes,
        bandwidth=memory_efficiency(device).bytes_per_s,
        link=pcie if _paired(cluster) else messages.all_gather.bytes_per_s,
        network=messages.network_bytes_per_s,
        pcie=pcie,
        domain=_domain(cluster),
        hopper=float(device.generation.startswith("Hopper")),
        blackwell=float(device.generation.startswith("Blackwell")),
        volta=float(device.generation.startswith("Volta")),
    )


def _paired(cluster: Cluster) -> bool:
    """Whether only pairs or fours are linked, so that a node's ring crosses PCIe."""
    return "bridge" in cluster.accelerator.link


def _domain(cluster: Cluster) -> float:
    """Accelerators that reach each other without the network: a node, or a rack of them where they are linked."""
    device = cluster.accelerator
    rack = (device.domain or 1) > (device.per_node or 8)
    return float(device.domain or 1) if rack else float(cluster.per_node)
