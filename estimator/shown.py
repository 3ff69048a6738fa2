"""The one door to what is shown: formats, endings of files, the version of JSON, and who renders which result.

Results do not know their renderers. They meet in FORMATS by name, and a renderer's module is loaded when it is asked
for: an arrow that runs back up the layers, at run time alone. It stands here so that there is no other.

Another format is a row of FORMATS and a module beside those in `export/`.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from estimator.errors import InvalidInput, UnknownName, clipped

if TYPE_CHECKING:
    from pandas import DataFrame

R = TypeVar("R")
SCHEMA_VERSION = 3  # of JSON; what each version changed: docs/json.md
ANY = "*"  # a type of result that a format has no renderer of its own for
UNSAID = ("", ".txt")  # endings that go with every format
ELSEWHERE = {".xlsx": "`estimator export` writes workbooks", ".svg": "`estimator plot` draws pictures"}
ELSEWHERE[".png"] = ELSEWHERE[".svg"]


class Format(NamedTuple):
    """How results are written. endings: of files in it, none where no command writes it; renderers: by type of result.

    data: plain data, which keeps US dollars beside another currency; such a renderer takes the currency too
    page: a document that says how it was made; such a renderer takes the command too
    """

    endings: tuple[str, ...]
    renderers: Mapping[str, str]
    data: bool = False
    page: bool = False


FORMATS: dict[str, Format] = {
    "table": Format(
        UNSAID,
        {
            "Comparison": "export.tables:comparison_table",
            "Estimate": "export.tables:estimate_table",
            "Recommendation": "export.decision:recommendation_text",
            "Finding": "export.decision:finding_text",
            "Search": "export.layouts:search_text",
            "Check": "export.check:check_text",
            "Difference": "export.difference:difference_text",
            "ServingAnswer": "export.serving:serving_text",
            "Sensitivity": "export.sensitivity:sensitivity_text",
            "Grid": "export.sensitivity:grid_text",
            "Catalogue": "export.catalogue:catalogue_text",
            "Recorded": "export.recorded:recorded_text",
            "Variance": "export.variance:variance_text",
            "Report": "validation.report:report_text",
            "LocalReport": "validation.local:local_text",
        },
    ),
    "json": Format((".json",), {ANY: "export.rows:as_json"}, data=True),
    "csv": Format((".csv",), {ANY: "export.rows:as_csv"}, data=True),
    "markdown": Format(
        (".md", ".markdown"),
        {
            "Comparison": "export.tables:comparison_markdown",
            "Estimate": "export.tables:estimate_markdown",
            "Recommendation": "export.decision:recommendation_markdown",
            "Finding": "export.decision:finding_markdown",
            "Search": "export.layouts:search_markdown",
            "Check": "export.check:check_markdown",
            "Difference": "export.difference:difference_markdown",
            "ServingAnswer": "export.serving:serving_markdown",
            "Sensitivity": "export.sensitivity:sensitivity_markdown",
            "Grid": "export.sensitivity:grid_markdown",
            "Catalogue": "export.catalogue:catalogue_markdown",
            "Recorded": "export.recorded:recorded_markdown",
            "Variance": "export.variance:variance_markdown",
            "Report": "validation.report:report_markdown",
            "LocalReport": "validation.local:local_markdown",
        },
    ),
    "html": Format((".html", ".htm"), {ANY: "export.page.document:document"}, page=True),
    "notebook": Format(
        (),
        {
            "Comparison": "export.tables:comparison_html",
            "Recommendation": "export.decision:recommendation_html",
            "Search": "export.layouts:search_html",
            "Report": "validation.report:report_html",
            ANY: "export.rows:as_html",
        },
    ),
    "picture": Format(  # specifications of those that go with a result, the one that says most first
        (),
        {
            "Comparison": "charts.of_results:comparison",
            "Estimate": "charts.of_results:estimate",
            "Recommendation": "charts.of_results:recommendation",
            "Sensitivity": "charts.of_results:sensitivity",
            "Search": "charts.of_results:search",
            "ServingAnswer": "charts.of_results:serving",
            "Check": "charts.of_results:check",
            "Variance": "charts.of_results:variance",
            ANY: "charts.of_results:nothing",
        },
    ),
    "frame": Format((), {ANY: "export.rows:as_frame"}, data=True),
    "rows": Format(  # what CSV and data frames are made of
        (),
        {
            "Comparison": "export.rows:comparison_rows",
            "Estimate": "export.rows:estimate_rows",
            "Recommendation": "export.decision:recommendation_rows",
            "Finding": "export.decision:finding_rows",
            "Search": "export.layouts:search_rows",
            "ServingAnswer": "export.serving:serving_rows",
            ANY: "export.rows:own_rows",
        },
    ),
    "workbook": Format((), {"Comparison": "export.workbook:write_workbook"}),
    "reasons": Format(
        (),
        {"Estimate": "export.explain:estimate_reasons", "Quantity": "export.explain:reasons"},
    ),
}


class Shown:
    """What every result can do: show itself in each format. It has `to_dict`, for JSON."""

    __slots__ = ()

    def to_json(self) -> str:
        """JSON text with `schema_version`; what is not known is null."""
        return str(rendered(self, "json"))

    def to_csv(self) -> str:
        """CSV text: a header, then a row a figure or a choice."""
        return str(rendered(self, "csv"))

    def to_dataframe(self) -> "DataFrame":
        """The rows of `to_csv` as a pandas DataFrame; MissingExtra without pandas."""
        found: DataFrame = rendered(self, "frame")
        return found

    def _repr_html_(self) -> str:
        return str(rendered(self, "notebook"))

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """For a notebook: text, table, and the picture that says most, which it draws by itself."""
        found: list[Any] = rendered(self, "picture")
        drawn = _found("charts.draw:bundle")(found[0]) if found else {}
        return {"text/plain": str(self), "text/html": self._repr_html_(), **drawn}

    def __str__(self) -> str:
        return str(rendered(self, "table"))


def rendered(result: object, style: str, *, currency: str = "", command: str = "") -> Any:
    """A result in a format; with a currency (`EUR=0.92@2026-11-01`) its money in that too, in text instead.

    command: how to make it again, for documents

    >>> from estimator import estimate
    >>> rendered(estimate("rag", model="7b", gpu="a100"), "csv").splitlines()[0]
    'stage,figure,value,unit,low,high,level,basis,note'
    """
    render = renderer(type(result).__name__, style)
    if FORMATS[style].page:
        return render(in_currency(result, currency), command)
    if not currency:
        return render(result)
    if FORMATS[style].data:
        return render(result, _found("export.currency:currency")(currency))
    return f"{_found('export.currency:currency')(currency)}\n\n{render(in_currency(result, currency))}"


def in_currency(result: R, currency: str) -> R:
    """A result with its money in a currency instead; as it is where none is named."""
    if not currency:
        return result
    again: R = _found("export.currency:converted")(result, _found("export.currency:currency")(currency))
    return again


def renderer(kind: str, style: str) -> Callable[..., Any]:
    """What writes this type of result in a format; InvalidInput where nothing does."""
    if style not in FORMATS:
        raise UnknownName("format", style, FORMATS, f"Formats are {', '.join(named())}.")
    found = FORMATS[style].renderers
    if kind not in found and ANY not in found:
        raise InvalidInput(f"a {kind} is not written as {style}")
    return _found(found.get(kind) or found[ANY])


def named() -> tuple[str, ...]:
    """The formats that commands write."""
    return tuple(name for name, one in FORMATS.items() if one.endings)


def format_for(path: str | None, asked: str | None = None) -> str:
    """The format of a file: as asked, else by its ending; InvalidInput where neither says one, or they differ.

    >>> format_for("answers.csv"), format_for(None), format_for("answers.txt", "json")
    ('csv', 'table', 'json')
    """
    ending = os.path.splitext(path or "")[1].lower()  # noqa: PTH122 - pathlib takes as long to load as all the help
    style = next((name for name, one in FORMATS.items() if ending in one.endings), None)
    if style is None:
        known = ", ".join(ending for name in named() for ending in FORMATS[name].endings if ending)
        remedy = ELSEWHERE.get(ending, f"name a file that ends in {known}")
        raise InvalidInput(f"nothing here is written to {clipped(path)}, a {ending} file: {remedy}")
    if asked and asked != style and ending not in UNSAID:
        raise InvalidInput(f"--format {asked} and a {ending} file ({clipped(path)}) were asked for: say one")
    return asked or style


def dumps(data: object, indent: int | None = 2) -> str:
    """JSON text, indented unless told not to; what is not a finite number is null."""
    import json

    def written(known: object) -> str:
        return json.dumps(known, indent=indent, ensure_ascii=False, allow_nan=False)

    try:
        return written(data)
    except (TypeError, ValueError):  # it holds what is not finite, or another kind of mapping
        return written(_known(data))


def _known(data: object) -> object:
    if isinstance(data, Mapping):
        return {key: _known(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_known(value) for value in data]
    return None if isinstance(data, float) and data - data != 0 else data


def _found(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"estimator.{module}"), name)
    return found
