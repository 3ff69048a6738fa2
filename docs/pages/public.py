"""Public Python, from signatures and docstrings: functions, results, questions turned round, errors."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import estimator
from docs.pages.docstrings import described, signature
from docs.pages.markdown import block, code, contents
from estimator import decide, errors, pricing, quantities, results, sensitivity
from estimator.predict.serving import Serving
from estimator.predict.training import TrainingStep
from estimator.shown import Shown

# Functions that are called as their module is.
CALLED_AS_MODULE = ("combine", "break_even")
RESULTS = (
    *(quantities.Quantity, quantities.Design, results.Estimate, results.Comparison, results.Line, results.Assumption),
    *(results.Blocked, results.Limit, results.Work, pricing.Price, TrainingStep, Serving),
    *(sensitivity.Sensitivity, sensitivity.Grid),
)


def pages() -> dict[str, str]:
    """An index and its parts."""
    parts = {"functions": _functions(), "results": _results(), "decide": _decide(), "errors": _errors()}
    head = "# Python\n\nEverything public in one place: `from estimator import estimate, compare, ...`.\n\n"
    return {"python/index": head + contents(list(parts), 2), **{f"python/{name}": text for name, text in parts.items()}}


def _functions() -> str:
    head = "# Functions\n\nWhat `estimator` exports. Every mistake is an `EstimatorError` of one line.\n\n"
    return head + "".join(_object(name, getattr(estimator, name)) for name in estimator.__all__)


def _results() -> str:
    head = "# Results\n\nWhat comes back. All are frozen, and show themselves: `print`, `.to_json()`, `.to_csv()`.\n\n"
    kinds = [*RESULTS, *_result_kinds(RESULTS)]
    return head + "".join(_object(kind.__name__, kind, f"{kind.__module__}.") for kind in kinds)


def _result_kinds(listed: tuple[type, ...]) -> list[type]:
    """Other results that show themselves, wherever they are defined."""
    for module in ("decide.recommend", "decide.inverse", "validation.report", "validation.local"):
        importlib.import_module(f"estimator.{module}")
    found = [kind for kind in _below(Shown) if kind not in listed and not kind.__subclasses__()]
    return sorted(found, key=lambda kind: kind.__name__)


def _below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _decide() -> str:
    head = "# Questions turned round\n\n`from estimator.decide import NAME`; `estimator recommend` asks the same.\n\n"
    homes = [(name, f"estimator.decide.{name}") for name in CALLED_AS_MODULE]
    homes += [(name, "estimator.decide") for name in decide.__all__]
    found = ((name, getattr(importlib.import_module(home), name), f"{home}.") for name, home in homes)
    return head + "".join(_object(*one) for one in found)


def _errors() -> str:
    head = f"# Errors\n\n{block(inspect.getdoc(errors) or '')}\n"
    kinds = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.EstimatorError)]
    return head + "".join(_object(kind.__name__, kind, "estimator.errors.") for kind in kinds)


def _object(name: str, thing: Any, home: str = "estimator.") -> str:
    """A heading, where it is imported from, how it is called and its docstring; of classes the fields and methods."""
    said = described(inspect.getdoc(thing))
    shown = name if inspect.isclass(thing) else signature(name, thing)
    first = f"{home}{name}" if inspect.isclass(thing) else f"{home}{shown}"
    members = "".join(_members(thing)) if inspect.isclass(thing) else ""
    return f"## {code(name)}\n\n{block(first, 'python')}\n{said}\n{members}\n"


def _members(kind: type) -> Iterator[str]:
    fields = [name for name in getattr(kind, "__annotations__", {}) if not name.startswith("_")]
    if fields:
        yield f"Fields: {', '.join(map(code, fields))}.\n\n"
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            called = name if isinstance(member, property) else signature(name, function)
            yield f"{block(f'.{called}', 'python')}\n{described(inspect.getdoc(function))}\n"
