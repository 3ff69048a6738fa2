"""What a check returns: a verdict for each kind of accelerators, what was read, and what would help."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from estimator.configs import Reading
from estimator.shown import SCHEMA_VERSION, Shown

SHORT = re.compile(r"\b(?:NVIDIA|GeForce|AMD|Intel|Google)\s+")  # left out of names where space is short
LIKELY = 0.5  # chance from which a run is said to fit
# Of memory and of the time of a step, in tables and pictures.
PART_TITLES = {
    "kv_cache": "KV cache of the longest request",
    "gathers": "gathered weights",
    "other_models": "other models beside it",
    "reserve": "allocator and context",
    "optimizer": "optimizer states",
    "master": "fp32 masters",
    "compute_s": "compute",
    "exposed_communication_s": "messages",
    "bubble_s": "pipeline bubble",
    "optimizer_s": "optimizer",
    "host_s": "host",
}


def part_title(name: str) -> str:
    """What a part is called.

    >>> part_title("gathers"), part_title("host_s"), part_title("weights")
    ('gathered weights', 'host', 'weights')
    """
    return PART_TITLES.get(name, name.replace("_", " "))


class Figure(NamedTuple):
    """A number with its 80 % range; NaN is not known."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether anybody knows it."""
        return self.value == self.value

    def to_dict(self) -> dict[str, float | None]:
        """Plain data."""
        return {name: getattr(self, name) if self.known else None for name in self._fields}


class Outcome(NamedTuple):
    """What a run comes to on some accelerators.

    fit_chance: that memory suffices [1]; memory: of the fullest accelerator by what holds it [B]; usable_bytes: of one
    figures: by name with the unit in it (run_s, step_s, usd, usd_per_hour, output_tokens_per_s, ...)
    parts: what the time of a step is made of [s]; plan: the fields that were settled; notes: what to mind
    """

    accelerator: str
    title: str
    count: int  # type: ignore[assignment]  # hides the method of tuples
    fit_chance: float
    memory: Mapping[str, float]
    usable_bytes: float
    figures: Mapping[str, Figure]
    parts: Mapping[str, float]
    plan: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it more likely fits than not."""
        return self.fit_chance >= LIKELY

    @property
    def hardware(self) -> str:
        """Such as "2 x RTX 4090"."""
        return f"{self.count} x {SHORT.sub('', self.title)}"

    def figure(self, name: str) -> Figure:
        """A figure by name; not known where there is none."""
        return self.figures.get(name, Figure(float("nan"), float("nan"), float("nan")))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "accelerator": self.accelerator,
            "count": self.count,
            "fits": self.fits,
            "fit_chance": self.fit_chance,
            "memory_bytes": dict(self.memory),
            "usable_bytes": self.usable_bytes,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "parts_s": dict(self.parts),
            "plan": dict(self.plan),
            "notes": list(self.notes),
        }


class Change(NamedTuple):
    """A change of the run and what it comes to. keys: in the tool's own words; sets: fields of the plan."""

    keys: str
    sets: Mapping[str, Any]
    outcome: Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Check(Shown):
    """A run configuration, checked. outcomes: cheapest that fits first; changes: of the first outcome."""

    task: str
    tool: str
    llm: str
    files: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    readings: tuple[Reading, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Outcome:
        """The cheapest that fits; where none does, the one that is nearest to it."""
        return self.outcomes[0]

    @property
    def stops(self) -> tuple[str, ...]:
        """Misspelt keys with which the tool does not start."""
        return tuple(one.key for one in self.readings if one.status == "stops")

    @property
    def runs(self) -> bool:
        """Whether it starts and likely fits."""
        return self.best.fits and not self.stops

    @property
    def fit_chance(self) -> float:
        """Chance that the best fits [1]."""
        return self.best.fit_chance

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "check",
            "task": self.task,
            "tool": self.tool,
            "llm": self.llm,
            "files": list(self.files),
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "changes": [{"keys": one.keys, "sets": dict(one.sets), **one.outcome.to_dict()} for one in self.changes],
            "readings": [_plain(reading) for reading in self.readings],
            "notes": list(self.notes),
        }

    def rows(self) -> Iterator[dict[str, object]]:
        """One row an outcome, those of the changes after them."""
        for one in self.outcomes:
            yield _row("", one)
        for change in self.changes:
            yield _row(change.keys, change.outcome)


def _plain(reading: Reading) -> dict[str, object]:
    value = reading.value
    kept = value if isinstance(value, str | int | float | bool | None) else str(value)
    return {**reading._asdict(), "value": kept[:200] if isinstance(kept, str) else kept}


COLUMNS = (
    "run_s",
    "step_s",
    "usd",
    "usd_per_hour",
    "tokens_per_s",
    "ttft_s",
    "tpot_s",
    "max_concurrency",
    "max_context",
)


def _row(change: str, outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {
        "accelerator": outcome.accelerator,
        "count": outcome.count,
        "change": change,
        "fits": outcome.fits,
        "fit_chance": outcome.fit_chance,
        "memory_bytes": sum(outcome.memory.values()),
        "usable_bytes": outcome.usable_bytes,
    }
    for name in COLUMNS:
        figure = outcome.figure(name)
        ends = (figure.value, figure.low, figure.high) if figure.known else ("", "", "")
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return row
