"""What people have: numbers of vectors, pages and documents, folders of PDF, Word and HTML; and what is refused."""

import zipfile

import pytest

from estimator import estimate
from estimator.catalog.documents import read_document
from estimator.catalog.retrieval import measure_corpus
from estimator.catalog.stores import embedders, parsers
from estimator.errors import EstimatorError, InvalidInput

ASK = {"model": "8b", "gpu": "h100"}


def line(answer, start):
    """The one budget line whose item starts so."""
    return next(line for line in answer.lines if line.item.startswith(start))


def pdf(*pages):
    """A minimal PDF: a page of text each; an empty one holds a picture."""
    parts = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    parts += [b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray"
              b" /Length 1 >>\nstream\n0\nendstream"]  # fmt: skip
    kids = []
    for text in pages:
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b"/I Do"
        used = b"/Font << /F1 3 0 R >>" if text else b"/XObject << /I 4 0 R >>"
        parts.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << %s >> >>"
        parts.append(page % (len(parts), used))
        kids.append(len(parts))
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    parts[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (listed, len(kids))
    found, starts = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        starts.append(len(found))
        found += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    tail = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
    return found + tail % (len(parts) + 1, table, len(parts) + 1, len(found))


def test_a_folder_of_documents_is_read(tmp_path):
    pytest.importorskip("pypdf")
    docx = pytest.importorskip("docx")
    (tmp_path / "a.pdf").write_bytes(pdf("all the words of page one of this file", "and those of page two here", ""))
    (tmp_path / "b.html").write_text("<html><script>var x = 1;</script><p>seen words</p><style>p {}</style></html>")
    word = docx.Document()
    word.add_paragraph("four words of text")
    word.add_table(1, 1).rows[0].cells[0].text = "cell"
    word.save(str(tmp_path / "c.docx"))

    found = measure_corpus(tmp_path)
    answer = estimate("rag", corpus=str(tmp_path), **ASK)

    assert (found.documents, found.words, found.pages, found.scanned) == (3, 9 + 6 + 2 + 5, 3, 1)
    assert "1 of 3 pages are pictures" in " ".join(answer.warnings)
    assert line(answer, "reading documents").usd.value > 0
    assert answer.details["chunks"].value == 3  # no chunk reaches over the end of a document


@pytest.mark.parametrize(("name", "content"), [("a.pdf", b"%PDF-1.4 no more"), ("b.docx", b"not a zip")])
def test_a_damaged_document_is_said_in_one_line(tmp_path, name, content):
    pytest.importorskip("pypdf")
    pytest.importorskip("docx")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=name) as refused:
        measure_corpus(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_bomb_is_not_unpacked(tmp_path):
    pytest.importorskip("docx")
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as parts, parts.open("x", "w") as part:
        for _ in range(600):
            part.write(bytes(10**6))
    with pytest.raises(InvalidInput, match="too large"):
        read_document(tmp_path / "a.docx")


def test_pages_documents_and_words_are_the_same_corpus():
    pages = estimate("rag", corpus_pages=480e3, **ASK)
    documents = estimate("rag", corpus_documents=40e3, pages_per_document=12, **ASK)
    words = estimate("rag", corpus_words=480e3 * 400, **ASK)

    assert pages.data_tokens.value == documents.data_tokens.value == pytest.approx(words.data_tokens.value)
    assert pages.details["chunks"].value == documents.details["chunks"].value
    assert pages.details["chunks"].value > words.details["chunks"].value  # the last chunk of each is not full
    assert pages.data_tokens.low < pages.data_tokens.value < pages.data_tokens.high


def test_vectors_are_chunks_that_are_there():
    plain, several = (estimate("rag", vectors=10e6, vectors_per_chunk=n, **ASK) for n in (1, 100))

    assert plain.details["chunks"].value == plain.details["vectors"].value == 10e6
    assert plain.data_tokens.value == 10e6 * 350 + 50
    assert several.details["chunks"].value == 1e5
    assert "late interaction" in " ".join(several.warnings)


def test_reading_documents_is_priced_by_the_page():
    def read(**asked):
        answer = estimate("rag", corpus_pages=480e3, scanned_share=0.25, **ASK, **asked)
        return line(answer, "reading documents").usd.value

    own = 480e3 * (0.75 / 15 + 0.25 / 0.25) / 3600 * 0.05
    assert read() == pytest.approx(own)
    assert read(parser="mistral-ocr") == pytest.approx(480 * 2)
    with pytest.raises(EstimatorError, match="aws-textract"):
        read(parser="aws-textrac")
    for name, parser in parsers().items():
        assert parser.per_1000_pages or parser.pages_per_core_s, name


def test_chunks_longer_than_the_encoder_reads_are_refused():
    with pytest.raises(EstimatorError, match=r"1,024 tokens .* 512"):
        estimate("rag", chunk_tokens=1024, **ASK)
    with pytest.raises(EstimatorError, match="cohere"):
        estimate("rag", chunk_tokens=1024, embedding_model="cohere:embed-english-v3.0", **ASK)
    assert estimate("rag", chunk_tokens=1024, embedding_model="bge-m3", **ASK).details["chunks"].value > 0


def test_pgvector_beyond_its_dimensions_is_refused():
    ask = ASK | {"embedding_model": "openai:text-embedding-3-large", "vector_engine": "pgvector"}
    with pytest.raises(EstimatorError, match=r"2,000 .*3,072"):
        estimate("rag", **ask)
    for mend in ({"vector_dtype": "float16"}, {"dimensions": 1536}):
        assert estimate("rag", **ask, **mend).details["index_memory_bytes"].value > 0


@pytest.mark.parametrize("name", [name for name in embedders() if ":" in name])
def test_every_embedding_api_has_dimensions(name):
    answer = estimate("rag", embedding_model=name, **ASK)
    assert (
        answer.details["index_memory_bytes"].value > answer.details["chunks"].value * 4 * embedders()[name].dimensions
    )


def test_every_embedding_model_of_the_price_list_is_known():
    from estimator.catalog.prices import api_names, api_price

    listed = {name for name in api_names() if api_price(name).mode == "embedding"}
    assert listed <= embedders().keys()


def test_dimensions_that_a_model_does_not_make():
    with pytest.raises(EstimatorError, match=r"768 .* not 1,536"):
        estimate("rag", embedding_model="bge-base-en-v1.5", dimensions=1536, **ASK)
    with pytest.raises(EstimatorError, match=r"1,536"):
        estimate("rag", embedding_model="openai:text-embedding-3-small", dimensions=3072, **ASK)
    short = estimate("rag", embedding_model="bge-base-en-v1.5", dimensions=256, **ASK)
    taught = estimate("rag", embedding_model="openai:text-embedding-3-small", dimensions=256, **ASK)
    assert "Matryoshka" in " ".join(short.warnings)
    assert "Matryoshka" not in " ".join(taught.warnings)


def test_an_index_that_does_not_fit_is_refused():
    with pytest.raises(EstimatorError, match="does not fit 16 GiB"):
        estimate("rag", vectors=10e6, index_memory_gib=16, **ASK)
    assert estimate("rag", vectors=1e6, index_memory_gib=16, **ASK).details["vectors"].value == 1e6


def test_graph_rag_is_not_modelled():
    with pytest.raises(EstimatorError, match="not modelled"):
        estimate("rag", graph_search=True, **ASK)


def test_the_load_is_said_and_changes_the_search():
    plain = estimate("rag", **ASK)
    alone, many = (estimate("rag", search_load=load, **ASK) for load in ("alone", "400 clients"))
    times = [answer.details["search_s"].value for answer in (alone, plain, many)]

    assert times == sorted(times)
    assert many.details["search_p99_s"].value > 1.3 * times[2]
    assert times[2] == pytest.approx(400 / plain.details["index_queries_per_s"].value)
    said = next(one for one in plain.assumptions if one.name == "search_load")
    assert said.shown == "one client per core"


def test_loading_is_not_building():
    slow, fast = (estimate("rag", load_vectors_per_s=n, **ASK).details for n in (10, 1e6))

    assert slow["index_load_s"].value == pytest.approx(slow["vectors"].value / 10)
    assert fast["index_load_s"].value == fast["index_build_s"].value == slow["index_build_s"].value


def test_clients_and_batches_say_how_fast_an_index_is_loaded():
    """One client sends single vectors of 1,536 dimensions: 0.353 ms to write one, 1 ms there and back."""
    single, batched, many = (
        estimate("rag", load_clients=clients, load_batch=batch, **{**ASK, "dimensions": 1536}).details
        for clients, batch in ((1, 1), (1, 1000), (8, 1))
    )
    vectors = single["vectors"].value

    assert single["index_load_s"].value == pytest.approx(vectors * (1536 * 2.3e-7 + 1e-3))
    assert batched["index_load_s"].value < single["index_load_s"].value
    assert many["index_load_s"].value == pytest.approx(max(many["index_build_s"].value, vectors * 1.35328e-3 / 8))


def test_recall_is_shown_with_its_range():
    narrow, wide = (estimate("rag", index_ef=ef, **ASK).details["recall_at_k"] for ef in (16, 256))

    assert narrow.low < narrow.value < wide.value < 1
    assert not estimate("rag", index="ivf-pq", **ASK).details["recall_at_k"].known


def test_documents_are_counted_and_the_time_of_reading_them_is_said():
    """480,000 pages, a tenth pictures: 432,000 at 15 and 48,000 at 0.25 a second, on four cores."""
    found = estimate("rag", corpus_pages=480e3, scanned_share=0.1, **ASK).details

    assert (found["documents"].value, found["pages"].value) == (pytest.approx(40e3), 480e3)
    assert found["document_reading_s"].value == pytest.approx((432e3 / 15 + 48e3 / 0.25) / 4)
    assert "pages" not in estimate("rag", **ASK).details
