"""Work of training against published counts."""

import pytest

from estimator.catalog.models import architecture
from estimator.formulas import training
from estimator.formulas.transformer import params

pytestmark = pytest.mark.formula


@pytest.mark.parametrize(
    ("heads", "hidden", "layers", "batch", "accelerators", "tflops", "seconds"),
    [
        (16, 2304, 24, 512, 32, 137, 3.53),
        (96, 12288, 80, 2304, 1536, 148, 24.8),
        (160, 25600, 128, 3072, 3072, 163, 102.4),
    ],
)
def test_megatron_table(heads, hidden, layers, batch, accelerators, tflops, seconds):
    """arXiv:2104.04473 equation 3 with table 1's rows: the step time its achieved TFLOP/s stand for."""
    work = training.megatron_flop(batch, 2048, layers, hidden, 51200)

    assert work / (tflops * 1e12 * accelerators) == pytest.approx(seconds, rel=0.01), heads


def test_gpt3_days():
    """arXiv:2104.04473 section 5.1: 8 T P / (n X), 300 B tokens, 1,024 A100 at 140 TFLOP/s: 34 days."""
    work = training.dense_training_flop(175e9, 300e9, recompute=True)

    assert work / (1024 * 140e12) / 86400 == pytest.approx(34, rel=0.01)


def test_palm_mfu():
    """arXiv:2204.02311 appendix B: 238.3 k token/s of 540 B on 6,144 TPU v4 are 45.7 % without attention."""
    mfu = training.utilisation(6 * 540e9 * 238.3e3, 1.0, 6144, 275e12)

    assert mfu == pytest.approx(0.457, abs=0.001)


def test_model_flop_is_megatrons_without_recomputation():
    """Counted from the shape, GPT-3's step agrees with arXiv:2205.05198 equation 7."""
    gpt3 = architecture("gpt3-175b")
    counted = training.model_flop(gpt3, 2048, 64, causal=False)
    paper = training.megatron_flop(64, 2048, 96, 12288, gpt3.vocab, recompute=False)

    assert counted == pytest.approx(paper, rel=2e-3)


def test_lora_trainables():
    """arXiv:2106.09685 section 7.1 and table 4: r = 1 on query and value of GPT-3 are 4.7 M parameters."""
    gpt3 = architecture("gpt3-175b")

    assert training.adapter_params(gpt3, 1, "q,v") == pytest.approx(4.7e6, rel=0.01)
    assert training.adapter_params(gpt3, 8, "q,v") / params(gpt3) < 0.001


def test_target_names():
    """The frameworks' names for the same layers."""
    assert training.targeted_linears("q_proj,k_proj,v_proj,o_proj") == ("q", "k", "v", "o")
    assert training.targeted_linears("all linear") == training.LINEARS
    assert training.targeted_linears("linear_qkv, linear_proj") == ("q", "k", "v", "o")
    assert training.targeted_linears("something new") == training.LINEARS
