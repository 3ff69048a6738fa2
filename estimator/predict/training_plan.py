"""A training plan, and the plain numbers a step's time and memory are computed from.

`TrainingPlan` is what a user says. `Run` is the same with the LLM's shape and the accelerator's rates, every field a
number or an array: layouts of one LLM, or runs of many, are then one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.efficiency import (
    attention_efficiency,
    collective_efficiency,
    gemm_efficiency,
    memory_efficiency,
)
from estimator.catalog.frameworks import Framework, framework
from estimator.catalog.generations import generation
from estimator.catalog.optimizers import optimizer
from estimator.catalog.own_code import code_under
from estimator.catalog.precisions import precision
from estimator.errors import InvalidInput, clipped
from estimator.formulas import Floats, Real, Words, parallelism, transformer
from estimator.formulas.alignment import logits_share
from estimator.formulas.memory import FULL_PRECISION, MIXED_PRECISION, StateBytes
from estimator.formulas.training import adapter_width, targeted_linears
from estimator.predict.flags import anywhere
from estimator.predict.training_held import held
from estimator.records import Architecture, Cluster, OwnCode

Count = float | NDArray[np.number]  # of a plan, or one for each layout
Open = Any  # the same, or None until a layout is chosen: a checker cannot tell which
WIDE = ("bf16", "fp16", "fp32", "tf32")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How an LLM is trained. Numeric fields may be arrays of layouts that broadcast; texts hold for all of them.

    None in micro_batch, tp, pp, ep, zero or recompute leaves the choice to `best_layout`; a step then takes 1, 0, none.

    seq_len: tokens of a (packed) sequence [token]; micro_batch, global_batch: sequences
    tp, pp, vpp, cp, ep: tensor, pipeline, chunks per pipeline stage, context, expert parallelism [1]
    zero: 0-3 (3 = FSDP); shard: ranks that share states, all data-parallel ones when not given (HSDP) [1]
    recompute: none | selective | full (may be an array)
    precision: what products are done in (bf16, fp16, fp32, fp8, nvfp4, amp_bf16, ...)
    method: full | lora | qlora; weight_precision: how frozen weights are stored (nf4 for qlora)
    cpu_offload: "" | optimizer | activations | params | all
    framework: whose habits to assume (catalog.frameworks); unknown ones get usual habits
    passages_per_query: more than 0 trains an embedder on samples of a query of query_len tokens, its positive passage
        and hard negatives, of seq_len tokens each (contrastive); batches then count samples
    reward_model: whether a number is learnt of each sequence (which of two answers is better), instead of next tokens
    logits_to_keep: tokens at the end of a sequence whose logits are computed (of GRPO the answer's); 0: all
    """

    seq_len: Count = 4096
    micro_batch: Open = None
    global_batch: Open = 1
    tp: Open = None
    pp: Open = None
    vpp: Open = 1
    cp: Count = 1
    ep: Open = None
    zero: Open = None
    shard: Count | None = None
    recompute: Open = None
    precision: str = "bf16"
    method: str = "full"
    lora_rank: Count = 16
    lora_targets: str = "all"
    weight_precision: str | None = None
    optimizer: str = "adamw"
    cpu_offload: str = ""
    fused_attention: bool = True
    framework: str = ""
    passages_per_query: float = 0
    query_len: Count = 32
    reward_model: bool = False
    logits_to_keep: Count = 0

    @property
    def contrastive(self) -> bool:
        """Whether embeddings of queries and passages are compared, instead of tokens foretold."""
        return self.passages_per_query > 0

    @property
    def foretells(self) -> bool:
        """Whether tokens are foretold, so that there are logits."""
        return not (self.contrastive or self.reward_model)

    @property
    def sequences(self) -> tuple[tuple[float, Floats], ...]:
        """Sequences of a sample: how many [1], and how long [token]."""
        alone = 1.0, np.asarray(self.seq_len, float)
        if not self.contrastive:
            return (alone,)
        return (1.0, np.asarray(self.query_len, float)), (float(self.passages_per_query), alone[1])

    @property
    def sample_tokens(self) -> Floats:
        """Tokens of a sample, all its sequences together [token]."""
        return np.asarray(sum(count * tokens for count, tokens in self.sequences))


