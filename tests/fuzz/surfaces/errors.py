"""Errors travel: each comes back from another process as itself, with its text and what it carries."""

import contextlib
import copy
import inspect
import io
import multiprocessing
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

from estimator import compare, layout, recommend, sweep
from estimator.errors import EstimatorError, UnknownName
from tests.fuzz import values
from tests.fuzz.trial import Trial

SHARE = 35
POOL_S = 10.0
RAISING: dict[str, Callable[[], Any]] = {
    "unknown accelerator": lambda: compare(model="7b", gpu="a1000"),
    "unknown LLM": lambda: compare(model="lama-3", gpu="a100"),
    "unknown input": lambda: compare(model="7b", gpu="a100", sampels=5),
    "unknown stage": lambda: compare(model="7b", gpu="a100", stages=("finetun",)),
    "unknown column": lambda: sweep([{"sampels": 5}], model="7b", gpu="a100"),
    "bad number": lambda: compare(model="7b", gpu="a100", samples="x"),
    "does not fit": lambda: layout(model="70b", gpu="1xl4", task="serve"),
    "nothing named": lambda: recommend(),
}


def draw(rng: random.Random, index: int) -> Trial:
    """An error that the library raised, or one of each class with arguments of any kind; a few through a pool."""
    if index % 35 in (10, 20):
        how = "fork" if index % 35 == 10 else "spawn"
        shown = f"multiprocessing.get_context({how!r}).Pool(1).apply(compare, (), dict(model='7b', gpu='a1000'))"
        return Trial(f"UnknownName from a pool ({how})", shown, lambda: _pooled(how), patient=True)
    if index % 2:
        name = [*RAISING][index // 2 % len(RAISING)]
        return Trial(f"raised: {name}", f"pickle of the error of {name}", lambda: _travels(_raised(RAISING[name])))
    kind = _classes()[index // 2 % len(_classes())]
    error = _made(kind, rng)
    return Trial(f"pickle {kind.__name__}", f"pickle.loads(pickle.dumps({error!r}))"[:300], lambda: _travels(error))


def _classes() -> list[type[Exception]]:
    found, open_classes = [], [EstimatorError]
    while open_classes:
        kind = open_classes.pop()
        found.append(kind)
        open_classes += kind.__subclasses__()
    return sorted(found, key=lambda one: one.__qualname__)


def _made(kind: type[Exception], rng: random.Random) -> Exception:
    """One error of a class, from what its signature asks for."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "self"]
    given = [["a100", "h100"] if name == "known" else values.text(rng) for name in named]
    return kind(*given or [values.text(rng)])


def _raised(function: Callable[[], Any]) -> Exception:
    try:
        function()
    except EstimatorError as error:
        return error
    raise AssertionError("no error was raised")


def _travels(error: Exception) -> Iterator[str]:
    for how, again in {"pickle": _pickled, "copy": copy.copy}.items():
        try:
            other = again(error)
        except Exception as failed:
            yield f"does not travel: {how} of {type(error).__name__}: {failed}"
            continue
        if type(other) is not type(error) or str(other) != str(error) or vars(other) != vars(error):
            yield f"comes back changed: {how} of {type(error).__name__}: {other!r} is not {error!r}"


def _pickled(error: Exception) -> Any:
    return [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)][-1]


def _pooled(how: str) -> Iterator[str]:
    """A worker's error, from a pool that must not hang."""
    wrong = ""
    try:
        with multiprocessing.get_context(how).Pool(1) as pool, contextlib.redirect_stderr(io.StringIO()):
            pool.apply_async(compare, kwds={"model": "7b", "gpu": "a1000"}).get(timeout=POOL_S)
    except UnknownName as error:
        wrong = "" if error.nearest else f"comes back changed: {error!r}"
    except (multiprocessing.TimeoutError, AssertionError):  # the thread that takes answers has died of the error
        wrong = "the pool hangs"
    finally:
        for child in multiprocessing.active_children():
            child.kill()
    if wrong:
        yield wrong
