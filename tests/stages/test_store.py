"""Vector stores: a provider's own rules, by hand."""

import pytest

from estimator import estimate
from estimator.catalog.retrieval import store_prices
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

    assert line(answer, "managed vector store").usd.value == price.minimum_per_month


def test_a_machine_store_is_paid_by_whole_machines():
    answer = estimate("rag", vector_store="qdrant", **ASK)
    price = next(plan for plan in store_prices("qdrant") if plan.per_hour is not None)
    machines = -(-answer.details["index_memory_bytes"].value // (price.memory_gib * 2**30))

    assert line(answer, "managed vector store").usd.value == pytest.approx(machines * price.per_hour * 730)


def test_own_memory_is_paid_by_the_gibibyte_it_is_sold_in():
    answer = estimate("rag", memory_usd_per_gib_month=4.0, **ASK)
    held = answer.details["index_memory_bytes"].value

    assert line(answer, "vector index in memory").usd.value == pytest.approx(held / 2**30 * 4)


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
    with pytest.raises(EstimatorError, match="no text files"):
        estimate("rag", model="8b", gpu="h100", corpus=str(tmp_path / "nothing"))


def test_a_wider_search_takes_longer():
    narrow, wide = (estimate("rag", index_ef=ef, **ASK).details["search_s"].value for ef in (32, 256))

    assert wide > narrow


def test_every_replica_of_the_index_is_held_in_memory():
    one, three = (line(estimate("rag", index_replicas=n, **ASK), "vector index in memory").usd.value for n in (1, 3))

    assert three == pytest.approx(3 * one)


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
