"""Matrices, biases, query-key pairs and recurrences of one layer, counted again one by one."""

import numpy as np
import pytest

from estimator.catalog.models import architecture
from estimator.formulas import layers, transformer
from estimator.records import Architecture, Attention, Block, Experts, LatentAttention, Matrix, Scan

PLAIN = Architecture("plain", 3, 64, 4, 2, 16, 96, 100)
SPANS = [(1, 0), (1, 7), (5, 0), (5, 3), (9, 11)]


def sizes(matrices):
    return {each.name: (each.rows, each.columns) for each in matrices}


def test_latent_projections_by_hand():
    latent = LatentAttention(q_lora_rank=6, kv_lora_rank=5, qk_nope_head_dim=4, qk_rope_head_dim=2, v_head_dim=3)
    direct = latent._replace(q_lora_rank=0)
    one = Attention(2, 2, 6, 3, 7)

    assert sizes(layers.attention_matrices(64, one, latent)) == {
        **{"q_a": (6, 64), "q_b": (2 * (4 + 2), 6), "kv_a": (5 + 2, 64), "kv_b": (2 * (4 + 3), 5), "o": (64, 2 * 3)}
    }
    assert sizes(layers.attention_matrices(64, one, direct))["q"] == (2 * (4 + 2), 64)


def test_a_pair_is_multiplied_and_added_for_keys_and_values():
    assert layers.pair_flop(Attention(4, 2, 16, 8, 48)) == 2 * 4 * (16 + 8)


@pytest.mark.parametrize(
    ("attention", "width"),
    [
        (Attention(4, 4, 16, 8, 20), 4 * (16 + 8)),  # a latent
        (Attention(4, 2, 16, 8, 20), 20),  # shared heads keep what they cache
        (Attention(4, 4, 16, 8, 32), 32),  # values alone
        (Attention(4, 4, 16, 16, 128), 128),
    ],
)
def test_keys_and_values_are_as_wide_as_scores_see_them(attention, width):
    assert layers.kept_width(attention) == width


@pytest.mark.parametrize(("new", "cached"), SPANS)
@pytest.mark.parametrize("window", [1, 4, 50])
def test_pairs_one_by_one(new, cached, window):
    places = range(cached + 1, cached + new + 1)
    new, cached = np.array(float(new)), np.array(float(cached))

    assert layers.windowed_pairs(new, cached, window) == sum(min(place, window) for place in places)
    assert layers.chunked_pairs(new, cached, window) == sum((place - 1) % window + 1 for place in places)


