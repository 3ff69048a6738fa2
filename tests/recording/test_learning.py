"""What own runs teach: held to the formula by hand, and to what must hold whatever they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.formulas.learning import learned, shares
from estimator.predict.learning import Kin, OwnRuns, variances

KEYS = st.tuples(*[st.sampled_from("ab")] * 4).map(lambda names: Kin(*names))
RUNS = st.lists(st.tuples(st.floats(-1, 1), KEYS), min_size=1, max_size=12)


def test_normal_errors_by_hand():
    """Two equal runs: s2 / (s2 + n2 / 2) of their error, but for what the long tails take off."""
    near = learned([1e-6, 1e-6], np.ones((1, 2, 2)), np.ones((1, 2, 1)), [0.04], 0.02 * 4 / 5)

    assert near.log_factor[0] == pytest.approx(1e-6 * 0.04 / (0.04 + 0.5 * 0.8 * 0.02 / 2), rel=0.02)


@given(runs=RUNS, asked=KEYS, quantity=st.sampled_from(sorted(variances())))
def test_never_further_than_the_farthest_run_and_never_wider(runs, asked, quantity):
    found = OwnRuns({quantity: runs}).of(quantity, asked)
    ends = [0.0, *(error for error, _ in runs)]

    assert 1.0001 * min(ends) - 0.35 <= np.log(found.factor) <= 1.0001 * max(ends) + 0.35
    assert 0 < found.narrower <= 1


@settings(max_examples=30)
@given(error=st.floats(-0.3, 0.3), quantity=st.sampled_from(sorted(variances())))
def test_more_runs_that_agree_are_believed_more(error, quantity):
    kin = Kin("h100", "vllm", "16 bit", "llama")
    moved = [abs(np.log(OwnRuns({quantity: [(error, kin)] * n}).of(quantity, kin).factor)) for n in (1, 3, 10, 60)]

    assert moved == sorted(moved)
    assert moved[-1] <= abs(error) + 1e-9
    assert moved[0] <= 0.8 * abs(error) + 1e-9  # one run moves it a little
    assert moved[-1] >= 0.9 * abs(error) - 1e-9  # many nearly all the way


def test_ranges_narrow_as_far_as_own_runs_agree():
    draws = np.random.default_rng(1).normal(size=60)
    everything = np.ones((1, 60, 60)), np.ones((1, 60, 1))
    calm, usual, wild = (learned(sd * draws, *everything, [0.04], 0.04).narrower[0] for sd in (0.05, 0.2, 0.8))

    assert calm == pytest.approx(np.sqrt((0.05**2 * 57 + 0.04 * 3) / 60 / 0.08), rel=0.15)
    assert calm < usual <= wild == pytest.approx(np.sqrt(0.5), rel=0.1)  # as wide as published runs would have it


def test_runs_that_are_alike_teach_more_than_others():
    kin = Kin("h100", "vllm", "16 bit", "llama")
    other = Kin("a100", "sglang", "8 bit", "qwen")
    own = OwnRuns({"time": [(0.3, kin)] * 5})

    assert own.of("time", kin).factor > own.of("time", other).factor > 1


def test_on_a_measured_machine_stacks_differ_and_other_machines_teach_nothing():
    here, other = Kin("local", "trl", "lora", "a"), Kin("local", "hf trainer", "full", "b")
    own = OwnRuns({"time": [(0.5, here)] * 5})

    assert own.of("time", here).factor > 1.4
    assert own.of("time", other).factor == pytest.approx(1)
    assert own.of("time", here._replace(accelerator="h100-sxm")).runs == 0
    assert OwnRuns({"time": [(0.5, here._replace(accelerator="h100-sxm"))] * 5}).of("time", here).runs == 0


def test_parts_that_runs_share():
    alike = shares([["a", "b"], ["x", "x"]], [["a"], ["x"]])

    assert alike.tolist() == [[[1], [1]], [[1], [0]], [[1], [1]]]
