"""Facts of vector search: sourced, dated, within reason; machines from words; corpora measured."""

import csv
import tomllib

import pytest

from estimator.catalog.cases import file_hash, published
from estimator.catalog.retrieval import (
    bits_per_dim,
    host,
    measure_corpus,
    retrieval_fit,
    text_kinds,
    text_ratio,
    vendor_rules,
)
from estimator.catalog.stores import embedders, known_stores, parsers, rerankers, store_prices
from estimator.errors import InvalidInput, UnknownName
from estimator.paths import data_folder, presets
from estimator.predict.retrieval import SERVERS

KINDS = {"read", "read_secondary", "recalled", "derived", "measured"}


def test_every_default_and_host_names_a_source():
    content = tomllib.loads((presets() / "retrieval.toml").read_text())
    sources = {source["id"] for source in content["source"]}

    assert {source["kind"] for source in content["source"]} <= KINDS
    used = {entry["source"] for entry in [*content["default"].values(), *content["host"], content["default_cores"]]}
    assert used <= sources
    assert content["host"][-1]["names"] == ["default"]


@pytest.mark.parametrize("name", ["retrieval_rules.csv", "text_tokens.csv"])
def test_every_row_is_sourced(name):
    for row in csv.DictReader((presets() / name).read_text().splitlines()):
        assert row["source"]
        assert row["kind"] in KINDS
        assert row["read_on"].startswith("20")


def test_every_store_price_is_dated_and_positive():
    rows = list(csv.DictReader((data_folder("hardware") / "prices" / "vector_stores.csv").read_text().splitlines()))
    for provider in {row["provider"] for row in rows}:
        prices = store_prices(provider)

        assert [price.valid_from for price in prices] == sorted((p.valid_from for p in prices), reverse=True)
        for price in prices:
            assert price.source.kind in KINDS
            assert price.per_hour or price.per_gb_month
            assert price.sizing in SERVERS


def test_embedders_rerankers_and_parsers_are_sourced():
    for known in (*embedders().values(), *parsers().values(), *rerankers().values()):
        assert known.source.title
        assert known.source.kind in KINDS
    for api in rerankers().values():
        assert (api.per_mtok is None) == (None not in (api.per_1000_searches, api.documents, api.tokens))
    for one in embedders().values():
        assert one.least_dimensions <= one.dimensions <= one.most_dimensions
    assert len(known_stores()) >= 12


def test_vendor_rules_are_within_reason():
    for rule in vendor_rules().values():
        assert 1.0 <= rule.factor <= 2.0
        assert 0.1 <= rule.bytes_per_dim <= 4
        assert rule.source.title


@pytest.mark.parametrize(
    ("words", "cores", "memory_gib", "basis"),
    [
        ("GCP n4-highmem-16, 16 vCPU, 128 GB (1 machine runs server+client)", 16, 128, "published"),
        ("AWS c6i.2xlarge 8 vCPU 16 GB", 8, 16, "published"),
        ("Azure D8lds_v5 8 vCPU 16 GB", 8, 16, "published"),
        ("some machine with 32 cores", 32, None, "assumed"),
        ("QdrantCloud 16c64g", 16, None, "assumed"),
        ("r6i.16xlarge, single thread", 1, None, "published"),
        ("", 8, None, "assumed"),
    ],
)
def test_a_machine_is_read_from_words(words, cores, memory_gib, basis):
    machine = host(words)

    assert machine.cores == cores
    assert machine.memory_bytes == (None if memory_gib is None else memory_gib * 2**30)
    assert machine.basis == basis
    assert 0.2 < machine.speed <= 1


def test_constants_were_fitted_to_the_files_that_ship():
    fitted_to = retrieval_fit()["fitted_to"]

    assert fitted_to["retrieval.csv"] == file_hash(published("retrieval")), "run benchmarks/fit_retrieval.py"
    measured = data_folder("calibration") / "measured" / "vector_index.csv"
    assert fitted_to["vector_index.csv"] == file_hash(measured), "run benchmarks/fit_retrieval.py"
    stores = data_folder("calibration") / "measured" / "vector_stores.csv"
    assert fitted_to["vector_stores.csv"] == file_hash(stores), "run benchmarks/fit_retrieval.py"


def test_english_takes_fewer_tokens_per_byte_than_code_or_chinese():
    for tokenizer in ("o200k_base", "llama3", "mistral_v1"):
        ratios = {kind: text_ratio(kind, tokenizer).bytes_per_token for kind in text_kinds()}

        assert max(ratios, key=ratios.__getitem__) == "english prose"
        assert ratios["chinese prose"] < ratios["python code"]


def test_a_folder_is_measured_by_ratio_and_by_its_own_tokenizer(tmp_path):
    (tmp_path / "texts").mkdir()
    for number in range(3):
        (tmp_path / "texts" / f"{number}.txt").write_text("the cat sat on the mat " * 50)
    (tmp_path / "texts" / "image.png").write_bytes(b"\x89PNG")

    by_ratio = measure_corpus(tmp_path / "texts")

    assert (by_ratio.documents, by_ratio.words, by_ratio.counted) == (3, 900, False)
    assert by_ratio.text_bytes == 3 * 50 * len("the cat sat on the mat ")
    assert by_ratio.tokens == pytest.approx(by_ratio.text_bytes / text_ratio().bytes_per_token)
    assert measure_corpus(tmp_path / "texts" / "0.txt").documents == 1

    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    counted = measure_corpus(tmp_path / "texts", tmp_path / "tokenizer.json")

    assert (counted.tokens, counted.counted) == (900, True)


def test_what_cannot_be_measured_says_why(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="cannot read"):
        measure_corpus(tmp_path / "none")
    with pytest.raises(InvalidInput, match="no text files"):
        measure_corpus(tmp_path / "empty")
    with pytest.raises(UnknownName, match="english prose"):
        measure_corpus(tmp_path / "a.txt", text_kind="english pros")
    pytest.importorskip("tokenizers")
    with pytest.raises(InvalidInput, match=r"no tokenizer\.json"):
        measure_corpus(tmp_path / "a.txt", tmp_path / "none.json")
    with pytest.raises(InvalidInput, match=r"not a tokenizer\.json"):
        measure_corpus(tmp_path / "a.txt", tmp_path / "bad.json")
    (tmp_path / "few.json").write_text('{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}}')
    with pytest.raises(InvalidInput, match="cannot count tokens"):
        measure_corpus(tmp_path / "a.txt", tmp_path / "few.json")


def test_unknown_names_raise_with_the_nearest():
    with pytest.raises(UnknownName, match="pinecone"):
        store_prices("pinecon")
    with pytest.raises(UnknownName, match="float16"):
        bits_per_dim("flaot16")
