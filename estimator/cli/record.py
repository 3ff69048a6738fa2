"""`estimator record` and `variance`: what a run really took, and what was billed, beside what was expected."""

import argparse
from collections.abc import Sequence

from estimator.cli.options import assignment, once, show, use_own_facts, whole
from estimator.errors import UnknownName
from estimator.files import check_ending


def record(options: argparse.Namespace) -> None:
    """`estimator record FILE...`."""
    from estimator.recording import record as run
    from estimator.recording.share import CHECKLIST, share

    if options.share:
        check_ending(options.share, ".csv")  # before anything is kept
    use_own_facts(options)
    told = once(assignment(text) for text in options.inputs)
    hardware = {"model": options.model, "gpu": options.gpu}
    found = run(options.files, **hardware, keep=not options.compare_only, accept=options.accept, **told)
    if options.share:
        share(found, options.share)
    show(options, found, *([CHECKLIST.format(file=options.share)] if options.share else []))


def variance(options: argparse.Namespace) -> None:
    """`estimator variance BUDGET ACTUALS`."""
    from estimator.recording.variance import LINE_KINDS
    from estimator.recording.variance import variance as run

    mapping = dict(_mapped(text, LINE_KINDS) for text in options.map)
    months = whole(options.months, "--months")
    found = run(options.budget, options.actuals, approach=options.approach, months=months, mapping=mapping)
    if options.workbook:
        from estimator.export.variance import variance_sheet

        variance_sheet(found, options.workbook)
    show(options, found)


def _mapped(text: str, kinds: Sequence[str]) -> tuple[str, str]:
    service, equals, kind = text.rpartition("=")
    if not equals or kind not in kinds:
        raise UnknownName("kind of line", kind or text, kinds, f"Say SERVICE=KIND, KIND one of {', '.join(kinds)}.")
    return service, kind
