"""Ranges that are earned: quantiles of the errors that runs made whose source was left out of the fit."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

FEWEST_SOURCES = 5
MOST = 0.98  # a level beyond which a few dozen residuals say nothing


def conformal_ends(
    errors: Sequence[float], sources: Sequence[str], level: float = 0.8, weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """Ends of the interval that holds `level` of the log errors of a source nobody has seen [1].

    errors: ln(measured / predicted), each with its own source left out of the fit; sources: where each comes from
    (where one source holds most of a group, its LLM and accelerator as well: see `units`).
    Every source weighs the same, however many runs it reports, unless `weights` say otherwise. For n exchangeable
    scores split conformal prediction raises the level by (n + 1) / n; S sources of many runs each are more than S
    scores and fewer than their runs, and are counted as 2 S. With fewer than five sources the raised quantiles would
    rest on a handful of runs, and the level stays.
    Source: arXiv:2107.07511 section 1 (the quantile ceil((n + 1)(1 - alpha)) / n of the calibration scores).

    >>> errors, sources = [-0.2, -0.1, 0.0, 0.1, 0.2] * 20, [str(n // 5) for n in range(100)]
    >>> [round(end, 2) for end in conformal_ends(errors, sources, 0.5)]
    [-0.1, 0.1]
    """
    counts = Counter(sources)
    more = 0.5 / len(counts) if len(counts) >= FEWEST_SOURCES else 0.0
    raised = min(level * (1 + more), max(level, MOST))
    values = np.asarray(errors, float)
    mass = np.array([1 / counts[source] for source in sources] if weights is None else weights)
    order = np.argsort(values)
    place = (np.cumsum(mass[order]) - mass[order] / 2) / mass.sum()
    low, high = np.interp([(1 - raised) / 2, (1 + raised) / 2], place, values[order])
    return float(low), float(high)


def units(sources: Sequence[str], cells: Sequence[str]) -> list[str]:
    """What is exchangeable in a group: its sources, and the cells (LLM, accelerator) of one that holds more than half.

    >>> units(["a", "a", "a", "b"], ["7b/a100", "7b/h100", "7b/a100", "7b/a100"])
    ['a 7b/a100', 'a 7b/h100', 'a 7b/a100', 'b']
    """
    counts = Counter(sources)
    large = {source for source, count in counts.items() if count * 2 > len(sources)}
    return [f"{source} {cell}" if source in large else source for source, cell in zip(sources, cells, strict=True)]
