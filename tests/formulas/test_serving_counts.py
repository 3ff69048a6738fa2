"""Inference counted: published worked examples redone, and what must hold for any shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.formulas import queueing
from estimator.formulas.serving import (
    adapter_params,
    continuous_requests_per_s,
    expert_coverage,
    forward_pass,
    kv_slots,
    ring_all_reduce_bytes,
    speculative_tokens,
)
from estimator.records import Architecture, Experts

LLAMA_2_7B = Architecture("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000)
LLAMA_3_8B = Architecture("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256)
MIXTRAL = Architecture("mixtral-8x7b", 32, 4096, 32, 8, 128, 14336, 32000, experts=Experts(8, 2, 14336))
QWEN3_06B = Architecture("qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, tied_embeddings=True)

GIB = 2.0**30
BLOCK_TOKENS = 16


@pytest.mark.formula
@pytest.mark.parametrize(
    ("arch", "cache_gib", "blocks", "source"),
    [
        (LLAMA_3_8B, 11.12, 5691, "vllm-project/vllm issue 12330: 11.12 GiB for KV cache, # GPU blocks: 5691"),
        (LLAMA_3_8B, 3.81, 1952, "vllm-project/vllm issue 10517: kv_cache_size=3.81GiB, GPU blocks: 1952"),
        (LLAMA_3_8B, 2.89, 1478, "vllm-project/vllm issue 10517: kv_cache_size=2.89GiB, # GPU blocks: 1478"),
        (QWEN3_06B, 61.84, 36184, "generative-computing/mellea pull 416: 61.84GiB for KV Cache, cuda blocks: 36184"),
    ],
)
def test_kv_blocks_match_vllm_logs(arch, cache_gib, blocks, source):
    per_block = float(forward_pass(arch, BLOCK_TOKENS).kv_bytes)

    assert float(kv_slots(cache_gib * GIB, per_block)) == pytest.approx(blocks, rel=0.003), source


@pytest.mark.formula
def test_concurrency_matches_vllm_logs():
    per_request = float(forward_pass(LLAMA_3_8B, 8192).kv_bytes)

    found = float(kv_slots(11.12 * GIB, per_request))

    assert found == pytest.approx(11.12, rel=0.003), "vllm issue 12330: 11.12x for 8192 tokens per request"


@pytest.mark.formula
def test_speculative_decoding_matches_the_paper():
    assert float(speculative_tokens(0.8, 5)) == pytest.approx(3.69, abs=0.005), "arXiv:2211.17192 equation 1"


@pytest.mark.formula
def test_lora_parameters_match_the_published_count():
    found = float(adapter_params(LLAMA_2_7B, 16))

    assert found == 39_976_960, "huggingface peft, Llama-2-7B, r=16 on all linear layers: 39,976,960 trainable"


@pytest.mark.formula
def test_erlang_c_matches_the_textbook():
    assert float(queueing.erlang_c(5, 4.0)) == pytest.approx(0.5541, abs=1e-4), "Erlang C table: 5 servers, 4 erlang"


def test_one_server_is_the_m_m_1_queue():
    load = np.array([0.1, 0.5, 0.9])

    assert queueing.mmc_wait_s(1, load, 1.0) == pytest.approx(load / (1 - load))
    assert queueing.mg1_wait_s(load, 1.0, 1.0) == pytest.approx(load / (1 - load))


def test_an_overloaded_queue_waits_forever():
    assert np.isinf(queueing.mmc_wait_s(2, 3.0, 1.0))
    assert np.isinf(queueing.mg1_wait_s(1.0, 1.0))


@given(tokens=st.integers(1, 4096), more=st.integers(1, 4096))
def test_experts_are_covered_ever_more_and_never_twice(tokens, more):
    few, many = expert_coverage(8, 2, tokens), expert_coverage(8, 2, tokens + more)

    assert 0.25 - 1e-12 <= few <= many <= 1.0


@given(tokens=st.integers(1, 300), sequences=st.integers(1, 64))
def test_a_mixture_does_the_work_of_its_active_parameters(tokens, sequences):
    work = forward_pass(MIXTRAL, tokens, sequences=sequences)

    visited = 2 * 3 * 4096 * 14336 * 32  # two experts of three matrices in 32 layers
    assert float(work.expert_flop) == pytest.approx(2.0 * visited * tokens * sequences)
    assert float(work.expert_weights) <= 4 * visited * (1 + 1e-12)


@given(context=st.integers(0, 8192), new=st.integers(1, 2048), batch=st.integers(1, 256))
def test_counts_add_up_over_sequences(context, new, batch):
    one, many = forward_pass(LLAMA_3_8B, new, context), forward_pass(LLAMA_3_8B, new, context, batch)

    for name in ("rows", "dense_flop", "attention_flop", "kv_bytes", "logit_bytes", "stream_bytes"):
        assert float(getattr(many, name)) == pytest.approx(batch * float(getattr(one, name)))
    assert float(many.dense_weights) == float(one.dense_weights)


@given(batch=st.integers(1, 500), output=st.integers(1, 4000), prefill=st.floats(0, 2), step=st.floats(1e-4, 1))
def test_prompts_only_cost(batch, output, prefill, step):
    free, paid = (continuous_requests_per_s(batch, output, cost, step) for cost in (0.0, prefill))

    assert paid <= free * (1 + 1e-12)


@given(members=st.integers(1, 64))
def test_an_all_reduce_sends_less_than_twice_the_message(members):
    assert 0 <= float(ring_all_reduce_bytes(1.0, members)) < 2


def test_arrays_are_scalars_side_by_side():
    tokens, context, batch = np.array([1.0, 64.0]), np.array([10.0, 5000.0]), np.array([3.0, 1.0])

    together = forward_pass(MIXTRAL, tokens, context, batch)

    for index in range(2):
        alone = forward_pass(MIXTRAL, tokens[index], context[index], batch[index])
        for name in together._fields:
            assert np.broadcast_to(getattr(together, name), 2)[index] == pytest.approx(
                float(getattr(alone, name)), rel=1e-12
            )
