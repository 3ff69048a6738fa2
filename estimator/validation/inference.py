"""Inference cases: from a row's configuration to a prediction in the row's own metric.

Only configuration columns are read; any but id, source and metric (or task) may be missing. Never the measurement.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from estimator.catalog.accelerators import accelerator, cluster_of
from estimator.catalog.engines import engine, serving_fit
from estimator.catalog.models import architecture
from estimator.catalog.plan_fields import plan_fields
from estimator.errors import EstimatorError, InvalidInput, UnknownName, clipped
from estimator.formulas import Floats, Real
from estimator.formulas.serving import Pass
from estimator.numerals import MOST, numeral
from estimator.predict.checked import checked_value
from estimator.predict.serving import (
    constants,
    interval,
    memory_split,
    sequence_bytes,
    slots_and_ends,
    traits,
)
from estimator.predict.serving_load import (
    STARTS,
    Answer,
    Load,
    Shares,
    Spread,
    Times,
    batch_prefill_s,
    burst,
    closed,
    evenly,
)
from estimator.predict.serving_machine import ServingPlan, machine, path
from estimator.predict.serving_time import Constants, Machine, Path, handing_out_s, path_s, side_by_side_s
from estimator.predict.serving_time import stacked as stacked_machines
from estimator.records import Architecture, Cluster, Experts
from estimator.validation.report import CasePrediction

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
    plan = replace(_plan(row), engine_year=_year(row), server=_server(row, task, kind))
    cluster = _cluster(row)
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
        load=Load(arch, plan, np.array(prompt), np.array(output), np.array(cached)),
        cluster=cluster,
        kind=kind,
        number=number,
        slots=slots,
        slots_ends=(ends[0], ends[1]),
        untold=_untold(row, encoder),
        requests=_number(row, "requests", np.inf),
        longest=_longest(output, number) if kind == "burst" else 1.0,
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


KINDS = {"static": "batch", "closed": "clients", "burst": "burst", "rate": "rate"}  # by the column `arrival`
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs counted: their prompts, a decode step and both together, on their machines, and how they are loaded.

    work, machines: of all runs, then of those at a rate or in a burst once more with a lone request, then of those at a
        rate with a few (arrays [3, ...] and [...]); lone, few: which run each of these last is
    active, points: sequences decoded together, of runs and of all of these; most: requests that can be there at once; longest: the longest answer over the mean [1]
    """

    runs: tuple[Run, ...]
    machines: Machine
    work: Pass
    turns: Floats
    shares: Shares
    lone: NDArray[np.intp]
    few: NDArray[np.intp]
    paths: Path
    active: Floats
    points: Floats
    number: Floats
    most: Floats
    longest: Floats
    tokens: Floats
    accelerators: Floats
    kind: NDArray[np.str_]
    prompts_first: NDArray[np.bool_]
    series: NDArray[np.str_]
    families: tuple[str, ...]
    family: NDArray[np.intp]

    def factor(self, phase: str, constants: Constants) -> Floats:
        """Each run's engine's own factor on the times of a phase [1]; 1 for an engine the fit did not see."""
        return np.array([constants.get(f"{phase}@{name}", 1.0) for name in self.families])[self.family]


