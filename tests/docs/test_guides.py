"""Every command line of README and the guides runs, and prints what stands beneath it; every link leads somewhere."""

import re

import pytest

from docs.pages import console
from docs.pages.shipped import PAGES, ROOT

GUIDES = console.guides()
OTHERS = ("pip", "python", "python3", ".venv/bin/pip", "torchrun", "curl", "git", "sbatch", "just", "pre-commit")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_command_lines_run_and_print_what_is_shown(path):
    """After a change of figures: python docs/refresh.py."""
    with console.workplace():
        for shown in console.commands(path.read_text(encoding="utf-8")):
            if shown.runs:
                status, output = console.run(shown.command)
                assert shown.output in (None, output), shown.command
                assert status == 0 or (status in (2, 3) and shown.output), (shown.command, output)
            else:
                assert shown.command.split()[0] in (*OTHERS, "estimator"), shown.command


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_links_lead_to_files(path):
    """Those of the site are checked when it is built; these are of the tree, where pages yet to be made lie apart."""
    made = ROOT / "docs" / "reference"
    for target in LINK.findall(re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)):
        if not re.match(r"[a-z]+:|#", target):
            place = (path.parent / target.split("#")[0]).resolve()
            assert place.exists() or place.is_relative_to(made), target


def test_what_lies_elsewhere_is_on_the_site():
    assert [path for path in PAGES.values() if not (ROOT / path).is_file()] == []
