"""Command lines as a shell would pass them on: programs, options and what was set before them.

Nothing is run. Variables that the text sets, and defaults of those that it does not, are put in; what a shell would
compute stays open.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from shlex import quote
from typing import Any, NamedTuple

from estimator.configs.variables import expanded, summed
from estimator.errors import InvalidInput

SETS = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
OPTION = re.compile(r"--?[A-Za-z][\w.-]*(?:=.*)?", re.DOTALL)
SCRIPT = re.compile(r".*\.(?:py|sh)")
MERGED = re.compile(r"(.+?)(--[a-z][\w-]+)")
SETTING = re.compile(r"[+~]{0,2}([A-Za-z_][\w.]*)=([^=].*|)", re.DOTALL)  # name=value, as Hydra and MaxText take them
SETTINGS = re.compile(r"\s*(?:[+~]{0,2}[A-Za-z_]\w*(?:\.\w+)+=\S*(?:\s+|$)){2}")  # several of them in one word
REDIRECTED = re.compile(r"\d?(?:>>?|<)&?\d?")
CUT = re.compile(r"\\[ \t]+(?=\n)")
LISTED = re.compile(r"^[ \t]*(\w+\+?)=\(([^()]*)\)", re.MULTILINE)  # a list of a shell, and all of it put in
EACH = re.compile(r"\$\{(\w+)\[[@*]\]\}")
ALL = "\x03"  # before a list of a shell whose every item is put in
QUOTED_OR_COMMENT = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|(?<!\S)#[^\n]*", re.DOTALL)
BRANCH = re.compile(r"^[ \t]*(?:elif|else|case)\b", re.MULTILINE)
DOCKER_FLAGS = {"--rm", "-d", "-it", "-i", "-t", "--detach", "--init", "--privileged", "-ti"}
BEFORE = {"nohup", "exec", "sudo", "time", "env", "uv", "run", "srun", "bash", "poetry", "eval"}
SHELLS = {"sh", "bash", "zsh"}
PROGRAM = re.compile(r"python[\d.]*|torchrun")
LAUNCHERS = ("python", "accelerate", "torchrun", "deepspeed")
KEYWORDS = {"then", "do", "else", "{", "("}
ASIDE = {
    "if",
    "elif",
    "while",
    "until",
    "for",
    "[",
    "[[",
    "test",
    "echo",
    "printf",
    "cd",
    "mkdir",
    "pip",
    "pip3",
    "git",
    "set",
    "cat",
}


class Command(NamedTuple):
    """One command. words: programs, scripts and other words in order; options by name; sets: variables before it."""

    words: tuple[str, ...]
    options: dict[str, Any]
    sets: dict[str, str]
    notes: tuple[str, ...] = ()


def commands(text: str, known: Mapping[str, str] | None = None) -> list[Command]:
    """The commands of a text, and one of the arguments that it only stores. Raises InvalidInput for an open quote.

    known: variables that are set around it

    >>> commands("M=7b\\nvllm serve $M -tp 2 --enforce-eager")[0][:2]
    (('vllm', 'serve', '7b'), {'tp': '2', 'enforce_eager': True})
    """
    text, notes = _tidy(text)
    known = dict(known or {})
    found: list[Command] = []
    for words in _lines(text):
        words = [expanded(word, known) for word in words]
        words = [each for word in words for each in _apart(word)]
        while words and words[0] in KEYWORDS:
            words = words[1:]
        sets, rest = _settings(words, known)
        known |= sets
        if rest and rest[0] in ASIDE:
            continue
        if rest and rest[0].startswith("--") and found and not rest[0].startswith("---"):
            notes.append(
                f"a line begins with {rest[0]}, but no backslash ends the one before: a shell does not pass it on"
            )
        elif inner := _inner(rest):
            found += commands(inner, known)
        elif rest:
            found += _command(rest, sets)
    stored = [value for value in known.values() if "--" in value]
    used = any(command.options for command in found)
    if stored and not used:
        found += _command(["", *(word for value in stored for word in _split(value))], {})
    return [one._replace(notes=(*notes, *one.notes), sets=known | one.sets) for one in found]


def _inner(words: list[str]) -> str:
    """The text that a shell is given to run: of `eval`, of `bash -c`, of a variable that is a whole command."""
    if words[:1] == ["eval"] or (words and " " in words[0].strip() and words[0][0] not in "[("):
        return " ".join(" ".join(words[words[0] == "eval" :]).split())
    for shell, option, text in zip(words, words[1:], words[2:], strict=False):
        if shell.rpartition("/")[2] in SHELLS and option in ("-c", "-lc", "-ec"):
            return text
    return ""


def _tidy(text: str) -> tuple[str, list[str]]:
    notes = []
    if CUT.search(text):
        notes.append("a blank follows the backslash at the end of a line: a shell ends the command there; read on")
    bare = QUOTED_OR_COMMENT.sub(lambda found: "" if found[0].startswith("#") else found[0], text)
    if BRANCH.search(bare):
        notes.append("it branches (if, case): all branches are read, and the last one that sets a variable counts")
    joined = re.sub(r"\\[ \t]*\r?\n", " ", bare).rstrip().removesuffix("\\")
    joined = LISTED.sub(lambda found: f"{found[1]}={quote(' '.join(found[2].split()))}", joined)
    return summed(EACH.sub(rf"{ALL}${{\1}}", joined)), notes


def _lines(text: str) -> Iterator[list[str]]:
    """Words of each command; quotes may span lines."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if word and not set(word) - set(";&|\n"):
                yield words
                words = []
            else:
                words.append(word)
    except ValueError as error:
        raise InvalidInput(f"a quote in it is not closed ({error})") from None
    yield words


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _apart(word: str) -> list[str]:
    """The arguments that a word stands for: those of a list, or of a variable that holds several."""
    bare = word.replace(ALL, "")
    return _split(bare) if word.startswith(ALL) or _several(bare) else [bare]


