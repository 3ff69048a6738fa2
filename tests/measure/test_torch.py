"""What needs torch: every case can be run, real work runs and learns, calibrate leaves a whole profile."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch", reason="measuring needs torch (extra `measure`)")

from estimator.catalog.local import Job, read_profile  # noqa: E402
from estimator.measure.cases import PHASES, suite  # noqa: E402
from estimator.measure.kernels import task_of  # noqa: E402
from estimator.measure.work import network, step_of  # noqa: E402
from estimator.records import Architecture  # noqa: E402

TINY = Architecture("tiny", 2, 64, 2, 1, 32, 128, 100)
ENCODER = Architecture("encoder", 2, 64, 2, 2, 32, 128, 100, gated_mlp=False, kind="encoder", learned_positions=64)


def smallest_of_each_group():
    first = {}
    for case in suite("cpu", {"fp32": 1e8, "bf16": 1e7}, 1):
        first.setdefault(case.group, case)
    return list(first.values())


@pytest.mark.parametrize("case", smallest_of_each_group(), ids=str)
def test_every_kind_of_case_runs(case):
    task = task_of(case, "cpu")

    task()
    task()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_real_work_runs(phase, dtype):
    step = step_of(Job(phase, ENCODER if phase == "embed" else TINY, 2, 16, dtype))

    step()
    step()


def test_the_network_has_the_parameters_that_are_counted():
    from estimator.formulas.transformer import params

    for arch in (TINY, Architecture("tied", 3, 64, 2, 2, 32, 96, 50, tied_embeddings=True)):
        assert sum(p.numel() for p in network(arch).parameters()) == params(arch)


def test_training_learns_and_lora_trains_only_adapters():
    torch.manual_seed(0)
    module = network(TINY)
    ids = torch.randint(100, (2, 16))

    def loss():
        return torch.nn.functional.cross_entropy(module(ids).view(-1, 100), ids.view(-1))

    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    before = loss().item()
    for _ in range(20):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    assert loss().item() < 0.8 * before


def test_decoding_with_a_cache_gives_what_the_whole_prompt_gives():
    module = network(TINY).eval()
    ids = torch.randint(100, (2, 9))

    class Cache:
        keys = values = None

        def __call__(self, k, v):
            self.keys = k if self.keys is None else torch.cat((self.keys, k), dim=2)
            self.values = v if self.values is None else torch.cat((self.values, v), dim=2)
            return self.keys, self.values

    caches = [Cache() for _ in range(TINY.layers)]
    with torch.inference_mode():
        module(ids[:, :8], caches)
        step = module(ids[:, 8:], caches, start=8)
        whole = module(ids)

    assert torch.allclose(step[:, -1], whole[:, -1], atol=1e-4)


def command(*words):
    return [
        sys.executable,
        "-c",
        "import sys; from estimator.cli.main import main; sys.exit(main(sys.argv[1:]))",
        *words,
    ]


def test_an_interrupted_run_leaves_no_profile_and_is_continued(tmp_path):
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path)}
    folder = tmp_path / "estimator"
    run = subprocess.Popen(command("calibrate", "--budget", "60s", "--suite", "kernels"), env=environment)
    end = time.monotonic() + 60
    while not list(folder.glob("*.partial.json")) and time.monotonic() < end:
        time.sleep(0.2)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (folder / "local.json").exists()
    kept = json.loads(next(folder.glob("*.partial.json")).read_text())["samples"]

    subprocess.run(command("calibrate", "--budget", "10s", "--suite", "kernels"), env=environment, check=True)

    found = read_profile(folder / "local.json")["measurements"]
    assert all(found[name][: len(samples)] == samples for name, samples in kept.items())
    assert not list(folder.glob("*.partial.json"))


@pytest.mark.parametrize(("dtype", "most"), [("fp8", 0.08), ("int4", 0.2)])
def test_layers_in_fewer_bits_nearly_give_what_the_linear_ones_give(dtype, most):
    from estimator.measure.cuda import quantise

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Linear(256, 128, bias=False)))
    whole = layers[0][0].to(torch.bfloat16)
    x = torch.randn(2, 5, 256, dtype=torch.bfloat16)
    expected = whole(x)

    quantise(torch, layers, dtype)
    found = layers(x)

    assert not isinstance(layers[0][0], torch.nn.Linear)
    assert found.shape == expected.shape
    assert (found - expected).float().norm() < most * expected.float().norm()


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("dtype", ["fp8", "int4"])
def test_real_work_runs_in_fewer_bits(phase, dtype):
    wide = Architecture("wide", 2, 128, 2, 1, 64, 256, 100)
    before = torch.get_default_dtype()

    step_of(Job(phase, wide, 2, 16, dtype))()

    assert torch.get_default_dtype() == before
