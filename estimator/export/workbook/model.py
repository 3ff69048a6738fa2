"""The sheets that compute: inputs, the steps of the calculation in every scenario, ranges, and month by month."""

from collections.abc import Iterable

import numpy as np

from estimator.export.formula_text import Expr, called, choose, expr, summed
from estimator.export.workbook.book import EXPECTED, FIRST_MONTH, MONTHS, Book, given_ends, letters
from estimator.export.workbook.steps import Kind, Step
from estimator.formulas import money
from estimator.quantities import FACTORS, Quantity
from estimator.results import Estimate, Line

INPUT_COLUMNS = ("Input", "Unit", "Value", "Low (80 %)", "High (80 %)", "Comment", "Source", "As of", "Moves", "Name")
INPUT_WIDTHS = (32, 13, 12, 12, 12, 66, 58, 11, 18, 32)
VALUE, LOW, HIGH, NOTE, AS_OF = 2, 3, 4, 5, 7


class Inputs:
    """The Inputs sheet: what a reader may change, what only a new export changes, and constants."""

    def __init__(self, book: Book) -> None:
        self.book, self.row = book, 0
        self.cells: dict[int, int] = {}  # row of an input, by step
        self.horizon = Expr("", 0.0)
        sheet = book.sheets["Inputs"]
        for column, width in enumerate(INPUT_WIDTHS):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(2, 1)
        book.text("Inputs", 0, 0, "Inputs", "title")
        book.heads("Inputs", 1, INPUT_COLUMNS)
        self.row = 2
        found = list(book.steps.of_kind("input"))
        self._group("Live: change the yellow cells, everything follows", [pair for pair in found if pair[1].live])
        again = f" Re-export to change them: {book.command}" if book.command else ""
        self._group(f"Fixed by the physics of this export.{again}", [pair for pair in found if not pair[1].live])
        self._choices()

    def _group(self, words: str, steps: Iterable[tuple[int, Step]]) -> None:
        self.row += 1
        self.book.text("Inputs", self.row, 0, words, "section")
        self.row += 1
        for number, step in steps:
            self._input(number, step)
            self.row += 1

    def _input(self, number: int, step: Step) -> None:
        book, row, style = self.book, self.row, "live" if step.live else "fixed"
        ends = given_ends(step)
        style += "_large" if abs(ends["value"]) >= 1000 else ""
        self.cells[number] = row
        book.text("Inputs", row, 0, step.node.name)
        book.text("Inputs", row, 1, shown_unit(step.node.unit), "grey")
        cell = book.number("Inputs", row, VALUE, ends["value"], style)
        for column, end in ((LOW, "low"), (HIGH, "high")) if step.factor else ():
            if ends[end] == ends["value"] or not np.isfinite(ends[end]):
                book.formula("Inputs", row, column, cell, style)
            else:
                book.number("Inputs", row, column, ends[end], style)
        cites = "; ".join(dict.fromkeys(source.title for source in step.node.sources))
        dates = [source.date for source in step.node.sources if source.date]
        notes = (step.node.note, cites, max(dates, default=""), step.factor, step.key)
        for offset, words in enumerate(notes, NOTE):
            book.text("Inputs", row, offset, words, "grey_wrap")
        book.high("Inputs", row, zip(notes, INPUT_WIDTHS[NOTE:], strict=True))
        self._check(row, step)
        book.define(f"in_{step.key}", cell)
        if step.key == "horizon_months":
            self.horizon = cell

    def _check(self, row: int, step: Step) -> None:
        sheet = self.book.sheets["Inputs"]
        if not step.live or step.bounds is None:
            rule = {
                "validate": "custom",
                "value": "=FALSE",
                "error_title": "Fixed by the physics",
                "error_message": "The predictions rest on this. Export again to change it (see Notes).",
            }
            sheet.data_validation(row, VALUE, row, HIGH if step.factor else VALUE, rule)
            return
        least, most = step.bounds.least, step.bounds.most
        kind = "integer" if step.bounds.whole else "decimal"
        bounds = {"validate": kind, "criteria": "between", "minimum": least, "maximum": most}
        message = {"error_title": step.key[:32], "error_message": f"From {least:g} to {most:g} {step.node.unit}"}
        sheet.data_validation(row, VALUE, row, VALUE, {**bounds, **message})
        if step.factor:
            value = f"$C${row + 1}"
            ends = {"error_title": "Range", "error_message": "The range must hold the value: low <= value <= high."}
            low = {"validate": "decimal", "criteria": "between", "minimum": least, "maximum": f"={value}"}
            high = {"validate": "decimal", "criteria": "between", "minimum": f"={value}", "maximum": most}
            sheet.data_validation(row, LOW, row, LOW, {**low, **ends})
            sheet.data_validation(row, HIGH, row, HIGH, {**high, **ends})

    def _choices(self) -> None:
        """The LLM, the hardware and the layouts, as words."""
        comparison = self.book.comparison
        rows = [("LLM", comparison.llm), ("hardware", comparison.hardware)]
        rows += [(f"layout, {answer.title}", answer.layout) for answer in self.book.estimates if answer.layout]
        for name, words in rows:
            self.book.text("Inputs", self.row, 0, name)
            self.book.text("Inputs", self.row, VALUE, words, "fixed")
            self.row += 1

    def constants(self) -> None:
        """The named constants, once all sheets have said which they use."""
        self.row += 1
        self.book.text("Inputs", self.row, 0, "Constants", "section")
        for value, name in self.book.constants.items():
            self.row += 1
            self.book.text("Inputs", self.row, 0, name.replace("_", " ").lower())
            self.book.define(name, self.book.number("Inputs", self.row, VALUE, value, "fixed"))
        self.book.printed("Inputs", self.row, AS_OF + 1, 1)

    def scenario_cell(self, number: int, step: Step, scenario: int) -> Expr:
        """An input in one scenario: its value, or an end of its range where the scenario moves its factor."""
        row = self.cells[number]
        value, low, high = (f"{self.book.quoted('Inputs')}!${letters(column)}${row + 1}" for column in (2, 3, 4))
        cell = float(step.node.column[scenario])
        if not step.factor or scenario not in (place := FACTORS.index(step.factor) + 1, place + len(FACTORS)):
            return Expr(value, cell)
        all_three = f"COUNT({value}:{high.rpartition('!')[2]})=3"
        if scenario == place:
            return Expr(f"IF(AND({all_three},MIN({value}:{low.rpartition('!')[2]})>0),{low},{value})", cell)
        return Expr(f"IF(AND({all_three},{value}>0),{high},{value})", cell)


