"""The pages: the form with its answer, the answer alone for later ones, pictures, downloads, uploads.

What answers is loaded with the first question, so that the server is there at once.
"""

import tempfile
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import UploadFile

import estimator
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.export.page.html import Markup, joined, tag
from estimator.export.page.words import say, words
from estimator.web import asking, problems
from estimator.web.api import in_thread, searching
from estimator.web.state import LETTERS, State, state

DRAWN = ("totals", "spectrum", "volume", "bridge")
MIMES = {"svg": "image/svg+xml", "png": "image/png"}
router = APIRouter(include_in_schema=False)


def html(body: Markup, status: int = 200, title: str = "") -> HTMLResponse:
    """A page with its head."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title or say("title")),
        tag("link", rel="stylesheet", href="/static/report.css"),
        tag("link", rel="stylesheet", href="/static/page.css"),
        tag("link", rel="icon", href="data:,"),
        tag("script", src="/static/page.js", defer=True),
    )
    skip = tag("a", say("skip"), href="#answer", class_="skip")
    whole = tag("html", head, tag("body", skip, body), lang=words()["language"])
    return HTMLResponse(f"<!doctype html>\n{whole}\n", status)


@router.get("/")
async def first(request: Request) -> Response:
    """The form, and the answer to what the address asks."""
    found = state(request.query_params.multi_items())
    sent = request.query_params.values()
    if sent and (not found.version or not all(sent)):  # by the form: the address is to say what differs, no more
        return RedirectResponse(f"/?{found.query()}", 303)
    return await _page(request, found)


async def _page(request: Request, found: State, config: str = "") -> HTMLResponse:
    status, answer = await _answer(request, found, config)
    older = found.version and found.version != estimator.__version__
    said = tag("p", say("older", version=found.version, now=estimator.__version__), class_="warn") if older else None
    body = tag(
        "div",
        tag("aside", _form(found, config), _uploads(found), _footer(), aria_label=say("question"), id="asking"),
        tag("main", to_question(), said, tag("p", "", id="working", class_="quiet", role="status"), answer, id="main"),
        class_="sides",
    )
    from estimator.web.form import lists

    return html(joined(navigation("compare"), lists(), body), status)


def navigation(here: str) -> Markup:
    """All questions, that of this page marked."""
    links = (
        tag(
            "a",
            say(f"ask_{name}"),
            href="/" if name == "compare" else f"/ask/{name}",
            aria_current=_current(name, here),
        )
        for name in asking.COMMANDS
    )
    more = tag("a", say("guides"), href="/docs/"), tag("a", say("api_reference"), href="/api/docs")
    return tag("nav", *links, *more, aria_label=say("questions"))


def to_question() -> Markup:
    """Where the form stands beneath the answer, the way to it."""
    return tag("p", tag("a", say("to_question"), href="#asking"), class_="to-question")


def _current(name: str, here: str) -> str | None:
    return "page" if name == here else None


async def _answer(request: Request, found: State, config: str = "") -> tuple[int, Markup]:
    from estimator.web import answers

    host = request.headers.get("host", "127.0.0.1")
    try:
        return 200, tag(
            "div", await in_thread(partial(answers.answered, found, host, config)), id="answer", tabindex="-1"
        )
    except EstimatorError as error:
        return problems.status_of(error), wrong(error)


def wrong(error: EstimatorError) -> Markup:
    """What was wrong, in place of an answer."""
    said = tag("section", tag("h1", say("wrong")), tag("p", str(error)), class_="wrong", role="alert")
    return tag("div", said, id="answer", tabindex="-1")


def refused(error: EstimatorError) -> Response:
    """A page that says what was wrong."""
    return html(tag("main", wrong(error)), problems.status_of(error))


def _form(found: State, config: str) -> Markup:
    from estimator.web.form import form

    others = dict(found.others)
    free = [letter for letter in LETTERS if letter not in others]
    if free:
        others[free[0]] = {}
    asked = {name: text for name, text in found.asked.items() if not (config and name == "model")}
    return joined(
        form(asked, others), tag("textarea", config, id="config", hidden=True, aria_hidden="true") if config else None
    )


def _uploads(found: State) -> Markup:
    hidden = [tag("input", type="hidden", name=name, value=value) for name, value in found.asked.items()]
    fields = (("upload_config", "config_file", "/", ".json"), ("upload_rows", "rows_file", "/upload/rows", ".csv"))
    forms = (
        tag(
            "form",
            *hidden,
            tag("label", say(key), for_=name),
            tag("input", type="file", name=name, id=name, accept=ending, required=True),
            tag("button", say("upload_send"), type="submit"),
            method="post",
            action=action,
            enctype="multipart/form-data",
        )
        for key, name, action, ending in fields
    )
    return tag("section", tag("h2", say("upload")), *forms, class_="uploads")


def _footer() -> Markup:
    made = say("made", version=estimator.__version__)
    return tag("p", made, class_="quiet")


@router.get("/answer")
async def later(request: Request) -> Response:
    """The answer alone, for a page that has its form already."""
    status, answer = await _answer(request, state(request.query_params.multi_items()))
    return HTMLResponse(str(answer), status)


@router.post("/answer")
async def later_with_config(request: Request) -> Response:
    """The same of an uploaded config.json, which no address holds."""
    pairs, config, _ = await _sent(request)
    status, answer = await _answer(request, state(pairs), config)
    return HTMLResponse(str(answer), status)


@router.post("/")
async def uploaded(request: Request) -> Response:
    """The page of an uploaded config.json."""
    pairs, config, _ = await _sent(request)
    return await _page(request, state(pairs), config)


@router.post("/upload/rows")
async def rows(request: Request) -> Response:
    """A CSV of scenarios, answered row by row."""
    pairs, _, text = await _sent(request)
    from estimator.web.sweeps import swept_csv

    question = state(pairs).question()
    answered = await searching(partial(swept_csv, {**question, "csv": text}))
    return _file(answered.encode(), "answers.csv", "text/csv; charset=utf-8")


async def _sent(request: Request) -> tuple[list[tuple[str, str]], str, str]:
    """Fields of a form, and the text of the files in it."""
    async with request.form(max_files=2, max_fields=400) as sent:
        pairs = [(name, value) for name, value in sent.multi_items() if isinstance(value, str)]
        files = {name: await value.read() for name, value in sent.multi_items() if isinstance(value, UploadFile)}
    config = dict(pairs).get("config_text", "")
    texts = {name: decoded(content) for name, content in files.items()}
    pairs = [(name, value) for name, value in pairs if name != "config_text"]
    return pairs, texts.get("config_file", config), texts.get("rows_file", "")


def decoded(content: bytes) -> str:
    """The text of a file that was sent."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("the file is not text (UTF-8)") from None


