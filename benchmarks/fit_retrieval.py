"""Fits the constants of vector search; writes calibration/fitted/retrieval.json and benchmarks/accuracy_retrieval.md.

Fitted to: calibration/published/retrieval.csv, the index timings in calibration/measured/vector_index.csv and the
servers in calibration/measured/vector_stores.csv. A database has constants of its own; one that was not measured gets
the geometric mean of those that were, with the steps it is known to take (calibration/measured/engine_steps.csv), and
its range comes from leaving out one database at a time.
Run: python benchmarks/fit_retrieval.py
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from range_coverage import ranges_from
from retrieval_rows import (
    CACHE_BYTES,
    IN_PROCESS,
    MEASURED,
    SERVERS_HERE,
    STEPS,
    STORES,
    Case,
    cases,
    codes,
    filtered,
    graph_row,
    library_cases,
    measured_rows,
    noted,
    server_cases,
    steps,
    store_row,
)
from tabulate import tabulate

from estimator.catalog.cases import file_hash, published, read_cases
from estimator.catalog.engines import serving_fit
from estimator.catalog.files import rows, use_facts
from estimator.catalog.retrieval import Host, fit_file, retrieval_fit, workings
from estimator.errors import EstimatorError
from estimator.fitting.retrieval import GraphTimes, fit_rates, left_out_errors
from estimator.formulas.retrieval import SearchRates, ivf_search_s
from estimator.measure.index import fit_times
from estimator.predict.retrieval import at_speed, group, index_memory_bytes, process_memory_bytes, query_s, traits
from estimator.quantities import Z80
from estimator.validation.retrieval import METRICS, left_out, predict, read_run

Floats = NDArray[np.float64]
REPORT = Path(__file__).with_name("accuracy_retrieval.md")
LEFT, WIDTH = 0.2, 1536.0  # share of a constant that no known step explains; bytes of a typical vector
OUTLIERS = ("big-ann-0564-build_s", "big-ann-0565-build_s")  # 21 s for ten million vectors: loads an index built before

# What is believed before the data. The visits' powers were counted in faiss graphs (its own statistics, 5-60 thousand
# clustered vectors); with log n a graph grows deeper and a larger index is slower to read; the rest is of the order
# that memory accesses and requests cost.
PRIOR = SearchRates(
    visits=6.6,
    ef_power=0.9,
    m_power=0.6,
    size_power=1.5,
    descent=7.0,
    bytes_per_s=3e9,
    overhead_bytes=1000.0,
    build_factor=1.2,
    request_s=5e-4,
    result_s=2e-5,
    scan_bytes_per_s=8e9,
    flop_per_s=4e10,
)
SERVER_SPREAD = {
    "ef_power": 0.05,
    "m_power": 0.15,
    "size_power": 0.7,
    "bytes_per_s": 0.7,
    "overhead_bytes": 0.5,
    "build_factor": 0.3,
    "request_s": 1.0,
    "result_s": 1.0,
}
# A library visits as many vectors as a database does; how fast, and what a call costs, is its machine's.
EVERY = {"query": 4, "build": 2}  # of weaviate's rows, where no database may hold more than half
LIBRARY_SPREAD = {"bytes_per_s": 1.0, "build_factor": 0.3, "request_s": 2.0, "result_s": 2.0, "cached_share": 0.2}


def fit_probe_s(every: Sequence[Case], library: SearchRates) -> float:
    """Fixed time of a probed list [s]: median over the billion-vector rows of what scan and centroids leave."""
    left = []
    for case in every:
        plan = case.run.plan
        if plan.index == "ivf-pq" and case.metric == "qps" and plan.probes is not None:
            rest = case.core_s - float(
                ivf_search_s(plan.n, plan.d, plan.code_bytes, plan.list_count, plan.probe_count, plan.k, library)
            )
            left.append(max(rest, 0.0) / float(plan.probe_count))
    return float(np.median(left)) if left else 0.0


def resident_ratios(every: Sequence[Case]) -> dict[str, float]:
    """Measured process memory over the index's formula, by kind of index (median), where all that decides is stated."""
    ratios: dict[str, list[float]] = {}
    for case in every:
        plan = case.run.plan
        stated = {"vamana": plan.degree, "ivf-sq8": plan.lists, "hnsw": plan.m}.get(plan.index)
        if case.metric == "memory_gb" and stated is not None and not case.run.assumed:
            ratios.setdefault(plan.index, []).append(case.value * 1e9 / float(index_memory_bytes(plan)))
    return {index: float(np.median(values)) for index, values in sorted(ratios.items())}


