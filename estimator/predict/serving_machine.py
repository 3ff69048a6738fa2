"""From an architecture, a cluster and a plan to the rates one forward pass runs at."""

from dataclasses import dataclass, replace

import numpy as np

from estimator.catalog.efficiency import (
    attention_efficiency,
    collective_efficiency,
    decode_attention_efficiency,
    gemm_efficiency,
    moe_efficiency,
)
from estimator.catalog.engines import Engine, drafts, engine
from estimator.catalog.facts import fact
from estimator.catalog.files import recent
from estimator.catalog.formats import AS_PUBLISHED, Weights, dense_bytes, main, shown, weights
from estimator.catalog.precisions import precision
from estimator.errors import InvalidInput
from estimator.formulas import transformer
from estimator.formulas.collectives import CollectiveRate
from estimator.formulas.layers import is_feed_forward
from estimator.formulas.roofline import GemmEfficiency
from estimator.predict.serving_memory import Cut, Layout, allowed_bytes, kv_members, weights_bytes
from estimator.predict.serving_time import Machine, Path
from estimator.records import Accelerator, Architecture, Cluster, Precision

SIXTEEN_BIT = ("bf16", "fp16")
LAST = ("o", "out")  # matrices whose inputs a tensor group splits, of those that mix tokens
EAGER_SHARE = {"eager": 1.0, "script": 0.5}  # of dispatching each operator: an interpreter's share is about half
NEWEST = 2026.4  # year of the newest engines that were measured; a chip is served a year after its announcement
INTEGER_LANES = 64
LEAST_HALF_ROWS = 16.0  # a tensor-core tile has no fewer rows


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How an LLM is served.

    weight_precision, kv_precision, activation_precision: names (`bf16`, `awq`, `q4_k_m`, `fp8`); by default weights
        are as their makers published them, the cache is 16-bit and products are done in the weights' own format
    tp, pp, ep: tensor, pipeline and expert parallelism [1]
    adapters, adapter_rank: LoRA adapters served unmerged beside the weights [1]
    draft_accepted_tokens: tokens per step with speculative decoding, 1 without [token]
    draft, drafted_tokens: what proposes how many of them a step, all verified together [token]
    memory_fraction: share of the memory the engine may use; by default the engine's own [1]
    max_sequences: most sequences in one step; max_batched_tokens: most tokens; by default the engine's own [1, token]
    max_context: longest request it is started for, by default the LLM's whole context [token]
    gpu_layers: layers on the accelerators, all of them by default; cpu_moe_layers: whose experts are not [1]
    host_gb_per_s: rate the host's memory is read at, where some layers are there; usual by default [GB/s]
    engine_year: of its release, 2024.5 in the middle of 2024; by default of the newest that was measured
    server: whether requests come over HTTP, or from the program that runs the engine ("in process")
    measured: profile of a server whose own times are taken instead of predicted ones: `server`, or a file
    """

    weight_precision: str = AS_PUBLISHED
    kv_precision: str | None = None
    activation_precision: str | None = None
    engine: str = "vllm"
    tp: int = 1
    pp: int = 1
    ep: int = 1
    adapters: int = 0
    adapter_rank: int = 16
    draft_accepted_tokens: float = 1.0
    draft: str = "eagle"
    drafted_tokens: int = 4
    chunked_prefill: bool = True
    memory_fraction: float | None = None
    max_sequences: int | None = None
    max_batched_tokens: int | None = None
    max_context: int | None = None
    gpu_layers: int | None = None
    cpu_moe_layers: int = 0
    host_gb_per_s: float | None = None
    engine_year: float | None = None
    server: str = "http"
    measured: str | None = None

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        for name in ("tp", "pp", "ep"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.memory_fraction is not None and not 0 < self.memory_fraction <= 1:
            raise InvalidInput(f"memory_fraction must be more than 0 and at most 1, not {self.memory_fraction:g}")
        if self.draft_accepted_tokens < 1 or self.adapters < 0 or self.adapter_rank < 1:
            raise InvalidInput("draft_accepted_tokens and adapter_rank must be at least 1, adapters at least 0")
        if (self.gpu_layers is not None or self.cpu_moe_layers) and not self.facts.host_layers:
            raise InvalidInput(
                f"{self.engine} computes no layers from the host's memory: leave out gpu_layers and cpu_moe_layers, "
                "or take engine=llama.cpp"
            )

    @property
    def layout(self) -> Layout:
        """How a replica is cut."""
        return Layout(self.tp, self.pp, self.ep)

    @property
    def facts(self) -> Engine:
        """What is known of the engine, of its year."""
        return engine(self.engine, self.engine_year)

    @property
    def most_sequences(self) -> int:
        """Most sequences in one step [1]: the engine's limit holds for each copy of the attention layers."""
        return (self.max_sequences or self.facts.max_sequences) * self.layout.attention_replicas

    @property
    def step_tokens(self) -> float:
        """Most tokens of one step [token]; without end where prompts are read whole."""
        return float(self.max_batched_tokens or self.facts.prefill_chunk) if self.chunked_prefill else np.inf

    @property
    def verified_tokens(self) -> float:
        """Tokens of a sequence in one step [token]: the next one, and those that a draft proposed."""
        return 1.0 if self.draft_accepted_tokens <= 1 else max(self.drafted_tokens + 1.0, self.draft_accepted_tokens)

    def in_host(self, arch: Architecture) -> tuple[float, float]:
        """Shares of the layers, and of those whose experts, are computed from the host's memory [1]."""
        layers = 0.0 if self.gpu_layers is None else max(1.0 - self.gpu_layers / arch.layers, 0.0)
        return layers, max(layers, min(self.cpu_moe_layers / arch.layers, 1.0)) if arch.experts else layers

    def draft_share(self, arch: Architecture) -> float:
        """Weights of the draft over the LLM's [1]."""
        kind = drafts()[self.draft]
        head, body = float(transformer.head_params(arch)), float(transformer.dense_weights(arch))
        body += float(transformer.expert_weights(arch)) if arch.experts else 0.0
        return kind.share + (kind.layers * body / arch.layers + kind.head * head) / (body + head)

    def layers(self, arch: Architecture) -> Precision:
        """Format of most of the layers' weights."""
        return main(arch, self.held(arch))

    def held(self, arch: Architecture) -> Weights:
        """Formats of the LLM's weights, as the engine's files have them."""
        return weights(arch, self.weight_precision, self.facts.beside_experts)

    def shown(self, arch: Architecture) -> str:
        """The same in words."""
        return shown(arch, self.weight_precision, self.facts.beside_experts)

    def cache(self, arch: Architecture) -> Precision:
        """Format of the KV cache; 16 bits when not said."""
        return precision(self.kv_precision or ("fp32" if self.layers(arch).compute == "fp32" else "bf16"))

    def cut(self, arch: Architecture) -> Cut:
        """What a load and its cache need to know of the replica."""
        return Cut(
            tp=self.tp,
            pp=self.pp,
            replicas=self.layout.attention_replicas,
            kv_members=kv_members(arch, self.tp),
            cache_bytes=self.cache(arch).bytes,
            step_tokens=self.step_tokens,
            most_sequences=self.most_sequences,
        )


