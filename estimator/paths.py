"""Where the data folders lie (inside the package once installed from a wheel, beside it in a checkout), and TOML.

Most TOML files hold only lines that JSON would write the same way, and Python's JSON parser takes a tenth of the time
of its TOML parser, which would be a sixth of a cold start.
"""

import datetime
import re
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


LINE = re.compile(r'(?:([A-Za-z0-9_-]+)|"([^"\\]+)") *= *(.+)')
INNER = re.compile(r"([A-Za-z0-9_-]+) = ")
DATE = re.compile(r"\d{4}-")


def _refused(constant: str) -> None:
    raise ValueError(constant)


DECODER = JSONDecoder(parse_constant=_refused)


def toml(text: str) -> dict[str, Any]:
    """The content of a TOML text. Raises ValueError when it is not TOML.

    >>> toml('[a.b]\\nnumber = 1e3\\npair = { x = 1, y = "two" }')
    {'a': {'b': {'number': 1000.0, 'pair': {'x': 1, 'y': 'two'}}}}
    """
    try:
        return _plain_toml(text)
    except (ValueError, TypeError, AttributeError, RecursionError):
        import tomllib  # for whatever is written in another way, and to say what is wrong

        return tomllib.loads(text)


def _plain_toml(text: str) -> dict[str, Any]:
    """Tables of single-line values that JSON reads alike; an error for anything else."""
    content: dict[str, Any] = {}
    current = content
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        current = current if line[0] != "[" else _opened(content, line)
        if line[0] != "[":
            bare, quoted, value = LINE.fullmatch(line).groups()  # type: ignore[union-attr]  # no match is such an error
            if (bare or quoted) in current:
                raise ValueError(line)
            current[bare or quoted] = _value(value)
    return content


def _value(text: str) -> Any:
    """One value, with or without a comment after it."""
    if DATE.match(text):
        return datetime.date.fromisoformat(text)
    if text[0] == "{":
        text = INNER.sub(r'"\1": ', text)
    elif text[0].isdecimal():
        text = text.replace("_", "")
    value, end = DECODER.raw_decode(text)
    if value is None or text[end:].strip()[:1] not in ("", "#"):
        raise ValueError(text)
    return value


def _opened(content: dict[str, Any], line: str) -> dict[str, Any]:
    """The table that a header starts: `[name]`, `[name.part]`, or another entry of `[[name]]`."""
    opened: dict[str, Any] = {}
    line = line.partition(" #")[0].rstrip()
    if found := re.fullmatch(r"\[\[([A-Za-z0-9_-]+)\]\]", line):
        content.setdefault(found[1], []).append(opened)
        return opened
    found = re.fullmatch(r'\[(?:([A-Za-z0-9_-]+)\.)?(?:([A-Za-z0-9_-]+)|"([^"\\]+)")\]', line)
    parent = content.setdefault(found[1], {}) if found and found[1] else content
    name = (found[2] or found[3]) if found else line
    if found is None or name in parent:
        raise ValueError(line)
    parent[name] = opened
    return opened
