"""Laws of batching against what a real engine did under load, fed with its times without load alone."""

import sys
from pathlib import Path

import numpy as np
import pytest

from estimator.paths import data_folder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import real_engine

RUNS = data_folder("calibration") / "measured" / "engine_loads.csv"
FIGURES = 15


@pytest.fixture(scope="module")
def found():
    runs = real_engine.read(RUNS)
    return real_engine.judged(real_engine.fitted(runs), runs)


def test_every_kind_of_load_is_within_its_limit(found):
    medians = {name: float(np.median(np.abs(errors))) for name, errors in found.items()}
    wrong = {name: off for name, off in medians.items() if off > real_engine.LIMITS[name.partition(": ")[2]]}
    assert len(medians) >= FIGURES
    assert not wrong


def test_steps_alone_are_not():
    """As if nobody's prompt came between them: what is checked can be missed."""
    runs = real_engine.read(RUNS)
    cost = real_engine.fitted(runs)
    loops = [run for run in runs if run["arrival"] == "closed" and run["number"] >= 8]
    alone = [float(cost.step_s(run["number"], run["prompt"] + run["output"] / 2)) for run in loops]
    measured = [run["tpot_ms"]["median"] / 1e3 for run in loops]
    assert np.median(np.log(np.divide(alone, measured))) < -real_engine.LIMITS["tpot"]
