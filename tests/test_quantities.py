"""Ranges, drivers and the closed form against brute force."""

import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.quantities import Design, Quantity, derive, given, total, uncertain

SPREAD = st.floats(1.01, 3.0)
VALUE = st.floats(1e-3, 1e9)


def ranged(name: str, value: float, spread: float, factor: str, design: Design | None = None) -> Quantity:
    """A figure that 80 % of outcomes put within value / spread to value x spread."""
    extra = {} if design is None else {"design": design}
    return given(name, value, "1", low=value / spread, high=value * spread, factor=factor, **extra)


def test_one_factor_entering_twice_moves_both():
    price = ranged("price", 2.0, 2.0, "accelerator price")
    hours = given("hours", 10.0, "h")
    once = derive("once", "USD", product, price=price, hours=hours)
    both = total("both", "USD", [once, once])

    assert (both.low, both.high) == pytest.approx((20.0, 80.0))


def test_independent_factors_partly_cancel_in_a_sum():
    a = ranged("a", 10.0, 2.0, "traffic")
    b = ranged("b", 10.0, 2.0, "people's effort")
    both = total("both", "USD", [a, b])

    assert 20 / both.low < 2.0
    assert both.high / 20 < 2.0


@hypothesis_given(VALUE, VALUE, SPREAD, SPREAD)
def test_range_holds_the_value_and_grows_with_the_spread(x, y, s, t):
    narrow = derive("q", "1", quotient, dividend=ranged("x", x, s, "traffic"), divisor=ranged("y", y, t, "power"))
    wide = derive("q", "1", quotient, dividend=ranged("x", x, s * 1.5, "traffic"), divisor=ranged("y", y, t, "power"))

    assert narrow.low <= narrow.value <= narrow.high
    assert wide.high >= narrow.high * (1 - 1e-12)
    assert wide.low <= narrow.low * (1 + 1e-12)


def model(design: Design) -> Quantity:
    """A small budget: hours x price of one kind, people of another, both with errors."""
    price = given("price", 2.8, "USD/h", low=1.9, high=4.2, factor="accelerator price", design=design)
    hours = uncertain(given("hours", 1e4, "h", design=design), "training time", 0.25, 0.3)
    effort = given("effort", 200.0, "h", low=120.0, high=340.0, factor="people's effort", design=design)
    rate = given("rate", 85.0, "USD/h", low=60.0, high=120.0, factor="people's rate", design=design)
    machines = derive("machines", "USD", product, price=price, hours=hours)
    people = derive("people", "USD", product, effort=effort, rate=rate)
    return derive("total", "USD", sum_of, machines=machines, people=people)


def test_closed_form_is_within_5_percent_of_brute_force():
    closed, brute = model(Design.one_at_a_time()), model(Design.monte_carlo(200_000, seed=1))

    assert closed.low == pytest.approx(brute.low, rel=0.05)
    assert closed.high == pytest.approx(brute.high, rel=0.05)


def test_other_levels_follow_the_normal_quantiles():
    low80, high80 = model(Design.one_at_a_time()).interval(0.8)
    low95, high95 = model(Design.one_at_a_time()).interval(0.95)
    value = model(Design.one_at_a_time()).value

    assert np.log(high95 / value) / np.log(high80 / value) == pytest.approx(1.959964 / 1.2815516, rel=1e-5)
    assert low95 < low80


def test_drivers_are_shares_and_name_the_largest_first():
    shares = model(Design.one_at_a_time()).drivers()

    assert sum(shares.values()) == pytest.approx(1.0)
    assert next(iter(shares)) == "accelerator price"


def test_unknown_stays_unknown():
    cost = derive("cost", "USD", product, price=given("price", np.nan, "USD/h"), hours=given("hours", 3.0, "h"))

    assert not cost.known
    assert str(cost) == "unknown"
    assert cost.to_dict()["value"] is None


def test_a_difference_around_zero_has_a_range_in_its_own_unit():
    a = ranged("a", 10.0, 1.5, "traffic")
    b = ranged("b", 10.5, 1.5, "people's effort")
    gap = derive("gap", "1", lambda a, b: a - b, a=a, b=b)

    assert gap.low < gap.value < 0 < gap.high


def test_what_is_never_below_zero_has_no_range_below_it():
    """Money that steps from nothing to something, such as a second replica's."""
    load = ranged("load", 1.5, 4.0, "traffic")
    more = derive("more", "USD", lambda load: 100 * np.maximum(np.ceil(load) - 1, 0), load=load)

    assert more.column.min() == 0 < more.value
    assert more.low == more.interval(0.95)[0] == 0
    assert more.high > more.value


def test_samples_are_seeded():
    first, second = model(Design.monte_carlo(100, seed=7)), model(Design.monte_carlo(100, seed=7))

    assert (first.column == second.column).all()