@recent(4096)
def suited(plan: ServingPlan, device: Accelerator) -> ServingPlan:
    """The plan with the limits of a step that its engine has on this accelerator, where they are open.

    >>> from estimator.catalog.accelerators import accelerator
    >>> suited(ServingPlan(max_sequences=8), accelerator("h100")).max_batched_tokens
    8192
    """
    plan.facts.check_runs_on(device)
    limits = plan.facts.limits(device)
    chunk = limits.prefill_chunk if plan.server == "http" else limits.offline_chunk
    return replace(
        plan,
        max_sequences=plan.max_sequences or limits.max_sequences,
        max_batched_tokens=plan.max_batched_tokens or chunk,
    )


@recent(4096)
def machine(arch: Architecture, cluster: Cluster, plan: ServingPlan) -> Machine:
    """The rates of `cluster`'s accelerators under `plan`, as scalars."""
    numbers = {
        **_memory(arch, cluster.accelerator, plan),
        **_products(arch, cluster.accelerator, plan),
        **_attention(arch, cluster.accelerator, plan),
        **_messages(arch, cluster, plan),
        **_host(arch, cluster.accelerator, plan),
    }
    # Numbers, not arrays: arithmetic is ten times as fast.
    return Machine(**{name: float(number) for name, number in numbers.items()})


