"""A vector index before it is built: memory, disk, build time, query time. Fields of a plan may be arrays."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.retrieval import (
    Host,
    HostSpread,
    VendorRule,
    bits_per_dim,
    code_bits,
    default,
    filtered_walk,
    fitted_rates,
    limit,
    offer,
    retrieval_fit,
    segments_of,
    vendor_rules,
)
from estimator.errors import InvalidInput, UnknownName
from estimator.fitting.ranges import half_widths, new
from estimator.formulas import Floats
from estimator.formulas import retrieval as formulas
from estimator.formulas.corpus import vector_bytes
from estimator.formulas.retrieval import SearchRates

FAR = 10.0  # times the vectors of the largest index measured, from where its errors say little
LIBRARIES = ("faiss", "usearch", "hnswlib", "diskann")
SERVERS = (
    "weaviate",
    "weaviate-at-rest",
    "qdrant",
    "milvus",
    "opensearch",
    "elasticsearch",
    "pgvector",
    "scylla",
    "pinecone",
    "chroma",
    "redis",
    "server",
)


class IndexPlan(NamedTuple):
    """An index and how it is searched. Numbers may be arrays that broadcast; `None` is the default or follows from n.

    vectors, dim: n, d [1]; dtype: float32, float16, bfloat16, int8, uint8, int4, binary
    index: one of `known_indexes()`; engine: a library or a vector database (`LIBRARIES`, `SERVERS`)
    m, ef_construction, ef: links per vector, candidates while building and searching (hnsw) [1]
    lists, probes: inverted lists, and those searched (ivf) [1]; pq_bytes: code of one vector (pq) [B]
    degree, search_list, build_list: R, L of searching and building (vamana, diskann) [1]
    encoding: vendor's name of a compressed form, such as bbq or rq8; empty means `dtype`
    metadata_bytes: kept with each vector [B]; nonzeros: of sparse vectors, 8 B each with their position [1]
    k: results asked for [1]; replicas: copies on further machines [1]
    segments: pieces searched one by one [1]; refine: candidates per result compared again by their originals [1]
    passing: share of the vectors that a filter lets pass, wherever they lie; 1 without one [1]
    """

    vectors: ArrayLike
    dim: ArrayLike
    index: str = "hnsw"  # type: ignore[assignment]  # hides the method of tuples
    dtype: str = "float32"
    engine: str = "faiss"
    m: ArrayLike | None = None
    ef_construction: ArrayLike | None = None
    ef: ArrayLike | None = None
    lists: ArrayLike | None = None
    probes: ArrayLike | None = None
    pq_bytes: ArrayLike | None = None
    degree: ArrayLike | None = None
    search_list: ArrayLike | None = None
    build_list: ArrayLike | None = None
    encoding: str = ""
    metadata_bytes: ArrayLike = 0.0
    nonzeros: ArrayLike | None = None
    k: ArrayLike = 10
    replicas: ArrayLike = 1
    segments: ArrayLike | None = None
    refine: ArrayLike = 0.0
    passing: ArrayLike = 1.0

    def value(self, name: str) -> Floats:
        """A field as an array, its default where it is `None`."""
        given = getattr(self, name)
        return np.asarray(default(name) if given is None else given, float)

    @property
    def n(self) -> Floats:
        """Vectors [1]."""
        return np.asarray(self.vectors, float)

    @property
    def d(self) -> Floats:
        """Dimensions [1]."""
        return np.asarray(self.dim, float)

    @property
    def payload_bytes(self) -> Floats:
        """Metadata of all vectors [B]."""
        payload: Floats = self.n * np.asarray(self.metadata_bytes, float)
        return payload

    @property
    def list_count(self) -> Floats:
        """Inverted lists unless given [1]: n / 1000 up to a million vectors, then sqrt(n); faiss advises more."""
        if self.lists is not None:
            return np.asarray(self.lists, float)
        n = np.maximum(self.n, 1)
        small, large = n / default("vectors_per_list"), np.sqrt(n)
        if self.engine == "faiss":
            small = np.minimum(8 * np.sqrt(n), n / 39)
            large = np.where(n <= 1e7, 65_536, np.where(n <= 1e8, 262_144, 1_048_576))
        return np.ceil(np.where(n < 1e6, small, large))

    @property
    def probe_count(self) -> Floats:
        """Lists searched: sqrt(lists), unless given [1]."""
        return np.asarray(np.ceil(np.sqrt(self.list_count)) if self.probes is None else self.probes, float)

    @property
    def raw_bytes(self) -> Floats:
        """One vector as it is stored uncompressed [B]."""
        if self.nonzeros is not None:
            return 8 * np.asarray(self.nonzeros, float) + 8
        return vector_bytes(self.d, bits_per_dim(self.dtype))

    @property
    def code_bytes(self) -> Floats:
        """One vector as the index compares it [B]."""
        return CODES[_code(self.index)](self)


def _pq_bytes(plan: IndexPlan) -> Floats:
    if plan.pq_bytes is not None:
        return np.asarray(plan.pq_bytes, float)
    return np.minimum(np.maximum(np.ceil(plan.d / default("pq_dims_per_byte")), default("pq_least_bytes")), plan.d)


def _coded(code: str) -> Callable[[IndexPlan], Floats]:
    return lambda plan: vector_bytes(plan.d, code_bits()[code])


CODES: Mapping[str, Callable[[IndexPlan], Floats]] = {
    "": lambda plan: plan.raw_bytes,
    **{code: _coded(code) for code in ("fp16", "bf16", "sq8", "sq6", "sq4", "binary")},
    "pq": _pq_bytes,
}
STRUCTURES = ("flat", "ivf", "hnsw", "vamana", "diskann")
_SHORT = {**{code: f"flat-{code}" for code in CODES if code}, "sqfp16": "flat-fp16"}
_ALIASES = {**_SHORT, "lsh": "flat-binary", "ivf-flat": "ivf", "hnsw-sq": "hnsw-sq8", "hnsw-flat": "hnsw"}


def known_indexes() -> tuple[str, ...]:
    """Names an index may have: a structure, with `-` and a code if the vectors are compressed."""
    coded = [f"{structure}-{code}" for structure in STRUCTURES[:4] for code in CODES if code]
    return (*STRUCTURES, *coded, *_ALIASES)


def _split(index: str) -> tuple[str, str]:
    """Structure and code of an index's name."""
    name = index.lower().replace("_", "-")
    structure, _, code = _ALIASES.get(name, name).partition("-")
    if structure not in STRUCTURES or code not in CODES or (structure == "diskann" and code):
        raise UnknownName("index", index, known_indexes(), "An index is flat, ivf, hnsw, vamana or diskann.")
    return structure, code


