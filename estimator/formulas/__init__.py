"""The science: pure functions of floats or arrays in SI units. One module per topic of the field.

Physics says its source and where it is valid, in the function or for its whole module; all else is arithmetic that a
reader can check. docs/references.md gives author and title of each arXiv number.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Real = float | NDArray[np.floating[Any]]  # a number, or one for each of many layouts, scenarios or rows
Truths = NDArray[np.bool_]
Truth = bool | Truths  # whether something holds
Flag = Real | Truth  # the same where numbers are counted: 0 or 1
Words = str | NDArray[np.str_]  # a name, or one for each
