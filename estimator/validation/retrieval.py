"""Retrieval cases: from a row's configuration to a prediction in the row's own metric.

Read are n_vectors, dim, index, params, k and hardware. `recall` is a measurement, with one exception: where a graph's
row states neither ef nor a search list, recall is the operating point it was tuned to, and ef follows from it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from estimator.catalog.retrieval import Host, default, host, retrieval_fit
from estimator.errors import EstimatorError, InvalidInput, UnknownName, clipped
from estimator.formulas.retrieval import SearchRates
from estimator.formulas.retrieval_load import load_s, sent_per_s
from estimator.numerals import numeral
from estimator.predict.retrieval import (
    LIBRARIES,
    SERVERS,
    IndexPlan,
    at_speed,
    build_s,
    ef_for_recall,
    group,
    interval,
    process_memory_bytes,
    queries_per_s,
    query_s,
)
from estimator.predict.retrieval_load import Load, answered_per_s, latency_s, latency_share_s
from estimator.validation.report import CasePrediction

Row = Mapping[str, str]
METRICS = {"memory_gb": "memory", "build_s": "build", "qps": "query", "latency_ms": "query", "load_s": "build"}
UNITS = {"memory_gb": "GB", "build_s": "s", "qps": "1/s", "latency_ms": "ms", "load_s": "s"}
ENGINE_WORDS = {
    **{name: name for name in SERVERS},
    **{"zilliz": "milvus", "elastic": "elasticsearch", "lucene": "elasticsearch", "pgvec": "pgvector"},
    **dict.fromkeys(("vespa", "mongodb", "lancedb", "vald", "typesense", "clickhouse"), "server"),
    **{name: name for name in LIBRARIES},
    "vamana": "diskann",
}
HNSW_ONLY = re.compile("usearch|hnswlib|weaviate|qdrant|chroma")
CODE = re.compile(
    r"(?:(?<![a-z_])|(?<=ivf)|_(?=sq)|(?<=sq_type[=:]))"
    r"((?:sq8|int8|sq6|sq4|int4|sqfp16|fp16|bf16|bfloat16|sqbf16)(?![a-z\d])|(?:pq|binary|bq)(?![a-z]))"
)
CODE_NAMES = {"int8": "sq8", "int4": "sq4", "sqfp16": "fp16", "bfloat16": "bf16", "sqbf16": "bf16", "bq": "binary"}
SPARSE_DIM = 10_000  # no embedding model makes dense vectors this wide
FILTERED = re.compile(r"filter|mt_threshold|threshold_1|selector")
# What a setting is called, in any engine's words: in lower case, underscores and hyphens left out.
SETTINGS = {
    "m": "m|maxconnections|maxlinkspernode|hnswm|connectivity|hnsw",
    "ef_construction": "efc|efconstruction|efconstruct|expansionadd|neighborstoexploreatinsert",
    "ef": "ef|efsearch|hnswef|hnswefsearch|numcandidates|expansionsearch|efruntime",
    "lists": "nlists?|lists|ivf|ncentroids",
    "probes": "nprobes?|probes",
    "degree": "r|maxdegree|bp|graphdegree",
    "search_list": "ls|lsearch|searchlist|searchlistsize|lpq",
    "build_list": "l|lbuild|buildlist|searchlistbuild",
    "pq_bytes": "pq|pqm|pqbytes|codesize",
    "refine": "refine|refinek|refinekfactor|oversampling|rescore|oversample|oversamplefactor",
}
LOAD_BATCH = 100.0  # vectors in one request of a load
SHARES = {"p50": 0.5, "median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SETTING = re.compile(r"(?<![a-z])([a-z][a-z_-]*)['\"]?\s*[=:]?\s*['\"]?(\d+(?:\.\d+)?)(?:x(\d))?")


@dataclass(frozen=True, slots=True)
class Run:
    """One row's configuration. filtered: its time depends on filters that are not described.

    load: who searches, none where nobody says; share: of the queries its latency is of, none for the mean
    """

    plan: IndexPlan
    machine: Host
    filtered: bool
    assumed: bool
    load: Load | None = None
    share: float | None = None


def read_run(row: Row) -> Run:
    """The configuration of a row. Raises EstimatorError, saying what is missing or not modelled."""
    vectors, dim = _count(row, "n_vectors"), _count(row, "dim")
    text = f"{row.get('index', '')} {row.get('params', '')}".lower()
    if re.search(r"\bgpu|cagra", f"{text} {row.get('hardware', '').lower()}"):
        raise InvalidInput("searches on a GPU are not modelled")
    index, assumed = _index(text, sparse=dim >= SPARSE_DIM)
    filtered = bool(FILTERED.search(text))
    plan = IndexPlan(
        vectors,
        dim,
        index=index,
        dtype=_dtype(text),
        engine=_engine(text),
        k=_count(row, "k") if row.get("k") else default("k"),
        metadata_bytes=default("filter_bytes") if filtered else 0.0,
        nonzeros=default("sparse_nonzeros") if dim >= SPARSE_DIM else None,
    )
    settings: dict[str, Any] = _settings(text)
    plan = _tuned(plan._replace(**settings), row)
    machine = host(row.get("hardware", ""))
    return Run(plan._replace(segments=_segments(row)), machine, filtered, assumed, _load(row), _share(row))


def _segments(row: Row) -> float | None:
    """Pieces that are searched one by one; none where nobody says."""
    text = row.get("segments", "").strip().lower()
    return 1.0 if text == "merged" else _count(row, "segments") if numeral(text) else None


def _load(row: Row) -> Load | None:
    """Clients in a closed loop; one alone where latencies were taken one after the other."""
    clients = _count(row, "concurrency") if numeral(row.get("concurrency", "")) else None
    if clients is None and re.search(r"serial|single|one at a time", row.get("latency_kind", "").lower()):
        clients = 1.0
    return None if clients is None else Load(clients=clients)


def _share(row: Row) -> float | None:
    """What share of the queries a latency is of; none for the mean."""
    return next((SHARES[w] for w in SHARES if row.get("latency_kind", "").lower().startswith(w)), None)


def _count(row: Row, column: str) -> float:
    value = numeral(row.get(column, "")) or 0.0
    if not 0 < value < 1e15:
        raise InvalidInput(f"the case states no usable {column!r}")
    return value


def _index(text: str, sparse: bool) -> tuple[str, bool]:
    """Name of the index, and whether it is a guess from a graph's parameters."""
    code = _code(text)
    if sparse:
        return ("hnsw" if re.search(r"hnsw|ef", text) else "flat"), True
    if re.search(r"\bivf|ivf\d|ivf(?:flat|pq|sq)|inverted", text):
        return "ivf" + code, False
    if re.search(r"hnsw(?!\d+\])", text):  # HNSW32 in brackets searches centroids
        return "hnsw" + code, False
    if "vamana" in text or re.search(r"\br\d+_l\d+", text):
        return "vamana" + code, not re.search("vamana|diskann", text)
    if "diskann" in text:
        return "diskann", False
    if re.search(r"\bbp\d+_", text.replace("_bp", " bp")):
        return "vamana" + code, True
    if HNSW_ONLY.search(text):
        return "hnsw" + code, False
    if re.search(r"\bflat\b|brute|exact|\blinear", text):
        return "flat" + code, False
    raise InvalidInput(f"nothing is known about how large or fast the index {clipped(text.strip())} is")


