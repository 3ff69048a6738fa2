"""--facts: folders of own accelerators, prices and LLMs with wrong types, values that overflow, columns doubled."""

import csv
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from estimator.catalog.files import use_facts
from estimator.paths import data_folder, presets
from tests.fuzz import files, values
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 70
OWN = """name = "Own"
aliases = ["mine"]
vendor = "Me"
generation = "Ampere GA100"
kind = "gpu"
link = "NVLink3"

[[source]]
id = "s"
title = "t"
read_on = 2026-01-01
kind = "read"

[spec]
memory_gib = { value = 80, source = "s" }
memory_bandwidth_bytes_per_s = { value = 2e12, source = "s" }
bf16_flop_per_s = { value = 312e12, source = "s" }
fp32_flop_per_s = { value = 19.5e12, source = "s" }
tdp_w = { value = 400, source = "s" }
l2_mib = { value = 40, source = "s" }
sms = { value = 108, source = "s" }
clock_hz = { value = 1.41e9, source = "s" }
link_bidirectional_bytes_per_s = { value = 600e9, source = "s" }
pcie_generation = { value = 4, source = "s" }
accelerators_per_node = { value = 8, source = "s" }
network_bits_per_s = { value = 200e9, source = "s" }
"""
WRONG = (
    *(
        "1e19",
        "1e308",
        "1e400",
        "0",
        "-1",
        "0.5",
        "nan",
        "inf",
        "-inf",
        "true",
        '"x"',
        '""',
        "[]",
        "{}",
        "2026-01-01",
        "[1, 2]",
    ),
    *(
        "9" * 30,
        "9" * 400,
        "1e-320",
        "12:00:00",
        '{ value = "80" }',
        "{ value = [80] }",
        "{ source = 's' }",
        "[[]]",
        "80",
    ),
)
TABLES = (
    "prices/cloud.csv",
    "prices/hosts.csv",
    "prices/llm_api.csv",
    "prices/fine_tuning.csv",
    "grid/carbon_intensity.csv",
)
TABLES += ("llms.csv", "sizes.csv", "retrieval_facts.csv", "finetune_facts.csv")
PRICE = (
    "provider,instance,accelerator,count,price_per_hour,currency,commitment,region,valid_from,source,read_on,kind,note\n"
    "aws,p4de,a100-sxm-80gb,8,,USD,on-demand,us-east-1,2026-07-20,mine,2026-11-22,read,\n"
)
ASKS = (
    ("compare", "--model", "7b", "--gpu", "8xmine", "--facts", "own", "--format", "json"),
    ("estimate", "finetune", "--model", "7b", "--gpu", "mine", "--facts", "own", "--format", "json"),
    ("layout", "serve", "--model", "7b", "--gpu", "mine", "--facts", "own", "--format", "json"),
    ("catalog", "accelerators", "--facts", "own", "--format", "json"),
)
LISTS = (
    ("compare", "--model", "7b", "--gpu", "a100", "--facts", "own", "--format", "json"),
    ("compare", "--api", "openai:gpt-4o-mini", "--facts", "own", "--format", "json"),
    ("catalog", "models", "--facts", "own", "--format", "json"),
    ("catalog", "prices", "--facts", "own", "--format", "json"),
    ("catalog", "apis", "--facts", "own", "--format", "json"),
)