def _code(index: str) -> str:
    return _split(index)[1]


_INEXACT = {"float16": "fp16", "bfloat16": "bf16", "int8": "sq8", "uint8": "sq8", "int4": "sq4", "binary": "binary"}


def structure_and_code(plan: IndexPlan) -> tuple[str, str]:
    """Structure of an index, and the code it compares vectors by: its own, or that of their number format.

    >>> structure_and_code(IndexPlan(1e6, 768, dtype="int8")), structure_and_code(IndexPlan(1e6, 768, index="sq8"))
    (('hnsw', 'sq8'), ('flat', 'sq8'))
    """
    structure, code = _split(plan.index)
    return structure, code or _INEXACT.get(plan.dtype, "")


def index_memory_bytes(plan: IndexPlan) -> Floats:
    """Memory of one replica [B]: by the vendor's published rule if the engine has one, else by the index's layout.

    Raises UnknownName for an index, a format or an engine that nothing is known about.

    >>> float(index_memory_bytes(IndexPlan(1e6, 256, engine="opensearch"))) / 1e9
    1.2672
    >>> round(float(index_memory_bytes(IndexPlan(20_000, 128, m=16))))
    13125333
    """
    check_limits(plan)
    rule = _rule(plan)
    if rule:
        return _ruled_bytes(plan, rule) + plan.payload_bytes
    if plan.engine == "pgvector":
        return _pgvector_index(plan) + plan.payload_bytes
    return MEMORY[_split(plan.index)[0]](plan) + _codebooks(plan) + _originals(plan) + plan.payload_bytes


