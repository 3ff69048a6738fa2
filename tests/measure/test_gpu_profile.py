"""A GPU's profile, from timings by a law: the general predictors take its constants. No hardware is involved."""

import math
import re
import types
from pathlib import Path

import pytest

import estimator
from estimator.catalog.accelerators import accelerator
from estimator.catalog.efficiency import gemm_efficiency
from estimator.measure import clock, collectives, cuda, kernels, session
from estimator.measure.cases import suite, work
from estimator.measure.constants import constants
from estimator.measure.profile import write_profile
from estimator.measure.session import typical
from estimator.validation.local import LocalReport, cuda_jobs, naive_s, predicted_s

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
    assert 16e9 / BYTES_PER_S < served.tpot_s.value < 10 * 16e9 / BYTES_PER_S
    assert len(estimator.compare(model="8b", gpu="local").estimates) == 4


def test_the_work_that_judges_a_gpu_is_predicted(gpu):
    jobs, _ = cuda_jobs(80e9)
    for job in jobs:
        value, low, high = predicted_s(job, gpu)
        assert 0 < low < value < high
        assert abs(math.log(value / naive_s(job, gpu))) < 4


def test_work_is_chosen_by_what_the_gpu_can_hold_and_do():
    large, _ = cuda_jobs(141e9)
    middle, lacking = cuda_jobs(80e9, "8.0")
    small, skipped = cuda_jobs(16e9, "7.5")

    assert {job.dtype for job in large} == {"bf16", "fp8", "int4"}
    assert {job.arch.name for job in large if job.phase == "train"} == {"llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"}
    assert {job.dtype for job in middle} == {"bf16", "int4"}
    assert {job.phase for job in middle} == {"train", "lora", "prefill", "decode"}
    assert any("fp8" in reason and "8.0" in reason for reason in lacking)
    assert small == []
    assert all(": " in reason for reason in skipped)


def test_what_was_skipped_is_in_the_report():
    report = LocalReport((), (), 0.1, skipped=("decode 8b: needs about 20 GB, the GPU has 16",))

    assert "needs about 20 GB" in str(report)
    assert report.to_dict()["skipped"]


class FakeCuda:
    """torch.cuda as far as timing needs it; 12 ms pass between any two events."""

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            pass

        def elapsed_time(self, _other):
            return 12.0

    def synchronize(self):
        pass


def test_gpu_timing_divides_events_by_calls(monkeypatch):
    torch = types.SimpleNamespace(cuda=FakeCuda())
    monkeypatch.setattr(clock, "torch_module", lambda: torch)
    calls = []

    seconds = clock.seconds_of(lambda: calls.append(1), "cuda", 0.001)

    assert len(calls) > 1
    assert seconds == pytest.approx(0.012 / len(calls))
    assert clock.wall_seconds(lambda: None, "cuda") >= 0


def test_names_that_measuring_a_gpu_uses_exist_in_torch():
    torch = pytest.importorskip("torch", reason="measuring needs torch (extra `measure`)")
    pytest.importorskip("torch.distributed.run")
    source = "".join(
        Path(module.__file__).read_text("utf-8") for module in (cuda, clock, kernels, collectives, session)
    )
    for name in sorted(
        set(re.findall(r"\btorch\.((?:cuda|distributed|backends|version|ops)\.[\w.]+|_\w+|\w+)", source))
    ):
        found = torch
        for part in name.rstrip(".").split("."):
            found = getattr(found, part)
