"""YAML as plain data: nothing is constructed, no tag is followed, and a small file stays small.

The library's safe loader makes a tree of nodes, which is turned into numbers, texts, lists and tables here. Anchors may
be used, but what they multiply to is counted first: a few lines of them can stand for more than any memory holds.
"""

import re
from typing import Any

from estimator.errors import InvalidInput, MissingExtra, clipped

MOST_TEXT = 256_000  # characters: what people write by hand is a tenth of it
BRACKET = re.compile(r"[\[\]{}]")
MOST_BRACKETS = 200  # open at once
MOST_VALUES = 100_000  # values of a file, repeated ones counted as often as they are repeated
TAGS = {"null", "bool", "int", "float", "str", "timestamp", "merge", "value", "binary"}


def documents(text: str, notes: list[str] | None = None) -> list[Any]:
    """The documents of a YAML text as plain data. Raises InvalidInput in one line; MissingExtra without PyYAML.

    notes: takes what is to be said of it, such as a key that is given twice

    >>> documents("a: 1\\nb: [x, 2e-4]")
    [{'a': 1, 'b': ['x', '2e-4']}]
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtra("PyYAML", "configs") from None
    if len(text) > MOST_TEXT:
        raise InvalidInput(f"it is YAML of more than {MOST_TEXT:,} characters")
    _check_depth(text)
    try:
        nodes = list(yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # libyaml is quick
        return [_plain(yaml, node, [] if notes is None else notes) for node in nodes if node is not None]
    except RecursionError:
        raise InvalidInput("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"it is not YAML{_where(error)}: {_what(error)}") from None


def _check_depth(text: str) -> None:
    """Refuse brackets in brackets without end before the parser meets them: its time grows with their square."""
    depth = 0
    for found in BRACKET.finditer(text):
        depth = max(depth + (1 if found[0] in "[{" else -1), 0)
        if depth > MOST_BRACKETS:
            raise InvalidInput("it is nested too deeply")


class _Sizes:
    """How many values nodes stand for, aliases followed, each node counted once."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.inside: set[int] = set()

    def of(self, node: Any) -> int:
        """Values of a node [1]. Raises InvalidInput for one that holds itself, or too many."""
        if id(node) in self.inside:
            raise InvalidInput(f"an anchor in it holds itself{_at(node.start_mark)}")
        if id(node) not in self.known:
            self.inside.add(id(node))
            self.known[id(node)] = 1 + sum(map(self.of, _children(node)))
            self.inside.discard(id(node))
        if self.known[id(node)] > MOST_VALUES:
            raise InvalidInput(f"its anchors multiply to more than {MOST_VALUES:,} values")
        return self.known[id(node)]


def _children(node: Any) -> list[Any]:
    if isinstance(node.value, str):
        return []
    return [each for part in node.value for each in (part if isinstance(part, tuple) else (part,))]


def _plain(yaml: Any, node: Any, notes: list[str]) -> Any:
    _Sizes().of(node)
    return _value(yaml.SafeLoader(""), node, notes)


def _value(loader: Any, node: Any, notes: list[str]) -> Any:
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node.value, str):
        if tag not in TAGS:
            raise InvalidInput(f"the tag {clipped(node.tag)} in it is not followed{_at(node.start_mark)}")
        return node.value if tag in ("str", "timestamp", "binary", "merge", "value") else _scalar(loader, node, tag)
    if tag not in ("seq", "map"):
        raise InvalidInput(f"the tag {clipped(node.tag)} in it is not followed{_at(node.start_mark)}")
    if tag == "seq":
        return [_value(loader, each, notes) for each in node.value]
    return _table(loader, node, notes)


def _scalar(loader: Any, node: Any, tag: str) -> Any:
    try:
        return getattr(loader, f"construct_yaml_{tag}")(node)
    except (ValueError, OverflowError):
        return node.value


def _table(loader: Any, node: Any, notes: list[str]) -> dict[str, Any]:
    """A mapping; what is merged into it (`<<`) gives way to its own keys."""
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _value(loader, key_node, notes)
        if key_node.tag.endswith(":merge"):
            parts = _value(loader, value_node, notes)
            for part in parts if isinstance(parts, list) else [parts]:
                merged |= part if isinstance(part, dict) else {}
            continue
        name = _name(key, key_node)
        if name in found:
            notes.append(f"{clipped(name)} is given twice{_at(key_node.start_mark)}: the last counts")
        found[name] = _value(loader, value_node, notes)
    return merged | found


def _name(key: Any, node: Any) -> str:
    if isinstance(key, list | dict):
        raise InvalidInput(f"a key in it is no word{_at(node.start_mark)}")
    return str(node.value)


def _at(mark: Any) -> str:
    return f" (line {mark.line + 1})" if mark else ""


def _where(error: Any) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return _at(mark)


def _what(error: Any) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())[:120]
