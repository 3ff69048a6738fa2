"""What benchmarks of servers write, and what servers say of themselves."""

import re
from collections.abc import Mapping, Sequence

from estimator.errors import InvalidInput, MissingExtra
from estimator.recording.found import Found, Log, inside, measured, number, table
from estimator.validation.inference_runs import AT_ONCE

Samples = Mapping[str, Sequence[float]]
# Histograms of servers, by metric: names of their sums and counts without the endings.
HISTOGRAMS = {
    "vllm": {
        "ttft_ms": ("vllm:time_to_first_token_seconds",),
        "tpot_ms": (
            "vllm:request_time_per_output_token_seconds",
            "vllm:time_per_output_token_seconds",
            "vllm:inter_token_latency_seconds",
        ),
    },
    "sglang": {
        "ttft_ms": ("sglang:time_to_first_token_seconds",),
        "tpot_ms": ("sglang:time_per_output_token_seconds", "sglang:inter_token_latency_seconds"),
    },
    "tgi": {"ttft_ms": (), "tpot_ms": ("tgi_request_mean_time_per_token_duration",)},
}
LENGTHS = {
    "vllm": {"input_len": "vllm:request_prompt_tokens", "output_len": "vllm:request_generation_tokens"},
    "sglang": {"input_len": "sglang:prompt_tokens_histogram", "output_len": "sglang:generation_tokens_histogram"},
    "tgi": {"input_len": "tgi_request_input_length", "output_len": "tgi_request_generated_tokens"},
}


def vllm_bench(log: Log) -> Sequence[Found]:
    """JSON of `vllm bench serve`, and of SGLang's, which has the same names."""
    data = log.data
    completed, prompt, written = (
        number(inside(data, name)) for name in ("completed", "total_input_tokens", "total_output_tokens")
    )
    if not (completed and prompt and written):
        return ()
    rate, clients = inside(data, "request_rate"), number(inside(data, "max_concurrency"))
    open_loop = bool(number(rate)) and str(rate) != "inf"
    load = f"{clients:g}" if clients else f"qps{rate}" if open_loop else "max"
    columns = {
        "engine": {"vllm": "vllm", "sglang": "sglang", "sglang-oai": "sglang"}.get(
            str(inside(data, "backend")), "vllm"
        ),
        "model": inside(data, "model_id"),
        "input_len": round(prompt / completed),
        "output_len": round(written / completed),
        "batch_or_concurrency": load,
        "arrival": _arrival(bool(clients), open_loop, prompt % completed == written % completed == 0),
        "requests": round(completed),
        "server": "http",
    }
    found = measured(
        ttft_ms=number(inside(data, "mean_ttft_ms")),
        tpot_ms=number(inside(data, "mean_tpot_ms")),
        output_tokens_per_s_total=number(inside(data, "output_throughput")),
    )
    return (Found("vllm bench serve", "inference", columns, found),) if found else ()


def _arrival(clients: bool, open_loop: bool, even: bool) -> str:
    """How requests came. Clients who are all let in at once stay together where lengths are even."""
    if not clients:
        return "rate" if open_loop else "burst"
    return AT_ONCE if even and not open_loop else "closed"


def guidellm(log: Log) -> Sequence[Found]:
    """Report of GuideLLM: one run a benchmark."""
    every = inside(log.data, "benchmarks")
    return tuple(found for one in every if (found := _guidellm(one))) if isinstance(every, list) else ()


def _guidellm(one: object) -> Found | None:
    def mean(name: str) -> float | None:
        return number(inside(one, "metrics", name, "successful", "mean"))

    strategy = inside(one, "args", "strategy") or inside(one, "config", "strategy")
    streams, rate = number(inside(strategy, "streams")), number(inside(strategy, "rate"))
    load = (
        f"{streams:g}"
        if streams
        else f"qps{rate:g}"
        if rate
        else {"synchronous": "1"}.get(str(inside(strategy, "type_")), "max")
    )
    found = measured(
        ttft_ms=mean("time_to_first_token_ms"),
        tpot_ms=mean("inter_token_latency_ms"),
        output_tokens_per_s_total=mean("output_tokens_per_second"),
    )
    columns = {
        "input_len": round(mean("prompt_token_count") or 0) or None,
        "output_len": round(mean("output_token_count") or 0) or None,
        "batch_or_concurrency": load,
    }
    return Found("GuideLLM", "inference", columns, found) if found else None


