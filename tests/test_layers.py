"""A module imports only from layers below its own; stages do not import one another; torch stays in measure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "estimator"
# Lowest first. A module may import from its own layer and those before it.
LAYERS = (
    ("arguments", "errors", "files", "numerals", "paths", "records", "shown", "watch"),
    ("formulas",),
    ("quantities",),
    ("text",),
    ("catalog", "fitting"),
    ("scenario", "pricing", "results", "configs"),
    ("predict",),
    ("measure",),
    ("stages",),
    ("validation",),
    ("api", "recording", "search", "sweeping", "sensitivity", "decide"),
    ("verdict",),
    ("charts",),
    ("export",),
    ("callbacks", "cli", "web", "__main__"),
)
# Results render themselves through shown.py, which finds a renderer by name: nothing else looks up.
FILES = sorted(path for path in ROOT.rglob("*.py") if "_data" not in path.parts)


def layer(name: str) -> int:
    """Place of a top-level part of the package."""
    return next(index for index, names in enumerate(LAYERS) if name in names)


def imported(path: Path) -> set[str]:
    """Dotted names a file imports from the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("estimator"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    if own == "__init__":
        return
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "estimator" or len(parts) < 2 or not any(parts[1] in names for names in LAYERS):
            continue
        assert layer(parts[1]) <= layer(own), f"{own} must not import {name}"


def test_no_file_imports_itself_by_way_of_others():
    """Also where an import waits inside a function."""
    files = {".".join(("estimator", *path.relative_to(ROOT).with_suffix("").parts)): path for path in FILES}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    beneath = {name: {file_of(one, files) for one in imported(path)} - {None, name} for name, path in files.items()}
    while bottom := [name for name, below in beneath.items() if not below]:
        beneath = {name: below - set(bottom) for name, below in beneath.items() if name not in bottom}

    circles = {name: sorted(below) for name, below in beneath.items() if any(name in beneath[one] for one in below)}
    assert not circles


def file_of(name, files):
    """The file that an imported name is defined in; None for what is not ours, or only a public name of the package."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name if name not in ("", "estimator") else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_is_imported_by_measure_alone(path):
    heavy = {name.split(".")[0] for name in imported(path)} & {"torch", "usearch", "faiss"}

    assert not heavy or path.relative_to(ROOT).parts[0] == "measure"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


def test_every_public_name_resolves_and_only_they_show():
    import estimator

    assert set(dir(estimator)) == set(estimator.__all__)
    assert len(estimator.__all__) <= 12
    for name in estimator.__all__:
        assert getattr(estimator, name) is not None
