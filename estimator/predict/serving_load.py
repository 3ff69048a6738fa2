"""A server under load: which passes its engine makes, and how steps and prompts share it, in closed form.

Counting (`Load`) knows one architecture and plan; the formulas below it take times, floats or arrays alike.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real, batching
from estimator.formulas.serving import Pass, continuous_requests_per_s, forward_pass
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.serving_memory import Cut
from estimator.records import Architecture

Constants = Mapping[str, float]

Sizes = tuple[ArrayLike, ArrayLike, Floats]  # of a pass: new tokens of a sequence, those before them, sequences

STARTS = {"mixed": "together_mixed", "beside": "together_first", "prompts-first": "together_first"}  # whose constant
ROUNDS = 8  # until the number of sequences and the steps of so many agree
STEPS_WAITED = 1.5  # until a first token: what is left of one, and its own
QUANTILES = (0.0, 1.2815515655446004, 2.3263478740408408)  # standard normal: half, 90 %, 99 %
SHARES = (0.5, 0.9, 0.99)


class Load(NamedTuple):
    """One kind of request on a replica: `prompt` tokens of which `cached` are in a prefix cache, `output` tokens.

    cut: of the replica, or of many that one plan is cut into, whose numbers are then arrays
    """

    arch: Architecture
    plan: ServingPlan
    cut: Cut
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
        return np.where(np.asarray(active, float) >= self.cut.pp, np.asarray(self.cut.pp, float), 1.0)

    def passes(self, short: ArrayLike) -> Floats:
        """Times all replicas of the attention stand still for a prompt's tokens [1]: each reads its own side by side.

        short: whether more requests wait than the cache has room for. Then an engine that preempts fills what a
        finished request frees, takes it back for the growth of those that run on until the next one ends, and computes
        about as many tokens anew as a request puts out.
        """
        computed = 1.0 + np.where(short, self.plan.facts.preempts * self.output / self.new, 0.0)
        return computed / self.cut.replicas

    def shares(self, active: ArrayLike, prompts: Floats, turns: Floats, short: ArrayLike = False) -> "Shares":
        """What makes times of a load from those of passes: `prompts` to a pass, which takes `turns` steps."""
        scheduling = self.plan.facts.scheduling
        most = np.asarray(active, float) * self.new / self.cut.step_tokens
        return Shares(
            prompts=prompts,
            computed=self.passes(short),
            mixed=np.asarray(scheduling == "mixed"),
            apart=np.asarray(scheduling == "prompts-first"),
            turns=turns * (scheduling != "prompts-first"),
            drafted=np.asarray(self.plan.draft_accepted_tokens),
            output=self.output,
            steps=own_steps(scheduling, self.output, active),
            stages=self.stages(active),
            passes_of_all=np.maximum(np.ceil(most - 1e-9), 1.0),
        )

    def step_pass(self, active: ArrayLike) -> Pass:
        """A decode step in the middle of the output, as one stage and attention replica sees it."""
        return self._counted(*self._step(active))

    def batch_pass(self, batch: ArrayLike) -> Pass:
        """The prompts of a static batch together, as one stage and attention replica sees them."""
        return self._counted(*self._batch(batch))

    def passes_of(self, active: ArrayLike, batch: bool = False) -> tuple[Pass, Floats]:
        """Side by side, to be timed at once [3, ...]: the prompts that one step admits, a step, and both together.

        While `active` slots are kept full; or all prompts of a static batch. With them the steps that both take [1].
        """
        shape = np.broadcast(active, self.prompt, self.output, self.cached).shape
        sizes = np.empty((3, 2, *shape))
        prompts = self._batch(active) if batch else self._shared(active)
        for row, both in enumerate(zip(prompts, self._step(active), strict=True)):
            sizes[row, 0], sizes[row, 1] = both
        tokens, _, sequences = sizes
        np.maximum(sequences, 1.0, out=sequences)
        turns = np.maximum(tokens[0] * sequences[0] / self.cut.step_tokens, 1.0)
        rows = tokens[0] * sequences[0] + turns * tokens[1] * sequences[1]
        joined = np.stack([*np.broadcast_arrays(1.0, 0.0, rows)])[:, None]
        found = self._counted(*np.concatenate([sizes, joined], axis=1))
        written = sequences[0] + turns * sequences[1]
        heads = np.asarray(found.head_flop)
        heads[2] *= written / rows
        counted = np.concatenate([sequences, written[None]])
        return found._replace(sequences=counted, head_flop=heads), turns

    def _step(self, active: ArrayLike) -> Sizes:
        share = np.asarray(active, float) / self.stages(active) / self.cut.replicas
        written = self.output if self.plan.facts.whole_length else self.output / 2.0
        return self.plan.verified_tokens, self.prompt + written, share

    def _batch(self, batch: ArrayLike) -> Sizes:
        return self._prompts(np.asarray(batch, float) / self.stages(batch) / self.cut.replicas)

    def _shared(self, active: ArrayLike) -> Sizes:
        most = self.cut.step_tokens / self.new
        share = np.asarray(active, float) / self.cut.replicas
        return self._prompts(prompts_per_pass(share, self.output, most))

    def _prompts(self, count: Floats) -> Sizes:
        return self.new, np.clip(self.prompt - self.new, 0.0, self.cached), count

    def _counted(self, tokens: ArrayLike, context: ArrayLike, sequences: Floats) -> Pass:
        count = np.maximum(sequences, 1.0)
        return forward_pass(self.arch, tokens, context, count, self.cut.cache_bytes, self.cut.replicas)


def own_steps(scheduling: str, output: Floats, active: ArrayLike) -> Floats:
    """Steps of a request [1], without the pass that reads its prompt and gives the first token.

    A mixed pass is a step of the others, one beside steps comes with a step of the others, if there are any.
    """
    count = np.maximum(np.asarray(active, float), 1.0)
    return np.asarray(output - {"mixed": 0.0, "beside": 1.0 / count}.get(scheduling, 1.0))


def prompts_per_pass(active: ArrayLike, output_tokens: ArrayLike, most: ArrayLike) -> Floats:
    """Prompts that share a pass when `active` slots are kept full [1]: those that come free in one step, if any do.

    most: prompts that fit in the tokens of one pass [1]
    """
    return np.clip(batching.free_together(active, output_tokens), 1.0, np.maximum(most, 1.0))


def batch_prefill_s(pass_s: ArrayLike, stages: ArrayLike) -> Floats:
    """Time for a whole batch's prompts through a pipeline that is filled and drained [s]; one stage: the pass itself.

    Source: arXiv:1811.06965 section 2.3 (s stages, m micro-batches: m + s - 1 slots), with as many of both.
    """
    count = np.asarray(stages, float)
    return np.asarray(np.asarray(pass_s, float) * (2.0 * count - 1.0) / count)


class Shares(NamedTuple):
    """How the times of passes are shared out among requests.

    prompts: to a pass [1]; computed: times each is [1]; mixed, apart: whether steps take them in, or wait for a pass of
    all that have come; turns: steps that one shares
    drafted: tokens of a step [token]; passes_of_all: that hold the prompts of all who are active [1]
    steps: of a request [1] (`own_steps`)
    """

    prompts: Floats
    computed: Floats
    mixed: Floats
    apart: Floats
    turns: Floats
    drafted: Floats
    output: Floats
    steps: Floats
    stages: Floats
    passes_of_all: Floats

    def times(self, alone: Real, added: Real, step: Real) -> "Times":
        """From the times of prompts by themselves, of what they add to steps, and of a step [s]."""
        more = np.where(self.apart, np.minimum(added, alone), np.where(self.mixed, added, alone))
        each, floor = more / self.prompts * self.computed, np.where(self.apart, alone - more, 0.0)
        token = np.asarray(step / self.drafted)
        own = np.asarray(self.turns * step)
        passes = np.asarray(alone), each, floor, self.prompts, token, own
        return Times(*passes, self.output, self.steps, self.stages, self.passes_of_all)


class Spread(NamedTuple):
    """A latency over the requests of a load: its mean and quantiles [s]."""

    mean: Floats
    p50: Floats
    p90: Floats
    p99: Floats

    @classmethod
    def even(cls, value: Floats) -> "Spread":
        """Alike for all."""
        return cls(value, value, value, value)

    @classmethod
    def above(
        cls, floor: Floats, mean: Floats, variance: Floats, later: Sequence[Floats | float] = (0.0, 0.0, 0.0)
    ) -> "Spread":
        """Never below the floor; later: what comes on top at each of the quantiles [3, ...]."""
        rest = np.maximum(mean - floor, 0.0)
        ends = (floor + batching.quantile(rest, variance, z) + more for z, more in zip(QUANTILES, later, strict=True))
        return cls(np.maximum(mean, floor), *ends)


class Answer(NamedTuple):
    """What the requests of a load meet: latencies [s], requests that end per second, and those in flight [1]."""

    ttft: Spread
    tpot: Spread
    requests_per_s: Floats
    active: Floats


class Times(NamedTuple):
    """What a load costs [s]: `pass_s` a pass of its prompts by themselves; `prompt_s` what one takes from the others,
    and `floor_s` a pass of them whatever their number; `step_s` a decode step; `beside_s` the steps a prompt shares.

    prompts: to a pass [1]; passes_of_all: steps that take in the prompts of all who are active [1]
    steps: of a request, the pass of its prompt left out where that is no step [1]
    """

    pass_s: Floats
    prompt_s: Floats
    floor_s: Floats
    prompts: Floats
    step_s: Floats
    beside_s: Floats
    output: Floats
    steps: Floats
    stages: Floats
    passes_of_all: Floats

    @property
    def each_s(self) -> Floats:
        """What a prompt takes from the others where stages work on prompts side by side [s]."""
        return (self.prompt_s + self.floor_s / self.prompts) / self.stages

    @property
    def first_s(self) -> Floats:
        """From the gate to the first token, others' prompts left out [s]."""
        return self.beside_s + self.floor_s + self.prompt_s

    def groups(self, active: Floats) -> Floats:
        """Prompts of all who are active come to their first tokens in so many groups [1]; one may take many passes."""
        return np.minimum(self.passes_of_all, np.maximum(active, 1.0))

    def at_rate(self, rate: Floats, most: ArrayLike = np.inf) -> "Times":
        """The same where as many prompts share a pass as come at random in the time of a step and a pass, if any do.

        most: who can be there at all [1]
        """
        cycle = (self.step_s + self.floor_s) / (1.0 - np.minimum(rate * self.prompt_s, batching.FULL))
        come = np.minimum(batching.come_together(rate * cycle), most)
        return self._replace(prompts=np.maximum(self.prompts, come))

    def gate(self, rate: Floats) -> batching.Gate:
        """What a prompt meets where so many come per second."""
        return batching.gated(rate, self.step_s + self.floor_s, self.prompt_s / self.stages)

    def requests_per_s(self, active: ArrayLike) -> Floats:
        """Requests per second with `active` always in flight [1/s]; one alone meets its own pass and steps."""
        several = continuous_requests_per_s(active, self.steps, self.each_s, self.step_s)
        return np.where(np.asarray(active) <= 1.0, 1.0 / (self.pass_s + (self.output - 1.0) * self.step_s), several)

    def round_s(self, active: ArrayLike) -> Floats:
        """Time of a request while `active` are in flight [s]: its own steps, and everybody's prompts."""
        return np.asarray(active, float) / self.requests_per_s(active)

    def rest_s(self, whole: Floats, ttft: Floats) -> Floats:
        """A token's share of what a request takes after its first [s]; at least a step."""
        return np.maximum((whole - ttft) / np.maximum(self.output - 1.0, 1.0), self.step_s)


