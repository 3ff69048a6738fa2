"""argparse as the command uses it: a mistake is one line, and help comes at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from estimator.errors import EstimatorError, InvalidInput, clipped, nearest

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Help(argparse.HelpFormatter):
    """argparse's, which looks for the width of the screen by way of a module that loads every archiver."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Of the screen, as `shutil.get_terminal_size` finds them."""
    with suppress(KeyError, ValueError):
        if (wanted := int(os.environ["COLUMNS"])) > 0:
            return wanted
    with suppress(AttributeError, ValueError, OSError):  # nothing is shown, or not on a screen
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line with the nearest valid words, raised as the library's own error."""

    def error(self, message: str) -> NoReturn:
        """Raise InvalidInput instead of printing usage and exiting."""
        raise InvalidInput(f"{self._plain(message)} See `{self.prog} --help`.")

    def _plain(self, message: str) -> str:
        if message.startswith("unrecognized arguments: "):
            word = (message.removeprefix("unrecognized arguments: ").split() or [""])[0].split("=")[0]
            options = self._options()
            if "--set" in options and (meant := _input_meant(word)):
                return f"unknown option {clipped(word)}: an input is given as --set {meant}=VALUE."
            guess = nearest(word, options)
            return f"unknown option {clipped(word)}.{f' Did you mean {guess[0]!r}?' if guess else ''}"
        if "invalid choice: " in message:
            word = message.split("invalid choice: ")[1].split(" (")[0].strip("'\"")
            choices = [part.strip(" '\")") for part in message.rpartition("choose from ")[2].split(",")]
            guess = nearest(word, choices)
            hint = f" Did you mean {guess[0]!r}?" if guess else ""
            return f"{message.split(':')[0]}: unknown {clipped(word)}.{hint} Choices are {', '.join(choices)}."
        return f"{message}."

    def _get_formatter(self) -> argparse.HelpFormatter:
        return Help(self.prog)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """As argparse does, but a screen that takes no more is no secret."""
        if message and file is not None:
            file.write(message)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """As argparse has them, but `--option=--` gives no value, and an empty one is none."""
        if action.option_strings and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "expected one argument")
        if action.option_strings and "" in arg_strings:
            raise argparse.ArgumentError(action, "the value is empty: give one, or leave the option out")
        return super()._get_values(action, arg_strings)

    def _options(self) -> list[str]:
        found = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [option for sub in action.choices.values() for option in sub._options()]
        return found


class Unread(Parser):
    """A command of which a list shows the name and a line: none of its options are built."""

    def __init__(self, **_: object) -> None:
        pass

    def _nothing(self, *_: object, **__: object) -> Any:
        return self

    add_argument = add_argument_group = set_defaults = _nothing


def _input_meant(word: str) -> str:
    """The scenario's input that is called so; empty where none is."""
    from estimator.scenario import known_input  # only for a mistake

    try:
        return known_input(word.lstrip("-"))
    except EstimatorError:
        return ""


NOT_REPEATED = ("--output", "--format")


def command_text(words: Sequence[str]) -> str:
    """The command as it was given, less where its answer went.

    >>> command_text(["compare", "--model", "7b", "--gpu=a100", "--output", "board.html", "--format=html"])
    'estimator compare --model 7b --gpu=a100'
    """
    import shlex

    apart = [place for place, word in enumerate(words) if word in NOT_REPEATED]
    left = (word for place, word in enumerate(words) if place not in apart and place - 1 not in apart)
    kept = [word for word in left if not word.startswith(tuple(f"{name}=" for name in NOT_REPEATED))]
    return shlex.join(["estimator", *kept])


def listed(text: str | None) -> tuple[str, ...]:
    """`A,B` as names."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
