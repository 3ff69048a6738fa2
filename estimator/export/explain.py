"""Where a figure comes from: its formula with numbers put in, what those numbers are, down to sourced facts.

A tree of what was computed, then the facts and assumptions it ends in, each once. Of a sum only the parts that matter
are followed, so that one figure fits a screen; nothing is left out where everything is asked for.
"""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from estimator.catalog.cases import CaseKind
from estimator.errors import UnknownName
from estimator.export.follows import follows
from estimator.export.formula_text import Expr, with_constants, written
from estimator.export.tables import WIDTH
from estimator.formulas import arithmetic
from estimator.quantities import Quantity
from estimator.records import Source
from estimator.results import Estimate
from estimator.stages.question import SCENARIO_SOURCE
from estimator.text import human

HANG = "    "
SCREEN = 60  # lines that one figure's reasons should fit
# Shares of a figure below which a part of it is only named: the first with which the reasons fit.
LEAST = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
HEADLINES = ("calendar_s", "one_off_usd", "monthly_usd", "total_usd")
EVERYTHING = "all"
# What a prediction by a module of predict/ rests on, and which measured runs are like it.
CONSTANTS: Mapping[str, tuple[str, CaseKind | None]] = {
    "training": ("calibration/fitted/training.json", "training"),
    "serving": ("calibration/fitted/serving.json", "inference"),
    "retrieval": ("calibration/fitted/retrieval.json", None),
}


@dataclass
class _Story:
    """What has been told. least: share of a figure below which a part of a sum is only named; facts: what it ends in"""

    least: float
    told: set[int] = field(default_factory=set)
    facts: dict[str, Quantity] = field(default_factory=dict)
    predicted: dict[str, None] = field(default_factory=dict)

    def tree(self, figure: Quantity, depth: int = 0, share: float = 1.0) -> Iterator[str]:
        """A computed figure, how, and what that rests on; facts are kept for the end."""
        if not (figure.formula and figure.inputs):
            self.facts[f"{figure.name}{figure.value}"] = figure
            return
        if id(figure) in self.told:
            return
        self.told.add(id(figure))
        if figure.predicted:
            self.predicted[_module(figure)] = None
        shares = self._shares(figure, share)
        small = [part for name, part in figure.inputs.items() if shares[name] < self.least]
        yield _line(f"{figure.name} = {human(figure)}", depth)
        yield from (_line(words, depth + 1) for words in _how(figure, small))
        for name, part in figure.inputs.items():
            if part not in small:
                yield from self.tree(part, depth + 1, shares[name])

    def _shares(self, figure: Quantity, share: float) -> dict[str, float]:
        """How much of the whole each input carries: as far as the figure follows it."""
        if figure.predicted or not figure.known or not self.least:
            return dict.fromkeys(figure.inputs, share)
        return {name: share * followed for name, followed in follows(figure).items()}


def reasons(figure: Quantity) -> str:
    """Where one figure comes from.

    >>> from estimator.formulas.money import machine_usd
    >>> from estimator.quantities import derive, given
    >>> hours, price = given("device time", 7200.0, "s"), given("price", 2.0, "USD/h")
    >>> print(reasons(derive("cost", "USD", machine_usd, machine_s=hours, usd_per_hour=price)))
    cost = $4
      price of machine time: 7200 [device time]/3600*2 [price]
    <BLANKLINE>
    It rests on
      device time = 2 h [assumed]
      price = 2 USD/h [assumed]
    """
    return "\n\n".join(_fitting([("", figure)], None))


def estimate_reasons(answer: Estimate, figures: Iterable[str] = ()) -> str:
    """Where figures of an estimate come from: those named, else the headline ones; `all` for every one."""
    known, asked = dict(answer.quantities()), tuple(figures)
    for name in asked:
        if name not in known and name != EVERYTHING:
            raise UnknownName("figure", name, known, f"Figures are {', '.join(known)}; or {EVERYTHING}.")
    parts = [_line(f"{answer.title} of {answer.llm} on {answer.hardware}: where figures come from", 0)]
    if EVERYTHING in asked:
        return "\n\n".join([*parts, *_told(list(known.items()), answer, 0.0)])
    if not asked:
        listed = f"Figures that can be explained (--explain FIGURE,...): {', '.join(known)}; or {EVERYTHING}."
        parts.append(textwrap.fill(listed, WIDTH, break_on_hyphens=False, break_long_words=False))
    return "\n\n".join([*parts, *_fitting([(name, known[name]) for name in asked or HEADLINES], answer)])


def _fitting(figures: list[tuple[str, Quantity]], answer: Estimate | None) -> list[str]:
    """As much as fits a screen for each figure."""
    told: list[str] = []
    for least in LEAST:
        told = _told(figures, answer, least)
        if sum(part.count("\n") + 2 for part in told) < SCREEN * len(figures):
            break
    return told


def _told(figures: list[tuple[str, Quantity]], answer: Estimate | None, least: float) -> list[str]:
    story, parts = _Story(least), []
    for name, figure in figures:
        tree = list(story.tree(figure)) or [f"{figure.name} = {human(figure)}"]
        parts.append("\n".join([*([_headed(name, figure)] if name else []), *tree]))
    facts = [_line(_fact(one, brief=least > 0), 1) for one in story.facts.values()]
    parts.append("\n".join(["It rests on", *facts]))
    if answer is not None:
        parts += _measured_runs(answer, story.predicted, brief=least > 0)
    if answer is not None and not least:
        parts.append("\n".join(["Sources", *citation_lines(answer.citations())]))
    return parts


