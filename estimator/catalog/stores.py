"""Prices and habits of what a corpus passes through: vector stores, embedding models, rerankers, document readers."""

import math
from typing import NamedTuple

from estimator.catalog.files import cached, folders, number, rows, source_of
from estimator.errors import DoesNotFit, InvalidInput, UnknownName
from estimator.paths import presets
from estimator.records import Source


class StorePrice(NamedTuple):
    """What a managed vector store costs at one date; `None` is not charged or not known [USD].

    sizing: engine whose rule says how large an index is in it
    per_hour: of a machine of fixed size; a read unit is a GB searched, a write unit a kB of a record; least of each
    most_machines: that may hold one copy together [1]
    """

    provider: str
    plan: str
    sizing: str
    per_hour: float | None
    per_gb_month: float | None
    per_million_dimensions_month: float | None
    per_million_queries: float | None
    per_million_read_units: float | None
    least_read_units: float | None
    per_million_write_units: float | None
    least_write_units: float | None
    minimum_per_month: float | None
    vcpus: float | None
    memory_gib: float | None
    valid_from: str
    source: Source
    note: str
    most_machines: float = math.inf

    @property
    def machine_bytes(self) -> float:
        """Index that one machine holds [B]; endless where none is billed."""
        return (self.memory_gib or math.inf) * 2**30

    def machines(self, index_bytes: float) -> int:
        """Machines that hold an index of so many bytes [1]."""
        return max(math.ceil(index_bytes / self.machine_bytes), 1)


PRICE_COLUMNS = {
    "per_hour": "usd_per_hour",
    "per_gb_month": "storage_usd_per_gb_month",
    "per_million_dimensions_month": "dimensions_usd_per_million_month",
    "per_million_queries": "queries_usd_per_million",
    "per_million_read_units": "read_units_usd_per_million",
    "least_read_units": "least_read_units",
    "per_million_write_units": "write_units_usd_per_million",
    "least_write_units": "least_write_units",
    "minimum_per_month": "minimum_usd_per_month",
    "vcpus": "vcpus",
    "memory_gib": "memory_gib",
}


@cached
def _store_rows() -> list[dict[str, str]]:
    files = [path for folder in folders("prices") for path in [folder / "vector_stores.csv"] if path.is_file()]
    return [row for path in files for row in rows(path, ("provider", "plan", *PRICE_COLUMNS.values()))]


@cached
def known_stores() -> tuple[str, ...]:
    """Managed vector stores in the price lists.

    >>> "pinecone" in known_stores()
    True
    """
    return tuple(dict.fromkeys(row["provider"] for row in _store_rows()))


@cached
def store_prices(provider: str) -> tuple[StorePrice, ...]:
    """All dated prices of a managed vector store, the newest first.

    >>> store_prices("pinecone")[0].per_gb_month
    0.33
    >>> store_prices("S3 Vectors")[0].provider
    's3-vectors'
    """
    name = "-".join(provider.lower().replace("_", " ").split())
    chosen = [row for row in _store_rows() if row["provider"] == name]
    if not chosen:
        named = [known for known in known_stores() if name in known]
        guess = f"Is it {' or '.join(named)}? " if named else ""
        raise UnknownName(
            "vector store",
            provider,
            () if named else known_stores(),
            f"{guess}Managed stores are {', '.join(known_stores())}.",
        )
    return tuple(sorted(map(_store_price, chosen), key=lambda price: price.valid_from, reverse=True))


def _store_price(row: dict[str, str]) -> StorePrice:
    figures = {name: number(row[column], f"vector_stores.csv: {column}") for name, column in PRICE_COLUMNS.items()}
    return StorePrice(
        provider=row["provider"],
        plan=row["plan"],
        sizing=row.get("sizing") or "server",
        valid_from=row["valid_from"],
        source=source_of(row),
        note=row["note"],
        most_machines=number(row.get("most_machines", ""), "vector_stores.csv: most_machines") or math.inf,
        **figures,
    )


def store_plan(provider: str, index_bytes: float) -> StorePrice:
    """The newest plan billed by use; of machines the cheapest that hold so much.

    >>> store_plan("qdrant", 1e9).plan, store_plan("pinecone", 1e12).plan
    ('2c8g', 'standard')
    """
    plans = [plan for plan in store_prices(provider) if plan.per_hour is None or plan.memory_gib is not None]
    by_use = [plan for plan in plans if plan.per_hour is None and _priced(plan)]
    if by_use:
        return by_use[0]
    machines = [plan for plan in plans if plan.per_hour is not None]
    if not machines:
        raise InvalidInput(f"no price of {provider} says how much a machine holds; choose another vector_store")
    enough = [plan for plan in machines if plan.machines(index_bytes) <= plan.most_machines]
    if not enough:
        largest = max(plan.machine_bytes * plan.most_machines for plan in machines)
        raise DoesNotFit(
            f"an index of {index_bytes / 1e9:,.1f} GB does not fit the largest machine of {provider} that is priced, "
            f"of {largest / 2**30:,.0f} GiB: keep halves (vector_dtype=float16), take fewer dimensions, or "
            "a store that divides an index among machines (vector_store=qdrant)"
        )
    return min(enough, key=lambda plan: plan.machines(index_bytes) * (plan.per_hour or 0.0))


