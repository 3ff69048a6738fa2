"""A comparison as the steps of a spreadsheet: each figure once, with its formula as text where it has one.

Four kinds of step. *input*: a number the scenario or a price list gives. *fact*: a property of the LLM, the accelerator
or the work. *physical*: what a predictor found (a rate, a memory size); it has no spreadsheet formula and enters as
numbers. *formula*: everything else, live. An input is *live* when no physical result rests on it and no layout or
cluster was chosen by it; only then may a reader change it and still have what Python would say.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from estimator.errors import InvalidInput
from estimator.export.formula_text import SHEET, Expr, Language, with_constants, written
from estimator.quantities import FACTORS, Quantity
from estimator.results import Comparison, Estimate
from estimator.scenario import Amount
from estimator.stages.live import bounds_of, model_error

Kind = Literal["input", "fact", "physical", "formula"]


@dataclass(slots=True, eq=False)
class Step:
    """One row of the calculation. key: the input's name in the scenario, or a price's own; cell: its reference."""

    node: Quantity
    kind: Kind
    cell: Expr
    formula: Expr | None = None
    key: str = ""
    live: bool = False
    bounds: Amount | None = None

    @property
    def factor(self) -> str:
        """What makes an input uncertain; empty where nothing does."""
        return self.bounds.factor if self.bounds else ""

    @property
    def how(self) -> str:
        """What the step does, in the formula's own words, or where the number comes from."""
        if self.kind == "formula":
            return (inspect.getdoc(self.node.formula) or self.node.name).split("\n", 1)[0]
        if self.kind == "physical":
            return f"predicted; {self.node.note}" if self.node.note else "predicted from the LLM and the hardware"
        return "; ".join(filter(None, (*map(str, self.node.sources), self.node.note)))


class Steps:
    """All steps that some figures rest on; «n» in a formula is step n, «kX» the constant X. language: of formulas."""

    def __init__(self, comparison: Comparison, language: Language = SHEET) -> None:
        answers = [answer for answer in comparison.estimates if isinstance(answer, Estimate)]
        self._language = language
        self._chosen_by = frozenset(key for answer in answers for key in answer.chosen_by)
        self.steps: list[Step] = []
        self.constants: dict[float, str] = {}
        self._numbers: dict[int, int] = {}  # of a figure
        self._alike: dict[object, int] = {}  # of figures that are computed alike
        self._kept: list[Quantity] = []  # so that no identity is used twice
        self._fixed: set[int] = set()  # figures that a physical result rests on
        for answer in answers:
            for figure in figures(answer):
                self.number(figure)
        self._settle()

    def number(self, figure: Quantity) -> int:
        """The step of a figure; added with all it rests on when it is new."""
        if id(figure) not in self._numbers:
            if figure.design.sampled:
                raise InvalidInput("a workbook needs the one-at-a-time design: leave `design` out")
            self._kept.append(figure)
            self._numbers[id(figure)] = self._added(figure)
        return self._numbers[id(figure)]

    def step(self, figure: Quantity) -> Step:
        """The step of a figure."""
        return self.steps[self.number(figure)]

    def factors(self) -> list[str]:
        """The factors that move anything here, or would if a reader gave a live input a range."""
        moved = np.zeros(2 * len(FACTORS), bool)
        for step in self.steps:
            column = step.node.column
            moved |= np.abs(column[1:] - column[0]) > 0
        either = moved[: len(FACTORS)] | moved[len(FACTORS) :]
        offered = {step.factor for step in self.steps if step.live}
        return [name for name, moves in zip(FACTORS, either, strict=True) if moves or name in offered]

    def of_kind(self, *kinds: Kind) -> Iterator[tuple[int, Step]]:
        """The steps of some kinds with their numbers, in the order they were found."""
        return ((number, step) for number, step in enumerate(self.steps) if step.kind in kinds)

    def _added(self, figure: Quantity) -> int:
        kind = _kind(figure)
        parts = {} if kind != "formula" else {name: self.number(part) for name, part in figure.inputs.items()}
        alike = _identity(figure, kind, parts)
        if alike not in self._alike:
            self._alike[alike] = self._appended(figure, kind, parts)
        return self._alike[alike]

    def _appended(self, figure: Quantity, kind: Kind, parts: dict[str, int]) -> int:
        formula = None
        if kind == "formula" and figure.formula:
            formula = written(figure.formula, {name: self.steps[number].cell for name, number in parts.items()})
            formula = None if formula is None else self._corrected(figure, formula)
            kind = "physical" if formula is None else "formula"
        if kind == "physical":
            self._fixed |= {id(node) for node in figure.walk()}
        if formula is not None and figure.formula:
            self._name_constants(formula.text, figure.formula)
        number = len(self.steps)
        step = Step(figure, kind, Expr(f"«{number}»", figure.column, language=self._language), formula)
        if kind == "input":
            step.key, step.bounds = _rate(figure) if _is_rate(figure) else (figure.key, bounds_of(figure))
        self.steps.append(step)
        return number

    def _corrected(self, figure: Quantity, formula: Expr) -> Expr | None:
        """The formula, times the error of a model where the figure has one; None when it is not how the value came."""
        error = model_error(figure, formula.value)
        if error is None or (error == 1).all():
            return None if error is None else formula
        ratio = Quantity(f"error of the model: {figure.name}", "1", error, figure.design, "published")
        return formula * self.steps[self.number(ratio)].cell

    def _name_constants(self, text: str, formula: Callable[..., object]) -> None:
        known = {
            float(value): name
            for name, value in vars(inspect.getmodule(formula)).items()
            if name.isupper() and isinstance(value, int | float)
        }
        with_constants(text, lambda value: self.constants.setdefault(value, constant_name(value, known)))

    def _settle(self) -> None:
        """Which inputs a reader may change."""
        fixed_alike = {self._numbers[identity] for identity in self._fixed if identity in self._numbers}
        for number, step in self.of_kind("input"):
            step.live = (
                number not in fixed_alike and id(step.node) not in self._fixed and step.key not in self._chosen_by
            )


