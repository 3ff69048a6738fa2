"""How much of the library's own speed the server keeps, on loopback, with the client on the same cores.

`python benchmarks/page_load.py [SECONDS] [REQUESTS]`: two processes that loop `compare` and its brief JSON, then two
workers under as many clients as keep them busy, in one run; then memory after REQUESTS more, of one approach each. How
soon a server is there, too.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import Process, Queue
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUESTION = {"model": "7b", "gpu": "a100"}
ASKED: dict[str, dict[str, str]] = {"compare": {}, "estimate": {"stage": "prompt"}}
WORKERS, CLIENTS = 2, 4


def looped(seconds: float, done: "Queue[int]", seed: int) -> None:
    """Answers one after the other, each to another question."""
    from estimator.web import brief
    from estimator.web.asking import answer

    brief.text(answer("compare", QUESTION), "brief")
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        count += 1
        brief.text(answer("compare", {**QUESTION, "requests_per_month": 1e5 + count + 1e6 * seed}), "brief")
    done.put(count)


def library(seconds: float) -> float:
    """Answers a second of two processes."""
    done: Queue[int] = Queue()
    processes = [Process(target=looped, args=(seconds, done, seed)) for seed in range(WORKERS)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    return sum(done.get() for _ in processes) / seconds


def client(port: int, stop: float, times: list[float], most: int, command: str) -> None:
    """Requests one after the other on one connection."""
    link, count = http.client.HTTPConnection("127.0.0.1", port, timeout=120), 0
    while time.perf_counter() < stop and count < most:
        count += 1
        body = json.dumps(
            {**QUESTION, **ASKED[command], "requests_per_month": 1e5 + (time.perf_counter_ns() % 10**9) / 10}
        )
        started = time.perf_counter()
        link.request("POST", f"/api/v1/{command}", body, {"content-type": "application/json"})
        answer = link.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}")
        times.append(time.perf_counter() - started)


def asked(
    port: int, seconds: float, clients: int = CLIENTS, most: int = 10**9, command: str = "compare"
) -> list[float]:
    """What requests of several clients took [s]."""
    times: list[float] = []
    stop = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=client, args=(port, stop, times, most // clients, command)) for _ in range(clients)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return times


def memory_mb(group: int) -> float:
    """Resident memory of a server with its workers [MB]."""
    found = subprocess.run(["ps", "-eo", "pgid=,rss="], capture_output=True, text=True, check=True)
    return sum(int(rss) for pgid, rss in map(str.split, found.stdout.splitlines()) if int(pgid) == group) / 1000


def healthy(port: int) -> bool:
    """Whether a server answers."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with suppress(OSError):
        link.request("GET", "/healthz")
        return link.getresponse().status == 200
    return False


def main(seconds: float = 20.0, requests: int = 2000) -> None:
    """Measure and print."""
    alone = library(seconds)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "estimator", "serve", "--port", str(port), "--workers", str(WORKERS)]
    began = time.perf_counter()
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, process_group=0)
    try:
        while not healthy(port):
            time.sleep(0.005)
        started = time.perf_counter() - began
        asked(port, 5.0)  # warm
        one = sorted(asked(port, 5.0, clients=1))
        many = sorted(asked(port, seconds))
        before = memory_mb(server.pid)
        asked(port, 3600.0, most=requests, command="estimate")
        after = memory_mb(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    served, p99 = len(many) / seconds, many[int(0.99 * len(many))]
    print(f"library, two processes: {alone:.1f} answers/s; server, two workers: {served:.1f} ({served / alone:.0%})")
    print(f"answers {started:.2f} s after it was called")
    print(f"one request: {one[len(one) // 2] * 1e3:.1f} ms; p99 under load: {p99 * 1e3:.1f} ms")
    print(f"memory: {before:.0f} MB, after {requests:,} more requests {after:.0f} MB")


if __name__ == "__main__":
    main(*(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, int(sys.argv[2]) if len(sys.argv) > 2 else 2000))
