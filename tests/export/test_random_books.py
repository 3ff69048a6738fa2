"""Workbook, command and JSON say the same of random questions, break-even included."""

import json
import random

import pytest

from estimator import compare
from estimator.cli.main import main
from estimator.decide.break_even import pairs
from estimator.pricing import Price
from estimator.results import FIGURES
from tests.export.engine import SOFFICE, recalculated, with_wrong_caches
from tests.export.test_workbook import assert_agree

MANY = 20
OWNED = ["--purchase-price", "25000"]


def question(draw):
    """Options of the command, and the same for Python."""
    stages = tuple(sorted(draw.sample(("prompt", "rag", "finetune"), 2)))
    inputs = {
        "requests_per_month": draw.choice((2e4, 5e5, 8e6)),
        "growth_per_month": draw.choice((0.0, 0.04, -0.03)),
        "horizon_months": draw.choice((6, 12, 30)),
        "contingency": draw.choice((0.0, 0.15)),
        "retries": round(draw.uniform(0, 0.2), 3),
        "peak_to_mean": round(draw.uniform(1.5, 6), 2),
        "billing": draw.choice(("replicas", "autoscaled", "per-use")),
        "thinking_tokens": draw.choice((0, 400)),
    }
    hosted = draw.random() < 0.3
    gpu = draw.choice(("h100", "8xh100", "a100", "l40s"))
    options = ["--api", "openai:gpt-4o-mini"] if hosted else ["--model", "8b", "--gpu", gpu]
    asked = {"api": "openai:gpt-4o-mini"} if hosted else {"model": "8b", "gpu": gpu}
    if not hosted and draw.random() < 0.4:
        options, asked = [*options, *OWNED], {**asked, "price": Price(purchase=25_000.0)}
    sets = [word for name, value in inputs.items() for word in ("--set", f"{name}={value}")]
    return stages, {**asked, **inputs}, [*options, *sets]


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
def test_workbook_command_and_json_agree(tmp_path, capsys):
    draw = random.Random(23)
    asked = [question(draw) for _ in range(MANY)]
    found = [compare(stages=stages, **inputs) for stages, inputs, _ in asked]
    files = []
    for number, comparison in enumerate(found):
        comparison.to_excel(str(tmp_path / f"{number}.xlsx"))
        files.append(with_wrong_caches(tmp_path / f"{number}.xlsx", tmp_path / f"wrong{number}.xlsx"))

    for comparison, workbook, (stages, _, options) in zip(found, recalculated(files, tmp_path), asked, strict=True):
        assert_agree(workbook, comparison)
        (pair,) = pairs(comparison.estimates)
        row = workbook["Break-even"][3]
        if pair.exists:
            assert row[7] == pair.b
            assert row[8] == pytest.approx(pair.cheaper_from.value, rel=1e-9)
        else:
            assert row[8] == "never"
        assert row[9] in ("yes", "as exported")
        assert main(["compare", "--stages", ",".join(stages), *options, "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)["stages"]
        for answer in comparison.estimates:
            for figure in FIGURES:
                plain = {**told[answer.stage]["details"], **told[answer.stage]}[figure.name]["value"]
                value = answer.figure(figure.name).value
                assert plain is None if value != value else plain == pytest.approx(value, rel=1e-12)
