"""Real work on this machine against what its profile predicts: `validate --local`.

Each piece of work is visited in two rounds; how far the rounds differ is printed beside the errors, since no prediction
can be nearer than the machine is to itself. Beside it stands the naive answer: 6 N D at 40 % of the highest rate a
product reached (2 N D forward; a decode step by its bytes over the copying rate).
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tabulate import tabulate

from estimator.catalog.local import LOCAL, ONE_THREAD, Job, local_accelerator, machine, profile
from estimator.catalog.retrieval import HostSpread, measured_index
from estimator.errors import InvalidInput
from estimator.formulas import transformer
from estimator.formulas.retrieval import SearchRates
from estimator.measure.cases import ENCODER
from estimator.predict import local, retrieval
from estimator.records import Accelerator, Architecture, Cluster
from estimator.shown import SCHEMA_VERSION, Shown

NAIVE_SHARE = 0.4
ROUNDS = 2
LEAST_BUDGET_S, LEAST_INDEX_BUDGET_S = 10.0, 40.0  # in all; from which vector indexes are built as well
LEAST_TOKENS = 24  # of a job made smaller
PROBE_EVERY_S = 4.0
BUSY = 0.3  # drift since the machine was measured, in ln, that is worth a word
MOST_CALL_SHARE = 0.02  # of the budget, for one call of one piece of work

Progress = Callable[[float, str, float], None]


@dataclass(frozen=True, slots=True)
class LocalCase:
    """One piece of work: predicted, its 80 % range, the naive answer, and what each round measured [s]."""

    id: str
    family: str
    predicted: float
    low: float
    high: float
    naive: float | None
    rounds: tuple[float, ...]

    @property
    def measured(self) -> float:
        """Geometric mean of the rounds [s]."""
        return math.exp(sum(map(math.log, self.rounds)) / len(self.rounds))

    @property
    def error(self) -> float:
        """ln(predicted / measured)."""
        return math.log(self.predicted / self.measured)

    @property
    def naive_error(self) -> float | None:
        """ln(naive / measured); None where there is no naive answer."""
        return math.log(self.naive / self.measured) if self.naive else None

    @property
    def difference(self) -> float | None:
        """How far the rounds lie apart, in ln; None with one round."""
        return abs(math.log(self.rounds[0] / self.rounds[-1])) if len(self.rounds) > 1 else None

    @property
    def inside(self) -> bool:
        """Whether the measurement lies in the 80 % range."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True)
