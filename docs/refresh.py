"""Run the examples of the guides and write their output anew: python docs/refresh.py

After a refit the predicted figures in the guides move a little; the tests say so, and this brings them up to date.
Read the difference before you commit it: it is what changed for users.
"""

import contextlib
import doctest
import io
import sys
from pathlib import Path

DOCS = Path(__file__).parent


def refreshed(text: str) -> str:
    """The text with the output of every example replaced by what it prints now."""
    scope: dict[str, object] = {}
    parts: list[str] = []
    for part in doctest.DocTestParser().parse(text):
        if isinstance(part, str):
            parts.append(part)
            continue
        lines = part.source.splitlines()
        parts += [f"{'>>>' if index == 0 else '...'} {line}".rstrip() + "\n" for index, line in enumerate(lines)]
        parts.append(output(part.source, scope))
    return "".join(parts)


def output(source: str, scope: dict[str, object]) -> str:
    """What one example prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(source, "guide", "single"), scope)
    return shown.getvalue()


def main() -> int:
    """Rewrite the guides whose output changed."""
    for path in sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"]):
        before = path.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"refreshed {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
