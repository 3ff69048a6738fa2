"""Scenarios as rows: each row's columns are inputs, and the answers come back as further columns.

Rows that share everything predictions rest on (LLM, hardware, lengths, precision, ...) share one estimate, whose
formulas are then computed for all of them at once; so a million rows of prices, traffic and effort are one call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from estimator.api import compare
from estimator.arguments import check
from estimator.catalog.plan_fields import unknown_field
from estimator.errors import EstimatorError, InvalidInput, UnknownName, clipped
from estimator.formulas import Floats
from estimator.numerals import numeral
from estimator.pricing import PRICE
from estimator.quantities import FACTORS, Quantity, intervals
from estimator.results import Blocked, Estimate
from estimator.scenario import default_scenario
from estimator.stages import STAGES
from estimator.stages.live import Tree
from estimator.stages.steps import Moved, Node

FIGURES = ("one_off_usd", "monthly_usd", "total_usd", "added_usd_per_1000_requests")
QUESTION = ("model", "gpu", "api", "gpus")
LIMITS = {PRICE: (0.0, 1e6), "gpus": (1.0, 1e7)}
PASSED_ON = ("id", "name", "note", "label", "scenario", "error")
BLOCK = 8192  # rows computed at once: enough that calls cost little, few enough that a column stays in the cache
MOST_GROUPS = 256  # estimates kept for rows to come
MOST_CODES = 2**31  # groups of rows are numbered, anew when numbers grow beyond

Table = TypeVar("Table")  # rows, or a table of a library
Column = NDArray[Any]
Columns = Mapping[str, Column]
Rows = NDArray[np.intp]
Errors = dict[int, str]  # by row


def sweep(
    table: Table, *, stages: tuple[str, ...] = STAGES, figures: tuple[str, ...] = FIGURES, **inputs: object
) -> Table:
    """Answers for every row of a table: a list of dicts, or a pandas, polars or Arrow table; the same kind comes back.

    Columns are arguments of `compare`: model, gpu, api, gpus, price_per_hour and any input by name; NAME_low and
    NAME_high give the ends of its 80 % range. Columns that begin with x_, and id, name, note, label and scenario, pass.
    stages, figures: which answers are appended, as STAGE_FIGURE with STAGE_FIGURE_low and STAGE_FIGURE_high
    inputs: the same for all rows
    A row that cannot be answered has its reason in the column `error` and no numbers. UnknownName for a wrong column.

    >>> rows = sweep([{"gpu": "a100", "samples": 1000}, {"gpu": "h1000"}], stages=("finetune",), model="7b")
    >>> rows[0]["finetune_total_usd"] > 10_000, rows[1]["error"][:27]
    (True, "unknown accelerator 'h1000'")
    """
    check(table=table, stages=stages, figures=figures)
    columns, count = columns_of(table)
    found = Sweep(stages, figures, inputs).answers(columns, count)
    answered: Table = attached(table, found)
    return answered


@dataclass(slots=True, eq=False)
class _Group:
    """One estimate: its tree, what is in it, and what is in the way."""

    tree: Tree | None = None
    answered: tuple[int, ...] = ()  # columns of the answers, one per root of the tree
    limits: tuple[float, ...] = ()  # what further roots must keep within
    problem: str = ""
    blocked: str = ""


@dataclass(slots=True, eq=False)
class Sweep:
    """A sweep in progress: tables may come in pieces. stages, figures, inputs: as for `sweep`."""

    stages: tuple[str, ...] = STAGES
    figures: tuple[str, ...] = FIGURES
    inputs: Mapping[str, Any] = field(default_factory=dict)
    rate: tuple[str, float] = ("", 1.0)  # of a currency whose money stands beside that in USD, and its code
    _groups: dict[object, _Group] = field(default_factory=dict)
    _lives: dict[object, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse stages and figures that do not exist."""
        known = [name for name, kind in Estimate.__annotations__.items() if kind in (Quantity, "Quantity")]
        for what, names, choices in (("stage", self.stages, STAGES), ("figure", self.figures, known)):
            for name in names:
                if name not in choices:
                    raise UnknownName(what, name, choices, f"Choices are {', '.join(choices)}.")

    def names(self) -> list[str]:
        """The columns that are appended, the error last."""
        return [*self._figure_names(), *self._in_currency(), "error"]

    def _figure_names(self) -> list[str]:
        ends = ("", "_low", "_high")
        return [f"{stage}_{name}{end}" for stage in self.stages for name in self.figures for end in ends]

    def _in_currency(self) -> dict[str, str]:
        """Columns of money in the currency, and those in USD that they are of."""
        if not self.rate[0]:
            return {}
        return {name.replace("usd", self.rate[0].lower()): name for name in self._figure_names() if "usd" in name}

    def answers(self, columns: Columns, count: int) -> dict[str, Column]:
        """The answers' columns for some rows."""
        columns = {name: column for name, column in columns.items() if name not in self.names()}  # of an earlier run
        _check_names(columns)
        texts = {name: _texts(column) for name, column in columns.items() if _kind(name) == "choice"}
        numbers, errors = _numbers(columns)
        results = np.full((len(self._figure_names()), count), np.nan)
        for rows in _alike(texts, np.delete(np.arange(count), [*errors])):
            self._choice(texts, numbers, rows, results, errors)
        found: dict[str, Column] = dict(zip(self._figure_names(), results, strict=True))
        found |= {name: found[usd] * self.rate[1] for name, usd in self._in_currency().items()}
        said = np.full(count, None, dtype=object)
        for row, error in errors.items():
            said[row] = error
        return found | {"error": said}

    def _choice(
        self, texts: Mapping[str, "Words"], numbers: Mapping[str, Floats], rows: Rows, results: Floats, errors: Errors
    ) -> None:
        """Rows with the same words: those with the same predictions under them share an estimate."""
        live = self._live(_asked(texts, numbers, rows[0], ()))
        fixed = [name for name in numbers if _base(name) not in live]
        for alike in _alike({name: numbers[name] for name in fixed}, rows):
            self._same(texts, numbers, alike, fixed, results, errors)

    def _same(
        self,
        texts: Mapping[str, "Words"],
        numbers: Mapping[str, Floats],
        rows: Rows,
        fixed: list[str],
        results: Floats,
        errors: Errors,
    ) -> None:
        """Rows that share an estimate; where its predictions rest on more than was thought, they are split again."""
        group = self._group(_asked(texts, numbers, rows[0], fixed))
        stray = [name for name in numbers if group.tree and name not in fixed and _base(name) in group.tree.fixed]
        if stray:
            for alike in _alike({name: numbers[name] for name in stray}, rows):
                self._same(texts, numbers, alike, fixed + stray, results, errors)
            return
        if group.problem or group.blocked:
            errors |= dict.fromkeys(rows.tolist(), group.problem or group.blocked)
        if group.tree:
            varied = {name: column for name, column in numbers.items() if name not in fixed}
            for start in range(0, len(rows), BLOCK):
                for row in _fill(group, group.tree, varied, rows[start : start + BLOCK], results):
                    results[:, row] = np.nan  # beyond a limit: asked alone, it is answered otherwise, or refused
                    self._same(texts, numbers, np.array([row]), list(numbers), results, errors)

    def _live(self, asked: Mapping[str, object]) -> Mapping[str, int]:
        """The inputs that enter all figures of all approaches through formulas alone, for a choice of words."""
        key = tuple(sorted(asked.items()))
        if key not in self._lives:
            try:
                comparison = compare(**self._arguments(asked))
            except EstimatorError:
                return {}
            answers = [answer for answer in comparison.estimates if isinstance(answer, Estimate)]
            figures = [figure for answer in answers for _, figure in answer.quantities()]
            self._lives[key] = Tree(figures, _chosen_by(answers)).live
        return self._lives[key]

    def _group(self, asked: Mapping[str, object]) -> _Group:
        """The estimate for a row's words and those of its numbers that predictions rest on."""
        key = tuple(sorted(asked.items()))
        if key not in self._groups:
            while len(self._groups) >= MOST_GROUPS:
                del self._groups[next(iter(self._groups))]
            self._groups[key] = self._estimated(asked)
        return self._groups[key]

    def _estimated(self, asked: Mapping[str, object]) -> _Group:
        try:
            comparison = compare(**self._arguments(asked), stages=self.stages)
        except EstimatorError as error:
            return _Group(problem=str(error))
        figures, places, blocked = [], [], []
        answers = [answer for answer in comparison.estimates if isinstance(answer, Estimate)]
        for index, answer in enumerate(comparison.estimates):
            if isinstance(answer, Blocked):
                blocked.append(f"{answer.stage}: {answer.reason}")
                continue
            for offset, name in enumerate(self.figures):
                figures.append(getattr(answer, name))
                places.append(3 * (index * len(self.figures) + offset))
        limits = list(dict.fromkeys(limit for answer in answers for limit in answer.limits))
        tree = Tree([*figures, *(limit.figure for limit in limits)], _chosen_by(answers))
        return _Group(tree, tuple(places), tuple(limit.most for limit in limits), blocked="; ".join(blocked))

    def _arguments(self, asked: Mapping[str, object]) -> dict[str, Any]:
        """Arguments of `compare` for a row: ranges put together, counts whole."""
        found: dict[str, Any] = dict(self.inputs)
        for name, value in asked.items():
            base = _base(name)
            if base != name:
                continue
            ends = asked.get(f"{name}_low"), asked.get(f"{name}_high")
            found[name] = value if None in ends else (ends[0], value, ends[1])
        if "gpus" in found:
            found["gpus"] = int(found["gpus"])
        if PRICE in found:
            found["price"] = found.pop(PRICE)
        return found


