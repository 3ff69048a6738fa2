"""Pages that lie elsewhere in the tree and belong to the site too: accuracy tables, facts, changes, contributing."""

import os
import re
from pathlib import Path

from docs.pages.markdown import contents

ROOT = Path(__file__).parents[2]
PAGES = {
    "changes": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "hardware": "hardware/README.md",
    "calibration": "calibration/README.md",
    "accuracy_training": "benchmarks/accuracy_training.md",
    "accuracy_serving": "benchmarks/accuracy_serving.md",
    "accuracy_retrieval": "benchmarks/accuracy_retrieval.md",
    "local_accuracy": "benchmarks/local_accuracy.md",
    "layouts": "benchmarks/layouts.md",
    "peers": "benchmarks/peers/results.md",
}
LINK = re.compile(r"\]\(([^)#:\s]+\.md)(#[^)]*)?\)")
PLACES = {(ROOT / path).resolve(): name for name, path in PAGES.items()}


def pages() -> dict[str, str]:
    """A page for each, its links leading to where things lie on the site."""
    head = "# Tables and records\n\nWritten by commands of the project, never by hand.\n\n"
    texts = {name: (ROOT / path).read_text(encoding="utf-8") for name, path in PAGES.items()}
    made = {f"shipped/{name}": moved(text, ROOT / PAGES[name]) for name, text in texts.items()}
    return {"shipped/index": head + contents(list(PAGES)), **made}


def moved(text: str, path: Path, to: Path = ROOT / "docs" / "reference" / "shipped") -> str:
    """The text of `path` with links to Markdown as they must be from the folder `to`."""

    def there(found: re.Match[str]) -> str:
        target = (path.parent / found[1]).resolve()
        place = ROOT / "docs" / "reference" / "shipped" / f"{PLACES[target]}.md" if target in PLACES else target
        return f"]({os.path.relpath(place, to)}{found[2] or ''})"

    return LINK.sub(there, text)