@pytest.mark.parametrize("tokens", [1, 2, 5, 20])
@pytest.mark.parametrize("window", [2, 4, 5, 100])
def test_pairs_both_ways_one_by_one(tokens, window):
    near = sum(abs(a - b) <= window // 2 for a in range(tokens) for b in range(tokens))

    assert layers.mutual_pairs(np.array(float(tokens)), np.array(0.0), window) == near
    assert layers.mutual_pairs(np.array(float(tokens)), np.array(3.0), None) == tokens * (tokens + 3)


def test_causal_attention_of_all_layers_by_hand():
    assert transformer.attention_flop(PLAIN, 5, 3) == 3 * 2 * 4 * 32 * (4 + 5 + 6 + 7 + 8)
    assert transformer.scores(PLAIN, 5, 3) == 3 * 4 * (4 + 5 + 6 + 7 + 8)


def test_an_indexer_scores_everything_and_lets_a_few_through():
    sparse = Attention(4, 2, 16, 16, 64, index_heads=3, index_dim=7, top_k=2)
    llm = PLAIN._replace(blocks=(Block(3, (Matrix("q", 64, 64),), attention=(sparse,)),))

    looked_at, scored = 1 + 2 + 2 + 2, 1 + 2 + 3 + 4
    assert transformer.attention_flop(llm, 4) == 3 * (2 * 4 * 32 * looked_at + 2 * 3 * 7 * scored)


def test_logits_are_computed_of_the_tokens_that_are_asked():
    weights, head = transformer.matmul_params(PLAIN, with_head=False), transformer.head_params(PLAIN)

    assert head == 100 * 64
    assert transformer.forward_flop(PLAIN, 5, 0, 1) == 2 * weights * 5 + 2 * head + transformer.attention_flop(PLAIN, 5)
    assert transformer.forward_flop(PLAIN, 5) - transformer.forward_flop(PLAIN, 5, 0, 1) == 2 * head * 4


@pytest.mark.parametrize(
    ("kind", "per_head"),
    [
        ("delta", 2 * 4 * (3 * 2 + 2 * 3) + 6 * 6),
        ("linear", 2 * 4 * (2 + 3) + 4 * 6),
        ("ssd", 2 * 4 * (2 + 3) + 4 * 6),
        ("selective", 7 * 6),
        ("gated", 7 * 6),
        ("conv", 0),
    ],
)
def test_recurrences_by_hand(kind, per_head):
    scan = Scan(kind, heads=5, key_dim=2, value_dim=3, conv_values=11, chunk=4, state_bytes=4.0)
    single = {"delta": 6 * 6, "linear": 4 * 6, "ssd": 4 * 6}.get(kind, per_head)

    assert layers.scan_flop(scan, np.array(8.0)) == 8 * (5 * per_head + 2 * 11)
    assert layers.scan_flop(scan, np.array(1.0)) == 5 * single + 2 * 11
    assert layers.state_bytes(scan, 2.0) == 5 * 2 * 3 * 4 + 11 * 2


def test_biases_and_norms_are_counted_where_there_are_any():
    def more(**fields):
        return transformer.params(PLAIN._replace(**fields)) - transformer.params(PLAIN)

    assert more(qkv_bias=True) == 3 * (4 * 16 + 2 * 2 * 16)
    assert more(out_bias=True) == 3 * 64
    assert more(mlp_bias=True) == 3 * (2 * 96 + 64)
    assert more(mlp_bias=True, gated_mlp=False) == 3 * (96 + 64 - 96 * 64)
    assert more(qk_norm="head") == 3 * 2 * 16
    assert more(qk_norm="full") == 3 * (4 * 16 + 2 * 16)
    assert more(norms_per_layer=4) == 3 * 2 * 64
    assert more(learned_positions=512) == 512 * 64


def test_experts_shared_experts_and_a_router_by_hand():
    experts = Experts(experts=8, per_token=2, ffn=24, shared=1, first_dense_layers=1)
    mixed = PLAIN._replace(experts=experts)
    dense, one = 3 * 96 * 64, 3 * 24 * 64

    assert transformer.params(mixed) - transformer.params(PLAIN) == 2 * (9 * one + 8 * 64 - dense)
    assert transformer.params(mixed) - transformer.active_params(mixed) == 2 * 6 * one


def test_latent_attention_has_two_norms_of_its_own():
    llm = PLAIN._replace(kv_heads=4, latent=LatentAttention(6, 5, 4, 2, 3))
    block = transformer.blocks(llm)[0]

    assert block.vectors == 2 * 64 + 6 + 5


def test_layers_with_and_without_a_window():
    llm = PLAIN._replace(sliding_window=2, global_layers=1)

    assert transformer.scores(llm, 4) == 4 * ((1 + 2 + 3 + 4) + 2 * (1 + 2 + 2 + 2))


@pytest.mark.parametrize(
    ("scan", "parts"),
    [
        (Scan("ssd", heads=6), 2),  # 4 heads of attention, 6 of the recurrence
        (Scan("delta", heads=8), 4),
        (Scan("selective"), 4),  # no heads: its channels are cut, 64 of them
        (Scan("gated", heads=8), 1),
    ],
)
def test_tensor_groups_divide_all_heads_there_are(scan, parts):
    rows = (Matrix("q", 64, 64),)
    blocks = (Block(1, rows, attention=(Attention(4, 2, 16, 16, 64),)), Block(2, rows, scans=(scan,)))

    assert transformer.tensor_parts(PLAIN._replace(blocks=blocks)) == parts


@pytest.mark.parametrize(
    ("llm", "widths"), [("deepseek-v3", 1.0), ("qwen1.5-moe-a2.7b", 4.0), ("mixtral-8x7b", 0.0), ("llama-3.1-8b", 0.0)]
)
def test_experts_that_all_tokens_share_by_hand(llm, widths):
    """Of their config.json: n_shared_experts of DeepSeek-V3; 5,632 over 1,408 of Qwen; nobody's of Mixtral."""
    assert transformer.shared_experts(architecture(llm)) == pytest.approx(widths)


@pytest.mark.parametrize(("llm", "params"), [("bge-base-en-v1.5", 109_482_240), ("bge-large-en-v1.5", 335_141_888)])
def test_bert_has_the_parameters_of_its_weight_file(llm, params):
    """With token types, norms of embeddings, and the pooler."""
    assert transformer.params(architecture(llm)) == params