class LocalReport(Shown):
    """All pieces of work of one validation on this machine."""

    cases: tuple[LocalCase, ...]
    left_out: tuple[str, ...]
    drift: float
    since: float = 0.0
    skipped: tuple[str, ...] = ()

    def summary(self) -> list[dict[str, Any]]:
        """Errors by family and over all."""
        families = dict.fromkeys(case.family for case in self.cases)
        groups = [(name, [case for case in self.cases if case.family == name]) for name in families]
        return [_errors(name, cases) for name, cases in [*groups, ("all", list(self.cases))] if cases]

    def to_dict(self) -> dict[str, Any]:
        """Cases and summary as plain data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "cases": self._cases(),
            "left_out": self.left_out,
            "skipped": self.skipped,
            "drift": self.drift,
            "drift_since": self.since,
            "summary": self.summary(),
        }

    def rows(self) -> list[dict[str, object]]:
        """One row a piece of work; its rounds are behind the column that counts them."""
        return [case | {"rounds": len(case["rounds"])} for case in self._cases()]

    def _cases(self) -> list[dict[str, Any]]:
        shared = {"source": "this machine", "metric": "time", "unit": "s", "status": "ok", "fitted": False}
        return [
            shared
            | asdict(case)
            | {"measured": case.measured, "inside": case.inside, "repeat_difference": case.difference}
            for case in self.cases
        ]

    def table(self, style: str = "simple") -> str:
        """Every piece of work, then the summary."""
        return "\n\n".join([_case_table(self.cases, style), _summary_table(self.summary(), style), *self._notes()])

    def markdown(self, title: str) -> str:
        """A page of its own."""
        return f"# Predicted and measured on one machine\n\n{title}\n\n{self.table('github')}\n"

    def _notes(self) -> list[str]:
        drifts = f"{100 * self.drift:.0f} % while calibrating, {100 * self.since:+.0f} % from then to this run"
        notes = [
            "error = ln(predicted / measured); repeat = |ln| between two rounds of the same work; naive = 6 N D at "
            f"40 % of the highest measured rate. Drift of the probe: {drifts}; predictions are not corrected by it."
        ]
        if self.since > BUSY:
            notes.append(
                "The machine is far slower now than when it was measured: other work is running, or it is throttled. "
                "Repeat this at rest; the errors above say more of that work than of the predictions."
            )
        notes += [f"Left out, too slow for the budget: {', '.join(self.left_out)}."] if self.left_out else []
        return notes + ([f"Skipped: {'; '.join(self.skipped)}."] if self.skipped else [])


def about_machine(found: dict[str, Any]) -> list[str]:
    """What a profile says, in a few lines."""
    about, memory = found["machine"], found["constants"][str(found["threads"])]["memory"]
    products = found["constants"][str(found["threads"])]["gemm"]
    rates = [
        f"{key.split()[0]} {entry['peak_flop_per_s'] / 1e9:,.3g}" for key, entry in products.items() if " nt" in key
    ]
    lines = [
        f"{about['title']}, {found['threads']} threads, torch {about['versions']['torch']}, {found['date']}",
        f"products: {', '.join(rates)} GFLOP/s; copying: {memory['bytes_per_s'] / 1e9:.3g} GB/s",
        f"drift while measuring: {100 * found['drift']['log']:.0f} %; {len(found['measurements'])} cases",
    ]
    if before := found.get("since_last"):
        change = 100 * before["median_change"]
        lines.append(f"against the profile of {before['date']}: {change:.0f} % (median of {before['cases']} cases)")
    if found["drift"]["log"] > UNSTEADY:
        lines.append("The machine was unsteady: other work may have disturbed it. Ranges are wider for it.")
    if (found.get("others_share") or 0.0) > DISTURBED:
        share = f"{found['others_share']:.0%}"
        lines.append(
            f"warning: other processes took {share} of the cores meanwhile, so times may be several times too long "
            "however steady they look: calibrate again on a quiet machine"
        )
    for name, entry in found["constants"][str(found["threads"])]["phases"].items():
        strange = [
            f"{part} {factor:.2f}" for part, factor in entry["factors"].items() if factor > ODD and part != "calls"
        ]
        if strange:
            lines.append(f"warning: {name} takes longer than its kernels explain ({', '.join(strange)})")
    return [*lines, "From now on --gpu local stands for this machine. Check it: estimator validate --local"]


DISTURBED = 0.1  # share of the cores
UNSTEADY, ODD = 0.15, 1.3  # drift, and factors of a phase, that are worth a word


def local_text(found: LocalReport) -> str:
    """Every piece of work, then the summary."""
    return found.table()


def local_markdown(found: LocalReport) -> str:
    """The same as a page of its own, about this machine."""
    return found.markdown(" ".join(about_machine(profile())[:3]))


def _case_table(cases: Sequence[LocalCase], style: str) -> str:
    rows = [
        [
            case.id,
            f"{1e3 * case.predicted:.3g}",
            f"{1e3 * case.low:.3g}-{1e3 * case.high:.3g}",
            f"{1e3 * case.measured:.3g}",
            f"{100 * case.error:+.0f} %",
            "yes" if case.inside else "no",
            "-" if case.difference is None else f"{100 * case.difference:.0f} %",
            "-" if case.naive_error is None else f"{100 * case.naive_error:+.0f} %",
        ]
        for case in cases
    ]
    headers = ["work", "predicted ms", "80 % range", "measured ms", "error", "inside", "repeat", "naive error"]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True, stralign="left")


def _summary_table(entries: Sequence[dict[str, Any]], style: str) -> str:
    rows = [[e["family"], str(e["cases"]), *(_percent(e[name]) for name in PERCENT)] for e in entries]
    headers = ["family", "cases", "median error", "p90", "repeat", "in 80 % range", "naive median"]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True, stralign="left")


PERCENT = ("median_error", "p90_error", "repeat_difference", "coverage", "naive_median_error")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _errors(family: str, cases: Sequence[LocalCase]) -> dict[str, object]:
    sizes = sorted(abs(case.error) for case in cases)
    naive = [abs(case.naive_error) for case in cases if case.naive_error is not None]
    differences = [case.difference for case in cases if case.difference is not None]
    return {
        "family": family,
        "cases": len(cases),
        "median_error": median(sizes),
        "p90_error": sizes[min(math.ceil(0.9 * len(sizes)), len(sizes)) - 1],
        "repeat_difference": median(differences) if differences else None,
        "coverage": sum(case.inside for case in cases) / len(cases),
        "naive_median_error": median(naive) if naive else None,
    }


# --- the work --------------------------------------------------------------------------------------------------------

DECODERS = (
    Architecture("small", layers=4, hidden=256, heads=4, kv_heads=4, head_dim=64, ffn=704, vocab=4096),
    Architecture("medium", layers=6, hidden=384, heads=6, kv_heads=2, head_dim=64, ffn=1024, vocab=8192),
    Architecture("large", layers=8, hidden=640, heads=10, kv_heads=5, head_dim=64, ffn=1728, vocab=16000),
)
ENCODERS = (
    Architecture("encoder", 6, 384, 12, 12, 32, 1536, 30522, **ENCODER),
    Architecture("wide-encoder", 4, 768, 12, 12, 64, 3072, 30522, **ENCODER),
)
LEAST_CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9), "int4": (8, 0)}  # of CUDA, for kernels in a format
# While an LLM in 16 bits is set up: its weights, and in training their gradients and both moments.
BYTES_HELD = {"train": 9.0, "lora": 2.2, "prefill": 2.2, "decode": 2.2}  # per parameter
WORKSPACE_BYTES = 6e9  # activations and caches of these jobs, and the CUDA context
CUDA_NAMES = ("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b")


def cpu_jobs(halves: Sequence[str]) -> list[Job]:
    """The work that a CPU is judged by; a 16-bit format repeats the smaller pieces."""
    jobs = []
    for dtype in ("fp32", *halves):
        sizes = DECODERS if dtype == "fp32" else DECODERS[:2]
        for arch, batches in zip(sizes, ((8, 4), (4, 2), (2, 1)), strict=False):
            jobs += [Job("train", arch, batch, tokens, dtype) for batch, tokens in zip(batches, (96, 320), strict=True)]
            jobs += [Job("lora", arch, batches[1], 192, dtype)]
            jobs += [Job("prefill", arch, batch, tokens, dtype) for batch, tokens in ((1, 150), (2, 480))]
            jobs += [Job("decode", arch, batch, tokens, dtype) for batch, tokens in ((1, 120), (4, 700), (8, 350))]
        jobs += [Job("embed", arch, batch, 72, dtype) for arch, batch in zip(ENCODERS, (16, 4), strict=True)]
    return jobs


def cuda_jobs(memory_bytes: float, capability: str = "9.0") -> tuple[list[Job], list[str]]:
    """The work that a GPU is judged by, LLMs of 1B to 8B in bf16, fp8 and int4; and what cannot run there, with why.

    memory_bytes: of the GPU [B]; capability: as CUDA numbers what a GPU can do
    """
    from estimator.catalog.models import architecture

    jobs = []
    for name in CUDA_NAMES:
        arch = architecture(name)
        jobs += [Job("train", arch, batch, tokens, "bf16") for batch, tokens in ((4, 512), (1, 2048))]
        jobs += [Job("lora", arch, 1, 2048, "bf16", 16)]
        for dtype in ("bf16", "fp8", "int4"):
            jobs += [Job("prefill", arch, 1, tokens, dtype) for tokens in (512, 4096)]
            jobs += [Job("decode", arch, batch, 2048, dtype) for batch in (1, 16)]
    reasons = {job: _hindrance(job, memory_bytes, capability) for job in jobs}
    skipped = [f"{job_name(job)}: {reason}" for job, reason in reasons.items() if reason]
    return [job for job in jobs if not reasons[job]], skipped


def _hindrance(job: Job, memory_bytes: float, capability: str) -> str:
    """Why a GPU cannot do a job; empty when it can."""
    number = tuple(int(part) for part in capability.split("."))
    if number < LEAST_CAPABILITY.get(job.dtype, (0, 0)):
        return f"compute capability {capability} has no kernels for {job.dtype}"
    needed = BYTES_HELD[job.phase] * float(transformer.params(job.arch)) + WORKSPACE_BYTES
    if needed > memory_bytes:
        return f"needs about {needed / 1e9:.0f} GB, the GPU has {memory_bytes / 1e9:.0f}"
    return ""


def job_name(job: Job) -> str:
    """How a job is called in tables."""
    shape = f"{job.batch}x{job.tokens}" if job.phase != "decode" else f"{job.batch} after {job.tokens}"
    return f"{job.phase} {job.arch.name} {shape} {job.dtype}"


def predicted_s(job: Job, accelerator: Accelerator, since: float = 0.0) -> tuple[float, float, float]:
    """What the predictors say of a job on a measured machine: (time, low, high) [s]; drift since then moves one end."""
    if accelerator.kind == "cpu":
        on = machine(accelerator.name)
        value = float(local.time_s(local.of_job(job), on))
        down, up = local.interval(job.phase, job.dtype, on, since)
    else:
        value, down, up = _predicted_on_gpu(job, Cluster(accelerator, 1, 1))
    return value, value * math.exp(-down), value * math.exp(up)


def _predicted_on_gpu(job: Job, cluster: Cluster) -> tuple[float, float, float]:
    from estimator.predict import serving, training
    from estimator.predict.serving_machine import ServingPlan

    if job.phase in ("train", "lora"):
        plan = training.TrainingPlan(
            seq_len=job.tokens,
            micro_batch=job.batch,
            global_batch=job.batch,
            precision=job.dtype,
            method="full" if job.phase == "train" else "lora",
            lora_rank=job.rank,
            framework="transformers",
        )
        return float(training.training_step(job.arch, cluster, plan).step_s), *training.interval("time")
    served = ServingPlan(weight_precision=job.dtype, engine="transformers")
    if job.phase == "decode":
        value = serving.decode_step_s(job.arch, cluster, served, job.tokens, job.batch)
    else:
        value = serving.prefill_s(job.arch, cluster, served, job.tokens, 0.0, job.batch)
    return float(value), *serving.interval("decode" if job.phase == "decode" else "prefill")


def naive_s(job: Job, accelerator: Accelerator) -> float:
    """The answer of a rule of thumb [s]."""
    weights = float(transformer.params(job.arch))
    peak = accelerator.peak("bf16" if accelerator.kind == "gpu" else "fp32")
    if job.phase == "decode":
        size = local.BYTES[job.dtype]
        cached = job.batch * float(transformer.kv_bytes(job.arch, job.tokens, size))
        return (weights * size + cached) / accelerator.memory_bandwidth_bytes_per_s
    passes = {"train": 6.0, "lora": 6.0}.get(job.phase, 2.0)
    return passes * weights * job.batch * job.tokens / (NAIVE_SHARE * peak)


# --- measuring -------------------------------------------------------------------------------------------------------


def validate_local(
    budget_s: float = 120.0, progress: Progress | None = None, jobs: Sequence[Job] | None = None, name: str = LOCAL
) -> LocalReport:
    """Run real work within the budget and compare it with what the profile predicts.

    Raises InvalidInput without a profile, MissingExtra without torch.
    """
    from estimator.measure.clock import torch_module
    from estimator.measure.profile import alone

    if not budget_s >= LEAST_BUDGET_S:
        raise InvalidInput(f"the budget must be at least {LEAST_BUDGET_S:g} s, not {budget_s:g} s")
    accelerator = local_accelerator(name)
    torch_module().set_num_threads(1 if name.endswith(ONE_THREAD) else profile(name)["threads"])
    device = "cuda" if accelerator.kind == "gpu" else "cpu"
    halves = [dtype for dtype in accelerator.peak_flop_per_s if dtype in ("bf16", "fp16")]
    asked: list[Job] = list(jobs or ())
    skipped: list[str] = []
    if jobs is None and device == "cuda":
        about = profile(name)["machine"]
        asked, skipped = cuda_jobs(about["memory_bytes"], about.get("capability", "9.0"))
    elif jobs is None:
        asked = cpu_jobs(halves[:1])
    index = measured_index(name) if jobs is None and budget_s >= LEAST_INDEX_BUDGET_S else None
    with alone():
        built = [_index_round(1, progress)] if index else []
        rounds, left_out, probes = _rounds(asked, accelerator, device, budget_s * (0.85 if index else 1.0), progress)
        built += [_index_round(2, progress)] if index else []
    before = profile(name)["drift"]
    since = math.log(median(probes) / median(before["probes_s"]))
    cases = [_case(job, accelerator, seconds, since) for job, seconds in rounds.items() if seconds]
    if index and index.rates and index.spread:
        cases += _index_cases(index.rates, index.spread, built, since)
    slow = tuple(job_name(job) for job in left_out)
    return LocalReport(tuple(cases), slow, float(before["log"]), since, tuple(skipped))


def _case(job: Job, accelerator: Accelerator, seconds: Sequence[float], since: float) -> LocalCase:
    usual = next(iter(accelerator.peak_flop_per_s))
    family = job.phase if job.dtype == usual else f"{job.phase} {job.dtype}"
    return LocalCase(
        job_name(job), family, *predicted_s(job, accelerator, since), naive_s(job, accelerator), tuple(seconds)
    )


def _rounds(
    jobs: Sequence[Job], accelerator: Accelerator, device: str, budget_s: float, progress: Progress | None
) -> tuple[dict[Job, list[float]], list[Job], list[float]]:
    """Each job's time in each round [s], jobs whose first call would take too long, and probes between them [s]."""
    from estimator.measure.clock import probe

    started = time.monotonic()
    most_s, usual = MOST_CALL_SHARE * budget_s, next(iter(accelerator.peak_flop_per_s))
    smaller = [smaller_job(job, accelerator, most_s if job.dtype == usual else most_s / 4) for job in jobs]
    kept = list(dict.fromkeys(job for job in smaller if job))
    times: dict[Job, list[float]] = {job: [] for job in kept}
    visits = [job for _ in range(ROUNDS) for job in kept]
    probes = [probe(device)]
    for index, job in enumerate(visits):
        left = budget_s - (time.monotonic() - started)
        if left <= 0:
            break
        if time.monotonic() - started > PROBE_EVERY_S * len(probes):
            probes.append(probe(device))
        if progress:
            progress(index / len(visits), job_name(job), left)
        times[job].append(_visit(job, device, left / (len(visits) - index)))
    lost = [job for job, small in zip(jobs, smaller, strict=True) if small is None]
    return times, [*lost, *(job for job in kept if not times[job])], probes


