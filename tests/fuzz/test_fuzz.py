"""2,000 hostile cases: never a traceback, a hang, a file half-written, or an answer that cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SURFACES = sorted(path.stem for path in (Path(__file__).parent / "surfaces").glob("*.py") if path.stem != "__init__")
CASES, SEED = 2000, 7


@pytest.mark.parametrize("surface", SURFACES)
def test_nothing_is_lost_hung_or_traced_back(surface: str) -> None:
    """A process of its own for each surface: a case may take the process with it."""
    code = "import sys; from tests.fuzz.__main__ import ci; ci(*sys.argv[1:])"
    words = [sys.executable, "-c", code, surface, str(CASES), str(SEED)]
    own = {
        name: value for name, value in os.environ.items() if name != "ESTIMATOR_RUNS"
    }  # cases have homes of their own
    done = subprocess.run(words, cwd=ROOT, env=own, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["cases"] > 0
