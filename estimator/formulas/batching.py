"""A server that batches continuously, under load: waits and times per token from what its steps and prompts cost.

Symbols: a request puts out `output` tokens; a step of n sequences takes step(n); a prompt adds `prompt` to the step it
joins; X(n) = n / (output step(n) + n prompt) requests end per second while n are served. Times [s], rates [1/s].
Validity: arrivals are Poisson or a closed loop at rest; sequences share every step; prompts fit the token budget of a
step. Against a stepped engine and a real one: benchmarks/real_engine.py.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Floats, Real

FULL = 0.98  # most of the time that prompts may take; a server that only reads would never answer


class Present(NamedTuple):
    """Requests in a server at rest [1]: waiting or served, and those served; variances; chances [1].

    waits: that an arrival finds no slot; idle: that it finds nobody
    """

    mean: Floats
    variance: Floats
    served: Floats
    served_variance: Floats
    waits: Floats
    idle: Floats


def present(arrivals_per_s: ArrayLike, ends_per_s: ArrayLike) -> Present:
    """Requests present where 1, 2, ... in service end at `ends_per_s` (last axis) and no more than that have a slot.

    P(n) is proportional to the product of arrivals / X(k) over k <= n, with X of all slots beyond them; it holds for
    any lengths of the same mean. Nothing is at rest once arrivals reach what all slots end: then infinite.
    Source: Cohen, Acta Informatica 12 (1979) 245, section 2 (generalised processor sharing); Kleinrock, Queueing
    Systems I (1975) equation 3.11 (birth and death).

    >>> one = present(0.5, [1.0])  # a single slot is the queue M/M/1: u / (1 - u) are present
    >>> float(one.mean), float(one.waits)
    (1.0, 0.5)
    """
    rate, ends = np.asarray(arrivals_per_s, float), np.asarray(ends_per_s, float)
    chance, full, ratio = _chances(rate, ends)
    stable, count = ratio < 1.0, np.arange(ends.shape[-1] + 1.0)
    spare, slots = np.where(stable, 1.0 - ratio, 1.0), count[1:]
    waiting, squared = full / spare, full * (1.0 + ratio) / spare**2  # moments of those beyond the slots
    served = (chance * count).sum(axis=-1) + full * slots[-1]
    served_variance = np.maximum((chance * count**2).sum(axis=-1) + full * slots[-1] ** 2 - served**2, 0.0)
    second = (chance * count**2).sum(axis=-1) + full * slots[-1] ** 2 + 2.0 * slots[-1] * waiting + squared
    mean = served + waiting
    answer = (mean, np.maximum(second - mean**2, 0.0), served, served_variance, chance[..., -1] + full, chance[..., 0])
    at_most = (np.inf, np.inf, slots[-1], 0.0, 1.0, 0.0)
    return Present(*(np.where(stable, value, limit) for value, limit in zip(answer, at_most, strict=True)))


def _chances(rate: Floats, ends: Floats) -> tuple[Floats, Floats, Floats]:
    """Of 0, 1, ... present (last axis), and of more, a geometric tail [1]; arrivals over what all slots end."""
    logs = np.cumsum(np.log(np.maximum(rate[..., None], 1e-300) / ends), axis=-1)
    logs = np.concatenate([np.zeros((*logs.shape[:-1], 1)), logs], axis=-1)
    chance = np.exp(logs - logs.max(axis=-1, keepdims=True))
    ratio = rate / ends[..., -1]
    full = chance[..., -1] * ratio / np.where(ratio < 1.0, 1.0 - ratio, 1.0)
    total = chance.sum(axis=-1) + full
    return chance / total[..., None], full / total, ratio


def swing(arrivals_per_s: ArrayLike, ends_per_s: ArrayLike, figures: ArrayLike) -> Floats:
    """Variance, from one arrival to another, of a figure that depends on how many are served with it.

    figures: of 1, 2, ... served (last axis), as ends_per_s in `present`; an arrival sees those present and adds itself
    Where the figure grows evenly it is the variance of those served, times its growth squared.
    Source: `present`; arrivals at random see time averages: Wolff, Operations Research 30 (1982) 223.

    >>> round(float(swing(0.5, [1.0, 1.0, 1.0], [1.0, 2.0, 4.0])), 3)  # sees 0, 1, more: with 1/2, 1/4, 1/4
    1.5
    """
    ends, each = np.asarray(ends_per_s, float), np.asarray(figures, float)
    chance, full, ratio = _chances(np.asarray(arrivals_per_s, float), ends)
    seen = np.concatenate([chance[..., :-2], (chance[..., -2] + chance[..., -1] + full)[..., None]], axis=-1)
    mean = (seen * each).sum(axis=-1)
    found = np.maximum((seen * each**2).sum(axis=-1) - mean**2, 0.0)
    return np.where(ratio < 1.0, found, 0.0)


def present_linear(arrivals_per_s: ArrayLike, alone_s: ArrayLike, growth_s: ArrayLike) -> tuple[Floats, Floats]:
    """Mean and variance of the requests present where slots never run out and a step grows evenly with n [1].

    alone_s: output s0, the plain steps; growth_s: output s1 + prompt, by which each other request lengthens a round;
    step(n) = s0 + s1 n. With u = rate x growth: negative binomial of mean (rate x alone + u) / (1 - u).
    Source: `present` summed (negative binomial series); capacity is 1 / growth.

    >>> [round(float(each), 2) for each in present_linear(3.0, 1.3, 0.15)]
    [7.91, 14.38]
    """
    use = np.asarray(arrivals_per_s, float) * growth_s
    spare = np.where(use < 1.0, 1.0 - use, np.nan)
    mean = np.where(use < 1.0, (np.asarray(arrivals_per_s, float) * alone_s + use) / spare, np.inf)
    return mean, np.where(use < 1.0, mean / spare, np.inf)


class Gate(NamedTuple):
    """What a prompt meets behind a gate [s]: the rest of the step in progress, and in its own step others' prompts."""

    residual_s: Floats
    others_s: Floats
    variance_s2: Floats

    @property
    def wait_s(self) -> Floats:
        """Beyond a step and its own prompt [s]."""
        return self.residual_s + self.others_s


