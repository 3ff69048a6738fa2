"""Vector indexes: what they hold in memory and on disk, and how long building and searching them takes.

Symbols: n vectors, d dimensions, M links per vector of an HNSW graph (2M on its ground level), ef candidates kept while
searching and efC while building, R links of a Vamana graph. Floats or arrays in; bytes and seconds (of one core) out.
Validity: sizes are those of the formats named, to the byte where they are whole; rates of searches are fitted to
the published runs (calibration/fitted/retrieval.json).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real

ID_BYTES = 8  # 64-bit ids in inverted lists
LINK_BYTES = 4  # 32-bit ids in graphs
REFERENCE_LOG2 = 20.0  # constants of graph searches are stated for 2^20 vectors
PAGE_BYTES = 8192.0  # of PostgreSQL
SECTOR_BYTES = 4096.0  # of a solid-state disk


def floats(*values: ArrayLike) -> tuple[Floats, ...]:
    """Arguments as arrays of floats."""
    return tuple(np.asarray(value, float) for value in values)


def flat_bytes(n: ArrayLike, code_bytes: ArrayLike) -> Floats:
    """Codes side by side [B]. Source: faiss wiki, "Faiss indexes".

    >>> float(flat_bytes(20_000, 4 * 128))
    10240000.0
    """
    n, code_bytes = floats(n, code_bytes)
    return n * code_bytes


def ivf_bytes(n: ArrayLike, code_bytes: ArrayLike, lists: ArrayLike, dim: ArrayLike) -> Floats:
    """Inverted lists: code and 64-bit id of each vector, a float32 centroid and a length per list [B].

    Source: faiss wiki, "Faiss indexes"; the length (8 B) from faiss/impl/index_write.cpp.

    >>> float(ivf_bytes(20_000, 4 * 128, 128, 128))
    10466560.0
    """
    n, code_bytes, lists, dim = floats(n, code_bytes, lists, dim)
    return n * (code_bytes + ID_BYTES) + lists * (4 * dim + 8)


def pq_code_bytes(pieces: ArrayLike, bits: ArrayLike = 8) -> Floats:
    """Product-quantised code of one vector [B]. Source: Jegou et al. 2011, doi:10.1109/TPAMI.2010.57, section 2.2.

    >>> float(pq_code_bytes(16))
    16.0
    """
    pieces, bits = floats(pieces, bits)
    return np.ceil(pieces * bits / 8)


def pq_codebook_bytes(dim: ArrayLike, bits: ArrayLike = 8) -> Floats:
    """Float32 centroids of a product quantiser [B]: 2^bits of d values, whatever the number of pieces.

    Source: Jegou et al. 2011, doi:10.1109/TPAMI.2010.57, section 2.2.

    >>> float(pq_codebook_bytes(128))
    131072.0
    """
    dim, bits = floats(dim, bits)
    return 4 * 2**bits * dim


def hnsw_link_bytes(m: ArrayLike, per_vector: ArrayLike = 12.0) -> Floats:
    """Graph of one vector [B]: 2M links on the ground level, M on each further one, where 1/(M-1) levels are expected.

    per_vector: bookkeeping; 12 for faiss (level 4 B, offset 8 B), 16 for usearch (key, level, lists' lengths)
    Source: Malkov & Yashunin, arXiv:1603.09320 section 4.1 (mL = 1/ln M, Mmax0 = 2M); layout of faiss/impl/HNSW.h.

    >>> round(float(hnsw_link_bytes(16)), 2)
    144.27
    """
    m, per_vector = floats(m, per_vector)
    return LINK_BYTES * (2 * m + m / np.maximum(m - 1, 1)) + per_vector


def hnswlib_link_bytes(m: ArrayLike) -> Floats:
    """Graph of one vector in hnswlib [B], whose levels each carry their length. Source: hnswlib/hnswalg.h.

    >>> round(float(hnswlib_link_bytes(16)), 2)
    148.53
    """
    (m,) = floats(m)
    return LINK_BYTES * (2 * m + (m + 1) / np.maximum(m - 1, 1)) + 16


def vamana_bytes(n: ArrayLike, code_bytes: ArrayLike, degree: ArrayLike, per_vector: ArrayLike = 0.0) -> Floats:
    """In-memory Vamana graph [B]: code, number of links and R links per vector, plus the implementation's bookkeeping.

    Source: Subramanya et al., DiskANN, NeurIPS 2019, section 3.

    >>> float(vamana_bytes(10e6, 800, 64))
    10600000000.0
    """
    n, code_bytes, degree, per_vector = floats(n, code_bytes, degree, per_vector)
    return n * (code_bytes + LINK_BYTES * (degree + 1) + per_vector)


def diskann_disk_bytes(n: ArrayLike, vector_bytes: ArrayLike, degree: ArrayLike) -> Floats:
    """DiskANN's file [B]: vector and links of a node together, as many whole nodes to a 4 KiB sector as fit.

    Source: Subramanya et al., DiskANN, NeurIPS 2019, section 3.2 (layout).

    >>> float(diskann_disk_bytes(1e9, 128, 56)) / 1e9
    372.363636...
    """
    n, vector_bytes, degree = floats(n, vector_bytes, degree)
    node = vector_bytes + LINK_BYTES * (degree + 1)
    per_sector = np.floor(SECTOR_BYTES / node)
    sectors_each = np.where(per_sector >= 1, 1 / np.maximum(per_sector, 1), np.ceil(node / SECTOR_BYTES))
    return n * SECTOR_BYTES * sectors_each


def pgvector_hnsw_bytes(n: ArrayLike, vector_bytes: ArrayLike, m: ArrayLike) -> Floats:
    """HNSW index of pgvector [B]: an element tuple and its neighbour tuple per row, whole tuples to an 8 KiB page.

    An element is 72 B, the vector and its 8 B header; a neighbour tuple 4 B and 6 B per link, of (level + 2) M links.
    Both are aligned to 8 B and have a line pointer of 4 B; a page has 24 B of header and 8 B of its own.
    Source: pgvector src/hnsw.h (HnswElementTupleData, HnswNeighborTupleData, HNSW_MAX_SIZE).

    >>> float(pgvector_hnsw_bytes(1e6, 4 * 1536, 16)) / 1e9
    8.192
    """
    n, vector_bytes, m = floats(n, vector_bytes, m)
    element = _aligned(72 + 8 + vector_bytes) + 4
    neighbours = _aligned(4 + 6 * m * (2 + 1 / np.maximum(m - 1, 1))) + 4
    return n * _page_share(element + neighbours)


def pgvector_build_bytes(n: ArrayLike, vector_bytes: ArrayLike, m: ArrayLike) -> Floats:
    """Memory in which pgvector builds a whole HNSW graph [B], else it goes on from disk: maintenance_work_mem.

    A vector and its 8 B header, 200 B of element, 16 B for each of 2M links. Source: measured with pgvector 0.8.5, by
    the row after which the graph no longer fitted, 16 to 1,024 dimensions, M 8 to 32, to 2 %.

    >>> round(float(pgvector_build_bytes(1e6, 4 * 1024, 16)) / 2**30, 1)  # 4.96 GiB in pgvector issue 745, of 2024
    4.5
    """
    n, vector_bytes, m = floats(n, vector_bytes, m)
    return n * (vector_bytes + 8 + 200 + 32 * m)


def pgvector_table_bytes(n: ArrayLike, vector_bytes: ArrayLike, other_bytes: ArrayLike = 0.0) -> Floats:
    """Table of ids and vectors in PostgreSQL [B]: 24 B header, 8 B id, the vector with 8 B of its own, 4 B pointer.

    Vectors above about 2 kB move out of the row (TOAST), in pieces of 1,996 B with 36 B of header and 4 B of pointer
    each. A page of 8 KiB holds whole rows, or the pieces of whole vectors.
    Source: pgvector README ("vector: 4 * dimensions + 8 bytes"); PostgreSQL manual, sections 65.2 and 65.6.

    >>> round(float(pgvector_table_bytes(900_000, 4 * 1536)) / 2**30, 1)  # stated as 7 GB: supabase.com pgvector-0-7-0
    6.9
    """
    n, vector_bytes, other_bytes = floats(n, vector_bytes, other_bytes)
    stored = vector_bytes + 8
    outside = stored + 40 * np.ceil(stored / 1996)
    moved = stored > 2000
    row = _aligned(24 + 8 + np.where(moved, 18, stored) + other_bytes) + 4
    return n * (_page_share(row) + np.where(moved, _page_share(outside), 0.0))


def _page_share(size: Floats) -> Floats:
    """What a tuple takes of its page, with the room it leaves unused [B]."""
    return PAGE_BYTES / np.maximum(np.floor((PAGE_BYTES - 32) / size), 1) * np.maximum(size / PAGE_BYTES, 1)


def _aligned(size: Floats, to: float = 8.0) -> Floats:
    return np.ceil(size / to) * to


def rule_bytes(
    n: ArrayLike, dim: ArrayLike, m: ArrayLike, *, factor: float, per_dim: float, per_m: float, fixed: float
) -> Floats:
    """A vendor's sizing rule [B]: factor x n x (per_dim d + per_m M + fixed).

    Source: each vendor's documentation, beside its rule in retrieval_rules.csv.

    >>> float(rule_bytes(1e6, 256, 16, factor=1.1, per_dim=4, per_m=8, fixed=0)) / 1e9  # OpenSearch's example, 1.267 GB
    1.2672
    """
    n, dim, m = floats(n, dim, m)
    return factor * n * (per_dim * dim + per_m * m + fixed)


class SearchRates(NamedTuple):
    """How one core searches graphs and lists.

    visits: vectors compared per candidate of a graph with M = 1 among 2^20 vectors [1]
    descent: candidates' worth of finding the right neighbourhood [1]
    ef_power, m_power, size_power: how that number grows with ef, M and log2(n) [1]
    bytes_per_s: rate at which scattered vectors are read and compared [B/s]
    overhead_bytes: what the fixed part of a comparison (latency, bookkeeping) is worth at that rate [B]
    build_factor: insertion of a vector in searches with efC candidates [1]
    request_s, result_s: per query and per returned item, outside the search [s]
    scan_bytes_per_s: rate of comparing vectors lying side by side [B/s]
    flop_per_s: matrix products, as in k-means [FLOP/s]
    probe_s: per inverted list searched: its tables, its first bytes [s]
    cache_bytes: of the processor [B]; cached_share: time of a comparison in it against one in memory [1]
    """

    visits: float
    ef_power: float
    m_power: float
    size_power: float
    descent: float
    bytes_per_s: float
    overhead_bytes: float
    build_factor: float
    request_s: float
    result_s: float
    scan_bytes_per_s: float
    flop_per_s: float
    probe_s: float = 0.0
    cache_bytes: float = 0.0
    cached_share: float = 1.0


def graph_visits(n: ArrayLike, m: ArrayLike, ef: ArrayLike, rates: SearchRates, segments: ArrayLike = 1) -> Floats:
    """Vectors compared by one search of a graph [1]: v n / (v + n), v = visits (ef + descent)^a M^b (log2 n / 20)^c.

    segments: graphs the n vectors are divided into, of which one is searched. That takes hardly less than searching
    the whole, as growth with n is mostly slower memory: measured with faiss, 1, 4, 16 pieces cost 1 : 4.5 : 12.
    Source: arXiv:1603.09320 section 4.2 for growth with the logarithm of n; the powers are fitted. The quotient says
    that a search that would compare as many as there are meets the same ones again.
    """
    n, m, ef = floats(n, m, ef)
    size = np.log2(np.maximum(n, 2)) / REFERENCE_LOG2
    visits = rates.visits * (ef + rates.descent) ** rates.ef_power * m**rates.m_power * size**rates.size_power
    there = n / np.maximum(segments, 1)
    return visits * there / (visits + there)


def graph_search_s(
    n: ArrayLike,
    code_bytes: ArrayLike,
    m: ArrayLike,
    ef: ArrayLike,
    k: ArrayLike,
    rates: SearchRates,
    segments: ArrayLike = 1,
) -> Floats:
    """One query of a graph, the service around it included [s of one core]; at least k candidates are kept.

    segments: graphs the vectors are divided into, each searched with as many candidates [1]
    Source: `graph_visits` times `compare_s`, once per segment.
    """
    k, pieces = floats(k, np.maximum(segments, 1))
    return fixed_s(k, rates) + pieces * piece_search_s(n, code_bytes, m, ef, k, rates, pieces)


def fixed_s(k: ArrayLike, rates: SearchRates) -> Floats:
    """What a query and its k results take outside the search [s of one core]. Source: constants are fitted."""
    return rates.request_s + np.asarray(k, float) * rates.result_s


def piece_search_s(
    n: ArrayLike,
    code_bytes: ArrayLike,
    m: ArrayLike,
    ef: ArrayLike,
    k: ArrayLike,
    rates: SearchRates,
    segments: ArrayLike = 1,
) -> Floats:
    """Search of one of the graphs that n vectors are divided into [s of one core]; the cache is shared by all.

    Source: `graph_visits` times `compare_s`.
    """
    ef, k, pieces = floats(ef, k, np.maximum(segments, 1))
    return graph_visits(n, m, np.maximum(ef, k), rates, pieces) * compare_s(n, code_bytes, m, rates)


def found_share(missed: Real) -> Real:
    """Recall of a search that misses a share of the true neighbours [1].

    >>> float(found_share(0.25))
    0.75
    """
    return np.maximum(1 - missed, 0.0)


def compare_s(n: ArrayLike, code_bytes: ArrayLike, m: ArrayLike, rates: SearchRates) -> Floats:
    """Reading one of n vectors and its distance to the query [s of one core]; less when part of the index is cached.

    Source: the memory roof of a roofline, doi:10.1145/1498765.1498785; constants are fitted.
    """
    n, code_bytes = floats(np.maximum(n, 1), code_bytes)
    from_memory = (code_bytes + rates.overhead_bytes) / rates.bytes_per_s
    cached = np.minimum(rates.cache_bytes / (n * (code_bytes + hnsw_link_bytes(m))), 1)
    return from_memory * (1 - cached * (1 - rates.cached_share))


def continued_candidates(kept: ArrayLike, k: ArrayLike, passing: ArrayLike) -> Floats:
    """Candidates after which k of them have passed a filter, where the search goes on until then [1].

    passing: share of the vectors that pass, wherever they lie [1]
    Source: pgvector README, "Iterative Index Scans"; the mean of a negative binomial.

    >>> float(continued_candidates(40, 10, 0.5)), float(continued_candidates(40, 10, 0.01))
    (40.0, 1000.0)
    """
    kept, k, passing = floats(kept, k, passing)
    return np.maximum(kept, k / passing)


def graph_build_s(
    n: ArrayLike,
    code_bytes: ArrayLike,
    m: ArrayLike,
    ef_construction: ArrayLike,
    rates: SearchRates,
    segments: ArrayLike = 1,
) -> Floats:
    """Inserting n vectors one after the other, each a search with efC candidates of its segment [s of one core].

    Source: arXiv:1603.09320 algorithm 1.
    """
    n, pieces = floats(n, np.maximum(segments, 1))
    visits = graph_visits(n / pieces, m, ef_construction, rates)
    return n * rates.build_factor * visits * compare_s(n, code_bytes, m, rates)


def ivf_search_s(
    n: ArrayLike,
    dim: ArrayLike,
    code_bytes: ArrayLike,
    lists: ArrayLike,
    probes: ArrayLike,
    k: ArrayLike,
    rates: SearchRates,
) -> Floats:
    """One query of inverted lists [s of one core]: the nearest centroids, then n probes / lists codes.

    Centroids are scanned, or searched as a graph (M = 32, ef = probes) where that is faster: faiss calls this
    IVF..._HNSW32 and advises it from 65,536 lists on.
    Source: Jegou et al. 2011, doi:10.1109/TPAMI.2010.57, section 4; faiss wiki, "Guidelines to choose an index".
    """
    n, dim, code_bytes, lists, probes, k = floats(n, dim, code_bytes, lists, probes, k)
    scan = 4 * lists * dim / rates.scan_bytes_per_s
    graph = graph_visits(lists, 32, probes, rates) * compare_s(lists, 4 * dim, 32, rates)
    probes = np.minimum(probes, lists)
    codes = n * code_bytes * probes / lists / rates.scan_bytes_per_s
    return rates.request_s + k * rates.result_s + np.minimum(scan, graph) + probes * rates.probe_s + codes


def ivf_build_s(
    n: ArrayLike,
    dim: ArrayLike,
    lists: ArrayLike,
    rates: SearchRates,
    iterations: ArrayLike = 10,
    sample_per_list: ArrayLike = 256,
) -> Floats:
    """k-means on a sample, then every vector to its nearest centroid [s of one core]: 2 d FLOP per comparison.

    Source: faiss/Clustering.h (niter 10 in IndexIVF's clustering, at most 256 training points per centroid).
    """
    n, dim, lists, iterations, sample_per_list = floats(n, dim, lists, iterations, sample_per_list)
    trained = np.minimum(n, sample_per_list * lists) * iterations
    return 2 * (trained + n) * lists * dim / rates.flop_per_s


def scan_s(n: ArrayLike, code_bytes: ArrayLike, k: ArrayLike, rates: SearchRates) -> Floats:
    """One query compared with every vector [s of one core].

    Source: the memory roof of a roofline, doi:10.1145/1498765.1498785.
    """
    n, code_bytes, k = floats(n, code_bytes, k)
    return rates.request_s + k * rates.result_s + n * code_bytes / rates.scan_bytes_per_s