class Rates(NamedTuple):
    """Numbers only: rates [FLOP/s, B/s], sizes [B], half-sizes and flags [1]; `low_` is 8 or 4 bits where used."""

    flop_per_s: Real
    m_half: Real
    n_half: Real
    k_half: Real
    low_flop_per_s: Real
    low_m_half: Real
    low_n_half: Real
    low_k_half: Real
    attention_flop_per_s: Real
    attention_rows_half: Real
    attention_span_half: Real
    attention_head_dim_half: Real
    peak: Real
    low_peak: Real
    bandwidth: Real
    link: Real
    network: Real
    pcie: Real
    domain: Real
    family: Words  # of generations, a key of fitted factors
    own_attention: Real


class Run(NamedTuple):
    """Numbers only. Widths and counts [1], flags 0 or 1, `_bytes` per value or parameter; see `run`."""

    # shape of the LLM
    layers: Real
    hidden: Real
    heads: Real
    head_dim: Real
    q: Real
    kv: Real
    kv_projection: Real
    out: Real
    ffn: Real
    gated: Real
    moe_layers: Real
    experts: Real
    per_token: Real
    shared: Real
    moe_ffn: Real
    vocab: Real
    head: Real
    tied: Real
    layer_params: Real
    expert_params: Real
    embed_params: Real
    attention_flop: Real
    scan_flop: Real
    score_flop: Real
    span: Real  # of a sequence, over the tokens of a sample [token]
    # the machine
    rates: Rates
    # the layout
    seq: Real
    mb: Real
    tp: Real
    pp: Real
    vpp: Real
    cp: Real
    ep: Real
    dp: Real
    ga: Real
    zero: Real
    shard: Real
    accelerators: Real
    per_node: Real
    full_recompute: Real
    selective: Real
    unsure: Real  # chance that the LLM's own code recomputes otherwise than that, as the next two say
    full_otherwise: Real
    selective_otherwise: Real
    # what follows from the layout
    tokens: Real  # of one micro-batch on one rank [token]
    stage_layers: Real  # of the fullest pipeline stage
    expert_split: Real  # ranks that one layer's experts are spread over: by experts, or each by tensor parallelism
    expert_shards: Real  # ranks that share the states of the same experts
    # precision and method
    low: Real
    fused_attention: Real
    sequence_parallel: Real
    adapters: Real
    rank: Real
    adapter_width: Real
    adapter_inputs: Real
    stored_bytes: Real
    quantised: Real
    slow_quantised: Real
    weight_bytes: Real
    gradient_bytes: Real
    master_bytes: Real
    moment_bytes: Real
    compute_bytes: Real
    temporaries: Real
    offload_optimizer: Real
    offload_activations: Real
    offload_params: Real
    # habits of the framework
    framework: Words
    eager: Real
    compiled: Real
    cudnn: Real
    early_attention: Real
    overlap: Real
    light_selective: Real
    keeps_projections: Real
    tensor_gathers: Real
    # what memory holds
    buffers: Real  # gradients live in buffers of their own from step to step
    inputs_in_host: Real  # those of recomputed layers
    buckets: Real  # gradients are reduced out of
    accumulates_whole: Real
    copied_bytes: Real  # whole copies of gradients and moments at the step, of a parameter
    residual_bytes: Real
    written_out: Real  # norms and gates run one operation at a time
    kept_whole: Real  # by a layer for its backward pass, of a token [B]: by every tensor-parallel rank
    kept_split: Real  # divided by tensor parallelism
    kept_scores: Real  # of attention without a fused kernel
    alive: Real  # while a layer is gone back through [B]
    logit_bytes: Real
    splits_vocabulary: Real
    compiled_loss: Real
    loss_in_kernel: Real  # softmax and loss are one pass over the logits
    end_bytes: Real  # of a frozen embedding's parameter
    uneven: Real  # sequences of many lengths
    expandable: Real  # the allocator's segments grow
    root: Real  # of embeddings and output projection that are gathered at once

    @property
    def tokens_per_step(self) -> Real:
        """Tokens all ranks train on in a step [token]."""
        return self.ga * self.mb * self.dp * self.seq


