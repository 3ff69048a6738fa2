"""Serving layouts: the search finds what trying everything one by one finds, and its targets hold."""

import itertools
import math
import random

import numpy as np
import pytest

from estimator import layout
from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit, EstimatorError
from estimator.predict.serving import ServingPlan, Traffic, serving

ASK = {"model": "70b", "gpu": "h100", "most": 8, "task": "serve", "prompt_tokens": 1000.0, "output_tokens": 200.0}
CLIENTS = sorted({round(2 ** (half / 2)) for half in range(21)})


def problem(seed: int):
    """A small random problem."""
    draw = random.Random(seed)
    return {
        "model": draw.choice(("llama-3.2-1b", "llama-2-7b", "qwen3-30b-a3b", "mixtral-8x7b")),
        "gpu": draw.choice(("a100", "h100", "l4")),
        "count": draw.choice((1, 2, 4, 6)),
        "prompt_tokens": draw.choice((100.0, 1000.0, 6000.0)),
        "output_tokens": draw.choice((20.0, 300.0)),
        "ttft_s": draw.choice((math.inf, 2.0, 0.5, 0.1)),
        "tpot_s": draw.choice((math.inf, 0.05, 0.02, 0.008)),
        "requests_per_s": draw.choice((0.5, 20.0, 300.0)),
        "precisions": draw.choice((["bf16"], ["bf16", "fp8"], ["int4"])),
        "utilisation": draw.choice((0.7, 1.0)),
    }


def one_by_one(asked):
    """(layouts tried, those within the targets as (USD/h, TPOT, TTFT)), each computed alone."""
    llm, found, tried = architecture(asked["model"]), [], 0
    if asked["prompt_tokens"] + asked["output_tokens"] > (llm.max_context or math.inf):
        return 0, []
    count, lengths = asked["count"], {name: asked[name] for name in ("prompt_tokens", "output_tokens")}
    for precision, tp, pp in itertools.product(asked["precisions"], range(1, count + 1), range(1, count + 1)):
        if tp * pp > count or count % tp or llm.heads % tp or llm.layers % pp:
            continue
        for ep in {1, tp} if llm.experts and llm.experts.experts % tp == 0 else {1}:
            cut = {"weight_precision": precision, "tp": tp, "pp": pp, "ep": ep}
            for clients in CLIENTS:
                cluster = cluster_of(accelerator(asked["gpu"]), tp * pp)
                one = serving(llm, cluster, ServingPlan(**cut), Traffic(**lengths, concurrency=clients))
                if not one.fits or one.max_concurrency < clients:
                    break
                tried += 1
                if one.ttft_s <= asked["ttft_s"] and one.tpot_s <= asked["tpot_s"]:
                    each = float(one.requests_per_s) * asked["utilisation"]
                    replicas = max(math.ceil(asked["requests_per_s"] / each - 1e-9), 1)
                    found.append((replicas * tp * pp * 3.0, float(one.tpot_s), float(one.ttft_s)))
    return tried, found


@pytest.mark.parametrize("seed", range(16))
def test_search_equals_trying_each_alone(seed):
    asked = problem(seed)
    tried, points = one_by_one(asked)
    given = {name: value for name, value in asked.items() if name not in ("gpu", "count")}
    given |= {"gpu": asked["gpu"], "most": asked["count"], "task": "serve", "price": 3.0}
    if not points:
        with pytest.raises(DoesNotFit):
            layout(**given)
        return
    found = layout(**given)
    best = min((usd, tpot) for usd, tpot, _ in points)

    assert (found.evaluated, found.fitting) == (tried, len(points))
    assert (found.best.figures["usd_per_hour"], found.best.figures["tpot_s"]) == pytest.approx(best, rel=1e-9)
    unbeaten = {
        point
        for point in points
        if not any(other != point and all(map(float.__le__, other, point)) for other in points)
    }
    shown = [tuple(choice.figures[name] for name in ("usd_per_hour", "tpot_s", "ttft_s")) for choice in found.front]
    for point in unbeaten:
        assert any(all(a <= b * (1 + 1e-9) for a, b in zip(one, point, strict=True)) for one in shown)
    for point in shown:
        assert any(point == pytest.approx(one, rel=1e-9) for one in unbeaten)


