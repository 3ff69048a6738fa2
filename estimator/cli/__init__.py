"""The command: parse, call the library, print. No arithmetic here."""

from estimator.cli.main import main

__all__ = ["main"]
