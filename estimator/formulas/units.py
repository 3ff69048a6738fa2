"""Units that people name beside SI: hour and day by definition (BIPM, SI Brochure, 9th ed., table 8).

A week is seven days; months and years differ in the calendar, and which is meant is said here.
"""

HOUR_S = 3600.0  # [s]
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
MONTH_S = 30.44 * DAY_S  # of a time that is read or shown
YEAR_S = 365.25 * DAY_S  # the same; Julian
HOURS_PER_YEAR = 8760.0  # [h], of 365 days, as money counts it