def check_limits(plan: IndexPlan) -> None:
    """Raise UnknownName for an engine or index that nothing is known about, InvalidInput for one that cannot be."""
    if plan.engine not in (*LIBRARIES, *SERVERS):
        known = ", ".join((*LIBRARIES, *SERVERS))
        raise UnknownName("vector engine", plan.engine, (*LIBRARIES, *SERVERS), f"Known are {known} (any other one).")
    structure, code = _split(plan.index)
    _check_offer(plan, structure, _FORMATS.get(code, code or plan.dtype))
    most, widest = limit(plan.engine, structure, _FORMATS.get(code, code or plan.dtype)), float(np.max(plan.d))
    if most is not None and widest > most.dims:
        raise InvalidInput(
            f"{plan.engine} indexes at most {most.dims:,.0f} dimensions of this format with {structure}, not "
            f"{widest:,.0f}: {most.remedy}"
        )


def _check_offer(plan: IndexPlan, structure: str, code: str) -> None:
    """Raise InvalidInput for an index that a database does not offer."""
    offered = offer(plan.engine)
    if offered is None or plan.encoding:
        return
    if structure not in offered.structures:
        raise InvalidInput(f"{plan.engine} has no {structure} index, but {' and '.join(offered.structures)}")
    if code not in offered.codes:
        raise InvalidInput(f"{plan.engine} keeps no vectors as {code}, but as {', '.join(offered.codes)}")


_FORMATS = {"fp16": "float16", "bf16": "bfloat16", "sq8": "int8", "sq4": "int4"}


def build_memory_bytes(plan: IndexPlan) -> Floats:
    """Memory that building takes [B]: pgvector's graph before it is written down; elsewhere that of the index.

    >>> round(float(build_memory_bytes(IndexPlan(1e6, 1024, engine="pgvector"))) / 1e9, 2)
    4.82
    """
    if plan.engine == "pgvector" and _split(plan.index)[0] == "hnsw":
        return formulas.pgvector_build_bytes(plan.n, plan.code_bytes, plan.value("m"))
    return index_memory_bytes(plan)


def _originals(plan: IndexPlan) -> Floats:
    """What a library keeps beside codes to compare its candidates again [B]."""
    kept = np.asarray(plan.refine, float) > 0
    return np.where(kept & bool(_code(plan.index)), plan.n * plan.raw_bytes, 0.0)


def process_memory_bytes(plan: IndexPlan, machine: Host | None = None, resident: float | None = None) -> Floats:
    """Memory of the process that serves one replica [B]: a library's index, and what allocator and buffers add to it.

    An index on disk takes no more than the machine's memory less the operating system's share.
    resident: process memory over the library's index [1]; the fitted one if not given
    """
    memory = index_memory_bytes(plan)
    if _split(plan.index)[0] == "diskann" and machine is not None and machine.memory_bytes:
        memory = np.minimum(memory, default("process_share") * machine.memory_bytes)
    elif group(plan) == "library":
        memory = memory * (resident or retrieval_fit()["resident_factor"])
    return memory


def _rule(plan: IndexPlan) -> VendorRule | None:
    structure = _split(plan.index)[0]
    code = _code(plan.index)
    encoding = plan.encoding or _FORMATS.get(code, code or plan.dtype)
    rule = vendor_rules().get((plan.engine, encoding, structure)) or vendor_rules().get(
        (plan.engine, encoding, "managed")
    )
    if plan.encoding and rule is None:
        raise UnknownName("encoding", plan.encoding, {e for v, e, _ in vendor_rules() if v == plan.engine})
    return rule


