"""Retrieval cases: how rows are read, and that predictions from the configuration alone come near the measurement."""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.cases import published, read_cases
from estimator.catalog.files import rows
from estimator.catalog.retrieval import retrieval_fit
from estimator.paths import data_folder
from estimator.validation import validate
from estimator.validation.retrieval import predict_cases, read_run

ROW = {"id": "1", "source": "mine", "n_vectors": "1e6", "dim": "768", "index": "HNSW", "metric": "qps"}


@pytest.fixture(scope="module")
def report():
    return validate([published("retrieval")])


def left_out_errors(report, source, metric):
    """|ln(predicted / measured)| with what was fitted to left out."""
    chosen = [
        case
        for case in report.cases
        if (case.source, case.metric, case.status) == (source, metric, "ok") and case.measured
    ]
    return [abs(math.log((case.predicted_loso or case.predicted) / case.measured)) for case in chosen]


@pytest.mark.prediction
def test_memory_is_within_a_tenth(report):
    errors = left_out_errors(report, "big-ann", "memory_gb")

    assert len(errors) > 90
    assert median(errors) <= 0.10


@pytest.mark.prediction
@pytest.mark.parametrize("metric", ["build_s", "qps", "latency_ms"])
def test_hnsw_times_with_their_grid_left_out(report, metric):
    errors = left_out_errors(report, "weaviate", metric)

    assert len(errors) == 448
    assert median(errors) <= 0.35


@pytest.mark.prediction
def test_a_library_with_its_machine_left_out(report):
    """Machines half as fast as the fastest one known, predicted by the mean of the others."""
    graphs = [c for c in report.cases if c.fitted and c.source == "big-ann" and c.metric == "qps"]

    assert median(abs(math.log(case.predicted_loso / case.measured)) for case in graphs) <= 0.45


@pytest.mark.prediction
@pytest.mark.parametrize(("what", "most"), [("query", 0.37), ("build", 0.4)])
def test_a_database_left_out(what, most):
    """Each database by the mean of the others: mean of the medians."""
    found = medians(f"{what}, new server")

    assert len(found) >= 5
    assert sum(found.values()) / len(found) <= most


@pytest.mark.prediction
@pytest.mark.parametrize("database", ["pgvector", "chroma", "redis", "qdrant"])
def test_unseen_sizes_of_a_measured_server(database):
    assert medians("query, server")[database] <= 0.25


def medians(group):
    """Median |ln(predicted / measured)| of every database in a group of errors left out."""
    found = {}
    for row in rows(data_folder("calibration") / "fitted" / "left_out_retrieval.csv"):
        if row["group"] == group:
            found.setdefault(row["source"], []).append(abs(float(row["error"])))
    return {name: median(errors) for name, errors in found.items()}


@pytest.mark.prediction
def test_ranges_cover_about_four_in_five(report):
    judged = [case for case in report.cases if case.status == "ok" and case.measured]
    covered = sum(case.low <= case.measured <= case.high for case in judged) / len(judged)

    assert 0.7 <= covered <= 0.97


def test_every_row_is_predicted_or_says_why_not(report):
    for case in report.cases:
        if case.status == "ok":
            assert 0 < case.low <= case.predicted <= case.high
        else:
            assert case.reason
    unsupported = {case.reason.split(" ")[0] for case in report.cases if case.status != "ok"}
    assert unsupported <= {"nothing", "times", "how", "searches", "the"}


def test_the_measurement_is_never_read(report):
    read = read_cases(published("retrieval"))
    blind = [{**row, "value": "1e9", "citation": "", "latency_kind": ""} for row in read[::50]]
    by_id = {case.id: case.predicted for case in report.cases}

    assert [case.predicted for case in predict_cases(blind)] == [by_id[row["id"]] for row in blind]


