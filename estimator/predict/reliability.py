"""What interruptions leave of a long run's time, with the usual inputs."""

from estimator.formulas import reliability
from estimator.records import Cluster
from estimator.scenario import default_scenario

LEAST = 0.05  # a run that cannot get ahead takes very long, not forever


def usual_goodput(cluster: Cluster) -> float:
    """Share of a run's time that is lasting progress at the usual rate of failures and cost of each [1].

    >>> from estimator.catalog.accelerators import cluster
    >>> [round(usual_goodput(cluster(name)), 3) for name in ("8xh100", "1024xh100", "16384xh100")]
    [0.999, 0.981, 0.885]
    """
    usual = default_scenario()
    between = reliability.time_between_interruptions_s(cluster.nodes, usual.amount("failures_per_1000_node_days").value)
    write, restart = usual.amount("checkpoint_write_s").value, 60 * usual.amount("restart_minutes").value
    every = reliability.checkpoint_interval_s(write, between)
    return float(reliability.goodput(every, write, restart, between, LEAST))
