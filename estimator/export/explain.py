"""Where a figure comes from: its formula with numbers put in, its inputs with source and date, down to facts."""

import inspect
from collections.abc import Iterator

from estimator.catalog.cases import CaseKind
from estimator.export.text import human
from estimator.quantities import Quantity
from estimator.results import Estimate

DEEPEST = 12


def estimate_reasons(answer: Estimate) -> str:
    """The reasons behind every figure of an estimate, shared parts told once."""
    told: set[int] = set()
    blocks = [f"{answer.title}: where the figures come from"]
    for name, figure in answer.quantities():
        blocks.append("\n".join([f"{name}", *_tree(figure, 1, told)]))
    drivers = ", ".join(f"{factor} {share:.0%}" for factor, share in answer.drivers().items() if share >= 0.005)
    blocks.append(f"What makes the range of the total: {drivers or 'nothing uncertain'}")
    blocks += list(_measured_runs(answer))
    blocks.append("Sources\n" + "\n".join(f"  - {source}" for source in answer.citations()))
    return "\n\n".join(blocks)


def _measured_runs(answer: Estimate) -> Iterator[str]:
    """The published runs most like this one, with the error of their own predictions."""
    from estimator.catalog.accelerators import accelerator
    from estimator.validation.nearest import nearest_runs

    params = next((node.value for node in answer.total_usd.walk() if node.name == "parameters"), None)
    if not answer.accelerator or params is None:
        return
    device = accelerator(answer.accelerator)
    kinds: tuple[tuple[CaseKind, str], ...] = (("training", "training time"), ("inference", "serving"))
    for kind, what in kinds[0 if answer.training_s.value else 1 :]:
        runs = "\n".join(f"  - {run}" for run in nearest_runs(kind, device, params))
        yield f"Measured runs most like this one ({what})\n{runs}"


def reasons(figure: Quantity) -> str:
    """The tree of one figure.

    >>> from estimator.formulas.money import machine_usd
    >>> from estimator.quantities import derive, given
    >>> hours, price = given("device time", 7200.0, "s"), given("price", 2.0, "USD/h")
    >>> print(reasons(derive("cost", "USD", machine_usd, machine_s=hours, usd_per_hour=price)))
      cost = $4  [assumed; Price of machine time: machine_s device-seconds at usd_per_hour each]
        machine_usd(machine_s = 7200, usd_per_hour = 2)
        device time = 2 h  [assumed]
        price = 2 USD/h  [assumed]
    """
    return "\n".join(_tree(figure, 1, set()))


def _tree(figure: Quantity, depth: int, told: set[int]) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{figure.name} = {human(figure)}  [{'; '.join(_basis(figure))}]"
    if id(figure) in told:
        if figure.inputs:
            yield f"{indent}  (explained above)"
        return
    told.add(id(figure))
    if figure.formula and figure.inputs:
        yield f"{indent}  {_call(figure)}"
        cited = _cited(figure)
        if cited:
            yield f"{indent}  {cited}"
    if depth < DEEPEST:
        for part in figure.inputs.values():
            yield from _tree(part, depth + 1, told)


def _basis(figure: Quantity) -> Iterator[str]:
    yield figure.basis
    if figure.formula:
        yield _first_sentence(figure)
    yield from (str(source) for source in figure.sources)
    if figure.note:
        yield figure.note


def _call(figure: Quantity) -> str:
    name = getattr(figure.formula, "__name__", "formula")
    return f"{name}({', '.join(f'{key} = {part.value:.6g}' for key, part in figure.inputs.items())})"


def _first_sentence(figure: Quantity) -> str:
    text = inspect.getdoc(figure.formula) or ""
    return text.split("\n", 1)[0].split(" [")[0].rstrip(".")


def _cited(figure: Quantity) -> str:
    lines = (inspect.getdoc(figure.formula) or "").splitlines()
    return next((line.strip() for line in lines if line.strip().startswith("Source")), "")
