"""An index under load: the laws of closed loops and of rates, pieces, codes, limits, recall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.retrieval import host
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas.queueing import mmc_wait_s
from estimator.formulas.retrieval_load import at_rate_s, wait_share_s
from estimator.predict.retrieval import (
    IndexPlan,
    build_memory_bytes,
    build_s,
    index_memory_bytes,
    interval,
    queries_per_s,
    query_s,
    segment_count,
)
from estimator.predict.retrieval_load import (
    Load,
    alone_s,
    answered_per_s,
    latency_s,
    latency_share_s,
    load_of,
    rate_within,
    recall,
    replicas_for,
)
from estimator.validation.retrieval import predict_cases

HERE = host("GCP n4-highmem-16, 16 vCPU, 128 GB (1 machine runs server+client)")
PLAN = IndexPlan(1e6, 768, engine="weaviate")
ROW = {"id": "1", "source": "mine", "n_vectors": "1e6", "dim": "768", "index": "HNSW (Weaviate)", "hardware": HERE.name}


@pytest.mark.parametrize(("share", "use"), [(0.9, 0.5), (0.99, 0.8), (0.5, 0.9)])
def test_one_core_is_waited_for_as_long_as_its_queue_says(share, use):
    """M/M/1: P(W > t) = use exp(-(1 - use) t / s), Kleinrock (1975) equation 3.42."""
    waits = float(wait_share_s(share, 1, 0.004, use / 0.004))

    assert use * np.exp(-(1 - use) * waits / 0.004) == pytest.approx(1 - share)


def test_a_query_slows_down_with_its_neighbours():
    half = float(at_rate_s(0.002, 8, 0.004, 1000.0))  # four of eight cores at work

    assert half == pytest.approx(0.003 + float(mmc_wait_s(8, 1000.0, 0.004)))


@given(clients=st.integers(1, 4000), cores=st.integers(1, 128), engine=st.sampled_from(["faiss", "weaviate", "qdrant"]))
def test_a_closed_loop_is_the_slower_of_service_and_queue(clients, cores, engine):
    plan, machine = IndexPlan(1e6, 768, engine=engine), host(f"{cores} vCPU")
    latency, rate = (law(plan, machine, Load(clients=clients)) for law in (latency_s, answered_per_s))

    assert latency == pytest.approx(max(alone_s(plan, machine), clients / queries_per_s(plan, machine)))
    assert latency * rate == pytest.approx(clients)  # Little
    assert rate <= queries_per_s(plan, machine) * (1 + 1e-9)


def test_one_client_and_a_thousand_do_not_wait_alike():
    cases = predict_cases(
        [{**ROW, "metric": m, "concurrency": c} for m in ("latency_ms", "qps") for c in ("1", "16", "1000")]
    )
    one, sixteen, many, qps_one, qps_sixteen, qps_many = (case.predicted for case in cases)

    assert one < sixteen < many
    assert many / sixteen == pytest.approx(1000 / 16)
    assert qps_one < qps_sixteen == pytest.approx(qps_many)


def test_a_load_is_not_a_build():
    """Sending bounds a small index, indexing a large one."""
    sizes = ("1e4", "1e8")
    rows = [
        {**ROW, "hardware": "4 vCPU", "n_vectors": n, "metric": metric}
        for n in sizes
        for metric in ("build_s", "load_s")
    ]
    small_build, small_load, large_build, large_load = (case.predicted for case in predict_cases(rows))

    assert small_build < small_load
    assert small_load == pytest.approx(1e4 * (768 * 2.3e-7 + 1e-3 / 100))  # batches of a hundred
    assert large_load == pytest.approx(large_build)


def test_nothing_said_is_one_client_per_core():
    assert load_of("one client per core") == Load() == load_of("")
    assert latency_s(PLAN, HERE) == pytest.approx(query_s(PLAN, HERE))
    assert latency_s(PLAN, HERE, load_of("alone")) == pytest.approx(query_s(PLAN, HERE) / HERE.idle_speed)


@pytest.mark.parametrize("words", ["many", "0 clients", "-3 clients", "16", "3 queries", "0.5 clients"])
def test_loads_that_mean_nothing_are_refused(words):
    with pytest.raises(InvalidInput, match="16 clients"):
        load_of(words)


@given(use=st.floats(0.01, 0.95), share=st.sampled_from([0.5, 0.9, 0.99]))
def test_latency_grows_with_the_rate_and_the_share(use, share):
    rate = use * float(queries_per_s(PLAN, HERE))
    busy, busier = Load(queries_per_s=rate), Load(queries_per_s=1.04 * rate)

    assert alone_s(PLAN, HERE) <= latency_s(PLAN, HERE, busy) <= latency_s(PLAN, HERE, busier)
    assert latency_share_s(0.5, PLAN, HERE, busy) <= latency_share_s(share, PLAN, HERE, busy)


def test_more_than_all_cores_answer_never_ends():
    rate = 1.01 * float(queries_per_s(PLAN, HERE))

    assert latency_s(PLAN, HERE, Load(queries_per_s=rate)) == np.inf
    assert answered_per_s(PLAN, HERE, Load(queries_per_s=rate)) == queries_per_s(PLAN, HERE)
    assert replicas_for(rate, PLAN, HERE) == 2


def test_a_latency_target_bounds_the_rate():
    found = rate_within(0.01, PLAN, HERE)

    assert latency_share_s(0.99, PLAN, HERE, Load(queries_per_s=found)) == pytest.approx(0.01, rel=1e-3)
    assert rate_within(1e-6, PLAN, HERE) == 0
    with pytest.raises(InvalidInput, match="known of"):
        latency_share_s(0.123, PLAN, HERE)


@pytest.mark.parametrize(("pieces", "dearer"), [(4, 4.5), (16, 12)])
def test_pieces_cost_core_time(pieces, dearer):
    """20,000 x 384, ef 64 with faiss: 1, 4, 16 pieces took 1 : 4.5 : 12."""
    whole, cut = (query_s(IndexPlan(20_000, 384, m=16, ef=64, segments=n), host("2 vCPU")) for n in (1, pieces))

    assert cut / whole == pytest.approx(dearer, rel=0.35)


def test_engines_divide_an_index_by_their_own_sizes():
    def pieces(engine, n):
        return float(segment_count(IndexPlan(n, 768, engine=engine), host("8 vCPU")))

    assert pieces("pgvector", 1e7) == pieces("faiss", 1e9) == 1
    assert pieces("milvus", 1e6) == 3  # 3.07 GB in pieces of 1 GiB
    assert pieces("qdrant", 1e6) == 4  # one for two cores, between 2 and 8
    assert pieces("qdrant", 1e7) == 15  # 30.7 GB, 256 MB for each of 8 cores
    merged = IndexPlan(1e6, 768, engine="milvus", segments=1)
    assert query_s(merged, host("8 vCPU")) < query_s(IndexPlan(1e6, 768, engine="milvus"), host("8 vCPU"))


@pytest.mark.parametrize(("code", "bits"), [("sq4", 4), ("sq6", 6), ("sq8", 8), ("bf16", 16), ("fp16", 16)])
def test_codes_take_their_bits(code, bits):
    plain, coded = (index_memory_bytes(IndexPlan(1e6, 768, index=name)) for name in ("hnsw", f"hnsw-{code}"))

    assert plain - coded == pytest.approx(1e6 * 768 * (32 - bits) / 8, rel=0.001)


def test_refining_keeps_originals_and_takes_longer():
    coarse, fine = (IndexPlan(1e6, 768, index="hnsw-sq4", refine=n) for n in (0, 4))

    assert index_memory_bytes(fine) - index_memory_bytes(coarse) == 1e6 * 768 * 4
    assert query_s(fine, HERE) > query_s(coarse, HERE)
    assert index_memory_bytes(IndexPlan(1e6, 768, refine=4)) == index_memory_bytes(IndexPlan(1e6, 768))


@pytest.mark.parametrize("code", ["sq8", "sq6", "sq4", "fp16", "bf16"])
def test_building_on_codes_is_no_faster_than_their_decoding(code):
    """Published for faiss, 20,000 x 384: sq8 0.80, sq4 1.13 of float32."""
    plain, coded = (build_s(IndexPlan(20_000, 384, index=name), HERE) for name in ("hnsw", f"hnsw-{code}"))

    assert 0.5 < coded / plain < 2


@pytest.mark.parametrize("params", ["sq_type=SQ5", "SQ5", "rabitq", "sq_type=Q9", "bbq"])
def test_an_unknown_code_is_not_float32(params):
    (case,) = predict_cases([{**ROW, "index": "HNSW", "params": params, "metric": "qps"}])

    assert case.status == "unsupported"
    assert "coded as" in case.reason


@pytest.mark.parametrize(("words", "code"), [("sq_type=SQ6", "sq6"), ("HNSW_SQ sq_type=BF16", "bf16"), ("SQ4", "sq4")])
def test_codes_are_read(words, code):
    from estimator.validation.retrieval import read_run

    assert read_run({**ROW, "index": "hnsw", "params": words}).plan.index == f"hnsw-{code}"


def test_pgvector_takes_no_more_dimensions_than_it_says():
    """pgvector issues 442, 915: 3,072 dimensions are refused under HNSW, halfvec goes to 4,000."""
    with pytest.raises(InvalidInput, match=r"2,000 dimensions.*halfvec"):
        index_memory_bytes(IndexPlan(1e6, 3072, engine="pgvector"))
    with pytest.raises(InvalidInput, match="4,000"):
        index_memory_bytes(IndexPlan(1e6, 4096, engine="pgvector", dtype="float16"))
    assert index_memory_bytes(IndexPlan(1e6, 3072, engine="pgvector", dtype="float16")) > 0
    assert index_memory_bytes(IndexPlan(1e6, 3072, engine="pgvector", index="flat")) > 0
    with pytest.raises(UnknownName, match="sq8"):
        index_memory_bytes(IndexPlan(1e6, 768, index="hnsw-sq9"))


@pytest.mark.formula
def test_published_sizes():
    """pgvector issues 370 and 745, Qdrant's rule, Pinecone's example with 1 kB of metadata."""
    assert float(index_memory_bytes(IndexPlan(900e3, 1280, engine="pgvector"))) / 2**20 == pytest.approx(7036, rel=0.01)
    big = IndexPlan(1e6, 1024, engine="pgvector")
    assert float(index_memory_bytes(big)) / 1e9 == pytest.approx(8.2, rel=0.01)
    assert float(build_memory_bytes(big)) / 2**30 == pytest.approx(4.96, rel=0.12)
    assert float(index_memory_bytes(IndexPlan(10e6, 1536, engine="qdrant"))) / 1e9 == pytest.approx(92.2, rel=0.001)
    pinecone = IndexPlan(10e6, 1536, engine="pinecone", metadata_bytes=1000)
    assert float(index_memory_bytes(pinecone)) / 1e9 == pytest.approx(71.4, rel=0.005)


def test_recall_is_a_figure_with_a_range():
    found, wider = recall(IndexPlan(1e6, 768, ef=64)), recall(IndexPlan(1e6, 768, ef=256))

    assert 0 < found.low < found.value < found.high < 1
    assert wider.value > found.value
    assert recall(IndexPlan(1e6, 768, index="flat")).value == recall(IndexPlan(60, 768, ef=64)).value == 1
    assert recall(IndexPlan(1e6, 768, index="ivf-pq")) is None
    assert recall(IndexPlan(1e6, 768, index="hnsw-sq4")) is None or (
        recall(IndexPlan(1e6, 768, index="hnsw-sq4")).value <= recall(IndexPlan(1e6, 768)).value
    )


@given(passing=st.floats(1e-4, 1.0), engine=st.sampled_from(["faiss", "weaviate", "qdrant", "pgvector"]))
def test_a_filter_finds_no_more_than_it_lets_pass(passing, engine):
    """A search under a filter takes no longer than comparing all that pass, save where it goes on until enough have."""
    plain, machine = IndexPlan(1e6, 768, engine=engine), host("8 vCPU")
    under = plain._replace(passing=passing)

    if engine == "pgvector":
        assert query_s(under, machine) >= query_s(plain, machine) * (1 - 1e-9)
    elif engine == "qdrant":
        assert query_s(under, machine) <= query_s(plain, machine) * (1 + 1e-9)
    rare = query_s(plain._replace(passing=1e-6), machine)
    assert engine == "pgvector" or rare <= query_s(under, machine) * (1 + 1e-9)


def test_filters_that_nobody_measured_are_less_sure():
    """Qdrant and pgvector were measured under filters; what Weaviate does with rare ones is anyone's guess."""
    for engine, sure in (("qdrant", True), ("pgvector", True), ("weaviate", False)):
        plain = IndexPlan(1e8, 768, engine=engine)
        widths = [np.log(high / low) for low, high in _ranges(plain, plain._replace(passing=0.01))]
        assert widths[0] < widths[1]
        assert bool(widths[1] < widths[0] + 1) is sure


def _ranges(*plans):
    return [interval("query", plan, host("8 vCPU")) for plan in plans]