def _memory(arch: Architecture, device: Accelerator, plan: ServingPlan) -> dict[str, float]:
    """How fast weights come in, and from where."""
    held = plan.held(arch)
    return {
        "bytes_per_s": streamed_bytes_per_s(device, gemm_efficiency(device, compute_format(arch, device, plan))),
        "core_cycles_per_s": core_cycles_per_s(device),
        "dense_bytes": dense_bytes(arch, held),
        "expert_bytes": held.experts.bytes,
        "head_bytes": held.embeddings.bytes if arch.tied_embeddings else held.head.bytes,
        **_spilled(arch, device, plan),
        "host_bytes_per_s": device.pcie_bytes_per_s or device.memory_bandwidth_bytes_per_s,
    }


def _products(arch: Architecture, device: Accelerator, plan: ServingPlan) -> dict[str, float]:
    """How fast matrices are multiplied, and what widening packed weights adds."""
    facts, compute = plan.facts, compute_format(arch, device, plan)
    shapes = gemm_efficiency(device, "bf16")  # tables of narrow formats hold the casts, which engines fuse
    narrow_weights = plan.layers(arch).bits <= 8 and compute in SIXTEEN_BIT
    rate = gemm_efficiency(device, compute).flop_per_s * rate_over_peak(device, plan, compute)
    return {
        "gemm_flop_per_s": rate,
        "half_rows": LEAST_HALF_ROWS if compute == "fp32" else max(shapes.m_half, LEAST_HALF_ROWS),
        "dense_shape": shape_slowdown(dense_widths(arch, plan.tp), shapes, compute),
        "expert_shape": expert_slowdown(arch, device, plan, compute),
        "expert_half_rows": max(moe_efficiency(device, compute).m_half, LEAST_HALF_ROWS),
        "packed": narrow_weights and facts.unpack in ("prompt", "always"),
        "widens": narrow_weights and facts.unpack == "never",
        "packed_always": narrow_weights and facts.unpack == "always",
        "unpacks_simply": narrow_weights and facts.kernels != "engine",
        "value_bytes": 4.0 if compute in ("fp32", "tf32") else 2.0,
        "vector_flop_per_s": vector_flop_per_s(device),
    }


def _attention(arch: Architecture, device: Accelerator, plan: ServingPlan) -> dict[str, float]:
    """How fast scores and values are worked out, fused and from the cache."""
    fused, cache = attention_efficiency(device), decode_attention_efficiency(device)
    return {
        "attention_flop_per_s": fused.flop_per_s / (1.0 + fused.head_dim_half / arch.head_dim),
        "attention_rows_half": fused.rows_half / max(arch.heads / plan.tp, 1.0),
        "attention_span_half": fused.span_half,
        "cache_bytes_per_s": cache.bytes_per_s,
        "cache_flop_per_s": cache.flop_per_s,
        "kv_members": kv_members(arch, plan.tp),
        "heads_per_kv": arch.heads / arch.kv_heads,
    }


