"""Inference runs, timed: counted once, all of them at once, so that other constants cost little."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.formulas import Floats
from estimator.formulas.serving import Pass
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
from estimator.predict.serving_time import (
    Constants,
    Machine,
    Path,
    Timed,
    handing_out_s,
    path_s,
    side_by_side_s,
    taking_in_s,
)
from estimator.predict.serving_time import stacked as stacked_machines
from estimator.records import Architecture, Cluster
from estimator.validation.inference_runs import AT_RATES, PASSES, Run


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs counted: their prompts, a decode step and both together, on their machines, and how they are loaded.

    work, machines, turns, shares, points, family: of all runs, then of those at a rate or in a burst with a lone
        request, then of those at a rate with a few (arrays [3, ...] and [...]); points: sequences decoded together
    lone, few: which run each of these last is
    opening: share of a closed loop's requests that open the run, all at once [1]
    most: requests that can be there at once; longest: the longest answer over the mean [1]
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
    together: NDArray[np.bool_]
    opening: Floats
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
    families, family = np.unique([run.load.plan.facts.family for run, _ in points], return_inverse=True)
    work, turns, shares = side_by_side(points)
    return Batch(
        runs=tuple(runs),
        machines=_machines([run for run, _ in points]),
        work=work,
        turns=turns,
        shares=shares,
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
        together=np.array([run.together for run in runs]),
        opening=np.array([min(run.number / run.requests, 1.0) for run in runs]),
        series=np.array([_series(run) for run in runs]),
        families=tuple(families.tolist()),
        family=family,
    )


def _path(run: Run) -> Path:
    """The way around the engine; none where a pass was asked for, or a batch is timed in its own program."""
    found = path(run.cluster.accelerator, run.load.plan)
    inside = run.kind in ("batch", "burst") and run.load.plan.server == "in process"
    return Path(0.0, 0.0, 0.0, found.age) if inside or run.task in PASSES else found


Point = tuple[Run, float]  # a run with so many sequences decoded together


def side_by_side(points: Sequence[Point]) -> tuple[Pass, Floats, Shares]:
    """The passes of several runs, each count an array [3, run], the steps they take, and how they are shared out.

    Those of one LLM and plan are counted in one call.
    """
    alike: dict[object, list[int]] = {}
    for place, (run, _) in enumerate(points):
        alike.setdefault((run.load.arch, run.load.plan, run.kind == "batch"), []).append(place)
    found = [_of_one_plan([points[place] for place in places]) for places in alike.values()]
    places = np.argsort([place for places in alike.values() for place in places])

    def joined(parts: Iterable[Floats]) -> Floats:
        return np.concatenate([*parts], axis=-1)[..., places]

    works, turns, shares = zip(*found, strict=True)
    return (
        Pass(*(joined(parts) for parts in zip(*works, strict=True))),
        joined(turns),
        Shares(*(joined(parts) for parts in zip(*shares, strict=True))),
    )


def _of_one_plan(points: Sequence[Point]) -> tuple[Pass, Floats, Shares]:
    """The same of runs of one LLM and plan."""
    run, count = points[0][0], len(points)
    lengths = (
        np.array([float(getattr(one.load, name)) for one, _ in points]) for name in ("prompt", "output", "cached")
    )
    load = Load(run.load.arch, run.load.plan, run.load.cut, *lengths)
    number = np.array([float(number) for _, number in points])
    work, turns = load.passes_of(number, run.kind == "batch")
    shares = load.shares(number, np.asarray(work.sequences)[0], turns, np.array([one.short for one, _ in points]))
    return (
        Pass(*(np.broadcast_to(np.asarray(field, float), (3, count)) for field in work)),
        turns,
        Shares(*(np.broadcast_to(field, (count,)) for field in shares)),
    )


def _machines(runs: Sequence[Run]) -> Machine:
    """Each run's machine, each rate an array [run]; those of one LLM, plan and cluster are written out once."""
    places: dict[tuple[Architecture, Cluster, ServingPlan], int] = {}
    which = [places.setdefault((run.load.arch, run.cluster, run.load.plan), len(places)) for run in runs]
    each = stacked_machines([machine(*key) for key in places])
    return Machine(*(np.asarray(rate)[which] for rate in each))


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
    handed = handing_out_s(Path(*(np.asarray(field)[points] for field in batch.paths)), batch.points, constants)
    alone, added, step = passes
    cost = batch.shares.times(alone * prefill, added * prefill, step * decode + handed)
    main = Times(*(field[:count] for field in cost))
    ends = (count, count + len(batch.lone), len(points))
    lone, few = (Times(*(field[start:end] for field in cost)) for start, end in itertools.pairwise(ends))
    lone_s = main.step_s.copy()
    lone_s[batch.lone] = lone.step_s
    around = path_s(batch.paths, batch.active, constants) * batch.factor("way", constants)[:count]
    taking_in = taking_in_s(batch.paths, constants)
    first = batch.prompts_first
    share = np.where(first, constants[STARTS["prompts-first"]], constants[STARTS["mixed"]])
    start = np.where(batch.together, 1.0, np.maximum(np.minimum(share, 1.0), batch.opening))
    answers = {
        "batch": _together(batch, main, around),
        "clients": closed(main, batch.number, batch.active, around, start),
        "burst": burst(main, batch.number, batch.active, around, lone_s, batch.longest, taking_in),
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
