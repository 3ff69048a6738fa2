"""A workbook computes what Python computes: as written, and after a reader has changed live inputs."""

import contextlib
import io
import math
import random
import re
import warnings
import zipfile

import openpyxl
import pytest

from estimator import compare
from estimator.api import STAGES
from estimator.catalog.accelerators import accelerator_names
from estimator.export.budget import COLUMNS
from estimator.export.currency import converted, currency
from estimator.export.workbook.book import letters
from estimator.export.workbook.steps import Steps
from estimator.results import FIGURES, Blocked
from tests.export.engine import SOFFICE, patched, recalculated, values, with_wrong_caches

QUESTION = {"model": "7b", "gpu": "a100"}
HOSTED = {"model": "7b", "api": "openai:gpt-4o-mini"}
NAMED = [one.name for one in FIGURES if one.unit == "USD"]
needs_engine = pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("book") / "budget.xlsx"
    compare(**QUESTION).to_excel(str(path), command="estimator export budget.xlsx --model 7b --gpu a100")
    return path


def names(path):
    """Cell of every workbook name, as (sheet, address)."""
    found = {}
    for name, defined in openpyxl.load_workbook(path).defined_names.items():
        sheet, _, address = defined.attr_text.rpartition("!")
        found[name] = sheet.strip("'"), address.replace("$", "")
    return found


def summary_cells(workbook, comparison):
    """(what, cell of the Summary, what Python says) for every figure of every approach."""
    rows = {str(row[0]).strip(): row for row in workbook["Summary"]}
    answers = [answer for answer in comparison.estimates if not isinstance(answer, Blocked)]
    for name, label, _, size, *_ in FIGURES:
        for index, answer in enumerate(answers):
            figure = answer.figure(name)
            for offset, end in enumerate((figure.low, figure.value, figure.high)):
                yield f"{answer.stage} {name}", rows[label][2 + 3 * index + offset], end / size


def assert_agree(workbook, comparison):
    for what, cell, python in summary_cells(workbook, comparison):
        if math.isnan(python):
            assert cell == "unknown", what
        else:
            assert cell == pytest.approx(python, rel=1e-9, abs=1e-12), what


@pytest.mark.parametrize("question", [QUESTION, HOSTED, {**QUESTION, "billing": "per-use", "contingency": 0.15}])
def test_cached_values_are_pythons(tmp_path, question):
    comparison = compare(**question)
    comparison.to_excel(str(tmp_path / "b.xlsx"))

    assert_agree(values(tmp_path / "b.xlsx"), comparison)


@needs_engine
def test_a_spreadsheet_program_computes_every_cell_anew(book, tmp_path):
    wrong = with_wrong_caches(book, tmp_path / "wrong.xlsx")

    (computed,) = recalculated([wrong], tmp_path)

    assert_agree(computed, compare(**QUESTION))
    for sheet, rows in values(book).items():
        for number, (row, found) in enumerate(zip(rows, computed[sheet], strict=False), 1):
            same = [pytest.approx(cell, rel=1e-9, abs=1e-12) if isinstance(cell, float) else cell for cell in row]
            assert list(found)[: len(same)] == same, f"{sheet} row {number}"


@needs_engine
def test_money_in_another_currency_follows_the_rate_in_its_cell(tmp_path):
    """Exported in euros; then the rate is changed in the file, and the program's answer is Python's for that rate."""
    question, path = {**QUESTION, "stages": ("prompt", "finetune"), "contingency": 0.1}, tmp_path / "euro.xlsx"
    compare(**question).to_excel(str(path), currency="EUR=0.92@2026-11-01")
    sheet, address = names(path)["est_in_rate_eur_per_usd"]
    changed = patched(path, tmp_path / "changed.xlsx", sheet, {address: 0.85})

    (computed,) = recalculated([changed], tmp_path)

    euros = converted(compare(**question), currency("EUR=0.85@2026-11-01"))
    assert_agree(computed, euros)
    assert computed["Monthly"][3][9] == pytest.approx(euros["prompt"].total_usd.value, rel=1e-9)
    rows = [dict(zip(computed["Budget lines"][0], row, strict=True)) for row in computed["Budget lines"][1:]]
    assert {(row["BillingCurrency"], row["x_RatePerUsd"], row["x_RateDate"]) for row in rows} == {
        ("EUR", 0.85, "2026-11-01")
    }
    for row in rows:
        if isinstance(row["ListUnitPrice"], float) and row["ListCost"]:
            assert row["PricingQuantity"] * row["ListUnitPrice"] == pytest.approx(row["ListCost"], rel=1e-9)


