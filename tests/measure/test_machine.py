"""From timings to constants to predictions, on a machine whose laws are known; `--gpu local` in every answer."""

import json

import numpy as np
import pytest

import estimator
from estimator.catalog.accelerators import accelerator
from estimator.catalog.efficiency import attention_efficiency, gemm_efficiency, memory_efficiency
from estimator.catalog.files import use_facts_again
from estimator.catalog.local import Job, machine
from estimator.catalog.models import architecture
from estimator.cli.main import main
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas.roofline import gemm_s
from estimator.measure.cases import Case
from estimator.predict import local as predict
from estimator.records import Architecture

FLOP_PER_S, BYTES_PER_S = 1e11, 2e10  # of the synthetic machine
pytestmark = pytest.mark.usefixtures("local")
SMALL = Architecture("small", 4, 256, 4, 2, 64, 704, 4096)


def test_constants_are_those_of_the_machine():
    found = machine()

    assert found.gemm("fp32", "nt").flop_per_s == pytest.approx(FLOP_PER_S, rel=0.1)
    assert found.constants["memory"]["bytes_per_s"] == pytest.approx(BYTES_PER_S, rel=0.1)
    assert found.constants["optimizer"]["fused"]["param_s"] == pytest.approx(1.2e-9, rel=0.05)
    assert found.constants["optimizer"]["loop"]["tensor_s"] == pytest.approx(2e-5, rel=0.05)


@pytest.mark.parametrize("size", [(100, 700, 300), (2000, 64, 512), (16, 4096, 1024)])
def test_products_nobody_measured_are_predicted(size, law):
    m, n, k = size
    case = Case("gemm", "nt", "fp32", (("m", m), ("n", n), ("k", k)), 2)
    bytes_each = {"weight_bytes": 4.0, "input_bytes": 4.0, "output_bytes": 4.0}

    assert float(gemm_s(*size, machine().gemm("fp32", "nt"), **bytes_each)) == pytest.approx(law(case), rel=0.2)


def test_one_thread_is_a_machine_of_its_own():
    assert machine("local-1-thread").gemm("fp32", "nt").flop_per_s < 0.7 * machine().gemm("fp32", "nt").flop_per_s


def test_the_accelerator_says_that_it_was_measured():
    found = accelerator("local")

    assert (found.kind, found.basis, found.title) == ("cpu", "measured", "Synthetic CPU")
    assert found.memory_bytes == 64e9
    assert found.peak("bf16") < found.peak("fp32")


def test_measured_constants_come_before_all_others():
    device = accelerator("local")

    for evidence in (
        gemm_efficiency(device, "bf16").evidence,
        attention_efficiency(device).evidence,
        memory_efficiency(device).evidence,
    ):
        assert (evidence.basis, evidence.transfer) == ("measured", "measured on this machine")


def job_time(phase, batch=2, tokens=128, arch=SMALL, **more):
    return float(predict.time_s(predict.of_job(Job(phase, arch, batch, tokens, **more)), machine()))


@pytest.mark.parametrize("phase", ["train", "lora", "prefill", "decode", "embed"])
def test_more_work_takes_longer(phase):
    once = job_time(phase)

    assert job_time(phase, batch=4) > once
    assert job_time(phase, tokens=512) > once


def test_phases_keep_their_order():
    assert job_time("decode") < job_time("prefill") < job_time("lora") < job_time("train")


@pytest.mark.parametrize("phase", ["train", "lora", "prefill", "decode", "embed"])
def test_parts_are_positive_and_sum_to_the_whole(phase):
    work = predict.of_job(Job(phase, SMALL, 2, 128))
    parts = predict.scaled_parts_s(work, machine())

    assert all(float(part) >= 0 for part in parts.values())
    assert float(sum(parts.values())) == pytest.approx(float(predict.time_s(work, machine())))


def test_arrays_answer_as_their_elements_do():
    tokens = np.array([16.0, 64.0, 300.0])
    together = predict.time_s(predict.Work("prefill", SMALL, 2.0, tokens), machine())

    each = [float(predict.time_s(predict.Work("prefill", SMALL, 2.0, float(t)), machine())) for t in tokens]

    assert together == pytest.approx(each)


def test_the_optimizer_is_the_one_that_is_named():
    step = {name: estimator_step(optimizer=name).optimizer_s for name in ("adamw", "adamw_foreach", "adamw_fused")}

    assert step["adamw"] > step["adamw_foreach"] > step["adamw_fused"]


def estimator_step(**plan):
    return estimator.training_step(
        model="qwen2.5-0.5b", gpu="local", seq_len=128, global_batch=2, micro_batch=1, precision="fp32", **plan
    )


def test_steps_and_serving_answer_for_local():
    step = estimator_step(tp=1, pp=1, zero=0, recompute="none")
    served = estimator.serving(model="qwen2.5-0.5b", gpu="local", prompt_tokens=100, output_tokens=10)

    assert step.step_s > 0
    assert 0 < step.mfu < 1
    assert 0 < served.tpot_s.value < served.ttft_s.value


def test_a_step_and_a_job_of_the_same_work_agree():
    job = Job("train", architecture("qwen2.5-0.5b"), 2, 128, "fp32")

    step = estimator.training_step(
        model="qwen2.5-0.5b",
        gpu="local",
        seq_len=128,
        global_batch=2,
        micro_batch=2,
        precision="fp32",
        recompute="none",
    )

    assert float(step.step_s) == pytest.approx(float(predict.time_s(predict.of_job(job), machine())))


def test_comparisons_answer_for_local(capsys):
    assert main(["compare", "--model", "qwen2.5-0.5b", "--gpu", "local", "--format", "json"]) == 0

    stages = json.loads(capsys.readouterr().out)["stages"]
    assert len(stages) == 4


def test_local_without_a_profile_is_one_line(local, capsys):
    local.unlink()
    use_facts_again()

    assert main(["compare", "--model", "7b", "--gpu", "local"]) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "estimator calibrate" in error


@pytest.mark.parametrize("budget", [0.0, 5.0, float("nan"), float("inf"), -1.0])
def test_budgets_that_make_no_sense_are_refused(budget):
    with pytest.raises(InvalidInput, match="budget"):
        estimator.calibrate(budget_s=budget)


def test_unknown_suites_name_the_known():
    with pytest.raises(UnknownName, match="kernels"):
        estimator.calibrate(suite="kernel")


def test_calibrate_without_torch_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)

    assert main(["calibrate", "--budget", "10s"]) == 2
    assert "[measure]" in capsys.readouterr().err


def test_other_processes_are_noticed(tmp_path):
    """A steady neighbour shows no drift: it shows in the CPU time of the machine."""
    from estimator.measure.host import busy, others_share

    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 900 0 0 0 0 0 0\ncpu0 1 1 1 1\n", encoding="ascii")
    before = busy(stat)
    stat.write_text("cpu  1100 0 100 900 0 0 0 0 0 0\n", encoding="ascii")
    after = busy(stat)

    took = others_share(before._replace(clock_s=0.0, own_s=0.0), after._replace(clock_s=10.0, own_s=2.0), 1)
    assert took == 0.8
    assert busy(tmp_path / "none") is None
    assert others_share(None, after, 2) is None
