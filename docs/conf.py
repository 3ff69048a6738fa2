"""The site: python -m sphinx -W docs estimator/_docs. Offline; nothing in it is loaded from elsewhere."""

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs import pages
from docs.pages.shipped import moved

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
copyright = "Apache-2.0"


def written(app: Any) -> None:
    """Make the reference before pages are looked for."""
    pages.write()


def at_home(app: Any, name: str, source: list[str]) -> None:
    """Links of guides to what lies beside `docs` lead to its page on the site."""
    if not name.startswith("reference/"):
        path = Path(app.srcdir) / f"{name}.md"
        source[0] = moved(source[0], path, path.parent)


def setup(app: Any) -> None:
    """Both, as Sphinx asks for them."""
    app.connect("builder-inited", written)
    app.connect("source-read", at_home)
