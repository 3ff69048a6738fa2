"""The command: parse, call the library, print. No arithmetic here."""

from estimator.cli.main import command, main

__all__ = ["command", "main"]
