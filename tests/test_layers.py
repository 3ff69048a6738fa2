"""A module imports only from layers below its own; stages do not import one another; torch stays in measure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "estimator"
# Lowest first. A module may import from its own layer and those before it.
LAYERS = (
    ("errors", "paths", "records"),
    ("formulas",),
    ("quantities",),
    ("text",),
    ("catalog", "fitting"),
    ("scenario", "pricing", "results"),
    ("predict",),
    ("measure",),
    ("stages",),
    ("validation",),
    ("api", "search", "sweeping", "sensitivity", "decide"),
    ("export",),
    ("cli",),
)
# Results render themselves: they call the renderer when asked, and nothing else looks up.
LOOKS_UP = {
    ("decide", "export"),
    ("results", "export"),
    ("search", "export"),
    ("sensitivity", "export"),
}
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
        assert layer(parts[1]) <= layer(own) or (own, parts[1]) in LOOKS_UP, f"{own} must not import {name}"


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
