"""Learning from own runs, on this machine: small fine-tunes by the Hugging Face Trainer, each predicted before it runs.

Calibrate first (`estimator calibrate`). Shapes, lengths and batches are drawn from a seed. Each run is predicted
without own runs and with those before it; then its callback records it. Run, on a machine that does nothing else:
python benchmarks/own_runs.py --runs 20 --seed 1
"""

import argparse
import math
import os
import random
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from estimator.callbacks import EstimateCallback
from estimator.catalog.own_runs import own_runs
from estimator.predict.learning import kin_of_training
from estimator.recording import record_run
from estimator.validation.own_runs import learnt
from estimator.validation.training import case_run

STEPS, REPORTED = 14, 6
AFTER = 3  # runs, from which the learning is judged
WIDTHS, LAYERS, LENGTHS, BATCHES = (128, 192, 256, 384), (2, 3, 4, 6), (64, 128, 192, 256), (2, 4, 8)
VOCAB = 4096


class Run(NamedTuple):
    """One run: measured, predicted without and with own runs [s], and whether its range held it."""

    measured: float
    plain: float
    corrected: float
    inside: bool


def shape(draw: random.Random) -> dict[str, int]:
    """A small LLM, and what it learns from."""
    width = draw.choice(WIDTHS)
    return {
        "layers": draw.choice(LAYERS),
        "hidden": width,
        "heads": width // 64,
        "kv_heads": width // 64,
        "ffn": 3 * width,
        "vocab": VOCAB,
        "seq_len": draw.choice(LENGTHS),
        "micro_batch": draw.choice(BATCHES),
    }


def trained(one: dict[str, int], callback: Any) -> None:
    """A few steps of the Trainer on random tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    config = LlamaConfig(
        hidden_size=one["hidden"],
        num_hidden_layers=one["layers"],
        num_attention_heads=one["heads"],
        num_key_value_heads=one["kv_heads"],
        intermediate_size=one["ffn"],
        vocab_size=one["vocab"],
    )
    rows = torch.randint(0, VOCAB, (STEPS * one["micro_batch"], one["seq_len"]), generator=torch.manual_seed(0))
    data = [{"input_ids": row, "labels": row} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        told = TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=one["micro_batch"],
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(LlamaForCausalLM(config), told, train_dataset=data, callbacks=[callback]).train()


def runs(count: int, seed: int) -> Iterator[Run]:
    """One after the other, each with what those before it taught."""
    draw = random.Random(seed)
    for _ in range(count):
        one = shape(draw)
        fields = {**one, "model": "a small one", "gpu": "local", "precision": "fp32", "framework": "hf trainer", "optimizer": "adamw_torch_fused"}
        fields |= {"global_batch": one["micro_batch"], "gated_mlp": 1}
        before = record_run("training", fields, {"step_time_s": 1.0}, keep=False, accept=True)
        (said,), case = before.runs, case_run(before.cases[0])
        found = learnt().of("time", kin_of_training(case.cluster.accelerator, case.plan, case.arch))
        trained(one, EstimateCallback(report_after=REPORTED, **fields))
        kept = own_runs("training")
        if not kept or said.predicted is None or said.low is None or said.high is None:
            continue
        measured, expected = float(kept[-1]["value"]), said.predicted * found.factor
        down, up = found.range(math.log(said.predicted / said.low), math.log(said.high / said.predicted))
        yield Run(measured, said.predicted, expected, -down <= math.log(measured / expected) <= up)


def main() -> None:
    """Run, print one line a run, then the errors."""
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--runs", type=int, default=20)
    read.add_argument("--seed", type=int, default=1)
    asked = read.parse_args()
    warnings.simplefilter("ignore")
    found: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ESTIMATOR_RUNS"] = folder
        for one in runs(asked.runs, asked.seed):
            found.append(one)
            print(
                f"{one.measured:8.3f} s measured, {one.plain:8.3f} predicted, {one.corrected:8.3f} with own runs",
                flush=True,
            )
    later = found[AFTER:]
    for name, errors in (
        ("without own runs", [abs(math.log(one.plain / one.measured)) for one in later]),
        (f"with those before it (at least {AFTER})", [abs(math.log(one.corrected / one.measured)) for one in later]),
    ):
        print(f"median error {name}: {statistics.median(errors):.3f}")
    print(f"inside the 80 % range: {sum(one.inside for one in later)} of {len(later)}")


if __name__ == "__main__":
    main()
