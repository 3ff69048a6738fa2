"""Generations are facts: a new one is a file and a row, and no code names one."""

import ast
import re
from pathlib import Path

import pytest

import estimator
from estimator.catalog.accelerators import accelerator, accelerator_names, cluster
from estimator.catalog.efficiency import gemm_efficiency
from estimator.catalog.files import preset_files, rows, use_facts
from estimator.catalog.generations import generation
from estimator.catalog.models import architecture
from estimator.predict.training import parameters, training_step
from estimator.predict.training_plan import TrainingPlan, rates

CHIP = """
name = "Rubin of next year"
aliases = ["next"]
vendor = "NVIDIA"
generation = "Rubin"
kind = "gpu"

[[source]]
id = "announced"
title = "an announcement"
read_on = 2026-11-30
kind = "recalled"

[spec]
memory_gib = { value = 288, source = "announced" }
memory_bandwidth_bytes_per_s = { value = 13e12, source = "announced" }
bf16_flop_per_s = { value = 4e15, source = "announced" }
"""
PLAN = TrainingPlan(seq_len=4096, micro_batch=1, global_batch=64, zero=3)
KINDS = {"apple", "tpu"}  # of accelerators, not generations of them


@pytest.fixture
def facts(tmp_path):
    (tmp_path / "accelerators").mkdir()
    (tmp_path / "accelerators" / "rubin.toml").write_text(CHIP)
    yield tmp_path
    use_facts(None)


def _step_s():
    return float(training_step(architecture("llama-3.1-8b"), cluster("8xnext"), PLAN).step_s)


def test_a_new_generation_needs_no_code(facts):
    use_facts(facts)
    unlike_any, alone = gemm_efficiency(accelerator("next"), "bf16").evidence, _step_s()

    (facts / "generations.csv").write_text(
        "generation,family,attention,source,kind\nRubin,Blackwell,own,ours,derived\n"
    )
    use_facts(facts)
    like_blackwell, related = gemm_efficiency(accelerator("next"), "bf16").evidence, _step_s()

    assert unlike_any.transfer == "pool of gpu"
    assert "Rubin is taken to be like Blackwell" in like_blackwell.transfer
    assert like_blackwell.log_sd < unlike_any.log_sd
    assert rates(cluster("8xnext"), "bf16").family == "Blackwell"
    assert related != alone


def test_the_factor_of_a_family_is_fitted_by_its_name(facts):
    (facts / "generations.csv").write_text("generation,family,attention\nRubin,Rubin,shared\n")
    use_facts(facts)
    slower = {**parameters(), "gemm Rubin": 0.5}
    llm, machines = architecture("llama-3.1-8b"), cluster("8xnext")

    before, after = (training_step(llm, machines, PLAN, values) for values in (parameters(), slower))

    assert after.compute_s > 1.3 * before.compute_s


@pytest.mark.parametrize("row", rows(preset_files("generations.csv")[0]), ids=lambda row: row["generation"])
def test_listed_generations_are_those_of_accelerators_and_sourced(row):
    known = {accelerator(name).generation for name in accelerator_names()}

    assert row["generation"] in known
    assert row["family"] in known or row["generation"].startswith(row["family"])  # a name for all of them
    assert row["attention"] in ("own", "shared")
    assert row["source"]
    assert generation(row["generation"]).own_attention == (row["attention"] == "own")


def test_no_code_names_a_generation():
    chips = [accelerator(name).generation for name in accelerator_names()]
    names = {re.split(r"[ +]", chip)[0].lower() for chip in chips} - KINDS
    for path in Path(estimator.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = getattr(node, "id", None) or getattr(node, "attr", None)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                text = node.value
            assert names.isdisjoint(re.findall(r"[a-z0-9]+", (text or "").lower())), f"{path.name}: {text}"
