"""`estimator record` and `variance`: what a run really took, and what was billed, beside what was expected."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from estimator.cli.options import assignment, once, show, use_own_facts, whole
from estimator.errors import UnknownName

if TYPE_CHECKING:
    from estimator.recording import Recorded
    from estimator.recording.variance import Variance


def record(options: argparse.Namespace) -> None:
    """`estimator record FILE...`."""
    from estimator.recording.share import CHECKLIST, share

    found = recorded(options)
    if options.share:
        share(found, options.share)
    show(options, found, *([CHECKLIST.format(file=options.share)] if options.share else []))


RECORDED = ("files", "model", "gpu", "gpus", "keep", "accept")


def recorded(options: argparse.Namespace) -> "Recorded":
    """What the logs say beside what was predicted."""
    from estimator.recording import record as run

    use_own_facts(options)
    told = once(map(assignment, options.inputs), *RECORDED)
    hardware = {"model": options.model, "gpu": options.gpu}
    return run(options.files, **hardware, keep=not options.compare_only, accept=options.accept, **told)


def variance(options: argparse.Namespace) -> None:
    """`estimator variance BUDGET ACTUALS`."""
    found = varied(options)
    if options.workbook:
        from estimator.export.variance import variance_sheet

        variance_sheet(found, options.workbook)
    show(options, found)


def varied(options: argparse.Namespace) -> "Variance":
    """The budget against its bill."""
    from estimator.recording.variance import LINE_KINDS
    from estimator.recording.variance import variance as run

    mapping = dict(_mapped(text, LINE_KINDS) for text in options.map)
    months = whole(options.months, "--months")
    return run(options.budget, options.actuals, approach=options.approach, months=months, mapping=mapping)


def _mapped(text: str, kinds: Sequence[str]) -> tuple[str, str]:
    service, equals, kind = text.rpartition("=")
    if not equals or kind not in kinds:
        raise UnknownName("kind of line", kind or text, kinds, f"Say SERVICE=KIND, KIND one of {', '.join(kinds)}.")
    return service, kind