def _several(word: str) -> bool:
    """Whether a variable stood for several arguments."""
    if SETTINGS.match(word):
        return True
    return bool(re.match(r"\s*--?[A-Za-z]", word)) and " " in word.strip() and "{" not in word


def _settings(words: list[str], known: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    sets: dict[str, str] = {}
    rest = list(words)
    if rest and rest[0] == "export":
        rest = rest[1:]
    while rest:
        if found := SETS.fullmatch(rest[0]):
            before = f"{known.get(found[1], '')} " if found[2] else ""
            sets[found[1]] = f"{before}{found[3].strip()}".strip()
        elif len(rest) > 2 and rest[1] == "=":  # as files of variables are written too
            sets[rest[0]], rest = " ".join(rest[2:]), [""]
        else:
            return sets, rest
        rest = rest[1:]
    return sets, rest


def _command(words: list[str], sets: dict[str, str]) -> list[Command]:
    words = list(_undirected(words))
    if any(word in ("docker", "podman", "nerdctl") for word in words[:2]) and "run" in words:
        return [_in_container(words[words.index("run") + 1 :], sets)]
    return [_options(words, sets)]


def _undirected(words: list[str]) -> Iterator[str]:
    """Words without redirections."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif REDIRECTED.fullmatch(word):
            skip = not word.endswith("1")
        elif not re.match(r"\d?>", word):
            yield word


def _in_container(words: list[str], sets: dict[str, str]) -> Command:
    """What runs in a container: after its image; the image is the program where nothing else is."""
    own: list[str] = []
    place = 0
    while place < len(words) and words[place].startswith("-"):
        alone = words[place] in DOCKER_FLAGS or "=" in words[place]
        own += words[place : place + (1 if alone else 2)]
        place += 1 if alone else 2
    outside = _options(["", *own], {}).options
    for option, text in pairwise(own):
        name, equals, value = text.partition("=")
        sets |= {name: value} if equals and option in ("-e", "--env") else {}
    inner = _options(words[place:] or [""], sets)
    if gpus := outside.get("gpus"):
        inner.options.setdefault("gpus", str(gpus).replace('"', "").removeprefix("device="))
    return inner


def _options(words: list[str], sets: dict[str, str]) -> Command:
    """Options by name: with one value, several, or none (true); what comes before and between them are words."""
    plain: list[str] = []
    options: dict[str, Any] = {}
    notes: list[str] = []
    name = ""
    for word in words:
        if word in ("-u", "-m", "--module") and any(each.rpartition("/")[2].startswith(LAUNCHERS) for each in plain):
            name = ""
            continue
        if OPTION.fullmatch(word) and not re.fullmatch(r"-?\d.*", word):
            name, equals, value = word.partition("=")
            name = _named(name)
            _add(options, name, value if equals else True, notes)
            name = "" if equals else name
        elif (setting := SETTING.fullmatch(word)) and plain and (not name or options[name] is not True):
            _add(options, setting[1], setting[2], notes)
            name = ""
        elif name and not _begins(word, options[name]):
            merged = MERGED.fullmatch(word)
            _add(options, name, merged[1] if merged and merged[1].isdigit() else word, notes)
            if merged and merged[1].isdigit():
                notes.append(f"a blank is missing before {merged[2]}")
                name = _named(merged[2])
                options[name] = True
        else:
            plain.append(word)
            name = ""
    return Command(tuple(word for word in plain if word not in BEFORE), options, dict(sets), tuple(notes))


def _begins(word: str, value: object) -> bool:
    """Whether a word after an option with that value is a program or a script rather than the value."""
    last = word.rpartition("/")[2]
    return bool(SCRIPT.fullmatch(word) and value is not True) or bool(PROGRAM.fullmatch(last) and value is True)


def _named(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _add(options: dict[str, Any], name: str, value: object, notes: list[str]) -> None:
    """An option's value: the first in place of none, more as a list, unless the option came again."""
    before = options.get(name)
    if value is True and before is not None:
        notes.append(f"--{name} is given twice: the last counts")
        options[name] = True
    elif before is None or before is True:
        options[name] = value
    elif isinstance(before, list):
        before.append(value)
    else:
        options[name] = [before, value]