SECTIONS: tuple[tuple[Kind, str], ...] = (
    ("input", "Inputs, in every scenario"),
    ("fact", "Facts"),
    ("physical", "Physical results: predictions, fixed"),
    ("formula", "Steps"),
)


class Calculation:
    """The Calculation sheet: one step a row, one scenario a column, the same formula all along a row."""

    def __init__(self, book: Book, inputs: Inputs) -> None:
        self.book, self.inputs, self.row = book, inputs, 0
        self._headings()
        plan = [(title, list(book.steps.of_kind(kind))) for kind, title in SECTIONS]
        row = 4
        for _, steps in plan:
            row += 1
            for number, _ in steps:
                book.rows[number] = row
                row += 1
        row = 4
        for title, steps in plan:
            book.text("Calculation", row, 0, title, "section")
            row += 1 + len(steps)
            for number, step in steps:
                self._step(number, step)
        book.printed("Calculation", row, EXPECTED + 1, 3)
        book.sheets["Calculation"].set_portrait()

    def _headings(self) -> None:
        book, sheet = self.book, self.book.sheets["Calculation"]
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 2, 11)
        sheet.set_column(3, 3, 50)
        sheet.set_column(EXPECTED, EXPECTED + len(book.scenarios()), 13)
        sheet.freeze_panes(4, EXPECTED + 1)
        book.text("Calculation", 0, 0, "Calculation", "title")
        book.text(
            "Calculation", 1, 0, "One step a row. One column as expected, then one factor at a time low, or high."
        )
        book.heads("Calculation", 2, ())
        book.heads("Calculation", 3, ("Step", "Unit", "Basis", "How", "expected"))
        for offset, (name, end) in enumerate((name, end) for end in ("low", "high") for name in book.factors):
            book.text("Calculation", 2, EXPECTED + 1 + offset, name, "head")
            book.text("Calculation", 3, EXPECTED + 1 + offset, end, "head")

    def _step(self, number: int, step: Step) -> None:
        book, row = self.book, self.book.rows[number]
        words_of = (step.node.name, shown_unit(step.node.unit), step.node.basis, step.how)
        for column, words in enumerate(words_of):
            book.text("Calculation", row, column, words, "plain" if column == 0 else "grey")
        for offset, scenario in enumerate(book.scenarios()):
            column, value = EXPECTED + offset, float(step.node.column[scenario])
            if step.kind == "input":
                found = self.inputs.scenario_cell(number, step, scenario)
                book.formula("Calculation", row, column, found)
            elif step.formula is None:
                book.number("Calculation", row, column, value, "physical")
            else:
                book.formula("Calculation", row, column, Expr(step.formula.text, value), "number", letters(column))


