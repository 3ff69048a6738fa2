"""The science: pure functions of floats or arrays, SI units, every one cited. One module per topic of the field."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Real = float | NDArray[np.floating[Any]]  # a number, or one for each of many layouts, scenarios or rows
Truths = NDArray[np.bool_]
Truth = bool | Truths  # whether something holds
Flag = Real | Truth  # the same where numbers are counted: 0 or 1
Words = str | NDArray[np.str_]  # a name, or one for each
