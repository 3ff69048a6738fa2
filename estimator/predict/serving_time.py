"""Time of one forward pass in a serving engine: counted work over calibrated rates.

Floats or arrays throughout, so one call times a single step or every run of a case file.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.formulas.collectives import all_reduce_traffic, in_pieces_s
from estimator.formulas.roofline import soft_max
from estimator.formulas.serving import Pass
from estimator.predict.flags import anywhere, either

Constants = Mapping[str, float]
Timed = tuple[Real, Real, Real]  # prompts by themselves, what they add to steps, a decode step [s]

SHARPNESS = 3.0  # of the roofline's knee: streaming and multiplying overlap, imperfectly
DECODE_ROWS = 8.0  # new tokens per sequence up to which attention is a decode kernel
LEAST_SPAN = 1e-9  # of an LLM that attends to nothing, whose attention takes no time [token]
VECTOR_ROWS = 16.0  # tokens from which a product fills tiles of the matrix units
UNPACK_ROWS = 64.0  # tokens from which engines unpack weights before multiplying instead of inside a product
SENT_ROWS = 32.0  # tokens from which llama.cpp sends weights over instead of computing in the host
SCORE_BYTES = 16.0  # 32-bit scores written, normalised (read and written) and read again
MOST_PACKED_BYTES = 1.0  # a weight that is wider is not unpacked
LOGIT_PASSES = 5.0  # written, penalised, normalised and sampled from
COPIES = 3.0  # keys and values appended to a new tensor (read, write) and repeated for all heads


class Machine(NamedTuple):
    """What carries a pass out; all fields floats or arrays of one shape, rates per accelerator, flags 0 or 1."""

    # memory
    bytes_per_s: Real  # bandwidth as specified [B/s]
    core_cycles_per_s: Real  # cores x clock [1/s], inf when not known
    dense_bytes: Real  # of one weight that every token meets [B]
    expert_bytes: Real  # of one weight of an expert [B]
    head_bytes: Real  # of one weight of the output projection [B]
    spilled: Real  # share of the weights in the host's memory [1]
    spilled_experts: Real  # of the experts' weights
    spilled_cache: Real  # of the KV cache
    ram_bytes_per_s: Real  # rate they are read at where the host computes with them; 0 where they are sent over [B/s]
    host_bytes_per_s: Real  # rate they are sent over at [B/s]
    # products
    gemm_flop_per_s: Real  # kernel rate of large ones in the compute format [FLOP/s]
    half_rows: Real  # rows that halve it [token]
    dense_shape: Real  # by how much the widths of this LLM's matrices slow them [1]
    expert_shape: Real  # the same of its experts, of fused kernels against dense products
    expert_half_rows: Real  # rows that halve them [token]
    packed: Real  # whether weights are widened before products of many tokens
    packed_always: Real  # ... of any
    widens: Real  # whether products of many tokens widen weights inside
    unpacks_simply: Real  # whether vector units widen them inside small products
    value_bytes: Real  # of one activation [B]
    vector_flop_per_s: Real  # rate outside the matrix units [FLOP/s]
    # attention
    attention_flop_per_s: Real  # fused, of many new tokens [FLOP/s]
    attention_rows_half: Real  # new tokens that halve it [token]
    attention_span_half: Real  # earlier tokens that halve it [token]
    cache_bytes_per_s: Real  # kernel rate of reading the KV cache [B/s]
    cache_flop_per_s: Real  # its arithmetic [FLOP/s]
    kv_members: Real  # accelerators that share the cache [1]
    heads_per_kv: Real  # query heads that share a key [1]
    # messages (see `collectives.CollectiveRate`)
    members: Real  # accelerators of the tensor group [1]
    message_s: Real  # all-reduce by the kernel for short messages: its latency [s],
    link_bytes_per_s: Real  # rate [B/s],
    link_ramp: Real  # ramp [1]
    link_local: Real  # and local share [1]
    long_message_s: Real  # the same by the library's
    long_link_bytes_per_s: Real
    long_link_ramp: Real
    long_link_local: Real
    replicas: Real  # copies of the attention layers, which share out the experts [1]
    moe_share: Real  # of the layers that have some [1]
    exchange_message_s: Real  # latency of sending tokens to their experts and back [s]
    gather_bytes_per_s: Real  # rate there [B/s]
    scatter_bytes_per_s: Real  # and back [B/s]
    token_bytes: Real  # of one value on its way there [B]
    stages: Real  # accelerators that hold layers in turn [1]
    # host
    layer_launch_s: Real  # time of one layer's kernels when they are empty [s]
    age: Real  # years the engine's release is behind the newest measured [1]
    chunk: Real  # most tokens of one pass [token]
    bare: Real  # a loop without a scheduler
    loop: Real  # whose process also takes requests in and turns tokens into text, between two steps
    native: Real  # each kernel launched by C++
    fused: Real  # a step launched as one
    uncaptured: Real  # steps are graphs, prompts are launched from Python
    eager: Real  # share of a framework's dispatching that is done for each operator [1]
    ggml: Real  # kernels of llama.cpp
    simple: Real  # kernels that keep fewer loads in flight
    unfused: Real  # attention that writes its scores out
    cpu: Real


def stacked(machines: list[Machine]) -> Machine:
    """Machines as one whose fields are arrays of one entry each."""
    return Machine(**{name: np.array([float(getattr(one, name)) for one in machines]) for name in Machine._fields})


def pass_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Time of a forward pass, everything included [s]."""
    return alone_s(device_s(work, on, constants), work, on, constants)


