"""A thing is known by its kind or key: what is shown may be worded in any way, and no figure moves."""

import ast
from pathlib import Path

import numpy as np
import pytest

from estimator import compare, estimate, quantities, recommend, sweep
from estimator.decide.break_even import curve, most_used
from estimator.decide.combine import combine
from estimator.decide.recommend import figures
from estimator.errors import EstimatorError
from estimator.export.budget import rows
from estimator.quantities import Quantity
from estimator.results import Estimate, Line
from estimator.sensitivity import sensitivity
from estimator.stages import COMBINATIONS, STAGES, finetune, live, question
from estimator.stages.live import Tree

OWN = {"model": "7b", "gpu": "a100", "contingency": 0.2, "growth_per_month": 0.05, "retrainings_per_year": 4}
QUESTIONS = {
    "own accelerators": OWN,
    "own, following the load": {**OWN, "billing": "autoscaled", "requests_per_month": 3e7, "deployment": "dedicated"},
    "an API": {"api": "openai:gpt-4o-mini", "contingency": 0.1, "student": "openai:gpt-4.1-nano"},
    "a managed store": {**OWN, "vector_store": "pinecone", "embedding_model": "openai:text-embedding-3-small"},
    "embedded elsewhere": {**OWN, "embedding_accelerator": "h100", "rerank_model": "bge-base-en-v1.5"},
}
WORDINGS = {"all alike": lambda _words: "something", "each another": lambda words: words[::-1].upper()}
STAGE_FILES = sorted(Path(question.__file__).parent.glob("*.py"))


def forget():
    """Nothing that was computed under other words is used again."""
    kept = ("_given_once", "_uncertain_once", "_derived_once", "_predicted_once", "_interval")
    for remembered in (*(getattr(quantities, name) for name in kept), question._figure_once, live.origin):
        remembered.cache_clear()


@pytest.fixture(params=WORDINGS.values(), ids=WORDINGS)
def reworded(request, monkeypatch):
    """From its call on, every figure and every budget line is shown in other words."""

    def start():
        for kind, shown in ((Quantity, "name"), (Line, "item")):
            monkeypatch.setattr(kind, "__init__", _worded(kind.__init__, shown, request.param))
        forget()

    yield start
    monkeypatch.undo()
    forget()


def _worded(made, shown, wording):
    """A constructor that words a figure or line anew, once."""

    def init(self, *args, **given):
        made(self, *args, **given)
        object.__setattr__(self, shown, wording(getattr(self, shown)))

    return init


