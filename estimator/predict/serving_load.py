"""A server under load: which passes its engine makes, and how steps and prompts share it, in closed form.

Counting (`Load`) knows one architecture and plan; the formulas below it take times, floats or arrays alike.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, queueing
from estimator.formulas.serving import Pass, continuous_requests_per_s, forward_pass
from estimator.predict.serving_machine import ServingPlan
from estimator.records import Architecture

Constants = Mapping[str, float]

Sizes = tuple[ArrayLike, ArrayLike, Floats]  # of a pass: new tokens of a sequence, those before them, sequences

STARTS = {"mixed": "together_mixed", "prompts-first": "together_first"}  # the constant of each kind of scheduling
MOST_USE = 0.98  # of the prompt server; a full one would queue forever


class Load(NamedTuple):
    """One kind of request on one replica: `prompt` tokens of which `cached` are in a prefix cache, `output` tokens."""

    arch: Architecture
    plan: ServingPlan
    prompt: Floats
    output: Floats
    cached: Floats

    @property
    def new(self) -> Floats:
        """Tokens of the prompt that must be computed: at least the last [token]."""
        return np.maximum(self.prompt - self.cached, 1.0)

    def stages(self, active: ArrayLike) -> Floats:
        """Pipeline stages that work side by side, each on its share of the sequences [1]."""
        if self.plan.facts.layer_split:
            return np.ones(np.shape(active))
        return np.where(np.asarray(active, float) >= self.plan.pp, float(self.plan.pp), 1.0)

    def passes(self, short: ArrayLike) -> Floats:
        """Times all replicas of the attention stand still for a prompt's tokens [1]: each reads its own side by side.

        short: whether more requests wait than the cache has room for. Then an engine that preempts fills what a
        finished request frees, takes it back for the growth of those that run on until the next one ends, and computes
        about as many tokens anew as a request puts out.
        """
        computed = 1.0 + np.where(short, self.plan.facts.preempts * self.output / self.new, 0.0)
        return computed / self.plan.layout.attention_replicas

    def step_pass(self, active: ArrayLike) -> Pass:
        """A decode step in the middle of the output, as one stage and attention replica sees it."""
        return self._counted(*self._step(active))

    def batch_pass(self, batch: ArrayLike) -> Pass:
        """The prompts of a static batch together, as one stage and attention replica sees them."""
        count = np.asarray(batch, float) / self.stages(batch) / self.plan.layout.attention_replicas
        return self._counted(*self._prompts(count))

    def shared_pass(self, active: ArrayLike) -> Pass:
        """The prompts that one step admits on an attention replica while `active` slots are kept full."""
        return self._counted(*self._shared(active))

    def shared_and_step_pass(self, active: ArrayLike) -> Pass:
        """Both side by side, so that they are timed at once [2, ...]."""
        sizes = np.empty((3, 2, *np.broadcast(active, self.prompt, self.output, self.cached).shape))
        for row, both in enumerate(zip(self._shared(active), self._step(active), strict=True)):
            sizes[row, 0], sizes[row, 1] = both
        return self._counted(*sizes)

    def _step(self, active: ArrayLike) -> Sizes:
        share = np.asarray(active, float) / self.stages(active) / self.plan.layout.attention_replicas
        return self.plan.draft_accepted_tokens, self.prompt + self.output / 2.0, share

    def _shared(self, active: ArrayLike) -> Sizes:
        most = self.plan.facts.prefill_chunk / self.new
        share = np.asarray(active, float) / self.plan.layout.attention_replicas
        return self._prompts(prompts_per_pass(share, self.output, most))

    def _prompts(self, count: Floats) -> Sizes:
        return self.new, np.clip(self.prompt - self.new, 0.0, self.cached), count

    def _counted(self, tokens: ArrayLike, context: ArrayLike, sequences: Floats) -> Pass:
        replicas = self.plan.layout.attention_replicas
        cache = self.plan.cache(self.arch).bytes
        return forward_pass(self.arch, tokens, context, np.maximum(sequences, 1.0), cache, replicas)


def prompts_per_pass(active: ArrayLike, output_tokens: ArrayLike, most: ArrayLike) -> Floats:
    """Prompts that share a pass when `active` slots are kept full [1]: those that come free in one step, at least one.

    most: prompts that fit in the tokens of one pass [1]
    """
    return np.clip(np.asarray(active, float) / output_tokens, 1.0, np.maximum(most, 1.0))


def batch_prefill_s(pass_s: ArrayLike, stages: ArrayLike) -> Floats:
    """Time for a whole batch's prompts through a pipeline that is filled and drained [s]; one stage: the pass itself.

    Source: arXiv:1811.06965 section 2.3 (s stages, m micro-batches: m + s - 1 slots), with as many of both.
    """
    count = np.asarray(stages, float)
    return np.asarray(np.asarray(pass_s, float) * (2.0 * count - 1.0) / count)


class Times(NamedTuple):
    """What a load costs [s]: `pass_s` a pass of prompts, `prompt_s` a prompt's share of it, `step_s` a decode step.

    together: share of requests that start at once: their prompts wait for each other instead of interrupting steps [1]
    """

    pass_s: Floats
    prompt_s: Floats
    step_s: Floats
    output: Floats
    stages: Floats
    together: Floats

    def requests_per_s(self, active: ArrayLike) -> Floats:
        """Requests per second with `active` always in flight [1/s]; stages work on prompts side by side."""
        return continuous_requests_per_s(active, self.output, self.prompt_s / self.stages, self.step_s)

    def tpot_s(self, active: ArrayLike, deviations: float = 0.0) -> Floats:
        """Time per output token: a step, and the prompts that others bring meanwhile [s].

        In a closed loop each of the other requests starts once while this one decodes, unless they start together.
        deviations: standard deviations above the mean number of interruptions, which is Poisson
        """
        prompts = np.maximum(np.asarray(active, float) - 1.0, 0.0)
        prompts = prompts + deviations * np.sqrt(prompts)
        return self.step_s + (1.0 - self.together) * prompts * self.prompt_s / self.output

    def closed_ttft_s(self, clients: ArrayLike, active: ArrayLike, constants: Constants) -> Floats:
        """Time to the first token in a closed loop [s].

        What client, tokeniser and HTTP take; its own prompt; beside others half of the step in progress and prompts
        ahead (a share of requests starts together; the rest queue as M/D/1); without a slot the wait for one.
        """
        active = np.asarray(active, float)
        rate, prompt = self.requests_per_s(active), self.prompt_s / self.stages
        together = self.together * (active - 1.0) / 2.0 * prompt
        queued = queueing.mg1_wait_s(np.minimum(rate, MOST_USE / prompt), prompt)
        ahead = np.where(active > 1.0, self.step_s / 2.0 + together + queued, 0.0)
        queued_for_slot = (np.asarray(clients, float) - active) / rate
        return np.asarray(constants["first_token"] + self.pass_s + ahead + queued_for_slot)
