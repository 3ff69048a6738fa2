"""The application: routes, problems, files of the page, health and counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import estimator
from estimator.errors import EstimatorError
from estimator.export.page.html import tag
from estimator.export.page.words import say
from estimator.web import api, guides, others, pages, problems, reference, safety
from estimator.web.asking import COMMANDS
from estimator.web.metrics import Metrics

STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "report.css": "text/css",
}
HERE = Path(__file__).parent
PAGES = ("/", "/answer", "/upload/rows")  # where people read what was wrong


def create(hosts: tuple[str, ...] = ()) -> safety.Guard:
    """The application behind its guard; hosts: served beside this machine's own names."""
    app = FastAPI(
        title="estimator",
        version=estimator.__version__,
        summary="What customising an LLM would need and cost, before anything is spent",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    metrics = Metrics()
    app.include_router(api.router)
    app.include_router(pages.router)
    app.include_router(guides.router)
    app.include_router(others.router)
    _plain_routes(app, metrics)
    for error, handler in HANDLERS.items():
        app.add_exception_handler(error, handler)
    asked = (f"{api.PREFIX}/{name}{end}" for name in (*COMMANDS, "sweep") for end in ("", ".csv"))
    safety.KNOWN.update(asked, ("/", "/answer", "/openapi.json", "/api/docs", "/healthz", "/metrics"))
    return safety.Guard(app, hosts, metrics)


def _plain_routes(app: FastAPI, metrics: Metrics) -> None:
    described = reference.openapi(app)

    def openapi() -> dict[str, Any]:
        return described()

    app.add_api_route("/openapi.json", openapi, include_in_schema=False)
    app.add_api_route(
        "/api/docs",
        lambda: pages.html(tag("main", reference.page(described())), title=say("api_reference")),
        include_in_schema=False,
    )
    app.add_api_route("/healthz", lambda: {"status": "ok", "version": estimator.__version__}, include_in_schema=False)
    app.add_api_route(
        "/metrics", lambda: Response(metrics.text(), media_type="text/plain; version=0.0.4"), include_in_schema=False
    )
    app.add_api_route("/static/{name}", _file, include_in_schema=False)


def _file(name: str) -> Response:
    """A file of the page: those that are named here, and no other."""
    if name not in STATIC:
        raise HTTPException(404, "no such file")
    folder = HERE.parent / "export" / "page" / "style.css" if name == "report.css" else HERE / "static" / name
    return Response(folder.read_bytes(), media_type=STATIC[name], headers={"cache-control": "max-age=300"})


def _told(status: int, text: str) -> Response:
    return Response(text, status, media_type=problems.MIME)


async def _of_library(request: Request, error: Exception) -> Response:
    if not isinstance(error, EstimatorError):
        raise error
    if request.url.path in PAGES or request.url.path.startswith("/ask/"):
        return pages.refused(error)
    return _told(*problems.of(error))


async def _of_http(_: Request, error: Exception) -> Response:
    status, detail = getattr(error, "status_code", 500), str(getattr(error, "detail", error))
    return _told(*problems.problem(status, detail))


async def _of_form(_: Request, error: Exception) -> Response:
    return _told(*problems.problem(422, f"the request is not of the form described in /api/docs: {error}"[:300]))


async def _too_long(_: Request, __: Exception) -> Response:
    return _told(*problems.too_long())


async def _fault(_: Request, error: Exception) -> Response:
    return _told(*problems.problem(500, f"{type(error).__name__}: this is a fault of the program, not of the question"))


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Any]] = {
    EstimatorError: _of_library,
    HTTPException: _of_http,
    RequestValidationError: _of_form,
    TimeoutError: _too_long,
    Exception: _fault,
}
