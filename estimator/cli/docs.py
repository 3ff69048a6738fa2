"""`estimator docs`: the site of the installed version, opened in a browser."""

import argparse

from estimator.errors import InvalidInput
from estimator.paths import PACKAGE

SITE = PACKAGE / "_docs"
BUILDING = "Build it from a checkout: pip install '.[docs]' && python -m sphinx -W docs estimator/_docs"


def docs(options: argparse.Namespace) -> None:
    """Open the site, or say where it lies."""
    page = SITE / "index.html"
    if not page.is_file():
        raise InvalidInput(f"the documentation is not in this installation. {BUILDING}.")
    if not options.where:
        import webbrowser

        webbrowser.open(page.as_uri())
    print(page)
