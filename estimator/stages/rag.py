"""RAG: a knowledge base is embedded and indexed once, then refreshed; requests pay for retrieval and longer prompts."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from numpy.typing import ArrayLike

from estimator.catalog.accelerators import accelerator as named_accelerator
from estimator.catalog.facts import counted, fact
from estimator.catalog.models import architecture
from estimator.catalog.prices import api_price
from estimator.catalog.stores import Reranker, reranker
from estimator.errors import DoesNotFit, InvalidInput
from estimator.formulas import Floats, corpus, effort, money, stores
from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.predict.serving import embedding_sequences_per_s, prefill_s, rerank_s
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import Quantity, derive, predicted, total, uncertain
from estimator.records import Accelerator, Architecture, Cluster
from estimator.results import Estimate, Line
from estimator.stages.answer import Findings, Overhead, answer, bare, calendar, serve
from estimator.stages.budget import evaluation_runs, monthly, one_off, people, upkeep, worked
from estimator.stages.corpus import Corpus, Parsing, corpus_of, parsing, parsing_lines
from estimator.stages.index import SELF_HOSTED, Index, check_encoder, dimension_warnings, dimensions, index
from estimator.stages.question import Question
from estimator.stages.service import Service, encoder_plan, half_widths
from estimator.stages.store import Held, store_lines, store_warnings
from estimator.stages.unit_costs import times


class KnowledgeBase(NamedTuple):
    """The corpus as text, tokens, chunks and vectors, and its index; with keyword search both indexes."""

    corpus: Corpus
    chunks: Quantity
    vectors: Quantity
    embedded_tokens: Quantity
    held: Index
    disk_bytes: Quantity
    build_s: Quantity
    search_s: Quantity


class Embedding(NamedTuple):
    """Turning the corpus into vectors, and one question into one: time and money.

    device: whose time it is; none where an API embeds
    """

    wall_s: Quantity
    usd: Quantity
    query_s: Quantity
    query_usd: Quantity
    device: Accelerator | None = None


class Rerank(NamedTuple):
    """The second-stage ranking of one request: time and money; nothing when there is none."""

    query_s: Quantity
    query_usd: Quantity
    device: Accelerator | None = None


def estimate(question: Question) -> Estimate:
    """What retrieval needs and costs."""
    _check(question)
    base = _knowledge_base(question)
    embedding = _embedding(question, base)
    rerank, read = _rerank(question), parsing(question, base.corpus)
    service = _served(question)
    hours = _hours(question)
    wall = embedding.wall_s if embedding.wall_s.known else question.zero("embedding", "s")
    nothing = question.zero("reading documents", "s")
    built = base.build_s if base.build_s.known else base.held.load_s
    steps = {"parsing": read.wall_s if read else nothing, "embedding": wall, "build": built}
    machine_s = derive("reading, embedding and indexing", "s", sum_of, **steps)
    extra_s = total("retrieval", "s", [embedding.query_s, base.search_s, rerank.query_s])
    extra_usd = total("retrieval of a request", "USD", [embedding.query_usd, rerank.query_usd])
    here = embedding.device is not None and embedding.device == question.accelerator
    held = Held(base.vectors, dimensions(question), base.held)
    lines = [
        people(question, "ingestion, index and evaluation", hours),
        *parsing_lines(question, read),
        *_corpus_lines(question, base, embedding),
        evaluation_runs(question.amount("rag_evaluation_samples"), service.usd_per_request, service.busy_s),
        *service.lines,
        _query_line(question, embedding, rerank, extra_usd),
        *store_lines(question, held),
        _disk_line(question, base),
        upkeep(question, "rag_upkeep_hours_per_month"),
    ]
    return answer(
        question,
        Findings(
            "rag",
            lines=lines,
            people_hours=hours,
            calendar_s=calendar(question, hours, machine_s),
            accelerator_s=embedding.wall_s if here else question.zero("embedding on accelerators", "s"),
            flop=_flop(question, base),
            overhead=Overhead(service, bare(question), extra_s, extra_usd),
            data_tokens=base.corpus.tokens,
            data_samples=base.chunks,
            data_bytes=base.corpus.text_bytes,
            details={
                **_documents(base.corpus, read),
                **_details(question, base, embedding, rerank),
                "replicas": service.replicas,
                **_all_in_prompt(question, base),
            },
            warnings=(
                *base.corpus.warnings,
                *dimension_warnings(question),
                *store_warnings(question, base.held),
                *_cut_off(question),
                *_not_modelled(question),
            ),
        ),
    )


def _check(question: Question) -> None:
    """What cannot be, said before anything is computed."""
    if question.flag("graph_search"):
        raise InvalidInput(
            "graph RAG is not modelled: an LLM reads the whole corpus into entities and their relations, at a cost and "
            "a quality nobody measured well. Estimate plain retrieval (graph_search=false)"
        )
    check_encoder(question)


def _cut_off(question: Question) -> Iterator[str]:
    """That a reranker does not read the end of a chunk."""
    name, pair = question.word("rerank_model"), question.number("prompt_tokens") + question.number("chunk_tokens")
    if name == "none":
        return
    reads = reranker(name).max_tokens if ":" in name else architecture(name).max_context
    if reads is not None and pair > reads:
        yield (
            f"{name} reads {reads:,.0f} tokens, a question and a chunk have {pair:,.0f}: it judges the rest unread. "
            "Cut shorter chunks (chunk_tokens), or take one that reads more (rerank_model=bge-reranker-v2-m3)."
        )


def _not_modelled(question: Question) -> Iterator[str]:
    if question.number("vectors_per_chunk") > 1:
        yield (
            "With several vectors a chunk (late interaction, such as ColBERT) sizes and prices are those of all; the "
            "search time is that of one vector of the question: every further one adds another."
        )


def _documents(corpus: Corpus, read: Parsing | None) -> dict[str, Quantity]:
    """Documents that are read before anything is embedded; nothing where there is text already."""
    if corpus.pages is None or read is None:
        return {}
    scanned = {"scanned_share": corpus.scanned} if corpus.scanned is not None else {}
    return {"documents": corpus.documents, "pages": corpus.pages, **scanned, "document_reading_s": read.wall_s}


def _details(question: Question, base: KnowledgeBase, embedding: Embedding, rerank: Rerank) -> dict[str, Quantity]:
    own = {
        "index_building_bytes": base.held.building_bytes,
        "index_queries_per_s": base.held.searches.queries_per_s,
        "index_replicas": base.held.searches.replicas,
    }
    return {
        "chunks": base.chunks,
        "vectors": base.vectors,
        "index_memory_bytes": base.held.memory_bytes,
        "index_disk_bytes": base.disk_bytes,
        "embedding_s": embedding.wall_s,
        "index_build_s": base.build_s,
        "index_load_s": base.held.load_s,
        "query_embedding_s": embedding.query_s,
        "search_s": base.search_s,
        "rerank_s": rerank.query_s,
        "recall_at_k": base.held.recall,
        "search_p99_s": base.held.searches.p99_s,
        **(own if question.word("vector_store") == SELF_HOSTED else {}),
    }


def _knowledge_base(question: Question) -> KnowledgeBase:
    found = corpus_of(question)
    cut = {"chunk_tokens": question.amount("chunk_tokens"), "overlap_tokens": question.amount("overlap_tokens")}
    if question.number("overlap_tokens") >= question.number("chunk_tokens"):
        raise InvalidInput("overlap_tokens must be less than chunk_tokens")
    cut |= {"tokens": found.tokens, "documents": found.documents}
    each = question.amount("vectors_per_chunk")
    if found.vectors is not None:
        vectors = found.vectors
        chunks = derive("chunks", "1", quotient, dividend=vectors, divisor=each)
    else:
        chunks = derive("chunks", "1", corpus.chunks, **cut)
        vectors = derive("vectors", "1", product, chunks=chunks, each=each)
    read = derive("embedded tokens", "token", corpus.embedded_tokens, **cut)
    held = index(question, vectors)
    base = KnowledgeBase(found, chunks, vectors, read, held, held.disk_bytes, held.build_s, held.searches.mean_s)
    return _with_keywords(question, base) if question.flag("keyword_search") else base


def _with_keywords(question: Question, base: KnowledgeBase) -> KnowledgeBase:
    """The same with an inverted index beside the vectors: on disk, built after them, searched at the same time."""
    words = derive("words", "word", quotient, dividend=base.corpus.tokens, divisor=question.tokens_per_word())
    rate, cores = question.fact("lexical/words_per_s"), question.amount("index_cores")
    built = derive("keyword index build", "s", corpus.keyword_index_s, words=words, words_per_s=rate, cores=cores)
    share = question.fact("lexical/index_share")
    held = derive("keyword index", "B", product, text=base.corpus.text_bytes, share=share)
    searched = question.ranged("lexical/query_s", fact("lexical/query_s"), "s", "retrieval time")
    return base._replace(
        disk_bytes=derive("indexes on disk", "B", sum_of, vectors=base.disk_bytes, keywords=held),
        build_s=derive("index build", "s", sum_of, vectors=base.build_s, keywords=built),
        search_s=derive("search", "s", corpus.both_searched_s, vectors_s=base.search_s, keywords_s=searched),
    )


def _embedding(question: Question, base: KnowledgeBase) -> Embedding:
    name = question.word("embedding_model")
    if ":" in name:
        return _embedding_by_api(question, name, base)
    return _embedding_on_own(question, architecture(name), _device(question), base)


def _device(question: Question) -> Accelerator:
    """Where embeddings are computed: as named, else on the accelerator at hand, else on a processor."""
    named = question.word("embedding_accelerator")
    if named:
        return named_accelerator(named)
    return question.accelerator or named_accelerator(fact("embedding/processor").text)


def _embedding_on_own(question: Question, encoder: Architecture, device: Accelerator, base: KnowledgeBase) -> Embedding:
    plan, batch = encoder_plan(), counted("embedding/batch")
    cluster, chunk = Cluster(device, 1, 1), question.amount("chunk_tokens")
    rate = question.once(embedding_sequences_per_s, encoder, cluster, plan, chunk, batch)
    facts, asked = _device_facts(question, encoder, device), question.amount("prompt_tokens")
    down, up = half_widths("embedding", encoder, device, plan.engine)

    def found_as(name: str, column: Floats, formula: Callable[..., ArrayLike], tokens: Quantity) -> Quantity:
        return uncertain(predicted(name, "s", column, formula, tokens=tokens, **facts), "embedding time", down, up)

    each = found_as("embedding of a chunk", 1 / rate, embedding_sequences_per_s, chunk)
    query_s = question.once(prefill_s, encoder, cluster, plan, asked)
    query = found_as("embedding of a question", query_s, prefill_s, asked)
    device_s = derive("embedding", "s", product, each=each, chunks=base.chunks)
    price, answering = (_price_of(question, device, work) for work in (CORPUS, QUERIES))
    return Embedding(
        device_s,
        derive("embedding", "USD", money.machine_usd, machine_s=device_s, usd_per_hour=price),
        query,
        derive("embedding of a question", "USD", money.machine_usd, machine_s=query, usd_per_hour=answering),
        device,
    )


def _device_facts(question: Question, encoder: Architecture, device: Accelerator) -> dict[str, Quantity]:
    from estimator.formulas.transformer import params

    peak = question.known(f"peak of {device.name}", device.peak("fp16"), "FLOP/s", device.basis, *device.sources)
    size = question.known(f"parameters of {encoder.name}", params(encoder), "1", encoder.basis, *encoder.sources)
    return {"peak": peak, "params": size}


CORPUS, QUERIES = "serving_large_batch", "serving_small_batch"  # what a device that embeds does


def _price_of(question: Question, device: Accelerator, activity: str) -> Quantity:
    """Price of an hour of the embedding device: as asked, by a processor's cores, or as listed for another."""
    if device == question.accelerator:
        return question.hour_usd(activity)
    if device.kind != "cpu":
        return usd_per_hour(device, Price(), question.design, key=f"price_{device.name}_per_hour")
    cores = question.known(f"cores of {device.name}", device.sms or 1, "1", device.basis, *device.sources)
    return derive("embedding machine", "USD/h", product, cores=cores, each=question.amount("cpu_usd_per_core_hour"))