def resident_without(ratios: Mapping[str, float], left_out: str) -> float:
    """Median over the kinds of index, one left out."""
    return round(float(np.median([ratio for index, ratio in ratios.items() if index != left_out])), 4)


def operating_point() -> dict[str, float]:
    """Share of neighbours missed at ef, 1 - recall = a ef^-p, over all published graphs searched for ten results."""
    points = []
    for row in read_cases(published("retrieval")):
        if row["metric"] == "qps" and row["recall"] and row["k"] == "10":
            try:
                ef = read_run({**row, "recall": ""}).plan.ef
            except EstimatorError:
                continue
            if ef is not None and float(row["recall"]) < 1:
                points.append((np.log(float(np.asarray(ef))), np.log(1 - float(row["recall"]))))
    x, y = np.array(points).T
    slope, intercept = np.polyfit(x, y, 1)
    off = y - (slope * x + intercept)
    found = {"missed_at_ef_1": np.exp(intercept), "power": -slope, "log_sd": np.sqrt(np.mean(off**2))}
    found["k_power"] = more_results()
    return {name: float(value) for name, value in found.items()}


def more_results() -> float:
    """Power of k by which a hundred results ask for more candidates than ten that are found as well, median here.

    Of an index, recall of ten results is interpolated in the logarithms of what is missed and of ef.
    """
    found: dict[tuple[str, ...], dict[tuple[float, float], float]] = {}
    for row in rows(STORES):
        if row["what"] == "query" and float(row["passing"]) == 1 and 0 < float(row["recall"]) < 1:
            index = tuple(row[name] for name in ("server", "data", "vectors", "dim", "m", "code", "segments"))
            found.setdefault(index, {})[float(row["ef"]), float(row["k"])] = np.log(1 - float(row["recall"]))
    powers = []
    for points in found.values():
        tens = sorted((missed, np.log(ef)) for (ef, k), missed in points.items() if k == 10)
        for (ef, k), missed in points.items():
            if k > 10 and len(tens) > 1 and tens[0][0] < missed < tens[-1][0]:
                alike = float(np.interp(missed, *zip(*tens, strict=True)))
                powers.append((np.log(ef) - alike) / np.log(k / 10))
    return float(np.median(powers))


def median_error(log_errors: Floats) -> float:
    """Median of |ln(predicted / measured)|."""
    return float(np.median(np.abs(log_errors)))


@dataclass(frozen=True, slots=True)
class Part:
    """One group of timings: its constants, those without each fold, and errors in the fit and left out."""

    rates: SearchRates
    folds: dict[str, dict[str, SearchRates]]  # by source, by what is left out of it
    times: GraphTimes
    errors: Floats
    left_out: Floats
    cells: list[str]

    @property
    def build(self) -> NDArray[np.bool_]:
        """Which rows are builds."""
        return np.asarray(self.times.k == 0)


def fit_server(every: Sequence[Case]) -> Part:
    """Databases; one grid of vectors is left out at a time."""
    chosen = server_cases(every)
    times = GraphTimes.of([graph_row(case) for case in chosen])

    def fit(part: GraphTimes) -> SearchRates:
        return fit_rates(part, PRIOR, SERVER_SPREAD)

    left_out, folds = left_out_errors(times, [case.grid for case in chosen], fit)
    rates = fit(times)
    return Part(rates, {"weaviate": folds}, times, times.log_errors(rates), left_out, [case.grid for case in chosen])


