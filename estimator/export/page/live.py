"""What makes a report recalculate: the steps of a workbook, written as script by the same derivation.

Every leaf (input, fact, physical result) enters as numbers in every scenario; every other step is one line of script.
An input that a workbook may change may be moved here too, with its range; all that rests on it follows.
"""

import json
from typing import Any

import numpy as np

from estimator.export.formula_text import SCRIPT, with_constants
from estimator.export.workbook.book import given_ends
from estimator.export.workbook.steps import Step, Steps
from estimator.pricing import PRICE
from estimator.quantities import FACTORS, Quantity, reach
from estimator.results import Comparison
from estimator.scenario import default_scenario
from estimator.text import COUNTED, EMISSIONS, HOURS, PREFIXES, SI_PREFIXES, SI_UNITS, TIME_UNITS, WATT_HOURS


class Recalculation:
    """The script and the data of one comparison; figures have the number of their step."""

    def __init__(self, comparison: Comparison) -> None:
        self.steps = Steps(comparison, SCRIPT)
        self._level = comparison.level
        self._shown: dict[int, str] = {}

    def number(self, figure: Quantity) -> int:
        """The number by which the page finds a figure."""
        number = self.steps.number(figure)
        self._shown[number] = figure.unit
        return number

    def inputs(self) -> list[tuple[int, Step]]:
        """What may be moved: every live input whose value is known."""
        found = self.steps.of_kind("input")
        return [(number, step) for number, step in found if step.live and step.bounds and step.node.known]

    def script(self) -> str:
        """Every formula as a function of the values before it, in the order in which they are computed."""
        lines = [
            f"[{number},c=>{self._spelled(step.formula.text)}]"
            for number, step in enumerate(self.steps.steps)
            if step.formula is not None
        ]
        return "const FORMULAS=[\n" + ",\n".join(lines) + "\n];"

    def _spelled(self, text: str) -> str:
        with_numbers = with_constants(text, repr)
        return with_numbers.replace("«", "c[").replace("»", "]")

    def data(self) -> str:
        """All numbers, as JSON that may stand in a page."""
        held: dict[str, Any] = {
            "steps": len(self.steps.steps),
            "factors": len(FACTORS),
            "stretch": reach(self._level),
            "leaves": [
                self._leaf(number, step) for number, step in enumerate(self.steps.steps) if step.formula is None
            ],
            "inputs": {number: self._input(step) for number, step in self.inputs()},
            "figures": self._shown,
            "words": WORDS,
        }
        return json.dumps(held, separators=(",", ":"), allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")

    def _leaf(self, number: int, step: Step) -> list[object]:
        """A number as expected, and where it is another one in a scenario; unknown is null."""
        column = step.node.column
        others = {int(place): _known(column[place]) for place in np.flatnonzero(column != column[0]) if place}
        return [number, _known(column[0]), others] if others else [number, _known(column[0])]

    def _input(self, step: Step) -> dict[str, object]:
        bounds = step.bounds
        if bounds is None:
            raise ValueError(step.key)
        ends = given_ends(step)
        factor = FACTORS.index(step.factor) if step.factor else None
        return {
            "key": step.key,
            "option": OPTIONS.get(step.key) or (f"--set {step.key}=" if step.key in default_scenario().amounts else ""),
            "value": ends["value"],
            "low": _known(ends["low"]),
            "high": _known(ends["high"]),
            "least": bounds.least,
            "most": bounds.most,
            "whole": bounds.whole,
            "factor": factor,
        }


OPTIONS = {PRICE: "--price-per-hour "}  # of the command, for what is no input of the scenario


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# How figures are written: the tables of estimator.text, for the same rules in script.
WORDS: dict[str, Any] = {
    "time": TIME_UNITS,
    "si": SI_PREFIXES,
    "money": PREFIXES,
    "hours": HOURS,
    "emissions": EMISSIONS,
    "energy": WATT_HOURS,
    "siUnits": SI_UNITS,
    "counted": COUNTED,
}