def _embedding_by_api(question: Question, name: str, base: KnowledgeBase) -> Embedding:
    found = api_price(name)
    if found.input_usd_per_mtok is None:
        price = question.unknown("embedding price", "USD/Mtok", f"no price known for {name}", key="price_embedding")
    else:
        price = question.price("embedding", "embedding price", found.input_usd_per_mtok, "USD/Mtok", found.source)
    asked, latency = question.amount("prompt_tokens"), "an API's latency is the provider's to tell"
    return Embedding(
        question.unknown("embedding", "s", latency),
        derive("embedding", "USD", money.token_usd, tokens=base.embedded_tokens, usd_per_mtok=price),
        question.unknown("embedding of a question", "s", latency),
        derive("embedding of a question", "USD", money.token_usd, tokens=asked, usd_per_mtok=price),
    )


def _rerank(question: Question) -> Rerank:
    name = question.word("rerank_model")
    if name == "none":
        return Rerank(question.zero("rerank", "s"), question.zero("rerank", "USD"))
    if ":" in name:
        return _rerank_by_api(question, reranker(name))
    encoder, device = architecture(name), _device(question)
    asked, chunk = question.amount("prompt_tokens"), question.amount("chunk_tokens")
    candidates = question.amount("rerank_candidates")
    plan = encoder_plan()
    column = question.once(rerank_s, encoder, Cluster(device, 1, 1), plan, asked, chunk, candidates)
    inputs = {"query": asked, "passage": chunk, "passages": candidates, **_device_facts(question, encoder, device)}
    down, up = half_widths("embedding", encoder, device, plan.engine)
    time = uncertain(predicted("rerank", "s", column, rerank_s, **inputs), "embedding time", down, up)
    price = _price_of(question, device, QUERIES)
    return Rerank(time, derive("rerank", "USD", money.machine_usd, machine_s=time, usd_per_hour=price), device)


