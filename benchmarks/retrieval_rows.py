"""Measured and published timings of vector search as the fit reads them: who searched what, and its core time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from estimator.catalog.cases import published, read_cases
from estimator.catalog.files import rows
from estimator.catalog.retrieval import code_build
from estimator.errors import EstimatorError
from estimator.paths import data_folder
from estimator.predict.retrieval import IndexPlan, group
from estimator.validation.retrieval import Run, read_run

MEASURED = data_folder("calibration") / "measured" / "vector_index.csv"
STORES = data_folder("calibration") / "measured" / "vector_stores.csv"
STEPS = data_folder("calibration") / "measured" / "engine_steps.csv"
CACHE_BYTES = 32.0 * 2**20  # of the machine of the own timings
LATE, DISTURBED = 0.6, 1.7  # of the median of its like: core time not noted yet, or taken by what else ran
# Measured on a machine of one's own, and what makes an index; of these in the caller's process, without a path around.
SERVERS_HERE = {"pgvector": ("build",), "chroma": ("load",), "redis": ("load",), "qdrant": ("build",)}
IN_PROCESS = ("qdrant",)


@dataclass(frozen=True, slots=True)
class Case:
    """A published row that can be read: its source, metric, configuration and value."""

    id: str
    source: str
    metric: str
    run: Run
    value: float

    @property
    def grid(self) -> str:
        """Number and width of the vectors; one of these is left out at a time."""
        return f"{float(self.run.plan.n):.0f}x{float(self.run.plan.d):.0f}"

    @property
    def core_s(self) -> float:
        """Measured time of one core, per query or per built index [s]."""
        cores = self.run.machine.cores
        return cores / self.value if self.metric == "qps" else cores * self.value


def cases() -> list[Case]:
    """Every row whose configuration says enough."""
    found = []
    for row in read_cases(published("retrieval")):
        try:
            case = Case(row["id"], row["source"], row["metric"], read_run(row), float(row["value"]))
        except EstimatorError:
            continue
        if case.value > 0:
            found.append(case)
    return found


def graph_row(case: Case) -> tuple[float, ...]:
    """(vectors, code bytes, M, candidates, k, seconds), as GraphTimes takes it."""
    plan = case.run.plan
    vamana = plan.index.startswith("vamana")
    m = plan.value("degree") / 2 if vamana else plan.value("m")
    if case.metric == "build_s":
        kept, k = plan.value("build_list" if vamana else "ef_construction"), 0.0
    else:
        kept, k = plan.value("search_list" if vamana else "ef"), float(np.asarray(plan.k))
    return float(plan.n), float(plan.code_bytes), float(m), float(kept), k, case.core_s


def server_cases(every: Sequence[Case]) -> list[Case]:
    """Queries and builds of HNSW in a database; a build is repeated in every row of its index and counts once."""
    chosen: dict[object, Case] = {}
    for case in every:
        hnsw = case.run.plan.index.startswith("hnsw") and not case.run.assumed
        if hnsw and group(case.run.plan) == "server" and case.metric in ("qps", "build_s"):
            key = (case.grid, case.metric, graph_row(case)[1:])
            chosen.setdefault(key, case)
    return list(chosen.values())


def library_cases(every: Sequence[Case]) -> list[Case]:
    """Queries of unfiltered Vamana graphs whose degree and search list are stated."""
    return [
        case
        for case in every
        if case.run.plan.index == "vamana"
        and case.metric == "qps"
        and case.run.plan.degree is not None
        and case.run.plan.search_list is not None
        and not (case.run.filtered or case.run.assumed)
    ]


def measured_rows() -> tuple[list[tuple[float, ...]], dict[str, float]]:
    """Timings of this project's own machine, and its scan and product rates (medians past the cache)."""
    graph: list[tuple[float, ...]] = []
    rates: dict[str, list[float]] = {"scan": [], "assign": []}
    for row in rows(MEASURED):
        n, d, seconds = float(row["vectors"]), float(row["dim"]), float(row["seconds"])
        if row["what"] not in rates:
            k = 0.0 if row["what"] == "build" else float(row["k"])
            graph.append((n, 4 * d, float(row["m"]), float(row["ef"]), k, seconds))
        elif 4 * n * d > CACHE_BYTES:
            rates[row["what"]].append({"scan": 4.0, "assign": 2.0}[row["what"]] * n * d / seconds)
    return graph, {name: float(np.median(values)) for name, values in rates.items()}