def stack(runs: Sequence[Run]) -> Run:
    """Runs of single numbers as one run of arrays."""

    def join(parts: Sequence[object]) -> Any:  # of one field: numbers, words or rates
        if isinstance(parts[0], str):
            return np.array(parts)
        if isinstance(parts[0], Rates):
            return Rates(**{name: join([getattr(part, name) for part in parts]) for name in Rates._fields})
        return np.array(parts, float)

    return Run(**{name: join([getattr(part, name) for part in runs]) for name in Run._fields})


PLAINEST = {"micro_batch": 1, "tp": 1, "pp": 1, "vpp": 1, "ep": 1, "zero": 0, "recompute": "none"}  # what may be open


def completed(plan: TrainingPlan) -> TrainingPlan:
    """The plan with the plainest choice for whatever is not given."""
    missing: dict[str, Open] = {name: value for name, value in PLAINEST.items() if getattr(plan, name) is None}
    return replace(plan, **missing)


class Machines(NamedTuple):
    """Accelerators of a run, and of each machine; arrays where layouts differ in them [1]."""

    accelerators: Count
    per_node: Count


def machines_of(cluster: Cluster) -> Machines:
    """Those of a cluster."""
    return Machines(float(cluster.count), float(cluster.per_node))


def run(
    arch: Architecture,
    cluster: Cluster,
    plan: TrainingPlan,
    told: Framework | None = None,
    machines: Machines | None = None,
) -> Run:
    """The numbers of a plan. Raises InvalidInput for a layout that the cluster cannot hold or an unknown word.

    told: what is known of this run's kernels and loss, which its memory takes instead of its framework's habits
    machines: the cluster's unless given
    """
    plan, machines = completed(plan), machines or machines_of(cluster)
    _check(machines.accelerators, plan)
    habits = framework(plan.framework)
    if habits.unties and arch.tied_embeddings:
        arch = arch._replace(tied_embeddings=False)
    here, low = rates_and_format(cluster, plan)
    numbers = _numbers(arch, plan, habits)
    own = _own_code(arch, habits)
    return Run(
        **_shape(arch, plan, foretold=plan.foretells or (told or habits).loss == "unlearnt"),
        **_layout(arch, machines, plan),
        **_recomputed(plan, own.recomputes if own else 1.0),
        **numbers,
        rates=here,
        low=low,
        framework=habits.pace,
        eager=float(habits.kernels == "eager"),
        compiled=float(habits.kernels == "compiled"),
        cudnn=float(habits.cudnn),
        early_attention=float(habits.early_attention),
        overlap=float(habits.overlap),
        light_selective=float(habits.light_selective),
        keeps_projections=float(habits.keeps_projections),
        tensor_gathers=float(habits.tensor_gathers),
        **held(arch, told or habits, numbers, plan.lora_targets, plan.zero, _stored_name(plan), own),
    )


def _own_code(arch: Architecture, habits: Framework) -> OwnCode | None:
    """What code of the LLM's own does otherwise; None where a framework writes its layers anew."""
    return code_under(arch.own_code, habits.name) if habits.kernels == "eager" else None


