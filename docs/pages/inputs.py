"""Every input, criterion and field of a plan: what it stands for unless given, what is accepted, and why."""

import math
from collections.abc import Iterable, Iterator
from itertools import groupby

from docs.pages.markdown import code, number, plain
from estimator.catalog.plan_fields import TITLES, PlanField, plan_fields
from estimator.decide.rules import Criterion, criteria
from estimator.predict.checked import choices
from estimator.scenario import Amount, Word, default_scenario

HEAD = """# Inputs

Every assumption that an answer rests on, with the value it has unless you give another: `--set NAME=VALUE` on the
command line, a keyword in Python, `NAME = VALUE` in a file for `--scenario`, a column of a table for `sweep`. A value
with a range is `LOW..VALUE..HIGH` (`--set samples=1k..2k..5k`) or `(low, value, high)` in Python.

"""
SECTIONS = {"rag": "RAG", "finetune": "Fine-tuning", "pretrain": "Pre-training", "distil": "Distillation"}
CRITERIA = """# Criteria of recommend

What `estimator recommend` asks beside the [inputs](inputs.md). A criterion that is not given decides nothing. Given
like an input: `--set failure_mode=knowledge`.

"""
PLANS = """# Fields of a plan

What `layout` takes with `--set`, and what `training_step`, `serving` and `layout` take in Python. A field that is open
is searched or chosen; what frameworks, trainers and engines call it is taken too, and said.

"""


def pages() -> dict[str, str]:
    """Inputs, criteria, plans."""
    return {"inputs": _inputs(), "criteria": CRITERIA + "".join(_criteria()), "plans": _plans()}


def _inputs() -> str:
    found = default_scenario()
    parts = [HEAD]
    for section, names in groupby(found.names(), key=found.sections.__getitem__):
        parts.append(f"## {SECTIONS.get(section, section.capitalize())}\n\n")
        parts += [_entry(name, found.amounts.get(name) or found.choices[name]) for name in names]
    return "".join(parts)


def _entry(name: str, entry: Amount | Word) -> str:
    facts = _amount(entry) if isinstance(entry, Amount) else _word(entry)
    also = f"also {', '.join(map(code, entry.aliases))}" if entry.aliases else ""
    return _definition(name, [*facts, also], entry.why)


def _amount(entry: Amount) -> Iterator[str]:
    ends = "" if entry.low is None or entry.low == entry.high else f" ({number(entry.low)} to {number(entry.high)})"
    yield f"**{number(entry.value)}{_unit(entry.unit)}**{ends}"
    yield _accepted(entry.least, entry.most, entry.whole)


def _word(entry: Word) -> Iterator[str]:
    yield f"**{plain(number(entry.value)) or 'none'}**"
    words = entry.choices or entry.families
    yield f"one of {', '.join(map(code, words))}" if words else ""


def _unit(unit: str) -> str:
    return "" if unit in ("", "1") else f" {plain(unit)}"


def _accepted(least: float, most: float, whole: bool) -> str:
    ends = (number(least if math.isfinite(least) else None), number(most if math.isfinite(most) else None))
    said = f"{ends[0]} to {ends[1]}" if all(ends) else f"at least {ends[0]}" if ends[0] else ""
    return f"takes {said}{', whole numbers' if whole else ''}" if said else ""


def _criteria() -> Iterator[str]:
    for name, one in criteria().items():
        yield _definition(name, _criterion(one), one.ask)


def _criterion(one: Criterion) -> Iterable[str]:
    value = "any" if one.value == math.inf else number(one.value)
    yield f"**{plain(value)}**"
    either = "yes or no" if isinstance(one.value, bool) else ""
    yield f"one of {', '.join(map(code, one.choices))}" if one.choices else either
    yield f"in {plain(one.unit)}" if one.unit else ""


def _plans() -> str:
    parts = [PLANS]
    for section, title in TITLES.items():
        parts.append(f"## {title[:1].upper()}{title[1:]}\n\n")
        parts += [_definition(name, _field(one), one.why) for name, one in plan_fields(section).items()]
    return "".join(parts)


def _field(one: PlanField) -> Iterable[str]:
    value = "must be given" if one.required else "open" if one.value is None else number(one.value)
    yield f"**{plain(value)}{_unit(one.unit) if value not in ('open', 'must be given') else ''}**"
    yield _accepted(one.least, one.most, one.whole) if one.kind in ("whole", "number") else ""
    words = choices(one)
    yield f"one of {', '.join(map(code, words))}" if words else "yes or no" if one.kind == "switch" else ""
    yield f"also {', '.join(map(code, one.aliases))}" if one.aliases else ""


def _definition(name: str, facts: Iterable[str], why: str) -> str:
    return f"### {code(name)}\n\n{' · '.join(filter(None, facts))}\n\n{_sentence(why)}\n\n"


def _sentence(text: str) -> str:
    shown = plain(text)
    return f"{shown[:1].upper()}{shown[1:]}."