ROUND = {1e-3: "THOUSANDTH", 1e3: "THOUSAND", 1e6: "MILLION", 1e9: "BILLION", 1e12: "TRILLION"}


def constant_name(value: float, known: Mapping[float, str] = ROUND) -> str:
    """A constant by the name it has in its formula's module; round numbers by their own, whatever they count.

    >>> constant_name(1e6), constant_name(3600.0, {3600.0: "SECONDS_PER_HOUR"}), constant_name(4.0)
    ('MILLION', 'SECONDS_PER_HOUR', 'constant_4')
    """
    return ROUND.get(value) or known.get(value, f"constant_{value:g}")


def figures(answer: Estimate) -> Iterator[Quantity]:
    """Every figure of an estimate that a workbook shows."""
    yield from (figure for _, figure in answer.quantities())
    for line in answer.lines:
        yield from (line.quantity, line.unit_price, line.usd, line.horizon_quantity, line.horizon_usd)


def _kind(figure: Quantity) -> Kind:
    if figure.predicted:
        return "physical"
    if figure.formula is not None and figure.inputs:
        return "formula"
    return "input" if figure.key or _is_rate(figure) else "fact"


def _is_rate(figure: Quantity) -> bool:
    """Whether the figure is what a dollar is worth in the workbook's currency."""
    return figure.unit.endswith("/USD") and not figure.inputs


def _rate(figure: Quantity) -> tuple[str, Amount]:
    why = "what the figures of this workbook are converted at; prices and pay above stay in dollars"
    return f"rate_{figure.unit.partition('/')[0]}_per_usd", Amount(figure.value, figure.unit, 1e-6, 1e9, why)


def _identity(figure: Quantity, kind: Kind, parts: dict[str, int]) -> object:
    if kind == "formula":
        return figure.formula, tuple(parts.items()), figure.column.tobytes()
    return kind, figure.key or figure.name, figure.unit, figure.column.tobytes()
