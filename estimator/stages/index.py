"""The index of a knowledge base as a stage asks for it: its plan, sizes, times, queries a second, copies and recall."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from estimator.catalog.facts import facts
from estimator.catalog.models import architecture
from estimator.catalog.prices import api_price
from estimator.catalog.retrieval import Host, default, default_source, host, measured_index, vendor_rules
from estimator.catalog.stores import embedders, known_stores, store_plan, store_prices
from estimator.errors import DoesNotFit, InvalidInput
from estimator.formulas import Floats, money, retrieval_load
from estimator.formulas import retrieval as formulas
from estimator.formulas.arithmetic import quotient
from estimator.predict import retrieval
from estimator.predict.retrieval import IndexPlan
from estimator.predict.retrieval_load import Load, latency_s, latency_share_s, load_of, recall, replicas_for
from estimator.quantities import Quantity, derive, given, predicted, uncertain
from estimator.records import Source
from estimator.stages.question import Question

SELF_HOSTED = "self-hosted"
DEFAULTS = Source("defaults of vector search (estimator/presets/retrieval.toml)", kind="assumed")


class Searches(NamedTuple):
    """A search and its 99th percentile [s], what one copy answers [1/s], and copies of the index [1]."""

    mean_s: Quantity
    p99_s: Quantity
    queries_per_s: Quantity
    replicas: Quantity


class Index(NamedTuple):
    """An index: one copy in memory, on disk and while it is built [B], its making [s], searches, share found [1]."""

    memory_bytes: Quantity
    disk_bytes: Quantity
    building_bytes: Quantity
    build_s: Quantity
    load_s: Quantity
    searches: Searches
    recall: Quantity


def dimensions(question: Question) -> Quantity:
    """Dimensions of a stored vector [1]: as the embedding model makes them, or as asked."""
    if question.number("dimensions") <= 0:
        return _native(question)
    native, most = _native_and_most(question)
    asked = question.number("dimensions")
    if _embedder_named(question) and native is not None and asked > max(most, native.value):
        name = question.word("embedding_model")
        raise InvalidInput(f"{name} makes vectors of {native.value:,.0f} dimensions, not {asked:,.0f}")
    return question.amount("dimensions")


def _embedder_named(question: Question) -> bool:
    return question.scenario.choices["embedding_model"].given


def _native_and_most(question: Question) -> tuple[Quantity | None, float]:
    known = embedders().get(question.word("embedding_model").lower())
    try:
        return _native(question), float(known.most_dimensions if known else 0)
    except InvalidInput:
        return None, 0.0


def _native(question: Question) -> Quantity:
    """Dimensions an embedding model makes when nothing else is asked [1]."""
    name = question.word("embedding_model")
    if ":" not in name:
        encoder = architecture(name)
        return question.known("dimensions", encoder.hidden, "1", encoder.basis, *encoder.sources)
    found, known = api_price(name), embedders().get(name.lower())
    if known is not None:
        return question.known("dimensions", known.dimensions, "1", "published", known.source)
    if found.embedding_dim is None:
        raise InvalidInput(
            f"how many dimensions vectors of {name} have is not known: give dimensions=N, or name one of "
            f"{', '.join(n for n in embedders() if ':' in n)}"
        )
    return question.known("dimensions", found.embedding_dim, "1", "published", found.source)


def dimension_warnings(question: Question) -> Iterator[str]:
    """What is doubtful about dimensions that were asked for."""
    native, _ = _native_and_most(question)
    asked, name = question.number("dimensions"), question.word("embedding_model")
    if asked <= 0 or native is None or asked == native.value:
        return
    if not _embedder_named(question):
        yield (
            f"Vectors have {asked:,.0f} dimensions as asked; embedding is priced as by {name}, which makes "
            f"{native.value:,.0f}: name your own with embedding_model."
        )
        return
    known = embedders().get(name.lower())
    if known is None or asked < known.least_dimensions:
        yield f"{name} is not known to shorten its vectors to {asked:,.0f} dimensions (Matryoshka): judge what it finds"


def check_encoder(question: Question) -> None:
    """DoesNotFit where a chunk is longer than the embedding model reads: the rest of it would be cut off."""
    name, chunk = question.word("embedding_model"), question.number("chunk_tokens")
    known = embedders().get(name.lower())
    if known is not None:
        reads: float | None = known.max_tokens
    else:
        reads = api_price(name).max_input_tokens if ":" in name else architecture(name).max_context
    if reads is not None and chunk > reads:
        raise DoesNotFit(
            f"chunks of {chunk:,.0f} tokens are longer than the {reads:,.0f} that {name} reads: "
            "cut shorter chunks (chunk_tokens), or embed with one that reads more (embedding_model=bge-m3)"
        )


def index_plan(question: Question) -> IndexPlan:
    """The index the scenario describes, still empty."""
    managed = question.word("vector_store") != SELF_HOSTED
    plan = IndexPlan(
        0.0,
        dimensions(question).value,
        index=question.word("index"),
        dtype=question.word("vector_dtype"),
        engine=_engine(question),
        metadata_bytes=question.number("metadata_bytes"),
    )
    if _makers_alone(plan.engine):
        return plan  # how it is searched is not ours to say
    segments = question.number("index_segments") or float(managed)  # a provider's pieces, and its cores, are its own
    return plan._replace(
        k=question.number("top_k"),
        ef=question.number("index_ef"),
        segments=segments or None,
        refine=question.number("index_refine"),
        passing=question.number("filter_share"),
    )


def _engine(question: Question) -> str:
    """Whose sizing rule holds: the engine of an own index, or what the managed store keeps it with."""
    store = question.word("vector_store")
    if store == SELF_HOSTED:
        return _own_engine(question.word("vector_engine"))
    if store.lower() in (*retrieval.LIBRARIES, *retrieval.SERVERS) and store.lower() not in known_stores():
        run_by = [name for name in known_stores() if store_prices(name)[0].sizing == store.lower()]
        managed = f", or take one that runs it for you (vector_store={' or '.join(run_by)})" if run_by else ""
        raise InvalidInput(
            f"{store} runs on a machine of yours: give vector_engine={store.lower()} instead of vector_store{managed}"
        )
    return store_prices(store)[0].sizing


def _own_engine(engine: str) -> str:
    """An engine that runs on a machine of one's own. Raises InvalidInput for one that its makers alone run."""
    if _makers_alone(engine):
        raise InvalidInput(f"{engine} runs at its makers alone: give vector_store={engine} instead of vector_engine")
    return engine


