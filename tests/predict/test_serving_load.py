"""A server under load, from given times of steps and prompts."""

import numpy as np
import pytest

from estimator.predict.serving_load import Times, closed, prompts_per_pass

STEP, PROMPT, OUTPUT = 0.05, 0.1, 64.0  # seconds: 32 sequences of a 54M LLM on one core; tokens


def started_together(clients: float, passes: float):
    one = np.asarray(1.0)
    times = PROMPT + STEP * one, PROMPT * one, 0.0 * one, one, STEP * one, STEP * one
    cost = Times(*times, OUTPUT * one, OUTPUT * one, one, passes * one)
    return closed(cost, clients * one, clients * one, 0.0 * one, 1.0)


@pytest.mark.parametrize("passes", [2.0, 4.0])
def test_prompts_of_later_passes_are_read_while_the_first_ones_decode(passes):
    found = started_together(32.0, passes)

    others = 32.0 * PROMPT * (passes - 1.0) / passes  # are read while those of the first pass decode
    assert float(found.tpot.p90) == pytest.approx(STEP + others / (OUTPUT - 1.0), rel=0.02)
    assert found.tpot.p50 <= found.tpot.p90 <= found.tpot.p99


def test_who_is_read_in_one_pass_decodes_as_fast_as_all_the_others():
    found = started_together(32.0, 1.0)

    assert found.tpot.p90 == found.tpot.mean


@pytest.mark.parametrize(("slots", "output"), [(1, 20), (8, 20), (40, 20), (200, 20)])
def test_as_many_prompts_share_a_pass_as_slots_come_free_in_one_step(slots, output):
    ended = np.random.default_rng(1).binomial(slots, 1.0 / output, 40_000)

    assert float(prompts_per_pass(slots, output, np.inf)) == pytest.approx(ended[ended > 0].mean(), rel=0.01)


def test_prompts_of_a_pass_are_at_most_what_its_tokens_hold():
    assert float(prompts_per_pass(1000, 10, 4.0)) == 4.0
