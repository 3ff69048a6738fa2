"""What only a GPU has: launches from a graph against one by one, copies to and from the host, clocks under load.

Not yet run on hardware: written against the documentation of torch.cuda, import-safe without a GPU.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from estimator.measure.clock import seconds_of, torch_module, wall_seconds

LAUNCHES = 200
TRANSFER_BYTES = 256_000_000
SUSTAINED_S = 3.0


def extras() -> dict[str, Any]:
    """Launch times, transfers and clocks of the first GPU."""
    torch = torch_module()
    found = {"launches": launches(torch), "transfers": transfers(torch), "clocks": clocks(torch)}
    return found | ({"peer_bytes_per_s": peer_bytes_per_s(torch)} if torch.cuda.device_count() > 1 else {})


def launches(torch: Any) -> dict[str, float]:
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


def _warm(task: Callable[[], Any]) -> float:
    wall_seconds(task, "cuda")
    return min(wall_seconds(task, "cuda") for _ in range(5))


def transfers(torch: Any) -> dict[str, float]:
    """Copies from the host to the GPU [B/s], from pinned and from pageable memory."""
    device = torch.empty(TRANSFER_BYTES, dtype=torch.uint8, device="cuda")
    rates = {}
    for name, pinned in (("pinned", True), ("pageable", False)):
        host = torch.zeros(TRANSFER_BYTES, dtype=torch.uint8, pin_memory=pinned)
        seconds = _warm(partial(device.copy_, host, non_blocking=True))
        rates[f"{name}_bytes_per_s"] = TRANSFER_BYTES / seconds
    return rates


def peer_bytes_per_s(torch: Any) -> float:
    """Copy from the first GPU to the second [B/s]."""
    first = torch.zeros(TRANSFER_BYTES, dtype=torch.uint8, device="cuda:0")
    second = torch.empty(TRANSFER_BYTES, dtype=torch.uint8, device="cuda:1")
    return TRANSFER_BYTES / _warm(lambda: second.copy_(first))


def clocks(torch: Any) -> dict[str, float]:
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
