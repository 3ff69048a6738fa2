"""The report on real work: errors by family, ranges, the naive answer and the repeat difference."""

import json
import math

import pytest

from estimator.validation.local import DECODERS, LocalCase, LocalReport, cpu_jobs, job_name

CASES = (
    LocalCase("a", "train", 1.1, 0.9, 1.3, 2.0, (1.0, 1.0)),
    LocalCase("b", "train", 1.0, 0.9, 1.1, 0.5, (1.2, 1.3)),
    LocalCase("c", "index query", 2.0, 1.5, 2.5, None, (2.0,)),
)


def test_errors_are_logarithms_of_the_ratio():
    assert CASES[0].error == pytest.approx(math.log(1.1))
    assert CASES[0].naive_error == pytest.approx(math.log(2))
    assert CASES[1].measured == pytest.approx(math.sqrt(1.2 * 1.3))
    assert CASES[1].difference == pytest.approx(math.log(1.3 / 1.2))
    assert CASES[2].difference is None


def test_the_summary_counts_families_and_all():
    summary = {entry["family"]: entry for entry in LocalReport(CASES, (), 0.1).summary()}

    assert summary["all"]["cases"] == 3
    assert summary["train"]["coverage"] == 0.5
    assert summary["train"]["p90_error"] == pytest.approx(abs(CASES[1].error))
    assert summary["index query"]["naive_median_error"] is None


def test_the_report_renders_as_table_and_json():
    report = LocalReport(CASES, ("train huge",), 0.1)

    assert "train huge" in str(report)
    assert json.loads(report.to_json())["cases"][0]["measured"] == pytest.approx(1.0)
    assert "| train" in report.table("github")


def test_the_work_covers_every_family_in_both_formats():
    jobs = cpu_jobs(["bf16"])

    for dtype in ("fp32", "bf16"):
        assert {job.phase for job in jobs if job.dtype == dtype} == {"train", "lora", "prefill", "decode", "embed"}
    training = [job for job in jobs if job.phase == "train" and job.dtype == "fp32"]
    assert len({job.arch for job in training}) == len(DECODERS) == 3
    assert all(len({job.tokens for job in training if job.arch == arch}) == 2 for arch in DECODERS)
    assert len({job_name(job) for job in jobs}) == len(jobs)
