"""What a prediction is made of, said beside it: where the time of a step goes, and the memory of an accelerator."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from estimator.formulas import Real
from estimator.predict.serving import Serving
from estimator.predict.training import MemorySplit, TrainingStep
from estimator.quantities import ONE_AT_A_TIME, Quantity

LEAST = 0.005  # shares of the whole below which a part is not named
GB = 1e9


def noted(figure: Quantity, words: str) -> Quantity:
    """The figure with these words beside it; the same figure again for the same words."""
    return (_noted_once if figure.design is ONE_AT_A_TIME else _noted)(figure, words)


def _noted(figure: Quantity, words: str) -> Quantity:
    return replace(figure, note=words)


_noted_once = lru_cache(4096)(_noted)


def joined(*words: str) -> str:
    """Notes one after the other, those that say something."""
    return "; ".join(filter(None, words))


def step_parts(step: TrainingStep) -> str:
    """Where the time of a training step goes, in percent."""
    parts = {
        "computing": step.compute_s,
        "communication that nothing hides": step.exposed_communication_s,
        "pipeline bubble": step.bubble_s,
        "optimizer": step.optimizer_s,
        "host": step.host_s,
    }
    return f"of a step of {float(step.step_s):.3g} s: {_shares(parts, float(step.step_s))}"


def memory_parts(memory: MemorySplit) -> str:
    """What fills the memory of the fullest accelerator, in GB."""
    held = {name: float(size) / GB for name, size in memory._asdict().items()}
    return f"peak of the fullest one [GB]: {_amounts(held)}"


def replica_parts(found: Serving) -> str:
    """What fills the memory of each accelerator of a replica, and how many requests that serves at once."""
    held = {
        "weights": found.weights_bytes / GB,
        "KV cache": found.kv_bytes_available / GB,
        "activations": found.activations_bytes / GB,
        "reserve": found.reserve_bytes / GB,
    }
    ttft, tpot, most = (float(column.flat[0]) for column in (found.ttft_s, found.tpot_s, found.max_concurrency))
    return (
        f"memory of each accelerator [GB]: {_amounts(held)}; room for {most:,.0f} requests at once; one alone waits "
        f"{ttft:.3g} s for its first token and {tpot:.3g} s for each other"
    )


def _shares(parts: Mapping[str, Real], whole: float) -> str:
    shares = {name: float(part) / whole for name, part in parts.items()}
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= LEAST)


def _amounts(held: Mapping[str, float]) -> str:
    least = LEAST * sum(held.values())
    return ", ".join(f"{name} {size:.3g}" for name, size in held.items() if size > least)
