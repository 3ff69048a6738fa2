"""Long work as server-sent events: how far it is, then the answer; it ends when nobody listens any more."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from fastapi import Request

from estimator.errors import EstimatorError
from estimator.watch import watched
from estimator.web import problems

T = TypeVar("T")
EVERY_S = 0.2  # between two events of progress


class Stopped(Exception):
    """Nobody waits for this answer."""


class Watch:
    """Hears how far work is, and stops it once it is to."""

    def __init__(self) -> None:
        self.done, self.stop = 0, False

    def __call__(self, count: int) -> None:
        """So much more was done."""
        if self.stop:
            raise Stopped
        self.done += count

    def run(self, work: Callable[[], T]) -> T:
        """Work, watched."""
        with watched(self):
            return work()


class InThread(Protocol):
    """How work is done beside the loop."""

    def __call__(self, work: Callable[[], str], /) -> Awaitable[str]:
        """Its result."""


async def progress(work: Callable[[], str], request: Request, in_thread: InThread) -> AsyncIterator[str]:
    """Events of work whose result is JSON text: progress, then answer or problem."""
    watch = Watch()
    task = asyncio.ensure_future(in_thread(lambda: watch.run(work)))
    try:
        while not (await asyncio.wait({task}, timeout=EVERY_S))[0]:
            if await request.is_disconnected():
                return
            yield event("progress", {"done": watch.done})
        yield _last(task)
    finally:
        watch.stop = True
        task.cancel()


def _last(task: asyncio.Future[str]) -> str:
    try:
        return event("answer", json.loads(task.result()))
    except EstimatorError as error:
        return event("problem", json.loads(problems.of(error)[1]))
    except TimeoutError:
        return event("problem", json.loads(problems.too_long()[1]))


def event(name: str, data: object) -> str:
    """One event.

    >>> event("progress", {"done": 3})
    'event: progress\\ndata: {"done": 3}\\n\\n'
    """
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