def _code(text: str) -> str:
    """Code of compressed vectors in a name's words. Raises InvalidInput for one that is not known."""
    found = CODE.search(text)
    name = CODE_NAMES.get(found[1], found[1]) if found else ""
    if not name and (other := re.search(r"(?<![a-z])(sq_?\d+|rabitq|bbq|rq\d*|tq\d+|sq_type\s*[=:]\s*\w+)", text)):
        raise InvalidInput(f"how large or fast vectors coded as {other[1]} are is not known")
    return name and f"-{name}"


def _dtype(text: str) -> str:
    found = re.search(r"uint8|float16|halfvec|bfloat16", text)
    return {"halfvec": "float16"}.get(found[0], found[0]) if found else "float32"


def _engine(text: str) -> str:
    return next((engine for word, engine in ENGINE_WORDS.items() if word in text), "faiss")


def _settings(text: str) -> dict[str, float]:
    """Every setting the text states, whatever it is called there; `pq64x4` is 64 pieces of 4 bits."""
    found = {}
    for name, number, bits in SETTING.findall(text):
        setting = _known(re.sub("[_-]", "", name)) or _known(re.split("[_-]", name.strip("_-"))[-1])
        if setting and float(number) > 0:
            found[setting] = float(number) * (float(bits) / 8 if bits else 1.0)
    return found


