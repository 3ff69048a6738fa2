"""The command lines of the guides: found, run, and compared with what stands beneath them.

A block of `console` shows `$ command` and what it prints; one of `sh` shows commands to copy. Both run in a folder that
holds the files of `docs/examples`. What follows a pipe is handed to the shell.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from estimator.catalog.files import use_facts
from estimator.cli import main

DOCS = Path(__file__).parents[1]
EXAMPLES = DOCS / "examples"
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(estimator [a-z]+ [^`\n]*--[^`\n]*)`")  # in a sentence or a table
PART = re.compile(r"\.\.\.|\b[A-Z]{3,}\b")  # what is left for the reader to fill in
UNRUN = tuple(line.split(" ", 1)[0] for line in (EXAMPLES / "not_run.txt").read_text(encoding="utf-8").splitlines())


class Shown(NamedTuple):
    """A command line of a guide. output: what stands beneath it, None where nothing is claimed."""

    command: str
    output: str | None

    @property
    def runs(self) -> bool:
        """Whether it is ours, and neither waits for a visitor nor asks for a machine that was measured."""
        words = self.command.split()
        return words[0] == "estimator" and words[1] not in UNRUN and not {"--local", "local"} & set(words)


def guides() -> list[Path]:
    """README and every guide, not what is made from them."""
    found = [path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] != "reference"]
    return [DOCS.parent / "README.md", *sorted(found)]


def commands(text: str) -> list[Shown]:
    """Every command line of a guide: of its blocks in order, then those in its sentences.

    >>> commands("```console\\n$ estimator a \\\\\\n    b\\n1\\n$ pip c\\n```\\n")
    [Shown(command='estimator a b', output='1\\n'), Shown(command='pip c', output='')]
    """
    found = []
    for kind, body in BLOCK.findall(text):
        found += list(_session(body)) if kind == "console" else [Shown(line, None) for line in _lines(body)]
    return found + [Shown(line, None) for line in INLINE.findall(BLOCK.sub("", text)) if not PART.search(line)]


def _session(body: str) -> Iterator[Shown]:
    for part in re.split(r"^\$ ", body.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Shown(" ".join(command.split()), output)


def _lines(body: str) -> Iterator[str]:
    for line in body.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield re.sub(r"\s+#.*", "", " ".join(line.split()))


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the files of the examples, in which commands run, without own runs but those recorded in it."""
    runs = os.environ.get("ESTIMATOR_RUNS")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(shutil.copytree(EXAMPLES, Path(folder) / "here")):
        os.environ["ESTIMATOR_RUNS"] = str(Path(folder) / "runs")
        try:
            yield Path.cwd()
        finally:
            os.environ.pop("ESTIMATOR_RUNS")
            os.environ.update({} if runs is None else {"ESTIMATOR_RUNS": runs})


def run(command: str) -> tuple[int, str]:
    """Exit status and what a reader sees: the answer, or the line that refuses."""
    ours, _, rest = command.partition(" | ")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(shlex.split(ours, comments=True)[1:])
        except SystemExit as left:
            status = int(left.code or 0)
    if "--facts" in ours:
        use_facts(None)
    if status or not rest:
        return status, out.getvalue() + (err.getvalue() if status else "")
    piped = subprocess.run(["bash", "-c", rest], input=out.getvalue(), capture_output=True, text=True, check=False)
    return piped.returncode, piped.stdout


def in_a_shell(command: str, timeout_s: float = 300) -> tuple[int, str]:
    """The same in a process of its own, for what may wait for something; status 124 when it took too long."""
    words = [sys.executable, "-m", "estimator", *shlex.split(command, comments=True)[1:]]
    scope = {**os.environ, "PYTHONPATH": str(DOCS.parent), "COLUMNS": "100"}
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False, env=scope)
    except subprocess.TimeoutExpired:
        return 124, f"took more than {timeout_s:.0f} s."
    return ended.returncode, ended.stdout if ended.returncode == 0 else ended.stderr
