"""Ranges from left-out errors: made-up sources whose spread is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.fitting.ranges import LEAST, LeftOut, fit_ranges, half_widths, judged, new

TRAIT = "mixture of experts"


def runs(seed=0, sources=20, each=30, spread=0.1, between=0.1, wider=1.0, group="decode"):
    """Sources with a bias each; in every second run the errors are `wider` times as large."""
    rng = np.random.default_rng(seed)
    made = []
    for source in range(sources):
        bias = rng.normal(0, between)
        for run in range(each):
            hard = run % 2
            error = (bias + rng.normal(0, spread)) * (wider if hard else 1.0)
            made.append(
                {"group": group, "source": f"s{source}", "cell": f"c{run % 5}", "error": error, "trust": 1.0}
                | {"traits": TRAIT if hard else ""}
            )
    return made


def test_a_range_holds_its_share_of_sources_that_nobody_has_seen():
    ranges = fit_ranges(LeftOut.of(runs(seed=1), [TRAIT]))
    down, up = half_widths(ranges, "decode")
    fresh = np.array([run["error"] for run in runs(seed=2, sources=200)])

    assert np.mean((-down <= fresh) & (fresh <= up)) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_leaving_sources_out_says_so_too(level):
    found = judged(LeftOut.of(runs(seed=3, sources=40), [TRAIT]))

    assert found.inside[level].mean() == pytest.approx(level, abs=0.06)


@pytest.mark.parametrize(("between", "spread"), [(0.3, 0.1), (0.2, 0.2), (0.1, 0.3)])
def test_a_range_of_few_sources_holds_whatever_share_of_the_spread_is_between_them(between, spread):
    """Fourscore of a hundred in all three; 0.75, 0.82 and 0.85 where t has the freedom of the sources alone."""
    held = []
    for seed in range(40):
        taught = fit_ranges(LeftOut.of(runs(seed, 5, 8, spread, between), []), between=["decode"])
        down, up = half_widths(taught, "decode")
        fresh = np.array([run["error"] for run in runs(1000 + seed, 60, 4, spread, between)])
        held.append(np.mean((-down <= fresh) & (fresh <= up)))

    assert np.mean(held) == pytest.approx(0.8, abs=0.045)


def test_what_is_harder_to_foretell_gets_the_wider_range():
    ranges = fit_ranges(LeftOut.of(runs(seed=4, wider=2.0), [TRAIT]))

    assert ranges["wider"][TRAIT] == pytest.approx(2.0, rel=0.15)
    easy, hard = half_widths(ranges, "decode"), half_widths(ranges, "decode", [TRAIT])
    assert hard == pytest.approx([end * ranges["wider"][TRAIT] for end in easy])


def test_nothing_unusual_makes_a_range_narrower():
    ranges = fit_ranges(LeftOut.of(runs(seed=5, wider=0.5), [TRAIT]))

    assert ranges["wider"][TRAIT] == 1.0


def test_factors_are_shared_by_groups_whose_errors_differ():
    rare = runs(seed=6, sources=6, spread=0.4, between=0.4, wider=2.0, group="ttft")
    both = LeftOut.of(runs(seed=7, wider=2.0) + rare, [TRAIT])
    ranges = fit_ranges(both)

    assert ranges["wider"][TRAIT] == pytest.approx(2.0, rel=0.15)
    assert ranges["groups"]["ttft"]["up"] > 2 * ranges["groups"]["decode"]["up"]


def test_a_large_source_does_not_drown_the_others():
    """Of 1,000 runs without error and three sources that are off by 0.3, most of the mass is not one source's."""
    calm = [dict(run, error=0.0, source="calm", cell=f"c{n % 40}") for n, run in enumerate(runs(sources=20, each=50))]
    off = [dict(run, error=0.3) for run in runs(sources=3, each=60)]

    _, up = half_widths(fit_ranges(LeftOut.of(calm + off, [])), "decode")
    assert up > 0.3


def test_few_units_widen_and_err_to_both_sides():
    many, few = (fit_ranges(LeftOut.of(runs(seed=8, sources=count, each=200), []))["groups"] for count in (40, 3))
    assert few["decode"]["units"] < 5 < many["decode"]["units"]
    assert few["decode"]["down"] == few["decode"]["up"]

    one_sided = [dict(run, error=abs(run["error"])) for run in runs(seed=9, sources=3)]
    ends = fit_ranges(LeftOut.of(one_sided, []))["groups"]["decode"]
    assert ends["down"] == ends["up"]


def test_runs_that_are_trusted_less_move_the_ends_less():
    good = runs(seed=10)
    bad = [dict(run, error=2.0) for run in good[::3]]

    full = fit_ranges(LeftOut.of(good + bad, []))["groups"]["decode"]["up"]
    light = fit_ranges(LeftOut.of(good + [dict(run, trust=0.01) for run in bad], []))["groups"]["decode"]["up"]
    assert light < full / 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.05, 3.0), sources=st.integers(1, 12))
def test_ranges_scale_with_the_errors_and_are_never_empty(seed, scale, sources):
    small = runs(seed, sources, each=8, spread=0.3, between=0.3)
    large = [dict(run, error=run["error"] * scale) for run in small]
    one, other = (fit_ranges(LeftOut.of(made, []))["groups"]["decode"] for made in (small, large))

    for end in ("down", "up"):
        assert other[end] >= LEAST
        if min(one[end], other[end]) > LEAST:
            assert other[end] == pytest.approx(one[end] * scale, abs=2e-3)


def test_new_names_are_traits():
    seen = {"engines": ["vllm"], "accelerators": ["l4"]}

    assert new(seen, engine="vllm", accelerator="l4") == ()
    assert new(seen, engine="mine", accelerator="l5") == ("new engine", "new accelerator")