def _ruled_bytes(plan: IndexPlan, rule: VendorRule) -> Floats:
    vectors = formulas.rule_bytes(
        plan.n,
        plan.d,
        plan.value("m"),
        factor=rule.factor,
        per_dim=rule.bytes_per_dim,
        per_m=rule.bytes_per_m,
        fixed=rule.bytes_fixed,
    )
    return vectors + (rule.factor * plan.list_count * 4 * plan.d if rule.index == "ivf" else 0.0)


def _pgvector_index(plan: IndexPlan) -> Floats:
    if _split(plan.index)[0] == "hnsw":
        return formulas.pgvector_hnsw_bytes(plan.n, plan.code_bytes, plan.value("m"))
    return MEMORY[_split(plan.index)[0]](plan)


def _hnsw_memory(plan: IndexPlan) -> Floats:
    if plan.engine in ("hnswlib", "chroma"):
        links = formulas.hnswlib_link_bytes(plan.value("m"))
    else:
        links = formulas.hnsw_link_bytes(plan.value("m"), 16.0 if plan.engine == "usearch" else 12.0)
    return plan.n * (plan.code_bytes + links)


def _diskann_memory(plan: IndexPlan) -> Floats:
    codes = default("pq_ram_share") * plan.raw_bytes if plan.pq_bytes is None else np.asarray(plan.pq_bytes, float)
    cached = default("cache_share") * (plan.raw_bytes + formulas.LINK_BYTES * (plan.value("degree") + 1))
    return plan.n * (codes + cached)


MEMORY: Mapping[str, Callable[[IndexPlan], Floats]] = {
    "flat": lambda plan: formulas.flat_bytes(plan.n, plan.code_bytes),
    "ivf": lambda plan: formulas.ivf_bytes(plan.n, plan.code_bytes, plan.list_count, plan.d),
    "hnsw": _hnsw_memory,
    "vamana": lambda plan: formulas.vamana_bytes(plan.n, plan.code_bytes, plan.value("degree")),
    "diskann": _diskann_memory,
}


def _codebooks(plan: IndexPlan) -> Floats:
    """What a quantiser has learned [B]: PQ's centroids, or the range of each dimension."""
    code = _code(plan.index)
    if code == "pq":
        return formulas.pq_codebook_bytes(plan.d, default("pq_bits"))
    return 8.0 * plan.d if code in ("sq8", "sq4") else 0.0 * plan.d


def index_disk_bytes(plan: IndexPlan) -> Floats:
    """Disk of one replica [B]: the index, and the originals where the engine keeps them beside a compressed form.

    >>> float(index_disk_bytes(IndexPlan(10e6, 1000, engine="elasticsearch", encoding="int8", m=0))) / 1e9
    50.04
    """
    structure = _split(plan.index)[0]
    rule = _rule(plan)
    if plan.engine == "pgvector":
        return index_memory_bytes(plan) + formulas.pgvector_table_bytes(plan.n, plan.raw_bytes)
    if structure == "diskann":
        on_disk = formulas.diskann_disk_bytes(plan.n, plan.raw_bytes, plan.value("degree"))
        return on_disk + plan.payload_bytes
    if rule:
        originals = plan.n * plan.raw_bytes if rule.float_copy_on_disk else 0.0
        return _ruled_bytes(plan, rule) / rule.factor + originals + plan.payload_bytes
    return index_memory_bytes(plan)


def group(plan: IndexPlan) -> str:
    """Whose constants apply: `server` (a database behind a network) or `library` (in the caller's process)."""
    return "library" if plan.engine in LIBRARIES else "server"


