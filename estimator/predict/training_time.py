"""Time of one training step, summed over operators: products, attention, element-wise passes, messages, the optimizer.

Every function takes a `Run` (numbers or arrays) and the fitted parameters, and returns seconds. A pass through one
layer on one rank is the unit; the schedule (micro-batches, pipeline, overlap) comes last.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from estimator.formulas import Floats, Real, Truth, Words, parallelism
from estimator.formulas.roofline import soft_max
from estimator.formulas.serving import expert_coverage
from estimator.predict.flags import anywhere, either
from estimator.predict.training_plan import Run

Parameters = Mapping[str, float]
SHARPNESS = 4.0
HOST_BYTES_PER_S = 20e9  # of one accelerator's share of the host's memory, for an optimizer that runs there
UNALIGNED = 4.0  # rate of tensor cores over that of 16-bit vector units (A100: 312 over 78 TFLOP/s)
BACKWARD_SHARE = 2.0 / 3.0  # part of a micro-batch under which gradients can travel


class StepTime(NamedTuple):
    """Parts of one step [s]; they add up to the step."""

    compute: Real
    communication: Real
    bubble: Real
    optimizer: Real
    host: Real

    @property
    def total(self) -> Real:
        """The step [s]."""
        return self.compute + self.communication + self.bubble + self.optimizer + self.host


def step_time(run: Run, p: Parameters) -> StepTime:
    """One optimizer step [s]."""
    layers = run.stage_layers
    forward, backward = _layer_passes(run, p)
    head = _head(run, p)
    # The stage with the head may hold fewer layers, as many as the even share of the others leaves over.
    slack = np.minimum(layers * run.pp - run.layers, layers)
    device = layers * (forward + backward) + np.maximum(head - slack * (forward + backward), 0.0)
    messages = layers * _layer_messages(run, p) + _pipeline_messages(run, p)
    gathers = _gathers(run, p)
    hidden_under = device + messages
    sharp = p["gather_hidden"] / _overlapped(run, p)
    exposed = messages + soft_max(hidden_under, gathers, sharp) - hidden_under
    if anywhere(run.offload_activations):
        exposed = exposed + _exposed(hidden_under, _offloaded(run, p), p["offload_exposed"])
    floor = _host_floor(run, p, layers)
    device_total = device + exposed
    micro = soft_max(device_total, floor, SHARPNESS)
    sync = _sync(run, p)
    sync_exposed = _exposed(micro * BACKWARD_SHARE, sync, p["sync_exposed"] * _overlapped(run, p))
    bubble = micro * (run.pp - 1) / run.vpp
    stretch = (1 + p["straggler"] * np.log2(np.maximum(run.accelerators / 8.0, 1.0))) * framework_factor(run, p)
    return StepTime(
        compute=run.ga * device * stretch,
        communication=(run.ga * exposed + sync_exposed) * stretch,
        bubble=bubble * stretch,
        optimizer=_optimizer(run, p) * stretch,
        host=(p["step_s"] + run.ga * (micro - device_total)) * stretch,
    )


def framework_factor(run: Run, p: Parameters) -> Real:
    """Time of a run over that of the pool of frameworks [1]; 1 for a framework nobody measured."""
    return _fitted("framework", run.framework, p)


def _fitted(what: str, names: Words, p: Parameters) -> Real:
    """Factor that was fitted for a name, or for each of many [1]; 1 for one that nobody measured."""
    if isinstance(names, str):
        return p.get(f"{what} {names}", 1.0)
    starts = np.flatnonzero(np.append(True, names[1:] != names[:-1])[: len(names)])  # where another name begins
    known, which = np.unique(names[starts], return_inverse=True)
    factors = np.array([p.get(f"{what} {name}", 1.0) for name in known.tolist()])
    return factors[which].repeat(np.diff(starts, append=len(names)))


def _overlapped(run: Run, p: Parameters) -> Real:
    """What frameworks that run messages beside products leave exposed of what others do [1]."""
    return p["overlapped"] ** run.overlap


def _exposed(compute: Real, message: Real, share: Real) -> Real:
    """Time that a message adds to what it is hidden under: all beyond it, and `share` of the rest."""
    return np.maximum(message - compute, 0.0) + share * np.minimum(message, compute)


# --- one layer on one rank -------------------------------------------------------------------------------------------


def _gemm(run: Run, p: Parameters, m: Real, n: Real, k: Real, low: Real) -> Real:
    """One product in the run's format [s]; `low` says whether it is done in 8 or 4 bits where the run is."""
    rates = run.rates
    factor = p["gemm"] * _fitted("gemm", rates.family, p)
    work = 2.0 * (m + rates.m_half) * (n + rates.n_half) * (k + rates.k_half) / rates.flop_per_s
    if anywhere(low):
        padded = (m + rates.low_m_half) * (n + p["quantise"] * rates.low_n_half) * (k + rates.low_k_half)
        gain = p["gemm_low"] * _fitted("gemm_low", rates.family, p)
        work = either(low > 0, 2.0 * padded / rates.low_flop_per_s / gain, work)
    work = work / factor
    moved = 2.0 * (m * k + k * n + m * n) / rates.bandwidth
    return soft_max(work, moved, SHARPNESS)


