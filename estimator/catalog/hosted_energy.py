"""Energy and water of a hosted LLM's answers, by `ecologits` (MPL-2.0, extra `footprint`): a wide range, or none."""

from importlib.util import find_spec
from typing import NamedTuple

from estimator.catalog.files import cached
from estimator.formulas.energy import JOULES_PER_KWH
from estimator.records import Source

NAMES = {"google": "google_genai", "mistral": "mistralai", "vertex": "google_genai"}  # what the library calls providers
TOKENS, TOKENS_PER_S = 1000, 50.0  # of the answer that is asked about; the library takes its time as a bound
UNRELEASED = 2.0  # sizes of hosted LLMs are guessed: the library's range, and as much again down and up


class Footprint(NamedTuple):
    """Of an output token, data centre included: low, expected and high [J/token], [L/token]."""

    energy_j: tuple[float, float, float]
    water_l: tuple[float, float, float]
    source: Source


@cached
def footprint(provider: str, model: str) -> Footprint | None:
    """What an output token of a hosted LLM takes; None without the library, or where it does not know the LLM."""
    if find_spec("ecologits") is None:
        return None
    import logging

    logging.getLogger("ecologits").setLevel(logging.ERROR)
    from ecologits.tracers.utils import llm_impacts  # type: ignore[import-not-found, unused-ignore]

    found = llm_impacts(NAMES.get(provider, provider), model, TOKENS, TOKENS / TOKENS_PER_S)
    if found.energy is None or found.wcf is None:
        return None
    from importlib.metadata import version

    title = f"ecologits {version('ecologits')} (MPL-2.0), its range widened by {UNRELEASED:g}, as sizes are guessed"
    return Footprint(
        _ends(found.energy.value, JOULES_PER_KWH / TOKENS),
        _ends(found.wcf.value, 1.0 / TOKENS),
        Source(title, "derived"),
    )


def _ends(value: object, scale: float) -> tuple[float, float, float]:
    """A number of the library, or its range, widened."""
    low, high = (float(getattr(value, end, value)) * scale for end in ("min", "max"))  # type: ignore[arg-type]
    return low / UNRELEASED, (low * high) ** 0.5, high * UNRELEASED