def _headed(name: str, figure: Quantity) -> str:
    """A figure by name, and what makes its range."""
    drivers = ", ".join(f"{factor} {share:.0%}" for factor, share in _drivers(figure).items() if share >= 0.01)
    return _line(f"{name}. What makes the range: {drivers or 'nothing uncertain'}.", 0)


def _drivers(figure: Quantity) -> dict[str, float]:
    return {} if figure.design.sampled else figure.drivers()


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


def _measured_runs(answer: Estimate, predicted: Iterable[str], brief: bool) -> Iterator[str]:
    """The published runs most like this one, with the error of their own predictions."""
    from estimator.catalog.accelerators import accelerator
    from estimator.validation.nearest import nearest_runs

    machines = (node.inputs for node in answer.total_usd.walk() if node.predicted and "memory_bandwidth" in node.inputs)
    params = next((inputs["params"].value for inputs in machines), None)
    kinds = [kind for module in predicted for kind in [_constants(module)[1]] if kind]
    if not answer.accelerator or params is None:
        return
    for kind in kinds:
        runs = [f"  - {run}" for run in nearest_runs(kind, accelerator(answer.accelerator), params)]
        lines = [_shortened(run) if brief else textwrap.fill(run, WIDTH, subsequent_indent=HANG) for run in runs]
        yield "\n".join([f"Measured runs most like this one ({WORK[kind]})", *lines])


WORK = {"training": "training time", "inference": "serving"}


def _line(text: str, depth: int) -> str:
    indent = "  " * depth
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + HANG, break_on_hyphens=False)


def _shortened(text: str) -> str:
    indent = text[: len(text) - len(text.lstrip())]
    return indent + textwrap.shorten(text, WIDTH - len(indent), placeholder=" ...")


def _how(figure: Quantity, small: list[Quantity]) -> Iterator[str]:
    """How a figure was computed: in words where arithmetic does not say it, with its numbers, and by whom."""
    if figure.predicted:
        file = _constants(_module(figure))[0]
        yield f"predicted from {_listed(figure)}, by constants fitted to measured runs ({file})"
        if figure.note:
            yield figure.note
        return
    text, words = _arithmetic(figure, small), _words(figure)
    if text is None:
        yield f"{words or 'computed'}, from {_listed(figure)}"
    else:
        yield f"{words}: {text}" if words else text
    yield from filter(None, (_cited(figure), figure.note))


def _module(figure: Quantity) -> str:
    return figure.formula.__module__.rpartition(".")[2] if figure.formula else ""


def _constants(module: str) -> tuple[str, CaseKind | None]:
    topic = module.partition("_")[0]
    return CONSTANTS.get(topic, ("calibration/README.md", None))


def _arithmetic(figure: Quantity, small: list[Quantity]) -> str | None:
    """The formula as arithmetic with names behind its numbers; None where it is more than that."""
    if figure.formula is None or not figure.known:
        return None
    sums = figure.formula is arithmetic.sum_of
    big = {name: part for name, part in figure.inputs.items() if not sums or part not in small}
    found = written(figure.formula, {name: Expr(_number(part), part.value) for name, part in big.items()})
    if found is None or (not big and sums):
        return None
    text = with_constants(found.text, lambda value: f"{value:g}")
    if "«" in text or "IF(" in text:
        return None
    rest = sum(part.value for part in small)
    named = "; ".join(part.name.removesuffix(", horizon") for part in small if part.value)
    return text + (f"+{_plain(rest)} [smaller: {named}]" if named and sums else "")


def _number(part: Quantity) -> str:
    return f"{_plain(part.value)} [{part.name}]"


def _plain(value: float) -> str:
    """A number that can be reckoned with.

    >>> _plain(31510232.4), _plain(0.0306754321), _plain(4.14)
    ('31510232', '0.0306754', '4.14')
    """
    return f"{value:.0f}" if 1e5 <= abs(value) < 1e12 else f"{value:.6g}"


def _listed(figure: Quantity) -> str:
    return ", ".join(_number(part) for part in figure.inputs.values())


def _words(figure: Quantity) -> str:
    """What a formula computes, in plain words; nothing for mere arithmetic."""
    if figure.formula is None or figure.formula.__module__ == arithmetic.__name__:
        return ""
    text = (inspect.getdoc(figure.formula) or "").split("\n", 1)[0]
    text = re.split(r"[:\[.]", text, maxsplit=1)[0].strip()
    return text[:1].lower() + text[1:]


def _cited(figure: Quantity) -> str:
    lines = (inspect.getdoc(figure.formula) or "").splitlines()
    return next((line.strip() for line in lines if line.strip().startswith("Source")), "")


def _fact(figure: Quantity, brief: bool) -> str:
    """A fact or an assumption with how well it is known, and who says so."""
    scenario = figure.sources == (SCENARIO_SOURCE,)
    known = f"default scenario: {figure.note}" if scenario else _known(figure, brief)
    text = f"{figure.name} = {human(figure)} [{known}]"
    return textwrap.shorten(text, 2 * WIDTH - 12, placeholder=" ...]") if brief else text


def _known(figure: Quantity, brief: bool) -> str:
    basis = "exact" if figure.basis == "analytic" else figure.basis
    sources = [str(one) for one in figure.sources]
    if brief and len(sources) > 1:
        sources = [f"{sources[0]} and {len(sources) - 1} more"]
    said = "; ".join([*filter(None, [figure.note]), *sources])
    return f"{basis}: {said}" if said else basis
