"""The command, one page for each of its words: what it does, its options, its example with what that prints."""

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from docs.pages.console import UNRUN, in_a_shell, workplace
from docs.pages.markdown import block, code, contents, plain, table
from estimator.cli.parser import Parser, parser

HEAD = """# The command

`estimator COMMAND`, or `python -m estimator COMMAND`. It exits with 0 on success, 2 for a question it cannot answer
(one line on stderr: what is wrong, the nearest valid names, what to do), 130 on Ctrl-C. Data go to stdout, notes to
stderr.

"""


def pages() -> dict[str, str]:
    """An index and a page a command."""
    listed = {name: (words, sub) for name, words, sub in subcommands()}
    rows = table(
        {"command": f"[`estimator {name}`]({name}.md)", "": plain(words)} for name, (words, _) in listed.items()
    )
    with workplace(), ThreadPoolExecutor(2) as workers:
        texts = workers.map(_page, listed, (sub for _, sub in listed.values()))
        made = {f"commands/{name}": text for name, text in zip(listed, texts, strict=True)}
    return {"commands/index": HEAD + rows + "\n" + contents(list(listed)), **made}


def subcommands() -> Iterator[tuple[str, str, Parser]]:
    """Name, description and parser of each command."""
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                yield name, words.get(name, sub.description or ""), sub


def example(sub: Parser) -> str:
    """The command line that its help ends with."""
    return (sub.epilog or "").removeprefix("Example: ").strip()


def _page(name: str, sub: Parser) -> str:
    usage = " ".join(sub.format_usage().removeprefix("usage: ").split())
    parts = [f"# estimator {name}\n", f"{_sentence(sub.description or '')}\n", _example(name, sub)]
    return "\n".join([*parts, "## Options\n", options(sub), "## Usage\n", block(_folded(usage))])


def options(sub: Parser) -> str:
    """What can be said to a command, group by group."""
    return "\n".join(filter(None, map(_group, sub._action_groups)))


def _sentence(text: str) -> str:
    shown = plain(text)
    return f"{shown[:1].upper()}{shown[1:]}."


def _example(name: str, sub: Parser) -> str:
    command = example(sub)
    if not command:
        return ""
    if name in UNRUN:
        return block(f"$ {command}", "console")
    status, output = in_a_shell(command)
    if status:
        raise RuntimeError(
            f"{command}: exit {status}: {output} Its files go into docs/examples, or its name into not_run.txt."
        )
    return block(f"$ {command}\n{_shortened(output)}", "console")


def _shortened(output: str, most: int = 70, width: int = 160) -> str:
    """An answer of at most so many lines and columns; what is left out is counted."""
    lines = [line if len(line) <= width else f"{line[:width]} ..." for line in output.splitlines()]
    left = len(lines) - most
    return "\n".join(lines if left <= 0 else [*lines[:most], f"... {left} more lines"])


def _group(group: argparse._ArgumentGroup) -> str:
    rows = [
        {"option": ", ".join(map(code, _written(action))), "meaning": _meaning(action)}
        for action in group._group_actions
        if action.help is not argparse.SUPPRESS
    ]
    title = {"positional arguments": "what to name", "options": "general"}.get(str(group.title), str(group.title))
    return f"### {title[:1].upper()}{title[1:]}\n\n{table(rows)}" if rows else ""


def _written(action: argparse.Action) -> list[str]:
    shown = action.metavar if isinstance(action.metavar, str) else "|".join(map(str, action.choices or ()))
    if not action.option_strings:
        return [shown or action.dest]
    value = f" {shown or action.dest.upper()}" if action.nargs != 0 else ""
    return [f"{option}{value}" for option in action.option_strings]


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    if action.choices and not all(str(choice) in text for choice in action.choices):
        text += f" ({', '.join(map(str, action.choices))})"
    return plain(text)


def _folded(usage: str, width: int = 100) -> str:
    """Usage in lines of some 100 characters, no option cut from its value."""
    lines = [""]
    for part in usage.replace("] [", "]\n[").split("\n"):
        if len(lines[-1]) + len(part) > width:
            lines.append("   ")
        lines[-1] += f" {part}" if lines[-1].strip() else part if len(lines) == 1 else f" {part}"
    return "\n".join(lines)