def _asked(
    texts: Mapping[str, "Words"], numbers: Mapping[str, Floats], row: int, fixed: Sequence[str]
) -> dict[str, object]:
    """What a row asks in words, and in some of its numbers."""
    asked: dict[str, object] = {name: word for name, words in texts.items() if (word := words.of(row)) is not None}
    return asked | {name: float(numbers[name][row]) for name in fixed if not np.isnan(numbers[name][row])}


def _fill(group: _Group, tree: Tree, varied: Mapping[str, Floats], rows: Rows, results: Floats) -> Rows:
    """Compute the formulas of an estimate for some rows, and their ranges; returns rows beyond one of its limits."""
    values = {}
    for name, column in varied.items():
        if _base(name) == name and name in tree.live and not np.isnan(column[rows]).all():
            ends = [varied[end][rows] if (end := f"{name}{side}") in varied else None for side in ("_low", "_high")]
            values[name] = _column(tree.nodes[tree.live[name]], column[rows], *ends)
    beyond, answered = np.zeros((len(group.limits), len(rows)), bool), len(group.answered)
    for number, (_, column) in tree.recomputed(values):
        if number < answered:
            place, (low, high) = group.answered[number], intervals(column)
            results[place, rows], results[place + 1, rows], results[place + 2, rows] = column[0], low, high
        else:
            beyond[number - answered] = column[0] > group.limits[number - answered]
    return rows[beyond.any(axis=0)]


