"""One rule for numbers: the same text is the same number, or none, in --set, a scenario file, Python, CSV and facts."""

import csv
import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from estimator import sweep, validate
from estimator.catalog.accelerators import cluster
from estimator.catalog.cases import published
from estimator.catalog.files import number
from estimator.cli.options import assignment
from estimator.cli.options import number as option
from estimator.errors import EstimatorError
from estimator.paths import presets
from estimator.records import Cluster
from estimator.scenario import scenario
from tests.fuzz import values
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 60
PIECES = (
    "1",
    "12",
    "0",
    "5",
    "_",
    "__",
    ",",
    ".",
    "e",
    "E3",
    "k",
    "K",
    "m",
    " ",
    "+",
    "-",
    "١",
    "２",
    "²",
    "\u00a0",
    "٫",
    "−",
)
NAMED = (
    "1_0",
    "1__0",
    "١٢",
    "２",
    "1,000",
    "2k",
    "1e3",
    "+5",
    " 7 ",
    "1_000.5",
    "²",
    "0x10",
    "1.",
    ".5",
    "1e3k",
    "true",
)
NONE = ("1_0", "1__0", "١٢", "２", "²", "0x10", "1e3k")  # no numbers here, whatever Python makes of them
CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
}
WHOLE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "num_key_value_heads")


def draw(rng: random.Random, index: int) -> Trial:
    """A number as somebody writes it; every 5th a count of an LLM that is not whole."""
    if index % 5 == 4:
        return _count(rng, index)
    text, kind = NAMED[index // 2 % len(NAMED)], "number"
    if index % 2:
        text = rng.choice(values.NUMBERS) if rng.random() < 0.5 else "".join(rng.choices(PIECES, k=rng.randint(1, 5)))
        kind = "random number"
    Path("s.toml").write_text(f"samples = {json.dumps(text)}\n", "utf-8")
    shown = f"samples = {text!r}, everywhere"
    return Trial(f"number {text!r}" if kind == "number" else kind, shown, lambda: _differences(text), ("cases.csv",))


def _differences(text: str) -> Iterator[str]:
    """Who reads it, and as what, where not all do the same."""
    found = {name: _tried(read, text) for name, read in READERS.items()}
    if text in NONE and any(value is not None for value in found.values()):
        yield f"read as a number: {found}"
    for name in TABLES:  # tables may be stricter than people, never otherwise
        if found[name] is None:
            del found[name]
    if len(set(found.values())) > 1:
        yield f"several rules: {found}"


def _tried(read: Callable[[str], Any], text: str) -> float | None:
    try:
        value = read(text)
    except EstimatorError:
        return None
    return None if value is None else float(value)


def _swept(text: str) -> float | None:
    """As a row has it, seen by what `samples` alone decides."""
    row = sweep([{"samples": text}], stages=("finetune",), figures=("data_samples",), model="7b", gpu="a100")[0]
    return None if row["error"] or not text.strip() else row["finetune_data_samples"]


def _fact(text: str) -> float | None:
    """As a table of facts has it, within the bounds of samples."""
    value = number(text, "samples")
    return None if value is None else scenario(samples=value).amount("samples").value


def _measured(text: str) -> float | None:
    """As a case file has what was measured."""
    rows = [["id", "source", "metric", "gpu", "seq_len", "value"], ["1", "me", "step_time_s", "a100", "2048", text]]
    _table("cases.csv", rows)
    case = json.loads(validate("cases.csv").to_json())["cases"][0]
    return None if case["measured"] is None else scenario(samples=case["measured"]).amount("samples").value


def _option(text: str) -> float | None:
    value = option(text, "--price-per-hour")
    return None if value is None else scenario(samples=value).amount("samples").value


def _counted(text: str) -> float | None:
    """As the count before an accelerator's name."""
    found = cluster(f"{text}xa100")
    return scenario(samples=found.count).amount("samples").value if isinstance(found, Cluster) else None


TABLES = ("facts", "cases", "counts")
READERS: dict[str, Callable[[str], Any]] = {
    "--set": lambda text: scenario(samples=assignment(f"samples={text}")[1]).amount("samples").value,
    "scenario": lambda _: scenario("s.toml").amount("samples").value,
    "Python": lambda text: scenario(samples=text).amount("samples").value,
    "sweep": _swept,
    "facts": _fact,
    "cases": _measured,
    "options": _option,
    "counts": _counted,
}


def _count(rng: random.Random, index: int) -> Trial:
    """A count that is not whole, or no number, in a config, a table of LLMs, a case file."""
    turn = index // 5
    value: Any = 24.7 if turn % 2 else rng.choice((32.5, "32", "1_0", "٣", True, 1e19, -0.0, 0.1))
    kind = "layers that are not whole" if value == 24.7 else "count of an LLM"
    wants = 2 if value in (24.7, 32.5, 0.1) else None
    if turn % 3 == 0:
        return _in_table(value, kind, wants)
    if turn % 3 == 1:
        return _in_cases(value, kind)
    key = WHOLE[turn % len(WHOLE)]
    Path("config.json").write_text(json.dumps(CONFIG | {key: value}), "utf-8")
    words = ("compare", "--model", "config.json", "--gpu", "8xa100")
    return command(kind, words, f"config.json: {key} = {value!r}", wants)


def _in_table(value: Any, kind: str, wants: int | None) -> Trial:
    with (presets() / "llms.csv").open(newline="", encoding="utf-8") as file:
        head, row = islice(csv.reader(file), 2)
    row[head.index("layers")] = str(value)
    Path("own").mkdir()
    _table("own/llms.csv", [head, row])
    words = ("catalog", "models", row[0], "--facts", "own")
    return command(kind, words, f"own/llms.csv: the first shipped row, layers = {value}", wants)


def _in_cases(value: Any, kind: str) -> Trial:
    """A case whose layers are not whole has no prediction."""
    with published("inference").open(newline="", encoding="utf-8") as file:
        head, row = islice(csv.reader(file), 2)
    row[head.index("layers")] = str(value)
    _table("cases.csv", [head, row])

    def check(out: str) -> Iterator[str]:
        if value in (24.7, 32.5, 0.1) and json.loads(out)["cases"][0]["status"] == "ok":
            yield f"{value} layers are predicted"

    words = ("validate", "--cases", "cases.csv", "--format", "json")
    return command(kind, words, f"cases.csv: the first shipped row, layers = {value}", check=check)


def _table(path: str, rows: list[list[str]]) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
