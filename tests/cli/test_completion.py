"""What shells offer at the Tab key."""

import shutil
import subprocess

import pytest

from estimator.cli import main
from estimator.cli.parser import SHELLS, _builders


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def offered(words, made):
    """What bash offers for the last of these words."""
    given = " ".join(f"'{word}'" for word in words)
    asked = f"{made}\nCOMP_WORDS=(estimator {given}); COMP_CWORD={len(words)}; compopt() {{ :; }}; _estimator; "
    ended = subprocess.run(["bash", "-c", asked + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["comp"], ["compare"]),
        (["estimate", "fi"], ["finetune"]),
        (["estimate", "rag", "--mod"], ["--model"]),
        (["compare", "--gpu", "rtx-40"], ["rtx-4090"]),
        (["compare", "--format", "j"], ["json"]),
        (["compare", "--set", "samp"], ["samples="]),
        (["compare", "--scenario", "s"], []),
    ],
    ids=lambda words: words[-1] if words else "a file",
)
def test_bash_offers_what_fits(words, some, capsys):
    found = offered(words, script("bash", capsys))

    assert set(some) <= set(found)
    assert all(word.startswith(words[-1]) for word in found)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_knows_every_command_and_takes_the_script(shell, capsys):
    made = script(shell, capsys)

    assert all(name in made for name in _builders())
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=made, text=True, check=True, capture_output=True)
