"""The chance that a plan fits: said first, the same everywhere, and with advice that is none where it is so already."""

import pytest

from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.catalog.plan_fields import plan_fields
from estimator.cli.main import main
from estimator.predict.chance import SURELY, fit_chance
from estimator.predict.serving import Traffic, sequence_bytes, serving
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training import TrainingPlan, training_step
from estimator.predict.training_changes import helpful
from estimator.scenario import default_scenario
from estimator.stages.served import fit_chance as replica_chance

PLAN = {"seq_len": 2048, "global_batch": 64, "tp": 1, "pp": 1, "framework": "HF Trainer"}


def test_the_usual_chance_is_one():
    goal = plan_fields("training", "training_goal")["fit_chance"].value

    assert default_scenario().amount("fit_chance").value == goal == SURELY


def test_more_room_is_a_higher_chance():
    found = [float(fit_chance(60e9, usable, (0.18, 0.22))) for usable in (50e9, 60e9, 70e9, 80e9)]

    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("taken", "never"),
    [
        ({"method": "lora", "micro_batch": 1, "recompute": "full"}, {"micro-batch 1", "full recompute", "LoRA"}),
        ({"method": "qlora", "micro_batch": 4, "recompute": "full"}, {"full recompute", "LoRA", "QLoRA"}),
        (
            {"method": "full", "micro_batch": 1, "optimizer": "adamw_8bit", "cpu_offload": "optimizer"},
            {"micro-batch 1", "an 8-bit optimizer", "optimizer in host memory"},
        ),
    ],
)
def test_nothing_is_advised_that_is_so_already(taken, never):
    llm, machine, plan = architecture("llama-2-13b"), cluster("1xrtx-4090"), TrainingPlan(**PLAN | taken)
    step = training_step(llm, machine, plan)

    changes = helpful(llm, machine, plan, step, SURELY)

    assert not never & {change.words for change in changes}
    assert all(change.fit_chance > float(step.fit_chance) for change in changes)


@pytest.mark.parametrize(
    "words",
    [
        "estimate finetune --model 7b --gpu a100",
        "estimate pretrain --model 1b --gpu 8xa100",
        "layout finetune --model 1b --gpu 1xa100",
        "recommend --fit finetune --model 7b --gpu a100",
    ],
)
def test_the_verdict_is_the_first_line(words, capsys):
    assert main(words.split()) == 0
    assert capsys.readouterr().out.startswith("Fits: ")


def test_a_replica_that_holds_a_request_to_the_byte_fits_with_even_chances():
    """Weights, activations, reserve and the cache of the request together are all there is."""
    llm, one, plan = architecture("8b"), cluster("1xh100"), ServingPlan()
    traffic = Traffic(1000.0, 100.0)
    found = serving(llm, one, plan, traffic)
    held = float(sequence_bytes(llm, plan, 1100.0))
    full = one.accelerator.memory_bytes - found.weights_bytes - found.activations_bytes - held

    assert replica_chance(llm, one, plan, found._replace(reserve_bytes=full), traffic) == 0.5
    assert replica_chance(llm, one, plan, found._replace(reserve_bytes=full / 2), traffic) > 0.9


def own_code_step(framework, recompute):
    chatglm = architecture("chatglm3-6b")
    plan = TrainingPlan(1024, 8, 64, zero=2, recompute=recompute, framework=framework, **{"tp": 1, "pp": 1})
    return training_step(chatglm, cluster("4xa800"), plan)


def test_code_that_recomputes_nothing_is_counted_so():
    asked, none = own_code_step("trl", "full"), own_code_step("trl", "none")

    assert float(asked.need_bytes) == float(none.need_bytes) > 85e9
    assert float(own_code_step("llama-factory", "full").need_bytes) < 60e9  # which goes around it
    assert float(own_code_step("megatron", "full").need_bytes) < 60e9  # which writes the layers anew


def test_what_may_be_recomputed_or_not_is_evaluated_both_ways():
    chatglm = architecture("chatglm3-6b")
    (code,) = [each for each in chatglm.own_code if 0 < each.recomputes < 1]
    unsure = chatglm._replace(own_code=(code._replace(framework="", release=""),))
    plan = TrainingPlan(1024, 8, 64, tp=1, pp=1, zero=2, recompute="full", framework="trl")

    found = float(training_step(unsure, cluster("4xa800"), plan).fit_chance)

    never, always = (float(own_code_step(name, "full").fit_chance) for name in ("trl", "llama-factory"))
    assert found == pytest.approx(code.recomputes * always + (1 - code.recomputes) * never)
