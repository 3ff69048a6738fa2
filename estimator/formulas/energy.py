"""Energy and emissions of computing: joules and grams of CO2e.

Validity: the host's share is the same whatever the accelerator does. The rest is arithmetic.
"""

from estimator.formulas import Real

JOULES_PER_KWH = 3.6e6


def facility_power_w(tdp_w: Real, power_fraction: Real, host_w: Real, pue: Real) -> Real:
    """Power a data centre draws for an accelerator and its share of the machine around it [W].

    power_fraction: drawn power over rated power [1]; pue: power usage effectiveness of the facility [1]
    Source: arXiv:2111.00364 section 3 (operational footprint = device energy x PUE).

    >>> float(facility_power_w(400, 0.75, 100, 1.25))
    500.0
    """
    return (tdp_w * power_fraction + host_w) * pue


def facility_energy_j(accelerator_s: Real, power_w: Real) -> Real:
    """Energy a data centre draws for accelerators that work for `accelerator_s` device-seconds [J].

    >>> float(facility_energy_j(3600, 440)) / JOULES_PER_KWH
    0.44
    """
    return accelerator_s * power_w


def emissions_g(energy_j: Real, carbon_intensity_g_per_kwh: Real) -> Real:
    """Emissions of grid electricity [gCO2e].

    >>> float(emissions_g(3.6e6, 400))
    400.0
    """
    return energy_j / JOULES_PER_KWH * carbon_intensity_g_per_kwh