def live_inputs(comparison):
    return [step for _, step in Steps(comparison).of_kind("input") if step.live]


def change(step, draw):
    """Another value for a live input, with another range where it has one: (low, value, high)."""
    value = step.node.value
    new = {
        "growth_per_month": lambda: draw.uniform(-0.05, 0.2),
        "horizon_months": lambda: float(draw.randint(1, 60)),
        "contingency": lambda: draw.uniform(0, 0.4),
        "target_utilisation": lambda: draw.uniform(0.2, 0.95),
    }.get(step.key, lambda: (value or 0.5) * draw.uniform(0.4, 4))()
    if step.key in ("attempts", "peak_to_mean"):
        new += 1
    new = min(max(round(new) if step.bounds.whole else new, step.bounds.least), step.bounds.most)
    if step.factor and not step.key.startswith("price_"):
        least, most = step.bounds.least, step.bounds.most
        return max(new * draw.uniform(0.3, 1), least), new, min(new * draw.uniform(1, 3), most)
    return new, new, new


def cells_of(step, ends, where):
    _, address = where[f"est_in_{re.sub('[^a-z0-9_]+', '_', step.key.lower())}"]
    row = address[1:]
    cells = {f"C{row}": ends[1]}
    return cells | ({f"D{row}": ends[0], f"E{row}": ends[2]} if step.factor else {})


def asked_with(changes, question=QUESTION):
    """The question to Python with the same inputs."""
    asked = dict(question)
    for step, ends in changes:
        if step.key.startswith("price_"):
            asked["price"] = ends[1]
        else:
            asked[step.key] = ends if step.factor else ends[1]
    return asked


@needs_engine
def test_twenty_changes_of_live_inputs_agree_with_python(book, tmp_path):
    """A few inputs at a time, all of them in the last: drawn with a fixed seed."""
    draw = random.Random(9)
    steps, where = live_inputs(compare(**QUESTION)), names(book)
    trials = [draw.sample(steps, draw.randint(1, 8)) for _ in range(19)] + [steps]
    changes = [[(step, change(step, draw)) for step in trial] for trial in trials]
    files = []
    for number, trial in enumerate(changes):
        cells = {}
        for step, ends in trial:
            cells |= cells_of(step, ends, where)
        files.append(patched(book, tmp_path / f"{number}.xlsx", "Inputs", cells))

    for trial, computed in zip(changes, recalculated(files, tmp_path), strict=True):
        assert_agree(computed, compare(**asked_with(trial)))


def predictions(comparison):
    """What is no formula of a workbook: predicted figures and facts, in every scenario."""
    return {(step.node.name, step.node.column.tobytes()) for _, step in Steps(comparison).of_kind("physical", "fact")}


@pytest.mark.parametrize("question", [QUESTION, HOSTED])
def test_no_prediction_rests_on_a_live_input(question):
    draw, comparison = random.Random(3), compare(**question)

    for step in live_inputs(comparison):
        if not step.key.startswith("price_"):
            changed = compare(**question, **{step.key: change(step, draw)[1]})
            # a range that was given alone is gone, and with it a factor's move: only what is new matters
            values = {(name, column[:8]) for name, column in predictions(comparison)}
            assert {(name, column[:8]) for name, column in predictions(changed)} <= values, step.key


def test_every_kind_of_input_the_budget_turns_on_is_live():
    live = {step.key for step in live_inputs(compare(**QUESTION))}

    assert live >= {"requests_per_month", "growth_per_month", "samples", "epochs", "attempts", "horizon_months"}
    assert live >= {"contingency", "rate_usd_per_hour", "finetune_setup_hours", "price_per_hour"}
    assert not live & {"prompt_tokens", "output_tokens", "chunk_tokens", "top_k", "deadline_days"}


def formulas(path):
    with zipfile.ZipFile(path) as package:
        for part in package.namelist():
            if part.startswith("xl/worksheets/sheet"):
                yield from re.findall(r"<f>([^<]*)</f>", package.read(part).decode())


def test_formulas_are_plain_short_and_without_hidden_numbers(book):
    found = list(formulas(book))

    assert len(found) > 1000
    for text in found:
        bare = re.sub(r'"[^"]*"', "", text)
        assert not re.search(r"\b(INDIRECT|OFFSET|NOW|TODAY|RAND|RANDBETWEEN|CELL|INFO)\(", bare), text
        assert "[" not in bare, f"link out: {text}"
        assert len(text) <= 300, text
        numbers = re.findall(r"(?<![A-Za-z0-9_$.!])\d+\.?\d*(?:E[+-]?\d+)?(?![A-Za-z0-9_(!:])", bare)
        assert {float(number) for number in numbers} <= {0.0, 1.0, 2.0, 3.0}, text


