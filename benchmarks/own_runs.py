"""Learning from own runs, on this machine: small fine-tunes by the Hugging Face Trainer and by TRL, in turn.

Calibrates first (--calibrate SECONDS), best on a machine that does nothing else. Shapes, lengths and batches are drawn
from a seed. Each run is recorded as its callback measured it; in the end each is predicted without own runs and with
those before it. Between them one run of each trainer is done again and again: what it scatters, no prediction can beat.
A run beside which other processes took more than a tenth of the cores (--others) is done again. Where they cannot be
sent away, --processor-time measures everything with one thread by its processor time. FOLDER keeps profile and runs;
called again, it goes on from there. TRL (`pip install trl`) is left out where it is not installed.
Run: python benchmarks/own_runs.py FOLDER --calibrate 120 --runs 23 --minutes 8
"""

import argparse
import csv
import importlib.util
import itertools
import math
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from estimator.callbacks import EstimateCallback
from estimator.catalog.own_runs import own_runs
from estimator.measure.calibrate import calibrate
from estimator.measure.host import busy, others_share
from estimator.predict.learning import OwnRuns
from estimator.recording import record_run
from estimator.validation.local import about_machine
from estimator.validation.own_runs import errors
from estimator.validation.training import predict_cases

STEPS, REPORTED = 12, 6
AFTER = 3  # runs, from which the learning is judged
TRIES = 4
WIDTHS, LAYERS, LENGTHS, BATCHES = (128, 192, 256, 384), (2, 3, 4, 6), (64, 128, 192, 256), (2, 4, 8)
VOCAB, RANK = 4096, 8
REPEATED = {"layers": 3, "hidden": 256, "heads": 4, "kv_heads": 4, "ffn": 768, "vocab": VOCAB, "seq_len": 128,
    "micro_batch": 4}  # fmt: skip
HEADS = ("trainer", "runs", "error without own runs", "with those before it", "inside the 80 % range", "of one again")
EVERY = 3  # runs, after which it is done again


class Learned(NamedTuple):
    """One run: ln(measured / predicted) without and with the runs before it, and whether its range held."""

    stack: str
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


def fields(one: dict[str, int], trainer: str) -> dict[str, object]:
    """A run as its callback sees it; TRL trains adapters."""
    named = {
        **one,
        "model": f"{one['layers']} x {one['hidden']}",
        "gpu": "local",
        "precision": "fp32",
        "optimizer": "adamw_torch_fused",
    }
    named |= {"global_batch": one["micro_batch"], "gated_mlp": 1, "framework": trainer}
    return named | ({"method": "lora", "lora_rank": RANK} if trainer == "trl" else {"method": "full"})


def model(one: dict[str, int]) -> Any:
    """That LLM, with weights drawn by chance."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=one["hidden"],
            num_hidden_layers=one["layers"],
            num_attention_heads=one["heads"],
            num_key_value_heads=one["kv_heads"],
            intermediate_size=one["ffn"],
            vocab_size=VOCAB,
        )
    )


def tokens(one: dict[str, int]) -> list[list[int]]:
    """Rows of random tokens, for every step."""
    draw = random.Random(1)
    return [[draw.randrange(2, VOCAB) for _ in range(one["seq_len"])] for _ in range(STEPS * one["micro_batch"])]


def told(one: dict[str, int], folder: str) -> dict[str, Any]:
    """Arguments of either trainer: a few steps, and nothing beside them."""
    return {
        "output_dir": folder,
        "max_steps": STEPS,
        "per_device_train_batch_size": one["micro_batch"],
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
    }


def by_hf(one: dict[str, int], folder: str, callback: Any) -> Any:
    """The Trainer of transformers; all weights learn."""
    from transformers import Trainer, TrainingArguments

    data = [{"input_ids": row, "labels": row} for row in tokens(one)]
    return Trainer(model(one), TrainingArguments(**told(one, folder)), train_dataset=data, callbacks=[callback])


def by_trl(one: dict[str, int], folder: str, callback: Any) -> Any:
    """SFTTrainer of TRL; adapters learn."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    words = models.WordLevel({str(number): number for number in range(VOCAB)}, unk_token="0")
    arguments = SFTConfig(
        **told(one, folder), max_length=one["seq_len"], bf16=False, gradient_checkpointing=False, dataset_num_proc=None
    )
    return SFTTrainer(
        model(one),
        arguments,
        train_dataset=Dataset.from_dict({"input_ids": tokens(one)}),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), pad_token="0", eos_token="1"),
        peft_config=LoraConfig(r=RANK, target_modules="all-linear"),
        callbacks=[callback],
    )


TRAINERS = {"hf trainer": by_hf, "trl": by_trl}


