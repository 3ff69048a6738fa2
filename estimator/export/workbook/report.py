"""The sheets that are read: Summary, Break-even, Budget lines, Sources and Notes."""

from itertools import combinations

import numpy as np

from estimator.export import budget
from estimator.export.formula_text import Expr, expr
from estimator.export.price_list import prices_used
from estimator.export.rows import harmless
from estimator.export.workbook.book import MADE_BY, Book
from estimator.export.workbook.crossing import Crossings
from estimator.export.workbook.model import Inputs, Monthly, Ranges
from estimator.formulas import money
from estimator.formulas.effort import SECONDS_PER_WEEK
from estimator.formulas.energy import JOULES_PER_KWH
from estimator.records import Source
from estimator.results import FIGURES, Blocked, Estimate, Figure, Line
from estimator.shown import SCHEMA_VERSION

JOULES_PER_MWH = 1000 * JOULES_PER_KWH
GLANCE = ("Approach", "", "One-off", "Recurring", "Total", "Low", "High", "Month 1", "Weeks", "People, h")
CHART_ROWS = 16
WIDEST = 14.0  # characters of a column, so that four approaches fit a screen
CHART_TITLE = "Total over the horizon [{}]: one-off (light) and recurring (dark), with its 80 % range"


def summary(book: Book, ranges: Ranges, inputs: Inputs) -> None:
    """The four approaches on one page: costs at a glance, a chart, and every figure with its range."""
    sheet = book.sheets["Summary"]
    sheet.set_column(0, 0, 27)
    sheet.set_column(1, 1, 9)
    sheet.set_column(2, 1 + max(3 * len(book.estimates), len(GLANCE)), _width(book))
    sheet.hide_gridlines(2)
    book.constants.setdefault(SECONDS_PER_WEEK, "SECONDS_PER_WEEK")
    book.constants.setdefault(JOULES_PER_MWH, "JOULES_PER_MWH")
    book.constants.setdefault(money.SECONDS_PER_HOUR, "SECONDS_PER_HOUR")
    comparison = book.comparison
    book.text("Summary", 0, 0, "What customising the LLM would need and cost", "title")
    book.text(
        "Summary",
        1,
        0,
        f"{comparison.llm} on {comparison.hardware}. Costs in {book.currency}; ranges hold 80 %.",
        "subtitle",
    )
    months = Expr(f'"Over "&{inputs.horizon.text}&" months"', f"Over {inputs.horizon.value:g} months")
    book.formula("Summary", 2, 0, months, "section")
    last = _glance(book, ranges)
    _chart(book, last)
    _figures(book, ranges, last + CHART_ROWS + 2)
    sheet.fit_to_pages(1, 1)
    sheet.activate()


def _width(book: Book) -> float:
    """Of a column of money, with room for another digit; what outgrows it later is shown smaller."""
    ends = [answer.total_usd.high for answer in book.estimates if answer.total_usd.known]
    return min(max(9.3, len(f"{max(ends, default=0.0):,.0f}") + 1.3), WIDEST)


def _glance(book: Book, ranges: Ranges) -> int:
    """Costs at a glance, an approach a row; returns the row after the last."""
    book.heads("Summary", 3, (*GLANCE, "down by", "up by"), "head_right")
    book.text("Summary", 3, 0, GLANCE[0], "head")
    book.sheets["Summary"].set_row(3, None)
    row = 4
    for answer in book.comparison.estimates:
        book.text("Summary", row, 0, answer.title, "plain")
        if isinstance(answer, Blocked):
            _across(book, row, f"cannot run: {answer.reason}")
        else:
            _glance_row(book, ranges, answer, row)
        row += 1
    return row


