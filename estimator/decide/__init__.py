"""From estimates to a decision: break-even, combinations, inverse questions, recommendation.

Functions are found here by name, their modules loaded when they are asked for. Those that are called as their module is
(`combine`, `break_even`, `recommend`, `rules`) are imported from it: `from estimator.decide.combine import combine`.

>>> from estimator.decide import smallest_set
>>> smallest_set("finetune", model="70b", gpu="h100", method="qlora").count
1
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estimator.decide.break_even import curve, most_used, owning, pairs
    from estimator.decide.inverse import (
        accelerator_sets,
        accelerators_for_deadline,
        fits,
        largest_batch,
        largest_context,
        largest_llm,
        llm_for_budget,
        most_users,
        pretraining_days,
        replicas_for_latency,
        samples_for_budget,
        smallest_set,
        tokens_for_budget,
    )
    from estimator.decide.recommend import decide
    from estimator.decide.rules import candidates, criteria

__all__ = [
    "accelerator_sets",
    "accelerators_for_deadline",
    "candidates",
    "criteria",
    "curve",
    "decide",
    "fits",
    "largest_batch",
    "largest_context",
    "largest_llm",
    "llm_for_budget",
    "most_used",
    "most_users",
    "owning",
    "pairs",
    "pretraining_days",
    "replicas_for_latency",
    "samples_for_budget",
    "smallest_set",
    "tokens_for_budget",
]

# Where what is not an inverse question lives.
_HOMES = {
    **dict.fromkeys(("curve", "most_used", "owning", "pairs"), "break_even"),
    **dict.fromkeys(("candidates", "criteria"), "rules"),
    "decide": "recommend",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'estimator.decide' has no attribute {name!r}")
    return getattr(import_module(f"estimator.decide.{_HOMES.get(name, 'inverse')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
