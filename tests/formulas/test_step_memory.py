"""Terms of a step's memory against real models that ran on fake tensors, and one of them run again."""

import sys
from pathlib import Path
from statistics import median, quantiles

import pytest

from estimator.formulas.step_memory import Held, Passing, Step, logit_bytes, moments

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


def test_every_moment_of_a_recomputing_step_by_hand():
    """16 of weights and states; 4 layers keep an input of 1; what comes beside them is of one moment alone."""
    held = Held(weights=6, states=10, gradients=8, earlier=5, of_layer=2, of_head=3, temporaries=7)
    passing = Passing(layer=9, inputs=1, alive=11, final=0.5, logits_forward=20, logits_backward=24)
    passing = passing._replace(casts=4, cast_layer=0.75, cast_head=0.25)
    found = moments(held, passing, 4, recompute=1)

    assert found.loss_forward == 16 + 5 + 4 + 0.5 + 20 + 4
    assert found.loss_backward == 16 + 5 + 4 + 0.5 + 24 + 1
    assert found.first_recomputed == 16 + 5 + 4 + 11 + 0.75
    assert found.middle == 16 + (8 - 1.5 - 3) + 11 + 1 + 0.75
    assert found.end == 16 + 8 + 1
    assert found.step == 16 + 8 + 7
    assert found.peak == 16 + 5 + 4 + 0.5 + 24 + 1


def test_moments_of_a_step_that_keeps_all_by_hand():
    """No earlier gradients: the first layer that is redone would wait for the output projection's; none is redone."""
    held = Held(weights=6, states=10, gradients=8, of_layer=2, of_head=3)
    passing = Passing(layer=9, inputs=1, alive=11, final=0.5, logits_forward=20, logits_backward=24)

    assert moments(held, passing, 4, recompute=1).first_recomputed == 16 + 3 + 4 + 11
    assert moments(held, passing, 4).first_recomputed == 0
    assert moments(held, passing, 4).middle == 16 + (8 - 1.5 - 3) + 9 + 1
    assert moments(held, passing, 4, tied=1).end == 16 + 8 + 2 * 3


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


def test_a_loss_in_pieces_has_eight_of_them_unless_said():
    assert logit_bytes("chunked head", Step(seq=128).chunks) == logit_bytes("chunked head") == (1.0, 1.5)
