"""Sizes of vector indexes: built ones, published ones, vendors' own examples, and what must hold for any."""

import csv
import importlib
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.formulas.corpus import chunks, embedded_tokens, vector_bytes
from estimator.formulas.retrieval import (
    SearchRates,
    diskann_disk_bytes,
    graph_visits,
    pgvector_hnsw_bytes,
    pgvector_table_bytes,
)
from estimator.paths import data_folder
from estimator.predict.retrieval import IndexPlan, index_disk_bytes, index_memory_bytes, known_indexes

PLANS = {
    "Flat": {"index": "flat"},
    "IVF-Flat": {"index": "ivf-flat", "lists": 128},
    "IVF-SQ8": {"index": "ivf-sq8", "lists": 128},
    "IVF-PQ16": {"index": "ivf-pq", "lists": 128, "pq_bytes": 16},
    "SQ8": {"index": "sq8"},
    "SQfp16": {"index": "sqfp16"},
    "PQ16": {"index": "pq", "pq_bytes": 16},
    "HNSW16 (4d+8M)": {"m": 16},
    "HNSW32 (4d+8M)": {"m": 32},
    "HNSW32-SQ8 (d+8M)": {"index": "hnsw-sq8", "m": 32},
    "LSH 1 bit/dim": {"index": "lsh"},
    "hnswlib M=16 (4d+8M)": {"m": 16, "engine": "hnswlib"},
    "hnswlib M=32 (4d+8M)": {"m": 32, "engine": "hnswlib"},
}
PUBLISHED = list(
    csv.DictReader((data_folder("calibration") / "published" / "index_sizes.csv").read_text("utf-8").splitlines())
)


@pytest.mark.prediction
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row['index']}-{row['dim']}")
def test_a_measured_index_has_the_predicted_size(row):
    plan = IndexPlan(int(row["n_vectors"]), int(row["dim"]), **PLANS[row["index"]])

    assert float(index_memory_bytes(plan)) == pytest.approx(int(row["measured_bytes"]), rel=0.01)


@pytest.fixture(scope="module")
def faiss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its bindings use what Python has deprecated
        try:
            library = importlib.import_module("faiss")
        except ImportError:
            pytest.skip("faiss-cpu is not installed")
    library.omp_set_num_threads(1)
    return library


@pytest.mark.prediction
@pytest.mark.parametrize("dim", [64, 192])
@pytest.mark.parametrize("vectors", [3_000, 6_000])
@pytest.mark.parametrize(
    ("factory", "plan"),
    [
        ("Flat", {"index": "flat"}),
        ("IVF32,Flat", {"index": "ivf-flat", "lists": 32}),
        ("IVF32,PQ16", {"index": "ivf-pq", "lists": 32, "pq_bytes": 16}),
        ("SQ8", {"index": "sq8"}),
        ("HNSW12,Flat", {"index": "hnsw", "m": 12}),
    ],
)
def test_an_index_built_now_has_the_predicted_size(faiss, factory, plan, vectors, dim):
    data = np.random.default_rng(0).standard_normal((vectors, dim), np.float32)
    index = faiss.index_factory(dim, factory)
    if "PQ" in factory:
        index.do_polysemous_training = False  # minutes for better codes, which do not matter here
    index.train(data[:1000])
    index.add(data)

    built = faiss.serialize_index(index).nbytes

    assert float(index_memory_bytes(IndexPlan(vectors, dim, **plan))) == pytest.approx(built, rel=0.01)


@pytest.mark.prediction
def test_a_usearch_index_built_now_has_the_predicted_size():
    usearch = pytest.importorskip("usearch.index")
    data = np.random.default_rng(0).standard_normal((5_000, 96), np.float32)
    index = usearch.Index(ndim=96, metric="l2sq", dtype="f32", connectivity=16, expansion_add=32)
    index.add(np.arange(len(data)), data, threads=1)

    assert float(index_memory_bytes(IndexPlan(5_000, 96, m=16, engine="usearch"))) == pytest.approx(
        index.serialized_length, rel=0.01
    )


# (engine, plan, stated, unit, rounding of the statement)
EXAMPLES = [
    ("opensearch", {"vectors": 1e6, "dim": 256, "m": 16}, 1.267e9, 0.001),
    ("opensearch", {"vectors": 1e6, "dim": 256, "index": "ivf", "lists": 128}, 1.126e9, 0.001),
    ("opensearch", {"vectors": 1e6, "dim": 256, "m": 16, "encoding": "bq1"}, 0.176e9, 0.005),
    ("opensearch", {"vectors": 1e6, "dim": 256, "m": 16, "encoding": "bq2"}, 0.211e9, 0.005),
    ("opensearch", {"vectors": 1e6, "dim": 256, "m": 16, "encoding": "bq4"}, 0.282e9, 0.005),
    ("qdrant", {"vectors": 1e6, "dim": 1024}, 6.144e9, 1e-6),
    ("weaviate", {"vectors": 1e6, "dim": 384}, 3e9, 0.03),
    ("weaviate-at-rest", {"vectors": 1e6, "dim": 384, "m": 64}, 2.2e9, 0.03),
    ("elasticsearch", {"vectors": 10e6, "dim": 1000, "m": 0, "encoding": "int8"}, 10e9, 0.01),
    ("pinecone", {"vectors": 5e5, "dim": 768, "metadata_bytes": 500}, 1.79e9, 0.001),
]