def _column(node: Node, value: Floats, low: Floats | None, high: Floats | None) -> Moved:
    """An input as the rows give it, in the scenarios of its range; where they do not, as it was."""
    column = Moved(0, value[None])
    if node.bounds and node.bounds.factor and low is not None and high is not None:
        ranged = ~np.isnan(low) & ~np.isnan(high) & (value > 0)
        ends = np.where(ranged & (low > 0), low, value), np.where(ranged, high, value)
        column = Moved(1 << FACTORS.index(node.bounds.factor), np.array([value, *ends]))
    given = ~np.isnan(value)
    if given.all():
        return column
    factors = column.factors | node.was.factors
    return Moved(factors, np.where(given, column.beside(factors), node.was.beside(factors)))


def _chosen_by(answers: Iterable[Estimate]) -> frozenset[str]:
    return frozenset(key for answer in answers for key in answer.chosen_by)


def _base(name: str) -> str:
    """An input's name without _low or _high."""
    for end in ("_low", "_high"):
        if name.endswith(end) and name.removesuffix(end) in default_scenario().amounts:
            return name.removesuffix(end)
    return name


def _kind(name: str) -> str:
    """number, choice or other: what a column is."""
    if name.startswith("x_") or name in PASSED_ON:
        return "other"
    if name in QUESTION or name in default_scenario().choices:
        return "number" if name == "gpus" else "choice"
    return "number" if name == PRICE or _base(name) in default_scenario().amounts else ""