def _products(run: Run, p: Parameters, shapes: Sequence[tuple[Real, Real, Real]], low: Real) -> Floats:
    """Products (m, n, k), and those of their weights' gradients (n, k, m), all in one call [2, shapes, ...] [s]."""
    m, n, k = zip(*shapes, strict=True)
    sizes = m + n + k + m
    rows = np.empty((len(sizes), *np.broadcast(*sizes).shape))
    for row, size in enumerate(sizes):
        rows[row] = size
    count = len(shapes)
    time = np.asarray(_gemm(run, p, rows[: 2 * count], rows[count : 3 * count], rows[2 * count :], low))
    return time.reshape(2, count, *time.shape[1:])


def _layer_products(run: Run, p: Parameters) -> Floats:
    """Linear layers of a block, averaged over dense and expert layers: forward and weight gradients [2, ...] [s].

    The gradient of the inputs takes as long as the forward pass.
    """
    m, h, tp = run.tokens, run.hidden, run.tp
    moe = run.moe_layers / run.layers
    up = (1 + run.gated) * run.ffn / tp
    shapes = [
        (m, (run.q + run.kv_projection) / tp, h),
        (m, h, run.out / tp),
        (m, up, h),
        (m, h, run.ffn / tp),
    ]
    times = _products(run, p, shapes, run.low)
    if not anywhere(moe):
        return times.sum(axis=1)
    times[:, 2:] *= 1 - moe
    return times.sum(axis=1) + moe * _experts(run, p)


def _experts(run: Run, p: Parameters) -> Floats:
    """Routed and shared experts of one layer: forward and weight gradients [2, ...] [s]."""
    m, h, ffn = run.tokens, run.hidden, np.maximum(run.moe_ffn, 1.0)
    held = np.maximum(run.experts, 1.0) / run.expert_split
    rows = m / run.tp * run.per_token * run.expert_split / np.maximum(run.experts, 1.0)
    up = (1 + run.gated) * ffn
    shared = run.shared * ffn / run.tp
    shapes = [(rows, up, h), (rows, h, ffn), (m, (1 + run.gated) * shared, h), (m, h, shared)]
    times = _products(run, p, shapes, run.low)
    # Written out in PyTorch, experts are plain products one after another.
    routed = held * times[:, :2].sum(axis=1) * either(run.eager > 0, 1.0, p["grouped"])
    return routed + times[:, 2:].sum(axis=1) * (run.shared > 0)


def _attention(run: Run, p: Parameters) -> tuple[Real, Real]:
    """Scores and values of one layer: (forward, backward) [s]. Going back, fused attention does 2.5x the work."""
    rates = run.rates
    share = run.mb / (run.layers * run.tp * run.cp)
    rows = run.mb * run.heads / run.tp * run.seq / run.cp
    span = np.maximum(run.attention_flop / np.maximum(run.score_flop / run.span, 1.0), 1.0)
    reached = (1 + rates.attention_rows_half / rows) * (1 + rates.attention_span_half / span)
    reached = reached * (1 + rates.attention_head_dim_half / run.head_dim)
    own_share = either(run.cudnn > 0, p["attention_tuned"], p["attention_flash2"])
    rate = rates.attention_flop_per_s * either(rates.own_attention > 0, own_share, p["attention"])
    rate = rate * _fitted("attention", rates.family, p) * either(run.early_attention > 0, p["attention_early"], 1.0)
    fused = run.attention_flop * share / rate * reached * _padding(run.head_dim, 32.0)
    if anywhere(run.scan_flop > 0):  # recurrences in chunks are products like attention's, whole squares of them
        fused = fused + run.scan_flop * share / rate
    tuned = (rates.own_attention > 0) & (run.cudnn > 0)
    going_back = either(tuned, p["attention_backward_tuned"], p["attention_backward"])
    backward = 2.5 * fused / (going_back * _fitted("attention_backward", rates.family, p))
    if not anywhere(run.fused_attention == 0):
        return fused, backward
    # Unfused products of heads that are not whole multiples of 8 run without tensor cores.
    aligned = np.where(run.head_dim % 8 == 0, 1.0, UNALIGNED)
    scores = run.score_flop * share / (rates.flop_per_s * p["gemm"] * 0.6) * aligned
    softmax = run.mb * run.heads / run.tp * (run.seq * run.span) / run.cp * p["unfused"] / rates.bandwidth
    return (
        np.where(run.fused_attention > 0, fused, scores + 12.0 * softmax),
        np.where(run.fused_attention > 0, backward, 2.0 * scores + 16.0 * softmax),
    )