@pytest.mark.parametrize(
    ("index", "params", "expected"),
    [
        ("HNSW (Weaviate)", "M=16;efC=128;ef=24", {"index": "hnsw", "engine": "weaviate", "m": 16, "ef": 24}),
        ("hnsw", "m=32, ef_construction=200, ef_search=64", {"m": 32, "ef_construction": 200, "ef": 64}),
        ("Qdrant", "hnsw {'m': 16, 'ef_construct': 100}, hnsw_ef=128", {"engine": "qdrant", "m": 16, "ef": 128}),
        ("HNSW32,SQ8", "efSearch=64", {"index": "hnsw-sq8", "m": 32, "ef": 64}),
        ("faiss", "Faiss(('IVF16384,SQ8', {'nprobe': 4}))", {"index": "ivf-sq8", "lists": 16384, "probes": 4}),
        ("faiss", "IVF1048576_HNSW32,PQ64x4fsr", {"index": "ivf-pq", "lists": 1048576, "pq_bytes": 32}),
        ("ivf_flat", "nlist=1000;nprobe=10", {"index": "ivf", "lists": 1000, "probes": 10}),
        ("IVFPQ", "nlist=1000;nprobe=10;m=48", {"index": "ivf-pq", "lists": 1000}),
        ("diskann", "diskann(('R64_L500', {'Ls': 30, 'T': 8}))", {"index": "vamana", "degree": 64, "search_list": 30}),
        ("diskann", "diskann(('R64_L500', {'Ls': 30, 'T': 8}))", {"build_list": 500}),
        ("kota-t2", "DiskANN", {"index": "diskann"}),
        ("pgvector hnsw halfvec", "m=16", {"engine": "pgvector", "dtype": "float16"}),
        ("Flat", "", {"index": "flat"}),
        (
            "usearch",
            "connectivity=16 expansion_add=128",
            {"index": "hnsw", "engine": "usearch", "ef_construction": 128},
        ),
        ("OpenSearch faiss hnsw", "m=16 ef_search=256", {"engine": "opensearch", "ef": 256}),
        ("DISKANN (Milvus)", "search_list=100", {"index": "diskann", "engine": "milvus", "search_list": 100}),
        ("Vespa HNSW", "max-links-per-node=16", {"engine": "server", "m": 16}),
    ],
)
def test_settings_are_found_in_any_engines_words(index, params, expected):
    plan = read_run({**ROW, "index": index, "params": params}).plan

    assert {name: getattr(plan, name) for name in expected} == expected


def test_recall_counts_only_where_nothing_says_how_wide_the_search_was():
    def ef(**cells):
        return read_run({**ROW, **cells}).plan.ef

    assert ef(params="ef=64", recall="0.99") == ef(params="ef=64", recall="0.5") == 64
    assert ef(recall="0.99") > ef(recall="0.9") > 0
    assert ef() is None
    law = retrieval_fit()["operating_point"]
    assert law["missed_at_ef_1"] * ef(recall="0.95") ** -law["power"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"n_vectors": ""}, "n_vectors"),
        ({"dim": "many"}, "dim"),
        ({"metric": "recall"}, "memory_gb, build_s, qps, latency_ms"),
        ({"index": "puck"}, "nothing is known"),
        ({"index": "GpuIVFFlat"}, "GPU"),
        ({"index": ""}, "nothing is known"),
        ({"params": "filter=tags"}, "filtered"),
        ({"segments": "inf"}, "segments"),
        ({"concurrency": "-1"}, "concurrency"),
    ],
)
def test_what_is_missing_or_unknown_is_said(cells, reason):
    (case,) = predict_cases([{**ROW, **cells}])

    assert case.status == "unsupported"
    assert reason in case.reason


words = st.text(alphabet="hnswivfpqMRLef0123456789_=;,.-({'[ ])}x", max_size=40) | st.text(max_size=20)


@given(index=words, params=words, hardware=words, number=words, metric=st.sampled_from(["qps", "build_s", "memory_gb"]))
def test_no_row_breaks_the_reader(index, params, hardware, number, metric):
    cells = {"index": index, "params": params, "hardware": hardware, "recall": number, "k": number, "metric": metric}

    (case,) = predict_cases([{**ROW, **cells}])

    assert case.status == "unsupported" or case.low <= case.predicted <= case.high


def test_a_setting_of_zero_is_not_stated():
    plan = read_run({**ROW, "index": "ivf hnsw", "params": "nlist=0;nprobe=0;m=0;ef=0"}).plan

    assert (plan.lists, plan.probes, plan.m, plan.ef) == (None, None, None, None)


def test_only_the_required_columns_are_needed():
    (case,) = predict_cases([ROW])

    assert case.status == "ok"
    assert case.low < case.predicted < case.high
    assert not case.fitted
    assert case.fits is None


def test_a_row_says_whether_it_fits():
    fits, too_large = predict_cases(
        [
            {**ROW, "hardware": "8 vCPU 16 GB", "metric": "memory_gb"},
            {**ROW, "hardware": "8 vCPU 16 GB", "metric": "memory_gb", "n_vectors": "1e8"},
        ]
    )

    assert fits.fits
    assert too_large.fits is False
    assert too_large.status == "ok"