def counted(runs: Sequence[Run]) -> Batch:
    """Count every run once; timing it with other constants is then cheap."""
    active = [run.active for run in runs]
    alone = [index for index, run in enumerate(runs) if run.kind in ("rate", "burst")]
    few = [index for index, run in enumerate(runs) if run.kind == "rate"]
    points = [*zip(runs, active, strict=True), *((runs[index], 1.0) for index in alone)]
    points += [(runs[index], min(AT_RATES[0], active[index] - 1.0)) for index in few]
    passes = [run.load.passes_of(number, run.kind == "batch") for run, number in points]
    families, family = np.unique([run.load.plan.facts.family for run, _ in points], return_inverse=True)
    shares = [
        run.load.shares(number, work.sequences[0], turns, run.short)
        for (run, number), (work, turns) in zip(points, passes, strict=True)
    ]
    return Batch(
        runs=tuple(runs),
        machines=stacked_machines([machine(run.load.arch, run.cluster, run.load.plan) for run, _ in points]),
        work=side_by_side([work for work, _ in passes]),
        turns=np.array([float(turns) for _, turns in passes]),
        shares=Shares(*(np.array([getattr(one, name) for one in shares]) for name in Shares._fields)),
        lone=np.array(alone, int),
        few=np.array(few, int),
        paths=Path(*map(np.array, zip(*(_path(run) for run in runs), strict=True))),
        active=np.array(active),
        points=np.array([number for _, number in points]),
        number=np.array([run.number for run in runs]),
        most=np.array([min(run.slots, run.requests) for run in runs]),
        longest=np.array([run.longest for run in runs]),
        tokens=np.array([float(run.load.prompt) for run in runs]),
        accelerators=np.array([float(run.cluster.count) for run in runs]),
        kind=np.array([run.kind for run in runs]),
        prompts_first=np.array([run.load.plan.facts.scheduling != "mixed" for run in runs]),
        series=np.array([_series(run) for run in runs]),
        families=tuple(families.tolist()),
        family=family,
    )


def _path(run: Run) -> Path:
    """The way around the engine; none where a pass was asked for, or a batch is timed in its own program."""
    found = path(run.cluster.accelerator, run.load.plan)
    inside = run.kind in ("batch", "burst") and run.load.plan.server == "in process"
    return Path(0.0, 0.0, 0.0, found.age) if inside or run.task in PASSES else found


def side_by_side(works: Sequence[Pass]) -> Pass:
    """Passes of several runs as one, each count an array [3, run]."""
    count = range(len(works))
    every = [np.broadcast_arrays(*(np.asarray(field, float) for field in work), np.zeros(3))[:-1] for work in works]
    return Pass(*(np.stack([every[index][place] for index in count], axis=-1) for place in range(len(Pass._fields))))


Timed = tuple[Real, Real, Real]  # prompts by themselves, what they add to steps, a decode step [s]


def predicted(batch: Batch, constants: Constants) -> Floats:
    """Every run's metric, in its unit."""
    return from_passes(batch, timed(batch, constants), constants)


def timed(batch: Batch, constants: Constants) -> Timed:
    """Passes of every run, before its engine's own factors [s]."""
    return side_by_side_s(batch.work, batch.turns, batch.machines, constants)


def from_passes(batch: Batch, passes: Timed, constants: Constants) -> Floats:
    """Every run's metric from the times of its passes."""
    prefill, decode = batch.factor("prefill", constants), batch.factor("decode", constants)
    count, points = len(batch.runs), np.concatenate([np.arange(len(batch.runs)), batch.lone, batch.few])
    handed = handing_out_s(Path(*(field[points] for field in batch.paths)), batch.points, constants)
    cost = batch.shares.times(passes[0] * prefill, passes[1] * prefill, passes[2] * decode + handed)
    main = Times(*(field[:count] for field in cost))
    ends = (count, count + len(batch.lone), len(points))
    lone, few = (Times(*(field[start:end] for field in cost)) for start, end in itertools.pairwise(ends))
    lone_s = main.step_s.copy()
    lone_s[batch.lone] = lone.step_s
    around = np.asarray(path_s(batch.paths, batch.active, constants))
    first = batch.prompts_first
    start = np.minimum(np.where(first, constants[STARTS["prompts-first"]], constants[STARTS["mixed"]]), 1.0)
    answers = {
        "batch": _together(batch, main, around),
        "clients": closed(main, batch.number, batch.active, around, start),
        "burst": burst(main, batch.number, batch.active, around, lone_s, batch.longest),
    }
    met = {kind: _figures(answer) for kind, answer in answers.items()}
    ttft, tpot, rate = np.select([batch.kind == kind for kind in met], list(met.values()))
    if len(at := batch.few):
        ones = Times(*(field[batch.kind[batch.lone] == "rate"] for field in lone))
        many = Times(*(field[at] for field in main))
        numbers = np.stack([np.ones(len(at)), batch.points[len(batch.points) - len(at) :], batch.active[at]])
        found = evenly((ones, few, many), numbers, batch.number[at], batch.most[at])
        ttft[at], tpot[at], rate[at] = _figures(found)
        ttft[at] += around[at]
    return in_metric(batch, main, ttft, tpot, rate)