def _padding(width: Real, multiple: float) -> Real:
    """Work done over work needed when a width is padded to a multiple [1]."""
    return np.ceil(width / multiple) * multiple / width


def _kept_bytes(run: Run) -> Real:
    """Activations of one micro-batch that wait for the backward pass, per rank [B]."""
    inputs = run.hidden
    everything = 8 * run.hidden + 2 * run.q + run.kv + (2 + 2 * run.gated) * run.ffn
    projected = inputs + run.q + run.kv  # queries, keys and values: all else is done again
    width = either(run.full_recompute > 0, inputs, either(run.selective > 0, projected, everything))
    return run.tokens * width * run.compute_bytes * run.layers / (run.pp * run.tp)


def _elementwise(run: Run, p: Parameters) -> Real:
    """Norms, residuals, rotary embedding and activation of one layer, forward [s]."""
    moe = run.moe_layers / run.layers
    norms = 10.0 * run.hidden / either(run.sequence_parallel > 0, run.tp, 1.0)
    routed = moe * 4.0 * run.per_token * run.hidden
    split = (2.0 * run.q + run.kv + (2 + run.gated) * _feed_forward(run) + routed) / run.tp
    kind = either(run.eager > 0, p["elementwise_eager"], either(run.compiled > 0, p["elementwise_compiled"], 1.0))
    return run.tokens * run.compute_bytes * (norms + split) * kind * p["elementwise"] / run.rates.bandwidth


def _feed_forward(run: Run) -> Real:
    """Width of the feed-forward that a token passes, averaged over layers [1]."""
    moe = run.moe_layers / run.layers
    return (1 - moe) * run.ffn + moe * (run.per_token + run.shared) * run.moe_ffn


def _projected(run: Run) -> Real:
    """Share of a layer's products that queries, keys and values are [1]."""
    mine = run.q + run.kv_projection
    return mine / (mine + run.out + (2 + run.gated) * _feed_forward(run))


def _adapters(run: Run, p: Parameters) -> Real:
    """Adapters of one layer, forward: they read the layer's input, and read and add its output [s]."""
    if not anywhere(run.adapters):
        return 0.0
    moved = run.tokens * 2.0 * (3.0 * run.adapter_width) / run.tp
    work = 2.0 * run.tokens * run.rank * run.adapter_width / run.tp / (0.3 * run.rates.flop_per_s)
    return run.adapters * p["adapters"] * (moved / run.rates.bandwidth + work)


def _dequantisation(run: Run, p: Parameters) -> Real:
    """Unpacking one layer's quantised weights for one pass [s]."""
    if not anywhere(run.quantised):
        return 0.0
    weights = (run.layer_params / run.tp + run.expert_params / run.expert_split) / run.layers
    cost = either(run.slow_quantised > 0, p["dequantise_slow"], p["dequantise"])
    return run.quantised * cost * weights * (2.0 * 2.0 + run.stored_bytes) / run.rates.bandwidth


def _in_int8(run: Run) -> Truth:
    """Whether frozen weights are 8-bit integers, multiplied with outliers apart (LLM.int8())."""
    return (run.quantised > 0) & (run.stored_bytes > 0.9) & (run.slow_quantised == 0)


def _layer_passes(run: Run, p: Parameters) -> tuple[Real, Real]:
    """One layer: (forward, backward with recomputation) [s]."""
    products, weights = _layer_products(run, p)
    attend, attend_back = _attention(run, p)
    small, adapters, unpack = _elementwise(run, p), _adapters(run, p), _dequantisation(run, p)
    products = products * either(_in_int8(run), p["int8_frozen"], 1.0)
    forward = products + attend + small + adapters + unpack
    backward = products + weights * (1 - run.adapters) + attend_back + 1.5 * small + 2 * adapters + unpack
    light = (run.light_selective > 0) | (run.fused_attention == 0)
    selective = either(light, attend + small * run.fused_attention, p["selective"] * forward)
    selective = either(run.keeps_projections > 0, forward - _projected(run) * products, selective)
    again = run.full_recompute * forward + run.selective * selective
    return forward, backward + again


