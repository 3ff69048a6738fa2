"""What a load costs on a server that was measured without load: its own steps and prompts, not predicted ones."""

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.engines import Engine
from estimator.catalog.served_profile import MeasuredServer
from estimator.formulas import Floats
from estimator.predict.serving_load import Shares, Times, own_steps

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


def times(
    server: MeasuredServer,
    facts: Engine,
    active: ArrayLike,
    prompt: ArrayLike,
    output: ArrayLike,
    budget: float,
    computed: ArrayLike,
) -> Times:
    """Costs with `active` sequences in a step of `budget` tokens at most; computed: times each prompt is [1].

    What a prompt takes from the others goes by its engine: what it adds to a step, or a pass of its own.
    """
    every = (np.asarray(each, float) for each in (active, prompt, output, computed))
    count, length, answer, again = np.broadcast_arrays(*every)
    one, added = np.ones(count.shape), added_s(server, length)
    shares = Shares(
        prompts=one,
        computed=again,
        mixed=np.asarray(facts.scheduling == "mixed"),
        apart=np.asarray(facts.scheduling == "prompts-first"),
        turns=one * (facts.scheduling != "prompts-first"),
        drafted=one,
        output=np.array(answer),
        steps=own_steps(facts.scheduling, answer, count),
        stages=one,
        passes_of_all=np.maximum(np.ceil(count * length / budget - 1e-9), 1.0),
    )
    return shares.times(added + step_s(server, 1.0, length), added, step_s(server, count, length + answer / 2.0))