def alone_s(device: Real, work: Pass, on: Machine, constants: Constants) -> Real:
    """A pass by itself, of so much `device` time [s]; encoders and bare C++ loops have no scheduler."""
    whole = launched_s(device, work, on, constants) * pipelined(work, on, constants)
    host = constants["step"] * (1.0 - on.bare) + constants["sequence"] * work.sequences
    return whole + host * waited_for(on, constants) * (work.head_weights > 0)


def side_by_side_s(work: Pass, turns: Real, on: Machine, constants: Constants) -> Timed:
    """Prompts by themselves, what they add to the `turns` steps they share, and a step [s].

    work: the prompts, a step, and both together [3, ...]
    """
    shared, own = np.asarray(shared_s(work, on, constants)), np.asarray(own_s(work, on, constants))
    prompts, step = (row_of(work, row) for row in (0, 1))
    joined = shared[2] + own[0] + turns * own[1]
    added = added_s(joined, shared[1] + own[1], turns, prompts, on, constants)
    return (
        alone_s(shared[0] + own[0], prompts, on, constants),
        added,
        alone_s(shared[1] + own[1], step, on, constants),
    )


def row_of(work: Pass, row: int) -> Pass:
    """One of several passes side by side."""
    return Pass(*(field[row] if isinstance(field, np.ndarray) and field.ndim else field for field in work))


def added_s(joined: Real, step: Real, turns: Real, prompts: Pass, on: Machine, constants: Constants) -> Real:
    """What prompts add to the steps they are mixed into [s]: launches, scheduling and weights are paid by the steps.

    joined, step: device time of all those steps with the prompts, of one without; turns: how many they are [1]
    """
    layers = turns * prompts.layers
    more = hosted_s(joined, layers, 1.0, on, constants) - hosted_s(turns * step, layers, 0.0, on, constants)
    host = constants["sequence"] * prompts.sequences * waited_for(on, constants)
    return np.maximum(more, 0.0) * pipelined(prompts, on, constants) + host


class Path(NamedTuple):
    """The way around an engine: floats or arrays, flags 0 or 1.

    loop: whether tokens are handed out between two steps, by the process that makes them; age: of its release [year]
    """

    python: Real
    http: Real
    loop: Real
    age: Real


