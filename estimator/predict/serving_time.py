"""Time of one forward pass in a serving engine: counted work over calibrated rates.

Floats or arrays throughout, so one call times a single step or every run of a case file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from estimator.formulas.roofline import soft_max
from estimator.formulas.serving import Pass, ring_all_reduce_bytes

Floats = NDArray[np.float64]
Constants = Mapping[str, float]

SHARPNESS = 3.0  # of the roofline's knee: streaming and multiplying overlap, imperfectly
DECODE_ROWS = 8.0  # new tokens per sequence up to which attention is a decode kernel
UNPACK_ROWS = 64.0  # tokens from which engines unpack weights before multiplying instead of inside a product


@dataclass(frozen=True, slots=True)
class Machine:
    """What carries a pass out; all fields floats or arrays of one shape, rates per accelerator.

    bytes_per_s: memory bandwidth as specified [B/s]; core_cycles_per_s: cores x clock [1/s], inf when not known
    gemm_flop_per_s: kernel rate of large products in the compute format [FLOP/s]; half_rows: rows that halve it [1]
    dense_shape, expert_shape: by how much the widths of this LLM's matrices slow them [1]
    attention_flop_per_s, attention_rows_half, attention_span_half: fused attention; rows in tokens
    cache_bytes_per_s: kernel rate of reading the KV cache [B/s]; cache_flop_per_s: its arithmetic [FLOP/s]
    narrow: 1 when products are done in 8 or 4 bits; packed: 1 when weights are unpacked before products
    weight_bytes, head_bytes: storage of one weight [B]
    members, kv_members: accelerators of the tensor group; those that share the KV cache [1]
    message_s: latency of an empty all-reduce [s]; link_bytes_per_s: rate of a long one [B/s]
    chunk: most tokens of one pass [token]; fused, eager, ggml, cpu: 1 when the engine or device is of that class
    """

    bytes_per_s: Floats
    core_cycles_per_s: Floats
    gemm_flop_per_s: Floats
    half_rows: Floats
    dense_shape: Floats
    expert_shape: Floats
    attention_flop_per_s: Floats
    attention_rows_half: Floats
    attention_span_half: Floats
    cache_bytes_per_s: Floats
    cache_flop_per_s: Floats
    narrow: Floats
    packed: Floats
    weight_bytes: Floats
    head_bytes: Floats
    members: Floats
    kv_members: Floats
    message_s: Floats
    link_bytes_per_s: Floats
    chunk: Floats
    fused: Floats
    eager: Floats
    ggml: Floats
    cpu: Floats


def stacked(machines: list[Machine]) -> Machine:
    """Machines as one whose fields are arrays of one entry each."""
    names = [field.name for field in fields(Machine)]
    return Machine(*(np.array([float(getattr(one, name)) for one in machines]) for name in names))


def pass_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Time of a forward pass, everything included [s]."""
    device = (
        products_s(work, on, constants)
        + attention_s(work, on, constants)
        + vectors_s(work, on, constants)
        + messages_s(work, on, constants)
    )
    return launched_s(device, work, on, constants) + constants["step"] + constants["sequence"] * work.sequences


def products_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Matrix products: streaming the weights or multiplying, whichever takes longer [s]."""
    passes = np.maximum(work.rows / on.chunk, 1.0)
    weights = (work.dense_weights + work.expert_weights) * on.weight_bytes + work.head_weights * on.head_bytes
    stream = passes * weights / on.members * byte_s(on, constants)
    half = on.half_rows * np.where(on.weight_bytes < 1.0, constants["packed_rows"], 1.0)
    rows, expert_rows = np.maximum(work.rows / passes, 1.0), np.maximum(work.expert_rows / passes, 1.0)
    dense = work.dense_flop * on.dense_shape * (1.0 + half / rows)
    expert = work.expert_flop * on.expert_shape * (1.0 + half / expert_rows) / constants["grouped"]
    head = work.head_flop * (1.0 + half / work.sequences)
    multiply = (dense + expert + head) / on.members / (on.gemm_flop_per_s * gemm_share(on, constants))
    return soft_max(stream, multiply, SHARPNESS) + unpack_s(work, on, constants)


def gemm_share(on: Machine, constants: Constants) -> Floats:
    """Rate of products inside the engine over that of the kernel alone [1]."""
    share = np.where(on.ggml > 0, constants["ggml_gemm"], constants["gemm"])
    return share * np.where(on.narrow > 0, constants["narrow"], 1.0)


def byte_s(on: Machine, constants: Constants) -> Floats:
    """Time to stream one byte of weights [s/B]."""
    return 1.0 / (constants["stream"] * on.bytes_per_s) + 1.0 / (constants["core_stream"] * on.core_cycles_per_s)


def unpack_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Unpacking weights to 16 bits, for passes of many tokens [s]."""
    weights = (work.dense_weights + work.expert_weights) / on.members
    return on.packed * constants["unpack"] * 2.0 * weights / on.bytes_per_s * work.rows / (work.rows + UNPACK_ROWS)


def attention_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Scores and values: reading the cache or multiplying, whichever takes longer [s]."""
    prompt = work.rows > work.sequences * DECODE_ROWS
    share = np.where(on.ggml > 0, constants["ggml_kv"], constants["kv_stream"])
    read = work.kv_bytes / on.kv_members / (share * on.cache_bytes_per_s)
    rows = work.rows / on.attention_rows_half * on.members
    span = work.mean_span
    slowed = (1.0 + 1.0 / np.maximum(rows / on.members, 1e-9)) * (1.0 + on.attention_span_half / span)
    rate = np.where(prompt, on.attention_flop_per_s / slowed, on.cache_flop_per_s)
    multiply = work.attention_flop / on.members / (constants["attention"] * rate)
    return soft_max(read, multiply, SHARPNESS)


def vectors_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Norms, activations, residuals and logits: passes over vectors in memory [s]."""
    vectors = constants["vector_passes"] * work.stream_bytes * (0.5 + 0.5 / on.members)
    return (vectors + 4.0 * work.logit_bytes / on.members) * byte_s(on, constants)


def messages_s(work: Pass, on: Machine, constants: Constants) -> Floats:
    """Two all-reduces of the residual stream per layer [s], with the skew of those who wait for the last."""
    sent = ring_all_reduce_bytes(2.0 * work.stream_bytes, on.members)
    latency = 2.0 * work.layers * (on.message_s + constants["skew"])
    return np.where(on.members > 1, latency + sent / (constants["link"] * on.link_bytes_per_s), 0.0)


def launched_s(device: Floats, work: Pass, on: Machine, constants: Constants) -> Floats:
    """A device time with what launching costs [s]: gaps in a graph, or the host when it is the slower one."""
    passes = np.maximum(work.rows / on.chunk, 1.0)
    host = on.fused * constants["fused_layer"] + on.eager * constants["eager_layer"]
    gaps = passes * work.layers * constants["graph_layer"] * (1.0 - on.cpu)
    return np.maximum(device + gaps, passes * work.layers * host)
