"""Memory of serving: exact for weights and cache, and what an engine finds left over as its logs report it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit, InvalidInput
from estimator.predict.serving import ServingPlan, Traffic, memory_split, serving, smallest_fit
from estimator.predict.serving_machine import suited
from estimator.validation.cache_pools import pools

GIB = 2.0**30


@pytest.mark.formula
@pytest.mark.parametrize(
    ("llm", "plan", "count", "gib", "source"),
    [
        ("llama-3-8b", ServingPlan(), 1, 14.96, "vLLM issue 12330: model weights take 14.96GiB"),
        ("qwen3-0.6b", ServingPlan(), 1, 1.12, "generative-computing/mellea pull 416: model weights take 1.12GiB"),
        ("llama-3.1-70b", ServingPlan("int8"), 1, 67.72, "vLLM pull 12569: w8a8 weights took 67.7229 GB"),
    ],
)
def test_weights_match_what_engines_load(llm, plan, count, gib, source):
    held = memory_split(architecture(llm), cluster_of(accelerator("h100"), count), plan)

    assert held.weights / GIB == pytest.approx(gib, rel=0.03), source


@pytest.mark.prediction
@pytest.mark.parametrize("pool", pools(), ids=lambda pool: f"{pool.case['model']} {pool.case['max_context']}")
def test_the_cache_holds_what_engines_log(pool):
    assert abs(pool.error) < 0.08, pool.case["source"]


@pytest.mark.parametrize("llm", ["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-r1", "gpt-oss-120b", "mistral-7b-v0.1"])
def test_breakdown_adds_up_to_the_memory(llm):
    device = accelerator("h200")

    held = memory_split(architecture(llm), cluster_of(device, 8), ServingPlan(tp=8, weight_precision="fp8"))

    total = held.weights + held.activations + held.reserve + held.kv_available
    assert total == pytest.approx(device.memory_bytes)


@given(tp=st.sampled_from([1, 2, 4, 8]), pp=st.sampled_from([1, 2, 4]))
def test_more_accelerators_never_hold_more_each(tp, pp):
    arch = architecture("llama-3.1-70b")
    here = memory_split(arch, cluster_of(accelerator("h100"), tp * pp), ServingPlan(tp=tp, pp=pp))
    wider = memory_split(arch, cluster_of(accelerator("h100"), 2 * tp * pp), ServingPlan(tp=2 * tp, pp=pp))

    assert wider.weights < here.weights
    assert wider.kv_available >= here.kv_available


def test_smallest_fit_holds_and_half_of_it_does_not():
    arch, device = architecture("llama-3.1-70b"), accelerator("a100")

    count = smallest_fit(arch, device, ServingPlan())

    assert count == 4  # 141 GB of weights and 43 GB of cache for its whole context
    half = memory_split(arch, cluster_of(device, 2), ServingPlan(tp=2))
    assert half.max_context < arch.max_context


def test_what_never_fits_says_so():
    with pytest.raises(DoesNotFit, match="does not fit"):
        smallest_fit(architecture("deepseek-r1"), accelerator("t4"), ServingPlan(), most=8)


def test_what_does_not_fit_is_served_nowhere():
    arch, one = architecture("llama-3.1-70b"), cluster_of(accelerator("h100"), 1)

    found = serving(arch, one, ServingPlan(), Traffic([1000, 100_000], 200))

    assert not found.fits
    assert found.max_concurrency.tolist() == [0.0, 0.0]


def test_a_step_of_a_large_card_is_larger():
    large, small = (suited(ServingPlan(), accelerator(name)) for name in ("h100", "a100"))

    assert (large.max_batched_tokens, large.max_sequences) == (8192, 1024)
    assert (small.max_batched_tokens, small.max_sequences) == (2048, 256)
    assert suited(ServingPlan(server="in process"), accelerator("a100")).max_batched_tokens == 8192


def test_layers_in_the_host_leave_room_and_cost_time():
    arch, one = architecture("llama-3.1-70b"), cluster_of(accelerator("rtx-4090"), 1)
    few, some = (
        serving(
            arch, one, ServingPlan("q4_k_m", engine="llama.cpp", gpu_layers=layers, max_context=4096), Traffic(300, 50)
        )
        for layers in (20, 40)
    )
    whole = memory_split(arch, one, ServingPlan("q4_k_m", engine="llama.cpp")).weights

    assert few.fits
    assert some.fits
    assert 0.2 * whole < few.weights_bytes < 0.3 * whole < some.weights_bytes < 0.6 * whole
    in_host = 0.75 * whole / 60e9  # read from two channels of DDR5 for every token
    assert in_host < float(few.tpot_s) < 1.2 * in_host
    assert float(some.tpot_s) < 0.8 * float(few.tpot_s)


def test_experts_in_the_host_cost_what_a_token_visits():
    arch, one = architecture("gpt-oss-120b"), cluster_of(accelerator("rtx-4090"), 1)

    found = serving(arch, one, ServingPlan(engine="llama.cpp", cpu_moe_layers=36, max_context=8192), Traffic(300, 50))

    assert found.weights_bytes < 5e9
    assert 0.02 < float(found.tpot_s) < 0.06  # four of 128 experts a layer


def test_engines_that_compute_nothing_in_the_host_refuse():
    with pytest.raises(InvalidInput, match="engine=llama"):
        ServingPlan(gpu_layers=10)
