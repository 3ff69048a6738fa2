"""Timing the cases of a device within a budget, over and over; what an interrupted run had is kept."""

import datetime
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain, cycle
from types import ModuleType

import numpy as np

from estimator.catalog.files import Content
from estimator.errors import InvalidInput
from estimator.measure.cases import Case, suite, work
from estimator.measure.clock import probe, seconds_of, this_machine, torch_module
from estimator.measure.kernels import task_of
from estimator.measure.profile import load_partial, save_partial
from estimator.measure.work import torch_dtype

FIT_S, SAVE_EVERY_S, PROBE_EVERY_S = 3.0, 3.0, 4.0
SAMPLES, SAMPLE_S, VISIT_S = 3, 0.002, 0.06  # per visit of a case: samples, least time of one, time for all
MOST_SHARE = 0.02  # of the budget, for one call
HALVES = ("bf16", "fp16")
NEEDED = ("gemm", "attention", "dispatch")

Progress = Callable[[float, str, float], None]  # share done, what is measured, seconds left
Samples = dict[str, list[float]]


@dataclass
class Session:
    """A run of measurements under way: what it has, and when it must end."""

    device: str
    budget_s: float
    threads: int
    rates: dict[str, float]
    samples: Samples = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)
    used_s: float = 0.0
    fingerprint: str = ""
    started: float = field(default_factory=time.monotonic)
    rates_seen: dict[object, float] = field(default_factory=dict)  # best of each group of cases

    @property
    def passed_s(self) -> float:
        """Time used, that of an interrupted run included [s]."""
        return self.used_s + time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Time left for measuring [s]."""
        return self.budget_s - FIT_S - self.passed_s

    def state(self) -> Content:
        """What to keep in case of an interruption."""
        kept = {"samples": self.samples, "probes": self.probes, "rates": self.rates, "threads": self.threads}
        return kept | {"used_s": self.passed_s, "fingerprint": self.fingerprint}


def measured(device: str, budget_s: float, progress: Progress | None = None, started: float | None = None) -> Content:
    """Time a device's cases until the budget is used; the profile's measurements, without constants.

    Continues an interrupted run of the same kind. Ctrl-C keeps what there is.
    Raises InvalidInput for a device that is not there, MissingExtra without torch.
    """
    session = _session(device, budget_s, time.monotonic() if started is None else started)
    torch = torch_module()
    threads = torch.get_num_threads()
    try:
        _probe(session)
        _passes(session, suite(device, session.rates, session.threads), progress)
        _probe(session)
    finally:
        torch.set_num_threads(threads)
        save_partial(session.state())
    return _content(session)


def _session(device: str, budget_s: float, started: float) -> Session:
    torch = torch_module()
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("torch sees no CUDA device here. Use --device cpu, or install a torch built for this GPU.")
    threads = torch.get_num_threads()
    fingerprint = f"{this_machine(device)['title']} torch {torch.__version__} {threads} threads {device}"
    found = load_partial(fingerprint)
    if found is None:
        return Session(device, budget_s, threads, _rates(torch, device), fingerprint=fingerprint, started=started)
    used = min(found["used_s"], 0.9 * budget_s - FIT_S)
    return Session(
        device,
        budget_s,
        threads,
        found["rates"],
        found["samples"],
        found["probes"],
        max(used, 0.0),
        fingerprint,
        started,
    )


def _rates(torch: ModuleType, device: str) -> dict[str, float]:
    """Rough speed of products by format [FLOP/s]: fp32 and the faster 16-bit format; what else a GPU has."""
    size = 4096 if device == "cuda" else 256
    formats = ("fp32", *HALVES)
    found = {dtype: _rate(torch, dtype, device, size) for dtype in formats}
    if device == "cuda":
        eight_bit = torch.cuda.get_device_capability() >= (8, 9) and hasattr(torch, "_scaled_mm")
        ordered = {"bf16": found["bf16"], "fp16": found["fp16"], "fp32": found["fp32"]}
        return ordered | ({"fp8": 1.5 * found["bf16"]} if eight_bit else {})
    best = max(HALVES, key=lambda dtype: found[dtype])
    return {"fp32": found["fp32"], best: found[best]}


def _rate(torch: ModuleType, dtype: str, device: str, size: int) -> float:
    """Products of a linear layer forward and back, together [FLOP/s]."""
    x, w, g = (torch.randn(size, size, device=device).to(torch_dtype(dtype)) for _ in range(3))

    def products() -> None:
        torch.nn.functional.linear(x, w)
        g @ w
        x.t() @ g

    products()
    rate = 6.0 * size**3 / min(seconds_of(products, device) for _ in range(3))
    return float(2.0 ** math.floor(math.log2(rate)))  # coarse, so that the same machine gets the same cases


def _passes(session: Session, cases: list[Case], progress: Progress | None) -> None:
    """Visit all cases again and again until the time is up; the most needed ones even then."""
    needed = _needed(cases, session.threads)
    last_saved = last_probed = time.monotonic()
    for index, case in enumerate(chain(needed, cycle(cases))):
        if session.left_s <= 0 and (index >= len(needed) or str(case) in session.samples):
            return
        if progress:
            progress(1 - max(session.left_s, 0) / session.budget_s, str(case), max(session.left_s + FIT_S, 0))
        if _worth(session, case):
            _record(session, case, _visit(case, session))
        if time.monotonic() - last_probed > PROBE_EVERY_S:
            _probe(session)
            last_probed = time.monotonic()
        if time.monotonic() - last_saved > SAVE_EVERY_S:
            save_partial(session.state())
            last_saved = time.monotonic()


def _probe(session: Session) -> None:
    torch_module().set_num_threads(session.threads)  # the last case may have had one
    session.probes.append(probe(session.device))


def _needed(cases: list[Case], threads: int) -> list[Case]:
    """The first of each group without which there is no machine to speak of."""
    first: dict[object, Case] = {}
    for case in cases:
        if case.dtype == cases[0].dtype and case.threads == threads and case.kind in NEEDED:
            first.setdefault(case.group, case)
    return list(first.values())


def _worth(session: Session, case: Case) -> bool:
    """Whether one call of the case is affordable, at the best rate of its group so far: a slow one may be bad luck."""
    best = session.rates_seen.get(case.group)
    return best is None or work(case) / best < min(MOST_SHARE * session.budget_s, max(session.left_s, 0.0))


def _record(session: Session, case: Case, seconds: list[float]) -> None:
    session.samples.setdefault(str(case), []).extend(seconds)
    session.rates_seen[case.group] = max(session.rates_seen.get(case.group, 0.0), work(case) / min(seconds))


def _visit(case: Case, session: Session) -> list[float]:
    """A few samples of a case, warm."""
    torch_module().set_num_threads(case.threads)
    task = task_of(case, session.device)
    first = seconds_of(task, session.device)
    end = time.perf_counter() + VISIT_S
    samples: list[float] = []
    while not samples or (len(samples) < SAMPLES and time.perf_counter() + first < end):
        samples.append(float(f"{seconds_of(task, session.device, SAMPLE_S):.4g}"))
    return samples


def _content(session: Session) -> Content:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {
        "date": now,
        "machine": this_machine(session.device),
        "threads": session.threads,
        "budget_s": session.budget_s,
        "used_s": round(session.passed_s, 1),
        "drift": drift(session.probes),
        "measurements": session.samples,
    }


def drift(probes: list[float]) -> Content:
    """How unsteady the machine was: how far 80 % of the probes lie below and above their median, in ln(time) [1].

    log: the larger of the two; what other work does to a machine is seldom even

    >>> drift([1.0, 1.0, 1.0, 1.0, 2.0])
    {'log': 0.416, 'down': 0.0, 'up': 0.416, 'before_s': 1.0, 'after_s': 2.0, 'probes_s': [1.0, 1.0, 1.0, 1.0, 2.0]}
    """
    low, middle, high = np.quantile(np.log(probes), [0.1, 0.5, 0.9])
    down, up = round(float(middle - low), 3), round(float(high - middle), 3)
    return {
        "log": max(down, up),
        "down": down,
        "up": up,
        "before_s": probes[0],
        "after_s": probes[-1],
        "probes_s": [round(p, 6) for p in probes],
    }


def typical(samples: Mapping[str, list[float]]) -> dict[Case, float]:
    """One time for each case [s]: lower quartile of kernels, which other work disturbs little; median of blocks.

    What other work usually costs is thus in the factors learnt from blocks, once.

    >>> typical({"block embed fp32 threads=1": [3.0, 1.0, 2.0], "gemm nt fp32 threads=1": [3.0, 1.0, 2.0]}).values()
    dict_values([2.0, 1.5])
    """
    cases = {Case.of(key): values for key, values in samples.items() if values}
    return {c: float(np.quantile(values, 0.5 if c.kind == "block" else 0.25)) for c, values in cases.items()}
