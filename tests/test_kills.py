"""A few kills of every writer; `python -m tests.kills --kills 200` makes more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that are forked")
def test_a_killed_writer_leaves_the_old_file_or_the_new_one():
    script = [sys.executable, "-m", "tests.kills", "--kills", "18", "--seed", "7"]

    done = subprocess.run(script, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("18 kills of 18 writers")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that are forked")
def test_a_writer_in_two_halves_would_be_caught(tmp_path, monkeypatch):
    def halves(path: Path) -> None:
        with path.open("w") as file:
            file.write('{"a":')
            file.flush()
            time.sleep(0.001)
            file.write("1}")

    monkeypatch.setitem(kills.WRITERS, "halves", ("h.json", halves, kills.WRITERS["JSON"][2]))

    assert any("not whole" in kills.killed("halves", tmp_path, 0.03 + 0.001 * turn) for turn in range(20))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to catch")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_writer_that_is_told_to_stop_cleans_up(tmp_path, name):
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup, and by every process that is begun from here")
    code = """if True:
        import sys, time
        from estimator.files import whole
        with whole(sys.argv[1]) as beside:
            beside.write_text("half")
            print("writing", flush=True)
            while True:
                time.sleep(0.01)  # in pieces: a signal just before a sleep waits until its end
    """
    (tmp_path / "a.txt").write_text("old")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.txt")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"

        child.send_signal(getattr(signal, name))

        try:
            assert child.wait(30) == 128 + getattr(signal, name)
        finally:
            child.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