def _figures(answer: Answer) -> Floats:
    return np.stack([answer.ttft.mean, answer.tpot.mean, answer.requests_per_s])


def _together(batch: Batch, cost: Times, around: Floats) -> Answer:
    """A static batch: all prompts, then steps of all."""
    ttft = batch_prefill_s(cost.pass_s, cost.stages) + around
    whole = ttft + (cost.output - 1.0) * cost.step_s
    return Answer(Spread.even(ttft), Spread.even(cost.step_s), batch.active / whole, batch.active)


def in_metric(batch: Batch, cost: Times, ttft: Floats, tpot: Floats, rate: Floats) -> Floats:
    """From times to each run's metric."""
    output, active, tokens = cost.output, batch.active, batch.tokens
    whole, first = ttft + (output - 1.0) * tpot, batch_prefill_s(cost.pass_s, cost.stages)
    per_metric = {
        "output_tokens_per_s_total": rate * output,
        "output_tokens_per_s_per_gpu": rate * output / batch.accelerators,
        "total_tokens_per_s": rate * (output + tokens),
        "requests_per_s": rate,
        "e2e_s": whole,
        "ttft_ms": 1e3 * ttft,
        "tpot_ms": 1e3 * tpot,
        "itl_ms": 1e3 * tpot,
        "decode_tokens_per_s_per_user": 1.0 / tpot,
        "decode_tokens_per_s_total": active / tpot,
        "prefill_tokens_per_s": active * tokens / first,
        "embeddings_per_s": active / first,
        "pairs_per_s": active / first,
    }
    names = list(per_metric)
    chosen = np.array([names.index(name) if name in names else -1 for name in batch.series.tolist()])
    answers = np.stack([*(np.broadcast_to(values, output.shape) for values in per_metric.values())])
    return np.where(chosen >= 0, answers[chosen, np.arange(len(chosen))], np.nan)


def _series(run: Run) -> str:
    """A decode benchmark's total leaves the prompt out."""
    return (
        "decode_tokens_per_s_total" if (run.task, run.metric) == ("decode", "output_tokens_per_s_total") else run.metric
    )


def predict_cases(rows: Sequence[Row]) -> list[CasePrediction]:
    """Predict every row, in order; one that cannot be is `unsupported`, with what it lacks."""
    found: dict[int, Run] = {}
    refused: dict[int, str] = {}
    for index, row in enumerate(rows):
        try:
            found[index] = read_run(row)
        except EstimatorError as error:
            refused[index] = str(error)
    done = dict(zip(found, _predictions(list(found.values())), strict=True))
    return [done[index] if index in done else _refusal(row, refused[index]) for index, row in enumerate(rows)]


def _refusal(row: Row, reason: str) -> CasePrediction:
    metric = row.get("metric", "")
    return CasePrediction(
        row.get("id", ""), row.get("source", ""), metric, unit_of(metric), None, None, None, "unsupported", reason
    )


def _predictions(runs: list[Run]) -> list[CasePrediction]:
    if not runs:
        return []
    batch = counted(runs)
    values = predicted(batch, constants())
    left_out, others = _left_out(batch), _at_ends(runs)
    return [
        _prediction(run, float(value), left_out.get(index), others[index])
        for index, (run, value) in enumerate(zip(runs, values, strict=True))
    ]


