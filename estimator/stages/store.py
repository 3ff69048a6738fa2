"""Where vectors live: memory of one's own machine, or a managed store at its dated prices."""

from typing import Any

from estimator.catalog.retrieval import StorePrice, store_prices
from estimator.errors import InvalidInput
from estimator.formulas import money, retrieval
from estimator.formulas.arithmetic import product
from estimator.quantities import Quantity, derive
from estimator.results import Line
from estimator.stages.budget import monthly
from estimator.stages.question import Question

SELF_HOSTED = "self-hosted"


def store_line(question: Question, index_bytes: Quantity, vectors: Quantity, dim: Quantity) -> Line:
    """The monthly line of holding and searching the vectors."""
    name = question.word("vector_store")
    if name == SELF_HOSTED:
        price = question.amount("memory_usd_per_gib_month")
        held: dict[str, Any] = {"quantity": index_bytes, "unit_price": price, "formula": money.memory_usd}
        return monthly(question, "storage", "vector index in memory", driver="index", **held)
    month = question.counted("one month", 1.0, "1/month", "by definition")
    usd = _managed(question, name, index_bytes, vectors, dim)
    item = f"managed vector store ({name})"
    return monthly(question, "storage", item, driver="index and queries", quantity=month, unit_price=usd)


def _managed(question: Question, name: str, index_bytes: Quantity, vectors: Quantity, dim: Quantity) -> Quantity:
    """The newest plan with a price: by what is stored and read where the provider bills so, else by the machine."""
    plans = store_prices(name)
    billed = [plan for plan in plans if plan.per_gb_month is not None]
    if billed:
        return _by_use(question, billed[0], index_bytes, vectors, dim)
    machines = [plan for plan in plans if plan.per_hour is not None and plan.memory_gib is not None]
    if not machines:
        raise InvalidInput(f"no price of {name} says how much a machine holds; choose another vector_store")
    return _by_machine(question, machines[0], index_bytes)


def _price(question: Question, plan: StorePrice, what: str, value: float | None, unit: str) -> Quantity:
    """A price of the plan; what it does not charge for costs nothing."""
    name = f"{plan.provider} {plan.plan}, {what}"
    if not value:
        return question.known(name, 0.0, unit, "list price", plan.source)
    return question.price(f"{what}_of_{plan.provider}_{plan.plan}", name, value, unit, plan.source)


def _by_use(question: Question, plan: StorePrice, index_bytes: Quantity, vectors: Quantity, dim: Quantity) -> Quantity:
    queries = question.amount("requests_per_month")
    return derive(
        "managed vector store",
        "USD",
        money.managed_store_usd,
        stored_bytes=index_bytes,
        dimensions=derive("stored dimensions", "1", product, vectors=vectors, dim=dim),
        read_units=derive("read units", "1", retrieval.read_units, queries=queries, stored_bytes=index_bytes),
        usd_per_gb_month=_price(question, plan, "storage", plan.per_gb_month, "USD/GB/month"),
        usd_per_million_dimensions=_price(question, plan, "dimensions", plan.per_million_dimensions_month, "USD/M"),
        usd_per_million_reads=_price(question, plan, "reads", plan.per_million_read_units, "USD/M"),
        least_usd=_price(question, plan, "minimum", plan.minimum_per_month, "USD/month"),
    )


def _by_machine(question: Question, plan: StorePrice, index_bytes: Quantity) -> Quantity:
    memory = (plan.memory_gib or 0.0) * 2**30
    return derive(
        "managed vector store",
        "USD",
        money.machines_usd,
        held_bytes=index_bytes,
        bytes_per_machine=question.known(
            f"memory of {plan.provider} {plan.plan}", memory, "B", "list price", plan.source
        ),
        usd_per_hour=_price(question, plan, "machine", plan.per_hour, "USD/h"),
    )
