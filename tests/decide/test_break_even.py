"""Break-even points are where totals really meet: the curve is the estimate, and the sides of a crossing differ."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from estimator import estimate
from estimator.catalog.accelerators import accelerator
from estimator.decide.break_even import break_even, curve, owning, pairs
from estimator.errors import InvalidInput
from estimator.formulas.break_even import Cost, affine_crossing, cheaper_from, crossings, last_possible
from estimator.pricing import Price

OWN = {"model": "7b", "gpu": "a100"}
ASKED = (
    OWN,
    {
        "model": "70b",
        "gpu": "h100",
        "growth_per_month": 0.07,
        "contingency": 0.15,
        "least_replicas": 3,
        "requests_per_month": 3e6,
    },
    {"model": "8b", "gpu": "a100", "billing": "per-use"},
    {"api": "openai:gpt-4o-mini"},
)
costs = st.builds(
    Cost,
    fixed=st.floats(0, 1e6),
    slope=st.one_of(st.just(0.0), st.floats(1e-6, 1)),
    usd_per_replica=st.sampled_from([0.0, 500.0, 2000.0]),
    carried=st.integers(10_000, 10_000_000).map(float),  # steps a billionth apart would hide from any grid
    growth=st.sampled_from([0.0, 0.1, -0.05]),
    months=st.just(6),
    least=st.sampled_from([1.0, 3.0]),
)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.get("api", asked.get("gpu")))
@pytest.mark.parametrize("stage", ["prompt", "rag", "finetune"])
def test_the_curve_is_the_estimate_at_every_volume_and_in_every_scenario(asked, stage):
    found = curve(estimate(stage, **asked))

    for row, (cost, volume) in enumerate(zip(found.costs, found.requests.column, strict=True)):
        assert float(cost.at(volume)) == pytest.approx(found.total.column[row], rel=1e-9)
    for volume in (1.0, 4e5, 2.5e7):
        again = estimate(stage, **asked | {"requests_per_month": volume})
        assert float(found.at(volume)) == pytest.approx(again.total_usd.value, rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(costs, costs)
def test_no_crossing_is_missed_and_none_invented(a, b):
    """Against brute force: the sign of the difference on a fine grid changes just where crossings are."""
    most = min(last_possible(a, b), 5e7)
    assume(a.steps(most) + b.steps(most) < 20_000)
    found = crossings(a, b)
    grid = np.linspace(most / 40_000, most, 40_000)
    sign = np.sign(np.round(a.at(grid) - b.at(grid), 6))
    changed = (sign[:-1] * sign[1:]) < 0
    for low in grid[:-1][changed]:
        assert any(low - 1e-6 <= x <= low + most / 40_000 + 1e-6 for x in found), "a change of sign without a crossing"
    for x in found:
        ahead = [float(a.at(v) - b.at(v)) for v in (x * (1 - 1e-9), x * (1 + 1e-9))]
        scale = 1e-6 * max(float(a.at(x)), 1.0)
        assert ahead[0] * ahead[1] <= scale**2, "a crossing where nothing changes"


@settings(max_examples=150, deadline=None)
@given(costs, costs)
def test_cheaper_from_holds_for_all_larger_volumes(a, b):
    assume(abs(a.mean_slope - b.mean_slope) > 1e-3 * max(a.mean_slope, b.mean_slope))
    start = cheaper_from(a, b)
    assume(a.steps(last_possible(a, b)) + b.steps(last_possible(a, b)) < 20_000)
    if np.isinf(start):
        far = 3 * last_possible(a, b)
        assert float(b.at(far)) >= float(a.at(far)) * (1 - 1e-9)
    else:
        beyond = np.maximum(start, 1e-3) * (1 + np.geomspace(1e-6, 1e3, 300))
        assert np.all(b.at(beyond) <= a.at(beyond) * (1 + 1e-9) + 1e-6)


def test_two_straight_lines_by_hand():
    assert float(affine_crossing(1000.0, 0.5, 4000.0, 0.2)) == pytest.approx(10_000)
    assert crossings(Cost(1000, 0.5), Cost(4000, 0.2)) == [pytest.approx(10_000)]


@pytest.mark.parametrize("months", [1, 3])
def test_costs_that_are_equal_for_a_while_cross_where_one_gets_cheaper(months):
    """Replicas of 100 USD carry 100 each: dearer than a flat 200 from the third on, equal with two of them."""
    replicas, flat = Cost(0, 0, 100, carried=100, months=months), Cost(200 * months, 0, months=months)

    assert crossings(replicas, flat) == [200]
    assert cheaper_from(replicas, flat) == 200
    assert cheaper_from(flat, flat) == np.inf


def test_whole_replicas_by_hand():
    """An API at 2 USD per 1,000 requests against replicas at 1,500 USD that carry a million each.

    One replica pays from 750,000; a second one is needed above 1,000,000 and pays again only from 1,500,000; the
    third above 2,000,000 from 2,250,000. Beyond, k replicas cost 1,500 k and carry k million: 2,000 v > 1,500 ceil(v)
    for every v above 3 million, as 2,000 x 3 = 1,500 x 4.
    """
    api, own = Cost(0, 0.002, months=1), Cost(0, 0, 1500, carried=1e6, months=1)

    assert crossings(api, own) == pytest.approx([0.75e6, 1e6, 1.5e6, 2e6, 2.25e6])


def test_fine_tuning_repays_its_cost_by_shorter_prompts():
    """By hand, seconds of use billed: what fine-tuning costs more at no volume, over what each request saves."""
    asked = {**OWN, "billing": "per-use", "requests_per_month": 1e6, "instruction_tokens": 3000, "prefix_cache": False}
    few_shot, tuned = estimate("prompt", **asked), estimate("finetune", **asked)
    found = break_even(few_shot, tuned)

    saved_a_month = sum(
        line.usd.value * (1 if answer is few_shot else -1)
        for answer in (few_shot, tuned)
        for line in answer.lines
        if line.cost_type == "variable"
    )
    fixed = sum(
        line.horizon_usd.value * (1 if answer is tuned else -1)
        for answer in (few_shot, tuned)
        for line in answer.lines
        if line.cost_type == "fixed"
    )
    assert found.cheaper_from.value == pytest.approx(fixed / (12 * saved_a_month / 1e6), rel=1e-9)
    low, high = found.cheaper_from.interval()
    assert low < found.cheaper_from.value < high


def test_there_is_none_where_there_is_none():
    cheap, dear = estimate("prompt", **OWN), estimate("rag", **OWN)
    found = break_even(cheap, dear)

    assert found.crossings == ()
    assert not found.exists
    assert found.to_dict()["cheaper_from"] is None
    assert "never" in str(found)


def test_own_against_api_by_volume():
    api = estimate("prompt", api="openai:gpt-4o-mini")
    own = estimate("prompt", model="8b", gpu="h100", price=2.0)
    found = break_even(api, own)
    for volume in found.crossings[:6]:
        before, after = (
            estimate("prompt", api="openai:gpt-4o-mini", requests_per_month=v).total_usd.value
            - estimate("prompt", model="8b", gpu="h100", price=2.0, requests_per_month=v).total_usd.value
            for v in (volume * (1 - 1e-6), volume * (1 + 1e-6))
        )
        assert before * after < 0
    assert found.exists


def test_unknown_price_is_refused():
    with pytest.raises(InvalidInput, match="price-per-hour"):
        curve(estimate("prompt", model="7b", gpu="h20"))


ALONE = dict.fromkeys(
    (
        "server_share",
        "network_share",
        "residual_share",
        "interest_per_year",
        "support_per_year",
        "rack_usd_per_kw_month",
    ),
    0,
)
BARE = {f"owned_{name}": value for name, value in ALONE.items()}


def test_owning_against_renting_by_hand():
    """8,000 USD against 2 USD/h, electricity free and nothing beside: 4,000 hours; never when renting costs less."""
    device = accelerator("a100")

    assert owning(device, 8000, Price(per_hour=2.0), electricity=0.0, **BARE).hours.value == pytest.approx(4000)
    assert not owning(device, 8000, Price(per_hour=0.01), electricity=0.5).hours.known
    found = owning(device, 8000).hours
    assert found.low < found.high


def test_all_that_owning_costs_by_hand():
    """10,000 USD over 4 years: 12,000 with server and network, a tenth of it left; what waits draws power too."""
    asked = {"owned_server_share": 0.15, "owned_network_share": 0.05, "owned_residual_share": 0.1}
    asked |= {"owned_interest_per_year": 0.08, "owned_support_per_year": 0.05, "owned_rack_usd_per_kw_month": 150}
    found = owning(accelerator("a100"), 10_000, Price(per_hour=2.0), years=4, electricity=0.1, **asked)
    parts = {"purchase": 10_000, "server": 1_500, "network": 500, "residual value": -1_200}
    parts |= {"interest": 12_000 * 1.1 / 2 * 0.08 * 4, "support": 12_000 * 0.05 * 4, "rack": 0.7 * 150 * 48}
    idle = (400 * 0.12 + 300) * 1.58 / 1000 * 0.1
    parts |= {"electricity, idle": idle * 4 * 8760, "electricity of an hour of use": 400 * 0.66 * 1.58 / 1e4}

    assert {name: part.value for name, part in found.parts.items()} == pytest.approx(parts)
    whole = sum(parts.values()) - parts["electricity of an hour of use"]
    assert found.hours.value == pytest.approx(whole / (2 - 400 * 0.66 * 1.58 / 1e4))
    assert found.share.value == pytest.approx(found.hours.value / (4 * 8760))


def test_own_against_api_by_utilisation_by_hand():
    """At that share of a replica's capacity an hour of accelerators costs what the API asks for its requests."""
    asked = {"model": "8b", "gpu": "h100", "api": "openai:gpt-4o-mini", "price": 4.0}
    answer = estimate("prompt", **asked)
    used = answer.details["break_even_utilisation"]
    apart_s = next(node for node in used.walk() if node.name == "time between requests at capacity").value
    request = ((1800 - 1350) * 0.15 + 1350 * 0.075 + 250 * 0.60) / 1e6  # repeats are answered by both

    assert used.value == pytest.approx(4.0 / (3600 / apart_s * request))
    assert used.low < used.value < used.high


