"""`estimator estimate STAGE --sensitivity`: what the answer turns on."""

import argparse

from estimator.cli.argument_parser import listed
from estimator.cli.options import asked, show
from estimator.errors import InvalidInput
from estimator.sensitivity import sensitivity as turned_on
from estimator.stages import STAGES


def sensitivity(options: argparse.Namespace) -> None:
    """Print or write the table."""
    if options.stage not in STAGES:
        raise InvalidInput(f"--sensitivity goes with {', '.join(STAGES)}, not with a combination")
    if options.currency or options.explain is not None or options.level or options.assumptions:
        raise InvalidInput("--sensitivity goes without --currency, --level, --explain and --assumptions")
    vary = tuple(name.replace("-", "_") for name in listed(options.sensitivity))
    show(options, turned_on(options.stage, figure=options.figure or "total_usd", vary=vary, **asked(options)))
