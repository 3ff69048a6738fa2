"""A GPU's profile, from timings by a law: the general predictors take its constants. No hardware is involved."""

import math

import pytest

import estimator
from estimator.catalog.accelerators import accelerator
from estimator.catalog.efficiency import gemm_efficiency
from estimator.fitting.machine import constants
from estimator.measure.cases import suite, work
from estimator.measure.profile import write_profile
from estimator.measure.session import typical
from estimator.validation.local import cuda_jobs, naive_s, predicted_s

RATES = {"bf16": 6e14, "fp16": 6e14, "fp32": 5e13, "fp8": 1.2e15}
BYTES_PER_S, LAUNCH_S = 3e12, 4e-6


def law(case):
    if case.kind in ("gemm", "attention"):
        return LAUNCH_S + work(case) / RATES[case.dtype] * (1.5 if case.kind == "attention" else 1.0)
    size = {"memory": 3.0, "optimizer": 28.0}.get(case.kind, 8.0)
    return LAUNCH_S + work(case) * size / BYTES_PER_S


@pytest.fixture
def gpu(data_folder, synthetic_profile):
    pytest.importorskip("scipy", reason="fitting needs scipy (extra `measure`)")
    samples = {str(case): [law(case)] for case in suite("cuda", RATES, 8)}
    about = synthetic_profile["machine"] | {"kind": "gpu", "title": "Synthetic GPU", "memory_bytes": 80e9, "devices": 8}
    found = synthetic_profile | {"machine": about, "threads": 8, "measurements": samples}
    write_profile(found | {"constants": constants(typical(samples))}, data_folder / "local.json")
    return accelerator("local")


def test_constants_are_those_of_the_law(gpu):
    assert gpu.kind == "gpu"
    assert gemm_efficiency(gpu, "bf16").flop_per_s == pytest.approx(RATES["bf16"], rel=0.15)
    assert gemm_efficiency(gpu, "fp8").flop_per_s == pytest.approx(RATES["fp8"], rel=0.15)
    assert gpu.memory_bandwidth_bytes_per_s == pytest.approx(2 / 3 * BYTES_PER_S, rel=0.1)


def test_training_serving_and_comparisons_answer(gpu):
    step = estimator.training_step(model="llama-3.1-8b", gpu=f"8x{gpu.name}", seq_len=2048, global_batch=64)
    served = estimator.serving(model="llama-3.1-8b", gpu=gpu.name, prompt_tokens=1000, output_tokens=100)

    assert 0.1 < step.mfu < 1
    assert 16e9 / BYTES_PER_S < served.tpot_s < 10 * 16e9 / BYTES_PER_S
    assert len(estimator.compare(model="8b", gpu="local").estimates) == 4


def test_the_work_that_judges_a_gpu_is_predicted(gpu):
    for job in cuda_jobs():
        value, low, high = predicted_s(job, gpu)
        assert 0 < low < value < high
        assert abs(math.log(value / naive_s(job, gpu))) < 4
