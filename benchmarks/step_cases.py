"""What a training step holds, part by part: configurations measured by memory_oracle.py, and formulas beside them."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from tabulate import tabulate

from estimator.catalog.models import architecture
from estimator.formulas.step_memory import Step, held_bytes, kept_bytes, passing_bytes, step_moments
from estimator.records import Architecture

MEASURED = Path(__file__).parent.parent / "calibration" / "measured" / "step_memory.csv"
CHUNKS = 8
R = TypeVar("R", "Case", "Found")
PRECISIONS = {"bf16": (2.0, 2.0), "fp32": (4.0, 4.0), "amp_bf16": (4.0, 2.0)}  # bytes of weights, of products
# Of weights: states of a parameter, temporaries of one, and of one of the largest tensor while it alone steps.
COPIES = {
    "adamw": (2, 0, 2),
    "adamw foreach": (2, 1, 0),
    "adamw fused": (2, 0, 0),
    "sgd": (0, 0, 0),
    "sgd momentum": (1, 0, 0),
}


@dataclass(frozen=True)
class Case:
    """One training step on one device; layers: fewer than the LLM has, 0 for all of them."""

    model: str
    layers: int = 0
    seq_len: int = 2048
    micro_batch: int = 1
    micro_batches: int = 1
    precision: str = "bf16"
    recompute: str = "none"
    attention: str = "sdpa"
    loss: str = "whole"
    optimizer: str = "adamw fused"
    lora_rank: int = 0
    lora_targets: str = "all"
    lora_dropout: float = 0.0
    adapter_bytes: int = 4
    frozen_ends: int = 0


@dataclass(frozen=True)
class Found:
    """Bytes of one step: at rest, with all gradients, kept by the forward pass, and the most in each phase."""

    params: int
    weights: int
    states: int
    gradients: int
    saved: int
    logits: int
    forward: int
    backward: int
    step: int

    @property
    def peak(self) -> int:
        """The most at any time."""
        return max(self.forward, self.backward, self.step)


def shape(case: Case) -> Architecture:
    """The LLM of a case, with its layers cut."""
    arch = architecture(case.model)
    return arch._replace(layers=case.layers or arch.layers)


def step(case: Case) -> Step:
    """The case as formulas read it."""
    weight, compute = PRECISIONS[case.precision]
    trained = weight if not case.lora_rank else float(max(case.adapter_bytes, weight))
    if case.optimizer == "adafactor":
        states, temporaries, largest = 0.0, 0.0, 16.0
    else:
        states, temporaries, largest = (copies * trained for copies in COPIES[case.optimizer])
    return Step(
        seq=case.seq_len,
        micro_batch=case.micro_batch,
        micro_batches=case.micro_batches,
        weight_bytes=weight,
        compute_bytes=compute,
        rank=case.lora_rank,
        targets=case.lora_targets,
        adapter_bytes=trained,
        dropout=case.lora_dropout,
        recompute=case.recompute == "full",
        eager=case.attention == "eager",
        loss=case.loss,  # type: ignore[arg-type]  # one of OF_LOSS
        chunks=CHUNKS,
        state_bytes=states,
        temporary_bytes=temporaries,
        largest_bytes=largest,
        wide_norms=case.model.startswith("gemma"),
        frozen_ends=bool(case.frozen_ends),
    )


def parts(case: Case) -> dict[str, float]:
    """Bytes by formula, named as they are found."""
    arch, asked = shape(case), step(case)
    held, passing, at = held_bytes(arch, asked), passing_bytes(arch, asked), step_moments(arch, asked)
    one = passing.inputs if asked.recompute else kept_bytes(arch, asked) * asked.tokens
    values = {
        "weights": held.weights,
        "states": held.states,
        "gradients": held.gradients,
        "saved": arch.layers * one + passing.final + (passing.cast_head if asked.recompute else passing.casts),
        "logits": 4.0 * asked.tokens * arch.vocab * (case.loss == "whole"),  # the log-softmax stays
        "forward": at.loss_forward,
        "backward": max(at.loss_backward, at.first_recomputed, at.middle, at.end),
        "step": at.step,
        "peak": at.peak,
    }
    return {name: float(value) for name, value in values.items()}


BYTES = {each.name: f"{each.name}_bytes" for each in fields(Found) if each.name != "params"}
PARTS = ("weights", "states", "gradients", "saved", "forward", "backward", "step", "peak")


def read(path: Path = MEASURED) -> list[tuple[Case, Found]]:
    """What was measured."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(of_row(Case, line), of_row(Found, line)) for line in csv.DictReader(file)]


def of_row(record: type[R], line: Mapping[str, str]) -> R:
    """A record from the cells of its fields."""
    return record(**{each.name: each.type(line[BYTES.get(each.name, each.name)]) for each in fields(record)})  # type: ignore[operator, arg-type]


def errors(runs: Sequence[tuple[Case, Found]], part: str) -> list[float]:
    """ln(formula / oracle) of a part where there is any of it."""
    pairs = [(parts(case)[part], getattr(found, part)) for case, found in runs]
    return [math.log(mine / its) for mine, its in pairs if mine and its]


def table(runs: Sequence[tuple[Case, Found]]) -> str:
    """Part by part: how far formulas are from the oracle."""
    lines = []
    for part in PARTS:
        found = sorted(abs(error) for error in errors(runs, part))
        share = quantiles(found, n=10)[-1]
        lines.append([part, len(found), *(f"{100 * value:.2f} %" for value in (median(found), share, found[-1]))])
    return tabulate(
        lines, ("part", "runs", "median error", "9 of 10 within", "largest"), "github", disable_numparse=True
    )
