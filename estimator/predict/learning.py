"""Predictions corrected by what own runs took: errors of theirs, and which of them a new run is like."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.cases import fitted
from estimator.catalog.frameworks import framework
from estimator.formulas import Floats

if TYPE_CHECKING:
    from estimator.predict.serving_machine import ServingPlan
    from estimator.predict.training_plan import TrainingPlan
    from estimator.records import Accelerator, Architecture

PARTS = ("site", "accelerator", "stack", "work", "llm")


class Kin(NamedTuple):
    """What runs may have in common: names of accelerator, framework or engine, kind of work, and LLM."""

    accelerator: str
    stack: str
    work: str
    llm: str


def kin_of_training(device: "Accelerator", plan: "TrainingPlan", llm: "Architecture") -> Kin:
    """What a training run may have in common with others."""
    return Kin(device.name, framework(plan.framework).name, plan.method, llm.name)


def kin_of_server(device: "Accelerator", plan: "ServingPlan", llm: "Architecture") -> Kin:
    """What a server's run may have in common with others; its work is told by the bits of its weights."""
    return Kin(device.name, plan.facts.family, f"{plan.layers(llm).bits:.0f} bit", llm.name)


class Correction(NamedTuple):
    """factor: of a predicted time or size [1]; narrower: of the half width of its range [1]; runs: that say so."""

    factor: float = 1.0
    narrower: float = 1.0
    runs: int = 0

    @property
    def words(self) -> str:
        """What was done to a prediction, nothing if nothing was."""
        own = "your run" if self.runs == 1 else f"{self.runs} of your runs"
        return f"corrected x{self.factor:.2f} by {own}" if self.runs else ""

    def range(self, down: float, up: float) -> tuple[float, float]:
        """Half widths of a range in ln, as far as they are left."""
        return down * self.narrower, up * self.narrower


class OwnRuns:
    """Errors of own runs by quantity: ln(measured / predicted) of times and bytes, and what each run is."""

    def __init__(self, errors: Mapping[str, Sequence[tuple[float, Kin]]]) -> None:
        """errors: by quantity, such as time, memory, decode."""
        found: dict[tuple[str, str], list[tuple[float, Kin]]] = defaultdict(list)
        machines = {name: _machine(name) for name in {kin.accelerator for runs in errors.values() for _, kin in runs}}
        for group, runs in errors.items():
            for error, kin in runs if group in variances() else ():
                found[group, machines[kin.accelerator]].append((error, kin))
        self._groups = {key: _columns(runs) for key, runs in found.items()}

    def of(self, group: str, kin: Kin) -> Correction:
        """What they say about a quantity of one more run; nothing where none of them measured it, or too few.

        >>> own = OwnRuns({"decode": [(0.2, Kin("h100-sxm", "vllm", "bf16", "llama-3.1-8b"))] * 10})
        >>> own.of("decode", Kin("h100-sxm", "vllm", "bf16", "llama-3.1-8b")).words
        'corrected x1.21 by 10 of your runs'
        >>> own.of("prefill", Kin("h100-sxm", "vllm", "bf16", "llama-3.1-8b")).words
        ''
        """
        if not self._groups:
            return Correction()
        from estimator.formulas.learning import learned, shares  # loaded where there are own runs

        machine = _machine(kin.accelerator)
        if (group, machine) not in self._groups:
            return Correction()
        errors, keys = self._groups[group, machine]
        if len(errors) < fitted("learning")["groups"][group].get("fewest_runs", 1):
            return Correction()
        shared, noise = variances()[group]
        shared = _of_stacks(shared) if machine else shared
        asked = np.array(kin)[:, None]
        found = learned(errors, shares(keys, keys), shares(keys, asked), shared, noise)
        return Correction(math.exp(float(found.log_factor[0])), float(found.narrower[0]), len(errors))

    def __bool__(self) -> bool:
        """Whether anything can be learnt from them."""
        return bool(self._groups)


def _machine(accelerator: str) -> str:
    """The machine, if it was measured; empty for all others. Runs on one tell of it alone, and others nothing of it."""
    from estimator.catalog.local import is_measured  # loaded where there are own runs

    return accelerator if is_measured(accelerator) else ""


def _of_stacks(shared: Floats) -> Floats:
    """Variances of parts on a measured machine: how fast it is is known, so what a site's runs share is its stacks'."""
    site, accelerator, stack, *others = shared
    return np.array([0.0, 0.0, site + accelerator + stack, *others])


NONE = OwnRuns({})


def _columns(runs: Sequence[tuple[float, Kin]]) -> tuple[Floats, NDArray[np.str_]]:
    return np.array([error for error, _ in runs]), np.array([kin for _, kin in runs]).T


def variances() -> Mapping[str, tuple[Floats, float]]:
    """By quantity: the variance of each part that runs share, and of the noise of one."""
    groups = fitted("learning")["groups"]
    return {
        name: (np.array([one[f"{part}_sd"] ** 2 for part in PARTS]), one["noise_sd"] ** 2)
        for name, one in groups.items()
    }
