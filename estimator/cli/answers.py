"""compare and estimate: from options to the library's calls, and its results as text."""

import argparse
import sys

from estimator import api
from estimator.cli.options import asked, assignment, emit, in_currency
from estimator.decide.combine import combine
from estimator.export import tables
from estimator.export.explain import estimate_reasons
from estimator.export.rows import estimate_rows, rows_csv
from estimator.results import Comparison, Estimate
from estimator.stages import COMBINATIONS


def compare(options: argparse.Namespace) -> None:
    """`estimator compare`."""
    comparison = api.compare(**asked(options))
    emit(options, in_currency(options, comparison, _rendered_comparison))


def estimate(options: argparse.Namespace) -> None:
    """`estimator estimate STAGE`."""
    if options.sensitivity is not None or options.figure:
        from estimator.cli.swings import swings

        return swings(options)
    of = combine if options.stage in COMBINATIONS else api.estimate
    answer = of(options.stage, **asked(options))
    _say_unused(options, {one.name for one in answer.assumptions})
    return emit(options, in_currency(options, answer, _rendered_estimate))


def _say_unused(options: argparse.Namespace, used: set[str]) -> None:
    """On stderr, which of the inputs named with --set this answer does not rest on."""
    names = [assignment(text)[0].replace("-", "_").rpartition(".")[2] for text in options.inputs]
    unused = [name for name in dict.fromkeys(names) if name not in used]
    if unused:
        print(f"estimator: nothing here rests on {', '.join(unused)}", file=sys.stderr)


def _rendered_comparison(options: argparse.Namespace, comparison: Comparison) -> str:
    if options.format == "json":
        return comparison.to_json()
    if options.format == "csv":
        return comparison.to_csv()
    if options.format == "markdown":
        return tables.comparison_table(comparison, "github")
    explained = [answer for answer in comparison.estimates if options.explain and isinstance(answer, Estimate)]
    return "\n\n".join([str(comparison), *map(estimate_reasons, explained)])


def _rendered_estimate(options: argparse.Namespace, answer: Estimate) -> str:
    if options.format == "json":
        return answer.to_json()
    if options.format == "csv":
        return rows_csv(estimate_rows(answer))
    if options.format == "markdown":
        return tables.estimate_markdown(answer)
    return f"{answer}\n\n{estimate_reasons(answer)}" if options.explain else str(answer)
