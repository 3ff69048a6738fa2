"""Flags of one plan, which are plain numbers, or of many at once, which are arrays."""

import numpy as np

from estimator.formulas import Flag, Real


def either(flag: Flag, yes: Real, no: Real) -> Real:
    """`yes` where the flag holds, `no` where it does not; a plain flag picks one of them.

    >>> either(1.0, 2.0, 3.0), either(np.array([1.0, 0.0]), 2.0, 3.0).tolist()
    (2.0, [2.0, 3.0])
    """
    if isinstance(flag, np.ndarray):
        return np.where(flag, yes, no)
    return yes if flag else no


def anywhere(flag: Flag) -> bool:
    """Whether the flag holds for any plan.

    >>> anywhere(0.0), anywhere(np.array([1.0, 0.0]))
    (False, True)
    """
    return bool(flag.any() if isinstance(flag, np.ndarray) else flag)
