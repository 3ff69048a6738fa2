"""Prices of LLM APIs by name: `openai:gpt-4o-mini`. A dated list ships; `genai-prices` knows more, when installed."""

import datetime
from typing import Any, NamedTuple

from estimator.catalog.files import cached, count, folders, number, rows, source_of
from estimator.errors import InvalidInput, MissingExtra, UnknownName, clipped
from estimator.records import Source

COLUMNS = ("provider", "model", "input_usd_per_mtok", "output_usd_per_mtok", "valid_from", "source")
PROVIDERS = {
    "gemini": "google",
    "vertex": "google",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "aws": "bedrock",
}
LIBRARY = {"bedrock": "aws", "voyage": "voyageai"}  # the names genai-prices has for them
REMEDY = "Name one as provider:model. To add a price, see hardware/README.md."


class ApiPrice(NamedTuple):
    """What an API asks for a million tokens [USD/Mtok]; `None` is not known, never free.

    long_*: prices of the whole request once its input exceeds `long_context_above_tokens`; batch_*: of the batch tier
    cache_write_1h: of a prefix that is kept for an hour; cache_storage: of one that is held, by the hour [USD/Mtok/h]
    cache_min_tokens: the shortest prefix that is cached [token]; thinks: `unasked`, `if asked`, or nothing is known
    """

    provider: str
    model: str
    mode: str
    source: Source
    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    cache_read_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    batch_input_usd_per_mtok: float | None = None
    batch_output_usd_per_mtok: float | None = None
    long_context_above_tokens: int | None = None
    long_input_usd_per_mtok: float | None = None
    long_output_usd_per_mtok: float | None = None
    batch_cache_read_usd_per_mtok: float | None = None
    batch_cache_write_usd_per_mtok: float | None = None
    cache_write_1h_usd_per_mtok: float | None = None
    batch_cache_write_1h_usd_per_mtok: float | None = None
    cache_storage_usd_per_mtok_hour: float | None = None
    cache_min_tokens: int | None = None
    long_cache_read_usd_per_mtok: float | None = None
    long_cache_write_usd_per_mtok: float | None = None
    long_batch_input_usd_per_mtok: float | None = None
    long_batch_output_usd_per_mtok: float | None = None
    long_batch_cache_read_usd_per_mtok: float | None = None
    thinks: str = ""
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    embedding_dim: int | None = None
    valid_from: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """As one types it."""
        return f"{self.provider}:{self.model}"


def api_price(name: str) -> ApiPrice:
    """The price of `provider:model`, or of a model that only one provider lists.

    >>> api_price("openai:gpt-4o-mini").input_usd_per_mtok, api_price("claude-sonnet-4.5").model
    (0.15, 'claude-sonnet-4-5')
    >>> api_price("text-embedding-3-small").output_usd_per_mtok is None
    True
    """
    provider, model = _split(name)
    listed = [price for price in _shipped().values() if not provider or price.provider == provider]
    matches = [price for price in listed if price.model.lower() == model]
    matches = matches or [price for price in listed if _dashed(price.model) == _dashed(model)]
    if len(matches) > 1:
        raise InvalidInput(f"{clipped(name)} is offered by several: {', '.join(price.name for price in matches)}")
    return matches[0] if matches else _elsewhere(name, provider, model)


def _dashed(model: str) -> str:
    """A model's name as it is compared where nothing has just that name: claude-sonnet-4.5 is claude-sonnet-4-5."""
    return model.lower().replace(".", "-").replace("_", "-")


@cached
def api_names() -> tuple[str, ...]:
    """Everything in the lists that ship and the user's own, as provider:model."""
    return tuple(sorted(_shipped()))


def _split(name: str) -> tuple[str, str]:
    """(provider or nothing, model); a colon may also belong to the model, as in ft:gpt-4o."""
    text = name.strip().lower()[:200]
    before, colon, after = text.partition(":")
    before = PROVIDERS.get(before, before)
    known = {price.provider for price in _shipped().values()}
    if colon and before and (before in known or (before != "ft" and "." not in before and "/" not in before)):
        return before, after.strip()
    return "", text