def _across(book: Book, row: int, words: str) -> None:
    """Words over the columns of figures, on as many lines as they need."""
    sheet, last = book.sheets["Summary"], len(GLANCE) + 1
    sheet.merge_range(row, 2, row, last, harmless(words), book.style("grey_wrap"))
    sheet.set_row(row, 13.5 * max(1, -(-len(words) // int((last - 1) * _width(book) * 1.1))))


def _glance_row(book: Book, ranges: Ranges, answer: Estimate, row: int) -> None:
    def put(column: int, found: Expr, style: str = "money") -> Expr:
        return book.formula("Summary", row, column, _or_unknown(found), style)

    def figure(name: str) -> tuple[Expr, Expr, Expr]:
        return ranges.of(answer.title, getattr(answer, name))

    low, expected, high = figure("total_usd")
    one_off = figure("one_off_usd")[1]
    put(2, one_off)
    put(3, expected - one_off)
    put(4, expected, "strong_money")
    put(5, low)
    put(6, high)
    put(7, figure("monthly_usd")[1])
    put(8, figure("calendar_s")[1] / SECONDS_PER_WEEK, "number")
    put(9, figure("people_hours")[1])
    put(10, expected - low, "grey_money")
    put(11, high - expected, "grey_money")


def _or_unknown(found: object) -> Expr:
    cell = expr(found)
    return Expr(f'IFERROR({cell.text},"unknown")', cell.value if np.isfinite(cell.value) else "unknown")


def _chart(book: Book, end: int) -> None:
    """One-off and recurring cost stacked, the total's range as whiskers."""
    chart = book.file.add_chart({"type": "bar", "subtype": "stacked"})
    title = book.title("Summary")

    def area(column: int) -> list[object]:
        return [title, 4, column, end - 1, column]

    whiskers = {
        "type": "custom",
        "minus_values": f"={book.at('Summary', 4, 10)}:{book.at('Summary', end - 1, 10).rpartition('!')[2]}",
        "plus_values": f"={book.at('Summary', 4, 11)}:{book.at('Summary', end - 1, 11).rpartition('!')[2]}",
    }
    colours = ("#7B8FA6", "#2F6690")
    for column, colour in zip((2, 3), colours, strict=True):
        chart.add_series(
            {
                "name": [title, 3, column],
                "categories": area(0),
                "values": area(column),
                "fill": {"color": colour},
                "gap": 60,
                **({"x_error_bars": whiskers} if column == 3 else {}),
            }
        )
    # Unseen, and there so that the axis reaches the ends of the whiskers.
    chart.add_series({"values": area(11), "fill": {"none": True}, "border": {"none": True}})
    chart.set_title({"name": CHART_TITLE.format(book.currency), "name_font": {"size": 11}})
    chart.set_y_axis({"reverse": True, "major_tick_mark": "none"})
    chart.set_x_axis(
        {
            "label_position": "high",
            "num_format": "#,##0",
            "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9"}},
        }
    )
    chart.set_legend({"none": True})
    chart.set_size({"width": 1080, "height": 20 * CHART_ROWS})
    book.sheets["Summary"].insert_chart(end + 1, 0, chart, {"x_offset": 4})


def _figures(book: Book, ranges: Ranges, row: int) -> None:
    """Every figure of every approach: low, expected, high."""
    book.text("Summary", row, 0, "In full", "head")
    book.text("Summary", row, 1, "", "head")
    book.text("Summary", row + 1, 0, "", "head")
    book.text("Summary", row + 1, 1, "Unit", "head")
    for index, answer in enumerate(book.estimates):
        first = 2 + 3 * index
        book.sheets["Summary"].merge_range(row, first, row, first + 2, answer.title, book.style("head_center"))
        for offset, words in enumerate(("low", "expected", "high")):
            book.text("Summary", row + 1, first + offset, words, "head_right")
    for at, shown in enumerate(FIGURES, row + 2):
        book.text("Summary", at, 0, f"  {shown.label}" if shown.part else shown.label)
        book.text("Summary", at, 1, shown.unit.replace("USD", book.currency), "grey")
        for index, answer in enumerate(book.estimates):
            _figure(book, ranges, answer, shown, at, 2 + 3 * index)


def _figure(book: Book, ranges: Ranges, answer: Estimate, shown: Figure, row: int, first: int) -> None:
    """One figure of one approach: low, expected, high; the cells of costs are named."""
    figure = answer.figure(shown.name)
    if figure is None:
        return
    decimals_by = figure.value / shown.size if shown.unit else 100.0  # counts have none
    for offset, end in enumerate(ranges.of(answer.title, figure)):
        style = "strong_number" if offset == 1 else "grey_number"
        found = _or_unknown(end / shown.size)
        cell = book.formula("Summary", row, first + offset, found, style, size=decimals_by)
        suffix = ("_low", "", "_high")[offset]
        if shown.unit == "USD":
            book.define(f"{answer.stage}_{shown.name}{suffix}".replace("usd", book.currency), cell)


def break_even(book: Book, ranges: Ranges, monthly: Monthly, inputs: Inputs) -> None:
    """When a dearer start pays off, for every pair of approaches; and how much traffic the replicas carry."""
    sheet = book.sheets["Break-even"]
    sheet.set_column(0, 1, 24)
    sheet.set_column(2, 12, 16)
    sheet.set_column(6, 7, 21)
    book.text("Break-even", 0, 0, "Break-even", "title")
    heads = (
        "Approach A",
        "Approach B",
        "One-off, A less B [{}]",
        "Month 1, A less B [{}]",
        "Horizon, A less B [{}]",
        "Months A is dearer in total",
        "A pays off in month",
        "Cheaper for good",
        "from requests in month 1",
        "holds as it stands",
    )
    book.heads("Break-even", 2, [words.format(book.currency) for words in heads])
    both = list(combinations(book.estimates, 2))
    last = _room(book, 4 + len(both))
    crossings = Crossings(book, last + 2, book.estimates)
    for row, (a, b) in enumerate(both, 3):
        if a.one_off_usd.value < b.one_off_usd.value:
            a, b = b, a
        _pair(book, ranges, monthly, inputs, row, a, b)
        _crossing(book, crossings, row, a, b)
    book.printed("Break-even", crossings.last, len(heads), 2)  # how volumes are found stays on the screen


def _pair(book: Book, ranges: Ranges, monthly: Monthly, inputs: Inputs, row: int, a: Estimate, b: Estimate) -> None:
    def put(column: int, found: object, style: str = "number") -> Expr:
        cell = book.formula("Break-even", row, column, _or_unknown(found), style)
        return Expr(cell.text.rpartition("!")[2], expr(found).value)

    def less(name: str) -> Expr:
        one, other = (ranges.of(answer.title, getattr(answer, name))[1] for answer in (a, b))
        return one - other

    book.text("Break-even", row, 0, a.title)
    book.text("Break-even", row, 1, b.title)
    put(2, less("one_off_usd"))
    put(3, less("monthly_usd"))
    put(4, less("total_usd"))
    (a_text, a_sums), (b_text, b_sums) = monthly.cumulative[a.stage], monthly.cumulative[b.stage]
    horizon = inputs.horizon
    months = np.arange(1, len(a_sums) + 1) <= horizon.value
    count = float((months & (a_sums > b_sums)).sum())
    dearer = put(5, Expr(f"SUMPRODUCT(({a_text}>{b_text})*(«months»<={horizon.text}))", count), "money")
    verdict = "not within the horizon" if count == horizon.value else count + 1
    text = f'IF({dearer.text}={horizon.text},"not within the horizon",{dearer.text}+1)'
    book.formula("Break-even", row, 6, Expr(text, verdict), "money")


def _crossing(book: Book, crossings: Crossings, row: int, a: Estimate, b: Estimate) -> None:
    """The volume from which one of the two costs less for good, as `recommend --break-even volume` says it."""
    found = crossings.of(a, b)
    if found is None:
        book.text("Break-even", row, 8, "unknown")
        return
    cheaper, volume, holds = found
    book.text("Break-even", row, 7, cheaper, "beside")
    book.formula("Break-even", row, 8, volume)
    book.formula("Break-even", row, 9, holds, "beside")


def _room(book: Book, row: int) -> int:
    """Requests a month that today's replicas carry before one more is needed; returns the last row."""
    book.text("Break-even", row, 0, "What the replicas carry", "section")
    heads = ("Approach", "", "Replicas, month 1", "Requests a month they carry", "Requests a month asked")
    book.heads("Break-even", row + 1, heads)
    keys = {step.key: step for _, step in book.steps.of_kind("input")}
    asked, peak, again = (keys.get(name) for name in ("requests_per_month", "peak_to_mean", "retries"))
    for answer in book.estimates:
        replicas = answer.details.get("replicas")
        if replicas is None or replicas.formula is not money.replicas or not (asked and peak and again):
            continue
        row += 1
        load = replicas.inputs
        usable = book.expected(load["capacity_requests_per_s"]) * book.expected(load["target_utilisation"])
        carried = book.expected(replicas) * usable * money.SECONDS_PER_MONTH
        carried = carried / book.expected(peak.node) / (1 + book.expected(again.node))
        book.text("Break-even", row + 1, 0, answer.title)
        book.formula("Break-even", row + 1, 2, _or_unknown(book.expected(replicas)), "money")
        book.formula("Break-even", row + 1, 3, _or_unknown(carried), "money")
        book.formula("Break-even", row + 1, 4, book.expected(asked.node), "money")
    return row + 1


def budget_lines(book: Book, ranges: Ranges) -> None:
    """Flat rows, live, ready for a pivot table."""
    sheet = book.sheets["Budget lines"]
    wide = {"ChargeDescription": 34, "x_Driver": 24, "x_Source": 48}
    for column, name in enumerate(budget.COLUMNS):
        sheet.set_column(column, column, wide.get(name, max(11, len(name) + 2)))
    sheet.freeze_panes(1, 2)
    book.heads("Budget lines", 0, budget.COLUMNS)
    row = 0
    for answer in book.estimates:
        for line in answer.lines:
            row += 1
            cells = budget.words(answer, line) | _live(book, ranges, answer, line)
            for column, name in enumerate(budget.COLUMNS):
                if isinstance(cells[name], Expr):
                    book.formula("Budget lines", row, column, _or_unknown(cells[name]))
                else:
                    book.text("Budget lines", row, column, cells[name], "beside" if column else "plain")
    book.printed("Budget lines", row, len(budget.COLUMNS), 0, pages=2)
    sheet.repeat_columns(0, 1)
    sheet.autofilter(0, 0, row, len(budget.COLUMNS) - 1)


def _live(book: Book, ranges: Ranges, answer: Estimate, line: Line) -> dict[str, object]:
    low, expected, high = ranges.of(answer.title, line.usd)
    horizon_low, horizon, horizon_high = ranges.of(answer.title, line.horizon_usd)
    share, exchange = budget.reserve(answer), budget.rate(line)
    return {
        "x_RatePerUsd": book.expected(exchange) if exchange else expr(1.0),
        "PricingQuantity": book.expected(line.quantity) / budget.scale(line)[0],
        "ListUnitPrice": book.expected(line.unit_price),
        "x_CostLow": low,
        "ListCost": expected,
        "x_CostHigh": high,
        "x_HorizonCostLow": horizon_low,
        "x_HorizonCost": horizon,
        "x_HorizonCostHigh": horizon_high,
        "x_ContingencyShare": book.expected(share) if share else expr(0.0),
    }


SOURCE_WIDTHS = (70, 16, 12, 40)
NOTES_WIDTH = 105


def sources(book: Book) -> None:
    """Every source once, and what rests on it."""
    for column, width in enumerate(SOURCE_WIDTHS):
        book.sheets["Sources"].set_column(column, column, width)
    book.text("Sources", 0, 0, "Sources", "title")
    for column, words in enumerate(("Source", "How it was read", "As of", "First used by")):
        book.text("Sources", 1, column, words, "head")
    found: dict[Source, str] = {}
    for _, step in book.steps.of_kind("input", "fact", "physical", "formula"):
        for source in step.node.citations():
            found.setdefault(source, step.node.name)
    for row, (source, user) in enumerate(found.items(), 2):
        cells = source.title, source.kind, source.date, user
        for column, words in enumerate(cells):
            book.text("Sources", row, column, words, "wrap")
        book.high("Sources", row, zip(cells, SOURCE_WIDTHS, strict=True))


def notes(book: Book) -> None:
    """What the workbook is, how to use it, and what to mind."""
    book.sheets["Notes"].set_column(0, 0, NOTES_WIDTH)
    lines = [
        "Change the yellow cells of the Inputs sheet; every other sheet follows, ranges included.",
        "Grey inputs are fixed: predicted speeds and memory sizes rest on them. Export again to change them.",
        f"{MADE_BY}{book.command or 'Comparison.to_excel'}",
        "Each figure: as expected, with the range that holds 80 % of outcomes. Ranges of sums are not sums of ranges.",
        "What each request adds is against the bare LLM; monthly costs and totals include serving it.",
        "A figure nobody knows, such as a missing price, is 'unknown', never 0: enter it on the Inputs sheet.",
        "Budget lines use FOCUS column names where the meaning is the same; x_ columns are not FOCUS.",
        *book.comparison.notes,
        *prices_used(book.estimates),
    ]
    for answer in book.comparison.estimates:
        if isinstance(answer, Blocked):
            lines.append(f"{answer.title} cannot run: {answer.reason}")
        else:
            lines += [f"{answer.title}: best for {answer.best_for}.", *answer.warnings, *answer.evidence]
            lines += [f"  for it: {words}" for words in answer.advantages]
            lines += [f"  mind: {words}" for words in answer.considerations]
    book.text("Notes", 0, 0, "Notes", "title")
    for row, words in enumerate(lines, 2):
        book.text("Notes", row, 0, words, "wrap")
        book.high("Notes", row, [(words, NOTES_WIDTH)])
    book.text("Notes", len(lines) + 3, 0, f"Format version {SCHEMA_VERSION}", "grey")
