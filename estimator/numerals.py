"""Numbers as people write them: one rule for options, scenarios, facts, case files and sweeps.

Digits 0 to 9 with a decimal point, a sign and an exponent where wanted (`-1.5`, `2e9`); commas or underscores only
between groups of three digits (`1,000`, `1_000_000`); k, m, b or t behind for thousands to trillions (`2k`, `1.5M`).
`2,5`, `1_0`, `0x10` and other scripts' digits are no numbers. TOML files write theirs as TOML does.
"""

import re

SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
NUMBER = re.compile(
    r"\s*([+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?:_[0-9]{3})+|(?=\.[0-9]))(?:\.[0-9]*)?)"
    r"(?:(e[+-]?[0-9]+)|\s*([kmbt]))?\s*",
    re.IGNORECASE | re.ASCII,
)
WORDS = {"inf": float("inf"), "infinity": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
SPACES = " \t\n\r\f\v"  # around a number
LONGEST = 100
LEAST, MOST = 1e-30, 1e30  # sizes of facts: nothing here is smaller or larger, and what is makes sums overflow


def numeral(text: str) -> float | None:
    """The number a text is, infinite or NaN too; None when it is none.

    >>> numeral("2k"), numeral("1,000"), numeral("-1.5e3"), numeral("2,5"), numeral("1_0"), numeral("٣")
    (2000.0, 1000.0, -1500.0, None, None, None)
    """
    found = NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return WORDS.get(text.strip().lower().removeprefix("+")) if len(text) <= LONGEST else None
    digits, exponent, suffix = found.groups()
    value = float(digits.replace(",", "").replace("_", "") + (exponent or ""))
    return value * SUFFIXES[suffix.lower()] if suffix else value


def rewritten(text: str) -> str:
    """Advice on how a number is written that was written otherwise, such as with a decimal comma; empty for no number.

    >>> rewritten("2,5"), rewritten("3.000.000"), rewritten("$2.50"), rewritten("5 %"), rewritten("lots")
    (': write 2.5', ': write 3,000,000', ': write 2.50', ': write 0.05', '')
    """
    bare = re.sub(r"[\s'$€£]|USD|EUR|GBP", "", text[:LONGEST], flags=re.IGNORECASE)
    share = bare.removesuffix("%")
    for guess in (share, share.translate(str.maketrans(",.", ".,"))):
        value = numeral(guess)
        if value is not None and abs(value) < MOST:
            return f": write {value / 100:g}" if share != bare else f": write {guess}"
    return ""