def test_every_formula_has_a_cached_value(book):
    with zipfile.ZipFile(book) as package:
        for part in package.namelist():
            if part.startswith("xl/worksheets/sheet"):
                assert not re.search(r"</f></c>|</f><v></v>", package.read(part).decode()), part


@needs_engine
def test_an_unknown_price_is_unknown_until_it_is_entered(tmp_path):
    unpriced = next(name for name in accelerator_names() if not compare_prompt(name)["prompt"].total_usd.known)
    comparison = compare_prompt(unpriced)
    path = tmp_path / "b.xlsx"
    comparison.to_excel(str(path))
    (price,) = [step for step in live_inputs(comparison) if step.key.startswith("price_")]
    priced = patched(path, tmp_path / "priced.xlsx", "Inputs", cells_of(price, (3.0, 3.0, 3.0), names(path)))

    assert values(path)["Summary"][4][4] == "unknown"
    (computed,) = recalculated([priced], tmp_path)
    assert_agree(computed, compare_prompt(unpriced, price=3.0))


def compare_prompt(accelerator, **inputs):
    return compare(model="7b", gpu=accelerator, stages=("prompt",), **inputs)


def test_headline_cells_have_names(book):
    where = names(book)
    workbook = openpyxl.load_workbook(book, data_only=True)
    comparison = compare(**QUESTION)

    for stage in STAGES:
        for name in NAMED:
            sheet, address = where[f"est_{stage}_{name}"]
            assert workbook[sheet][address].value == pytest.approx(comparison[stage].figure(name).value, rel=1e-12)


def test_months_add_up_to_the_total(tmp_path):
    comparison = compare(**QUESTION, growth_per_month=0.08, requests_per_month=4e6, contingency=0.1, horizon_months=30)
    comparison.to_excel(str(tmp_path / "b.xlsx"))
    rows = values(tmp_path / "b.xlsx")["Monthly"]
    totals = [total for head, total in zip(rows[4], rows[3], strict=True) if head == "total"]

    assert totals == pytest.approx([answer.total_usd.value for answer in comparison.estimates], rel=1e-9)


def test_a_second_engine_agrees_after_a_change_of_every_live_input(tmp_path):
    """The library `formulas` computes workbooks in Python, by its own reading of the format.

    It is slow, so the smallest workbook here; `benchmarks/second_engine.py` does all approaches.
    """
    second_engine = pytest.importorskip("formulas", reason="the library `formulas` is not installed")
    question, draw = {"api": "openai:gpt-4o-mini", "stages": ("prompt",)}, random.Random(4)
    path, changed = tmp_path / "one.xlsx", tmp_path / "changed.xlsx"
    compare(**question).to_excel(str(path))
    where, changes, cells = names(path), [], {}
    for step in live_inputs(compare(**question)):
        if not step.key.startswith("price_"):  # prices of an API have no argument in Python
            changes.append((step, change(step, draw)))
            cells |= cells_of(step, changes[-1][1], where)
    patched(path, changed, "Inputs", cells)

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        warnings.simplefilter("ignore")
        solution = second_engine.ExcelModel().loads(str(changed)).finish().calculate()

    answer = compare(**{**asked_with(changes, {}), **question})["prompt"]
    for name in NAMED:
        figure = answer.figure(name)
        for suffix, expected in (("_low", figure.low), ("", figure.value), ("_high", figure.high)):
            sheet, address = where[f"est_prompt_{name}{suffix}"]
            found = solution[f"'[changed.xlsx]{sheet.upper()}'!{address}"].value[0, 0]
            assert float(found) == pytest.approx(expected, rel=1e-9), name


def test_what_is_printed_is_what_is_read(book):
    """On paper: the columns for readers, headings on every page, no sheet cut."""
    sheets = openpyxl.load_workbook(book)
    wide_as = letters(len(COLUMNS) - 1)
    printed = (("Inputs", "H", 1), ("Break-even", "J", 1), ("Budget lines", wide_as, 2), ("Ranges", "G", 1))
    for sheet, columns, wide in printed:
        of = sheets[sheet]
        assert re.search(rf"\$A\$1:\${columns}\$\d+$", of.print_area), (sheet, of.print_area)
        assert (of.page_setup.fitToWidth or 1) == wide
        assert of.print_title_rows
