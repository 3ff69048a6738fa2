"""Fit the constants of training steps to the published runs, with every source left out in turn.

    python benchmarks/fit_training.py [--times]

Memory is fitted and times keep their parameters, or with `--times` the other way round: what one of them learns leaves
the other's constants as they are. Takes about a minute. Reads calibration/published/training.csv and
calibration/fitted/training_priors.csv; writes calibration/fitted/training.json,
calibration/fitted/left_out_training.csv and benchmarks/accuracy_training.md.
"""

import datetime
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import accuracy_training
import numpy as np
from range_coverage import ranges_from, widened

from estimator.catalog.cases import file_hash, priors, published, read_cases
from estimator.catalog.files import use_facts
from estimator.catalog.frameworks import framework
from estimator.fitting.ranges import new_to_others
from estimator.fitting.robust import Prior, fit, folds, source_weights
from estimator.formulas.transformer import params
from estimator.predict.training import difficulties, of_quantity
from estimator.predict.training_memory import context_bytes, peak_memory
from estimator.predict.training_plan import Run, stack
from estimator.predict.training_time import step_time
from estimator.validation.report import quantity
from estimator.validation.training import CaseRun, Yardstick, case_run, sort_of

ROOT = Path(__file__).parent.parent
FITTED = ROOT / "calibration" / "fitted" / "training.json"
CAUTION = 0.3  # weight of a run whose row assumes a field
FRAMEWORK_SIGMA = 0.12  # spread of ln(time) between frameworks
SHAPE = ("model", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_mlp", "tied_embeddings")
COUNTED = ("tflops_per_gpu", "mfu")  # metrics in FLOP, which frameworks count by their own conventions
OUTLIERS = {"hf-blog": "wall-clock with evaluation and checkpoints", "openllama": "chip count nominal"}


@dataclass(frozen=True)
class Group:
    """Runs of one quantity, ready to evaluate."""

    runs: list[CaseRun]
    measured: np.ndarray
    quality: np.ndarray
    numbers: Run
    yardstick: Yardstick
    fold: list[str]
    quantity: str

    def log_errors(self, values: Mapping[str, float]) -> np.ndarray:
        """ln(predicted / measured) of the time or memory, whatever the metric's direction."""
        if self.quantity == "memory":
            read = self.yardstick.reading(peak_memory(self.numbers, values), context_bytes(self.numbers, values))
            return np.log(read / 1e9 / self.measured)
        seconds = step_time(self.numbers, values).total
        direction = np.where(self.yardstick.rate, -1.0, 1.0)
        return direction * np.log(self.yardstick.shown(seconds) / self.measured)

    def part(self, keep: np.ndarray) -> "Group":
        """The runs that `keep` marks."""
        chosen = [run for run, k in zip(self.runs, keep, strict=True) if k]
        fold = [f for f, k in zip(self.fold, keep, strict=True) if k]
        return Group(
            chosen,
            self.measured[keep],
            self.quality[keep],
            stack([r.numbers for r in chosen]),
            Yardstick.of(chosen),
            fold,
            self.quantity,
        )


def measuring(rows: Sequence[Mapping[str, str]], kind: str) -> list[Mapping[str, str]]:
    """Rows of a case file that measure `kind` and are fitted to."""
    return [row for row in rows if quantity(row["metric"]) == kind and row["source"] not in OUTLIERS]


def group(rows: Sequence[Mapping[str, str]], kind: str, values: Mapping[str, float]) -> Group:
    """The runs of a case file that measure `kind`; what they leave open is chosen by `values`."""
    rows = measuring(rows, kind)
    runs = [case_run({k: v for k, v in row.items() if k not in ("value", "notes")}, values) for row in rows]
    measured = np.array([float(row["value"]) for row in rows])
    quality = np.array([1.0 if row["quality"] == "ok" else CAUTION for row in rows])
    pairs = [f"{run.arch.name}/{run.cluster.accelerator.name}" for run in runs]
    return Group(
        runs,
        measured,
        quality,
        stack([r.numbers for r in runs]),
        Yardstick.of(runs),
        folds([r.source for r in runs], pairs),
        kind,
    )


def believed(kind: str, runs: Sequence[CaseRun]) -> list[Prior]:
    """Priors of the shared parameters, and for times of each framework's factor."""
    shared = [
        Prior(r["name"], float(r["prior"]), float(r["sigma_ln"])) for r in priors("training") if r["group"] == kind
    ]
    if kind == "memory":
        return shared
    names = sorted({str(run.numbers.framework) for run in runs} - {""})
    return shared + [Prior(f"framework {name}", 1.0, FRAMEWORK_SIGMA) for name in names]


def fitted_to(data: Group, start: Mapping[str, float]) -> dict[str, float]:
    """Parameters of one quantity, fitted to `data`; start: where to begin, for what it has, else at the priors."""
    weights = source_weights([run.source for run in data.runs], data.quality.tolist())
    priors = believed(data.quantity, data.runs)
    return fit(data.log_errors, priors, weights, start={prior.name: prior.value for prior in priors} | dict(start))


def left_out(data: Group, start: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Parameters with each fold left out."""
    parts = {name: data.part(np.array([f != name for f in data.fold])) for name in sorted(set(data.fold))}
    return {name: fitted_to(part, start) for name, part in parts.items()}


def kept(data: Group, content: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Parameters of a quantity as an earlier fit has them, and with each fold left out: all of them for what is new."""
    memory = {prior.name for prior in believed("memory", [])}
    values, folds = content["values"], {}
    for run, fold in zip(data.runs, data.fold, strict=True):
        folds[fold] = content["folds"].get(fold if "/" in fold else run.source, values)
    names = [name for name in values if (name in memory) == (data.quantity == "memory")]
    shared = {name: values[name] for name in names if not name.startswith("framework ")}
    return (
        {name: values[name] for name in names},
        # A framework that only the fold's source runs has no factor there.
        {fold: {**shared, **{n: held[n] for n in names if n in held}} for fold, held in folds.items()},
    )


def left_out_errors(data: Group, folded: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Log errors of every run with the parameters that left it out."""
    errors = np.zeros(len(data.runs))
    for name, values in folded.items():
        mine = np.array([fold == name for fold in data.fold])
        errors[mine] = data.part(mine).log_errors(values)
    return errors


def by_source(
    time: Group,
    memory: Group,
    folded: Mapping[str, Mapping[str, Mapping[str, float]]],
    everything: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """Complete parameters for every key a run may be left out by: its source, or source/LLM/accelerator."""
    frameworks = {name for name in everything if name.startswith("framework ")}
    shared = {name: value for name, value in everything.items() if name not in frameworks}
    values: dict[str, dict[str, float]] = {}
    for data in (time, memory):
        for run, fold in zip(data.runs, data.fold, strict=True):
            key = fold if "/" in fold else run.source
            values.setdefault(key, dict(shared)).update(folded[data.quantity][fold])
    return values


def runs_left_out(data: Group, errors: np.ndarray) -> list[dict[str, Any]]:
    """What the ranges rest on: ln(measured / predicted) of every run by a fit without its source, and its traits."""
    unseen = {
        "new accelerator": new_to_others([run.cluster.accelerator.name for run in data.runs], data.fold),
        "new generation": new_to_others([run.cluster.accelerator.generation for run in data.runs], data.fold),
        "new architecture": new_to_others([run.arch.name for run in data.runs], data.fold),
    }
    return [
        {
            "id": run.id,
            "metric": run.metric,
            "group": data.quantity,
            "source": run.source,
            "cell": f"{run.arch.name}/{run.cluster.accelerator.name}",
            "error": -errors[index],
            "trust": float(data.quality[index]),
            "traits": of_quantity(
                data.quantity,
                [name for name, mask in unseen.items() if mask[index]]
                + [*difficulties(run.arch, run.cluster, run.plan), *sort_of(run)]
                # What a collector assumed is an error of the row, not of predictions: no question has this trait.
                + ["assumed by its collector"] * bool(data.quality[index] < 1),
            ),
        }
        for index, run in enumerate(data.runs)
    ]


def shape_left_out(
    rows: Sequence[Mapping[str, str]], data: Group, errors: np.ndarray, values: Mapping[str, float]
) -> np.ndarray:
    """Errors of dense LLMs, and what they are where no more than the LLM's size is told: two rows."""
    dense = np.array([not run.arch.experts for run in data.runs])
    named = [row for row, keep in zip(measuring(rows, data.quantity), dense, strict=True) if keep]
    sizes = [f"{params(run.arch) / 1e9:.3g}" for run, keep in zip(data.runs, dense, strict=True) if keep]
    untold = [{**row, **dict.fromkeys(SHAPE, ""), "params_b": size} for row, size in zip(named, sizes, strict=True)]
    moved = group(untold, data.quantity, values).log_errors(values) - group(named, data.quantity, values).log_errors(
        values
    )
    return np.stack([errors[dense], errors[dense] + moved])


def unlisted(
    rows: Sequence[Mapping[str, str]], data: Group, errors: np.ndarray, values: Mapping[str, float]
) -> np.ndarray:
    """Errors, and what they are where nothing is known of the framework but what the row says: two rows.

    Rates in FLOP are left aside: how a framework counts them is no doubt about its time.
    """
    named = measuring(rows, data.quantity)
    unnamed = group([{**row, "framework": ""} for row in named], data.quantity, values)
    told = np.array([run.metric not in COUNTED for run in data.runs])
    return np.stack([errors, errors + unnamed.log_errors(values) - data.log_errors(values)])[:, told]


def residual_summary(data: Group, errors: np.ndarray) -> dict[str, float]:
    """Median |ln(predicted / measured)| per source."""
    sources = np.array([run.source for run in data.runs])
    return {str(s): round(float(np.median(np.abs(errors[sources == s]))), 4) for s in sorted(set(sources))}


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Four digits, which is more than is known."""
    return {name: float(f"{value:.4g}") for name, value in values.items()}


def main() -> None:
    """Fit, leave out, write."""
    rows, before = read_cases(published("training")), json.loads(FITTED.read_text(encoding="utf-8"))
    believed_values = {r["name"]: float(r["prior"]) for r in priors("training")}
    anew = "time" if "--times" in sys.argv else "memory"
    values = believed_values | {n: v for n, v in before["values"].items() if n in believed_values or " " in n}
    for _ in range(2):  # what a row leaves open is chosen by the parameters, which are fitted to the rows
        values = values | rounded(fitted_to(group(rows, anew, values), values))
    time, memory = group(rows, "time", values), group(rows, "memory", values)
    left = {
        one.quantity: left_out(one, values) if one.quantity == anew else kept(one, before)[1] for one in (time, memory)
    }
    folded = {kind: {fold: rounded(v) for fold, v in folds.items()} for kind, folds in left.items()}
    held_out = {data.quantity: left_out_errors(data, folded[data.quantity]) for data in (time, memory)}
    ranges = ranges_from(
        [*runs_left_out(time, held_out["time"]), *runs_left_out(memory, held_out["memory"])], "training"
    )
    for data in (time, memory):
        errors = held_out[data.quantity]
        wider = {
            "assumed shape": shape_left_out(rows, data, errors, values),
            "new loop" if data is time else "new framework": unlisted(rows, data, errors, values),
        }
        ranges["wider"] |= {f"{trait}, {data.quantity}": widened(*both) for trait, both in wider.items()}
    every = [*time.runs, *memory.runs]
    content = {
        "date": datetime.date.today().isoformat(),
        "data": {"file": "calibration/published/training.csv", "sha256": file_hash(published("training"))},
        "left_out_of_the_fit": OUTLIERS,
        "parameters": described(values),
        "values": values,
        "folds": by_source(time, memory, folded, values),
        "seen": {
            "accelerators": sorted({run.cluster.accelerator.name for run in every}),
            "generations": sorted({run.cluster.accelerator.generation for run in every}),
            "architectures": sorted({run.arch.name for run in every}),
            "frameworks": sorted({framework(run.plan.framework).name for run in every} - {""}),
        },
        "ranges": ranges,
        "residuals": {
            data.quantity: {
                "in_sample": residual_summary(data, data.log_errors(values)),
                "left_out": residual_summary(data, held_out[data.quantity]),
            }
            for data in (time, memory)
        },
    }
    FITTED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def described(values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Every parameter with its unit, meaning and prior."""
    known = {row["name"]: row for row in priors("training")}
    return [
        {
            "name": name,
            "value": value,
            "unit": known[name]["unit"] if name in known else "1",
            "meaning": known[name]["meaning"] if name in known else "time over that of the pool of frameworks",
            "prior": float(known[name]["prior"]) if name in known else 1.0,
            "sigma_ln": float(known[name]["sigma_ln"]) if name in known else FRAMEWORK_SIGMA,
        }
        for name, value in values.items()
    ]


if __name__ == "__main__":
    main()
    use_facts(None)  # forgets the constants read before the fit
    accuracy_training.main()
