"""Fit kernel constants to measured kernel tables: python benchmarks/fit_kernels.py --tables DIR

DIR is `aiconfigurator_core/systems/data` of the wheel aiconfigurator-core 0.12.0 (Apache-2.0, NVIDIA). Writes
calibration/fitted/kernels.json (a handful of constants per accelerator and number format, and how far they are off on
shapes that were held out) and calibration/published/kernel_sample.csv (a few held-out rows, for the tests).
Needs scipy, pandas and pyarrow.
"""

import argparse
import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kernel_tables import PACKAGE, TABLES, Problem, problems
from scipy.optimize import least_squares

from estimator.catalog.accelerators import accelerator
from estimator.paths import data_folder

MOST_ROWS = 5000
HELD_OUT = 0.25
SAMPLED = {
    "gemm": ("bf16", "fp8"),
    "attention": ("bf16",),
    "decode_attention": ("bf16",),
    "collectives": ("all-reduce",),
}
SAMPLED_ROWS = 3
CARRIED = {"gemm": "bf16", "attention": "bf16", "decode_attention": "bf16", "collectives": "all-reduce", "moe": "bf16"}


def split(problem: Problem) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit and rows held out: whole values of the columns `by`, a quarter of them."""
    rows = problem.rows.assign(ideal_s=problem.ideal_s)
    groups = rows.groupby(problem.by, dropna=False).ngroup().to_numpy()
    chosen = np.random.default_rng(0).random(groups.max() + 1) < HELD_OUT
    kept, held = rows[~chosen[groups]], rows[chosen[groups]]
    return kept.sample(min(MOST_ROWS, len(kept)), random_state=0), held


def constants(problem: Problem, rows: pd.DataFrame) -> np.ndarray:
    """Constants that minimise the robust squared log error."""
    start, low, high = map(np.array, zip(*problem.bounds.values(), strict=True))
    measured = np.log(rows.time_s.to_numpy())
    found = least_squares(
        lambda values: np.log(problem.model(values, rows)) - measured,
        start,
        bounds=(low, high),
        loss="soft_l1",
        f_scale=0.1,
        x_scale=start,
    ).x
    return np.array([float(f"{value:.4g}") for value in np.where(found > 1e-4 * start, found, 0.0)])


def errors(predicted_s: np.ndarray, rows: pd.DataFrame) -> dict[str, float]:
    """Median and 90th percentile of |log(predicted / measured)|, and its median with sign."""
    residual = np.log(predicted_s / rows.time_s.to_numpy())
    return {
        "rows": len(rows),
        "median": round(float(np.median(np.abs(residual))), 4),
        "p90": round(float(np.quantile(np.abs(residual), 0.9)), 4),
        "signed": round(float(np.median(residual)), 4),
    }


def entry(problem: Problem) -> dict[str, Any]:
    """What ships of one problem: roofs, constants, errors on held-out rows and those of the bare roofs beside them."""
    kept, held = split(problem)
    values = constants(problem, kept)
    return {
        **problem.roofs,
        "constants": dict(zip(problem.bounds, values.tolist(), strict=True)),
        "rows_fitted": len(kept),
        "held_out": errors(problem.model(values, held), held),
        "ideal_roofline": errors(held.ideal_s.to_numpy(), held),
    }


def carried_over(problem: Problem, fitted: dict[str, Any]) -> dict[str, Any]:
    """Errors on one accelerator's held-out rows of every other accelerator's constants (shares of peak and link)."""
    _, held = split(problem)
    others = {name: variants[problem.variant]["constants"] for name, variants in fitted.items()}
    found = {name: errors(problem.model(np.array(list(c.values())), held), held) for name, c in others.items()}
    return {name: {key: error[key] for key in ("median", "signed")} for name, error in found.items()}


def sample(problem: Problem, name: str, seed: int) -> list[dict[str, Any]]:
    """A few held-out rows, in the words of the formulas."""
    _, held = split(problem)
    chosen = held.sample(SAMPLED_ROWS, random_state=seed)
    words = {"batch_size": "batch", "isl": "new_tokens", "num_heads": "heads", "num_key_value_heads": "kv_heads",
             "num_gpus": "ranks", "bytes": "message_bytes"}  # fmt: skip
    keys = {"kind": problem.kind, "accelerator": name, "variant": problem.variant}
    chosen = chosen.drop(columns="ideal_s").rename(columns=words)
    return [{**keys, **row, "source": PACKAGE} for row in chosen.to_dict("records")]


def summary(name: str, problem: Problem, found: dict[str, Any]) -> str:
    """One line for the reader."""
    held, ideal = found["held_out"], found["ideal_roofline"]
    return (
        f"{problem.kind:17s}{name:15s}{problem.variant:18s}{held['rows']:6d} rows: median {held['median']:.3f} "
        f"p90 {held['p90']:.3f} ({held['signed']:+.3f}); ideal {ideal['median']:.3f}; "
        f"{list(found['constants'].values())}"
    )


def main() -> None:
    """Fit everything and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=data_folder("calibration"))
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "about": {
            "fitted_on": datetime.date.today().isoformat(),
            "tables": PACKAGE,
            "license": "Apache-2.0, NVIDIA CORPORATION & AFFILIATES",
            "held_out": "a quarter of the shapes (whole width pairs, head layouts, message sizes)",
            "errors": "of |log(predicted / measured)|",
            "command": "python benchmarks/fit_kernels.py --tables aiconfigurator_core/systems/data",
        }
    }
    to_carry: list[tuple[str, Problem]] = []
    sampled: list[dict[str, Any]] = []
    for name in TABLES:
        for problem in problems(accelerator(name), arguments.tables):
            found = entry(problem)
            result.setdefault(problem.kind, {}).setdefault(name, {})[problem.variant] = found
            print(summary(name, problem, found), flush=True)
            if CARRIED[problem.kind] == problem.variant:
                to_carry.append((name, problem))
            if problem.variant in SAMPLED.get(problem.kind, ()):
                sampled += sample(problem, name, seed=len(to_carry))
    result["carried_over"] = {kind: {} for kind in CARRIED}
    for name, problem in to_carry:
        result["carried_over"][problem.kind][name] = carried_over(problem, result[problem.kind])
    output = arguments.output
    (output / "fitted" / "kernels.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    columns = list(dict.fromkeys(column for row in sampled for column in row))
    with (output / "published" / "kernel_sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(c for c in columns if c not in ("time_s", "source")), "time_s", "source"])
        writer.writeheader()
        writer.writerows(sampled)


if __name__ == "__main__":
    main()
