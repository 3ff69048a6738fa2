"""Serving behind an API: tokens at list prices, with cache, batch and long-context tiers; no accelerators."""

from estimator.catalog.facts import facts
from estimator.catalog.prices import ApiPrice, api_names, api_price
from estimator.formulas import money, prompting
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
        usd_per_mtok=_tiered(question, api, "output", prompt),
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
        ),
        break_even_utilisation=_break_even(question, prompt, output, prefix, request),
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
    return derive(
        "input of one request",
        "USD",
        prompting.input_usd_per_request,
        prompt_tokens=prompt,
        cached_tokens=cached(question, prefix, least),
        usd_per_mtok=_tiered(question, api, "input", prompt),
        cache_read_usd_per_mtok=_cache_price(question, api, "read", prompt),
        cache_write_usd_per_mtok=_cache_price(question, api, "write", prompt),
        written_tokens=of_prefix(question, "tokens written to the cache", prompting.written_tokens, prefix, least),
    )


def _shortest_cached(question: Question, api: ApiPrice) -> Quantity | None:
    found = facts("cache_min_tokens").get(api.provider)
    if found is None:
        return None
    return question.known("shortest cached prefix", found.value, "token", "published", found.source)


def _list_price(question: Question, api: ApiPrice, kind: str, value: float | None) -> Quantity:
    """A listed price [USD/Mtok]; kind: input, output, batch_input, long_output, cache_read, ..."""
    name, key = f"{kind.replace('_', ' ')} price", f"{kind}_of_{api.name}"
    if value is None:
        return question.unknown(name, "USD/Mtok", f"no {name} is known for {api.name}", key=f"price_{key}")
    return question.price(key, name, value, "USD/Mtok", api.source)


def _tiered(question: Question, api: ApiPrice, kind: str, prompt: Quantity) -> Quantity:
    """Input or output price [USD/Mtok]: of the batch tier where chosen, of the long-context tier where reached."""
    tier = "batch_" if question.flag("batch_tier") else ""
    price = _list_price(question, api, f"{tier}{kind}", getattr(api, f"{tier}{kind}_usd_per_mtok"))
    above, long = api.long_context_above_tokens, getattr(api, f"long_{kind}_usd_per_mtok")
    if above is None or long is None or tier:
        return price
    return derive(
        f"{kind} price",
        "USD/Mtok",
        prompting.tiered_usd_per_mtok,
        prompt_tokens=prompt,
        above_tokens=question.known("long context above", above, "token", "list price", api.source),
        usd_per_mtok=price,
        long_usd_per_mtok=_list_price(question, api, f"long-context_{kind}", long),
    )


def _cache_price(question: Question, api: ApiPrice, kind: str, prompt: Quantity) -> Quantity:
    """Price of a cached token [USD/Mtok]; where none is listed, that of any other token."""
    listed = getattr(api, f"cache_{kind}_usd_per_mtok")
    if listed is None or question.flag("batch_tier"):
        return _tiered(question, api, "input", prompt)
    return _list_price(question, api, f"cache_{kind}", listed)


def _break_even(
    question: Question, prompt: Quantity, output: Quantity, prefix: Quantity, request: Quantity
) -> Quantity | None:
    """Utilisation at which own accelerators would cost the same; only when an LLM and an accelerator are named too."""
    if question.llm is None or question.accelerator is None:
        return None
    own = on_own(question, prompt, output, prefix)
    return derive(
        "break-even utilisation",
        "1",
        money.break_even_utilisation,
        usd_per_hour=question.usd_per_hour,
        accelerators=own.accelerators,
        capacity_requests_per_s=own.requests_per_s,
        api_usd_per_request=request,
    )