def fit_library(every: Sequence[Case], server: SearchRates) -> tuple[Part, dict[str, float]]:
    """Libraries compare vectors as databases do, on each machine at its own speed; a call costs less.

    Returns the constants at the speed of the published grids' machine, and the speeds of the machines seen; a machine
    is left out by giving it the geometric mean of the others.
    """
    chosen, (own_rows, own_rates) = library_cases(every), measured_rows()
    own, published_times = GraphTimes.of(own_rows), GraphTimes.of([graph_row(case) for case in chosen])
    start = server._replace(
        request_s=3e-6,
        result_s=1e-7,
        cache_bytes=CACHE_BYTES,
        cached_share=0.6,
        scan_bytes_per_s=own_rates["scan"],
        flop_per_s=own_rates["assign"],
    )
    here = fit_rates(own, start, LIBRARY_SPREAD)
    speeds = {"n4-": 1.0, "own": here.bytes_per_s / server.bytes_per_s}
    rates = at_speed(here, 1 / speeds["own"])._replace(**own_only(own_rates))
    families = np.array([case.run.machine.family for case in chosen])
    raw = published_times.log_errors(rates)
    speeds |= {str(name): float(np.exp(np.median(raw[families == name]))) for name in sorted(set(families))}
    labels = np.array(["own"] * len(own.k) + families.tolist())
    errors = np.concatenate([own.log_errors(at_speed(rates, speeds["own"])), raw - log_speeds(families, speeds)])
    without = {name: mean_speed(speeds, name) for name in speeds}
    left_out = errors + log_speeds(labels, speeds) - log_speeds(labels, without)
    folds = {name: at_speed(rates, without[name] / speeds[name]) for name in sorted(set(families.tolist()))}
    times = GraphTimes.of([*own_rows, *map(graph_row, chosen)])
    return Part(rates, {"big-ann": folds}, times, errors, left_out, labels.tolist()), speeds


@dataclass(frozen=True, slots=True)
class Database:
    """A measured server: its constants at speed 1, its times there, and what each of them is left out with."""

    rates: SearchRates
    times: GraphTimes
    cells: list[str]
    left_out: Floats  # by constants fitted without the cell
    path_s: float = 0.0  # of a request, in `rates` though it was not in the times [s]


def speed_here(library: SearchRates) -> float:
    """Speed of the machine of the measured servers: faiss there against the library's constants."""
    own = [row for row in rows(STORES) if row["server"].startswith("faiss") and row["code"] == "float32"]
    times = GraphTimes.of([store_row(row) for row in own if row["segments"] == "1" and row["what"] == "query"])
    return float(np.exp(np.median(times.log_errors(library))))


def fit_database(name: str, start: SearchRates, speed: float) -> Database:
    """A server measured on a machine of that speed; one index is left out at a time."""
    chosen = noted(name)
    times = GraphTimes.of([store_row(row) for row in chosen])
    cells = [f"{row['data']} {row['vectors']}x{row['dim']} M {row['m']}" for row in chosen]

    def fit(part: GraphTimes) -> SearchRates:
        return fit_rates(part, at_speed(start, speed), SERVER_SPREAD)

    errors, _ = left_out_errors(times, cells, fit)
    at_one = replace(times, seconds=times.seconds * speed)
    return Database(at_speed(fit(times), 1 / speed), at_one, cells, errors)


def mean_rates(found: Sequence[SearchRates]) -> SearchRates:
    """Geometric mean of every constant that is above zero in all."""
    columns = {name: [float(getattr(rates, name)) for rates in found] for name in SearchRates._fields}
    return SearchRates(
        **{name: float(np.exp(np.mean(np.log(v)))) if min(v) > 0 else float(np.mean(v)) for name, v in columns.items()}
    )


def shared(databases: Mapping[str, Database], engine: str, here: float) -> SearchRates:
    """Constants of a database that was not measured: what the others have in common, and how it is known to work.

    A request takes what it does to those of its protocol. here: speed of the machine where the steps were measured
    """
    others = {name: found.rates for name, found in databases.items() if name != engine}
    mean = mean_rates([without_steps(rates, name, here) for name, rates in others.items()])
    protocol = workings(engine).protocol
    alike = [rates.request_s for name, rates in others.items() if workings(name).protocol == protocol]
    mean = mean._replace(request_s=float(np.exp(np.mean(np.log(alike))))) if alike else mean
    return _stepped(mean, engine, here, 1.0)


