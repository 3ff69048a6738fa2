"""The reference pages of the site, made from the parser, the catalogue, docstrings and data when the site is built.

A command, input, formula or error that is added appears by itself: `python -m sphinx -W docs estimator/_docs`.
"""

from pathlib import Path

from docs.pages import catalogue, commands, errors, formulas, inputs, keys, kinds, public, shipped

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "reference"
MAKERS = (commands, inputs, public, formulas, catalogue, keys, errors, kinds, shipped)


def pages() -> dict[str, str]:
    """Text of every generated page by its name in the folder, without an ending."""
    return {name: text for maker in MAKERS for name, text in maker.pages().items()}


def write(folder: Path = FOLDER) -> None:
    """Write the pages; what is up to date is left alone, what is no longer made goes."""
    made = {folder / (name if name.endswith(".json") else f"{name}.md"): text for name, text in pages().items()}
    for path in set(folder.rglob("*.md")) - set(made):
        path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
