"""Vector indexes really built and searched on this machine, and the constants they give its predictions.

Times are CPU time of one thread, for queries the least of a few blocks: other work on the machine disturbs them little.
Every block has queries of its own, or the second would find what it needs in the cache. A probe before and after each
index tells how much slower than at its best the machine was, and the times are divided by that. Data are seeded
clusters of low intrinsic dimension, as embeddings have; recall is not judged.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.retrieval import Host, fitted_rates, local_host_path
from estimator.errors import InvalidInput, MissingExtra
from estimator.fitting.retrieval import GraphTimes, fit_rates
from estimator.formulas.retrieval import SearchRates

Vectors = NDArray[np.float32]
Setup = tuple[int, int, int, int]  # vectors, dimensions, M, efC

# The cheap ones first, so that a small budget still covers a range. The last are larger than a 32 MB cache.
SETUPS: tuple[Setup, ...] = (
    (10_000, 128, 8, 64),
    (10_000, 768, 8, 64),
    (30_000, 128, 16, 64),
    (20_000, 384, 16, 128),
    (60_000, 128, 8, 128),
    (30_000, 768, 16, 64),
    (100_000, 128, 16, 64),
    (100_000, 96, 32, 128),
    (60_000, 384, 16, 64),
)
LARGER: tuple[Setup, ...] = ((300_000, 128, 16, 64), (300_000, 384, 16, 64), (1_000_000, 128, 16, 64))
SEARCHES = (16, 48, 128, 384)  # ef
RESULTS = (1, 10)  # k
BLOCKS, QUERIES = 3, 200  # blocks of queries
CLUSTERS, INTRINSIC = 100, 32
LIBRARIES = ("faiss", "usearch")
MACHINE_SPREAD = {
    "ef_power": 0.1,
    "m_power": 0.15,
    "size_power": 1.0,
    "bytes_per_s": 1.0,
    "overhead_bytes": 1.0,
    "build_factor": 0.5,
    "request_s": 2.0,
    "result_s": 2.0,
    "cached_share": 0.2,
}


@dataclass(frozen=True, slots=True)
class IndexRun:
    """One timing. what: build (of the whole index), query, scan (of all vectors), assign (FLOP of a product).

    ef: candidates kept while building or searching [1]; seconds: of one core, per build or per query [s]
    """

    library: str
    what: str
    vectors: int
    dim: int
    m: int
    ef: int
    k: int
    seconds: float


def setups(largest: int = 100_000) -> tuple[Setup, ...]:
    """Indexes to measure, none with more vectors than `largest`; the smallest always.

    >>> max(vectors for vectors, *_ in setups(1_000_000))
    1000000
    """
    return tuple(setup for setup in (*SETUPS, *LARGER) if setup[0] <= max(largest, SETUPS[0][0]))


def clustered(vectors: int, dim: int, seed: int = 0) -> Vectors:
    """Unit vectors around 100 overlapping centres, spread along 32 directions and a little along all [vectors, dim]."""
    random = np.random.default_rng(seed)
    centres = np.float32(0.5) * random.standard_normal((CLUSTERS, dim), np.float32)
    points = centres[random.integers(CLUSTERS, size=vectors)]
    directions = random.standard_normal((INTRINSIC, dim), np.float32) / np.float32(INTRINSIC**0.5)
    points += random.standard_normal((vectors, INTRINSIC), np.float32) @ directions
    points += np.float32(0.2) * random.standard_normal((vectors, dim), np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def measure(
    library: str = "faiss", budget_s: float = 60.0, setups: Sequence[Setup] = SETUPS, seed: int = 0
) -> list[IndexRun]:
    """Build and search the setups in their order while the budget of CPU time lasts; at least the first.

    Raises MissingExtra without the library, InvalidInput for one that is not known.
    """
    if library not in LIBRARIES:
        raise InvalidInput(f"indexes are measured with {' or '.join(LIBRARIES)}, not {library!r}")
    probe = _probe()
    batches: list[tuple[float, list[IndexRun]]] = []
    start, before = time.process_time(), probe()
    for setup in setups:
        used = time.process_time() - start
        if batches and used + _expected_s(batches[-1][1][0], setup) > budget_s:
            break
        runs = list(_measured(library, setup, seed))
        after = probe()
        batches.append(((before + after) / 2, runs))
        before = after
    return _without_drift(batches)


def _probe() -> Callable[[], float]:
    """A task like a search, comparing scattered vectors of 64 MB with one [s]; the least of three."""
    random = np.random.default_rng(0)
    data, one = random.standard_normal((131_072, 128), np.float32), random.standard_normal(128, np.float32)
    order = random.permutation(len(data))[:32_768]
    return lambda: min(_once(lambda: data[order] @ one) for _ in range(3))


def _without_drift(batches: Sequence[tuple[float, list[IndexRun]]]) -> list[IndexRun]:
    """Times as the machine would have taken at its best."""
    best = min(probe for probe, _ in batches)
    return [replace(run, seconds=run.seconds * best / probe) for probe, runs in batches for run in runs]


def _expected_s(last: IndexRun, setup: Setup) -> float:
    """What a setup will take, from the last build and its n d efC."""
    return last.seconds * setup[0] * setup[1] * setup[3] / (last.vectors * last.dim * last.ef)


def _measured(library: str, setup: Setup, seed: int) -> Iterator[IndexRun]:
    vectors, dim, m, ef_construction = setup
    points = clustered(vectors + BLOCKS * QUERIES, dim, seed)
    data, blocks = points[:vectors], np.split(points[vectors:], BLOCKS)
    build, search = (_faiss if library == "faiss" else _usearch)(dim, m, ef_construction)
    yield IndexRun(library, "build", *setup, 0, _once(build, data))
    for ef in SEARCHES:
        for k in RESULTS:
            seconds = min(_once(search, block, ef, k) for block in blocks) / QUERIES
            yield IndexRun(library, "query", vectors, dim, m, ef, k, seconds)
    yield from _scans(library, data, blocks[0])


def _scans(library: str, data: Vectors, queries: Vectors) -> Iterator[IndexRun]:
    """All vectors against one query, as a flat index does; and against many, as k-means does."""
    vectors, dim = data.shape
    yield IndexRun(library, "scan", vectors, dim, 0, 0, 1, min(_once(np.dot, data, query) for query in queries[:5]))
    some = np.ascontiguousarray(data[:8192].T)
    seconds = min(_once(np.dot, queries, some) for _ in range(3)) / len(queries) * vectors / some.shape[1]
    yield IndexRun(library, "assign", vectors, dim, 0, 0, 1, seconds)


def _once(task: Callable[..., Any], *args: Any) -> float:
    """CPU time of all threads of this process [s]."""
    start = time.process_time()
    task(*args)
    return max(time.process_time() - start, 1e-9)


Searches = tuple[Callable[[Vectors], Any], Callable[[Vectors, int, int], Any]]


def _faiss(dim: int, m: int, ef_construction: int) -> Searches:
    faiss = _library("faiss", "faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(dim, m)
    index.hnsw.efConstruction = ef_construction

    def search(queries: Vectors, ef: int, k: int) -> Any:
        index.hnsw.efSearch = ef
        return index.search(queries, k)

    return index.add, search


def _usearch(dim: int, m: int, ef_construction: int) -> Searches:
    usearch = _library("usearch.index", "usearch")
    index = usearch.Index(ndim=dim, metric="l2sq", dtype="f32", connectivity=m, expansion_add=ef_construction)

    def search(queries: Vectors, ef: int, k: int) -> Any:
        index.expansion_search = ef
        return index.search(queries, k, threads=1)

    return lambda data: index.add(np.arange(len(data)), data, threads=1), search


def _library(module: str, name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra("faiss-cpu" if name == "faiss" else name, "measure") from None


def fit(runs: Iterable[IndexRun], cache_bytes: float | None = None) -> SearchRates:
    """Constants of this machine, in the form of the published ones.

    cache_bytes: of the processor's last level [B]; looked up when not given
    Raises InvalidInput when there is not at least one build and one query.
    """
    runs = list(runs)
    graph = [run for run in runs if run.what in ("build", "query")]
    if {run.what for run in graph} != {"build", "query"}:
        raise InvalidInput("fitting a machine takes at least one build and one query; measure a setup first")
    start = replace(
        fitted_rates("library"),
        scan_bytes_per_s=_rate(runs, "scan", 4.0) or fitted_rates("library").scan_bytes_per_s,
        flop_per_s=_rate(runs, "assign", 2.0) or fitted_rates("library").flop_per_s,
    )
    return fit_times(graph_times(graph), start, cache_bytes)


def fit_times(times: GraphTimes, start: SearchRates | None = None, cache_bytes: float | None = None) -> SearchRates:
    """Constants of the machine that took these times; what they say nothing of stays as in `start`."""
    start = replace(
        start or fitted_rates("library"),
        cache_bytes=last_level_cache_bytes() if cache_bytes is None else cache_bytes,
        cached_share=0.5,
    )
    return fit_rates(times, start, MACHINE_SPREAD, weight=len(times.k))


def graph_times(runs: Iterable[IndexRun]) -> GraphTimes:
    """Builds and queries as arrays."""
    return GraphTimes.of(
        [
            (r.vectors, 4 * r.dim, r.m, r.ef, 0 if r.what == "build" else r.k, r.seconds)
            for r in runs
            if r.what in ("build", "query")
        ]
    )


def _rate(runs: Iterable[IndexRun], what: str, per_value: float) -> float | None:
    """Values compared per second, times `per_value` bytes or FLOP each; that of the largest index."""
    largest = max((run for run in runs if run.what == what), key=lambda run: run.vectors * run.dim, default=None)
    return per_value * largest.vectors * largest.dim / largest.seconds if largest else None


def last_level_cache_bytes(missing: float = 32.0 * 2**20) -> float:
    """Size of the last-level cache [B] as Linux states it, else a common one."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(float(text.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(text[-1:], 1))
    return max(sizes, default=missing)


def this_machine(runs: Iterable[IndexRun]) -> Host:
    """The machine at hand with its measured constants."""
    runs = list(runs)
    rates = fit(runs)
    cores = float(os.cpu_count() or 1)
    return Host("this machine", cores, cores * rates.scan_bytes_per_s, rates=rates, basis="measured")


def save(runs: Iterable[IndexRun], path: str | Path | None = None) -> Path:
    """Write runs and the machine fitted to them as JSON, by default where `local` looks for it; returns the path."""
    runs, file = list(runs), Path(path or local_host_path())
    content = {"machine": asdict(this_machine(runs)), "runs": [asdict(run) for run in runs]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return file
