"""`estimator estimate STAGE --sensitivity`: what the answer turns on."""

import argparse

from estimator.cli.options import asked, emit
from estimator.errors import InvalidInput
from estimator.sensitivity import sensitivity
from estimator.stages import STAGES


def swings(options: argparse.Namespace) -> None:
    """Print or write the tornado."""
    if options.stage not in STAGES:
        raise InvalidInput(f"--sensitivity goes with {', '.join(STAGES)}, not with a combination")
    if options.currency or options.explain or options.level:
        raise InvalidInput("--sensitivity goes without --currency, --level and --explain")
    vary = tuple(name.strip().replace("-", "_") for name in (options.sensitivity or "").split(",") if name.strip())
    found = sensitivity(options.stage, figure=options.figure or "total_usd", vary=vary, **asked(options))
    if options.format == "markdown":
        from estimator.export.swings import tornado_markdown

        return emit(options, tornado_markdown(found))
    return emit(options, {"json": found.to_json, "csv": found.to_csv}.get(options.format, found.__str__)())
