"""The numbers of a serving machine: each comes from its own fact, and each moves a prediction the right way."""

from dataclasses import replace

import pytest

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.models import architecture
from estimator.formulas.serving import forward_pass
from estimator.predict import serving_machine
from estimator.predict.serving_costs import constants
from estimator.predict.serving_machine import ServingPlan, machine
from estimator.predict.serving_time import Machine, pass_s
from estimator.records import Cluster

DENSE, MIXTURE = architecture("llama-3.1-8b"), architecture("mixtral-8x7b")
H100, CPU = accelerator("h100"), accelerator("cpu-epyc-9554")
ONE, EIGHT = cluster_of(H100, 1), cluster_of(H100, 8)

PROMPT = forward_pass(DENSE, 2048, 0.0, 1.0)
STEP = forward_pass(DENSE, 1, 1000, 16)
SETUPS = {
    "prompt": (PROMPT, machine(DENSE, ONE, ServingPlan())),
    "step": (STEP, machine(DENSE, ONE, ServingPlan())),
    "short prompt": (
        forward_pass(DENSE, 64, 0.0, 1.0),
        machine(DENSE, ONE, ServingPlan())._replace(uncaptured=0.0),
    ),
    "packed prompt": (PROMPT, machine(DENSE, ONE, ServingPlan("awq"))),
    "packed step": (STEP, machine(DENSE, ONE, ServingPlan("q4_k_m", engine="llama.cpp"))),
    "widened step": (STEP, machine(DENSE, ONE, ServingPlan("awq"))._replace(packed_always=1.0)),
    "shared step": (STEP, machine(DENSE, EIGHT, ServingPlan(tp=8))),
    "shared prompt": (PROMPT, machine(DENSE, EIGHT, ServingPlan(tp=8))),
    "slow link": (PROMPT, machine(DENSE, EIGHT, ServingPlan(tp=8))._replace(link_bytes_per_s=1e9)),
    "experts": (
        forward_pass(MIXTURE, 512, 0.0, 4.0, replicas=8.0),
        machine(MIXTURE, EIGHT, ServingPlan(ep=8)),
    ),
    "torch prompt": (PROMPT, machine(DENSE, ONE, ServingPlan(engine="hf"))),
    "torch step": (forward_pass(DENSE, 1, 8, 1), machine(DENSE, ONE, ServingPlan(engine="hf"))),
    "old": (PROMPT, machine(DENSE, ONE, ServingPlan())._replace(age=1.0)),
    "llama.cpp": (PROMPT, machine(DENSE, cluster_of(H100, 2), ServingPlan(engine="llama.cpp", pp=2))),
    "spilled": (STEP, machine(DENSE, ONE, ServingPlan())._replace(spilled=0.5, spilled_experts=0.5)),
    "in host": (STEP, machine(DENSE, ONE, ServingPlan(engine="llama.cpp", gpu_layers=16))),
    "cores": (STEP, machine(DENSE, ONE, ServingPlan())._replace(core_cycles_per_s=1e11)),
    "chunks": (PROMPT, machine(DENSE, ONE, ServingPlan())._replace(chunk=512.0)),
    "cpu": (PROMPT, machine(DENSE, cluster_of(CPU, 1), ServingPlan(engine="llama.cpp"))._replace(cpu=0.0)),
}
SLOWER, FASTER = 1.0, -1.0
# What raising a number by half, or a flag from 0 to 1, does to the time of a pass.
MOVES = {
    "bytes_per_s": ("step", FASTER),
    "core_cycles_per_s": ("cores", FASTER),
    "dense_bytes": ("step", SLOWER),
    "expert_bytes": ("experts", SLOWER),
    "head_bytes": ("step", SLOWER),
    "spilled": ("spilled", SLOWER),
    "spilled_experts": ("experts", SLOWER),
    "spilled_cache": ("in host", SLOWER),
    "ram_bytes_per_s": ("in host", FASTER),
    "host_bytes_per_s": ("spilled", FASTER),
    "gemm_flop_per_s": ("prompt", FASTER),
    "half_rows": ("prompt", SLOWER),
    "dense_shape": ("prompt", SLOWER),
    "expert_shape": ("experts", SLOWER),
    "expert_half_rows": ("experts", SLOWER),
    "packed": ("packed prompt", SLOWER),
    "packed_always": ("packed prompt", SLOWER),
    "widens": ("prompt", SLOWER),
    "unpacks_simply": ("step", SLOWER),
    "value_bytes": ("prompt", SLOWER),
    "vector_flop_per_s": ("packed step", FASTER),
    "attention_flop_per_s": ("prompt", FASTER),
    "attention_rows_half": ("prompt", SLOWER),
    "attention_span_half": ("prompt", SLOWER),
    "cache_bytes_per_s": ("step", FASTER),
    "cache_flop_per_s": ("step", FASTER),
    "kv_members": ("shared step", FASTER),
    "heads_per_kv": ("torch prompt", SLOWER),
    "members": ("shared prompt", FASTER),
    "message_s": ("shared step", SLOWER),
    "link_bytes_per_s": ("shared step", FASTER),
    "link_ramp": ("shared step", SLOWER),
    "link_local": ("shared step", SLOWER),
    "long_message_s": ("slow link", SLOWER),
    "long_link_bytes_per_s": ("slow link", FASTER),
    "long_link_ramp": ("slow link", SLOWER),
    "long_link_local": ("slow link", SLOWER),
    "replicas": ("experts", SLOWER),
    "moe_share": ("experts", SLOWER),
    "exchange_message_s": ("experts", SLOWER),
    "gather_bytes_per_s": ("experts", FASTER),
    "scatter_bytes_per_s": ("experts", FASTER),
    "token_bytes": ("experts", SLOWER),
    "stages": ("llama.cpp", FASTER),
    "layer_launch_s": ("step", SLOWER),
    "age": ("old", SLOWER),
    "chunk": ("chunks", FASTER),
    "bare": ("step", FASTER),  # no scheduler
    "loop": ("step", SLOWER),
    "native": ("step", SLOWER),  # no graph to replay
    "uncaptured": ("short prompt", SLOWER),
    "fused": ("torch step", SLOWER),
    "eager": ("torch step", SLOWER),
    "ggml": ("step", SLOWER),  # reads its cache at a lower rate
    "simple": ("step", SLOWER),
    "unfused": ("prompt", SLOWER),
    "cpu": ("cpu", FASTER),  # nothing to launch
}


