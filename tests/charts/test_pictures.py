"""What pictures say is what the answers say, and no label covers another."""

import json
from itertools import combinations

import numpy as np
import pytest

from estimator import compare, estimate, training_step
from estimator.charts import decision, draw, grammar, work
from estimator.charts.doubt import bridge, tornado
from estimator.decide.break_even import curve
from estimator.errors import UnknownName
from estimator.sensitivity import sensitivity
from estimator.shown import in_currency

HOSTED = {"api": "openai:gpt-4o-mini", "model": "8b", "gpu": "h100", "price": 2.0}


def rows(spec, *fields):
    """Rows of data anywhere in a picture that have these fields."""
    if isinstance(spec, dict):
        own = [row for row in spec.get("data", {}).get("values", []) if set(fields) <= set(row)]
        return own + [row for key, part in spec.items() if key != "data" for row in rows(part, *fields)]
    return [row for part in spec for row in rows(part, *fields)] if isinstance(spec, list) else []


def texts(spec):
    """All words that stand in a picture beside its title and axes."""
    return [row["text"] for row in rows(spec, "text")]


def volume():
    answers = [estimate(stage, **HOSTED) for stage in ("prompt", "rag", "finetune")]
    return decision.cost_over_volume([*answers, estimate("prompt", **{**HOSTED, "api": None})])


def test_no_end_of_a_range_falls_as_the_volume_grows():
    """Whole replicas move the scenarios by jumps: at 4 million requests the low end stood below that of 3 million."""
    one = curve(estimate("prompt", model="7b", gpu="a100"))
    volumes = np.geomspace(1e3, 1e8, 400)
    low, high = decision._band(one, volumes)

    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    assert (low <= one.at(volumes)).all()
    assert (one.at(volumes) <= high).all()


def test_ranges_that_leave_the_picture_have_an_arrow_not_an_end():
    answers = [estimate("prompt", api="openai:gpt-4o-mini"), estimate("prompt", model="8b", gpu="h100", price=2.0)]

    assert "triangle-right" in json.dumps(decision.cost_over_volume(answers, most=1e7))


def test_time_against_money_counts_the_starts_of_runs():
    """Eight that train in seconds are paid for minutes of starting: not as cheap as one."""
    one, eight = (estimate("finetune", model="8b", gpu=f"{count}xh100") for count in (1, 8))
    spec = work.pareto([("1 x h100", one), ("8 x h100", eight)], "fine-tuning of 8b")
    drawn = [row["y"] for row in rows(spec, "device")]

    for answer in (one, eight):
        paid = sum(
            line.usd.value for line in answer.lines if line.kind in ("training", "start") and line.phase == "one-off"
        )
        assert min(abs(usd / paid - 1) for usd in drawn) < 1e-9
    assert "how many accelerators" in json.dumps(spec["title"])


def test_numbers_of_crossings_do_not_cover_each_other():
    rings = [
        (one["encoding"]["x"]["value"], one["encoding"]["y"]["value"])
        for one in volume()["layer"]
        if one["mark"]["type"] == "point" and one["mark"].get("size") == 300
    ]

    assert len(rings) > 3
    assert all(np.hypot(a[0] - b[0], a[1] - b[1]) > 20 for a, b in combinations(rings, 2))


def test_names_of_curves_keep_apart():
    assert grammar.apart([5.0, 5.0, 5.0], 15, 0.0, 100.0) == [0.0, 15.0, 30.0]
    assert grammar.apart([99.0, 98.0], 15, 0.0, 100.0) == [100.0, 85.0]


def test_words_beside_points_cover_nothing():
    points = [(50.0 + place % 4, 50.0 + place // 4) for place in range(8)]
    found = grammar.beside(points, ["12"] * 8, 200.0, line=[(0.0, 50.0), (200.0, 50.0)])
    boxes = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(points, found, strict=True)]

    assert all(abs(a[0] - b[0]) > 11 or abs(a[1] - b[1]) > 11 for a, b in combinations(boxes, 2))


def test_an_approach_says_where_it_is_served_if_not_all_are_at_one_place():
    titles = [one.title for one in decision._told_apart([estimate(stage, **HOSTED) for stage in ("rag", "finetune")])]

    assert titles == ["RAG (openai API)", "Fine-tuning (h100-sxm)"]


def test_parts_of_a_step_are_in_units_that_suit_them():
    step = training_step(model="8b", gpu="8xa100", method="lora", seq_len=2048, global_batch=64, micro_batch=2)
    shown = texts(work.time_and_memory("a step", step, 80 * 2**30))

    assert any(text.endswith("us") for text in shown)
    assert not any("0.000" in text for text in shown)


def test_every_approach_has_a_published_effect():
    spec = decision.spectrum(decision.estimates_of(compare(model="7b", gpu="a100")))

    assert sum(text.startswith("Measured elsewhere") for text in texts(spec)) >= 4
    assert "no published effect" not in json.dumps(spec)


def test_pictures_are_in_the_currency_asked_for():
    answer = in_currency(estimate("rag", model="7b", gpu="a100"), "EUR=0.92@2026-11-01")
    spec = json.dumps(decision.where_it_goes(answer))

    assert "EUR " in spec
    assert "$" not in spec.replace("$schema", "")


def test_a_bridge_ends_where_the_steps_lead():
    found = rows(bridge("a", ("A", 40.0), [("people", 5.0), ("idle", -12.0)], "B", "USD")["layer"][0], "kind")

    assert found[-1]["to"] == 33.0
    assert [row["kind"] for row in found] == ["total", "more", "less", "total"]


def test_a_tornado_has_the_widest_on_top_and_both_ends():
    spec = tornado(sensitivity("finetune", model="7b", gpu="a100", vary=("samples", "attempts")))
    ends = {row["place"]: row["at"] for row in rows(spec, "end")}

    assert list(ends) == [0, 1] or list(ends) == [0]
    assert {"2k", "12k"} <= set(texts(spec))


def test_pictures_of_files_have_paper_and_ink_and_those_of_pages_take_theirs():
    pytest.importorskip("vl_convert")
    spec = bridge("a", ("A", 40.0), [("people", 5.0)], "B", "USD")

    assert "currentColor" in draw.svg(spec)
    assert "currentColor" not in draw.svg(draw.themed(spec, "dark"))
    assert draw.bundle(spec)[draw.MIME]["config"]["background"] == "#ffffff"
    with pytest.raises(UnknownName):
        draw.themed(spec, "drak")