def search_rates(plan: IndexPlan, machine: Host) -> SearchRates:
    """Constants of one core: measured on the machine if there are such, else fitted ones at its speed."""
    if machine.rates is not None:
        return machine.rates
    return at_speed(fitted_rates(plan.engine if plan.engine in measured_databases() else group(plan)), machine.speed)


def measured_databases() -> tuple[str, ...]:
    """Databases with constants of their own; any other has the mean of theirs."""
    return tuple(retrieval_fit()["databases"])


def at_speed(rates: SearchRates, speed: float) -> SearchRates:
    """Constants of a core `speed` times as fast at scattered memory and small steps; scans and products stay."""
    return rates._replace(
        bytes_per_s=rates.bytes_per_s * speed,
        request_s=rates.request_s / speed,
        result_s=rates.result_s / speed,
        probe_s=rates.probe_s / speed,
    )


def build_core_s(plan: IndexPlan, machine: Host) -> Floats:
    """Building one replica [s of one core]; on codes by the factor measured, not by their bytes: they are decoded."""
    rates, structure = search_rates(plan, machine), _split(plan.index)[0]
    if structure == "hnsw":
        m, kept = plan.value("m"), plan.value("ef_construction")
        pieces = segment_count(plan, machine)
        width, factor = _compared(plan, "build")
        return factor * formulas.graph_build_s(plan.n, width, m, kept, rates, pieces)
    if structure in ("vamana", "diskann"):
        return formulas.graph_build_s(plan.n, plan.raw_bytes, plan.value("degree") / 2, plan.value("build_list"), rates)
    if structure == "ivf":
        return formulas.ivf_build_s(
            plan.n, plan.d, plan.list_count, rates, default("kmeans_iterations"), default("kmeans_sample")
        )
    return plan.n * plan.raw_bytes / rates.scan_bytes_per_s


HALVES = {"float16": "fp16", "bfloat16": "bf16"}


def code_factor(what: str, code: str) -> float | None:
    """Time on codes over that on float32 vectors, as measured, build or query [1]; none for a code that was not."""
    found: float | None = retrieval_fit()["codes"].get(code, {}).get(what)
    return found


def segment_count(plan: IndexPlan, machine: Host) -> Floats:
    """Pieces a query searches [1]: as stated, else as the engine divides so many vectors by default."""
    if plan.segments is not None:
        return np.maximum(np.asarray(plan.segments, float), 1.0)
    found = segments_of(plan.engine)
    by_cores = min(max(np.floor(found.per_core * machine.cores), found.least), found.most)
    by_size = np.ceil(plan.n * plan.raw_bytes / min(found.bytes_each, found.bytes_per_core * machine.cores))
    return np.maximum(by_cores, by_size)


def build_s(plan: IndexPlan, machine: Host) -> Floats:
    """Building one replica on all cores [s]; the vectors are there already."""
    return build_core_s(plan, machine) / machine.cores


class Search(NamedTuple):
    """Core time of a query on a busy core [s]: fixed, and of each of the pieces searched."""

    fixed_s: Floats
    piece_s: Floats
    pieces: Floats

    @property
    def core_s(self) -> Floats:
        """All of it [s of one core]."""
        return self.fixed_s + self.pieces * self.piece_s


def search(plan: IndexPlan, machine: Host) -> Search:
    """One query by its parts."""
    rates, structure, k = search_rates(plan, machine), _split(plan.index)[0], np.asarray(plan.k, float)
    fixed = formulas.fixed_s(k, rates) + _refined_s(plan, rates)
    if structure == "hnsw":
        return Search(fixed, _piece_s(plan, machine, rates), segment_count(plan, machine))
    return Search(fixed, _other_search_s(plan, structure, rates) - formulas.fixed_s(k, rates), np.ones(()))


