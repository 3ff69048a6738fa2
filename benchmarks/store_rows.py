"""What is measured of a vector store, and how: its rows, the vectors, the clients in a closed loop."""

import datetime
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from estimator.measure.index import Vectors, clustered

Link, Asked = TypeVar("Link"), TypeVar("Asked")
TICK = os.sysconf("SC_CLK_TCK")
QUERIES, JUDGED = 500, 60  # queries in turn; those whose recall is judged
SECONDS, WARM_S = 0.7, 0.2  # of one closed loop, and before it: clients have connected and asked once
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


@dataclass(frozen=True)
class Row:
    """One measurement. what: build (of what is there), load (sent by one client) or query; 0 where it has no meaning.

    wall_s: of a build or load; core_ms, client_core_ms: of the server and of the clients, per query or whole [ms]
    foreign_cores: busy with something else meanwhile [1]; recall: at k [1]
    passing: share of the vectors that a filter lets pass, 1 without one; it has nothing to do with where they lie [1]
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
    passing: float
    kind: str
    date: str


def machine() -> str:
    """Processor and cores, as Linux states them."""
    text = Path("/proc/cpuinfo").read_text()
    name = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} shared vCPU, {memory:.0f} GiB"


class Busy:
    """Core time over a stretch: of the server, of this process and its children, and of everything else.

    clients: process of the clients where that is another, whose time counts while it still runs
    """

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        self.ended: tuple[float, float, float, float] | None = None
        self.start()

    def start(self, clients: int | None = None) -> None:
        """Count from now on: the clients are connected, and a server has started what it does once for each."""
        self.clients = clients
        self.before = self._now()

    def stop(self) -> None:
        """Count no further."""
        self.ended = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        cpu = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        every = (sum(cpu) - cpu[3] - cpu[4]) / TICK
        own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        own += _core_s(self.clients) if self.clients else 0.0
        return time.perf_counter(), every, _core_s(self.pid) if self.pid else 0.0, own

    def done(self) -> tuple[float, float, float, float]:
        """Wall, server and own core time [s], foreign cores [1]; what a server's ended children took counts late."""
        ended = self.ended or self._now()
        lasted, every, server, own = (after - before for after, before in zip(ended, self.before, strict=True))
        if self.pid and self.ended is None:
            time.sleep(NOTED_S)
            server = _core_s(self.pid) - self.before[2]
        return lasted, server, own, max(every - server - own, 0.0) / lasted


def _core_s(pid: int) -> float:
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


def truth_within(data: Vectors, queries: Vectors, passing: float) -> np.ndarray:
    """The ten nearest of each query among those that a filter lets pass, exactly."""
    allowed = np.flatnonzero(part_of(len(data)) < round(1000 * passing))
    return allowed[truth(data[allowed], queries, 10)]


def recall(found: list[list[int]], exact: np.ndarray) -> float:
    """Share of the true neighbours found [1]."""
    hits = sum(len(set(a) & set(b.tolist())) for a, b in zip(found, exact, strict=True))
    return round(hits / exact.size, 4)


def searches(setup: Setup) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """ef, k and numbers of clients."""
    yield from ((40, 10, CLIENTS if setup.segments == 1 else FEW), (200, 10, FEW))
    if setup.segments == 1:
        yield from ((80, 10, (2,)), (400, 10, (2,)), (200, 100, (2,)))


PASSING = (0.5, 0.1, 0.01)  # shares of vectors that filters let pass


def part_of(vectors: int) -> np.ndarray:
    """What filters look at: a number below a thousand of each vector."""
    return np.random.default_rng(2).integers(0, 1000, vectors)


def row(server: str, what: str, setup: Setup, **figures: object) -> Row:
    """A row, what is not measured left at zero."""
    empty = {f.name: "" if f.type is str else 0 for f in fields(Row)}
    today, facts = datetime.date.today().isoformat(), asdict(setup)
    known = {"machine": machine(), "server": server, "what": what, "index": "hnsw", "kind": "measured", "date": today}
    known |= {"passing": 1.0}
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
    run: Callable[["Busy"], list[float]],
    found: float,
    passing: float = 1.0,
) -> Row:
    """A closed loop: run returns the latencies [s] of the stretch it counts; asked: ef, k, clients."""
    ef, k, clients = asked
    busy = Busy(pid)
    latency = np.array(run(busy))
    wall, core, own, foreign = busy.done()
    many = len(latency)
    p50, p90, p99 = (round(1e3 * float(q), 3) for q in np.quantile(latency, (0.5, 0.9, 0.99)))
    return row(
        server, "query", setup, ef=ef, k=k, clients=clients, queries=many, wall_s=round(wall, 3),
        qps=round(clients / float(latency.mean()), 1), mean_ms=round(1e3 * float(latency.mean()), 3), p50_ms=p50,
        p90_ms=p90, p99_ms=p99, core_ms=round(1e3 * core / many, 4), client_core_ms=round(1e3 * own / many, 4),
        foreign_cores=round(foreign, 2), recall=found, passing=passing,
    )  # fmt: skip


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def connected(port: int) -> socket.socket:
    """A connection that sends at once."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def asked_in_turn(
    clients: int,
    bodies: list[bytes],
    connect: Callable[[], socket.socket],
    answer: Callable[[socket.socket], object],
    busy: Busy,
) -> list[float]:
    """Latencies [s] of clients that each send the next request when the last one is answered."""

    def sent(link: socket.socket, body: bytes) -> None:
        link.sendall(body)
        answer(link)

    return in_turn(clients, bodies, connect, sent, busy)


def in_turn(
    clients: int,
    asks: list[Asked],
    connect: Callable[[], AbstractContextManager[Link]],
    ask: Callable[[Link, Asked], object],
    busy: Busy,
) -> list[float]:
    """Latencies [s] of threads that each ask the next question when the last one is answered, once all have asked."""
    found: list[list[float]] = [[] for _ in range(clients)]
    ready = threading.Barrier(clients, action=busy.start)

    def run(number: int) -> None:
        turn = number * 37
        with connect() as link:
            ask(link, asks[turn % len(asks)])
            ready.wait()
            until = time.perf_counter() + SECONDS
            while (start := time.perf_counter()) < until:
                turn += 1
                ask(link, asks[turn % len(asks)])
                found[number].append(time.perf_counter() - start)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [latency for one in found for latency in one]
