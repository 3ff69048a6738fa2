"""Vector stores: a provider's own rules, by hand."""

import pytest

from estimator import estimate
from estimator.catalog.facts import fact
from estimator.catalog.stores import known_stores, store_prices
from estimator.errors import EstimatorError

ASK = {"model": "8b", "gpu": "h100", "corpus_gb": 10, "requests_per_month": 1e6}


def line(answer, start):
    """The one budget line whose item starts so."""
    return next(line for line in answer.lines if line.item.startswith(start))


def test_pinecone_by_storage_and_reads():
    answer = estimate("rag", vector_store="pinecone", **ASK)
    price = next(plan for plan in store_prices("pinecone") if plan.per_gb_month is not None)
    gigabytes = answer.details["index_memory_bytes"].value / 1e9
    usd = gigabytes * price.per_gb_month + 1e6 * max(gigabytes, 0.25) / 1e6 * price.per_million_read_units

    assert line(answer, "managed vector store").usd.value == pytest.approx(max(usd, price.minimum_per_month))


def test_a_small_index_pays_the_minimum():
    answer = estimate("rag", vector_store="pinecone", **(ASK | {"corpus_gb": 0.01, "requests_per_month": 1000}))
    price = next(plan for plan in store_prices("pinecone") if plan.per_gb_month is not None)

    paid = [line(answer, start).usd.value for start in ("managed vector store", "writing changes")]
    assert sum(paid) == pytest.approx(price.minimum_per_month)