def _rerank_by_api(question: Question, api: Reranker) -> Rerank:
    """By a provider's price of a search or of tokens."""

    def price(what: str, value: float | None, unit: str) -> Quantity:
        if value is None:
            return question.known(f"{api.name}, {what}", 0.0, unit, "list price", api.source)
        return question.price(f"{what}_of_{api.name}", f"{api.name}, {what}", value, unit, api.source)

    asked, chunk = question.amount("prompt_tokens"), question.amount("chunk_tokens")
    usd = derive(
        "rerank",
        "USD",
        stores.reranking_usd,
        documents=question.amount("rerank_candidates"),
        pair_tokens=derive("question and chunk", "token", sum_of, asked=asked, chunk=chunk),
        usd_per_1000_searches=price("searches", api.per_1000_searches, "USD/1000"),
        documents_per_search=question.known("documents of a search", api.documents or 1, "1", "list price", api.source),
        tokens_per_document=question.known("tokens of a document", api.tokens or 1, "token", "list price", api.source),
        usd_per_mtok=price("tokens", api.per_mtok, "USD/Mtok"),
    )
    return Rerank(question.unknown("rerank", "s", "an API's latency is the provider's to tell"), usd)


def _served(question: Question) -> Service:
    """Serving prompts with retrieved chunks; only the instructions are the same in every request."""
    retrieved = derive(
        "retrieved", "token", product, chunks=question.amount("top_k"), tokens=question.amount("chunk_tokens")
    )
    fixed = question.amount("rag_instruction_tokens")
    prompt = derive(
        "prompt", "token", sum_of, asked=question.amount("prompt_tokens"), instructions=fixed, retrieved=retrieved
    )
    output = question.written()
    question.check_context(prompt, output, "retrieve fewer or shorter chunks (top_k, chunk_tokens)")
    return serve(question, prompt, output, fixed)


