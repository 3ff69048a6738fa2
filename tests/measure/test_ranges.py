"""Ranges on a measured machine: never narrower than the errors of blocks left out, wider for drift, used in answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import estimator
from estimator.catalog.accelerators import accelerator
from estimator.catalog.files import use_facts_again
from estimator.catalog.local import LocalMachine, machine, read_profile
from estimator.catalog.retrieval import host
from estimator.measure.index import IndexRun, fit, spread
from estimator.measure.profile import write_profile
from estimator.measure.session import drift
from estimator.predict import local as predict
from estimator.predict.retrieval import IndexPlan, interval

PHASES = ("train", "lora", "prefill", "decode", "embed")


def with_drift(down, up):
    found = machine()
    return LocalMachine(found.name, found.kind, found.constants, (down, up))


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_range_holds_most_errors_of_blocks_left_out(phase, dtype):
    entry = machine().constants["phases"][f"{dtype} {phase}"]

    down, up = predict.interval(phase, dtype, machine())

    held = sum(-down <= -error <= up for error in entry["left_out"])
    assert held >= 0.75 * len(entry["left_out"])


@pytest.mark.usefixtures("local")
def test_drift_widens_the_side_it_is_on():
    steady, slowed = (predict.interval("train", "fp32", with_drift(*ends)) for ends in ((0.0, 0.0), (0.0, 0.6)))

    assert slowed[0] == steady[0]
    assert slowed[1] > 0.6


@pytest.mark.usefixtures("local")
def test_drift_since_moves_one_end_to_where_the_machine_is_now():
    own, slower, faster = (predict.interval("decode", "fp32", machine(), since) for since in (0.0, 0.5, -0.5))

    assert slower[0] == own[0]
    assert slower[1] > max(own[1], 0.5)
    assert faster[0] == pytest.approx(slower[1])


def test_drift_is_what_most_probes_stay_within():
    found = drift([1.0] * 20 + [3.0])

    assert (found["down"], found["up"]) == (0.0, 0.0)  # one disturbed probe of many
    assert drift([1.0] * 6 + [3.0] * 4)["up"] == pytest.approx(math.log(3), abs=1e-3)


@given(st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=30), st.floats(0.1, 10.0))
def test_drift_does_not_depend_on_the_unit(probes, unit):
    once, scaled = drift(probes), drift([unit * probe for probe in probes])

    assert once["up"] == pytest.approx(scaled["up"], abs=2e-3)
    assert min(once["down"], once["up"]) >= 0


def index_runs():
    def run(n, d, m, efc):
        yield IndexRun("faiss", "build", n, d, m, efc, 0, 1e-9 * n * d * efc * m**0.4)
        for ef in (16, 64, 256):
            yield IndexRun("faiss", "query", n, d, m, ef, 10, 1e-9 * d * ef * m**0.4, 0.05)

    return [each for setup in ((4000, 128, 16, 64), (3000, 512, 8, 48), (9000, 64, 8, 96)) for each in run(*setup)]


@pytest.fixture
def with_index(local):
    pytest.importorskip("scipy", reason="fitting needs scipy (extra `measure`)")
    from dataclasses import asdict

    runs = index_runs()
    content = {name: value for name, value in read_profile(local).items() if name != "checksum"}
    found = {"rates": fit(runs)._asdict(), "log_sd": spread(runs), "noise": 0.06, "runs": [asdict(run) for run in runs]}
    write_profile(content | {"index": found}, local)
    use_facts_again()
    return host("local")


def test_a_measured_index_has_its_own_range_and_far_larger_ones_at_least_the_published(with_index):
    near, far = (interval("query", IndexPlan(n, 128), with_index) for n in (10_000, 10_000_000))
    other = interval("query", IndexPlan(10_000, 128), host("16 vCPU"))

    assert with_index.basis == "measured"
    assert far[0] <= near[0] < 1 < near[1] <= far[1]
    assert near != other


@pytest.mark.usefixtures("with_index")
def test_the_measured_index_is_in_the_answer_for_rag(local):
    own = estimator.estimate("rag", model="qwen2.5-0.5b", gpu="local").to_dict()
    content = read_profile(local)
    write_profile({name: value for name, value in content.items() if name not in ("checksum", "index")}, local)
    use_facts_again()

    assert estimator.estimate("rag", model="qwen2.5-0.5b", gpu="local").to_dict() != own


@pytest.mark.usefixtures("local")
def test_answers_take_the_ranges_of_the_machine():
    from estimator.catalog.models import architecture
    from estimator.stages.service import half_widths

    llm, device = architecture("qwen2.5-0.5b"), accelerator("local")

    measured = {
        group: half_widths(group, llm, device, "vllm") for group in ("prefill", "decode", "offline", "embedding")
    }

    for phase in ("prefill", "decode"):
        assert all(measured[phase][0] >= predict.interval(phase, dtype, machine())[0] for dtype in ("fp32", "bf16"))
    assert measured["offline"][1] == max(measured["prefill"][1], measured["decode"][1])
    assert measured["decode"] != half_widths("decode", llm, accelerator("a100"), "vllm")


@pytest.mark.usefixtures("local")
def test_experts_which_no_block_has_are_wider():
    from estimator.catalog.models import architecture

    dense, moe = (
        predict.answer_interval("decode", architecture(n), "local") for n in ("mistral-7b-v0.3", "mixtral-8x7b")
    )

    assert moe[1] == pytest.approx(2 * dense[1])
