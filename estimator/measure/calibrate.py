"""`calibrate`: what predictions need to know of this machine, measured within a budget and kept as one profile."""

import math
import os
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from estimator.arguments import NUMBER, PATH, WORDS, check_kind
from estimator.catalog.files import Content
from estimator.catalog.local import LOCAL, profile
from estimator.errors import InvalidInput, MissingExtra, UnknownName
from estimator.measure.clock import torch_module
from estimator.measure.collectives import collectives
from estimator.measure.cuda import extras
from estimator.measure.host import busy, loading, others_share
from estimator.measure.profile import alone, drop_partial, write_profile
from estimator.measure.session import Progress, measured, typical
from estimator.paths import user_data_folder

LEAST_BUDGET_S, MOST_BUDGET_S = 10.0, 86400.0
LEAST_INDEX_S, INDEX_CPU_SHARE = 3.0, 0.75  # its budget is CPU time, and making the vectors is not in it
SUITES = ("all", "kernels", "index", "collectives")
INDEX_SHARE = 0.2  # of the budget, for the vector index in the suite `all`
HOST_S = 2.0  # for disk, tokenizer and what else is quick


def calibrate(
    device: str | None = None,
    budget_s: float = 60.0,
    output: str | Path | None = None,
    suite: str = "all",
    progress: Progress | None = None,
) -> Content:
    """Measure this machine within the budget and keep its profile, which `local` then stands for; returns the profile.

    device: cpu | cuda | all (the GPU becomes `local`, the CPU `local-cpu`); by default the GPU where there is one
    output: also write the profile there; suite: all | kernels | index | collectives
    An interrupted run is continued. Raises MissingExtra, InvalidInput (bad budget, no such device, a run under way).
    """
    started = time.monotonic()
    check_kind("budget_s", budget_s, NUMBER)
    check_kind("suite", suite, WORDS)
    if device is not None:
        check_kind("device", device, WORDS)
    if output is not None:
        check_kind("output", output, PATH)
    if not LEAST_BUDGET_S <= budget_s < MOST_BUDGET_S:
        raise InvalidInput(f"the budget must be {LEAST_BUDGET_S:g} s to a day, not {budget_s:g} s")
    if suite not in SUITES:
        raise UnknownName("suite", suite, SUITES, f"Suites are {', '.join(SUITES)}.")
    torch = torch_module()
    _check_libraries(suite)
    devices = _devices(device, torch.cuda.is_available())
    with alone():
        for index, each in enumerate(devices):
            name = LOCAL if index == 0 else f"{LOCAL}-{each}"
            content = _part(each, budget_s / len(devices), suite, name, started, progress)
            started = time.monotonic()
            write_profile(content, user_data_folder() / f"{name}.json")
            if suite in ("all", "kernels"):
                drop_partial()
        main = profile(LOCAL)
        if output:
            write_profile({key: value for key, value in main.items() if key not in ("checksum",)}, Path(output))
    return main


def _check_libraries(suite: str) -> None:
    """Refuse before measuring, not after. Without faiss, `all` leaves the vector index out."""
    wanted = {"index": ("scipy", "faiss"), "collectives": ()}.get(suite, ("scipy",))
    for name in wanted:
        if find_spec(name) is None:
            raise MissingExtra("faiss-cpu" if name == "faiss" else name, "measure")


def _devices(device: str | None, gpu: bool) -> tuple[str, ...]:
    choices = {None: ("cuda",) if gpu else ("cpu",), "cpu": ("cpu",), "cuda": ("cuda",), "all": ("cuda", "cpu")}
    if device not in choices:
        raise UnknownName("device", str(device), ("cpu", "cuda", "all"), "Devices are cpu, cuda and all.")
    return choices[device] if gpu or device != "all" else ("cpu",)


def _part(device: str, budget_s: float, suite: str, name: str, started: float, progress: Progress | None) -> Content:
    """The profile of one device: what the suite asks, added to what an earlier run of it measured."""
    from estimator.measure.constants import constants

    content = _earlier(name)
    shares = {"all": 1 - INDEX_SHARE if device == "cpu" else 1.0, "kernels": 1.0}
    if suite in shares:
        before = busy()
        found = measured(device, shares[suite] * budget_s - HOST_S, progress, started)
        found["others_share"] = others_share(before, busy(), os.cpu_count() or 1)
        found["constants"] = constants(typical(found["measurements"]))
        content |= found | {"loading": loading(user_data_folder()), "since_last": since_last(content, found)}
        content |= extras() if device == "cuda" else {}
    if device == "cpu" and (suite == "index" or (suite == "all" and find_spec("faiss"))):
        left = budget_s - (time.monotonic() - started)
        content |= {"index": _index(max(INDEX_CPU_SHARE * left, LEAST_INDEX_S), progress)}
    if suite == "collectives" or (device == "cuda" and torch_module().cuda.device_count() > 1):
        content |= {"collectives": collectives(max(torch_module().cuda.device_count(), 2))}
    if "constants" not in content:
        raise InvalidInput(
            "measure the kernels first: `estimator calibrate --suite kernels`; then this suite adds to it"
        )
    return content


def since_last(before: Content, now: Content) -> Content:
    """How far the same cases lie from the profile before: median of |ln(time now / time then)| [1].

    >>> since_last({}, {"measurements": {}})
    {}
    """
    then = typical(before.get("measurements", {}))
    both = [abs(math.log(s / then[case])) for case, s in typical(now["measurements"]).items() if case in then]
    return {"date": before["date"], "median_change": round(median(both), 3), "cases": len(both)} if both else {}


def _earlier(name: str) -> Content:
    """The profile there is, to add to; empty when there is none that can be read."""
    try:
        return {key: value for key, value in profile(name).items() if key not in ("checksum", "profile_version")}
    except InvalidInput:
        return {}


def _index(budget_s: float, progress: Progress | None) -> Content:
    """Vector indexes built and searched, and the rates fitted to them."""
    from estimator.measure import index

    if progress:
        progress(1 - INDEX_SHARE, "vector index", budget_s)
    runs = index.measure("faiss", budget_s)
    noise = median(run.noise for run in runs if run.what == "query")
    found = {"rates": index.fit(runs)._asdict(), "log_sd": index.spread(runs), "noise": round(noise, 3)}
    return found | {"runs": [asdict(run) for run in runs]}
