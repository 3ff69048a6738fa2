"""An engine of continuous batching, step by step, which knows no law of queues: what just these arrivals make of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Engine:
    """Costs of a server (`real_engine.Cost`) and tokens of an answer; time runs as it is fed."""

    def __init__(self, cost: Any, output: float) -> None:
        self.cost, self.output = cost, output
        self.now = 0.0
        self.waiting: list[list[float]] = []  # number of a request, tokens of its prompt that are not read yet
        self.running: list[list[float]] = []  # number, tokens written, when the first came

    def run(self, arrivals: Sequence[float], lengths: Sequence[int]) -> Floats:
        """Time to the first token and per token after it of each request [s], [request, 2]."""
        found, coming = np.zeros((len(arrivals), 2)), 0
        while coming < len(arrivals) or self.waiting or self.running:
            if not self.waiting and not self.running:
                self.now = max(self.now, arrivals[coming])
            while coming < len(arrivals) and arrivals[coming] <= self.now:
                self.waiting.append([coming, lengths[coming]])
                coming += 1
            self._step(lengths)
            for number, tokens, first in [one for one in self.running if one[1] >= self.output]:
                at = int(number)
                found[at] = first - arrivals[at] + self.cost.around_s, (self.now - first) / (tokens - 1)
            self.running = [one for one in self.running if one[1] < self.output]
        return found

    def _step(self, lengths: Sequence[int]) -> None:
        """A token for everybody, and as much of the prompts that wait as the budget and the slots leave room for."""
        left = self.cost.budget - len(self.running)
        ended: list[float] = []
        parts: list[tuple[float, float]] = []  # tokens of a prompt that were read before, and that are read now
        while self.waiting and left > 0 and len(self.running) + len(ended) < self.cost.slots:
            number, tokens = self.waiting[0]
            before, part = lengths[int(number)] - tokens, min(left, tokens)
            parts.append((before, part))
            left, self.waiting[0][1] = left - part, tokens - part
            if self.waiting[0][1] > 0:
                break
            ended.append(self.waiting.pop(0)[0])
        context = np.mean([lengths[int(one[0])] + one[1] for one in self.running]) if self.running else 0.0
        read = sum(part for _, part in parts)
        took = sum(self.cost.added_s(before + part, read) - self.cost.added_s(before, read) for before, part in parts)
        took += self.cost.pass_s if self.cost.beside and self.running and parts else 0.0
        self.now += took + float(self.cost.step_s(len(self.running), context))
        for one in self.running:
            one[1] += 1.0
        self.running += [[number, 1.0, self.now] for number in ended]
