"""Energy of hosted LLMs: unknown without the library, a wide range with it, by what was recorded of it."""

import importlib.metadata
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from estimator import estimate
from estimator.catalog.files import use_facts

RECORDED = {  # ecologits 0.11.3, 1,000 output tokens of claude-sonnet-4-5: kWh, litres
    "energy": (0.0012573177758417305, 0.0022289705215931942),
    "wcf": (0.004088000336777576, 0.008934640633025553),
}


@pytest.fixture(autouse=True)
def _asked_anew():
    use_facts(None)
    yield
    use_facts(None)


def test_without_the_library_it_is_unknown(monkeypatch):
    monkeypatch.setattr("estimator.catalog.hosted_energy.find_spec", lambda _: None)

    assert not estimate("prompt", api="anthropic:claude-sonnet-4-5").energy_j.known


def test_with_it_it_is_a_wide_range_by_hand(monkeypatch):
    """100,000 requests with 2 % of repeats, 250 tokens each, twelve months."""

    def impacts(*asked):
        assert asked[:3] == ("anthropic", "claude-sonnet-4-5", 1000)
        ends = {name: SimpleNamespace(min=low, max=high) for name, (low, high) in RECORDED.items()}
        return SimpleNamespace(**{name: SimpleNamespace(value=value) for name, value in ends.items()})

    module = ModuleType("ecologits.tracers.utils")
    module.llm_impacts = impacts
    for name in ("ecologits", "ecologits.tracers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "ecologits.tracers.utils", module)
    monkeypatch.setattr("estimator.catalog.hosted_energy.find_spec", lambda _: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.11.3")
    found = estimate("prompt", api="anthropic:claude-sonnet-4-5", requests_per_month=1e5, output_tokens=250)
    low, high = RECORDED["energy"]
    tokens = 12 * 1.02e5 * 250

    assert found.energy_j.value == pytest.approx(tokens / 1000 * (low * high) ** 0.5 * 3.6e6)
    assert found.energy_j.high > 2 * found.energy_j.value
    assert found.details["water_l"].value == pytest.approx(
        tokens / 1000 * (RECORDED["wcf"][0] * RECORDED["wcf"][1]) ** 0.5
    )
    assert found.co2e_g.known
