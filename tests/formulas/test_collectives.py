"""Collectives: NCCL's traffic, what spans nodes, and what must hold for any group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.accelerators import accelerator
from estimator.catalog.efficiency import collective_efficiency
from estimator.formulas.collectives import (
    CollectiveEfficiency,
    CollectiveRate,
    all_gather_s,
    all_reduce_s,
    all_reduce_traffic,
    all_to_all_s,
    collective_s,
    one_way_traffic,
    point_to_point_s,
    reduce_scatter_s,
)

IDEAL = CollectiveRate(launch_s=0.0, hop_s=0.0, bytes_per_s=4e11)
NODES = CollectiveEfficiency(IDEAL, IDEAL, IDEAL, IDEAL, IDEAL, 8, 5e10, 1e-5)
OPERATIONS = (all_reduce_s, all_gather_s, reduce_scatter_s, all_to_all_s)
message = st.floats(1, 1e11)
ranks = st.integers(2, 1024)


@pytest.mark.formula
def test_bus_bandwidth_factors_are_those_of_nccl_tests() -> None:
    """nccl-tests doc/PERFORMANCE.md: all-reduce 2(n-1)/n, all-gather, reduce-scatter, all-to-all (n-1)/n."""
    assert all_reduce_traffic(1.0, [2, 4, 8]) == pytest.approx([1.0, 1.5, 1.75])
    assert one_way_traffic(1.0, [2, 4, 8]) == pytest.approx([0.5, 0.75, 0.875])


def test_ideal_all_reduce_in_a_node_is_its_traffic_over_the_link() -> None:
    assert all_reduce_s(8e9, 8, NODES) == pytest.approx(14e9 / 4e11)


def test_one_rank_sends_nothing() -> None:
    for operation in OPERATIONS:
        assert operation(1e9, 1, NODES) == 0.0


def test_between_nodes_the_members_share_their_networks() -> None:
    """Sixteen ranks on two nodes: 2 x 15/16 of the message, over eight networks; a tree of two steps."""
    assert all_reduce_s(8e9, 16, NODES) == pytest.approx(max(1.875 * 8e9 / (8 * 5e10), 14e9 / 4e11) + 2 * 1e-5)
    assert all_reduce_s(8e9, 16, NODES, ranks_in_node=1) == pytest.approx(1.875 * 8e9 / 5e10 + 8 * 1e-5)


@pytest.mark.parametrize("operation", [all_gather_s, reduce_scatter_s])
def test_one_way_is_half_of_an_all_reduce_by_hand(operation) -> None:
    """7/8 of the message in a node; on two nodes 15/16 of it over eight networks, one step between them."""
    assert operation(8e9, 8, NODES) == pytest.approx(7e9 / 4e11)
    assert operation(8e9, 16, NODES) == pytest.approx(max(0.9375 * 8e9 / (8 * 5e10), 7e9 / 4e11) + 1e-5)
    assert operation(8e9, 16, NODES, ranks_in_node=1) == pytest.approx(0.9375 * 8e9 / 5e10 + 15 * 1e-5)


def test_all_to_all_sends_each_part_over_its_own_way() -> None:
    assert all_to_all_s(8e9, 16, NODES) == pytest.approx(8e9 * 8 / 16 / 5e10 + 1e-5)


def test_a_neighbour_is_nearer_than_another_node() -> None:
    near, far = point_to_point_s(1e9, NODES, across_nodes=np.array([False, True]))

    assert near == pytest.approx(1e9 / 4e11)
    assert far == pytest.approx(1e9 / 5e10 + 1e-5)


@given(
    message, ranks, st.floats(1, 100), st.sampled_from(OPERATIONS), st.sampled_from(["a100", "h100", "l40s", "tpu-v5e"])
)
def test_longer_messages_take_longer(size: float, group: int, factor: float, operation: object, name: str) -> None:
    efficiency = collective_efficiency(accelerator(name))

    assert operation(size * factor, group, efficiency) >= operation(size, group, efficiency) * (1 - 1e-12)  # type: ignore[operator]


@given(st.lists(st.tuples(message, ranks), min_size=1, max_size=5), st.sampled_from(OPERATIONS))
def test_arrays_and_scalars_agree(cases: list[tuple[float, int]], operation: object) -> None:
    efficiency = collective_efficiency(accelerator("b200"))
    sizes, groups = np.array(cases).T

    together = operation(sizes, groups, efficiency)  # type: ignore[operator]

    np.testing.assert_allclose(together, [operation(*case, efficiency) for case in cases], rtol=1e-12)  # type: ignore[operator]


@given(message, st.integers(2, 8))
def test_an_engines_own_all_reduce_is_used_only_where_it_helps(size: float, group: int) -> None:
    efficiency = collective_efficiency(accelerator("h100"))

    assert all_reduce_s(size, group, efficiency, custom=True) <= all_reduce_s(size, group, efficiency)


@given(message, ranks, st.floats(0, 2))
def test_latency_and_traffic_bound_one_operation(traffic: float, group: int, ramp: float) -> None:
    rate = CollectiveRate(5e-6, 1e-6, 3e11, ramp)
    latency, moving = 5e-6 + 1e-6 * (group - 1), traffic / 3e11

    time = collective_s(traffic, group, rate)

    assert (latency + moving) * (1 - 1e-12) <= time <= (np.sqrt(latency) + np.sqrt(moving)) ** 2 * (1 + 1e-12)