def draw(rng: random.Random, index: int) -> Trial:
    """An accelerator, a table, or a folder in which something is not as it should be."""
    Path("own/accelerators").mkdir(parents=True)
    if index % 7 == 0:
        name, turn = [*CASES][index // 7 % len(CASES)], index // 7 // len(CASES)
        return CASES[name](turn)._replace(kind=name)
    return _accelerator(rng) if index % 2 else _table(rng)


def _accelerator(rng: random.Random) -> Trial:
    lines = OWN.splitlines()
    place = rng.choice([number for number, line in enumerate(lines) if "=" in line])
    name, value = lines[place].split(" = ", 1)[0], rng.choice(WRONG)
    whole = "value" not in lines[place] or rng.random() < 0.3
    lines[place] = f"{name} = {value}" if whole else re.sub(r"value = [\d.e]+", f"value = {value}", lines[place])
    Path("own/accelerators/mine.toml").write_text("\n".join(lines) + "\n")
    return command(
        "wrong value of an accelerator", rng.choice(ASKS), f"own/accelerators/mine.toml: {lines[place]}"[:200]
    )


def _table(rng: random.Random) -> Trial:
    """The first rows of a shipped table with one cell changed."""
    name = rng.choice(TABLES)
    shipped = (data_folder("hardware") if "/" in name else presets()) / name
    with shipped.open(newline="", encoding="utf-8") as file:
        rows = [*csv.reader(file)][:6]
    place, value = rng.randrange(len(rows[0])), rng.choice((*values.NUMBERS, "", "\ud800", "=1+1"))
    for row in rows[1:]:
        row[place] = value
    target = Path("own") / name
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows(rows)
    what = f"own/{name}: the first rows of the shipped one, {rows[0][place]} = {values.shown(value)}"
    return command("wrong cell of a table", rng.choice(LISTS), what)


def _own(text: str, turn: int, wants: int | None = None) -> Trial:
    Path("own/accelerators/mine.toml").write_text(text)
    return command("", ASKS[turn % len(ASKS)], f"own/accelerators/mine.toml: {text[:100]!r}", wants)


def _changed(old: str, new: str, turn: int) -> Callable[[int], Trial]:
    """turn: which of ASKS comes first."""
    return lambda more: _own(OWN.replace(old, new), turn + more)._replace(shown=_shown(new, turn + more))


def _shown(new: str, turn: int) -> str:
    return f"own/accelerators/mine.toml: {new!r}; estimator {' '.join(ASKS[turn % len(ASKS)])}"


def _empty_price(_: int) -> Trial:
    """A price left empty is unknown: none of the shipped ones stands for it."""
    Path("own/prices").mkdir()
    Path("own/prices/cloud.csv").write_text(PRICE)

    def check(out: str) -> Iterator[str]:
        if json.loads(out)["stages"]["finetune"]["total_usd"]["value"] is not None:
            yield "the shipped price stands for one left empty"

    return command("", LISTS[0], f"own/prices/cloud.csv: {PRICE!r}", check=check)


def _doubled(_: int) -> Trial:
    Path("own/prices").mkdir()
    head, row = PRICE.splitlines()
    Path("own/prices/cloud.csv").write_text(f"{head},price_per_hour\n{row.replace(',8,,', ',8,9.9,')},1.1\n")
    return command("", LISTS[0], "own/prices/cloud.csv: price_per_hour twice", wants=2)


def _beside(strange: Callable[[str], None], ask: str = "a100") -> Callable[[int], Trial]:
    """Something that is no file beside the accelerator that is asked for."""

    def make(_: int) -> Trial:
        strange("own/accelerators/zzz.toml")
        words = ("compare", "--model", "7b", "--gpu", ask, "--facts", "own")
        return _unprivileged(command("", words, f"own/accelerators/zzz.toml is a {strange.__name__}", wants=0))

    return make


def _closed(_: int) -> Trial:
    Path("own/accelerators").chmod(0)
    return _unprivileged(command("", LISTS[0], "own/accelerators may not be read"))


def _unprivileged(trial: Trial) -> Trial:
    def act() -> Iterator[str]:
        use_facts(None)
        with files.Unprivileged():
            yield from trial.act()

    return trial._replace(act=act)


def _absent(_: int) -> Trial:
    shutil.rmtree("own")
    return command("", LISTS[0], "no folder own", wants=2)


CASES: dict[str, Callable[[int], Trial]] = {
    "a plain accelerator": lambda turn: _own(OWN, turn, 0),
    "accelerators_per_node = 1e19": _changed(
        "accelerators_per_node = { value = 8", "accelerators_per_node = { value = 1e19", 2
    ),
    "sms = 1e308": _changed("sms = { value = 108", "sms = { value = 1e308", 0),
    "memory_gib = '80'": _changed("memory_gib = { value = 80", "memory_gib = { value = '80'", 0),
    "aliases = 5": _changed('aliases = ["mine"]', "aliases = 5", 3),
    "source = 5": _changed("[[source]]", "[source]", 1),
    "no spec": _changed("[spec]", "[specs]", 1),
    "an own price left empty": _empty_price,
    "doubled column in facts": _doubled,
    "facts beside an unreadable file": _beside(files.unreadable),
    "facts beside a pipe": _beside(files.fifo),
    "facts beside a device": _beside(files.zeros),
    "facts beside a folder": _beside(files.folder),
    "facts beside a dangling link": _beside(files.dangling),
    "facts beside noise": _beside(files.noise),
    "facts in a closed folder": _closed,
    "no facts": _absent,
}
