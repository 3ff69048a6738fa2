"""Run configurations of other tools: read as what they say in the words of our plans, never run."""

from estimator.configs.readings import Reading
from estimator.configs.run import Run, read_run

__all__ = ["Reading", "Run", "read_run"]