def _all_in_prompt(question: Question, base: KnowledgeBase) -> dict[str, Quantity]:
    """The alternative of putting the whole corpus into a cached prompt, where it is small enough and fits."""
    limit = question.fact("decision/kb_tokens_all_in_prompt").value
    fixed = derive(
        "corpus and instructions",
        "token",
        sum_of,
        corpus=base.corpus.tokens,
        instructions=question.amount("rag_instruction_tokens"),
    )
    prompt = derive("prompt", "token", sum_of, asked=question.amount("prompt_tokens"), fixed=fixed)
    try:
        question.check_context(prompt, question.written(), "")
        service = serve(question, prompt, question.written(), fixed) if fixed.value <= limit else None
    except DoesNotFit:
        service = None
    if service is None:
        return {}
    per_1000 = times(question, "all in the prompt", service.usd_per_request, 1e3)
    return {"all_in_prompt_usd_per_1000_requests": per_1000, "all_in_prompt_ttft_s": service.ttft_s}


def _hours(question: Question) -> Quantity:
    one = question.counted("one round", 0.0, "1", "no round of model-driven search")
    return derive(
        "people's hours",
        "h",
        effort.working_hours,
        setup_hours=question.amount("rag_setup_hours"),
        rounds=one,
        hours_per_round=question.amount("hours_per_iteration"),
        samples=question.amount("rag_evaluation_samples"),
        minutes_per_sample=question.amount("label_minutes_per_evaluation"),
    )


