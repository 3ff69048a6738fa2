"""Collectives through torch.distributed: NCCL between GPUs, gloo between processes on CPUs.

On one machine `collectives()` starts the processes itself. On several, start this module with torchrun on each:

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m estimator.measure.collectives --output links.json --keep

With --keep the first machine's profile takes the rate as that of its network.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np

from estimator.catalog.files import Content
from estimator.catalog.local import LOCAL, profile
from estimator.errors import InvalidInput
from estimator.files import write_text
from estimator.measure.clock import torch_module, wall_seconds
from estimator.measure.profile import write_profile
from estimator.paths import user_data_folder

SIZES = (1_000, 30_000, 1_000_000, 16_000_000)
LARGE_SIZES = (128_000_000, 1_000_000_000)  # on GPUs
REPEATS = 5
START_LIMIT_S = 120.0


def collectives(processes: int = 2, limit_s: float = START_LIMIT_S) -> Content:
    """Measure on this machine, in so many processes of their own.

    Raises InvalidInput when they do not come up within the limit, MissingExtra without torch.
    """
    torch_module()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "links.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command += ["-m", "estimator.measure.collectives", "--output", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            raise InvalidInput(f"the {processes} processes did not finish within {limit_s:g} s") from None
        if done.returncode or not path.is_file():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise InvalidInput(f"torch.distributed failed: {' '.join(last)[:200]}")
        found: Content = json.loads(path.read_text(encoding="utf-8"))
        return found


def timings(device: str) -> dict[str, list[list[float]]]:
    """[bytes, seconds] of each collective in the running process group, the slowest rank's median."""
    torch = torch_module()
    sizes = SIZES + (LARGE_SIZES if device == "cuda" else ())
    return {name: [[size, _slowest(torch, name, size, device)] for size in sizes] for name in OPERATIONS}


def _slowest(torch: ModuleType, name: str, size: int, device: str) -> float:
    task = OPERATIONS[name](torch, size, device)
    task()
    times = []
    for _ in range(REPEATS):
        torch.distributed.barrier()
        times.append(wall_seconds(task, device))
    longest = torch.tensor([median(times)], device=device)
    torch.distributed.all_reduce(longest, op=torch.distributed.ReduceOp.MAX)
    return float(f"{longest.item():.4g}")


def _all_reduce(torch: ModuleType, size: int, device: str) -> Callable[[], object]:
    values = torch.randn(max(size // 4, 1), device=device)
    return lambda: torch.distributed.all_reduce(values)


def _all_gather(torch: ModuleType, size: int, device: str) -> Callable[[], object]:
    ranks = torch.distributed.get_world_size()
    part = torch.randn(max(size // 4 // ranks, 1), device=device)
    parts = [torch.empty_like(part) for _ in range(ranks)]
    return lambda: torch.distributed.all_gather(parts, part)


OPERATIONS: dict[str, Callable[..., Callable[[], object]]] = {"all-reduce": _all_reduce, "all-gather": _all_gather}


def alpha_beta(points: Sequence[Sequence[float]], ranks: int, passes: float) -> dict[str, float]:
    """Latency [s] and rate [B/s] of t = alpha + passes (ranks - 1)/ranks bytes / rate, relative least squares.

    passes: how often a byte crosses a link: 2 in an all-reduce, 1 in a gather

    >>> alpha_beta([[1e3, 2e-6], [1e9, 1.000001]], ranks=2, passes=2.0)
    {'launch_s': 1e-06, 'bytes_per_s': 1000000000.0}
    """
    size, seconds = np.array(points, float).T
    columns = np.stack([np.ones_like(size), size], axis=1) / seconds[:, None]
    (alpha, beta), *_ = np.linalg.lstsq(columns, np.ones(len(size)), rcond=None)
    rate = passes * (ranks - 1) / ranks / max(beta, 1e-15)
    return {"launch_s": float(f"{max(alpha, 0.0):.4g}"), "bytes_per_s": float(f"{rate:.4g}")}


def keep_network(found: Mapping[str, object]) -> None:
    """Put rates between machines into this machine's profile. Raises InvalidInput where it has none."""
    content = {name: value for name, value in profile().items() if name not in ("checksum", "profile_version")}
    write_profile(content | {"network": dict(found)}, user_data_folder() / f"{LOCAL}.json")


def main(argv: Sequence[str] | None = None) -> None:
    """One rank, started by torchrun; the first writes what was found."""
    options = argparse.ArgumentParser(prog="estimator.measure.collectives")
    options.add_argument("--output", required=True)
    options.add_argument("--keep", action="store_true", help="as the network of this machine's profile")
    given = options.parse_args(argv)
    torch = torch_module()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    found = timings(device)
    if rank == 0:
        rates = {
            name: alpha_beta(points, ranks, 2.0 if name == "all-reduce" else 1.0) for name, points in found.items()
        }
        whole = {"ranks": ranks, "device": device, "measured_at": time.strftime("%Y-%m-%d"), **rates["all-reduce"]}
        write_text(given.output, json.dumps(whole | {"rates": rates, "timings": found}, indent=1))
        if given.keep:
            keep_network(whole)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