@cached
def _shipped() -> dict[str, ApiPrice]:
    """The newest row of each model, the user's lists first."""
    found: dict[str, ApiPrice] = {}
    for folder in folders("prices"):
        if (folder / "llm_api.csv").is_file():
            listed = sorted(rows(folder / "llm_api.csv", COLUMNS), key=lambda row: row["valid_from"], reverse=True)
            for row in listed:
                found.setdefault(f"{row['provider']}:{row['model']}", _read(row))
    return found


def _read(row: dict[str, str]) -> ApiPrice:
    where = f"llm_api.csv, {row['provider']}:{row['model']}"

    def usd(column: str) -> float | None:
        value = number(row.get(column, ""), f"{where}: {column}")
        if value is not None and not 0 <= value < 1e5:
            raise InvalidInput(f"{where}: {column} must be a price per million tokens, not {value:g}")
        return value

    def stated(column: str) -> int | None:
        return count(row.get(column, ""), f"{where}: {column}")

    cells: dict[str, Any] = {column: usd(column) for column in PRICES} | {column: stated(column) for column in COUNTS}
    return ApiPrice(
        provider=row["provider"],
        model=row["model"],
        mode=row.get("mode") or "chat",
        source=source_of(row),
        **cells,
        thinks=row.get("thinks", ""),
        valid_from=row["valid_from"],
        note=row.get("note", ""),
    )


PRICES = tuple(name for name in ApiPrice._fields if name.endswith(("_usd_per_mtok", "_usd_per_mtok_hour")))
COUNTS = ("long_context_above_tokens", "cache_min_tokens", "max_input_tokens", "max_output_tokens", "embedding_dim")


def _elsewhere(name: str, provider: str, model: str) -> ApiPrice:
    """The entry of the optional library `genai-prices`; only looked at for models that no shipped list has."""
    try:
        from genai_prices import data_snapshot  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        if provider in {price.provider for price in _shipped().values()} or not provider:
            raise UnknownName("API model", name, api_names(), f"{REMEDY} The extra 'prices' knows more.") from None
        raise MissingExtra("genai-prices", "prices") from None
    if not provider:
        raise UnknownName("API model", name, api_names(), REMEDY)
    snapshot = data_snapshot.get_snapshot()
    known = {entry.id: entry for entry in snapshot.providers}
    offered = known.get(LIBRARY.get(provider, provider))
    if offered is None:
        raise UnknownName("API provider", provider, known, REMEDY)
    found = offered.find_model(model, all_providers=snapshot.providers)
    if found is None:
        raise UnknownName("API model", name, [f"{provider}:{entry.id}" for entry in offered.models], REMEDY)
    return of_library(provider, found)


def of_library(provider: str, entry: Any) -> ApiPrice:
    """An entry of genai-prices as a price of ours."""
    from importlib.metadata import version

    prices = entry.get_prices(datetime.datetime.now(tz=datetime.UTC))
    tier_at, long_input = _tier(prices.input_mtok)
    _, long_output = _tier(prices.output_mtok)
    _, long_read = _tier(prices.cache_read_mtok)
    _, long_write = _tier(prices.cache_write_mtok)
    return ApiPrice(
        provider=provider,
        model=entry.id,
        mode="chat",
        source=Source(f"genai-prices {version('genai-prices')}", "read", ""),
        input_usd_per_mtok=_base(prices.input_mtok),
        output_usd_per_mtok=_base(prices.output_mtok),
        cache_read_usd_per_mtok=_base(prices.cache_read_mtok),
        cache_write_usd_per_mtok=_base(prices.cache_write_mtok),
        long_context_above_tokens=tier_at,
        long_input_usd_per_mtok=long_input,
        long_output_usd_per_mtok=long_output,
        long_cache_read_usd_per_mtok=long_read,
        long_cache_write_usd_per_mtok=long_write,
        max_input_tokens=entry.context_window,
        note=entry.price_comments or "",
    )


def _base(price: Any) -> float | None:
    """The library's price without tiers; nothing when it has none."""
    return None if price is None else float(getattr(price, "base", price))


def _tier(price: object) -> tuple[int | None, float | None]:
    """Where the first tier starts and what it asks, when there is one."""
    tiers = getattr(price, "tiers", None)
    return (int(tiers[0].start), float(tiers[0].price)) if tiers else (None, None)
