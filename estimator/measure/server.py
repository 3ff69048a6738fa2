"""A server of the user's own, timed without load through its OpenAI-compatible API: prompts, steps, small batches.

Every answer is streamed and bounded: in tokens, in bytes, in time. Only http, and only this machine unless asked.
"""

import datetime
import ipaddress
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from estimator.catalog.files import Content
from estimator.catalog.served_profile import own_server
from estimator.errors import InvalidInput, clipped
from estimator.formulas import Floats
from estimator.measure.profile import alone, write_profile

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S, ASK_TIMEOUT_S = 120.0, 10.0  # for an answer's next token, for what the server is
MOST_LINE, MOST_LINES = 1_000_000, 20_000  # bytes and number of lines of a stream
SHORT, LONGEST = 24, (640, 320, 160)  # words of a prompt; of the longest, until the server's context holds it
BATCHES = (1, 2, 4, 8, 16)  # requests side by side
OUTPUT = 33  # tokens of an answer
KINDS, LEAST_ROUNDS = 3, 2  # lengths of prompts; times each is read
LEAST_S, MOST_S = 10.0, 3600.0  # of a budget

Progress = Callable[[float, str, float], None]


class Answer(NamedTuple):
    """One streamed answer: when it was asked, when its pieces came [s], and its tokens."""

    asked: float
    came: tuple[float, ...]
    prompt_tokens: int
    tokens: int

    @property
    def first_s(self) -> float:
        """Time to the first token [s]."""
        return self.came[0] - self.asked

    def step_s(self, begin: float, end: float) -> float | None:
        """Time per token between two moments [s]; None where too few came. A piece may hold several tokens."""
        inside = [moment for moment in self.came if begin <= moment <= end]
        per_piece = (self.tokens - 1) / max(len(self.came) - 1, 1)
        return (inside[-1] - inside[0]) / (len(inside) - 1) / per_piece if len(inside) > LEAST_PIECES else None


LEAST_PIECES = 4


class Refused(InvalidInput):
    """A request that the server does not take."""


class Seen(NamedTuple):
    """What was measured: sequences side by side [1], tokens of a prompt or a context [token], time [s]."""

    sequences: float
    tokens: float
    time_s: float


def calibrate_server(
    url: str = DEFAULT_URL,
    budget_s: float = 60.0,
    output: str | Path | None = None,
    anywhere: bool = False,
    progress: Progress | None = None,
) -> Content:
    """Measure a server without load within the budget, keep its profile as `server`, and return it.

    anywhere: also a server that is not on this machine
    Raises InvalidInput: an address that is no server of this kind, one that answers too little, no budget.
    """
    if not LEAST_S <= budget_s <= MOST_S:
        raise InvalidInput(f"the budget must be {LEAST_S:g} s to an hour, not {budget_s:g} s")
    host, port, base = address(url, anywhere)
    with alone():
        found = _measured(host, port, base, budget_s, progress)
        content = {"kind": "server", "date": datetime.date.today().isoformat(), "server": found}
        write_profile(content, own_server())
        if output:
            write_profile(content, Path(output))
    return content


