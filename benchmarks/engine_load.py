"""Load for a real engine on this machine: alone, static, closed loops, Poisson arrivals, a burst, mixed lengths.

Runs go to a file that benchmarks/real_engine.py reads. Streams are those of `estimator.measure.server`.
"""

import csv
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from estimator.measure.server import Answer, Api, address

PROMPT, OUTPUT = 128, 64  # of a usual request [token]
LENGTHS, STATIC, CLOSED = (32, 256, 1024), (1, 2, 4, 8, 16, 32), (1, 8, 32)
SHARES, ARRIVALS = (0.4, 0.7), 60  # of what the closed loop of most clients ends; arrivals of an open loop
ROUNDS = 4  # requests of a client; the first is left out
BURST, LONG, SELDOM = (16, 256), 1024, 0.15
COLUMNS = ("run", "arrival", "batch_or_concurrency", "requests", "rate_realised_per_s", "input_len", "output_len")
COLUMNS += ("metric", "value", "median", "mean", "p90")

Row = dict[str, object]


def measure(url: str, path: Path) -> None:
    """Drive the server at `url` through every load, and write what it took."""
    api = Api(*address(url))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in loads(api):
            writer.writerow(row)
            file.flush()


def loads(api: Api) -> Iterator[Row]:
    """Rows of every load, one after the other."""
    api.stream(PROMPT, 8)
    for length in LENGTHS:
        yield from rows(f"unloaded-{length}", "static", 1, [api.stream(length, OUTPUT) for _ in range(3)])
    for count in STATIC:
        yield from rows(f"static-{count}", "static", count, together(api, [PROMPT] * count))
    most = 1.0
    for count, start in [*((count, "spread") for count in CLOSED), (8, "together")]:
        found, rate = closed(api, count, start == "spread")
        arrival = "closed" if start == "spread" else "closed together"
        yield from rows(f"closed-{count}-{start}", arrival, count, found, rate)
        most = max(most, rate)
    for share in SHARES:
        found, rate = poisson(api, share * most, lambda _: PROMPT)
        yield from rows(f"open-{share}", "poisson", 0, found, rate)
    found, rate = poisson(api, 0.4 * most, lambda draw: LONG if draw.random() < SELDOM else PROMPT // 2)
    for length in sorted({one.prompt_tokens for one in found}):
        same = [one for one in found if one.prompt_tokens == length]
        yield from rows(f"openmix-{rate:.2f}", "poisson", 0, same, rate)
    yield from rows(f"burst-{BURST[0]}", "burst", BURST[0], together(api, [BURST[1]] * BURST[0]))


def together(api: Api, lengths: Sequence[int]) -> list[Answer]:
    """All at once."""
    with ThreadPoolExecutor(len(lengths)) as pool:
        return [*pool.map(lambda length: api.stream(length, OUTPUT), lengths)]


def closed(api: Api, count: int, spread: bool) -> tuple[list[Answer], float]:
    """So many clients, each with one request after the other; their answers but the first, and answers a second."""
    draw, alone = random.Random(count), api.stream(PROMPT, OUTPUT)
    waits = [draw.random() * (alone.came[-1] - alone.asked) * spread for _ in range(count)]

    def client(wait: float) -> list[Answer]:
        time.sleep(wait)
        return [api.stream(PROMPT, OUTPUT) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(count) as pool:
        every = [*pool.map(client, waits)]
    rate = sum((ROUNDS - 1) / (one[-1].came[-1] - one[1].asked) for one in every)
    return [answer for one in every for answer in one[1:]], rate


def poisson(api: Api, rate: float, length: Callable[[random.Random], int]) -> tuple[list[Answer], float]:
    """Arrivals at random; answers but the first fifth, and the rate that came of it."""
    draw = random.Random(7)
    gaps, lengths = [draw.expovariate(rate) for _ in range(ARRIVALS)], [length(draw) for _ in range(ARRIVALS)]
    with ThreadPoolExecutor(ARRIVALS) as pool:
        asked = []
        for gap, tokens in zip(gaps, lengths, strict=True):
            time.sleep(gap)
            asked.append(pool.submit(api.stream, tokens, OUTPUT))
        found = [one.result() for one in asked]
    return found[ARRIVALS // 5 :], (ARRIVALS - 1) / (found[-1].asked - found[0].asked)


def rows(run: str, arrival: str, number: int, found: Sequence[Answer], rate: float = 0.0) -> Iterator[Row]:
    """A row a metric of the answers of one load."""
    times = {
        "ttft_ms": [1e3 * one.first_s for one in found],
        "tpot_ms": [1e3 * (one.came[-1] - one.came[0]) / max(one.tokens - 1, 1) for one in found],
        **({"requests_per_s": [rate]} if rate else {}),
    }
    about = {"run": run, "arrival": arrival, "batch_or_concurrency": number, "requests": len(found)}
    about |= {"rate_realised_per_s": rate, "input_len": found[0].prompt_tokens, "output_len": OUTPUT}
    for metric, values in times.items():
        median, p90 = np.quantile(values, (0.5, 0.9))
        yield about | {"metric": metric, "value": median, "median": median, "mean": np.mean(values), "p90": p90}
