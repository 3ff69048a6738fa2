"""A training run beside its steps: how many there are, evaluation, checkpoints, interruptions of lent machines.

Seconds, bytes and counts. Validity: arithmetic over what a trainer is told; nothing of it overlaps with the steps.
"""

import numpy as np

from estimator.formulas import Real
from estimator.formulas.units import DAY_S

SLIP = 1e-9  # of a whole number, which rounding may leave it above or below


def optimizer_steps(rows: Real, batch: Real) -> Real:
    """Steps that a run takes [1]: of `batch` rows each, the last one perhaps of fewer.

    >>> float(optimizer_steps(3 * 52_002, 128))
    1219.0
    """
    return np.ceil(rows / batch - SLIP)


def packed_rows(tokens: Real, seq_len: Real) -> Real:
    """Rows of full length that samples are packed into [1].

    >>> packed_rows(18.72e6, 2048)
    9140.625
    """
    return tokens / seq_len


def evaluation_s(training_s: Real, share: Real, per_epoch: Real, forward_share: Real) -> Real:
    """Passing what is held out forward, so many times an epoch [s].

    share: held out, of the samples [1]; forward_share: of a training step that its forward pass takes [1]

    >>> evaluation_s(3600, 0.02, 1, 0.5)
    36.0
    """
    return training_s * share * per_epoch * forward_share


def saving_s(steps: Real, every: Real, checkpoint_bytes: Real, s_per_byte: Real, machines: Real) -> Real:
    """Writing a checkpoint every so many steps, and one at the end [s]; every machine writes its share.

    >>> float(saving_s(1219, 500, 14e9, 0.5e-9, 1))
    21.0
    """
    return (np.floor(steps / every + SLIP) + 1) * checkpoint_bytes * s_per_byte / machines


def between_checkpoints_s(run_s: Real, steps: Real, every: Real) -> Real:
    """Time between checkpoints that are written every so many steps, at most the run [s].

    >>> [float(between_checkpoints_s(3600, steps, 500)) for steps in (1000, 100)]
    [1800.0, 3600.0]
    """
    return np.minimum(run_s / steps * every, run_s)


def waiting_s(run_s: Real, per_day: Real, machines: Real, wait_s: Real) -> Real:
    """Time without a machine during a run of so long, after each interruption [s].

    >>> waiting_s(86_400, 4, 1, 1800)
    7200.0
    """
    return run_s / DAY_S * per_day * machines * wait_s


def interrupted_s(run_s: Real, per_day: Real, machines: Real, kept_every_s: Real, restart_s: Real) -> Real:
    """Time that interruptions of lent machines add to a run [s]: half of what lies between checkpoints, and restarts.

    per_day: interruptions of one machine a day [1/day]; kept_every_s: time between checkpoints
    restart_s: until the run goes on, once there is a machine again
    Source: arXiv:2410.21680 equation 1, the terms of an interruption, as often as the longer run is interrupted.
    Validity: interruptions much rarer than restarts take; where they are not, the run takes twenty times as long.

    >>> round(float(interrupted_s(36_000, 4, 1, 3600, 600)) / 3600, 2)  # ten hours, four interruptions a day
    1.25
    """
    lost = per_day * machines / DAY_S * (kept_every_s / 2 + restart_s)
    return run_s * lost / np.maximum(1 - lost, 0.05)