@pytest.mark.formula
@pytest.mark.parametrize(("engine", "plan", "stated_bytes", "rounding"), EXAMPLES)
def test_a_vendors_rule_gives_its_own_example(engine, plan, stated_bytes, rounding):
    assert float(index_memory_bytes(IndexPlan(engine=engine, **plan))) == pytest.approx(stated_bytes, rel=rounding)


@pytest.mark.formula
def test_elasticsearch_keeps_the_originals_on_disk():
    """40 GB of float vectors quantised to int8 take 50 GB of disk (elastic.co, tune kNN search)."""
    plan = IndexPlan(10e6, 1000, engine="elasticsearch", encoding="int8", m=0)

    assert float(index_disk_bytes(plan)) == pytest.approx(50e9, rel=0.01)


@pytest.mark.formula
@pytest.mark.parametrize(("bits", "stated_gib"), [(32, 7.0), (16, 3.5)])
def test_a_pgvector_table_takes_what_supabase_measured(bits, stated_gib):
    """900 thousand 1536-dimensional vectors: 7 GB as vector, 3.5 GB as halfvec (supabase.com/blog/pgvector-0-7-0)."""
    table = pgvector_table_bytes(900_000, vector_bytes(1536, bits))

    assert float(table) / 2**30 == pytest.approx(stated_gib, rel=0.02)


@pytest.mark.formula
def test_whole_tuples_share_a_postgresql_page():
    assert float(pgvector_hnsw_bytes(1e6, 4 * 1536, 16)) == 8192e6  # one to a page
    assert float(pgvector_hnsw_bytes(1e6, 2 * 1536, 16)) == 4096e6  # two


@pytest.mark.formula
def test_whole_nodes_share_a_disk_sector():
    assert float(diskann_disk_bytes(1e6, 512, 63)) == 1e6 * 4096 / 5  # 768 B each
    assert float(diskann_disk_bytes(1e6, 6144, 63)) == 1e6 * 2 * 4096
    assert float(diskann_disk_bytes(204e6, 8, 2)) == 1e6 * 4096  # 8 B, and 4 B each for two links and their count


@pytest.mark.formula
def test_vectors_a_search_compares_by_hand():
    """100 candidates of twice as many links as one has, among 2^20; half of 200 vectors where 200 would be compared."""
    rates = SearchRates(1.0, 1.0, 1.0, 1.0, 0.0, *[1.0] * 7)

    assert float(graph_visits(2.0**20, 2, 100, rates)) == pytest.approx(200 * 2**20 / (200 + 2**20))
    assert float(graph_visits(2.0**10, 2, 100, rates)) == pytest.approx(100 * 2**10 / (100 + 2**10))
    assert float(graph_visits(2.0**20, 2, 100, rates, segments=4)) == pytest.approx(200 * 2**18 / (200 + 2**18))


@given(
    vectors=st.integers(1_000, 10**9),
    dim=st.integers(8, 4096),
    index=st.sampled_from(known_indexes()),
    factor=st.floats(1.0, 10.0),
)
def test_more_vectors_or_dimensions_take_more(vectors, dim, index, factor):
    plan = IndexPlan(vectors, dim, index=index)
    more = IndexPlan(vectors * factor, dim, index=index)
    wider = IndexPlan(vectors, np.ceil(dim * factor), index=index)

    assert 0 < index_memory_bytes(plan) <= index_memory_bytes(more) * (1 + 1e-9)
    assert index_memory_bytes(plan) <= index_memory_bytes(wider) * (1 + 1e-9)


@given(dim=st.integers(64, 4096), vectors=st.integers(1_000, 10**8))
def test_narrower_formats_take_less(dim, vectors):
    sizes = [
        float(index_memory_bytes(IndexPlan(vectors, dim, dtype=d))) for d in ("float32", "float16", "int8", "binary")
    ]

    assert sizes == sorted(sizes, reverse=True)
    assert index_memory_bytes(IndexPlan(vectors, dim, index="hnsw-sq8")) < index_memory_bytes(IndexPlan(vectors, dim))


@given(
    tokens=st.floats(1, 1e12),
    chunk=st.integers(8, 4000),
    share=st.floats(0, 0.9),
    documents=st.integers(1, 10**6),
)
def test_chunks_hold_every_token_and_overlap_only_adds(tokens, chunk, share, documents):
    overlap = int(share * chunk)
    pieces = float(chunks(tokens, chunk, overlap, documents))

    assert pieces >= max(documents, np.floor(tokens / chunk))
    assert pieces >= chunks(tokens, chunk, 0, documents)
    assert embedded_tokens(tokens, chunk, overlap, documents) >= tokens
    assert pieces * chunk >= tokens * (1 - 1e-9)


def test_a_plan_of_arrays_broadcasts():
    plan = IndexPlan(np.array([1e5, 1e6, 1e7])[:, None], np.array([384, 1536]))

    assert index_memory_bytes(plan).shape == (3, 2)
    assert index_disk_bytes(plan)[2, 1] == index_disk_bytes(IndexPlan(1e7, 1536))
