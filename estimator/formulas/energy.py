"""Energy and emissions of computing: joules and grams of CO2e."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
JOULES_PER_KWH = 3.6e6


def facility_energy_j(accelerator_s: ArrayLike, tdp_w: ArrayLike, power_fraction: ArrayLike, pue: ArrayLike) -> Floats:
    """Energy a data centre draws for accelerators that work for `accelerator_s` device-seconds [J].

    power_fraction: drawn power over rated power [1]; pue: power usage effectiveness of the facility [1]
    Source: arXiv:2111.00364 section 3 (operational footprint = device energy x PUE).

    >>> round(float(facility_energy_j(3600, 400, 0.75, 1.1)) / JOULES_PER_KWH, 2)
    0.33
    """
    return (
        np.asarray(accelerator_s, float)
        * np.asarray(tdp_w, float)
        * np.asarray(power_fraction, float)
        * np.asarray(pue, float)
    )


def emissions_g(energy_j: ArrayLike, carbon_intensity_g_per_kwh: ArrayLike) -> Floats:
    """Emissions of grid electricity [gCO2e].

    >>> float(emissions_g(3.6e6, 400))
    400.0
    """
    return np.asarray(energy_j, float) / JOULES_PER_KWH * np.asarray(carbon_intensity_g_per_kwh, float)
