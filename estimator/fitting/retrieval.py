"""Constants of graph searches from measured builds and queries: least squares on log time, held by priors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.formulas.retrieval import SearchRates, graph_build_s, graph_search_s

LINEAR = ("ef_power", "m_power", "size_power", "cached_share")  # the others are fitted as logarithms
LEAST_SHARE = 0.05  # of a comparison in the cache: no machine's cache is so much faster
NOISE = 0.2  # of one log time; how much a measurement weighs against a prior


@dataclass(frozen=True, slots=True)
class GraphTimes:
    """Measured times of HNSW graphs, one element each: builds per index, queries per query [s of one core].

    ef: candidates kept, while building or searching; k: results, 0 for a build; segments: pieces of the graph
    """

    vectors: Floats
    code_bytes: Floats
    m: Floats
    ef: Floats
    k: Floats
    seconds: Floats
    segments: Floats

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> "GraphTimes":
        """From rows of (vectors, code_bytes, m, ef, k, seconds), and segments where there are several."""
        return cls(*np.array([[*row, 1.0][:7] for row in rows], float).reshape(-1, 7).T)

    def where(self, mask: NDArray[np.bool_]) -> "GraphTimes":
        """The rows a mask selects."""
        return GraphTimes(*(getattr(self, field.name)[mask] for field in fields(self)))

    def predicted_s(self, rates: SearchRates) -> Floats:
        """What the formulas say."""
        graph = self.vectors, self.code_bytes, self.m, self.ef
        build = graph_build_s(*graph, rates, self.segments)
        query = graph_search_s(*graph, self.k, rates, self.segments)
        return np.where(self.k == 0, build, query)

    def log_errors(self, rates: SearchRates) -> Floats:
        """ln(predicted / measured)."""
        return np.log(self.predicted_s(rates) / self.seconds)


def fit_rates(times: GraphTimes, start: SearchRates, spread: Mapping[str, float], weight: float = 40.0) -> SearchRates:
    """Most likely constants: builds and queries weigh the same together, however many there are of each.

    start: centres of the priors, and the constants that are not fitted
    spread: standard deviation of each fitted constant's prior, of its logarithm unless in LINEAR
    weight: measurements the whole set counts for against the priors
    """
    from scipy.optimize import least_squares

    names = tuple(spread)
    deviations = np.array([spread[name] for name in names])
    centre, build = _vector(start, names), times.k == 0
    share = np.where(build, 1 / max(build.sum(), 1), 1 / max((~build).sum(), 1))
    scale = np.sqrt(weight / 2 * share) / NOISE

    def residuals(values: Floats) -> Floats:
        errors = times.log_errors(_rates(start, names, values)) * scale
        return np.concatenate([errors, (values - centre) / deviations])

    solution = least_squares(residuals, centre, loss="soft_l1")
    return _rates(start, names, solution.x)


def _vector(rates: SearchRates, names: Sequence[str]) -> Floats:
    return np.array([getattr(rates, n) if n in LINEAR else np.log(getattr(rates, n)) for n in names])


def _rates(start: SearchRates, names: Sequence[str], values: Floats) -> SearchRates:
    changed = {n: float(v if n in LINEAR else np.exp(v)) for n, v in zip(names, values, strict=True)}
    if "cached_share" in changed:
        changed["cached_share"] = min(max(changed["cached_share"], LEAST_SHARE), 1.0)
    return start._replace(**changed)


def left_out_errors(
    times: GraphTimes, groups: Sequence[object], fit: Callable[[GraphTimes], SearchRates]
) -> tuple[Floats, dict[str, SearchRates]]:
    """ln(predicted / measured) of every row by constants fitted without its group; the constants by group."""
    labels = np.array([str(group) for group in groups])
    errors = np.zeros(len(labels))
    folds: dict[str, SearchRates] = {}
    for label in sorted(set(labels.tolist())):
        held_out = labels == label
        folds[label] = fit(times.where(~held_out))
        errors[held_out] = times.where(held_out).log_errors(folds[label])
    return errors, folds
