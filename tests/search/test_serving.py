"""Serving layouts: targets hold, and no other cut does it with less."""

import itertools

import pytest

from estimator import layout, serving
from estimator.errors import DoesNotFit

ASK = {"model": "70b", "gpu": "8xh100", "task": "serve", "prompt_tokens": 1000.0, "output_tokens": 200.0}


def test_targets_hold_and_fewer_accelerators_do_not_do():
    found = layout(**ASK, tpot_s=0.03, ttft_s=0.6, requests_per_s=10.0, price=3.0)
    best = found.best.figures

    assert best["tpot_s"] <= 0.03
    assert best["ttft_s"] <= 0.6
    assert best["requests_per_s"] >= 10.0
    fewest = min(
        needed(tp, clients, 0.03, 0.6, 10.0)
        for tp, clients in itertools.product((1, 2, 4, 8), (1, 2, 4, 8, 16, 32, 64, 128))
    )
    assert best["accelerators"] <= fewest


def needed(tp, clients, tpot_s, ttft_s, requests_per_s):
    """Accelerators for the load with tensor-parallel replicas of so many clients; endless when a target is missed."""
    one = serving(model="70b", gpu="h100", gpus=tp, prompt_tokens=1000.0, output_tokens=200.0, concurrency=clients)
    if not one.fits or float(one.max_concurrency) < clients or float(one.tpot_s) > tpot_s or float(one.ttft_s) > ttft_s:
        return float("inf")
    return -(-requests_per_s // float(one.requests_per_s)) * tp


def test_no_target_takes_the_cheapest_way():
    loose = layout(**ASK, requests_per_s=10.0, price=3.0)
    tight = layout(**ASK, requests_per_s=10.0, price=3.0, tpot_s=0.02)

    assert loose.best.figures["usd_per_hour"] <= tight.best.figures["usd_per_hour"]


def test_an_impossible_target_says_how_close():
    with pytest.raises(DoesNotFit, match="the best reach"):
        layout(**ASK, tpot_s=1e-6)


def test_fewer_bits_never_need_more():
    wide = layout(**ASK, requests_per_s=10.0, price=3.0)
    either = layout(**ASK, requests_per_s=10.0, price=3.0, precisions=("bf16", "fp8"))

    assert either.best.figures["usd_per_hour"] <= wide.best.figures["usd_per_hour"]
