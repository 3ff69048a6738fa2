"""Plan against bill: by hand, to the last digit, and files that are none."""

import csv
import itertools
import signal
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import compare
from estimator.charts.of_results import variance as pictures
from estimator.cli import main
from estimator.errors import EstimatorError
from estimator.export.budget import budget_csv
from estimator.recording.variance import PARTS, variance
from tests.export.engine import SOFFICE, recalculated, with_wrong_caches

PLAN = """x_Approach,x_Kind,x_Phase,x_Driver,PricingQuantity,PricingUnit,ListCost,BillingCurrency
RAG,serving,monthly,requests,100,Hours,400,USD
RAG,idle,monthly,replicas,300,Hours,1200,USD
RAG,people,one-off,hours,10,Hours,850,USD
"""
HEAD = ["ChargePeriodStart", "BilledCost", "BillingCurrency", "PricingQuantity", "PricingUnit", "x_Kind"]


def written(folder, charges, plan=PLAN):
    (folder / "plan.csv").write_text(plan)
    with (folder / "bill.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEAD)
        out.writerows(charges)
    return folder / "plan.csv", folder / "bill.csv"


def test_by_hand(tmp_path):
    """Two months for one planned: 480 hours for 400 a month, of which 240 in use (for 100), at 5 and 4 USD."""
    charges = [
        *([f"2026-0{month}-01T00:00:00Z", "1200", "USD", "240", "Hours", "serving"] for month in (1, 2)),
        *([f"2026-0{month}-01T00:00:00Z", "960", "USD", "240", "Hours", "idle"] for month in (1, 2)),
        ["2026-01-01T00:00:00Z", "900", "USD", "10", "Hours", "people"],
    ]
    found = variance(*written(tmp_path, charges), months=1)

    by_kind = {one.kind: one for one in found.lines}
    serving, idle, people = by_kind["serving"], by_kind["idle"], by_kind["people"]
    assert (serving.planned, serving.billed) == (400, 2400)
    assert serving.price == 2400 - 480 * 4  # 5 USD an hour instead of 4
    assert serving.time == 400  # a month more
    assert serving.volume == 2 * 400 * Decimal("0.2")  # a fifth more hours in all
    assert serving.mix == (480 - Decimal("1.2") * 200) * 4  # half of them in use, not a quarter
    assert idle.mix == -serving.mix
    assert idle.price == 0
    assert people.price == 50
    assert people.time == people.volume == people.mix == 0


@settings(max_examples=60)
@given(
    charges=st.lists(
        st.tuples(
            st.integers(1, 12),
            st.decimals(-1000, 10**7, places=6),
            st.decimals(0, 10**5, places=4),
            st.sampled_from(["serving", "idle", "people", "storage", "banana", ""]),
        ),
        max_size=20,
    ),
    months=st.one_of(st.none(), st.integers(1, 36)),
)
def test_parts_add_up_to_the_last_digit(charges, months, tmp_path_factory):
    rows = [[f"2026-{month:02d}-01", cost, "USD", amount, "Hours", kind] for month, cost, amount, kind in charges]
    found = variance(*written(tmp_path_factory.mktemp("bill"), rows), months=months)

    for one in found.lines:
        assert sum((getattr(one, part) for part in PARTS), Decimal(0)) == one.billed - one.planned
    assert sum((one.billed for one in found.lines), Decimal(0)) == sum((cost for _, cost, *_ in charges), Decimal(0))
    steps = found.bridge()
    assert sum(step["amount"] for step in steps[:-1]) == pytest.approx(steps[-1]["amount"], abs=1e-4)


def test_an_exported_budget_meets_its_own_bill(tmp_path):
    """Billed as planned, nothing differs."""
    (tmp_path / "budget.csv").write_text(budget_csv(compare(model="8b", gpu="h100", stages=("rag",))))
    with (tmp_path / "budget.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    charges = [
        ["2026-01-01", line["ListCost"], "USD", line["PricingQuantity"], line["PricingUnit"], line["x_Kind"]]
        for line in lines
    ]
    _, bill = written(tmp_path, charges)

    found = variance(tmp_path / "budget.csv", bill)

    assert all(abs(getattr(one, part)) < Decimal("1e-6") for one in found.lines for part in PARTS)
    assert "Billed as planned." in str(found) or "Most of it" in str(found)


def test_services_are_mapped_tagged_or_usual(tmp_path):
    head = "ChargePeriodStart,BilledCost,ServiceName,ServiceCategory,Tags\n"
    tag = '"{""estimator_kind"": ""storage""}"'
    (tmp_path / "plan.csv").write_text(PLAN)
    (tmp_path / "bill.csv").write_text(
        f"{head}2026-01-01,1,EC2,Compute,\n2026-01-01,2,Mine,Other,\n2026-01-01,4,S3,Storage,{tag}\n2026-01-01,8,X,Y,\n"
    )

    found = variance(tmp_path / "plan.csv", tmp_path / "bill.csv", mapping={"Mine": "idle"})

    assert {one.kind: float(one.billed) for one in found.lines if one.billed} == {
        "serving": 1, "idle": 2, "storage": 4, "not in the budget": 8,
    }  # fmt: skip


WRONG = {
    "no plan": ("a,b\n1,2\n", "ChargePeriodStart,BilledCost\n"),
    "no bill": (PLAN, "a,b\n1,2\n"),
    "no costs": (PLAN, "ChargePeriodStart,Cost\n2026-01-01,2\n"),
    "words": (PLAN, "ChargePeriodStart,BilledCost\n2026-01-01,lots\n"),
    "not a number": (PLAN, "ChargePeriodStart,BilledCost\n2026-01-01,NaN\n"),
    "endless": (PLAN, "ChargePeriodStart,BilledCost\n2026-01-01,1e400\n"),
    "other money": (PLAN, "ChargePeriodStart,BilledCost,BillingCurrency\n2026-01-01,2,EUR\n"),
    "two kinds of money": (PLAN, "ChargePeriodStart,BilledCost,BillingCurrency\n2026-01-01,2,EUR\n2026-01-01,2,USD\n"),
    "several approaches": (PLAN + "Prompt,serving,monthly,requests,1,Hours,4,USD\n", "ChargePeriodStart,BilledCost\n"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_none_are_refused_in_one_line(name, tmp_path, capsys):
    plan, bill = WRONG[name]
    (tmp_path / "plan.csv").write_text(plan)
    (tmp_path / "bill.csv").write_text(bill)

    assert main(["variance", str(tmp_path / "plan.csv"), str(tmp_path / "bill.csv")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_sheet_recalculates(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    charges = [["2026-01-01", "1200", "USD", "240", "Hours", "serving"]]
    plan, bill = written(tmp_path, charges)

    assert main(["variance", str(plan), str(bill), "--workbook", str(tmp_path / "v.json")]) == 2
    assert main(["variance", str(plan), str(bill), "--workbook", str(tmp_path / "v.xlsx")]) == 0

    sheet = openpyxl.load_workbook(tmp_path / "v.xlsx")["Variance"]
    assert sheet["J3"].value == "=SUM(E3:I3)"
    cached = openpyxl.load_workbook(tmp_path / "v.xlsx", data_only=True)["Variance"]
    assert cached["J3"].value == pytest.approx(cached["D3"].value - cached["C3"].value)
    with pytest.raises(EstimatorError, match="kind of line"):
        raise_from(["variance", str(plan), str(bill), "--map", "EC2=banana"])


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
def test_the_bridge_ends_at_the_bill(tmp_path):
    """In a spreadsheet program: the steps lead from plan to bill, and every bar hangs where the one before ended."""
    charges = [["2026-01-01", "1200", "USD", "240", "Hours", "serving"], ["2026-01-01", "90", "USD", "", "", "storage"]]
    plan, bill = written(tmp_path, charges)
    assert main(["variance", str(plan), str(bill), "--workbook", str(tmp_path / "v.xlsx")]) == 0
    file = with_wrong_caches(tmp_path / "v.xlsx", tmp_path / "wrong.xlsx")

    _, *steps = [row for row in recalculated([file], tmp_path)[0]["Bridge"] if row[1] is not None]

    assert steps[0][1] == pytest.approx(2450)
    assert steps[-2][2] == pytest.approx(steps[-1][1]) == pytest.approx(1290)
    for (_, _, before, *_), (_, amount, after, below, _, up, down) in itertools.pairwise(steps[:-1]):
        assert (below, up - down) == pytest.approx((min(before, after), amount))


def raise_from(words):
    from estimator.cli.parser import parser

    options = parser(words).parse_args(words)
    options.run(options)


def test_the_bridge_is_drawn_from_plan_to_bill_even_below_zero(tmp_path):
    """Credits make a bill negative."""
    charges = [
        ["2026-01-01", "-900", "USD", "240", "Hours", "serving"],
        ["2026-01-01", "5", "USD", "1", "GB", "storage"],
    ]

    (picture,) = pictures(variance(*written(tmp_path, charges)))

    rows = picture["layer"][0]["data"]["values"]
    assert (rows[0]["to"], rows[-1]["to"]) == (pytest.approx(2450), pytest.approx(-895))
    assert all(one["to"] == pytest.approx(other["from"]) for one, other in pairwise(rows[:-1]))
    assert picture["layer"][0]["encoding"]["x"]["scale"]["domain"][0] < -895


def test_a_plot_beside_the_table(tmp_path):
    pytest.importorskip("vl_convert")
    plan, bill = written(tmp_path, [["2026-01-01", "1200", "USD", "240", "Hours", "serving"]])

    assert main(["variance", str(plan), str(bill), "--plot", str(tmp_path / "v.svg")]) == 0
    assert "serving: price" in (tmp_path / "v.svg").read_text()
    assert main(["variance", str(plan), str(bill), "--plot", str(tmp_path / "v.doc")]) == 2


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, capsys):
    resource = pytest.importorskip("resource")
    pytest.importorskip("xlsxwriter")
    plan, bill = written(tmp_path, [["2026-01-01", "1200", "USD", "240", "Hours", "serving"]])
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        status = main(["variance", str(plan), str(bill), "--workbook", str(tmp_path / "v.xlsx")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)

    assert status == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bill.csv", "plan.csv"]