def without_steps(rates: SearchRates, engine: str, here: float) -> SearchRates:
    """Constants less the steps that an engine is known to take and most do not."""
    return _stepped(rates, engine, here, -1.0)


def _stepped(rates: SearchRates, engine: str, here: float, sign: float) -> SearchRates:
    """Constants with a database's steps added or taken away, of which some is always left.

    An index is built in memory, without pages: only searches gain or lose those.
    """
    known, each = workings(engine), steps()
    byte_s, visit_s = 1 / rates.bytes_per_s, rates.overhead_bytes / rates.bytes_per_s
    byte = max(byte_s + sign * known.plain * each.plain_s_per_byte * here, LEFT * byte_s)
    visit = max(visit_s + sign * known.paged * each.page_s * here, LEFT * visit_s)
    built = rates.build_factor * (WIDTH * byte + visit_s) / (WIDTH * byte + visit)
    return rates._replace(bytes_per_s=1 / byte, overhead_bytes=visit / byte, build_factor=built)


def own_only(own_rates: Mapping[str, float]) -> dict[str, float]:
    """Rates of scans and products as they were measured, not scaled with graph searches."""
    return {"scan_bytes_per_s": own_rates["scan"], "flop_per_s": own_rates["assign"]}


def log_speeds(labels: NDArray[np.str_], speeds: Mapping[str, float]) -> Floats:
    """Logarithm of each row's machine's speed."""
    return np.log([speeds[str(label)] for label in labels])


def mean_speed(speeds: Mapping[str, float], left_out: str = "") -> float:
    """Geometric mean of the machines' speeds, one left out: what is expected of a machine nobody measured."""
    return float(np.exp(np.mean([np.log(speed) for name, speed in speeds.items() if name != left_out])))


def constants() -> tuple[dict[str, object], dict[str, Part], dict[str, float], dict[str, Database]]:
    """What is stored, the parts it came from, how fast the machines are, and the databases."""
    every = cases()
    server = fit_server(every)
    library, speeds = fit_library(every, server.rates)
    probe_s = fit_probe_s(every, at_speed(library.rates, mean_speed(speeds))) * mean_speed(speeds)
    also = {"probe_s": probe_s, **{name: getattr(library.rates, name) for name in ("scan_bytes_per_s", "flop_per_s")}}
    here = speed_here(library.rates)
    databases = {"weaviate": Database(server.rates, server.times, server.cells, server.left_out)}
    databases |= {name: fit_database(name, server.rates, here) for name in SERVERS_HERE}
    reached = {name: found for name, found in databases.items() if name not in IN_PROCESS}
    databases |= {name: with_path(databases[name], shared(reached, name, here).request_s) for name in IN_PROCESS}
    parts = {"server": replace(server, rates=shared(databases, "server", here)), "library": library}
    ratios = resident_ratios(every)
    files = [published("retrieval"), MEASURED, STORES, STEPS]
    content = {
        "generated_by": "benchmarks/fit_retrieval.py",
        "fitted_to": {path.name: file_hash(path) for path in files},
        "groups": {name: stored(part, also) for name, part in parts.items()},
        "databases": {name: rounded(found.rates._replace(**also)) for name, found in databases.items()},
        "machine_speed": {name: round(speed, 4) for name, speed in [*speeds.items(), ("unknown", mean_speed(speeds))]},
        "speed_of_measured_stores": round(here, 4),
        "resident_factor": round(float(np.median(list(ratios.values()))), 4),
        "resident_folds": {"big-ann": {index: resident_without(ratios, index) for index in ratios}},
        "operating_point": operating_point(),
        "codes": codes(),
        "seen": {"engines": sorted(["diskann", "faiss", *databases])},
    }
    return content, parts, speeds, databases


