"""Memory of serving: exact for weights and cache, and what an engine finds left over as its logs report it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit
from estimator.predict.serving import ServingPlan, Traffic, memory_split, sequence_bytes, serving, smallest_fit

GIB = 2.0**30
BLOCK_TOKENS = 16


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
@pytest.mark.parametrize(
    ("llm", "device", "plan", "context", "blocks", "source"),
    [
        ("llama-2-7b", "a100", ServingPlan(memory_fraction=0.9), 4096, 7351, "vLLM pull 2031: # GPU blocks: 7351"),
        ("qwen3-0.6b", "h100", ServingPlan(memory_fraction=0.8), 8192, 36184, "mellea pull 416: # cuda blocks: 36184"),
        (
            "llama-3.1-8b",
            "rtx-3090",
            ServingPlan(memory_fraction=0.9, chunked_prefill=False),
            20000,
            1952,
            "vLLM issue 10517: GPU blocks: 1952 (prompts of 20,000 tokens, not cut)",
        ),
    ],
)
def test_kv_blocks_are_predicted_from_the_configuration(llm, device, plan, context, blocks, source):
    arch = replace(architecture(llm), max_context=context)

    held = memory_split(arch, cluster_of(accelerator(device), 1), plan)
    found = held.kv_available / float(sequence_bytes(arch, plan, BLOCK_TOKENS))

    assert found == pytest.approx(blocks, rel=0.07), source


@pytest.mark.prediction
def test_concurrency_is_predicted_from_the_configuration():
    plan, arch = ServingPlan(memory_fraction=0.8), architecture("qwen3-0.6b")

    found = serving(arch, cluster_of(accelerator("h100"), 1), plan, Traffic(8000, 192)).max_concurrency

    assert float(found) == pytest.approx(70.67, rel=0.05), "mellea pull 416: 70.67x for 8192 tokens per request"


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
