"""Figures as people write them: three digits, a unit that suits the size, the range behind."""

import math

from estimator.quantities import Quantity

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TIME_UNITS = ((365.25 * DAY, "y"), (30.44 * DAY, "mo"), (7 * DAY, "wk"), (DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"))  # fmt: skip
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SI_PREFIXES = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))  # fmt: skip
SI_UNITS = ("B", "J", "FLOP", "Wh")


def human(quantity: Quantity, spread: bool = True) -> str:
    """A figure with its 80 % range, such as `$32.5k (23.2k-46.9k)`; `unknown` when nobody knows.

    >>> from estimator.quantities import given
    >>> human(given("cost", 32_500, "USD", low=23_200, high=46_900, factor="traffic"))
    '$32.5k (23.2k-46.9k)'
    >>> human(given("time", 5400, "s")), human(given("memory", 54.7e9, "B")), human(given("tokens", 1500, "token"))
    ('1.5 h', '54.7 GB', '1.5k')
    """
    if not quantity.known:
        return "unknown"
    value, unit = quantity.value, quantity.unit.removesuffix("/month")
    size, suffix, prefix = _scale(value, unit)
    text = f"{prefix}{digits(value / size)}{suffix}"
    low, high = quantity.interval()
    if not spread or math.isclose(low, high, rel_tol=5e-3) or value == 0:
        return text
    return f"{text} ({_end(low, unit, size, suffix)}-{_end(high, unit, size, suffix)})"


def _scale(value: float, unit: str) -> tuple[float, str, str]:
    """Divisor, suffix and prefix in which a value reads best."""
    magnitude = abs(value)
    if unit == "s":
        size, name = next(((size, name) for size, name in TIME_UNITS if magnitude >= size), TIME_UNITS[-1])
        return size, f" {name}", ""
    if unit in SI_UNITS:
        size, name = next(((size, name) for size, name in SI_PREFIXES if magnitude >= size), (1.0, ""))
        return size, f" {name}{unit}", ""
    if unit == "gCO2e":
        return (1e6, " tCO2e", "") if magnitude >= 1e6 else (1e3, " kgCO2e", "")
    size, name = next(((size, name) for size, name in PREFIXES if magnitude >= size), (1.0, ""))
    if unit == "USD":
        return size, name, "$" if value >= 0 else "$"
    return size, name + ("" if unit in ("1", "token") else f" {unit}"), ""


def _end(value: float, unit: str, size: float, suffix: str) -> str:
    """One end of a range: without a unit when it is the value's own, else in the unit that suits it."""
    if 0.01 <= abs(value) / size < 1000 or value == 0:
        name = suffix if unit not in ("s", *SI_UNITS, "gCO2e") and suffix.strip() in "kMBTP" else ""
        return digits(value / size) + name
    own, name, prefix = _scale(value, unit)
    return f"{digits(value / own)}{name.replace(' ', '')}" if prefix in ("", "$") else digits(value)


def digits(value: float) -> str:
    """Three significant digits without an exponent where that is readable.

    >>> digits(2.0), digits(0.0147), digits(123.4), digits(-5.678), digits(3e-9)
    ('2', '0.0147', '123', '-5.68', '3e-09')
    """
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e15:
        return f"{value:.3g}"
    places = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
