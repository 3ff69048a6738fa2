"""Money of vector stores: machines of one's own, and what managed ones bill. US dollars.

Arithmetic: no more than the four operations, ceil, maximum and minimum, so that each step is a spreadsheet formula too.

Validity: list prices of one region; free tiers, discounts and egress are left out.
"""

import numpy as np

from estimator.formulas import Real
from estimator.formulas.money import BYTES_PER_GB, BYTES_PER_GIB, HOURS_PER_MONTH, SECONDS_PER_HOUR

BYTES_PER_KB = 1e3
MILLION = 1e6


def index_machine_usd(
    index_bytes: Real,
    replicas: Real,
    cores: Real,
    usd_per_core_hour: Real,
    bytes_per_core: Real,
    usd_per_gib_month: Real,
    usable: Real,
) -> Real:
    """A month of the machines that hold and search an index of one's own [USD]: cores, their memory, and more of it.

    bytes_per_core: memory that comes with a core [B]; usable: share of the memory that an index may fill [1]
    usd_per_gib_month: of memory beyond that [USD/GiB/month]

    >>> float(index_machine_usd(1e9, 1, 4, 0.05, 4e9, 4.0, 0.9))  # 16 GB come with four cores
    146.0
    >>> round(float(index_machine_usd(34e9, 2, 4, 0.05, 4e9, 4.5, 0.8)), 2)  # 42.5 GB are needed of each
    514.12
    """
    more = np.maximum(index_bytes / usable - cores * bytes_per_core, 0.0)
    return replicas * (cores * usd_per_core_hour * HOURS_PER_MONTH + more / BYTES_PER_GIB * usd_per_gib_month)


def store_machines(index_bytes: Real, machine_bytes: Real, replicas: Real) -> Real:
    """Machines of a managed store that hold every copy of an index [1].

    >>> float(store_machines(9e9, 8.6e9, 2.0))
    4.0
    """
    return np.maximum(np.ceil(index_bytes / machine_bytes), 1.0) * replicas


def used_store_usd(
    stored_bytes: Real,
    dimensions: Real,
    queries: Real,
    machines: Real,
    usd_per_machine_hour: Real,
    usd_per_gb_month: Real,
    usd_per_million_dimensions: Real,
    usd_per_million_queries: Real,
    usd_per_million_reads: Real,
    least_reads: Real,
) -> Real:
    """A month of a managed store by what it holds and is asked [USD]: whole machines, storage, queries and read units.

    machines: billed around the clock [1]; a read unit is a GB of what is searched, `least_reads` at least

    >>> float(used_store_usd(100e9, 0.0, 500e3, 0.0, 0.0, 0.33, 0.0, 0.0, 16.0, 0.25))
    833.0
    """
    hired = machines * usd_per_machine_hour * HOURS_PER_MONTH
    reads = queries * np.maximum(stored_bytes / BYTES_PER_GB, least_reads) / MILLION * usd_per_million_reads
    kept = stored_bytes / BYTES_PER_GB * usd_per_gb_month + dimensions / MILLION * usd_per_million_dimensions
    return hired + kept + queries / MILLION * usd_per_million_queries + reads


def written_usd(vectors: Real, record_bytes: Real, usd_per_million_writes: Real, least_writes: Real) -> Real:
    """Writing records into a managed store [USD]: a write unit is a kB of a record, `least_writes` at least each.

    >>> round(float(written_usd(10e6, 6152.0, 4.0, 5.0)), 2)  # ten million vectors of 1,536 dimensions in Pinecone
    246.08
    """
    return vectors * np.maximum(record_bytes / BYTES_PER_KB, least_writes) / MILLION * usd_per_million_writes


def at_least_usd(used_usd: Real, written_usd: Real, least_usd: Real) -> Real:
    """What is billed beside the writes of a month, whose plan has a minimum for all [USD].

    >>> float(at_least_usd(10.0, 24.0, 50.0)), float(at_least_usd(60.0, 24.0, 50.0))
    (26.0, 60.0)
    """
    return np.maximum(used_usd, least_usd - written_usd)


def reranking_usd(
    documents: Real,
    pair_tokens: Real,
    usd_per_1000_searches: Real,
    documents_per_search: Real,
    tokens_per_document: Real,
    usd_per_mtok: Real,
) -> Real:
    """One query's documents ordered by an API [USD]: by whole searches of so many documents, or by tokens.

    pair_tokens: of the query and one document, which counts in pieces of tokens_per_document where it is longer [1]

    >>> float(reranking_usd(50, 800, 2.0, 100, 500, 0.0)), float(reranking_usd(51, 800, 2.0, 100, 500, 0.0))
    (0.002, 0.004)
    >>> float(reranking_usd(50, 800, 0.0, 1, 1, 0.05))
    0.002
    """
    pieces = documents * np.ceil(pair_tokens / tokens_per_document)
    searches = np.ceil(pieces / documents_per_search)
    return searches / 1e3 * usd_per_1000_searches + documents * pair_tokens / MILLION * usd_per_mtok


def parsing_usd(pages: Real, scanned: Real, usd_per_1000_pages: Real, usd_per_1000_scanned: Real) -> Real:
    """Reading pages of documents into text [USD]; scanned ones by optical character recognition.

    scanned: share of the pages that are pictures [1]

    >>> round(parsing_usd(480e3, 0.1, 0.01, 1.5), 2)
    76.32
    """
    return pages / 1e3 * ((1 - scanned) * usd_per_1000_pages + scanned * usd_per_1000_scanned)


def parsing_s(pages: Real, scanned: Real, pages_per_core_s: Real, scanned_per_core_s: Real, cores: Real) -> Real:
    """Reading pages of documents on one's own cores [s].

    >>> parsing_s(480e3, 0.0, 20.0, 0.3, 8)
    3000.0
    """
    return pages * ((1 - scanned) / pages_per_core_s + scanned / scanned_per_core_s) / cores


def cores_usd(wall_s: Real, cores: Real, usd_per_core_hour: Real) -> Real:
    """Cores at work for some time [USD].

    >>> cores_usd(3600.0, 8, 0.05)
    0.4
    """
    return wall_s * cores / SECONDS_PER_HOUR * usd_per_core_hour
