"""Files that are not text, or no logs: read by their own library where it is installed, or said what they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from estimator.errors import InvalidInput
from estimator.files import read_bytes, shown
from estimator.recording.found import Found, Log, measured, settled

EVENTS, WANDB = ".tfevents.", ".wandb"
SCALARS = "tensorboard"  # key of the content of event files in a log
BILLS = ("ChargePeriodStart", "BilledCost", "lineItem/UsageStartDate", "n_context_tokens_total", "usage_input_tokens")
GIB = 2**30


def foreign(path: Path) -> Log | None:
    """A log that is no text; None for any other. Raises InvalidInput where it cannot be read here."""
    if path.suffix == WANDB:
        raise InvalidInput(
            f"{shown(path)} is W&B's own record, which W&B alone reads: hand in files/wandb-summary.json beside it"
        )
    if EVENTS not in path.name:
        return None
    read_bytes(path, "log")  # which says what is wrong with it
    return Log(str(path), "", {SCALARS: _scalars(path)})


def _scalars(path: Path) -> Mapping[str, Sequence[float]]:
    """Values of each scalar of TensorBoard's event files, in the order of steps."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise InvalidInput(
            f"{shown(path)} is of TensorBoard, which is not installed here: pip install tensorboard, or hand in "
            "trainer_state.json or the log"
        ) from None
    try:
        read = EventAccumulator(str(path), size_guidance={"scalars": 0})
        read.Reload()
        return {tag: [one.value for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    except Exception as error:  # whatever it says of a damaged file
        raise InvalidInput(f"{shown(path)} is damaged: {type(error).__name__} of TensorBoard's reader") from None


def tensorboard(log: Log) -> Sequence[Found]:
    """Event files of the Hugging Face Trainer, Megatron, NeMo and torchtitan."""
    scalars = log.data.get(SCALARS) if isinstance(log.data, Mapping) else None
    if not isinstance(scalars, Mapping):
        return ()
    whole = scalars.get("train/train_steps_per_second")
    step_s = 1 / whole[-1] if whole and whole[-1] > 0 else _settled(scalars, "iteration-time", "train_step_timing in s")
    rate, held = _settled(scalars, "throughput(tps)"), scalars.get("memory/max_reserved(GiB)")
    columns = {"framework": _writer(scalars), **({"memory_reading": "reserved"} if held else {})}
    found = measured(
        step_time_s=step_s,
        tokens_per_s_per_gpu=None if step_s else rate,
        peak_mem_gb=max(held) * GIB / 1e9 if held else None,
    )
    return (Found("TensorBoard", "training", columns, found),) if found else ()


def _settled(scalars: Mapping[str, Sequence[float]], *tags: str) -> float | None:
    return next((settled(scalars[tag]) for tag in tags if tag in scalars), None)


def _writer(scalars: Mapping[str, Sequence[float]]) -> str:
    """Whose tags they are."""
    writers = {"iteration-time": "megatron", "train_step_timing in s": "nemo", "throughput(tps)": "torchtitan"}
    return next((name for tag, name in writers.items() if tag in scalars), "hf trainer")


def refuse_bills(log: Log) -> None:
    """Say where bills belong. Raises InvalidInput for what is one."""
    head = log.text.partition("\n")[0]
    if any(column in head for column in BILLS):
        raise InvalidInput(
            f"{shown(log.name)} is a bill or an export of usage, and no log: in FOCUS columns it meets a budget, "
            "estimator variance BUDGET ACTUALS"
        )
