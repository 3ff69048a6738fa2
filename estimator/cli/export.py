"""`estimator export`: the comparison as a workbook, into an existing one, or its budget lines as CSV."""

import argparse
import shlex
from pathlib import Path

from estimator import api
from estimator.cli.options import asked, belong
from estimator.errors import InvalidInput
from estimator.export.budget import budget_csv
from estimator.files import write_text
from estimator.results import Comparison
from estimator.shown import in_currency

SHEET = "Estimate"  # goes before the names of our sheets
# Options that the command to export again repeats.
REPEATED = (
    *("model", "gpu", "gpus", "api", "scenario", "facts", "price_per_hour", "purchase_price", "years"),
    *("electricity", "provider", "region", "commitment", "billing", "currency"),
)


def export(options: argparse.Namespace) -> None:
    """Write what was asked, whole or not at all."""
    target = options.into or options.file
    if target is None or (options.into and options.file):
        raise InvalidInput("name one file to write: `estimator export budget.xlsx ...`, or --into with your workbook")
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


def _compared(options: argparse.Namespace) -> Comparison:
    found: Comparison = in_currency(api.compare(**asked(options)), options.currency or "")
    return found


def _into(options: argparse.Namespace) -> None:
    from estimator.export.workbook.package import add_to_workbook

    comparison = _compared(options)
    options.sheet = options.sheet or SHEET
    backup = add_to_workbook(comparison, options.into, options.sheet, options.replace, _again(options))
    print(f"{options.into}: sheets {options.sheet!r} written; the workbook as it was: {backup}")


def _again(options: argparse.Namespace) -> str:
    """The command that makes the same export."""
    words = ["estimator", "export"]
    words += ["--into", options.into, "--sheet", options.sheet] if options.into else [options.file]
    for name in REPEATED:
        value = getattr(options, name)
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    for assignment in options.inputs:
        words += ["--set", assignment]
    return shlex.join(words)
