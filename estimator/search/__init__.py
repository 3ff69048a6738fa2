"""The best plan instead of the price of one guess: every valid layout is evaluated, the best and the front are kept."""

from estimator.predict.training_layout import AXES
from estimator.search.asking import layout
from estimator.search.result import Choice, Search
from estimator.search.serving import best_serving
from estimator.search.training import best_training

__all__ = ["AXES", "Choice", "Search", "best_serving", "best_training", "layout"]