def gated(
    arrivals_per_s: ArrayLike, step_s: ArrayLike, prompt_s: ArrayLike, squared_s2: ArrayLike | None = None
) -> Gate:
    """What a prompt waits where each step takes in all prompts that came during the one before.

    squared_s2: mean square of prompt_s where lengths are mixed [s2]
    Mean step S = step / (1 - rho), rho = arrivals x prompt; an arrival sees what is left of one, R = S2 / 2S; in its
    own step are the prompts that came before and after it, 2 rho R. Its first token: R + step + prompt + 2 rho R.
    Its variance needs the third moment of a step; that of mixed prompts is taken as squared_s2^2 / prompt_s, exact for
    equal ones.
    Source: gated service with the residual of a renewal, Kleinrock, Queueing Systems I (1975) equation 5.16;
    Takagi, Analysis of Polling Systems (1986) section 2.

    >>> quiet, busy = gated(0.0, 0.030, 0.060), gated(8.0, 0.030, 0.060)
    >>> float(quiet.wait_s), round(float(busy.wait_s), 3)
    (0.015, 0.093)
    """
    rate, step, prompt = (np.asarray(each, float) for each in (arrivals_per_s, step_s, prompt_s))
    squared = prompt**2 if squared_s2 is None else np.asarray(squared_s2, float)
    rate = np.minimum(rate, FULL / np.maximum(prompt, 1e-12))
    rho = rate * prompt
    mean = step / (1.0 - rho)
    spread = rate * squared  # of the prompts that come in a unit of time
    second = (step**2 + (2.0 * step * rho + spread) * mean) / (1.0 - rho**2)
    cubed = spread * squared / np.maximum(prompt, 1e-12)
    third = step**3 + 3.0 * step * (step * rho + spread) * mean + 3.0 * rho * (step * rho + spread) * second
    third = (third + cubed * mean) / (1.0 - rho**3)
    seen, seen_squared = (moment / np.maximum(mean, 1e-12) for moment in (second, third))  # steps an arrival falls into
    variance = (0.5 + rho) ** 2 * (seen_squared - seen**2) + seen_squared / 12.0 + spread * seen
    return Gate(seen / 2.0, rho * seen, variance)