def _check(count: Count, plan: TrainingPlan) -> None:
    dp = parallelism.data_parallel(count, plan.tp, plan.pp, plan.cp)
    if anywhere(dp < 1):
        raise InvalidInput(
            f"tp x pp x cp = {int(np.max(np.asarray(plan.tp) * plan.pp * np.asarray(plan.cp)))} needs more than "
            f"the {np.max(count):.0f} accelerators there are. Give more of them or a smaller tp, pp or cp."
        )
    for name in ("seq_len", "micro_batch", "global_batch", "tp", "pp", "vpp", "cp", "ep"):
        if not (np.asarray(getattr(plan, name), float) >= 1).all():
            raise InvalidInput(f"{name} must be at least 1, not {getattr(plan, name)}.")
    if plan.method not in ("full", "lora", "qlora"):
        raise InvalidInput(f"method must be full, lora or qlora, not {clipped(plan.method)}.")


def check_positions(arch: Architecture, seq_len: float) -> None:
    """Refuse to tune on sequences longer than the positions that an LLM has learned; rotary ones can be extended."""
    if arch.learned_positions and arch.max_context and seq_len > arch.max_context:
        raise InvalidInput(
            f"{arch.name} has learned {arch.max_context:,} positions: it cannot be tuned on {seq_len:,.0f} tokens. "
            "Give shorter sequences (finetune_seq_len, seq_len; of an embedder chunk_tokens), or an LLM with rotary "
            "positions."
        )


def beyond_positions(arch: Architecture, seq_len: float) -> tuple[str, ...]:
    """What to say where sequences are longer than those an LLM was trained at."""
    if arch.max_context is None or seq_len <= arch.max_context:
        return ()
    return (
        f"Sequences of {seq_len:,.0f} tokens reach beyond the {arch.max_context:,} positions that {arch.name} was "
        "trained at: its rotary embedding has to be extended, and what it learns there may be less.",
    )


def unrecomputed(arch: Architecture, plan: TrainingPlan) -> tuple[str, ...]:
    """What to say where the LLM's own code may not recompute as it is asked to."""
    own = _own_code(arch, framework(plan.framework))
    if own is None or own.recomputes == 1 or not np.any(np.isin(plan.recompute, ("selective", "full"))):
        return ()
    likely = f" ({1 - own.recomputes:.0%} likely in the releases that this can be of)" * (own.recomputes > 0)
    return (f"{arch.name}'s own code recomputes nothing, though it is asked to{likely}: it is counted so.",)


def _shape(arch: Architecture, plan: TrainingPlan, *, foretold: bool) -> dict[str, Real]:
    """foretold: whether there are logits, be it that nothing is learnt from them"""
    experts = arch.experts
    mixing = transformer.mixing(arch)
    held, embeddings = transformer.routed_params(arch), transformer.end_params(arch)
    squares = sum(count * tokens**2 for count, tokens in plan.sequences)
    return {
        "layers": arch.layers,
        "hidden": arch.hidden,
        "heads": arch.heads,
        "head_dim": transformer.q_width(arch) / arch.heads,
        "q": mixing.query,
        "kv": mixing.key_value,
        "kv_projection": mixing.projected - mixing.query,
        "out": mixing.out,
        "ffn": transformer.dense_width(arch),
        "gated": float(arch.gated_mlp),
        "moe_layers": arch.moe_layers,
        "experts": experts.experts if experts else 0,
        "per_token": experts.per_token if experts else 0,
        "shared": transformer.shared_experts(arch),
        "moe_ffn": experts.ffn if experts else 0,
        "vocab": arch.vocab,
        "head": float(arch.kind == "decoder" and foretold) * logits_share(plan.logits_to_keep, plan.seq_len),
        "tied": float(arch.tied_embeddings),
        "layer_params": transformer.params(arch) - held - embeddings,
        "expert_params": held,
        "embed_params": embeddings if plan.foretells else transformer.embedding_params(arch),
        "attention_flop": sum(count * transformer.attention_flop(arch, tokens) for count, tokens in plan.sequences),
        "scan_flop": sum(count * transformer.scan_flop(arch, tokens) for count, tokens in plan.sequences),
        "score_flop": mixing.pair_flop * squares,
        "span": squares / plan.sample_tokens if plan.contrastive else np.asarray(plan.seq_len, float),
    }