def smaller_job(job: Job, accelerator: Accelerator, most_s: float) -> Job | None:
    """The job with fewer tokens, then sequences, until one call fits; None when even a short one does not."""
    while predicted_s(job, accelerator)[0] > most_s:
        if job.phase == "decode" or (job.tokens < 2 * LEAST_TOKENS and job.batch == 1):
            return None
        job = (
            job._replace(batch=job.batch // 2)
            if job.tokens < 2 * LEAST_TOKENS
            else job._replace(tokens=job.tokens // 2)
        )
    return job


def _visit(job: Job, device: str, share_s: float) -> float:
    """Set up, one call to warm up, then calls while the share of the budget lasts: their median [s]."""
    from estimator.measure.clock import torch_module, wall_seconds
    from estimator.measure.work import step_of

    end = time.monotonic() + share_s
    step = step_of(job, device)
    wall_seconds(step, device)
    seconds = [wall_seconds(step, device)]
    while time.monotonic() + seconds[-1] < end and len(seconds) < 50:
        seconds.append(wall_seconds(step, device))
    del step
    if device == "cuda":
        torch_module().cuda.empty_cache()  # the next piece of work is another size
    return median(seconds)


INDEX_SETUPS = ((6_000, 256, 12, 96), (9_000, 192, 16, 80))  # vectors, dimensions, M, efConstruction
INDEX_SEARCHES = ((48, 10), (128, 10))  # ef, k


def _index_round(seed: int, progress: Progress | None) -> list[object]:
    """Vector indexes built and searched once; CPU time of one core."""
    from estimator.measure import index

    if progress:
        progress(0.9 if seed > 1 else 0.0, "vector indexes", 0.0)
    runs = index.measure("faiss", math.inf, INDEX_SETUPS, seed=seed)
    return [run for run in runs if run.what == "build" or (run.what == "query" and (run.ef, run.k) in INDEX_SEARCHES)]


def _index_cases(
    rates: SearchRates, spread: HostSpread, rounds: Sequence[Sequence[object]], since: float
) -> list[LocalCase]:
    """What was built and searched in each round, against the rates of the profile."""
    from estimator.measure import index

    cases = []
    for runs in zip(*rounds, strict=True):
        run = runs[0]
        value = float(index.graph_times([run]).predicted_s(rates)[0])
        down, up = retrieval.measured_interval(run.what, spread, since)
        family, shape = f"index {run.what}", f"{run.vectors}x{run.dim} M {run.m} ef {run.ef}"
        ends = value * math.exp(-down), value * math.exp(up)
        cases.append(LocalCase(f"{family} {shape}", family, value, *ends, None, tuple(r.seconds for r in runs)))
    return cases
