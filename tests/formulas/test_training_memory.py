"""Memory formulas against the figures of the papers they come from."""

import numpy as np
import pytest

from estimator.formulas import memory

pytestmark = pytest.mark.formula


def test_zero_table():
    """arXiv:1910.02054 figure 1: a 7.5 B model on 64 GPUs."""
    totals = [sum(memory.zero_bytes(7.5e9, memory.MIXED_PRECISION["deepspeed"], stage, 64)) for stage in range(4)]

    assert np.round(np.array(totals) / 1e9, 1).tolist() == [120.0, 31.4, 16.6, 1.9]


def test_bytes_per_parameter():
    """arXiv:1910.02054 section 3.1 (16 bytes); Megatron keeps fp32 gradients (18); all in 16 bits is half."""
    assert memory.MIXED_PRECISION["deepspeed"].total == 16
    assert memory.MIXED_PRECISION["megatron"].total == 18
    totals = {name: states.total for name, states in memory.MIXED_PRECISION.items()}
    assert totals == {
        **{"megatron": 18, "megatron-bf16": 16, "deepspeed": 16, "mixed": 16, "amp": 16, "pure-master": 16},
        **{"pure": 8, "pure-lora": 8},
    }
    assert memory.FULL_PRECISION.total == 16


@pytest.mark.parametrize(("hidden", "heads", "saved"), [(12288, 96, 0.70), (20480, 128, 0.65)])
def test_selective_recomputation_saves(hidden, heads, saved):
    """arXiv:2205.05198 section 5: 70 % and 65 % of the activations of GPT-3 and MT-NLG (tensor parallelism aside)."""
    everything = memory.gpt_activation_bytes(2048, 1, hidden, heads)
    selective = memory.gpt_activation_bytes(2048, 1, hidden, heads, selective=True)

    assert 1 - selective / everything == pytest.approx(saved, abs=0.005)


def test_activation_table():
    """arXiv:2205.05198 table 2, in units of s b h: each technique on its own, t = 8, 5as/h = 80."""
    unit = 2048 * 12288
    whole = memory.gpt_activation_bytes(2048, 1, 12288, 96, 8) / unit
    sequence = memory.gpt_activation_bytes(2048, 1, 12288, 96, 8, sequence_parallel=True) / unit
    both = memory.gpt_activation_bytes(2048, 1, 12288, 96, 8, sequence_parallel=True, selective=True) / unit

    assert [whole, sequence, both] == pytest.approx([10 + 24 / 8 + 80 / 8, (34 + 80) / 8, 34 / 8])


def test_saved_values_agree_with_the_papers_count():
    """arXiv:2205.05198 section 4.1: 34 s b h with its dropout masks (3 h bytes); 16 values of 2 bytes without."""
    whole, split = memory.saved_values(1.0, 1.0, 2.0, 4.0, 0.0)

    assert 2 * (whole + split) + 3 == pytest.approx(34, abs=3.1)
