"""Training steps: what must hold for any plan, and that layouts are found in one call."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalog.accelerators import cluster
from estimator.catalog.models import architecture
from estimator.errors import DoesNotFit, InvalidInput
from estimator.formulas.transformer import params
from estimator.predict.training import TrainingPlan, best_layout, interval, layouts_of, training_step, traits
from estimator.predict.training_memory import context_bytes
from estimator.predict.training_plan import run

LLAMA = architecture("llama-3.1-8b")
GPT3 = architecture("gpt3-175b")
EIGHT = cluster("8xa100")
PLAN = TrainingPlan(seq_len=2048, micro_batch=2, global_batch=64, zero=3, recompute="full")
PARTS = ("compute_s", "exposed_communication_s", "bubble_s", "optimizer_s", "host_s")

plans = st.builds(
    TrainingPlan,
    seq_len=st.sampled_from([512, 2048, 8192]),
    micro_batch=st.sampled_from([1, 2, 4]),
    global_batch=st.sampled_from([32, 64, 256]),
    tp=st.sampled_from([1, 2, 4]),
    pp=st.sampled_from([1, 2]),
    zero=st.sampled_from([0, 1, 2, 3]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    precision=st.sampled_from(["bf16", "fp16", "fp32", "fp8", "amp_bf16"]),
    method=st.sampled_from(["full", "lora", "qlora"]),
    optimizer=st.sampled_from(["adamw", "adamw_8bit", "paged_adamw_8bit", "lion", "sgd", "muon", "adafactor"]),
    cpu_offload=st.sampled_from(["", "optimizer", "activations", "all"]),
    fused_attention=st.booleans(),
    framework=st.sampled_from(["", "Megatron-LM", "HF Trainer", "torchtitan", "my own"]),
)


def held(plan, llm=LLAMA, machines=EIGHT):
    """Peak memory of a plan [B]."""
    return float(training_step(llm, machines, plan).memory.total)


def pace(plan, llm=LLAMA, machines=EIGHT):
    """Tokens per second and accelerator of a plan."""
    return float(training_step(llm, machines, plan).tokens_per_s_per_accelerator)


@settings(deadline=None, max_examples=60)
@given(plan=plans)
def test_parts_add_up_and_are_physical(plan):
    """Time and memory are sums of parts none of which is negative, and no step is faster than its peak."""
    step = training_step(LLAMA, EIGHT, plan)
    parts = [float(getattr(step, part)) for part in PARTS]
    memory = [float(getattr(step.memory, name)) for name in step.memory._fields]

    assert sum(parts) == pytest.approx(float(step.step_s), rel=1e-9)
    assert sum(memory) == pytest.approx(float(step.memory.total), rel=1e-9)
    assert min(parts) >= -1e-9 * float(step.step_s)
    assert min(memory) >= 0
    assert 0 < float(step.mfu) <= float(step.hfu) < 1


@settings(deadline=None, max_examples=30)
@given(plan=plans)
def test_frozen_weights_save_memory(plan):
    """QLoRA <= LoRA <= full fine-tuning."""
    qlora, lora, full = (held(replace(plan, method=method)) for method in ("qlora", "lora", "full"))

    assert qlora <= lora
    # Adapters keep a copy of every input (dropout): with nothing recomputed that can outweigh what states they save.
    states_count = plan.optimizer in ("adamw", "lion", "muon") and plan.cpu_offload in ("", "activations")
    if states_count and plan.recompute == "full":
        assert lora <= full


@settings(deadline=None, max_examples=30)
@given(plan=plans)
def test_longer_sequences_cost_more(plan):
    """Twice the context takes more memory, and more time for the same number of sequences."""
    longer = replace(plan, seq_len=2 * plan.seq_len)
    short, long = training_step(LLAMA, EIGHT, plan), training_step(LLAMA, EIGHT, longer)

    assert long.memory.total > short.memory.total
    assert long.step_s > short.step_s


@settings(deadline=None, max_examples=30)
@given(plan=plans)
def test_sharding_and_recomputing_save_memory(plan):
    """More ZeRO, more recomputation, a smaller optimizer or a host's memory: never more on the accelerator."""
    flat = replace(plan, pp=1)
    stages = [held(replace(flat, zero=zero)) for zero in (0, 1, 2)]
    recomputed = [held(replace(flat, recompute=how)) for how in ("none", "full")]

    assert stages == sorted(stages, reverse=True)
    assert recomputed == sorted(recomputed, reverse=True)
    assert held(replace(plan, cpu_offload="optimizer")) <= held(replace(plan, cpu_offload="")) + 1
    assert held(replace(plan, optimizer="adamw_8bit")) <= held(replace(plan, optimizer="adamw")) + 1


