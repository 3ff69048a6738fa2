"""A machine that does not exist: timings of every case from simple laws, and its profile in a folder of its own."""

import math

import pytest

from estimator.catalog.files import use_facts_again
from estimator.formulas.transformer import params
from estimator.measure.cases import Case, job_flop, job_of, suite, work
from estimator.measure.profile import write_profile
from estimator.measure.session import typical
from estimator.paths import user_data_folder

FLOP_PER_S, BYTES_PER_S, CALL_S = 1e11, 2e10, 1e-5
RATES = {"fp32": FLOP_PER_S, "bf16": FLOP_PER_S / 4}


def seconds(case: Case) -> float:
    """The law of each kind of case."""
    rate = RATES.get(case.dtype, FLOP_PER_S) * (0.5 if case.threads == 1 else 1.0)
    if case.kind == "gemm":
        m, n, k = case["m"], case["n"], case["k"]
        return CALL_S + math.hypot(2.0 * (m + 4) * n * k / rate, 4.0 * (m * n + n * k + m * k) / BYTES_PER_S)
    if case.kind == "attention":
        return (
            CALL_S
            + 3 * work(case) / rate
            + 8.0 * case["batch"] * case["heads"] * case["tokens"] * case["width"] / BYTES_PER_S
        )
    if case.kind == "block":
        job = job_of(case)
        return 40 * CALL_S * job.arch.layers + 1.6 * job_flop(job) / rate + 4 * params(job.arch) / BYTES_PER_S
    if case.kind == "optimizer":
        return case["tensors"] * 2e-5 + work(case) * {"loop": 8e-9, "foreach": 6e-9, "fused": 1.2e-9}[case.variant]
    if case.kind == "memory":
        return CALL_S / 2 + case["bytes"] * {"copy": 2, "triad": 3, "touch": 8}[case.variant] / BYTES_PER_S
    if case.kind == "glue":
        return 3 * CALL_S + 12.0 * work(case) / BYTES_PER_S * (3 if case.variant.endswith("-train") else 1)
    return CALL_S * (4 if case.variant == "train" else 1)


def measurements() -> dict[str, list[float]]:
    """Every case of a two-thread CPU, three samples each."""
    return {str(case): [seconds(case) * f for f in (0.98, 1.0, 1.03)] for case in suite("cpu", RATES, 2)}


def content() -> dict[str, object]:
    """A whole profile but for its constants."""
    about = {"kind": "cpu", "title": "Synthetic CPU", "memory_bytes": 64e9, "cache_bytes": 32e6, "cores": 2}
    return {
        "date": "2026-01-01 00:00 UTC",
        "machine": about | {"versions": {"python": "3", "torch": "2"}},
        "threads": 2,
        "budget_s": 60.0,
        "used_s": 55.0,
        "drift": {"log": 0.02, "down": 0.01, "up": 0.02, "before_s": 1.0, "after_s": 1.02, "probes_s": [1.0, 1.02]},
        "measurements": measurements(),
    }


@pytest.fixture(scope="session")
def synthetic_profile():
    """The content of a profile, fitted once."""
    pytest.importorskip("scipy", reason="fitting needs scipy (extra `measure`)")
    from estimator.measure.constants import constants

    whole = content()
    return whole | {"constants": constants(typical(whole["measurements"]))}


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An empty data folder for the user."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    use_facts_again()
    yield user_data_folder()
    use_facts_again()


@pytest.fixture
def local(data_folder, synthetic_profile):
    """The synthetic machine as `local`; returns its profile's path."""
    path = data_folder / "local.json"
    write_profile(synthetic_profile, path)
    return path


@pytest.fixture
def law():
    """The law of the synthetic machine."""
    return seconds