def other_database(databases: Mapping[str, Database], name: str) -> Floats:
    """ln(predicted / measured) of a database's times by the mean of the others."""
    mean, own = shared(databases, name, retrieval_fit()["speed_of_measured_stores"]), databases[name]
    if name in IN_PROCESS:  # nobody measured the way to it
        mean = mean._replace(request_s=own.rates.request_s - own.path_s)
    return own.times.log_errors(mean)


def with_path(database: Database, path_s: float) -> Database:
    """An engine measured in the caller's process as it is behind a server: a request takes what it does elsewhere."""
    rates = database.rates._replace(request_s=database.rates.request_s + path_s)
    return replace(database, rates=rates, path_s=path_s)


def stored(part: Part, also: Mapping[str, float]) -> dict[str, object]:
    """A group as it is written."""
    folds = {
        source: {name: rounded(rates._replace(**also)) for name, rates in left_out.items()}
        for source, left_out in part.folds.items()
    }
    return {"rates": rounded(part.rates._replace(**also)), "folds": folds}


def rounded(rates: SearchRates) -> dict[str, float]:
    """Constants to five digits."""
    return {name: float(f"{value:.5g}") for name, value in rates._asdict().items()}


def memory_errors(every: Sequence[Case], ratios: Mapping[str, float]) -> Floats:
    """ln(predicted / measured) of process memory, the factor taken from the other kinds of index."""
    errors = []
    for case in every:
        if case.metric == "memory_gb":
            without = resident_without(ratios, case.run.plan.index)
            predicted = float(process_memory_bytes(case.run.plan, case.run.machine, without))
            errors.append(np.log(predicted / (case.value * 1e9)))
    return np.array(errors)


def databases_left_out(databases: Mapping[str, Database]) -> list[dict[str, Any]]:
    """Servers measured here with an index left out, and all with the whole database left out, as a new one would be."""
    found = []
    for name, database in databases.items():
        here = name in SERVERS_HERE
        groups = {"new server": other_database(databases, name), **({"server": database.left_out} if here else {})}
        for group_name, errors in groups.items():
            for index, (error, cell) in enumerate(zip(errors.tolist(), database.cells, strict=True)):
                what = "build" if database.times.k[index] == 0 else "query"
                if here or index % EVERY[what] == 0:
                    found.append(
                        {
                            "id": f"{name}-{group_name}-{index}",
                            "metric": "seconds",
                            "group": f"{what}, {group_name}",
                            "source": name,
                            "cell": cell,
                            "error": -error,
                            "trust": 1.0,
                            "traits": [],
                        }
                    )
    return found


def runs_left_out(library: Part) -> list[dict[str, Any]]:
    """What the ranges rest on: ln(measured / predicted) of times and bytes by constants that had not seen the run.

    A build is repeated in every row of its index and counts once.
    """
    found: dict[object, dict[str, Any]] = {}
    for case in cases():
        if case.id in OUTLIERS or case.metric not in METRICS:
            continue
        try:
            predicted = left_out(case.run, case.source, case.metric) or predict(case.run, case.metric)
        except EstimatorError:
            continue
        what = METRICS[case.metric]
        key = (what, case.grid, graph_row(case)) if what == "build" else case.id
        found.setdefault(key, left_out_row(case, what, predicted))
    return [*found.values(), *own_left_out(library)]


def left_out_row(case: Case, what: str, predicted: float) -> dict[str, Any]:
    """A published run as the ranges take it; what is left out together is a grid, a machine, or a kind of index."""
    plan, error = case.run.plan, float(np.log(case.value / predicted))
    memory = what == "memory"
    return {
        "id": case.id,
        "metric": case.metric,
        "group": what if memory else f"{what}, {group(plan)}",
        "source": case.source,
        "cell": plan.index if memory else f"{case.grid} on {case.run.machine.family}",
        "error": -error if case.metric == "qps" else error,
        "trust": 1.0,
        "traits": [] if memory else [trait for trait in traits(what, plan) if not trait.startswith("new")],
    }


