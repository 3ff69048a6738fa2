"""Collectives: two processes of this machine, and a measured network in predictions."""

import json
import os
import subprocess
import sys

import pytest

import estimator
from estimator.catalog.local import profile
from estimator.catalog.models import architecture
from estimator.errors import InvalidInput
from estimator.formulas.transformer import params
from estimator.measure import collectives
from estimator.measure.collectives import alpha_beta, keep_network

FOUND = {"ranks": 2, "device": "cpu", "launch_s": 1e-4, "bytes_per_s": 1e7}


def step(machines):
    plan = {"seq_len": 128, "micro_batch": 1, "precision": "fp32", "zero": 0, "tp": 1, "pp": 1}
    return estimator.training_step(model="qwen2.5-0.5b", gpu=f"{machines}xlocal", global_batch=2 * machines, **plan)


@pytest.mark.usefixtures("local")
def test_a_measured_network_is_what_gradients_go_through():
    before = step(2).exposed_communication_s

    keep_network(FOUND)

    assert step(2).exposed_communication_s > before
    sent = 4 * float(params(architecture("qwen2.5-0.5b")))  # 2 (n - 1) / n of the gradients: all, once
    assert float(step(2).exposed_communication_s) == pytest.approx(sent / 1e7, rel=0.01)
    assert step(1).exposed_communication_s == 0


@pytest.mark.usefixtures("local")
def test_the_rest_of_the_profile_stays():
    before = dict(profile())

    keep_network(FOUND)

    assert {name for name, value in profile().items() if before.get(name) != value} == {"network", "checksum"}


@pytest.mark.usefixtures("data_folder")
def test_a_network_of_nothing_measured_is_refused():
    with pytest.raises(InvalidInput, match="estimator calibrate"):
        keep_network(FOUND)


def test_alpha_and_beta_are_those_of_the_law():
    points = [[size, 3e-5 + size / 2e9] for size in (1e3, 1e5, 1e7, 1e9)]

    assert alpha_beta(points, 4, 2.0) == {"launch_s": 3e-5, "bytes_per_s": pytest.approx(1.5 * 2e9)}


def test_two_processes_of_this_machine_measure_each_other():
    pytest.importorskip("torch", reason="measuring needs torch (extra `measure`)")

    found = collectives.collectives(2)

    assert found["ranks"] == 2
    assert set(found["timings"]) == set(collectives.OPERATIONS) == set(found["rates"])
    assert found["bytes_per_s"] > 0


def test_processes_that_do_not_come_up_are_one_line(monkeypatch):
    pytest.importorskip("torch", reason="measuring needs torch (extra `measure`)")

    def never(*_, **given):
        raise subprocess.TimeoutExpired("torchrun", given["timeout"])

    monkeypatch.setattr(subprocess, "run", never)

    with pytest.raises(InvalidInput, match="did not finish within 3 s") as error:
        collectives.collectives(2, limit_s=3.0)
    assert "\n" not in str(error.value)


def test_torchrun_on_two_nodes_keeps_the_network_in_the_profile(local):
    pytest.importorskip("torch", reason="measuring needs torch (extra `measure`)")
    output = local.parent / "links.json"
    shared = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", "29517"]
    module = ["-m", "estimator.measure.collectives", "--output", str(output), "--keep"]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *shared, "--node-rank", str(rank), *module],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        for rank in (0, 1)
    ]
    errors = [node.communicate(timeout=120)[1].decode() for node in nodes]

    assert [node.returncode for node in nodes] == [0, 0], errors
    found = json.loads(output.read_text())
    assert found["ranks"] == 2
    assert json.loads(local.read_text())["network"]["bytes_per_s"] == found["bytes_per_s"]
