"""How far off predictions were by kind of run: from every published run's error with its source left out of the fit."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from docs.pages.markdown import table

ROOT = Path(__file__).parents[2]
Run = Mapping[str, str]
Kind = tuple[str, Callable[[Run], bool]]
LEAST = 8  # runs of a line
INTRODUCTION = """# How far off, by kind of run

Published runs, each predicted with its own source left out of the fit. *Off*: the median factor between measured and
predicted, either way; 1.10 is 10 % too much or too little. *Nine in ten within*: the factor that holds for nine of ten.
*Tends to be*: the median with its direction. Kinds of which fewer than eight runs are known are left out. Few sources
mean that yours may lie elsewhere.
"""
METHODS: tuple[Kind, ...] = (
    ("full", lambda run: not run["lora_rank"]),
    ("LoRA", lambda run: bool(run["lora_rank"]) and "4" not in run["precision"]),
    ("QLoRA", lambda run: bool(run["lora_rank"]) and "4" in run["precision"]),
)
SIZES: tuple[Kind, ...] = (
    ("one accelerator", lambda run: int(run["n_gpus"]) == 1),
    ("one machine", lambda run: 1 < int(run["n_gpus"]) <= 8),
    ("several machines", lambda run: 8 < int(run["n_gpus"]) <= 128),
    ("hundreds of accelerators and more", lambda run: int(run["n_gpus"]) > 128),
)
GENERATIONS = {
    "A100, A800, A10G, RTX 30": ("a1", "a8", "rtx-3", "rtx-a"),
    "H100, H200, H800, L40S, RTX 40": ("h", "l4", "rtx-4", "rtx-6"),
    "B200, GB200, B300, GB300": ("b", "gb"),
    "V100, T4": ("v100", "t4"),
    "AMD": ("mi",),
    "TPU": ("tpu",),
    "Gaudi": ("gaudi",),
    "Apple": ("apple", "m1", "m2", "m3", "m4"),
}


def _on(starts: tuple[str, ...]) -> Callable[[Run], bool]:
    return lambda run: run["gpu"].startswith(starts)


MACHINES: tuple[Kind, ...] = tuple((name, _on(starts)) for name, starts in GENERATIONS.items())
DENSE = ("", "0", "1")  # experts
SHAPES: tuple[Kind, ...] = (
    ("dense", lambda run: run["n_experts"] in DENSE),
    ("mixture of experts", lambda run: run["n_experts"] not in DENSE),
)
STEPS = {"time": "Time of training", "memory": "Peak memory of training"}
LOADS = {
    "decode": "Decoding, one stream",
    "prefill": "Prefill",
    "offline": "Offline throughput",
    "tpot": "Time per output token under load",
    "ttft": "Time to first token under load",
    "embedding": "Embedding",
}


def pages() -> dict[str, str]:
    """The one page."""
    trained = _runs("training", "training")
    served = _runs("serving", "inference")
    parts = [INTRODUCTION]
    parts += [_part(STEPS[group], trained, group, (*METHODS, *SHAPES, *SIZES, *MACHINES)) for group in STEPS]
    parts += [_part(LOADS[group], served, group, (*SHAPES, *MACHINES)) for group in LOADS]
    return {"by_kind": "\n".join(parts)}


def _runs(fitted: str, published: str) -> list[Run]:
    """Errors with what the run was."""
    runs = {row["id"]: row for row in _rows(ROOT / "calibration" / "published" / f"{published}.csv")}
    left_out = _rows(ROOT / "calibration" / "fitted" / f"left_out_{fitted}.csv")
    return [{**runs[row["id"]], **row} for row in left_out if row["id"] in runs]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _part(title: str, runs: list[Run], group: str, kinds: tuple[Kind, ...]) -> str:
    """A table: a kind a line."""
    of_it = [run for run in runs if run["group"] == group]
    ways = ("too little", "too much") if group == "memory" else ("too fast", "too slow")
    lines = [_line(name, [run for run in of_it if belongs(run)], ways) for name, belongs in (("all", bool), *kinds)]
    return f"## {title}\n\n{table(line for line in lines if line)}"


def _line(name: str, runs: list[Run], ways: tuple[str, str]) -> dict[str, str]:
    """Empty where too few runs are known. ways: what a prediction is that comes to less, and to more."""
    if len(runs) < LEAST:
        return {}
    errors = np.array([float(run["error"]) for run in runs])  # ln(measured / predicted), of times and of memory
    middle = float(np.median(errors))
    return {
        "kind": name,
        "runs": f"{len(runs):,}",
        "sources": f"{len({run['source'] for run in runs})}",
        "off": f"{np.exp(np.median(abs(errors))):.2f}",
        "nine in ten within": f"{np.exp(np.quantile(abs(errors), 0.9)):.2f}",
        "tends to be": "-" if abs(middle) < 0.03 else f"{np.exp(abs(middle)):.2f} {ways[middle < 0]}",
    }
