"""What is remembered between questions never outlives the facts it rests on, and never grows without bound."""

import numpy as np
import pytest

from estimator import compare, quantities
from estimator.catalog.accelerators import accelerator
from estimator.catalog.files import use_facts
from estimator.paths import data_folder
from estimator.quantities import Design
from estimator.stages import question

ASKED = {"model": "8b", "gpu": "a100", "price": 2.0}


@pytest.fixture
def slower(tmp_path):
    """A folder of facts in which the A100 reads its memory at half the rate."""
    name = accelerator("a100").name
    text = (data_folder("hardware") / "accelerators" / f"{name}.toml").read_text(encoding="utf-8")
    rate = f"{accelerator('a100').memory_bandwidth_bytes_per_s / 1e9:.0f}e9"
    assert rate in text
    (tmp_path / "accelerators").mkdir()
    (tmp_path / "accelerators" / f"{name}.toml").write_text(text.replace(rate, "1000e9"), encoding="utf-8")
    yield tmp_path
    use_facts(None)


def test_other_facts_give_other_answers_and_back(slower):
    before = compare(**ASKED)["prompt"].details["ttft_s"], compare(**ASKED).baseline["tpot_s"].value
    use_facts(slower)
    changed = compare(**ASKED).baseline["tpot_s"].value
    use_facts(None)
    after = compare(**ASKED)["prompt"].details["ttft_s"], compare(**ASKED).baseline["tpot_s"].value

    assert changed > 1.3 * before[1]
    assert after[1] == before[1]
    assert after[0].value == before[0].value


def test_an_answer_remembered_is_the_answer_computed():
    compare(**ASKED, requests_per_month=12345)
    warm = compare(**ASKED, requests_per_month=54321)
    use_facts(None)
    for kept in (
        quantities._given_once,
        quantities._uncertain_once,
        quantities._derived_once,
        quantities._predicted_once,
    ):
        kept.cache_clear()
    cold = compare(**ASKED, requests_per_month=54321)

    for one, other in zip(warm.estimates, cold.estimates, strict=True):
        assert np.array_equal(one.total_usd.column, other.total_usd.column)


def test_memory_is_bounded_and_holds_no_random_draws():
    kept = (quantities._given_once, quantities._uncertain_once, quantities._derived_once, quantities._predicted_once)
    compare(**ASKED)
    sizes = [one.cache_info().currsize for one in kept]
    compare(**ASKED, design=Design.monte_carlo(50))

    assert [one.cache_info().currsize for one in kept] == sizes
    assert all(one.cache_info().maxsize == quantities.REMEMBERED for one in kept)
    assert question._predicted.cache_info().maxsize == 1024