def codes() -> dict[str, dict[str, float]]:
    """Time of building and searching on codes over that on float32 vectors measured in turn; what they miss more."""
    found: dict[str, dict[str, list[float]]] = {}
    own = [row for row in rows(STORES) if row["server"].startswith("faiss")]
    for beside, row in pairwise(own):
        if row["code"] != "float32" and _search(row) == _search(beside) and beside["code"] == "float32":
            ratios = found.setdefault(
                CODE_NAMES.get(row["code"], row["code"]), {"build": [], "query": [], "missed": []}
            )
            ratios[row["what"]].append(float(row["core_ms"]) / float(beside["core_ms"]))
            if row["what"] == "query":
                ratios["missed"].append(max(float(beside["recall"]) - float(row["recall"]), 0.0))
    for code, ratio in code_build().items():
        found[code]["build"].append(ratio)
    return {
        code: {what: round(float(np.mean(values)), 4) for what, values in ratios.items()}
        for code, ratios in found.items()
    }


class Steps(NamedTuple):
    """What some engines do for each vector they compare, on the machine of the stores: a page read [s], and a byte
    compared by plain instructions beyond one by vector instructions [s]."""

    page_s: float
    plain_s_per_byte: float


def steps() -> Steps:
    """Medians of what was measured."""
    found: dict[str, list[float]] = {}
    for row in rows(STEPS):
        found.setdefault(row["what"], []).append(float(row["seconds"]) / max(4 * float(row["dim"]), 1.0))
    slower = np.subtract(found["product, plain"], found["product, vector"])
    return Steps(float(np.median(found["page"])), float(np.median(slower)))


CODE_NAMES = {"float16": "fp16", "bfloat16": "bf16"}


def _search(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("what", "data", "vectors", "dim", "m", "ef_construction", "ef", "k"))


def store_row(row: Mapping[str, str]) -> tuple[float, ...]:
    """(vectors, code bytes, M, candidates, k, core seconds of server and clients, segments) of a measured store."""
    query = row["what"] == "query"
    core_s = (float(row["core_ms"]) + (float(row["client_core_ms"]) if query else 0.0)) / 1e3
    graph = float(row["vectors"]), 4 * float(row["dim"]), float(row["m"])  # half of the bytes are no faster
    kept = row["ef"] if query else row["ef_construction"]
    return *graph, float(kept), float(row["k"]), core_s, float(row["segments"])


def filtered() -> dict[str, list[tuple[IndexPlan, float]]]:
    """Searches under filters by the database's name: what was asked, and their time over that of the same without one.

    Both were measured in one run: another day the machine was another.
    """
    found: dict[str, list[tuple[IndexPlan, float]]] = {}
    free: dict[str, float] = {}  # core time without a filter, of the last index measured
    for row in rows(STORES):
        name = next((name for name in SERVERS_HERE if row["server"].startswith(name)), "")
        if name and row["what"] == "query" and (row["ef"], row["k"], row["clients"]) == ("40", "10", "1"):
            n, d, m, ef, k, core_s, pieces = store_row(row)
            plan = IndexPlan(n, d / 4, engine=name, m=m, ef=ef, k=k, segments=pieces, passing=float(row["passing"]))
            if plan.passing == 1:
                free[name] = core_s
            else:
                found.setdefault(name, []).append((plan, core_s / free[name]))
    return found


def noted(name: str) -> list[dict[str, str]]:
    """Rows of a measured server, without those whose core time was read too early or was disturbed."""
    made = ("query", *SERVERS_HERE[name])
    found = [row for row in rows(STORES) if row["server"].startswith(name) and row["what"] in made]
    found = [row for row in found if float(row["passing"]) == 1]
    typical: dict[tuple[str, ...], list[float]] = {}
    for row in found:
        typical.setdefault(_like(row), []).append(float(row["core_ms"]))
    medians = {key: float(np.median(values)) for key, values in typical.items()}
    return [r for r in found if LATE < float(r["core_ms"]) / medians[_like(r)] < DISTURBED]


def _like(row: Mapping[str, str]) -> tuple[str, ...]:
    return (row["code"], row["segments"], *_search(row))