def closed(cost: Times, clients: ArrayLike, active: Floats, path: Floats, together: ArrayLike) -> Answer:
    """A closed loop at rest: `active` of `clients` are served, who wait for nothing between two requests.

    together: share of them that start at once for ever, as loops of equal lengths do that began so [1]; the others
    meet the steps of requests in all phases
    """
    cost = cost.at_rate(cost.requests_per_s(active), active)
    rate = cost.requests_per_s(active)
    whole = active / rate
    gate = cost.gate(np.maximum(active - 1.0, 0.0) / (whole + path))
    alone = active <= 1.0
    most, only = np.maximum(whole, cost.pass_s), cost.output <= 1.0  # of one token: it is the whole answer
    spread = np.where(only, most, np.minimum(gate.wait_s + cost.first_s, most))
    at_once = np.where(only, most, all_at_once_s(cost, active))
    spread, at_once = (np.where(alone, cost.pass_s, each) for each in (spread, at_once))
    share = np.asarray(together, float)
    ttft = spread + share * (at_once - spread)
    variance = np.where(alone, 0.0, (1.0 - share) * gate.variance_s2 + share * (1.0 - share) * (at_once - spread) ** 2)
    queued = path + np.maximum(np.asarray(clients, float) - active, 0.0) / rate
    first = Spread.above(np.minimum(cost.pass_s, ttft), ttft, variance)
    tpot = cost.rest_s(whole, ttft)
    early = np.maximum(cost.rest_s(whole, cost.pass_s) - tpot, 0.0)  # of one who came back first, read alone
    among = [early * (1.0 / np.maximum(active, 1.0) >= 1.0 - each) for each in SHARES[1:]]
    waits = [behind_s(cost, active, each) for each in SHARES[1:]]
    ends = (tpot + share * np.maximum(one, wait) for one, wait in zip(among, waits, strict=True))
    stay = ttft + queued + (cost.output - 1.0) * tpot
    return Answer(later(first, queued), Spread(tpot, tpot, *ends), np.maximum(clients, active) / stay, active)


