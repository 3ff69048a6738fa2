"""A server at work beside its prediction: its own /metrics, read over and over for a while, on this machine only.

What it measured is what happened meanwhile: differences of its counters since the first reading.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from estimator.errors import InvalidInput, clipped
from estimator.measure.server import of_this_machine
from estimator.predict.serving import memory_split, sequence_bytes
from estimator.recording import Recorded, hardware, recorded_run
from estimator.recording.found import Found, measured, number
from estimator.recording.server_logs import HISTOGRAMS, LENGTHS, Samples, engine_of, said, samples
from estimator.validation.inference_runs import read_run
from estimator.validation.report import CasePrediction

TIMEOUT_S, MOST_BYTES, MOST_FAILURES = 5.0, 16_000_000, 3
# What servers say of the present: sequences in work, share of the cache in use, tokens written since the start.
RUNNING = {
    "vllm": "vllm:num_requests_running",
    "sglang": "sglang:num_running_reqs",
    "tgi": "tgi_batch_current_size",
}
CACHE_USE = {
    "vllm": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "sglang": ("sglang:token_usage",),
    "tgi": (),
}
WRITTEN = {
    "vllm": "vllm:generation_tokens_total",
    "sglang": "sglang:generation_tokens_total",
    "tgi": "tgi_request_generated_tokens_sum",
}
SHOWN = {"ttft_ms": ("TTFT", "ms"), "tpot_ms": ("TPOT", "ms"), "output_tokens_per_s_total": ("written", "token/s")}

Say = Callable[[str], None]


class Reading(NamedTuple):
    """One reading of a server. at: when [s]; samples: by name."""

    at: float
    engine: str
    samples: Samples


class Window(NamedTuple):
    """What a server did between two readings.

    running: sequences in work as one of them finds them, cache: its share in use, a mean [1]
    """

    seconds: float
    engine: str
    columns: Mapping[str, object]
    measured: tuple[tuple[str, float], ...]
    running: float
    cache: float

    @property
    def found(self) -> Found:
        """As a log says it: clients of a closed loop are as many as there were sequences in work."""
        load = {"batch_or_concurrency": f"{max(round(self.running), 1)}"}
        return Found(f"/metrics of {self.engine}", "inference", {**self.columns, **load}, self.measured)


def watch(
    url: str,
    *,
    model: str | None = None,
    gpu: str | None = None,
    every_s: float = 10.0,
    most_s: float = 600.0,
    keep: bool = True,
    accept: bool = False,
    say: Say = print,
    **fields: object,
) -> Recorded:
    """Read a server's /metrics every so often until `most_s` are over or Ctrl-C; say and record what it did meanwhile.

    fields: what it does not say of itself, as `record` takes them
    Raises InvalidInput for another machine's server, for one that does not answer, and for one that answered nobody.
    """
    address, told = loopback(url), {"model": model, **hardware(gpu, None), **fields}
    readings, failures = [read(address)], 0
    _check(readings[0].engine, told)
    try:
        while readings[-1].at - readings[0].at < most_s and failures < MOST_FAILURES:
            time.sleep(every_s)
            try:
                readings = _with(readings, read(address), say)
                failures = 0
            except InvalidInput as error:
                failures += 1
                say(str(error))
                continue
            say(line(window(readings), told))
    except KeyboardInterrupt:
        say("stopped")
    whole = window(readings)
    if not whole.measured:
        raise InvalidInput(f"no request was answered at {address} in {whole.seconds:.0f} s: nothing is recorded")
    return recorded_run(whole.found, told, keep=keep, accept=accept)


def _check(engine: str, told: Mapping[str, object]) -> None:
    """Refuse now what could not be predicted at the end."""
    recorded_run(Found("", "inference", {"engine": engine}, measured(tpot_ms=1.0)), told, keep=False, accept=True)


def loopback(url: str) -> str:
    """The address of a server's metrics. Raises InvalidInput unless it is on this machine.

    >>> loopback("localhost:8000"), loopback("http://127.0.0.1:30000/metrics")
    ('http://localhost:8000/metrics', 'http://127.0.0.1:30000/metrics')
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, _ = parts.hostname or "", parts.port
        here = of_this_machine(host)
    except ValueError:
        here = False
    if not here or parts.scheme != "http" or "@" in url:
        raise InvalidInput(
            f"{clipped(url.rpartition('@')[2])} is no server of this machine: say http://localhost:8000, with the port "
            "of another machine's server forwarded (ssh -L 8000:localhost:8000 HOST)"
        )
    return f"http://{parts.netloc}{parts.path.rstrip('/') or '/metrics'}"


