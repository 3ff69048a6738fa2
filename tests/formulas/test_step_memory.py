"""Terms of a step's memory against real models that ran on fake tensors, and one of them run again."""

import sys
from pathlib import Path
from statistics import median, quantiles

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from step_cases import Case, errors, parts, read, table

RUNS = read()
PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


@pytest.mark.prediction
@pytest.mark.parametrize("part", ["weights", "states", "gradients"])
def test_states_are_exact(part):
    """But for buffers of rotations and the counters of steps, some bytes each."""
    assert max(map(abs, errors(RUNS, part))) < 1e-4


@pytest.mark.prediction
def test_the_peak_is_near_whatever_the_run_does():
    found = [abs(error) for error in errors(RUNS, "peak")]

    assert len(found) >= 150
    assert median(found) <= 0.01
    assert quantiles(found, n=10)[-1] <= 0.02
    assert max(found) <= 0.03


@pytest.mark.prediction
@pytest.mark.parametrize("part", ["saved", "logits", "forward", "backward", "step"])
def test_every_part_is_near(part):
    found = [abs(error) for error in errors(RUNS, part)]

    assert median(found) <= 0.01
    assert quantiles(found, n=10)[-1] <= 0.05


def test_the_page_shows_the_table():
    assert table(RUNS) in PAGE.read_text(encoding="utf-8"), "run python benchmarks/memory_oracle.py"


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.parametrize("change", [{}, {"recompute": "full"}, {"lora_rank": 8}, {"precision": "amp_bf16"}])
def test_a_small_model_runs_as_foretold(change):
    pytest.importorskip("transformers", "5.0", reason="the oracle runs models of transformers 5")
    pytest.importorskip("peft", reason="adapters are those of peft")
    import memory_oracle

    case = Case("llama-3.2-1b", layers=2, seq_len=1024, **change)

    assert parts(case)["peak"] == pytest.approx(memory_oracle.run(case).peak, rel=0.02)


def test_an_allocation_counts_until_nobody_has_it():
    """The oracle's own count, against sizes known by hand: 1,000 floats and a product of them."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers", "5.0")
    import memory_oracle

    alive = memory_oracle.Alive(vocab=10, least=1)
    with alive:
        first = torch.ones(100, 10)
        second = first.view(10, 100) * 2
        del first
    assert (alive.now, alive.most, alive.logits) == (4000, 8000, 0)
    del second
    assert alive.now == 0