def later(spread: Spread, by_s: Floats) -> Spread:
    """The same, later by so much."""
    return Spread(*(each + by_s for each in spread))


def all_at_once_s(cost: Times, active: Floats) -> Floats:
    """Mean time to the first token where everybody starts at once [s]: as many passes as hold all prompts."""
    groups = cost.groups(active)
    return np.asarray((active * cost.each_s + cost.passes_of_all * cost.step_s) * (groups + 1.0) / (2.0 * groups))


def behind_s(cost: Times, active: Floats, at: float) -> Floats:
    """What a token waits longer than on average, at a quantile, for prompts that take several passes [s].

    Where everybody starts at once, those of the first pass decode while all others are read, the last ones' alone.
    """
    groups = cost.groups(active)
    after = np.clip(groups - 0.5 - (1.0 - at) * groups, 0.0, groups - 1.0) - (groups - 1.0) / 2.0
    return np.asarray(after * active * cost.each_s / groups / np.maximum(cost.output - 1.0, 1.0))


def at_rest(cost: Times, rate: Floats, slots: Floats, capacity: Floats) -> Answer:
    """An open loop at rest. cost: at 1, 2, ... in service (first axis, as many as there are slots anywhere).

    capacity: what a replica ends with all slots taken and others waiting [1/s]; beyond it nothing is at rest
    """
    count = np.arange(1.0, len(cost.step_s) + 1.0).reshape(-1, *(1,) * np.ndim(rate))
    places = np.maximum(np.floor(slots), 1.0)
    cost = cost.at_rate(rate)
    rounds = cost.round_s(count)
    ends = np.where(count <= places, np.minimum(count / rounds, capacity), capacity)
    own = cost.steps * np.where(count <= places, cost.step_s, interpolated(cost.step_s, places))
    each, own = np.moveaxis(ends, 0, -1), np.moveaxis(own, 0, -1)
    found, decode_s2 = batching.present(rate, each), batching.swing(rate, each, own)
    low, high = np.maximum(found.served - 1.0, 1.0), np.minimum(found.served + 1.0, places)
    grown = interpolated(rounds, high) - interpolated(rounds, low)
    growth = np.maximum(grown, 0.0) / np.maximum(high - low, 1.0)
    here, lone, full = (
        Times(*(interpolated(field, number) for field in cost)) for number in (found.served, places * 0.0 + 1.0, places)
    )
    most_s = full.rest_s(places / capacity, full.first_s)
    return met(found, rate, growth, decode_s2, lone, here, found.served / np.minimum(rate, capacity), most_s, capacity)


