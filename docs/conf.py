"""The site: python -m sphinx -W docs estimator/_docs. Offline; nothing in it is loaded from elsewhere."""

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from pygments.lexers.special import TextLexer
from sphinx.errors import SphinxError

from docs import pages
from docs.pages.links import faults
from docs.pages.shipped import moved

LAST_BLANK = re.compile(r"\n\n```$", re.MULTILINE)  # with which an example ends for those who run it
CONTENTS = re.compile(r"```{toctree}(.*?)```", re.DOTALL)
project = "estimator"
author = "the estimator project"
version = release = installed("llm-approach-estimator")
extensions = ["myst_parser", "sphinx_design"]
exclude_patterns = ["pages", "examples"]
myst_enable_extensions = ["colon_fence", "deflist", "html_image"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # measured tables begin where their page does

html_theme = "pydata_sphinx_theme"
html_title = f"estimator {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "estimator"},
    "show_toc_level": 1,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}
copyright = "the estimator project, Apache-2.0"
smartquotes = False  # options are written with two hyphens


def written(_: Any) -> None:
    """Make the reference before pages are looked for."""
    pages.write()


def at_home(app: Any, name: str, source: list[str]) -> None:
    """Links of guides to what lies beside `docs` lead to its page on the site."""
    if name == "how-to":
        source[0] = source[0].replace("\ncalibrate\n", "\n".join(["\ncalibrate", *unlisted(Path(app.srcdir)), ""]))
    source[0] = LAST_BLANK.sub("\n```", source[0])
    if not name.startswith("reference/"):
        path = Path(app.srcdir) / f"{name}.md"
        source[0] = moved(source[0], path, path.parent)


def unlisted(folder: Path) -> list[str]:
    """Guides that no list of contents names: they stand at the end of the how-to guides."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))]
    named = {line for text in texts for block in CONTENTS.findall(text) for line in block.split()}
    return sorted({path.stem for path in folder.glob("*.md")} - named - {"index"})


def checked(app: Any, failure: Exception | None) -> None:
    """Leave out what only the theme's makers need; refuse a site with a dead link or that loads from elsewhere."""
    if failure is None and app.builder.name == "html":
        for path in [*Path(app.outdir).rglob("*.map"), *Path(app.outdir).rglob("webpack-macros.html")]:
            path.unlink()
        if found := faults(Path(app.outdir)):
            raise SphinxError("\n".join(found))


def setup(app: Any) -> dict[str, bool]:
    """All three, as Sphinx asks for them."""
    app.add_lexer("csv", TextLexer)
    app.connect("build-finished", checked)
    app.connect("builder-inited", written)
    app.connect("source-read", at_home)
    return {"parallel_read_safe": True}
