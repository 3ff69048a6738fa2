"""Budget lines as rows, and the export command."""

import csv
import io
import json

import pytest

from estimator import compare
from estimator.cli import main
from estimator.errors import UnknownName
from estimator.export.budget import COLUMNS, budget_csv, rows
from estimator.results import Estimate


@pytest.fixture(scope="module")
def comparison():
    return compare(model="7b", gpu="a100", contingency=0.1)


def test_quantity_times_price_is_the_cost(comparison):
    for row in rows(comparison):
        if row["x_Basis"] and row["ListUnitPrice"] is not None:
            cost = row["PricingQuantity"] * row["ListUnitPrice"]
            assert cost == pytest.approx(row["ListCost"], rel=1e-9), row["ChargeDescription"]


def test_units_are_of_the_quantity_and_the_period_says_of_when(comparison):
    assert not [row["PricingUnit"] for row in rows(comparison) if "/" in row["PricingUnit"]]


def test_lines_add_up_to_the_totals(comparison):
    for answer in comparison.estimates:
        assert isinstance(answer, Estimate)
        own = [row["x_HorizonCost"] for row in rows(comparison) if row["x_Approach"] == answer.title]
        assert sum(own) == pytest.approx(answer.total_usd.value)


def test_an_api_is_priced_by_the_token():
    lines = list(rows(compare(api="openai:gpt-4o-mini", stages=("prompt", "finetune"))))

    assert all(
        row["PricingQuantity"] * row["ListUnitPrice"] == pytest.approx(row["ListCost"])
        for row in lines
        if row["ListUnitPrice"] is not None
    )


def test_columns_by_plain_words_or_focus_names(comparison):
    text = budget_csv(comparison, ["item", "ListCost"])

    assert text.splitlines()[0] == "ChargeDescription,ListCost"
    with pytest.raises(UnknownName, match="item"):
        budget_csv(comparison, ["itme"])


def test_for_countries_with_a_decimal_comma(comparison):
    text = budget_csv(comparison, ["item", "expected"], excel=True)

    assert text.startswith("\ufeff")
    first = next(csv.reader(io.StringIO(text.splitlines()[1]), delimiter=";"))
    assert float(first[1].replace(",", ".")) > 0
    assert "\r\n" in text


def test_own_columns_are_marked_as_ours():
    focus = {"PricingQuantity", "PricingUnit", "ListUnitPrice", "ListCost", "BillingCurrency"}
    focus |= {"ChargeDescription", "ChargeFrequency"}

    assert {name for name in COLUMNS if not name.startswith("x_")} == focus


def test_the_command_writes_csv(tmp_path, capsys):
    path = tmp_path / "lines.csv"

    assert main(["export", "-o", str(path), "--api", "openai:gpt-4o-mini", "--fields", "approach,item,expected"]) == 0

    assert capsys.readouterr().err == f"estimator: {path} written: budget lines\n"
    assert {row["x_Approach"] for row in csv.DictReader(path.read_text().splitlines())} >= {"RAG"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.txt"],
        [],
        ["no/such/folder/a.xlsx"],
        ["a.csv", "--fields", "itme"],
        ["a.xlsx", "--into", "b.xlsx"],
        ["a.csv", "-o", "b.csv"],
    ],
)
def test_wrong_exports_are_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["export", *arguments, "--model", "7b", "--gpu", "a100"]) == 2

    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_names_that_begin_like_formulas_are_harmless(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 32768,
        "max_position_embeddings": 32768,
    }
    folder = tmp_path / "=HYPERLINK(1) 模型 \U0001f600"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    found = compare(model=str(folder / "config.json"), gpu="a100", stages=("prompt",))
    found.to_excel(str(tmp_path / "b.xlsx"), command="=1+1")

    for sheet in openpyxl.load_workbook(tmp_path / "b.xlsx"):
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "s":
                    assert not str(cell.value).startswith(("=", "+", "-", "@", "\t", "\r")), cell.coordinate
                assert "HYPERLINK" not in str(cell.value) or cell.data_type == "s"
