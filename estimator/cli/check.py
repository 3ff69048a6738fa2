"""`estimator check` and `estimator diff`: from options to a verdict, and the gate that a pipeline may set."""

import argparse
from typing import Any

from estimator.cli.argument_parser import listed
from estimator.cli.options import assignment, emit, number, once, price, say_alias, show, use_own_facts
from estimator.errors import InvalidInput, clipped
from estimator.verdict import Check, named_field
from estimator.verdict import check as checked

SAID = ("gpu", "model", "data", "price")
MISSED = 3  # exit code where a gate is missed


def check(options: argparse.Namespace) -> int:
    """Check, print, and answer the gate."""
    if options.fix and not options.emit:
        raise InvalidInput("--fix goes with --emit TOOL: the changed plan as a file")
    least, most = _share(options.fit_chance), number(options.fail_over, "--fail-over")
    found = verdict(options)
    if options.emit:
        from estimator.configs.emit import emitter
        from estimator.verdict.emitted import of_check

        emit(options, of_check(emitter(options.emit), found, options.model or "", options.fix))
    else:
        show(options, found)
    return MISSED if _missed(found, least, most) else 0


def verdict(options: argparse.Namespace) -> Check:
    """The run configuration, checked."""
    use_own_facts(options)
    return checked(
        *options.files,
        gpu=listed(options.gpu) or None,
        model=options.model,
        data=number(options.data, "--data"),
        price=price(options),
        **once(map(_typed, options.inputs), *SAID),
    )


def diff(options: argparse.Namespace) -> None:
    """Compare and print."""
    from estimator.verdict.difference import difference

    use_own_facts(options)
    given = {
        "gpu": listed(options.gpu) or None,
        "model": options.model,
        "data": number(options.data, "--data"),
        "price": price(options),
    }
    asked = {name: value for name, value in given.items() if value is not None}
    fields = once(map(_typed, options.inputs), *SAID)
    found = difference(options.first, options.second, options.beside, options.stage, **asked, **fields)
    show(options, found)


def _share(text: str | None) -> float | None:
    value = number(text.strip().removesuffix("%") if text else None, "--fit-chance")
    if value is None:
        return None
    share = value / 100 if value > 1 or str(text).strip().endswith("%") else value
    if not 0 <= share <= 1:
        raise InvalidInput(f"--fit-chance must be a chance such as 0.9 or 90%, not {clipped(text)}")
    return share


def _missed(found: Check, least: float | None, most: float | None) -> bool:
    """Whether a gate is missed; a cost that nobody knows, or a key that stops it, misses it too."""
    cost = found.best.figure("usd")
    return (least is not None and (found.fit_chance < least or bool(found.stops))) or (
        most is not None and not cost.value <= most
    )


def _typed(text: str) -> tuple[str, Any]:
    """NAME=VALUE as a field of a plan, or of the work."""
    called, _ = assignment(text)
    value = text.partition("=")[2].strip()
    field = named_field(called, "training") or named_field(called, "serving")
    if field is None:
        return called.replace("-", "_"), value
    say_alias(called, field)
    return field, number(value, field) if field in (
        "samples",
        "tokens_per_sample",
        "epochs",
        "steps",
        "concurrency",
    ) else value