def test_nothing_asked_has_no_volume():
    with pytest.raises(InvalidInput, match="requests_per_month"):
        curve(estimate("prompt", model="7b", gpu="a100", requests_per_month=0))


def test_autoscaled_replicas_have_a_curve_too():
    """The floor is always on, the rest of the peak's replicas for a share of the time, as the estimate has it."""
    asked = {"model": "8b", "gpu": "h100", "billing": "autoscaled", "growth_per_month": 0.05, "contingency": 0.1}
    for least in (0, 1, 3):
        found = curve(estimate("prompt", **asked, least_replicas=least))
        for row, (cost, volume) in enumerate(zip(found.costs, found.requests.column, strict=True)):
            assert float(cost.at(volume)) == pytest.approx(found.total.column[row], rel=1e-9)
        for volume in (1.0, 4e6, 2.5e8):
            again = estimate("prompt", **asked, least_replicas=least, requests_per_month=volume)
            assert float(found.at(volume)) == pytest.approx(again.total_usd.value, rel=1e-9)


def test_every_two_approaches_once():
    answers = [estimate(stage, **OWN) for stage in ("prompt", "rag", "finetune")]
    found = pairs(answers)

    assert {frozenset((one.a, one.b)) for one in found} == {
        frozenset((a.title, b.title)) for a in answers for b in answers if a is not b
    }
    for one in found:  # the direction with an answer, where there is one
        a, b = (next(x for x in answers if x.title == title) for title in (one.a, one.b))
        assert one.exists or not break_even(b, a).exists