def own_left_out(library: Part) -> list[dict[str, Any]]:
    """This project's own timings, its machine at the mean speed of the others."""
    rows, _ = measured_rows()
    return [
        {
            "id": f"own-{index}",
            "metric": "seconds",
            "group": f"{'query' if k else 'build'}, library",
            "source": "own",
            "cell": f"{n:.0f}x{code_bytes / 4:.0f}",
            "error": -float(library.left_out[index]),
            "trust": 1.0,
            "traits": [],
        }
        for index, (n, code_bytes, _, _, k, _) in enumerate(rows)
    ]


def filter_doubt(databases: Mapping[str, Database]) -> float:
    """80 % half width of searches under a filter [ln]."""
    errors = np.concatenate(list(filter_errors(databases).values()))
    return Z80 * float(np.sqrt(np.mean(np.square(errors))))


def ranges(library: Part, speeds: Mapping[str, float], databases: Mapping[str, Database]) -> dict[str, Any]:
    """Ranges of times and bytes, and three that these runs cannot teach alone.

    filter: half width that a filter adds, from searches of engines that were measured under one [ln]
    machine: half width of an unknown machine's speed, from each measured machine against the mean of the others. How
    much less sure another library is, is taken from the engines that serve LLMs.
    """
    found = ranges_from([*runs_left_out(library), *databases_left_out(databases)], "retrieval")
    off = [np.log(speed / mean_speed(speeds, name)) for name, speed in speeds.items()]
    found["filter"] = round(filter_doubt(databases), 4)
    found["machine"] = round(Z80 * float(np.sqrt(np.mean(np.square(off)))), 4)
    taught = serving_fit()["ranges"]["wider"]
    found["wider"]["new engine"] = max(factor for name, factor in taught.items() if name.startswith("new engine,"))
    return found


REPORT_TEXT = """# Accuracy of vector search

Generated by `python benchmarks/fit_retrieval.py`. Errors are |ln(predicted / measured)|.

Databases (`server`): published HNSW grids of Weaviate; one pair of (vectors, dimensions) is left out at a time.
Libraries: own timings of faiss and published queries of Vamana graphs, with the databases' law of how many vectors are
compared; one machine is left out at a time, and then runs at the geometric mean of the others' speeds.

{table}

Databases with constants of their own: core time a query or a build, of server and clients; all but Weaviate measured on
a shared machine (`benchmarks/measure_stores.py`), builds of Chroma and Redis being loads over the network, Qdrant's
engine in the caller's process. A database that was not measured gets the geometric mean of the others at the speed of
its machine, a request as those of its protocol take it. What the others do not do is taken from elsewhere: pages read
through PostgreSQL's buffers, and products without vector instructions (`benchmarks/engine_steps.py`).

{databases}

What filters that half, a tenth and a hundredth of the vectors pass change: {filters} (median of |ln|, and bias).

Queries, an index of the servers measured here left out: {sizes} (medians). Queries a second of 1 to 32 clients in a
closed loop, an index left out, on the cores that others left: {loads} (medians).

A machine at hand, with constants fitted to its own timings, one index (its n, d, M, efC) left out at a time: query
{own_query:.3f}, build {own_build:.3f} (medians; {own_setups} indexes of {own_least:,.0f} to {own_most:,.0f} vectors).

Process memory of published indexes whose kind has a size rule, {rows} rows: median error {median:.1f} %, nine in ten
within {most:.0f} %. The others (proprietary or research indexes without one) are reported as unsupported.
"""


def database_lines(databases: Mapping[str, Database]) -> str:
    """Errors of every database: with an index of it left out, and with all of it left out."""
    lines = []
    for name, database in databases.items():
        for what, mask in (("build", database.times.k == 0), ("query", database.times.k > 0)):
            other = other_database(databases, name)[mask]
            own = median_error(database.left_out[mask])
            lines.append((name, what, int(mask.sum()), own, median_error(other), float(np.median(other))))
    headers = ("database", "time", "rows", "an index left out", "the database left out", "of it, bias")
    return tabulate(lines, headers, tablefmt="github", floatfmt=".3f")


