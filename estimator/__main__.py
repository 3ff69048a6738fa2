"""`python -m estimator`: the command."""

import sys

from estimator.cli import command

if __name__ == "__main__":
    sys.exit(command())
