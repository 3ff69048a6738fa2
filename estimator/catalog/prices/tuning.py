"""What fine-tuning services ask, from hardware/prices/fine_tuning.csv. Sources contradict each other: a wide range."""

import re

from estimator.catalog.files import cached, folders, number, rows, source_of
from estimator.catalog.prices.hourly import PriceRange, quantile

COLUMNS = ("provider", "model", "params_above_b", "params_up_to_b", "method", "usd_per_mtok", "source")


def fine_tuning_price(
    model: str = "", params: float | None = None, method: str = "", provider: str = ""
) -> PriceRange | None:
    """What services ask to train on a million tokens, across sources that contradict each other; `None` if unknown.

    model: a hosted model by name; params: else the size of an open one [1]; method: lora-sft, full-sft, lora-dpo, ...

    >>> found = fine_tuning_price(params=8e9, method="lora-sft")
    >>> found.low <= found.median <= found.high, found.unit
    (True, 'USD/Mtok')
    """
    methods = {method, "any-sft"} if method.endswith("-sft") else {method}
    found = [
        row
        for row in _rows()
        if row["usd_per_mtok"].strip()
        and _tunes(row, model, params)
        and (not method or row["method"] in methods)
        and (not provider or row["provider"] == provider.lower())
    ]
    if not found:
        return None
    where = "fine_tuning.csv: usd_per_mtok"
    prices = sorted(number(row["usd_per_mtok"], where) or 0.0 for row in found)
    dates = sorted(row["valid_from"] for row in found)
    return PriceRange(
        low=prices[0],
        median=quantile(prices, 0.5),
        high=prices[-1],
        unit="USD/Mtok",
        providers=tuple(sorted({row["provider"] for row in found})),
        oldest=dates[0],
        newest=dates[-1],
        sources=tuple(dict.fromkeys(source_of(row) for row in found)),
        note="; ".join(dict.fromkeys(row["note"] for row in found if row["note"])),
    )


def _tunes(row: dict[str, str], model: str, params: float | None) -> bool:
    if model:
        return re.fullmatch(re.escape(model) + r"(-\d{4}.*)?", row["model"]) is not None
    ends = [number(row[name], f"fine_tuning.csv: {name}") for name in ("params_above_b", "params_up_to_b")]
    if params is None or ends[1] is None:
        return False
    return (ends[0] or 0.0) < params / 1e9 <= ends[1]


@cached
def _rows() -> list[dict[str, str]]:
    """The user's rows first; what they say of a model, a price left empty too, replaces what ships of it."""
    files = [folder / "fine_tuning.csv" for folder in folders("prices")]
    first, *others = [rows(path, COLUMNS) for path in files if path.is_file()] or [[]]
    said = {(row["provider"], row["model"]) for row in first if row["model"]}
    return first + [row for table in others for row in table if (row["provider"], row["model"]) not in said]
