"""A sweep's pieces on several cores: answered in processes of their own, given back in their order, few at a time."""

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from estimator.catalog.files import use_facts, used_facts
from estimator.catalog.own_runs import own_runs_used, use_own_runs
from estimator.errors import InvalidInput
from estimator.sweeping import Sweep, attached, columns_of

AHEAD = 1  # pieces that wait for each worker, so that none waits for a piece
MOST_WAITING = 8  # answered pieces that wait for their turn, for each worker

_run: list[Sweep] = []  # of this process, where it is a worker


def answered(pieces: Iterable[Any], run: Sweep, workers: int) -> Iterator[tuple[Any, int]]:
    """Each piece with its answers, and how many of its rows could not be answered; in order, however many work.

    This process is one of the workers: it answers what the others have no place for, all of it until they have begun.
    """
    if workers == 1:
        yield from (answer(run, piece) for piece in pieces)
        return
    state = (run, used_facts(), own_runs_used())
    pool = ProcessPoolExecutor(workers - 1, get_context("spawn"), _begin, state)
    waiting: deque[Future[tuple[Any, int]]] = deque()
    try:
        begun = [pool.submit(_begun) for _ in range(workers - 1)]
        for piece in pieces:
            places = sum(one.done() for one in begun) * (1 + AHEAD)
            if sum(not one.done() for one in waiting) < places:
                waiting.append(pool.submit(_answer, piece))
            else:
                waiting.append(Future())
                waiting[-1].set_result(answer(run, piece))
            while waiting and (waiting[0].done() or len(waiting) > workers * MOST_WAITING):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise InvalidInput("a worker was ended, perhaps for want of memory: ask for fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def answer(run: Sweep, piece: Any) -> tuple[Any, int]:
    """A piece with its answers, and how many of its rows could not be answered."""
    found = run.answers(*columns_of(piece))
    return attached(piece, found), int(np.count_nonzero(found["error"]))


def _begin(run: Sweep, facts: Path | None, own_runs: bool) -> None:
    """A worker's start: the facts of whoever asks, who alone hears Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_facts(facts)
    use_own_runs(own_runs)
    _run[:] = [run]


def _begun() -> None:
    """Asked of a worker first: done once one can answer."""


def _answer(piece: Any) -> tuple[Any, int]:
    return answer(_run[0], piece)