class Beside(NamedTuple):
    """What an engine that reads prompts step by step adds to a request's decoding, beyond a server at rest.

    requests: others that decode beside it [1]: who share its prompt's step, and who come in while that step lasts
    prompts_s: their prompts, read while it decodes [s]
    """

    requests: Floats
    prompts_s: Floats


def beside(
    arrivals_per_s: ArrayLike,
    gate: Gate,
    prompt_s: ArrayLike,
    own_s: ArrayLike,
    mean_own_s: ArrayLike,
    token_s: ArrayLike,
) -> Beside:
    """Who begins to decode together with a request: long prompts let others gather, who then come all at once.

    own_s: the step that reads its prompt, others' in it included; mean_own_s: the same of the average request;
    prompt_s: the average prompt; token_s: the average step [s], of which processor sharing counts what comes already
    Two requests meet for as many steps whichever came first, so what gathered in the step of one who came before counts
    as what gathers in one's own. Arrivals after a request began are independent of it (PASTA, Wald's identity).
    Source: Wolff, Operations Research 30 (1982) 223; against a stepped engine: tests/formulas/test_batching.py.

    >>> gate = gated(2.0, 0.03, 0.1)
    >>> short, long = (beside(2.0, gate, 0.1, each, 0.2, 0.04) for each in (0.1, 0.8))
    >>> round(float(short.requests), 2), round(float(long.requests), 2), round(float(long.prompts_s), 3)
    (0.56, 1.96, 0.152)
    """
    rate, token = np.asarray(arrivals_per_s, float), np.asarray(token_s, float)
    own, mean_own = (np.maximum(np.asarray(step, float) - token, 0.0) for step in (own_s, mean_own_s))
    return Beside(rate * (2.0 * gate.residual_s + own + mean_own), rate * np.asarray(prompt_s, float) * own)


def token_s(
    arrivals_per_s: ArrayLike,
    step_s: Real,
    growth_s: Real,
    prompt_s: Real,
    output: Real,
    more: Beside,
    usual: tuple[Real, Beside] | None = None,
) -> Floats:
    """Time per token of a request where slots never run out and prompts of many lengths are read [s].

    step_s: alone, with its own context; growth_s: by which each other request lengthens a step; prompt_s: the average
    prompt; usual: step_s and `more` of the average request, where it is another one
    Half of the others came before it and stay as long as usual, half come while it stays.
    Source: `beside`; with nothing that gathers it is `present_linear`'s mean over the rate.

    >>> gate = gated(2.0, 0.03, 0.1)
    >>> short, long = (beside(2.0, gate, 0.1, each, 0.2, 0.04) for each in (0.1, 0.8))
    >>> [round(float(token_s(2.0, 0.02, 0.001, 0.1, 64, each)), 4) for each in (short, long)]
    [0.0309, 0.0362]
    """
    rate = np.asarray(arrivals_per_s, float)
    half, free = rate * output * growth_s / 2.0, 1.0 - rate * prompt_s
    alone = step_s + growth_s * more.requests + more.prompts_s / output
    if usual is None:
        return np.asarray(alone / (free - 2.0 * half))
    average = token_s(rate, usual[0], growth_s, prompt_s, output, usual[1])
    return np.asarray((alone + half * average) / (free - half))


def request_variance(
    arrivals_per_s: ArrayLike, decode_s2: ArrayLike, growth_s: ArrayLike, prompt_s: ArrayLike, whole_s: ArrayLike
) -> Floats:
    """Variance of what one request takes and another [s2]: how many decode beside it, and how many prompts come in.

    decode_s2: of its own steps by how many it finds (`swing`); growth_s: of these steps with each other request;
    prompt_s: what a prompt takes from the others; whole_s: a request's mean time
    Prompts that come while it stays are Poisson, and those that come while they are read as well: a delay cycle. As
    nobody ends meanwhile, the number present varies 1 / (1 - rho) as much as under processor sharing and is remembered
    so much longer; and who comes decodes beside it, slowing all others, for what is left of its stay. Without growth,
    or without prompts, the law is exact for equal lengths.
    Source: Kleinrock, Queueing Systems II (1976) section 3.3; Conway, Maxwell and Miller, Theory of Scheduling (1967)
    section 8-3: arrivals E[p^2] E[own] / (1 - rho)^3. Against a stepped engine: tests/formulas/test_batching.py.

    >>> float(request_variance(5.0, 0.0, 0.0, 0.1, 2.0))  # 1 s of its own steps, of 2 with half of them prompts
    0.4
    """
    rate, growth, prompt, whole = (np.asarray(each, float) for each in (arrivals_per_s, growth_s, prompt_s, whole_s))
    free, come = 1.0 - np.minimum(rate * prompt, FULL), rate * whole
    stay = stay_share(np.maximum(1.0 - rate * (growth + prompt), 0.0) * free)
    slowed = np.clip(rate * growth / free, 1e-4, 1.0)
    beside = growth * (np.expm1(slowed) - slowed) / slowed**2 / free
    steps = stay * np.asarray(decode_s2, float) / free
    return np.asarray((steps + come * prompt * (prompt + 2.0 * beside)) / free**2)


