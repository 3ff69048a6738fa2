"""What each way of customising a language model needs and costs, before anything is spent.

>>> from estimator import compare
>>> comparison = compare(model="7b", gpu="a100")
>>> comparison["rag"].extra_prompt_tokens.value
2200.0
"""

from typing import TYPE_CHECKING, Any

from estimator.errors import EstimatorError

if TYPE_CHECKING:
    from estimator.api import compare, estimate, serving, training_step
    from estimator.decide.recommend import recommend
    from estimator.measure.calibrate import calibrate
    from estimator.pricing import Price
    from estimator.search import layout
    from estimator.sweeping import sweep
    from estimator.validation import validate
    from estimator.verdict import check

__all__ = [
    "EstimatorError",
    "Price",
    "calibrate",
    "check",
    "compare",
    "estimate",
    "layout",
    "recommend",
    "serving",
    "sweep",
    "training_step",
    "validate",
]

# Where each public name lives; modules load on first use, so that importing the package costs next to nothing.
_HOMES = {
    "Price": "estimator.pricing",
    "calibrate": "estimator.measure.calibrate",
    "check": "estimator.verdict",
    "compare": "estimator.api",
    "estimate": "estimator.api",
    "layout": "estimator.search",
    "recommend": "estimator.decide.recommend",
    "serving": "estimator.api",
    "sweep": "estimator.sweeping",
    "training_step": "estimator.api",
    "validate": "estimator.validation",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("llm-approach-estimator")  # looked up once
        return globals()[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'estimator' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