def _priced(plan: StorePrice) -> bool:
    return plan.per_gb_month is not None or plan.per_million_dimensions_month is not None


SIZES = ("name", "dimensions", "least_dimensions", "most_dimensions", "max_tokens")


class Embedder(NamedTuple):
    """Dimensions an embedding model makes, the fewest and most it makes if asked, tokens it reads [1]."""

    name: str
    dimensions: int
    least_dimensions: int
    most_dimensions: int
    max_tokens: int
    source: Source


@cached
def embedders() -> dict[str, Embedder]:
    """What is known of embedding models beside their shape or price, by name.

    >>> embedders()["voyage:voyage-3.5"].dimensions
    1024
    """
    found = {}
    for row in rows(presets() / "embedders.csv", SIZES):
        sizes = {name: int(row[name]) for name in SIZES[1:]}
        found[row["name"]] = Embedder(name=row["name"], source=Source(row["source"], row["kind"], row["date"]), **sizes)
    return found


class Reranker(NamedTuple):
    """A reranking API: its price by searches or by tokens, `None` where it is not billed so [USD].

    documents, tokens: of one search, and of one document with the query [1]; max_tokens: that it reads of one [1]
    """

    name: str
    per_1000_searches: float | None
    documents: float | None
    tokens: float | None
    per_mtok: float | None
    max_tokens: float | None
    source: Source


RERANKER_COLUMNS = {
    "per_1000_searches": "usd_per_1000_searches",
    "documents": "documents_per_search",
    "tokens": "tokens_per_document",
    "per_mtok": "usd_per_mtok",
    "max_tokens": "max_input_tokens",
}


@cached
def rerankers() -> dict[str, Reranker]:
    """Reranking APIs by provider:model.

    >>> rerankers()["cohere:rerank-v3.5"].per_1000_searches
    2.0
    """
    files = [path for folder in folders("prices") for path in [folder / "rerankers.csv"] if path.is_file()]
    found: dict[str, Reranker] = {}
    for row in (row for path in files for row in rows(path, ("provider", "model", *RERANKER_COLUMNS.values()))):
        figures = {name: number(row[column], f"rerankers.csv: {column}") for name, column in RERANKER_COLUMNS.items()}
        name = f"{row['provider']}:{row['model']}"
        found.setdefault(name, Reranker(name=name, source=source_of(row), **figures))
    return found


def reranker(name: str) -> Reranker:
    """A reranking API. Raises UnknownName with the known ones."""
    if name.lower() not in rerankers():
        raise UnknownName(
            "reranker", name, rerankers(), "A reranker is an encoder's name (bge-reranker-v2-m3) or provider:model."
        )
    return rerankers()[name.lower()]


class Parser(NamedTuple):
    """What reads documents into text: a service by its price of 1,000 pages [USD], or own cores by pages a second."""

    name: str
    per_1000_pages: float | None
    per_1000_scanned: float | None
    pages_per_core_s: float | None
    scanned_pages_per_core_s: float | None
    source: Source


PARSER_COLUMNS = {
    "per_1000_pages": "usd_per_1000_pages",
    "per_1000_scanned": "usd_per_1000_scanned",
    "pages_per_core_s": "pages_per_core_s",
    "scanned_pages_per_core_s": "scanned_pages_per_core_s",
}


@cached
def parsers() -> dict[str, Parser]:
    """Readers of documents by name."""
    found = {}
    for row in rows(presets() / "parsers.csv", ("parser", *PARSER_COLUMNS.values())):
        figures = {name: number(row[column], f"parsers.csv: {column}") for name, column in PARSER_COLUMNS.items()}
        found[row["parser"]] = Parser(
            name=row["parser"], source=Source(row["source"], row["kind"], row["date"]), **figures
        )
    return found


def parser(name: str) -> Parser:
    """A reader of documents. Raises UnknownName with the known ones.

    >>> parser("aws-textract").per_1000_pages
    1.5
    """
    if name.lower() not in parsers():
        raise UnknownName("parser", name, parsers(), f"Known are {', '.join(parsers())}.")
    return parsers()[name.lower()]
