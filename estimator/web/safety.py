"""What every request must pass before anything reads it: whence it comes, how large and how fast, how many there are.

Pages of others can reach a server on this machine: a request names a host that is ours and comes from no other origin.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from estimator.web import problems
from estimator.web.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 1_000_000  # of a body
MOST_ADDRESS = 8_000  # characters of path and query
BODY_S = 10.0  # in which a body must have come
MOST_AT_ONCE = 64  # requests in work or waiting, of a worker
HERE = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Refused(Exception):
    """A request that is not let in."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, hosts: tuple[str, ...], metrics: Metrics) -> None:
        self.app, self.hosts, self.metrics = app, (*HERE, *hosts), metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, seen = time.perf_counter(), {"status": 500}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                names = {name for name, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in names]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        with self.metrics.running():
            try:
                self._check(scope)
                body = await self._body(scope, receive)
                await self.app(scope, _again(body, receive), sent)
            except Refused as error:
                await _refuse(error, sent)
        self.metrics.done(
            scope.get("route_name") or _route(scope["path"]), seen["status"], time.perf_counter() - started
        )

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if _host(headers.get("host", "")) not in self.hosts:
            raise Refused(403, "this host is not served here: start with --allow-host NAME to serve it")
        origin = headers.get("origin")
        if origin is not None and _host(urlsplit(origin).netloc) not in self.hosts:
            raise Refused(403, "requests of other pages are not answered")
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            raise Refused(403, "requests of other pages are not answered")
        if len(scope["path"]) + len(scope["query_string"]) > MOST_ADDRESS:
            raise Refused(414, f"an address has {MOST_ADDRESS:,} characters at most: POST the question instead")
        if self.metrics.in_flight > MOST_AT_ONCE:
            raise Refused(503, f"{MOST_AT_ONCE} questions are being answered: ask again in a second")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """All of the body, in time and within its limit."""
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not said.isdigit() or int(said) > MOST_BYTES:
            raise Refused(413, f"a request has {MOST_BYTES:,} bytes at most")
        try:
            return await asyncio.wait_for(_read(receive), BODY_S)
        except TimeoutError:
            raise Refused(408, f"the request did not come within {BODY_S:g} s") from None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise Refused(413, f"a request has {MOST_BYTES:,} bytes at most")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read already, then whatever else comes: that the client has gone."""
    given = False

    async def received() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return received


def _host(text: str) -> str:
    """A host without its port.

    >>> _host("127.0.0.1:8000"), _host("[::1]:80"), _host("evil.example")
    ('127.0.0.1', '[::1]', 'evil.example')
    """
    text = text.lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0]


def _route(path: str) -> str:
    """The first parts of a path, as metrics count them: few, whatever is asked for."""
    return path if path in KNOWN else "other"


KNOWN: set[str] = set()  # filled with the routes of the application


async def _refuse(error: Refused, send: Send) -> None:
    status, text = problems.problem(error.status, error.detail)
    headers = [(b"content-type", problems.MIME.encode()), (b"connection", b"close")]
    headers += [(b"retry-after", b"1")] if status == 503 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
