"""Where does it run? Each Python that is found, with the lowest and the newest dependencies, warnings as errors.

    python benchmarks/matrix.py                       # all that are found
    python benchmarks/matrix.py --dependencies lowest --tests tests/formulas tests/cli

Every environment is new and lies outside the tree; its packages and the copy of the tree are read-only; no HOME.
Says what ran, and with which versions; ends with 1 when anything failed.
"""

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("excel", "tables", "plot")
TESTING = ("pytest", "hypothesis")
CORE = ("tests/formulas", "tests/catalog", "tests/predict", "tests/stages", "tests/decide", "tests/cli", "tests/search")
COPIED = (
    *("estimator", "hardware", "calibration", "tests", "docs", "benchmarks", "pyproject.toml"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "constraints.txt"),
)
MACHINE = ("--model", "7b", "--gpu", "a100")
COMMANDS = (
    ("--version",),
    ("compare", *MACHINE),
    ("estimate", "finetune", *MACHINE, "--format", "json"),
    ("layout", "serve", *MACHINE),
    ("recommend", *MACHINE),
    ("catalog", "inputs"),
    ("export", "book.xlsx", *MACHINE),
    ("export", "--into", "book.xlsx", *MACHINE),
    ("plot", "volume", *MACHINE, "--output", "volume.svg"),
    ("sweep", "--vary", "samples=1k..1m:5", *MACHINE, "--output", "rows.parquet"),
    ("sweep", "rows.parquet", "-o", "rows.csv", *MACHINE),
)
RUN = "import sys; from estimator.cli import main; sys.exit(main(sys.argv[1:]))"
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def pythons() -> list[Path]:
    """Every Python from 3.11 on that is on PATH or pyenv's and runs, one of each version."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = [path for name in names for path in Path("~/.pyenv/versions").expanduser().glob(f"*/bin/{name}")]
    found += [Path(where) for name in names if (where := shutil.which(name))]
    runs = [path for path in found if quiet([path, "-c", ""])[0] == 0]
    return sorted({path.name: path for path in reversed(runs)}.values(), key=lambda path: path.name)


def requirements(kind: str, inside: Path) -> list[str]:
    """The dependencies of the library and of EXTRAS at their lower bounds, or with no upper one; what tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(text for name in EXTRAS for text in extras[name])]
    testing = [text for text in extras["dev"] if re.split(r"[<>=\[]", text)[0] in TESTING]
    if kind == "lowest":
        listed = [_lowest(text, inside) for text in listed]
    return listed + testing


def _lowest(bound: str, inside: Path) -> str:
    """The first version from a bound on of which there is a build for this Python."""
    pip: list[str | Path] = [inside, "-m", "pip", "--disable-pip-version-check"]
    name, least = re.sub(r"\[.*\]", "", bound).split(">=")
    _, said = quiet([*pip, "index", "versions", name])
    known = re.findall(r"[\d.]+", said.partition("Available versions:")[2].partition("\n")[0])
    for version in sorted((one for one in known if _numbers(one) >= _numbers(least)), key=_numbers):
        exact = f"{name}=={version}"
        if quiet([*pip, "install", "--dry-run", "--only-binary", ":all:", exact])[0] == 0:
            return exact
    return f"{name}=={least}"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.strip(".").split(".")]


def quiet(words: Sequence[str | Path], limit_s: float = 1200.0, **how: object) -> tuple[int, str]:
    """A command's exit status and all it said."""
    done = subprocess.run(
        [*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit_s, **how
    )  # type: ignore[call-overload]
    return done.returncode, done.stdout


def made(python: Path, kind: str, folder: Path) -> tuple[Path, str]:
    """A new environment with the library installed; its Python, and what was in the way."""
    code, said = quiet([python, "-m", "venv", folder / "venv"])
    inside = folder / "venv" / "bin" / "python"
    for words in (requirements(kind, inside) if code == 0 else [], ["--no-deps", ROOT]):
        if code == 0:
            code, said = quiet([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words])
    return inside, said if code else ""


def locked(folder: Path) -> None:
    """Nobody may write in a folder."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def unprivileged() -> None:
    """Take from root, for whatever is started, the right to write where nobody may."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def environment() -> dict[str, str]:
    """Without HOME, and without anything that says where to look for modules or data."""
    gone = ("HOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    return {name: value for name, value in os.environ.items() if name not in gone} | {
        "MPLCONFIGDIR": tempfile.mkdtemp()
    }


def commands(inside: Path, folder: Path) -> Iterator[str]:
    """What is wrong with the installed command in an empty folder."""
    work = folder / "work"
    work.mkdir()
    for words in COMMANDS:
        code, said = quiet(
            [inside, "-W", "error", "-c", RUN, *words], cwd=work, env=environment(), preexec_fn=unprivileged
        )
        if code or "Warning" in said:
            yield f"estimator {' '.join(words)}: exit {code}: {said.strip()[-400:]}"


def tests(inside: Path, folder: Path, chosen: Sequence[str]) -> str:
    """The last line of the tests' report, run in a read-only copy of the tree."""
    tree = folder / "tree"
    for name in COPIED:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target)
    locked(tree)
    words: list[str | Path] = [
        inside,
        "-W",
        "error",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--no-header",
        *chosen,
    ]
    code, said = quiet(words, cwd=tree, env=environment(), preexec_fn=unprivileged)
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "\n      ".join([*failed[:20], *said.strip().splitlines()[-1:]]) + (f" (exit {code})" if code else "")


def versions(inside: Path) -> str:
    """What was installed, in one line."""
    _, said = quiet([inside, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"])
    names = ("numpy", "pydantic", "tabulate", "xlsxwriter", "openpyxl", "pyarrow", "pandas", "pytest")
    return ", ".join(line.replace("==", " ") for line in said.splitlines() if line.split("==")[0].lower() in names)


def tried(python: Path, kind: str, chosen: Sequence[str]) -> bool:
    """One environment from nothing to its report; whether all went well."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="matrix-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        inside, trouble = made(python, kind, folder)
        print(f"{python.name}, {kind}: {versions(inside) if not trouble else 'not installed'}", flush=True)
        if trouble:
            print(f"   {trouble.strip()[-600:]}")
            return False
        locked(next((folder / "venv" / "lib").glob("python*")) / "site-packages")
        wrong = [*commands(inside, folder)]
        print(f"   commands: {len(COMMANDS) - len(wrong)} of {len(COMMANDS)} well", *wrong, sep="\n      ", flush=True)
        report = tests(inside, folder, chosen)
        print(f"   tests: {report}; {time.monotonic() - started:.0f} s", flush=True)
        return not wrong and "(exit" not in report


def main() -> int:
    """All that was asked; 1 when anything failed."""
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--python", type=Path, action="append", help="only this one; repeatable")
    read.add_argument("--dependencies", choices=("lowest", "newest"), action="append", help="only these")
    read.add_argument("--tests", nargs="+", default=list(CORE), help="what pytest runs")
    asked = read.parse_args()
    kinds = asked.dependencies or ["lowest", "newest"]
    found = asked.python or pythons()
    print(f"found: {', '.join(map(str, found)) or 'no Python of 3.11 or later'}")
    well = [tried(python, kind, asked.tests) for python in found for kind in kinds]
    print(f"{sum(well)} of {len(well)} environments well")
    return 0 if well and all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