def test_a_machine_store_is_paid_by_whole_machines():
    answer = estimate("rag", vector_store="qdrant", **ASK)
    held = answer.details["index_memory_bytes"].value
    hourly = [
        -(-held // (plan.memory_gib * 2**30)) * plan.per_hour for plan in store_prices("qdrant") if plan.memory_gib
    ]

    assert line(answer, "managed vector store").usd.value == pytest.approx(min(hourly) * 730)


def test_an_own_index_is_a_machine_with_memory_and_cores():
    """Cores with 4 GiB each, and memory beyond that where the index fills nine tenths of it."""
    small, large = (estimate("rag", **ASK | {"corpus_gb": gb, "memory_usd_per_gib_month": 4.0}) for gb in (0.1, 40))
    floor = 4 * 0.05 * 730
    held = large.details["index_memory_bytes"].value

    assert line(small, "index machine").usd.value == pytest.approx(floor)
    assert line(large, "index machine").usd.value == pytest.approx(floor + (held / 0.9 / 2**30 - 16) * 4)


def test_a_database_has_rules_of_its_own():
    library, database = (estimate("rag", vector_engine=name, **ASK) for name in ("faiss", "pgvector"))

    assert database.details["index_disk_bytes"].value != library.details["index_disk_bytes"].value


def test_an_unknown_store_gets_the_nearest():
    with pytest.raises(EstimatorError, match="pinecone"):
        estimate("rag", vector_store="pinecon", **ASK)


def test_a_corpus_in_words_tokens_or_gigabytes_is_the_same_corpus():
    by_size = estimate("rag", model="8b", gpu="h100", corpus_gb=1.0)
    tokens = by_size.data_tokens.value
    by_tokens = estimate("rag", model="8b", gpu="h100", corpus_tokens=tokens)
    by_words = estimate("rag", model="8b", gpu="h100", corpus_words=tokens / 1.211)

    assert by_tokens.data_bytes.value == pytest.approx(1e9)
    assert by_words.data_tokens.value == pytest.approx(tokens)


def test_a_folder_is_counted(tmp_path):
    (tmp_path / "a.md").write_text("retrieval augmented generation " * 1000)
    answer = estimate("rag", model="8b", gpu="h100", corpus=str(tmp_path))

    assert answer.data_bytes.value == 31_000
    with pytest.raises(EstimatorError, match="cannot read"):
        estimate("rag", model="8b", gpu="h100", corpus=str(tmp_path / "nothing"))


def test_a_wider_search_takes_longer():
    narrow, wide = (estimate("rag", index_ef=ef, **ASK).details["search_s"].value for ef in (32, 256))

    assert wide > narrow


def test_every_replica_of_the_index_is_a_machine():
    one, three = (line(estimate("rag", index_replicas=n, **ASK), "index machine").usd.value for n in (1, 3))

    assert three == pytest.approx(3 * one)


def test_the_busiest_hour_sets_the_copies():
    few, many = (estimate("rag", model="8b", gpu="h100", search_load=load) for load in ("alone", "20000 queries/s"))
    capacity = many.details["index_queries_per_s"].value

    assert few.details["index_replicas"].value == 1
    assert many.details["index_replicas"].value == -(-20_000 // (0.7 * capacity))
    assert many.details["search_s"].value >= few.details["search_s"].value


def test_pinecone_bills_ten_million_vectors_written_once_and_a_tenth_a_month():
    """10M x 6.15 write units at 4 USD a million; storage and reads at least what the minimum leaves."""
    answer = estimate("rag", model="8b", gpu="h100", vectors=10e6, dimensions=1536, vector_store="pinecone")

    assert line(answer, "writing to pinecone").usd.value == pytest.approx(246, abs=0.5)
    assert line(answer, "writing changes to pinecone").usd.value == pytest.approx(24.6, abs=0.05)
    assert answer.details["vectors"].value == 10e6
    assert answer.details["index_memory_bytes"].value == pytest.approx(61.52e9)
    with_metadata = estimate(
        "rag", model="8b", gpu="h100", vectors=10e6, dimensions=1536, vector_store="pinecone", metadata_bytes=1000
    )
    assert with_metadata.details["index_memory_bytes"].value == pytest.approx(71.4e9, rel=0.005)


def test_a_minimum_counts_the_writes():
    small = ASK | {"corpus_gb": 0.5, "requests_per_month": 1000, "refresh_per_month": 1.0}
    answer = estimate("rag", vector_store="pinecone", **small)

    assert line(answer, "managed vector store").usd.value + line(answer, "writing changes").usd.value == pytest.approx(
        50
    )


@pytest.mark.parametrize("store", known_stores())
def test_every_store_has_a_price(store):
    answer = estimate("rag", vector_store=store, **ASK)

    assert line(answer, "managed vector store").usd.value > 0
    assumed = store_prices(store)[0].source.kind == "recalled"
    assert not assumed or any("are assumed" in warning for warning in answer.warnings)


def test_opensearch_serverless_has_a_floor():
    answer = estimate("rag", model="8b", gpu="h100", corpus_gb=0.01, vector_store="opensearch-serverless")

    assert line(answer, "managed vector store").usd.value == pytest.approx(350.4)


def test_a_managed_store_bills_its_index_itself():
    """Only the text lies on one's own disk, and no machine of one's own builds an index."""
    answer = estimate("rag", api="openai:gpt-4o-mini", vector_store="pinecone")
    lines = {line.item: line for line in answer.lines}

    assert "building the index" not in lines
    assert lines["text on disk"].usd.value == pytest.approx(answer.data_bytes.value / 1e9 * 0.08)


def test_an_index_of_ones_own_lies_beside_the_text():
    answer = estimate("rag", storage_usd_per_gb_month=2.0, **ASK)
    held = answer.data_bytes.value + answer.details["index_disk_bytes"].value

    assert line(answer, "text and index on disk").usd.value == pytest.approx(held / 1e9 * 2)


@pytest.mark.parametrize("cores", [1, 6])
def test_building_the_index_keeps_all_cores_busy(cores):
    answer = estimate("rag", index_cores=cores, **ASK)

    built = line(answer, "building the index").quantity
    assert built.value == pytest.approx(cores * answer.details["index_build_s"].value)


def test_copies_of_a_store_billed_by_machine_are_paid_for():
    one, three = (
        estimate("rag", vector_store="qdrant", index_replicas=copies, vectors=1e6, **ASK) for copies in (1, 3)
    )

    assert line(three, "managed vector store").usd.value == pytest.approx(
        3 * line(one, "managed vector store").usd.value
    )
    more = estimate("rag", vector_store="qdrant", index_cores=64, vectors=1e6, **ASK)
    assert more.details["search_s"].value == one.details["search_s"].value  # the plan's two cores


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"vector_store": "pgvector"}, "vector_engine=pgvector .*rds-pgvector or neon"),
        ({"vector_store": "rds"}, "Is it rds-pgvector"),
        ({"vector_engine": "pinecone"}, "vector_store=pinecone"),
        ({"vector_engine": "qdrant", "index": "ivf-pq"}, "no ivf index, but flat and hnsw"),
        ({"vector_engine": "pgvector", "index": "hnsw-sq4"}, "no vectors as int4"),
    ],
)
def test_what_no_store_offers_is_refused(asked, said):
    with pytest.raises(EstimatorError, match=said):
        estimate("rag", **asked, **ASK)