def _head(run: Run, p: Parameters) -> Real:
    """Output projection, loss and its gradient on the stage that has them [s]."""
    vocab = run.vocab / run.tp
    forward, weights = _products(run, p, [(run.tokens, vocab, run.hidden)], 0.0)[:, 0]
    products = 2 * forward + (1 - run.adapters) * weights
    fused = either((run.compiled > 0) | (run.loss_in_kernel > 0), p["loss_compiled"], 1.0)
    loss = run.tokens * vocab * 24.0 * fused * p["loss"] / run.rates.bandwidth
    return run.head * (products + loss)


# --- messages --------------------------------------------------------------------------------------------------------


def _ring_s(
    run: Run, p: Parameters, sent: Real, group: Real, stride: Real, messages: Real, network_share: Real = 1.0
) -> Real:
    """All-gather or reduce-scatter of `sent` bytes in `messages` pieces over a ring [s]; nothing sent takes no time."""
    rates, travels = run.rates, (group > 1) & (sent > 0)
    if not anywhere(travels):
        return 0.0
    link = either(rates.link <= rates.pcie * 1.01, rates.pcie * p["pcie"], rates.link * p["link"])
    network = rates.network * p["network"] * network_share
    per_s = parallelism.group_bytes_per_s(group, stride, rates.domain, link, network)
    nodes = np.maximum(group * stride / rates.domain, 1.0)
    hops = (nodes - 1) * p["hop_s"]
    return either(travels, sent * parallelism.ring_share(group) / per_s + messages * hops, 0.0)


def _layer_messages(run: Run, p: Parameters) -> Real:
    """Exposed messages of one layer, forward and backward: tensor, expert and context parallel [s]."""
    hidden = run.tokens * run.hidden * run.compute_bytes
    rings = 2.0 * (2.0 + run.full_recompute)
    tensor = _ring_s(run, p, 2.0 * hidden, run.tp, 1.0, 0.0) * rings
    tensor = tensor * p["tensor_exposed"] * _overlapped(run, p)
    inside = tensor + _expert_messages(run, p, hidden / run.tp)
    if not anywhere(run.cp > 1):
        return inside
    context = _ring_s(run, p, run.tokens * run.kv / run.tp * 2.0 * run.cp, run.cp, run.tp, 0.0) * 3.0
    attend, attend_back = _attention(run, p)
    return inside + _exposed(attend + attend_back, context, p["sync_exposed"])


def _expert_messages(run: Run, p: Parameters, hidden: Real) -> Real:
    """Tokens on their way to the experts of one layer and back, forward and backward [s]."""
    moe = run.moe_layers / run.layers
    if not anywhere(moe):
        return 0.0
    inside = np.minimum(run.ep, run.rates.domain)
    link = run.rates.link * p["link"]
    share = (run.ep - 1) / run.ep
    # A token that visits several experts of one node crosses the network once, and not to its own.
    nodes = run.ep / inside
    across = (nodes - 1) * expert_coverage(nodes, 1.0, run.per_token)
    routed = hidden * (run.per_token * share / link + across / (run.rates.network * p["network"]))
    waits = (3.0 + run.full_recompute) * p["dispatch_s"] * (1 - run.eager)
    return moe * (routed * 4.0 * p["all_to_all"] * _overlapped(run, p) + waits)


def _pipeline_messages(run: Run, p: Parameters) -> Real:
    """Activations and gradients to the neighbouring stage, per micro-batch [s]; mostly hidden."""
    several = run.pp > 1
    if not anywhere(several):
        return 0.0
    sent = run.tokens * run.hidden * 2.0 / run.tp * 2.0 * run.vpp
    return either(several, sent / (run.rates.network * p["network"]) * p["sync_exposed"], 0.0)


def _local_params(run: Run) -> tuple[Real, Real]:
    """Parameters one rank would hold without sharding: (dense with embeddings, experts) [1]."""
    dense = (run.layer_params / run.pp + run.embed_params / np.minimum(run.pp, 2.0)) / run.tp
    return dense, run.expert_params / (run.pp * run.expert_split)


