"""What a change does to time, money and memory: two run configurations, two scenarios, or two saved JSON answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from estimator.errors import EstimatorError, InvalidInput
from estimator.files import read_text, shown
from estimator.scenario import default_scenario, file_inputs
from estimator.shown import SCHEMA_VERSION, Shown
from estimator.verdict import check
from estimator.verdict.result import Outcome

FIGURES = ("run_s", "step_s", "usd", "need_bytes", "tokens_per_s", "ttft_s", "tpot_s", "output_tokens_per_s")
SAME = 1e-9  # relative: below it two figures are the same
MOST = 24  # changed figures of saved answers that are told
Numbers = Mapping[str, float]


class Factor(NamedTuple):
    """One thing that differs, and what it alone does. ratios: of figures, after over before [1]."""

    name: str
    before: Any
    after: Any
    ratios: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Difference(Shown):
    """Two answers beside each other. before, after: figures by name; factors: what differs, each alone."""

    what: str
    before: Numbers
    after: Numbers
    factors: tuple[Factor, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "difference",
            "what": self.what,
            "before": dict(self.before),
            "after": dict(self.after),
            "factors": [{**factor._asdict(), "ratios": dict(factor.ratios)} for factor in self.factors],
            "notes": list(self.notes),
        }

    def rows(self) -> Iterator[dict[str, object]]:
        """One row a figure."""
        for name, before in self.before.items():
            after = self.after.get(name)
            yield {"figure": name, "before": before, "after": after, "ratio": ratio(before, after)}


def ratio(before: float | None, after: float | None) -> float | None:
    """After over before [1]; None where either is not known."""
    known = before is not None and after is not None and before == before and after == after and before != 0
    return after / before if known and before and after is not None else None


def difference(
    first: str | Path, second: str | Path, beside: Sequence[str | Path] = (), stage: str = "finetune", **asked: Any
) -> Difference:
    """What the second does otherwise than the first.

    first, second: two run configurations, two scenarios (TOML), or two answers saved as JSON
    beside: files that go with both; stage: of scenarios; asked: as for `check`, or for `estimate` of scenarios
    Raises EstimatorError in one line.
    """
    saved = [_saved(path) for path in (first, second)]
    if all(saved):
        return _of_answers(shown(first), shown(second), saved)
    if any(saved):
        raise InvalidInput(f"one of {shown(first)} and {shown(second)} is a saved answer, the other is not")
    if all(map(_is_scenario, (first, second))):
        return _of_scenarios(first, second, stage, asked)
    return _of_runs(first, second, beside, asked)


# --- run configurations -----------------------------------------------------------------------------------------------


def _of_runs(
    first: str | Path, second: str | Path, beside: Sequence[str | Path], asked: Mapping[str, Any]
) -> Difference:
    before, after = (check(path, *beside, **asked) for path in (first, second))
    if before.task != after.task:
        raise InvalidInput(f"{shown(first)} is for {before.task}, {shown(second)} for {after.task}: nothing compares")
    one, other = before.best, after.best
    names = [name for name in one.plan if one.plan[name] != other.plan.get(name) and name not in CHOSEN]
    factors = [_alone(name, first, beside, asked, one, other) for name in names]
    llm = () if before.llm == after.llm else (Factor("model", before.llm, after.llm, {}),)
    return Difference(
        f"{before.llm} on {one.hardware}, {after.llm} on {other.hardware}",
        _figures(one),
        _figures(other),
        (*llm, *factors),
        tuple(dict.fromkeys((*before.notes, *after.notes))),
    )


CHOSEN = ("accelerators", "longest_request")  # they follow from the rest


def _alone(
    name: str, path: str | Path, beside: Sequence[str | Path], asked: Mapping[str, Any], one: Outcome, other: Outcome
) -> Factor:
    """What a field of the second does in the first."""
    value = other.plan.get(name)
    try:
        found = check(path, *beside, **{**asked, name: value}).best
    except EstimatorError:  # it means nothing without the others
        return Factor(name, one.plan[name], value, {})
    before, after = _figures(one), _figures(found)
    pairs = {key: ratio(before[key], after.get(key)) for key in before}
    changed = {key: each for key, each in pairs.items() if each is not None and abs(each - 1) > 1e-3}
    return Factor(name, one.plan[name], value, changed)


def _figures(one: Outcome) -> dict[str, float]:
    found = {name: one.figure(name).value for name in FIGURES if one.figure(name).known}
    return {"fit_chance": one.fit_chance, **found}


# --- scenarios --------------------------------------------------------------------------------------------------------


def _is_scenario(path: str | Path) -> bool:
    """Whether a file is a scenario of ours: TOML, and its names are inputs."""
    if not str(path).lower().endswith(".toml"):
        return False
    try:
        names = {name.rpartition(".")[2] for name in file_inputs(str(path))}
    except EstimatorError:
        return False
    usual = default_scenario()
    return bool(names) and names <= {*usual.amounts, *usual.choices}


def _of_scenarios(first: str | Path, second: str | Path, stage: str, asked: Mapping[str, Any]) -> Difference:
    from estimator.api import estimate

    told = {name: asked[name] for name in ("model", "gpu", "price") if asked.get(name) is not None}
    if isinstance(told.get("gpu"), list | tuple):
        told["gpu"] = told["gpu"][0]
    mine, its = (file_inputs(str(path)) for path in (first, second))
    before, after = (dict(_known(estimate(stage, scenario_file=str(path), **told))) for path in (first, second))
    factors = []
    for name in dict.fromkeys((*mine, *its)):
        if mine.get(name) == its.get(name):
            continue
        bare = name.rpartition(".")[2]
        value = its.get(name, _usual(bare))
        alone = dict(_known(estimate(stage, scenario_file=str(first), **{**told, bare: value})))
        factors.append(Factor(bare, mine.get(name, _usual(bare)), value, _ratios(before, alone)))
    return Difference(f"{stage}: {shown(first)} and {shown(second)}", before, after, tuple(factors))


HEADLINES = ("one_off_usd", "recurring_usd_per_month", "total_usd", "training_s", "peak_memory_bytes", "calendar_s")


def _known(answer: Any) -> Iterator[tuple[str, float]]:
    """The headline figures of an estimate."""
    for name, figure in answer.quantities():
        if name in HEADLINES and figure.known:
            yield name, float(figure.value)


def _usual(name: str) -> Any:
    usual = default_scenario()
    return usual.amounts[name].value if name in usual.amounts else usual.choices[name].value


def _ratios(before: Numbers, after: Numbers) -> dict[str, float]:
    pairs = {name: ratio(before[name], after.get(name)) for name in before}
    return {name: each for name, each in pairs.items() if each is not None and abs(each - 1) > 1e-3}


# --- saved answers ----------------------------------------------------------------------------------------------------


def _saved(path: str | Path) -> dict[str, Any] | None:
    """An answer that was saved as JSON; None for any other file."""
    if not str(path).lower().endswith(".json"):
        return None
    try:
        content = json.loads(read_text(path, "run configuration"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "schema_version" in content else None


def _of_answers(first: str, second: str, saved: Sequence[Any]) -> Difference:
    before, after = (dict(_flat(content, "")) for content in saved)
    changed = [name for name in before if name in after and abs(before[name] - after[name]) > SAME * abs(before[name])]
    lost = [name for name in (*before, *after) if (name in before) != (name in after)]
    notes = [f"{len(changed)} figures differ"]
    if lost:
        notes.append(f"{len(lost)} figures are in one answer alone, such as {lost[0]}")
    told = changed[:MOST]
    return Difference(
        f"{first} and {second}",
        {name: before[name] for name in told},
        {name: after[name] for name in told},
        (),
        tuple(notes),
    )


def _flat(content: Any, before: str) -> Iterator[tuple[str, float]]:
    """Numbers of an answer by their places, ranges and versions left out."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name not in ("schema_version", "low", "high", "ranges"):
                yield from _flat(value, f"{before}.{name}" if before else name)
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from _flat(value, f"{before}[{place}]")
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield before, float(content)