def path_s(path: Path, streams: ArrayLike, constants: Constants) -> Floats:
    """From a request to its first pass, and from the token out of it back [s]; streams: answers sent meanwhile [1].

    An engine in Python tokenises, schedules and hands over to its own process; a server of it in Python takes in and
    streams besides, the longer the more streams there are. A loop in C++ does none of this.
    """
    aged_by = constants["yearly"] ** path.age
    admitted = path.python * constants["admit"]
    python = constants["python_server"] + constants["python_stream"] * np.asarray(streams, float)
    return np.asarray((admitted + path.http * either(path.python, python, constants["native_server"])) * aged_by)


def taking_in_s(path: Path, constants: Constants) -> Real:
    """What a server in Python is busy with each request [s], one after the other where they all come at once."""
    return path.python * path.http * constants["python_request"] * constants["yearly"] ** path.age


def handing_out_s(path: Path, streams: ArrayLike, constants: Constants) -> Real:
    """What a step takes longer where the engine's own loop hands out its tokens [s]."""
    return path.loop * constants["loop_stream"] * np.asarray(streams, float)


def aged(on: Machine, constants: Constants) -> Real:
    """Host work, gaps and skew of an older release over the newest's [1]."""
    return constants["yearly"] ** on.age


def waited_for(on: Machine, constants: Constants) -> Real:
    """Host work between two steps, over that of the newest engine whose one loop does everything [1]."""
    return aged(on, constants) * either(on.loop, 1.0, constants["apart"])


def device_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Kernels and messages of a pass [s]."""
    return shared_s(work, on, constants) + own_s(work, on, constants)


def shared_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """What all tokens of a pass go through together [s]: products, and messages between accelerators."""
    return products_s(work, on, constants) + messages_s(work, on, constants) + exchange_s(work, on, constants)


def own_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """What each sequence, or each token, takes for itself [s]."""
    return attention_s(work, on, constants) + scans_s(work, on, constants) + vectors_s(work, on, constants)


def passes(work: Pass, on: Machine) -> Real:
    """Passes that a prompt is cut into [1]."""
    return np.maximum(work.rows / on.chunk, 1.0)


def products_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Matrix products: streaming the weights or multiplying, whichever takes longer [s]."""
    count = passes(work, on)
    layers = work.dense_weights + work.expert_weights
    weights = either(on.packed_always, 2.0 * layers, layer_bytes(work, on)) + work.head_weights * on.head_bytes
    stream = count * weights / on.members * byte_s(on, constants)
    if anywhere(on.spilled_experts):
        stream = stream + count * spilled_s(work, on, byte_s(on, constants)) / on.members
    dense = work.dense_flop * on.dense_shape * padding(work.rows / count, on.half_rows)
    head = work.head_flop * padding(work.sequences, on.half_rows)
    share = either(on.ggml, constants["ggml_gemm"], constants["gemm"])
    rate = np.minimum(on.gemm_flop_per_s, constants["cpu_matrix"] * on.vector_flop_per_s)
    rate = either(on.cpu, rate, on.gemm_flop_per_s)
    share = share * either(on.widens, constants["widening"], 1.0)
    if anywhere(work.expert_flop):
        fullest = 1.0 + (constants["uneven"] - 1.0) * (on.replicas > 1)
        expert = work.expert_flop * on.expert_shape * padding(work.expert_rows / count, on.expert_half_rows)
        dense = dense + expert * fullest / constants["grouped"]
    multiply = (dense + head) / on.members / (rate * share)
    time = soft_max(stream, multiply, SHARPNESS)
    if anywhere(on.unpacks_simply):
        widen = on.unpacks_simply * constants["unpack_flop"] * layers / on.members / on.vector_flop_per_s
        time = soft_max(time, widen, SHARPNESS)
    return time + count * unpack_s(work, on)


