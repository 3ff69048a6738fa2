"""Work of random shapes: drawn from the seed alone, of every phase, valid, and not the listed work."""

import importlib.util
from pathlib import Path

import pytest

from estimator.measure.cases import PHASES
from estimator.validation.local import cpu_jobs


@pytest.fixture(scope="module")
def unseen():
    path = Path(__file__).parents[2] / "benchmarks" / "local_unseen.py"
    spec = importlib.util.spec_from_file_location("local_unseen", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_draws_the_same_work(unseen):
    assert unseen.jobs(4, 20, "bf16") == unseen.jobs(4, 20, "bf16")
    assert unseen.jobs(4, 20, "bf16") != unseen.jobs(5, 20, "bf16")


def test_work_is_of_every_phase_and_valid(unseen):
    found = unseen.jobs(0, 200, "bf16")

    assert {job.phase for job in found} == set(PHASES)
    assert {job.dtype for job in found} == {"fp32", "bf16"}
    for job in found:
        assert job.arch.heads * job.arch.head_dim == job.arch.hidden
        assert job.arch.heads % job.arch.kv_heads == 0
        assert job.tokens <= (job.arch.learned_positions or 10**6)
    assert not {job.arch for job in found} & {job.arch for job in cpu_jobs(["bf16"])}
