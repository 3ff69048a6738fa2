"""A browser for the pages: the system's Chromium by Playwright, which asks no network. Skipped where there is none."""

import shutil
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def browser():
    """Chromium, for all tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser's tests need playwright")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed here")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Opens pages in a context of their own; afterwards nothing has left the machine, nor has a script failed."""

    @contextmanager
    def open_page(address, refusals=False, **context):
        """refusals: whether answers may have a status that the browser reports."""
        wrong, asked = [], []
        own = browser.new_context(**context)
        page = own.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        own.close()
        assert not [text for text in wrong if not (refusals and "status of 4" in text)]
        assert all(url.startswith(("file:", "data:", "blob:", "http://127.0.0.1")) for url in asked)

    return open_page
