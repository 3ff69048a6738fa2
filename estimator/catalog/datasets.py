"""Well-known data sets by name: how many samples they hold, and how long these are: presets/datasets.csv."""

from typing import NamedTuple

from estimator.catalog.files import cached, rows
from estimator.paths import presets


class Data(NamedTuple):
    """Data sets together. samples: of one epoch [1]; tokens: mean of a sample [token]."""

    names: str
    samples: float
    tokens: float


def data_named(names: str) -> Data | None:
    """What is known of all data sets that a text names; None where one of them is not known.

    >>> data_named("tatsu-lab/alpaca"), data_named("tatsu-lab/alpaca,mine.jsonl")
    (Data(names='tatsu-lab/alpaca', samples=52002.0, tokens=120.0), None)
    """
    listed = dict.fromkeys(name.strip() for name in names.split(",") if name.strip())
    found = [_row(name) for name in listed]
    known = [row for row in found if row]
    if not known or len(known) < len(found):
        return None
    samples = sum(float(row["samples"]) for row in known)
    tokens = sum(float(row["samples"]) * float(row["tokens_per_sample"]) for row in known)
    return Data(", ".join(listed), samples, tokens / samples)


def _row(name: str) -> dict[str, str] | None:
    spelled = name.strip().lower()
    return next((row for row in _rows() if row["match"] in spelled), None)


@cached
def _rows() -> list[dict[str, str]]:
    return rows(presets() / "datasets.csv")