def stay_share(stays: ArrayLike) -> Floats:
    """Variance of a mean over a stay, against that of one moment [1]; stays: its length in times of memory.

    2 (x - 1 + exp(-x)) / x^2, of a process whose memory fades exponentially.
    Source: Taylor, Proc. London Math. Soc. 20 (1922) 196, equation 11; Uhlenbeck and Ornstein, Phys. Rev. 36 (1930).

    >>> round(float(stay_share(1.0)), 3), round(float(stay_share(0.0)), 3)
    (0.736, 1.0)
    """
    x = np.maximum(np.asarray(stays, float), 1e-4)
    return np.minimum(2.0 * (x - 1.0 + np.exp(-x)) / x**2, 1.0)


def quantile(mean: ArrayLike, variance: ArrayLike, deviations: ArrayLike) -> Floats:
    """Lognormal quantile of a positive figure of this mean and variance; deviations: of the standard normal.

    Source: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1 (1994) chapter 14, by moments.

    >>> float(quantile(2.0, 0.0, 1.28))
    2.0
    """
    centre = np.maximum(np.asarray(mean, float), 0.0)
    spread = np.log1p(np.where(centre > 0, variance / np.maximum(centre, 1e-30) ** 2, 0.0))
    return np.asarray(centre * np.exp(np.asarray(deviations, float) * np.sqrt(spread) - spread / 2.0))


def free_together(slots: ArrayLike, output_tokens: ArrayLike) -> Floats:
    """Slots that come free in one step, of the steps in which any do [1]; each does by a chance of 1 / output_tokens.

    Source: mean of a binomial distribution without its zero: Johnson, Kemp and Kotz, Univariate Discrete Distributions
    (2005) chapter 3.

    >>> [round(float(free_together(slots, 10)), 2) for slots in (1, 10, 100)]
    [1.0, 1.54, 10.0]
    """
    count, chance = np.maximum(np.asarray(slots, float), 1.0), 1.0 / np.maximum(output_tokens, 1.0)
    return np.asarray(count * chance / (1.0 - (1.0 - chance) ** count))


def come_together(expected: ArrayLike) -> Floats:
    """Arrivals at random in a time in which `expected` come on average, of the times in which any do [1].

    Source: mean of a Poisson distribution without its zero: Johnson, Kemp and Kotz (2005) chapter 4.

    >>> [round(float(come_together(expected)), 2) for expected in (0, 1, 10)]
    [1.0, 1.58, 10.0]
    """
    number = np.maximum(np.asarray(expected, float), 1e-9)  # of none, what one alone would be
    return np.asarray(number / -np.expm1(-number))


def burst_passes(position: ArrayLike, prompt_tokens: ArrayLike, budget_tokens: ArrayLike) -> Floats:
    """The step in which the prompt at `position` (1, 2, ...) of a burst is finished, each of `budget_tokens` [1].

    Source: iteration-level scheduling, Orca (OSDI 2022) section 3.1.

    >>> [float(burst_passes(each, 256, 2048)) for each in (1, 8, 9, 16)]
    [1.0, 1.0, 2.0, 2.0]
    """
    ahead = np.asarray(position, float) * prompt_tokens / np.asarray(budget_tokens, float)
    return np.maximum(np.ceil(ahead - 1e-9), 1.0)