def test_share_of_its_years_that_repays_owning():
    """17,520 hours are half of four years."""
    found = owning(accelerator("a100"), 17_520, Price(per_hour=1.0), electricity=0.0, **BARE)

    assert found.share.value == pytest.approx(0.5)


OWNED = {"model": "8b", "price": Price(purchase=30_000.0, years=4)}


@pytest.mark.parametrize("billing", ["replicas", "autoscaled", "per-use"])
@pytest.mark.parametrize(("gpu", "count"), [("1xh100", 1), ("8xh100", 8)])
def test_owned_accelerators_cost_while_idle_under_every_billing(billing, gpu, count):
    """30,000 USD over 48 months are 625 a month for each that was named; electricity aside."""
    price = Price(purchase=30_000.0, years=4, electricity=0.0)
    answer = estimate("prompt", model="8b", gpu=gpu, price=price, billing=billing, **BARE)
    held = sum(line.horizon_usd.value for line in answer.lines if line.kind in ("serving", "idle", "spare"))
    other = sum(line.horizon_usd.value for line in answer.lines if line.kind in ("evaluation", "regression"))

    assert held + (other if count > 1 else 0) == pytest.approx(12 * 625 * count, rel=1e-9)


@pytest.mark.parametrize("stage", ["prompt", "finetune", "rag"])
def test_the_electricity_that_is_billed_is_the_energy_that_is_shown(stage):
    """What a tariff of 0.2 costs more than one of nothing, over 0.2, is the energy in kWh."""
    asked = {"model": "8b", "gpu": "8xh100"}
    billed, free = (estimate(stage, price=Price(purchase=30_000.0, electricity=rate), **asked) for rate in (0.2, 0.0))

    assert (billed.total_usd.value - free.total_usd.value) / 0.2 == pytest.approx(billed.energy_j.value / 3.6e6)


