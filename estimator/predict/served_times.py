"""What a load costs on a server that was measured without load: its own steps and prompts, not predicted ones."""

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.served_profile import MeasuredServer
from estimator.formulas import Floats

FEW = 8.0  # tokens of context at which a prompt of none would be answered [token]
DOUBT = {"ttft": np.log(1.3), "tpot": np.log(1.2), "latency": np.log(1.2), "rate": np.log(1.2)}  # of a law, 80 %


def step_s(server: MeasuredServer, sequences: ArrayLike, context: ArrayLike) -> Floats:
    """A decode step [s].

    >>> float(step_s(MeasuredServer("llm", (0.02, 0.001, 0.0), (0.03, 0.001, 0.0), 0.0), 10, 500))
    0.03
    """
    each = server.step[1] + server.step[2] * np.asarray(context, float)
    return np.asarray(server.step[0] + each * np.asarray(sequences, float))


def added_s(server: MeasuredServer, tokens: ArrayLike) -> Floats:
    """What a prompt adds to a step [s]."""
    length = np.asarray(tokens, float)
    return server.prompt[1] * length + server.prompt[2] * length**2


def around_s(server: MeasuredServer) -> Floats:
    """The way around the engine [s]: what a prompt of no tokens takes beyond a step."""
    return np.maximum(server.prompt[0] - step_s(server, 1.0, FEW), 0.0)


def passes_s(
    server: MeasuredServer, active: ArrayLike, prompt: ArrayLike, output: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """A prompt by itself, what it adds to a step, and a step of `active` sequences in mid-output [s]."""
    count, length, answer = np.broadcast_arrays(*(np.asarray(each, float) for each in (active, prompt, output)))
    added = added_s(server, length)
    return added + step_s(server, 1.0, length), added, step_s(server, count, length + answer / 2.0)