def test_whole_weights_where_zero_3_helps():
    """ZeRO-3 holds an eighth of the weights on eight accelerators."""
    sharded, whole = (training_step(LLAMA, EIGHT, replace(PLAN, zero=zero)).memory for zero in (3, 0))

    assert float(sharded.weights) == pytest.approx(float(whole.weights) / 8)


def test_optimizer_in_backward_keeps_no_gradients():
    """Gradients are used as they come."""
    usual = training_step(LLAMA, EIGHT, PLAN).memory
    merged = training_step(LLAMA, EIGHT, replace(PLAN, optimizer="adamw_8bit in backward")).memory

    assert float(usual.gradients) > 0
    assert float(merged.gradients) == 0


def test_recomputation_costs_a_third():
    """Full recomputation repeats the forward pass: near 4/3 of the time of a compute-bound step."""
    slow, fast = (pace(replace(PLAN, recompute=how)) for how in ("full", "none"))

    assert 1.2 < fast / slow < 1.4


def test_lora_saves_the_weight_gradients():
    """About 4 N instead of 6 N per token: never 95 % less."""
    lora, full = (pace(replace(PLAN, method=method, recompute="none")) for method in ("lora", "full"))

    assert 1.1 < lora / full < 1.6


def test_8_bit_products_do_not_double_the_pace():
    """Products are only part of a step."""
    h100 = cluster("8xh100")
    ratio = pace(replace(PLAN, precision="fp8"), machines=h100) / pace(PLAN, machines=h100)

    assert 1.0 < ratio < 1.7


def test_uneven_pipelines_wait_for_the_fullest_stage():
    """33 layers on 8 stages take as long as 40."""
    uneven, even = (LLAMA._replace(layers=layers, vocab=512) for layers in (33, 40))
    plan = replace(PLAN, pp=8, zero=1, global_batch=256)
    times = [float(training_step(llm, EIGHT, plan).step_s) for llm in (uneven, even)]

    assert times[0] == pytest.approx(times[1], rel=0.1)


def test_a_hundred_thousand_layouts_in_one_call():
    """A 175 B LLM on 1,024 accelerators; any single layout gives the same answer alone."""
    machines = cluster("1024xa100")
    rng = np.random.default_rng(0)
    count = 100_000
    grid = {
        "tp": 2 ** rng.integers(0, 4, count),
        "pp": 2 ** rng.integers(0, 5, count),
        "zero": rng.integers(0, 4, count),
        "micro_batch": 2 ** rng.integers(0, 3, count),
        "recompute": np.array(["none", "selective", "full"])[rng.integers(0, 3, count)],
    }
    plan = TrainingPlan(seq_len=2048, global_batch=2048, framework="Megatron-LM", **grid)

    started = time.process_time()
    steps = training_step(GPT3, machines, plan)
    spent = time.process_time() - started

    assert steps.step_s.shape == steps.memory.total.shape == (count,)
    assert spent < 60  # a call per layout would take minutes; not a speed test
    for index in (0, 1, 77, 99_999):
        one = {name: values[index].item() for name, values in grid.items()}
        alone = training_step(GPT3, machines, replace(plan, **one))
        assert float(alone.step_s) == pytest.approx(steps.step_s[index], rel=1e-12)
        assert float(alone.memory.total) == pytest.approx(steps.memory.total[index], rel=1e-12)


