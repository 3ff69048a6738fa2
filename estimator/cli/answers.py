"""compare and estimate: from options to the library's calls, and its results as they were asked for."""

import argparse
from collections.abc import Sequence

from estimator import api
from estimator.cli.argument_parser import listed
from estimator.cli.notes import note
from estimator.cli.options import asked, assignment, emit, levelled, show, stages_of
from estimator.errors import InvalidInput
from estimator.results import Comparison, Estimate
from estimator.shown import in_currency

# Inputs that say where samples are and how they are counted: what was counted is what an answer rests on.
OF_DATA = ("data", "broken_lines", "tokenizer_json")


def compare(options: argparse.Namespace) -> None:
    """`estimator compare`."""
    _table_alone(options)
    comparison = compared(options)
    if options.assumptions:
        return _assumed(options, comparison)
    return _answered(options, comparison, [one for one in comparison.estimates if isinstance(one, Estimate)])


def estimate(options: argparse.Namespace) -> None:
    """`estimator estimate STAGE`."""
    if options.sensitivity is not None or options.figure:
        from estimator.cli.sensitivity import sensitivity

        return sensitivity(options)
    _table_alone(options)
    answer = estimated(options)
    return _assumed(options, answer) if options.assumptions else _answered(options, answer, [answer])


def compared(options: argparse.Namespace) -> Comparison:
    """The comparison that was asked for."""
    found: Comparison = levelled(options, api.compare(**asked(options), **stages_of(options)))
    return found


def estimated(options: argparse.Namespace) -> Estimate:
    """The estimate that was asked for; with it is said which inputs it does not rest on."""
    found: Estimate = levelled(options, api.estimate(options.stage, **asked(options)))
    _say_unused(options, found.stage, {one.name for one in found.assumptions})
    return found


def _table_alone(options: argparse.Namespace) -> None:
    """Refuse reasons and assumptions in a format that has no place for them."""
    for name in ("explain", "assumptions"):
        if getattr(options, name) not in (None, False) and options.format != "table":
            raise InvalidInput(f"--{name} goes with a table, not with {options.format}")


def _answered(options: argparse.Namespace, result: Estimate | Comparison, explained: Sequence[Estimate]) -> None:
    """The result; or the reasons of the figures that were named, of the headline ones beneath it where none were."""
    if options.explain is None:
        return show(options, result)
    told = [one.explain(*listed(options.explain)) for one in in_currency(tuple(explained), options.currency or "")]
    return emit(options, "\n\n".join(told)) if options.explain else show(options, result, *told)


def _assumed(options: argparse.Namespace, result: Estimate | Comparison) -> None:
    """All inputs that the result rests on, and why they are what they are."""
    from estimator.export.assumptions import every

    emit(options, every(result))


def _say_unused(options: argparse.Namespace, stage: str, used: set[str]) -> None:
    """With the answer, on stderr, which of the inputs named with --set this answer does not rest on."""
    names = [assignment(text)[0].replace("-", "_").rpartition(".")[2] for text in options.inputs]
    counting = OF_DATA if stage == "finetune" and "data" in names else ()
    unused = [name for name in dict.fromkeys(names) if name not in used and name not in counting]
    if unused:
        note(f"nothing here rests on {', '.join(unused)}")
