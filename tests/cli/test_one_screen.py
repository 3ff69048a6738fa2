"""A question's default answer is one screen, and what it leaves out it says how to see."""

import csv
import io
import re

import pytest

from estimator.cli import main
from estimator.stages import COMBINATIONS, STAGES

LINES, WIDTH = 60, 120
ASK = ["--model", "8b", "--gpu", "h100"]
WHOLE = {"corpus-in-prompt": ["--set", "corpus_gb=0.0002"]}  # which asks for a corpus that an LLM holds


@pytest.mark.parametrize("stage", [*STAGES, *COMBINATIONS])
@pytest.mark.parametrize("more", [[], ["--explain", "total_usd"]], ids=["answer", "reasons"])
def test_an_answer_is_one_screen(stage, more, capsys):
    assert main(["estimate", stage, *ASK, *WHOLE.get(stage, []), *more]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH


def test_a_comparison_is_one_screen(capsys):
    assert main(["compare", *ASK]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= LINES


def test_budget_lines_too_small_to_list_are_counted(capsys):
    assert main(["estimate", "rag", *ASK]) == 0
    text = capsys.readouterr().out
    assert main(["estimate", "rag", *ASK, "--format", "csv"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    costs = [row for row in rows if row["figure"].startswith(("one-off: ", "monthly: ")) and float(row["value"])]

    listed = re.findall(r"^(?:one-off|monthly)  ", text, re.MULTILINE)
    left = re.search(r"^(\d+) more of less than 0.2% of the total each: --format csv$", text, re.MULTILINE)
    assert left
    assert len(listed) + int(left[1]) == len(costs)
