"""Hostile values: of numbers, of names, of texts."""

import random
from typing import Any

NUMBERS = (
    *("0", "-1", "1", "0.5", "-0", "+1", "1e3", "24.7", "nan", "-nan", "inf", "-inf", "Infinity", "1e308", "-1e308"),
    *("1e309", "1e-308", "5e-324", "9" * 400, "0x10", "1_0", "1__0", "_1", "1,000", "1,00", "2,5", "1.2.3", "1e", "."),
    *("", " ", "2k", "2 k", "2K", "2kk", "k", "1e3k", "١٢", "３", "²", "½", "Ⅷ", "१०", "−5", "1\u00a0000"),
    *("true", "false", "none", "null", "None", "[]", "{}", "()", "1 2", "1;2", "--", "-", "*", "%", "90%"),
)
RANGES = (
    "1..2..3",
    "3..2..1",
    "1..2",
    "1..",
    "..",
    "....",
    "nan..1..2",
    "1..nan..2",
    "0..0..0",
    "1..2..3..4",
    "1..2..inf",
)
RANGES += (
    "a..b..c",
    "1k..2k..5k",
    "-1e308..0..1e308",
    "1..2..3:4",
    "1...2...3",
    "1:2:3",
    "a:b:n",
    "1,2,3",
    "1,,2",
    ",",
)
SPANS = ("nan", "inf", "-inf", "1,nan", "1e308,1e309", "-1e308..1e308:3", "1..1e308:3", "1..10:3", "10..1:3", "1..10:0")
SPANS += (
    "1..10:1",
    "1..10:1e9",
    "1..10:2.5",
    "1..10:nan",
    "0..0:2",
    "nan..1:3",
    "1..inf:3",
    "1..10:",
    "..:",
    "1e-320..1:4",
)
SPANS += ("a..b:n", "5e-324..1e308:7", "1_0..2_0:2", "١..٩:3", "", ",", " ", "1..2..3", "0..1e-300:4", "true,false")
TEXTS = (
    *("", " ", "a" * 10_000, "\x00", "a\x00b", "\ud800", "a\udcff", "\u202eabc", "\u2028", "a\nb", "a\r\nestimator: b"),
    *(
        "\x1b[31mred",
        "\x85",
        "\ufeffa100",
        "ａ１００",
        "💥" * 50,
        "../../etc/passwd",
        "/",
        ".",
        "..",
        "~",
        "~nobody",
        "~\x00",
    ),
    *("{}", "{0}", "%s", "%n", "$(id)", "`id`", "'", '"', "\\", "a,b", "a=b", "=1+1", "-x", "--", "--help", "nul", "*"),
    *("A" * 255, "A" * 256, "/dev/null", "con.json", "x.json", "./x", "1e5xa100", "0xa100", "nanxa100", "infxa100"),
    *("²xa100", "١xa100", "1_000xa100", "1__0xa100", "1,,0xa100", "1.5xa100", "99999999999999999999xa100", "a100:nan"),
    *("7b7", "nanb", "infb", "1e3b", "١b", "²b", "0b", "-7b", "7_0b", "7__0b", "7.b", ".7b", "7,0b", "9" * 300 + "b"),
)
PYTHON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 1e308, 5e-324, 1j),
    *("", "x", "\x00", "\ud800", "a" * 5_000, b"a100", bytearray(b"7b"), (), [], {}, set(), (1,), [1, 2], (1, 2, 3)),
    *({"value": 1}, {"low": 1, "value": None, "high": 2}, object(), int, len, lambda: 1, range(3), Exception("x"), ...),
)


def number(rng: random.Random) -> str:
    """A value for something that takes a number."""
    return rng.choice(NUMBERS + RANGES)


def text(rng: random.Random) -> str:
    """A value for something that takes a name."""
    return rng.choice(TEXTS + NUMBERS)


def python(rng: random.Random) -> Any:
    """A value of a wrong type, or of the right one and absurd."""
    import numpy as np

    arrays = (np.array([]), np.array([1.0, np.nan]), np.float32(3), np.int64(-1), np.array("x"), np.zeros((2, 2)))
    return rng.choice(PYTHON + arrays)


def shown(value: Any) -> str:
    """A value as text, short."""
    plain = f"10**{len(str(value)) - 1}" if isinstance(value, int) and abs(value) > 10**20 else repr(value)
    return plain if len(plain) <= 80 else plain[:60] + f"... ({len(plain):,} characters)"
