"""Run the examples and commands of the guides and write their output anew: python docs/refresh.py [PAGE.md ...]

`--pictures` also draws every picture that a guide's `estimator plot` writes, into docs/pictures.

After a refit the predicted figures in the guides move a little; the tests say so, and this brings them up to date.
Read the difference before you commit it: it is what changed for users.
"""

import contextlib
import doctest
import io
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.pages import console


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


def told_anew(text: str) -> str:
    """The text with what stands beneath every `$ command` replaced by what the command prints now."""
    return console.BLOCK.sub(lambda found: _session(found[2]) if found[1] == "console" else found[0], text)


def _session(body: str) -> str:
    """A block of commands, run in order in one folder."""
    parts = []
    with console.workplace():
        for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE)[1:]:
            (shown,) = console.commands(f"```console\n{part}```")
            written = re.match(r"(?:.*\\\n)*.*\n", part)
            kept = written[0] if written else part
            parts.append(kept + console.run(shown.command)[1] if shown.runs else part)
    return f"```console\n{''.join(parts)}```"


def draw(text: str) -> None:
    """The pictures of a guide, in few colours: they are read on a page, not printed."""
    from PIL import Image

    for shown in console.commands(text):
        if shown.command.startswith("estimator plot ") and shown.command.endswith(".png"):
            with console.workplace() as folder:
                status, said = console.run(shown.command)
                if status:
                    raise SystemExit(said)
                name = shown.command.split()[-1]
                picture = Image.open(folder / name).convert("RGB").quantize(48, dither=Image.Dither.NONE)
                picture.save(console.DOCS / "pictures" / name, optimize=True)


def main() -> int:
    """Rewrite the guides whose output changed: those named, else all."""
    words = [word for word in sys.argv[1:] if word != "--pictures"]
    os.environ["ESTIMATOR_RUNS"] = os.devnull  # whoever runs it may have runs of their own
    for path in [*map(Path, words)] or console.guides():
        before = path.read_text(encoding="utf-8")
        if "--pictures" in sys.argv:
            draw(before)
        after = told_anew(refreshed(before))
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"refreshed {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
