"""Inputs: every default is sourced and in bounds, names are unique, mistakes are one line."""

import pytest

from estimator.api import default_scenario
from estimator.errors import InvalidInput, UnknownName
from estimator.plans import Amount, Scenario, scenario
from estimator.quantities import FACTORS

DEFAULTS = default_scenario()
FIELDS = [(section, name, entry) for section, fields in DEFAULTS.items() for name, entry in fields.items()]


@pytest.mark.parametrize(("section", "name", "entry"), FIELDS, ids=[f"{s}.{n}" for s, n, _ in FIELDS])
def test_every_default_says_why(section, name, entry):
    assert entry["why"]
    if "low" in entry:
        assert entry["low"] <= entry["value"] <= entry["high"]


def test_names_are_unique_across_sections():
    names = [name for _, name, _ in FIELDS]

    assert len(names) == len(set(names))


def test_every_field_has_a_default_and_every_default_a_field():
    for section, field in Scenario.model_fields.items():
        assert set(field.annotation.model_fields) == set(DEFAULTS[section])


def test_every_uncertain_field_names_a_factor():
    for section, name, entry in FIELDS:
        if "low" in entry:
            extra = Scenario.model_fields[section].annotation.model_fields[name].json_schema_extra
            assert extra["factor"] in FACTORS, name


def test_a_given_number_has_no_spread_and_a_triple_has():
    plain = scenario(DEFAULTS, samples=2000)
    ranged = scenario(DEFAULTS, samples=(1000, 2000, 5000))

    assert plain.finetune.samples == Amount(2000.0, given=True)
    assert ranged.finetune.samples == Amount(2000.0, 1000.0, 5000.0, given=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"samples": -1}, "between 1"),
        ({"samples": float("nan")}, "between 1"),
        ({"samples": float("inf")}, "between 1"),
        ({"samples": "many"}, "must be a number"),
        ({"samples": (5000, 2000, 1000)}, "does not hold"),
        ({"epochs": 1e9}, "between"),
        ({"method": "lara"}, "Did you mean 'lora'"),
        ({"billing": "hourly"}, "must be one of"),
        ({"prefix_cache": "perhaps"}, "prefix_cache"),
        ({"horizon_months": 0}, "between 1"),
        ({"target_utilisation": 1.5}, "between"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(changes, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        scenario(DEFAULTS, **changes)
    assert "\n" not in str(caught.value)


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(UnknownName, match="'samples'"):
        scenario(DEFAULTS, sampels=3)
