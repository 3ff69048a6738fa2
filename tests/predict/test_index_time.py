"""Build and query time of vector indexes: what must hold for any plan on any machine."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from estimator.catalog.retrieval import Host, fitted_rates, host, offer
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.predict.retrieval import (
    LIBRARIES,
    SERVERS,
    IndexPlan,
    build_s,
    index_disk_bytes,
    index_memory_bytes,
    interval,
    known_indexes,
    process_memory_bytes,
    queries_per_s,
    query_s,
)

MACHINE = host("8 vCPU, 64 GB")
indexes = st.sampled_from(known_indexes())
engines = st.sampled_from(["faiss", "usearch", "hnswlib", "weaviate", "qdrant", "milvus"])
vectors = st.integers(10_000, 10**9)


@given(vectors=vectors, dim=st.integers(32, 2048), index=indexes, engine=engines, factor=st.floats(1.01, 20))
def test_more_vectors_or_dimensions_take_longer(vectors, dim, index, engine, factor):
    plan = IndexPlan(vectors, dim, index=index, engine=engine, lists=1000)
    for more in (
        IndexPlan(vectors * factor, dim, index=index, engine=engine, lists=1000),
        IndexPlan(vectors, np.ceil(dim * factor), index=index, engine=engine, lists=1000),
    ):
        assert query_s(more, MACHINE) >= query_s(plan, MACHINE) * (1 - 1e-9)
        assert build_s(more, MACHINE) >= build_s(plan, MACHINE) * (1 - 1e-9)
        assert queries_per_s(more, MACHINE) <= queries_per_s(plan, MACHINE) * (1 + 1e-9)


@given(vectors=vectors, ef=st.integers(10, 500), m=st.integers(4, 64), k=st.integers(1, 100))
def test_searching_wider_takes_longer(vectors, ef, m, k):
    plan = IndexPlan(vectors, 768, ef=ef, m=m, k=k, ef_construction=100)
    for wider in (
        IndexPlan(vectors, 768, ef=2 * ef, m=m, k=k),
        IndexPlan(vectors, 768, ef=ef, m=2 * m, k=k),
        IndexPlan(vectors, 768, ef=ef, m=m, k=k + 1),
    ):
        assert query_s(wider, MACHINE) >= query_s(plan, MACHINE)
    assert build_s(IndexPlan(vectors, 768, m=m, ef_construction=200), MACHINE) > build_s(plan, MACHINE)


@given(vectors=vectors, cores=st.integers(1, 256), replicas=st.integers(1, 20))
def test_throughput_grows_with_cores_and_replicas(vectors, cores, replicas):
    plan = IndexPlan(vectors, 384)
    few, many = (Host("", c, 4e9 * c) for c in (cores, 2 * cores))

    assert queries_per_s(plan, many) > queries_per_s(plan, few)
    assert queries_per_s(IndexPlan(vectors, 384, replicas=replicas), few) == pytest.approx(
        replicas * queries_per_s(plan, few)
    )
    assert build_s(plan, many) < build_s(plan, few)


@given(vectors=vectors, dim=st.integers(64, 2048))
def test_a_database_takes_longer_than_a_library(vectors, dim):
    assert query_s(IndexPlan(vectors, dim, engine="qdrant"), MACHINE) > query_s(IndexPlan(vectors, dim), MACHINE)


def test_an_index_beats_a_scan_once_there_are_many_vectors():
    many = {"vectors": 1e6, "dim": 768}

    assert query_s(IndexPlan(**many), MACHINE) < query_s(IndexPlan(**many, index="ivf"), MACHINE)
    assert query_s(IndexPlan(**many, index="ivf"), MACHINE) < query_s(IndexPlan(**many, index="flat"), MACHINE)


def test_measured_constants_come_before_fitted_ones():
    rates = fitted_rates("library")
    own = Host("mine", 8, 1e11, rates=rates, basis="measured")

    assert query_s(IndexPlan(1e6, 768, engine="weaviate"), own) == query_s(IndexPlan(1e6, 768), own)


def offered(engine, index):
    found, structure = offer(engine), index.split("-")[0]
    return found is None or (structure in found.structures and "-" not in index)


@given(index=indexes, engine=engines)
def test_no_vectors_take_no_memory_and_hardly_any_time(index, engine):
    plan = IndexPlan(0, 768, index=index, engine=engine)
    assume(offered(engine, index))

    assert index_memory_bytes(plan) < 1e8  # what a quantiser has learned, and empty lists
    assert build_s(plan, MACHINE) == 0
    assert 0 < query_s(plan, MACHINE) < 0.01
    assert queries_per_s(plan, MACHINE) > 0


def test_a_plan_of_arrays_broadcasts():
    plan = IndexPlan(np.array([1e5, 1e6, 1e7])[:, None], 768, ef=np.array([32, 64, 128, 256]))

    times = query_s(plan, MACHINE)

    assert times.shape == (3, 4)
    assert times[1, 2] == query_s(IndexPlan(1e6, 768, ef=128), MACHINE)
    assert queries_per_s(plan, MACHINE).shape == (3, 4)


@pytest.mark.parametrize("what", ["memory", "build", "query"])
def test_an_interval_holds_the_prediction_and_widens_where_less_is_known(what):
    known = host("GCP n4-highmem-16, 16 vCPU, 128 GB")
    low, high = interval(what, IndexPlan(1e6, 768, engine="weaviate"), known)
    wider = interval(what, IndexPlan(1e6, 768, engine="milvus"), host("some server"))

    assert 0 < low < 1 < high
    assert wider[0] <= low
    assert wider[1] >= high


def test_an_index_on_disk_fits_the_machine_it_was_built_for():
    plan = IndexPlan(1e9, 128, index="diskann")
    small = host("8 vCPU 64 GB")

    assert process_memory_bytes(plan, small) < small.memory_bytes < index_memory_bytes(plan) < index_disk_bytes(plan)


@pytest.mark.parametrize("engine", [*LIBRARIES, *SERVERS])
def test_every_engine_answers(engine):
    plan = IndexPlan(1e6, 768, engine=engine)

    assert index_memory_bytes(plan) > 0
    assert index_disk_bytes(plan) > 0
    assert queries_per_s(plan, MACHINE) > 0


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [({"index": "hnws"}, "hnsw"), ({"engine": "quadrant"}, "qdrant"), ({"dtype": "float23"}, "float32")],
)
def test_unknown_names_raise_with_the_nearest(wrong, nearest):
    with pytest.raises(UnknownName, match=nearest):
        index_memory_bytes(IndexPlan(1e6, 768, **wrong))


def test_an_unknown_encoding_or_quantity_raises():
    with pytest.raises(EstimatorError, match="encoding"):
        index_memory_bytes(IndexPlan(1e6, 768, engine="qdrant", encoding="bbq"))
    with pytest.raises(InvalidInput, match="memory, build or query"):
        interval("price", IndexPlan(1e6, 768))
