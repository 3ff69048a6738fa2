"""Serving predicted: what must hold for any load, and published runs from their configuration alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import estimator
from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.errors import InvalidInput
from estimator.predict.serving import (
    ServingPlan,
    Traffic,
    decode_step_s,
    embedding_sequences_per_s,
    interval,
    prefill_s,
    rerank_s,
    serving,
    traits,
)
from estimator.predict.serving_costs import load_of

DEVICES = ("a100", "h100", "rtx-4090", "mi300x", "apple-m2-ultra", "cpu-epyc-9554", "l4", "rx-7900-xtx")
LLMS = ("llama-3.1-8b", "qwen3-30b-a3b", "mistral-7b-v0.1", "gpt-oss-20b", "deepseek-v2-lite")
PRECISIONS = ("bf16", "awq", "q4_k_m", "fp8")
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "hf", "my-own")
FIELDS = (
    "ttft_s",
    "tpot_s",
    "latency_s",
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "capacity_requests_per_s",
    "concurrency",
    "max_concurrency",
    "utilisation",
    "energy_j_per_token",
)

setups = st.tuples(
    st.sampled_from(LLMS), st.sampled_from(DEVICES), st.sampled_from(PRECISIONS), st.sampled_from(ENGINES)
).filter(lambda setup: setup[3] != "tensorrt-llm" or accelerator(setup[1]).vendor == "NVIDIA")


def _setup(setup):
    llm, device, precision, engine = setup
    return architecture(llm), cluster_of(accelerator(device), 1), ServingPlan(precision, engine=engine)


@settings(deadline=None, max_examples=30)
@given(setups, st.integers(1, 16000), st.integers(1, 4000), st.integers(1, 64))
def test_a_longer_prompt_is_never_cheaper(setup, prompt, more, batch):
    arch, cluster, plan = _setup(setup)

    assert prefill_s(arch, cluster, plan, prompt + more, 0, batch) >= prefill_s(arch, cluster, plan, prompt, 0, batch)
    assert decode_step_s(arch, cluster, plan, prompt + more, batch) >= decode_step_s(arch, cluster, plan, prompt, batch)


@settings(deadline=None, max_examples=30)
@given(setups, st.integers(1, 4000), st.integers(1, 1000), st.integers(1, 200), st.integers(1, 50))
def test_a_larger_batch_never_lowers_throughput(setup, prompt, output, batch, more):
    arch, cluster, plan = _setup(setup)

    few = serving(arch, cluster, plan, Traffic(prompt, output, batch=batch))
    many = serving(arch, cluster, plan, Traffic(prompt, output, batch=batch + more))

    assert many.output_tokens_per_s >= few.output_tokens_per_s * (1 - 1e-9)


@settings(deadline=None, max_examples=30)
@given(setups, st.integers(2, 16000), st.floats(0, 1))
def test_a_prefix_hit_is_never_slower(setup, prompt, share):
    arch, cluster, plan = _setup(setup)
    cached = int(share * (prompt - 1))

    assert prefill_s(arch, cluster, plan, prompt, cached) <= prefill_s(arch, cluster, plan, prompt) * (1 + 1e-9)


@settings(deadline=None, max_examples=12)
@given(setups, st.lists(st.integers(1, 4000), min_size=2, max_size=4))
def test_arrays_are_scalars_side_by_side(setup, prompts):
    arch, cluster, plan = _setup(setup)
    for load in ({"concurrency": 16}, {"requests_per_s": 2.0}, {"batch": 8}, {}):
        together = serving(arch, cluster, plan, Traffic(np.array(prompts), 200, **load))

        for index, prompt in enumerate(prompts):
            alone = serving(arch, cluster, plan, Traffic(prompt, 200, **load))
            for field in FIELDS:
                many = np.broadcast_to(getattr(together, field), len(prompts))[index]
                assert many == pytest.approx(float(getattr(alone, field)), rel=1e-7, nan_ok=True), field


@pytest.mark.parametrize("load", ["batch", "concurrency", "burst"])
def test_several_loads_are_each_alone(load):
    arch, cluster, plan = _setup(("llama-3.1-8b", "a100", "bf16", "vllm"))

    found = serving(arch, cluster, plan, Traffic(1000, 100, **{load: np.array([1, 2, 3])}))

    alone = [float(serving(arch, cluster, plan, Traffic(1000, 100, **{load: count})).ttft_s) for count in (1, 2, 3)]
    assert found.ttft_s == pytest.approx(alone)


@settings(deadline=None, max_examples=30)
@given(setups, st.integers(10, 2000), st.integers(10, 500), st.floats(0.05, 100))
def test_an_open_loop_serves_what_is_asked_up_to_its_capacity(setup, prompt, output, rate):
    arch, cluster, plan = _setup(setup)

    found = serving(arch, cluster, plan, Traffic(prompt, output, requests_per_s=rate))

    capacity = float(found.capacity_requests_per_s)
    assert float(found.requests_per_s) == pytest.approx(min(rate, capacity), rel=1e-6)
    assert 0 < float(found.utilisation) <= 1
    assert np.isfinite(found.ttft_s) == (rate < capacity)


loads = st.one_of(
    st.floats(0.01, 200).map(lambda rate: {"requests_per_s": rate}),
    st.integers(1, 2000).map(lambda clients: {"concurrency": clients}),
    st.integers(1, 2000).map(lambda clients: {"concurrency": clients, "start": "together"}),
    st.integers(1, 2000).map(lambda clients: {"concurrency": clients, "start": "spread"}),
    st.integers(1, 2000).map(lambda requests: {"burst": requests}),
    st.just({}),
)


@settings(deadline=None, max_examples=60)
@given(setups, st.integers(1, 8000), st.integers(1, 2000), loads)
def test_quantiles_rise_and_capacity_holds_under_any_load(setup, prompt, output, load):
    arch, cluster, plan = _setup(setup)

    found = serving(arch, cluster, plan, Traffic(prompt, output, **load))

    for spread in (found.ttft, found.tpot, found.latency):
        assert 0 < spread.p50 <= spread.p90 <= spread.p99
        assert spread.mean > 0
    assert float(found.requests_per_s) <= float(found.capacity_requests_per_s) * (1 + 1e-9)


@settings(deadline=None, max_examples=20)
@given(setups, st.integers(1, 8000))
def test_the_first_token_of_a_lone_request_does_not_depend_on_how_many_follow(setup, prompt):
    arch, cluster, plan = _setup(setup)

    found = serving(arch, cluster, plan, Traffic(prompt, np.array([1, 2, 100, 1000])))

    assert np.ptp(found.ttft_s) <= 1e-12


@settings(deadline=None, max_examples=60)
@given(
    setups, st.integers(1, 4000), st.integers(1, 500), st.integers(1, 64), st.sampled_from([None, "spread", "together"])
)
def test_as_many_end_as_clients_over_the_time_each_takes(setup, prompt, output, clients, start):
    """Little's law of a closed loop, answers of one token and clients without a slot among them."""
    arch, cluster, plan = _setup(setup)

    found = serving(arch, cluster, plan, Traffic(prompt, output, concurrency=clients, start=start))

    assert float(found.requests_per_s * found.latency_s) == pytest.approx(clients, rel=0.02)


