"""Vector indexes really built and searched on this machine, and the constants they give its predictions.

Times are CPU time of one thread, which other work disturbs less than the clock on the wall; but a machine's speed jumps
from second to second, so all indexes are built in parts and searched in blocks, turn by turn. Every block has queries
of its own, or the second would find what it needs in the cache. Data are seeded clusters of low intrinsic dimension,
as embeddings have; recall is not judged.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.retrieval import Host, fitted_rates, local_host_path
from estimator.errors import InvalidInput, MissingExtra
from estimator.files import write_text
from estimator.fitting.retrieval import GraphTimes, fit_rates, left_out_errors
from estimator.fitting.robust import shrunk_sd
from estimator.formulas.retrieval import SearchRates, graph_build_s, graph_search_s
from estimator.measure.profile import own_folder

Vectors = NDArray[np.float32]
Setup = tuple[int, int, int, int]  # vectors, dimensions, M, efC

# The cheap ones first, each of another M, efC and width, so that a small budget still covers a range. The later ones
# are larger than a 32 MB cache.
SETUPS: tuple[Setup, ...] = (
    (4_000, 128, 16, 64),
    (3_000, 768, 8, 48),
    (12_000, 64, 8, 100),
    (4_000, 320, 32, 80),
    (14_000, 768, 8, 40),
    (20_000, 128, 12, 64),
    (30_000, 128, 16, 64),
    (20_000, 384, 16, 128),
    (60_000, 128, 8, 128),
    (30_000, 768, 16, 64),
    (100_000, 128, 16, 64),
    (100_000, 96, 32, 128),
    (60_000, 384, 16, 64),
)
LARGER: tuple[Setup, ...] = ((300_000, 128, 16, 64), (300_000, 384, 16, 64), (1_000_000, 128, 16, 64))
SEARCHES = ((16, 10), (48, 1), (48, 10), (128, 10), (384, 10))  # ef, k
PARTS, BLOCKS, QUERIES = 4, 5, 60  # parts of a build; blocks of queries, and queries of one
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
    noise: standard deviation of ln(seconds) from block to block of queries [1]
    """

    library: str
    what: str
    vectors: int
    dim: int
    m: int
    ef: int
    k: int
    seconds: float
    noise: float = 0.0


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
    """Build and search the first setups that a budget of CPU time allows; at least one.

    Raises MissingExtra without the library, InvalidInput for one that is not known.
    """
    if library not in LIBRARIES:
        raise InvalidInput(f"indexes are measured with {' or '.join(LIBRARIES)}, not {library!r}")
    graphs = [_Graph(library, setup, seed) for setup in _affordable(setups, budget_s)]
    for part in range(PARTS):
        for graph in graphs:
            graph.add(part)
    for part in range(BLOCKS):
        for graph in graphs:
            graph.search(part)
    return [run for graph in graphs for run in graph.runs()]


def _affordable(setups: Sequence[Setup], budget_s: float) -> list[Setup]:
    """The first setups that the budget allows by the published rates, on a machine of two thirds of their speed."""
    rates, chosen, left = fitted_rates("library"), list(setups[:1]), budget_s
    for setup in setups:
        vectors, dim, m, ef_construction = setup
        searches = [float(graph_search_s(vectors, 4 * dim, m, ef, k, rates)) for ef, k in SEARCHES]
        build = float(graph_build_s(vectors, 4 * dim, m, ef_construction, rates))
        left -= 1.5 * (build + BLOCKS * QUERIES * sum(searches))
        if left < 0:
            break
        chosen.append(setup)
    return list(dict.fromkeys(chosen))


class _Graph:
    """One index: built in parts and searched in blocks, so that every time comes from several moments."""

    def __init__(self, library: str, setup: Setup, seed: int) -> None:
        vectors, dim, m, ef_construction = setup
        points = clustered(vectors + BLOCKS * QUERIES, dim, seed)
        self.library, self.setup = library, setup
        self.data, self.queries = points[:vectors], np.split(points[vectors:], BLOCKS)
        self.parts = np.array_split(self.data, PARTS)
        self.build, self.find = (_faiss if library == "faiss" else _usearch)(dim, m, ef_construction)
        self.build_s: list[float] = []
        self.query_s: dict[tuple[int, int], list[float]] = {search: [] for search in SEARCHES}

    def add(self, part: int) -> None:
        """Insert a part of the vectors."""
        self.build_s.append(_once(self.build, self.parts[part]))

    def search(self, block: int) -> None:
        """Search for a block of queries, with every number of candidates."""
        for (ef, k), seconds in self.query_s.items():
            seconds.append(_once(self.find, self.queries[block], ef, k) / QUERIES)

    def runs(self) -> Iterator[IndexRun]:
        """What was timed, queries by their median."""
        vectors, dim, m, _ = self.setup
        yield IndexRun(self.library, "build", *self.setup, 0, sum(self.build_s))
        for (ef, k), seconds in self.query_s.items():
            noise = round(float(np.std(np.log(seconds))), 3)
            yield IndexRun(self.library, "query", vectors, dim, m, ef, k, median(seconds), noise)
        yield from _scans(self.library, self.data, self.queries[0])