def aiperf(log: Log) -> Sequence[Found]:
    """`profile_export_*.json` of AIPerf or GenAI-Perf."""

    def mean(name: str) -> float | None:
        return number(inside(log.data, name, "avg"))

    found = measured(
        ttft_ms=mean("time_to_first_token"),
        tpot_ms=mean("inter_token_latency"),
        output_tokens_per_s_total=mean("output_token_throughput"),
    )
    if not found:
        return ()
    clients = number(inside(log.data, "input_config", "loadgen", "concurrency"))
    columns = {
        "input_len": round(mean("input_sequence_length") or 0) or None,
        "output_len": round(mean("output_sequence_length") or 0) or None,
        "batch_or_concurrency": f"{clients:g}" if clients else "",
    }
    return (Found("AIPerf", "inference", columns, found),)


def metrics(log: Log) -> Sequence[Found]:
    """A scrape of `/metrics` of vLLM, SGLang or TGI; parsed by prometheus-client (extra `record`)."""
    engine = engine_of(log.text)
    if not engine:
        return ()
    columns, found = said(engine, samples(log.text))
    return (Found(f"/metrics of {engine}", "inference", columns, measured(**found)),)


def engine_of(text: str) -> str:
    """Whose metrics they are; empty for nobody's that is known."""
    return next((name for name, kinds in HISTOGRAMS.items() if any(s in text for k in kinds.values() for s in k)), "")


def said(engine: str, counted: Samples) -> tuple[dict[str, object], dict[str, float | None]]:
    """Mean lengths of requests as columns of a case, and their mean latencies."""
    latencies = {
        metric: next((1e3 * mean for name in names if (mean := _mean(counted, name))), None)
        for metric, names in HISTOGRAMS[engine].items()
    }
    lengths = {column: round(_mean(counted, name) or 0) or None for column, name in LENGTHS[engine].items()}
    return {"engine": engine, "batch_or_concurrency": "", **lengths}, latencies


def samples(text: str) -> Samples:
    """Values of every sample, over its labels. Raises InvalidInput for text that no server writes."""
    try:
        from prometheus_client.parser import text_string_to_metric_families as families
    except ImportError:
        raise MissingExtra("prometheus-client", "record") from None
    found: dict[str, list[float]] = {}
    try:
        for family in families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.value)
    except (ValueError, KeyError, IndexError):
        raise InvalidInput("this is a damaged scrape of /metrics: take it again") from None
    return found


def _mean(counted: Samples, name: str) -> float | None:
    count = sum(counted.get(f"{name}_count", ()))
    return number(sum(counted.get(f"{name}_sum", ())) / count) if count else None


BENCH_ROW = re.compile(r"^\| *([^|]+?) *\|.*\| *(pp|tg)(\d+)[^|]*\| *([\d.]+)", re.MULTILINE)


def llama_bench(log: Log) -> Sequence[Found]:
    """Output of llama-bench as JSON, CSV or its table: prompts and single streams."""
    rows = log.data if isinstance(log.data, list) else _bench_csv(log.text)
    if not rows and "| t/s" in log.text.replace("  ", ""):
        tests = BENCH_ROW.findall(log.text)
        rows = [
            {"avg_ts": ts, "n_prompt": n if kind == "pp" else "0", "n_gen": n if kind == "tg" else "0"}
            for _, kind, n, ts in tests
        ]
    return tuple(found for row in rows if (found := _bench(row)))


def _bench_csv(text: str) -> list[dict[str, str]]:
    head, *rows = table(text) if "avg_ts" in text.partition("\n")[0] else [[]]
    return [dict(zip(head, row, strict=False)) for row in rows]


def _bench(row: object) -> Found | None:
    rate, prompt, written = (number(inside(row, name)) for name in ("avg_ts", "n_prompt", "n_gen"))
    if not rate or bool(prompt) == bool(written):
        return None
    columns: dict[str, object] = {"engine": "llama.cpp", "batch_or_concurrency": "1", "n_gpus": 1}
    if prompt:
        return Found(
            "llama-bench",
            "inference",
            {**columns, "task": "prefill", "input_len": int(prompt), "output_len": 1},
            measured(prefill_tokens_per_s=rate),
        )
    columns |= {"task": "decode", "input_len": 1, "output_len": int(written or 1)}
    return Found("llama-bench", "inference", columns, measured(decode_tokens_per_s_per_user=rate))


READERS = (vllm_bench, guidellm, aiperf, llama_bench, metrics)
