"""Every result in every format, through one door; a new format touches the table and its own module."""

import csv
import importlib
import io
import json
import pkgutil
import re
import sys
import types
from decimal import Decimal
from pathlib import Path

import pytest

import estimator
from estimator import check, compare, estimate, layout, recommend, serving, shown, validate
from estimator.cli import main
from estimator.decide.inverse import Finding
from estimator.errors import InvalidInput
from estimator.export.catalogue import Catalogue
from estimator.recording import Recorded
from estimator.recording.variance import Difference as Billed
from estimator.recording.variance import Variance
from estimator.sensitivity import Grid, sensitivity
from estimator.shown import FORMATS, SCHEMA_VERSION, Format, Shown, format_for, named, rendered, renderer
from estimator.validation.local import LocalCase, LocalReport
from estimator.validation.report import CasePrediction
from estimator.verdict.difference import Difference, Factor

ASK = {"model": "7b", "gpu": "a100"}
WORDS = ["--model", "7b", "--gpu", "a100"]
ROOT = Path(__file__).parents[1]


def local_report():
    case = LocalCase("a step", "training", 1.05, 0.9, 1.2, None, (1.0, 1.1))
    return LocalReport((case,), (), 0.01)


def recorded():
    case = CasePrediction("own-1", "own", "step_time_s", "s", 2.0, 1.5, 2.5, "ok", measured=2.2)
    return Recorded((case,), ("a log",), "", "training", ())


RESULTS = {
    "Comparison": lambda: compare(**ASK),
    "Estimate": lambda: estimate("prompt+rag", **ASK),
    "Recommendation": lambda: recommend(**ASK, citations=True),
    "Finding": lambda: Finding("what", "that", 1.0, "1", "no more", ({"what": "x", "usd": 2.0, "note": None},)),
    "Search": lambda: layout(model="7b", gpu="8xa100", tokens=1e9),
    "ServingAnswer": lambda: serving(**ASK, prompt_tokens=500, output_tokens=100, concurrency=[1, 8]),
    "Sensitivity": lambda: sensitivity("finetune", **ASK, vary=("samples",)),
    "Grid": lambda: Grid(
        ({"samples": 10.0, "rag_total_usd": 3.0, "rag_total_usd_low": 2.0, "rag_total_usd_high": 4.0, "error": ""},),
        ("samples",),
        ("rag",),
        ("total_usd",),
    ),
    "Catalogue": lambda: Catalogue(({"name": "a", "unit": "1", "source": "a paper"},)),
    "Recorded": recorded,
    "Variance": lambda: Variance(
        "RAG", "USD", (1, 2), (Billed("serving", "Hours", "requests", Decimal(2), Decimal(3)),), 4
    ),
    "Report": lambda: validate([ROOT / "calibration" / "published" / "inference.csv"]),
    "LocalReport": local_report,
    "Check": lambda: check(ROOT / "tests" / "configs" / "files" / "train.yaml", gpu="rtx4090,a100"),
    "Difference": lambda: Difference("a and b", {"usd": 2.0}, {"usd": 3.0}, (Factor("tp", 1, 2, {"usd": 1.5}),)),
}


@pytest.fixture(scope="module", params=RESULTS)
def result(request):
    return RESULTS[request.param]()


def kinds(base=Shown):
    """Every type of result there is, wherever it is defined."""
    for module in pkgutil.walk_packages(estimator.__path__, "estimator."):
        if "measure" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    below = [kind for one in base.__subclasses__() for kind in (one, *kinds(one))]
    return [kind for kind in below if not kind.__subclasses__()]


def test_every_type_of_result_is_tried_here():
    assert {kind.__name__ for kind in kinds()} == set(RESULTS)


@pytest.mark.parametrize("style", [*named(), "notebook", "picture", "rows"])
@pytest.mark.parametrize("kind", RESULTS)
def test_every_type_of_result_has_a_renderer(kind, style):
    assert callable(renderer(kind, style))


def test_results_show_themselves_in_every_format(result, monkeypatch):
    monkeypatch.setattr("estimator.validation.local.profile", lambda: MACHINE)
    for style in named():
        text = rendered(result, style)
        assert text.strip()
        assert "=1+1" not in text
    assert json.loads(result.to_json())["schema_version"] == SCHEMA_VERSION
    assert len({len(row) for row in csv.reader(io.StringIO(result.to_csv()))}) == 1
    assert "<" in result._repr_html_()
    assert str(result) == rendered(result, "table")


