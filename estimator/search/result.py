"""What a search returns: the best choice, the front, and why the runner-up lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.quantities import Quantity
from estimator.shown import SCHEMA_VERSION, Shown
from estimator.text import digits

TITLES = {  # figures, for people
    "run_s": "run",
    "usd": "cost",
    "memory_bytes": "memory of one",
    "fit_chance": "fits",
    "host_bytes": "host memory",
    "step_s": "step",
    "mfu": "MFU",
    "usd_per_hour": "cost per hour",
    "accelerators": "accelerators",
    "requests_per_s": "requests/s",
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
}
STORED = "weight_precision"  # by the name it was asked by; `precision` says the same for people
SAME = 1e-6  # relative: below it two choices cost the same


class Choice(NamedTuple):
    """One way to do it: on what, in which layout, and what comes of it.

    accelerators: of a run, or of one replica
    figures: by name with the unit in it, such as run_s, usd, memory_bytes; NaN is unknown
    ranges: 80 % intervals of figures
    parts: what the time of a step is made of [s], by name
    """

    accelerator: str
    accelerators: int
    layout: Mapping[str, int | str]
    figures: Mapping[str, float]
    parts: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]

    def text(self) -> str:
        """The layout in a few words."""
        several = int(self.layout.get("replicas", 1))
        where = f"{self.accelerators} x {self.accelerator}"
        words = [_word(name, value) for name, value in self.layout.items() if name != "replicas"]
        return f"{f'{several} replicas of ' if several > 1 else ''}{where}: {', '.join(filter(None, words))}"


WORDS = {
    "zero": "ZeRO-{}",
    "micro_batch": "micro-batch {}",
    "recompute": "{} recompute",
    "offload": "{} in host memory",
    "precision": "{}",
    "concurrency": "{} at once",
}
ALWAYS = ("tp", "dp", "micro_batch", "precision", "concurrency")


def _word(name: str, value: object) -> str:
    """One choice of a layout; nothing for what is not used."""
    unused = name == STORED or value in ("", "none") or (value == 0 if name == "zero" else value == 1)
    return "" if unused and name not in ALWAYS else WORDS.get(name, f"{name} {{}}").format(value)


@dataclass(frozen=True, slots=True, eq=False)
class Search(Shown):
    """All that was evaluated, reduced to what matters.

    front: the choices that no other beats in every one of `criteria`, best first, MOST_SHOWN at most
    criteria: figures in which less is better, the goal first
    asked: what was assumed of the work, such as tokens and batch; verdict: of training, how surely the best fits
    llm: of what model; each: the best on every kind of accelerator, where several were tried; prices: of their hours
    """

    best: Choice
    front: tuple[Choice, ...]
    runner_up: Choice | None
    evaluated: int
    fitting: int
    criteria: tuple[str, ...]
    asked: Mapping[str, object]
    notes: tuple[str, ...] = ()
    verdict: str = ""
    each: tuple[Choice, ...] = ()
    prices: Mapping[str, Quantity] = field(default_factory=dict)
    llm: str = ""

    def why(self) -> str:
        """What the runner-up loses by, and on what."""
        other = self.runner_up
        if other is None:
            return "no other layout fits"
        for name in self.criteria:
            least, its = self.best.figures[name], other.figures[name]
            behind = its / least - 1 if least else float(its > 0)
            if behind > SAME:
                same = "" if name == self.criteria[0] else f"as good in {titled(self.criteria[0])}, but "
                lost = self._lost(other) if name in ("run_s", "usd") else ""
                return f"the runner-up ({other.text()}) is {same}{_percent(behind)} behind in {titled(name)}{lost}"
        return f"the runner-up ({other.text()}) is as good"

    def _lost(self, other: Choice) -> str:
        """Where the other's accelerators spend more time, in parts of the best one's step."""
        whole = sum(self.best.parts.values()) * self.best.accelerators
        if not whole:
            return ""
        each, its = self.best.accelerators, other.accelerators
        more = {name: (other.parts[name] * its - self.best.parts[name] * each) / whole for name in self.best.parts}
        name = max(more, key=lambda key: more[key])
        words = name.removesuffix("_s").replace("_", " ")
        if more[name] <= SAME:
            return ": an hour of its accelerators costs more"
        return f": {words} takes {_percent(more[name])} of a step more"

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "asked": dict(self.asked),
            "best": _plain(self.best),
            "front": [_plain(choice) for choice in self.front],
            "runner_up": _plain(self.runner_up) if self.runner_up else None,
            "why": self.why(),
            "criteria": list(self.criteria),
            "evaluated": self.evaluated,
            "fitting": self.fitting,
            "notes": list(self.notes),
            "each": [_plain(choice) for choice in self.each],
            "prices": {name: price.to_dict() for name, price in self.prices.items()},
        }


def titled(name: str) -> str:
    """A figure's name for people."""
    return TITLES.get(name, name)


def _percent(share: float) -> str:
    return f"{digits(100 * share)} %" if share > 1e-3 else "under 0.1 %"


def _plain(choice: Choice) -> dict[str, object]:
    figures = {name: value if np.isfinite(value) else None for name, value in choice.figures.items()}
    ranges = {
        name: {"low": low, "high": high} for name, (low, high) in choice.ranges.items() if figures[name] is not None
    }
    plain = {**choice._asdict(), "text": choice.text(), "layout": dict(choice.layout), "parts": dict(choice.parts)}
    return plain | {"figures": figures, "ranges": ranges}


def front(criteria: Sequence[Floats]) -> NDArray[np.intp]:
    """Indices of the points no other beats in every criterion (all to be small), ordered by the first.

    What is not known (NaN) is never less than anything.

    >>> front([np.array([1.0, 2.0, 3.0, 2.0]), np.array([3.0, 2.0, 1.0, 4.0])]).tolist()
    [0, 1, 2]
    """
    points = np.nan_to_num(np.stack(criteria), nan=np.inf, posinf=np.inf)
    order = points.argsort(axis=1)
    ranks = np.empty_like(order)
    ranks[np.arange(len(points))[:, None], order] = np.arange(points.shape[1])
    left = np.argsort(ranks.sum(axis=0))  # likely winners first: each drops many
    columns, place = points[:, left], 0
    while place < len(left):
        it = columns[:, place, None]
        unbeaten = (columns < it).any(axis=0) | (columns == it).all(axis=0)
        left, columns = left[unbeaten], columns[:, unbeaten]
        place = int(unbeaten[: place + 1].sum())
    left = left[np.lexsort((left, order.sum(axis=0)[left]))]  # of equal points always the same is kept
    left = left[np.lexsort(points[::-1, left])]
    new = np.append(True, (points[:, left[1:]] != points[:, left[:-1]]).any(axis=0))
    return left[new[: len(left)]]
