"""Living reports: one file, no network, two printed pages, and figures that follow the sliders as Python would say."""

import html
import random
import re

import pytest

from estimator import compare, estimate
from estimator.export.page.document import Followed
from estimator.export.page.html import figure as broken
from estimator.export.page.live import Recalculation
from estimator.results import Estimate
from estimator.shown import format_for, rendered
from estimator.text import human

ASKED = {"model": "7b", "gpu": "a100", "price": 2.5}
MOST_BYTES = 1_500_000
POSITIONS = 20
MOVE = """([places]) => {
  const rows = [...document.querySelectorAll("[data-input]")];
  for (const [at, step] of places) {
    const slider = rows[at % rows.length].querySelector("input");
    slider.value = step;
    slider.dispatchEvent(new Event("input"));
  }
  const of = (what) => Object.fromEntries(Object.keys(DATA.figures).map((n) => [n, what(n)]));
  const figures = of((n) => [columns[n][0], ...interval(columns[n])]);
  const words = of((n) => human(columns[n], DATA.figures[n], true));
  return { moved: [...MOVED.values()], figures, words };
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A comparison as a file."""
    path = tmp_path_factory.mktemp("report") / "board.html"
    path.write_text(rendered(compare(**ASKED), "html", command="estimator compare --model 7b"), encoding="utf-8")
    return path


def figures(comparison, number):
    """Every figure that the page recalculates, by its number."""
    return {
        number(figure): (name, figure)
        for one in comparison.estimates
        if isinstance(one, Estimate)
        for name, figure in [*one.quantities(), *((line.item, line.horizon_usd) for line in one.lines)]
    }


def test_a_report_is_one_file_that_asks_for_nothing(report):
    text = report.read_text(encoding="utf-8")
    without = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", text)
    shown = re.sub(r"<details.*?</details>|<li>.*?</li>", "", without, flags=re.DOTALL)

    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"(?:src|href|action|srcset|data|poster)\s*=\s*[\"']?(?:https?:|//|file:)", without)
    assert not re.search(r"url\(|@import|<link|<iframe|<img", without)
    assert "http" not in re.sub(r"http-equiv", "", shown)
    assert "script-src 'sha256-" in html.unescape(text)


def test_what_a_report_shows_is_what_the_command_says(report):
    text = report.read_text(encoding="utf-8")
    asked = compare(**ASKED)

    for one in asked.estimates:
        assert rendered(one, "csv").splitlines()[0].startswith("stage,figure")
        for figure in (one.total_usd, one.one_off_usd, one.calendar_s, one.energy_j):
            assert f">{broken(human(figure))}<" in text


def test_sliders_say_what_python_says(report, opened):
    """Values and both ends of ranges, to 1e-9, and the words that are shown."""
    asked = compare(**ASKED)
    live = Recalculation(asked)
    draws = random.Random(7)
    with opened(report.as_uri()) as page:
        known = figures(asked, Followed(live).number)
        for _ in range(POSITIONS):
            places = [[draws.randrange(100), draws.randrange(1001)] for _ in range(6)]
            page.evaluate('() => document.getElementById("reset").click()')
            found = page.evaluate(MOVE, [places])
            check(found, known, asked)


def check(found, known, asked):
    """The page's figures against a new answer to the same inputs."""
    moved = {one["key"]: one for one in found["moved"]}
    price = moved.pop("price_per_hour", {"value": ASKED["price"]})["value"]
    inputs = {key: (one["low"], one["value"], one["high"]) for key, one in moved.items()}
    inputs = {key: ends[1] if ends[0] == ends[2] else ends for key, ends in inputs.items()}
    again = compare(**{**ASKED, "price": price}, **inputs)
    pairs = zip(flat(asked), flat(again), strict=True)
    numbers = {id(figure): number for number, (_, figure) in known.items()}
    seen = 0
    for (name, before), (_, after) in pairs:
        number = str(numbers.get(id(before), ""))
        if number in found["figures"] and after.known:
            value, low, high = found["figures"][number]
            assert value == pytest.approx(after.value, rel=1e-9, abs=1e-12), (name, inputs)
            assert [low, high] == pytest.approx(list(after.interval()), rel=1e-9, abs=1e-12), (name, inputs)
            assert found["words"][number] == human(after), (name, inputs)
            seen += 1
    assert seen > 50


def flat(comparison):
    """All figures of a comparison, in order."""
    return [
        pair
        for one in comparison.estimates
        if isinstance(one, Estimate)
        for pair in [*one.quantities(), *((line.item, line.horizon_usd) for line in one.lines)]
    ]


def test_printed_it_is_two_pages(report, opened):
    with opened(report.as_uri()) as page:
        printed = page.pdf(prefer_css_page_size=True)

    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
    assert b"/MediaBox [0 0 594.95" in printed or b"/MediaBox [0 0 595" in printed


def test_a_report_without_script_says_the_same(report, opened):
    with opened(report.as_uri(), java_script_enabled=False) as page:
        assert "Prompt engineering" in page.locator("#verdict").inner_text()
        assert not page.locator(".sliders").is_visible()


@pytest.mark.parametrize("result", ["estimate", "blocked", "unknown", "sampled"])
def test_every_kind_of_answer_is_a_page(result, tmp_path, opened):
    made = {
        "estimate": lambda: estimate("finetune", model="8b", gpu="a100"),
        "blocked": lambda: compare(model="70b", gpu="1xrtx-4090"),
        "unknown": lambda: compare(model="8b", gpu="rtx-4090"),
        "sampled": lambda: compare(model="7b", gpu="a100", design=_drawn()),
    }
    path = tmp_path / "page.html"
    path.write_text(rendered(made[result](), "html"), encoding="utf-8")
    with opened(path.as_uri()) as page:
        assert page.locator("h1").count() == 1
        assert "unknown" in page.content() or result != "unknown"


ASKED_OTHERWISE = {
    "recommend": "RAG",
    "layout": "H100",
    "serving": "Fits with a chance of",
    "check": "Fits on 1 x H100",
    "record": "",
    "variance": "Billed 1,500.00 USD, planned 1,250.00 USD (+20%)",
    "catalog": "",
}


@pytest.mark.parametrize("command", ASKED_OTHERWISE)
def test_every_question_has_a_page(command, tmp_path, opened):
    """Verdict first, then the tables of the command, cell by cell."""
    pytest.importorskip("fastapi")
    from estimator.web.asking import answer
    from estimator.web.models import EXAMPLES

    found = answer(command, EXAMPLES[command])
    text = rendered(found.result, "html", command=found.command)
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    cells = [
        cell.strip()
        for line in rendered(found.result, "markdown").splitlines()
        if line.startswith("| ")
        for cell in line.strip("|").split("|")
    ]
    with opened(path.as_uri(), viewport={"width": 360, "height": 740}) as page:
        shown = page.locator("main").inner_text()
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert ASKED_OTHERWISE[command].lower() in shown.lower()
    assert cells
    assert [cell for cell in cells if cell and " ".join(cell.split()) not in " ".join(shown.split())] == []


def _drawn():
    from estimator.quantities import Design

    return Design.monte_carlo(50)


def test_endings_name_the_format():
    assert format_for("board.html") == "html"
    assert format_for("board.htm") == "html"


def test_text_of_others_is_never_markup():
    text = rendered(compare(model="7b", gpu="a100"), "html", command="estimator compare '<script>alert(1)</script>'")

    assert "<script>alert" not in text
