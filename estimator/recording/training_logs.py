"""Logs of training runs: what trainers write anyway."""

import json
import re
from collections.abc import Mapping, Sequence

from estimator.catalog.accelerators import GIB
from estimator.formulas.units import HOUR_S
from estimator.recording.found import COLOURS, MIB, Found, Log, inside, measured, number, settled, table

STEP_KEYS = ("train_steps_per_second", "train/train_steps_per_second")
LOGGED = re.compile(r"""['"](train_runtime|train_steps_per_second|train_samples_per_second)['"]: *'?([\d.]+)""")
TORCHTITAN = re.compile(r"step: *(\d+).*?memory: *([\d.]+) ?GiB.*?tps: *([\d,.]+)")
MEGATRON = re.compile(r"elapsed time per iteration \(ms\): *([\d.]+).*?global batch size: *(\d+)")
MEGATRON_MEMORY = re.compile(r"max allocated: *([\d.]+)")
HELD = re.compile(r"([\d.]+) *MiB")


def trainer_state(log: Log) -> Sequence[Found]:
    """`trainer_state.json` of the Hugging Face Trainer: the whole run, by what its last report says."""
    history, steps = inside(log.data, "log_history"), number(inside(log.data, "global_step"))
    if not isinstance(history, list) or not steps:
        return ()
    rate = next(
        (number(one.get(key)) for one in history if isinstance(one, dict) for key in STEP_KEYS if key in one), None
    )
    if rate is None:
        return ()
    columns = {"framework": "hf trainer", "micro_batch": inside(log.data, "train_batch_size")}
    return (Found("Hugging Face trainer state", "training", columns, measured(step_time_s=1 / rate)),)


def results(log: Log) -> Sequence[Found]:
    """`all_results.json`, `train_results.json`, or the summary that W&B keeps beside an offline run."""
    rate = next((found for key in STEP_KEYS if (found := number(inside(log.data, key)))), None)
    if rate is None:
        return ()
    return (Found("results of a trainer", "training", {"framework": "hf trainer"}, measured(step_time_s=1 / rate)),)


def printed(log: Log) -> Sequence[Found]:
    """The dictionary that trainers (axolotl, TRL, LLaMA-Factory) print at the end of a run."""
    said = {name: number(value) for name, value in LOGGED.findall(log.text if log.data is None else "")}
    rate = said.get("train_steps_per_second")
    if not rate:
        return ()
    return (
        Found("printed results of a trainer", "training", {"framework": "hf trainer"}, measured(step_time_s=1 / rate)),
    )


def llamafactory(log: Log) -> Sequence[Found]:
    """`trainer_log.jsonl` of LLaMA-Factory: steps done, and the time since the start."""
    points = [point for line in log.text.splitlines() if (point := _point(line))]
    if len(points) < 2:
        return ()
    (first, since), (last, until) = points[0], points[-1]
    if last <= first or until <= since:
        return ()
    step_s = (until - since) / (last - first)
    return (Found("LLaMA-Factory log", "training", {"framework": "llama-factory"}, measured(step_time_s=step_s)),)


def _point(line: str) -> tuple[float, float] | None:
    try:
        one = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(one, Mapping):
        return None
    step, clock = number(one.get("current_steps")), one.get("elapsed_time")
    return (step, _seconds(clock)) if step and isinstance(clock, str) and _seconds(clock) else None


def _seconds(clock: str) -> float:
    """`1 day, 2:03:04` or `2:03:04` in seconds; 0 for anything else."""
    found = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)", clock.strip())
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def torchtitan(log: Log) -> Sequence[Found]:
    """Log of torchtitan: tokens a second of an accelerator, and what its allocator reserved."""
    lines = TORCHTITAN.findall(COLOURS.sub("", log.text))
    rate = settled([float(tps.replace(",", "")) for _, _, tps in lines if number(tps.replace(",", ""))])
    if rate is None:
        return ()
    held = max((number(gib) or 0.0 for _, gib, _ in lines), default=0.0) * GIB / 1e9
    columns = {"framework": "torchtitan", "memory_reading": "reserved", "packing": "packed"}
    return (Found("torchtitan log", "training", columns, measured(tokens_per_s_per_gpu=rate, peak_mem_gb=held)),)


def megatron(log: Log) -> Sequence[Found]:
    """Log of Megatron-LM: time of an iteration, and the allocator's peak where it is printed."""
    lines = MEGATRON.findall(log.text)
    step_s = settled([ms / 1e3 for text, _ in lines if (ms := number(text))])
    if step_s is None:
        return ()
    peaks = [mib * MIB / 1e9 for text in MEGATRON_MEMORY.findall(log.text) if (mib := number(text))]
    columns = {"framework": "megatron-lm", "global_batch_seqs": int(lines[-1][1]), "memory_reading": "allocated"}
    found = measured(step_time_s=step_s, peak_mem_gb=max(peaks, default=None))
    return (Found("Megatron log", "training", columns, found),)


def nvidia_smi(log: Log) -> Sequence[Found]:
    """`nvidia-smi --query-gpu=...,memory.used --format=csv`: the most that was in use on one device."""
    rows = table(log.text)
    places = [at for at, name in enumerate(rows[0] if rows else ()) if name.startswith("memory.used")]
    if not places:
        return ()
    cells = [cell for row in rows[1:] if len(row) > places[0] and (cell := HELD.fullmatch(row[places[0]]))]
    used = [number(cell[1]) or 0.0 for cell in cells]
    peak = max(used, default=0.0) * MIB / 1e9
    return (Found("nvidia-smi", "training", {"memory_reading": "device"}, measured(peak_mem_gb=peak or None)),)


def codecarbon(log: Log) -> Sequence[Found]:
    """`emissions.csv` of CodeCarbon: accelerator-hours of the last run."""
    head, *rows = table(log.text) or [[]]
    last = dict(zip(head, rows[-1], strict=False)) if rows else {}
    if not {"duration", "energy_consumed", "gpu_count"} <= set(last):
        return ()
    seconds, count = number(last["duration"]), number(last["gpu_count"]) or 1.0
    hours = seconds * count / HOUR_S if seconds else None
    return (Found("CodeCarbon", "training", {"family": "total_run"}, measured(gpu_hours=hours)),)


READERS = (trainer_state, results, llamafactory, torchtitan, megatron, printed, nvidia_smi, codecarbon)