class Ranges:
    """The Ranges sheet: the factors' moves of a figure, combined as sqrt of the sum of squares (GUM, JCGM 100:2008)."""

    FIRST = 7  # column of the first move

    def __init__(self, book: Book) -> None:
        self.book, self.row = book, 3
        self.found: dict[int, tuple[Expr, Expr, Expr]] = {}
        book.text("Ranges", 0, 0, "Ranges", "title")
        words = "80 % ranges: each factor's move in ln (around zero in the unit itself), root of the sum of squares."
        book.text("Ranges", 1, 0, words)
        heads = ["Approach", "Figure", "Unit", "Expected", "Low", "High", "In ln"]
        groups = ("move low", "move high", "down", "up")
        heads += [f"{group}: {name}" for group in groups for name in book.factors]
        book.heads("Ranges", 2, heads)
        book.sheets["Ranges"].set_column(0, 1, 30)
        book.sheets["Ranges"].set_column(2, len(heads), 12)
        book.sheets["Ranges"].freeze_panes(3, 4)
        book.sheets["Ranges"].set_portrait()

    def of(self, approach: str, figure: Quantity) -> tuple[Expr, Expr, Expr]:
        """Low, expected and high of a figure."""
        number = self.book.steps.number(figure)
        if number not in self.found:
            self.found[number] = self._added(approach, figure)
            self.book.printed("Ranges", self.row, self.FIRST, 2)
        return self.found[number]

    def _added(self, approach: str, figure: Quantity) -> tuple[Expr, Expr, Expr]:
        book, row, many = self.book, self.row, len(self.book.factors)
        self.row += 1
        for column, words in enumerate((approach, figure.name, shown_unit(figure.unit))):
            book.text("Ranges", row, column, words)
        expected = book.formula("Ranges", row, 3, book.expected(figure))
        log = book.formula("Ranges", row, 6, Expr(f"MIN({self._scenarios(figure)})>0", bool(figure.column.min() > 0)))
        ends = self._moves(row, figure, bool(log.value))
        low, high = figure.interval()
        down, up = (self._block(row, group) for group in (2, 3))
        e, flag = f"$D{row + 1}", f"$G{row + 1}"
        if many == 0 or not ends:
            return expected, expected, expected
        below = f"{e}-SQRT(SUMSQ({down}))"
        below = f"IF(MIN({self._scenarios(figure)})<0,{below},MAX(0,{below}))"
        low_text = f"IF({flag},{e}*EXP(-SQRT(SUMSQ({down}))),{below})"
        high_text = f"IF({flag},{e}*EXP(SQRT(SUMSQ({up}))),{e}+SQRT(SUMSQ({up})))"
        return (
            book.formula("Ranges", row, 4, Expr(low_text, low)),
            expected,
            book.formula("Ranges", row, 5, Expr(high_text, high)),
        )

    def _scenarios(self, figure: Quantity) -> str:
        book = self.book
        row = book.rows[book.steps.number(figure)]
        last = letters(EXPECTED + len(book.scenarios()) - 1)
        return f"{book.at('Calculation', row, EXPECTED)}:${last}${row + 1}"

    def _block(self, row: int, group: int) -> str:
        many = len(self.book.factors)
        first = self.FIRST + group * many
        return f"{letters(first)}{row + 1}:{letters(first + many - 1)}{row + 1}"

    def _moves(self, row: int, figure: Quantity, in_log: bool) -> bool:
        """The moves of every factor, and how far down and up it goes."""
        book, many = self.book, len(self.book.factors)
        with np.errstate(all="ignore"):
            moves = np.log(figure.column / figure.column[0]) if in_log else figure.column - figure.column[0]
        calc_row, e, flag = book.rows[book.steps.number(figure)] + 1, f"$D{row + 1}", f"$G{row + 1}"
        sheet = book.quoted("Calculation")
        for offset, scenario in enumerate(book.scenarios()[1:]):
            end = f"{sheet}!{letters(EXPECTED + 1 + offset)}${calc_row}"
            found = Expr(f"IF({flag},LN({end}/{e}),{end}-{e})", moves[scenario])
            book.formula("Ranges", row, self.FIRST + offset, found)
        for offset in range(many):
            low, high = (f"{letters(self.FIRST + offset + shift)}{row + 1}" for shift in (0, many))
            scenario = book.scenarios()[1 + offset]
            pair = moves[scenario], moves[scenario + len(FACTORS)]
            down, up = Expr(f"MIN(0,{low},{high})", min(0.0, *pair)), Expr(f"MAX(0,{low},{high})", max(0.0, *pair))
            unknown = not np.isfinite(sum(pair))
            for group, move in ((2, down), (3, up)):
                cell = Expr(move.text, np.nan) if unknown else move
                book.formula("Ranges", row, self.FIRST + group * many + offset, cell)
        return many > 0


