"""Where a figure comes from: its formula with numbers put in, its inputs with source and date, down to facts."""

import inspect
import textwrap
from collections.abc import Iterable, Iterator

from estimator.catalog.cases import CaseKind
from estimator.export.formula_text import Expr, with_constants, written
from estimator.export.tables import WIDTH
from estimator.quantities import Quantity
from estimator.records import Source
from estimator.results import Estimate
from estimator.stages.question import SCENARIO_SOURCE
from estimator.text import human

HANG = "    "

DEEPEST = 40
LEGEND = (
    "Each figure: its value (range), then in brackets how well it is known (no better than the least known thing "
    "beneath it), what was computed, and where it comes from (how it was read, when). Beneath: the formula with its "
    "numbers put in, then what those numbers are."
)
FITTED = "by constants fitted to measured runs (calibration/README.md); the runs most like this one stand at the end"


def estimate_reasons(answer: Estimate) -> str:
    """The reasons behind every figure of an estimate, shared parts told once."""
    told: set[int] = set()
    blocks = [f"{answer.title}: where the figures come from", textwrap.fill(LEGEND, WIDTH)]
    for name, figure in answer.quantities():
        blocks.append("\n".join([name, *_tree(figure, 1, told)]))
    drivers = ", ".join(f"{factor} {share:.0%}" for factor, share in answer.drivers().items() if share >= 0.005)
    told_drivers = f"What makes the range of the total: {drivers or 'nothing uncertain'}"
    blocks.append(textwrap.fill(told_drivers, WIDTH, subsequent_indent=HANG))
    blocks += list(_measured_runs(answer))
    blocks.append("\n".join(["Sources", *citation_lines(answer.citations())]))
    return "\n\n".join(blocks)


def citation_lines(sources: Iterable[Source]) -> Iterator[str]:
    """Sources as a list, those that were read before those that were not, each once.

    >>> from estimator.records import Source
    >>> print(*citation_lines([Source("a survey", "recalled", "2023"), Source("its paper", date="2024-05")]), sep="\\n")
      - its paper (read, 2024-05)
      - a survey (recalled, 2023)
    """
    first = ("measured", "read", "derived", "read_secondary", "recalled", "given", "assumed")
    ranked = sorted(dict.fromkeys(sources), key=lambda one: first.index(one.kind) if one.kind in first else len(first))
    return (textwrap.fill(f"  - {one}", WIDTH, subsequent_indent=HANG) for one in ranked)


def _measured_runs(answer: Estimate) -> Iterator[str]:
    """The published runs most like this one, with the error of their own predictions."""
    from estimator.catalog.accelerators import accelerator
    from estimator.validation.nearest import nearest_runs

    machines = (node.inputs for node in answer.total_usd.walk() if node.predicted and "memory_bandwidth" in node.inputs)
    params = next((inputs["params"].value for inputs in machines), None)
    if not answer.accelerator or params is None:
        return
    device = accelerator(answer.accelerator)
    kinds: tuple[tuple[CaseKind, str], ...] = (("training", "training time"), ("inference", "serving"))
    for kind, what in kinds[0 if answer.training_s.value else 1 :]:
        runs = [f"  - {run}" for run in nearest_runs(kind, device, params)]
        lines = [textwrap.fill(run, WIDTH, subsequent_indent=HANG) for run in runs]
        yield "\n".join([f"Measured runs most like this one ({what})", *lines])


def reasons(figure: Quantity) -> str:
    """The tree of one figure.

    >>> from estimator.formulas.money import machine_usd
    >>> from estimator.quantities import derive, given
    >>> hours, price = given("device time", 7200.0, "s"), given("price", 2.0, "USD/h")
    >>> print(reasons(derive("cost", "USD", machine_usd, machine_s=hours, usd_per_hour=price)))
      cost = $4  [assumed: Price of machine time: machine_s device-seconds at usd_per_hour each]
        machine_usd: 7200/3600*2
        device time = 2 h  [assumed]
        price = 2 USD/h  [assumed]
    """
    return "\n".join(_tree(figure, 1, set()))


def _tree(figure: Quantity, depth: int, told: set[int]) -> Iterator[str]:
    if id(figure) in told and figure.inputs:
        yield _line(f"{figure.name} = {human(figure)}  (explained above)", depth)
        return
    told.add(id(figure))
    yield _line(f"{figure.name} = {human(figure)}  [{_basis(figure)}]", depth)
    if figure.formula and figure.inputs:
        yield _line(_with_numbers(figure), depth + 1)
        told_too = filter(None, (FITTED if figure.predicted else "", _cited(figure)))
        yield from (_line(words, depth + 1) for words in told_too)
    if depth < DEEPEST:
        for part in figure.inputs.values():
            yield from _tree(part, depth + 1, told)


def _line(text: str, depth: int) -> str:
    indent = "  " * depth
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + HANG, break_on_hyphens=False)


def _basis(figure: Quantity) -> str:
    """How well a figure is known, what was computed, and its sources."""
    if figure.formula and figure.inputs:
        return ": ".join(filter(None, (figure.basis, "; ".join(filter(None, (_first_sentence(figure), figure.note))))))
    if figure.sources == (SCENARIO_SOURCE,):
        return f"assumed by the default scenario: {figure.note}"
    known = "exact" if figure.basis == "analytic" else figure.basis
    return ": ".join([known, *filter(None, ["; ".join([*map(str, figure.sources), *filter(None, [figure.note])])])])


def _with_numbers(figure: Quantity) -> str:
    """The formula with the numbers in it, as arithmetic where it is no more than that."""
    name = getattr(figure.formula, "__name__", "formula")
    parts = {key: Expr(f"{part.value:.6g}", part.value) for key, part in figure.inputs.items()}
    found = written(figure.formula, parts) if figure.formula and figure.known else None
    if found is not None and "«" not in (text := with_constants(found.text, lambda value: f"{value:g}")):
        return f"{name}: {text}"
    return f"{name}({', '.join(f'{key} = {part.text}' for key, part in parts.items())})"


def _first_sentence(figure: Quantity) -> str:
    text = inspect.getdoc(figure.formula) or ""
    return text.split("\n", 1)[0].split(" [")[0].rstrip(".")


def _cited(figure: Quantity) -> str:
    lines = (inspect.getdoc(figure.formula) or "").splitlines()
    return next((line.strip() for line in lines if line.strip().startswith("Source")), "")
