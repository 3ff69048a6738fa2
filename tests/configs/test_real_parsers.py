"""What is emitted is accepted by the tools' own parsers, where they are installed: pytest -m real."""

import argparse
import json
import shlex
import tomllib
from pathlib import Path

import pytest

from estimator.configs.emit import emitter, written
from estimator.verdict.emitted import _served
from tests.configs.test_emit import CASES, FULL, settings

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]
SERVED = {"model": "Qwen/Qwen3-235B-A22B", "tp": 8, "pp": 1, "ep": 8, "kv_precision": "fp8", "memory_fraction": 0.85}


def texts(tool):
    """The files of all plans that are emitted for a tool."""
    return [written(emitter(tool), settings(plan)) for name, plan in CASES if name == tool]


def loaded(text):
    """YAML as its tool loads it."""
    return pytest.importorskip("yaml").safe_load(text)


def test_axolotl_takes_it():
    schema = pytest.importorskip("axolotl.utils.schemas.config").AxolotlInputConfig

    assert all(schema(**loaded(text)).micro_batch_size for text in texts("axolotl"))


def test_llamafactory_takes_it(tmp_path, monkeypatch):
    parser = pytest.importorskip("llamafactory.hparams.parser")
    trainer = pytest.importorskip("transformers").HfArgumentParser(parser._TRAIN_ARGS)
    monkeypatch.chdir(tmp_path)
    for text in texts("llamafactory"):
        said = loaded(text)
        if named := said.pop("deepspeed", None):  # which lies in the tool's own repository
            assert Path(named).parent == Path("examples/deepspeed")
        assert trainer.parse_dict({**said, "use_cpu": True}, allow_extra_keys=False)


def test_torchtitan_takes_it(tmp_path):
    manager = pytest.importorskip("torchtitan.config").ConfigManager
    for text in texts("torchtitan"):
        (tmp_path / "run.toml").write_text(text)
        found = manager().parse_args(["--job.config_file", str(tmp_path / "run.toml")])

        assert found.training.seq_len == tomllib.loads(text)["training"]["seq_len"]


def test_deepspeed_takes_it():
    sharding = pytest.importorskip("deepspeed.runtime.zero.config").DeepSpeedZeroConfig
    said = json.loads(written(emitter("deepspeed"), settings(FULL)))

    assert sharding(**said["zero_optimization"]).stage == 3


def test_accelerate_takes_it(tmp_path):
    launch = pytest.importorskip("accelerate.commands.launch")
    (tmp_path / "run.yaml").write_text(written(emitter("accelerate"), settings(FULL)))
    words = launch.launch_command_parser().parse_args(["--config_file", str(tmp_path / "run.yaml"), "train.py"])
    found = launch._validate_launch_command(words)[0]

    assert (found.num_processes, found.use_fsdp, int(found.fsdp_version)) == (16, True, 2)


@pytest.mark.parametrize(
    ("tool", "module", "options"),
    [("vllm", "vllm.engine.arg_utils", "AsyncEngineArgs"), ("sglang", "sglang.srt.server_args", "ServerArgs")],
)
def test_a_server_takes_it(tool, module, options):
    parser = argparse.ArgumentParser()
    getattr(pytest.importorskip(module), options).add_cli_args(parser)
    words = shlex.split(written(emitter(tool), _served(SERVED)).replace("\\\n", " "))
    found, rest = parser.parse_known_args([word for word in words[2:] if word != "sglang.launch_server"])

    assert (getattr(found, "tensor_parallel_size", None) or found.tp_size) == 8
    assert not [word for word in rest if word.startswith("-")]
