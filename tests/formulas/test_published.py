"""Published worked examples redone: the achieved speed may be given, only the arithmetic is on trial."""

import csv
import re

import numpy as np
import pytest

from estimator.catalog.facts import fact
from estimator.catalog.models import architecture
from estimator.formulas import alignment, energy, reliability, scaling, transformer
from estimator.formulas.memory import MIXED_PRECISION
from estimator.formulas.training import dense_training_flop
from estimator.formulas.units import DAY_S
from estimator.paths import data_folder
from estimator.predict.retrieval import IndexPlan, index_memory_bytes

pytestmark = pytest.mark.formula


def test_gpt3_on_1024_a100_takes_34_days():
    """arXiv:2104.04473 section 5.1: 175B parameters, 300B tokens, 140 TFLOP/s each, 34 days."""
    seconds = dense_training_flop(175e9, 300e9, recompute=True) / (1024 * 140e12)

    assert seconds / DAY_S == pytest.approx(34, rel=0.01)


def test_1t_parameters_on_3072_a100_take_84_days():
    """arXiv:2104.04473 section 5.1: 1T parameters, 450B tokens, 163 TFLOP/s each, 84 days."""
    seconds = dense_training_flop(1e12, 450e9, recompute=True) / (3072 * 163e12)

    assert seconds / DAY_S == pytest.approx(84, rel=0.01)


def test_gpt3_training_flop():
    """arXiv:2005.14165 table D.1: 3.14e23 FLOP for GPT-3 175B on 300B tokens."""
    assert dense_training_flop(174.6e9, 300e9) == pytest.approx(3.14e23, rel=0.005)


def test_kv_cache_of_llama_2_7b_is_half_a_mebibyte():
    assert float(transformer.kv_bytes(architecture("llama-2-7b"), 1)) == 0.5 * 2**20


def test_kv_cache_of_llama_3_8b_is_128_kibibytes():
    assert float(transformer.kv_bytes(architecture("llama-3-8b"), 1)) == 128 * 2**10


def test_kv_cache_of_opt_13b_is_800_kilobytes():
    """arXiv:2309.06180 section 3: 2 x 5120 x 40 x 2 bytes."""
    assert float(transformer.kv_bytes(architecture("opt-13b"), 1)) == 2 * 5120 * 40 * 2


def test_mla_caches_576_values_a_layer():
    """arXiv:2412.19437 section 4.2: 512 latent and 64 rotary values, 61 layers."""
    assert float(transformer.kv_bytes(architecture("deepseek-v3"), 1)) == 61 * 576 * 2


def test_lora_does_two_thirds_of_the_work():
    ratio = alignment.sft_flop_per_token(1.0, 0.0) / alignment.sft_flop_per_token(1.0, 1.0)

    assert ratio == pytest.approx(fact("lora_flop_ratio").value, abs=1e-3)


def test_mixed_precision_adam_holds_16_bytes_a_parameter():
    """arXiv:1910.02054 section 3.1: 2 + 2 + 12."""
    states = MIXED_PRECISION["deepspeed"]

    assert states.weights + states.gradients + states.master + states.moments == 16


def law(prefix: str, *names: str) -> dict[str, float]:
    """Constants by symbol."""
    return {name: fact(f"{prefix}/{name}").value for name in names}


def test_data_constrained_loss_at_the_published_points():
    """huggingface/datablations README: L(6.34e9, 242e9 tokens of 25e9 unique) = 2.2256, L(8.67e9, 178e9) = 2.2270."""
    constants = law("data_constrained", "E", "A", "B", "alpha", "beta")
    repeats, surplus = fact("data_constrained/R_D").value, fact("data_constrained/R_N").value
    for key, n, d in (("6.34b_242b_25b", 6.34e9, 242e9), ("8.67b_178b_25b", 8.67e9, 178e9)):
        tokens = scaling.effective_tokens(d, 25e9, repeats)
        unique_n = min(n, float(optimal_params_for(25e9, constants)))
        params = scaling.effective_tokens(n, unique_n, surplus)
        loss = scaling.loss(params, tokens, **constants)

        assert loss == pytest.approx(fact(f"data_constrained_check/{key}").value, abs=2e-4)