@settings(deadline=None, max_examples=20)
@given(setups, st.integers(1, 16000), st.integers(2, 200))
def test_a_burst_of_one_and_a_lone_client_meet_the_same(setup, prompt, output):
    arch, cluster, plan = _setup(setup)

    client, burst = (
        serving(arch, cluster, plan, Traffic(prompt, output, **load)) for load in ({"concurrency": 1}, {"burst": 1})
    )

    assert float(burst.tpot_s) == pytest.approx(float(client.tpot_s))
    assert float(client.tpot.p99) == pytest.approx(float(client.tpot.mean))


@settings(deadline=None, max_examples=20)
@given(setups, st.integers(1000, 8000))
def test_tokens_of_a_lone_request_come_as_fast_however_few_follow(setup, prompt):
    """Whatever its engine does with prompts: nobody else's is read meanwhile."""
    arch, cluster, plan = _setup(setup)

    found = serving(arch, cluster, plan, Traffic(prompt, np.array([2, 3, 8, 20])))

    assert np.ptp(found.tpot_s) <= 0.01 * found.tpot_s[0]


@settings(deadline=None, max_examples=20)
@given(setups, st.integers(10, 2000), st.integers(10, 500))
def test_first_tokens_come_later_the_more_requests_come(setup, prompt, output):
    arch, cluster, plan = _setup(setup)
    capacity = float(serving(arch, cluster, plan, Traffic(prompt, output)).capacity_requests_per_s)

    found = serving(arch, cluster, plan, Traffic(prompt, output, requests_per_s=capacity * np.linspace(0.02, 0.98, 13)))

    assert (np.diff(found.ttft_s) > -1e-9).all()
    assert (np.diff(found.tpot_s) > -1e-9).all()


