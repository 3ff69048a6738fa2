"""Where the data folders lie (inside the package once installed, beside it in a checkout), and the TOML in them.

The files that ship hold mostly lines that JSON would write the same way, and Python's JSON parser takes a quarter of
the time of its TOML parser, which would be felt at every cold start. A test holds that both read them alike; files of
users are read by Python's own parser (estimator/files.py).
"""

import datetime
import os
import re
import sys
from json import JSONDecoder
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent


def data_folder(name: str) -> Path:
    """`hardware` or `calibration`."""
    packaged = PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name


def presets() -> Path:
    """Facts that are neither machines nor measurements."""
    return PACKAGE / "presets"


def user_data_folder() -> Path:
    """Where this user's own profile lives; XDG_DATA_HOME moves it."""
    if given := os.environ.get("XDG_DATA_HOME"):
        return Path(given) / "estimator"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "estimator"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "estimator"
    return Path.home() / ".local/share/estimator"


def shipped(path: Path) -> bool:
    """Whether a file came with the package."""
    return any(folder in path.parents for folder in (PACKAGE, data_folder("hardware"), data_folder("calibration")))


# A pair whose value JSON reads, among others, as TOML does: a text, a flat array without a comment, a word or number.
ALIKE = re.compile(r'([A-Za-z0-9_-]+) = ("[^"]*"|\[[^][{#]*\]|[A-Za-z0-9]+|[0-9]+\.[0-9]+)')
LINE = re.compile(r'(?:([A-Za-z0-9_-]+)|"([^"\\]+)") *= *(.+)')
HEADER = re.compile(r'\[(?:\[([A-Za-z0-9_-]+)\]|(?:([A-Za-z0-9_-]+)\.)?(?:([A-Za-z0-9_-]+)|"([^"\\]+)"))\]')
INNER = re.compile(r"([A-Za-z0-9_-]+) = ")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
UNLIKE = ("\\", "null", '":', '" :')  # what JSON and TOML may read in two ways
DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")


def _refused(constant: str) -> None:
    raise ValueError(constant)


DECODER = JSONDecoder(parse_constant=_refused)


def toml(text: str) -> dict[str, Any]:
    """The content of a TOML text that ships. Raises ValueError when it is not TOML.

    >>> toml('[a.b]\\nnumber = 1e3\\npair = { x = 1, y = "two" }')
    {'a': {'b': {'number': 1000.0, 'pair': {'x': 1, 'y': 'two'}}}}
    """
    try:
        return _plain_toml(text)
    except (ValueError, TypeError, AttributeError, RecursionError):
        import tomllib  # for whatever is written in another way, and to say what is wrong

        return tomllib.loads(text)


def _plain_toml(text: str) -> dict[str, object]:
    """Tables of single-line values that JSON reads alike, all of them in one call; an error for anything else."""
    if CONTROL.search(text) or any(mark in text for mark in UNLIKE):
        raise ValueError
    content: dict[str, Any] = {}
    current, headed = content, {id(content)}
    places: list[tuple[dict[str, Any], str]] = []
    texts: list[str] = []
    for line in text.split("\n"):
        if found := ALIKE.fullmatch(line):
            key, value = found.groups()
            places.append((current, key))
            texts.append(value)
        elif not line or line[0] == "#":
            continue
        elif line[0] == "[":
            current = _opened(content, line, headed)
            continue
        else:
            key, value = _pair(line)
        if key in current:
            raise ValueError(line)
        current[key] = None if found else _value(value)  # in the order of the file
    for (table, key), value in zip(places, DECODER.decode(f"[{','.join(texts)}]"), strict=True):
        table[key] = value
    return content


def _pair(line: str) -> tuple[str, str]:
    """Key and value of a line, as texts."""
    bare, quoted, value = LINE.fullmatch(line).groups()  # type: ignore[union-attr]  # no match is such an error
    return bare or quoted, value


def _value(text: str) -> object:
    """One value, with or without a comment after it."""
    if DATE.match(text):
        return datetime.date.fromisoformat(text)
    keys = 0
    if text.startswith(("{", "[{")):
        text, keys = INNER.subn(r'"\1": ', text)
    elif text[0].isdecimal():
        text = DIGITS.sub("", text)
    value, end = DECODER.raw_decode(text)
    tables = value if isinstance(value, list) else [value]
    if (keys and keys != sum(map(len, tables))) or text[end:].strip(" \t")[:1] not in ("", "#"):
        raise ValueError(text)
    return value


def _opened(content: dict[str, Any], line: str, headed: set[int]) -> dict[str, Any]:
    """The table that a header starts: `[name]`, `[name.part]`, or another entry of `[[name]]`.

    headed: what headers began; values that are tables or arrays themselves take no more
    """
    opened: dict[str, object] = {}
    line = line.partition(" #")[0].rstrip(" \t")
    found = HEADER.fullmatch(line)
    several, outer, bare, quoted = found.groups() if found else (None,) * 4
    if several:
        entries = content.setdefault(several, [])
        if (entries and id(entries) not in headed) or not isinstance(entries, list):
            raise ValueError(line)
        entries.append(opened)
        headed |= {id(entries), id(opened)}
        return opened
    parent, name = content.setdefault(outer, {}) if outer else content, bare or quoted
    if name is None or name in parent or (parent and id(parent) not in headed):
        raise ValueError(line)
    parent[name] = opened
    headed |= {id(parent), id(opened)}
    return opened
