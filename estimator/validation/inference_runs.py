"""Inference cases, read: from a row's configuration to the run it describes. Never the measurement."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.engines import engine
from estimator.catalog.models import architecture
from estimator.catalog.plan_fields import plan_fields
from estimator.errors import EstimatorError, InvalidInput, UnknownName, clipped
from estimator.numerals import MOST, numeral
from estimator.predict.checked import checked_value
from estimator.predict.serving import memory_split, sequence_bytes, slots_and_ends
from estimator.predict.serving_costs import load_of
from estimator.predict.serving_load import Load
from estimator.predict.serving_machine import ServingPlan, suited
from estimator.records import Architecture, Cluster, Experts

Row = Mapping[str, str]

SEQUENCES_QUEUED = 2000.0  # requests of an offline benchmark that does not say how many
ASSUMED_TOKENS = 128.0  # prompt, output or text length where a row states none
ASSUMED_BATCH = 32.0  # texts embedded together where a row does not say: the default of sentence-transformers' encode
AT_RATES = (8.0, 64.0)  # sequences that steps are timed with where requests come at a rate, beside one
UNTOLD = 4.0  # what a row leaves open may be so many times more or less

TASK_OF_METRIC = {
    "ttft_ms": "ttft",
    "tpot_ms": "tpot",
    "itl_ms": "tpot",
    "prefill_tokens_per_s": "prefill",
    "decode_tokens_per_s_per_user": "decode",
    "embeddings_per_s": "embedding",
    "pairs_per_s": "rerank",
}
TASKS = ("single_stream", "offline_throughput", "online", *dict.fromkeys(TASK_OF_METRIC.values()))
METRICS = (
    *TASK_OF_METRIC,
    *("e2e_s", "requests_per_s", "total_tokens_per_s", "decode_tokens_per_s_total"),
    *("output_tokens_per_s_total", "output_tokens_per_s_per_gpu"),
)
GROUPS = ("decode", "prefill", "offline", "tpot", "ttft", "online", "embedding")


@dataclass(frozen=True, slots=True)
class Run:
    """One row's configuration. kind: what `number` counts - a batch, clients of a closed loop, requests of a burst, or
    requests a second.

    slots: sequences served at once [1]; slots_ends: as many, with the least and the most memory the cache may have
    untold: lengths and batch that the row does not state, in words
    requests: in the whole run [1]; longest: its longest answer over the mean [1]
    together: whether a closed loop's clients began at once, and stay so
    """

    id: str
    source: str
    task: str
    metric: str
    load: Load
    cluster: Cluster
    kind: str
    number: float
    slots: float
    slots_ends: tuple[float, float]
    untold: tuple[str, ...]
    fits: bool
    requests: float = np.inf
    longest: float = 1.0
    together: bool = False

    @property
    def short(self) -> bool:
        """Whether more requests wait than the cache has room for."""
        bound = self.slots < self.load.plan.most_sequences
        return bound and self.kind != "batch" and (self.kind == "rate" or self.number > self.slots)

    @property
    def group(self) -> str:
        """Which kind of prediction it is; latency without load counts as decode or prefill."""
        if self.task in ("embedding", "rerank"):
            return "embedding"
        if self.task in ("prefill", "single_stream", "decode"):
            return "prefill" if self.task == "prefill" else "decode"
        if self.task in ("ttft", "tpot"):
            alone = {"ttft": "prefill", "tpot": "decode"}
            return alone[self.task] if self.number <= 1 else self.task
        return "online" if self.task == "online" else "offline"

    @property
    def range_group(self) -> str:
        """Which errors its range rests on: one batch from start to end is foretold better than a full engine."""
        return "batch" if self.group == "offline" and self.kind == "batch" else self.group

    @property
    def active(self) -> float:
        """Sequences decoded together [1]; at a rate, how many steps are timed at to see how they grow."""
        if self.kind == "batch":
            return self.number
        if self.kind == "rate":
            return max(min(AT_RATES[-1], self.slots, self.requests), 3.0)
        if self.load.plan.facts.batching == "static" and self.task in ("online", "ttft", "tpot"):
            return 1.0  # one request after the other
        return max(min(self.number, self.slots), 1.0)


def read_run(row: Row) -> Run:
    """The configuration of a row. Raises EstimatorError, saying what is missing or unknown."""
    metric = row.get("metric", "")
    task = _task(row, metric)
    kind, number = _load(row, task)
    cluster = _cluster(row)
    plan = suited(replace(_plan(row), engine_year=_year(row), server=_server(row, task, kind)), cluster.accelerator)
    arch = _architecture(row, task)
    encoder = task in ("embedding", "rerank")
    prompt = _number(row, "input_len", ASSUMED_TOKENS)
    output = 1.0 if encoder else max(_number(row, "output_len", ASSUMED_TOKENS), 1.0)
    held = memory_split(arch, cluster, plan)
    cached = min(_number(row, "prefix_len", 0.0), max(prompt - 1.0, 0.0))
    slots, *ends = slots_and_ends(arch, cluster, plan, prompt, output)
    return Run(
        id=row.get("id", ""),
        source=row.get("source", ""),
        task=task,
        metric=metric,
        load=load_of(arch, plan, prompt, output, cached),
        cluster=cluster,
        kind=kind,
        number=number,
        slots=slots,
        slots_ends=(ends[0], ends[1]),
        untold=_untold(row, encoder),
        requests=_number(row, "requests", np.inf),
        longest=_longest(output, number) if kind == "burst" else 1.0,
        together=row.get("arrival") == AT_ONCE,
        fits=held.kv_available > 0 and float(sequence_bytes(arch, plan, prompt + output)) <= held.kv_available,
    )


def _longest(output: float, requests: float) -> float:
    """The longest answer over the mean [1]: lengths that are not whole are means, of answers that end by chance.

    Source: largest of n exponential draws, n-th harmonic number; Feller, Introduction to Probability Theory II, I.6.
    """
    return np.log(max(requests, 1.0)) + np.euler_gamma if output % 1 else 1.0


def _untold(row: Row, encoder: bool) -> tuple[str, ...]:
    """What the row leaves open of `prompt`, `output` and, of encoders, `batch`."""
    columns = {"prompt": "input_len", **({"batch": "batch_or_concurrency"} if encoder else {"output": "output_len"})}
    return tuple(name for name, column in columns.items() if not row.get(column))


def _task(row: Row, metric: str) -> str:
    """The task of a row: as it says; of a latency under load, that latency; else what the metric is usually of."""
    named = row.get("task", "")
    if named and named not in TASKS:
        raise UnknownName("inference task", named, TASKS, f"Known are {', '.join(TASKS)}.")
    if named and not (named == "online" and metric in TASK_OF_METRIC):
        return named
    if metric in TASK_OF_METRIC:
        return TASK_OF_METRIC[metric]
    batch = row.get("batch_or_concurrency", "")
    if metric == "e2e_s" or batch == "1":
        return "single_stream" if batch in ("", "1") else "offline_throughput"
    if "per_s" in metric:
        return "online" if batch.startswith("qps") else "offline_throughput"
    raise UnknownName("inference metric", metric, METRICS, f"Known are {', '.join(METRICS)}.")


def _number(row: Row, column: str, missing: float) -> float:
    text = row.get(column, "")
    if not text:
        return missing
    value = numeral(text)
    if value is None or not 0 <= value < MOST:
        raise InvalidInput(f"{column} must be a number, not {clipped(text)}")
    return value


def _whole(row: Row, column: str, missing: float) -> int:
    value = _number(row, column, missing)
    if value % 1:
        raise InvalidInput(f"{column} must be a whole number, not {value:g}")
    return int(value)


AT_ONCE = "closed together"  # a closed loop of equal lengths whose clients began at once
KINDS = {"static": "batch", "closed": "clients", AT_ONCE: "clients", "burst": "burst", "rate": "rate"}  # by `arrival`
PASSES = ("prefill", "embedding", "rerank")  # tasks in which nobody waits for a server


def _load(row: Row, task: str) -> tuple[str, float]:
    """How requests come, by `arrival` or what goes without saying in the task; and how many, or how many a second."""
    text = row.get("batch_or_concurrency", "").lower()
    said = row.get("arrival", "")
    if said and said not in KINDS:
        raise UnknownName("arrival", said, KINDS, f"Known are {', '.join(KINDS)}.")
    if text.startswith("qps"):
        return "rate", _count(text.removeprefix("qps"))
    offline = task not in ("single_stream", "decode", *PASSES, "ttft", "tpot", "online")
    if not text and task in ("embedding", "rerank"):
        return "batch", 1.0 if is_time(row.get("metric", "")) else ASSUMED_BATCH
    if text in ("", "max"):
        queued = max(_number(row, "requests", SEQUENCES_QUEUED), 1.0)
        return ("burst", queued) if offline or text == "max" else (KINDS.get(said, "batch"), 1.0)
    number = max(_count(text), 1.0)
    a_pass = number <= 1.0 and _number(row, "output_len", ASSUMED_TOKENS) <= 1.0
    usual = "clients" if task in ("ttft", "tpot", "online") and not a_pass else "batch"
    return (KINDS.get(said, usual) if said != "rate" else usual), number


def _count(text: str) -> float:
    number = numeral(text)
    if number is None or not 0 <= number < MOST:
        raise InvalidInput(f"batch_or_concurrency must be a number, 'max' or 'qpsN', not {clipped(text)}")
    return number


SERVERS = ("in_process", "http")


def _server(row: Row, task: str, kind: str) -> str:
    """Whether requests came over HTTP; where the row does not say, latencies of clients did."""
    said = row.get("server", "")
    if said and said not in SERVERS:
        raise UnknownName("server", said, SERVERS, f"Known are {', '.join(SERVERS)}.")
    usual = "http" if kind in ("clients", "rate") and task in ("ttft", "tpot", "online") else "in_process"
    return (said or usual).replace("_", " ")


def _year(row: Row) -> float | None:
    """The column engine_date, YYYY or YYYY-MM, as a year and its part."""
    text = row.get("engine_date", "")
    if not text:
        return None
    found = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-\d\d)?", text)
    if not found:
        raise InvalidInput(f"engine_date must be YYYY-MM, not {clipped(text)}")
    return int(found[1]) + (int(found[2] or 7) - 1) / 12.0


def _field(row: Row, column: str) -> int:
    """A count of the plan, within what its field may hold; 0 where the row does not say."""
    text = row.get(column, "")
    if text and numeral(text):
        checked_value(plan_fields("serving")[column], text)
    return int(_number(row, column, 0))


def _plan(row: Row) -> ServingPlan:
    tp, pp = _field(row, "tp"), _field(row, "pp")
    count = _whole(row, "n_gpus", max(tp, 1) * max(pp, 1))
    name = row.get("engine") or "unknown"
    if not tp and not pp and engine(name).layer_split:
        pp = count
    tp, pp = tp or max(count // max(pp, 1), 1), max(pp, 1)
    return ServingPlan(
        weight_precision=row.get("weight_precision") or "bf16",
        kv_precision=row.get("kv_precision") or None,
        activation_precision=row.get("activation_precision") or None,
        engine=name,
        tp=tp,
        pp=pp,
        ep=max(_field(row, "ep"), count // pp if count > tp * pp else 1),
    )


def _cluster(row: Row) -> Cluster:
    if not row.get("gpu"):
        raise InvalidInput("the case states no 'gpu'")
    count = _whole(row, "n_gpus", _number(row, "tp", 1) * _number(row, "pp", 1))
    return cluster_of(accelerator(row["gpu"]), max(count, 1))


SIZE = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])")  # of an LLM, in its name
SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


def _architecture(row: Row, task: str) -> Architecture:
    """The catalogue's record where the name is known and the stated shape agrees; else the stated shape."""
    stated = {name: _whole(row, name, 0) for name in SHAPE}
    try:
        known = architecture(row.get("model", ""))
    except EstimatorError:
        known = None
    if known and all(getattr(known, name) == stated[name] for name in ("layers", "hidden") if stated[name]):
        return known
    if all(stated[name] for name in ("layers", "hidden", "heads")):
        return _stated_shape(row, stated, task)
    size = row.get("params_b", "") or "".join(SIZE.findall(row.get("model", "").lower())[:1])
    if size and task not in ("embedding", "rerank"):
        return replace(architecture(f"{size}b"), name=row.get("model", ""), basis="assumed")
    raise InvalidInput(f"the model {row.get('model', '')!r} is not known and its shape is not stated")


def _stated_shape(row: Row, stated: Mapping[str, int], task: str) -> Architecture:
    hidden, heads = stated["hidden"], stated["heads"]
    experts, visited = _whole(row, "n_experts", 0), _whole(row, "experts_per_token", 0)
    ffn = stated["ffn"] or 4 * hidden
    return Architecture(
        name=row.get("model", ""),
        layers=stated["layers"],
        hidden=hidden,
        heads=heads,
        kv_heads=stated["kv_heads"] or heads,
        head_dim=stated["head_dim"] or hidden // heads,
        ffn=ffn,
        vocab=stated["vocab"] or 32000,
        gated_mlp=bool(_number(row, "gated_mlp", 1)),
        kind="encoder" if task in ("embedding", "rerank") else "decoder",
        experts=Experts(experts, visited or 1, ffn) if experts else None,
        basis="assumed",
    )


def is_time(metric: str) -> bool:
    """Whether a metric is a time rather than a rate."""
    return metric.endswith(("_s", "_ms")) and "per_s" not in metric


def unit_of(metric: str) -> str:
    """The unit a metric's name ends in."""
    if is_time(metric):
        return metric.rpartition("_")[2]
    return metric.partition("_per_")[0].rpartition("_")[2] + "/s"