def shown_unit(unit: str) -> str:
    """A unit as people read it; nothing for a plain count."""
    return "" if unit == "1" else unit


MONTHLY_SCALE = 72  # percent: the columns of an approach on one page
MONTH_HEADS = ("replicas", "one-off", "usage-driven", "idle replicas", "fixed", "contingency", "total", "cumulative")


class Monthly:
    """The Monthly sheet: what each approach costs in every month of the horizon."""

    def __init__(self, book: Book, inputs: Inputs) -> None:
        self.book = book
        self.totals: dict[str, Expr] = {}
        self.cumulative: dict[str, tuple[str, np.ndarray]] = {}
        book.text("Monthly", 0, 0, f"By month [{book.currency}]", "title")  # no wider than what every page repeats
        words = "As expected. One-off costs fall in month 1. Months beyond the horizon are 0."
        book.text("Monthly", 0, 3, words, "subtitle")
        for column, words in enumerate(("Month", "In horizon", "Growth")):
            book.text("Monthly", FIRST_MONTH - 1, column, words, "head_right")
        book.sheets["Monthly"].freeze_panes(FIRST_MONTH, 3)
        book.sheets["Monthly"].set_column(1, 1, 11)
        book.sheets["Monthly"].set_column(3, 3 + 8 * len(book.estimates), 12)
        growth = next((s for _, s in book.steps.of_kind("input") if s.key == "growth_per_month"), None)
        rate = book.expected(growth.node) if growth else expr(0.0)
        self.calendar = [self._month(index, rate, inputs.horizon) for index in range(MONTHS)]
        for index, answer in enumerate(book.estimates):
            self._approach(3 + len(MONTH_HEADS) * index, answer)
        self._printed(int(inputs.horizon.value))

    def _printed(self, months: int) -> None:
        """On paper the horizon alone, an approach a page."""
        sheet, wide = self.book.sheets["Monthly"], len(MONTH_HEADS)
        firsts = [3 + wide * index for index in range(len(self.book.estimates))]
        sheet.print_area(0, 0, FIRST_MONTH - 1 + months, firsts[-1] + wide - 1)
        sheet.repeat_rows(2, FIRST_MONTH - 1)
        sheet.repeat_columns(0, 2)
        sheet.set_print_scale(MONTHLY_SCALE)
        sheet.set_v_pagebreaks(firsts[1:])

    def _month(self, index: int, rate: Expr, horizon: Expr) -> tuple[Expr, Expr, Expr]:
        book, row = self.book, FIRST_MONTH + index
        if index == 0:
            month = book.number("Monthly", row, 0, 1.0, "plain")
        else:
            month = book.formula("Monthly", row, 0, Expr(f"A{row}+1", index + 1.0), "plain")
        month = Expr(f"$A{row + 1}", month.value)
        book.formula("Monthly", row, 1, choose(month <= horizon, 1.0, 0.0), "grey_money")
        book.formula("Monthly", row, 2, (1 + rate) ** (month - 1), "grey_number")
        within = Expr(f"$B{row + 1}", float(month.value <= horizon.value))
        return month, within, Expr(f"$C{row + 1}", (1 + rate.value) ** index)

    def _approach(self, first: int, answer: Estimate) -> None:
        book = self.book
        book.text("Monthly", 2, first, answer.title, "section")
        for offset, words in enumerate(MONTH_HEADS):
            book.text("Monthly", FIRST_MONTH - 1, first + offset, words, "head_right")
        parts = _Parts(book, answer)
        rows = [self._row(first, index, parts) for index in range(MONTHS)]
        for offset in range(1, 7):
            one = letters(first + offset)
            cells = f"{one}{FIRST_MONTH + 1}:{one}{FIRST_MONTH + MONTHS}"
            value = sum(float(row[offset].value) for row in rows)
            found = book.formula(
                "Monthly", FIRST_MONTH - 2, first + offset, Expr(f"SUM({cells})", value), "strong_money"
            )
        self.totals[answer.stage] = found
        last = letters(first + 7)
        cells = f"{book.quoted('Monthly')}!${last}${FIRST_MONTH + 1}:${last}${FIRST_MONTH + MONTHS}"
        self.cumulative[answer.stage] = cells, np.array([float(row[7].value) for row in rows])

    def _row(self, first: int, index: int, parts: "_Parts") -> list[Expr]:
        month, within, growth = self.calendar[index]
        row = FIRST_MONTH + index

        def put(offset: int, found: Expr, style: str = "month") -> Expr:
            cell = self.book.formula("Monthly", row, first + offset, found, style)
            return Expr(f"{letters(first + offset)}{row + 1}", cell.value)

        cells = [put(0, parts.replicas(growth) * within)]
        cells.append(put(1, choose(month == 1, parts.one_off, 0.0)))
        cells.append(put(2, parts.variable * growth * within))
        cells.append(put(3, parts.idle(cells[0], growth) * within))
        cells.append(put(4, parts.fixed * within))
        cells.append(put(5, summed(cells[1:5]) * parts.contingency))
        cells.append(put(6, summed(cells[1:6])))
        above = Expr(f"{letters(first + 7)}{row}", self._before) if index else None
        cells.append(put(7, (cells[6] if above is None else above + cells[6]) * within))
        self._before = float(cells[7].value)
        return cells

    _before = 0.0


