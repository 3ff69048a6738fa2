"""The search finds what trying everything one by one finds."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from estimator import estimate, layout
from estimator.catalog.accelerators import accelerator
from estimator.catalog.accelerators import cluster as accelerator_cluster
from estimator.catalog.facts import fact
from estimator.catalog.models import architecture
from estimator.catalog.prices import common_providers
from estimator.errors import DoesNotFit, EstimatorError
from estimator.predict.training import TrainingPlan, training_step
from estimator.predict.training_layout import AXES
from estimator.pricing import Price, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME
from estimator.records import Cluster
from estimator.search.asking import OPEN
from estimator.search.grid import valid_layouts
from estimator.search.result import front
from estimator.search.training import Offer, best_training

MODELS = ("llama-3.2-1b", "gpt2-xl", "llama-2-7b", "qwen2.5-0.5b", "qwen3-30b-a3b", "mixtral-8x7b")
GPUS = ("a100", "h100", "rtx-4090", "v100", "a100-40gb")
OFFLOADS = ("", "optimizer", "activations", "params")
TOKENS = 1e9
LARGE = 40  # layouts; larger problems are left to the test with every axis open


def problem(seed: int):
    """A small random problem: an LLM, accelerators, a plan with some axes given, formats and offloads to try."""
    draw = random.Random(seed)
    count = draw.choice((1, 2, 4, 6, 8, 12, 16, 32))
    device = accelerator(draw.choice(GPUS))
    cluster = Cluster(device, count, min(count, draw.choice((4, 8))))
    method = draw.choice(("full", "full", "lora"))
    given = {
        "tp": draw.choice((None, None, [1, 2], 1)),
        "pp": draw.choice((None, [1, 2], [1, 4])),
        "vpp": draw.choice((None, 1, [1, 2])),
        "cp": draw.choice((None, 1, [1, 2])),
        "ep": draw.choice((None, None, [1, 2])),
        "zero": draw.choice((None, None, [0, 2], [0, 1, 3])),
        "micro_batch": draw.choice((None, [1, 2], [4], 1)),
        "recompute": draw.choice((None, ["none", "full"], "selective", "full")),
    }
    plan = TrainingPlan(
        seq_len=draw.choice((512, 2048, 8192)), global_batch=draw.choice((8, 12, 16, 48)), method=method, **given
    )
    offloads = tuple(draw.sample(OFFLOADS, draw.choice((1, 1, 2))))
    precisions = draw.choice((("bf16",), ("bf16", "fp8"), ("fp16",)))
    llm = architecture(draw.choice(MODELS))
    hourly = usd_per_hour(device, Price(2.5), ONE_AT_A_TIME)
    return llm, Offer(cluster, hourly, draw.choice((1.0, 0.9))), plan, offloads, precisions


def axes(llm, cluster, plan):
    """All that an axis may hold, spelt out anew."""
    several = range(1, cluster.count + 1)
    whole = [n for n in several if cluster.count % n == 0]
    every = {
        "tp": [n for n in whole if cluster.per_node % n == 0 and llm.heads % n == 0],
        "pp": [n for n in whole if n <= llm.layers],
        "vpp": [n for n in (1, 2, 3, 4, 6, 7, 8, 12, 16) if n <= llm.layers],
        "cp": [n for n in (1, 2, 4, 8, 16, 32, 64) if n in whole and (n == 1 or n * 2048 <= plan.seq_len)],
        "ep": [n for n in whole if llm.experts and llm.experts.experts % n == 0] or [1],
        "zero": [0, 1, 2, 3],
        "micro_batch": [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n <= plan.global_batch],
        "recompute": ["none", "selective", "full"],
    }
    given = {name: getattr(plan, name) for name in every if getattr(plan, name) is not None}
    return every | {name: value if isinstance(value, list) else [value] for name, value in given.items()}


def valid(llm, cluster, plan, tp, pp, vpp, cp, ep, zero, micro_batch, _):
    """Whether a layout can be run, rule by rule."""
    replica = tp * pp * cp
    if cluster.count % replica:
        return False
    dp = cluster.count // replica
    if plan.global_batch % (dp * micro_batch):
        return False
    rounds = plan.global_batch // (dp * micro_batch)
    if vpp > 1:
        chunked = -(-llm.layers // (pp * vpp)) * vpp
        if pp == 1 or chunked > -(-llm.layers // pp) or rounds % pp:
            return False
    if plan.zero is None and ((zero >= 2 and pp > 1) or (zero and dp * cp == 1)):
        return False
    return not (llm.experts and (dp * cp * tp) % ep)


def one_by_one(llm, offer, plan, offloads, precisions):
    """(layouts tried, those that fit surely, the ones to choose from as (s, USD, bytes)), each computed alone."""
    cluster, found, tried = offer.cluster, [], 0
    listed = axes(llm, cluster, plan)
    native = [name for name in precisions if name in cluster.accelerator.peak_flop_per_s] or precisions[:1]
    layouts = [
        dict(zip(listed, values, strict=True))
        for values in itertools.product(*listed.values())
        if valid(llm, cluster, plan, *values)
    ]
    for at, precision, offload in itertools.product(layouts, native if len(precisions) > 1 else precisions, offloads):
        tried += 1
        step = training_step(llm, cluster, replace(plan, **at, precision=precision, cpu_offload=offload))
        if not step.fits:
            continue
        slower = 1.0 if plan.framework else fact("stack_slowdown/unnamed").value
        seconds = slower * TOKENS / (float(step.tokens_per_s_per_accelerator) * cluster.count) / offer.goodput
        capacity, used = cluster.accelerator.usable_bytes, float(step.memory.total)
        usd = seconds / 3600 * cluster.count * 2.5
        found.append((seconds, usd, min(used, capacity), float(step.fit_chance)))
    likeliest = max((one[3] for one in found), default=0.0)
    kept = [one[:3] for one in found if one[3] >= min(0.9, likeliest - 0.02)]
    return tried, sum(one[3] >= 0.9 for one in found), kept


def same_as_one_by_one(llm, offer, plan, offloads, precisions):
    """The search and the plain way: as many layouts, the same best, the same front; or neither finds one."""
    tried, fitting, points = one_by_one(llm, offer, plan, offloads, precisions)
    if not points:
        with pytest.raises(DoesNotFit):
            best_training(llm, [offer], plan, TOKENS, offloads=offloads, precisions=precisions)
        return
    found = best_training(llm, [offer], plan, TOKENS, offloads=offloads, precisions=precisions)
    best = min(points)
    assert (found.evaluated, found.fitting) == (tried, fitting)
    assert found.best.figures["run_s"] == pytest.approx(best[0], rel=1e-12)
    unbeaten = {
        point
        for point in points
        if not any(other != point and all(map(float.__le__, other, point)) for other in points)
    }
    shown = [tuple(choice.figures[name] for name in ("run_s", "usd", "memory_bytes")) for choice in found.front]
    for point in shown:  # equal to the last digits: arrays and single numbers are not summed alike
        assert any(point == pytest.approx(one, rel=1e-9) for one in unbeaten)
    for point in unbeaten:
        assert any(all(a <= b * (1 + 1e-9) for a, b in zip(one, point, strict=True)) for one in shown)


def size(seed: int) -> int:
    """How many layouts a problem has."""
    llm, offer, plan, offloads, precisions = problem(seed)
    return len(valid_layouts(llm, offer.cluster, plan)["tp"]) * len(offloads) * len(precisions)


SMALL = list(itertools.islice((seed for seed in itertools.count() if 0 < size(seed) <= LARGE), 200))


@pytest.mark.parametrize("seeds", [SMALL[start : start + 20] for start in range(0, 200, 20)], ids=lambda s: f"{s[0]}-")
def test_search_equals_trying_each_alone(seeds):
    for seed in seeds:
        same_as_one_by_one(*problem(seed))


def test_the_random_problems_hold_every_kind():
    problems = [problem(seed) for seed in SMALL]

    assert len(problems) == 200
    assert sum(bool(llm.experts) for llm, *_ in problems) > 20
    assert sum(offer.cluster.count > offer.cluster.per_node for _, offer, *_ in problems) > 50
    for name in AXES:
        assert sum(getattr(plan, name) is None for _, _, plan, *_ in problems) > 20, name


@pytest.mark.parametrize(("model", "count"), [("llama-2-7b", 8), ("qwen3-30b-a3b", 4)])
def test_search_equals_trying_each_alone_with_every_axis_open(model, count):
    offer = Offer(Cluster(accelerator("a100"), count, count), usd_per_hour(None, Price(2.5), ONE_AT_A_TIME))
    plan = TrainingPlan(seq_len=4096, global_batch=8, **OPEN)

    same_as_one_by_one(architecture(model), offer, plan, ("",), ("bf16",))


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


def test_an_unknown_price_beats_no_known_one():
    kept = front([np.array([1.0, 2.0, 3.0]), np.array([np.nan, 5.0, 6.0])])

    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize(("gpu", "sizes"), [("24xa100", {1, 2, 4, 8}), ("12xgb200", {1, 2, 4, 12})])
def test_tensor_groups_fill_nodes_or_linked_racks(gpu, sizes):
    llm, cluster = architecture("gpt3-175b"), accelerator_cluster(gpu)
    layouts = valid_layouts(llm, cluster, TrainingPlan(global_batch=48, **OPEN))

    assert set(layouts["tp"].tolist()) <= sizes
    assert 3 not in layouts["tp"]


def test_a_deadline_buys_the_cheapest_that_meets_it():
    fast = layout(model="llama-3.2-1b", gpu="a100", most=32, tokens=2e10, global_batch=512)
    cheap = layout(model="llama-3.2-1b", gpu="a100", most=32, tokens=2e10, global_batch=512, deadline_days=5)

    assert cheap.best.figures["run_s"] <= 5 * 86_400
    assert cheap.best.figures["usd"] <= fast.best.figures["usd"] + 1e-9


def test_the_cheapest_of_several_accelerators_is_as_cheap_as_the_cheapest_of_each():
    asked = {"model": "llama-3.2-1b", "tokens": 2e10, "global_batch": 512, "deadline_days": 5, "most": 32}
    both = Price(provider=",".join(common_providers(("a100-sxm-80gb", "h100-sxm"))))
    each = [layout(gpu=gpu, **asked, price=both).best.figures["usd"] for gpu in ("a100", "h100")]
    both = layout(gpu=["a100", "h100"], **asked)

    assert both.best.figures["usd"] == pytest.approx(min(each))


def test_being_careful_holds_at_the_far_ends():
    asked = {"model": "7b", "gpu": "a100", "most": 64, "tokens": 5e10, "deadline_days": 14}
    bold, careful = layout(**asked), layout(**asked, careful=True)

    assert careful.best.ranges["run_s"][1] <= 14 * 86_400
    assert careful.best.figures["fit_chance"] >= 0.9
    assert careful.best.figures["usd"] >= bold.best.figures["usd"] - 1e-9


def test_where_nothing_fits_the_least_need_is_said():
    with pytest.raises(DoesNotFit, match=r"the most frugal needs 1\d\.\d of the 15\.8 GB of a t4; use more or larger"):
        layout(task="finetune", model="gemma-3-12b", gpu="1xt4", method="qlora", seq_len=2048)


def test_a_layout_is_as_likely_to_fit_as_asked_and_the_daring_are_no_slower():
    """Qwen2.5-14B with nf4 weights on two RTX 4090: the fastest plan fails one time in five."""
    asked = {"task": "finetune", "model": "qwen2.5-14b", "gpu": "2xrtx4090", "method": "qlora"}
    sure, daring = layout(**asked), layout(**asked, fit_chance=0.5)

    assert sure.best.figures["fit_chance"] >= 0.9 > daring.best.figures["fit_chance"] >= 0.5
    assert daring.best.figures["run_s"] < sure.best.figures["run_s"]
    assert sure.verdict.startswith("Fits: 9")
    assert daring.notes == ()  # no advice: as asked


def test_estimate_and_layout_choose_the_same():
    for method, gpu in (("qlora", "2xrtx4090"), ("full", "8xh100"), ("lora", "1xl4")):
        answer = estimate("finetune", model="llama-3.1-8b", gpu=gpu, method=method)
        found = layout(task="finetune", model="llama-3.1-8b", gpu=gpu, method=method).best
        assert f"micro-batch {found.layout['micro_batch']}" in answer.layout, (method, answer.layout, found.text())
        assert answer.details["fit_chance"].value == pytest.approx(found.figures["fit_chance"])


def test_something_waits_in_host_memory_only_where_nothing_else_fits():
    """Qwen3-32B in full on 8 H100 with fp32 states, 16 bytes a parameter, does not leave room for activations."""
    asked = {"task": "finetune", "model": "qwen3-32b", "method": "full", "framework": "deepspeed"}
    eight, sixteen = (layout(**asked, gpu=f"{count}xh100").best for count in (8, 16))

    assert (eight.layout["offload"], sixteen.layout["offload"]) == ("optimizer", "")
    assert eight.figures["host_bytes"] == pytest.approx(24 * 32.76e9, rel=0.01)
    assert sixteen.figures["host_bytes"] == 0


def test_ranges_hold_the_figures_and_a_price_of_ones_own_adds_none():
    listed = layout(model="7b", gpu="8xa100", tokens=1e9, global_batch=64)
    own = layout(model="7b", gpu="8xa100", tokens=1e9, global_batch=64, price=2.0)
    for found in (listed, own):
        for name, (low, high) in found.best.ranges.items():
            assert low < found.best.figures[name] < high, name
    width = {name: np.log(np.divide(*own.best.ranges[name][::-1])) for name in ("run_s", "usd")}

    assert width["usd"] == pytest.approx(width["run_s"])
    assert np.log(np.divide(*listed.best.ranges["usd"][::-1])) > width["usd"]


def test_more_formats_are_never_slower_and_what_a_chip_lacks_is_not_tried():
    one = layout(model="7b", gpu="8xh100", tokens=1e9, global_batch=64)
    both = layout(model="7b", gpu="8xh100", tokens=1e9, global_batch=64, precisions=("bf16", "fp8"))
    old = layout(model="7b", gpu="8xa100", tokens=1e9, global_batch=64, precisions=("bf16", "fp8"))

    assert both.best.figures["run_s"] <= one.best.figures["run_s"]
    assert both.evaluated == 2 * one.evaluated
    assert {choice.layout["precision"] for choice in old.front} == {"bf16"}


def test_pre_training_and_the_search_agree_on_the_time():
    """The search also tries offloading and sequences cut across ranks, so it is never slower.

    It takes batches as they are asked for, where pre-training fills a last micro-batch up: here all layouts divide it.
    """
    run = estimate("pretrain", model="7b", gpu="64xa100", training_tokens=1e11, batch_tokens=1024 * 4096)
    found = layout(model="7b", gpu="64xa100", tokens=1e11, seq_len=4096, global_batch=1024)

    assert found.best.figures["run_s"] <= run.training_s.value * (1 + 1e-6)
    assert found.best.figures["run_s"] > 0.9 * run.training_s.value


def test_an_impossible_deadline_says_how_close():
    with pytest.raises(DoesNotFit, match="the fastest takes"):
        layout(model="7b", gpu="8xa100", tokens=1e12, deadline_days=1)


def test_a_given_axis_is_not_searched():
    found = layout(model="7b", gpu="16xa100", tp=4, recompute="full", global_batch=128)

    assert {choice.layout["tp"] for choice in found.front} == {4}
    assert {choice.layout["recompute"] for choice in found.front} == {"full"}


def test_a_framework_that_only_splits_data_is_searched_so():
    found = layout(model="8b", gpu="16xh100", global_batch=128, framework="olmo", tokens=1e9)

    assert {(choice.layout["tp"], choice.layout["pp"]) for choice in found.front} == {(1, 1)}


def test_fine_tuning_starts_from_the_scenarios_samples():
    found = layout(model="8b", gpu="h100", task="finetune", most=8)

    assert found.asked["tokens"] == 5_000 * 500 * 3
    assert found.asked["method"] == "lora"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": "7b", "gpu": "8xa10x"}, "a100"),
        ({"model": "7b", "gpu": "8xa100", "tpp": 2}, "tp"),
        ({"model": "7b", "gpu": "a100", "task": "rest"}, "serve, finetune, pretrain"),
        ({"model": "7b", "gpu": "a100", "task": "pretrian"}, "pretrain"),
        ({"model": "7b", "gpu": "8xa100", "tp": 3}, "must divide"),
        ({"model": "7b", "gpu": "8xa100", "framework": "own loop"}, "catalog frameworks"),
        ({"model": "7b", "gpu": "8xa100", "tp": 0}, "between 1"),
        ({"model": "7b", "gpu": "8xa100", "tp": 2.5}, "whole number"),
        ({"model": "7b", "gpu": "8xa100", "recompute": "some"}, "none, selective, full"),
        ({"model": "7b", "gpu": "8xa100", "ttft_s": 1.0}, "task serve"),
        ({"model": "7b", "gpu": "8xa100", "task": "serve", "tokens": 1e9}, "task pretrain"),
        ({"model": "7b", "gpu": "8xa100", "tokens": -1.0}, "between 1"),
        ({"model": "7b", "gpu": "8xa100", "precisions": ["bf61"]}, "bf16"),
        ({"model": "7b", "gpu": "a100", "most": 0}, "at least 1"),
        ({"model": "405b", "gpu": "8xa100"}, "fits"),
    ],
)
def test_wrong_words_are_refused(arguments, says):
    with pytest.raises(EstimatorError, match=says):
        layout(**arguments)


def test_machines_and_their_network_are_inputs():
    """Machines of four on plain Ethernet: the plan spans sixteen, is slower, and says what it assumes."""
    asked = {"model": "7b", "gpu": "64xa100", "tokens": 1e10, "tp": 1, "pp": 1, "micro_batch": 1, "recompute": "none"}
    usual = layout(**asked, fit_chance=0.5)
    plain = layout(**asked, fit_chance=0.5, gpus_per_node=4, network_gbit_per_s=10)

    assert any("8 machines of 8" in note for note in usual.notes)
    assert any("16 machines of 4: it assumes 10 Gbit/s" in note for note in plain.notes)
    assert plain.best.figures["run_s"] > 1.2 * usual.best.figures["run_s"]
