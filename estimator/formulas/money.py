"""Money: what hours, tokens, gigabytes and people cost. US dollars; each function one step a reader can check.

Arithmetic: no more than the four operations, ceil, maximum and minimum, so that each step is a spreadsheet
formula too.
"""

import numpy as np

from estimator.formulas import Real
from estimator.formulas.units import HOUR_S, HOURS_PER_YEAR

HOURS_PER_MONTH = HOURS_PER_YEAR / 12
SECONDS_PER_HOUR = HOUR_S  # the name a workbook shows
SECONDS_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR
WATTS_PER_KILOWATT = 1000.0
BYTES_PER_GB = 1e9
BYTES_PER_GIB = 2.0**30
TOKENS_PER_PRICE_UNIT = 1e6  # API prices are per million tokens


def machine_usd(machine_s: Real, usd_per_hour: Real) -> Real:
    """Price of machine time: machine_s device-seconds at usd_per_hour each [USD].

    >>> float(machine_usd(8 * 3600, 2.5))
    20.0
    """
    return machine_s / SECONDS_PER_HOUR * usd_per_hour


def token_usd(tokens: Real, usd_per_mtok: Real) -> Real:
    """Price of tokens at usd_per_mtok a million [USD].

    >>> float(token_usd(3_000_000, 0.25))
    0.75
    """
    return tokens / TOKENS_PER_PRICE_UNIT * usd_per_mtok


def people_usd(hours: Real, usd_per_hour: Real) -> Real:
    """Price of people's time [USD].

    >>> float(people_usd(10, 80))
    800.0
    """
    return hours * usd_per_hour


def storage_usd(bytes_held: Real, usd_per_gb_month: Real) -> Real:
    """Price of holding bytes for a month that are sold by the GB [USD].

    >>> float(storage_usd(50e9, 0.08))
    4.0
    """
    return bytes_held / BYTES_PER_GB * usd_per_gb_month


def owned_usd_per_hour(
    purchase_usd: Real,
    years: Real,
    server_share: Real = 0.0,
    network_share: Real = 0.0,
    residual_share: Real = 0.0,
    interest_per_year: Real = 0.0,
    support_per_year: Real = 0.0,
    rated_w: Real = 0.0,
    rack_usd_per_kw_month: Real = 0.0,
) -> Real:
    """What an accelerator one owns costs every hour, used or not, electricity aside [USD/h].

    Straight-line depreciation to what it is sold for, interest on the capital bound on average, support, and the rack.

    server_share, network_share: of the purchase price, on top [1]; residual_share: of all that, left after `years` [1]
    interest_per_year, support_per_year: of the capital [1/year]; rated_w: with its share of the server [W]

    >>> round(float(owned_usd_per_hour(30_000, 4)) * HOURS_PER_MONTH, 6)  # 30,000 USD over 48 months
    625.0
    >>> by_hand = (36_000 * 0.9 / 4 + 36_000 * 1.1 / 2 * 0.08 + 36_000 * 0.05 + 1.0 * 150 * 12) / HOURS_PER_YEAR
    >>> round(float(owned_usd_per_hour(30_000, 4, 0.15, 0.05, 0.1, 0.08, 0.05, 1000, 150)) - by_hand, 12)
    0.0
    """
    capital = purchase_usd * (1 + server_share + network_share)
    written_off = capital * (1 - residual_share) / years
    bound = capital * (1 + residual_share) / 2
    rack = rated_w / WATTS_PER_KILOWATT * rack_usd_per_kw_month * 12
    return (written_off + bound * interest_per_year + capital * support_per_year + rack) / HOURS_PER_YEAR


def powered_usd_per_hour(usd_per_hour: Real, power_w: Real, usd_per_kwh: Real) -> Real:
    """An hour of an accelerator one owns with the electricity of what it does [USD/h].

    power_w: drawn at the socket, cooling included [W]

    >>> round(float(powered_usd_per_hour(0.856, 800, 0.12)), 3)
    0.952
    """
    return usd_per_hour + power_w / WATTS_PER_KILOWATT * usd_per_kwh


def sent_requests(requests_per_month: Real, retries: Real) -> Real:
    """Requests the system has to answer, repeats included [1/month].

    >>> float(sent_requests(1000, 0.02))
    1020.0
    """
    return requests_per_month * (1 + retries)


def peak_requests_per_s(requests_per_month: Real, peak_to_mean: Real) -> Real:
    """Request rate of the busy hour [1/s].

    >>> round(float(peak_requests_per_s(2_628_000, 4)), 6)
    4.0
    """
    return requests_per_month * peak_to_mean / SECONDS_PER_MONTH


def replicas(
    peak_requests_per_s: Real, capacity_requests_per_s: Real, target_utilisation: Real, least_replicas: Real = 1.0
) -> Real:
    """Copies of the LLM that carry the peak, at least `least_replicas` [1].

    >>> float(replicas(4.0, 1.5, 0.7)), float(replicas(0.1, 1.5, 0.7, 2.0))
    (4.0, 2.0)
    """
    usable = capacity_requests_per_s * target_utilisation
    return np.maximum(np.ceil(peak_requests_per_s / usable), least_replicas)


def switched_on(replicas: Real, least_replicas: Real, peak_to_mean: Real) -> Real:
    """Replicas that are on, averaged over time, where a scaler follows the load between a floor and the peak [1].

    The load is taken to be at its peak for 1 / peak_to_mean of the time and nothing in between, as office hours are.
    Of all loads with that peak and mean this one leaves the floor idle longest.

    >>> float(switched_on(5.0, 1.0, 4.0))  # one always, four more for a quarter of the time
    2.0
    """
    return least_replicas + (replicas - least_replicas) / peak_to_mean


