"""Serving behind an API: tokens at list prices, with cache, batch and long-context tiers; no accelerators."""

from typing import Any

from estimator.catalog.facts import facts
from estimator.catalog.prices import ApiPrice, api_names, api_price
from estimator.errors import DoesNotFit
from estimator.formulas import money, prompting
from estimator.formulas.arithmetic import product, sum_of
from estimator.quantities import Quantity, derive
from estimator.results import Line
from estimator.stages.budget import monthly
from estimator.stages.question import Question
from estimator.stages.service import Service, cached, of_prefix, on_own, sent_requests

SPEED = "an API's speed is the provider's to tell"


def behind_api(question: Question, api: ApiPrice, prompt: Quantity, output: Quantity, prefix: Quantity) -> Service:
    """The service of requests sent to a hosted LLM."""
    input_usd = input_price(question, api, prompt, prefix)
    output_usd = derive(
        "output of one request",
        "USD",
        money.token_usd,
        tokens=output,
        usd_per_mtok=_price(question, api, "output", prompt),
    )
    retries = question.amount("retries")
    request = derive(
        "one request", "USD", money.request_usd, input_usd=input_usd, output_usd=output_usd, retries=retries
    )
    sent = sent_requests(question)
    return Service(
        prompt_tokens=prompt,
        output_tokens=output,
        ttft_s=question.unknown("time to first token", "s", SPEED),
        tpot_s=question.unknown("time per output token", "s", SPEED),
        requests_per_s=question.unknown("capacity", "1/s", SPEED),
        usd_per_request=request,
        kv_bytes=question.zero("KV cache of a request", "B"),
        busy_s=question.zero("device time of a request", "s"),
        replicas=question.zero("replicas", "1"),
        accelerators=question.zero("accelerators per replica", "1"),
        lines=(
            _tokens(question, "API input tokens", sent, input_usd),
            _tokens(question, "API output tokens", sent, output_usd),
            *cache_held(question, api, prefix),
        ),
        break_even_utilisation=_break_even(question, prompt, output, prefix, input_usd, output_usd),
    )


def _tokens(question: Question, item: str, sent: Quantity, usd: Quantity) -> Line:
    return monthly(question, "api", item, cost_type="variable", driver="requests", quantity=sent, unit_price=usd)


def tuned_price(api: ApiPrice) -> ApiPrice:
    """The provider's price for the fine-tuned LLM where it lists one, else that of the LLM itself."""
    tuned = next((name for name in api_names() if name.startswith(f"{api.provider}:ft:{api.model}")), None)
    return api if tuned is None else api_price(tuned)


def input_price(question: Question, api: ApiPrice, prompt: Quantity, prefix: Quantity) -> Quantity:
    """Price of one request's input: each token is billed once, read from, written to, or outside the cache."""
    least = _shortest_cached(question, api)
    written = (
        "cache_write_1h" if question.word("cache_ttl") == "1h" and api.cache_write_1h_usd_per_mtok else "cache_write"
    )
    return derive(
        "input of one request",
        "USD",
        prompting.input_usd_per_request,
        prompt_tokens=prompt,
        cached_tokens=cached(question, prefix, least),
        usd_per_mtok=_price(question, api, "input", prompt),
        cache_read_usd_per_mtok=_price(question, api, "cache_read", prompt),
        cache_write_usd_per_mtok=_price(question, api, written, prompt),
        written_tokens=of_prefix(question, "tokens written to the cache", prompting.written_tokens, prefix, least),
    )


def _shortest_cached(question: Question, api: ApiPrice) -> Quantity | None:
    """As listed for the LLM; else what its provider says of its LLMs."""
    if api.cache_min_tokens is not None:
        return question.known("shortest cached prefix", api.cache_min_tokens, "token", "published", api.source)
    found = facts("cache_min_tokens").get(api.provider)
    if found is None:
        return None
    return question.known("shortest cached prefix", found.value, "token", "published", found.source)


