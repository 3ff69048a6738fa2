"""Command lines: every command and every option, as the parser has them, with values nobody would give."""

import argparse
import random
from functools import cache
from itertools import pairwise
from pathlib import Path

from estimator.cli.parser import parser
from tests.fuzz import values
from tests.fuzz.answers import command
from tests.fuzz.surfaces.recorded import BILL, BUDGET
from tests.fuzz.surfaces.run_configs import WHOLE
from tests.fuzz.trial import Trial

SHARE = 220
MACHINE = ("--model", "7b", "--gpu", "a100")
BASES: dict[str, tuple[str, ...]] = {
    "compare": MACHINE,
    "estimate": ("finetune", *MACHINE),
    "layout": ("serve", *MACHINE),
    "recommend": MACHINE,
    "plot": ("volume", *MACHINE, "--output", "no/picture.svg"),
    "validate": ("--cases", "none.csv"),
    "catalog": ("models",),
    "export": ("out.csv", *MACHINE),
    "sweep": ("--vary", "samples=1k,2k", *MACHINE),
    "check": ("train.yaml", "--gpu", "2xh100", "--data", "1k"),
    "diff": ("train.yaml", "train.yaml", "--gpu", "2xh100"),
    "serving": ("--concurrency", "1,8", *MACHINE),
    "record": ("log", *MACHINE, "--compare-only"),
    "variance": ("budget.csv", "bill.csv"),
    "offers": ("--model", "7b"),
    "completion": ("bash",),
}
FILES = {  # for whoever names them
    "train.yaml": WHOLE["axolotl.yaml"],
    "log": '{"train_steps_per_second": 4.0}',
    "budget.csv": BUDGET,
    "bill.csv": BILL,
}
SLOW = ("--local", "--into")  # measures; has a surface of its own
STAGES = ("prompt", "rag", "finetune", "pretrain", "prompt+rag", "distil", "serve")
NAMED = (  # lines seen to fail, kept
    ("layout", "serve", *MACHINE, "--price-per-hour", "0"),
    ("layout", "pretrain", *MACHINE, "--price-per-hour", "0"),
    ("recommend", "--fit", "finetune", *MACHINE, "--price-per-hour", "0"),
    ("compare", *MACHINE, "--output", "\ud800.txt"),
    ("compare", "--model", "\udcff", "--gpu", "a100"),
    ("compare", "--model", "7b", "--gpu", "a\x00"),
    ("estimate", "finetune", *MACHINE, "--set", "method=\ud800"),
    ("compare", *MACHINE, "--format", "csv", "--output", "out.json"),
    ("estimate", "rag", *MACHINE, "--format", "json", "--output", "out.csv"),
    ("export", "out.xlsx", *MACHINE, "--format", "csv"),
    ("sweep", "--vary", "samples=1k,2k", *MACHINE, "--output", "out-\udcff.csv"),
    ("export", "out-\udcff.csv", *MACHINE),
    ("compare", *MACHINE, "--scenario", "\udcff.toml"),
    ("compare", *MACHINE, "--facts", "\x00"),
    ("validate", "--cases", "\udcff.csv"),
    ("compare", *MACHINE, "--output", "out.parquet"),
    ("layout", "serve", *MACHINE, "--output", "out.xls"),
    ("catalog", "inputs", "--output", "out.png"),
    ("recommend", "--price-per-hour", "0", *MACHINE, "--break-even", "owning"),
)


def draw(rng: random.Random, index: int) -> Trial:
    """A good line made bad; every 16th one that is known to have failed."""
    if index % 16 == 0:
        words = NAMED[index // 16 % len(NAMED)]
        return _trial(words, _kind(words))
    name = rng.choice([*BASES])
    words = [name, *BASES[name]]
    if name == "estimate":
        words[1] = rng.choice(STAGES)
    for word in {*words} & FILES.keys():
        Path(word).write_text(FILES[word], encoding="utf-8")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        words += _option(rng, name)
    if rng.random() < 0.1:
        words[rng.randrange(len(words))] = values.text(rng)
    if rng.random() < 0.02:  # never really measured
        words = ["calibrate", "--budget", rng.choice(("0", "-1s", "nan", "1s", "1e9d", "", "١s"))]
    return _trial(words, "random line")


def _kind(words: tuple[str, ...]) -> str:
    if "--price-per-hour" in words:
        return f"{words[0]} --price-per-hour 0"
    if words[-1].startswith("out.") and "--format" not in words and "\ud800" not in words[-1]:
        return "ending of another kind"
    return "format against ending" if "--format" in words else "surrogates, NUL, names not in UTF-8"


def _trial(words: list[str] | tuple[str, ...], kind: str) -> Trial:
    wants = 2 if kind in ("format against ending", "ending of another kind") else None
    return command(kind, words, wants=wants, writes=_targets(words))


def _targets(words: list[str] | tuple[str, ...]) -> list[str]:
    """Files that the line may write; of an option that comes twice the last counts, as everywhere."""
    pairs = [(word, after) for word, after in pairwise(words) if word in ("--output", "-o", "--share", "--workbook")]
    found = [*{"--output" if word == "-o" else word: after for word, after in pairs}.values()]
    return found + ([words[1]] if words[0] == "export" and len(words) > 1 and "/" not in words[1] else [])


def _option(rng: random.Random, name: str) -> list[str]:
    """An option of the command with a value."""
    action = rng.choice(_actions(name))
    word = rng.choice(action.option_strings) if action.option_strings else ""
    if action.nargs == 0:
        return [word]
    if action.dest in ("output", "share", "workbook"):
        return [
            word,
            rng.choice(("out.txt", "out.json", "out.csv", "out.md", "", ".", "no/x.json", "a\x00", "A" * 300)),
        ]
    value = rng.choice(tuple(action.choices)) if action.choices and rng.random() < 0.6 else values.text(rng)
    value = values.number(rng) if not action.choices and rng.random() < 0.5 else value
    if rng.random() < 0.2:
        value = rng.choice(("8xh100", "a100,h100", "8b", "llama-3.1-8b", "openai:gpt-4o-mini", "aws", "1k", "30d"))
    return [f"{word}={value}"] if word.startswith("--") and rng.random() < 0.5 else [*filter(None, [word]), value]


@cache
def _actions(name: str) -> list[argparse.Action]:
    top = parser([name])
    subs = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return [
        action
        for action in subs.choices[name]._actions
        if not set(SLOW) & set(action.option_strings) and action.dest not in ("sensitivity", "inputs", "vary")
    ]
