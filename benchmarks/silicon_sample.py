"""Check serving against the measured serving runs that ship with aiconfigurator-core, one LLM left out at a time.

    pip install aiconfigurator-core==0.12.0          # in an environment of its own; only its CSV is read
    python benchmarks/silicon_sample.py PATH/aiconfigurator_core/systems/silicon_sample.csv

Dense LLMs, aggregated serving. For each LLM the constants are fitted without any published run of it; runs of the file
that are not in calibration/published/inference.csv are never fitted. Errors are |predicted / measured - 1|.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from fit_serving import Fit

from estimator.catalog.cases import published
from estimator.validation.inference_batch import counted, predicted
from estimator.validation.inference_runs import read_run

LLMS = {
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "nvidia/Qwen3-32B-NVFP4": "qwen3-32b",
}
ENGINES = {"trtllm": "tensorrt-llm", "vllm": "vllm", "sglang": "sglang"}
SYSTEMS = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200", "b300_sxm": "b300", "gb200": "gb200"}
METRICS = {"ttft_ms": "silicon_ttft_ms", "tpot_ms": "silicon_tpot_ms"}


def cases(path: Path) -> list[dict[str, str]]:
    """Two cases of every dense, aggregated run: its TTFT and its TPOT."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == "agg" and row["model_path"] in LLMS]
    return [_case(row, metric) for row in rows for metric in METRICS if row[METRICS[metric]]]


def _case(row: dict[str, str], metric: str) -> dict[str, str]:
    precision = row["precision"] or "bf16"
    tp = str(int(float(row["tp_size"])))
    return {
        "id": row["id"],
        "source": "silicon_sample",
        "metric": metric,
        "model": LLMS[row["model_path"]],
        "weight_precision": precision,
        "kv_precision": "fp8" if row["backend"] == "trtllm" and precision != "bf16" else "bf16",
        "gpu": SYSTEMS[row["system"]],
        "n_gpus": tp,
        "tp": tp,
        "engine": ENGINES[row["backend"]],
        "batch_or_concurrency": row["batch_size"],
        "input_len": row["isl"],
        "output_len": row["osl"],
        "value": row[METRICS[metric]],
    }


def main() -> None:
    """Print the median errors per LLM, metric and engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sample", type=Path, help="silicon_sample.csv of aiconfigurator-core 0.12.0")
    rows = cases(parser.parse_args().sample)
    with published("inference").open(newline="", encoding="utf-8") as file:
        fitted = Fit(list(csv.DictReader(file)))
    trained = np.array([run.load.arch.name for run in fitted.runs])
    llms, metrics, engines = (np.array([row[key] for row in rows]) for key in ("model", "metric", "engine"))
    measured = np.array([float(row["value"]) for row in rows])
    batch = counted([read_run(row) for row in rows])
    error = np.full(len(rows), np.nan)
    start = fitted.solve(np.ones(len(trained), bool))
    for llm in sorted(set(llms)):
        constants = fitted.solve(trained != llm, start)
        out = llms == llm
        error[out] = np.abs(predicted(batch, constants)[out] / measured[out] - 1.0)
    print(f"{len(rows) // len(METRICS)} runs, each LLM left out of the fit: median |predicted / measured - 1|")
    for metric in METRICS:
        print(f"{metric}: {np.median(error[metrics == metric]):.1%}")
        for group in (llms, engines):
            for name in sorted(set(group)):
                same = (metrics == metric) & (group == name)
                print(f"  {name:14} {same.sum():5} runs {np.median(error[same]):.1%}")


if __name__ == "__main__":
    main()