def _known(name: str) -> str | None:
    return next((setting for setting, words in SETTINGS.items() if re.fullmatch(words, name)), None)


def _tuned(plan: IndexPlan, row: Row) -> IndexPlan:
    """ef from the recall it was tuned to, where a graph's row does not say."""
    graph = plan.index.startswith(("hnsw", "vamana", "diskann"))
    if not graph or plan.ef is not None or plan.search_list is not None or not row.get("recall"):
        return plan
    try:
        ef = float(ef_for_recall(float(row["recall"])))
    except ValueError:
        return plan
    return plan._replace(ef=ef, search_list=ef)


def predict(run: Run, metric: str, resident: float | None = None) -> float:
    """The run's metric, in its unit. Raises InvalidInput for a metric or a search that is not modelled."""
    if metric == "memory_gb":
        return float(process_memory_bytes(run.plan, run.machine, resident)) / 1e9
    if run.filtered or run.plan.nonzeros is not None:
        raise InvalidInput("times of filtered and of sparse searches are not modelled")
    if run.assumed:
        raise InvalidInput("how fast this kind of graph is built and searched is not known, only its size")
    if metric == "build_s":
        return float(build_s(run.plan, run.machine))
    if metric == "load_s":
        rate = sent_per_s(1.0, LOAD_BATCH, float(run.plan.d), default("client_value_s"), default("round_trip_s"))
        return float(load_s(run.plan.n / rate, build_s(run.plan, run.machine)))
    if metric == "qps":
        return float(queries_per_s(run.plan, run.machine) if run.load is None else answered_per_s(*_asked(run)))
    if run.load is None and run.share is None:
        return 1e3 * float(query_s(run.plan, run.machine))
    if run.share is None:
        return 1e3 * float(latency_s(*_asked(run)))
    return 1e3 * float(latency_share_s(run.share, *_asked(run)))


def _asked(run: Run) -> tuple[IndexPlan, Host, Load | None]:
    return run.plan, run.machine, run.load


def predict_cases(rows: Iterable[Row]) -> list[CasePrediction]:
    """A prediction for every row, or why there is none."""
    return [_predicted(row) for row in rows]


def _predicted(row: Row) -> CasePrediction:
    metric = row.get("metric", "")
    empty = CasePrediction(
        row.get("id", ""), row.get("source", ""), metric, UNITS.get(metric, ""), None, None, None, "unsupported"
    )
    try:
        if metric not in METRICS:
            raise UnknownName("retrieval metric", metric, METRICS, f"Known are {', '.join(METRICS)}.")
        run = read_run(row)
        value = predict(run, metric)
        honest = left_out(run, row.get("source", ""), metric)
    except EstimatorError as error:
        return replace(empty, reason=str(error))
    low, high = interval(METRICS[metric], run.plan, run.machine)
    if metric == "qps":
        low, high = 1 / high, 1 / low
    return replace(
        empty,
        predicted=value,
        low=low * value,
        high=high * value,
        status="ok",
        reason=run.machine.note,
        fits=_fits(run),
        fitted=honest is not None,
        predicted_loso=honest,
    )


def _fits(run: Run) -> bool | None:
    """Whether the machine has the memory; unknown where it is not stated."""
    if run.machine.memory_bytes is None:
        return None
    return bool(process_memory_bytes(run.plan, run.machine) <= run.machine.memory_bytes)


def left_out(run: Run, source: str, metric: str) -> float | None:
    """The prediction by constants fitted without this run; `None` if its source was not fitted to."""
    fit = retrieval_fit()
    if metric == "memory_gb":
        without = fit["resident_folds"].get(source, {}).get(run.plan.index)
        return None if without is None else predict(run, metric, resident=without)
    folds = fit["groups"][group(run.plan)]["folds"].get(source, {})
    grid = f"{float(run.plan.n):.0f}x{float(run.plan.d):.0f}"
    rates = folds.get(grid) or folds.get(run.machine.family)
    if rates is None or metric not in ("qps", "latency_ms", "build_s"):
        return None
    machine = run.machine._replace(rates=at_speed(SearchRates(**rates), run.machine.speed))
    return predict(replace(run, machine=machine), metric)