def _makers_alone(engine: str) -> bool:
    """Whether nobody but its makers runs an engine."""
    return {rule.index for (name, _, _), rule in vendor_rules().items() if name == engine} == {"managed"}


def index(question: Question, vectors: Quantity) -> Index:
    """Sizes and times of the index of so many vectors."""
    plan = index_plan(question)
    inputs = {"vectors": vectors, "dim": dimensions(question)}
    held, on_disk, building = (
        predicted(name, "B", column, retrieval.index_memory_bytes, **inputs)
        for name, column in zip(SIZES, question.once(_sizes, plan, vectors), strict=True)
    )
    if _makers_alone(plan.engine):
        return _published(question, vectors, held)
    _check_memory(question, held)
    cores = _cores(question, held)
    machine = index_host(question, cores.value)
    inputs |= {"top_k": question.amount("top_k"), "index_ef": question.amount("index_ef"), "cores": cores}
    full = plan._replace(vectors=vectors.value)
    built = predicted("index build", "s", question.once(_build_s, plan, machine, vectors), retrieval.build_s, **inputs)
    built = uncertain(built, "retrieval time", *_half_widths("build", full, machine))
    return Index(
        memory_bytes=held,
        disk_bytes=on_disk,
        building_bytes=building,
        build_s=built,
        load_s=_loaded(question, vectors, built),
        searches=_searches(question, plan, machine, held, inputs),
        recall=_recall(question, full, inputs),
    )