@pytest.mark.parametrize(
    ("llm", "machines", "plan"),
    [
        ("gpt3-175b", "1024xa100", TrainingPlan(seq_len=2048, global_batch=1536)),
        ("7b", "1xrtx-4090", TrainingPlan(seq_len=1024, global_batch=16, method="qlora")),
        ("70b", "8xh100", TrainingPlan(seq_len=2048, global_batch=64, method="lora")),
        ("mixtral-8x7b", "64xa100", TrainingPlan(seq_len=4096, global_batch=256)),
        ("llama-3.1-8b", "6xa100", TrainingPlan(seq_len=2048, global_batch=48)),
    ],
)
def test_best_layout_fits_and_respects_what_is_given(llm, machines, plan):
    """Everything is filled in, fits, and a given micro-batch stays."""
    llm, machines = architecture(llm), cluster(machines)
    found = best_layout(llm, machines, plan)
    kept = best_layout(llm, machines, replace(plan, micro_batch=1))

    assert training_step(llm, machines, found).fits
    assert None not in (found.tp, found.pp, found.zero, found.micro_batch, found.recompute)
    assert kept.micro_batch == 1
    assert pace(found, llm, machines) >= pace(kept, llm, machines) * (1 - 1e-9)


def test_what_does_not_fit_says_by_how_much():
    """70 B full fine-tuning on one accelerator."""
    with pytest.raises(DoesNotFit, match=r"needs \d+ GB of 85 GB"):
        best_layout(architecture("70b"), cluster("1xa100"), TrainingPlan(seq_len=2048, global_batch=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tp": 16}, "needs more than the 8 accelerators"),
        ({"micro_batch": 0}, "micro_batch must be at least 1"),
        ({"recompute": "some"}, "recompute must be"),
        ({"method": "dora"}, "method must be"),
    ],
)
def test_bad_plans_are_refused(change, message):
    """One line that says what is wrong."""
    with pytest.raises(InvalidInput, match=message):
        training_step(LLAMA, EIGHT, replace(PLAN, **change))


@pytest.mark.parametrize(
    "device",
    ["v100", "t4", "a100-pcie-80gb", "rtx-3090", "l40s", "h200", "b200", "gb300", "mi300x", "tpu-v5p", "gaudi2"],
)
def test_all_kinds_of_accelerators_answer(device):
    """Older, newer and other makers' chips; none beats its peak."""
    step = training_step(LLAMA, cluster(f"8x{device}"), PLAN)

    assert 0.02 < float(step.mfu) < 0.95