def evenly(costs: Sequence[Times], at: Floats, rate: Floats, most: Floats) -> Answer:
    """The same in closed form, where a step grows evenly from one sequence to as many as are there.

    costs: at the numbers of sequences `at`, from one on [point, ...]; steps in between are interpolated
    most: requests that can be there at once [1]; where more would be, a run ends before it is at rest
    """
    lone, *_, other = costs = [cost.at_rate(rate) for cost in costs]
    steps, number = np.stack([cost.step_s for cost in costs]), np.asarray(at[-1], float)
    for _ in range(ROUNDS):
        slope = np.maximum(between(steps, at, number) - lone.step_s, 0.0) / np.maximum(number - 1.0, 1e-9)
        first = lone.step_s - slope
        alone, growth = lone.steps * first, lone.steps * slope + other.each_s
        steady = np.minimum(rate, batching.FULL / np.maximum(growth, 1e-12))
        mean, variance = batching.present_linear(steady, alone, growth)
        number = np.sqrt(number * np.clip(mean, 1.5, np.maximum(most, 1.5)))
    served = np.minimum(mean, most)
    use = steady * growth
    idle = (1.0 - use) ** (1.0 + steady * alone / np.maximum(use, 1e-12))
    step = first + slope * np.maximum(served, 1.0)
    here = other._replace(step_s=step, beside_s=other.beside_s * step / other.step_s)
    within = np.where(mean < most, variance, 0.0)
    found = batching.Present(served, within, served, within, 0.0 * mean, idle)
    whole = np.where(mean < most, mean / steady, alone + growth * served)
    most_s = here.rest_s(alone + growth * np.maximum(most, 1.0), here.first_s)
    decode_s2 = within * (growth - other.each_s) ** 2
    return met(found, rate, growth, decode_s2, lone, here, whole, most_s, np.inf * rate)


