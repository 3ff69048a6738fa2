"""Arithmetic of people's time: hours of work, and the calendar time they take."""

import numpy as np

from estimator.formulas import Real
from estimator.formulas.units import WEEK_S

SECONDS_PER_WEEK = WEEK_S  # the name a workbook shows
MINUTES_PER_HOUR = 60.0
MONTHS_PER_YEAR = 12.0


def working_hours(
    setup_hours: Real, rounds: Real, hours_per_round: Real, samples: Real, minutes_per_sample: Real
) -> Real:
    """Set-up, rounds of work, and minutes for each labelled sample [h].

    >>> working_hours(16, 20, 1, 120, 5)
    46.0
    """
    return setup_hours + rounds * hours_per_round + labelling_hours(samples, minutes_per_sample)


def samples_to_label(samples: Real, existing: Real) -> Real:
    """Samples whose answers are still to be written or checked [1].

    >>> float(samples_to_label(5000, 4000)), float(samples_to_label(5000, 1e6))
    (1000.0, 0.0)
    """
    return np.maximum(samples - existing, 0.0)


def labelling_hours(samples: Real, minutes_per_sample: Real) -> Real:
    """Writing or checking samples [h].

    >>> labelling_hours(120, 5)
    10.0
    """
    return samples * minutes_per_sample / MINUTES_PER_HOUR


def calendar_s(hours: Real, staff: Real, hours_per_week: Real, machine_s: Real) -> Real:
    """Calendar time to a first result [s]: people's weeks, then machines that run around the clock.

    >>> calendar_s(60, 1, 30, 86_400) / 86_400
    15.0
    """
    return hours / (staff * hours_per_week) * SECONDS_PER_WEEK + machine_s


def monthly_share(once: Real, per_year: Real) -> Real:
    """Something that is repeated so often a year, spread over the months.

    >>> monthly_share(600, 2)
    100.0
    """
    return once * per_year / MONTHS_PER_YEAR
