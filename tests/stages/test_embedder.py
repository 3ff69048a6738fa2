"""Embedders: contrastive fine-tuning on pairs, triplets and more hard negatives, and what is served afterwards."""

import math

import pytest

from estimator import compare, estimate, layout, sweep, training_step
from estimator.catalog.models import architecture
from estimator.errors import InvalidInput
from estimator.formulas.transformer import matmul_params

BGE = {"model": "bge-m3", "gpu": "h100"}
ALONE = {"micro_batch": 1, "tp": 1, "pp": 1, "vpp": 1, "ep": 1, "zero": 0, "recompute": "none"}


def test_work_is_that_of_a_query_and_its_passages_by_hand():
    """24 layers of width 1024 and 4096, XLM-RoBERTa large: 12 x 1024^2 weights each, 4 x s^2 x 1024 of attention."""
    asked = {"samples": 1000, "epochs": 2, "attempts": 1, "prompt_tokens": 64, "chunk_tokens": 256, "method": "full"}
    found = estimate("finetune", **BGE, passages_per_query=2, **asked)
    tokens, weights = 64 + 2 * 256, 24 * 12 * 1024**2
    attention = 24 * 4 * 1024 * (64**2 + 2 * 256**2)
    assert found.data_tokens.value == 1000 * tokens  # the data there must be, not what two epochs read of it
    assert found.flop.value == pytest.approx(3 * (2 * weights * tokens + attention) * 2000, rel=1e-12)


def test_mfu_counts_the_same_work():
    one = training_step(**BGE, seq_len=256, query_len=64, passages_per_query=2, **ALONE)
    work = 3 * (2 * 24 * 12 * 1024**2 * (64 + 512) + 24 * 4 * 1024 * (64**2 + 2 * 256**2))
    assert float(one.mfu * one.step_s) == pytest.approx(work / 989.4e12, rel=1e-3)


def test_negatives_cost_time_work_and_memory():
    rows = [{"passages_per_query": passages} for passages in (1, 2, 4, 8)]
    found = sweep(rows, stages=("finetune",), figures=("flop", "training_s"), **BGE)
    large = ALONE | {"micro_batch": 16, "global_batch": 16}  # so that activations, not the step, are the peak
    steps = [training_step(**BGE, seq_len=512, query_len=64, passages_per_query=n, **large) for n in (1, 2, 4, 8)]
    for figures in (
        [row["finetune_flop"] for row in found],
        [row["finetune_training_s"] for row in found],
        [float(step.memory.total) for step in steps],
        [float(step.step_s) for step in steps],
    ):
        assert figures == sorted(set(figures))
    alone = estimate("finetune", **BGE, passages_per_query=4)
    assert found[2]["finetune_flop"] == pytest.approx(alone.flop.value)


def test_no_logits_of_a_decoder_that_embeds():
    """A decoder without its output projection: nothing is foretold."""
    asked = {"model": "qwen3-8b", "gpu": "h100", "seq_len": 512, "method": "lora", **ALONE}  # the loss is the peak
    written = training_step(**asked)
    embeds = training_step(**asked, query_len=512, passages_per_query=1)
    assert float(written.memory.logits) > 0 == float(embeds.memory.logits)
    assert float(embeds.memory.weights) < float(written.memory.weights)
    found = estimate("finetune", model="qwen3-8b", gpu="8xh100", objective="contrastive", method="full")
    tokens, llm = found.data_tokens.value, architecture("qwen3-8b")
    assert found.flop.value > 6 * matmul_params(llm, with_head=False) * tokens * 3 * 4  # epochs, attempts


def test_what_is_served_embeds():
    found = estimate("finetune", **BGE)
    assert found.details["embeddings_per_s"].value > 10
    assert 0 < found.details["ttft_s"].value < 1
    for name in ("added_ttft_s", "added_tpot_s", "added_memory_bytes", "extra_prompt_tokens"):
        assert getattr(found, name).value == 0
    assert math.isfinite(found.total_usd.value)
    assert ("objective", "contrastive") in {(one.name, one.shown) for one in found.assumptions}


