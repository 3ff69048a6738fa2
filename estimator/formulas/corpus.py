"""From documents to vectors: tokens, chunks and bytes. Arithmetic: counts in, counts out; floats or arrays."""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real
from estimator.formulas.units import HOUR_S

BYTES_PER_TB = 1e12
SECONDS_PER_HOUR = HOUR_S  # the name a workbook shows


def tokens_from_words(words: ArrayLike, tokens_per_word: ArrayLike) -> Floats:
    """Tokens of a text of so many words [token].

    tokens_per_word: measured for the tokenizer and the kind of text [token/word]; about 1.2-1.4 for English prose

    >>> float(tokens_from_words(750, 4 / 3))
    1000.0
    """
    return np.multiply(words, tokens_per_word, dtype=float)


def tokens_from_bytes(text_bytes: ArrayLike, bytes_per_token: ArrayLike) -> Floats:
    """Tokens of a text of so many UTF-8 bytes [token].

    >>> float(tokens_from_bytes(10e9, 4.0))
    2500000000.0
    """
    return np.divide(text_bytes, bytes_per_token, dtype=float)


def chunks(
    tokens: ArrayLike, chunk_tokens: ArrayLike, overlap_tokens: ArrayLike = 0, documents: ArrayLike = 1
) -> Floats:
    """Chunks of a corpus of equal documents, none of them reaching over the end of its document [1].

    Each chunk after a document's first adds `chunk_tokens - overlap_tokens` new tokens. A document shorter than one
    chunk is one chunk. Documents of differing length make up to half a chunk more per document.

    tokens: of the whole corpus; documents: it is divided into [1]

    >>> float(chunks(1000, 400, 100)), float(chunks(1000, 400, 100, documents=10))
    (3.0, 10.0)
    """
    tokens, chunk, overlap = (np.asarray(value, float) for value in (tokens, chunk_tokens, overlap_tokens))
    documents = np.maximum(np.asarray(documents, float), 1)
    step = np.maximum(chunk - overlap, 1)
    beyond_first = np.maximum(tokens / documents - chunk, 0)
    return np.where(tokens > 0, documents * (1 + np.ceil(beyond_first / step)), 0.0)


def tokens_of_chunks(chunks: Real, chunk_tokens: Real, overlap_tokens: Real) -> Real:
    """Tokens of the text behind so many chunks, what they repeat counted once [token].

    >>> tokens_of_chunks(3, 400, 100)
    1000
    """
    return chunks * (chunk_tokens - overlap_tokens) + overlap_tokens


def embedded_tokens(
    tokens: ArrayLike, chunk_tokens: ArrayLike, overlap_tokens: ArrayLike = 0, documents: ArrayLike = 1
) -> Floats:
    """Tokens the embedding model reads, those in overlaps twice [token].

    >>> float(embedded_tokens(1000, 400, 100))
    1200.0
    """
    pieces = chunks(tokens, chunk_tokens, overlap_tokens, documents)
    repeated = np.maximum(pieces - np.maximum(documents, 1), 0) * np.asarray(overlap_tokens, float)
    read: Floats = np.asarray(tokens, float) + repeated
    return read


def vector_bytes(dim: ArrayLike, bits_per_dim: ArrayLike = 32) -> Floats:
    """One vector as stored, whole bytes [B]: 32 bits a dimension for float32, 16, 8, or 1 for binary.

    Validity: whatever the vectors are; Matryoshka truncation (Source: arXiv:2205.13147 section 3) only lowers `dim`.

    >>> float(vector_bytes(1536)), float(vector_bytes(1536, 1))
    (6144.0, 192.0)
    """
    return np.ceil(np.multiply(dim, bits_per_dim, dtype=float) / 8)


def curation_s(text_bytes: Real, hours_per_tb: Real) -> Real:
    """Processor time for extracting, filtering, deduplicating and tokenising text [s].

    >>> float(curation_s(1e12, 2.0))
    7200.0
    """
    return text_bytes / BYTES_PER_TB * hours_per_tb * SECONDS_PER_HOUR


def keyword_index_s(words: Real, words_per_s: Real, cores: Real) -> Real:
    """Time to build an inverted index [s]: every core indexes its share of the words.

    >>> float(keyword_index_s(6e9, 300_000.0, 8))
    2500.0
    """
    return words / (words_per_s * cores)


def both_searched_s(vectors_s: Real, keywords_s: Real) -> Real:
    """Two indexes searched at the same time take as long as the slower one [s]; merging two short lists is nothing.

    >>> float(both_searched_s(0.002, 0.075))
    0.075
    """
    return np.maximum(vectors_s, keywords_s)