def load_errors(name: str, database: Database) -> Floats:
    """ln(predicted / measured) of the queries a second of a closed loop, its index left out of the constants.

    Clients keep as many cores busy as there are, of those that others leave: on a shared machine that is counted.
    """
    errors = []
    for row, error in zip(noted(name), database.left_out.tolist(), strict=True):
        if row["what"] == "query":
            core_s = store_row(row)[5] * np.exp(error)
            cores = float(row["machine"].split(", ")[1].split()[0]) - float(row["foreign_cores"])
            predicted = min(float(row["clients"]), max(cores, 0.05)) / core_s
            errors.append(np.log(predicted / float(row["qps"])))
    return np.array(errors)


def each_and_all(errors: Mapping[str, Floats]) -> str:
    """Median errors by name, and of all together."""
    named = ", ".join(f"{name} {median_error(own):.3f}" for name, own in errors.items())
    return f"{named}, together {median_error(np.concatenate(list(errors.values()))):.3f}"


def filter_errors(databases: Mapping[str, Database]) -> dict[str, Floats]:
    """ln(predicted / measured) of what a filter changes in a search's time, by the database's constants."""
    speed, found = retrieval_fit()["speed_of_measured_stores"], {}
    for name, filtered_rows in filtered().items():
        own = databases[name]
        rates = at_speed(own.rates._replace(request_s=own.rates.request_s - own.path_s), speed)
        machine = Host("here", 1.0, 1e12, rates=rates)
        found[name] = np.array(
            [
                np.log(float(query_s(plan, machine) / query_s(plan._replace(passing=1.0), machine)) / changed)
                for plan, changed in filtered_rows
            ]
        )
    return found


def report(parts: Mapping[str, Part], databases: Mapping[str, Database]) -> str:
    """The accuracy table, in Markdown."""
    rows = []
    for name, part in parts.items():
        large = part.times.vectors > 5e5  # the published ones
        masks = {"build": part.build, "query, own": ~part.build & ~large, "query, published": ~part.build & large}
        for what, mask in masks.items():
            if not mask.any():
                continue
            errors = (median_error(part.errors[mask]), median_error(part.left_out[mask]))
            rows.append((name, what, int(mask.sum()), *errors, float(np.quantile(np.abs(part.left_out[mask]), 0.9))))
    headers = ("group", "time", "rows", "fitted: median", "left out: median", "left out: 90 %")
    memory = np.abs(memory_errors(cases(), resident_ratios(cases())))
    own = GraphTimes.of(measured_rows()[0])
    labels = [f"{n:.0f}x{width:.0f}" for n, width in zip(own.vectors, own.code_bytes, strict=True)]
    own_errors, own_folds = left_out_errors(own, labels, lambda part: fit_times(part, cache_bytes=CACHE_BYTES))
    return REPORT_TEXT.format(
        own_query=median_error(own_errors[own.k > 0]),
        own_build=median_error(own_errors[own.k == 0]),
        own_setups=len(own_folds),
        own_least=own.vectors.min(),
        own_most=own.vectors.max(),
        databases=database_lines(databases),
        filters=", ".join(
            f"{n} {median_error(e):.2f}, {np.median(e):+.2f}" for n, e in filter_errors(databases).items()
        ),
        sizes=each_and_all({n: databases[n].left_out[databases[n].times.k > 0] for n in SERVERS_HERE}),
        loads=each_and_all({n: load_errors(n, databases[n]) for n in SERVERS_HERE}),
        table=tabulate(rows, headers, tablefmt="github", floatfmt=".3f"),
        rows=len(memory),
        median=100 * float(np.median(memory)),
        most=100 * float(np.quantile(memory, 0.9)),
    )


def write(content: Mapping[str, object]) -> None:
    """The generated file, read anew from now on."""
    fit_file().write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    use_facts(None)


def main() -> None:
    """Fit, write, report."""
    content, parts, speeds, databases = constants()
    write({"ranges": retrieval_fit()["ranges"]} | content)  # the ranges are about predictions by these constants
    write(content | {"ranges": ranges(parts["library"], speeds, databases)})
    REPORT.write_text(report(parts, databases), encoding="utf-8")
    print(REPORT.read_text())


if __name__ == "__main__":
    main()
