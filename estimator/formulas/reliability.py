"""Long runs fail: time between interruptions, when to checkpoint, and the share of time that is progress (goodput).

Times in seconds; failure rates per 1,000 nodes and day, as clusters report them.
Validity: failures are independent, and far apart beside writing a checkpoint and starting again. Sizes are arithmetic.
"""

import numpy as np

from estimator.formulas import Real
from estimator.formulas.units import DAY_S

NODES = 1000.0  # that failure rates are given for


def time_between_interruptions_s(nodes: Real, failures_per_1000_node_days: Real) -> Real:
    """Mean time to interruption of a job on `nodes` nodes [s], failures independent.

    Source: arXiv:2410.21680 section III (MTTF = 1 / (N r_f)).

    >>> round(float(time_between_interruptions_s(2048, 3.79)) / 3600, 2)  # Llama 3 405B: 419 in 54 days
    3.09
    """
    return NODES * DAY_S / (nodes * failures_per_1000_node_days)


def lent_failures(failures_per_1000_node_days: Real, interruptions_per_day: Real) -> Real:
    """Failures per 1,000 nodes and day of machines that are taken back besides.

    >>> lent_failures(4.0, 0.5)
    504.0
    """
    return failures_per_1000_node_days + NODES * interruptions_per_day


def checkpoint_interval_s(write_s: Real, between_interruptions_s: Real) -> Real:
    """Time between checkpoints that loses least [s].

    Source: J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974.

    >>> round(float(checkpoint_interval_s(60, 3.09 * 3600)))
    1155
    """
    return np.sqrt(2 * write_s * between_interruptions_s)


def goodput(interval_s: Real, write_s: Real, restart_s: Real, between_interruptions_s: Real, least: Real = 0.0) -> Real:
    """Share of wall-clock time that is lasting progress [1]; `least` when the job cannot get ahead.

    An interruption costs the restart and, on average, half an interval of lost work; every interval a blocking write.
    Source: arXiv:2410.21680 equation 1 (expected ETTR), w_cp the write, u0 the restart.

    >>> round(float(goodput(1155, 60, 600, 3.09 * 3600)), 3)
    0.85
    """
    interval, between = interval_s, between_interruptions_s
    lost = (restart_s + interval / 2) / between
    return np.maximum((1 - lost) / (1 + write_s / interval), least)


def checkpoint_bytes(params: Real, bytes_per_param: Real) -> Real:
    """Size of one full training checkpoint [B]: weights, master copy and both Adam moments.

    >>> float(checkpoint_bytes(8e9, 14)) / 1e9
    112.0
    """
    return params * bytes_per_param


def stored_bytes(corpus_bytes: Real, checkpoint_bytes: Real, kept: Real) -> Real:
    """What a training run keeps on disk [B]: its corpus and `kept` checkpoints.

    >>> stored_bytes(1e12, 1e11, 10)
    2000000000000.0
    """
    return corpus_bytes + checkpoint_bytes * kept