def _at_ends(runs: list[Run]) -> Floats:
    """Predictions at the ends of what is doubted [run, doubt, end]: memory of the cache; what the row leaves open."""
    ends = [end for run in runs for end in (*(replace(run, slots=slots) for slots in run.slots_ends), *_retold(run))]
    return predicted(counted(ends), constants()).reshape(len(runs), 2, 2)


def _retold(run: Run) -> tuple[Run, Run]:
    """The run with what its row leaves open at its least and at its most."""
    load = run.load

    def scaled_by(factor: float) -> Run:
        changed = {name: getattr(load, name) * factor for name in ("prompt", "output") if name in run.untold}
        number = run.number * (factor if "batch" in run.untold else 1.0)
        return replace(run, load=load._replace(**changed), number=max(number, 1.0))

    return scaled_by(1.0 / UNTOLD), scaled_by(UNTOLD)


def _prediction(run: Run, value: float, left_out: float | None, others: Floats) -> CasePrediction:
    down, up = interval(run.range_group, traits(run.load.arch, run.cluster.accelerator, run.load.plan.facts.family))
    if not is_time(run.metric):  # a longer time is a lower rate
        down, up = up, down
    off = np.log(others / value)
    down = np.sqrt(down**2 + np.sum(np.minimum(off.min(axis=1), 0.0) ** 2))
    up = np.sqrt(up**2 + np.sum(np.maximum(off.max(axis=1), 0.0) ** 2))
    low, high = value * np.exp(-down), value * np.exp(up)
    usable = bool(np.isfinite(value) and value > 0)
    return CasePrediction(
        id=run.id,
        source=run.source,
        metric=run.metric,
        unit=unit_of(run.metric),
        predicted=value if usable else None,
        low=float(low) if usable else None,
        high=float(high) if usable else None,
        status="ok" if usable else "unsupported",
        reason=_remark(run) if usable else str(UnknownName("inference metric", run.metric, METRICS)),
        fits=run.fits,
        fitted=run.source in serving_fit()["seen"]["sources"],
        predicted_loso=left_out,
    )


def _remark(run: Run) -> str:
    """What was assumed to predict a run."""
    remarks = []
    if not run.load.plan.facts.known:
        remarks.append(f"engine {run.load.plan.engine!r} is not known: the pool's factor")
    if run.load.plan.layers(run.load.arch).assumed:
        remarks.append(f"bits of {run.load.plan.weight_precision!r} read from its name")
    if run.load.arch.basis == "assumed":
        remarks.append(f"shape of {run.load.arch.name!r} as stated or of its size")
    if run.untold:
        remarks.append(f"not stated, so assumed: {', '.join(run.untold)}")
    return "; ".join(remarks)


def _left_out(batch: Batch) -> dict[int, float]:
    """For runs of fitted sources, the prediction of the fold that left them out."""
    names = [fold_of(run) for run in batch.runs]
    answers: dict[int, float] = {}
    for name in sorted({name for name in names if name is not None}):
        members = [index for index, other in enumerate(names) if other == name]
        values = predicted(batch, constants(name))
        answers |= {index: float(values[index]) for index in members}
    return answers


def fold_of(run: Run) -> str | None:
    """The stored fold that left out this run's source, or its LLM and accelerator of a source that dominates."""
    folds = serving_fit()["folds"]
    candidates = (fold_name(run), run.source, f"{SMALL} {run.source}")
    return next((name for name in candidates if name in folds), None)


SMALL = "small sources with"


def fold_name(run: Run) -> str:
    """The name of the fold of one LLM on one accelerator of a source."""
    return f"{run.source} | {run.load.arch.name} | {run.cluster.accelerator.name}"


def is_time(metric: str) -> bool:
    """Whether a metric is a time rather than a rate."""
    return metric.endswith(("_s", "_ms")) and "per_s" not in metric


def unit_of(metric: str) -> str:
    """The unit a metric's name ends in."""
    if is_time(metric):
        return metric.rpartition("_")[2]
    return metric.partition("_per_")[0].rpartition("_")[2] + "/s"
