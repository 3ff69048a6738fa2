"""A step on samples of many lengths: what of its time is work on tokens, what is padding, and what the host takes.

Rows are packed full, padded to the longest of a micro-batch (or of one of like samples), or joined without padding.
"""

from typing import Literal, NamedTuple

import numpy as np

from estimator.formulas import Floats, Real, parallelism, sample_lengths
from estimator.predict.training import TrainingPlan, step_parts_s
from estimator.predict.training_time import StepTime
from estimator.records import Architecture, Cluster

Packing = Literal["on", "off", "grouped", "padding-free"]


class RowStep(NamedTuple):
    """Parts of one optimizer step [s], which add up to it; row_tokens: length of a row that the time is of [token].

    padding: on tokens that fill rows up, and waiting for the rank whose rows are longest
    """

    computing: Real
    padding: Real
    host: Real
    row_tokens: Real

    @property
    def total(self) -> Real:
        """The step [s]."""
        return self.computing + self.padding + self.host


def row_step(
    arch: Architecture, cluster: Cluster, plan: TrainingPlan, packing: Packing, mean: Floats, spread: Floats
) -> RowStep:
    """One optimizer step whose rows are samples of `mean` tokens and `spread` (see formulas.sample_lengths), or packed.

    plan: with a layout; its seq_len is what rows are packed to, or samples cut at. mean may be a column of scenarios.
    """
    mean = np.minimum(np.asarray(mean, float), plan.seq_len)
    if packing == "on" or plan.contrastive:
        time = step_parts_s(arch, cluster, plan)
        return RowStep(time.total - time.host, 0.0, time.host, plan.sample_tokens)
    length = np.maximum(row_tokens(cluster, plan, packing, mean, np.asarray(spread, float)), mean)
    time = _of_lengths(arch, cluster, plan, length)
    busy = time.total - time.host
    return RowStep(busy * mean / length, busy * (1 - mean / length), time.host, length)


def row_tokens(cluster: Cluster, plan: TrainingPlan, packing: Packing, mean: Floats, spread: Floats) -> Floats:
    """Length of the rows that a step takes as long as [token], waiting for the slowest rank included."""
    dp = parallelism.data_parallel(cluster.count, plan.tp, plan.pp, plan.cp)
    rows, cap = float(plan.micro_batch), float(plan.seq_len)
    passes = float(parallelism.micro_batches(plan.global_batch, rows, dp))
    together = 1.0 if int(plan.zero) >= 3 else passes  # sharded weights are gathered, and waited for, at every pass
    if packing == "padding-free":
        slowest = sample_lengths.longest(mean, spread, dp, cap)
        return sample_lengths.waited_for(mean, slowest, together * rows)
    if packing == "grouped":
        return sample_lengths.grouped(mean, spread, rows * dp * passes, cap)
    own, slowest = (sample_lengths.padded(mean, spread, many, cap) for many in (rows, rows * dp))
    return sample_lengths.waited_for(own, slowest, together)


def _of_lengths(arch: Architecture, cluster: Cluster, plan: TrainingPlan, length: Floats) -> StepTime:
    """Steps on rows of these lengths, each length once."""
    different, which = np.unique(np.asarray(length, float), return_inverse=True)
    time = step_parts_s(arch, cluster, plan, different)
    shape = different.shape
    return StepTime(*(np.broadcast_to(part, shape)[which].reshape(np.shape(length)) for part in time))
