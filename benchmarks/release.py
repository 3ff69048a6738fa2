"""What a release must pass, and nothing is uploaded: python benchmarks/release.py

The version is the same everywhere and has its heading in CHANGELOG.md; the site builds; sdist and wheel build, `twine
check` finds nothing, the wheel holds the licence, the data with their sources, and the site; and on every Python found
it installs from the wheel alone, answers a question and opens its own documentation. Ends with 1 when anything failed.
"""

import re
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from matrix import ROOT, environment, pythons, quiet

SITE = ROOT / "estimator" / "_docs"
NEEDED = (  # in the wheel, by the end of the path
    *("licenses/LICENSE", "estimator/py.typed", "estimator/_docs/index.html", "estimator/presets/scenario.toml"),
    *("estimator/_data/hardware/README.md", "estimator/_data/calibration/README.md"),
)
QUESTION = ("compare", "--model", "7b", "--gpu", "a100", "--format", "json")


def version() -> str:
    """Of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def differing(of: str, root: Path = ROOT) -> Iterator[str]:
    """Where another version stands, or none."""
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(of)}\b", changes, re.MULTILINE):
        yield f"CHANGELOG.md has no heading for {of}"
    if f"version: {of}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff is not of {of}"


def unsourced(names: list[str], text: Callable[[str], str]) -> Iterator[str]:
    """What is missing in a wheel: needed files, and tables of facts without a column that names their source.

    names: files in it; text: of one of them
    """
    yield from (f"the wheel lacks {end}" for end in NEEDED if not any(name.endswith(end) for name in names))
    for name in names:
        if name.endswith(".csv") and "/prices/" in name and "source" not in text(name).split("\n", 1)[0].split(","):
            yield f"{name} names no source"
        if name.endswith(".toml") and "/accelerators/" in name and "[[source]]" not in text(name):
            yield f"{name} names no source"


def built(folder: Path) -> Iterator[str]:
    """Site, sdist and wheel in a folder; what went wrong."""
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "-E", "-d", folder / "doctrees", ROOT / "docs", SITE]
    dist = folder / "dist"
    for words in (sphinx, [sys.executable, "-m", "build", "--outdir", dist, ROOT]):
        code, said = quiet(words)
        if code:
            yield said.strip()[-800:]
            return
    code, said = quiet([sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()])
    if code:
        yield said.strip()[-800:]
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        yield from unsourced(wheel.namelist(), lambda name: wheel.read(name).decode("utf-8"))


def installed(python: Path, folder: Path) -> str:
    """What is wrong with the wheel on one Python; nothing when it answers."""
    inside = folder / python.name / "bin"
    wheel = next((folder / "dist").glob("*.whl"))
    for words in (
        [python, "-m", "venv", inside.parent],
        [inside / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel],
        [inside / "estimator", *QUESTION],
        [inside / "estimator", "docs", "--where"],
    ):
        code, said = quiet(words, cwd=folder, env=environment())
        if code:
            return f"{' '.join(map(str, words))}: {said.strip()[-400:]}"
    return ""


def main() -> int:
    """One line a check."""
    faults = [*differing(version())]
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        faults += built(folder)
        if (folder / "dist").is_dir():
            found = {python.name: installed(python, folder) for python in pythons()}
            print(f"wheel of {version()}:", *(f"{one} {wrong or 'well'};" for one, wrong in found.items()))
            faults += filter(None, found.values())
    print(*(faults or ["ready: tag it, then python benchmarks/moved.py --release"]), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