def _layout(arch: Architecture, machines: Machines, plan: TrainingPlan) -> dict[str, Real]:
    tp, pp, cp = (np.asarray(x, float) for x in (plan.tp, plan.pp, plan.cp))
    dp = parallelism.data_parallel(machines.accelerators, tp, pp, cp)
    mb = np.asarray(plan.micro_batch, float)
    vpp = np.where(pp > 1, np.asarray(plan.vpp, float), 1.0)
    ep = np.asarray(plan.ep, float) if arch.experts else np.ones_like(tp)
    seq = plan.sample_tokens
    shard = dp * cp if plan.shard is None else np.minimum(np.asarray(plan.shard, float), dp * cp)
    split = np.maximum(ep, tp)
    return {
        "seq": seq,
        "mb": mb,
        "tp": tp,
        "pp": pp,
        "vpp": vpp,
        "cp": cp,
        "ep": ep,
        "dp": dp,
        "ga": parallelism.micro_batches(plan.global_batch, mb, dp),
        "zero": np.asarray(plan.zero, float),
        "shard": shard,
        "accelerators": machines.accelerators,
        "per_node": machines.per_node,
        "tokens": mb * seq / cp,
        "stage_layers": parallelism.stage_layers(arch.layers, pp, vpp),
        "expert_split": split,
        "expert_shards": np.maximum(shard * tp / split, 1.0),
    }


def _recomputed(plan: TrainingPlan, done: float) -> dict[str, Real]:
    """What is recomputed, and what else may be, where the LLM's own code does as asked with a chance of `done`."""
    recompute = np.asarray(plan.recompute)
    full, selective = recompute == "full", recompute == "selective"
    if not (full | selective | (recompute == "none")).all():
        raise InvalidInput(f"recompute must be none, selective or full, not {clipped(plan.recompute)}.")
    asked = float(done >= 0.5)
    return {
        "full_recompute": asked * full,
        "selective": asked * selective,
        "unsure": min(done, 1.0 - done),
        "full_otherwise": (1.0 - asked) * full,
        "selective_otherwise": (1.0 - asked) * selective,
    }


def _compute(plan: TrainingPlan) -> str:
    """The number format of products: a quantised storage format is multiplied in 16 bits."""
    name = plan.precision.lower().removeprefix("amp_").removeprefix("amp-")
    return precision(name).compute


def _numbers(arch: Architecture, plan: TrainingPlan, habits: Framework) -> dict[str, Real]:
    adapters = plan.method != "full"
    states = _states(plan, habits)
    compute = 4.0 if _compute(plan) in ("fp32", "tf32") else 2.0
    stored = _stored_bytes(plan, compute)
    targets = targeted_linears(plan.lora_targets)
    quantised = adapters and stored < 1.5
    offload = plan.cpu_offload.lower()
    everything = offload in ("1", "true", "all", "yes")
    width = adapter_width(arch, plan.lora_targets) / arch.layers
    return {
        "fused_attention": float(plan.fused_attention),
        "sequence_parallel": 1.0
        if habits.sequence_parallel and plan.fused_attention
        else np.where(np.asarray(plan.recompute) == "selective", 1.0, 0.0),
        "adapters": float(adapters),
        "rank": np.asarray(plan.lora_rank, float) if adapters else 0.0,
        "adapter_width": width if adapters else 0.0,
        "adapter_inputs": float(len(targets)) if adapters else 0.0,
        "stored_bytes": stored,
        "quantised": float(quantised),
        "slow_quantised": float(quantised and "gptq" in _stored_name(plan)),
        "weight_bytes": states.weights,
        "gradient_bytes": states.gradients,
        "master_bytes": states.master,
        "moment_bytes": states.moments,
        "compute_bytes": compute,
        "temporaries": _temporaries(plan, habits),
        "offload_optimizer": float(everything or "optim" in offload),
        "offload_activations": float(offload == "all" or "activ" in offload),
        # Weights can wait in host memory only where each rank gathers them anyway.
        "offload_params": float(everything or "param" in offload) * (np.asarray(plan.zero, float) >= 3),
    }


