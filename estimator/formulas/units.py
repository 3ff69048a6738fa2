"""Units that people name beside SI: exact by definition (BIPM, The International System of Units, 9th ed., table 8).

A week is seven days; months and years are of the calendar and are said where they are assumed.
"""

HOUR_S = 3600.0  # [s]
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
HOURS_PER_YEAR = 8760.0  # [h], of 365 days
