"""What is to be searched: a counted folder, or vectors, pages, documents, tokens, words or gigabytes by number."""

from collections.abc import Iterator
from typing import NamedTuple

from estimator.catalog.retrieval import measure_corpus
from estimator.catalog.stores import parser
from estimator.formulas import corpus, stores
from estimator.formulas.arithmetic import product, quotient
from estimator.quantities import Quantity, derive
from estimator.records import Source
from estimator.results import Line
from estimator.stages.budget import monthly, one_off
from estimator.stages.question import Question


class Corpus(NamedTuple):
    """Text, tokens, and the documents and pages they lie in.

    documents: that chunks do not reach over [1]; pages: to be read out of documents, none where text is there already
    scanned: share of the pages that are pictures [1]; vectors: as stated, none where they follow from the text
    """

    text_bytes: Quantity
    tokens: Quantity
    documents: Quantity
    pages: Quantity | None = None
    scanned: Quantity | None = None
    vectors: Quantity | None = None
    warnings: tuple[str, ...] = ()


def corpus_of(question: Question) -> Corpus:
    """The corpus as it was described; of several descriptions the most exact."""
    if question.word("corpus"):
        return _counted(question)
    one = question.counted("one text", 1.0, "1", "documents were not counted")
    if question.number("vectors") > 0:
        return _of_vectors(question, one)
    if question.number("corpus_pages") > 0 or question.number("corpus_documents") > 0:
        return _of_pages(question)
    text, tokens = _of_text(question)
    return Corpus(text, tokens, one)


def _of_text(question: Question) -> tuple[Quantity, Quantity]:
    """Bytes of text and tokens, from the tokens, words or gigabytes that were named."""
    per_token = question.bytes_per_token()
    if question.number("corpus_tokens") > 0:
        tokens = question.amount("corpus_tokens")
    elif question.number("corpus_words") > 0:
        tokens = _tokens(question, question.amount("corpus_words"))
    else:
        gigabyte = question.counted("bytes of a GB", 1e9, "B/GB", "by definition")
        text = derive("text", "B", product, gb=question.amount("corpus_gb"), gigabyte=gigabyte)
        return text, derive("corpus", "token", corpus.tokens_from_bytes, text_bytes=text, bytes_per_token=per_token)
    return _text_bytes(question, tokens), tokens


def _tokens(question: Question, words: Quantity) -> Quantity:
    each = question.tokens_per_word()
    return derive("corpus", "token", corpus.tokens_from_words, words=words, tokens_per_word=each)


def _text_bytes(question: Question, tokens: Quantity) -> Quantity:
    return derive("text", "B", product, tokens=tokens, bytes_per_token=question.bytes_per_token())


def _of_vectors(question: Question, one: Quantity) -> Corpus:
    """The text behind a number of vectors: chunks less what they repeat."""
    vectors, each = question.amount("vectors"), question.amount("vectors_per_chunk")
    tokens = derive(
        "corpus",
        "token",
        corpus.tokens_of_chunks,
        chunks=derive("chunks", "1", quotient, dividend=vectors, divisor=each),
        chunk_tokens=question.amount("chunk_tokens"),
        overlap_tokens=question.amount("overlap_tokens"),
    )
    return Corpus(_text_bytes(question, tokens), tokens, one, vectors=vectors)


def _of_pages(question: Question) -> Corpus:
    pages, documents = question.amount("corpus_pages"), question.amount("corpus_documents")
    each = question.amount("pages_per_document")
    if question.number("corpus_pages") <= 0:
        pages = derive("pages", "page", product, documents=documents, pages_per_document=each)
    elif question.number("corpus_documents") <= 0:
        documents = derive("documents", "1", quotient, dividend=pages, divisor=each)
    words = derive("words", "word", product, pages=pages, words_per_page=question.amount("words_per_page"))
    tokens = _tokens(question, words)
    return Corpus(_text_bytes(question, tokens), tokens, documents, pages, question.amount("scanned_share"))


def _counted(question: Question) -> Corpus:
    """The corpus that lies at a path, its tokens by the user's tokenizer where one is named."""
    path = question.word("corpus")
    found = measure_corpus(path, question.word("tokenizer_json") or None, question.word("text_kind"))
    source = Source(f"counted in {path}", kind="measured")
    text = question.known("text", found.text_bytes, "B", "measured", source)
    tokens = question.known("corpus", found.tokens, "token", "measured" if found.counted else "assumed", source)
    documents = question.known("documents", found.documents, "1", "measured", source)
    if not found.pages:
        return Corpus(text, tokens, documents)
    pages = question.known("pages", found.pages, "page", "measured", source)
    scanned = question.known("scanned pages", found.scanned / found.pages, "1", "measured", source)
    said = f"{found.scanned:,} of {found.pages:,} pages are pictures without text: their words are not counted yet."
    return Corpus(text, tokens, documents, pages, scanned, warnings=(said,) if found.scanned else ())


class Parsing(NamedTuple):
    """Reading documents into text: time on one's own cores, and money."""

    wall_s: Quantity
    usd: Quantity


def parsing(question: Question, found: Corpus) -> Parsing | None:
    """What reading the pages takes; None where there are none to read."""
    if found.pages is None or found.scanned is None:
        return None
    name = question.word("parser")
    chosen, pages, scanned = parser(name), {"pages": found.pages}, {"scanned": found.scanned}
    if chosen.pages_per_core_s is not None and chosen.scanned_pages_per_core_s is not None:
        return _on_own_cores(question, found, chosen.pages_per_core_s, chosen.scanned_pages_per_core_s, chosen.source)
    prices = {
        argument: question.price(f"{kind}_of_{name}", f"{name}, {kind}", value or 0.0, "USD/1000 pages", chosen.source)
        for argument, kind, value in (
            ("usd_per_1000_pages", "pages", chosen.per_1000_pages),
            ("usd_per_1000_scanned", "scanned_pages", chosen.per_1000_scanned),
        )
    }
    usd = derive("reading the documents", "USD", stores.parsing_usd, **pages, **scanned, **prices)
    return Parsing(question.zero("reading on own cores", "s"), usd)


def _on_own_cores(question: Question, found: Corpus, text: float, scanned: float, source: Source) -> Parsing:
    assert found.pages is not None  # as the caller asked
    assert found.scanned is not None
    cores = question.amount("index_cores")
    wall = derive(
        "reading the documents",
        "s",
        stores.parsing_s,
        pages=found.pages,
        scanned=found.scanned,
        pages_per_core_s=question.known("pages of text a core reads", text, "page/s", "assumed", source),
        scanned_per_core_s=question.known("scanned pages a core reads", scanned, "page/s", "assumed", source),
        cores=cores,
    )
    return Parsing(wall, derive("reading the documents", "USD", stores.cores_usd, wall_s=wall, cores=cores,
                                usd_per_core_hour=question.amount("cpu_usd_per_core_hour")))  # fmt: skip


def parsing_lines(question: Question, read: Parsing | None) -> Iterator[Line]:
    """Reading all documents once, and those that change."""
    if read is None:
        return
    once, changed = question.counted("whole corpus", 1.0, "1", "by definition"), question.amount("refresh_per_month")
    item = "reading documents"
    yield one_off("indexing", item, driver="pages", quantity=once, unit_price=read.usd)
    yield monthly(
        question, "indexing", f"{item}, changed", driver="changed share", quantity=changed, unit_price=read.usd
    )