def _messages(arch: Architecture, cluster: Cluster, plan: ServingPlan) -> dict[str, float]:
    """Who shares the work, and what telling one another costs."""
    short, long = all_reduces(cluster, plan.tp, plan.facts.all_reduce == "custom")
    there, back = exchanges(cluster, plan.layout.accelerators // plan.pp)
    return {
        "members": plan.tp,
        "message_s": message_s(short, plan.tp),
        "link_bytes_per_s": short.bytes_per_s,
        "link_ramp": short.ramp,
        "link_local": short.local,
        "long_message_s": message_s(long, plan.tp),
        "long_link_bytes_per_s": long.bytes_per_s,
        "long_link_ramp": long.ramp,
        "long_link_local": long.local,
        "replicas": plan.layout.attention_replicas,
        "moe_share": arch.moe_layers / arch.layers,
        "exchange_message_s": message_s(there, plan.ep) + message_s(back, plan.ep),
        "gather_bytes_per_s": there.bytes_per_s,
        "scatter_bytes_per_s": back.bytes_per_s,
        "token_bytes": precision(compute_format(arch, cluster.accelerator, plan)).bytes,
        "stages": plan.pp if plan.facts.layer_split else 1,
    }


def _host(arch: Architecture, device: Accelerator, plan: ServingPlan) -> dict[str, float]:
    """What the engine's own code costs: launches, scheduling, kernels of its kind."""
    facts = plan.facts
    launch_s = layer_latency_s(arch, device, plan) + decode_attention_efficiency(device).launch_s
    return {
        "layer_launch_s": launch_s,
        "age": age(device, plan),
        "chunk": plan.step_tokens,
        "bare": facts.launch == "native" or facts.kernels == "ggml",
        "loop": facts.host == "loop",
        "native": facts.launch == "native" or (facts.kernels == "ggml" and device.vendor != "NVIDIA"),
        "fused": facts.launch == "fused",
        "uncaptured": facts.launch == "steps",
        "eager": EAGER_SHARE.get(facts.launch, 0.0),
        "ggml": facts.kernels == "ggml",
        "simple": facts.kernels in ("ggml", "simple"),
        "unfused": facts.kernels in ("ggml", "torch") or device.kind == "cpu",
        "cpu": device.kind == "cpu",
    }


def age(device: Accelerator, plan: ServingPlan) -> float:
    """Years that the engine's release is behind the newest measured; on a chip's own first year at the earliest [1]."""
    released = plan.facts.year if plan.engine_year is None else plan.engine_year
    return NEWEST - min(max(released, (device.year or 0) + 1), NEWEST)


def path(device: Accelerator, plan: ServingPlan) -> Path:
    """What lies between who asks and the engine."""
    facts = plan.facts
    return Path(
        python=float(facts.host in ("python", "loop")),
        http=float(plan.server == "http"),
        loop=float(facts.host == "loop"),
        age=age(device, plan),
    )


def rate_over_peak(device: Accelerator, plan: ServingPlan, compute: str) -> float:
    """Rate the engine's products may have over the stated peak [1].

    GeForce peaks are those of sums in fp32, half of fp16's. A 32-bit peak that counts lanes shared with integers is
    not reached by products outside the matrix units.
    Source: NVIDIA Ampere GA102 whitepaper (RTX 3090: 142 and 71 TFLOP/s with fp16 and fp32 sums; 128 lanes of 32-bit
    floats, 64 of them shared with integers).
    """
    if compute == "fp32" and device.kind == "gpu":
        return min(1.0, vector_flop_per_s(device) / device.peak("fp32"))
    halved = "geforce" in device.title.lower()
    return 2.0 if halved and compute in SIXTEEN_BIT and plan.facts.accumulates == "fp16" else 1.0


def streamed_bytes_per_s(device: Accelerator, products: GemmEfficiency) -> float:
    """Memory bandwidth [B/s]: as specified, or for CPUs what their products read of it."""
    return products.bytes_per_s if device.kind == "cpu" else device.memory_bandwidth_bytes_per_s


def core_cycles_per_s(device: Accelerator) -> float:
    """Cycles of all cores of a GPU [1/s]; unbounded where cores or clock are not known."""
    if device.kind == "gpu" and device.sms and device.clock_hz:
        return device.sms * device.clock_hz
    return np.inf


def vector_flop_per_s(device: Accelerator) -> float:
    """Rate of integer and simple operations outside the matrix units [FLOP/s]: 64 lanes per GPU core, two FLOP each.

    Where cores or clock are not known, the 32-bit peak. Source: NVIDIA A100, GA102 and H100 whitepapers (64 INT32 units
    per multiprocessor, also where 128 units do 32-bit floats).
    """
    if device.kind == "gpu" and device.sms and device.clock_hz:
        return 2.0 * INTEGER_LANES * device.sms * device.clock_hz
    return device.peak("fp32")


def _spilled(arch: Architecture, device: Accelerator, plan: ServingPlan) -> dict[str, float]:
    """What is in the host's memory: shares of the weights and the cache, and how fast they are read there."""
    if not plan.facts.host_layers:
        share = spilled_share(arch, device, plan)
        return {"spilled": share, "spilled_experts": share, "spilled_cache": float(share > 0), "ram_bytes_per_s": 0.0}
    layers, experts = plan.in_host(arch)
    ram = fact("host_memory/bytes_per_s").value if plan.host_gb_per_s is None else 1e9 * plan.host_gb_per_s
    return {"spilled": layers, "spilled_experts": experts, "spilled_cache": layers, "ram_bytes_per_s": ram}


def spilled_share(arch: Architecture, device: Accelerator, plan: ServingPlan) -> float:
    """Share of the weights that an engine which offloads leaves in the host's memory [1]."""
    if not plan.facts.offloads:
        return 0.0
    held = allowed_bytes(device, plan.memory_fraction or plan.facts.memory_fraction)
    return max(0.0, 1.0 - held / weights_bytes(arch, plan.held(arch), plan.layout))


def layer_latency_s(arch: Architecture, device: Accelerator, plan: ServingPlan) -> float:
    """Time of one layer's matrix products of hardly any work [s]: launches, and tiles that run along the depth."""
    products, experts = gemm_efficiency(device, "bf16"), moe_efficiency(device, "bf16")
    mixing = sum(
        share * (products.launch_s + products.depth_s * depth) for _, depth, share in mixer_widths(arch, plan.tp)
    )
    dense = sum(products.launch_s + products.depth_s * depth for _, depth in ffn_widths(arch, plan.tp))
    expert = sum(experts.launch_s + experts.depth_s * depth for _, depth in expert_widths(arch, plan))
    share = arch.moe_layers / arch.layers
    return mixing + (1.0 - share) * dense + share * expert


def mixer_widths(arch: Architecture, tp: int) -> list[tuple[float, float, float]]:
    """Output and input widths on one accelerator of the matrices that mix tokens, and their count a layer [1].

    Engines multiply those that read a layer's input at once; what a latent is expanded from is not split.
    """
    found: dict[tuple[float, float], float] = {}
    for block in transformer.blocks(arch):
        mixers = [each for each in block.matrices if not is_feed_forward(each)]
        inside = sum(each.rows * each.count for each in mixers if each.columns == arch.hidden and each.name not in LAST)
        widths = [(inside / tp, float(arch.hidden), 1.0)] if inside else []
        widths += [
            (each.rows / tp, float(each.columns), each.count)
            for each in mixers
            if each.columns != arch.hidden and each.name not in LAST
        ]
        widths += [(float(each.rows), each.columns / tp, each.count) for each in mixers if each.name in LAST]
        for out, depth, count in widths:
            found[out, depth] = found.get((out, depth), 0.0) + count * block.layers / arch.layers
    return [(out, depth, count) for (out, depth), count in found.items()]


def ffn_widths(arch: Architecture, tp: int) -> list[tuple[float, float]]:
    """Output and input widths of a dense feed-forward layer on one accelerator [1]; none where no layer has one."""
    ffn, gates = transformer.dense_width(arch) / tp, 2 if arch.gated_mlp else 1
    return [(gates * ffn, arch.hidden), (arch.hidden, ffn)] if ffn else []


def dense_widths(arch: Architecture, tp: int) -> list[tuple[float, float, float]]:
    """Output and input widths of a layer's dense matrices on one accelerator, and their count [1]."""
    return [*mixer_widths(arch, tp), *((out, depth, 1.0) for out, depth in ffn_widths(arch, tp))]


def expert_widths(arch: Architecture, plan: ServingPlan) -> list[tuple[float, float]]:
    """Output and input widths of an expert's matrices on one accelerator [1]; none of a dense LLM.

    A tensor group slices each expert; experts that are shared out stay whole.
    """
    if arch.experts is None:
        return []
    ffn, gates = arch.experts.ffn / (plan.tp if plan.ep == 1 else 1), 2 if arch.gated_mlp else 1
    return [(gates * ffn, arch.hidden), (arch.hidden, ffn)]


def shape_slowdown(widths: list[tuple[float, float, float]], products: GemmEfficiency, dtype: str) -> float:
    """Time of products of these widths over that of unboundedly wide ones [1], weighted by their work."""
    if dtype == "fp32":  # vector units are filled by smaller tiles
        return 1.0
    work = [n * k * count for n, k, count in widths]
    slow = [(1 + products.n_half / n) * (1 + products.k_half / k) for n, k, _ in widths]
    return sum(w * s for w, s in zip(work, slow, strict=True)) / sum(work) if work else 1.0


def expert_slowdown(arch: Architecture, device: Accelerator, plan: ServingPlan, dtype: str) -> float:
    """Time of experts' products of many tokens over that of dense ones as large as you like [1], by fused kernels."""
    if arch.experts is None:
        return 1.0
    fused, dense = moe_efficiency(device, dtype), gemm_efficiency(device, dtype)
    shape = shape_slowdown([(*width, 1.0) for width in expert_widths(arch, plan)], fused, dtype)
    return shape * dense.flop_per_s / fused.flop_per_s


def all_reduces(cluster: Cluster, members: int, custom: bool) -> tuple[CollectiveRate, CollectiveRate]:
    """All-reduce of a tensor group for short and long messages: the custom kernel and the library, or the network."""
    found = collective_efficiency(cluster.accelerator)
    long = reaching(found.all_reduce, cluster, members)
    return found.custom_all_reduce if custom and long is found.all_reduce else long, long


def exchanges(cluster: Cluster, members: int) -> tuple[CollectiveRate, CollectiveRate]:
    """Tokens to experts that `members` share out, and back: all-gather and reduce-scatter."""
    found = collective_efficiency(cluster.accelerator)
    return reaching(found.all_gather, cluster, members), reaching(found.reduce_scatter, cluster, members)


def reaching(rate: CollectiveRate, cluster: Cluster, members: int) -> CollectiveRate:
    """A collective among `members`: inside a node or link domain as it is, else over the network."""
    found = collective_efficiency(cluster.accelerator)
    if members <= max(found.domain, cluster.per_node):
        return rate
    return CollectiveRate(
        launch_s=rate.launch_s + found.network_hop_s * cluster.nodes,
        hop_s=rate.hop_s,
        bytes_per_s=min(rate.bytes_per_s, found.network_bytes_per_s * cluster.per_node),
        ramp=rate.ramp,
        local=rate.local,
    )


def message_s(rate: CollectiveRate, members: int) -> float:
    """Time of an empty collective [s]."""
    return rate.launch_s + rate.hop_s * (members - 1)


def compute_format(arch: Architecture, device: Accelerator, plan: ServingPlan) -> str:
    """The format products are done in on this chip; weight-only formats multiply in 16 bits."""
    layers = plan.layers(arch)
    if plan.facts.unpack == "always" and layers.bits <= 8:
        return "fp16"
    stated = (plan.activation_precision or "").lower().split("/")
    if len(stated) == 2:  # "fp8/bf16": MX formats need units that multiply blocks, which come with 4-bit units
        return precision(stated[0] if "fp4" in device.peak_flop_per_s else stated[1]).compute
    wanted = layers.compute
    if stated[0] and wanted not in ("tf32", "fp32"):
        wanted = precision(stated[0]).compute
    if wanted == "fp4" and "fp4" not in device.peak_flop_per_s:
        return "bf16"
    return wanted
