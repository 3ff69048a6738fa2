"""Everything public is on a page of the reference, and each page says what a reader needs of it."""

import json
import math
import re

import pytest

import estimator
from docs.pages import catalogue, commands, errors, formulas, inputs, keys, kinds, links, public
from docs.pages.console import UNRUN
from estimator import decide
from estimator.catalog.plan_fields import TITLES, plan_fields
from estimator.cli import main
from estimator.cli.parser import _builders
from estimator.decide.rules import criteria
from estimator.scenario import default_scenario
from estimator.shown import rendered


def headings(text):
    """Names that have a heading of their own."""
    return set(re.findall(r"^###? `([^`]+)`", text, re.MULTILINE))


def test_every_input_criterion_and_field_has_its_place():
    found = inputs.pages()

    assert headings(found["inputs"]) == set(default_scenario().names())
    assert headings(found["criteria"]) == set(criteria())
    assert headings(found["plans"]) == {name for section in TITLES for name in plan_fields(section)}


def test_an_input_shows_value_range_bounds_and_reason():
    entry = inputs.pages()["inputs"].split("### `samples`")[1].split("###")[0]

    assert "**5,000** (2,000 to 12,000) · takes 1 to 1e12" in entry
    assert default_scenario().amounts["samples"].why[1:] in entry


def test_every_public_name_has_its_place():
    found = public.pages()

    assert headings(found["python/functions"]) == set(estimator.__all__)
    assert headings(found["python/decide"]) == {*decide.__all__, *public.CALLED_AS_MODULE}
    assert headings(found["python/errors"]) == {name for name in vars(public.errors) if name[0].isupper()} - {
        "Iterable"
    }
    assert {"Estimate", "Comparison", "Quantity", "Search", "Recommendation"} <= headings(found["python/results"])


def test_every_formula_has_units_source_and_the_lines_that_compute_it():
    found = formulas.pages()
    flop = found["formulas/training"].split("## `dense_training_flop`")[1].split("\n## ")[0]

    for path in formulas.FOLDER.glob("*.py"):
        if path.stem != "__init__":
            assert headings(found[f"formulas/{path.stem}"]) == set(formulas.names(path))
    assert "**Validity.**" in flop
    assert "[arXiv:2001.08361](../../references.md)" in flop
    assert "8.0 if recompute else 6.0" in flop


def test_every_command_has_its_page_and_an_example():
    listed = {name: sub for name, _, sub in commands.subcommands()}

    assert set(listed) == set(_builders())
    assert all(commands.example(sub).startswith(f"estimator {name}") for name, sub in listed.items())


def test_every_option_is_on_the_page_of_its_command():
    for name, _, sub in commands.subcommands():
        text = commands.options(sub)
        wanted = {option for action in sub._actions for option in action.option_strings}
        assert {option for option in wanted if f"`{option}" not in text} == set(), name


@pytest.mark.parametrize("kind", ["frameworks", "accelerators"])
def test_the_catalogue_is_whole(kind, capsys):
    assert main(["catalog", kind, "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()

    assert catalogue.pages()[f"catalogue/{kind}"].count("\n| ") == len(rows) + 1


def test_sentences_of_errors_are_whole():
    text = errors.pages()["errors"]

    assert "unknown stage *name*" in text
    assert "None" not in text


def test_answers_meet_the_schema():
    """A tiny check of types and required keys: enough to see that the schema is of these answers."""
    made = keys.pages()["estimator.schema.json"]
    schema = json.loads(made)["$defs"]
    answer = json.loads(rendered(estimator.estimate("rag", model="8b", gpu="h100"), "json"))

    assert set(schema["Estimate"]["required"]) == set(answer)
    assert schema["Estimate"]["properties"]["total_usd"] == {"$ref": "#/$defs/figure"}
    assert set(schema["figure"]["required"]) <= set(answer["total_usd"])


def test_dead_links_and_what_is_loaded_from_elsewhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">b</a> <a href="c.html">c</a> <a href="https://x.y">x</a>')
    (tmp_path / "b.html").write_text('<p id="there"></p><script src="https://cdn.x/a.js"></script><img src="a.html">')
    (tmp_path / "s.css").write_text("@import url('https://fonts.x/a.css'); p { color: red }")

    assert links.faults(tmp_path) == [
        "a.html: no such place b.html#here",
        "a.html: dead link c.html",
        "b.html: loads https://cdn.x/a.js",
        "s.css loads https://fonts.x/a.css",
    ]


def test_commands_that_do_not_run_in_guides_say_why():
    assert set(UNRUN) & set(_builders()) <= {"calibrate", "serve", "docs", "mcp", "watch"}


def test_errors_by_kind_of_run_by_hand():
    """Of ten times, one half predicted 10 % too long, the other exact: 1.05 off in the middle, too slow."""
    runs = [{"error": str(-math.log(1.1) * (index < 5)), "source": f"s{index % 2}"} for index in range(10)]
    line = kinds._line("all", runs, ("too fast", "too slow"))

    assert (line["runs"], line["sources"], line["off"]) == ("10", "2", "1.05")
    assert (line["nine in ten within"], line["tends to be"]) == ("1.10", "1.05 too slow")
    assert kinds._line("few", runs[:7], ("too fast", "too slow")) == {}
    assert "| mixture of experts |" in kinds.pages()["by_kind"]
