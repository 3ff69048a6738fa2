"""Training runs that nobody fitted: accuracy with each source left out, and how case files are read."""

import sys
from collections import Counter
from statistics import mean, median

import pytest

from estimator.catalog.cases import file_hash, fitted, published, read_cases
from estimator.paths import PACKAGE
from estimator.validation import validate
from estimator.validation.report import errors, quantity
from estimator.validation.training import predict_cases

FILE = published("training")


@pytest.fixture(scope="module")
def rows():
    return read_cases(FILE)


@pytest.fixture(scope="module")
def report():
    return validate([FILE])


def by_source(report, rows, wanted):
    """Median left-out error of each source's clean NVIDIA runs; sources of fewer than five count as one."""
    clean = {row["id"] for row in rows if row["quality"] == "ok" and not row["gpu"].startswith(("mi", "tpu", "gaudi"))}
    cases = [case for case in report.cases if case.id in clean and quantity(case.metric) == wanted]
    size = Counter(case.source for case in cases)
    names = {case.source if size[case.source] >= 5 else "small" for case in cases}
    members = {name: [c for c in cases if name == (c.source if size[c.source] >= 5 else "small")] for name in names}
    return {name: errors(found)["median_error"] for name, found in members.items()}


@pytest.mark.prediction
def test_times_of_sources_left_out(report, rows):
    """Mean over sources of the median |ln(predicted / measured)| at most 0.15."""
    assert mean(by_source(report, rows, "time").values()) <= 0.15


@pytest.mark.prediction
def test_memory_of_sources_left_out(report, rows):
    """The same at most 0.18, without clamping to the card."""
    assert mean(by_source(report, rows, "memory").values()) <= 0.18


@pytest.mark.prediction
def test_few_runs_that_ran_are_called_too_big(report, rows):
    """Under a tenth."""
    clean = {row["id"] for row in rows if row["quality"] == "ok" and row["gpu"] not in ("mi355x", "tpu-v4", "gaudi2")}
    flags = [case.fits for case in report.cases if case.id in clean and case.status == "ok"]

    assert 1 - mean(flags) < 0.10


@pytest.mark.prediction
@pytest.mark.parametrize(("source", "metric"), [("korthikanti22", "step_time_s"), ("megatron-sc21", "tflops_per_gpu")])
def test_megatron_on_a100(report, source, metric):
    """Median error at most 7.8 % with the source left out: what Calculon states for such runs (SC23)."""
    found = [case for case in report.cases if case.source == source and case.metric == metric]

    assert median(abs(case.predicted_loso / case.measured - 1) for case in found) <= 0.078


@pytest.mark.prediction
def test_nearly_every_run_is_predicted(report):
    """97 % at least, and their 80 % ranges hold about 80 % of them."""
    summary = report.summary()["overall"]

    assert summary["share_predicted"] >= 0.97
    assert 0.7 <= summary["coverage"] <= 0.9


def test_the_fit_is_of_these_data(rows):
    """Fails when the cases or the formulas changed since `python benchmarks/fit_training.py` last ran."""
    found = fitted("training")
    assert found["data"]["sha256"] == file_hash(FILE), "run python benchmarks/fit_training.py"

    sys.path.insert(0, str(PACKAGE.parent / "benchmarks"))
    try:
        import fit_training
    finally:
        sys.path.pop(0)
    for kind in ("time", "memory"):
        data = fit_training.group(rows, kind, found["values"])
        now = fit_training.residual_summary(data, data.log_errors(found["values"]))
        stored = found["residuals"][kind]["in_sample"]
        assert now == pytest.approx(stored, abs=2e-3), "run python benchmarks/fit_training.py"


def test_only_the_configuration_is_read(rows):
    """Neither the value nor the notes move a prediction."""
    some = rows[::20]
    told = [{**row, "value": "1e9", "notes": "17 s", "citation": "x", "quality": "ok"} for row in some]

    assert [case.predicted for case in predict_cases(some)] == [case.predicted for case in predict_cases(told)]


def test_columns_may_be_missing():
    """Id, source, metric and a little configuration are enough; what is assumed is said."""
    case = {"id": "a", "source": "mine", "metric": "tokens_per_s_per_gpu", "model": "llama-3.1-8b", "gpu": "h100"}
    lora = {**case, "family": "lora", "metric": "peak_mem_gb", "n_gpus": "8", "micro_batch": "1"}

    first, second = predict_cases([case, lora])

    assert first.status == second.status == "ok"
    assert "recompute" in first.reason
    assert "micro_batch" not in second.reason


def test_an_unknown_llm_is_taken_by_its_size():
    """And that is said, with a wider range."""
    case = {"id": "a", "source": "mine", "metric": "step_time_s", "gpu": "a100", "framework": "torchtitan"}
    known, unknown = predict_cases([{**case, "model": "llama-2-7b"}, {**case, "model": "internlm-7b"}])

    assert "a usual shape of its size" in unknown.reason
    assert unknown.high / unknown.low > known.high / known.low


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gpu": "a10x"}, "unknown accelerator"),
        ({"gpu": ""}, "gpu is missing"),
        ({"metric": "loss"}, "unknown training metric"),
        ({"metric": "days"}, "total_tokens_b is missing"),
        ({"seq_len": "long"}, "seq_len must be a number"),
        ({"model": "secret"}, "give layers, hidden, heads"),
        ({"params_b": "many", "model": "secret"}, "params_b must be a number"),
        ({"tp": "-2"}, "tp must be a number"),
    ],
)
def test_what_cannot_be_predicted_says_why(change, reason):
    """Never a traceback."""
    row = {"id": "a", "source": "mine", "metric": "step_time_s", "model": "7b", "gpu": "a100", **change}

    (found,) = predict_cases([row])

    assert found.status == "unsupported"
    assert found.predicted is None
    assert reason in found.reason


def test_conventions_of_frameworks(rows):
    """Recomputation counted (8 N) reads a third more TFLOP/s than model FLOP for the same step."""
    row = next(row for row in rows if row["id"] == "megatron-sc21-008")
    counted, model = predict_cases([row, {**row, "framework": "nowhere"}])
    seconds = predict_cases(
        [{**row, "metric": "step_time_s"}, {**row, "metric": "step_time_s", "framework": "nowhere"}]
    )
    hardware, plain = counted.predicted * seconds[0].predicted, model.predicted * seconds[1].predicted

    assert hardware / plain == pytest.approx(4 / 3, rel=0.01)


def test_a_shape_that_the_row_says_is_not_assumed():
    """The catalogue knows BLOOM's shape by recall only; the row's columns are where it is read."""
    shape = {"layers": "70", "hidden": "14336", "heads": "112", "head_dim": "128", "ffn": "57344", "vocab": "250880"}
    row = {"id": "bloom", "source": "x", "model": "bloom-176b", "gpu": "a100-sxm-80gb", "n_gpus": "384", "tp": "4"}
    row |= {"pp": "12", "micro_batch": "2", "global_batch_seqs": "2048", "recompute": "full", "sharding": "zero1"}
    row |= {"metric": "tflops_per_gpu", "framework": "Megatron-DeepSpeed", "seq_len": "2048"}
    told, untold = predict_cases([row | shape, row])

    assert told.reason == ""
    assert "usual shape" in untold.reason
    assert told.high / told.low < untold.high / untold.low