def _temporaries(plan: TrainingPlan, habits: Framework) -> float:
    """Whether the optimizer's step needs temporaries of all parameters at once (0 or 1)."""
    kind = optimizer(plan.optimizer).step
    return float(kind == "foreach" or (not kind and not habits.fused_step))


def _stored_name(plan: TrainingPlan) -> str:
    """What frozen weights are called that are stored in."""
    return (plan.weight_precision or plan.precision).lower()


def _stored_bytes(plan: TrainingPlan, compute: float) -> float:
    """Storage of one frozen weight [B]."""
    name = plan.weight_precision or ("nf4" if plan.method == "qlora" else plan.precision)
    name = name.lower().removeprefix("amp_").removeprefix("amp-")
    if plan.method == "qlora" and precision(name).bits > 8.5:
        name = "nf4"
    bits = precision(name).bits
    if plan.method == "lora" and plan.weight_precision is None:
        in_fp32 = plan.precision.lower().startswith("amp")
        return 4.0 if in_fp32 else max(bits / 8, compute)
    return bits / 8


def _states(plan: TrainingPlan, habits: Framework) -> StateBytes:
    """Bytes of each copy of a trained parameter, after what the optimizer is."""
    name, kind = plan.precision.lower(), optimizer(plan.optimizer)
    if _compute(plan) in ("fp32", "tf32"):
        base = FULL_PRECISION
    elif name.startswith("amp") or "mixed" in name:
        base = MIXED_PRECISION["amp"]
    elif "pure" in name or "true" in name or kind.masters is False:
        base = MIXED_PRECISION["pure"]
    else:
        base = MIXED_PRECISION["pure-master" if kind.masters else habits.states]
    gradients = 0.0 if kind.in_backward else base.gradients
    return StateBytes(base.weights, gradients, base.master, kind.moment_bytes(base.moments))


# --- rates of the machine ---------------------------------------------------------------------------------------------


class Here(NamedTuple):
    """What a run's numbers have of its accelerators: rates, and whether its format is narrower than 16 bits there."""

    rates: Rates
    low: Real


def rates_and_format(cluster: Cluster, plan: TrainingPlan) -> Here:
    """Of a cluster; a chip without the plan's format runs in 16 bits."""
    compute = _compute(plan)
    machine = rates(cluster, compute)
    narrow = {"fp8": 1.0, "int8": 1.0, "fp4": 2.0}.get(compute, 0.0)
    return Here(machine, narrow * float(machine.low_peak > 1.01 * machine.peak))


def rates(cluster: Cluster, compute: str) -> Rates:
    """Rates of `cluster`'s accelerators for products in the format `compute`; what a chip lacks runs in 16 bits."""
    device = cluster.accelerator
    kin = generation(device.generation)
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
        bandwidth=memory_efficiency(device).bytes_per_s,
        link=pcie if _paired(cluster) else messages.all_gather.bytes_per_s,
        # TPUs have no network between hosts but the links of their torus.
        network=messages.all_gather.bytes_per_s if device.kind == "tpu" else messages.network_bytes_per_s,
        pcie=pcie,
        domain=_domain(cluster),
        family=kin.family,
        own_attention=float(kin.own_attention),
    )


def _paired(cluster: Cluster) -> bool:
    """Whether only pairs or fours are linked, so that a node's ring crosses PCIe."""
    return "bridge" in cluster.accelerator.link


def _domain(cluster: Cluster) -> float:
    """Accelerators that reach each other without the network: a node, or a rack of them where they are linked."""
    device = cluster.accelerator
    rack = (device.domain or 1) > (device.per_node or 8)
    return float(device.domain or 1) if rack else float(cluster.per_node)
