"""What mostly GPUs have: launches from a graph against one by one, copies, clocks under load; weights in 8 and 4 bits.

Not yet run on a GPU: written against the documentation of torch.cuda, import-safe without one. The layers in 8 and
4 bits also run on CPUs, where they are tested.
"""

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from estimator.catalog.files import Content
from estimator.measure.clock import seconds_of, torch_module, wall_seconds

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear, Module

LAUNCHES = 200
TRANSFER_BYTES = 256_000_000
SUSTAINED_S = 3.0
QUANTISED = ("fp8", "int4")
FP8_MOST = 448.0  # largest number of the format e4m3fn
GROUP, TILES = 64, 8  # weights that share a scale; how the kernel for 4 bits lays weights out


def extras() -> Content:
    """Launch times, transfers and clocks of the first GPU."""
    torch = torch_module()
    found = {"launches": launches(torch), "transfers": transfers(torch), "clocks": clocks(torch)}
    return found | ({"peer_bytes_per_s": peer_bytes_per_s(torch)} if torch.cuda.device_count() > 1 else {})


def launches(torch: ModuleType) -> dict[str, float]:
    """Time of an empty kernel [s]: launched one by one from the host, and from a CUDA graph."""
    x = torch.zeros(1, device="cuda")

    def many() -> None:
        for _ in range(LAUNCHES):
            x.add_(1.0)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        many()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        many()
    eager, replayed = _warm(many), _warm(graph.replay)
    return {"eager_s": eager / LAUNCHES, "graph_s": replayed / LAUNCHES}


def _warm(task: Callable[[], object]) -> float:
    wall_seconds(task, "cuda")
    return min(wall_seconds(task, "cuda") for _ in range(5))


def transfers(torch: ModuleType) -> dict[str, float]:
    """Copies from the host to the GPU [B/s], from pinned and from pageable memory."""
    device = torch.empty(TRANSFER_BYTES, dtype=torch.uint8, device="cuda")
    rates = {}
    for name, pinned in (("pinned", True), ("pageable", False)):
        host = torch.zeros(TRANSFER_BYTES, dtype=torch.uint8, pin_memory=pinned)
        seconds = _warm(partial(device.copy_, host, non_blocking=True))
        rates[f"{name}_bytes_per_s"] = TRANSFER_BYTES / seconds
    return rates


def peer_bytes_per_s(torch: ModuleType) -> float:
    """Copy from the first GPU to the second [B/s]."""
    first = torch.zeros(TRANSFER_BYTES, dtype=torch.uint8, device="cuda:0")
    second = torch.empty(TRANSFER_BYTES, dtype=torch.uint8, device="cuda:1")
    return TRANSFER_BYTES / _warm(lambda: second.copy_(first))


def clocks(torch: ModuleType) -> dict[str, float]:
    """Rate of a large product in a burst and after seconds of load [FLOP/s]: power limits show."""
    size = 8192
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)

    product()
    burst = seconds_of(product, "cuda")
    end = time.monotonic() + SUSTAINED_S
    while time.monotonic() < end:
        wall_seconds(product, "cuda")
    sustained = seconds_of(product, "cuda", 0.2)
    return {"burst_flop_per_s": 2.0 * size**3 / burst, "sustained_flop_per_s": 2.0 * size**3 / sustained}


def quantise(torch: ModuleType, layers: "Module", dtype: str) -> None:
    """Put layers in 8 bits (fp8, activations too) or 4 bits (int4, weights alone) in place of linear ones."""
    kind = {"fp8": _eight_bits, "int4": _four_bits}[dtype]
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, kind(torch, child))


def _eight_bits(torch: ModuleType, linear: "Linear") -> "Module":
    """A linear layer whose products are in 8 bits, one scale for the weights and one for each batch of activations."""

    def scaled(x: "Tensor") -> tuple["Tensor", "Tensor"]:
        scale = x.abs().amax().float() / FP8_MOST + 1e-12
        return (x / scale).to(torch.float8_e4m3fn), scale

    class EightBits(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.scale = scaled(linear.weight.detach())

        def forward(self, x: "Tensor") -> "Tensor":
            rows, scale = scaled(x.reshape(-1, x.shape[-1]))
            made = {"scale_a": scale, "scale_b": self.scale, "out_dtype": torch.bfloat16}
            return torch._scaled_mm(rows, self.weight.t(), **made).view(*x.shape[:-1], -1)

    return EightBits()


def _four_bits(torch: ModuleType, linear: "Linear") -> "Module":
    """A linear layer whose weights are kept in 4 bits, a scale and a zero for each 64 of a row."""
    weight = linear.weight.detach().float()
    groups = weight.view(weight.shape[0], -1, GROUP)
    low = groups.amin(-1, keepdim=True)
    scale = (groups.amax(-1, keepdim=True) - low).clamp(min=1e-6) / 15
    values = ((groups - low) / scale).round().clamp(0, 15).to(torch.int32).view_as(weight)
    # The kernel reads (value - 8) scale + zero.
    scales = torch.cat((scale, low + 8 * scale), -1).transpose(0, 1).contiguous().to(torch.bfloat16)
    on_cpu = weight.device.type == "cpu"
    if on_cpu:
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, TILES)
    else:
        pairs = (values[:, ::2] << 4 | values[:, 1::2]).to(torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack(pairs, TILES)
    product = torch.ops.aten._weight_int4pack_mm_for_cpu if on_cpu else torch.ops.aten._weight_int4pack_mm

    class FourBits(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: "Tensor") -> "Tensor":
            return product(x.reshape(-1, x.shape[-1]), packed, GROUP, scales).view(*x.shape[:-1], -1)

    return FourBits()
