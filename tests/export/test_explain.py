"""Every number of a comparison explains itself down to sourced facts, and the formulas shown give the numbers shown."""

import inspect
import re
from itertools import pairwise

import numpy as np
import pytest

from estimator import compare
from estimator.cli import main
from estimator.export.explain import estimate_reasons
from estimator.pricing import Price
from estimator.results import Estimate
from estimator.stages.live import model_error

QUESTIONS = {
    "own accelerators": {"model": "7b", "gpu": "a100"},
    "an API": {"api": "openai:gpt-4o-mini"},
    "an API and own training": {"model": "8b", "gpu": "h100", "api": "openai:gpt-4o-mini"},
    "experts, LoRA": {"model": "mixtral-8x7b", "gpu": "8xh100", "method": "lora"},
    "all weights, preferences": {"model": "8b", "gpu": "h100", "method": "full", "objective": "dpo"},
    "QLoRA, continued pre-training": {"model": "8b", "gpu": "a100", "method": "qlora", "continued": True},
    "GRPO, scaled": {"model": "8b", "gpu": "a100", "objective": "grpo", "billing": "autoscaled"},
    "per use, reserve, growth": {
        **{"model": "13b", "gpu": "mi300x", "billing": "per-use"},
        **{"contingency": 0.15, "growth_per_month": 0.05, "samples": (100, 1000, 5000)},
    },
    "owned": {"model": "7b", "gpu": "rtx-4090", "price": Price(purchase=1800.0)},
    "no price": {"model": "7b", "gpu": "h20"},
    "keyword search, reranked": {
        "model": "8b",
        "gpu": "h100",
        "keyword_search": True,
        "rerank_model": "bge-base-en-v1.5",
    },
    "managed index": {"model": "8b", "gpu": "h100", "vector_store": "pinecone"},
    "large, growing": {"model": "llama-3.1-70b", "gpu": "8xh100", "requests_per_month": 2e7},
}
UNDATED = ("given", "assumed")  # by the user, or by the default scenario with its reason beside it


@pytest.fixture(scope="module", params=QUESTIONS.values(), ids=QUESTIONS)
def estimates(request):
    found = [answer for answer in compare(**request.param).estimates if isinstance(answer, Estimate)]
    assert found
    return found


def nodes(estimates):
    """Everything any figure or budget line rests on, each once."""
    seen = {}
    for answer in estimates:
        figures = [figure for _, figure in answer.quantities()]
        figures += [part for line in answer.lines for part in (line.quantity, line.unit_price, line.horizon_usd)]
        for figure in figures:
            seen.update((id(node), node) for node in figure.walk())
    return seen.values()


def test_every_leaf_is_sourced_exact_or_assumed_by_somebody(estimates):
    for leaf in nodes(estimates):
        if leaf.inputs:
            continue
        if not leaf.known or leaf.basis == "analytic":
            assert leaf.note, f"{leaf.name} = {leaf.value}: nobody says why"
            continue
        assert leaf.sources, f"{leaf.name} = {leaf.value}: no source"
        for source in leaf.sources:
            assert len(source.title) > 5, leaf.name
            assert source.kind, leaf.name
            assert source.kind in UNDATED or re.match(r"\d{4}", source.date), f"{leaf.name}: {source} has no date"
        if leaf.sources[0].kind == "assumed":
            assert leaf.note, f"{leaf.name}: assumed without a reason"


def test_formulas_say_what_they_compute_and_give_the_value(estimates):
    for node in nodes(estimates):
        if not node.inputs:
            continue
        assert node.formula is not None, node.name
        assert (inspect.getdoc(node.formula) or "").strip(), node.formula
        if not node.predicted and node.known:
            with np.errstate(all="ignore"):
                result = node.formula(**{name: part.column for name, part in node.inputs.items()})
            assert model_error(node, result) is not None, f"{node.name} is not what {node.formula.__name__} gives"


def test_the_text_tells_every_figure_and_source(estimates):
    for answer in estimates:
        text = estimate_reasons(answer, ["all"])
        flat = " ".join(text.split())

        assert max(map(len, text.splitlines())) <= 120
        for name, figure in answer.quantities():
            assert f"\n\n{name}. What makes the range" in text
            assert f"{figure.name} = " in flat
        for source in answer.citations():
            assert " ".join(str(source).split()) in flat
        assert len(answer.citations()) == len(set(answer.citations()))


def test_arithmetic_shown_is_the_value_shown():
    """Where a line shows plain arithmetic, computing it by hand gives the figure above it."""
    answer = compare(model="7b", gpu="a100")["finetune"]
    lines = estimate_reasons(answer, ["all"]).splitlines()
    checked = 0
    for above, line in pairwise(lines):
        text = re.sub(r" \[[^]]*\]", "", line.rpartition(": ")[2]).strip()
        shown = re.fullmatch(r" *[^=]+ = ([\d,.]+)(?: \(.*?\))?", above)  # no unit, so nothing is scaled
        if re.fullmatch(r"[\d.e+*/()-]+", text) and shown:
            assert eval(text) == pytest.approx(float(shown[1].replace(",", "")), rel=0.01), (above, line)
            checked += 1
    assert checked >= 5


def test_nearest_measured_runs_are_named_with_their_errors(capsys):
    assert main(["estimate", "finetune", "--model", "7b", "--gpu", "a100", "--explain", "training_s"]) == 0
    shown = capsys.readouterr().out

    assert "Measured runs most like this one (training time)" in shown
    assert re.search(r"predicted \d+% off without it \[", shown)
