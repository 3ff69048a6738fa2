"""Work of random shapes on this machine, predicted and measured: what no list of workloads was tuned to.

    python benchmarks/local_unseen.py --seed 1 --cases 30 --budget 150

Needs a profile (`estimator calibrate`) and the extra `measure`. Shapes come from the seed alone: widths, depths, heads,
vocabularies, lengths and batches are drawn log-uniformly, wider than those of the blocks that calibration uses.
"""

import argparse

import numpy as np

from estimator.catalog.local import Job, local_accelerator
from estimator.cli.calibrate import progress_bar
from estimator.measure.cases import ENCODER, PHASES
from estimator.records import Architecture
from estimator.validation.local import validate_local

HIDDEN, LAYERS, VOCAB, TOKENS, BATCH = (128, 896), (2, 12), (1_000, 60_000), (24, 700), (1, 12)
SHARE_16_BIT = 0.3  # of the pieces of work


def between(random: np.random.Generator, ends: tuple[int, int], step: int = 1) -> int:
    """A log-uniform number between two ends, a multiple of `step`."""
    return max(round(float(np.exp(random.uniform(*np.log(ends)))) / step) * step, step)


def architecture(random: np.random.Generator, phase: str, number: int) -> Architecture:
    """A small LLM of random shape, an encoder for embedding."""
    width = int(random.choice([32, 64, 128]))
    heads = max(between(random, HIDDEN) // width, 1)
    groups = [g for g in (1, 2, 4, 8) if heads % g == 0]
    kv_heads = heads if phase == "embed" else heads // int(random.choice(groups))
    hidden = heads * width
    return Architecture(
        name=f"{number}:{hidden}",
        layers=between(random, LAYERS),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width,
        ffn=max(round(hidden * random.uniform(1.5, 4.5) / 32) * 32, 32),
        vocab=between(random, VOCAB),
        tied_embeddings=bool(random.random() < 0.5) and phase != "embed",
        **(ENCODER if phase == "embed" else {}),
    )


def jobs(seed: int, cases: int, half: str | None) -> list[Job]:
    """So many pieces of work, every phase equally often."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(cases):
        phase = PHASES[number % len(PHASES)]
        arch = architecture(random, phase, number)
        dtype = half if half and random.random() < SHARE_16_BIT else "fp32"
        rank = between(random, (4, 64)) if phase == "lora" else 8
        found.append(Job(phase, arch, between(random, BATCH), between(random, TOKENS), dtype, rank))
    return found


def main() -> None:
    """Draw, run, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--cases", type=int, default=30)
    options.add_argument("--budget", type=float, default=150.0)
    options.add_argument("--name", default="local")
    given = options.parse_args()
    formats = local_accelerator(given.name).peak_flop_per_s
    half = next((dtype for dtype in formats if dtype in ("bf16", "fp16")), None)
    drawn = jobs(given.seed, given.cases, half)
    print(validate_local(given.budget, progress_bar(), drawn, given.name))
    for job in drawn:
        arch = job.arch
        print(
            f"{arch.name}: {arch.layers} layers, ffn {arch.ffn}, {arch.heads}/{arch.kv_heads} heads, vocab {arch.vocab}"
        )


if __name__ == "__main__":
    main()
