"""Load for a real engine on this machine: alone, static, closed loops, Poisson arrivals, a burst, mixed lengths.

Runs go to a file that benchmarks/real_engine.py reads; those that are in it are not measured again. Before and after
each the pace of the machine is taken by a small batch and by a prompt, as others may use it too. Streams are those of
`estimator.measure.server`.
"""

import csv
import datetime
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from store_rows import machine

from estimator.measure.server import Answer, Api, address

PROMPT, OUTPUT = 128, 64  # of a usual request [token]
LENGTHS, ALONE, OFTEN = (32, 128, 512, 1024), 4, 2
STATIC, READ_AT_ONCE = (2, 3, 4, 6, 8, 12, 16, 24, 32), 2048  # at once; tokens of their prompts at most
PACED, PACE_OUTPUT = 8, 32  # requests at once, before a run and after, and their tokens
PACE_PROMPT, PACE_ROUNDS = 512, 3  # tokens of prompts that are read alone, before and after; how often both
STEADY = 0.2  # of ln, that either pace may change by in a run; else it is done again when called again
CLOSED = [*((count, "spread") for count in (1, 2, 4, 8, 16, 32)), *((count, "together") for count in (2, 4, 8, 16, 32))]
SHARES, ARRIVALS = (0.35, 0.5, 0.6, 0.7), 160  # of what a closed loop of 32 ends, itself nearly all; arrivals each
UNCOUNTED = ARRIVALS // 5  # the first of them, before the server is at rest
MIXED, LONG, SELDOM = (0.25, 0.4, 0.5), 1024, 0.15  # shares as above; long prompts, and how many are long
DRAWN = (OUTPUT * 3 // 4, OUTPUT * 5 // 4)  # of clients that are spread [token]
ROUNDS = 4  # requests of a client; the first is left out
BURST = (16, 256)  # requests and their prompts [token]
COLUMNS = ("run", "arrival", "batch_or_concurrency", "requests", "rate_realised_per_s", "input_len", "output_len")
COLUMNS += ("metric", "value", "least", "median", "mean", "p90", "pace_s", "prompt_pace_s")
COLUMNS += ("engine", "version", "slots", "machine", "date")

Row = dict[str, object]
Run = tuple[str, Callable[[], Iterator[Row]]]


def measure(url: str, path: Path, minutes: float, server: Row) -> None:
    """Drive the server at `url` through the loads that are not in the file yet, as long as there is time.

    server: what the file says of it: engine, version, slots
    """
    api, begin = Api(*address(url)), time.monotonic()
    about = server | {"machine": machine(), "date": datetime.date.today().isoformat()}
    api.stream(PROMPT, 8)
    if not path.exists():
        path.write_text(f"{','.join(COLUMNS)}\n", encoding="utf-8")
    before = pace_s(api)
    for name, run in loads(api, path):
        if name not in {row["run"] for row in written(path)} and time.monotonic() - begin < 60.0 * minutes:
            found, after = [*run()], pace_s(api)
            steady = bool((np.abs(np.log(np.divide(after, before))) < STEADY).all())
            said = f"a batch takes {before[0]:.2f} and {after[0]:.2f} s, a prompt {before[1]:.2f} and {after[1]:.2f}"
            print(f"{name}, {time.monotonic() - begin:.0f} s, {said}{', too uneven' * (not steady)}", flush=True)
            batch_s, prompt_s = np.add(before, after) / 2
            with path.open("a", newline="", encoding="utf-8") as file:
                lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                lines.writerows(row | {"pace_s": batch_s, "prompt_pace_s": prompt_s} | about for row in found if steady)
            before = after


def pace_s(api: Api) -> tuple[float, float]:
    """Time of a token of a small batch, and of the first token of a prompt alone, the median of some [s]."""
    found = [one for _ in range(PACE_ROUNDS) for one in together(api, [PROMPT] * PACED, PACE_OUTPUT)]
    token_s = np.median([(one.came[-1] - one.came[0]) / max(one.tokens - 1, 1) for one in found])
    first_s = np.median([api.stream(PACE_PROMPT, 8).first_s for _ in range(PACE_ROUNDS)])
    return float(token_s) * PACE_OUTPUT, float(first_s)


def written(path: Path) -> list[dict[str, str]]:
    """Rows of a file of runs."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def loads(api: Api, path: Path) -> Iterator[Run]:
    """Every load by its name, from the lightest on."""
    for length in LENGTHS:
        yield (name := f"unloaded-{length}"), partial(alone, api, name, length)
    for count, turn in product(STATIC, range(OFTEN)):
        yield (name := f"static-{count}-{turn}"), partial(at_once, api, name, "static", count, short(count))
    for count, start in CLOSED:
        yield (name := f"closed-{count}-{start}"), partial(in_a_loop, api, name, count, start)
    for share in SHARES:
        yield (name := f"open-{share}"), partial(at_random, api, name, path, share)
    for share in MIXED:
        yield (name := f"openmix-{share}"), partial(mixed, api, name, path, share)
    for turn in range(OFTEN):
        yield (name := f"burst-{BURST[0]}-{turn}"), partial(at_once, api, name, "burst", *BURST)


def short(count: int) -> int:
    """Prompts of which so many are read at once [token]."""
    return min(PROMPT, READ_AT_ONCE // count)


def alone(api: Api, run: str, length: int) -> Iterator[Row]:
    """One request after the other."""
    yield from rows(run, "static", 1, [api.stream(length, OUTPUT) for _ in range(ALONE)])


def at_once(api: Api, run: str, arrival: str, count: int, length: int) -> Iterator[Row]:
    """So many at once, on an idle server."""
    yield from rows(run, arrival, count, together(api, [length] * count))


def in_a_loop(api: Api, run: str, count: int, start: str) -> Iterator[Row]:
    """So many clients, who begin spread or together."""
    found, rate = closed(api, count, start == "spread")
    yield from rows(run, "closed" if start == "spread" else "closed together", count, found, rate)


def at_random(api: Api, run: str, path: Path, share: float) -> Iterator[Row]:
    """Arrivals at a share of what the largest closed loop in the file ended."""
    found, rate = poisson(api, share * most(path), of_one_length)
    yield from rows(run, "poisson", 0, found, rate)


def mixed(api: Api, run: str, path: Path, share: float) -> Iterator[Row]:
    """Arrivals of short prompts and some long ones: a run for each length."""
    found, rate = poisson(api, share * most(path), of_two_lengths)
    for length in (PROMPT // 2, LONG):
        same = [one for one in found if abs(one.prompt_tokens - length) < length // 4]
        yield from rows(run, "poisson", 0, same, rate)


def of_two_lengths(draw: random.Random) -> int:
    """A short prompt, seldom a long one [token]."""
    return LONG if draw.random() < SELDOM else PROMPT // 2


def of_one_length(_: random.Random) -> int:
    """Always the same [token]."""
    return PROMPT


def most(path: Path) -> float:
    """Requests a second of the fastest closed loop in a file."""
    found = [row for row in written(path) if row["run"].startswith("closed") and row["metric"] == "requests_per_s"]
    return max(float(row["value"]) for row in found)


def together(api: Api, lengths: Sequence[int], output: int = OUTPUT) -> list[Answer]:
    """All at once."""
    with ThreadPoolExecutor(len(lengths)) as pool:
        return [*pool.map(lambda length: api.stream(length, output), lengths)]


def closed(api: Api, count: int, spread: bool) -> tuple[list[Answer], float]:
    """So many clients, each with one request after the other; their answers but the first, and answers a second.

    Spread: they begin at any time of a round of all of them, which a batch of as many takes, and their answers are of
    different lengths; of one length loops clump.
    """
    draw = random.Random(count)
    a_round = max(one.came[-1] - one.asked for one in together(api, [PROMPT] * count)) if spread else 0.0
    waits = [draw.random() * a_round for _ in range(count)]

    def client(wait: float) -> list[Answer]:
        time.sleep(wait)
        return [api.stream(PROMPT, draw.randint(*DRAWN) if spread else OUTPUT) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(count) as pool:
        every = [*pool.map(client, waits)]
    rate = sum((ROUNDS - 1) / (one[-1].came[-1] - one[1].asked) for one in every)
    return [answer for one in every for answer in one[1:]], rate


def poisson(api: Api, rate: float, length: Callable[[random.Random], int]) -> tuple[list[Answer], float]:
    """Arrivals at random, at that rate in all; answers but the first fifth, and the rate that came of it."""
    gaps, lengths = drawn(rate, length)
    with ThreadPoolExecutor(ARRIVALS) as pool:
        asked, due = [], time.perf_counter()
        for gap, tokens in zip(gaps, lengths, strict=True):
            due += gap
            time.sleep(max(due - time.perf_counter(), 0.0))
            asked.append(pool.submit(api.stream, tokens, OUTPUT))
        found = [one.result() for one in asked]
    return found[UNCOUNTED:], (ARRIVALS - 1) / (found[-1].asked - found[0].asked)


def drawn(rate: float, length: Callable[[random.Random], int], count: int = ARRIVALS) -> tuple[list[float], list[int]]:
    """Times between so many arrivals [s] and their prompts [token]: the same whenever asked."""
    draw = random.Random(7)
    gaps, lengths = [draw.expovariate(1.0) for _ in range(count)], [length(draw) for _ in range(count)]
    return [gap / rate * count / sum(gaps) for gap in gaps], lengths


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
        least, mean = min(values), np.mean(values)
        yield about | {"metric": metric, "value": median, "least": least, "median": median, "mean": mean, "p90": p90}
