"""Layouts that experts ran at great cost rank near the best the search finds."""

import sys

import pytest

from estimator.paths import PACKAGE

BENCHMARKS = PACKAGE.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark_layouts():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import layouts
    finally:
        sys.path.pop(0)
    return layouts


@pytest.fixture(scope="module")
def runs(benchmark_layouts):
    return list(benchmark_layouts.known_runs())


def test_a_runs_own_layout_is_within_a_tenth_of_the_best_of_its_time(runs):
    assert len(runs) >= 18
    for known in runs:
        assert known.holds, f"{known.run.id}: {(known.then or known.now).ratio:.2f}"


def test_llama_3_holds_with_everything_of_today(runs):
    llama = [known for known in runs if known.run.arch.name == "llama-3.1-405b"]

    assert {int(known.run.plan.seq_len) for known in llama} == {8192, 131_072}
    for known in llama:
        assert known.now.ratio <= 1.10, known.run.id


def test_no_layout_that_is_found_needs_more_than_there_is(runs):
    for known in runs:
        for found in filter(None, (known.then, known.now)):
            assert found.best.figures["memory_bytes"] <= known.run.cluster.accelerator.memory_bytes
            assert found.rank <= found.of + 1


def test_the_table_has_every_run(runs):
    table = (BENCHMARKS / "layouts.md").read_text(encoding="utf-8")
    for known in runs:
        assert f"({known.run.id})" in table, "run python benchmarks/layouts.py"
