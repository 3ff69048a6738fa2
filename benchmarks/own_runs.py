"""Learning from own runs, on this machine: small fine-tunes by the Hugging Face Trainer and by TRL, in turn.

Calibrate first (`estimator calibrate`), on a machine that does nothing else. Shapes, lengths and batches are drawn from
a seed. Each run is recorded as its callback measured it; in the end each is predicted without own runs and with those
before it. A run beside which other processes took more than a tenth of the cores (--others) is done again. FOLDER keeps
the runs; called again, it goes on from there. TRL (`pip install trl`) is left out where it is not installed.
Run: python benchmarks/own_runs.py FOLDER --runs 23 --minutes 8
"""

import argparse
import importlib.util
import itertools
import math
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from estimator.callbacks import EstimateCallback
from estimator.catalog.own_runs import own_runs
from estimator.measure.host import busy, others_share
from estimator.predict.learning import OwnRuns
from estimator.recording import record_run
from estimator.validation.own_runs import errors
from estimator.validation.training import predict_cases

STEPS, REPORTED = 12, 6
AFTER = 3  # runs, from which the learning is judged
TRIES = 4
WIDTHS, LAYERS, LENGTHS, BATCHES = (128, 192, 256, 384), (2, 3, 4, 6), (64, 128, 192, 256), (2, 4, 8)
VOCAB, RANK = 4096, 8


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


def trained(one: dict[str, int], trainer: str, most: float) -> str:
    """Train and record; what the step took, and what other processes took of the cores meanwhile, in words."""
    asked, share, seconds = fields(one, trainer), 1.0, math.nan
    for _ in range(TRIES):
        callback = EstimateCallback(report_after=REPORTED, keep=False, **asked)
        with tempfile.TemporaryDirectory() as folder:
            ready, before = TRAINERS[trainer](one, folder, callback), busy()
            ready.train()
            share = others_share(before, busy(), os.cpu_count() or 1) or 0.0
        seconds = callback.watched.step_s if callback.watched else math.nan
        if share <= most:
            break
    record_run("training", asked, {"step_time_s": seconds}, accept=True)
    return f"{seconds:.3f} s a step, {share:.0%} of the cores were others'"


def runs(count: int, seed: int, minutes: float, most: float) -> Iterator[str]:
    """Those that are not recorded yet, as long as there is time."""
    started, draw, done = time.monotonic(), random.Random(seed), len(own_runs("training"))
    names = [name for name in TRAINERS if name != "trl" or importlib.util.find_spec("trl")]
    for number, trainer in zip(range(count), itertools.cycle(names), strict=False):
        one = shape(draw)
        if number >= done and time.monotonic() - started < 60.0 * minutes:
            yield f"{number:3}, {trainer}: {trained(one, trainer, most)}"


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


def judged(found: Sequence[Learned]) -> Iterator[list[object]]:
    """Of all, and of each trainer: median errors after the first runs, and how many ranges held."""
    for name in ("both", *dict.fromkeys(one.stack for one in found)):
        later = [one for one in found[AFTER:] if name in ("both", one.stack)]
        plain, own = (statistics.median(abs(left) for left in each) for each in zip(*[one[1:3] for one in later]))  # noqa: B905
        yield [name, len(later), f"{plain:.3f}", f"{own:.3f}", f"{sum(one.inside for one in later)} of {len(later)}"]


def main() -> None:
    """Run, print a line each, then the errors."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--runs", type=int, default=AFTER + 20)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--others", type=float, default=0.1, help="share of the cores that others may take")
    options = asked.parse_args()
    warnings.simplefilter("ignore")
    os.environ["ESTIMATOR_RUNS"] = str(options.folder)
    for line in runs(options.runs, options.seed, options.minutes, options.others):
        print(line, flush=True)
    found = learned()
    if len(found) > AFTER:
        heads = ("trainer", "runs", "error without own runs", "with those before it", "inside the 80 % range")
        print(tabulate(judged(found), heads, "github", disable_numparse=True))


if __name__ == "__main__":
    main()
