"""From an architecture, a cluster and a plan to the rates one forward pass runs at."""

from dataclasses import dataclass

import numpy as np

from estimator.catalog.engines import Engine, engine
from estimator.catalog.precisions import head_precision, precision
from estimator.errors import InvalidInput
from estimator.predict.serving_memory import Layout, kv_members
from estimator.predict.serving_time import Machine
from estimator.records import Accelerator, Architecture, Cluster, Precision

SIXTEEN_BIT = ("bf16", "fp16")
MATRIX_SHARE = 0.75  # of the peak, what a large product reaches where no kernel table says better
HALF_ROWS = 128.0
NO_LINK_BYTES_PER_S = 12e9  # PCIe 3.0 x16 through the host, where nothing else is known


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How an LLM is served.

    weight_precision, kv_precision, activation_precision: names (`bf16`, `awq`, `q4_k_m`, `fp8`); by default the cache
        is 16-bit and products are done in the weights' own format
    tp, pp, ep: tensor, pipeline and expert parallelism [1]
    adapters, adapter_rank: LoRA adapters served unmerged beside the weights [1]
    draft_accepted_tokens: tokens per step with speculative decoding, 1 without [token]
    memory_fraction: share of the memory the engine may use; by default the engine's own [1]
    """

    weight_precision: str = "bf16"
    kv_precision: str | None = None
    activation_precision: str | None = None
    engine: str = "vllm"
    tp: int = 1
    pp: int = 1
    ep: int = 1
    adapters: int = 0
    adapter_rank: int = 16
    draft_accepted_tokens: float = 1.0
    chunked_prefill: bool = True
    memory_fraction: float | None = None

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        for name in ("tp", "pp", "ep"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.draft_accepted_tokens < 1 or self.adapters < 0 or self.adapter_rank < 1:
            raise InvalidInput("draft_accepted_tokens and adapter_rank must be at least 1, adapters at least 0")

    @property
    def layout(self) -> Layout:
        """How a replica is cut."""
        return Layout(self.tp, self.pp, self.ep)

    @property
    def facts(self) -> Engine:
        """What is known of the engine."""
        return engine(self.engine)

    @property
    def weights(self) -> Precision:
        """Format of the layers' weights."""
        return precision(self.weight_precision)

    @property
    def head(self) -> Precision:
        """Format of embeddings and output projection."""
        return head_precision(self.weight_precision)

    @property
    def cache(self) -> Precision:
        """Format of the KV cache; 16 bits when not said."""
        return precision(self.kv_precision or ("fp32" if self.weights.compute == "fp32" else "bf16"))


def machine(arch: Architecture, cluster: Cluster, plan: ServingPlan) -> Machine:
    """The rates of `cluster`'s accelerators under `plan`, as scalars."""
    device, facts = cluster.accelerator, plan.facts
    compute = compute_format(device, plan)
    sixteen = peak_flop_per_s(device, "bf16")
    packed = plan.weights.bits < 8 and compute in SIXTEEN_BIT and facts.int4 == "dequant"
    numbers = (
        device.memory_bandwidth_bytes_per_s,
        (device.sms or np.inf) * (device.clock_hz or np.inf) if device.kind == "gpu" else np.inf,
        MATRIX_SHARE * peak_flop_per_s(device, compute),
        HALF_ROWS if device.kind == "gpu" else 1.0,
        sixteen,
        compute in ("fp8", "int8", "fp4") and peak_flop_per_s(device, compute) > sixteen,
        plan.weights.bytes,
        plan.head.bytes,
        packed and facts.kernels != "ggml",
        plan.tp,
        kv_members(arch, plan.tp),
        link_bytes_per_s(cluster, plan.tp),
        facts.prefill_chunk if plan.chunked_prefill else np.inf,
        facts.launch == "fused",
        facts.launch == "eager",
        facts.kernels == "ggml",
        device.kind == "cpu",
        facts.layer_split and plan.pp > 1,
    )
    return Machine(*(np.asarray(number, float) for number in numbers))


def compute_format(device: Accelerator, plan: ServingPlan) -> str:
    """The format products are done in on this chip; weight-only formats multiply in 16 bits."""
    stated = (plan.activation_precision or "").lower().split("/")
    if len(stated) == 2:  # "fp8/bf16": MX formats need units that multiply blocks, which come with 4-bit units
        return precision(stated[0] if "fp4" in device.peak_flop_per_s else stated[1]).compute
    wanted = plan.weights.compute
    if stated[0]:
        wanted = precision(stated[0]).compute if plan.weights.compute not in ("tf32", "fp32") else plan.weights.compute
    if wanted == "fp4" and "fp4" not in device.peak_flop_per_s:
        return "bf16"
    return wanted


def peak_flop_per_s(device: Accelerator, dtype: str) -> float:
    """Dense peak of a format, or of the next wider one the chip has [FLOP/s]."""
    try:
        return device.peak(dtype)
    except KeyError:
        return max(device.peak_flop_per_s.values())


def link_bytes_per_s(cluster: Cluster, members: int) -> float:
    """One way between the members of a group [B/s]: the link inside a node, the network between nodes."""
    device = cluster.accelerator
    inside = device.link_bytes_per_s or device.pcie_bytes_per_s or NO_LINK_BYTES_PER_S
    if members <= max(device.domain or 0, cluster.per_node):
        return inside
    return min(inside, device.network_bytes_per_s or NO_LINK_BYTES_PER_S)
