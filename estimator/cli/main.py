"""Entry point: exit 0 on success, 2 on bad input with one line on stderr, 130 on Ctrl-C; never a traceback."""

import os
import sys
from collections.abc import Sequence

from estimator.errors import EstimatorError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (the process's own arguments when not given) and return its exit status."""
    from estimator.cli.parser import parser

    try:
        words = sys.argv[1:] if argv is None else list(argv)
        arguments = parser(words).parse_args(words)
        return int(arguments.run(arguments) or 0)
    except EstimatorError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has gone: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _refused("not enough memory for this question: ask for fewer rows or a smaller grid")


def _refused(reason: str) -> int:
    print(f"estimator: {' '.join(reason.split())}", file=sys.stderr)
    return 2
