"""`recommend` and `plot` on the command line: every question in every format, pictures, one-line errors."""

import csv
import io
import json

import pytest

from estimator import estimate
from estimator.cli import main
from estimator.decide.inverse import largest_context
from estimator.shown import SCHEMA_VERSION
from estimator.stages import COMBINATIONS
from estimator.text import digits

ASK = ["--model", "8b", "--gpu", "a100"]
QUESTIONS = {
    "recommendation": [*ASK, "--set", "citations=yes"],
    "fit": ["--fit", "serve", "--model", "70b", "--gpu", "a100,h100"],
    "llm": ["--largest", "llm", "--gpu", "1xrtx-4090"],
    "context": ["--largest", "context", *ASK],
    "batch": ["--largest", "batch", *ASK, "--task", "finetune"],
    "users": ["--largest", "users", *ASK, "--ttft", "0.5"],
    "deadline": ["--deadline", "30", *ASK, "--set", "training_tokens=1e11"],
    "budget": ["--budget", "300000", *ASK],
    "replicas": ["--replicas", *ASK, "--ttft", "0.5"],
    "approaches by volume": ["--break-even", "volume", *ASK],
    "own against api": ["--break-even", "api", *ASK, "--api", "openai:gpt-4o-mini"],
    "owning": ["--break-even", "owning", "--gpu", "a100", "--purchase-price", "15k"],
}


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_in_every_format(question, style, capsys):
    assert main(["recommend", *QUESTIONS[question], "--format", style]) == 0
    shown = capsys.readouterr()

    assert shown.err == ""
    if style == "json":
        assert json.loads(shown.out)["schema_version"] == SCHEMA_VERSION
    if style == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(shown.out))}) == 1