def test_negatives_of_a_batch_are_said():
    """All passages of the samples that are passed at once, but the query's own."""
    found = estimate("finetune", **BGE, finetune_batch=4, passages_per_query=2)
    assert found.details["negatives_per_query"].value <= 4 * 2 - 1
    parts = estimate("finetune", **BGE, chunk_tokens=8000)
    assert any("Gradients are accumulated" in warning for warning in parts.warnings)


def test_layouts_count_samples():
    found = layout(task="finetune", model="bge-m3", gpu="8xh100", passages_per_query=3, seq_len=500, query_len=100)
    assert found.asked["tokens"] == 5000 * 3 * (100 + 3 * 500)
    assert found.best.accelerators == 8


@pytest.mark.parametrize("objective", ["sft", "dpo", "grpo", "ppo"])
def test_objectives_that_write_need_a_decoder(objective):
    with pytest.raises(InvalidInput, match=r"needs an LLM that writes.*objective=contrastive"):
        estimate("finetune", **BGE, objective=objective)


def test_an_embedder_compares_with_nothing_that_answers():
    with pytest.raises(InvalidInput, match=r"answers no questions.*estimate finetune --model bge-m3"):
        compare(**BGE)
    for ask in (compare, lambda **asked: estimate("finetune+rag", **asked)):
        with pytest.raises(InvalidInput, match=r"trains an embedder.*Ask for it alone"):
            ask(model="7b", gpu="h100", objective="contrastive")
    with pytest.raises(InvalidInput, match="name a model and accelerators"):
        estimate("finetune", api="openai:gpt-4o-mini", objective="contrastive")


def test_learned_positions_hold_for_passages():
    with pytest.raises(InvalidInput, match=r"8,192 positions.*9,000 tokens"):
        estimate("finetune", **BGE, chunk_tokens=9000)


def test_long_passages_do_not_fit_a_v100():
    """FlagEmbedding issue 1195: bge-m3, queries of 512 and passages of 8,192 tokens, fp16: out of memory.

    There with checkpointing, and attention that writes its scores, as transformers did then.
    """
    asked = {"seq_len": 8192, "query_len": 512, "passages_per_query": 8, "precision": "fp16"}
    plan = ALONE | {"framework": "HF Trainer", "fused_attention": False, "zero": 1, "recompute": "full"}
    assert float(training_step(model="bge-m3", gpu="v100-32gb", **asked, **plan).memory.total) > 32e9
    fused = training_step(model="bge-m3", gpu="v100-32gb", **asked, **ALONE, framework="HF Trainer")
    assert float(fused.memory.total) > 32e9, "nor would fused attention have been enough by itself"


def test_accumulation_is_said_where_it_hides_negatives_alone():
    """A batch in parts has fewer negatives; one in one piece, or supervised, loses nothing."""

    def told(**asked):
        answer = estimate("finetune", gpu="1xa100", method="full", **asked)
        return any("Gradients are accumulated" in words for words in answer.warnings)

    assert told(model="bge-m3", objective="contrastive", finetune_batch=256)
    assert not told(model="bge-m3", objective="contrastive", finetune_batch=8)
    assert not told(model="1b", finetune_batch=256)


def test_what_takes_the_years_is_said():
    """100,000 pairs by one person are most of two years; served, an embedder answers nobody."""
    said = " ".join(estimate("finetune", model="bge-m3", gpu="a100", samples=1e5).warnings)
    written = " ".join(estimate("finetune", model="8b", gpu="a100", samples=1e5).warnings)

    assert "3,333 of the 3,413 hours before the first result: if pairs exist" in said
    assert "it embeds the question of each request" in said
    assert "if answers exist" in written
    assert "it embeds" not in written