@pytest.mark.parametrize("gpu", ["h100", "8xh100"])
@pytest.mark.parametrize("more", [{}, {"contingency": 0.2, "growth_per_month": 0.1, "least_replicas": 2}])
def test_owned_accelerators_have_a_curve(gpu, more):
    """The total at every volume, and what is due if nothing is asked."""
    for stage in ("prompt", "finetune"):
        answer = estimate(stage, gpu=gpu, **OWNED, **more)
        found = curve(answer)
        assert answer.details["fixed_usd"].value == pytest.approx(float(found.at(0.0)))
        for volume in (1.0, 3e6, 5e7):
            again = estimate(stage, gpu=gpu, **OWNED, **more, requests_per_month=volume)
            assert float(found.at(volume)) == pytest.approx(again.total_usd.value, rel=1e-9)


def test_owned_replicas_of_several_accelerators_have_a_curve():
    """Eight accelerators are four replicas of two, or two of four, not sixteen or more."""
    asked = {"model": "llama-3.1-70b", "gpu": "8xh100", "price": OWNED["price"]}
    answer = estimate("prompt", **asked)
    found = curve(answer)

    spare = next(line for line in answer.lines if line.kind == "spare")
    assert 1 < spare.horizon_quantity.inputs["replicas"].inputs["accelerators"].value < 8
    for volume in (1.0, 3e6):
        again = estimate("prompt", **asked, requests_per_month=volume)
        assert float(found.at(volume)) == pytest.approx(again.total_usd.value, rel=1e-9)


def test_the_share_in_use_that_pays_does_not_move_with_retries():
    """Both the API and the accelerators answer what is sent twice."""
    asked = {"model": "8b", "gpu": "1xh100", "api": "openai:gpt-4o-mini", "price": 1.0}
    found = [estimate("prompt", **asked, retries=share).details["break_even_utilisation"].value for share in (0, 0.5)]

    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert found[0] == pytest.approx(0.0425, rel=0.05)


def test_rent_that_nobody_lists_must_be_given():
    with pytest.raises(InvalidInput, match="price-per-hour"):
        owning(accelerator("h20"), 2000)


@pytest.mark.parametrize("billing", ["replicas", "autoscaled", "per-use"])
@pytest.mark.parametrize("more", [{}, {"contingency": 0.2, "least_replicas": 2, "growth_per_month": 0.1}])
def test_fixed_is_what_is_due_if_nothing_is_asked(billing, more):
    """The curve at no volume at all; with one replica that carries all there is nothing variable in it."""
    answer = estimate("rag", model="7b", gpu="a100", billing=billing, requests_per_month=2e7, **more)
    parts = answer.details["fixed_usd"].value, answer.details["variable_usd"].value

    assert parts[0] == pytest.approx(float(curve(answer).at(0.0)))
    assert sum(parts) == pytest.approx(answer.total_usd.value)
    assert parts[1] > 0
    small = estimate("prompt", model="7b", gpu="a100", requests_per_month=10)
    assert small.details["variable_usd"].value == pytest.approx(0, abs=1e-9)
