"""Timing as a user sees it, what machine this is, and how steady it is."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType

from estimator.catalog.files import Content
from estimator.errors import MissingExtra
from estimator.measure.index import last_level_cache_bytes

PROBE_GEMM = 512  # rows and columns of the probe's product
PROBE_COPY_BYTES = 32_000_000
PROBE_CALLS = 15


def torch_module() -> ModuleType:
    """torch, or MissingExtra."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "measure") from None
    return torch


def seconds_of(task: Callable[[], object], device: str = "cpu", least_s: float = 0.0) -> float:
    """Wall-clock time of one call [s]; short tasks are repeated until `least_s` has passed and averaged.

    On a GPU, events on the device's own clock around the same calls.
    """
    return _device_seconds(task, least_s) if device == "cuda" else _host_seconds(task, least_s)


def _host_seconds(task: Callable[[], object], least_s: float) -> float:
    start, calls = time.perf_counter(), 0
    while True:
        task()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= least_s:
            return passed / calls


def _device_seconds(task: Callable[[], object], least_s: float) -> float:
    torch = torch_module()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start, calls = time.perf_counter(), 0
    first.record()
    while True:
        task()
        calls += 1
        if time.perf_counter() - start >= least_s:
            break
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1e3 / calls


def wall_seconds(task: Callable[[], object], device: str = "cpu") -> float:
    """Wall-clock time of one call with everything it started finished [s]: what real work is judged by."""
    torch = torch_module()
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    task()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def probe(device: str = "cpu", calls: int = PROBE_CALLS) -> float:
    """Time of a fixed product and copy together, always the same work: its change is the machine's drift [s].

    The median of some calls, as work of a tenth of a second meets the machine; single calls jump by time slices.
    """
    torch = torch_module()
    a, b = (torch.randn(PROBE_GEMM, PROBE_GEMM, device=device) for _ in range(2))
    source = torch.ones(PROBE_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)

    def work() -> None:
        torch.mm(a, b)
        target.copy_(source)

    work()
    return median(seconds_of(work, device) for _ in range(calls))


def this_machine(device: str) -> Content:
    """What can be seen of the machine and its software."""
    torch = torch_module()
    about: Content = {
        "kind": "gpu" if device == "cuda" else "cpu",
        "title": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "cache_bytes": last_level_cache_bytes(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "clock_hz": _clock_hz(),
    }
    return about | (_cuda_device(torch) if device == "cuda" else {})


def _cuda_device(torch: ModuleType) -> Content:
    found = torch.cuda.get_device_properties(0)
    return {
        "title": found.name,
        "vendor": "AMD" if torch.version.hip else "NVIDIA",
        "memory_bytes": found.total_memory,
        "cache_bytes": getattr(found, "L2_cache_size", None),
        "capability": f"{found.major}.{found.minor}",
        "devices": torch.cuda.device_count(),
        "sms": found.multi_processor_count,
        "runtime": torch.version.cuda or torch.version.hip,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _clock_hz() -> float | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return max(float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")) * 1e6
    except (OSError, ValueError):
        return None


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 8e9