@pytest.mark.prediction
def test_clients_do_not_wait_for_cache_nobody_uses_yet():
    llm, pair = architecture("llama-3.1-70b"), cluster_of(accelerator("h100"), 2)
    plan = ServingPlan("fp8", engine="vllm", tp=2)

    found = serving(llm, pair, plan, Traffic(1024, 8192, concurrency=32))

    assert float(found.concurrency) == 32
    assert 0.5 < float(found.ttft_s) / 0.289 < 2, "InferenceX, Llama 3.1 70B FP8, vLLM, 2 x H100: 0.289 s"


def test_whole_lengths_are_reserved_by_engines_that_never_evict():
    llm, pair, traffic = architecture("llama-3.1-70b"), cluster_of(accelerator("h100"), 2), Traffic(1024, 8192)
    reserving, preempting = (
        serving(llm, pair, ServingPlan("fp8", engine=engine, tp=2, max_sequences=64, max_batched_tokens=2048), traffic)
        for engine in ("tensorrt-llm", "vllm")
    )

    more = float(preempting.max_concurrency / reserving.max_concurrency)
    assert 1.6 < more < (1024 + 8192) / (1024 + 4096) * 1.15
    assert float(preempting.capacity_requests_per_s) < more * float(reserving.capacity_requests_per_s)


@pytest.mark.prediction
@pytest.mark.parametrize(
    ("llm", "count", "prompt", "output", "tokens_per_s"),
    [
        ("llama-2-70b", 2, 2048, 128, 647.7),
        ("llama-2-70b", 4, 2048, 128, 1298.9),
        ("llama-2-70b", 4, 128, 2048, 11596.6),
        ("mixtral-8x7b", 2, 2048, 128, 2545.5),
    ],
)
def test_grace_hoppers_of_a_node_are_joined_by_nvlink(llm, count, prompt, output, tokens_per_s):
    plan = ServingPlan("fp8", "fp8", engine="tensorrt-llm", tp=count)

    found = serving(architecture(llm), cluster_of(accelerator("gh200"), count), plan, Traffic(prompt, output))

    assert 0.7 < float(found.capacity_requests_per_s) * output / tokens_per_s < 1.4, "TensorRT-LLM 0.11 perf-overview"


@pytest.mark.prediction
@pytest.mark.parametrize(
    ("count", "prompt", "output", "tokens_per_s"),
    [
        (2, 2048, 128, 3785),
        (4, 2048, 128, 4311),
        (8, 2048, 128, 4798),
        (2, 1000, 1000, 16431),
        (4, 1000, 1000, 24046),
        (8, 1000, 1000, 31785),
    ],
)
def test_attention_replicas_send_tokens_to_experts_over_pcie(count, prompt, output, tokens_per_s):
    """Experts over all accelerators and attention in parallel on each (`--ep`, `enable_attention_dp`)."""
    plan = ServingPlan("fp4", "fp8", engine="tensorrt-llm", ep=count)
    cluster = cluster_of(accelerator("rtx-pro-6000"), count)

    found = serving(architecture("qwen3-30b-a3b"), cluster, plan, Traffic(prompt, output, concurrency=2000))

    assert 0.65 < float(found.output_tokens_per_s) / tokens_per_s < 1.4, "TensorRT-LLM 1.0 perf-overview, RTX 6000 Pro"


