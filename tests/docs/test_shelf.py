"""What a release stands on: one version everywhere, a changelog that is up to date, files that tools read."""

import importlib.util
import re
from pathlib import Path

import pytest

import estimator

ROOT = Path(__file__).parents[2]


def script(name, monkeypatch):
    """A module of benchmarks/, whose scripts import one another by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_moved_is_up_to_date(monkeypatch):
    """Anew: python benchmarks/moved.py. Say in the changelog why it moved."""
    moved = script("moved", monkeypatch)

    assert moved.TABLE.search(moved.CHANGES.read_text(encoding="utf-8"))[0] == moved.table(moved.headlines())


def test_one_version_everywhere(monkeypatch):
    release = script("release", monkeypatch)

    assert estimator.__version__ == release.version()
    assert list(release.differing(release.version())) == []
    assert len(list(release.differing("9.9.9"))) == 2


def test_a_wheel_without_licence_or_sources_is_not_released(monkeypatch):
    release = script("release", monkeypatch)
    table = "x/prices/cloud.csv"

    assert list(release.unsourced([*release.NEEDED, table], lambda _: "name,source\n")) == []
    assert list(release.unsourced([*release.NEEDED[1:], table], lambda _: "name,usd\n")) == [
        "the wheel lacks licenses/LICENSE",
        f"{table} names no source",
    ]


def test_readme_is_short_and_its_links_are_of_the_tree():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) < 200


@pytest.mark.parametrize("word", ["test", "lint", "docs", "figures", "fit", "speed", "release"])
def test_make_knows_what_contributing_says(word):
    rules = re.findall(r"^([a-z]+):.*?##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert word in rules
    assert f"`make {word}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_scripts_that_make_names_are_there():
    named = re.findall(r"(benchmarks/\w+\.py|docs/\w+\.py)", (ROOT / "Makefile").read_text(encoding="utf-8"))

    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
