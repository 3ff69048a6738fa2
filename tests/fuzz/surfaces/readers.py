"""Whatever is read, where something else lies: pipes, devices, sockets, folders, links, files without end."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz import files
from tests.fuzz.answers import command
from tests.fuzz.surfaces.configs import LLAMA
from tests.fuzz.surfaces.recorded import BILL, BUDGET
from tests.fuzz.trial import Trial

SHARE = 75
MACHINE = ("--model", "7b", "--gpu", "a100")
# what is read -> its name there, and the line that reads it
READ: dict[str, tuple[str, tuple[str, ...]]] = {
    "scenario": ("s.toml", ("compare", *MACHINE, "--scenario", "s.toml")),
    "config": ("c.json", ("compare", "--model", "c.json", "--gpu", "a100")),
    "cases": ("c.csv", ("validate", "--cases", "c.csv")),
    "rows": ("r.csv", ("sweep", "r.csv", "-o", "out.csv", *MACHINE, "--stages", "finetune")),
    "columns": ("r.parquet", ("sweep", "r.parquet", "-o", "out.csv", *MACHINE, "--stages", "finetune")),
    "sheet": ("r.xlsx", ("sweep", "r.xlsx", "-o", "out.csv", *MACHINE, "--stages", "finetune")),
    "workbook": ("b.xlsx", ("export", "--into", "b.xlsx", *MACHINE)),
    "accelerator": ("f/accelerators/mine.toml", ("compare", "--model", "7b", "--gpu", "mine", "--facts", "f")),
    "prices": ("f/prices/cloud.csv", ("compare", *MACHINE, "--facts", "f")),
    "LLMs": ("f/llms.csv", ("compare", *MACHINE, "--facts", "f")),
    "facts": ("f", ("compare", *MACHINE, "--facts", "f")),
    "profile": ("home/estimator/local.json", ("compare", "--model", "smollm2-135m", "--gpu", "local")),
    "run configuration": ("t.yaml", ("check", "t.yaml", "--gpu", "a100", "--data", "1000")),
    "log": ("log", ("record", "log", "--model", "7b", "--gpu", "a100")),
    "budget": ("b.csv", ("variance", "b.csv", "actuals.csv")),
    "bill": ("b.csv", ("variance", "budget.csv", "b.csv")),
    "answer": ("a.json", ("diff", "a.json", "a.json")),
    "samples": ("s.jsonl", ("estimate", "finetune", *MACHINE, "--data", "s.jsonl")),
    "corpus": ("t.txt", ("estimate", "rag", *MACHINE, "--set", "corpus=t.txt")),
    "tokenizer": (
        "t.json",
        ("estimate", "rag", *MACHINE, "--set", "corpus=good.txt", "--set", "tokenizer_json=t.json"),
    ),
    "own runs": ("home/estimator/runs/training.csv", ("estimate", "finetune", "--model", "7b", "--gpu", "8xa100")),
    "config in a folder": ("c/config.json", ("compare", "--model", "c", "--gpu", "a100")),
}
# with any of them: what goes beside, so that it is what lies there that matters
BESIDE = {"budget.csv": BUDGET, "actuals.csv": BILL, "good.txt": "words of a corpus\n"}
NOT_2 = {("cases", "null"), ("corpus", "noise"), ("corpus", "wide")}  # nothing to predict, which is said; any text


def draw(rng: random.Random, index: int) -> Trial:
    """Every pair of what is read and what lies there; between them good files behind links, and names in the way."""
    if index % 8 == 6:
        return _linked(rng)
    if index % 8 == 7:
        return _in_the_way(index // 8)
    pairs = [(name, strange) for name in READ for strange in files.STRANGE]
    name, strange = pairs[(index // 8 * 6 + index % 8) * 29 % len(pairs)]
    path, words = READ[name]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    strange(path)
    for other, text in BESIDE.items():
        if other in words or f"corpus={other}" in words:
            Path(other).write_text(text)
    wants = None if (name, strange.__name__) in NOT_2 or (name, strange) in _GOOD else 2
    trial = command(f"{name}: {strange.__name__}", words, f"{path} is {strange.__name__}: {strange.__doc__}", wants)
    return _unprivileged(trial)


_GOOD = {("facts", files.folder)}


def _unprivileged(trial: Trial) -> Trial:
    def act() -> Iterator[str]:
        with files.Unprivileged():
            yield from trial.act()

    return trial._replace(act=act)


def _linked(rng: random.Random) -> Trial:
    """A good file behind a link is read."""
    name = rng.choice([*GOOD])
    path, words = READ[name]
    Path("real").write_text(GOOD[name])
    Path(path).symlink_to("real")
    return command(f"{name}: link", words, f"{path} -> a good file", wants=0, writes=("out.csv",) * ("-o" in words))


GOOD = {
    "scenario": "samples = 5000\n",
    "config": json.dumps(LLAMA),
    "rows": "samples\n5000\n",
    "cases": "id,source,metric,gpu,seq_len,value\n1,me,step_s,a100,2048,5\n",
}


def _in_the_way(turn: int) -> Trial:
    """Something under the name of a preset: it is not what was asked for."""
    strange: Callable[[str], None] = files.STRANGE[turn % len(files.STRANGE)]
    name = ("7b", "llama-3.1-8b", "a100")[turn % 3]
    strange(name)
    words = ("compare", *MACHINE) if name != "llama-3.1-8b" else ("compare", "--model", name, "--gpu", "a100")
    readable = strange in (files.noise, files.wide, files.endless)
    trial = command("in the way of a name", words, f"./{name} is {strange.__name__}", None if readable else 0)
    return _unprivileged(trial)