def test_ranges_are_wider_for_what_is_hard_to_foretell():
    """Both sides, both quantities; a plain run on one node of a measured accelerator has the narrowest."""
    easy = traits(LLAMA, cluster("8xa100"), TrainingPlan(framework="llm-foundry"))
    hard = traits(
        architecture("mixtral-8x7b"), cluster("16xrtx-4090"), TrainingPlan(method="qlora", framework="my-own")
    )

    assert set(easy) <= {"new architecture"}
    assert {"mixture of experts", "quantised weights", "several nodes", "kernels carried over"} < set(hard)
    for quantity in ("time", "memory"):
        narrow, wide = interval(quantity, easy), interval(quantity, hard)
        assert all(0 < a < b for a, b in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("llm", ["deepseek-v3", "mixtral-8x7b", "8b"])
def test_all_ranks_together_hold_the_whole_llm(llm, method):
    """However weights and experts are spread, no parameter is stored on less than one rank; moments likewise."""
    machines, arch = cluster("64xh100"), architecture(llm)
    plan = TrainingPlan(seq_len=1024, global_batch=64, method=method, tp=None, pp=None, zero=[0, 1, 2, 3], ep=None)
    found = layouts_of(arch, machines, plan)
    least = params(arch) * (0.5 if method == "qlora" else 2.0)

    assert np.all(np.broadcast_to(found.memory.weights, found.need.shape) * machines.count >= 0.999 * least)
    if method == "full":
        assert np.all(found.memory.optimizer * machines.count >= 0.999 * 8 * params(arch))


def _memory(llm, gpu, **plan):
    given = {"seq_len": 1024, "global_batch": 8, "micro_batch": 1, "tp": 1, "pp": 1, "zero": 0, "recompute": "full"}
    step = training_step(architecture(llm), cluster(gpu), TrainingPlan(**given | plan))
    return step.memory, float(step.need_bytes)


def test_what_fsdp_gathers_once_stays_beside_the_layers():
    """Embeddings and output projection of Llama-3-70B in 16 bits are 4.2 GB, offloaded or not."""
    held, _ = _memory("llama-3-70b", "8xh100", zero=3, method="qlora", framework="HF Trainer", cpu_offload="params")

    assert 4.2e9 + 2 * 80e6 < float(held.gathers) < 9e9


def test_deepspeed_keeps_a_billion_parameters_gathered():
    """stage3_max_live_parameters, 2 B each, beside embeddings; LLMs of half of that keep what they have."""
    plan = {"zero": 3, "cpu_offload": "all"}
    own, tuned = (float(_memory("8b", "8xa100", framework=name, **plan)[0].gathers) for name in ("fsdp", "deepspeed"))

    assert own + 1e9 < tuned < own + 2e9


def test_litgpt_never_ties_the_output_projection():
    """Llama-3.2-1B holds 128,256 x 2,048 values twice there."""
    lora = {"method": "lora", "lora_rank": 8}
    tied, apart = (_memory("llama-3.2-1b", "1xa100", framework=name, **lora)[0].weights for name in ("trl", "litgpt"))

    assert float(apart) - float(tied) == pytest.approx(128_256 * 2048 * 2, rel=0.02)


def test_each_kind_of_group_has_its_buffers():
    """Tensor, pipeline and data parallel ranks talk in three groups; one accelerator in none."""
    p = {"reserve_bytes": 1e9, "group_bytes": 0.3e9}
    plans = ({"tp": 2, "pp": 2}, {"tp": 1, "pp": 1})
    many, one = (
        context_bytes(run(LLAMA, cluster(gpu), replace(PLAN, global_batch=8, **plan)), p)
        for gpu, plan in zip(("8xa100", "1xa100"), plans, strict=True)
    )

    assert (float(many), float(one)) == pytest.approx((1.9e9, 1e9))


def test_experts_in_a_loop_keep_the_host_busy():
    """An HF trainer runs 128 experts one by one: Qwen3-30B-A3B is no faster there than a dense LLM of its size."""
    plan = {"seq_len": 2048, "global_batch": 8, "micro_batch": 1, "tp": 1, "pp": 1, "ep": 1, "zero": 3}
    times = [
        float(
            training_step(
                architecture(name),
                cluster("8xa100"),
                TrainingPlan(**plan, method="lora", recompute="full", framework="HF Trainer"),
            ).step_s
        )
        for name in ("qwen3-30b-a3b", "qwen3-32b")
    ]

    assert times[0] > times[1]


def test_a_selective_recomputation_that_keeps_projections_redoes_nearly_all():
    """MaxText keeps queries, keys and values alone: nearly the memory and the time of full recomputation."""
    machines, plan = cluster("8xtpu-v5p"), replace(PLAN, zero=3, tp=1, pp=1, global_batch=8, framework="MaxText")
    none, selective, full = (
        training_step(LLAMA, machines, replace(plan, recompute=recompute))
        for recompute in ("none", "selective", "full")
    )

    assert float(none.step_s) < float(selective.step_s) < float(full.step_s)
    assert float(full.step_s) - float(selective.step_s) < 0.2 * (float(full.step_s) - float(none.step_s))
    assert float(full.memory.total) < float(selective.memory.total) < 0.7 * float(none.memory.total)


def test_a_loss_of_one_kernel_keeps_two_16_bit_values_a_logit():
    machines, plan = cluster("8xa100"), replace(PLAN, zero=3, tp=1, pp=1, global_batch=8, micro_batch=1)
    fused, whole = (
        run(LLAMA, machines, replace(plan, framework=name)).logit_bytes for name in ("llm-foundry", "fairscale")
    )

    assert (float(fused), float(whole)) == (4, 12)
