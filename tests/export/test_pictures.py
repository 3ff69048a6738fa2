"""What pictures say is what the answers say."""

import numpy as np
import pytest

from estimator import estimate, training_step
from estimator.decide.break_even import curve

pytest.importorskip("matplotlib")
from estimator.export import pictures


def test_no_end_of_a_range_falls_as_the_volume_grows():
    """Whole replicas move the scenarios by jumps: at 4 million requests the low end stood below that of 3 million."""
    one = curve(estimate("prompt", model="7b", gpu="a100"))
    volumes = np.geomspace(1e3, 1e8, 400)
    low, high = pictures._band(one, volumes)

    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    assert (low <= one.at(volumes)).all()
    assert (one.at(volumes) <= high).all()


def test_ranges_that_leave_the_picture_have_an_arrow_not_an_end():
    answers = [estimate("prompt", api="openai:gpt-4o-mini"), estimate("prompt", model="8b", gpu="h100", price=2.0)]
    figure = pictures.cost_over_volume(answers, most=1e7)
    markers = {line.get_marker() for line in figure.axes[0].lines}

    assert ">" in markers


def test_time_against_money_counts_the_starts_of_runs():
    """Eight that train in seconds are paid for minutes of starting: not as cheap as one."""
    one, eight = (estimate("finetune", model="8b", gpu=f"{count}xh100") for count in (1, 8))
    figure = pictures.pareto([("1 x h100", one), ("8 x h100", eight)], "fine-tuning of 8b")
    drawn = sorted(usd for line in figure.axes[0].lines for usd in line.get_ydata())

    for answer in (one, eight):
        paid = sum(
            line.usd.value for line in answer.lines if line.kind in ("training", "start") and line.phase == "one-off"
        )
        assert min(abs(usd / paid - 1) for usd in drawn) < 1e-9
    assert "how many accelerators" in figure.axes[0].get_title(loc="left")


def test_gains_have_their_sign():
    assert pictures._effect("gain_pp/rag/mmlu: 6.8 percentage point (mean) [a paper]") == (
        "Measured elsewhere (rag, mmlu): +6.8 percentage points (mean)"
    )


def test_numbers_of_crossings_do_not_cover_each_other():
    asked = {"api": "openai:gpt-4o-mini", "model": "8b", "gpu": "h100", "price": 2.0}
    answers = [estimate(stage, **asked) for stage in ("prompt", "rag", "finetune")]
    figure = pictures.cost_over_volume([*answers, estimate("prompt", **{**asked, "api": None})])
    figure.canvas.draw()
    numbers = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    boxes = [text.get_window_extent() for text in numbers]

    assert len(numbers) > 3
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[place + 1 :])


def test_an_approach_says_where_it_is_served_if_not_all_are_at_one_place():
    asked = {"api": "openai:gpt-4o-mini", "model": "8b", "gpu": "h100", "price": 2.0}
    titles = [one.title for one in pictures._told_apart([estimate(stage, **asked) for stage in ("rag", "finetune")])]

    assert titles == ["RAG (openai API)", "Fine-tuning (h100-sxm)"]


def test_parts_of_a_step_are_in_units_that_suit_them():
    step = training_step(model="8b", gpu="8xa100", method="lora", seq_len=2048, global_batch=64, micro_batch=2)
    figure = pictures.time_and_memory("a step", step, 80 * 2**30)
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]

    assert any(text.endswith("us") for text in shown)
    assert not any("0.000" in text for text in shown)