def test_every_field_is_on_trial():
    assert set(MOVES) == set(Machine._fields)


@pytest.mark.parametrize("field", Machine._fields)
def test_each_field_moves_a_prediction_the_right_way(field):
    setup, direction = MOVES[field]
    work, on = SETUPS[setup]
    before = getattr(on, field)
    raised = on._replace(**{field: before * 1.5 if before else 1.0})

    change = float(pass_s(work, raised, constants())) - float(pass_s(work, on, constants()))

    assert change * direction > 0


def _moved(arch, cluster, plan, change, monkeypatch):
    """Fields of a machine that change with its facts, and by how much."""
    before = machine.__wrapped__(arch, cluster, plan)
    arch, cluster, plan = change(arch, cluster, plan, monkeypatch)
    after = machine.__wrapped__(arch, cluster, plan)
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in Machine._fields}
    return {name: new / old if old else new for name, (old, new) in pairs.items() if new != old}


def device(**factors):
    """A change of the accelerator's own figures by factors."""

    def change(arch, cluster, plan, _):
        chip = cluster.accelerator
        changed = chip._replace(**{name: getattr(chip, name) * factor for name, factor in factors.items()})
        return arch, Cluster(changed, cluster.count, cluster.per_node), plan

    return change


def kernels(of, *path):
    """Twice a figure of a kernel table, 1 for 0, by the function that answers and where it stands in the answer."""
    found = getattr(serving_machine, of)

    def doubled(record, path):
        name, *rest = path
        old = getattr(record, name)
        return record._replace(**{name: doubled(old, rest) if rest else old * 2.0 or 1.0})

    def change(arch, cluster, plan, monkeypatch):
        monkeypatch.setattr(serving_machine, of, lambda *asked: doubled(found(*asked), path))
        return arch, cluster, plan

    return change