def between(values: Floats, at: Floats, number: Floats) -> Floats:
    """Values known `at` rising numbers (first axis of both), interpolated; beyond the last as before it."""
    found = values[-1] + (number - at[-1]) * (values[-1] - values[-2]) / np.maximum(at[-1] - at[-2], 1e-9)
    for index in range(len(at) - 1):
        share = (number - at[index]) / np.maximum(at[index + 1] - at[index], 1e-9)
        inside = (number >= at[index]) & (number <= at[index + 1])
        found = np.where(inside, values[index] + share * (values[index + 1] - values[index]), found)
    return np.asarray(found)


def met(
    found: batching.Present,
    rate: Floats,
    growth: Floats,
    decode_s2: Floats,
    lone: Times,
    here: Times,
    whole: Floats,
    most_s: Floats,
    capacity: Floats,
) -> Answer:
    """What an arrival meets among the requests present. growth: of a round with each further one [s].

    decode_s2: variance of its own steps by how many it finds
    lone, here: what a load costs alone, and with those who are served; whole: a request's time among these [s]
    most_s: time per token where as many are served as can be [s]
    """
    gate, busy = here.gate(rate), 1.0 - found.idle
    ttft = busy * (gate.wait_s + here.first_s) + found.idle * lone.pass_s
    own = gate.others_s + here.first_s
    more = batching.beside(rate, gate, here.each_s, own, own, whole / here.output)
    gathered = ((growth - here.each_s) * more.requests + more.prompts_s) / here.output
    tpot = (lone.step_s + gathered) * np.maximum(whole / lone.round_s(1.0), 1.0)
    tpot = np.minimum(tpot, most_s)
    swing = found.served_variance * (growth / here.output) ** 2
    steps = np.maximum(growth - here.each_s, 0.0)
    each_s2 = batching.request_variance(rate, decode_s2, steps, here.each_s, here.output * tpot)
    stable = np.isfinite(found.mean)
    drained = np.maximum(capacity - rate, 1e-12)
    waits = (np.log(np.maximum(found.waits / (1.0 - share), 1.0)) / drained for share in SHARES)
    late = [np.where(stable, wait, np.inf) for wait in waits]
    waited = np.where(stable, np.maximum(found.mean - found.served, 0.0) / rate, np.inf)
    variance = busy * gate.variance_s2 + STEPS_WAITED**2 * swing
    first = Spread.above(np.minimum(lone.pass_s, ttft), ttft, variance, late)
    return Answer(
        ttft=first._replace(mean=first.mean + waited),
        tpot=Spread.above(lone.step_s, tpot, each_s2 / here.output**2),
        requests_per_s=np.minimum(rate, capacity),
        active=found.served,
    )