def cache_held(question: Question, api: ApiPrice, prefix: Quantity) -> list[Line]:
    """A prefix that is held in an explicit cache, where the scenario holds one: paid by the hour."""
    if not question.flag("prefix_cache") or question.number("cache_held_hours_per_month") == 0:
        return []
    price = _list_price(question, api, "cache_storage", api.cache_storage_usd_per_mtok_hour, "USD/Mtok/h")
    hours = question.amount("cache_held_hours_per_month")
    held = derive("cache held", "token h/month", product, prefix=prefix, hours=hours)
    paid: dict[str, Any] = {"quantity": held, "unit_price": price, "formula": money.token_usd}
    return [monthly(question, "api", "API cache storage", driver="hours held", **paid)]


def _list_price(question: Question, api: ApiPrice, kind: str, value: float | None, unit: str = "USD/Mtok") -> Quantity:
    """A listed price [USD/Mtok]; kind: input, output, batch_input, long_output, cache_read, ..."""
    name, key = f"{kind.replace('_', ' ')} price", f"{kind}_of_{api.name}"
    if value is None:
        return question.unknown(name, unit, f"no {name} is known for {api.name}", key=f"price_{key}")
    return question.price(key, name, value, unit, api.source)


def _price(question: Question, api: ApiPrice, kind: str, prompt: Quantity) -> Quantity:
    """Price of a kind of token [USD/Mtok]: of the batch tier where chosen, of the long-context tier where reached.

    Cached tokens for which no price is listed in that tier are billed as any other.
    """
    tier = "batch_" if question.flag("batch_tier") else ""
    listed = getattr(api, f"{tier}{kind}_usd_per_mtok")
    if listed is None and kind not in ("input", "output"):
        return _price(question, api, "input", prompt)
    price = _list_price(question, api, f"{tier}{kind}", listed)
    if api.long_context_above_tokens is None:
        return price
    long = _long(api, tier, kind)
    if long is None:
        return price
    return derive(
        f"{kind} price",
        "USD/Mtok",
        prompting.tiered_usd_per_mtok,
        prompt_tokens=prompt,
        above_tokens=question.known(
            "long context above", api.long_context_above_tokens, "token", "list price", api.source
        ),
        usd_per_mtok=price,
        long_usd_per_mtok=_list_price(question, api, f"long-context_{tier}{kind}", long),
    )


def _long(api: ApiPrice, tier: str, kind: str) -> float | None:
    """The listed price of long requests; of cached tokens for which none is, that of their other tokens."""
    found: float | None = getattr(api, f"long_{tier}{kind}_usd_per_mtok", None)
    return found if found is not None or kind in ("input", "output") else _long(api, tier, "input")


def tier_notes(question: Question) -> tuple[str, ...]:
    """What a bill behind an API leaves out or leaves to chance, in words."""
    api = question.api
    if api is None:
        return ()
    notes = []
    if api.thinks == "unasked" and question.number("thinking_tokens") == 0:
        notes.append(
            f"{api.name} thinks before it answers and bills that as output: none is counted here. Set thinking_tokens, "
            "often hundreds to thousands."
        )
    if question.flag("batch_tier") and question.flag("prefix_cache"):
        caches = api.batch_cache_read_usd_per_mtok is not None
        notes.append(
            f"In the batch tier of {api.name} cached tokens have a price of their own; hits there are best effort: set "
            "cache_hit_rate."
            if caches
            else f"In the batch tier of {api.name} no price of cached tokens is listed: all are billed as any other."
        )
    return tuple(notes)


def _break_even(
    question: Question, prompt: Quantity, output: Quantity, prefix: Quantity, input_usd: Quantity, output_usd: Quantity
) -> Quantity | None:
    """Utilisation at which own accelerators would cost the same; only when an LLM and an accelerator are named too.

    Both answer what is sent twice twice: repeats are in neither side.
    """
    if question.llm is None or question.accelerator is None:
        return None
    try:
        own = on_own(question, prompt, output, prefix)
    except DoesNotFit as error:
        return question.unknown("break-even utilisation", "1", str(error))
    return derive(
        "break-even utilisation",
        "1",
        money.break_even_utilisation,
        usd_per_hour=question.hour_usd("serving"),
        accelerators=own.accelerators,
        capacity_requests_per_s=own.requests_per_s,
        api_usd_per_request=derive("one request, sent once", "USD", sum_of, input=input_usd, output=output_usd),
    )
