"""README says of accuracy what the generated tables say; after a refit both have to be brought up to date."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = {
    name: (ROOT / "benchmarks" / f"accuracy_{name}.md").read_text() for name in ("training", "serving", "retrieval")
}
README = (ROOT / "README.md").read_text()
TIME, MEMORY = r"40 % MFU ([\d.]+),.*?\*\*left out ([\d.]+)", r"states alone ([\d.]+),.*?\*\*left out ([\d.]+)"
SERVING = {
    "decoding, one stream": "decode",
    "prefill": "prefill",
    "offline throughput": "offline",
    "time per output token under load": "tpot",
    "time to first token under load": "ttft",
    "embedding": "embedding",
}


def stated(row: str) -> list[str]:
    """Figures of a row of README's table."""
    line = next(line for line in README.splitlines() if line.startswith(f"| {row}"))
    return re.findall(r"\d\.\d\d", line)


def rounded(found: str) -> str:
    """A figure of a generated table in two decimals."""
    return f"{float(found):.2f}"


@pytest.mark.parametrize(("row", "pattern"), [("training time", TIME), ("training memory", MEMORY)])
def test_training(row, pattern):
    rule, left_out = re.search(pattern, TABLES["training"]).groups()

    assert stated(row) == [rounded(left_out), rounded(rule)]


@pytest.mark.parametrize(("row", "group"), SERVING.items(), ids=SERVING)
def test_serving(row, group):
    left_out = re.search(rf"\| {group} \| \d+ \| [\d.]+ \| ([\d.]+) \|", TABLES["serving"])[1]

    assert stated(row)[0] == rounded(left_out)


def test_retrieval():
    size = float(re.search(r"median error ([\d.]+) %", TABLES["retrieval"])[1]) / 100
    cells = {
        what: re.search(rf"\| server  \| {what} .*?\|.*?\|.*?\|\s+([\d.]+) \|", TABLES["retrieval"])[1]
        for what in ("build", "query, published")
    }

    assert stated("index size, build, query") == [rounded(str(size)), *map(rounded, cells.values())]


def test_weak_spots():
    experts = re.search(r"Mixtures of experts among them: median ([\d.]+)", TABLES["training"])[1]

    assert f"training ({rounded(experts)})" in " ".join(README.split())
