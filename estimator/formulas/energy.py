"""Energy and emissions of computing: joules and grams of CO2e.

Validity: the accelerators' share alone; what else a server draws is in `power_fraction` or not at all. The rest is
arithmetic.
"""

from estimator.formulas import Real

JOULES_PER_KWH = 3.6e6


def facility_energy_j(accelerator_s: Real, tdp_w: Real, power_fraction: Real, pue: Real) -> Real:
    """Energy a data centre draws for accelerators that work for `accelerator_s` device-seconds [J].

    power_fraction: drawn power over rated power [1]; pue: power usage effectiveness of the facility [1]
    Source: arXiv:2111.00364 section 3 (operational footprint = device energy x PUE).

    >>> round(float(facility_energy_j(3600, 400, 0.75, 1.1)) / JOULES_PER_KWH, 2)
    0.33
    """
    return accelerator_s * tdp_w * power_fraction * pue


def emissions_g(energy_j: Real, carbon_intensity_g_per_kwh: Real) -> Real:
    """Emissions of grid electricity [gCO2e].

    >>> float(emissions_g(3.6e6, 400))
    400.0
    """
    return energy_j / JOULES_PER_KWH * carbon_intensity_g_per_kwh
