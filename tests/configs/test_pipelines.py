"""The hook and the action, as they stand in the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from estimator.cli.parser import parser

ROOT = Path(__file__).parents[2]


def test_the_hook_names_a_command_that_there_is():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    known = parser([*words]).parse_args([*words, "train.yaml", "--gpu", "8xa100", "--fit-chance", "0.9"])

    assert program == "estimator"
    assert (known.files, known.fit_chance) == (["train.yaml"], "0.9")


@pytest.mark.skipif(not shutil.which("bash"), reason="the action runs in bash")
@pytest.mark.parametrize(("chance", "status"), [("0.5", 0), ("1", 3)])
def test_the_action_answers_with_the_gate_and_a_report(tmp_path, chance, status):
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    (check,) = [step for step in steps if step.get("id") == "check"]
    program = tmp_path / "estimator"
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from estimator.cli import main; raise SystemExit(main())' \"$@\"\n"
    )
    program.chmod(0o755)
    told = {"FILES": str(ROOT / "tests/configs/files/train.yaml"), "GPU": "1xh100", "FIT_CHANCE": chance}
    empty = dict.fromkeys(("MODEL", "DATA", "FAIL_OVER"), "")
    env = {**os.environ, **empty, **told, "PYTHONPATH": str(ROOT), "RUNNER_TEMP": str(tmp_path)}
    env |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    ran = subprocess.run(["bash", "-e", "-c", check["run"]], env=env, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (status, "")
    assert (tmp_path / "summary.md").read_text().startswith("**fits on 1 x H100")
