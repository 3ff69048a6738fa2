"""Inference cases: every published run is predicted from its configuration, measurements are never looked at."""

import csv
import json

import numpy as np
import pytest

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.cases import published
from estimator.catalog.engines import serving_fit, serving_inputs_hash
from estimator.catalog.models import architecture
from estimator.paths import data_folder
from estimator.predict.serving import ServingPlan, Traffic, serving
from estimator.validation.inference import predict_cases

BASE = {
    "id": "x",
    "source": "someone",
    "model": "llama-3.1-8b",
    "gpu": "h100-sxm",
    "engine": "vllm",
    "weight_precision": "fp8",
    "input_len": "1000",
    "output_len": "200",
    "batch_or_concurrency": "16",
}


@pytest.fixture(scope="module")
def rows():
    with published("inference").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def predictions(rows):
    return predict_cases(rows)


def test_nearly_every_published_run_is_predicted(rows, predictions):
    done = [case.status == "ok" for case in predictions]

    assert np.mean(done) >= 0.97
    predicted = {row["gpu"] for row, ok in zip(rows, done, strict=True) if ok}
    assert predicted == {row["gpu"] for row in rows}


def test_ranges_hold_the_prediction_and_fitted_sources_have_a_left_out_one(predictions):
    for case in predictions:
        assert case.low < case.predicted < case.high
        assert case.fitted == (case.source in serving_fit()["seen"]["sources"])
    unfolded = [case.id for case in predictions if case.fitted and case.predicted_loso is None]
    assert len(unfolded) < 0.05 * len(predictions)  # flagged rows of a pair that no unflagged row shares


def test_left_out_ranges_cover_about_eighty_percent(rows, predictions):
    inside = [
        case.low <= float(row["value"]) * case.predicted / case.predicted_loso <= case.high
        for row, case in zip(rows, predictions, strict=True)
        if not row["flag"] and case.predicted_loso is not None
    ]

    assert 0.7 <= np.mean(inside) <= 0.93


def test_measurements_are_not_looked_at(rows, predictions):
    sample = rows[::97]
    blind = [{key: text for key, text in row.items() if key not in ("value", "flag", "notes")} for row in sample]

    assert [case.predicted for case in predict_cases(blind)] == [case.predicted for case in predictions[::97]]


@pytest.mark.parametrize(
    ("metric", "field", "scale"),
    [
        ("ttft_ms", "ttft_s", 1e3),
        ("tpot_ms", "tpot_s", 1e3),
    ],
)
def test_a_case_and_a_call_agree(metric, field, scale):
    (case,) = predict_cases([BASE | {"metric": metric}])
    found = serving(
        architecture("llama-3.1-8b"),
        cluster_of(accelerator("h100"), 1),
        ServingPlan("fp8"),
        Traffic(1000, 200, concurrency=16),
    )

    assert case.predicted == pytest.approx(scale * float(getattr(found, field)), rel=1e-12)


def test_a_static_batch_and_a_call_agree():
    row = BASE | {"metric": "output_tokens_per_s_total", "task": "offline_throughput", "engine": "hf"}
    (case,) = predict_cases([row])
    plan = ServingPlan("fp8", engine="hf", server="in process")
    found = serving(
        architecture("llama-3.1-8b"), cluster_of(accelerator("h100"), 1), plan, Traffic(1000, 200, batch=16)
    )

    assert case.predicted == pytest.approx(float(found.output_tokens_per_s), rel=1e-12)


@pytest.mark.parametrize("missing", ["engine", "weight_precision", "input_len", "output_len", "batch_or_concurrency"])
def test_columns_may_be_missing(missing):
    row = {key: text for key, text in BASE.items() if key != missing} | {"metric": "decode_tokens_per_s_per_user"}

    (case,) = predict_cases([row])

    assert case.status == "ok"
    assert case.predicted > 0


def test_what_is_unknown_is_predicted_with_a_wider_range():
    known, unknown = predict_cases([BASE | {"metric": "tpot_ms"}, BASE | {"metric": "tpot_ms", "engine": "my-own"}])

    assert unknown.status == "ok"
    assert unknown.high / unknown.low >= known.high / known.low * (1 - 1e-9)


YI_6B = {
    "model": "yi-6b-chat", "layers": "32", "hidden": "4096", "heads": "32", "kv_heads": "4", "head_dim": "128",
    "ffn": "11008", "vocab": "64000", "weight_precision": "bf16", "gpu": "rtx-4090", "input_len": "543",
    "metric": "ttft_ms", "batch_or_concurrency": "1",
}  # fmt: skip


