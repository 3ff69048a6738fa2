"""The guides of the installed version, where their site was built: its files by name, and no others."""

import base64
import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from estimator.cli.docs import BUILDING, SITE
from estimator.export.page.html import Markup, tag
from estimator.export.page.words import say
from estimator.web.pages import html

INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
router = APIRouter(include_in_schema=False)


@cache
def _files() -> dict[str, Path]:
    """What there is, by its address."""
    return {path.relative_to(SITE).as_posix(): path for path in SITE.rglob("*") if path.is_file()}


@router.get("/docs")
def start() -> Response:
    """To the first page, so that its links lead on."""
    return RedirectResponse("/docs/", 308)


@router.get("/docs/{name:path}")
def guide(name: str) -> Response:
    """A file of the site; where none was built, how to build it."""
    found = _files().get(name or "index.html") or _files().get(f"{name.rstrip('/')}/index.html")
    if found is None:
        return html(_missing(), 404)
    content = found.read_bytes()
    kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    headers = {"cache-control": "max-age=300"}
    if kind == "text/html":
        headers["content-security-policy"] = _policy(content.decode("utf-8"))
    return Response(content, media_type=kind, headers=headers)


def _missing() -> Markup:
    said = say("no_guide") if _files() else say("no_guides")
    how = None if _files() else tag("pre", BUILDING)
    return tag("main", tag("h1", say("guides")), tag("p", said), how, tag("p", tag("a", say("back"), href="/")))


def _policy(text: str) -> str:
    """Scripts of the site alone, those within the page by their hash; its styles stand in its elements."""
    scripts = sorted({_hash(script) for script in INLINE.findall(text)})
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(("'self'", *scripts)),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(map(" ".join, rules.items()))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