def _scans(library: str, data: Vectors, queries: Vectors) -> Iterator[IndexRun]:
    """All vectors against one query, as a flat index does; and against many, as k-means does."""
    vectors, dim = data.shape
    yield IndexRun(library, "scan", vectors, dim, 0, 0, 1, min(_once(np.dot, data, query) for query in queries[:5]))
    some = np.ascontiguousarray(data[:8192].T)
    seconds = min(_once(np.dot, queries, some) for _ in range(3)) / len(queries) * vectors / some.shape[1]
    yield IndexRun(library, "assign", vectors, dim, 0, 0, 1, seconds)


def _once(task: Callable[..., object], *args: object) -> float:
    """CPU time of all threads of this process [s]."""
    start = time.process_time()
    task(*args)
    return max(time.process_time() - start, 1e-9)


Searches = tuple[Callable[[Vectors], object], Callable[[Vectors, int, int], object]]


def _faiss(dim: int, m: int, ef_construction: int) -> Searches:
    faiss = _library("faiss", "faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(dim, m)
    index.hnsw.efConstruction = ef_construction

    def search(queries: Vectors, ef: int, k: int) -> object:
        index.hnsw.efSearch = ef
        return index.search(queries, k)

    return index.add, search


def _usearch(dim: int, m: int, ef_construction: int) -> Searches:
    usearch = _library("usearch.index", "usearch")
    index = usearch.Index(ndim=dim, metric="l2sq", dtype="f32", connectivity=m, expansion_add=ef_construction)

    def search(queries: Vectors, ef: int, k: int) -> object:
        index.expansion_search = ef
        return index.search(queries, k, threads=1)

    return lambda data: index.add(np.arange(len(index), len(index) + len(data)), data, threads=1), search


def _library(module: str, name: str) -> ModuleType:
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
    start = fitted_rates("library")._replace(
        scan_bytes_per_s=_rate(runs, "scan", 4.0) or fitted_rates("library").scan_bytes_per_s,
        flop_per_s=_rate(runs, "assign", 2.0) or fitted_rates("library").flop_per_s,
    )
    return fit_times(graph_times(graph), start, cache_bytes)


def fit_times(times: GraphTimes, start: SearchRates | None = None, cache_bytes: float | None = None) -> SearchRates:
    """Constants of the machine that took these times; what they say nothing of stays as in `start`."""
    start = (start or fitted_rates("library"))._replace(
        cache_bytes=last_level_cache_bytes() if cache_bytes is None else cache_bytes,
        cached_share=0.5,
    )
    return fit_rates(times, start, MACHINE_SPREAD, weight=len(times.k))


def spread(runs: Sequence[IndexRun], believed: float = 0.15, count: float = 3.0) -> dict[str, float]:
    """Standard deviation of ln(predicted / measured) of builds and of queries, by constants fitted without their index.

    believed: what it is thought to be, as if that had been seen on `count` indexes [1]
    """
    graph = [run for run in runs if run.what in ("build", "query")]
    indexes = [(run.vectors, run.dim, run.m) for run in graph]
    if len(set(indexes)) < 2:
        return {"build": 2 * believed, "query": 2 * believed}
    errors, _ = left_out_errors(graph_times(graph), indexes, fit_times)
    number = len(set(indexes))
    own = {what: float(np.sqrt(np.mean(errors[[r.what == what for r in graph]] ** 2))) for what in ("build", "query")}
    return {what: round(shrunk_sd(sd, number, believed, count), 3) for what, sd in own.items()}


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
    machine = this_machine(runs)
    told = machine._asdict() | {"rates": machine.rates and machine.rates._asdict()}
    content = {"machine": told, "runs": [asdict(run) for run in runs]}
    own_folder(file)
    write_text(file, json.dumps(content, indent=1) + "\n")
    return file