def test_what_is_paid_once_stands_before_what_is_paid_every_month(capsys):
    assert main(["estimate", "prompt+rag", *ASK]) == 0
    phases = [
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith(("one-off", "monthly"))
    ]

    assert phases == sorted(phases, reverse=True)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations_are_estimated_by_name(name, capsys):
    assert main(["estimate", name, *ASK, "--set", "corpus_gb=0.0003", "--format", "json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["stage"] == name


@pytest.mark.parametrize("question", QUESTIONS)
def test_sentences_fit_the_screen(question, capsys):
    main(["recommend", *QUESTIONS[question]])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 132


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_tables_fit_the_screen(style, capsys):
    main(["recommend", *QUESTIONS["recommendation"], "--format", style])

    assert style == "markdown" or max(map(len, capsys.readouterr().out.splitlines())) <= 132


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fit", "sreve", "--model", "8b"],
        ["--fit", "serve"],
        ["--largest", "context", "--gpu", "a100"],
        ["--deadline", "0", *ASK],
        ["--deadline", "soon", *ASK],
        ["--deadline", "30", "--model", "8b", "--gpu", "8xa100"],
        ["--deadline", "30", *ASK, "--gpus", "8"],
        ["--budget", "-5", *ASK],
        ["--fit", "serve", *ASK, "--api", "openai:gpt-4o"],
        ["--budget", "inf", *ASK],
        ["--largest", "users", *ASK, "--task", "finetune"],
        ["--largest", "batch", *ASK, "--users", "3"],
        ["--largest", "context", *ASK, "--set", "users=64"],
        ["--budget", "5", *ASK, "--set", "careful=1"],
        [*ASK, "--set", "price=2"],
        [*ASK, "--ttft", "0.5"],
        ["--break-even", "volume", *ASK, "--level", "95%"],
        ["--fit", "serve", *ASK, "--explain"],
        [*ASK, "--task", "finetune"],
        ["--budget", "5", "--fit", "serve", *ASK],
        ["--break-even", "volume", "--fit", "serve", *ASK],
        ["--break-even", "api", *ASK],
        ["--break-even", "owning", *ASK],
        ["--break-even", "owning", *ASK, "--purchase-price", "-5"],
        ["--break-even", "owning", *ASK, "--purchase-price", "inf"],
        ["--break-even", "owning", "--gpu", "h20", "--purchase-price", "2k"],
        ["--break-even", "volume", "--model", "8b", "--gpu", "h20"],
        ["--replicas", *ASK],
        ["--replicas", *ASK, "--ttft", "0.0001"],
        [*ASK, "--set", "skils=app"],
        [*ASK, "--set", "budget_upfront_usd=-5"],
        [],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_bad_questions_are_one_line(arguments, capsys):
    assert main(["recommend", *arguments]) == 2
    shown = capsys.readouterr()

    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("picture", ["spectrum", "totals", "volume", "money", "step", "load", "loss", "tornado"])
@pytest.mark.parametrize("ending", ["svg", "png"])
def test_pictures(picture, ending, tmp_path):
    pytest.importorskip("vl_convert")
    target = tmp_path / f"picture.{ending}"
    assert main(["plot", picture, *ASK, "--output", str(target)]) == 0

    start = target.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") if ending == "png" else b"<svg" in start


def test_picture_of_time_against_money(tmp_path):
    pytest.importorskip("vl_convert")
    target = tmp_path / "pareto.svg"
    assert main(["plot", "pareto", "--model", "8b", "--gpu", "a100,h100", "--output", str(target)]) == 0
    assert target.stat().st_size > 5000


def test_the_step_drawn_is_of_the_plan_in_the_title(monkeypatch):
    """A hardly slower layout that surely fits is the estimate's; the fastest was drawn."""
    seen = {}
    monkeypatch.setattr("estimator.cli.plot.save", lambda spec, *_: seen.update(spec=spec))
    ask = ["--model", "70b", "--gpu", "8xh100", "--set", "method=qlora"]
    assert main(["plot", "step", *ask, "--output", "step.svg"]) == 0
    answer = estimate("finetune", model="70b", gpu="8xh100", method="qlora")
    words = json.dumps(seen["spec"])

    assert answer.layout in " ".join(seen["spec"]["title"]["text"])
    assert f"one accelerator: {digits(answer.peak_memory_bytes.value / 1e9)} of" in words


def test_time_against_money_is_of_the_count_asked_for(monkeypatch):
    seen = {}
    monkeypatch.setattr("estimator.cli.plot.save", lambda spec, *_: seen.update(spec=spec))
    for ask in (["--gpu", "4xa100,2xh100"], ["--gpu", "a100", "--gpus", "4"]):
        assert main(["plot", "pareto", "--model", "8b", *ask, "--output", "p.svg"]) == 0
        counts = {row["text"] for one in seen["spec"]["layer"] for row in one["data"]["values"] if "text" in row}

        assert counts == ({"4", "2"} if "," in ask[1] else {"4"})


FREE = [f"--set={name}=0" for name in ("rate_usd_per_hour", "label_rate_usd_per_hour", "storage_usd_per_gb_month")]
IDLE_PEOPLE = [f"--set={name}=0" for name in ("prompt_setup_hours", "hours_per_iteration", "evaluation_samples")]


@pytest.mark.parametrize(
    "ask",
    [
        ["spectrum", "--model", "405b", "--gpu", "1xrtx-3070"],
        ["money", *ASK, "--stage", "prompt", "--price-per-hour", "0", *FREE],
        ["pareto", *ASK, "--price-per-hour", "0"],
        ["pareto", *ASK, "--stage", "rag"],
        ["step", *ASK, "--stage", "prompt"],
    ],
    ids=lambda ask: " ".join(ask)[:40],
)
def test_what_cannot_be_drawn_is_said_in_one_line(ask, tmp_path, capsys):
    pytest.importorskip("vl_convert")
    assert main(["plot", *ask, "--output", str(tmp_path / "picture.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("more", [["--gpu", "h20"], ["--gpu", "a100", *IDLE_PEOPLE]], ids=["no price", "no time"])
def test_a_spectrum_needs_neither_prices_nor_hours(more, tmp_path):
    pytest.importorskip("vl_convert")
    target = tmp_path / "picture.svg"
    assert main(["plot", "spectrum", "--model", "8b", *more, "--output", str(target)]) == 0
    assert "Prompt engineering" in target.read_text(encoding="utf-8")


def test_pictures_refuse_other_endings(tmp_path, capsys):
    pytest.importorskip("vl_convert")
    assert main(["plot", "spectrum", *ASK, "--output", str(tmp_path / "picture.bmp")]) == 2
    assert "svg" in capsys.readouterr().err


def test_owning_by_hand(capsys):
    """8,000 USD and three years of waiting at 0.12 USD a kWh, at 2 USD an hour less what use draws on top."""
    ask = ["--break-even", "owning", "--gpu", "2xa100", "--purchase-price", "8000", "--price-per-hour", "2"]
    inputs = "server_share network_share residual_share interest_per_year support_per_year rack_usd_per_kw_month"
    ask += [word for name in inputs.split() for word in ("--set", f"owned_{name}=0")]
    assert main(["recommend", *ask, "--years", "3", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    idle, more = (400 * 0.12 + 300) * 1.58 / 1000 * 0.12, 400 * 0.66 * 1.58 / 1000 * 0.12

    assert found["value"] == pytest.approx((8000 + idle * 3 * 8760) / (2 - more))
    assert found["rows"][1]["value"] == pytest.approx((8000 + idle * 3 * 8760) / (2 - more) / (3 * 8760))
    assert "2 together: $16,000" in found["question"]


def test_never_is_said_and_is_null(capsys):
    ask = ["--break-even", "owning", "--gpu", "a100", "--purchase-price", "8000", "--price-per-hour", "0.01"]
    assert main(["recommend", *ask, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] is None
    assert main(["recommend", *ask]) == 0
    assert "never" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("purchase", "said"), [("15000", "repaid after"), ("300000", "not repaid in time"), ("60000", "at the upper end")]
)
def test_owning_is_repaid_only_within_its_years(purchase, said, capsys):
    """At list prices of about 2 to 6 USD an hour, 4 years of 8,760 hours."""
    ask = ["--break-even", "owning", "--gpu", "h100", "--purchase-price", purchase]
    assert main(["recommend", *ask, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    share = found["rows"][1]

    assert said in found["answer"]
    assert (found["value"] is None) == (share["value"] > 1)
    assert ("upper end" in found["answer"]) == (share["value"] <= 1 < share["high"])


def test_what_a_budget_buys_is_said_at_once(capsys):
    assert main(["recommend", "--budget", "500k", *ASK]) == 0
    first = " ".join(capsys.readouterr().out.partition("\n\n")[0].split())

    assert all(what in first for what in ("parameters", "tokens to pre-train on", "samples to fine-tune on"))
    assert "e+" not in first


def test_a_budget_behind_an_api_buys_samples(capsys):
    assert main(["recommend", "--budget", "10k", "--api", "openai:gpt-4o-mini", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    cost = [
        estimate("finetune", api="openai:gpt-4o-mini", samples=samples).one_off_usd.value
        for samples in (row["most"], row["most"] + 10)
    ]

    assert cost[0] <= 10_000 < cost[1]


def test_a_budget_that_buys_nothing_has_no_value(capsys):
    assert main(["recommend", "--budget", "10", *ASK, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["value"] is None
    assert all(row["most"] is None and row["note"] for row in found["rows"])


def test_own_against_an_api_says_how_much_of_a_replica_the_traffic_can_use(capsys):
    """At a peak of 4 times the mean and 30 % headroom 17.5 % of what is paid is used, however many replicas."""
    ask = ["recommend", "--break-even", "api", *ASK, "--api", "openai:gpt-4o-mini", "--price-per-hour", "1"]
    assert main([*ask, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    own = estimate("prompt", model="8b", gpu="a100", requests_per_month=1e9)
    in_use, idle = (next(one for one in own.lines if one.kind == kind).usd.value for kind in ("serving", "idle"))

    assert found["rows"][1]["value"] == pytest.approx(0.175)
    assert in_use / (in_use + idle) == pytest.approx(0.175, rel=0.01)
    assert "17.5 %" in found["answer"]


def test_context_of_so_many_users(capsys):
    ask = ["recommend", "--largest", "context", "--model", "8b", "--gpu", "1xa100", "--format", "json"]
    found = []
    for users in ("1", "64"):
        assert main([*ask, "--users", users]) == 0
        found.append(json.loads(capsys.readouterr().out)["value"])

    assert found[1] == largest_context("serve", model="8b", gpu="1xa100", users=64) < found[0]


def test_a_deadline_is_a_time(capsys):
    ask = ["recommend", "--deadline", "2w", *ASK, "--set", "training_tokens=1e11", "--format", "json"]
    assert main(ask) == 0
    weeks = json.loads(capsys.readouterr().out)
    assert main(["14" if word == "2w" else word for word in ask]) == 0

    assert json.loads(capsys.readouterr().out) == weeks


def test_money_of_a_recommendation_is_in_the_currency_it_says(capsys):
    assert main(["recommend", *QUESTIONS["recommendation"], "--currency", "JPY=150@2026-11-01"]) == 0
    shown = capsys.readouterr().out.partition("Sources of the rules")[0]

    assert "JPY (" in shown.partition("What would change the answer")[2]
    assert "$" not in shown


def test_findings_in_another_currency(capsys):
    ask = ["recommend", "--fit", "serve", "--model", "70b", "--gpu", "a100", "--currency", "EUR=0.5@2026-11-01"]
    assert main([*ask, "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]

    assert row["eur_per_hour"] == pytest.approx(row["usd_per_hour"] / 2)


def test_a_budget_says_what_it_pays_and_does_not_promise_to_be_used_up(capsys):
    """Clusters come in steps, so that the most that is affordable may leave a tenth over; upkeep comes on top."""
    assert main(["recommend", "--budget", "300k", *ASK]) == 0
    shown = " ".join(capsys.readouterr().out.split())

    assert "Each costs no more than that until it is in use" in shown
    assert main(["recommend", "--deadline", "1h", "--model", "405b", "--gpu", "a100"]) == 2
    assert "in 0.0417 days" in capsys.readouterr().err