def numbers(thing):
    """Every number of plain data, by its place."""
    if isinstance(thing, dict):
        return {key: numbers(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [numbers(value) for value in thing]
    if isinstance(thing, Quantity):
        return thing.column.tobytes()
    return repr(thing) if isinstance(thing, float | int) else ""


def tried(call, *args, **given):
    """The figures of an answer; nothing where there is none."""
    try:
        return numbers(call(*args, **given))
    except EstimatorError:
        return None


def everything(asked):
    """What a question is answered with, in all ways that look at budget lines or inputs."""
    comparison = compare(**asked)
    answers = [one for one in comparison.estimates if isinstance(one, Estimate)]
    known = [one for one in answers if one.total_usd.known]
    varied = [{"requests_per_month": 1e5, "rate_usd_per_hour": 70.0}, {"requests_per_month": 9e6, "samples": 700}]
    return {
        "stages": [_figures(one) for one in answers],
        "combinations": [tried(lambda name: _figures(combine(name, **asked)), name) for name in COMBINATIONS],
        "curves": [repr(curve(one).costs) for one in known],
        "rules see": [repr(figures(one)) for one in known],
        "used": [most_used(one).column.tobytes() for one in known],
        "recommendation": tried(lambda: recommend(**asked).to_dict()),
        "budget": numbers(list(rows(comparison))),
        "sensitivity": [tried(lambda stage: sensitivity(stage, **asked).to_dict(), stage) for stage in STAGES],
        "sweep": numbers(sweep(varied, **{name: value for name, value in asked.items() if name not in varied[0]})),
        "live": [sorted(Tree([one.total_usd], one.chosen_by).live) for one in known],
    }


def _figures(answer):
    lines = [(one.kind, one.phase, one.usd, one.horizon_usd, one.quantity, one.unit_price) for one in answer.lines]
    return {
        "figures": [figure.column.tobytes() for _, figure in answer.quantities()],
        "lines": [(kind, phase, numbers(figures)) for kind, phase, *figures in lines],
    }


@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)
def test_no_figure_hangs_on_the_words_it_is_shown_in(asked, reworded):
    before = everything(asked)

    reworded()
    after = everything(asked)

    assert estimate("prompt", **asked).total_usd.name != "total over the horizon"
    assert {name: after[name] == found for name, found in before.items()} == dict.fromkeys(before, True)


def test_nor_does_any_figure_of_a_workbook(reworded, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")

    def cells(name):
        path = tmp_path / name
        compare(**QUESTIONS["own, following the load"]).to_excel(str(path))
        book = openpyxl.load_workbook(path, data_only=True, read_only=True)
        sheets = {sheet: numbers(list(book[sheet].iter_rows(values_only=True))) for sheet in SHEETS}
        return sheets | {"names": sorted(book.defined_names)}

    before = cells("before.xlsx")
    reworded()

    assert cells("after.xlsx") == before


SHEETS = ("Summary", "Inputs", "Monthly", "Break-even", "Budget lines")


def test_a_price_swept_is_the_price_that_was_asked_about():
    """Questions are embedded on another accelerator, whose price is none of the row's."""
    asked = {"model": "7b", "gpu": "a100", "embedding_accelerator": "h100"}

    (row,) = sweep([{"price_per_hour": 1.5}], stages=("rag",), **asked)

    assert row["rag_total_usd"] == pytest.approx(estimate("rag", price=1.5, **asked).total_usd.value, rel=1e-12)


@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)
def test_every_input_of_a_comparison_has_a_key_of_its_own(asked):
    """So that a cell of a workbook is named once; the tuned LLM of a provider has its own prices."""
    answers = [one for one in compare(**asked).estimates if isinstance(one, Estimate)]
    inputs = {id(node): node.key for one in answers for node in one.total_usd.walk() if node.key}

    assert len(inputs) == len(set(inputs.values()))


# --- what an `if` reads -------------------------------------------------------------------------------------------


def test_an_input_that_something_is_chosen_by_is_noted_by_itself(monkeypatch):
    """A stage reads an input in an `if`: sweeps still say what estimates say."""
    usual = finetune._hours

    def doubled(asked):
        hours, labelling = usual(asked)
        return (hours, labelling) if asked.number("attempts") <= 10 else (asked.amount("rag_setup_hours"), labelling)

    monkeypatch.setattr(finetune, "_hours", doubled)
    swept = sweep([{"attempts": count} for count in (3, 10, 11)], stages=("finetune",), model="7b", gpu="a100")

    for row in swept:
        answer = estimate("finetune", model="7b", gpu="a100", attempts=row["attempts"])
        assert "attempts" in answer.chosen_by
        assert row["finetune_total_usd"] == pytest.approx(answer.total_usd.value, rel=1e-12)


def test_a_choice_by_a_figure_notes_all_inputs_beneath():
    answer = estimate("pretrain", model="1b", gpu="h100")

    assert {"failures_per_1000_node_days", "restart_minutes", "checkpoint_write_s"} <= set(answer.chosen_by)


def test_a_prompt_that_begins_with_nothing_fixed_may_get_a_fixed_start_in_a_row():
    asked = {"api": "openai:gpt-4o-mini", "instruction_tokens": 0, "examples": 0}

    (row,) = sweep([{"instruction_tokens": 5000}], stages=("prompt",), **asked)

    expected = estimate("prompt", **{**asked, "instruction_tokens": 5000}).total_usd.value
    assert row["prompt_total_usd"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("stage", "row", "asked"),
    [
        ("prompt", {"examples": 1000}, {"api": "openai:gpt-4o-mini"}),
        ("rag", {"rag_instruction_tokens": 2e5}, {"api": "openai:gpt-4o-mini"}),
        ("prompt", {"requests_per_month": 1e12, "growth_per_month": 2.0, "horizon_months": 120}, OWN),
    ],
)
def test_a_row_that_carries_a_figure_beyond_a_limit_is_refused_as_an_estimate_is(stage, row, asked):
    fits, beyond = sweep([{"requests_per_month": 1e5}, row], stages=(stage,), **asked)

    with pytest.raises(EstimatorError) as refused:
        estimate(stage, **{**asked, **row})
    assert (fits["error"], fits[f"{stage}_total_usd"] > 0) == (None, True)
    assert str(refused.value) in beyond["error"]
    assert np.isnan(beyond[f"{stage}_total_usd"])


READ = ("value", "low", "high", "column", "interval")


def read_past_the_note(source):
    """Lines where a number is taken out of an input other than by `number` or `chosen`, as far as the text tells."""
    found = []
    for function in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]:
        held = {name for node in ast.walk(function) for name in _held(node)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and node.attr in READ:
                of = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if _is_input(of) or (isinstance(of, ast.Name) and of.id in held):
                    found.append(node.lineno)
    return sorted(set(found))


def _held(node):
    """Variables that an assignment puts inputs into, alone, in a tuple or in a dict."""
    if isinstance(node, ast.NamedExpr):
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    else:
        return
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs += zip(target.elts, value.elts, strict=False)
        parts = [*getattr(value, "values", ()), *getattr(value, "elts", ()), getattr(value, "value", None)]
        if isinstance(target, ast.Name) and any(map(_is_input, [value, *parts])):
            yield target.id


def _is_input(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "amount"


@pytest.mark.parametrize("path", STAGE_FILES, ids=lambda path: path.name)
def test_stages_read_plain_numbers_where_they_are_noted(path):
    assert read_past_the_note(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "body",
    [
        "question.amount('attempts').value > 10",
        "asked = question.amount('attempts'); asked.value > 10",
        "one, asked = 1, question.amount('attempts'); asked.high > 10",
        "both = {'a': question.amount('attempts')}; both['a'].value > 10",
        "(asked := question.amount('attempts')).value > 10 or asked.value",
    ],
)
def test_a_number_taken_otherwise_is_seen(body):
    assert read_past_the_note(f"def stage(question):\n    {body}") == [2]


def test_a_sweep_at_every_corner_says_what_estimate_says():
    """All inputs of an approach behind an API, one at a time, at the ends of what is accepted where that is finite."""
    from estimator.scenario import default_scenario

    asked = {"api": "openai:gpt-4o-mini"}
    amounts = default_scenario().amounts
    varied = [
        {name: end} for name, one in amounts.items() for end in (one.least, min(one.most, 3 * max(one.value, 1.0)))
    ]
    swept = sweep(varied, stages=("prompt",), figures=("total_usd",), **asked)

    for given, row in zip(varied, swept, strict=True):
        try:
            expected = estimate("prompt", **asked, **given).total_usd.value
        except EstimatorError:
            expected = np.nan
        assert row["prompt_total_usd"] == pytest.approx(expected, rel=1e-9, nan_ok=True), given