@pytest.mark.prediction
@pytest.mark.parametrize(("engine", "measured"), [("vllm", 95.43), ("tgi", 82.72), ("lmdeploy", 76.81)])
def test_a_lone_client_waits_for_the_server_around_the_engine(engine, measured):
    row = BASE | YI_6B | {"engine": engine}
    served, alone = predict_cases([row | {"output_len": "200"}, row | {"output_len": "1"}])

    assert served.predicted == pytest.approx(measured, rel=0.2), "ninehills/llm-inference-benchmark, FTL at one client"
    assert 0.003 < (served.predicted - alone.predicted) / 1e3 < 0.040


def test_an_answer_that_hangs_on_a_few_sequences_has_a_wide_range():
    row = BASE | {"metric": "output_tokens_per_s_total", "model": "llama-2-34b", "batch_or_concurrency": "max"}
    row |= {"weight_precision": "bf16"}
    tight, roomy = predict_cases([row, row | {"n_gpus": "4", "tp": "4"}])

    assert tight.fits
    assert tight.high / tight.low > 4 > 2.5 > roomy.high / roomy.low


def test_an_llm_known_by_its_size_alone_is_predicted_and_says_so():
    (case,) = predict_cases([BASE | {"metric": "tpot_ms", "model": "somebody-13b-chat"}])

    assert case.status == "ok"
    assert "somebody-13b-chat" in case.reason


def test_a_layer_split_engine_splits_layers_when_the_file_does_not_say():
    row = BASE | {"metric": "decode_tokens_per_s_per_user", "engine": "llama.cpp", "n_gpus": "2"}
    unsaid, said = predict_cases([row, row | {"tp": "1", "pp": "2"}])

    assert unsaid.predicted == said.predicted


def test_a_run_that_cannot_fit_is_predicted_and_says_so():
    (case,) = predict_cases([BASE | {"metric": "tpot_ms", "model": "llama-3.1-405b", "batch_or_concurrency": "1"}])

    assert case.status == "ok"
    assert case.fits is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gpu": "h1000x"}, "unknown accelerator"),
        ({"gpu": ""}, "no 'gpu'"),
        ({"model": "no-such-llm"}, "shape is not stated"),
        ({"weight_precision": "fast"}, "unknown precision"),
        ({"input_len": "long"}, "must be a number"),
        ({"metric": "happiness"}, "happiness"),
        ({"task": "onlin"}, "Did you mean 'online'"),
    ],
)
def test_what_cannot_be_predicted_says_what_is_missing(change, reason):
    (case,) = predict_cases([BASE | {"metric": "tpot_ms"} | change])

    assert case.status == "unsupported"
    assert reason in case.reason


@pytest.mark.parametrize("metric", ["ttft_ms", "tpot_ms"])
def test_a_latency_under_load_has_its_own_range_whatever_the_row_calls_its_task(metric):
    """Throughput online is foretold far better than the time to the first token."""
    named, plain = predict_cases([BASE | {"metric": metric, **more} for more in ({"task": "online"}, {})])

    assert (named.low, named.predicted, named.high) == (plain.low, plain.predicted, plain.high)


def test_the_fit_is_of_the_data_that_ship():
    assert serving_fit()["inputs"] == serving_inputs_hash(), "stale: run python benchmarks/fit_serving.py"
    folds = json.loads((data_folder("calibration") / "fitted" / "serving_folds.json").read_text(encoding="utf-8"))
    assert folds["inputs"] == serving_fit()["inputs"], "both files are written together"
    assert "folds" not in serving_fit(), "they have a file of their own"


def test_lengths_and_batch_that_a_row_leaves_open_are_said_and_widen_its_range():
    stated = BASE | {"task": "embedding", "metric": "embeddings_per_s", "model": "bert-base", "gpu": "v100-sxm2-16gb"}
    stated |= {"layers": "12", "hidden": "768", "heads": "12", "ffn": "3072", "vocab": "30522"}
    stated |= {"engine": "sentence-transformers", "weight_precision": "fp32", "output_len": ""}
    stated |= {"input_len": "128", "batch_or_concurrency": "32"}
    told, untold = predict_cases([stated, stated | {"input_len": "", "batch_or_concurrency": ""}])

    assert "not stated" not in told.reason
    assert "not stated, so assumed: prompt, batch" in untold.reason
    assert untold.predicted == pytest.approx(told.predicted)
    assert untold.high / untold.low > 2 * told.high / told.low
