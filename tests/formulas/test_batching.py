"""Laws of continuous batching: limits, closed forms against sums, and a stepped engine that knows none of them."""

import heapq
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.formulas import batching, queueing

BASE, GROWTH, PROMPT = 0.0206, 0.00129, 0.0735  # seconds: of a 54M LLM of float32 on one core, prompts of 128 tokens
OUTPUT = 64
HOP = 0.007  # between an answer and the next request


def stepped(arrivals=(), clients=0, start_s=0.0, horizon_s=0.0, slots=64, seed=1, prompts=None, growth=GROWTH):
    """An engine of continuous batching, step by step: (arrival, time to first token, time per token) of each request.

    Each step takes in all prompts that wait and have a slot, and adds a token to every sequence.
    prompts: what each arrival's prompt takes, where not all are alike [s]
    """
    draw, prompts = random.Random(seed), prompts or {}
    coming = list(arrivals) or [draw.uniform(0, start_s) for _ in range(clients)]
    heapq.heapify(coming)
    now, waiting, running, done = 0.0, [], [], []
    while coming or waiting or running:
        if not waiting and not running:
            now = max(now, coming[0])
        if clients and now > horizon_s:
            break
        while coming and coming[0] <= now:
            waiting.append(heapq.heappop(coming))
        room = slots - len(running)
        taken, waiting = waiting[:room], waiting[room:]
        now += BASE + growth * len(running) + sum(prompts.get(arrival, PROMPT) for arrival in taken)
        for request in running:
            request[2] += 1
        running += [[arrival, now, 1] for arrival in taken]
        for arrival, first, tokens in [request for request in running if request[2] >= OUTPUT]:
            done.append((arrival, first - arrival, (now - first) / (tokens - 1)))
            if clients:
                heapq.heappush(coming, now + HOP)
        running = [request for request in running if request[2] < OUTPUT]
    return np.array(done)


def poisson(rate, count, seed=3):
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count)).tolist()


def ends(slots=64):
    count = np.arange(1.0, slots + 1.0)
    return count / (OUTPUT * (BASE + GROWTH * count) + count * PROMPT)


@pytest.mark.parametrize("use", [0.3, 0.5, 0.7])
def test_an_open_loop_is_a_stepped_engine_fed_at_random(use):
    growth = OUTPUT * GROWTH + PROMPT
    rate = use / growth
    found = batching.present(rate, ends())

    _, first, token = stepped(poisson(rate, 5000))[300:].T

    stretch = float(found.served) / rate / (OUTPUT * (BASE + GROWTH) + PROMPT)
    step = BASE + GROWTH * float(found.served)
    gate = batching.gated(rate, step, PROMPT)
    own = gate.others_s + step + PROMPT
    more = batching.beside(rate, gate, PROMPT, own, own, (BASE + GROWTH) * stretch)
    each = float(batching.token_s(rate, BASE + GROWTH, GROWTH, PROMPT, OUTPUT, more))
    assert each == pytest.approx(token.mean(), rel=0.05)
    assert float(gate.wait_s) + step + PROMPT == pytest.approx(first.mean(), rel=0.15)