def read(address: str) -> Reading:
    """One reading. Raises InvalidInput where nobody answers, or with something else."""
    text = _fetched(address)
    engine = engine_of(text)
    if not engine:
        raise InvalidInput(f"{address} has no metrics of {', '.join(HISTOGRAMS)}: start SGLang with --enable-metrics")
    known = {name: values for name, values in samples(text).items() if name.startswith(wanted(engine))}
    return Reading(time.monotonic(), engine, known)


def wanted(engine: str) -> tuple[str, ...]:
    """What the names of an engine's samples that are used here begin with."""
    histograms = (*(name for names in HISTOGRAMS[engine].values() for name in names), *LENGTHS[engine].values())
    return (*histograms, RUNNING[engine], *CACHE_USE[engine], WRITTEN[engine])


def _fetched(address: str) -> str:
    from http.client import HTTPException
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Nowhere else."""

    try:
        with build_opener(ProxyHandler({}), Stay()).open(address, timeout=TIMEOUT_S) as answer:
            text: bytes = answer.read(MOST_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise InvalidInput(f"{address} does not answer: {getattr(error, 'reason', error)}") from None
    return text.decode("utf-8", "replace")


def _with(readings: list[Reading], new: Reading, say: Say) -> list[Reading]:
    """With one more; from it alone where the server was started anew, and counts from zero."""
    name = WRITTEN[new.engine]
    if sum(new.samples.get(name, ())) < sum(readings[-1].samples.get(name, ())):
        say("the server was started anew: counting from now")
        return [new]
    return [*readings, new]


def window(readings: list[Reading]) -> Window:
    """What happened between the first reading and the last, idle times left out."""
    first, last = readings[0], readings[-1]
    engine, seconds = last.engine, last.at - first.at
    grown = {name: [sum(each) - sum(first.samples.get(name, ()))] for name, each in last.samples.items()}
    columns, latencies = said(engine, grown)
    running = [sum(one.samples.get(RUNNING[engine], ())) for one in readings[1:]]
    busy_s = seconds * sum(map(bool, running)) / len(running) if any(running) else seconds
    written = number(sum(grown.get(WRITTEN[engine], ())) / busy_s) if busy_s else None
    return Window(
        seconds,
        engine,
        columns,
        measured(**latencies, output_tokens_per_s_total=written),
        running=as_seen(running),
        cache=_mean([_mean(found) for one in readings[1:] if (found := _first(one.samples, CACHE_USE[engine]))]),
    )


def as_seen(running: Sequence[float]) -> float:
    """Requests in work as one of them finds them on average [1]: moments in which there are more count for more.

    >>> as_seen([4, 4, 0, 0]), as_seen([1, 3]), as_seen([])
    (4.0, 2.5, 0.0)
    """
    return sum(each**2 for each in running) / sum(running) if sum(running) else 0.0


def _first(known: Samples, names: Sequence[str]) -> Sequence[float]:
    """Values of the first of these names that there is."""
    return next((known[name] for name in names if name in known), ())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def line(seen: Window, told: Mapping[str, object]) -> str:
    """What a server does, beside what was predicted of it."""
    busy = f"{seen.running:.1f} requests in work"
    if not seen.measured:
        return f"{seen.seconds:5.0f} s: no request was answered yet, {busy}"
    beside = recorded_run(seen.found, told, keep=False, accept=True)
    figures = ", ".join(map(_figure, beside.runs))
    cache = f", cache {seen.cache:.1%} ({_cache_use(beside):.1%} predicted)" if seen.cache else ""
    return f"{seen.seconds:5.0f} s: {figures}; {busy}{cache}"


def _figure(one: CasePrediction) -> str:
    name, unit = SHOWN[one.metric]
    low, high = (f"{end:.3g}" for end in (one.low or 0.0, one.high or 0.0))
    return f"{name} {one.measured:.3g} {unit} ({one.predicted:.3g} predicted, {low} to {high})"


def _cache_use(beside: Recorded) -> float:
    """Share of the cache that its sequences fill, half of each answer written [1]."""
    run = read_run(beside.cases[0])
    load, room = run.load, memory_split(run.load.arch, run.cluster, run.load.plan).kv_available
    held = float(sequence_bytes(load.arch, load.plan, load.prompt + load.output / 2.0))
    return min(run.number * held / room, 1.0) if room else 0.0