SIZES = ("index in memory", "index on disk", "memory to build the index")


def _searches(
    question: Question, plan: IndexPlan, machine: Host, held: Quantity, inputs: dict[str, Quantity]
) -> Searches:
    """What copies answer, how many there are, and how long a search takes under the load."""
    vectors, load = inputs["vectors"], load_of(question.word("search_load"))
    down, up = _half_widths("query", plan._replace(vectors=vectors.value), machine)
    capacity = question.once(_capacity, plan, machine, vectors)
    answered = predicted("queries a second of one copy", "1/s", capacity, retrieval.queries_per_s, **inputs)
    answered = uncertain(answered, "retrieval time", -down, -up)  # the longer a search, the fewer
    copies, use = _replicas(question, answered, held, load), question.number("target_utilisation")
    asked = question.number("index_replicas")  # for latency: how many more are bought follows the volume, and is live
    mean, late = (
        uncertain(predicted(name, "s", column, latency_s, **inputs), "retrieval time", down, up)
        for name, column in zip(
            ("search", "search, p99"), question.once(_latencies, plan, machine, load, use, asked, vectors), strict=True
        )
    )
    return Searches(mean, late, answered, copies)


def _build_s(empty: IndexPlan, machine: Host, vectors: Floats) -> Floats:
    return retrieval.build_s(empty._replace(vectors=vectors), machine)


def _capacity(empty: IndexPlan, machine: Host, vectors: Floats) -> Floats:
    return retrieval.queries_per_s(empty._replace(vectors=vectors), machine)


def _half_widths(what: str, plan: IndexPlan, machine: Host) -> tuple[float, float]:
    """80 % half widths of a time, down and up [ln]."""
    low, high = retrieval.interval(what, plan, machine)
    return -math.log(low), math.log(high)


def _sizes(empty: IndexPlan, vectors: Floats) -> tuple[Floats, Floats, Floats]:
    plan = empty._replace(vectors=vectors)
    held = retrieval.index_memory_bytes(plan)
    return held, retrieval.index_disk_bytes(plan), retrieval.build_memory_bytes(plan)


def _latencies(
    empty: IndexPlan, machine: Host, load: Load, use: float, copies: float, vectors: Floats
) -> tuple[Floats, Floats]:
    """Mean and 99th percentile; at a rate by as many copies as the very times that are predicted ask for."""
    plan = empty._replace(vectors=vectors, replicas=copies)
    if load.queries_per_s is not None:
        plan = plan._replace(replicas=np.maximum(replicas_for(load.queries_per_s, plan, machine, use), copies))
    return latency_s(plan, machine, load), latency_share_s(0.99, plan, machine, load)


def _check_memory(question: Question, held: Quantity) -> None:
    """DoesNotFit where the machine that was named has less memory than the index."""
    gib = question.number("index_memory_gib")
    if gib > 0 and not question.within(held, default("process_share") * gib * 2**30):
        raise DoesNotFit(
            f"an index of {held.value / 1e9:,.1f} GB does not fit {gib:,g} GiB of memory with the system beside it: "
            "compress it (index=hnsw-sq8), keep it on disk (index=diskann), or take fewer dimensions"
        )


def _cores(question: Question, held: Quantity) -> Quantity:
    """Cores that search one copy [1]: those of the machines that a managed store bills, else as asked."""
    store = question.word("vector_store")
    if store == SELF_HOSTED or (plan := store_plan(store, held.value)).vcpus is None:
        return question.amount("index_cores")
    cores = plan.vcpus * plan.machines(held.value)
    return question.known(f"cores of {store} ({plan.plan})", cores, "1", "list price", plan.source)


def index_host(question: Question, cores: float) -> Host:
    """Where the index lives: on so many cores of the machine at hand where that was measured, else of a server."""
    device = question.accelerator
    measured = measured_index(device.name) if device is not None and device.measured_cpu else None
    return measured._replace(cores=cores) if measured else host(f"{cores:.0f} vCPU")