@pytest.mark.parametrize("use", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("growth", [0.0, GROWTH / 3, GROWTH])
def test_prompts_that_come_meanwhile_spread_times_per_token(use, growth):
    rate = use / (OUTPUT * growth + PROMPT)
    number, variance = (float(each) for each in batching.present_linear(rate, OUTPUT * BASE, OUTPUT * growth + PROMPT))

    token = stepped(poisson(rate, 8000), slots=400, growth=growth)[500:, 2]

    steps = OUTPUT * growth
    found = batching.request_variance(rate, variance * steps**2, steps, PROMPT, number / rate)
    assert float(found) ** 0.5 / OUTPUT == pytest.approx(token.std(), rel=0.1)


def test_a_figure_that_grows_evenly_swings_as_those_served_do():
    rate = 0.5 / (OUTPUT * GROWTH + PROMPT)
    rounds = OUTPUT * (BASE + GROWTH * np.arange(1.0, 65.0))

    found = float(batching.swing(rate, ends(), rounds))

    served = float(batching.present(rate, ends()).served_variance)
    assert found == pytest.approx(served * (OUTPUT * GROWTH) ** 2, rel=1e-3)


@pytest.mark.parametrize("use", [0.3, 0.5])
def test_long_prompts_hold_others_up_and_meet_more_of_them(use):
    costs, shares = np.array([PROMPT / 2, PROMPT * 8]), np.array([0.88, 0.12])
    mean, squared = float(shares @ costs), float(shares @ costs**2)
    rate = use / (OUTPUT * GROWTH + mean)
    arrivals = poisson(rate, 6000)
    which = np.random.default_rng(5).choice(2, len(arrivals), p=shares)

    done = stepped(arrivals, prompts=dict(zip(arrivals, costs[which].tolist(), strict=True)))

    long = np.isin(done[:, 0], np.array(arrivals)[which == 1])
    number = float(batching.present_linear(rate, OUTPUT * BASE, OUTPUT * GROWTH + mean)[0])
    step, alone = BASE + GROWTH * number, BASE + GROWTH
    gate = batching.gated(rate, step, mean, squared)
    token = alone / (1.0 - use)
    steps = {each: gate.others_s + step + each for each in (mean, *costs.tolist())}
    usual, *others = (batching.beside(rate, gate, mean, own, steps[mean], token) for own in steps.values())
    for more, mine in zip(others, (~long, long), strict=True):
        found = float(batching.token_s(rate, alone, GROWTH, mean, OUTPUT, more, (alone, usual)))
        assert found == pytest.approx(done[mine, 2].mean(), rel=0.08)
    assert done[long, 2].mean() > 1.08 * done[~long, 2].mean()


@pytest.mark.parametrize("clients", [4, 16, 32])
def test_a_closed_loop_at_rest_turns_as_often_as_a_stepped_engine(clients):
    whole = OUTPUT * (BASE + GROWTH * clients) + clients * PROMPT
    gate = batching.gated((clients - 1) / whole, BASE + GROWTH * clients, PROMPT)

    done = stepped(clients=clients, start_s=whole, horizon_s=30 * whole)
    arrival, first, token = done[done[:, 0] > 5 * whole].T

    seconds = arrival.max() - arrival.min()
    assert clients / whole == pytest.approx(len(first) / seconds, rel=0.1)
    ttft = float(gate.wait_s) + BASE + GROWTH * clients + PROMPT
    assert ttft == pytest.approx(np.mean(first), rel=0.25)
    assert (whole - ttft) / (OUTPUT - 1) == pytest.approx(np.median(token), rel=0.1)


@pytest.mark.parametrize("clients", [8, 16])
def test_clients_that_start_together_stay_together(clients):
    _, first, token = stepped(clients=clients, start_s=0.0, horizon_s=40.0).T

    assert BASE + clients * PROMPT == pytest.approx(np.median(first), rel=0.1)
    assert BASE + GROWTH * clients == pytest.approx(np.median(token), rel=0.1)


def test_a_burst_is_read_in_passes_of_the_budget():
    positions = np.arange(1, 33)

    passes = batching.burst_passes(positions, 256, 2048)

    assert passes.tolist() == np.repeat([1, 2, 3, 4], 8).tolist()


@given(st.floats(0.01, 5.0), st.floats(0.1, 3.0), st.floats(0.01, 0.18))
def test_the_closed_form_is_the_sum_where_slots_never_run_out(rate, alone, growth):
    count = np.arange(1.0, 2001.0)
    mean, variance = batching.present_linear(rate, alone, growth)

    found = batching.present(rate, count / (alone + growth * count))

    assert float(found.mean) == pytest.approx(float(mean), rel=1e-6)
    assert float(found.variance) == pytest.approx(float(variance), rel=1e-5)


@given(st.floats(0.05, 0.95), st.integers(1, 60))
def test_equal_servers_are_the_queue_with_many_servers(use, slots):
    rate = use * slots
    found = batching.present(rate, np.arange(1.0, slots + 1.0))

    assert float(found.waits) == pytest.approx(float(queueing.erlang_c(slots, rate)), rel=1e-6)
    waited = float(found.mean - found.served) / rate
    assert waited == pytest.approx(float(queueing.mmc_wait_s(slots, rate, 1.0)), rel=1e-6, abs=1e-12)
    assert float(found.served) == pytest.approx(rate, rel=1e-6)


def test_nothing_is_at_rest_beyond_capacity():
    beyond = batching.present(2.0, [0.5, 1.0])

    assert np.isinf(beyond.mean)
    assert (float(beyond.served), float(beyond.waits)) == (2.0, 1.0)
    assert np.isinf(batching.present_linear(10.0, 1.0, 0.2)[0])


@given(st.floats(0.0, 12.0), st.floats(0.0, 12.0))
def test_a_gate_keeps_longer_the_more_come(one, other):
    few, many = sorted((one, other))

    waits = [float(batching.gated(rate, 0.03, 0.07).wait_s) for rate in (few, many)]

    assert 0.015 <= waits[0] <= waits[1]


def _through_a_gate(rate, step, prompts, steps=20_000):
    """Mean and variance of what prompts wait beyond a step and themselves, step by step."""
    draw, gathered, waits = np.random.default_rng(7), 0.0, []
    for _ in range(steps):
        length = step + gathered
        came = draw.choice(prompts, draw.poisson(rate * length))
        gathered = came.sum()
        waits.append(length - draw.uniform(0, length, len(came)) + gathered - came)
    return np.mean(np.concatenate(waits)), np.var(np.concatenate(waits))


@pytest.mark.parametrize("use", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("prompts", [(0.06, 0.06), (0.03, 0.09)])
def test_a_gate_is_gone_through_step_by_step(use, prompts):
    rate, squared = use / np.mean(prompts), np.mean(np.square(prompts))

    gate = batching.gated(rate, 0.03, np.mean(prompts), squared)
    mean, variance = _through_a_gate(rate, 0.03, prompts)

    assert gate.wait_s == pytest.approx(mean, rel=0.05)
    assert gate.variance_s2 == pytest.approx(variance, rel=0.12)


def test_mixed_lengths_keep_longer_than_equal_ones():
    equal, mixed = batching.gated(2.0, 0.03, 0.1), batching.gated(2.0, 0.03, 0.1, 0.03)

    assert mixed.wait_s > equal.wait_s


@given(st.floats(1e-3, 10), st.floats(0, 100))
def test_quantiles_have_the_mean_and_the_variance_asked(mean, variance):
    rises = [float(batching.quantile(mean, variance, z)) for z in (-1.0, 0.0, 1.28, 2.33)]

    assert rises == sorted(rises)
    levels = (np.arange(20_000) + 0.5) / 20_000
    if variance < mean**2:
        from statistics import NormalDist

        drawn = batching.quantile(mean, variance, np.array([NormalDist().inv_cdf(level) for level in levels[::40]]))
        assert drawn.mean() == pytest.approx(mean, rel=0.05)


def test_long_stays_average_out():
    assert float(batching.stay_share(0.0)) == pytest.approx(1.0, abs=1e-4)
    assert float(batching.stay_share(100.0)) == pytest.approx(0.0198)