def test_an_index_that_one_machine_must_hold_is_not_divided():
    """8.19 GB a million vectors: ten million take the 128 GiB, not six of 16; thirty million no machine of the list."""
    ask = {"model": "8b", "gpu": "h100", "dimensions": 1536, "vector_store": "rds-pgvector"}

    assert line(estimate("rag", vectors=10e6, **ask), "managed").usd.value == pytest.approx(1.798 * 730 + 0.115 * 81.92)
    with pytest.raises(EstimatorError, match=r"245\.8 GB does not fit the largest machine of rds-pgvector"):
        estimate("rag", vectors=30e6, **ask)
    assert estimate("rag", vectors=30e6, **ask | {"vector_store": "qdrant"}).total_usd.value > 0


@pytest.mark.parametrize("store", ["rds-pgvector", "pinecone"])
def test_a_rate_never_waits_for_ever(store):
    """Copies follow from the rate, whatever the corpus turns out to be."""
    found = estimate("rag", corpus_pages=480e3, vector_store=store, search_load="5000 queries/s", **ASK)

    assert 0 < found.details["search_s"].low <= found.details["search_s"].high < 1


def test_binary_numbers_find_less_than_what_they_stand_for():
    found = estimate("rag", vector_dtype="int8", **ASK).details["recall_at_k"]

    assert found.value < estimate("rag", **ASK).details["recall_at_k"].value
    assert not estimate("rag", vector_dtype="binary", **ASK).details["recall_at_k"].known


def test_a_store_whose_index_is_its_makers_alone_is_searched_as_published():
    """Neither cores nor candidates of ours say anything of it; sending is what loading takes."""
    found = estimate("rag", vector_store="pinecone", vectors=1e6, load_vectors_per_s=500, **ASK).details

    assert found["search_s"].value == fact("managed/pinecone/search_s").value
    assert found["search_s"].low < found["search_s"].value < found["search_p99_s"].value < found["search_s"].high
    assert not found["index_build_s"].known
    assert found["index_load_s"].value == 2000
    assert found["recall_at_k"].value == fact("managed/pinecone/recall_at_10").value
    assert not estimate("rag", vector_store="s3-vectors", **ASK).details["recall_at_k"].known


def test_cohere_bills_whole_searches_and_voyage_tokens():
    """Ten thousand requests: 50 pairs of 300 + 400 tokens are 100 documents of 500, one search of 0.002 USD."""
    ask = {"api": "openai:gpt-4o-mini", "embedding_model": "openai:text-embedding-3-small", "requests_per_month": 1e4}
    ask |= {"prompt_tokens": 300, "chunk_tokens": 400}
    plain, search, more, tokens = (
        line(estimate("rag", **ask, **asked), "query embedding").usd.value
        for asked in (
            {},
            {"rerank_model": "cohere:rerank-v3.5"},
            {"rerank_model": "cohere:rerank-v3.5", "rerank_candidates": 51},
            {"rerank_model": "voyage:rerank-2.5"},
        )
    )

    assert search - plain == pytest.approx(1e4 * 0.002)
    assert more - plain == pytest.approx(1e4 * 0.004)
    assert tokens - plain == pytest.approx(1e4 * 50 * 700 * 0.05e-6)


@pytest.mark.parametrize("name", ["bge-reranker-v2-m3", "BAAI/bge-reranker-large", "ms-marco-MiniLM-L-6-v2"])
def test_rerankers_are_known_by_name(name):
    found = estimate("rag", rerank_model=name, **ASK)

    assert found.details["rerank_s"].value > 0
    assert any("judges the rest unread" in said for said in found.warnings) == ("m3" not in name)


def test_an_unknown_reranker_gets_the_nearest():
    with pytest.raises(EstimatorError, match=r"cohere:rerank-v3\.5"):
        estimate("rag", rerank_model="cohere:rerank-3.5", **ASK)