def _replicas(question: Question, answered: Quantity, held: Quantity, load: Load) -> Quantity:
    """Copies whose machines are paid for: for the busiest hour or the rate named, as many as asked at least."""
    store = question.word("vector_store")
    if store != SELF_HOSTED and store_plan(store, held.value).per_hour is None:
        return _theirs(question)
    least = question.amount("index_replicas")
    if load.queries_per_s is not None:
        peak = question.counted("queries a second", load.queries_per_s, "1/s", "as asked")
    else:
        peak = derive(
            "busiest hour",
            "1/s",
            money.peak_requests_per_s,
            requests_per_month=question.amount("requests_per_month"),
            peak_to_mean=question.amount("peak_to_mean"),
        )
    return derive(
        "copies of the index",
        "1",
        money.replicas,
        peak_requests_per_s=peak,
        capacity_requests_per_s=answered,
        target_utilisation=question.amount("target_utilisation"),
        least_replicas=least,
    )


def _theirs(question: Question) -> Quantity:
    return question.counted("copies of the index", 1.0, "1", "a store billed by use sees to its own")


def _published(question: Question, vectors: Quantity, held: Quantity) -> Index:
    """An index that its makers alone run, of one size: searched as was published, there when all vectors are sent."""
    store = store_prices(question.word("vector_store"))[0].provider
    known = facts(f"managed/{store}")

    def told(name: str, key: str, unit: str) -> Quantity:
        if key not in known:
            return question.unknown(name, unit, f"nobody published it of {store}")
        return question.ranged(name, known[key], unit, "retrieval time")

    rate, copies = told("queries a second", "queries_per_s", "1/s"), _theirs(question)
    return Index(
        memory_bytes=held,
        disk_bytes=held,
        building_bytes=held,
        build_s=question.unknown("index build", "s", f"{store} indexes vectors as they come, on machines of its own"),
        load_s=_sent(question, vectors),
        searches=Searches(told("search", "search_s", "s"), told("search, p99", "search_p99_s", "s"), rate, copies),
        recall=told("recall at k", "recall_at_10", "1"),
    )


def _sent(question: Question, vectors: Quantity) -> Quantity:
    """Sending all vectors."""
    return derive("sending the vectors", "s", quotient, dividend=vectors, divisor=_sent_per_s(question))


def _loaded(question: Question, vectors: Quantity, built: Quantity) -> Quantity:
    """Sending all vectors and indexing them as they come."""
    sent = _sent(question, vectors)
    return derive("loading the index", "s", retrieval_load.load_s, sent_s=sent, indexed_s=built)


def _sent_per_s(question: Question) -> Quantity:
    """Vectors that reach the index a second [1/s]: as asked, or as clients send them."""
    if question.number("load_vectors_per_s") > 0:
        return question.amount("load_vectors_per_s")
    value = "client_value_s"
    return derive(
        "vectors sent a second",
        "1/s",
        retrieval_load.sent_per_s,
        clients=question.amount("load_clients"),
        batch=question.amount("load_batch"),
        dimensions=dimensions(question),
        value_s=question.known(
            "a client's time for a dimension", default(value), "s", "measured", default_source(value)
        ),
        round_trip_s=given(
            "round trip",
            default("round_trip_s"),
            "s",
            design=question.design,
            basis="assumed",
            note="between two machines of one region and back",
            sources=(DEFAULTS,),
        ),
    )


def _recall(question: Question, plan: IndexPlan, searched: dict[str, Quantity]) -> Quantity:
    """Share of the true neighbours that the search finds, with the range of the published curves."""
    found = recall(plan)
    if found is None:
        return question.unknown("recall at k", "1", "no curve of such an index was published: judge it on your queries")
    if not found.low < found.high:
        return question.counted("recall at k", float(found.value), "1", "every vector is compared")
    missed = predicted("neighbours missed", "1", 1 - found.value, recall, **searched)
    missed = uncertain(missed, "retrieval time", found.log_width, found.log_width)
    return derive("recall at k", "1", formulas.found_share, missed=missed)