def took(one: dict[str, int], trainer: str, most: float) -> tuple[float, float]:
    """Time of a step [s], and the share of the cores that other processes took meanwhile [1]."""
    share, seconds = 1.0, math.nan
    for _ in range(TRIES):
        callback = EstimateCallback(report_after=REPORTED, keep=False, **fields(one, trainer))
        with tempfile.TemporaryDirectory() as folder:
            ready, before = TRAINERS[trainer](one, folder, callback), busy()
            ready.train()
            share = others_share(before, busy(), os.cpu_count() or 1) or 0.0
        seconds = callback.watched.step_s if callback.watched else math.nan
        if share <= most:
            break
    return seconds, share


def trained(one: dict[str, int], trainer: str, most: float) -> str:
    """Train and record; what the step took, in words."""
    seconds, share = took(one, trainer, most)
    record_run("training", fields(one, trainer), {"step_time_s": seconds}, accept=True)
    return f"{seconds:.3f} s a step, {share:.0%} of the cores were others'"


def repeated(folder: Path, trainer: str, most: float) -> str:
    """The same run once more; what its step took, in words."""
    seconds, share = took(REPEATED, trainer, most)
    with (folder / "repeats.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([trainer, f"{seconds:.6g}", share])
    return f"again, {trainer}: {seconds:.3f} s a step"


def runs(options: argparse.Namespace) -> Iterator[str]:
    """Those that are not recorded yet, as long as there is time, and the same one between them."""
    started, draw, done = time.monotonic(), random.Random(options.seed), len(own_runs("training"))
    names = [name for name in TRAINERS if name != "trl" or importlib.util.find_spec("trl")]
    for number, trainer in zip(range(options.runs), itertools.cycle(names), strict=False):
        one = shape(draw)
        if number >= done and time.monotonic() - started < 60.0 * options.minutes:
            yield f"{number:3}, {trainer}: {trained(one, trainer, options.others)}"
            yield from (repeated(options.folder, each, options.others) for each in names if number % EVERY == 0)


def learned() -> list[Learned]:
    """Each recorded run, predicted without own runs, and with those before it."""
    rows = own_runs("training")
    found = [(error, kin) for _, error, kin in errors("training", rows)]
    plain = predict_cases([{name: text for name, text in row.items() if name != "value"} for row in rows])
    every: list[Learned] = []
    for place, ((error, kin), said) in enumerate(zip(found, plain, strict=True)):
        own = OwnRuns({"time": found[:place]}).of("time", kin)
        value, low, high = (number or math.nan for number in (said.predicted, said.low, said.high))
        down, up = own.range(math.log(value / low), math.log(high / value))
        left = error - math.log(own.factor)
        every.append(Learned(kin.stack, error, left, -down <= left <= up))
    return every


def scatter(folder: Path) -> dict[str, float]:
    """Of each trainer: median of |ln(time / median time)| of the run that was repeated."""
    with (folder / "repeats.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    times = {name: [float(second) for each, second, _ in rows if each == name] for name, *_ in rows}
    return {
        name: statistics.median(abs(math.log(one / statistics.median(each))) for one in each)
        for name, each in times.items()
    }


def judged(found: Sequence[Learned], floor: Mapping[str, float]) -> Iterator[list[object]]:
    """Of all, and of each trainer: median errors after the first runs, how many ranges held, what a repeat scatters."""
    for name in ("both", *dict.fromkeys(one.stack for one in found)):
        later = [one for one in found[AFTER:] if name in ("both", one.stack)]
        plain, own = (statistics.median(abs(left) for left in each) for each in zip(*[one[1:3] for one in later]))  # noqa: B905
        again = f"{floor[name]:.3f}" if name in floor else ""
        held = f"{sum(one.inside for one in later)} of {len(later)}"
        yield [name, len(later), f"{plain:.3f}", f"{own:.3f}", held, again]


def by_processor_time() -> None:
    """From here on a clock is what this process had of the cores, and it has one thread: others lengthen it little."""
    import torch

    torch.set_num_threads(1)
    time.perf_counter = time.process_time


def main() -> None:
    """Run, print a line each, then the errors."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--runs", type=int, default=AFTER + 20)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--others", type=float, default=0.1, help="share of the cores that others may take")
    asked.add_argument("--calibrate", type=float, metavar="SECONDS", help="measure this machine first")
    asked.add_argument("--processor-time", action="store_true", help="one thread, by its processor time")
    options = asked.parse_args()
    warnings.simplefilter("ignore")
    os.environ |= {"ESTIMATOR_RUNS": str(options.folder), "XDG_DATA_HOME": str(options.folder)}
    if options.processor_time:
        by_processor_time()
    if options.calibrate:
        print("\n".join(about_machine(calibrate("cpu", options.calibrate, suite="kernels"))), flush=True)
    for line in runs(options):
        print(line, flush=True)
    found = learned()
    if len(found) > AFTER:
        print(tabulate(judged(found, scatter(options.folder)), HEADS, "github", disable_numparse=True))


if __name__ == "__main__":
    main()