def _check_names(columns: Columns) -> None:
    for name in columns:
        if not _kind(name):
            known = (*QUESTION, PRICE, *default_scenario().names())
            remedy = "Columns are inputs (`estimator catalog inputs`); others need names that begin with x_."
            raise unknown_field("column", name, known, remedy)


class Words(NamedTuple):
    """A column of words: each that there is once (None where there is none), and by its place which a row has."""

    words: list[str | None]
    places: Rows

    def of(self, row: int) -> str | None:
        """A row's word."""
        return self.words[self.places[row]]


def _texts(column: Column) -> Words:
    """A column's words, blank ones as none."""
    values = column.tolist()
    try:
        known = {value: _text(value) for value in dict.fromkeys(values)}
    except TypeError:  # something that is no word, such as a list
        values = [_text(value) for value in values]
        known = {value: value for value in dict.fromkeys(values)}
    places = {word: place for place, word in enumerate(dict.fromkeys(known.values()))}
    at = {value: places[word] for value, word in known.items()}
    return Words([*places], np.fromiter(map(at.__getitem__, values), np.int64, len(values)))


def _text(value: object) -> str | None:
    text = f"{value:g}" if isinstance(value, float) else value
    return None if _missing(text) or text == "nan" else str(text)


def _missing(value: object) -> bool:
    """Nothing given: None, blank, NaN, or the NA of a data frame (which answers no question)."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value == "" or value != value


def _numbers(columns: Columns) -> tuple[dict[str, Floats], Errors]:
    """The numeric columns, NaN where nothing is given, and what is wrong with rows."""
    errors: Errors = {}
    numbers = {}
    for name, column in columns.items():
        if _kind(name) == "number":
            numbers[name] = _floats(name, column, errors)
            _check_bounds(name, numbers[name], errors)
    for name, low in numbers.items():
        base = _base(name)
        if name.endswith("_low") and base != name:
            _check_range(base, low, numbers.get(base), numbers.get(f"{base}_high"), errors)
    return numbers, errors


def _floats(name: str, column: Column, errors: Errors) -> Floats:
    if column.dtype.kind in "fiu":
        return column.astype(float)
    found = np.full(len(column), np.nan)
    for row, value in enumerate(column.tolist()):
        try:
            found[row] = np.nan if _missing(value) else _float(value)
        except (TypeError, ValueError, OverflowError):
            errors.setdefault(row, f"{name} must be a number, not {clipped(value)}")
    return found


def _float(value: Any) -> float:
    number = numeral(value) if isinstance(value, str) else float(value)
    if number is None or (isinstance(value, str) and number != number):
        raise ValueError(value)
    return number


def _check_bounds(name: str, column: Floats, errors: Errors) -> None:
    bounds = default_scenario().amounts.get(_base(name))
    least, most = (bounds.least, bounds.most) if bounds else LIMITS[name]
    wrong = (column < least) | (column > most)
    for row in np.flatnonzero(wrong).tolist():
        errors.setdefault(row, f"{name} must be between {least:g} and {most:g}, not {column[row]:g}")
    if bounds.whole if bounds else name == "gpus":
        for row in np.flatnonzero(np.isfinite(column) & (column != np.floor(column))).tolist():
            errors.setdefault(row, f"{name} must be a whole number, not {column[row]:g}")


def _check_range(name: str, low: Floats, value: Floats | None, high: Floats | None, errors: Errors) -> None:
    if value is None or high is None:
        raise InvalidInput(f"a range needs the columns {name}, {name}_low and {name}_high")
    given = ~np.isnan(low) & ~np.isnan(high)
    for row in np.flatnonzero(given & ~((low <= value) & (value <= high))).tolist():
        errors.setdefault(row, f"{name}: the range {low[row]:g} to {high[row]:g} does not hold {value[row]:g}")


def _alike(columns: Mapping[str, Words | Floats], rows: Rows) -> Iterator[Rows]:
    """The rows in groups with the same values in all columns."""
    codes = np.zeros(len(rows), dtype=np.int64)
    for column in columns.values():
        own = column.places[rows] if isinstance(column, Words) else np.unique(column[rows], return_inverse=True)[1]
        codes = codes * (int(own.max(initial=0)) + 1) + own
        if codes.max(initial=0) > MOST_CODES:
            codes = np.unique(codes, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    yield from (group for group in np.split(rows[order], edges) if len(group))


def columns_of(table: Any) -> tuple[dict[str, Column], int]:
    """A table's columns as arrays, and how many rows it has."""
    if isinstance(table, list):
        names = dict.fromkeys(name for row in table for name in row)
        return {name: _array([row.get(name) for row in table]) for name in names}, len(table)
    if hasattr(table, "column_names"):  # Arrow
        return {name: _arrow_array(table.column(name)) for name in table.column_names}, table.num_rows
    if hasattr(table, "columns"):  # pandas, polars
        return {str(name): _array(table[name].to_numpy()) for name in table.columns}, len(table)
    raise InvalidInput(f"a sweep takes a list of dicts, or a pandas, polars or Arrow table, not {type(table).__name__}")


