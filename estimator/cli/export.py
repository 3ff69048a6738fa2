"""`estimator export`: the comparison as a workbook, into an existing one, or its budget lines as CSV."""

import argparse
import shlex
from pathlib import Path

from estimator import api
from estimator.cli.notes import note
from estimator.cli.options import asked, assignment, belong, stages_of
from estimator.errors import InvalidInput
from estimator.export.budget import budget_csv
from estimator.files import write_text
from estimator.results import Comparison
from estimator.scenario import known_input
from estimator.shown import in_currency

SHEET = "Estimate"  # goes before the names of our sheets
# Options that the command to export again repeats.
REPEATED = (
    *("model", "gpu", "gpus", "api", "scenario", "facts", "price_per_hour", "purchase_price", "years"),
    *("electricity", "provider", "region", "commitment", "billing", "currency", "stages"),
)
ELSE = (("price_per_hour", "purchase_price"), ("model", "gpu", "gpus", "api"))  # one of these given anew replaces all


def export(options: argparse.Namespace) -> None:
    """Write what was asked, whole or not at all."""
    named = [name for name in (options.into, options.file, options.output) if name]
    if len(named) != 1:
        raise InvalidInput("name one file to write: `estimator export budget.xlsx ...`, or --into with your workbook")
    (target,) = named
    style = options.format or Path(target).suffix.lower().lstrip(".")
    if (
        options.format
        and Path(target).suffix.lower() in (".xlsx", ".xlsm", ".csv")
        and (options.format != Path(target).suffix.lower().lstrip("."))
    ):
        raise InvalidInput(f"{target!r} does not end as {options.format} does: leave one of the two out")
    if options.into or style != "csv":
        belong(options, "budget lines: name a file that ends in .csv", "fields", "excel")
    if not options.into:
        belong(options, "a workbook of yours: name it with --into", "sheet", "replace")
    if options.into:
        _into(options)
    elif style == "csv":
        fields = tuple(filter(None, (options.fields or "").split(",")))
        write_text(target, budget_csv(_compared(options), fields, options.excel))
    elif style == "xlsx":
        _compared(options).to_excel(target, command=_again(options))
    else:
        raise InvalidInput(f"cannot write {target!r}: name a file that ends in .xlsx or .csv")
    if not options.into:
        note(f"{target} written: {'budget lines' if style == 'csv' else 'a workbook with live formulas'}")


def _compared(options: argparse.Namespace) -> Comparison:
    found: Comparison = in_currency(api.compare(**asked(options), **stages_of(options)), options.currency or "")
    return found


def _into(options: argparse.Namespace) -> None:
    from estimator.export.workbook.package import add_to_workbook, command_in

    options.sheet = options.sheet or SHEET
    _kept(options, command_in(options.into, options.sheet))
    comparison = _compared(options)
    backup = add_to_workbook(comparison, options.into, options.sheet, options.replace, _again(options))
    print(f"{options.into}: sheets {options.sheet!r} written; the workbook as it was: {backup}")


def _kept(options: argparse.Namespace, before: str) -> None:
    """What the sheets were last made with holds for whatever is not said anew; said on stderr."""
    if not before:
        return
    from estimator.cli.parser import parser

    words = shlex.split(before)[1:]
    was = parser(words).parse_args(words)
    anew = {name for group in ELSE for name in group if any(getattr(options, one) for one in group)}
    kept = []
    for name in REPEATED:
        if name not in anew and getattr(options, name) is None and (value := getattr(was, name)) is not None:
            setattr(options, name, value)
            kept.append(f"--{name.replace('_', '-')} {value}")
    named = {known_input(assignment(text)[0]) for text in options.inputs}
    inputs = [text for text in was.inputs if known_input(assignment(text)[0]) not in named]
    options.inputs = [*inputs, *options.inputs]
    if kept or inputs:
        note(f"kept from the sheets as they were: {' '.join([*kept, *(f'--set {text}' for text in inputs)])}")


def _again(options: argparse.Namespace) -> str:
    """The command that makes the same export."""
    words = ["estimator", "export"]
    words += ["--into", options.into, "--sheet", options.sheet] if options.into else [options.file]
    for name in REPEATED:
        value = getattr(options, name)
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    for given in options.inputs:
        words += ["--set", given]
    return shlex.join(words)
