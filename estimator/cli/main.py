"""Entry point: exit 0 on success, 2 on bad input with one line on stderr, 130 on Ctrl-C; never a traceback."""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from estimator.cli import notes
from estimator.errors import EstimatorError

LONGEST = 480  # of a message [characters]


MEASURING = ("calibrate", "validate")  # commands that time this machine as it is


def command() -> int:
    """The process's own command. Most are over in a moment, so nothing is spent on what pays off later only.

    Threads that NumPy would start for large matrix products spin for some 20 ms first, and there are no large ones;
    looking through all objects for cycles, during imports and at the end, would take another 30 ms.
    """
    if sys.argv[1:2] and sys.argv[1] not in MEASURING:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000, 50, 100)
    try:
        return main()
    finally:
        gc.freeze()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (the process's own arguments when not given) and return its exit status."""
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except EstimatorError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has gone: nothing is wrong
        _silence()
        return 0
    except OSError as error:
        _silence()
        return _refused(f"cannot print the answer: {error.strerror or error}")
    except MemoryError:
        return _refused("not enough memory for this question: ask for fewer rows or a smaller grid")


def _run(words: list[str]) -> int:
    """The command, and what is left to print, while it can still be said that it cannot."""
    from estimator.cli.parser import parser

    status = 0
    try:
        arguments = parser(words).parse_args(words)
        arguments.words = words
        status = int(arguments.run(arguments) or 0)
        notes.say()
    finally:  # after help and version too, which end the program
        notes.forget()
        if sys.stdout is not None:
            sys.stdout.flush()
    return status


def _silence() -> None:
    """Nothing more to a reader that has gone or a disk that is full, not even at the end of the program."""
    with suppress(OSError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(reason: str) -> int:
    line = " ".join(reason.split())
    with suppress(OSError):  # nobody reads it
        print(f"estimator: {line if len(line) <= LONGEST else f'{line[:LONGEST]} ...'}", file=sys.stderr, flush=True)
    return 2