def optimal_params_for(tokens: float, constants: dict[str, float]) -> float:
    """Parameters for which so many tokens are compute-optimal, on the frontier G."""
    a, b = constants["alpha"], constants["beta"]
    G = (a * constants["A"] / (b * constants["B"])) ** (1 / (a + b))
    return (tokens * G) ** (b / a) * G


def test_chinchilla_is_near_its_own_optimum():
    """arXiv:2404.10102: with the refit constants about 20 tokens a parameter are optimal at Chinchilla's budget."""
    constants = law("chinchilla_besiroglu", "A", "B", "alpha", "beta")

    assert float(scaling.optimal_tokens(70e9, **constants)) / 70e9 == pytest.approx(20, rel=0.15)


def test_chinchilla_loss_at_the_published_point():
    """arXiv:2203.15556 appendix D.3 with its own constants: 70B parameters on 1.4T tokens, 1.936 nats."""
    constants = law("chinchilla_hoffmann_rounded", "E", "A", "B", "alpha", "beta")

    assert float(scaling.loss(70e9, 1.4e12, **constants)) == pytest.approx(1.936, abs=0.002)


def test_llama_3_was_interrupted_every_three_hours():
    """arXiv:2407.21783 section 3.3.4: 419 unexpected interruptions in 54 days on 16,384 GPUs (2,048 nodes)."""
    per_1000 = 1000 * 419 / (54 * 2048)
    hours = reliability.time_between_interruptions_s(2048, per_1000) / 3600

    assert hours == pytest.approx(54 * 24 / 419, rel=1e-9)


def test_goodput_of_llama_3_is_above_90_percent():
    """The same section: more than 90 % effective training time, with checkpoints that block for seconds."""
    between = reliability.time_between_interruptions_s(2048, 3.79)
    interval = reliability.checkpoint_interval_s(10.0, between)

    assert reliability.goodput(interval, 10.0, 300.0, between) > 0.9


def test_bloom_emitted_about_25_tonnes():
    """arXiv:2211.02001 table 3: 433,196 kWh at 57 gCO2e/kWh is 24.7 t."""
    assert energy.emissions_g(433_196 * 3.6e6, 57) / 1e6 == pytest.approx(24.7, abs=0.05)


def index_rows() -> list[dict[str, str]]:
    """Indexes that were really built and measured."""
    with (data_folder("calibration") / "published" / "index_sizes.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if re.fullmatch(r"HNSW\d+,Flat", row["factory"])]


def test_hnsw_bytes_per_vector_within_one_percent():
    rows = index_rows()
    assert rows
    for row in rows:
        m = int(row["factory"].removeprefix("HNSW").removesuffix(",Flat"))
        plan = IndexPlan(float(row["n_vectors"]), float(row["dim"]), m=m)

        assert float(index_memory_bytes(plan)) == pytest.approx(float(row["measured_bytes"]), rel=0.01)


def test_active_parameters_of_mixtral():
    """arXiv:2401.04088 section 1: 47B parameters, 13B active."""
    mixtral = architecture("mixtral-8x7b")

    assert transformer.params(mixtral) / 1e9 == pytest.approx(47, abs=0.5)
    assert transformer.active_params(mixtral) / 1e9 == pytest.approx(13, abs=0.5)


def test_attended_pairs_of_a_window_by_brute_force():
    gemma = architecture("gemma-2-2b")
    window, full = gemma.sliding_window or 0, gemma.full_attention_layers
    new, cached = 7_000, 3_000
    context = np.arange(cached + 1, cached + new + 1)
    pairs = full * context.sum() + (gemma.layers - full) * np.minimum(context, window).sum()

    assert float(transformer.attended_pairs(gemma, new, cached)) == pairs
