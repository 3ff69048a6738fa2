"""A server under load: how steps and prompts share an engine, in closed form. Floats or arrays throughout.

`step_s` is a decode step of all active sequences, `prompt_s` one prompt's pass, each without the other.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from estimator.formulas import queueing
from estimator.formulas.serving import continuous_requests_per_s

Floats = NDArray[np.float64]
Constants = Mapping[str, float]

MOST_USE = 0.98  # of the prompt server; a full one would queue forever


def prompts_per_pass(active: ArrayLike, output_tokens: ArrayLike, most: ArrayLike) -> Floats:
    """Prompts that share a pass when `active` slots are kept full [1]: those that come free in one step, at least one.

    most: prompts that fit in the tokens of one pass [1]
    """
    return np.clip(np.asarray(active, float) / output_tokens, 1.0, np.maximum(most, 1.0))


def closed_requests_per_s(
    active: ArrayLike, output_tokens: ArrayLike, prompt_s: ArrayLike, step_s: ArrayLike, stages: ArrayLike = 1.0
) -> Floats:
    """Requests per second with `active` always in flight [1/s]; pipeline stages work on prompts side by side."""
    return continuous_requests_per_s(active, output_tokens, np.asarray(prompt_s, float) / stages, step_s)


def interrupted_tpot_s(
    active: ArrayLike,
    output_tokens: ArrayLike,
    prompt_s: ArrayLike,
    step_s: ArrayLike,
    constants: Constants,
    deviations: float = 0.0,
) -> Floats:
    """Time per output token: a step, and the prompts that others bring meanwhile [s].

    In a closed loop each of the other requests starts once while this one decodes.
    deviations: standard deviations above the mean number of interruptions, which is Poisson
    """
    prompts = np.maximum(np.asarray(active, float) - 1.0, 0.0)
    prompts = prompts + deviations * np.sqrt(prompts)
    return np.asarray(step_s, float) + constants["interference"] * prompts * prompt_s / output_tokens


def closed_ttft_s(
    clients: ArrayLike,
    active: ArrayLike,
    output_tokens: ArrayLike,
    prompt_s: ArrayLike,
    step_s: ArrayLike,
    constants: Constants,
    stages: ArrayLike = 1.0,
) -> Floats:
    """Time to the first token in a closed loop [s].

    Its own prompt, the step in progress, prompts ahead (a share of requests starts together; the others queue as
    M/D/1), and for clients without a slot the wait for one.
    """
    clients, active, prompt = (np.asarray(value, float) for value in (clients, active, prompt_s))
    rate = closed_requests_per_s(active, output_tokens, prompt, step_s, stages)
    together = constants["burst"] * (active - 1.0) / 2.0 * prompt / stages
    queued = queueing.mg1_wait_s(np.minimum(rate, MOST_USE * stages / prompt) / stages, prompt)
    loaded = constants["first_token"] + step_s + together + queued
    return prompt + np.where(active > 1.0, loaded, 0.0) + (clients - active) / rate