def _array(values: Any) -> Column:
    found = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    return found if found.dtype.kind in "fiu" else found.astype(object)


def _arrow_array(column: Any) -> Column:
    kind = str(column.type)
    if kind.startswith(("int", "uint", "float", "double")):
        return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False))
    if kind == "string":
        try:  # numbers as text, as a CSV file has them; what is none, the word nan too, is said row by row
            _blank_as_null(column[:1]).cast("float64")  # refused by every word is slow, by the first soon enough
            found = _blank_as_null(column).cast("float64")
            values = np.asarray(found.to_numpy(zero_copy_only=False))
            if np.isnan(values).sum() == found.null_count:
                return values
        except ValueError:
            pass
    return _arrow_words(column) if kind == "string" else np.array(column.to_pylist(), dtype=object)


def _arrow_words(column: Any) -> Column:
    """Texts, of which each that there is becomes one object."""
    coded = column.combine_chunks().dictionary_encode()
    words = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(words[coded.indices.fill_null(len(words) - 1).to_numpy()])


def _blank_as_null(column: object) -> Any:
    import pyarrow.compute as compute

    return compute.if_else(compute.equal(column, ""), None, column)


def attached(table: Any, found: Mapping[str, Column]) -> Any:
    """The table with further columns, of the kind it was."""
    if isinstance(table, list):
        plain = {name: column.tolist() for name, column in found.items()}
        return [{**row, **{name: plain[name][index] for name in plain}} for index, row in enumerate(table)]
    if hasattr(table, "column_names"):
        for name, column in found.items():
            there = table.column_names.index(name) if name in table.column_names else None
            values = [column if column.dtype.kind == "f" else _arrow_texts(column)]
            table = table.append_column(name, values) if there is None else table.set_column(there, name, values)
        return table
    if hasattr(table, "assign"):
        return table.assign(**found)
    import polars

    texts = {"error": polars.Series("error", found["error"].tolist(), dtype=polars.String)}
    return table.with_columns(**{name: polars.Series(name, column) for name, column in found.items()} | texts)


def _arrow_texts(column: Column) -> object:
    import pyarrow

    return pyarrow.array(column, pyarrow.string(), from_pandas=False)