@pytest.mark.prediction
@pytest.mark.parametrize(
    ("llm", "device", "cache", "output", "tokens_per_s"),
    [
        ("gpt-oss-20b", "gb200", "fp8", 8192, 38100),
        ("gpt-oss-20b", "gb200", "fp8", 32768, 16463),
        ("gpt-oss-20b", "h200", "bf16", 8192, 12743),
        ("gpt-oss-120b", "gb200", "fp8", 32768, 5556),
        ("gpt-oss-120b", "h200", "bf16", 8192, 3543),
    ],
)
def test_windowed_layers_that_keep_all_their_cache_leave_room_for_fewer_sequences(
    llm, device, cache, output, tokens_per_s
):
    plan = ServingPlan("mxfp4", cache, "mxfp8/bf16", engine="tensorrt-llm")
    found = serving(architecture(llm), cluster_of(accelerator(device), 1), plan, Traffic(1024, output))

    assert 0.75 < float(found.capacity_requests_per_s) * output / tokens_per_s < 1.35, "TensorRT-LLM 1.2 perf-overview"


@pytest.mark.parametrize("traffic", [Traffic(4000, 1), Traffic(100, 400)])
def test_attention_replicas_read_prompts_side_by_side(traffic):
    llm, device = architecture("qwen3-30b-a3b"), accelerator("h200")
    one, eight = (
        serving(llm, cluster_of(device, count), ServingPlan("fp8", engine="tensorrt-llm", ep=count), traffic)
        for count in (1, 8)
    )

    gain = float(eight.capacity_requests_per_s / one.capacity_requests_per_s)
    assert 3 < gain < 8  # eight times the arithmetic and the sequences, less what the experts' tokens cost


def test_unmerged_adapters_cost_and_merged_ones_do_not():
    arch, cluster = architecture("llama-3.1-8b"), cluster_of(accelerator("a100"), 1)
    merged, one, many = (
        float(decode_step_s(arch, cluster, ServingPlan(adapters=count), 1000, 32)) for count in (0, 1, 32)
    )

    assert merged < one < many
    assert one < 1.3 * merged  # S-LoRA, arXiv:2311.03285 figure 4: one adapter costs little


@pytest.mark.prediction
def test_proposing_and_verifying_cost_what_speculation_gains():
    """EAGLE on Llama-3-8B: 2.08 tokens a step, 1.28 times as fast, github.com/vllm-project/vllm/issues/16035."""
    arch, cluster = architecture("llama-3-8b"), cluster_of(accelerator("h100"), 1)
    plain, eagle, ngram = (
        float(decode_step_s(arch, cluster, plan, 1000))
        for plan in (
            ServingPlan(),
            ServingPlan(draft_accepted_tokens=2.08),
            ServingPlan(draft_accepted_tokens=2.08, draft="n-gram"),
        )
    )

    assert 1.1 < plain / eagle < 1.5
    assert plain / eagle < plain / ngram < 2.08


@pytest.mark.prediction
def test_unmerged_adapters_of_2024_were_launched_layer_by_layer():
    """Half the speed with one adapter, 69 against 35 tokens/s: github.com/vllm-project/vllm/issues/10062."""
    arch, cluster = architecture("llama-3.1-8b"), cluster_of(accelerator("a100"), 1)
    bare, then, now = (
        float(decode_step_s(arch, cluster, plan, 500))
        for plan in (
            ServingPlan(engine_year=2024.8),
            ServingPlan(engine_year=2024.8, adapters=1),
            ServingPlan(adapters=1),
        )
    )

    assert 1.5 < then / bare < 2.5
    assert now < 0.75 * then


