"""`estimator completion`: what a shell offers at the Tab key, made from the parser and the catalogue."""

import argparse
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from estimator.catalog.accelerators import accelerator_names
from estimator.catalog.models import architecture_names
from estimator.catalog.prices import api_names
from estimator.cli.argument_parser import Parser
from estimator.cli.parser import parser
from estimator.scenario import default_scenario


class Option(NamedTuple):
    """An option of a command. words: what its value may be, as far as that is known; takes: whether it has a value."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    takes: bool
    text: str


class Command(NamedTuple):
    """A command, its options, and the words that may stand by themselves."""

    name: str
    text: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def completion(options: argparse.Namespace) -> None:
    """Print the script of one shell."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[options.shell](tuple(_commands())), end="")


def bash(commands: tuple[Command, ...]) -> str:
    """For bash: eval "$(estimator completion bash)"."""
    return f"""_estimator() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    [ "$before" = "=" ] && return
    if [ "$COMP_CWORD" -eq 1 ]; then words="{" ".join(command.name for command in commands)}"
    else case "${{COMP_WORDS[1]}}:$before" in
{"".join(_cases(commands, '        {key}) words="{words}" ;;'))}    esac; fi
    COMPREPLY=( $(compgen -W "$words" -- "$word") )
    case "${{COMPREPLY[0]}}" in *=) compopt -o nospace ;; esac
}}
complete -o default -F _estimator estimator
"""


def zsh(commands: tuple[Command, ...]) -> str:
    """For zsh: eval "$(estimator completion zsh)" after compinit."""
    return f"""#compdef estimator
_estimator() {{
    if (( CURRENT == 2 )); then compadd -- {" ".join(command.name for command in commands)}; return; fi
    case "${{words[2]}}:${{words[CURRENT-1]}}" in
{"".join(_cases(commands, "        {key}) compadd -- {words} ;;"))}    esac
    _files
}}
compdef _estimator estimator
"""


def fish(commands: tuple[Command, ...]) -> str:
    """For fish: estimator completion fish > ~/.config/fish/completions/estimator.fish."""
    lines = []
    for command in commands:
        lines.append(f"complete -c estimator -n __fish_use_subcommand -f -a {command.name} -d {_quoted(command.text)}")
        seen = f"complete -c estimator -n '__fish_seen_subcommand_from {command.name}'"
        lines += [f"{seen} -f -a {_quoted(' '.join(command.words))}"] if command.words else []
        lines += [f"{seen} {_fish_option(option)}" for option in command.options]
    return "\n".join(lines) + "\n"


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    words = f" -f -a {_quoted(' '.join(option.words))}" if option.words else ""
    return f"{names}{' -r' if option.takes else ''}{words} -d {_quoted(option.text)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _cases(commands: tuple[Command, ...], form: str) -> Iterator[str]:
    """What may follow a word of a command: the values of an option, else its words and options."""
    for command in commands:
        for option in command.options:
            if option.takes:
                key = "|".join(f"{command.name}:{name}" for name in option.names)
                line = form.format(key=key, words=" ".join(option.words)) if option.words else f"        {key}) ;;"
                yield f"{line}\n"
        every = [*command.words, *(name for option in command.options for name in option.names)]
        yield form.format(key=f"{command.name}:*", words=" ".join(every)) + "\n"


def _commands() -> Iterator[Command]:
    known = _known()
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                yield Command(name, texts.get(name, ""), tuple(_options(sub, known)), tuple(_words(sub)))


def _known() -> Mapping[str, tuple[str, ...]]:
    """Names that are in the catalogue, by the option they are values of."""
    inputs = tuple(f"{name}=" for name in default_scenario().names())
    return {"--gpu": accelerator_names(), "--model": architecture_names(), "--api": api_names(), "--set": inputs}


def _options(sub: Parser, known: Mapping[str, tuple[str, ...]]) -> Iterator[Option]:
    for action in sub._actions:
        if action.option_strings:
            found = [known[name] for name in action.option_strings if name in known]
            words = tuple(map(str, action.choices or ())) or tuple(found[0] if found else ())
            text = (action.help or "").replace("%%", "%")
            yield Option(tuple(action.option_strings), words, action.nargs != 0, text)


def _words(sub: Parser) -> Iterator[str]:
    for action in sub._actions:
        if not action.option_strings:
            yield from map(str, action.choices or ())