def address(url: str, anywhere: bool = False) -> tuple[str, int, str]:
    """Host, port and path of a server. Raises InvalidInput where it is not plain http, or not on this machine.

    >>> address("http://localhost:8000/v1/")
    ('localhost', 8000, '')
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme != "http" or not host or parts.username or parts.query:
        raise InvalidInput(f"{clipped(url)} is no address such as {DEFAULT_URL}: plain http, host and port")
    if not anywhere and not of_this_machine(host):
        raise InvalidInput(
            f"{host} is not this machine: its network would be measured. Run this beside the server, or say --anywhere"
        )
    return host, port, parts.path.rstrip("/").removesuffix("/v1")


def of_this_machine(host: str) -> bool:
    """Whether a host's name or address is loopback.

    >>> of_this_machine("127.0.0.1"), of_this_machine("example.org")
    (True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Api:
    """The API of a server: what it serves, and streams from it."""

    def __init__(self, host: str, port: int, base: str) -> None:
        self.host, self.port, self.base = host, port, base
        self.seed = random.Random(0)
        self.llm = self._llm()

    def stream(self, words: int, output: int = 0) -> Answer:
        """An answer to a prompt that no cache has seen; output: its tokens, `OUTPUT` unless given."""
        prompt = " ".join(str(self.seed.randrange(100, 1000)) for _ in range(words))
        asked = {
            "model": self.llm,
            "prompt": prompt,
            "max_tokens": output or OUTPUT,
            "temperature": 0.0,
            "ignore_eos": True,
        }
        body = json.dumps(asked | {"stream": True, "stream_options": {"include_usage": True}})
        link = HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            start = time.perf_counter()
            link.request("POST", f"{self.base}/v1/completions", body, {"Content-Type": "application/json"})
            return _answer(start, link.getresponse())
        except (OSError, HTTPException) as error:
            raise InvalidInput(f"the server broke off: {error or type(error).__name__}") from None
        finally:
            link.close()

    def together(self, count: int, words: int) -> list[Answer]:
        """As many answers side by side."""
        with ThreadPoolExecutor(count) as pool:
            return [*pool.map(lambda _: self.stream(words), range(count))]

    def _llm(self) -> str:
        link = HTTPConnection(self.host, self.port, timeout=ASK_TIMEOUT_S)
        try:
            link.request("GET", f"{self.base}/v1/models")
            answer = link.getresponse()
            listed = json.loads(answer.read(MOST_LINE))
            return str(listed["data"][0]["id"])
        except (OSError, HTTPException) as error:
            raise InvalidInput(f"no server answers at {self.host}:{self.port}: {error}") from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise InvalidInput(f"what answers at {self.host}:{self.port} names no model at /v1/models") from None
        finally:
            link.close()


def _answer(asked: float, response: HTTPResponse) -> Answer:
    """A stream read to its end, each piece with the time it came."""
    if response.status != 200:
        said = response.read(2000).decode("utf-8", "replace")
        raise Refused(f"the server refuses /v1/completions ({response.status}): {clipped(said)}")
    came, usage = [], {"prompt_tokens": 0, "completion_tokens": 0}
    for event, moment in _events(response):
        if event.get("choices"):
            came.append(moment)
        usage |= event.get("usage") or {}
    counts = tuple(int(usage[name]) for name in ("prompt_tokens", "completion_tokens"))
    if len(came) <= LEAST_PIECES or min(counts) < 1:
        raise InvalidInput("the server streams too little, or no usage: it must do stream_options.include_usage")
    return Answer(asked, tuple(came), *counts)


def _events(response: HTTPResponse) -> Iterator[tuple[Content, float]]:
    """Events of a stream as they come, and when [s]. Raises InvalidInput for one that is endless or not readable."""
    for _ in range(MOST_LINES):
        line = response.readline(MOST_LINE)
        moment, text = time.perf_counter(), line.decode("utf-8", "replace").strip()
        if not line or text == "data: [DONE]":
            return
        if text.startswith("data:"):
            try:
                event = json.loads(text.removeprefix("data:"))
            except ValueError:
                raise InvalidInput(f"the server streams what is not JSON: {clipped(text)}") from None
            yield event if isinstance(event, dict) else {}, moment
    raise InvalidInput("the server's stream does not end")


def _measured(host: str, port: int, base: str, budget_s: float, progress: Progress | None) -> Content:
    """Rounds of prompts alone and batches until the budget is used, and the times fitted to them."""
    api, begin = Api(host, port, base), time.monotonic()
    words = lengths(api)
    prompts: list[Seen] = []
    steps: list[Seen] = []
    rounds = 0
    while rounds < LEAST_ROUNDS or (time.monotonic() - begin) * (rounds + 1) / rounds < budget_s:
        for length in words:
            one = api.stream(length)
            prompts.append(Seen(1.0, one.prompt_tokens, one.first_s))
            steps += _steps([one])
            _tell(progress, begin, budget_s, f"prompt of {one.prompt_tokens} tokens")
        for count in BATCHES[1:]:
            steps += _steps(api.together(count, SHORT))
            _tell(progress, begin, budget_s, f"{count} side by side")
        rounds += 1
    return fitted(api.llm, prompts, steps) | {"drift": drift(prompts), "rounds": rounds}


def lengths(api: Api) -> tuple[int, int, int]:
    """Words of the prompts that are read alone: some of a tokenizer's are six tokens, some contexts short."""
    *longer, least = LONGEST
    for longest in longer:
        with suppress(Refused):
            api.stream(longest)
            return SHORT, longest // 4, longest
    api.stream(least)
    return SHORT, least // 4, least


def _tell(progress: Progress | None, begin: float, budget_s: float, what: str) -> None:
    passed = time.monotonic() - begin
    if progress:
        progress(min(passed / budget_s, 1.0), what, max(budget_s - passed, 0.0))


def _steps(answers: Sequence[Answer]) -> list[Seen]:
    """The time of a step while all of these answers were under way; nothing where they did not overlap."""
    begin, end = max(one.came[0] for one in answers), min(one.came[-1] for one in answers)
    times = [found for one in answers if (found := one.step_s(begin, end))]
    context = median(one.prompt_tokens + one.tokens / 2 for one in answers)
    return [Seen(float(len(answers)), context, median(times))] if times else []


def fitted(llm: str, prompts: Sequence[Seen], steps: Sequence[Seen]) -> Content:
    """Times of steps and prompts by least squares of relative errors, none of them negative.

    >>> alone = [Seen(1, length, 0.02 + 0.001 * length) for length in (10, 100, 1000)]
    >>> steps = [Seen(n, context, 0.01 + 0.002 * n) for n, context in ((1, 50), (1, 900), (2, 90), (4, 20))]
    >>> found = fitted("llm", alone, steps)
    >>> [round(value, 4) for value in found["prompt_s"]], [round(value, 4) for value in found["step_s"]]
    ([0.02, 0.001, 0.0], [0.01, 0.002, 0.0])
    """
    lengths, first = (np.array([getattr(one, name) for one in prompts], float) for name in ("tokens", "time_s"))
    many, context, token = (np.array([getattr(one, n) for one in steps], float) for n in Seen._fields)
    prompt, off = least_squares(np.stack([np.ones_like(first), lengths, lengths**2], 1), first)
    step, others = least_squares(np.stack([np.ones_like(token), many, many * context], 1), token)
    noise = float(np.sqrt(np.mean(np.concatenate([off, others]) ** 2)))
    return {"llm": llm, "step_s": step, "prompt_s": prompt, "noise": round(noise, 4)}


def least_squares(terms: Floats, measured: Floats) -> tuple[list[float], Floats]:
    """Coefficients of small relative error, none below zero, and those errors: terms of growth go before the first."""
    kept = list(range(terms.shape[1]))
    while True:
        found = np.linalg.lstsq(terms[:, kept] / measured[:, None], np.ones_like(measured), rcond=None)[0]
        below = [index for index in range(len(kept)) if found[index] < 0]
        if not below:
            break
        kept.pop(below[-1] or -1)
    values = np.zeros(terms.shape[1])
    values[kept] = found
    return [float(f"{value:.5g}") for value in values], terms @ values / measured - 1.0


def drift(prompts: Sequence[Seen]) -> float:
    """Spread of the time of the same prompts between rounds [1]: what else the machine did meanwhile.

    >>> drift([Seen(1, 10, 0.1), Seen(1, 90, 0.3), Seen(1, 500, 0.9), Seen(1, 11, 0.2), Seen(1, 90, 0.3)])
    0.0
    """
    each = [[one.time_s for one in prompts[index::KINDS]] for index in range(KINDS)]
    return round(median(float(np.log(max(times) / min(times))) for times in each), 3)


UNSTEADY = 0.5  # of ln, between rounds, that is worth a word


def about_server(content: Mapping[str, Content]) -> list[str]:
    """What was measured, for people."""
    found = content["server"]
    step, prompt = found["step_s"], found["prompt_s"]
    lines = [
        f"{found['llm']}: a step of one sequence {1e3 * (step[0] + step[1]):.3g} ms, each other {1e3 * step[1]:.3g} ms",
        f"first token {1e3 * prompt[0]:.3g} ms, and {1e3 * prompt[1]:.3g} ms a token of the prompt; "
        f"{found['rounds']} rounds, {found['noise']:.0%} around these",
        "Ask for it with: estimator serving --model NAME --gpu NAME --set measured=server --concurrency 32",
    ]
    if found["drift"] > UNSTEADY:
        lines.append(f"The same prompts took up to {np.exp(found['drift']):.2g} times as long: was the server busy?")
    return lines