MACHINE = {
    "machine": {"title": "a machine", "versions": {"torch": "2"}},
    "threads": 2,
    "date": "2026-01-01",
    "constants": {"2": {"memory": {"bytes_per_s": 1e10}, "gemm": {}, "phases": {}}},
    "drift": {"log": 0.0},
    "measurements": (),
}


def test_a_type_without_a_renderer_is_refused():
    with pytest.raises(InvalidInput, match="Nothing is not written as table"):
        renderer("Nothing", "table")


def test_a_new_format_is_a_row_of_the_table_and_a_module(tmp_path, monkeypatch, capsys):
    """Commands, file endings, help and Python know it at once."""
    module = types.ModuleType("estimator.export.loud")
    module.loud = lambda result: f"{result}!".upper()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "loud", Format((".loud",), {shown.ANY: "export.loud:loud"}))

    target = tmp_path / "answer.loud"
    assert main(["compare", *WORDS, "--output", str(target)]) == 0
    assert target.read_text(encoding="utf-8").startswith("MISTRAL")
    assert main(["estimate", "rag", *WORDS, "--format", "loud"]) == 0
    assert capsys.readouterr().out.endswith("!\n")
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert "loud" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["board.xhtml", "a.pdf", "b.xlsx", "c.png", "d.jsonl", "folder.d/e.doc"])
def test_an_ending_nobody_knows_is_refused_and_nothing_written(path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["compare", *WORDS], ["catalog", "models"], ["sweep", "--vary", "samples=1,2", *WORDS]):
        if command[0] == "sweep" and path.endswith(".xlsx"):
            continue  # what a sweep does write
        assert main([*command, "--output", path]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert len(shown.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("style", "path"), [("json", "a.csv"), ("csv", "a.md"), ("table", "a.json")])
def test_a_format_against_an_ending_is_refused(style, path):
    with pytest.raises(InvalidInput, match="say one"):
        format_for(path, style)


@pytest.mark.parametrize("path", [None, "answer", "answer.txt", "/dev/stdout", "folder.d/answer"])
def test_other_files_take_any_format(path):
    assert [format_for(path, style) for style in named()] == list(named())
    assert format_for(path) == "table"


def test_a_range_given_in_round_numbers_is_written_in_round_numbers():
    text = estimate("finetune", **ASK, samples=(2000, 5000, 12000)).to_csv()

    assert "99999" not in text
    assert ",5000,1,2000,12000," in text, text.splitlines()[2]


def paths(data, at=""):
    """Where JSON has keys: names of a mapping, `[]` for a list, `*` for names that are data; a figure is one thing."""
    if isinstance(data, dict) and {"value", "unit", "low", "high", "basis", "sources"} <= data.keys():
        yield f"{at} = figure"
    elif isinstance(data, dict):
        for key, value in data.items():
            name = "*" if at.rpartition(".")[2] in NAMED_BY_DATA else key
            yield from paths(value, f"{at}.{name}" if at else name)
    elif isinstance(data, list):
        for value in data:
            yield from paths(value, f"{at}[]")
    else:
        yield at


def test_keys_of_json_change_only_with_its_version():
    """A key that appears, goes or moves asks for another SCHEMA_VERSION, a row in docs/json.md, and this file anew.

    Anew: python tests/test_shown.py
    """
    saved = json.loads(KEYS.read_text(encoding="utf-8"))

    assert saved["schema_version"] == SCHEMA_VERSION
    assert saved["keys"] == keys()


def test_each_version_of_json_stands_in_the_table_of_changes():
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "json.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert [int(version) for version in rows] == list(range(SCHEMA_VERSION, 0, -1))


NAMED_BY_DATA = (
    *("stages", "prices", "details", "figures", "ranges", "parts", "layout"),
    *("asked", "given", "limits", "plan"),
)
KEYS = Path(__file__).with_name("json_keys.json")


def keys():
    return {kind: sorted(set(paths(json.loads(make().to_json())))) for kind, make in RESULTS.items()}


if __name__ == "__main__":
    KEYS.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "keys": keys()}, indent=1) + "\n", encoding="utf-8")
