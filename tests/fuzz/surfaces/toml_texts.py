"""The own TOML reader against the standard library's: the same content, or both refuse."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from estimator.errors import EstimatorError
from estimator.paths import toml
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 230
KEYS = ("a", "b", "samples", "a-b", "1", '"q"', "'l'", "a.b", "é", '"a b"', '""', "a b", "", '"\\u0041"', "true", "inf")
VALUES = (
    *(
        "1",
        "1_0",
        "1__0",
        "_1",
        "1_",
        "+1",
        "-0",
        "01",
        "0x1F",
        "0o17",
        "0b1",
        "1e3",
        "1E+3",
        "1.",
        ".5",
        "1.5",
        "1_0.0_1",
    ),
    *("nan", "inf", "-inf", "NaN", "Infinity", "true", "false", "True", "null", "none", "9" * 30, "1e400", "-5", "1 2"),
    *(
        '"a"',
        '"a\\tb"',
        '"\\u00e9"',
        '"\\/"',
        '"\\e"',
        '"\\x41"',
        "'a'",
        '"""a"""',
        "'''a\nb'''",
        '"a\nb"',
        '"\t"',
        '"\x7f"',
    ),
    *(
        '"a" # c',
        '"#"',
        '"a"b',
        '"',
        '"\\ud800"',
        '"\\U0001F4A5"',
        "[1, 2]",
        "[1, 2,]",
        "[1 2]",
        "[,]",
        "[1, 'a']",
        "[]",
    ),
    *("[\n1,\n2\n]", "{ a = 1 }", "{ a = 1, a = 2 }", "{ a = 1, }", "{ a.b = 1 }", '{ "a" = 1 }', '{ "a": 1 }', "{}"),
    *(
        '{ a = "x = y" }',
        "{ a = { b = 1 } }",
        "{ a = [1, { b = 2 }] }",
        "2026-01-02",
        "2026-13-02",
        "2026-01-02T03:04:05Z",
    ),
    *(
        "2026-01-02 # d",
        "2026-01-02x",
        "12:30:00",
        "1 # a\u2028b = 2",
        "1 # a\u0085b = 2",
        "1 # a\x0cb = 2",
        "1 # \x00",
    ),
    *(
        "1 # a\x1cb = 2",
        '"a\u2028b"',
        "[null]",
        "{ a = null }",
        "[1__0]",
        "{ a = 1__0 }",
        "1 # null",
        "١",
        "1\u00a0",
        "[01]",
    ),
)
HEADS = (
    "[t]",
    "[t.u]",
    "[[t]]",
    "[ t ]",
    '["t"]',
    "['t']",
    "[t] # c",
    "[t]x",
    "[[t]",
    "[]",
    "[t.]",
    "[a]",
    "[a.b]",
    "[t.u.v]",
)
SPACES = (
    "",
    "",
    "",
    " ",
    "\t",
    "\u00a0",
    "\ufeff",
    "\r",
    "# c",
    "# c\u2028x = 1",
    "# c\u0085x = 1",
    "# \x01",
    "# \x0bx = 1",
)
BREAKS = ("\n", "\n", "\n", "\r\n", "\r", "\u2028", "\u0085", "\x0c", "\x0b")
NAMED = (
    "samples = 5 # a\u2028b = 2\n",
    "# made \u0085samples = 7\n",
    "a = 1__0\n",
    "a = 1\na = 2\n",
    "a = null\n",
    "[t]\na = 1\n[t]\nb = 2\n",
    "a = [1__0, null]\n",
    "a = { b = 1, b = 2 }\n",
)


def draw(rng: random.Random, index: int) -> Trial:
    """Some lines of TOML, most of them right; every 30th given to the command, as a scenario."""
    text = NAMED[index // 15 % len(NAMED)] if index % 15 == 0 else _text(rng)
    kind = f"TOML {text!r}" if index % 15 == 0 else "random TOML"
    if index % 30 == 1:
        Path("s.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        words = ("compare", "--model", "7b", "--gpu", "a100", "--scenario", "s.toml")
        return command("random scenario", words, files=f"s.toml: {text!r}")
    return Trial(kind, f"estimator.paths.toml({text!r})", lambda: _differences(text))


def _text(rng: random.Random) -> str:
    lines = [_line(rng) for _ in range(rng.choice((1, 2, 3, 5)))]
    return "".join(line + (rng.choice(BREAKS) if rng.random() < 0.2 else "\n") for line in lines)


def _line(rng: random.Random) -> str:
    dice = rng.random()
    if dice < 0.15:
        return rng.choice(HEADS)
    if dice < 0.25:
        return rng.choice(SPACES)
    equals = rng.choice((" = ", " = ", " = ", "=", " =", "= ", "\t=\t", ":", " == ", ""))
    return rng.choice(KEYS) + equals + rng.choice(VALUES) + (rng.choice(SPACES) if rng.random() < 0.1 else "")


def _differences(text: str) -> Iterator[str]:
    ours, theirs = _read(toml, text), _read(tomllib.loads, text)
    if repr(ours) != repr(theirs):
        what = "reads what is no TOML" if theirs is None else "refuses TOML" if ours is None else "reads TOML otherwise"
        yield f"{what}: {ours!r} instead of {theirs!r}"


def _read(reader: Any, text: str) -> Any:
    try:
        return reader(text)
    except (ValueError, EstimatorError):
        return None
