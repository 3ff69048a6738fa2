"""Frameworks' habits: the file's words are those the code knows, and longer names win over shorter ones in them."""

from typing import get_args

import pytest

from estimator.catalog.files import preset_files, rows
from estimator.catalog.frameworks import Kernels, States, framework, named_framework
from estimator.errors import UnknownName
from estimator.formulas.memory import MIXED_PRECISION

ROWS = rows(preset_files("frameworks.csv")[0])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["match"])
def test_words_are_known(row):
    """Every cell of a closed vocabulary, and a source."""
    assert row["kernels"] in get_args(Kernels)
    assert row["states"] in get_args(States)
    assert row["states"] in MIXED_PRECISION
    assert row["attention"] in ("cudnn", "flash2", "flash1")
    assert row["optimizer_step"] in ("fused", "foreach")
    assert row["flop_convention"] in ("model", "hardware")
    assert row["attention_counted"] in ("causal", "full")
    assert row["ends"] in ("tied", "apart")
    assert row["segments"] in ("fixed", "expandable")
    assert row["root"] in ("whole", "split")
    assert 0 <= float(row["step_copies_bytes"]) <= 16
    assert row["buckets"] in ("0", "1")
    assert {row[name] for name in ("model_parallel", "interleaves", "overlap", "sequence_parallel")} <= {"0", "1"}
    assert row["source"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["match"])
def test_every_row_can_be_reached(row):
    """No earlier name is part of this one."""
    assert framework(row["match"]).name == row["match"]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("HF Trainer+PEFT+DeepSpeed", "deepspeed"),
        ("Megatron-DeepSpeed", "megatron-deepspeed"),
        ("NVIDIA NeMo 24.07", "nemo"),
        ("PyTorch FSDP", "fsdp"),
        ("nobody's", ""),
    ],
)
def test_names_as_people_write_them(name, match):
    """Case and additions do not matter; an unknown name is not taken for a known one."""
    assert framework(name).name == match
    assert framework(name).known == bool(match)


def test_a_name_nobody_knows_is_refused_where_a_user_gives_it():
    with pytest.raises(UnknownName, match="'torchtitan'"):
        named_framework("torchtitn")
    assert named_framework("") == ""
