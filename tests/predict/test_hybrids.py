"""LLMs whose layers are not all attention: cache, state, time, memory, and the layouts that are left out."""

import numpy as np
import pytest

from estimator import compare, layout, serving
from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit, InvalidInput
from estimator.formulas import transformer
from estimator.formulas.layers import scan_flop
from estimator.predict.serving import sequence_bytes
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan, best_layout, training_step
from estimator.records import Scan
from estimator.search.grid import valid_layouts

HYBRIDS = ["qwen3-next", "nemotron-h-8b", "jamba-mini", "falcon-h1-7b", "granite-4.0-h-tiny", "lfm2-1.2b", "minimax"]


def test_qwen3_next_caches_a_quarter_of_its_layers():
    """12 of 48 layers attend: 2 x 2 heads x 256 values of 2 bytes each; 36 states of 32 x 128 x 128 in 4 bytes, and
    convolutions over 8,192 channels."""
    llm = architecture("qwen3-next")

    assert float(transformer.kv_bytes(llm, 1)) == 24_576
    assert float(transformer.state_bytes(llm)) == 36 * (32 * 128 * 128 * 4 + 8192 * 4 * 2)
    assert transformer.params(llm) == pytest.approx(80e9, rel=0.01)
    assert transformer.active_params(llm) - 2 * 151_936 * 2048 == pytest.approx(3e9, rel=0.15)


# (accelerators, prompt, output, clients, tokens per second) published for vLLM and SGLang; read 2026-11-30.
# Lambda, lambda.ai/inference-models/qwen/qwen3-coder-next; github.com/sgl-project/sglang/pull/10467.
PUBLISHED = [
    ("4xh100", "vllm", 8192, 1024, 32, 1810),
    ("4xa100", "vllm", 8192, 1024, 32, 1069),
    ("2xb200", "vllm", 8192, 1024, 32, 1877),
    ("4xh20", "sglang", 1000, 2000, 32, 2233),
]


@pytest.mark.parametrize(("gpu", "engine", "prompt", "output", "clients", "published"), PUBLISHED)
def test_published_rates_of_qwen3_next(gpu, engine, prompt, output, clients, published):
    found = serving(
        model="qwen3-next", gpu=gpu, engine=engine, prompt_tokens=prompt, output_tokens=output, concurrency=clients
    )

    assert found.output_tokens_per_s.value == pytest.approx(published, rel=0.25)


@pytest.mark.parametrize("name", HYBRIDS)
def test_state_is_held_once_however_long_the_sequence_is(name):
    llm, plan = architecture(name), ServingPlan(tp=2)
    state, cache = float(transformer.state_bytes(llm)), transformer.kv_bytes(llm, np.array([1.0, 1000.0, 8000.0]))
    shared = min(2, llm.kv_heads)

    held = sequence_bytes(llm, plan, np.array([1.0, 1000.0, 8000.0]))

    assert state > 0
    assert held == pytest.approx(state / 2 + cache / shared)


@pytest.mark.parametrize("name", HYBRIDS)
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_hybrids_train(name, method):
    llm, where = architecture(name), cluster("256xh200")
    plan = TrainingPlan(seq_len=4096, global_batch=256, method=method)

    step = training_step(llm, where, best_layout(llm, where, plan))

    assert 0.01 < float(step.mfu) < 0.8
    assert bool(step.fits)


def test_sequences_are_not_cut_where_a_recurrence_runs_through_them():
    plan = TrainingPlan(seq_len=65536, global_batch=64, tp=1, pp=1, zero=3, micro_batch=1, recompute="full")
    plan = TrainingPlan(**{name: getattr(plan, name) for name in plan.__slots__} | {"cp": None})

    cut, whole = (
        set(np.unique(valid_layouts(architecture(name), cluster("8xh200"), plan)["cp"]).tolist())
        for name in ("llama-3.1-8b", "nemotron-h-8b")
    )

    assert (cut, whole) == ({1, 2, 4, 8}, {1})


def test_tensor_groups_divide_every_kind_of_head():
    """Qwen3-Next: 16 heads of attention, 32 of its delta rule."""
    assert transformer.tensor_parts(architecture("qwen3-next")) == 16
    assert transformer.tensor_parts(architecture("llama-3.1-8b")) == 32


def test_a_chunk_is_counted_as_attention_inside_it():
    """One token is the recurrence alone: 6 products of a state for the gated delta rule."""
    scan = Scan("delta", heads=2, key_dim=16, value_dim=8, chunk=64)

    one, many = scan_flop(scan, np.array(1.0)), scan_flop(scan, np.array(640.0))

    assert float(one) == 2 * 6 * 16 * 8
    assert float(many) == 640 * 2 * (2 * 64 * (3 * 16 + 2 * 8) + 6 * 16 * 8)


def test_compressed_caches_keep_one_entry_for_several_tokens():
    """A quarter of the tokens, of which an indexer chooses; the rest of a step's reading does not grow."""
    dense, indexed = architecture("deepseek-v3"), architecture("deepseek-v3.2")

    assert transformer.kv_bytes(indexed, 1e5) > transformer.kv_bytes(dense, 1e5)  # the index beside the latent
    assert transformer.read_bytes(indexed, 1e5) < transformer.read_bytes(dense, 1e5) / 3
    assert transformer.attention_flop(indexed, 1, 1e5) < transformer.attention_flop(dense, 1, 1e5) / 4


def test_context_is_enforced_on_every_path():
    with pytest.raises(DoesNotFit, match="exceeds the 1,024"):
        serving(model="gpt2-xl", gpu="h100", prompt_tokens=100_000, output_tokens=10)
    with pytest.raises(DoesNotFit, match="exceeds the 1,024"):
        layout(task="serve", model="gpt2-xl", gpu="h100", prompt_tokens=100_000)
    with pytest.raises(InvalidInput, match="learned 1,024 positions"):
        layout(task="finetune", model="gpt2-xl", gpu="h100", seq_len=4096)
    found = compare(model="llama-2-7b", gpu="h100", stages=("finetune",), finetune_seq_len=16_384)
    assert any("rotary" in warning for warning in found.estimates[0].warnings)


def test_an_encoder_answers_no_questions():
    with pytest.raises(InvalidInput, match="embeds texts and answers no questions"):
        compare(model="bge-m3", gpu="h100")
