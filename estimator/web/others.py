"""Pages of the other questions: a form made from the command's own options, and its answer; no script is needed.

What answers is loaded with the first question, as in pages.
"""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.export.page.html import Markup, folded, joined, tag
from estimator.export.page.words import field_label, say, words
from estimator.web import asking, problems
from estimator.web.api import SEARCHES, in_thread
from estimator.web.asking import COMMANDS
from estimator.web.models import EXAMPLES, choices_of, help_of
from estimator.web.pages import decoded, html, navigation, to_question, wrong

router = APIRouter(include_in_schema=False)
MORE = "more"  # inputs by name, a line each
WHY = "why"  # whether to tell where figures come from
Question = dict[str, object]


@router.get("/ask/{command}")
async def ask(request: Request, command: str) -> Response:
    """The form, and the answer to what the address asks; a comparison has a page of its own."""
    if command == "compare":
        return RedirectResponse(f"/?{request.url.query}", 308)
    return await _page(command, {name: text for name, text in request.query_params.items() if text.strip()})


@router.post("/ask/{command}")
async def sent(request: Request, command: str) -> Response:
    """The same with files."""
    asked: Question = {}
    async with request.form(max_files=20, max_fields=100) as form:
        for name, value in form.multi_items():
            if isinstance(value, str) and value.strip():
                asked[name] = value.replace("\r\n", "\n")
            elif isinstance(value, UploadFile) and value.filename:
                texts = asked.setdefault(name, {})
                if not isinstance(texts, dict):
                    raise InvalidInput(f"{name}: give a text or files, not both")
                texts[value.filename] = decoded(await value.read())
    return await _page(command, asked)


async def _page(command: str, asked: Question) -> Response:
    if command not in COMMANDS:
        raise UnknownName("question", command, COMMANDS)
    status, answer = 200, _about(command)
    if asked:
        try:
            answer = await in_thread(partial(_answer, command, asked), search=command in SEARCHES)
        except EstimatorError as error:
            status, answer = problems.status_of(error), wrong(error)
    from estimator.web.form import lists

    head = tag("h1", say(f"ask_{command}")) if not asked else None
    aside = tag("aside", _form(command, asked), aria_label=say("question"), id="asking")
    main = tag("main", to_question() if asked else None, head, tag("div", answer, id="answer", tabindex="-1"))
    body = joined(navigation(command), lists(), tag("div", aside, main, class_="sides"))
    return html(body, status, say(f"ask_{command}"))


def _about(command: str) -> Markup:
    """What is answered here, and an example of it."""
    asked = {name: str(value) for name, value in EXAMPLES[command].items()}
    example = tag("a", say("example"), href=f"/ask/{command}?{urlencode(asked)}")
    return joined(tag("p", say(f"about_{command}")), tag("p", example))


def question(asked: Mapping[str, object]) -> Question:
    """What fields ask, with further inputs from their lines.

    >>> question({"model": "8b", "more": "engine = vllm\\nmax_num_seqs=64"})
    {'model': '8b', 'engine': 'vllm', 'max_num_seqs': '64'}
    """
    found = {name: value for name, value in asked.items() if name != MORE}
    for line in filter(None, map(str.strip, str(asked.get(MORE, "")).splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or name in found:
            raise InvalidInput(f"{line[:80]!r} is no NAME=VALUE" if not equals else f"{name} is given twice: say one")
        found[name] = value
    return found


def _answer(command: str, asked: Question) -> Markup:
    """What it comes to; where figures come from has an address, as telling it takes longer than all the rest."""
    from estimator.export.page.others import inside

    plain = {name: value for name, value in asked.items() if name != WHY}
    found = asking.answer(command, question(plain))
    linked = not COMMANDS[command].files and WHY not in asked
    told = inside(asking.shown(found), f"/ask/{command}?{urlencode({**plain, WHY: 'true'})}" if linked else "")[1]
    said = [tag("p", note, class_="warn") for note in found.notes]
    again = tag("p", say("again"), tag("code", found.command), class_="quiet")
    return joined(*said, told, again)


# --- forms -----------------------------------------------------------------------------------------------


def _form(command: str, asked: Question) -> Markup:
    from estimator.web.form import PAID

    known = COMMANDS[command]
    files = [part for name in known.files for part in _file(name, command, asked)]
    names = (*known.words, *known.options)
    aside = {"instead": asking.INSTEAD if command == "recommend" else (), "prices_and_ranges": PAID}
    fields = [_option(name, command, asked) for name in names if not any(name in group for group in aside.values())]
    folds = [
        folded(
            say(title),
            *(_option(name, command, asked) for name in inside),
            class_="group",
            open=any(asked.get(name) for name in inside),
        )
        for title, group in aside.items()
        if (inside := [name for name in names if name in group])
    ]
    more = [_lines(asked), *folds] if known.sets else folds
    how = {"method": "post", "enctype": "multipart/form-data"} if known.files else {"method": "get"}
    send = tag("button", say("ask"), type="submit", class_="ask")
    return tag("form", *files, *fields, *more, send, action=f"/ask/{command}", autocomplete="off", **how)


def _option(name: str, command: str, asked: Question) -> Markup:
    from estimator.web.form import LISTS, field, row

    label, hint = field_label(name), words().get(f"hint_{command}_{name}") or help_of(command, name)
    choices = ("true",) if name in asking.flags(command) else choices_of(command, name)
    if not choices:
        return field(name, label, {name: str(asked.get(name, ""))}, hint=hint, list=LISTS.get(name))
    options = [tag("option", "(false)" if name in asking.flags(command) else "", value="")]
    options += [tag("option", one, value=one, selected=one == asked.get(name)) for one in choices]
    attributes = {"name": name, "required": name in asking.required(command), "aria_describedby": f"h-{name}"}
    return row(name, label, tag("select", *options, id=f"f-{name}", **attributes), hint)


def _file(name: str, command: str, asked: Question) -> list[Markup]:
    """A text to paste, or files to send."""
    from estimator.web.form import row

    text = asked.get(name, "")
    shown = text if isinstance(text, str) else "\n".join(map(str, text)) if isinstance(text, list) else ""
    box = tag("textarea", shown, id=f"f-{name}", name=name, rows=8, spellcheck="false", aria_describedby=f"h-{name}")
    send = tag("input", type="file", id=f"f-{name}-sent", name=name, multiple=name == "files", aria_label=say("upload"))
    return [row(name, say(f"file_{name}"), joined(box, send), help_of(command, name))]


def _lines(asked: Question) -> Markup:
    from estimator.web.form import row

    box = tag("textarea", str(asked.get(MORE, "")), id="f-more", name=MORE, rows=3, aria_describedby="h-more")
    return row(MORE, say("more"), box, say("hint_more"))
