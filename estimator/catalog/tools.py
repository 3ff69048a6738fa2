"""What the keys of training and serving tools mean: presets/tools/*.toml, a file a tool, and common.toml for all.

A tool's table says of a key: the field it sets (of presets/plan.toml or run.toml), how its values are translated, the
tool's own default and whether that was read or is assumed; or that it is ignored, and why; or that it matters and is
not counted in. A new tool is a new file.
"""

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from estimator.catalog.files import cached, table
from estimator.paths import presets

FOLDER = "tools"
COMMON = "common"
LAUNCH = "launch"


TOLD = (
    "title", "task", "framework", "engine", "style", "rank", "sets", "part", "positional", "command", "strict",
    "variables", "by_word", "emit",
)  # fmt: skip


class Key(NamedTuple):
    """What a key means.

    field: what it sets; values: words of the tool and ours; also: what a word sets besides; default: the tool's own
    assumed: whether the default was not read in the tool's source; since: in which versions it holds
    patterns: what parts of a text say, by groups named for fields (`zero__3` sets zero to 3); file: names another file
    counted: how many things a list names; sum: what to add up; targets: adapters that it switches on; data: names data
    ignore, matters: why it changes nothing, or what is not counted in
    """

    name: str
    field: str = ""
    values: Mapping[str, Any] = {}
    also: Mapping[str, Mapping[str, Any]] = {}
    default: Any = None
    assumed: bool = False
    since: str = ""
    needs: str = ""
    patterns: tuple[str, ...] = ()
    file: bool = False
    counted: bool = False
    sum: str = ""
    targets: str = ""
    data: bool = False
    names: tuple[str, ...] = ()
    ignore: str = ""
    matters: str = ""


class Tool(NamedTuple):
    """A tool and its keys. part: whether its files only go with those of another; rank: who goes first, when in doubt.

    known: names that it takes, where they are listed: others are mistakes then; emit: how its files are written
    others: words after its program with which it neither trains nor serves
    strict: whether it does not start with a key that it does not know
    variables: what variables of the environment begin with that stand for options; by_word: what its programs set
    """

    id: str
    title: str
    task: str
    keys: Mapping[str, Key]
    framework: str = ""
    engine: str = ""
    style: str = "yaml"
    rank: int = 99
    programs: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    signs: frozenset[str] = frozenset()
    like: tuple[str, ...] = ()
    sets: Mapping[str, Any] = {}
    part: bool = False
    positional: str = ""
    command: str = ""
    strict: bool = False
    variables: str | None = None
    by_word: Mapping[str, Mapping[str, Any]] = {}
    emit: Mapping[str, Any] = {}
    known: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()

    def exact(self, name: str) -> Key | None:
        """What a name means here, by a key of its own."""
        return self.keys.get(name) or self._other(name)

    def variable(self, name: str) -> Key | None:
        """The option that a variable of the environment stands for; None where the tool takes none for options."""
        if self.variables is None or not name.isupper() or not name.startswith(self.variables):
            return None
        return self.exact(name.removeprefix(self.variables).lower())

    def key(self, name: str) -> Key | None:
        """What a name means here, its own key or a pattern's; None for one that the tool does not know."""
        if exact := self.exact(name):
            return exact
        patterns = (key for key in self.keys.values() if "*" in key.name and fnmatchcase(name, key.name))
        return next((key for key in patterns if key.name != "*" or not self.known or self.listed(name)), None)

    def _other(self, name: str) -> Key | None:
        return next((key for key in self.keys.values() if name in key.names), None)

    def listed(self, name: str) -> bool:
        """Whether its list of names has a name, or the table that it is in."""
        return name in self.known or name.partition(".")[0] in self.known

    def takes(self, name: str) -> bool:
        """Whether the tool surely knows a name: by a key of its own or in its list, no pattern for everything."""
        return name in self.keys or bool(self._other(name)) or name in self.known

    def names(self) -> list[str]:
        """All names that it is known to take."""
        return sorted({*(name for name in self.keys if "*" not in name), *self.known})


@cached
def tools() -> Mapping[str, Tool]:
    """All tools by the name of their file, those to be tried first in front.

    >>> tools()["axolotl"].key("sequence_len").default
    512
    """
    found = {name: _tool(name) for name in tool_names()}
    return dict(sorted(found.items(), key=lambda item: item[1].rank))


@cached
def tool_names() -> tuple[str, ...]:
    """The tools' names, alphabetically."""
    stems = (name.removesuffix(".toml") for name in os.listdir(presets() / FOLDER))  # noqa: PTH208
    return tuple(sorted(name for name in stems if name != COMMON))


@cached
def _tool(name: str) -> Tool:
    content = table(presets() / FOLDER / f"{name}.toml")
    keys: dict[str, Key] = {}
    known: set[str] = set(content.get("known", "").split())
    for other in content.get("like", ()):
        keys |= _tool(other).keys
        known |= _tool(other).known if known else set()
    own = {key: _key(key, entry) for key, entry in content["keys"].items()}
    keys = own | {key: each for key, each in keys.items() if key not in own}
    return Tool(
        id=name,
        keys=keys,
        programs=tuple(content.get("programs", ())),
        others=tuple(content.get("others", ())),
        signs=frozenset(content.get("signs", ())),
        like=tuple(content.get("like", ())),
        known=frozenset(known),
        sources=tuple(f"{each['title']} ({each['kind']})" for each in content["source"]),
        **{key: content[key] for key in TOLD if key in content},
    )


def _key(name: str, entry: Mapping[str, Any]) -> Key:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Key(name, **lists)  # type: ignore[arg-type]  # a test holds what files may say


@cached
def common() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of keys that mean the same for every tool, and what is said of them."""
    groups = table(presets() / FOLDER / f"{COMMON}.toml")["group"]
    return tuple((re.compile("|".join(map(_pattern, group["keys"]))), group["say"]) for group in groups)


def _pattern(words: str) -> str:
    return "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", words))


def harmless(name: str) -> str:
    """Why a key changes neither memory nor time, by its name; nothing where that is not known.

    >>> harmless("learning_rate"), harmless("sequence_len")
    ('how well it learns, not what it needs', '')
    """
    return next((say for pattern, say in common() if pattern.fullmatch(name)), "")


class Meaning(NamedTuple):
    """What a key means to the first tool that has it. field: of a plan or a run, empty where it is none."""

    tool: str
    field: str
    say: str


def meaning(name: str) -> Meaning | None:
    """What a tool calls by this name; None where no tool is known to.

    >>> meaning("sample_packing").tool, meaning("excess_length_strategy").say
    ('Axolotl', 'which data and how it is read, not how much')
    """
    spelled = name.strip().lstrip("-").replace("-", "_")
    for tool in tools().values():
        key = tool.keys.get(spelled) or next((one for one in tool.keys.values() if spelled in one.names), None)
        key = key or next((one for one in tool.keys.values() if one.name.endswith(f".{spelled}")), None)
        if key:
            return Meaning(tool.title, key.field, key.ignore or key.matters)
    for tool in tools().values():
        if spelled in tool.known:
            return Meaning(tool.title, "", harmless(spelled) or "no field here says this")
    return None