class _Parts:
    """The lines of an approach as Monthly sees them: first-month amounts by how they go on."""

    def __init__(self, book: Book, answer: Estimate) -> None:
        self.book = book
        lines = [line for line in answer.lines if line.kind != "contingency"]
        reserve = next((line for line in answer.lines if line.kind == "contingency"), None)
        self.contingency = book.expected(reserve.unit_price) if reserve else expr(0.0)
        self.idle_line = next((line for line in lines if line.kind == "idle"), None)
        self.spare_line = next((line for line in lines if line.kind == "spare"), None)
        self.one_off = self._sum(line for line in lines if line.phase == "one-off")
        monthly = [line for line in lines if line.phase == "monthly" and line not in (self.idle_line, self.spare_line)]
        self.variable = self._sum(line for line in monthly if line.cost_type == "variable")
        self.fixed = self._sum(line for line in monthly if line.cost_type == "fixed")

    def _sum(self, lines: Iterable[Line]) -> Expr:
        return summed(self.book.expected(line.usd) for line in lines)

    def replicas(self, growth: Expr) -> Expr:
        """Replicas of a month; 0 where there are none to count."""
        if self.idle_line is None:
            return expr(0.0)
        load = self._peak(self.idle_line).inputs
        cells = {name: self.book.expected(load[name]) for name in LOAD}
        cells["peak_requests_per_s"] = cells["peak_requests_per_s"] * growth
        return expr(money.replicas(**cells))  # type: ignore[arg-type]

    @staticmethod
    def _peak(idle_line: Line) -> Quantity:
        """The replicas that carry the peak, behind those that are on where a scaler follows the load."""
        on = idle_line.quantity.inputs["always_on_s"].inputs["replicas"]
        return on.inputs["replicas"] if on.formula is money.switched_on else on

    def idle(self, replicas: Expr, growth: Expr) -> Expr:
        """What switched-on replicas cost beyond the requests they answer."""
        if self.idle_line is None:
            return expr(0.0)
        on = self.idle_line.quantity.inputs["always_on_s"]
        followed = on.inputs["replicas"]
        if followed.formula is money.switched_on:
            floor = {name: self.book.expected(followed.inputs[name]) for name in ("least_replicas", "peak_to_mean")}
            replicas = expr(money.switched_on(replicas, **floor))
        accelerators = self.book.expected(on.inputs["accelerators"])
        busy = self.book.expected(self.idle_line.quantity.inputs["busy_s"]) * growth
        idle_s = called("MAX", np.maximum, replicas * accelerators * money.SECONDS_PER_MONTH - busy, 0.0)
        if self.spare_line is not None:
            free = self.book.expected(self.spare_line.horizon_quantity.inputs["replicas"].inputs["fleet"])
            spare = called("MAX", np.maximum, free - replicas * accelerators, 0.0)
            idle_s = idle_s + spare * money.SECONDS_PER_MONTH
        return idle_s / money.SECONDS_PER_HOUR * self.book.expected(self.idle_line.unit_price)


LOAD = ("peak_requests_per_s", "capacity_requests_per_s", "target_utilisation", "least_replicas")
