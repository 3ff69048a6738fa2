"""Fit the constants of serving to the published runs; write calibration/fitted/serving*.json and the accuracy table.

    python benchmarks/fit_serving.py

Runs without a flag in calibration/published/inference.csv, and nothing else, are fitted. Each source is left out once
(sources under five runs together; of a source with over half of a group, or with engines and accelerators of its own,
one LLM on one accelerator at a time), which gives the errors the ranges rest on.
"""

import argparse
import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from range_coverage import ranges_from, widened

from estimator.catalog.cases import published
from estimator.catalog.engines import serving_inputs_hash, serving_priors
from estimator.fitting.ranges import new_to_others
from estimator.fitting.robust import Prior, fit, refit, slopes
from estimator.formulas.transformer import params
from estimator.paths import data_folder
from estimator.predict.serving import difficulties, of_group
from estimator.predict.serving_costs import constants as shipped
from estimator.predict.serving_time import Constants, Timed
from estimator.validation.cache_pools import pools
from estimator.validation.inference import SMALL, fold_name
from estimator.validation.inference_batch import Batch, counted, from_passes, timed
from estimator.validation.inference_runs import GROUPS, Run, is_time, read_run

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOISE = 0.1  # log error of an ordinary run
ENGINE_SPREAD = {"prefill": 0.15, "decode": 0.15, "way": 0.4}  # of an engine's own factors around the pool
ROWS_THAT_COUNT = 20.0  # runs of one source are alike: more than this add little
SMALL_SOURCE = 5
SHAPE = ("params_b", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_mlp")


class Fit:
    """The unflagged runs, counted once, and the constants to be found."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.rows = rows = [row for row in rows if not row["flag"]]
        self.runs: list[Run] = [read_run(row) for row in rows]
        self.batch: Batch = counted(self.runs)
        self.measured = np.log(np.array([float(row["value"]) for row in rows]))
        self.sources = np.array([run.source for run in self.runs])
        self.groups = np.array([run.group for run in self.runs])
        self.engines = np.array([run.load.plan.facts.family for run in self.runs])
        self.accelerators = np.array([run.cluster.accelerator.name for run in self.runs])
        self.documented = serving_priors()
        self.passes: dict[tuple[float, ...], Timed] = {}
        self.priors = [Prior(name, prior["prior"], prior["log_sd"]) for name, prior in self.documented.items()]
        for phase, spread in ENGINE_SPREAD.items():
            self.priors += [Prior(f"{phase}@{engine}", 1.0, spread) for engine in self.batch.families]

    def errors(self, constants: Constants) -> Floats:
        """log(predicted / measured) of every run; passes are timed anew only when a constant of theirs has changed."""
        key = tuple(constants[name] for name in self.documented)
        if key not in self.passes:
            self.passes = {key: timed(self.batch, constants)}
        return np.log(from_passes(self.batch, self.passes[key], constants)) - self.measured

    def weights(self, used: Mask) -> Floats:
        """A source's runs of one group count for `ROWS_THAT_COUNT` at most."""
        weights = np.zeros(len(used))
        for group in sorted(set(self.groups)):
            for source in sorted(set(self.sources)):
                same = used & (self.groups == group) & (self.sources == source)
                weights[same] = 1.0 / (1.0 + same.sum() / ROWS_THAT_COUNT)
        return weights

    def solve(self, used: Mask, start: Constants | None = None, rounds: int = 60) -> dict[str, float]:
        """The constants from the runs in `used`."""
        return fit(self.errors, self.priors, self.weights(used), NOISE, start, rounds)

    def folds(self) -> dict[str, Mask]:
        """Which runs each fold leaves out, by its name."""
        names = {source: int((self.sources == source).sum()) for source in sorted(set(self.sources))}
        small = [source for source, count in names.items() if count < SMALL_SOURCE]
        large = {source for source in names if source not in small and self._dominates(source)}
        folds = {source: self.sources == source for source in names if source not in small and source not in large}
        for index, run in enumerate(self.runs):
            if run.source in large:
                folds.setdefault(fold_name(run), np.zeros(len(self.runs), bool))[index] = True
        if small:
            folds |= {f"{SMALL} {source}": np.isin(self.sources, small) for source in small}
        return folds

    def fold_names(self) -> list[str]:
        """The fold that left each run out; the small sources' is one."""
        names = [""] * len(self.runs)
        for name, out in self.folds().items():
            for index in np.flatnonzero(out):
                names[index] = SMALL if name.startswith(SMALL) else name
        return names

    def _dominates(self, source: str) -> bool:
        """Whether a source holds most of a group, or most of its runs are of an engine or accelerator it alone has."""
        own = self.sources == source
        if max((own[self.groups == group]).mean() for group in set(self.groups)) > 0.5:
            return True
        lone = np.zeros(len(own), bool)
        for kind in (self.engines, self.accelerators):
            lone |= ~np.isin(kind, sorted(set(kind[~own])))
        return bool(lone[own].mean() > 0.5)

    def left_out(self, start: Constants) -> tuple[Floats, dict[str, Constants]]:
        """Errors of every run by constants that did not see it, and the constants of each fold."""
        errors, constants = np.full(len(self.runs), np.nan), {}
        solved: dict[bytes, Constants] = {}
        grown = slopes(self.errors, self.priors, start)
        for name, out in self.folds().items():
            key = out.tobytes()
            if key not in solved:
                solved[key] = refit(self.errors, self.priors, self.weights(~out), NOISE, start, grown)
            constants[name] = solved[key]
            errors[out] = self.errors(solved[key])[out]
        return errors, constants

    def time_errors(self, errors: Floats) -> Floats:
        """log(measured time / predicted time) of every run."""
        sign = np.array([-1.0 if is_time(run.metric) else 1.0 for run in self.runs])
        return sign * errors


def labels(found: Fit, group: str) -> NDArray[np.str_]:
    """Sources of a group, those under five runs in it together."""
    inside = found.groups == group
    counts = {source: int((found.sources[inside] == source).sum()) for source in set(found.sources[inside])}
    return np.array([s if counts.get(s, 0) >= SMALL_SOURCE else "small sources" for s in found.sources])


def runs_left_out(found: Fit, outside: Floats) -> list[dict[str, Any]]:
    """What the ranges rest on: ln(measured / predicted) of every run's time, fitted without its source, and traits."""
    folds = found.fold_names()
    unseen = {
        "new accelerator": new_to_others([run.cluster.accelerator.name for run in found.runs], folds),
        "new generation": new_to_others([run.cluster.accelerator.generation for run in found.runs], folds),
        "new engine": new_to_others([run.load.plan.facts.family for run in found.runs], folds),
        "new architecture": new_to_others([run.load.arch.name for run in found.runs], folds),
    }
    return [
        {
            "id": run.id,
            "metric": run.metric,
            "group": run.range_group,
            "source": run.source,
            "cell": f"{run.load.arch.name}/{run.cluster.accelerator.name}",
            "error": outside[index],
            "trust": 1.0,
            "traits": of_group(
                run.range_group,
                [name for name, mask in unseen.items() if mask[index]]
                + [*difficulties(run.load.arch, run.cluster.accelerator, run.load.plan.facts.family)],
            ),
        }
        for index, run in enumerate(found.runs)
    ]


def shape_left_out(found: Fit, outside: Floats, constants: Constants) -> Floats:
    """Errors of dense decoders, and what they are where no more than the LLM's size is told: two rows."""
    chosen = [i for i, run in enumerate(found.runs) if run.group != "embedding" and not run.load.arch.experts]
    named = [found.rows[index] for index in chosen]
    sizes = [f"an LLM of {params(found.runs[index].load.arch) / 1e9:.3g}b" for index in chosen]
    untold = [{**row, **dict.fromkeys(SHAPE, ""), "model": size} for row, size in zip(named, sizes, strict=True)]
    one, other = Fit(named), Fit(untold)
    moved = other.time_errors(other.errors(constants)) - one.time_errors(one.errors(constants))
    return np.stack([outside[chosen], outside[chosen] + moved])


def report(found: Fit, inside: Floats, outside: Floats) -> list[dict[str, Any]]:
    """Median absolute errors per group and source, fitted and left out."""
    rows = []
    for group in GROUPS:
        names = labels(found, group)
        for source in sorted(set(names[found.groups == group])):
            same = (found.groups == group) & (names == source)
            rows.append(
                {
                    "group": group,
                    "source": source,
                    "runs": int(same.sum()),
                    "fitted": round(float(np.median(np.abs(inside[same]))), 3),
                    "left_out": round(float(np.median(np.abs(outside[same]))), 3),
                    "bias": round(float(np.median(outside[same])), 3),
                    "p90": round(float(np.quantile(np.abs(outside[same]), 0.9)), 3),
                }
            )
    return rows


def document(found: Fit, constants: Constants, errors: Floats) -> dict[str, Any]:
    """What serving.json holds."""
    outside = found.time_errors(errors)
    ranges = ranges_from(runs_left_out(found, outside), "serving")
    untold = widened(*shape_left_out(found, outside, constants))
    ranges["wider"] |= {name: untold for group in ranges["groups"] for name in of_group(group, ["assumed shape"])}
    return {
        "date": date.today().isoformat(),
        "inputs": serving_inputs_hash(),
        "method": "python benchmarks/fit_serving.py",
        "parameters": {n: {"value": significant(constants[n]), **prior} for n, prior in found.documented.items()},
        "engines": {name: significant(value) for name, value in constants.items() if "@" in name},
        "ranges": ranges,
        "seen": {
            "sources": sorted(set(found.sources.tolist())),
            "engines": list(found.batch.families),
            "accelerators": sorted({run.cluster.accelerator.name for run in found.runs}),
            "generations": sorted({run.cluster.accelerator.generation for run in found.runs}),
            "architectures": sorted({run.load.arch.name for run in found.runs}),
        },
    }


def folds_document(folds: dict[str, Constants]) -> dict[str, Any]:
    """What serving_folds.json holds."""
    found = {name: {key: significant(v) for key, v in fold.items()} for name, fold in folds.items()}
    return {"inputs": serving_inputs_hash(), "folds": found}


def significant(value: float) -> float:
    """Five digits."""
    return float(f"{value:.5g}")


def markdown(rows: list[dict[str, Any]], found: Fit, errors: Floats, written: dict[str, Any]) -> str:
    """The accuracy table."""
    lines = [
        "# Accuracy of serving predictions",
        "",
        f"Generated by `{written['method']}` on {written['date']}. Median of |ln(predicted / measured)| per source,",
        "then the mean over sources. *Left out*: the run's whole source was not in the fit (sources under five runs",
        "in a group together; of a source with over half of a group, one LLM on one accelerator at a time). Bias is",
        "the median of ln(predicted / measured), in the unit of the metric.",
        "",
        "| group | sources | fitted | left out |",
        "|---|---|---|---|",
    ]
    for group in GROUPS:
        same = [row for row in rows if row["group"] == group]
        fitted, left_out = (np.mean([row[name] for row in same]) for name in ("fitted", "left_out"))
        lines.append(f"| {group} | {len(same)} | {fitted:.3f} | {left_out:.3f} |")
    lines += [
        "",
        "| group | source | runs | fitted | left out | bias | 90th percentile |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['group']} | {r['source']} | {r['runs']} | {r['fitted']:.2f} | {r['left_out']:.2f} | {r['bias']:+.2f} | "
        f"{r['p90']:.2f} |"
        for r in rows
    ]
    lines += ["", *engine_lines(found, errors), "", *pool_lines(), "", *constant_lines(written)]
    return "\n".join(lines) + "\n"


def engine_lines(found: Fit, errors: Floats) -> list[str]:
    """Left-out error of runs whose engine another source also used, and of the others."""
    engines = np.array([run.load.plan.facts.family for run in found.runs])
    users = {engine: set(found.sources[engines == engine]) for engine in set(engines)}
    seen = np.array([len(users[engine]) > 1 for engine in engines])
    lines = ["| group | engine | runs | left out |", "|---|---|---|---|"]
    for group in GROUPS:
        for name, wanted in (("seen in another source", True), ("unseen", False)):
            same = (found.groups == group) & (seen == wanted)
            if same.any():
                lines.append(f"| {group} | {name} | {same.sum()} | {np.median(np.abs(errors[same])):.2f} |")
    return lines


def pool_lines() -> list[str]:
    """KV cache pools in engines' logs; none is fitted."""
    lines = [
        "| KV cache logged at the start | accelerators | logged tokens | predicted | ln |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {pool.case['model']}, {pool.case['source']} | {pool.case['n_gpus']} x {pool.case['gpu']} | "
        f"{pool.logged:,.0f} | {pool.predicted:,.0f} | {pool.error:+.3f} |"
        for pool in pools()
    ]


def constant_lines(written: dict[str, Any]) -> list[str]:
    """The constants, with their priors."""
    lines = ["| constant | value | prior | unit | meaning |", "|---|---|---|---|---|"]
    return lines + [
        f"| {name} | {p['value']:.4g} | {p['prior']:.4g} | {p['unit']} | {p['meaning']} |"
        for name, p in written["parameters"].items()
    ]


def main() -> None:
    """Fit, leave out, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fit without folds and write nothing")
    parser.add_argument("--on", action="store_true", help="begin at the constants that ship instead of at the priors")
    options = parser.parse_args()
    quick = options.quick
    with published("inference").open(newline="", encoding="utf-8") as file:
        found = Fit(list(csv.DictReader(file)))
    start = {prior.name: shipped().get(prior.name, prior.value) for prior in found.priors} if options.on else None
    constants = found.solve(np.ones(len(found.runs), bool), start)
    inside = found.errors(constants)
    errors, folds = (inside, {}) if quick else found.left_out(constants)
    rows = report(found, inside, errors)
    for group in GROUPS:
        same = [row for row in rows if row["group"] == group]
        fitted, left_out = (np.mean([row[name] for row in same]) for name in ("fitted", "left_out"))
        print(f"{group:10} fitted {fitted:.3f}  left out {left_out:.3f}")
    if not quick:
        written = document(found, constants, errors)
        for name, content in (("serving", written), ("serving_folds", folds_document(folds))):
            target = data_folder("calibration") / "fitted" / f"{name}.json"
            target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        table = Path(__file__).with_name("accuracy_serving.md")
        table.write_text(markdown(rows, found, errors, written), encoding="utf-8")


if __name__ == "__main__":
    main()