def spilled_s(work: Pass, on: Machine, byte: Real) -> Real:
    """What weights in the host's memory add to a pass [s]: sent over, or read there while the accelerator waits.

    Passes of many tokens are worth sending weights for. byte: to stream one on the accelerator [s/B]
    Source: llama.cpp, ggml-cuda offload_op (32 tokens and more go to the GPU).
    """
    held = on.spilled * work.dense_weights * on.dense_bytes + on.spilled_experts * work.expert_weights * on.expert_bytes
    there = (on.ram_bytes_per_s > 0) & (work.rows < SENT_ROWS)
    read = 1.0 / np.maximum(on.ram_bytes_per_s, 1.0) - byte
    return held * np.where(there, read, 1.0 / on.host_bytes_per_s)


def layer_bytes(work: Pass, on: Machine) -> Real:
    """Storage of the layers' weights that a pass reads [B]."""
    return work.dense_weights * on.dense_bytes + work.expert_weights * on.expert_bytes


def padding(rows: Real, half_rows: Real) -> Real:
    """Work of a product of `rows` tokens over what its FLOP say [1]: tiles are filled up, single vectors are not."""
    rows = np.maximum(rows, 1.0)
    return 1.0 + half_rows / (rows + VECTOR_ROWS)


def byte_s(on: Machine, constants: Constants) -> Real:
    """Time to stream one byte of weights [s/B]: memory bandwidth, or the loads that cores keep in flight."""
    share = either(on.simple, constants["simple_stream"], constants["stream"])
    core = either(on.simple, constants["simple_core"], constants["core"])
    return soft_max(1.0 / (share * on.bytes_per_s), 1.0 / (core * on.core_cycles_per_s), SHARPNESS)


def unpack_s(work: Pass, on: Machine) -> Real:
    """Widening weights to 16 bits in memory before the products of a pass [s]: read packed, write wide, read wide."""
    if not anywhere(on.packed):
        return 0.0
    dense = work.dense_weights * (on.dense_bytes <= MOST_PACKED_BYTES)
    expert = work.expert_weights * (on.expert_bytes <= MOST_PACKED_BYTES)
    moved = dense * (on.dense_bytes + 4.0) + expert * (on.expert_bytes + 4.0)
    rows = work.rows / passes(work, on)
    many = either(on.packed_always, 1.0, rows / (rows + UNPACK_ROWS))
    return on.packed * many * moved / on.members / on.bytes_per_s


def attention_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Scores and values: reading the cache or multiplying, whichever takes longer [s].

    Unfused attention writes and reads every score, and copies keys and values out to all query heads.
    """
    prompt = work.rows > work.sequences * DECODE_ROWS
    share = either(on.ggml, constants["ggml_kv"], 1.0)
    read = work.kv_bytes / on.kv_members / (share * on.cache_bytes_per_s)
    if anywhere(on.spilled_cache):
        away = either(on.ram_bytes_per_s > 0, np.maximum(on.ram_bytes_per_s, 1.0), on.host_bytes_per_s)
        read = read + on.spilled_cache * work.kv_bytes / on.kv_members / away
    span = np.maximum(work.mean_span, LEAST_SPAN)
    slowed = (1.0 + on.attention_rows_half / work.rows) * (1.0 + on.attention_span_half / span)
    rate = np.where(prompt, on.attention_flop_per_s / slowed, on.cache_flop_per_s)
    multiply = work.attention_flop / on.members / (constants["attention"] * rate)
    time = soft_max(read, multiply, SHARPNESS)
    if not anywhere(on.unfused):
        return time
    torch = on.unfused * (1.0 - on.ggml)
    unfused = on.unfused * SCORE_BYTES * work.scores / on.members
    copied = torch * COPIES * on.heads_per_kv * work.kv_bytes / on.kv_members
    return time + (unfused + copied) / on.bytes_per_s


def scans_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Recurrences: their state read and written, or products at attention's rate, whichever takes longer [s]."""
    if not anywhere(work.state_bytes):
        return 0.0
    moved = work.state_bytes / on.members / on.cache_bytes_per_s
    multiply = work.scan_flop / on.members / (constants["attention"] * on.attention_flop_per_s)
    return soft_max(moved, multiply, SHARPNESS)


