"""The robust fit finds what made the data, shrugs off outliers, and folds as documented."""

import numpy as np
import pytest

from estimator.fitting.robust import Prior, fit, folds, source_weights


def test_known_parameters_are_found_despite_an_outlier():
    """y = a x^b with 2 % noise and one value ten times too large."""
    rng = np.random.default_rng(1)
    x = np.linspace(1, 10, 40)
    measured = 3.0 * x**0.5 * np.exp(rng.normal(0, 0.02, x.size))
    measured[7] *= 10

    found = fit(
        lambda p: np.log(p["a"] * x ** p["b"] / measured),
        [Prior("a", 1.0, 1.0), Prior("b", 1.0, 1.0)],
        np.ones(x.size),
        noise=0.05,
    )

    assert found["a"] == pytest.approx(3.0, rel=0.05)
    assert found["b"] == pytest.approx(0.5, rel=0.05)


def test_what_the_data_do_not_say_stays_as_believed():
    """A parameter that moves nothing keeps its prior."""
    found = fit(lambda p: np.log(np.full(5, p["a"]) / 2.0), [Prior("a", 1.0, 1.0), Prior("idle", 7.0, 0.5)], np.ones(5))

    assert found["idle"] == pytest.approx(7.0)


def test_large_sources_do_not_drown_small_ones():
    """A source of 100 runs weighs ten times a source of one, not a hundred times."""
    weights = source_weights(["big"] * 100 + ["small"], [1.0] * 101)

    assert weights[:100].sum() == pytest.approx(10 * weights[100])


def test_small_sources_are_one_fold_and_a_dominant_one_is_split():
    """By LLM and accelerator."""
    sources = ["big"] * 12 + ["mid"] * 5 + ["a"] * 2 + ["b"]
    pairs = ["x/h100"] * 6 + ["y/h100"] * 6 + ["z/a100"] * 8

    found = folds(sources, pairs)

    assert set(found) == {"big/x/h100", "big/y/h100", "mid", "small"}
    assert found.count("small") == 3
