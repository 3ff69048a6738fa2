"""Do the ranges hold for sources left out of fit and range alike, and are they narrow enough to be of use?"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from estimator.catalog.cases import published
from estimator.fitting.ranges import LeftOut, fit_ranges
from estimator.paths import data_folder
from estimator.validation import validate

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import range_coverage

WIDEST = {
    **dict.fromkeys(("training time", "training memory"), 2.0),
    **dict.fromkeys(("decode, single stream", "throughput", "embedding", "latency of a whole batch"), 2.3),
    "TPOT": 2.5,
    "prefill": 3.3,
    "index queries": 4.0,
    "index build": 4.0,
    "memory of a vector database": 4.0,
    "TTFT": 5.0,
}


@pytest.fixture(scope="module")
def lines():
    return {line.name: line for fit in range_coverage.FITS for line in range_coverage.coverage(fit)}


@pytest.mark.parametrize("question", WIDEST)
def test_ranges_of_80_percent_hold_and_are_narrow(lines, question):
    line = lines[question]

    assert line.width[0.8] <= WIDEST[question]
    if line.runs >= range_coverage.LEAST_RUNS:
        most = 0.87 if line.sources > 4 else 0.94  # few sources pay with width for what they may have in common
        assert 0.75 <= line.covered[0.8] <= most, line


def test_other_levels_are_not_far_off(lines):
    for line in lines.values():
        if line.runs >= range_coverage.LEAST_RUNS:
            assert 0.4 <= line.covered[0.5] <= 0.7, line
            assert 0.78 <= line.covered[0.9] <= 0.99, line
            assert line.covered[0.5] <= line.covered[0.8] <= line.covered[0.9]


def test_every_question_with_enough_runs_is_held_to_a_width(lines):
    assert {name for name, line in lines.items() if line.runs >= range_coverage.LEAST_RUNS} <= set(WIDEST)


@pytest.mark.parametrize("fit", range_coverage.FITS)
def test_the_ranges_that_ship_are_those_of_the_errors_written_down(fit):
    runs = range_coverage.rows(range_coverage.left_out_file(fit))
    ships = json.loads((data_folder("calibration") / "fitted" / f"{fit}.json").read_text())["ranges"]
    between = range_coverage.BETWEEN.get(fit, ())
    found = fit_ranges(LeftOut.of(runs, range_coverage.trait_names(runs)), between=between)

    assert ships["groups"].keys() == found["groups"].keys()
    for group, ends in found["groups"].items():
        assert [ships["groups"][group][end] for end in ("down", "up")] == pytest.approx([ends["down"], ends["up"]])
    assert {name: ships["wider"][name] for name in found["wider"]} == pytest.approx(found["wider"])


@pytest.mark.parametrize("name", ["training", "inference", "retrieval"])
def test_the_errors_written_down_are_those_of_the_predictions(name):
    """Anyone can redo them: `estimator validate` gives each run with its source left out."""
    fit = {"inference": "serving"}.get(name, name)
    written = {row["id"]: float(row["error"]) for row in range_coverage.rows(range_coverage.left_out_file(fit))}
    with published(name).open(newline="", encoding="utf-8") as file:
        shown = {row["id"] for row in csv.DictReader(file)}
    cases = [case for case in validate([published(name)]).cases if case.id in written][::7]

    assert len(cases) > 50
    for case in cases:
        assert case.id in shown
        honest = (case.predicted_loso or case.predicted) / case.measured
        assert abs(written[case.id]) == pytest.approx(abs(np.log(honest)), abs=5e-3), case.id


def test_the_page_shows_the_tables_of_today():
    page = range_coverage.REPORT.read_text(encoding="utf-8")

    assert range_coverage.report() in page, "run python benchmarks/range_coverage.py"
