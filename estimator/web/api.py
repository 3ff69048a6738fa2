"""The API: a question by POST (JSON) or GET (query), an answer as JSON, the tables also as CSV."""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from estimator.errors import InvalidInput, clipped
from estimator.shown import rendered
from estimator.web import problems
from estimator.web.asking import COMMANDS, CONFIG, Answer, answer, text_of
from estimator.web.events import Watch, progress
from estimator.web.models import EXAMPLES, name_of
from estimator.web.state import state

T = TypeVar("T")
Question = dict[str, object]  # by name
Reader = Callable[[Request], Awaitable[Question]]
PREFIX = "/api/v1"
STREAMED = ("layout",)  # as events too, where those are accepted
EVENTS = "text/event-stream"
DETAILS = ("brief", "full")
SHORT = ("model", "gpu", "gpus", "api", "price_per_hour", "requests_per_month", "samples")  # told of in GET

SEARCHES = ("layout", "recommend", "sweep")  # may take many times as long as the others

_lanes: dict[bool, anyio.CapacityLimiter] = {}


async def in_thread(function: Callable[[], T], *, search: bool = False) -> T:
    """Compute beside the loop, and not for ever; a search that nobody waits for stops.

    One at a time, as two would only take turns, and one search beside it, which so keeps nobody waiting.
    """
    limiter = _lanes.setdefault(search, anyio.CapacityLimiter(1))
    watch = Watch()
    try:
        with anyio.fail_after(problems.LONGEST_S):
            run = partial(watch.run, function)
            return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
    finally:
        watch.stop = True


async def searching(function: Callable[[], T]) -> T:
    """Compute beside those that are answered at once."""
    return await in_thread(function, search=True)


async def asked(request: Request) -> Question:
    """The question of a query; a name that comes twice is refused."""
    found: Question = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise InvalidInput(f"{clipped(name)} is given twice: say one")
        found[name] = value
    return found


async def posted(request: Request) -> Question:
    """The question of a body: an object of JSON."""
    body = await request.body()
    try:
        found = json.loads(body or b"{}", parse_constant=_refused)
    except (ValueError, RecursionError):
        raise InvalidInput('the body must be an object of JSON, such as {"model": "7b", "gpu": "a100"}') from None
    if not isinstance(found, dict):
        raise InvalidInput('the body must be an object of JSON, such as {"model": "7b", "gpu": "a100"}')
    return found


def _refused(text: str) -> None:
    raise ValueError(text)


def detail_of(request: Request, question: Question) -> str:
    """How much is told: brief unless asked."""
    found = question.pop("detail", request.query_params.get("detail", "brief"))
    if found not in DETAILS:
        raise InvalidInput(f"detail is brief or full, not {clipped(found)}")
    return str(found)


def as_json(text: str, status: int = 200) -> Response:
    """JSON text as a response."""
    return Response(text, status, media_type="application/json")


def as_csv(text: str) -> Response:
    """CSV text as a response."""
    return Response(text, media_type="text/csv; charset=utf-8")


def json_of(command: str, question: Mapping[str, object], detail: str) -> str:
    """A question's answer as JSON text."""
    from estimator.web import brief  # with what answers, not with the server

    return brief.text(answer(command, question), detail, page_of(question) if command == "compare" else "")


def page_of(question: Mapping[str, object]) -> str:
    """The address of the page that shows a question; none for what no address holds."""
    if CONFIG in question:
        return ""
    texts = {str(name): text for name, value in question.items() if (text := text_of(str(name), value)) is not None}
    return f"/?{state(texts.items()).query()}"


def csv_of(command: str, question: Mapping[str, object]) -> str:
    """A question's answer as CSV text."""
    found: Answer = answer(command, question)
    return str(rendered(found.result, "csv", currency=found.currency))


router = APIRouter(prefix=PREFIX)
Handler = Callable[[Request], Awaitable[Response]]


def _json_route(command: str, read: Reader) -> Handler:
    async def run(request: Request) -> Response:
        question = await read(request)
        work = partial(json_of, command, question, detail_of(request, question))
        if command in STREAMED and EVENTS in request.headers.get("accept", ""):
            return StreamingResponse(progress(work, request, searching), media_type=EVENTS)
        return as_json(await in_thread(work, search=command in SEARCHES))

    return run


def _csv_route(command: str, read: Reader) -> Handler:
    async def run(request: Request) -> Response:
        question = await read(request)
        question.pop("detail", None)
        return as_csv(await in_thread(partial(csv_of, command, question), search=command in SEARCHES))

    return run


async def sweep(request: Request) -> Response:
    """Rows of scenarios, answered; as events while they are, where those are accepted."""
    from estimator.web.sweeps import events, swept

    question = await posted(request)
    if EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(events(question, request, searching), media_type=EVENTS)
    return as_json(await searching(lambda: json.dumps(swept(question), ensure_ascii=False)))


async def sweep_csv(request: Request) -> Response:
    """The same as CSV."""
    from estimator.web.sweeps import swept_csv

    question = await posted(request)
    return as_csv(await searching(lambda: swept_csv(question)))


PROBLEM = {
    "description": "What was wrong, in the command's own sentence (RFC 9457)",
    "content": {problems.MIME: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys((403, 408, 413, 414, 422, 501, 503), PROBLEM)


def _told(command: str, get: bool, style: str) -> dict[str, Any]:
    """What OpenAPI says of a route, its question from the catalogue."""
    told: dict[str, Any] = {"responses": {"200": {"description": "The answer", "content": {style: {}}}}}
    detail = {"name": "detail", "in": "query", "schema": {"type": "string", "enum": list(DETAILS), "default": "brief"}}
    if get:
        known = COMMANDS[command]
        names = dict.fromkeys(
            (
                *known.files,
                *known.words,
                *(name for name in SHORT if name in known.options or known.sets == ("scenario",)),
            )
        )
        told["parameters"] = [
            {"name": name, "in": "query", "schema": {"type": "string"}, "example": _example(command, name)}
            for name in names
        ]
    else:
        schema = {"$ref": f"#/components/schemas/{name_of(command)}"}
        told["requestBody"] = {
            "content": {"application/json": {"schema": schema, "example": EXAMPLES.get(command, {})}}
        }
        told["parameters"] = []
    if style == "application/json" and command != "sweep":
        told["parameters"].append(detail)
    return told


def _example(command: str, name: str) -> str:
    value = EXAMPLES.get(command, {}).get(name, "")
    return str(value) if isinstance(value, str | int | float) else ""


def _add(path: str, handler: Handler, command: str, method: str, style: str) -> None:
    router.add_api_route(
        path,
        handler,
        methods=[method],
        name=f"{method.lower()} {path.strip('/')}",
        summary=f"{command}, as {style.partition('/')[2]}",
        tags=[command],
        responses=REFUSALS,
        response_class=Response,
        openapi_extra=_told(command, method == "GET", style),
    )


for _command in COMMANDS:
    for _method, _read in (("GET", asked), ("POST", posted)):
        _add(f"/{_command}", _json_route(_command, _read), _command, _method, "application/json")
        _add(f"/{_command}.csv", _csv_route(_command, _read), _command, _method, "text/csv")
_add("/sweep", sweep, "sweep", "POST", "application/json")
_add("/sweep.csv", sweep_csv, "sweep", "POST", "text/csv")
