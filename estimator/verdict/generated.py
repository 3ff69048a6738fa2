"""Answers that a trainer generates before it learns from them (GRPO, PPO): how long a step's take, by serving's law."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from estimator.errors import DoesNotFit
from estimator.predict.serving import Traffic, interval, serving, smallest_fit, traits
from estimator.predict.serving_machine import ServingPlan
from estimator.quantities import Quantity, given
from estimator.records import Architecture, Cluster

LEFT_OUT = "what generates the answers, and its time, is not counted in"


class Generation(NamedTuple):
    """What generates answers, and of which lengths [token]; rounds: steps that learn from the same answers [1]."""

    engine: str
    prompt_tokens: float
    output_tokens: float
    rounds: float


def generation(said: Mapping[str, Any]) -> Generation | None:
    """What generates, where files name an engine and both lengths; None where they do not."""
    engine, prompt, output = (said.get(name) for name in ("generator", "prompt_len", "part_len"))
    if not (engine and prompt and output):
        return None
    return Generation(str(engine), float(prompt), float(output), max(float(said.get("rounds") or 1), 1.0))


def generation_s(llm: Architecture, cluster: Cluster, asked: Generation, answers: float) -> Quantity | None:
    """Time of generating a step's answers on the accelerators that train [s]; None where they hold no replica.

    All are sent at once to as many replicas as there is room for, and are as long as they may be: the most it takes.
    """
    plan, device = ServingPlan(engine=asked.engine), cluster.accelerator
    try:
        tp = smallest_fit(llm, device, plan, context_tokens=asked.prompt_tokens + asked.output_tokens)
    except DoesNotFit:
        return None
    if tp > cluster.count:
        return None
    each = math.ceil(answers / (cluster.count // tp))
    replica = Cluster(device, tp, min(tp, cluster.per_node), cluster.host_bytes)
    traffic = Traffic(asked.prompt_tokens, asked.output_tokens, burst=each)
    found = serving(llm, replica, replace(plan, tp=tp), traffic)
    seconds = each / float(found.requests_per_s) / asked.rounds
    down, up = interval("offline", traits(llm, device, asked.engine))
    low, high = seconds * math.exp(-down), seconds * math.exp(up)
    return given("generation", seconds, "s", low=low, high=high, factor="serving throughput")
