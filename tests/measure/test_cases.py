"""The cases cover the shapes evenly, in any prefix, and their names say what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.measure.cases import PHASES, Case, halton, job_flop, job_of, spread, suite, work

RATES = {"fp32": 1e11, "bf16": 1e10}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_names_are_read_back_and_unique(device):
    cases = suite(device, RATES, 2)

    assert [Case.of(str(case)) for case in cases] == cases
    assert len(set(map(str, cases))) == len(cases)


def test_the_first_of_every_group_come_first():
    cases = suite("cpu", RATES, 2)
    groups = {case.group for case in cases}

    assert {case.group for case in cases[: len(groups)]} == groups


@pytest.mark.parametrize("rate", [1e9, 1e11, 1e13])
def test_no_product_takes_long_at_the_expected_rate(rate):
    products = [case for case in suite("cpu", {"fp32": rate}, 1) if case.kind == "gemm"]

    assert max(work(case) for case in products) <= max(0.06 * rate, 2.0 * 32 * 32 * 32)


def test_blocks_are_valid_architectures_of_every_phase():
    found = [job_of(case) for case in suite("cpu", RATES, 2) if case.kind == "block"]

    assert {job.phase for job in found} == set(PHASES)
    for job in found:
        assert job.arch.heads % job.arch.kv_heads == 0
        assert job.arch.heads * job.arch.head_dim == job.arch.hidden
        assert job.tokens <= (job.arch.learned_positions or 10**6)
        assert job_flop(job) > 0


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5, 7]))
def test_halton_points_lie_inside(index, base):
    assert 0 < halton(index, base) < 1


def test_spread_is_log_uniform():
    points = [spread(i, 2, (1, 1024)) for i in range(512)]

    assert 0.45 < sum(point < 32 for point in points) / len(points) < 0.55
