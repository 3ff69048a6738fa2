"""Learning from own runs, of a server on this machine: loads of `vllm bench serve`, each of other lengths and clients.

Calibrate first (`estimator calibrate`), on a machine that does nothing else; benchmarks/real_engine.py installs vLLM
for CPU and says how to start it. Lengths and clients are drawn from a seed. Each run is recorded from the file that the
benchmark writes; in the end each is predicted without own runs and with those before it. FOLDER keeps runs and files;
called again, it goes on from there.
Run: python benchmarks/own_serving.py FOLDER --venv VENV --url http://127.0.0.1:8811 --runs 23 --minutes 4
"""

import argparse
import json
import math
import os
import random
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from estimator.catalog.own_runs import own_runs
from estimator.predict.learning import OwnRuns
from estimator.recording import record
from estimator.validation.inference import predict_cases
from estimator.validation.own_runs import errors

AFTER = 3  # runs, from which the learning is judged
PROMPTS, OUTPUTS, CLIENTS = (32, 64, 128, 256, 512), (16, 32, 64), (1, 1, 2, 4, 8)
ROUNDS = 3  # requests of a client
LOADS = """
import json, sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
for words in json.loads(sys.argv[1]):
    main(parser.parse_args(words))
"""


def runs(count: int, seed: int) -> list[dict[str, int]]:
    """Lengths and clients of every run."""
    draw = random.Random(seed)
    drawn = [(draw.choice(PROMPTS), draw.choice(OUTPUTS), draw.choice(CLIENTS)) for _ in range(count)]
    return [dict(zip(("prompt", "output", "clients"), one, strict=True)) for one in drawn]


def load(options: argparse.Namespace, one: dict[str, int], name: str) -> list[str]:
    """Words of the benchmark for a run."""
    return [
        *("--backend", "vllm", "--base-url", options.url, "--model", f"{options.venv}/tiny", "--ignore-eos"),
        *("--dataset-name", "random", "--random-input-len", str(one["prompt"])),
        *("--random-output-len", str(one["output"]), "--num-prompts", str(max(ROUNDS * one["clients"], 6))),
        *("--max-concurrency", str(one["clients"]), "--disable-tqdm"),
        *("--save-result", "--result-dir", str(options.folder), "--result-filename", name),
    ]


def measure(options: argparse.Namespace) -> None:
    """Load the server with the runs whose files are not there yet, as long as there is time."""
    begin = time.monotonic()
    every = list(enumerate(runs(options.runs, options.seed)))
    left = [(f"run-{place}.json", one) for place, one in every if not (options.folder / f"run-{place}.json").exists()]
    for start in range(0, len(left), 4):
        if time.monotonic() - begin > 60.0 * options.minutes:
            return
        words = [load(options, one, name) for name, one in left[start : start + 4]]
        subprocess.run([options.venv / "bin" / "python", "-c", LOADS, json.dumps(words)], check=True)


def kept(options: argparse.Namespace) -> None:
    """Record the files that are there, in the order of their runs."""
    plan: dict[str, Any] = {"weight_precision": "fp32", "kv_precision": "fp32", "engine": "vllm"}
    names = sorted(options.folder.glob("run-*.json"), key=lambda path: int(path.stem.removeprefix("run-")))
    for path in names:
        record(path, model=f"{options.venv}/tiny/config.json", gpu=options.gpu, accept=True, **plan)


def judged(group: str, rows: Sequence[dict[str, str]]) -> list[object]:
    """Of one kind of figure: median errors after the first runs, without own runs and with them; ranges that held."""
    found, plain, own, held = [], [], [], 0
    said = predict_cases([{name: text for name, text in row.items() if name != "value"} for row in rows])
    every = list(zip(errors("inference", rows), said, strict=True))
    for (of, error, kin), case in every:
        if of != group:
            continue
        value, low, high = (number or math.nan for number in (case.predicted, case.low, case.high))
        learnt = OwnRuns({group: list(found)}).of(group, kin)
        down, up = learnt.range(abs(math.log(value / low)), abs(math.log(high / value)))
        left = error - math.log(learnt.factor)
        if len(found) >= AFTER:
            plain.append(abs(error))
            own.append(abs(left))
            held += -down <= left <= up
        found.append((error, kin))
    return [group, len(own), median(plain), median(own), f"{held} of {len(own)}"] if own else [group, 0, "", "", ""]


def main() -> None:
    """Run, record, print the errors."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--venv", type=Path, required=True)
    asked.add_argument("--url", default="http://127.0.0.1:8811")
    asked.add_argument("--gpu", default="local-1-thread", help="the profile of the cores that the engine computes on")
    asked.add_argument("--runs", type=int, default=AFTER + 20)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--minutes", type=float, default=60.0)
    options = asked.parse_args()
    warnings.simplefilter("ignore")
    options.folder.mkdir(exist_ok=True)
    os.environ["ESTIMATOR_RUNS"] = str(options.folder)
    if options.minutes:
        measure(options)
    (options.folder / "inference.csv").unlink(missing_ok=True)
    kept(options)
    rows = own_runs("inference")
    groups = dict.fromkeys(group for group, *_ in errors("inference", rows))
    heads = ("figure", "runs", "error without own runs", "with those before it", "inside the 80 % range")
    print(tabulate([judged(group, rows) for group in groups], heads, "github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