def test_speculation_helps_a_single_stream():
    arch, cluster = architecture("llama-3.1-70b"), cluster_of(accelerator("h100"), 4)
    plain = decode_step_s(arch, cluster, ServingPlan(tp=4), 1000)
    drafted = decode_step_s(arch, cluster, ServingPlan(tp=4, draft_accepted_tokens=2.5), 1000)

    assert drafted < plain


def test_encoders_embed_and_rerank():
    arch, cluster = architecture("bge-base-en-v1.5"), cluster_of(accelerator("a100"), 1)
    plan = ServingPlan("fp16", engine="text-embeddings-inference")

    small, large = embedding_sequences_per_s(arch, cluster, plan, 256, np.array([1, 64]))

    assert large > 2 * small
    assert rerank_s(arch, cluster, plan, 20, 200, 100) > rerank_s(arch, cluster, plan, 20, 200, 10)


def test_ranges_widen_for_what_was_not_seen():
    dense, experts = architecture("llama-3.1-8b"), architecture("mixtral-8x7b")
    known = traits(dense, accelerator("h100"), "vllm")
    unknown = traits(experts, accelerator("tpu-v5p"), "my-own-server")

    assert known == ()
    assert {"new engine", "new accelerator", "new generation", "mixture of experts"} <= set(unknown)
    for group in ("decode", "prefill", "batch", "offline", "tpot", "ttft", "online", "embedding"):
        narrow, wide = interval(group, known), interval(group, unknown)

        assert 0 < narrow[0] < wide[0]
        assert 0 < narrow[1] < wide[1]


def test_two_loads_at_once_are_refused():
    with pytest.raises(InvalidInput, match="one of"):
        Traffic(100, 100, concurrency=4, batch=4)
    with pytest.raises(InvalidInput, match="at least 1"):
        ServingPlan(tp=0)


def test_thinking_is_written_before_the_answer():
    load = {"prompt_tokens": 500, "concurrency": 4}
    ask = {"model": "qwen3-8b", "gpu": "l40s"}

    thinks = estimator.serving(**ask, **load, output_tokens=200, thinking_tokens=1800)
    writes = estimator.serving(**ask, **load, output_tokens=2000)

    one, other = thinks.loads[0].figures, writes.loads[0].figures
    assert one["latency_s"].value == pytest.approx(other["latency_s"].value)
    assert one["answer_s"].value == pytest.approx(one["ttft_s"].value + 1800 * one["tpot_s"].value)
    assert "answer_s" not in other
    assert any("Set thinking_tokens" in note for note in writes.notes)
    assert not any("Set thinking_tokens" in note for note in thinks.notes)


def test_programs_compiled_for_a_length_attend_to_all_of_it():
    """Steps of transformers-neuronx: 6.42 ms for 128 + 3,968 tokens, 6.50 for 2,048 + 2,048 (AWS Neuron 2.18)."""
    llm = architecture("llama-3-8b")
    compiled, paged = ServingPlan(engine="transformers-neuronx"), ServingPlan()

    def cache(plan, prompt, output):
        return float(load_of(llm, plan, prompt, output, 0.0).step_pass(1.0).kv_bytes)

    assert cache(compiled, 128, 3968) == cache(compiled, 2048, 2048) > cache(paged, 2048, 2048)
    assert cache(paged, 128, 3968) < cache(paged, 2048, 2048)


def test_long_prompts_never_make_tokens_come_faster_at_a_higher_rate():
    one, plan = cluster_of(accelerator("l4"), 1), ServingPlan("fp8")
    most = float(serving(architecture("llama-3.1-8b"), one, plan, Traffic(4000, 20)).capacity_requests_per_s)

    rates = most * np.array([0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.5])
    tpot = serving(architecture("llama-3.1-8b"), one, plan, Traffic(4000, 20, requests_per_s=rates)).tpot_s

    assert (np.diff(tpot) > -0.005 * tpot[:-1]).all()
