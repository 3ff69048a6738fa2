"""How work is divided: worked examples, and what holds for any division."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.formulas import parallelism

counts = st.integers(1, 64)


@pytest.mark.formula
def test_interleaving_divides_the_bubble():
    """arXiv:2104.04473 section 2.2.2: (p - 1) / m, divided by v."""
    plain, interleaved = parallelism.bubble_fraction(12, 96), parallelism.bubble_fraction(12, 96, 4)

    assert plain == pytest.approx(11 / 96)
    assert interleaved == pytest.approx(plain / 4)


@pytest.mark.formula
def test_first_stage_holds_all_layers():
    """arXiv:2205.05198 section 4.2.3: p micro-batches of L/p layers; L (1 + (p-1)/(p m)) when interleaved."""
    assert parallelism.layers_in_flight(105, 35) == 105
    assert parallelism.layers_in_flight(105, 35, 3) == pytest.approx(105 * (1 + 34 / (35 * 3)))


@given(layers=st.integers(1, 200), pp=counts, vpp=st.integers(1, 8))
def test_the_fullest_stage_holds_its_share(layers, pp, vpp):
    """At least the mean, at most one chunk's layer more for each chunk."""
    fullest = parallelism.stage_layers(layers, pp, vpp)

    assert layers / pp <= fullest + 1e-9
    assert fullest < layers / pp + vpp


@given(batch=st.integers(1, 10_000), micro=counts, dp=counts)
def test_no_sequence_is_dropped(batch, micro, dp):
    """All micro-batches together cover the batch."""
    assert parallelism.micro_batches(batch, micro, dp) * micro * dp >= batch


@given(group=counts, stride=counts)
def test_a_ring_is_never_faster_than_its_link(group, stride):
    """Inside a node the link, beyond it at most the link."""
    rate = parallelism.group_bytes_per_s(group, stride, 8, 300e9, 25e9)

    assert 25e9 <= rate <= 300e9
    assert (rate == 300e9) == (group * stride <= 8)


def test_arrays_broadcast():
    """A column of pipelines against a row of chunks."""
    layers = parallelism.stage_layers(96, np.array([[1], [8]]), np.array([1, 2, 4]))

    assert layers.tolist() == [[96, 96, 96], [12, 12, 12]]