def vectors_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Norms, activations, residuals and logits: passes over vectors in memory [s]."""
    count = either(on.unfused, constants["unfused_passes"], constants["vector_passes"])
    vectors = count * work.stream_bytes * on.value_bytes / 2.0 * (0.5 + 0.5 / on.members)
    return (vectors + LOGIT_PASSES * work.logit_bytes / on.members) / on.bytes_per_s


def messages_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """All-reduces of the residual stream [s], with the skew of those who wait for the last.

    Two per layer, after attention and feed-forward; experts that attention replicas share out need but the first.
    """
    if not anywhere(on.members > 1):
        return 0.0
    messages = (2.0 - on.moe_share * (on.replicas > 1)) * work.layers
    size = work.stream_bytes / work.layers / constants["link"]
    short = all_reduce_traffic(size, on.members, on.link_local) / on.link_bytes_per_s
    long = all_reduce_traffic(size, on.members, on.long_link_local) / on.long_link_bytes_per_s
    short = in_pieces_s(on.message_s, short, on.link_ramp)
    long = in_pieces_s(on.long_message_s, long, on.long_link_ramp)
    skew = constants["skew"] * aged(on, constants)
    return either(on.members > 1, messages * (np.minimum(short, long) + skew), 0.0)


def exchange_s(work: Pass, on: Machine, constants: Constants) -> Real:
    """Tokens of all attention replicas to their experts and back, in each layer that has some [s].

    An all-gather of what the products take in and a reduce-scatter of 16-bit sums, as engines do it inside a node.
    Source: TensorRT-LLM documentation, attention data parallelism; vLLM documentation, expert parallel deployment
    (`allgather_reducescatter`, the default).
    """
    if not anywhere(on.replicas > 1):
        return 0.0
    moved = work.stream_bytes * (on.replicas - 1.0)
    there, back = on.token_bytes / 2.0 / on.gather_bytes_per_s, 1.0 / on.scatter_bytes_per_s
    waiting = work.layers * (on.exchange_message_s + 2.0 * constants["skew"] * aged(on, constants))
    return on.moe_share * (moved * (there + back) + waiting * (on.replicas > 1))


def launched_s(device: Real, work: Pass, on: Machine, constants: Constants) -> Real:
    """A device time with what launching costs [s]: gaps in a graph, or the host when it is the slower one."""
    prompts = np.asarray(work.rows > work.sequences * DECODE_ROWS, float)
    return hosted_s(device, passes(work, on) * work.layers, prompts, on, constants)


def hosted_s(device: Real, count: Real, prompts: Real, on: Machine, constants: Constants) -> Real:
    """The same of `count` layers [s]; prompts: whether there are some, whose sizes no graph was captured for."""
    host = on.fused * constants["fused_layer"] + on.eager * constants["eager_layer"]
    host = host + on.uncaptured * prompts * constants["uncaptured_layer"]
    launch = either(on.native, constants["native_launch"], constants["launch"])
    empty = launch * on.layer_launch_s + constants["routing"] * on.moe_share
    gaps = count * empty * aged(on, constants) * (1.0 - on.cpu)
    return np.maximum(device + gaps, count * host)


def pipelined(work: Pass, on: Machine, constants: Constants) -> Real:
    """Time of a prompt over accelerators that hold layers in turn, against one after the other [1].

    Chunks overlap: c chunks over s stages take (c + s - 1) / (c s) at best, of which a share is reached.
    """
    if not anywhere(on.stages > 1):
        return 1.0
    count = np.floor(passes(work, on))
    best = (count + on.stages - 1.0) / (count * on.stages)
    return 1.0 - constants["pipeline"] * (1.0 - best)