def llm(**fields):
    """A change of the LLM's shape."""
    return lambda arch, cluster, plan, _: (arch._replace(**fields), cluster, plan)


def served(**fields):
    """A change of the plan."""
    return lambda arch, cluster, plan, _: (arch, cluster, replace(plan, **fields))


PLAIN, SHARED = ServingPlan(), ServingPlan(tp=8, ep=8)
TWICE = 2.0
# A fact, and the fields it alone is read from: twice the fact is twice the field, or as said.
FACTS = {
    "memory bandwidth": (device(memory_bandwidth_bytes_per_s=2), {"bytes_per_s": TWICE, "cache_bytes_per_s": TWICE}),
    "clock": (device(clock_hz=2), {"core_cycles_per_s": TWICE, "vector_flop_per_s": TWICE}),
    "slot": (device(pcie_bytes_per_s=2), {"host_bytes_per_s": TWICE}),
    "product rate": (kernels("gemm_efficiency", "flop_per_s"), {"gemm_flop_per_s": TWICE}),
    "attention rate": (kernels("attention_efficiency", "flop_per_s"), {"attention_flop_per_s": TWICE}),
    "attention rows": (kernels("attention_efficiency", "rows_half"), {"attention_rows_half": TWICE}),
    "attention span": (kernels("attention_efficiency", "span_half"), {"attention_span_half": TWICE}),
    "cache reading": (kernels("decode_attention_efficiency", "bytes_per_s"), {"cache_bytes_per_s": TWICE}),
    "cache work": (kernels("decode_attention_efficiency", "flop_per_s"), {"cache_flop_per_s": TWICE}),
}
for short, operation in (("", "custom_all_reduce"), ("long_", "all_reduce")):
    for fact in ("bytes_per_s", "ramp", "local"):
        change = kernels("collective_efficiency", operation, fact)
        FACTS[f"{operation} {fact}"] = (change, {f"{short}link_{fact}": TWICE})
for operation, field in (("all_gather", "gather_bytes_per_s"), ("reduce_scatter", "scatter_bytes_per_s")):
    FACTS[f"{operation} rate"] = (kernels("collective_efficiency", operation, "bytes_per_s"), {field: TWICE})


FACTS["custom_all_reduce local"][1]["link_local"] = 1.0  # none of its own


@pytest.mark.parametrize("fact", FACTS)
def test_each_fact_moves_its_own_field(fact, monkeypatch):
    change, expected = FACTS[fact]

    moved = _moved(DENSE, EIGHT, replace(PLAIN, tp=8), change, monkeypatch)

    assert moved == pytest.approx(expected)


# What a kernel table, a shape or a plan says, and every field that it alone decides.
SAID = {
    "launches": (kernels("decode_attention_efficiency", "launch_s"), {"layer_launch_s"}),
    "custom latency": (kernels("collective_efficiency", "custom_all_reduce", "launch_s"), {"message_s"}),
    "latency": (kernels("collective_efficiency", "all_reduce", "launch_s"), {"long_message_s"}),
    "gather latency": (kernels("collective_efficiency", "all_gather", "launch_s"), {"exchange_message_s"}),
    "rows": (kernels("gemm_efficiency", "m_half"), {"half_rows"}),
    "widths": (kernels("gemm_efficiency", "n_half"), {"dense_shape"}),
    "rows of experts": (kernels("moe_efficiency", "m_half"), {"expert_half_rows"}),
    "widths of experts": (kernels("moe_efficiency", "n_half"), {"expert_shape"}),
    "wider experts": (llm(experts=MIXTURE.experts._replace(ffn=999)), {"expert_shape", "layer_launch_s"}),
    "wider layers": (llm(ffn=999), {"dense_shape"}),
    "dense layers": (llm(experts=MIXTURE.experts._replace(first_dense_layers=8)), {"moe_share", "layer_launch_s"}),
    "fewer keys": (llm(kv_heads=2), {"heads_per_kv", "dense_shape", "kv_members"}),
    "fp8": (
        served(weight_precision="fp8"),
        {"dense_bytes", "expert_bytes", "token_bytes", "gemm_flop_per_s", "expert_shape", "expert_half_rows"},
    ),
    "awq": (served(weight_precision="awq"), {"dense_bytes", "expert_bytes", "widens"}),
    "whole prompts": (served(chunked_prefill=False), {"chunk"}),
    "more copies": (served(ep=64), {"replicas", "exchange_message_s", "gather_bytes_per_s", "scatter_bytes_per_s"}),
}