def _piece_s(plan: IndexPlan, machine: Host, rates: SearchRates) -> Floats:
    """Search of one segment of a graph [s of one core]: on measured codes by their factor, on others by their bytes."""
    width, factor = _compared(plan, "query")
    graph, pieces = (plan.n, width, plan.value("m")), segment_count(plan, machine)
    walked = factor * formulas.piece_search_s(*graph, _candidates(plan), np.asarray(plan.k, float), rates, pieces)
    if filtered_walk(plan.engine) == "continued" or np.all(np.asarray(plan.passing) == 1):
        return walked
    return np.minimum(
        walked, formulas.flat_bytes(plan.n * np.asarray(plan.passing, float) / pieces, width) / rates.scan_bytes_per_s
    )


def _candidates(plan: IndexPlan) -> Floats:
    """Candidates a search of a graph keeps [1]: more where it goes on until enough of them have passed a filter."""
    walk, kept = filtered_walk(plan.engine), plan.value("ef")
    if walk == "linked":
        return kept
    return formulas.continued_candidates(kept, plan.k, plan.passing)


def _compared(plan: IndexPlan, what: str) -> tuple[Floats, float]:
    """Bytes that comparing a vector is worth [B], and by what factor: codes and halves measured against float32.

    A code that was not measured is searched by its bytes and built as its originals are.
    """
    code = _code(plan.index) or HALVES.get(plan.dtype, "")
    factor = code_factor(what, code)
    if factor is not None and plan.dtype in ("float32", *HALVES):
        return vector_bytes(plan.d, 32), factor
    return (plan.raw_bytes if what == "build" else plan.code_bytes), 1.0


def _refined_s(plan: IndexPlan, rates: SearchRates) -> Floats:
    """Comparing candidates again by their originals [s of one core]."""
    again = np.asarray(plan.k, float) * np.asarray(plan.refine, float)
    return again * formulas.compare_s(plan.n, plan.raw_bytes, 0.0, rates)


def _other_search_s(plan: IndexPlan, structure: str, rates: SearchRates) -> Floats:
    k = np.asarray(plan.k, float)
    if structure == "ivf":
        return formulas.ivf_search_s(plan.n, plan.d, plan.code_bytes, plan.list_count, plan.probe_count, k, rates)
    if structure == "flat":
        return formulas.scan_s(plan.n, plan.code_bytes, k, rates)
    codes = plan.code_bytes if structure == "vamana" else default("pq_ram_share") * plan.raw_bytes
    graph = formulas.graph_search_s(plan.n, codes, plan.value("degree") / 2, plan.value("search_list"), k, rates)
    if structure == "vamana":
        return graph
    return graph + plan.value("search_list") / default("beam_width") * default("ssd_read_s")


def query_s(plan: IndexPlan, machine: Host) -> Floats:
    """One query [s of one core], while the others are as busy."""
    return search(plan, machine).core_s


def queries_per_s(plan: IndexPlan, machine: Host) -> Floats:
    """Queries all replicas answer with every core busy [1/s]; scans also share the memory's bandwidth."""
    per_machine = machine.cores / query_s(plan, machine)
    if _split(plan.index)[0] in ("flat", "ivf"):
        share = plan.probe_count / plan.list_count if _split(plan.index)[0] == "ivf" else 1.0
        per_machine = np.minimum(
            per_machine,
            machine.memory_bandwidth_bytes_per_s / (np.maximum(plan.n, 1) * plan.code_bytes * np.minimum(share, 1.0)),
        )
    return np.asarray(per_machine * np.asarray(plan.replicas, float))


def recall_at(ef: ArrayLike, k: ArrayLike = 10) -> Floats:
    """Share of the true k nearest neighbours that a graph search with ef candidates finds [1].

    The published grids' mean law at ten results, 1 - recall = a ef^-p; more results need more candidates, by the power
    of k measured at a hundred, and as many as k at least. Embeddings that are harder to search find fewer.

    >>> bool(0.8 < recall_at(32) < recall_at(128) < 1), bool(recall_at(128, k=100) < recall_at(128))
    (True, True)
    """
    law = retrieval_fit()["operating_point"]
    each = np.asarray(ef, float) * (10 / np.maximum(np.asarray(k, float), 10)) ** law["k_power"]
    found: Floats = np.clip(1 - law["missed_at_ef_1"] * np.maximum(each, 10.0) ** -law["power"], 0.0, 1.0)
    return found


