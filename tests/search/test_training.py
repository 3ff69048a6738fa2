"""The search finds what trying everything one by one finds."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from estimator import layout
from estimator.catalog.accelerators import accelerator
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit, EstimatorError
from estimator.predict.training import TrainingPlan, training_step
from estimator.records import Cluster
from estimator.search.asking import OPEN
from estimator.search.result import front
from estimator.search.training import AXES, Offer, best_training, valid_layouts

MODELS = ("llama-3.2-1b", "gpt2-xl", "llama-2-7b", "qwen2.5-0.5b", "qwen3-30b-a3b")
GPUS = ("a100", "h100", "rtx-4090", "v100")


def problem(seed: int):
    """A small random problem."""
    draw = random.Random(seed)
    device = accelerator(draw.choice(GPUS))
    count = draw.choice((1, 2, 4, 6, 8, 16))
    cluster = Cluster(device, count, min(count, 8))
    seq, batch = draw.choice((512, 2048, 4096)), draw.choice((8, 16, 48))
    plan = TrainingPlan(seq_len=seq, global_batch=batch, method=draw.choice(("full", "lora")), **OPEN)
    return architecture(draw.choice(MODELS)), cluster, plan


def one_by_one(llm, cluster, plan, tokens):
    """The fastest fitting layout, each tried alone, validity spelt out anew."""
    axes = {
        "tp": [
            n
            for n in range(1, min(cluster.per_node, cluster.count) + 1)
            if cluster.count % n == 0 and llm.heads % n == 0
        ],
        "pp": [n for n in range(1, min(cluster.count, llm.layers) + 1) if cluster.count % n == 0],
        "vpp": [n for n in (1, 2, 3, 4, 6, 7, 8, 12, 16) if n <= llm.layers],
        "cp": [n for n in (1, 2, 4, 8, 16) if n <= max(plan.seq_len // 2048, 1) and cluster.count % n == 0],
        "ep": [
            n
            for n in range(1, cluster.count + 1)
            if cluster.count % n == 0 and llm.experts and llm.experts.experts % n == 0
        ]
        or [1],
        "zero": [0, 1, 2, 3],
        "micro_batch": [2**n for n in range(8) if 2**n <= plan.global_batch],
        "recompute": ["none", "selective", "full"],
    }
    best, tried = None, 0
    for values in itertools.product(*axes.values()):
        at = dict(zip(axes, values, strict=True))
        ranks = at["tp"] * at["pp"] * at["cp"]
        if cluster.count % ranks:
            continue
        dp = cluster.count // ranks
        if plan.global_batch % (dp * at["micro_batch"]) or (
            at["vpp"] > 1
            and (at["pp"] == 1 or -(-llm.layers // (at["pp"] * at["vpp"])) * at["vpp"] > -(-llm.layers // at["pp"]))
        ):
            continue
        if (at["zero"] >= 2 and at["pp"] > 1) or (at["zero"] and dp * at["cp"] == 1):
            continue
        if llm.experts and (dp * at["cp"] * at["tp"]) % at["ep"]:
            continue
        tried += 1
        step = training_step(llm, cluster, replace(plan, **at))
        seconds = tokens / (float(step.tokens_per_s_per_accelerator) * cluster.count)
        if bool(step.fits) and (best is None or seconds < best):
            best = seconds
    return best, tried


@pytest.mark.parametrize("seed", range(12))
def test_search_equals_trying_each_alone(seed):
    llm, cluster, plan = problem(seed)
    expected, tried = one_by_one(llm, cluster, plan, 1e9)

    if expected is None:
        with pytest.raises(DoesNotFit):
            best_training(llm, [Offer(cluster)], plan, 1e9, offloads=("",))
        return
    found = best_training(llm, [Offer(cluster)], plan, 1e9, offloads=("",))
    assert found.evaluated == tried
    assert found.best.figures["run_s"] == pytest.approx(expected, rel=1e-12)


def test_array_and_scalar_agree_to_the_last_digits():
    llm, cluster, plan = (
        architecture("llama-2-7b"),
        Cluster(accelerator("a100"), 16, 8),
        TrainingPlan(seq_len=2048, global_batch=64, **OPEN),
    )
    layouts = valid_layouts(llm, cluster, plan)
    together = training_step(llm, cluster, replace(plan, **layouts))
    for index in np.linspace(0, len(layouts["tp"]) - 1, 40).astype(int):
        alone = training_step(llm, cluster, replace(plan, **{name: layouts[name][index] for name in AXES}))
        for name in ("step_s", "mfu", "tokens_per_s_per_accelerator"):
            assert float(getattr(alone, name)) == pytest.approx(
                float(np.broadcast_to(getattr(together, name), layouts["tp"].shape)[index]), rel=1e-12
            )


def test_front_by_brute_force():
    rng = np.random.default_rng(3)
    points = rng.integers(0, 6, (200, 3)).astype(float)
    kept = set(front(list(points.T)).tolist())
    unbeaten = {
        tuple(point)
        for point in points
        if not any(np.all(other <= point) and np.any(other < point) for other in points)
    }

    assert {tuple(points[index]) for index in kept} == unbeaten


def test_a_deadline_buys_the_cheapest_that_meets_it():
    fast = layout(model="llama-3.2-1b", gpu="a100", most=32, tokens=2e10, global_batch=512)
    cheap = layout(model="llama-3.2-1b", gpu="a100", most=32, tokens=2e10, global_batch=512, deadline_days=5)

    assert cheap.best.figures["run_s"] <= 5 * 86_400
    assert cheap.best.figures["usd"] <= fast.best.figures["usd"] + 1e-9


def test_an_impossible_deadline_says_how_close():
    with pytest.raises(DoesNotFit, match="the fastest takes"):
        layout(model="7b", gpu="8xa100", tokens=1e12, deadline_days=1)


def test_a_given_axis_is_not_searched():
    found = layout(model="7b", gpu="16xa100", tp=4, recompute="full", global_batch=128)

    assert {choice.layout["tp"] for choice in found.front} == {4}
    assert {choice.layout["recompute"] for choice in found.front} == {"full"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "7b", "gpu": "8xa10x"},
        {"model": "7b", "gpu": "8xa100", "tpp": 2},
        {"model": "7b", "gpu": "a100", "task": "rest"},
    ],
)
def test_wrong_words_are_refused(arguments):
    with pytest.raises(EstimatorError):
        layout(**arguments)
