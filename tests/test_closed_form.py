"""The closed form of ranges against brute force, for whole comparisons: one price and one traffic enter every stage."""

import numpy as np
import pytest

from estimator import compare
from estimator.quantities import FACTORS, Design
from estimator.results import Estimate

DRAWS = 60_000
# Costs that move smoothly with their inputs. Where whole replicas are added one by one, no closed form from single
# moves is exact.
QUESTIONS = {
    "own accelerators": {"model": "7b", "gpu": "a100"},
    "a reserve, experts": {"model": "mixtral-8x7b", "gpu": "h100", "contingency": 0.1},
    "an API, busy": {"api": "openai:gpt-4o-mini", "requests_per_month": 5e7},
}


@pytest.fixture(scope="module", params=QUESTIONS.values(), ids=QUESTIONS)
def both(request):
    """The same comparison by the closed form and by random draws of everything uncertain."""
    return compare(**request.param), compare(**request.param, design=Design.monte_carlo(DRAWS, seed=5))


def test_totals_over_the_horizon_are_within_5_percent_of_brute_force(both):
    """Each end of each approach's total: 5 % in the median, and none more than 9 %."""
    apart = []
    for closed, drawn in zip(*(found.estimates for found in both), strict=True):
        if isinstance(closed, Estimate):
            pairs = zip(closed.total_usd.interval(), drawn.total_usd.interval(), strict=True)
            apart += [abs(np.log(end / brute)) for end, brute in pairs]

    assert len(apart) >= 6
    assert np.median(apart) <= 0.05
    assert max(apart) <= 0.09


def test_a_price_that_enters_every_approach_moves_them_together(both):
    """A difference of approaches that share their accelerators is surer than if their prices were drawn apart."""
    closed, drawn = both
    if not closed.baseline["ttft_s"].known:
        pytest.skip("no accelerator here")
    price = drawn["rag"].total_usd.design.moves[1:, FACTORS.index("accelerator price")]
    totals = [np.log(drawn[stage].total_usd.column[1:]) for stage in ("prompt", "rag", "finetune")]

    assert all(np.corrcoef(total, price)[0, 1] > 0.2 for total in totals)
    assert all(np.corrcoef(totals[0], other)[0, 1] > 0.2 for other in totals[1:])