@router.get("/reasons/{stage}")
async def reasons(request: Request, stage: str) -> Response:
    """Where the figures of an approach come from."""
    from estimator.web import answers

    found = state(request.query_params.multi_items())
    back = tag("p", tag("a", say("back"), href=f"/?{found.query()}"))
    told = await in_thread(partial(answers.reasons, found, stage))
    return html(tag("main", back, tag("div", told, id="answer", tabindex="-1")))


@router.get("/picture/{name}.{style}")
async def picture(request: Request, name: str, style: str) -> Response:
    """A picture of what the address asks."""
    if name not in DRAWN or style not in MIMES:
        raise UnknownName("picture", f"{name}.{style}", [f"{one}.{end}" for one in DRAWN for end in MIMES])
    pairs = request.query_params.multi_items()
    theme = dict(pairs).get("theme", "light")
    found = state(pair for pair in pairs if pair[0] != "theme")
    drawn = await in_thread(partial(_drawn, found, name, style, theme))
    return Response(drawn, media_type=MIMES[style])


def _drawn(found: State, name: str, style: str, theme: str) -> bytes:
    from estimator.charts import draw
    from estimator.web import answers

    spec = answers.picture(name, found)
    return draw.png(spec, theme) if style == "png" else draw.svg(draw.themed(spec, theme)).encode()


@router.get("/download/{name}")
async def download(request: Request, name: str) -> Response:
    """The answer as a file."""
    if name not in FILES:
        raise UnknownName("file", name, FILES)
    found = state(request.query_params.multi_items())
    return _file(await in_thread(partial(FILES[name][0], found)), name, FILES[name][1])


def _file(content: bytes, name: str, mime: str) -> Response:
    return Response(content, media_type=mime, headers={"content-disposition": f'attachment; filename="{name}"'})


def _workbook(found: State) -> bytes:
    one = asking.answer("compare", found.question())
    with tempfile.TemporaryDirectory(prefix="estimator-") as folder:
        path = Path(folder) / "budget.xlsx"
        asking.shown(one).to_excel(str(path), command=one.command)
        return path.read_bytes()


def _report(found: State) -> bytes:
    from estimator.shown import rendered

    one = asking.answer("compare", found.question())
    return str(rendered(one.result, "html", currency=one.currency, command=one.command)).encode()


FILES = {
    "budget.xlsx": (_workbook, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "report.html": (_report, "text/html; charset=utf-8"),
}