def _trained(run: Run, dense: Real) -> Real:
    """Parameters outside experts that one rank trains without sharding: its adapters, or all of them [1]."""
    return either(run.adapters > 0, run.rank * run.adapter_width * run.layers / run.pp / run.tp, dense)


def _scatters(run: Run) -> Truth:
    """Whether ZeRO-2 leaves each rank its part of the gradients after every micro-batch; under pipelines at the end."""
    return (run.zero == 2) & (run.pp == 1)


def _gathers(run: Run, p: Parameters) -> Real:
    """Weights gathered (ZeRO-3) and gradients scattered for each micro-batch [s]; under pipelines once a step."""
    sharded = run.zero >= 3
    each_time = sharded | _scatters(run)
    if not anywhere(each_time):
        return 0.0
    dense, experts = _local_params(run)
    stored = either(run.quantised > 0, run.stored_bytes, 2.0)
    passes = 2.0 * stored * sharded + (1 - run.adapters) * np.minimum(run.gradient_bytes, 4.0)
    messages = (1.0 + 2.0 * sharded) * run.layers
    share = either((run.tensor_gathers > 0) & sharded, p["network_tensors"], 1.0)
    ring = _ring_s(run, p, passes * dense, run.shard, run.tp, messages, share)
    ring = ring + _ring_s(run, p, passes * experts, run.expert_shards, run.expert_split, messages, share)
    copies = run.offload_params * 2.0 * stored * (dense + experts) / run.shard / (run.rates.pcie * p["pcie_host"])
    per_micro_batch = either(run.pp > 1, 1.0 / run.ga, 1.0)
    return either(each_time, (ring + copies) * per_micro_batch, 0.0)


def _offloaded(run: Run, p: Parameters) -> Real:
    """Activations of one micro-batch on their way to host memory and back [s]."""
    return run.offload_activations * 2.0 * _kept_bytes(run) / (run.rates.pcie * p["pcie_host"])


def _sync(run: Run, p: Parameters) -> Real:
    """Gradients and updated weights among replicas, once a step [s]."""
    dense, experts = _local_params(run)
    trained = _trained(run, dense)
    scattered = np.where(_scatters(run) & (run.adapters == 0), 0.0, np.minimum(run.gradient_bytes, 4.0))
    per_param = scattered + np.where(run.zero > 0, run.compute_bytes, run.gradient_bytes)
    replicas = run.dp * run.cp
    ring = _ring_s(run, p, per_param * trained, replicas, run.tp, 2.0 * run.layers / run.pp)
    across = np.maximum(replicas * run.tp / run.expert_split, 1.0)
    ring = ring + (1 - run.adapters) * _ring_s(
        run, p, per_param * experts, across, run.expert_split, run.layers / run.pp
    )
    hybrid = _ring_s(run, p, per_param * trained / run.shard, replicas / run.shard, run.tp * run.shard, run.layers)
    return np.where(run.zero >= 3, np.where(run.shard < replicas, hybrid, 0.0), ring)


# --- once a step -----------------------------------------------------------------------------------------------------


def _optimizer(run: Run, p: Parameters) -> Real:
    """Reading and writing weights, gradients and moments, and the norm of the gradients [s]."""
    dense, experts = _local_params(run)
    stepped = _trained(run, dense) / either(run.zero > 0, run.shard, 1.0)
    stepped = stepped + (1 - run.adapters) * experts / either(run.zero > 0, run.expert_shards, 1.0)
    states = run.weight_bytes + run.gradient_bytes + run.master_bytes + run.moment_bytes
    device = stepped * 2.0 * states / run.rates.bandwidth
    there = 4.0 / (run.rates.pcie * p["pcie_host"]) + 28.0 / HOST_BYTES_PER_S
    return p["optimizer"] * device + run.offload_optimizer * stepped * there


def _host_floor(run: Run, p: Parameters, layers: Real) -> Real:
    """Time the host needs to launch one micro-batch [s]: forward, recomputation, and twice as much going back."""
    per_pass = either(run.eager > 0, p["host_eager_s"], p["host_s"]) * p["host_adapters"] ** run.adapters
    experts = run.moe_layers / run.layers * run.experts / run.expert_split
    per_pass = per_pass + either(run.eager > 0, p["host_expert_s"], 0.0) * experts
    per_pass = either((run.tensor_gathers > 0) & (run.zero >= 3), p["host_tensors_s"] + per_pass, per_pass)
    return layers * (3.0 + run.full_recompute) * per_pass
