"""What a search returns: the best choice, the front, and why the runner-up lost."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from estimator.export.text import digits
from estimator.formulas import Floats


class Choice(NamedTuple):
    """One way to do it: on what, in which layout, and what comes of it.

    figures: by name with the unit in it, such as step_s, usd, memory_bytes
    parts: what the time is made of [s], by name
    """

    accelerator: str
    accelerators: int
    layout: Mapping[str, Any]
    figures: Mapping[str, float]
    parts: Mapping[str, float]

    def text(self) -> str:
        """The layout in a few words."""
        shown = [f"{name} {value}" for name, value in self.layout.items() if value not in (1, 0, "", "none")]
        return f"{self.accelerators} x {self.accelerator}: {', '.join(shown) or 'no parallelism'}"


class Search(NamedTuple):
    """All that was evaluated, reduced to what matters.

    front: the choices that no other beats in every one of `criteria`, best first
    asked: what was assumed of the work, such as tokens and batch
    """

    best: Choice
    front: tuple[Choice, ...]
    runner_up: Choice | None
    evaluated: int
    fitting: int
    criteria: tuple[str, ...]
    asked: Mapping[str, Any]

    def why(self) -> str:
        """What the runner-up loses its time on."""
        other = self.runner_up
        if other is None:
            return "no other layout fits"
        slower = other.figures[self.criteria[0]] / self.best.figures[self.criteria[0]] - 1
        worse = {name: other.parts[name] - self.best.parts[name] for name in self.best.parts}
        if not worse or max(worse.values()) <= 0:
            return f"the runner-up ({other.text()}) is {slower:.1%} behind in {self.criteria[0]}"
        name = max(worse, key=lambda key: worse[key])
        return (
            f"the runner-up ({other.text()}) is {slower:.1%} behind in {self.criteria[0]}: "
            f"{digits(1000 * worse[name])} ms more {name.removesuffix('_s').replace('_', ' ')}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema_version": 1,
            "asked": dict(self.asked),
            "best": _plain(self.best),
            "front": [_plain(choice) for choice in self.front],
            "runner_up": _plain(self.runner_up) if self.runner_up else None,
            "why": self.why(),
            "evaluated": self.evaluated,
            "fitting": self.fitting,
        }

    def to_json(self) -> str:
        """JSON text with `schema_version`; what is not known is null."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        names = [name for name in self.best.figures if any(np.isfinite(c.figures[name]) for c in self.front)]
        rows = [[choice.text(), *(_shown(name, choice.figures[name]) for name in names)] for choice in self.front]
        header = ["layout", *(name.replace("_", " ") for name in names)]
        table = tabulate(rows, header, disable_numparse=True, maxcolwidths=[44, *[None] * len(names)])
        return (
            f"For {_listed(self.asked)}\n"
            f"Best of {self.evaluated:,} layouts ({self.fitting:,} fit): {self.best.text()}\n"
            f"Why not another: {self.why()}\n\nThe front of {', '.join(self.criteria)} (none is beaten in all)\n{table}"
        )


def _listed(asked: Mapping[str, Any]) -> str:
    """What was assumed, in one line."""
    shown = (
        f"{name} {value:,.6g}" if isinstance(value, float | int) else f"{name} {value}" for name, value in asked.items()
    )
    return ", ".join(shown)


def _plain(choice: Choice) -> dict[str, Any]:
    figures = {name: value if np.isfinite(value) else None for name, value in choice.figures.items()}
    return {**choice._asdict(), "layout": dict(choice.layout), "figures": figures, "parts": dict(choice.parts)}


def _shown(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "unknown"
    return f"{digits(value / 1e9)} GB" if name.endswith("_bytes") else digits(value)


def front(criteria: Sequence[Floats]) -> NDArray[np.intp]:
    """Indices of the points no other beats in every criterion (all to be small), ordered by the first.

    >>> front([np.array([1.0, 2.0, 3.0, 2.0]), np.array([3.0, 2.0, 1.0, 4.0])]).tolist()
    [0, 1, 2]
    """
    points = np.nan_to_num(np.stack(criteria, axis=1), nan=0.0)
    left = np.argsort(points.argsort(axis=0).sum(axis=1), kind="stable")  # likely winners first: each drops many
    place = 0
    while place < len(left):
        unbeaten = (points[left] < points[left[place]]).any(axis=1)
        unbeaten[place] = True
        left = left[unbeaten]
        place = int(unbeaten[: place + 1].sum())
    return left[np.lexsort(points[left].T[::-1])]