def interpolated(values: Floats, number: Floats) -> Floats:
    """Values at 1, 2, ... along the first axis, at numbers in between, one of each column."""
    low = np.clip(np.floor(number), 1.0, len(values)).astype(int)
    high, part = np.minimum(low + 1, len(values)), number - low
    at = (np.take_along_axis(values, (index - 1)[None], 0)[0] for index in (low, high))
    below, above = at
    return np.asarray(below + part * (above - below))


def burst(
    cost: Times,
    requests: Floats,
    active: Floats,
    path: Floats,
    lone_s: Floats,
    longest: ArrayLike = 1.0,
    taking_in_s: ArrayLike = 0.0,
) -> Answer:
    """So many requests at once on an idle server, of which `active` have a slot: in waves of equal lengths.

    A prompt waits for the waves before it, and for the prompts of its own that share or precede its pass.
    lone_s: a step of one sequence [s]; longest: the longest answer over the mean [1], finished by ever fewer
    taking_in_s: what the server is busy with each request [s]; meanwhile half of the places are empty on average
    """
    wave = cost.round_s(active)

    def first(position: Floats) -> Floats:
        before = np.floor(np.maximum(position - 1.0, 0.0) / active + 1e-9)
        inside = np.clip((position - before * active) / active, 0.0, 1.0)
        passes = np.maximum(np.ceil(inside * cost.passes_of_all - 1e-9), 1.0)
        return np.asarray(before * wave + passes * (active * cost.each_s / cost.passes_of_all + cost.step_s))

    waves = np.maximum(np.ceil(requests / active - 1e-9), 1.0)
    half, most, nearly = (first(np.maximum(np.ceil(share * requests), 1.0)) for share in SHARES)
    mean = (waves - 1.0) / 2.0 * wave + all_at_once_s(cost, np.minimum(active, requests))
    alone = requests <= 1.0
    ttft = Spread(*(np.where(alone, cost.pass_s, each) for each in (mean, half, most, nearly)))
    least = cost.rest_s(wave, all_at_once_s(cost, active))
    early = (first(np.maximum(np.ceil((1.0 - share) * active), 1.0)) for share in SHARES)  # others' prompts come after
    ends = (least, *(np.maximum(least, cost.rest_s(wave, each)) for each in early))
    tpot = Spread(*(np.where(alone, cost.step_s, each) for each in ends))
    half_a_stay = np.where(requests > active, 0.5, 0.0)
    tail = np.maximum(half_a_stay, np.asarray(longest, float) - 1.0) * cost.output * lone_s
    taken_in = np.asarray(taking_in_s, float) * requests
    whole = wave * np.maximum(requests / active, 1.0) + tail
    whole = np.maximum(whole + taken_in / 2.0, taken_in)
    return Answer(later(ttft, path), tpot, requests / (whole + path), active)
