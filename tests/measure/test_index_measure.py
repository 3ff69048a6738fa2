"""Measuring vector indexes: what is built, what is fitted, what is refused. Small: how long it takes is not judged."""

import importlib
import warnings
from dataclasses import replace

import numpy as np
import pytest

from estimator.catalog.retrieval import fitted_rates, host, measured_host
from estimator.errors import InvalidInput, MissingExtra
from estimator.fitting.retrieval import GraphTimes, fit_rates, left_out_errors
from estimator.measure import index
from estimator.predict.retrieval import IndexPlan, query_s

SMALL = ((400, 16, 4, 16), (800, 16, 8, 16))


def installed(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # faiss's bindings use what Python has deprecated
        try:
            importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_measuring_gives_a_machine_that_predictions_use(library, tmp_path):
    installed(library)
    pytest.importorskip("scipy")
    runs = index.measure(library, budget_s=5.0, setups=SMALL)

    index.save(runs, tmp_path / "machine.json")
    machine = measured_host(tmp_path / "machine.json")

    assert {run.what for run in runs} == {"build", "query", "scan", "assign"}
    assert all(run.seconds > 0 for run in runs)
    assert machine.basis == "measured"
    assert machine == index.this_machine(runs)
    assert query_s(IndexPlan(800, 16), machine) > 0


def test_the_machine_at_hand_is_known_once_measured(tmp_path, monkeypatch):
    installed("faiss")
    pytest.importorskip("scipy")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="not measured"):
        host("local")

    index.save(index.measure("faiss", budget_s=0.0, setups=SMALL))

    assert host("local").rates is not None


def test_a_small_budget_still_measures_the_first_index():
    installed("faiss")
    runs = index.measure("faiss", budget_s=0.0, setups=SMALL)

    assert {run.vectors for run in runs} == {400}


def test_data_are_seeded_unit_vectors():
    points = index.clustered(300, 24, seed=1)

    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    assert np.array_equal(points, index.clustered(300, 24, seed=1))
    assert not np.array_equal(points, index.clustered(300, 24, seed=2))


def test_a_fit_finds_the_constants_that_made_the_times():
    pytest.importorskip("scipy")
    truth = fitted_rates("library")
    truth = truth._replace(bytes_per_s=3 * truth.bytes_per_s, overhead_bytes=2 * truth.overhead_bytes)
    times = made_times(truth)

    found = fit_rates(times, fitted_rates("library"), {"bytes_per_s": 3.0, "overhead_bytes": 3.0}, weight=1e6)

    assert found.bytes_per_s == pytest.approx(truth.bytes_per_s, rel=1e-3)
    assert found.overhead_bytes == pytest.approx(truth.overhead_bytes, rel=1e-3)
    assert np.abs(times.log_errors(found)).max() < 1e-3


def test_a_left_out_group_is_predicted_without_it():
    pytest.importorskip("scipy")
    rates = fitted_rates("library")
    times = made_times(rates)
    groups = np.where(times.vectors > 5e4, "large", "small")
    slow = replace(times, seconds=np.where(groups == "large", 2 * times.seconds, times.seconds))

    errors, folds = left_out_errors(slow, groups, lambda part: fit_rates(part, rates, {"bytes_per_s": 3.0}, 1e6))

    assert set(folds) == {"large", "small"}
    assert np.allclose(errors[groups == "large"], -np.log(2), atol=0.05)


def made_times(rates):
    """Times as `rates` give them, of some builds and queries."""
    rows = [
        (n, 4.0 * d, m, ef, k, 1.0)
        for n in (2e4, 1e5)
        for d in (64, 256, 1024)
        for m in (8, 32)
        for ef in (32, 256)
        for k in (0, 10)
    ]
    times = GraphTimes.of(rows)
    return replace(times, seconds=times.predicted_s(rates))


def test_what_cannot_be_measured_or_fitted_is_refused():
    with pytest.raises(InvalidInput, match="faiss or usearch"):
        index.measure("annoy")
    with pytest.raises(InvalidInput, match="at least one build"):
        index.fit([])


def test_a_missing_library_names_the_extra(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtra, match="usearch"):
        index.measure("usearch", setups=SMALL)


def test_a_file_that_is_no_machine_is_refused(tmp_path):
    (tmp_path / "other.json").write_text("[]")
    for name, says in (("other.json", "not a measured machine"), ("none.json", "cannot read the profile")):
        with pytest.raises(InvalidInput, match=says):
            measured_host(tmp_path / name)