def mean_use(target_utilisation: Real, peak_to_mean: Real) -> Real:
    """Share of their capacity that replicas for the peak, always on, work at most, averaged over time [1].

    >>> round(mean_use(0.7, 4.0), 3)
    0.175
    """
    return target_utilisation / peak_to_mean


def busy_s(requests: Real, capacity_requests_per_s: Real, accelerators: Real) -> Real:
    """Device-seconds that requests keep a replica's accelerators busy at its full throughput [s].

    >>> float(busy_s(1000, 2.0, 4))
    2000.0
    """
    return requests / capacity_requests_per_s * accelerators


def always_on_s(replicas: Real, accelerators: Real) -> Real:
    """Device-seconds of a month of replicas that are never switched off [s].

    >>> float(always_on_s(1, 1)) / 3600
    730.0
    """
    return replicas * accelerators * SECONDS_PER_MONTH


def idle_s(always_on_s: Real, busy_s: Real) -> Real:
    """Paid device-seconds in which nothing is asked [s].

    >>> float(idle_s(100, 30))
    70.0
    """
    return np.maximum(always_on_s - busy_s, 0.0)


def growth_sum(growth_per_month: Real, months: Real) -> Real:
    """How many first months the whole horizon is worth when every month is (1 + growth) times the last [1].

    >>> float(growth_sum(0.0, 12)), round(float(growth_sum(0.1, 3)), 2)
    (12.0, 3.31)
    """
    g, n = growth_per_month, months
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(g) < 1e-9, n, ((1 + g) ** n - 1) / np.where(np.abs(g) < 1e-9, 1, g))


def replica_months(
    peak_requests_per_s: Real,
    capacity_requests_per_s: Real,
    target_utilisation: Real,
    growth_per_month: Real,
    months: Real,
    least_replicas: Real = 1.0,
) -> Real:
    """Replicas of every month of the horizon, added up, as the traffic grows [month].

    >>> float(replica_months(1.0, 1.5, 0.7, 0.5, 3))  # 1.0, 1.5 and 2.25 requests a second
    6.0
    """
    usable, grown = capacity_requests_per_s * target_utilisation, 1 + growth_per_month
    peak, shapes = peak_requests_per_s, map(np.shape, (peak_requests_per_s, usable, grown, months, least_replicas))
    total = np.zeros(np.broadcast_shapes(*shapes))
    needed = np.empty_like(total)  # as `replicas` says, in one place for all months
    for month in range(int(np.max(months))):
        np.ceil(np.divide(peak, usable, out=needed), out=needed)
        np.maximum(needed, least_replicas, out=needed)
        total += needed if np.all(month < months) else needed * (month < months)
        peak = peak * grown
    return total[()]


def spare_months(
    fleet: Real,
    accelerators: Real,
    peak_requests_per_s: Real,
    capacity_requests_per_s: Real,
    target_utilisation: Real,
    growth_per_month: Real,
    months: Real,
    least_replicas: Real = 1.0,
) -> Real:
    """Owned accelerators that carry no replica, of every month of the horizon, added up, as the traffic grows [month].

    fleet: owned and not at other work [1]; accelerators: of a replica [1]

    >>> float(spare_months(8, 2, 1.0, 1.5, 0.7, 0.5, 3))  # 1, 2 and 3 replicas of two: 6, 4 and 2 are spare
    12.0
    """
    total: Real = 0.0
    peak = peak_requests_per_s
    for month in range(int(np.max(months))):
        needed = replicas(peak, capacity_requests_per_s, target_utilisation, least_replicas)
        total = total + np.maximum(fleet - accelerators * needed, 0.0) * (month < months)
        peak = peak * (1 + growth_per_month)
    return total


def free_fleet(fleet: Real, work_s: Real, months: Real) -> Real:
    """Owned accelerators that other work than serving leaves free, averaged over the horizon [1].

    >>> float(free_fleet(8, 2 * 730 * 3600, 1))  # two are at it all month
    6.0
    """
    return fleet - work_s / (months * SECONDS_PER_MONTH)


def paid_usd(usd: Real, discount_share: Real, tax_share: Real) -> Real:
    """A list price less a negotiated discount, with tax [USD].

    >>> round(float(paid_usd(100.0, 0.2, 0.19)), 6)
    95.2
    """
    return usd * (1 - discount_share) * (1 + tax_share)


def with_share(amount: Real, share: Real) -> Real:
    """An amount and a share of it on top: a reserve, or experiments beside the final run.

    >>> with_share(100, 0.25)
    125.0
    """
    return amount * (1 + share)


def request_usd(input_usd: Real, output_usd: Real, retries: Real) -> Real:
    """Input and output of one request, repeats included [USD].

    >>> request_usd(0.002, 0.006, 0.25)
    0.01
    """
    return (input_usd + output_usd) * (1 + retries)


def break_even_utilisation(
    usd_per_hour: Real, accelerators: Real, capacity_requests_per_s: Real, api_usd_per_request: Real
) -> Real:
    """Share of a replica's capacity at which own accelerators cost as much as an API [1]; above 1 they never do.

    >>> break_even_utilisation(3.6, 1, 2.0, 0.002)  # 0.001 USD a second against 0.004 at full load
    0.25
    """
    own_usd_per_s = usd_per_hour * accelerators / SECONDS_PER_HOUR
    return own_usd_per_s / (capacity_requests_per_s * api_usd_per_request)
