"""`estimator mcp`: the questions as tools for assistants."""

import argparse


def mcp(_: argparse.Namespace) -> None:
    """Serve tools on standard input and output."""
    from estimator.web.tools import run

    run()