def _corpus_lines(question: Question, base: KnowledgeBase, embedding: Embedding) -> list[Line]:
    """Embedding and indexing the corpus, once and for what changes."""
    once, changed = question.counted("whole corpus", 1.0, "1", "by definition"), question.amount("refresh_per_month")
    core_s = derive("index build on cores", "s", product, wall=base.build_s, cores=question.amount("index_cores"))
    lines = [
        one_off("indexing", "embedding the corpus", driver="corpus", quantity=once, unit_price=embedding.usd),
        monthly(question, "indexing", "refresh", driver="changed share", quantity=changed, unit_price=embedding.usd),
    ]
    if embedding.device is not None:
        lines = [worked(line, CORPUS, embedding.wall_s, embedding.device) for line in lines]
    if question.word("vector_store") != SELF_HOSTED:
        return lines  # a managed store builds its index itself
    price = question.amount("cpu_usd_per_core_hour")
    built = one_off(
        "indexing",
        "building the index",
        driver="corpus",
        quantity=core_s,
        unit_price=price,
        formula=money.machine_usd,
    )
    return [lines[0], built, *lines[1:]]


def _query_line(question: Question, embedding: Embedding, rerank: Rerank, usd: Quantity) -> Line:
    """Finding passages for every request."""
    sent = question.amount("requests_per_month")
    line = monthly(
        question,
        "retrieval",
        "query embedding and rerank",
        cost_type="variable",
        driver="requests",
        quantity=sent,
        unit_price=usd,
    )
    timed = [part for part in (embedding, rerank) if part.device is not None]
    if not timed:
        return line
    each_s = total("retrieval on accelerators", "s", [part.query_s for part in timed])
    return worked(line, QUERIES, each_s, timed[0].device)


def _disk_line(question: Question, base: KnowledgeBase) -> Line:
    """The text, and the index where it is one's own: a managed store bills its index itself."""
    price, item, held = question.amount("storage_usd_per_gb_month"), "text on disk", base.corpus.text_bytes
    if question.word("vector_store") == SELF_HOSTED:
        item = "text and index on disk"
        held = derive(item, "B", sum_of, text=base.corpus.text_bytes, index=base.disk_bytes)
    return monthly(
        question, "storage", item, driver="corpus", quantity=held, unit_price=price, formula=money.storage_usd
    )


def _flop(question: Question, base: KnowledgeBase) -> Quantity:
    from estimator.formulas.transformer import matmul_params

    name = question.word("embedding_model")
    if ":" in name:
        return question.unknown("work", "FLOP", "the embedding API's size is not published")
    encoder = architecture(name)
    weights = question.known("weights of the encoder", matmul_params(encoder), "1", encoder.basis, *encoder.sources)
    two = question.counted("FLOP per weight and token", 2.0, "FLOP", "one multiplication and one addition")
    return derive("work", "FLOP", product, two=two, weights=weights, tokens=base.embedded_tokens)
