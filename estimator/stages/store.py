"""Where vectors live: a machine of one's own with memory and cores, or a managed store at its dated prices."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from estimator.catalog.retrieval import default
from estimator.catalog.stores import StorePrice, store_plan
from estimator.formulas import stores
from estimator.formulas.arithmetic import product, quotient
from estimator.quantities import Quantity, derive
from estimator.results import Line
from estimator.stages.budget import monthly, one_off
from estimator.stages.index import SELF_HOSTED, Index
from estimator.stages.question import Question


class Held(NamedTuple):
    """What is held: vectors, their dimensions, and the index over them."""

    vectors: Quantity
    dim: Quantity
    kept: Index


def store_lines(question: Question, held: Held) -> Iterator[Line]:
    """What holding and searching the vectors costs, and writing them where that is billed."""
    name = question.word("vector_store")
    month = question.counted("one month", 1.0, "1/month", "by definition")
    if name == SELF_HOSTED:
        usd = _own_machine(question, held.kept)
        yield monthly(
            question, "storage", "index machine, memory and cores", driver="index", quantity=month, unit_price=usd
        )
        return
    plan = store_plan(name, held.kept.memory_bytes.value)
    written = _written(question, plan, held)
    changed = question.amount("refresh_per_month")
    rewritten = derive("writing what changed", "USD", product, changed=changed, whole=written)
    usd = _used(question, plan, held, rewritten)
    yield monthly(
        question,
        "storage",
        f"managed vector store ({name})",
        driver="index and queries",
        quantity=month,
        unit_price=usd,
    )
    if plan.per_million_write_units:
        once = question.counted("whole corpus", 1.0, "1", "by definition")
        writing: dict[str, Any] = {"unit_price": written}
        yield one_off("indexing", f"writing to {name}", driver="vectors", quantity=once, **writing)
        yield monthly(
            question, "indexing", f"writing changes to {name}", driver="changed share", quantity=changed, **writing
        )


def _own_machine(question: Question, index: Index) -> Quantity:
    """A month of the machines that hold every copy: their cores, the memory that comes with them, and more of it."""
    return derive(
        "index machines",
        "USD",
        stores.index_machine_usd,
        index_bytes=index.memory_bytes,
        replicas=index.searches.replicas,
        cores=question.amount("index_cores"),
        usd_per_core_hour=question.amount("cpu_usd_per_core_hour"),
        bytes_per_core=question.fact("store/memory_per_core"),
        usd_per_gib_month=question.amount("memory_usd_per_gib_month"),
        usable=question.counted("usable memory", default("process_share"), "1", "the rest is the system's"),
    )


def _price(question: Question, plan: StorePrice, what: str, value: float | None, unit: str) -> Quantity:
    """A price of the plan; what it does not charge for costs nothing."""
    name = f"{plan.provider} {plan.plan}, {what}"
    if not value:
        return question.known(name, 0.0, unit, "list price", plan.source)
    return question.price(f"{what}_of_{plan.provider}_{plan.plan}", name, value, unit, plan.source)


def _used(question: Question, plan: StorePrice, held: Held, rewritten: Quantity) -> Quantity:
    """A month by what is held and asked, the plan's minimum at least, of which writes are a part."""
    used = derive(
        "managed vector store",
        "USD",
        stores.used_store_usd,
        stored_bytes=held.kept.memory_bytes,
        dimensions=derive("stored dimensions", "1", product, vectors=held.vectors, dim=held.dim),
        queries=question.amount("requests_per_month"),
        machines=_machines(question, plan, held.kept),
        usd_per_machine_hour=_price(question, plan, "machine", plan.per_hour, "USD/h"),
        usd_per_gb_month=_price(question, plan, "storage", plan.per_gb_month, "USD/GB/month"),
        usd_per_million_dimensions=_price(question, plan, "dimensions", plan.per_million_dimensions_month, "USD/M"),
        usd_per_million_queries=_price(question, plan, "queries", plan.per_million_queries, "USD/M"),
        usd_per_million_reads=_price(question, plan, "reads", plan.per_million_read_units, "USD/M"),
        least_reads=_least(question, plan, "read units of a query", plan.least_read_units),
    )
    least = _price(question, plan, "minimum", plan.minimum_per_month, "USD/month")
    return derive(
        "managed vector store", "USD", stores.at_least_usd, used_usd=used, written_usd=rewritten, least_usd=least
    )


def _machines(question: Question, plan: StorePrice, index: Index) -> Quantity:
    """Machines that are billed for every copy [1]; none where use is."""
    if plan.per_hour is None:
        return question.zero("machines of the store", "1")
    each = question.counted("memory of a machine", plan.machine_bytes, "B", plan.source.title)
    return derive(
        "machines of the store",
        "1",
        stores.store_machines,
        index_bytes=index.memory_bytes,
        machine_bytes=each,
        replicas=index.searches.replicas,
    )


def _written(question: Question, plan: StorePrice, held: Held) -> Quantity:
    """Writing every record once."""
    each = derive("record", "B", quotient, dividend=held.kept.memory_bytes, divisor=held.vectors)
    return derive(
        "writing the vectors",
        "USD",
        stores.written_usd,
        vectors=held.vectors,
        record_bytes=each,
        usd_per_million_writes=_price(question, plan, "writes", plan.per_million_write_units, "USD/M"),
        least_writes=_least(question, plan, "write units of a record", plan.least_write_units),
    )


def _least(question: Question, plan: StorePrice, what: str, value: float | None) -> Quantity:
    return question.known(f"{plan.provider}, least {what}", value or 0.0, "1", "list price", plan.source)


def store_warnings(question: Question, index: Index) -> Iterator[str]:
    """That a price is from memory, and what its plan leaves out."""
    name = question.word("vector_store")
    if name == SELF_HOSTED:
        return
    plan = store_plan(name, index.memory_bytes.value)
    if plan.source.kind in ("recalled", "derived"):
        yield f"Prices of {name} ({plan.plan}, {plan.valid_from}) are assumed: {plan.source.title}. {plan.note}".strip()
