"""`estimator record`, `watch` and `variance`: what a run really took, and what was billed, beside what was expected."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from estimator.cli.notes import note
from estimator.cli.options import assignment, once, seconds, show, use_own_facts, whole
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.files import check_ending

if TYPE_CHECKING:
    from estimator.recording import Recorded
    from estimator.recording.found import Found
    from estimator.recording.variance import Variance


def record(options: argparse.Namespace) -> None:
    """`estimator record FILE...`."""
    from estimator.recording.share import CHECKLIST, share

    if options.share:
        check_ending(options.share, ".csv")  # before anything is kept
    found = recorded(options)
    if options.share:
        share(found, options.share)
        for line in CHECKLIST.format(file=options.share).splitlines():
            note(line)  # apart from the answer, which may be data
    show(options, found)


RECORDED = ("files", "model", "gpu", "gpus", "keep", "accept")


def recorded(options: argparse.Namespace) -> "Recorded":
    """What the logs say beside what was predicted."""
    from estimator.recording import record_found

    use_own_facts(options)
    told = once(map(assignment, options.inputs), *RECORDED)
    found, beside = _apart(options.files)
    named = {name: value for name in ("model", "gpu") if (value := getattr(options, name)) is not None}
    if beside:
        from estimator.verdict.own_run import fields_of

        named = fields_of(beside, **named)
    return record_found(found, keep=not options.compare_only, accept=options.accept, **{**named, **told})


def _apart(files: Sequence[str]) -> tuple[list["Found"], list[str]]:
    """What logs say, and run configurations beside them. Raises InvalidInput for what is neither."""
    from estimator.configs import read_run
    from estimator.recording import read_log

    found: list[Found] = []
    others: dict[str, InvalidInput] = {}
    for file in files:
        try:
            found += read_log(file)
        except InvalidInput as error:
            others[file] = error
    for file, said in others.items():
        try:
            read_run([file])
        except EstimatorError:
            raise said from None
    if not found:
        raise next(iter(others.values()))
    return found, list(others)


WATCHED = ("url", "model", "gpu", "every_s", "most_s", "keep", "accept", "say")


def watch(options: argparse.Namespace) -> None:
    """`estimator watch URL`."""
    from estimator.recording.watch import watch as run

    use_own_facts(options)
    told = once(map(assignment, options.inputs), *WATCHED)
    found = run(
        options.url,
        model=options.model,
        gpu=options.gpu,
        every_s=seconds(options.every, "--every", "s"),
        most_s=seconds(options.time, "--time", "s"),
        keep=not options.compare_only,
        accept=options.accept,
        say=_now,
        **told,
    )
    show(options, found)


def _now(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def variance(options: argparse.Namespace) -> None:
    """`estimator variance BUDGET ACTUALS`."""
    found = varied(options)
    if options.workbook:
        from estimator.export.variance import variance_sheet

        variance_sheet(found, options.workbook)
    if options.plot:
        _plotted(found, options.plot)
    show(options, found)


def varied(options: argparse.Namespace) -> "Variance":
    """The budget against its bill."""
    from estimator.recording.variance import LINE_KINDS
    from estimator.recording.variance import variance as run

    mapping = dict(_mapped(text, LINE_KINDS) for text in options.map)
    months = whole(options.months, "--months")
    return run(options.budget, options.actuals, approach=options.approach, months=months, mapping=mapping)


def _plotted(found: "Variance", path: str) -> None:
    from estimator.charts.draw import save
    from estimator.charts.of_results import variance as pictures

    drawn = pictures(found)
    if not drawn:
        raise InvalidInput("nothing was planned and nothing billed: there is no picture of it")
    save(drawn[0], path, "light")


def _mapped(text: str, kinds: Sequence[str]) -> tuple[str, str]:
    service, equals, kind = text.rpartition("=")
    if not equals or kind not in kinds:
        raise UnknownName("kind of line", kind or text, kinds, f"Say SERVICE=KIND, KIND one of {', '.join(kinds)}.")
    return service, kind