def ef_for_recall(recall: ArrayLike) -> Floats:
    """Candidates it takes to find that share of the true ten nearest neighbours, 10 to 2000 [1].

    >>> round(float(recall_at(ef_for_recall(0.95))), 3)
    0.95
    """
    law = retrieval_fit()["operating_point"]
    missed = np.maximum(1 - np.asarray(recall, float), 1e-4)
    ef: Floats = np.clip((law["missed_at_ef_1"] / missed) ** (1 / law["power"]), 10, 2000)
    return ef


def interval(what: str, plan: IndexPlan, machine: Host | None = None) -> tuple[float, float]:
    """Factors from a prediction to the ends of its 80 % interval, from residuals of groups of runs left out.

    what: memory, build or query. Wider for an index or engine that hardly anything was fitted to, and for a processor
    that was not measured.
    """
    if what not in ("memory", "build", "query"):
        raise InvalidInput(f"an interval is of memory, build or query, not {what!r}")
    fit = retrieval_fit()
    if what == "memory":
        down, up = half_widths(fit["ranges"], what)
    else:
        known = group(plan) == "library" or plan.engine in measured_databases()
        of = group(plan) if known else "new server"
        down, up = half_widths(fit["ranges"], f"{what}, {of}", traits(what, plan))
        if machine is not None and machine.basis == "assumed" and group(plan) == "server":
            speed = fit["ranges"]["machine"]  # errors of libraries hold it: their machine was left out
            down, up = float(np.hypot(down, speed)), float(np.hypot(up, speed))
    if what == "query" and machine is not None and np.any(np.asarray(plan.passing) < 1):
        unsure = float(np.hypot(fit["ranges"]["filter"], _filter_doubt(plan, machine)))
        down, up = float(np.hypot(down, unsure)), float(np.hypot(up, unsure))
    if what != "memory" and machine is not None and machine.spread and _split(plan.index)[0] == "hnsw":
        own = measured_interval(what, machine.spread)
        far = float(np.max(plan.n)) > FAR * machine.spread.vectors
        down, up = (max(down, own[0]), max(up, own[1])) if far else own
    return float(np.exp(-down)), float(np.exp(up))


def _filter_doubt(plan: IndexPlan, machine: Host) -> float:
    """Half width that a filter adds [ln]: as much as it changes, where nobody measured the engine under one."""
    if filtered_walk(plan.engine) != "any":
        return 0.0
    changed = query_s(plan, machine) / query_s(plan._replace(passing=1.0), machine)
    return float(np.max(np.abs(np.log(changed))))


def traits(what: str, plan: IndexPlan) -> tuple[str, ...]:
    """What makes a time less sure: a library that was not measured, and an index that the fit only looks at.

    A database that was not measured has a range of its own, from those that were.
    """
    fitted_to = ("hnsw",) if what == "build" else ("hnsw", "vamana")
    other = ("other index",) * (_split(plan.index)[0] not in fitted_to)
    seen = new(retrieval_fit()["seen"], engine=plan.engine) if group(plan) == "library" else ()
    return seen + other


def measured_interval(what: str, spread: HostSpread, since: float = 0.0) -> tuple[float, float]:
    """80 % half widths of ln(measured / predicted) on a measured machine, down and up [1].

    what: build or query
    since: drift from the measurement to now, where it is known, as ln of times; it moves one end only
    """
    from estimator.predict.local import ends  # loaded for these alone

    return ends(getattr(spread, what), (spread.down, spread.up), since)
