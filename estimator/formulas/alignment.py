"""Learning from preferences and rewards: work per token relative to supervised fine-tuning; embedders from pairs.

Work is counted in units of N FLOP per token: forward 2, backward 4 (2 when the weights are frozen behind an adapter).
Validity: attention scores, which grow with the sequence, are left out, as is what samples are generated with.
"""

import numpy as np
from numpy.typing import ArrayLike

from estimator.formulas import Real


def sft_flop_per_token(params: Real, trainable_share: Real = 1.0) -> Real:
    """Supervised work per token [FLOP]: 2N forward, 2N activation gradients, 2N weight gradients of what is trained.

    Source: Thinking Machines, "LoRA Without Regret" (2025), compute efficiency of LoRA: (2 N^2 + 6 N R) / 3 N^2.

    >>> float(sft_flop_per_token(1.0, 0.0) / sft_flop_per_token(1.0, 1.0))  # LoRA over full
    0.6666666666666666
    """
    return params * (4 + 2 * trainable_share)


def dpo_work_ratio(trainable_share: Real = 1.0) -> Real:
    """DPO's work per token over supervised work: a frozen reference runs forward too [1].

    Twice the tokens per sample (chosen and rejected) come on top.
    Source: arXiv:2305.18290 equation 7 (policy and reference log-probabilities of both answers).

    >>> round(float(dpo_work_ratio()), 3)
    1.333
    """
    sft = 4 + 2 * trainable_share
    return (sft + 2) / sft


def policy_gradient_work_ratio(
    trainable_share: Real, scoring_passes: Real, update_epochs: Real, trained_copies: Real
) -> Real:
    """GRPO's or PPO's work per sampled token, generation left out, over supervised work [1].

    scoring_passes: forward passes of reference, reward, value and old policy [1]
    trained_copies: 2 with a critic, else 1 [1]
    Source: arXiv:2402.03300 figure 4 (PPO and GRPO side by side).

    >>> round(float(policy_gradient_work_ratio(1.0, 3, 1, 1)), 2)  # GRPO with reference and reward model
    2.0
    """
    sft = 4 + 2 * trainable_share
    return (2 * scoring_passes + update_epochs * trained_copies * sft) / sft


def contrastive_tokens(query_tokens: Real, passage_tokens: Real, passages: Real) -> Real:
    """Tokens of a sample of contrastive fine-tuning [token]: a query, its positive passage and hard negatives.

    passages: 1 + hard negatives [1]; passages of the other queries in the batch are negatives at no further work.
    Source: arXiv:2004.04906 section 3.2 (in-batch negatives).

    >>> contrastive_tokens(64, 256, 8)
    2112
    """
    return query_tokens + passages * passage_tokens


def contrastive_flop(weights_flop: Real, tokens: Real, attention_flop: Real, samples: Real, attempts: Real) -> Real:
    """Work of contrastive fine-tuning [FLOP]: every sequence of a sample is passed forward and back, no logits.

    weights_flop: of weights, per token [FLOP/token]; attention_flop: of a sample, forward [FLOP], backward twice that
    samples: samples passed, those of all epochs [1]. Validity: similarities within a batch are left out, which are
    negligible: one product of embeddings for every pair.

    >>> contrastive_flop(6e9, 2112, 1e12, 1, 1)
    15672000000000.0
    """
    return (weights_flop * tokens + 3 * attention_flop) * samples * attempts


def logits_share(kept: ArrayLike, tokens: ArrayLike) -> Real:
    """Share of a sequence's tokens whose logits are computed [1]: all, or the last `kept` of its `tokens`.

    Source: huggingface/trl, grpo_trainer.py: logits_to_keep is the length of the completion.

    >>> logits_share(0, 3072), float(logits_share(1024, 4096))
    (1.0, 0.25)
    """
    if not np.any(kept):
        return 1.0
    return np.where(np.asarray(kept) > 0, np.minimum(np.asarray(kept, float) / np.asarray(tokens, float), 1.0), 1.0)