def test_targets_hold_and_load_leaves_headroom():
    best = layout(**ASK, tpot_s=0.03, ttft_s=0.6, requests_per_s=10.0, price=3.0).best

    assert best.figures["tpot_s"] <= 0.03
    assert best.figures["ttft_s"] <= 0.6
    assert best.figures["requests_per_s"] * 0.7 >= 10.0
    assert best.figures["accelerators"] == best.accelerators * best.layout["replicas"]
    assert best.figures["memory_bytes"] <= accelerator("h100").memory_bytes


def test_no_target_takes_the_cheapest_way():
    loose = layout(**ASK, requests_per_s=10.0, price=3.0)
    tight = layout(**ASK, requests_per_s=10.0, price=3.0, tpot_s=0.02)

    assert loose.best.figures["usd_per_hour"] <= tight.best.figures["usd_per_hour"]


def test_being_careful_holds_at_the_far_ends():
    bold = layout(**ASK, requests_per_s=10.0, price=3.0, tpot_s=0.03)
    careful = layout(**ASK, requests_per_s=10.0, price=3.0, tpot_s=0.03, careful=True)

    assert careful.best.ranges["tpot_s"][1] <= 0.03
    assert careful.best.ranges["requests_per_s"][0] * 0.7 >= 10.0
    assert careful.best.figures["usd_per_hour"] >= bold.best.figures["usd_per_hour"]


def test_an_impossible_target_says_how_close():
    with pytest.raises(DoesNotFit, match="the best reach"):
        layout(**ASK, tpot_s=1e-6)


def test_fewer_bits_never_need_more():
    wide = layout(**ASK, requests_per_s=10.0, price=3.0)
    either = layout(**ASK, requests_per_s=10.0, price=3.0, precisions=("bf16", "fp8"))

    assert either.best.figures["usd_per_hour"] <= wide.best.figures["usd_per_hour"]


def test_a_large_llm_takes_several_nodes_unless_bounded():
    found = layout(model="405b", gpu="h100", task="serve", requests_per_s=1.0)

    assert found.best.accelerators > 8
    with pytest.raises(DoesNotFit, match="--most"):
        layout(model="405b", gpu="h100", task="serve", requests_per_s=1.0, most=8)


def test_an_unknown_price_is_said_and_fewest_accelerators_win():
    found = layout(model="8b", gpu="4xv100", task="serve", requests_per_s=1.0, price=None)
    unpriced = layout(model="8b", gpu="4xrtx-3090", task="serve", requests_per_s=1.0)
    for one in (found, unpriced):
        if not np.isfinite(one.best.figures["usd_per_hour"]):
            assert one.criteria[0] == "accelerators"
            assert "unknown, not zero" in str(one)
        else:
            assert one.criteria[0] == "usd_per_hour"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"deadline_days": 3}, "task pretrain or finetune"),
        ({"ttft_s": -1.0}, "between"),
        ({"utilisation": 1.5}, "and 1, not 1.5"),
        ({"requests_per_s": "many"}, "must be a number"),
        ({"weight_precison": "fp8"}, "weight_precision"),
        ({"precisions": ["fp9x"]}, "fp"),
    ],
)
def test_wrong_words_are_refused(arguments, says):
    with pytest.raises(EstimatorError, match=says):
        layout(**ASK, **arguments)


def test_a_count_bounds_all_replicas():
    ask = {"model": "llama-3.1-8b", "task": "serve", "prompt_tokens": 300, "output_tokens": 250}

    found = layout(gpu="8xl4", **ask, requests_per_s=5)

    assert found.best.figures["accelerators"] <= 8
    with pytest.raises(DoesNotFit, match=r"1 x l4 carry .* it takes \d+ x l4"):
        layout(gpu="1xl4", **ask, requests_per_s=20)
