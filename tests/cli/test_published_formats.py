"""What people type about the checkpoint in front of them: it fits what it needs, in the format it is published in."""

import json

import pytest

from estimator.cli import main

AWQ_14B = {
    "model_type": "qwen3", "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40, "head_dim": 128,
    "num_key_value_heads": 8, "intermediate_size": 17408, "vocab_size": 151936, "max_position_embeddings": 40960,
    "torch_dtype": "float16", "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}  # fmt: skip
FITS = [
    ("gpt-oss-120b", "h100-sxm", 1, [], "mxfp4 (experts), bf16 (all else), as published"),
    ("deepseek-r1", "h200-sxm", 8, [], "fp8 (layers), bf16 (all else), as published"),
    ("AWQ", "rtx-4090", 1, ["--set", "prompt_tokens=40000", "--set", "output_tokens=960"], "awq (layers), fp16 (all"),
]
NAMES = [
    "qwen3-next", "qwen3-vl", "llama-3.2-11b-vision", "falcon-h1", "jamba", "bamba", "nemotron-h", "lfm2",
    "granite-4-hybrid", "gemma-3n", "kimi-k2", "minimax", "glm-4.5", "olmo-3",
]  # fmt: skip


@pytest.fixture
def said(capsys, tmp_path):
    """What the command answers, its lines joined; AWQ stands for a folder with such a config.json."""
    (tmp_path / "config.json").write_text(json.dumps(AWQ_14B))

    def saying(*words, status=0):
        assert main([str(tmp_path) if word == "AWQ" else word for word in words]) == status
        shown = capsys.readouterr()
        return " ".join((shown.err if status else shown.out).split())

    return saying


@pytest.mark.parametrize(("llm", "gpu", "count", "request_", "stored"), FITS, ids=[case[0] for case in FITS])
def test_a_published_checkpoint_fits_what_it_needs(said, llm, gpu, count, request_, stored):
    found = said("recommend", "--fit", "serve", "--model", llm, "--gpu", gpu, *request_)

    assert f"cheapest per hour first: {count} x {gpu}" in found
    assert stored in found
    tokens = ["--prompt-tokens", "40000", "--output-tokens", "960"] if request_ else []
    assert stored in said("layout", "serve", "--model", llm, "--gpu", gpu, *tokens, "--format", "json")
    assert stored in said("compare", "--model", llm, "--gpu", gpu)
    assert stored in said("recommend", "--model", llm, "--gpu", gpu)


def test_the_longest_context_is_the_llms_own(said):
    assert "40,960 tokens" in said("recommend", "--largest", "context", "--model", "AWQ", "--gpu", "1xrtx-4090")


@pytest.mark.parametrize("name", NAMES)
def test_families_are_known_by_what_people_call_them(said, name):
    assert "Fine-tuning" in said("compare", "--model", name, "--gpu", "h200")
    assert "finetune" in said("estimate", "finetune", "--model", name, "--gpu", "64xh200", "--format", "json")
    assert "as published" in said("layout", "serve", "--model", name, "--gpu", "h100")


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "--model", "bge-m3"],
        ["compare", "--model", "bge-m3", "--gpu", "h100"],
        ["layout", "serve", "--model", "bge-m3", "--gpu", "h100"],
        ["recommend", "--fit", "serve", "--model", "bge-m3"],
        ["recommend", "--largest", "users", "--model", "bge-m3", "--gpu", "h100"],
    ],
)
def test_an_encoder_is_refused_with_the_reason(said, words):
    assert "bge-m3 embeds texts and answers no questions" in said(*words, status=2)


LONG = ["--set", "prompt_tokens=100000"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["layout", "serve", "--prompt-tokens", "100000"], "100,250 tokens exceeds the 8,192 that llama-3-8b holds"),
        (["recommend", "--fit", "serve", *LONG], "100,250 tokens exceeds the 8,192 that llama-3-8b holds"),
        (["estimate", "prompt", *LONG], "exceeds the 8,192 that llama-3-8b holds"),
        (["estimate", "rag", *LONG], "exceeds the 8,192 that llama-3-8b holds"),
        (["estimate", "finetune", *LONG], "exceeds the 8,192 that llama-3-8b holds"),
    ],
)
def test_requests_beyond_the_context_are_refused(said, words, why):
    assert why in said(*words, "--model", "llama-3-8b", "--gpu", "h100", status=2)


@pytest.mark.parametrize(
    "words",
    [
        ["estimate", "finetune", "--gpu", "h100", "--set", "finetune_seq_len=4096"],
        ["recommend", "--fit", "finetune", "--set", "finetune_seq_len=4096"],
        ["layout", "finetune", "--gpu", "8xh100", "--set", "seq_len=4096"],
    ],
)
def test_learned_positions_cannot_be_tuned_beyond(said, words):
    assert "gpt2-xl has learned 1,024 positions" in said(*words, "--model", "gpt2-xl", status=2)


@pytest.mark.parametrize(
    "words",
    [
        ["estimate", "finetune", "--gpu", "8xh100", "--set", "finetune_seq_len=16384"],
        ["layout", "finetune", "--gpu", "8xh100", "--set", "seq_len=16384"],
    ],
)
def test_rotary_positions_are_tuned_beyond_with_a_warning(said, words):
    assert "reach beyond the 4,096 positions that llama-2-7b was trained at" in said(*words, "--model", "llama-2-7b")


@pytest.mark.parametrize("llm", ["kimi-k2", "deepseek-r1"])
def test_layers_that_no_pipeline_divides_are_cut_across_nodes(said, llm):
    """61 layers are prime: two nodes of 80 GB hold them as one tensor group."""
    found = json.loads(said("layout", "serve", "--model", llm, "--gpu", "h100", "--format", "json"))

    assert (found["best"]["accelerators"], found["best"]["layout"]["tp"]) == (16, 16)
