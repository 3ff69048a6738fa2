"""Prompts: how long they get, what prefix caching saves, and what optimising them automatically costs in calls.

Arithmetic, but for rules and algorithms that are cited. Validity: the prices and versions that are named there.
"""

import numpy as np

from estimator.formulas import Real

TOKENS_PER_PRICE_UNIT = 1e6  # API prices are per million tokens


def fixed_prefix_tokens(instruction_tokens: Real, examples: Real, tokens_per_example: Real) -> Real:
    """The part of a prompt that is the same in every request: instructions and few-shot examples [token].

    >>> float(fixed_prefix_tokens(500, 5, 200))
    1500.0
    """
    return instruction_tokens + examples * tokens_per_example


def cached_tokens(fixed_prefix_tokens: Real, cache_hit_rate: Real, least_tokens: Real = 0.0) -> Real:
    """Prompt tokens a request finds in the prefix cache, on average [token].

    least_tokens: a prefix shorter than this is not cached at all [token]

    >>> float(cached_tokens(1500, 0.9, 1024)), float(cached_tokens(800, 0.9, 1024))
    (1350.0, 0.0)
    """
    return fixed_prefix_tokens * cache_hit_rate * (fixed_prefix_tokens >= least_tokens)


def written_tokens(fixed_prefix_tokens: Real, cache_hit_rate: Real, least_tokens: Real = 0.0) -> Real:
    """Prompt tokens a request writes to the prefix cache because it did not find them, on average [token].

    >>> round(float(written_tokens(1500, 0.9, 1024)), 6)
    150.0
    """
    return fixed_prefix_tokens * (1 - cache_hit_rate) * (fixed_prefix_tokens >= least_tokens)


def tiered_usd_per_mtok(prompt_tokens: Real, above_tokens: Real, usd_per_mtok: Real, long_usd_per_mtok: Real) -> Real:
    """Price of a request's tokens [USD/Mtok]: the long-context one for all once the prompt passes a limit.

    Source: Google, Gemini API pricing (prompts above 200k tokens); the same rule in genai-prices' tiered prices.

    >>> float(tiered_usd_per_mtok(250_000, 200_000, 1.25, 2.5)), float(tiered_usd_per_mtok(1_000, 200_000, 1.25, 2.5))
    (2.5, 1.25)
    """
    return usd_per_mtok + (long_usd_per_mtok - usd_per_mtok) * (prompt_tokens > above_tokens)


def input_usd_per_request(
    prompt_tokens: Real,
    cached_tokens: Real,
    usd_per_mtok: Real,
    cache_read_usd_per_mtok: Real,
    cache_write_usd_per_mtok: Real,
    written_tokens: Real = 0.0,
) -> Real:
    """Price of one request's input [USD]: every token is billed once, as read from, written to, or outside the cache.

    >>> float(input_usd_per_request(10_000, 8_000, 3.0, 0.3, 3.75, 1_000)) # 1,000 at 3, 8,000 at 0.3, 1,000 at 3.75
    0.00915
    """
    read, written = cached_tokens, written_tokens
    plain = prompt_tokens - read - written
    return (
        plain * usd_per_mtok + read * cache_read_usd_per_mtok + written * cache_write_usd_per_mtok
    ) / TOKENS_PER_PRICE_UNIT


def mipro_calls(candidates: Real, validation: Real, minibatch: Real, full_every: Real) -> Real:
    """Calls of the program that MIPROv2 makes for one few-shot predictor [1].

    trials = max(2 V log2(n), 1.5 n) with V = 2 searched variables; each tries a minibatch, and every
    `full_every` trials the best candidate runs on the whole validation set, once more at the end.
    Source: stanfordnlp/dspy dspy/teleprompt/mipro_optimizer_v2.py lines 280-287 and 365-395 (2026-08-21).

    >>> float(mipro_calls(6, 100, 35, 5))  # the "light" setting
    650.0
    >>> float(mipro_calls(5, 100, 35, 5))  # nine trials: one full run after the fifth, one at the end
    515.0
    """
    trials: Real = np.floor(np.maximum(2 * 2 * np.log2(candidates), 1.5 * candidates))
    full_runs: Real = np.floor(trials / full_every) + 1
    return minibatch * trials + validation * full_runs


def search_calls(candidates: Real, evaluation_samples: Real) -> Real:
    """Calls of a search that scores each candidate instruction on an evaluation set (APE, OPRO) [1].

    Source: arXiv:2211.01910 algorithm 1; arXiv:2309.03409 section 5.1.

    >>> float(search_calls(200 * 8, 261))  # OPRO on GSM8K: 200 steps of 8 instructions, 3.5 % of the training set
    417600.0
    """
    return candidates * evaluation_samples
