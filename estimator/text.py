"""Figures as people write them: three digits, a unit that suits the size, the range behind."""

import math

import numpy as np

from estimator.formulas.units import DAY_S, HOUR_S, MONTH_S, WEEK_S, YEAR_S
from estimator.quantities import Quantity

TIME_UNITS = (
    (YEAR_S, "y"),
    (MONTH_S, "mo"),
    (WEEK_S, "wk"),
    (DAY_S, "d"),
    (HOUR_S, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "us"),
)
POWERS = (1e24, 1e21, 1e18, 1e15, 1e12, 1e9, 1e6, 1e3, 1.0)
SI_PREFIXES = tuple(zip(POWERS, ("Y", "Z", "E", "P", "T", "G", "M", "k", ""), strict=True))
PREFIXES = tuple(zip(POWERS[3:], ("P", "T", "B", "M", "k", ""), strict=True))  # money and counts: a billion is B
HOURS = ((1e9, "B"), (1e6, "M"), (1.0, ""))  # 2,000 hours, not 2k
COUNTED = ("token", "word", "page", "day", "month", "year")  # units that have a plural
EMISSIONS = ((1e9, " ktCO2e"), (1e6, " tCO2e"), (1e3, " kgCO2e"))
SI_UNITS = ("B", "FLOP", "Wh", "J")
WATT_HOURS = tuple((HOUR_S * size, f" {prefix}Wh") for size, prefix in SI_PREFIXES)  # energy as it is billed


def human(quantity: Quantity, spread: bool = True) -> str:
    """A figure with its range, such as `$32.5k (23.2k-46.9k)`; `unknown` when nobody knows.

    >>> from estimator.quantities import derive, given
    >>> human(given("cost", 32_500, "USD", low=23_200, high=46_900, factor="traffic"))
    '$32.5k (23.2k-46.9k)'
    >>> human(given("time", 5400, "s")), human(given("memory", 54.7e9, "B")), human(given("tokens", 1500, "token"))
    ('1.5 h', '54.7 GB', '1.5k')
    >>> human(given("energy", 2.45e9, "J", low=1.15e9, high=5.75e9, factor="power"))
    '681 kWh (319-1.6MWh)'
    >>> load = given("load", 1.6, "1", low=0.8, high=2.6, factor="traffic")
    >>> human(load), human(derive("replicas", "1", lambda load: np.ceil(load), load=load))
    ('1.6 (0.8-2.6)', '2 (1-3)')
    >>> human(given("latency", 0.711, "s", low=0.463, high=1.54, factor="traffic"))
    '711 ms (463-1.54s)'
    >>> human(given("emissions", 8.2e9, "gCO2e", low=4.8e9, high=24.3e9, factor="traffic"))
    '8.2 ktCO2e (4.8-24.3)'
    >>> cost = given("cost", 2.0, "USD", low=1.0, high=4.0, factor="traffic")
    >>> human(derive("saved", "USD", lambda cost: -cost, cost=cost))
    '-$2 (-4 to -1)'
    """
    if not quantity.known:
        return "unknown"
    value, unit = quantity.value, quantity.unit.removesuffix("/month")
    if value == 0:
        return "$0" if unit == "USD" else "0"
    size, suffix = _scale(value, unit)
    sign = "-" if value < 0 else ""
    if suffix.endswith(f" {unit}") and (unit in COUNTED or unit.startswith("1/")):
        suffix = suffix.removesuffix(f" {unit}") + named(unit, value / size)
    text = f"{sign}{'$' if unit == 'USD' else ''}{digits(abs(value) / size)}{suffix}"
    low, high = _ends(quantity)
    if not spread or math.isclose(low, high, rel_tol=5e-3):
        return text
    between = " to " if low < 0 else "-"
    return f"{text} ({_end(low, unit, size)}{between}{_end(high, unit, size)})"


def _ends(quantity: Quantity) -> tuple[float, float]:
    """Ends of the range; of what comes in whole pieces (accelerators, replicas) whole ones, and at least one."""
    low, high = quantity.interval()
    if quantity.unit == "1" and quantity.value >= 1 and not np.any(quantity.column % 1):
        return max(round(low), 1), round(high)
    return low, high


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Divisor and suffix with which a value reads best."""
    if unit == "s":
        size, name = _fitting(value, TIME_UNITS)
        return size, f" {name}"
    if unit == "gCO2e":
        return _fitting(value, EMISSIONS)
    if unit == "J":
        return _fitting(value, WATT_HOURS)
    if unit in SI_UNITS:
        size, name = _fitting(value, SI_PREFIXES)
        return size, f" {name}{unit}"
    size, name = _fitting(value, HOURS if unit == "h" else PREFIXES)
    return size, name + ("" if unit in ("1", "token", "USD") else f" {unit}")


def named(unit: str, value: float) -> str:
    """A unit behind a number, as people say it: nothing for a plain count.

    >>> [f"{number}{named(unit, number)}" for number, unit in ((2, "1/year"), (12, "month"), (1, "day"), (9.5, "1/s"))]
    ['2 a year', '12 months', '1 day', '9.5/s']
    >>> f"500{named('token', 500)}", f"4{named('h/month', 4)}", f"5{named('1', 5)}"
    ('500 tokens', '4 h/month', '5')
    """
    if unit.startswith("1/"):
        return unit[1:] if len(unit) == 3 else f" a {unit[2:]}"
    return "" if unit == "1" else f" {unit}{'s' if unit in COUNTED and value != 1 else ''}"


def _fitting(value: float, names: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    return next((entry for entry in names if abs(value) >= entry[0] * 0.9995), names[-1])


def _end(value: float, unit: str, size: float) -> str:
    """One end of a range, in the value's own scale where that reads well, else in its own."""
    own, suffix = _scale(value, unit)
    readable = 0.01 <= abs(value) / size < 1000 or value == 0
    if readable and (size == own or unit in ("s", "gCO2e", *SI_UNITS)):
        own, suffix = size, "" if unit in ("s", "gCO2e", *SI_UNITS) else suffix
    named = suffix if unit == "s" else suffix.removesuffix(f" {unit}")
    return digits(value / own) + named.replace(" ", "")


def short(value: float) -> str:
    """A number of anything in three digits, such as 30.1B.

    >>> short(3.01e10), short(1_500), short(0.25), short(-2e6)
    ('30.1B', '1.5k', '0.25', '-2M')
    """
    size, suffix = _fitting(value, PREFIXES)
    return digits(value / size) + suffix


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
