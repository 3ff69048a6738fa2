"""Arithmetic: the four operations by name, so that a step of a calculation can say which it is."""

from functools import reduce
from operator import add, mul

from estimator.formulas import Real


def product(**factors: Real) -> Real:
    """The product of all factors.

    >>> product(price=2.0, hours=3.0)
    6.0
    """
    result: Real = reduce(mul, factors.values())
    return result


def quotient(dividend: Real, divisor: Real) -> Real:
    """One figure per unit of another.

    >>> quotient(6.0, 3.0)
    2.0
    """
    return dividend / divisor


def sum_of(**parts: Real) -> Real:
    """The sum of all parts.

    >>> sum_of(compute=2.0, people=3.0)
    5.0
    """
    result: Real = reduce(add, parts.values())
    return result


def difference(with_it: Real, without: Real) -> Real:
    """What something adds: a figure with it, less the same without.

    >>> difference(5.0, 3.0)
    2.0
    """
    return with_it - without