@pytest.mark.parametrize("what", SAID)
def test_what_is_said_moves_its_own_fields(what, monkeypatch):
    change, expected = SAID[what]

    assert set(_moved(MIXTURE, EIGHT, SHARED, change, monkeypatch)) == expected


def test_groups_formats_and_stages_are_counted():
    of_eight = machine(DENSE, EIGHT, ServingPlan("fp32", tp=8))
    in_turn = machine(DENSE, EIGHT, ServingPlan(engine="llama.cpp", pp=4))
    grouped = machine(MIXTURE, EIGHT, ServingPlan(tp=2, ep=8))

    assert (of_eight.members, of_eight.kv_members, of_eight.replicas, of_eight.stages) == (8, 8, 1, 1)
    assert (in_turn.members, in_turn.stages, in_turn.chunk) == (1, 4, 512)
    assert in_turn.age == pytest.approx(serving_machine.NEWEST - 2024)
    assert machine(DENSE, ONE, ServingPlan(engine="vllm", engine_year=2024.5)).loop == 1
    assert (grouped.members, grouped.replicas, grouped.moe_share) == (2, 4, 1)
    assert (of_eight.dense_bytes, of_eight.value_bytes, of_eight.head_bytes) == (4, 4, 4)
    assert machine(DENSE, ONE, ServingPlan("q8_0")).value_bytes == 2


def test_what_does_not_fit_is_spilled_by_an_engine_that_offloads():
    large = architecture("opt-175b")

    assert machine(large, ONE, ServingPlan(engine="flexgen")).spilled > 0.7
    assert machine(large, ONE, ServingPlan()).spilled == 0


def test_layers_in_the_host_are_shares_of_weights_and_cache():
    plan = ServingPlan(engine="llama.cpp", gpu_layers=8, cpu_moe_layers=28, host_gb_per_s=100.0)
    found = machine(MIXTURE, ONE, plan)

    assert (found.spilled, found.spilled_experts, found.spilled_cache) == (0.75, 0.875, 0.75)
    assert found.ram_bytes_per_s == 100e9


FLAGS = ("packed", "widens", "packed_always", "unpacks_simply", "bare", "native", "fused", "uncaptured", "eager")
FLAGS += ("ggml", "simple", "unfused", "cpu", "loop")


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        ("vllm", {"uncaptured", "widens"}),
        ("llama.cpp", {"unpacks_simply", "bare", "ggml", "simple", "unfused"}),
        ("hf", {"packed", "unpacks_simply", "unfused", "eager"}),
        ("exllama", {"packed", "unpacks_simply", "bare", "native", "simple"}),
        ("autoawq", {"packed", "unpacks_simply", "fused", "simple"}),
        ("ctranslate2", {"packed", "bare", "native"}),
        ("deepspeed-inference", {"packed", "packed_always", "fused"}),
        ("tgi", {"packed", "fused"}),
    ],
)
def test_engines_set_their_flags(engine, flags):
    found = machine(DENSE, ONE, ServingPlan("awq", engine=engine))
    host = machine(DENSE, cluster_of(CPU, 1), ServingPlan("awq", engine=engine))

    assert {name for name in FLAGS if getattr(found, name)} == flags
    assert {name for name in FLAGS if getattr(host, name)} >= {"cpu", "unfused"}


def test_every_field_is_tied_to_its_fact():
    """What this file holds fixes every field, so that two of them cannot change places unseen."""
    fixed = {name for _, moved in [*FACTS.values(), *SAID.values()] for name in moved} | set(FLAGS)
    counted = {"members", "stages", "age", "value_bytes", "head_bytes", "spilled", "spilled_experts", "spilled_cache"}
    counted |= {"ram_bytes_per_s"}

    assert fixed | counted == set(Machine._fields)
