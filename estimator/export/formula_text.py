"""Formulas as text: a formula is called with cells instead of numbers, and writes itself down.

An `Expr` is a piece of text and the value it comes to. Arithmetic, comparisons, `np.maximum`, `np.ceil` and the like
combine both, so that every formula in a workbook carries the right cached value. A formula that does anything else to
its arguments (loops, asks which is larger) cannot be written down, and its result enters as a number.

The text is a spreadsheet's, or the script of a page: the language comes with the cells.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from estimator.formulas import Floats, Real

COMPARE, ADD, MULTIPLY, POWER, ATOM = range(5)
INLINE = (0.0, 1.0, 2.0)  # numbers that are structure, not facts; all others become named cells
CONSTANT = re.compile(r"«k([^»]*)»")


class Language(NamedTuple):
    """How formulas are spelled. signs, calls: by the spreadsheet's own, where they are not its; choice: one of two."""

    name: str
    signs: Mapping[str, str]
    calls: Mapping[str, str]
    choice: str


SHEET = Language("sheet", {}, {"LOG2": "LOG({},2)", "ROUNDUP": "ROUNDUP({},0)"}, "IF({},{},{})")
SCRIPT = Language(
    "script",
    {"^": "**", "=": "==="},
    {
        **{name: f"Math.{name.lower()}({{}})" for name in ("MAX", "MIN", "SQRT", "EXP", "ABS", "LOG2")},
        "ROUNDUP": "Math.ceil({})",
        "INT": "Math.floor({})",
        "LN": "Math.log({})",
    },
    "({}?{}:{})",
)


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """Text of a formula with the value it comes to; level: how tightly its last operator binds.

    >>> a, b = Expr("A1", 3.0), Expr("B1", 4.0)
    >>> found = np.maximum((a + b) * 2, 1) / b
    >>> found.text, float(found.value)
    ('MAX((A1+B1)*2,1)/B1', 3.5)
    >>> a, b = Expr("a", 3.0, language=SCRIPT), Expr("b", 4.0, language=SCRIPT)
    >>> np.where(a < b, np.ceil(a) ** 2, b).text
    '(a<b?Math.ceil(a)**2:b)'
    """

    text: str
    value: Any
    level: int = ATOM
    language: Language = SHEET

    def __add__(self, other: object) -> "Expr":
        return self if _is(other, 0) else _joined("+", ADD, np.add, self, other)

    def __radd__(self, other: object) -> "Expr":
        return self if _is(other, 0) else _joined("+", ADD, np.add, other, self)

    def __sub__(self, other: object) -> "Expr":
        return self if _is(other, 0) else _joined("-", ADD, np.subtract, self, other)

    def __rsub__(self, other: object) -> "Expr":
        return _joined("-", ADD, np.subtract, other, self)

    def __mul__(self, other: object) -> "Expr":
        return self if _is(other, 1) else _joined("*", MULTIPLY, np.multiply, self, other)

    def __rmul__(self, other: object) -> "Expr":
        return self if _is(other, 1) else _joined("*", MULTIPLY, np.multiply, other, self)

    def __truediv__(self, other: object) -> "Expr":
        return self if _is(other, 1) else _joined("/", MULTIPLY, np.true_divide, self, other)

    def __rtruediv__(self, other: object) -> "Expr":
        return _joined("/", MULTIPLY, np.true_divide, other, self)

    def __pow__(self, other: object) -> "Expr":
        return _joined("^", POWER, np.power, self, other)

    def __rpow__(self, other: object) -> "Expr":
        return _joined("^", POWER, np.power, other, self)

    def __neg__(self) -> "Expr":
        return Expr(f"(-{_inside(self, POWER)})", np.negative(self.value), language=self.language)

    def __lt__(self, other: object) -> "Expr":
        return _joined("<", COMPARE, np.less, self, other)

    def __le__(self, other: object) -> "Expr":
        return _joined("<=", COMPARE, np.less_equal, self, other)

    def __gt__(self, other: object) -> "Expr":
        return _joined(">", COMPARE, np.greater, self, other)

    def __ge__(self, other: object) -> "Expr":
        return _joined(">=", COMPARE, np.greater_equal, self, other)

    def __eq__(self, other: object) -> "Expr":  # type: ignore[override]  # a formula, as NumPy's is an array
        return _joined("=", COMPARE, np.equal, self, other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a cell is neither true nor false before it is computed")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **_: object) -> "Expr":
        write = _UFUNCS.get(ufunc)
        if method != "__call__" or write is None:
            raise TypeError(f"{ufunc.__name__} has no spreadsheet form")
        written: Expr = write(*(expr(value) for value in inputs))
        return written

    def __array_function__(
        self, function: Callable[..., object], _: object, args: Sequence[object], __: object
    ) -> "Expr":
        if function is not np.where:
            raise TypeError(f"{function.__name__} has no spreadsheet form")
        return choose(*args)


def expr(value: Any) -> Expr:
    """A cell as it is; a number as a named constant, or inline where it is mere structure; text in quotes."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, str):
        return Expr('"' + value.replace('"', '""') + '"', value)
    number = float(value)
    return Expr(f"{number:g}" if number in INLINE else f"«k{number!r}»", number)


def choose(condition: object, then: object, otherwise: object) -> Expr:
    """IF: one of two, by a condition."""
    cells = [expr(part) for part in (condition, then, otherwise)]
    value, language = np.where(*(cell.value for cell in cells)), _language(cells)
    return Expr(language.choice.format(*(cell.text for cell in cells)), _scalar(*cells, value), language=language)


def called(name: str, function: Callable[..., object], *arguments: object) -> Expr:
    """A spreadsheet function of some cells, whatever it is called in their language; `function` computes the same."""
    cells = [expr(argument) for argument in arguments]
    language = _language(cells)
    text = language.calls.get(name, f"{name}({{}})").format(",".join(cell.text for cell in cells))
    return Expr(text, function(*(cell.value for cell in cells)), language=language)


def _language(cells: Iterable[Expr]) -> Language:
    """Numbers speak every language; what else there is speaks one."""
    return next((cell.language for cell in cells if cell.language is not SHEET), SHEET)


def span(first: str, values: Floats, last: str) -> Expr:
    """A range of cells."""
    return Expr(f"{first}:{last}", np.asarray(values))


def summed(cells: Iterable[Expr]) -> Expr:
    """The sum of some cells; 0 when there are none."""
    result: Expr | float = 0.0
    for cell in cells:
        result = result + cell
    return expr(result)


def written(formula: Callable[..., object], inputs: Mapping[str, Expr]) -> Expr | None:
    """The formula applied to cells; None when it has no spreadsheet form."""
    special = SPECIAL.get(f"{formula.__module__}.{formula.__name__}")
    try:
        with np.errstate(all="ignore"):
            return expr((special or formula)(**inputs))
    except (TypeError, ValueError):
        return None


def with_constants(text: str, name_of: Callable[[float], str]) -> str:
    """The text with a name in place of every constant."""
    return CONSTANT.sub(lambda found: name_of(float(found[1])), text)


def _joined(sign: str, level: int, function: Callable[..., object], left: object, right: object) -> Expr:
    left, right = expr(left), expr(right)
    own = min(level + 1, ATOM) if sign in "-/^<=>=" else level  # these do not associate to the right
    first, language = _inside(left, level + 1 if level in (POWER, COMPARE) else level), _language((left, right))
    text = f"{first}{language.signs.get(sign, sign)}{_inside(right, own)}"
    return Expr(text, function(left.value, right.value), level, language)


def _inside(cell: Expr, least: int) -> str:
    return cell.text if cell.level >= least else f"({cell.text})"


def _is(value: Any, number: float) -> bool:
    return not isinstance(value, Expr) and np.ndim(value) == 0 and float(value) == number


def _scalar(*parts: Any) -> Any:
    """The last of the parts; a plain value when no part before it is an array."""
    *cells, value = parts
    return value if any(np.ndim(cell.value) for cell in cells) else value[()]


def _replica_months(
    peak_requests_per_s: Expr,
    capacity_requests_per_s: Expr,
    target_utilisation: Expr,
    growth_per_month: Expr,
    months: Expr,
    least_replicas: Expr,
) -> Expr:
    """money.replica_months as one array sum over the column of months («months») of the Monthly sheet, or as a call."""
    from estimator.formulas import money

    value = money.replica_months(
        peak_requests_per_s.value,
        capacity_requests_per_s.value,
        target_utilisation.value,
        growth_per_month.value,
        months.value,
        least_replicas.value,
    )
    cells = (peak_requests_per_s, capacity_requests_per_s, target_utilisation, growth_per_month)
    if _language((*cells, months, least_replicas)) is SCRIPT:
        return _called("replicaMonths", value, *cells, months, least_replicas)
    at_least = _needed(*cells, least_replicas)
    return Expr(f"SUMPRODUCT((«months»<={months.text})*{at_least})", value)


def _called(name: str, value: Real, *cells: Expr) -> Expr:
    """A call of the page's own function."""
    return Expr(f"{name}({','.join(cell.text for cell in cells)})", float(value), language=SCRIPT)


def _spare_months(fleet: Expr, accelerators: Expr, months: Expr, growth_per_month: Expr, **load: Expr) -> Expr:
    """money.spare_months in the same way."""
    from estimator.formulas import money

    cells = {"fleet": fleet, "accelerators": accelerators, "months": months, "growth_per_month": growth_per_month}
    value = money.spare_months(**{name: cell.value for name, cell in {**cells, **load}.items()})
    if _language((*cells.values(), *load.values())) is SCRIPT:
        return _called("spareMonths", value, *cells.values(), *(load[name] for name in LOAD))
    spare = f"({fleet.text}-{accelerators.text}*{_needed(growth_per_month=growth_per_month, **load)})"
    return Expr(f"SUMPRODUCT((«months»<={months.text})*({spare}>0)*{spare})", value)


LOAD = ("peak_requests_per_s", "capacity_requests_per_s", "target_utilisation", "least_replicas")


def _needed(
    peak_requests_per_s: Expr,
    capacity_requests_per_s: Expr,
    target_utilisation: Expr,
    growth_per_month: Expr,
    least_replicas: Expr,
) -> str:
    """Replicas of every month, as an array."""
    load = peak_requests_per_s / (capacity_requests_per_s * target_utilisation)
    grown = f"{load.text}*(1+{growth_per_month.text})^(«months»-1)"
    needed, least = f"ROUNDUP({grown},0)", least_replicas.text
    return f"(({needed}>{least})*({needed}-{least})+{least})"


# The formulas that walk over months.
SPECIAL: dict[str, Callable[..., Expr]] = {
    "estimator.formulas.money.replica_months": _replica_months,
    "estimator.formulas.money.spare_months": _spare_months,
}

_UFUNCS: dict[object, Callable[..., Expr]] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.true_divide: lambda a, b: a / b,
    np.power: lambda a, b: a**b,
    np.negative: lambda a: -a,
    np.less: lambda a, b: a < b,
    np.less_equal: lambda a, b: a <= b,
    np.greater: lambda a, b: a > b,
    np.greater_equal: lambda a, b: a >= b,
    np.equal: lambda a, b: a == b,
    np.maximum: lambda a, b: called("MAX", np.maximum, a, b),
    np.minimum: lambda a, b: called("MIN", np.minimum, a, b),
    np.ceil: lambda a: called("ROUNDUP", np.ceil, a),  # loads and counts: never negative
    np.floor: lambda a: called("INT", np.floor, a),
    np.sqrt: lambda a: called("SQRT", np.sqrt, a),
    np.exp: lambda a: called("EXP", np.exp, a),
    np.log: lambda a: called("LN", np.log, a),
    np.log2: lambda a: called("LOG2", np.log2, a),
    np.absolute: lambda a: called("ABS", np.abs, a),
}
