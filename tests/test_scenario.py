"""Inputs: every default is reasoned and in bounds, names are unique, mistakes are one line."""

import tomllib
from pathlib import Path

import pytest

from estimator import estimate
from estimator.errors import InvalidInput, UnknownName
from estimator.paths import presets
from estimator.quantities import FACTORS
from estimator.scenario import default_scenario, scenario

DEFAULT = default_scenario()
CONTENT = tomllib.loads((presets() / "scenario.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DEFAULT.names())
def test_every_default_says_why(name):
    entry = DEFAULT.amounts.get(name) or DEFAULT.choices[name]

    assert entry.why


@pytest.mark.parametrize(("name", "entry"), DEFAULT.amounts.items(), ids=DEFAULT.amounts)
def test_every_amount_is_within_its_bounds(name, entry):
    ends = [end for end in (entry.low, entry.value, entry.high) if end is not None]

    assert entry.unit
    assert ends == sorted(ends)
    assert entry.least <= ends[0]
    assert ends[-1] <= entry.most
    assert (entry.low is None) == (entry.high is None)
    assert entry.low is None or entry.factor in FACTORS, name


@pytest.mark.parametrize(("name", "entry"), DEFAULT.choices.items(), ids=DEFAULT.choices)
def test_every_choice_is_among_its_choices(name, entry):
    assert not entry.choices or entry.value in entry.choices, name


def test_names_are_unique_across_sections():
    names = [name for fields in CONTENT.values() for name in fields]

    assert len(names) == len(set(names))


def test_a_given_number_has_no_spread_and_a_triple_has():
    plain = scenario(samples=2000).amount("samples")
    ranged = scenario(samples=(1000, 2000, 5000)).amount("samples")

    assert (plain.value, plain.low, plain.given) == (2000.0, None, True)
    assert (ranged.low, ranged.value, ranged.high) == (1000.0, 2000.0, 5000.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"samples": -1}, "between 1"),
        ({"samples": float("nan")}, "between 1"),
        ({"samples": float("inf")}, "between 1"),
        ({"samples": "many"}, "must be a number"),
        ({"samples": None}, "must be a number"),
        ({"samples": [1, 2]}, "must be a number"),
        ({"samples": (5000, 2000, 1000)}, "does not hold"),
        ({"epochs": 1e9}, "between"),
        ({"method": "lara"}, "Did you mean 'lora'"),
        ({"method": 3}, "must be a name"),
        ({"billing": "hourly"}, "must be one of"),
        ({"prefix_cache": "perhaps"}, "true or false"),
        ({"horizon_months": 0}, "between 1"),
        ({"target_utilisation": 1.5}, "between"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(changes, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        scenario(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sampels", "rag.samples", "finetune.nothing"])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(UnknownName, match="catalog inputs"):
        scenario(**{name: 3})


@pytest.mark.parametrize("name", ["horizon_months", "least_replicas"])
def test_what_comes_in_whole_numbers_is_refused_in_parts(name: str) -> None:
    """A month and a half of whole replicas was priced as one month of them."""
    with pytest.raises(InvalidInput, match="whole number"):
        scenario(**{name: 1.5})
    assert scenario(**{name: 2.0}).amount(name).value == 2


def test_a_section_may_stand_before_the_name():
    assert scenario(**{"finetune.samples": 7}).amount("samples").value == 7


@pytest.mark.parametrize("half", ["{low = 1, high = 3}", "{value = 2, low = 1}", "{value = 2, high = 3}"])
def test_half_a_range_in_a_file_is_refused(half: str, tmp_path: Path) -> None:
    """An end that cannot be used is not dropped silently."""
    file = tmp_path / "half.toml"
    file.write_text(f"samples = {half}")
    with pytest.raises(InvalidInput, match="low, value and high"):
        scenario(str(file))


@pytest.mark.parametrize("raw", ["5e-324", 1e-31, (1e-300, 1, 2)])
def test_an_amount_is_nothing_or_can_be_divided_by(raw):
    with pytest.raises(InvalidInput, match="0 or 1e-30 at least"):
        estimate("rag", model="7b", gpu="a100", load_vectors_per_s=raw)
